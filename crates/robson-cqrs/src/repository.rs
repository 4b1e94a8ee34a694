//! The library's repository on the log.

use std::num::NonZeroU32;
use std::sync::Arc;

use cqrs_es::Aggregate;
use cqrs_es::persist::{
    EventUpcaster, PersistedEventRepository, PersistenceError, ReplayStream, SerializedEvent,
    SerializedSnapshot,
};
use robson_eventlog::{
    Append, Clock, CommandRecord, CommandStatus, EventQuery, Expected, Ledger, Payload, Snapshot, Store,
    stream,
};
use serde_json::{Value, json};

use crate::event::{Upcasters, command_of, from_log, prefix_of, stream_of, to_log};
use crate::failure::{invalid, of_append, of_outcome, of_store};
use crate::history::{History, SnapshotPolicy};
use crate::store::LogEventStore;

/// Events in one read of a replay, and how many wait for the one who reads them.
const PAGE: usize = 500;
/// Bytes in one read of a replay, unless one event has more.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;

/// The events of aggregates of any type, on the log of a tenant; clones share the ledger.
pub struct LogRepository<S> {
    pub(crate) ledger: Ledger<S>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) upcasters: Upcasters,
    pub(crate) snapshots: Option<SnapshotPolicy>,
}

impl<S> Clone for LogRepository<S> {
    fn clone(&self) -> Self {
        Self {
            ledger: self.ledger.clone(),
            clock: Arc::clone(&self.clock),
            upcasters: Arc::clone(&self.upcasters),
            snapshots: self.snapshots,
        }
    }
}

impl<S: Store> std::fmt::Debug for LogRepository<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (ledger, snapshots) = (&self.ledger, &self.snapshots);
        f.debug_struct("LogRepository")
            .field("ledger", ledger)
            .field("snapshots", snapshots)
            .finish_non_exhaustive()
    }
}

impl<S: Store> LogRepository<S> {
    /// A repository on a ledger, which tells by a clock when events happened; without snapshots.
    pub fn new(ledger: Ledger<S>, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, upcasters: Arc::from(Vec::new()), snapshots: None }
    }

    /// Keeps a snapshot of an aggregate once so many events lie behind the last one.
    ///
    /// The schema is that of the aggregate's own fields: raise it whenever an old snapshot would be read
    /// as something else than its events make today.
    #[must_use]
    pub fn with_snapshots(mut self, every: NonZeroU32, schema: i64) -> Self {
        let every = usize::try_from(every.get()).unwrap_or(usize::MAX);
        self.snapshots = Some(SnapshotPolicy { every, schema });
        self
    }

    /// Brings older events up to date when aggregates are loaded.
    #[must_use]
    pub fn with_upcasters(mut self, upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        self.upcasters = upcasters.into();
        self
    }

    /// The event store of one type of aggregate, for `CqrsFramework`.
    pub fn event_store<A: Aggregate>(&self) -> LogEventStore<S, A> {
        LogEventStore::new(self.clone())
    }

    /// The ledger beneath.
    pub const fn ledger(&self) -> &Ledger<S> {
        &self.ledger
    }

    pub(crate) async fn load<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<History<A>, PersistenceError> {
        let (store, tenant) = (self.ledger.store().as_ref(), self.ledger.tenant());
        History::load(store, tenant, aggregate_id, &self.upcasters, self.snapshots).await
    }

    /// Appends the events of one command, with a snapshot of what was before them.
    pub(crate) async fn append<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        snapshot: Option<Snapshot>,
    ) -> Result<(), PersistenceError> {
        let Some(first) = events.first() else { return Ok(()) };
        let follows = |(before, after): (&SerializedEvent, &SerializedEvent)| {
            after.aggregate_id == before.aggregate_id && after.sequence == before.sequence + 1
        };
        if first.sequence == 0 || !events.iter().zip(events.iter().skip(1)).all(follows) {
            return Err(invalid("they are not successive events of one aggregate"));
        }
        let now = self.clock.now();
        let stream = stream_of::<A>(&first.aggregate_id)?;
        let command = command_of(first)?;
        let mut request = Append::default();
        for event in events {
            let mut event = to_log(event, &stream, now)?;
            event.trace.command_id = command;
            request.events.push(event);
        }
        if let Some(id) = command {
            // What was asked is the library's secret; a retry is told by id and aggregate.
            let asked = Payload::new(&json!({ "aggregate": stream.as_str() })).map_err(invalid)?;
            request.command = Some(CommandRecord {
                id,
                command_type: A::TYPE.to_owned(),
                request_hash: CommandRecord::hash_request(A::TYPE, &asked),
                status: CommandStatus::Completed,
                result: None,
                error: None,
                trace_id: request.events.first().and_then(|event| event.trace.trace_id),
                issued_at: now,
                completed_at: now,
            });
        }
        let expected = i64::try_from(first.sequence - 1).map_err(invalid)?;
        request.expected.push((stream, Expected::Exact(expected)));
        request.snapshots.extend(snapshot);
        let outcome = self.ledger.append(request).await.map_err(of_append)?;
        of_outcome(outcome, command).map(drop)
    }

    /// What a query selects, read page by page while it is consumed, up to the end of the log.
    fn replay(&self, kind: &'static str, mut query: EventQuery) -> ReplayStream {
        let (mut feed, events) = ReplayStream::new(PAGE);
        let store = Arc::clone(self.ledger.store());
        (query.limit, query.bytes_max) = (PAGE, Some(PAGE_BYTES));
        tokio::spawn(async move {
            loop {
                let page = match store.read(&query).await {
                    Ok(page) => page.events,
                    Err(error) => {
                        // Whoever listens must not take this for the end; who is gone needs no answer.
                        let _ = feed.push(Err(of_store(error))).await;
                        return;
                    }
                };
                let Some(last) = page.last() else { return };
                query.after = last.log_seq;
                for event in page {
                    if feed.push(from_log(kind, event)).await.is_err() {
                        return;
                    }
                }
            }
        });
        events
    }
}

