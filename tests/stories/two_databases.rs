//! One made-up history in two databases: equal digests and an equal chain of hashes, before the tables are
//! rebuilt and after.
//!
//! `ROBSON_TEST_HISTORY_EVENTS` makes the history longer; the figure of the documents is 200,000 events.

use std::sync::Arc;

use anyhow::{Result, ensure};
use robson_eventlog::digest::Scope;
use robson_eventlog::{Head, Ledger, LedgerOptions, Outcome as Appended, Store as _, digest};
use robson_projector::{TABLES, TraderTables};
use robson_store::{AnyStore, OpenOptions};
use robson_stories::{Backend, Place};
use robson_testkit::History;
use robsond::session::DEFAULT_TENANT;

const SEED: u64 = 0x0b50_2026;
const EVENTS: usize = 20_000;
/// Few commits, so that the story is about content.
const BATCH: usize = 500;

#[expect(clippy::disallowed_methods, reason = "a test is told by its variables alone")]
fn events() -> Result<usize> {
    match std::env::var("ROBSON_TEST_HISTORY_EVENTS") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(EVENTS),
    }
}

/// Appends the history.
async fn fill(place: &Place, events: usize) -> Result<()> {
    let store = Arc::new(AnyStore::open(&place.url().parse()?, &OpenOptions::default()).await?);
    store.register(DEFAULT_TENANT).await?;
    let mut history = History::new(SEED, DEFAULT_TENANT);
    let options = LedgerOptions {
        seed: SEED,
        projections: vec![Arc::new(TraderTables)],
        ..LedgerOptions::new(DEFAULT_TENANT, "story".parse()?, Arc::new(history.clock()))
    };
    let ledger = Ledger::open(Arc::clone(&store), options).await?;
    let mut appended = 0;
    while appended < events {
        let batch = history.batch(BATCH.min(events - appended));
        appended += batch.events.len();
        let outcome = ledger.append(batch).await?;
        ensure!(matches!(outcome, Appended::Appended(_)), "{outcome:?}");
    }
    ledger.close().await;
    store.close().await;
    Ok(())
}

/// Where the log ends, and the digests of the log and of every table.
async fn content(place: &Place) -> Result<(Head, Vec<(String, String)>)> {
    let store = place.reader().await?;
    let mut digests =
        vec![("event_log".to_owned(), digest::of_log(&store, DEFAULT_TENANT).await?.to_string())];
    for table in TABLES {
        let digest = digest::of_table(&store, DEFAULT_TENANT, table, Scope::Everything).await?;
        ensure!(digest.rows > 0, "{} is empty", table.name);
        digests.push((table.name.to_owned(), digest.to_string()));
    }
    let head = store.head(DEFAULT_TENANT).await?;
    store.close().await;
    Ok((head, digests))
}

/// The same history is the same content on both databases, and a rebuild changes nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_the_same_on_both_databases_before_and_after_a_rebuild() -> Result<()> {
    let events = events()?;
    let (file, server) = (Place::new(Backend::Sqlite).await?, Place::new(Backend::Postgres).await?);
    for place in [&file, &server] {
        fill(place, events).await?;
    }
    let before = content(&file).await?;
    ensure!(before.0.log_seq >= i64::try_from(events)?, "{:?}", before.0);
    assert_eq!(before, content(&server).await?);
    for place in [&file, &server] {
        place.robson(&["verify"])?.printed()?;
        place.robson(&["replay", "--rebuild"])?.printed()?;
        assert_eq!(before, content(place).await?);
        place.robson(&["verify"])?.printed()?;
    }
    println!("{events} events: head {:?}", before.0);
    Ok(())
}
