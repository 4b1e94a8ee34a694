//! MARGIN_LIQUIDATION_DETECTED: the venue closed a position by itself.
//!
//! The position's row is closed by the reconciliation that follows, with this as its evidence.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{AccountId, Price, Quantity, Side, Symbol};

/// The venue closed a position by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarginLiquidationDetected {
    /// The account.
    pub account_id: AccountId,
    /// What was traded.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// How much the venue closed.
    pub quantity: Quantity,
    /// At which price, where it told.
    pub price: Option<Price>,
    /// The venue's id of its order, where it told.
    pub exchange_order_id: Option<String>,
}

impl EventBody for MarginLiquidationDetected {
    const TYPE: &'static str = "MARGIN_LIQUIDATION_DETECTED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }
}
