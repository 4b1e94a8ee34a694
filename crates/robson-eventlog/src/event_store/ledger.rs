//! The event store over a ledger: one implementation for every backend.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    BatchAppend, EventStore, EventStoreError, SerializedEvent, StoreFuture, StoredEvent, StreamId, Version,
    version_of,
};
use crate::ledger::{Append, Appended, Expected, Ledger, Outcome};
use crate::snapshot::Snapshot;
use crate::store::{Source, Store};
use crate::stream;
use crate::time::Clock;

/// The scope of the snapshots that belong to a stream.
const SNAPSHOT_SCOPE: &str = "stream";

/// An event store over the ledger of a tenant; clones share the ledger.
#[derive(Debug)]
pub struct LedgerEventStore<S> {
    ledger: Ledger<S>,
    clock: Arc<dyn Clock>,
    snapshot_schema: i64,
}

impl<S> Clone for LedgerEventStore<S> {
    fn clone(&self) -> Self {
        let (ledger, clock) = (self.ledger.clone(), Arc::clone(&self.clock));
        Self { ledger, clock, snapshot_schema: self.snapshot_schema }
    }
}

impl<S: Store> LedgerEventStore<S> {
    /// An event store that tells by a clock when events happened; its snapshots have schema 1.
    pub const fn new(ledger: Ledger<S>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, snapshot_schema: 1 }
    }

    /// Reads and writes snapshots of this schema; those of another one are passed over.
    #[must_use]
    pub const fn with_snapshot_schema(mut self, schema: i64) -> Self {
        self.snapshot_schema = schema;
        self
    }

    /// The ledger beneath.
    pub const fn ledger(&self) -> &Ledger<S> {
        &self.ledger
    }

    async fn append(&self, appends: Vec<BatchAppend>) -> Result<Vec<Version>, EventStoreError> {
        let planned = Plan::of(&appends)?;
        self.check_versions(&planned).await?;
        let mut request = Append::default();
        let now = self.clock.now();
        for append in &appends {
            for event in &append.events {
                request.events.push(event.to_new_event(append.stream_id.clone(), now)?);
            }
        }
        for (index, append) in appends.iter().enumerate() {
            if let Some(before) = planned.before(index) {
                request.expected.push((append.stream_id.clone(), Expected::Exact(before)));
            }
        }
        match self.ledger.append(request).await? {
            Outcome::Appended(appended) => Ok(planned.versions(&appended)),
            Outcome::Conflict { stream, actual, expected } => {
                let conflict = planned.conflict(|conflicting| (*conflicting == stream).then_some(actual));
                Err(conflict.unwrap_or_else(|| unexpected(&Outcome::Conflict { stream, actual, expected })))
            }
            Outcome::Refused { reason } => Err(EventStoreError::Refused(reason)),
            other => Err(unexpected(&other)),
        }
    }

    /// The look before the write, so that a decision that is late already does not keep the writer busy.
    async fn check_versions(&self, planned: &Plan<'_>) -> Result<(), EventStoreError> {
        let streams = planned.expecting();
        if streams.is_empty() {
            return Ok(());
        }
        let known = self.ledger.store().streams(self.ledger.tenant(), &streams).await?;
        let known: BTreeMap<StreamId, i64> =
            known.into_iter().map(|version| (version.stream, version.last_seq)).collect();
        let conflict = planned.conflict(|stream| Some(known.get(stream).copied().unwrap_or(0)));
        conflict.map_or(Ok(()), Err)
    }

    async fn version(&self, stream: &StreamId) -> Result<Option<Version>, EventStoreError> {
        let known = self.ledger.store().streams(self.ledger.tenant(), std::slice::from_ref(stream)).await?;
        Ok(known.first().map(|known| version_of(known.last_seq)))
    }

    /// The newest snapshot of a stream, where it is of the schema that is asked for.
    async fn kept(&self, stream: &StreamId) -> Result<Option<Snapshot>, EventStoreError> {
        let (store, tenant) = (self.ledger.store(), self.ledger.tenant());
        let kept = store.snapshot(tenant, SNAPSHOT_SCOPE, stream.as_str(), i64::MAX).await?;
        Ok(kept.filter(|kept| kept.schema_version == self.snapshot_schema))
    }

    async fn save(
        &self,
        stream: StreamId,
        version: Version,
        content: Vec<u8>,
    ) -> Result<(), EventStoreError> {
        let actual = self.version(&stream).await?;
        let actual = actual.ok_or_else(|| EventStoreError::StreamNotFound(stream.clone()))?;
        if version > actual {
            let (stream_id, expected) = (stream, version);
            return Err(EventStoreError::ConcurrencyConflict { stream_id, expected, actual });
        }
        let seq = seq_of(version);
        let is_newer = self.kept(&stream).await?.is_none_or(|kept| kept.as_of_seq < seq);
        if version == 0 || !is_newer {
            return Ok(());
        }
        let (store, tenant) = (self.ledger.store(), self.ledger.tenant());
        // From the end backwards: most snapshots are of the newest version.
        let events = stream::read_from(store.as_ref(), tenant, &stream, seq).await?;
        let last = events.first().filter(|event| event.seq == seq);
        let last = last.ok_or_else(|| broken(format!("{stream} has no version {version}")))?;
        let snapshot = Snapshot {
            scope: SNAPSHOT_SCOPE.to_owned(),
            scope_id: stream.as_str().to_owned(),
            as_of_log_seq: last.log_seq,
            created_at: self.clock.now(),
            snapshot_type: "requested".to_owned(),
            as_of_event_id: Some(last.event_id),
            as_of_seq: seq,
            as_of_time: last.ingested_at,
            schema_version: self.snapshot_schema,
            payload: content,
            compression: None,
        };
        let request = Append { snapshots: vec![snapshot], ..Append::default() };
        match self.ledger.append(request).await? {
            Outcome::Appended(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

impl<S: Store> EventStore for LedgerEventStore<S> {
    fn append_events(
        &self,
        stream: StreamId,
        expected: Option<Version>,
        events: Vec<SerializedEvent>,
    ) -> StoreFuture<'_, Version> {
        Box::pin(async move {
            let append = BatchAppend { stream_id: stream, expected, events };
            let versions = self.append(vec![append]).await?;
            versions.first().copied().ok_or_else(|| broken("an append without a version".to_owned()))
        })
    }

    fn load_events(&self, stream: StreamId, from: Option<Version>) -> StoreFuture<'_, Vec<StoredEvent>> {
        Box::pin(async move {
            let (store, tenant) = (self.ledger.store(), self.ledger.tenant());
            let from = seq_of(from.unwrap_or(1));
            let events = stream::read_from(store.as_ref(), tenant, &stream, from).await?;
            events.into_iter().map(StoredEvent::try_from).collect()
        })
    }

    fn save_snapshot(&self, stream: StreamId, version: Version, content: Vec<u8>) -> StoreFuture<'_, ()> {
        Box::pin(self.save(stream, version, content))
    }

    fn load_snapshot(&self, stream: StreamId) -> StoreFuture<'_, Option<(Version, Vec<u8>)>> {
        Box::pin(async move {
            let kept = self.kept(&stream).await?;
            Ok(kept.map(|kept| (version_of(kept.as_of_seq), kept.payload)))
        })
    }

    fn append_batch(&self, appends: Vec<BatchAppend>) -> StoreFuture<'_, Vec<Version>> {
        Box::pin(self.append(appends))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.ledger.close().await;
            self.ledger.store().close().await;
        })
    }
}

