//! INTENT_COMPLETED: what was asked of the venue has come to an end, or to doubt.
//!
//! Changes: an unknown outcome leaves the order submitted unless it has come further.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey};
use crate::{AccountId, IntentId, IntentOutcome, OrderId, OrderStatus, PositionId, Timestamp};

/// What was asked of the venue has come to an end, or to doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentCompleted {
    /// The intent.
    pub intent_id: IntentId,
    /// The account.
    pub account_id: AccountId,
    /// The position that it serves.
    pub position_id: Option<PositionId>,
    /// How it ended.
    pub outcome: IntentOutcome,
    /// The order.
    pub order_id: Option<OrderId>,
    /// What went wrong.
    pub error: Option<String>,
    /// When.
    pub completed_at: Timestamp,
}

impl EventBody for IntentCompleted {
    const TYPE: &'static str = "INTENT_COMPLETED";
    const AUTHOR: Author = Author::Executor;

    fn stream(&self) -> StreamName {
        self.position_id.map_or(StreamName::Account(self.account_id), StreamName::Position)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        self.order_id.map(EntityKey::Order).into_iter().collect()
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        if self.outcome != IntentOutcome::Unknown {
            return Ok(());
        }
        if let Some(order) = self.order_id.and_then(|id| entities.order_mut(id)) {
            order.status = order.status.advanced_to(OrderStatus::Submitted);
        }
        Ok(())
    }
}
