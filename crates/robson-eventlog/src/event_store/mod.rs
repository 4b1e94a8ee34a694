//! The log as event-sourcing users know it: streams of serialized events, versions, snapshots.
//!
//! [`EventStore`] is dyn-safe, so an application holds an `Arc<dyn EventStore>` and never names a backend.
//! It adds nothing to what the ledger promises and leaves most of it out: whoever needs idempotency keys,
//! appends that assert streams they do not write, or tables in the same commit uses [`crate::Ledger`].

mod envelope;
mod ledger;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::ledger::AppendError;
use crate::names::EventType;
use crate::store::{Source, StoreError};
use crate::time::Timestamp;

pub use crate::names::StreamKey as StreamId;
pub use ledger::LedgerEventStore;

/// How many events a stream has; its events have the versions from 1 to this.
pub type Version = u64;

/// What a method of an [`EventStore`] answers.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, EventStoreError>> + Send + 'a>>;

/// Why an event store did not do what was asked: one variant for each thing that a caller does.
#[derive(Debug, thiserror::Error)]
pub enum EventStoreError {
    /// The stream is at another version: load it and decide again.
    #[error("the stream {stream_id} is at version {actual}, expected {expected}")]
    ConcurrencyConflict {
        /// The stream.
        stream_id: StreamId,
        /// What the caller expected.
        expected: Version,
        /// Where the stream stands.
        actual: Version,
    },
    /// There is no such stream.
    #[error("there is no stream {0}")]
    StreamNotFound(StreamId),
    /// An append without events: the caller has nothing to say.
    #[error("an append needs at least one event")]
    EmptyAppend,
    /// A table that is kept beside the log refuses the events: decide again.
    #[error("the events were refused: {0}")]
    Refused(String),
    /// Another process writes this log now: stop.
    #[error("this process no longer writes the log")]
    Fenced(#[source] Source),
    /// Nobody knows yet whether the append is durable: load the stream before sending it again.
    #[error("the outcome of the append is unknown")]
    OutcomeUnknown(#[source] Source),
    /// The database cannot be reached and nothing was written: try again later.
    #[error("the event store cannot be reached")]
    Io(#[source] io::Error),
    /// The database holds or answers what it must not: halt.
    #[error("the event store is broken")]
    Database(#[source] Source),
    /// Data cannot be kept, or what is kept cannot be read.
    #[error("the data of an event or its metadata cannot be read or kept")]
    Serialization(#[source] Source),
}

impl EventStoreError {
    fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::NotConnected, error))
    }

    fn serialization(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Serialization(Box::new(error))
    }
}

impl From<StoreError> for EventStoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed | StoreError::Unavailable(_) => Self::unreachable(error),
            StoreError::UnknownTenant(_) | StoreError::Broken(_) => Self::Database(Box::new(error)),
        }
    }
}

impl From<AppendError> for EventStoreError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Fenced => Self::Fenced(Box::new(error)),
            AppendError::Unavailable(_) => Self::OutcomeUnknown(Box::new(error)),
            AppendError::Closed => Self::unreachable(error),
            AppendError::Broken(_) => Self::Database(Box::new(error)),
        }
    }
}

/// An event as a caller serialized it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerializedEvent {
    /// What happened.
    pub event_type: EventType,
    /// The revision of the data's shape.
    pub schema_version: i64,
    /// What is known of it. Comes back byte for byte; JSON can also be queried in the log.
    pub data: Vec<u8>,
    /// What surrounds it: who, why, under which request.
    pub metadata: BTreeMap<String, String>,
    /// When it happened; none: when it is appended.
    pub occurred_at: Option<Timestamp>,
}

impl SerializedEvent {
    /// An event of revision 1 without metadata.
    pub fn new(event_type: EventType, data: impl Into<Vec<u8>>) -> Self {
        let (data, metadata) = (data.into(), BTreeMap::new());
        Self { event_type, schema_version: 1, data, metadata, occurred_at: None }
    }

    /// An event whose data is JSON.
    ///
    /// # Errors
    /// `Serialization` when the content has no JSON.
    pub fn json(event_type: EventType, content: &impl Serialize) -> Result<Self, EventStoreError> {
        let value = serde_json::to_value(content).map_err(EventStoreError::serialization)?;
        // As the log writes JSON, which then needs no second text.
        Ok(Self::new(event_type, envelope::text_of(&value)))
    }

