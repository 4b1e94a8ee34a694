//! ACCOUNT_LINKED: an account at a venue belongs to the tenant.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::{AccountId, Venue};

/// An account at a venue belongs to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLinked {
    /// The account.
    pub account_id: AccountId,
    /// The venue.
    pub exchange: Venue,
    /// Which of its accounts.
    pub profile: String,
    /// Whether its money is not real.
    pub testnet: bool,
}

impl EventBody for AccountLinked {
    const TYPE: &'static str = "ACCOUNT_LINKED";
    const AUTHOR: Author = Author::Operator;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }
}
