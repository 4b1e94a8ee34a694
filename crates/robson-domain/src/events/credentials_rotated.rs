//! CREDENTIALS_ROTATED: the keys of an account at its venue were replaced.

use serde::{Deserialize, Serialize};

use super::{Author, EventBody, StreamName};
use crate::AccountId;

/// The keys of an account at its venue were replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsRotated {
    /// The account.
    pub account_id: AccountId,
    /// Tells the new key from others without telling it: a hash's beginning.
    pub key_fingerprint: String,
}

impl EventBody for CredentialsRotated {
    const TYPE: &'static str = "CREDENTIALS_ROTATED";
    const AUTHOR: Author = Author::Operator;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }
}
