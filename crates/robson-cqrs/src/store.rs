//! The library's event store on the log, for one type of aggregate.

use std::collections::HashMap;
use std::marker::PhantomData;

use cqrs_es::persist::SerializedEvent;
use cqrs_es::{Aggregate, AggregateContext, AggregateError, EventEnvelope, EventStore};
use robson_eventlog::{Snapshot, Store, stream};

use crate::event::{envelope, stream_of};
use crate::failure::of_store;
use crate::repository::LogRepository;

/// The event store of one type of aggregate.
pub struct LogEventStore<S, A> {
    repository: LogRepository<S>,
    aggregate: PhantomData<fn() -> A>,
}

impl<S: Store, A> std::fmt::Debug for LogEventStore<S, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogEventStore").field(&self.repository).finish()
    }
}

impl<S: Store, A: Aggregate> LogEventStore<S, A> {
    /// The event store of a type of aggregate on a repository.
    pub const fn new(repository: LogRepository<S>) -> Self {
        Self { repository, aggregate: PhantomData }
    }
}

/// An aggregate that was loaded, and where it stood then.
#[derive(Debug)]
pub struct LogContext<A> {
    aggregate_id: String,
    aggregate: A,
    sequence: usize,
    /// Made before a command could touch the aggregate.
    snapshot: Option<Snapshot>,
}

impl<A> LogContext<A> {
    /// How many events the aggregate had.
    pub const fn sequence(&self) -> usize {
        self.sequence
    }
}

impl<A: Aggregate> AggregateContext<A> for LogContext<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<S: Store, A: Aggregate> EventStore<A> for LogEventStore<S, A> {
    type AC = LogContext<A>;

    async fn load_events(
        &self,
        aggregate_id: &str,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let repository = &self.repository;
        let stream = stream_of::<A>(aggregate_id)?;
        let (store, tenant) = (repository.ledger.store().as_ref(), repository.ledger.tenant());
        let events = stream::read_from(store, tenant, &stream, 1).await.map_err(of_store)?;
        events.into_iter().map(|event| Ok(envelope(&repository.upcasters, event)?)).collect()
    }

    async fn load_aggregate(&self, aggregate_id: &str) -> Result<LogContext<A>, AggregateError<A::Error>> {
        let repository = &self.repository;
        let history = repository.load::<A>(aggregate_id).await?;
        let snapshot = history.snapshot_due(repository.snapshots, repository.clock.now());
        Ok(LogContext {
            aggregate_id: aggregate_id.to_owned(),
            aggregate: history.aggregate,
            sequence: history.sequence,
            snapshot,
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: LogContext<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let LogContext { aggregate_id, sequence, snapshot, .. } = context;
        let numbered = events.into_iter().zip(sequence + 1..);
        let envelopes: Vec<EventEnvelope<A>> = numbered
            .map(|(payload, sequence)| EventEnvelope {
                aggregate_id: aggregate_id.clone(),
                sequence,
                payload,
                metadata: metadata.clone(),
            })
            .collect();
        let serialized: Vec<SerializedEvent> =
            envelopes.iter().map(SerializedEvent::try_from).collect::<Result<_, _>>()?;
        self.repository.append::<A>(&serialized, snapshot).await?;
        Ok(envelopes)
    }
}
