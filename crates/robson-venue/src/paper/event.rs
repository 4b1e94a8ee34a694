//! What happens at the paper exchange. Its log holds nothing else, so its state is a fold over these.

use robson_domain::{Amount, Asset, ClientOrderId, Money, OrderSide, Price, Quantity, Symbol, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exchange::Refusal;

/// An event of the paper exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PaperEvent {
    /// Quote currency came in.
    PaperDeposited {
        /// The quote currency.
        asset: Asset,
        /// How much.
        amount: Money,
        /// When.
        at: Timestamp,
    },
    /// An order was taken.
    PaperOrderAccepted {
        /// The trader's id.
        client_order_id: ClientOrderId,
        /// Our id, from 1.
        exchange_order_id: i64,
        /// What is traded.
        symbol: Symbol,
        /// Buy or sell.
        side: OrderSide,
        /// What was asked for.
        requested: Quantity,
        /// What works: less than asked where only less can be reduced.
        quantity: Quantity,
        /// Whether it may only reduce.
        reduce_only: bool,
        /// The value of one unit that is set aside for it; nothing for one that only reduces.
        reserved_price: Option<Price>,
        /// When it can fill.
        fillable_at: Timestamp,
        /// When it was taken.
        at: Timestamp,
    },
    /// An order was not taken; its id is spent.
    PaperOrderRefused {
        /// The trader's id.
        client_order_id: ClientOrderId,
        /// What should have been traded.
        symbol: Symbol,
        /// Buy or sell.
        side: OrderSide,
        /// What was asked for.
        requested: Quantity,
        /// Whether it should only reduce.
        reduce_only: bool,
        /// Why, and when.
        refusal: Refusal,
    },
    /// A part of an order was filled.
    PaperFilled {
        /// The trader's id of the order.
        client_order_id: ClientOrderId,
        /// Our id of the fill, from 1.
        exchange_trade_id: i64,
        /// The price, slippage included.
        price: Price,
        /// How much, in base units.
        quantity: Quantity,
        /// The fee in quote currency.
        fee: Amount,
        /// When.
        at: Timestamp,
    },
    /// An order was ended by the trader.
    PaperOrderCanceled {
        /// The trader's id.
        client_order_id: ClientOrderId,
        /// When.
        at: Timestamp,
    },
    /// An order was ended by the venue, because nothing was left that it could reduce.
    PaperOrderExpired {
        /// The trader's id.
        client_order_id: ClientOrderId,
        /// When.
        at: Timestamp,
    },
}

/// Why a stored event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the paper exchange's {event_type} cannot be read: {reason}")]
pub struct InvalidPaperEvent {
    /// Its type.
    pub event_type: String,
    /// What is wrong.
    pub reason: String,
}

impl PaperEvent {
    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::PaperDeposited { at, .. }
            | Self::PaperOrderAccepted { at, .. }
            | Self::PaperFilled { at, .. }
            | Self::PaperOrderCanceled { at, .. }
            | Self::PaperOrderExpired { at, .. } => *at,
            Self::PaperOrderRefused { refusal, .. } => refusal.at,
        }
    }

    /// The type as it is stored.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::PaperDeposited { .. } => "PAPER_DEPOSITED",
            Self::PaperOrderAccepted { .. } => "PAPER_ORDER_ACCEPTED",
            Self::PaperOrderRefused { .. } => "PAPER_ORDER_REFUSED",
            Self::PaperFilled { .. } => "PAPER_FILLED",
            Self::PaperOrderCanceled { .. } => "PAPER_ORDER_CANCELED",
            Self::PaperOrderExpired { .. } => "PAPER_ORDER_EXPIRED",
        }
    }

    /// The stream that it belongs to.
    pub const fn stream(&self) -> &'static str {
        match self {
            Self::PaperDeposited { .. } => "paper:account",
            _ => "paper:orders",
        }
    }

    /// The payload as it is stored: decimals and instants as text.
    pub fn payload(&self) -> Value {
        let mut tagged = serde_json::to_value(self).expect("the fields are texts, integers and booleans");
        tagged["payload"].take()
    }

    /// Reads a stored event.
    ///
    /// # Errors
    /// `InvalidPaperEvent` for an unknown type or another shape.
    pub fn decode(event_type: &str, payload: Value) -> Result<Self, InvalidPaperEvent> {
        serde_json::from_value(json!({ "type": event_type, "payload": payload })).map_err(|error| {
            InvalidPaperEvent { event_type: event_type.to_owned(), reason: error.to_string() }
        })
    }
}
