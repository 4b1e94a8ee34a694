//! Identifiers. Ids that a cause creates are derived from it, so that a retry cannot make a twin.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{OrderRole, Timestamp};

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

uuid_id! {
    /// An account at a venue.
    AccountId,
    /// A trading position.
    PositionId,
    /// An order; equal to its intent's id.
    OrderId,
    /// An intent: the durable wish to do something at a venue.
    IntentId,
    /// A strategy.
    StrategyId,
    /// A decision to enter.
    DecisionId,
    /// A detector's one signal.
    SignalId,
    /// A detector run.
    DetectorId,
    /// A fill as we recorded it.
    FillId,
    /// What the operator or a plan asked for.
    CommandId,
    /// One operator action or one tick.
    TraceId,
    /// One detector run or one reconciliation.
    WorkflowId,
    /// One run of the daemon.
    InstanceId,
}

/// A UUIDv8 that is a function of its cause: the cause's time in Unix milliseconds (6 bytes), then
/// the first 10 bytes of SHA-256 over the length-prefixed parts, version and variant set.
///
/// It sorts by time, because one random key halves the speed of an index (`docs/adr/`).
///
/// A cause before 1970 counts as 1970.
pub fn derived_id(cause_at: Timestamp, parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let millis = u64::try_from(cause_at.unix_millis()).unwrap_or(0);
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&digest[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl IntentId {
    /// The id of the intent that a cause leads to: the same cause gives the same intent.
    ///
    /// `subject` is the position (or order) that it is for; `attempt` is the signal's id for an entry,
    /// else the attempt's number.
    pub fn derive(cause_at: Timestamp, tenant: Uuid, subject: Uuid, role: OrderRole, attempt: &str) -> Self {
        let (tenant, subject) = (tenant.to_string(), subject.to_string());
        Self(derived_id(cause_at, &["intent", &tenant, &subject, role.as_str(), attempt]))
    }
}

/// The id that a venue knows our order by: 36 characters, deterministic, made before the intent is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientOrderId(String);

impl ClientOrderId {
    /// The client order id of an intent: `rbe-`, `rbx-` or `rbs-` and its 32 hex digits.
    pub fn of(role: OrderRole, intent: IntentId) -> Self {
        let letter = match role {
            OrderRole::Entry => 'e',
            OrderRole::Exit => 'x',
            OrderRole::Stop => 's',
        };
        Self(format!("rb{letter}-{}", intent.0.simple()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ClientOrderId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_order_id_is_a_function_of_its_cause() {
        let at: Timestamp = "2026-01-02T03:04:05.678000Z".parse().unwrap();
        let intent = IntentId::derive(at, Uuid::from_u128(1), Uuid::from_u128(3), OrderRole::Exit, "1");
        assert_eq!(
            ClientOrderId::of(OrderRole::Exit, intent).as_str(),
            "rbx-019b7ca98f2e8e29bb229fd1e8ef8295"
        );
    }
}
