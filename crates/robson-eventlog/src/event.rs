//! The envelope: an event as it is asked for, and as the log keeps it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use ulid::Ulid;
use uuid::Uuid;

use crate::names::{DedupeKey, EventType, StreamKey, TenantId};
use crate::payload::Payload;
use crate::time::Timestamp;

/// The id of a recorded event: a ULID whose time is its `ingested_at` and whose order is the log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Ulid);

impl EventId {
    /// The id of an event that has no place yet.
    pub(crate) const NONE: Self = Self(Ulid::nil());

    /// The id of the event at a place in the log: time, place, and a hash of who numbered it.
    ///
    /// Deterministic, so that a run is reproducible from its inputs; the epoch is part of it, so that
    /// an event which was never acknowledged does not share its id with the one that took its place.
    pub fn derive(ingested_at: Timestamp, log_seq: i64, tenant: TenantId, epoch: i64, seed: u64) -> Self {
        Self::numbered(ingested_at, log_seq, Self::hash_writer(tenant, epoch, seed))
    }

    /// The part of an id that tells who numbered the event.
    pub(crate) fn hash_writer(tenant: TenantId, epoch: i64, seed: u64) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(tenant.0.as_bytes());
        hash.update(epoch.to_be_bytes());
        let digest = hash.finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// The id of the event at a place that a writer numbered.
    pub(crate) fn numbered(ingested_at: Timestamp, log_seq: i64, writer: [u8; 4]) -> Self {
        let mut random = [0_u8; 16];
        random[6..12].copy_from_slice(&log_seq.to_be_bytes()[2..]);
        random[12..].copy_from_slice(&writer);
        let millis = u64::try_from(ingested_at.unix_millis()).unwrap_or(0);
        Self(Ulid::from_parts(millis, u128::from_be_bytes(random)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EventId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ulid::from_string(text).map(Self).map_err(|_| format!("`{text}` is not an event id (a ULID)"))
    }
}

/// Who caused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorType {
    /// The operator, through the command line or the HTTP interface.
    Cli,
    /// The daemon's own decision.
    Daemon,
    /// The system around it.
    System,
    /// A venue's answer.
    Exchange,
}

impl ActorType {
    /// The text as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cli => "CLI",
            Self::Daemon => "Daemon",
            Self::System => "System",
            Self::Exchange => "Exchange",
        }
    }
}

impl FromStr for ActorType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "CLI" => Ok(Self::Cli),
            "Daemon" => Ok(Self::Daemon),
            "System" => Ok(Self::System),
            "Exchange" => Ok(Self::Exchange),
            _ => Err(format!("`{text}` is not an actor type")),
        }
    }
}

/// Who caused an event, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The kind of actor.
    pub actor_type: ActorType,
    /// Its name, where it has one.
    pub id: Option<String>,
}

impl Actor {
    /// An actor without a name.
    pub const fn of(actor_type: ActorType) -> Self {
        Self { actor_type, id: None }
    }
}

/// Where an event stands in the story: one action, the event behind it, its command, its workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// One operator action or one tick.
    pub trace_id: Option<Uuid>,
    /// The event that caused it.
    pub causation_id: Option<EventId>,
    /// The command that asked for it.
    pub command_id: Option<Uuid>,
    /// The detector run or reconciliation that it belongs to.
    pub workflow_id: Option<Uuid>,
}

/// `idem_` and 64 hex digits: what makes two deliveries the same event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(Arc<str>);

impl Fingerprint {
    /// The fingerprint over the length-prefixed parts, as every backend stores it.
    pub fn of_parts(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut text = "idem_".to_owned();
        push_hex(&hash.finalize(), &mut text);
        Self(text.into())
    }

    /// Takes a stored fingerprint as it is.
    pub fn from_stored(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// SHA-256 over the previous event's hash and this event's canonical columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// What the first event of a log follows.
    pub const GENESIS: Self = Self([0; 32]);

    /// Reads 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        push_hex(&self.0, &mut text);
        f.write_str(&text)
    }
}

