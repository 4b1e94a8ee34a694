//! Events: what happened, each type in one file with its name, revision, fields, upcast and effect.
//!
//! A new type is its file, its line in the list below and its frozen sample in `samples/`; the list
//! generates the rest.

mod stream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::entities::{Entities, EntityKey, Meta};
use crate::{Overflow, Timestamp, WrongState};

pub use stream::{InvalidStreamName, StreamName};

/// When and where an event stands; everything that a fold may know besides the event and the entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventContext {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was appended.
    pub ingested_at: Timestamp,
    /// Its id.
    pub event_id: String,
    /// Its place in the log.
    pub log_seq: i64,
}

impl EventContext {
    /// The meta of an entity that the event creates.
    pub(crate) fn meta(&self) -> Meta {
        Meta {
            last_event_id: self.event_id.clone(),
            last_log_seq: self.log_seq,
            created_at: self.occurred_at,
            updated_at: self.occurred_at,
        }
    }
}

/// Why stored bytes are not an event of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No event type has this name.
    #[error("unknown event type `{0}`")]
    UnknownType(String),
    /// The payload does not have the fields of its type.
    #[error("payload of {event_type}: {reason}")]
    BadPayload {
        /// The type.
        event_type: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Why an event cannot follow from what the entities say: the decision that it records is refused.
///
/// A fact of the venue never answers one: it is kept, and puts its position into error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The position's state does not permit it.
    #[error(transparent)]
    WrongState(#[from] WrongState),
    /// It names something that does not exist.
    #[error("no such {kind}: {id}")]
    Missing {
        /// What is missing.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// It breaks a rule of its type.
    #[error("{0}")]
    Broken(String),
    /// A sum left the range of decimals.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl Violation {
    pub(crate) fn missing(kind: &'static str, id: impl ToString) -> Self {
        Self::Missing { kind, id: id.to_string() }
    }
}

/// Refuses what does not hold.
pub(crate) fn check(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::Broken(broken())) }
}

/// Who finds an event to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// What sends to the venue.
    Executor,
    /// What decides.
    Engine,
    /// The risk gate.
    Risk,
    /// The daemon's own tasks.
    Daemon,
    /// A connection to a venue or to a source of prices.
    Connector,
    /// The operator.
    Operator,
    /// The program itself.
    System,
}

/// Takes a payload from one revision to the next; what cannot be taken is told in words.
pub type Upcast = fn(Value) -> Result<Value, String>;

/// What an event type says about itself.
///
/// # Contract
/// `apply` is a pure fold: it depends on nothing but its arguments, and touches only keys that `touches`
/// names once all of them are loaded.
pub trait EventBody: Serialize + DeserializeOwned {
    /// Its name on disk.
    const TYPE: &'static str;
    /// Who finds it to have happened.
    const AUTHOR: Author;
    /// What takes a payload of each older revision to the next one, the oldest first.
    ///
    /// Another step, and with it another revision, is due when a field changes its meaning or becomes mandatory.
    const UPCASTS: &'static [Upcast] = &[];
    /// The revision of its payload: each step of the chain made one.
    const REVISION: i64 = revision_after(Self::UPCASTS);

    /// The stream that it belongs to.
    fn stream(&self) -> StreamName;

    /// What makes it unique besides its command, if anything does.
    fn natural_key(&self) -> Option<String> {
        None
    }

    /// The payload that tells a repeat from a contradiction, where that is not the whole payload.
    fn fingerprint_payload(&self) -> Option<Value> {
        None
    }

    /// The entities that the fold needs, as far as the loaded ones tell; asked again until all are loaded.
    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        Vec::new()
    }

    /// Changes the entities.
    ///
    /// # Errors
    /// The decision is refused; the entities are left in an undefined state and must be dropped.
    fn apply(&self, _ctx: &EventContext, _entities: &mut Entities) -> Result<(), Violation> {
        Ok(())
    }
}

const fn revision_after(upcasts: &[Upcast]) -> i64 {
    let (mut revision, mut rest) = (1, upcasts);
    while let [_, next @ ..] = rest {
        (revision, rest) = (revision + 1, next);
    }
    revision
}

fn decode<E: EventBody + Into<Event>>(payload: Value) -> Result<Event, DecodeError> {
    let bad = |e: serde_json::Error| DecodeError::BadPayload { event_type: E::TYPE, reason: e.to_string() };
    serde_json::from_value::<E>(payload).map(Into::into).map_err(bad)
}

/// An absent field is left out, never written as null.
fn encode<E: EventBody>(event: &E) -> Value {
    let mut payload = serde_json::to_value(event).expect("payloads have text keys and no floats");
    if let Value::Object(members) = &mut payload {
        members.retain(|_, value| !value.is_null());
    }
    payload
}

