//! The made-up history is one that the trader's folds accept, and the same for the same seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use robson_eventlog::{Append, Ledger, LedgerOptions, Outcome, Store as _, TenantId, digest};
use robson_projector::{TABLES, TraderTables};
use robson_store::memory::MemoryStore;
use robson_testkit::History;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

/// Appends so many events of a seed's history and answers the digests of the log and of every table.
async fn written(seed: u64, events: usize, batch: usize) -> Vec<String> {
    let mut history = History::new(seed, TENANT);
    let store = Arc::new(MemoryStore::default());
    store.register(TENANT).await.unwrap();
    let mut options = LedgerOptions::new(TENANT, "history".parse().unwrap(), Arc::new(history.clock()));
    options.projections = vec![Arc::new(TraderTables)];
    let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
    let mut appended = 0;
    while appended < events {
        let append: Append = if batch == 0 { history.next().unwrap() } else { history.batch(batch) };
        appended += append.events.len();
        let outcome = ledger.append(append).await.unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
    }
    ledger.close().await;
    let mut digests = vec![digest::of_log(store.as_ref(), TENANT).await.unwrap().to_string()];
    for table in TABLES {
        let digest =
            digest::of_table(store.as_ref(), TENANT, table, digest::Scope::Everything).await.unwrap();
        assert!(digest.rows > 0, "{} is empty", table.name);
        digests.push(digest.to_string());
    }
    digests
}

#[tokio::test]
async fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = written(7, 3_000, 100).await;
    assert_eq!(first, written(7, 3_000, 100).await);
    assert_ne!(first, written(8, 3_000, 100).await);
}

#[tokio::test]
async fn every_single_append_is_accepted() {
    written(9, 3_000, 0).await;
}