/// An event as a caller asks for it; the ledger gives it its places, its id and its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The stream that it is appended to.
    pub stream: StreamKey,
    /// What happened.
    pub event_type: EventType,
    /// The revision of the payload's shape.
    pub schema_version: i64,
    /// What is known of it.
    pub payload: Payload,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What must be unique: the command id and the event's index in it, or a natural key. None: never deduplicated.
    pub dedupe_key: Option<DedupeKey>,
    /// What two deliveries under one natural key must share, where that is less than the whole payload.
    pub fingerprint: Option<Payload>,
    /// Where it stands in the story.
    pub trace: Trace,
    /// The index of the event of the same request that caused it; takes the place of `trace.causation_id`,
    /// which cannot be known before the ledger has given that event its id.
    pub caused_by: Option<usize>,
    /// Who caused it.
    pub actor: Actor,
}

impl NewEvent {
    /// An event of the system itself, happening at `occurred_at`, without dedupe key or trace.
    pub fn new(stream: StreamKey, event_type: EventType, payload: Payload, occurred_at: Timestamp) -> Self {
        Self {
            stream,
            event_type,
            schema_version: 1,
            payload,
            occurred_at,
            dedupe_key: None,
            fingerprint: None,
            trace: Trace::default(),
            caused_by: None,
            actor: Actor::of(ActorType::System),
        }
    }

    /// What makes two deliveries the same: tenant, stream, type, command and normalized payload.
    ///
    /// An event with a `fingerprint` of its own leaves the command out, because two channels deliver
    /// the same fact under different commands.
    pub fn fingerprint(&self, tenant: TenantId) -> Fingerprint {
        let tenant = tenant.to_string();
        let (command, payload) = match &self.fingerprint {
            Some(own) => (String::new(), Cow::Borrowed(own.as_str())),
            None => {
                let command = self.trace.command_id.map(|id| id.to_string()).unwrap_or_default();
                (command, normalized(&self.payload))
            }
        };
        Fingerprint::of_parts(&[&tenant, self.stream.as_str(), self.event_type.as_str(), &command, &payload])
    }
}

/// What stands in canonical text where it names something that is left out of fingerprints; text in a value
/// looks like that only where its quotes are escaped.
const VOLATILE_MARKS: [&str; 5] =
    ["_at\":", "\"timestamp\":", "\"actor_id\":", "\"actor_type\":", "\"request_id\":"];

/// The payload without what differs between two deliveries of the same event: times and actors, at every depth.
fn normalized(payload: &Payload) -> Cow<'_, str> {
    // Most payloads hold neither, and canonical text is its own normal form.
    if !VOLATILE_MARKS.iter().any(|mark| payload.as_str().contains(mark)) {
        return Cow::Borrowed(payload.as_str());
    }
    let mut value = payload.value();
    drop_volatile(&mut value);
    let text = Payload::new(&value).map_or_else(|_| value.to_string(), |kept| kept.as_str().to_owned());
    Cow::Owned(text)
}

fn drop_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| {
                !(key.ends_with("_at")
                    || matches!(key.as_str(), "timestamp" | "actor_id" | "actor_type" | "request_id"))
            });
            fields.values_mut().for_each(drop_volatile);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_volatile),
        _ => {}
    }
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// Its place in the tenant's log, from 1, gapless.
    pub log_seq: i64,
    /// Its id.
    pub event_id: EventId,
    /// Whose log it is.
    pub tenant: TenantId,
    /// Its stream.
    pub stream: StreamKey,
    /// Its version in the stream, from 1, gapless.
    pub seq: i64,
    /// What happened.
    pub event_type: EventType,
    /// The revision of the payload's shape.
    pub schema_version: i64,
    /// What is known of it.
    pub payload: Payload,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was appended; never goes backwards within a tenant.
    pub ingested_at: Timestamp,
    /// What two deliveries of it share.
    pub idempotency_key: Fingerprint,
    /// Where it stands in the story.
    pub trace: Trace,
    /// Who caused it.
    pub actor: Actor,
    /// The hash of the event before it.
    pub prev_hash: ChainHash,
    /// Its own hash.
    pub hash: ChainHash,
}