/// What a batch does to each stream, append by append.
struct Plan<'a> {
    appends: &'a [BatchAppend],
    /// For each append, how many events of the batch come before it in its stream.
    ahead: Vec<i64>,
    /// For each stream, how many events the batch has.
    total: BTreeMap<&'a StreamId, i64>,
}

impl<'a> Plan<'a> {
    fn of(appends: &'a [BatchAppend]) -> Result<Self, EventStoreError> {
        let mut total = BTreeMap::new();
        let mut ahead = Vec::with_capacity(appends.len());
        for append in appends {
            let count = i64::try_from(append.events.len()).unwrap_or(i64::MAX);
            if count == 0 {
                return Err(EventStoreError::EmptyAppend);
            }
            let so_far: &mut i64 = total.entry(&append.stream_id).or_default();
            ahead.push(*so_far);
            *so_far += count;
        }
        if appends.is_empty() {
            Err(EventStoreError::EmptyAppend)
        } else {
            Ok(Self { appends, ahead, total })
        }
    }

    /// The version that an append's stream must have before the batch; below 0 there is none such.
    fn before(&self, index: usize) -> Option<i64> {
        self.appends[index].expected.map(|expected| seq_of(expected) - self.ahead[index])
    }

    fn expecting(&self) -> Vec<StreamId> {
        let expecting = self.appends.iter().filter(|append| append.expected.is_some());
        let mut streams: Vec<StreamId> = expecting.map(|append| append.stream_id.clone()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// The first append whose expectation does not hold, given the versions before the batch where they are
    /// known.
    fn conflict(&self, actual: impl Fn(&StreamId) -> Option<i64>) -> Option<EventStoreError> {
        self.appends.iter().enumerate().find_map(|(index, append)| {
            let actual = actual(&append.stream_id)?;
            let expected = append.expected.filter(|_| self.before(index) != Some(actual))?;
            let actual = version_of(actual.saturating_add(self.ahead[index]));
            Some(EventStoreError::ConcurrencyConflict {
                stream_id: append.stream_id.clone(),
                expected,
                actual,
            })
        })
    }

    fn versions(&self, appended: &Appended) -> Vec<Version> {
        let after: BTreeMap<&StreamId, i64> =
            appended.streams.iter().map(|version| (&version.stream, version.last_seq)).collect();
        let version = |(append, ahead): (&BatchAppend, &i64)| {
            let stream = &append.stream_id;
            let before = after.get(stream).copied().unwrap_or(0) - self.total[stream];
            version_of(before + ahead + i64::try_from(append.events.len()).unwrap_or(i64::MAX))
        };
        self.appends.iter().zip(&self.ahead).map(version).collect()
    }
}

/// The `seq` that a version is; no stream comes near the last one.
fn seq_of(version: Version) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn broken(what: String) -> EventStoreError {
    EventStoreError::Database(Source::from(what))
}

/// Events without keys are no duplicates, and requests without checkpoints move none.
fn unexpected(outcome: &Outcome) -> EventStoreError {
    broken(format!("the ledger answered {outcome:?}"))
}
