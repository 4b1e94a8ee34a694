//! The tables from the log: rebuilt beside the live ones, and replayed into a file beside the log.

use std::ops::ControlFlow;
use std::sync::Arc;

use robson_eventlog::replay::ReplayOptions;
use robson_eventlog::{Ledger, LedgerOptions, Replay, Store as _, SystemClock};
use robson_projector::FOLD_VERSION;
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};
use robson_testkit::measure::{Round, Task, timed};

use crate::database::{Database, TENANT};
use crate::ledger::projections;

fn options() -> ReplayOptions {
    ReplayOptions::new(TENANT, projections(), FOLD_VERSION)
}

/// All tables rebuilt and switched over, while nothing else is written.
pub(crate) async fn rebuild(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    let writer = LedgerOptions {
        projections: projections(),
        ..LedgerOptions::new(TENANT, "bench".parse().unwrap(), Arc::new(SystemClock))
    };
    let ledger = Ledger::open(Arc::clone(&store), writer).await.unwrap();
    let (rebuilt, took) = timed(ledger.rebuild(options(), |_| ControlFlow::Continue(()))).await;
    let rebuilt = rebuilt.unwrap();
    assert_eq!(rebuilt.began_at, 0, "a rebuild was left half done");
    ledger.close().await;
    store.close().await;
    Round::new(u64::try_from(rebuilt.log_seq).unwrap(), took)
}

/// The whole log folded into a file of its own, as `robson replay --verify` does.
pub(crate) async fn replay(database: &Database, task: &Task) -> Round {
    let store = database.open(task.fill, task.months).await;
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("scratch.db"));
    let target = Arc::new(AnyStore::open(&url, &OpenOptions::default()).await.unwrap());
    target.register(TENANT).await.unwrap();
    let replayed = async {
        let head = store.head(TENANT).await.unwrap().log_seq;
        let mut replay = Replay::begin(Arc::clone(&store), Arc::clone(&target), options()).await.unwrap();
        replay.fold_up_to(head, |_| ControlFlow::Continue(())).await.unwrap();
        replay.log_seq()
    };
    let (log_seq, took) = timed(replayed).await;
    target.close().await;
    store.close().await;
    Round::new(u64::try_from(log_seq).unwrap(), took)
}
