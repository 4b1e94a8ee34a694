//! An order as the paper exchange has it.

use robson_domain::{ClientOrderId, OrderSide, OrderStatus, OrderType, Price, Quantity, Symbol, Timestamp};

use crate::exchange::{OrderReport, OrderRequest, PlaceOutcome, Refusal, VenueFill};

/// An order that the paper exchange took or refused; it is kept for good, so that its id is never taken twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperOrder {
    pub(super) client_order_id: ClientOrderId,
    pub(super) exchange_order_id: Option<i64>,
    pub(super) symbol: Symbol,
    pub(super) side: OrderSide,
    pub(super) requested: Quantity,
    pub(super) quantity: Quantity,
    pub(super) reduce_only: bool,
    pub(super) reserved_price: Option<Price>,
    pub(super) fillable_at: Timestamp,
    pub(super) accepted_at: Timestamp,
    pub(super) changed_at: Timestamp,
    pub(super) status: OrderStatus,
    pub(super) filled: Quantity,
    pub(super) fills: Vec<VenueFill>,
    pub(super) refusal: Option<Refusal>,
}

impl PaperOrder {
    /// Whether the request is the one that made this order.
    pub(super) fn is_from(&self, request: &OrderRequest) -> bool {
        let same_order = self.symbol == request.symbol && self.side == request.side;
        let same_terms = self.requested == request.quantity && self.reduce_only == request.reduce_only;
        same_order && same_terms && request.order_type == OrderType::Market
    }

    /// Whether it can still fill.
    pub fn is_working(&self) -> bool {
        !self.status.is_final()
    }

    pub(super) fn remaining(&self) -> Quantity {
        self.quantity.minus(self.filled).unwrap_or(Quantity::ZERO)
    }

    /// How sending it ended.
    pub fn outcome(&self) -> PlaceOutcome {
        match &self.refusal {
            Some(refusal) => PlaceOutcome::Refused(refusal.clone()),
            None => PlaceOutcome::Confirmed(Box::new(self.report())),
        }
    }

    /// The order as the trader is told.
    pub fn report(&self) -> OrderReport {
        OrderReport {
            exchange_order_id: self.exchange_order_id.map(|id| id.to_string()),
            client_order_id: self.client_order_id.clone(),
            symbol: self.symbol.clone(),
            side: self.side,
            status: self.status,
            quantity: self.requested,
            filled: self.filled,
            accepted_at: self.accepted_at,
            ended_at: self.status.is_final().then_some(self.changed_at),
            fills: self.fills.clone(),
            refusal: self.refusal.clone(),
        }
    }
}
