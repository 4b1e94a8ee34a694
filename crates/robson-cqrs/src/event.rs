//! The library's events as the log's, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, PersistenceError, SerializedEvent};
use cqrs_es::{Aggregate, EventEnvelope};
use robson_eventlog::event_store::{SerializedEvent as LogEvent, StoredEvent};
use robson_eventlog::{EventType, NewEvent, RecordedEvent, StreamKey, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::failure::{invalid, of_data};

/// The metadata under which a version such as `1.2.0` is kept, which is no revision of the log's.
const VERSION: &str = "$event_version";
/// The metadata that makes a command idempotent.
const COMMAND_ID: &str = "command_id";
/// The metadata that becomes the event's trace, where it is a UUID.
const TRACE_ID: &str = "trace_id";

pub(crate) type Upcasters = Arc<[Box<dyn EventUpcaster>]>;

/// How the streams of an aggregate type begin.
pub(crate) fn prefix_of<A: Aggregate>() -> Result<String, PersistenceError> {
    let kind = A::TYPE;
    if kind.is_empty() || kind.contains(':') || kind.starts_with('$') {
        // Otherwise two types could share a stream.
        return Err(invalid(format!(
            "`{kind}` is no type of aggregate: it is empty, or has a `:` or a leading `$`"
        )));
    }
    Ok(format!("{kind}:"))
}

pub(crate) fn stream_of<A: Aggregate>(aggregate_id: &str) -> Result<StreamKey, PersistenceError> {
    StreamKey::new(prefix_of::<A>()? + aggregate_id).map_err(invalid)
}

/// The id of the command that the metadata names.
pub(crate) fn command_of(event: &SerializedEvent) -> Result<Option<Uuid>, PersistenceError> {
    let Some(id) = event.metadata.get(COMMAND_ID).and_then(Value::as_str) else { return Ok(None) };
    let id =
        id.parse().map_err(|_| invalid(format!("the `{COMMAND_ID}` of the metadata, {id}, is no UUID")))?;
    Ok(Some(id))
}

pub(crate) fn to_log(
    event: &SerializedEvent,
    stream: &StreamKey,
    now: Timestamp,
) -> Result<NewEvent, PersistenceError> {
    let event_type = EventType::new(event.event_type.as_str()).map_err(invalid)?;
    let mut metadata: BTreeMap<String, String> = serde_json::from_value(event.metadata.clone())?;
    let trace_id = metadata.get(TRACE_ID).and_then(|id| id.parse().ok());
    let major = event.event_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let schema_version = i64::from(major.unwrap_or(1).max(1));
    if schema_version.to_string() != event.event_version {
        metadata.insert(VERSION.to_owned(), event.event_version.clone());
    }
    let data = LogEvent::json(event_type, &event.payload).map_err(of_data)?;
    let event = LogEvent { schema_version, metadata, ..data };
    let mut event = event.to_new_event(stream.clone(), now).map_err(of_data)?;
    event.trace.trace_id = trace_id;
    Ok(event)
}

/// An event of the stream `kind:id`.
pub(crate) fn from_log(
    kind: &'static str,
    event: RecordedEvent,
) -> Result<SerializedEvent, PersistenceError> {
    let stored = StoredEvent::try_from(event).map_err(of_data)?;
    let mut event = stored.event;
    let event_version = event.metadata.remove(VERSION).unwrap_or_else(|| event.schema_version.to_string());
    let aggregate_id = stored.stream_id.as_str().get(kind.len() + 1..).unwrap_or_default();
    Ok(SerializedEvent {
        aggregate_id: aggregate_id.to_owned(),
        sequence: usize::try_from(stored.version).unwrap_or(usize::MAX),
        aggregate_type: kind.to_owned(),
        event_type: event.event_type.into(),
        event_version,
        payload: serde_json::from_slice(&event.data)?,
        metadata: serde_json::to_value(event.metadata)?,
    })
}

/// An event as the aggregate knows it today.
pub(crate) fn envelope<A: Aggregate>(
    upcasters: &[Box<dyn EventUpcaster>],
    event: RecordedEvent,
) -> Result<EventEnvelope<A>, PersistenceError> {
    let event = upcasters.iter().fold(from_log(A::TYPE, event)?, |event, upcaster| {
        if upcaster.can_upcast(&event.event_type, &event.event_version) {
            upcaster.upcast(event)
        } else {
            event
        }
    });
    EventEnvelope::try_from(event)
}
