//! ORDER_CANCELED: the order ended without being filled, or with a part of it.
//!
//! Changes: the order is canceled, or expired. An entry of which nothing filled arms its position again, or
//! cancels it where it was being closed, and frees its risk.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey, OrderEnd};
use crate::{CancelReason, OrderId, OrderStatus, Quantity};

/// The order ended without being filled, or with a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCanceled {
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: CancelReason,
    /// How much the venue says was filled before.
    pub filled_quantity: Quantity,
}

impl EventBody for OrderCanceled {
    const TYPE: &'static str = "ORDER_CANCELED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Order(self.order_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.order_keys(self.order_id)
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let status = match self.reason {
            CancelReason::Expired => OrderStatus::Expired,
            CancelReason::Requested | CancelReason::Exchange => OrderStatus::Canceled,
        };
        let end = OrderEnd { status, reason: self.reason.to_string(), filled_quantity: self.filled_quantity };
        entities.end_order(self.order_id, end, ctx);
        Ok(())
    }
}