impl<S: Store> PersistedEventRepository for LogRepository<S> {
    async fn get_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        self.get_last_events::<A>(aggregate_id, 0).await
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let stream = stream_of::<A>(aggregate_id)?;
        let from = i64::try_from(last_sequence).unwrap_or(i64::MAX).saturating_add(1);
        let events =
            stream::read_from(self.ledger.store().as_ref(), self.ledger.tenant(), &stream, from).await;
        events.map_err(of_store)?.into_iter().map(|event| from_log(A::TYPE, event)).collect()
    }

    /// The aggregate as all its events make it: right for a store that reads the events behind it, and for one
    /// that reads none.
    async fn get_snapshot<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        let history = self.load::<A>(aggregate_id).await?;
        if history.sequence == 0 {
            return Ok(None);
        }
        Ok(Some(SerializedSnapshot {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: serde_json::to_value(&history.aggregate)?,
            current_sequence: history.sequence,
            current_snapshot: history.sequence,
        }))
    }

    /// Appends. What the library offers as a snapshot has the events twice where the command applied them, as
    /// its `EventSink` does; a snapshot of the events in the log is kept in its place, if one is due.
    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        snapshot_update: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        let snapshot = match (events.first(), snapshot_update, self.snapshots) {
            (Some(first), Some(_), Some(_)) => {
                self.load::<A>(&first.aggregate_id).await?.snapshot_due(self.snapshots, self.clock.now())
            }
            _ => None,
        };
        self.append::<A>(events, snapshot).await
    }

    async fn stream_events<A: Aggregate>(
        &self,
        aggregate_id: &str,
    ) -> Result<ReplayStream, PersistenceError> {
        let stream = stream_of::<A>(aggregate_id)?;
        Ok(self.replay(A::TYPE, EventQuery::stream(self.ledger.tenant(), stream)))
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        let stream_prefix = Some(prefix_of::<A>()?);
        Ok(self.replay(A::TYPE, EventQuery { stream_prefix, ..EventQuery::all(self.ledger.tenant()) }))
    }
}
