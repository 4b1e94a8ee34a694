//! BALANCE_SAMPLED: the venue told a balance.
//!
//! Never deduplicated: two equal samples are two samples. One older than the row changes nothing.
//!
//! Changes: the balance, unless it is of a later sample.
//!
//! Refused: when free and locked are not the total.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Balance, BalanceKey, Entities, EntityKey};
use crate::{AccountId, Amount, Asset, Timestamp};

/// The venue told a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceSampled {
    /// The account.
    pub account_id: AccountId,
    /// The asset.
    pub asset: Asset,
    /// What can be used.
    pub free: Amount,
    /// What orders or positions hold.
    pub locked: Amount,
    /// Both.
    pub total: Amount,
    /// When the venue was asked.
    pub sampled_at: Timestamp,
}

impl BalanceSampled {
    fn key(&self) -> BalanceKey {
        BalanceKey { account_id: self.account_id, asset: self.asset.clone() }
    }
}

impl EventBody for BalanceSampled {
    const TYPE: &'static str = "BALANCE_SAMPLED";
    const AUTHOR: Author = Author::Daemon;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![self.key().into()]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        check(self.free.plus(self.locked)? == self.total, || {
            format!("free {} and locked {} are not {}", self.free, self.locked, self.total)
        })?;
        let before = entities.balance(self.key());
        if before.is_some_and(|balance| balance.sampled_at > self.sampled_at) {
            return Ok(());
        }
        let meta = before.map_or_else(|| ctx.meta(), |balance| balance.meta.clone());
        entities.put(Balance {
            key: self.key(),
            free: self.free,
            locked: self.locked,
            total: self.total,
            sampled_at: self.sampled_at,
            meta,
        });
        Ok(())
    }
}