impl RecordedEvent {
    /// The hash that the event must have, given its other columns.
    pub fn expected_hash(&self) -> ChainHash {
        let trace = &self.trace;
        // A JSON array without spaces; two of them, because serde knows tuples of up to sixteen.
        let text = |id: Option<Uuid>| id.map(|id| id.hyphenated().to_string());
        let mut columns = json_text(&(
            self.tenant.to_string(),
            self.log_seq,
            self.event_id.to_string(),
            self.stream.as_str(),
            self.seq,
            self.event_type.as_str(),
            self.schema_version,
            self.payload.as_str(),
            self.occurred_at.to_string(),
            self.ingested_at.to_string(),
            self.idempotency_key.as_str(),
        ));
        columns.pop();
        let others = json_text(&(
            text(trace.trace_id),
            trace.causation_id.map(|id| id.to_string()),
            text(trace.command_id),
            text(trace.workflow_id),
            self.actor.actor_type.as_str(),
            self.actor.id.as_deref(),
        ));
        let mut hash = Sha256::new();
        hash.update(self.prev_hash.0);
        hash.update(columns);
        hash.update(b",");
        hash.update(&others[1..]);
        ChainHash(hash.finalize().into())
    }
}

fn json_text(columns: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(columns).expect("texts and integers are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_matches_the_published_vector() {
        let mut event = NewEvent::new(
            "position:test".parse().unwrap(),
            "EXIT_TRIGGERED".parse().unwrap(),
            Payload::parse(
                r#"{"position_id":"pos123","price":"95000","occurred_at":"2026-01-01T00:00:00.000000Z"}"#,
            )
            .unwrap(),
            Timestamp::EPOCH,
        );
        event.trace.command_id = Some(Uuid::from_u128(2));
        assert_eq!(
            event.fingerprint(TenantId(Uuid::from_u128(1))).as_str(),
            "idem_05914825f1959df1dc1734cca3fe6e26534c5b0ac218e87b18a9e7231941e5a7"
        );
    }

    #[test]
    fn times_and_actors_are_dropped_at_every_depth() {
        let payload = |value| Payload::new(&value).unwrap();
        let value = serde_json::json!({"a": [{"x_at": 1, "b": 2}], "timestamp": 3, "request_id": 4});
        assert_eq!(normalized(&payload(value)), r#"{"a":[{"b":2}]}"#);
        let nested = serde_json::json!([{"b": {"_at": "1"}}]);
        assert_eq!(normalized(&payload(nested)), r#"[{"b":{}}]"#);
        let quoted = serde_json::json!({"a": "\"timestamp\":", "b": "x_at\":"});
        assert_eq!(normalized(&payload(quoted.clone())), payload(quoted).as_str());
    }

    #[test]
    fn hash_is_over_one_json_array() {
        let at: Timestamp = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        let tenant = TenantId(Uuid::from_u128(1));
        let event = RecordedEvent {
            log_seq: 7,
            event_id: EventId::derive(at, 7, tenant, 1, 0),
            tenant,
            stream: "order:\"1\"".parse().unwrap(),
            seq: 2,
            event_type: "ORDER_SUBMITTED".parse().unwrap(),
            schema_version: 1,
            payload: Payload::parse(r#"{"a":"\n"}"#).unwrap(),
            occurred_at: at,
            ingested_at: at,
            idempotency_key: Fingerprint::of_parts(&["a"]),
            trace: Trace { command_id: Some(Uuid::from_u128(2)), ..Trace::default() },
            actor: Actor { actor_type: ActorType::Cli, id: Some("é".to_owned()) },
            prev_hash: ChainHash::GENESIS,
            hash: ChainHash::GENESIS,
        };
        let columns = serde_json::json!([
            event.tenant.to_string(),
            event.log_seq,
            event.event_id.to_string(),
            event.stream.as_str(),
            event.seq,
            event.event_type.as_str(),
            event.schema_version,
            event.payload.as_str(),
            event.occurred_at.to_string(),
            event.ingested_at.to_string(),
            event.idempotency_key.as_str(),
            null,
            null,
            Uuid::from_u128(2).to_string(),
            null,
            "CLI",
            "é",
        ]);
        let mut hash = Sha256::new();
        hash.update([0; 32]);
        hash.update(columns.to_string().as_bytes());
        assert_eq!(event.expected_hash(), ChainHash(hash.finalize().into()));
    }

    #[test]
    fn event_ids_sort_as_the_log_does() {
        let tenant = TenantId(Uuid::from_u128(1));
        let id = |seq| EventId::derive(Timestamp::EPOCH, seq, tenant, 1, 7).to_string();
        assert!(id(1) < id(2) && id(255) < id(256));
    }
}
