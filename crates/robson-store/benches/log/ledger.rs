//! The ledger as the daemon uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use robson_eventlog::digest::of_log;
use robson_eventlog::{
    Append, Clock, EventQuery, Ledger, LedgerOptions, Outcome, Projection, Store as _, SystemClock, Timestamp,
};
use robson_projector::TraderTables;
use robson_testkit::measure::{Round, Task, measure, timed};

use crate::database::{Database, TENANT};
use crate::work::{READ_STREAM, READ_STREAM_EVENTS, order};

/// Where appended orders are numbered from: above every order of a filled log.
const FIRST_ORDER: u64 = 1 << 32;
/// Rounds of a read, of which the median counts.
const READS: u64 = 20;

/// The wall clock; the writer asks it once for each batch.
#[derive(Debug, Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.now()
    }
}

pub(crate) fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(TraderTables)]
}

/// Callers that append one request after the other, each of so many events.
pub(crate) async fn append(database: &Database, task: &Task, per_append: u64) -> Round {
    let store = database.open(task.fill, task.months).await;
    let clock = Arc::new(CountingClock::default());
    let options = LedgerOptions {
        projections: projections(),
        ..LedgerOptions::new(TENANT, "bench".parse().unwrap(), Arc::clone(&clock) as Arc<dyn Clock>)
    };
    let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
    // A log that is kept has the orders of earlier rounds, no more of them than it has events.
    let first = FIRST_ORDER + u64::try_from(store.head(TENANT).await.unwrap().log_seq).unwrap();
    let requests_from = |first: u64| {
        let ledger = ledger.clone();
        move |number: u64| {
            let (ledger, first) = (ledger.clone(), first + number * per_append);
            async move {
                let at = SystemClock.now();
                let orders = (first..first + per_append).map(|n| order(n, at)).collect();
                match ledger.append(Append::events(orders)).await {
                    Ok(Outcome::Appended(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            }
        }
    };
    let requests = task.events.div_ceil(per_append);
    // What is prepared once, and pages that were never used, are no part of a steady state.
    let warm = (requests / 10).clamp(u64::try_from(task.callers).unwrap() * 4, 5_000);
    measure(task.callers, warm, requests_from(first)).await.unwrap();
    let batches = clock.0.load(Ordering::Relaxed);
    let took = measure(task.callers, requests, requests_from(first + warm * per_append)).await.unwrap();
    let batches = (clock.0.load(Ordering::Relaxed) - batches).max(1);
    ledger.close().await;
    store.close().await;
    let events = requests * per_append;
    Round::new(events, took).with("commits", batches).with("mean_batch", (events + batches / 2) / batches)
}

/// The events of one stream in a filled log.
pub(crate) async fn read_stream(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    let limit = usize::try_from(READ_STREAM_EVENTS).unwrap();
    let query = EventQuery { limit, ..EventQuery::stream(TENANT, READ_STREAM.parse().unwrap()) };
    let read = {
        let store = Arc::clone(&store);
        move |_| {
            let (store, query) = (Arc::clone(&store), query.clone());
            async move {
                let found = store.read(&query).await.map_err(|error| error.to_string())?.events.len();
                if found == limit { Ok(()) } else { Err(format!("the stream has {found} events")) }
            }
        }
    };
    let took = measure(1, READS, read).await.unwrap();
    store.close().await;
    Round::new(READ_STREAM_EVENTS * READS, took)
}

/// The digest of the whole log.
pub(crate) async fn digest(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    let (digest, took) = timed(of_log(store.as_ref(), TENANT)).await;
    store.close().await;
    Round::new(digest.unwrap().rows, took)
}
