//! The snapshotter: it takes what is due, marks what was verified, and changes nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::digest::of_log;
use robson_eventlog::snapshot::{SNAPSHOTS, Snapshot};
use robson_eventlog::{Ledger, LedgerOptions, Outcome, RowQuery, Store as _, TenantId, verify};
use robson_projector::{TraderScopes, TraderTables};
use robson_store::MemoryStore;
use robson_testkit::history::History;
use robsond::snapshotter::{SnapshotSettings, Snapshotter};
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

async fn open(history: &History) -> (Arc<MemoryStore>, Ledger<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    store.register(TENANT).await.unwrap();
    let options = LedgerOptions {
        projections: vec![Arc::new(TraderTables)],
        ..LedgerOptions::new(TENANT, "test".parse().unwrap(), Arc::new(history.clock()))
    };
    let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
    (store, ledger)
}

async fn append(ledger: &Ledger<MemoryStore>, history: &mut History, events: usize) {
    let outcome = ledger.append(history.batch(events)).await.unwrap();
    assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
}

async fn snapshots(store: &MemoryStore) -> Vec<Snapshot> {
    let rows = store.rows(TENANT, &SNAPSHOTS, &RowQuery::all()).await.unwrap();
    rows.into_iter().map(|row| Snapshot::from_row(row).unwrap()).collect()
}

/// Lets time pass until something holds.
async fn until(holds: impl AsyncFn() -> bool) {
    for _ in 0..100_000 {
        if holds().await {
            return;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    panic!("it never came to hold");
}

#[tokio::test(start_paused = true)]
async fn snapshots_are_taken_when_they_are_due_and_leave_the_log_alone() {
    let mut history = History::new(7, TENANT);
    let (store, ledger) = open(&history).await;
    let settings = SnapshotSettings {
        events: Some(100),
        period: Some(Duration::from_secs(3_600)),
        workflow_ends: ["POSITION_CLOSED".parse().unwrap()].into(),
    };
    let snapshotter = Snapshotter::start(ledger.clone(), settings);
    for _ in 0..5 {
        append(&ledger, &mut history, 150).await;
        let before = snapshots(&store).await.len();
        until(async || snapshots(&store).await.len() > before).await;
    }
    until(async || verify::marked(store.as_ref(), TENANT).await.unwrap() > 0).await;
    snapshotter.stop().await;
    let taken = snapshots(&store).await;
    let kinds = |kind: &str| taken.iter().filter(|one| one.scope == kind).count();
    assert!(kinds("account") > 0 && kinds("position") > 0, "{} snapshots", taken.len());
    let all = verify::Verification {
        tenant: TENANT,
        projections: vec![Arc::new(TraderTables)],
        scopes: Some(Arc::new(TraderScopes)),
    };
    let scratch = Arc::new(MemoryStore::new());
    scratch.register(TENANT).await.unwrap();
    let report = verify::verify(&store, &scratch, &all, |_| {}).await.unwrap();
    assert_eq!(report.damages, []);
    assert_eq!(report.snapshots, taken.len() as u64);

    let mut same = History::new(7, TENANT);
    let (undisturbed, ledger) = open(&same).await;
    for _ in 0..5 {
        append(&ledger, &mut same, 150).await;
    }
    let digests =
        (of_log(store.as_ref(), TENANT).await.unwrap(), of_log(undisturbed.as_ref(), TENANT).await.unwrap());
    assert_eq!(digests.0, digests.1, "a log with snapshots beside it is the same log");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_grew_while_nobody_looked_is_due_at_once() {
    let mut history = History::new(7, TENANT);
    let (store, ledger) = open(&history).await;
    append(&ledger, &mut history, 300).await;
    let settings = SnapshotSettings { events: Some(100), ..SnapshotSettings::default() };
    let snapshotter = Snapshotter::start(ledger.clone(), settings.clone());
    until(async || snapshots(&store).await.len() == 1).await;
    snapshotter.stop().await;
    assert_eq!(snapshots(&store).await[0].as_of_log_seq, *ledger.head().borrow());
    let none = Snapshotter::start(ledger.clone(), SnapshotSettings::default());
    append(&ledger, &mut history, 300).await;
    none.stop().await;
    assert_eq!(snapshots(&store).await.len(), 1, "where nothing is asked for, nothing is taken");
}
