//! A balance: the latest sample of one asset in one account.

use super::{EntityKey, Meta};
use crate::events::EventContext;
use crate::{AccountId, Amount, Asset, Timestamp};

/// Which balance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BalanceKey {
    /// The account.
    pub account_id: AccountId,
    /// The asset.
    pub asset: Asset,
}

impl From<BalanceKey> for EntityKey {
    fn from(key: BalanceKey) -> Self {
        Self::Balance(key)
    }
}

/// A balance, as `balances_current` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// Account and asset.
    pub key: BalanceKey,
    /// What can be used.
    pub free: Amount,
    /// What open orders or positions hold.
    pub locked: Amount,
    /// Both.
    pub total: Amount,
    /// When the venue was asked.
    pub sampled_at: Timestamp,
    /// Where the row stands in the log.
    pub meta: Meta,
}

impl Balance {
    pub(super) fn stamp(&mut self, ctx: &EventContext) {
        self.meta.stamp(ctx);
    }
}
