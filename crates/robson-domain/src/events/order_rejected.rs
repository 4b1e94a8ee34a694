//! ORDER_REJECTED: the venue proved that it did not take the order.
//!
//! Changes: the order is rejected. An entry of which nothing filled arms its position again, or cancels it
//! where it was being closed, and frees its risk.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey, OrderEnd};
use crate::{OrderId, OrderStatus, Quantity};

/// The venue proved that it did not take the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRejected {
    /// The order.
    pub order_id: OrderId,
    /// Our word for the reason.
    pub reason_code: String,
    /// The venue's words.
    pub reason: String,
    /// The venue's code.
    pub exchange_code: Option<i64>,
}

impl EventBody for OrderRejected {
    const TYPE: &'static str = "ORDER_REJECTED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Order(self.order_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.order_keys(self.order_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let end = OrderEnd {
            status: OrderStatus::Rejected,
            reason: format!("{}: {}", self.reason_code, self.reason),
            filled_quantity: Quantity::ZERO,
        };
        entities.end_order(self.order_id, end, ctx);
        Ok(())
    }
}
