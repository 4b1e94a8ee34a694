//! MARGIN_SETTINGS_VERIFIED: a symbol's margin settings at the venue are what they must be.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{AccountId, MarginMode, Symbol};

/// A symbol's margin settings at the venue are what they must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarginSettingsVerified {
    /// The account.
    pub account_id: AccountId,
    /// The symbol.
    pub symbol: Symbol,
    /// How the venue takes margin.
    pub mode: MarginMode,
    /// How many times its margin a position may be worth.
    pub leverage: i64,
}

impl EventBody for MarginSettingsVerified {
    const TYPE: &'static str = "MARGIN_SETTINGS_VERIFIED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }
}
