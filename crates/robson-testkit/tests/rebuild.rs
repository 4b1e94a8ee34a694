//! The trader's tables, rebuilt over made-up histories: the same rows, whatever happened and however little of
//! them is held in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use robson_eventlog::difference::{Comparison, Differs, Selection};
use robson_eventlog::digest::{Digest, Scope, of_log, of_table};
use robson_eventlog::{
    Batch, Checks, Ledger, LedgerOptions, Outcome, Projection, Replay, ReplayOptions, Row, RowQuery, Store,
    TableRows, TenantId,
};
use robson_projector::{FOLD_VERSION, TABLES, TraderTables, positions_current};
use robson_store::MemoryStore;
use robson_testkit::history::History;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001));

fn options(page_events: usize, rows_max: usize) -> ReplayOptions {
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(TraderTables)];
    let checks = Checks::Hashes;
    ReplayOptions { page_events, rows_max, checks, ..ReplayOptions::new(TENANT, projections, FOLD_VERSION) }
}

async fn ledger(seed: u64) -> (Ledger<MemoryStore>, History) {
    let store = Arc::new(MemoryStore::new());
    store.register(TENANT).await.unwrap();
    let history = History::new(seed, TENANT);
    let options = LedgerOptions {
        projections: vec![Arc::new(TraderTables)],
        ..LedgerOptions::new(TENANT, "test".parse().unwrap(), Arc::new(history.clock()))
    };
    (Ledger::open(store, options).await.unwrap(), history)
}

async fn append(ledger: &Ledger<MemoryStore>, history: &mut History, events: usize) {
    let outcome = ledger.append(history.batch(events)).await.unwrap();
    assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
}

async fn digests(store: &MemoryStore) -> Vec<Digest> {
    let mut digests = vec![of_log(store, TENANT).await.unwrap()];
    for table in TABLES {
        digests.push(of_table(store, TENANT, table, Scope::Everything).await.unwrap());
    }
    digests
}

fn go_on<P>(_: P) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn rebuild_equals_live(
        seed in any::<u64>(),
        batches in prop::collection::vec(1_usize..120, 1..5),
        page_events in 1_usize..150,
        rows_max in 0_usize..60,
        cut_off_at in 0_i64..200,
    ) {
        wait_for(async {
            let (ledger, mut history) = ledger(seed).await;
            for events in batches {
                append(&ledger, &mut history, events).await;
            }
            let live = digests(ledger.store()).await;
            // Some way with other pages, as a process that was killed would leave it.
            let (source, target) = (Arc::clone(ledger.store()), Arc::clone(ledger.store()));
            let mut cut_off = Replay::begin(source, target, options(7, 5)).await.unwrap();
            cut_off.fold_up_to(cut_off_at, go_on).await.unwrap();
            let stood_at = cut_off.log_seq();
            drop(cut_off);
            let rebuilt = ledger.rebuild(options(page_events, rows_max), go_on).await.unwrap();
            assert_eq!(rebuilt.began_at, stood_at);
            assert_eq!(digests(ledger.store()).await, live);
            append(&ledger, &mut history, 20).await;
            assert_eq!(compared(&ledger).await.differences, []);
        });
    }
}

async fn compared(ledger: &Ledger<MemoryStore>) -> Comparison {
    let scratch = Arc::new(MemoryStore::new());
    scratch.register(TENANT).await.unwrap();
    let mut replay = Replay::begin(Arc::clone(ledger.store()), scratch, options(50, 20)).await.unwrap();
    replay.fold_up_to(ledger.store().head(TENANT).await.unwrap().log_seq, go_on).await.unwrap();
    tokio::task::yield_now().await;
    let all: Selection = TABLES.iter().map(|table| (*table, RowQuery::all())).collect();
    replay.compare(&all, 100).await.unwrap()
}

#[test]
fn a_comparison_is_not_misled_by_what_is_appended_meanwhile() {
    wait_for(async {
        let (ledger, mut history) = ledger(5).await;
        append(&ledger, &mut history, 200).await;
        let writer = ledger.clone();
        let writing = tokio::spawn(async move {
            for _ in 0..200 {
                append(&writer, &mut history, 3).await;
            }
        });
        let mut last = 0;
        while !writing.is_finished() {
            let Comparison { log_seq, differences, is_cut_off } = compared(&ledger).await;
            assert_eq!((differences, is_cut_off), (Vec::new(), false));
            assert!(log_seq >= last);
            last = log_seq;
        }
        writing.await.unwrap();
    });
}

#[test]
fn rows_that_were_changed_behind_the_logs_back_are_told_column_by_column() {
    wait_for(async {
        let (ledger, mut history) = ledger(9).await;
        append(&ledger, &mut history, 300).await;
        ledger.close().await;
        let store = Arc::clone(ledger.store());
        let table = &positions_current::TABLE;
        let row = store.rows(TENANT, table, &RowQuery::all()).await.unwrap().swap_remove(0);
        let index = table.column_index("symbol").unwrap();
        let symbol = row.0[index].clone();
        let mut damaged = row.clone();
        damaged.0[index] = robson_eventlog::Value::Text("DOGE".to_owned());
        let lease = store.acquire(TENANT, &"test".parse().unwrap(), std::time::Duration::from_secs(9)).await;
        let lease = lease.unwrap();
        let mut batch = Batch::empty(TENANT, lease.epoch, lease.head);
        let strange = Row(row
            .0
            .iter()
            .enumerate()
            .map(
                |(at, value)| {
                    if at == 0 { robson_eventlog::Value::Uuid(Uuid::nil()) } else { value.clone() }
                },
            )
            .collect());
        batch.rows = vec![TableRows { table, rows: vec![damaged, strange] }];
        store.commit(&batch).await.unwrap();
        let found = compared(&ledger).await.differences;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].what, Differs::OnlyLive);
        let Differs::Columns(columns) = &found[1].what else { panic!("{found:?}") };
        assert_eq!((columns.len(), columns[0].column, &columns[0].replayed), (1, "symbol", &symbol));
        let expected = format!(": symbol is \"DOGE\", the replay says {}", symbol.to_json());
        assert!(found[1].to_string().ends_with(&expected), "{}", found[1]);
    });
}
