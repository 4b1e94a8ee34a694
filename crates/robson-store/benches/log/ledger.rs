//! The ledger as the daemon uses it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use robson_eventlog::digest::of_log;
use robson_eventlog::{
    Append, Clock, EventQuery, Ledger, LedgerOptions, Outcome, Projection, Replay, ReplayOptions, Store as _,
    SystemClock, Timestamp,
};
use robson_projector::TraderTables;
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};

use crate::Plan;
use crate::database::{Database, TENANT};
use crate::report::Round;
use crate::work::{READ_STREAM, READ_STREAM_EVENTS, order};

/// Where appended orders are numbered from: above every order of a filled log.
const FIRST_ORDER: u64 = 1 << 32;
/// Rounds of a read, of which the median counts.
const READS: u32 = 20;

/// The wall clock; the writer asks it once for each batch.
#[derive(Debug, Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.now()
    }
}

fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(TraderTables)]
}

/// Callers that append one request after the other, each of so many events.
pub(crate) async fn append(database: &Database, plan: &Plan, per_append: u64) -> Round {
    let store = database.open(plan.fill, plan.months).await;
    let clock = Arc::new(CountingClock::default());
    let options = LedgerOptions {
        projections: projections(),
        ..LedgerOptions::new(TENANT, "bench".parse().unwrap(), Arc::clone(&clock) as Arc<dyn Clock>)
    };
    let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
    let head = u64::try_from(*ledger.head().borrow()).unwrap();
    // A log that stays has the orders of earlier rounds, fewer than it has events.
    let next = Arc::new(AtomicU64::new(FIRST_ORDER + head));
    // What is prepared once, and pages that were never used, are no part of a steady state.
    let warm =
        (plan.events / 10).clamp(u64::try_from(plan.callers).unwrap() * 4 * per_append, 5_000 * per_append);
    calls(&ledger, &next, plan.callers, warm, per_append).await;
    let batches = clock.0.load(Ordering::Relaxed);
    let begun = Instant::now();
    let waits = calls(&ledger, &next, plan.callers, plan.events, per_append).await;
    let took = begun.elapsed();
    let batches = (clock.0.load(Ordering::Relaxed) - batches).max(1);
    ledger.close().await;
    store.close().await;
    let events = u64::try_from(waits.len()).unwrap() * per_append;
    Round::new(events, took, waits)
        .with("commits", batches)
        .with("mean_batch", (events + batches / 2) / batches)
        .with("fill", plan.fill)
}

async fn calls(
    ledger: &Ledger<robson_store::AnyStore>,
    next: &Arc<AtomicU64>,
    callers: usize,
    events: u64,
    per_append: u64,
) -> Vec<Duration> {
    let end = next.load(Ordering::Relaxed) + events;
    let caller = |_| {
        let (ledger, next) = (ledger.clone(), Arc::clone(next));
        tokio::spawn(async move {
            let mut waits = Vec::new();
            loop {
                let first = next.fetch_add(per_append, Ordering::Relaxed);
                if first >= end {
                    return waits;
                }
                let begun = Instant::now();
                let at = SystemClock.now();
                let orders = (first..first + per_append).map(|n| order(n, at)).collect();
                match ledger.append(Append::events(orders)).await.unwrap() {
                    Outcome::Appended(_) => waits.push(begun.elapsed()),
                    other => panic!("{other:?}"),
                }
            }
        })
    };
    let tasks: Vec<_> = (0..callers).map(caller).collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    // The callers that found nothing left have counted on.
    next.store(end, Ordering::Relaxed);
    waits
}

/// The events of one stream in a filled log.
pub(crate) async fn read_stream(database: &Database, plan: &Plan) -> Round {
    let store = database.open(plan.fill, plan.months).await;
    let limit = usize::try_from(READ_STREAM_EVENTS).unwrap();
    let query = EventQuery { limit, ..EventQuery::stream(TENANT, READ_STREAM.parse().unwrap()) };
    let mut waits = Vec::new();
    let begun = Instant::now();
    for _ in 0..READS {
        let at = Instant::now();
        let page = store.read(&query).await.unwrap();
        waits.push(at.elapsed());
        assert_eq!(page.events.len(), limit, "the stream has fewer events");
    }
    let took = begun.elapsed();
    store.close().await;
    Round::new(READ_STREAM_EVENTS * u64::from(READS), took, waits)
        .with("fill", plan.fill)
        .with("months", plan.months)
}

fn options() -> ReplayOptions {
    ReplayOptions::new(TENANT, projections(), 1)
}

/// Every table, folded from the whole log into a scratch file, as `robson replay` does.
pub(crate) async fn replay(database: &Database, plan: &Plan) -> Round {
    let store = database.open(plan.fill, plan.months).await;
    let events = count(&store).await;
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("scratch.db"));
    let scratch = Arc::new(AnyStore::open(&url, &OpenOptions::default()).await.unwrap());
    scratch.register(TENANT).await.unwrap();
    let begun = Instant::now();
    let mut replay = Replay::begin(Arc::clone(&store), Arc::clone(&scratch), options()).await.unwrap();
    replay.fold_up_to(i64::MAX, |_| ControlFlow::Continue(())).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(u64::try_from(replay.log_seq()).unwrap(), events, "not all of the log was folded");
    scratch.close().await;
    store.close().await;
    Round::new(events, took, Vec::new()).with("mebibytes", most_memory_mib())
}

/// Every table, filled beside the live ones and switched over, by the log's writer.
pub(crate) async fn rebuild(database: &Database, plan: &Plan) -> Round {
    let store = database.open(plan.fill, plan.months).await;
    let clock: Arc<dyn Clock> = Arc::new(CountingClock::default());
    let writer = LedgerOptions {
        projections: projections(),
        ..LedgerOptions::new(TENANT, "bench".parse().unwrap(), clock)
    };
    let ledger = Ledger::open(Arc::clone(&store), writer).await.unwrap();
    let (mut folded_at, begun) = (Instant::now(), Instant::now());
    let rebuilt = ledger.rebuild(options(), |_| {
        folded_at = Instant::now();
        ControlFlow::Continue(())
    });
    let rebuilt = rebuilt.await.unwrap();
    let took = begun.elapsed();
    ledger.close().await;
    store.close().await;
    Round::new(u64::try_from(rebuilt.log_seq).unwrap(), took, Vec::new())
        .with("fold_ms", u64::try_from((folded_at - begun).as_millis()).unwrap())
        .with("mebibytes", most_memory_mib())
}

/// The digest of the whole log.
pub(crate) async fn digest(database: &Database, plan: &Plan) -> Round {
    let store = database.open(plan.fill, plan.months).await;
    let begun = Instant::now();
    let digest = of_log(store.as_ref(), TENANT).await.unwrap();
    let took = begun.elapsed();
    store.close().await;
    Round::new(digest.rows, took, Vec::new())
}

async fn count(store: &AnyStore) -> u64 {
    u64::try_from(store.head(TENANT).await.unwrap().log_seq).unwrap()
}

/// The most memory that this process has had, where the system tells.
fn most_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}
