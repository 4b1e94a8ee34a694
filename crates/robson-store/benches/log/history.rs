//! Logs of made-up trading that stay, and an account of one of them with its snapshot.

use std::sync::Arc;

use robson_eventlog::replay::fold_all;
use robson_eventlog::snapshot::{Scope, Scopes as _, restore, take};
use robson_eventlog::{Append, Clock as _, Ledger, LedgerOptions, Outcome, Store as _};
use robson_projector::TraderScopes;
use robson_store::AnyStore;
use robson_testkit::History;
use robson_testkit::measure::{Round, Task, timed};

use crate::database::{Database, TENANT};
use crate::ledger::projections;

const SEED: u64 = 20_260_101;
/// Between one append and the next, so that a million events are some months.
const PACE_US: u32 = 10_000_000;
/// How many events one append of the filling has.
const APPEND_EVENTS: usize = 2_000;
/// How many events lie behind an account's snapshot: no more than the daemon leaves there.
const TAIL_EVENTS: usize = 100;

fn history() -> History {
    History::new(SEED, TENANT).paced(PACE_US)
}

fn account() -> Scope {
    TraderScopes.scope("account", &history().account().to_string()).unwrap()
}

/// Appends the history until enough of it is there, as the ledger does.
async fn append(
    ledger: &Ledger<AnyStore>,
    history: &mut History,
    mut is_enough: impl FnMut(&Append) -> bool,
) {
    loop {
        let append = history.batch(APPEND_EVENTS);
        let is_last = is_enough(&append);
        let outcome = ledger.append(append).await.unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
        if is_last {
            return;
        }
    }
}

async fn open(store: &Arc<AnyStore>, history: &History) -> Ledger<AnyStore> {
    let clock = Arc::new(history.clock());
    let options = LedgerOptions {
        projections: projections(),
        ..LedgerOptions::new(TENANT, "history".parse().unwrap(), clock)
    };
    Ledger::open(Arc::clone(store), options).await.unwrap()
}

/// Makes a log of `fill=` events that stays.
pub(crate) async fn fill(database: Database, task: &Task) -> Round {
    let store = database.open(0, 1).await;
    let mut history = history();
    let ledger = open(&store, &history).await;
    let wanted = usize::try_from(task.fill).unwrap();
    let mut count = 0;
    let filled = append(&ledger, &mut history, |append| {
        count += append.events.len();
        count >= wanted
    });
    let ((), took) = timed(filled).await;
    ledger.close().await;
    store.close().await;
    Round::new(task.fill, took).with("url", database.keep())
}

/// Makes a log that stays, of an account with `fill=` orders, of which there is a snapshot near the end.
pub(crate) async fn fill_account(database: Database, task: &Task) -> Round {
    let store = database.open(0, 1).await;
    let mut history = history();
    let ledger = open(&store, &history).await;
    let mut orders = 0;
    let filled = append(&ledger, &mut history, |append| {
        let submitted = append.events.iter().filter(|event| event.event_type.as_str() == "ORDER_SUBMITTED");
        orders += u64::try_from(submitted.count()).unwrap();
        orders >= task.fill
    });
    let ((), took) = timed(filled).await;
    let now = history.clock().now();
    let (snapshot, taking) =
        timed(take(store.as_ref(), TENANT, &TraderScopes, &account(), "bench", now)).await;
    let snapshot = snapshot.unwrap().unwrap().snapshot;
    let bytes = snapshot.payload.len();
    ledger.append(Append { snapshots: vec![snapshot], ..Append::default() }).await.unwrap();
    ledger.append(history.batch(TAIL_EVENTS)).await.unwrap();
    ledger.close().await;
    let events = store.head(TENANT).await.unwrap().log_seq;
    store.close().await;
    Round::new(u64::try_from(events).unwrap(), took)
        .with("url", database.keep())
        .with("orders", orders)
        .with("snapshot_bytes", bytes)
        .with("seconds_to_take", taking.as_secs_f64())
}

/// What the account has come to, from its snapshot.
pub(crate) async fn from_snapshot(database: &Database) -> Round {
    let store = database.open(0, 1).await;
    let (projections, account) = (projections(), account());
    let restored = restore(store.as_ref(), TENANT, &projections, &TraderScopes, &account, i64::MAX);
    let (restored, took) = timed(restored).await;
    let restored = restored.unwrap();
    assert!(restored.snapshot.is_some(), "the snapshot was left aside: {:?}", restored.rejected);
    store.close().await;
    let rows: usize = restored.rows.iter().map(|of| of.rows.len()).sum();
    Round::new(u64::try_from(restored.log_seq).unwrap(), took).with("rows", rows)
}

/// The same from the beginning of the log.
pub(crate) async fn from_beginning(database: &Database) -> Round {
    let store = database.open(0, 1).await;
    let (rows, took) = timed(fold_all(store.as_ref(), TENANT, projections(), i64::MAX, |_| {})).await;
    let events = store.head(TENANT).await.unwrap().log_seq;
    store.close().await;
    Round::new(u64::try_from(events).unwrap(), took).with("rows", rows.unwrap().len())
}