    /// Adds to the metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The event as the ledger takes it.
    ///
    /// # Errors
    /// `Serialization` when the data is more than an event may have.
    pub fn to_new_event(&self, stream: StreamId, now: Timestamp) -> Result<NewEvent, EventStoreError> {
        let payload = envelope::close(&self.data, &self.metadata).map_err(EventStoreError::serialization)?;
        let occurred_at = self.occurred_at.unwrap_or(now);
        let event = NewEvent::new(stream, self.event_type.clone(), payload, occurred_at);
        Ok(NewEvent { schema_version: self.schema_version, ..event })
    }
}

/// An event as it was appended, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its stream.
    pub stream_id: StreamId,
    /// Its version in the stream.
    pub version: Version,
    /// Its place in the log.
    pub log_seq: i64,
    /// Its id.
    pub event_id: EventId,
    /// When it was appended.
    pub ingested_at: Timestamp,
    /// What was appended; `occurred_at` is always there.
    pub event: SerializedEvent,
}

impl StoredEvent {
    /// The content of an event whose data is JSON.
    ///
    /// # Errors
    /// `Serialization` when it is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, EventStoreError> {
        serde_json::from_slice(&self.event.data).map_err(EventStoreError::serialization)
    }
}

impl TryFrom<RecordedEvent> for StoredEvent {
    type Error = EventStoreError;

    /// Reads any event of the log: one that another writer appended has its payload as its data.
    fn try_from(event: RecordedEvent) -> Result<Self, EventStoreError> {
        let (data, metadata) = envelope::open(&event.payload).map_err(EventStoreError::serialization)?;
        Ok(Self {
            stream_id: event.stream,
            version: version_of(event.seq),
            log_seq: event.log_seq,
            event_id: event.event_id,
            ingested_at: event.ingested_at,
            event: SerializedEvent {
                event_type: event.event_type,
                schema_version: event.schema_version,
                data,
                metadata,
                occurred_at: Some(event.occurred_at),
            },
        })
    }
}

/// The version that a `seq` is; a stream's is never negative.
fn version_of(seq: i64) -> Version {
    Version::try_from(seq).unwrap_or(0)
}

/// One of several appends that become durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchAppend {
    /// The stream.
    pub stream_id: StreamId,
    /// As for [`EventStore::append_events`]; appends before this one in the batch count.
    pub expected: Option<Version>,
    /// The events, at least one.
    pub events: Vec<SerializedEvent>,
}

/// Streams of events over any backend.
///
/// # Contract
/// What a method answered `Ok` for is durable. A stream's versions are 1, 2, 3, without a gap. A version
/// that does not hold is found out twice: by a look before the write and by the write itself; both
/// answer the same `ConcurrencyConflict`. Dropping a future does not take an append back.
pub trait EventStore: fmt::Debug + Send + Sync {
    /// Appends events to a stream and answers its new version.
    ///
    /// Expected are: `None` any version, `Some(0)` no stream yet, `Some(n)` exactly n events.
    ///
    /// # Errors
    /// `EmptyAppend` without events; `ConcurrencyConflict`; see [`EventStoreError`].
    fn append_events(
        &self,
        stream: StreamId,
        expected: Option<Version>,
        events: Vec<SerializedEvent>,
    ) -> StoreFuture<'_, Version>;

    /// The events of a stream in order, from a version on or all; none of a stream that does not exist.
    ///
    /// # Errors
    /// See [`EventStoreError`].
    fn load_events(&self, stream: StreamId, from: Option<Version>) -> StoreFuture<'_, Vec<StoredEvent>>;

    /// Keeps what a stream came to at a version, unless one of that version or a newer one is kept.
    ///
    /// A snapshot of version 0 would hold nothing and is not kept.
    ///
    /// # Errors
    /// `StreamNotFound`; `ConcurrencyConflict` when the stream is not that far; see [`EventStoreError`].
    fn save_snapshot(&self, stream: StreamId, version: Version, content: Vec<u8>) -> StoreFuture<'_, ()>;

    /// The newest snapshot of a stream and its version, if it is of the schema that this store has.
    ///
    /// # Errors
    /// See [`EventStoreError`].
    fn load_snapshot(&self, stream: StreamId) -> StoreFuture<'_, Option<(Version, Vec<u8>)>>;

    /// Appends to several streams, all or nothing, and answers the version after each append.
    ///
    /// # Errors
    /// As for [`EventStore::append_events`].
    fn append_batch(&self, appends: Vec<BatchAppend>) -> StoreFuture<'_, Vec<Version>>;

    /// Writes what is under way and lets go of the log and the database.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
