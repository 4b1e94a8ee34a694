//! INTENT_CREATED: what the venue will be asked to do is durable.
//!
//! Changes: the position is entering, or knows its next exit order.
//!
//! Refused: an entry without an admitted risk or without a technical stop; an exit of what is not exiting.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey};
use crate::lifecycle::Happening;
use crate::{
    AccountId, ClientOrderId, DecisionId, IntentId, IntentType, OrderId, OrderSide, PositionId,
    PositionState, Quantity, Symbol, WrongState,
};

/// What the venue will be asked to do is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentCreated {
    /// The intent.
    pub intent_id: IntentId,
    /// The account.
    pub account_id: AccountId,
    /// The decision behind an entry.
    pub decision_id: Option<DecisionId>,
    /// The position that it serves.
    pub position_id: Option<PositionId>,
    /// The order that it places, or cancels.
    pub order_id: OrderId,
    /// What is wanted.
    pub intent_type: IntentType,
    /// Which attempt, from 1.
    pub attempt: i64,
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: OrderSide,
    /// How much.
    pub quantity: Quantity,
    /// The id that the venue will know it by.
    pub client_order_id: ClientOrderId,
}

impl EventBody for IntentCreated {
    const TYPE: &'static str = "INTENT_CREATED";
    const AUTHOR: Author = Author::Executor;

    fn stream(&self) -> StreamName {
        self.position_id.map_or(StreamName::Account(self.account_id), StreamName::Position)
    }

    fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
        let mut keys = self.position_id.map(|id| entities.position_keys(id)).unwrap_or_default();
        keys.push(EntityKey::Order(self.order_id));
        keys
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let Some(position_id) = self.position_id else { return Ok(()) };
        let mut position = entities.existing_position(position_id)?.clone();
        match self.intent_type {
            IntentType::PlaceEntry => {
                position.take(Happening::EntryIntent)?;
                check(position.planned_risk.is_some(), || "no risk check has admitted the entry".to_owned())?;
                check(position.technical_stop_price.is_some(), || {
                    "the entry has no technical stop".to_owned()
                })?;
                position.entry_order_id = Some(self.order_id);
            }
            IntentType::PlaceExit if position.state == PositionState::Exiting => {
                position.exit_order_id = Some(self.order_id);
            }
            IntentType::PlaceExit => {
                return Err(WrongState { state: position.state, event: "exit intent" }.into());
            }
            IntentType::PlaceStop | IntentType::Cancel => return Ok(()),
        }
        entities.replace_position(position, ctx)
    }
}
