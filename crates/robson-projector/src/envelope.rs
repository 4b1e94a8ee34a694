//! The envelope: an event of the domain as the log takes it, and back.

use std::sync::LazyLock;

use robson_domain::{DecodeError, Event, Timestamp};
use robson_eventlog::{
    EventType, InvalidPayload, NewEvent, Payload, RecordedEvent, StreamKey, UpcastError, Upcasters,
};

/// Why an event of the domain cannot be written to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// A text in it is one that a database cannot keep.
    #[error(transparent)]
    Payload(#[from] InvalidPayload),
    /// Its natural key is longer than a dedupe key may be, or holds control characters.
    #[error("`{0}` cannot be a dedupe key")]
    NaturalKey(String),
}

/// The event as the log takes it: stream, type, revision, payload, and its natural key if it has one.
///
/// Trace, actor and a dedupe key by command are the caller's to add.
///
/// # Errors
/// `InvalidEvent` when a text in it cannot be kept by every backend.
///
/// # Panics
/// Never: stream names and type names of the domain are names of the log.
pub fn new_event(event: &Event, occurred_at: Timestamp) -> Result<NewEvent, InvalidEvent> {
    let stream = StreamKey::new(event.stream().to_string()).expect("a stream of the domain is a stream key");
    let event_type = EventType::new(event.event_type()).expect("a type of the domain is an event type");
    let mut new = NewEvent::new(stream, event_type, Payload::new(&event.payload())?, log_time(occurred_at));
    new.schema_version = event.revision();
    if let Some(key) = event.natural_key() {
        new.dedupe_key = Some(key.parse().map_err(|_| InvalidEvent::NaturalKey(key))?);
    }
    new.fingerprint = event.fingerprint_payload().map(|part| Payload::new(&part)).transpose()?;
    Ok(new)
}

/// Why a recorded event is none that this program knows. Stop, or park it: never skip it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableEvent {
    /// Its type or revision is unknown, or an older revision cannot be brought up to date.
    #[error(transparent)]
    Upcast(#[from] UpcastError),
    /// The payload does not have the fields of its type.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| Upcasters::new(Event::UPCASTS.iter().copied()));

/// The event of the domain that the log recorded, whichever revision it was written in.
///
/// # Errors
/// See [`UnreadableEvent`].
pub fn event_of(recorded: &RecordedEvent) -> Result<Event, UnreadableEvent> {
    let payload = UPCASTERS.payload(recorded)?;
    Ok(Event::decode(recorded.event_type.as_str(), payload)?)
}

/// An instant of the domain as the log has it.
///
/// # Panics
/// Never: both hold the same range.
pub fn log_time(at: Timestamp) -> robson_eventlog::Timestamp {
    at.to_datetime().try_into().expect("domain and log hold the same range of instants")
}

/// An instant of the log as the domain has it.
///
/// # Panics
/// Never: both hold the same range.
pub fn time_of(at: robson_eventlog::Timestamp) -> Timestamp {
    at.to_datetime().try_into().expect("domain and log hold the same range of instants")
}