macro_rules! events {
    ($($module:ident::$name:ident,)+) => {
        $(mod $module;)+
        $(pub use $module::*;)+

        /// One event of any type.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)+
        }

        impl Event {
            /// Every type's name on disk with its current revision.
            pub const TYPES: &[(&'static str, i64)] = &[$(($name::TYPE, $name::REVISION)),+];

            /// Every type's name with the steps from its oldest revision to its current one.
            pub const UPCASTS: &[(&'static str, &'static [Upcast])] = &[$(($name::TYPE, $name::UPCASTS)),+];

            /// Reads an event from a payload of its current revision.
            ///
            /// # Errors
            /// The type is unknown, or the payload lacks something.
            pub fn decode(event_type: &str, payload: Value) -> Result<Self, DecodeError> {
                match event_type {
                    $($name::TYPE => decode::<$name>(payload),)+
                    _ => Err(DecodeError::UnknownType(event_type.to_owned())),
                }
            }

            /// The name of its type on disk.
            pub const fn event_type(&self) -> &'static str {
                match self { $(Self::$name(_) => $name::TYPE,)+ }
            }

            /// Who found it to have happened.
            pub const fn author(&self) -> Author {
                match self { $(Self::$name(_) => $name::AUTHOR,)+ }
            }

            /// The revision that its payload is written in.
            pub const fn revision(&self) -> i64 {
                match self { $(Self::$name(_) => $name::REVISION,)+ }
            }

            /// Its payload: decimals as text, instants as text, absent fields left out.
            pub fn payload(&self) -> Value {
                match self { $(Self::$name(event) => encode(event),)+ }
            }

            /// The stream that it belongs to.
            pub fn stream(&self) -> StreamName {
                match self { $(Self::$name(event) => event.stream(),)+ }
            }

            /// What makes it unique besides its command, if anything does.
            pub fn natural_key(&self) -> Option<String> {
                match self { $(Self::$name(event) => event.natural_key(),)+ }
            }

            /// The payload that tells a repeat from a contradiction, where that is not the whole payload.
            pub fn fingerprint_payload(&self) -> Option<Value> {
                match self { $(Self::$name(event) => event.fingerprint_payload(),)+ }
            }

            /// The entities that the fold needs, as far as the loaded ones tell; ask until all are loaded.
            pub fn touches(&self, entities: &Entities) -> Vec<EntityKey> {
                match self { $(Self::$name(event) => event.touches(entities),)+ }
            }

            /// Changes the entities.
            ///
            /// # Errors
            /// The decision is refused; drop the entities.
            ///
            /// # Panics
            /// When a key that [`Event::touches`] names was not loaded.
            pub fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
                match self { $(Self::$name(event) => event.apply(ctx, entities),)+ }?;
                entities.stamp(ctx);
                Ok(())
            }
        }

        $(impl From<$name> for Event {
            fn from(event: $name) -> Self {
                Self::$name(event)
            }
        })+
    };
}

events! {
    order_submitted::OrderSubmitted,
    order_acked::OrderAcked,
    fill_received::FillReceived,
    order_rejected::OrderRejected,
    order_canceled::OrderCanceled,
    position_opened::PositionOpened,
    position_closed::PositionClosed,
    position_armed::PositionArmed,
    position_disarmed::PositionDisarmed,
    trailing_stop_updated::TrailingStopUpdated,
    exit_triggered::ExitTriggered,
    position_error::PositionError,
    decision_proposed::DecisionProposed,
    intent_created::IntentCreated,
    intent_completed::IntentCompleted,
    risk_check_passed::RiskCheckPassed,
    risk_check_failed::RiskCheckFailed,
    risk_limit_exceeded::RiskLimitExceeded,
    balance_sampled::BalanceSampled,
    strategy_created::StrategyCreated,
    strategy_enabled::StrategyEnabled,
    strategy_disabled::StrategyDisabled,
    strategy_config_updated::StrategyConfigUpdated,
    detector_started::DetectorStarted,
    signal_detected::SignalDetected,
    technical_stop_analyzed::TechnicalStopAnalyzed,
    signal_rejected::SignalRejected,
    detector_stopped::DetectorStopped,
    connector_connected::ConnectorConnected,
    connector_disconnected::ConnectorDisconnected,
    connector_rate_limited::ConnectorRateLimited,
    market_data_gap_detected::MarketDataGapDetected,
    exchange_position_discrepancy_detected::ExchangePositionDiscrepancyDetected,
    margin_settings_verified::MarginSettingsVerified,
    margin_safety_violated::MarginSafetyViolated,
    margin_funds_moved::MarginFundsMoved,
    margin_liquidation_detected::MarginLiquidationDetected,
    daemon_started::DaemonStarted,
    daemon_stopped::DaemonStopped,
    reconciliation_completed::ReconciliationCompleted,
    operator_alert_raised::OperatorAlertRaised,
    tenant_registered::TenantRegistered,
    account_linked::AccountLinked,
    credentials_rotated::CredentialsRotated,
}
