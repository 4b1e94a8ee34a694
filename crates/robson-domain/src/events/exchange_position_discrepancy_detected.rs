//! EXCHANGE_POSITION_DISCREPANCY_DETECTED: the venue holds something else than the books say.
//!
//! It counts as open until a reconciliation says how many are left.
//!
//! Changes: the account has one more open discrepancy.
//!
//! Refused: when books and venue hold the same.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, RiskKey};
use crate::{AccountId, DiscrepancyKind, PositionId, Quantity, Side, Symbol};

/// The venue holds something else than the books say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangePositionDiscrepancyDetected {
    /// The account.
    pub account_id: AccountId,
    /// What is traded.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// What the books hold.
    pub local_qty: Quantity,
    /// What the venue holds.
    pub exchange_qty: Quantity,
    /// How they differ.
    pub kind: DiscrepancyKind,
    /// The position, where the books have one.
    pub position_id: Option<PositionId>,
}

impl EventBody for ExchangePositionDiscrepancyDetected {
    const TYPE: &'static str = "EXCHANGE_POSITION_DISCREPANCY_DETECTED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![RiskKey::account(self.account_id).into()]
    }

    fn apply(&self, _ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        check(self.local_qty != self.exchange_qty, || {
            format!("the books and the venue both hold {}: nothing differs", self.local_qty)
        })?;
        if let Some(risk) = entities.risk_mut(RiskKey::account(self.account_id)) {
            risk.open_discrepancies += 1;
        }
        Ok(())
    }
}
