//! The event store of a database that a URL names, in one call.

use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::event_store::{EventStore, LedgerEventStore};
use robson_eventlog::{
    AcquireError, Clock, Ledger, LedgerOptions, Store as _, SystemClock, TenantId, WriterId,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::any::AnyStore;
use crate::open::{DatabaseUrl, OpenError, OpenOptions};

/// How often a lease that somebody holds is asked for again.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Why an event store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenEventStoreError {
    /// The database did not open.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Another process writes the log, or the log is damaged.
    #[error(transparent)]
    Ledger(#[from] robson_eventlog::OpenError),
}

/// How an event store is opened.
#[derive(Debug, Clone)]
pub struct EventStoreOptions {
    /// How the database is opened.
    pub database: OpenOptions,
    /// Whose log it is, who writes it, and what is folded beside it.
    pub ledger: LedgerOptions,
    /// How long another writer's lease is waited for: a process that was killed leaves one behind.
    pub lease_wait: Duration,
    /// The schema of the snapshots; those of another one are passed over.
    pub snapshot_schema: i64,
}

impl EventStoreOptions {
    /// For the one tenant of a database, by the wall clock, waiting for a lease as long as one lasts.
    ///
    /// Two processes that run at a time need two writers' names.
    pub fn new(writer: WriterId) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ledger = LedgerOptions::new(TenantId(Uuid::from_u128(1)), writer, clock);
        let lease_wait = ledger.lease_ttl.saturating_mul(2);
        Self { database: OpenOptions::default(), ledger, lease_wait, snapshot_schema: 1 }
    }
}

/// Opens the database that a URL names and becomes the writer of a tenant's log, which is made where needed.
///
/// ```no_run
/// use robson_eventlog::event_store::SerializedEvent;
/// use robson_store::{EventStoreOptions, open_event_store};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let options = EventStoreOptions::new("shop".parse()?);
/// let store = open_event_store(&"sqlite://shop.db".parse()?, options).await?;
/// let placed = SerializedEvent::new("ORDER_PLACED".parse()?, r#"{"sku":"tea"}"#);
/// let version = store.append_events("order:1".parse()?, Some(0), vec![placed]).await?;
/// let events = store.load_events("order:1".parse()?, Some(version)).await?;
/// assert_eq!(events[0].event.data, br#"{"sku":"tea"}"#);
/// store.close().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// See [`OpenEventStoreError`].
pub async fn open_event_store(
    url: &DatabaseUrl,
    options: EventStoreOptions,
) -> Result<Arc<dyn EventStore>, OpenEventStoreError> {
    let store = Arc::new(AnyStore::open(url, &options.database).await?);
    store.register(options.ledger.tenant).await.map_err(robson_eventlog::OpenError::from)?;
    let clock = Arc::clone(&options.ledger.clock);
    let deadline = Instant::now() + options.lease_wait;
    let ledger = loop {
        match Ledger::open(Arc::clone(&store), options.ledger.clone()).await {
            Err(robson_eventlog::OpenError::Acquire(AcquireError::Held { writer, .. }))
                if Instant::now() < deadline =>
            {
                tracing::info!(writer, "waiting for the log, which is being written");
                tokio::time::sleep(ASK_EVERY).await;
            }
            opened => break opened?,
        }
    };
    Ok(Arc::new(LedgerEventStore::new(ledger, clock).with_snapshot_schema(options.snapshot_schema)))
}
