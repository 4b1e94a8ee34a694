//! ORDER_ACKED: the venue has the order.
//!
//! Changes: the order is acknowledged unless it has come further, and has the venue's id; a resting stop is
//! its position's.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::{OrderId, OrderRole, OrderStatus, Timestamp};

/// The venue has the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderAcked {
    /// The order.
    pub order_id: OrderId,
    /// The venue's id of it.
    pub exchange_order_id: String,
    /// The status that the venue told, in our words.
    pub status: OrderStatus,
    /// When the venue accepted it.
    pub acked_at: Timestamp,
}

impl EventBody for OrderAcked {
    const TYPE: &'static str = "ORDER_ACKED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Order(self.order_id)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        entities.order_keys(self.order_id)
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let Some(order) = entities.order_mut(self.order_id) else { return Ok(()) };
        order.status = order.status.advanced_to(OrderStatus::Acknowledged);
        order.exchange_order_id = Some(self.exchange_order_id.clone());
        let resting_stop = order.position_id.filter(|_| order.role == OrderRole::Stop);
        if let Some(position) = resting_stop.and_then(|id| entities.position_mut(id)) {
            position.stop_loss_order_id = Some(self.order_id);
        }
        Ok(())
    }
}
