//! Load, decide, append: the loop of event sourcing, on any event store.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use robson_eventlog::Clock;
use robson_eventlog::event_store::{
    EventStore, EventStoreError, SerializedEvent, StoredEvent, StreamId, Version,
};
use uuid::Uuid;

use crate::order::{Command, Order, OrderEvent, Rejection};

/// An order, and how many events it has.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: Uuid,
    pub(crate) order: Order,
    pub(crate) version: Version,
}

/// Why an order is not found or does not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    NotFound(Uuid),
    Rejected(Rejection),
    Store(EventStoreError),
}

impl From<EventStoreError> for Failure {
    fn from(error: EventStoreError) -> Self {
        Self::Store(error)
    }
}

/// All orders.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<(RandomState, AtomicU64)>,
}

fn stream(id: Uuid) -> StreamId {
    StreamId::new(format!("order:{id}")).expect("an id is short and plain")
}

impl Orders {
    pub(crate) fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, ids: Arc::default() }
    }

    /// An id that begins with time, so that new orders stand side by side in every index.
    pub(crate) fn new_id(&self) -> Uuid {
        let (random, count) = &*self.ids;
        let count = count.fetch_add(1, Ordering::Relaxed);
        let mut rest = [0; 10];
        rest[..8].copy_from_slice(&random.hash_one(count).to_be_bytes());
        let millis = u64::try_from(self.clock.now().unix_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
    }

    /// What happened to an order.
    pub(crate) async fn events(&self, id: Uuid) -> Result<Vec<StoredEvent>, Failure> {
        let events = self.store.load_events(stream(id), None).await?;
        if events.is_empty() { Err(Failure::NotFound(id)) } else { Ok(events) }
    }

    /// An order as its events make it.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Found, Failure> {
        let mut found = Found { id, order: Order::default(), version: 0 };
        for stored in self.events(id).await? {
            found.version = stored.version;
            found.order.apply(stored.json::<OrderEvent>()?);
        }
        Ok(found)
    }

    /// Carries a command out on an order; whoever asks may say which version they have seen.
    ///
    /// Where somebody else was faster, the answer is the conflict: whoever asks looks again and decides again.
    pub(crate) async fn execute(
        &self,
        id: Uuid,
        seen: Option<Version>,
        command: Command,
    ) -> Result<Found, Failure> {
        let found = match &command {
            Command::Place { .. } => Found { id, order: Order::default(), version: 0 },
            Command::Ship { .. } | Command::Cancel { .. } => self.find(id).await?,
        };
        if let Some(expected) = seen.filter(|seen| *seen != found.version) {
            let (stream_id, actual) = (stream(id), found.version);
            return Err(EventStoreError::ConcurrencyConflict { stream_id, expected, actual }.into());
        }
        let event = found.order.decide(command).map_err(Failure::Rejected)?;
        let serialized = SerializedEvent::json(event.event_type(), &event)?;
        let version = self.store.append_events(stream(id), Some(found.version), vec![serialized]).await?;
        let mut order = found.order;
        order.apply(event);
        Ok(Found { id, order, version })
    }
}
