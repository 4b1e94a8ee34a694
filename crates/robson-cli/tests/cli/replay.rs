//! `replay`: what was, what differs, and tables that are made anew.

use std::path::Path;

use robson_eventlog::{Ledger, LedgerOptions, Store as _, SystemClock, WriterId};
use robson_store::AnyStore;
use serde_json::Value;
use tempfile::TempDir;

use crate::exit_codes::{folder_with_log, robson};
use crate::output::{printed, run};
use crate::small_log::{ACCOUNT, LONG, SHORT, TENANT};

async fn json(words: &str) -> Value {
    serde_json::from_str(&printed(words).await).unwrap()
}

/// The state of each position as it was.
async fn states(at: &str) -> Vec<String> {
    let rows = json(&format!("robson replay --at {at} --table positions_current --json")).await;
    rows.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tables_are_shown_as_they_were_at_a_place_or_an_instant() {
    assert_eq!(states("4").await, [""; 0]);
    assert_eq!(states("5").await, ["armed"]);
    assert_eq!(states("28").await, ["closed"]);
    assert_eq!(states("1000").await, ["closed", "armed"], "as far as the log goes");
    // Event 5 came at one o'clock, the entry at nine.
    assert_eq!(states("2026-01-02T00:59:59Z").await, [""; 0]);
    assert_eq!(states("2026-01-02T01:00:00Z").await, ["armed"]);
    assert_eq!(states("2026-01-02T11:00:00+01:00").await, ["active"]);
    assert_eq!(states("2020-01-01T00:00:00Z").await, [""; 0]);
    assert_eq!(states("2030-01-01T00:00:00Z").await, ["closed", "armed"]);
    insta::assert_snapshot!(printed("robson replay --at 20 --table positions_current").await);
    assert_eq!(printed("robson replay --at 0 --table fills").await, "no rows\n");
}

#[tokio::test]
async fn a_stream_or_an_account_alone_can_be_replayed() {
    let rows = async |words: &str| json(&format!("robson replay {words} --json")).await;
    let of_short = rows(&format!("--stream position:{SHORT} --table positions_current")).await;
    assert_eq!(of_short.as_array().unwrap().len(), 1);
    assert_eq!(of_short[0]["position_id"], SHORT);
    let of_account = rows(&format!("--account-id {ACCOUNT} --verify")).await;
    assert_eq!((of_account["equal"].clone(), of_account["events"].clone()), (true.into(), 33.into()));
    let positions = |report: &Value| {
        let tables = report["tables"].as_array().unwrap().clone();
        tables
            .into_iter()
            .find(|table| table["table"] == "positions_current")
            .map(|table| table["rows"].clone())
    };
    assert_eq!(positions(&of_account), Some(2.into()));
    let of_nobody = rows("--account-id 01970000-0000-8000-8000-0000000000ff").await;
    assert_eq!(positions(&of_nobody), Some(0.into()));
    let of_long = rows(&format!("--stream position:{LONG} --verify")).await;
    assert_eq!((of_long["equal"].clone(), positions(&of_long)), (true.into(), Some(1.into())));
    let (text, done) = run("robson replay --stream position:nobody").await;
    assert_eq!((text.as_str(), done.unwrap_err().code), ("", robson_cli::failure::ExitCode::NotFound));
}

#[tokio::test]
async fn without_a_snapshot_the_log_is_folded() {
    let text = printed("robson replay --from-snapshot --verify").await;
    assert!(text.contains("no snapshot that can be used"), "{text}");
    assert!(text.ends_with("33 events: snapshots and the events behind them equal live\n"), "{text}");
    let words =
        format!("robson replay --from-snapshot --stream position:{LONG} --table positions_current --json");
    assert_eq!(json(&words).await[0]["position_id"], LONG);
    let (_, done) = run("robson replay --from-snapshot --stream system:daemon").await;
    assert_eq!(done.unwrap_err().code, robson_cli::failure::ExitCode::Usage);
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_named_with_those_that_do() {
    let (_, done) = run("robson replay --table orders").await;
    let failure = done.unwrap_err();
    assert_eq!(failure.code, robson_cli::failure::ExitCode::Usage);
    assert!(failure.sentence.contains("orders_current, fills"), "{}", failure.sentence);
}

fn verified(folder: &Path) -> (i32, Value) {
    let run = robson(folder, &[], "replay --verify --json");
    (run.code, serde_json::from_str(&run.out).unwrap())
}

async fn tampered(folder: &TempDir, sql: &str) {
    let url = format!("sqlite://{}", folder.path().join("robson.db").display()).parse().unwrap();
    let store = AnyStore::open(&url, &Default::default()).await.unwrap();
    let AnyStore::Sqlite(sqlite) = &store else { panic!("not a file") };
    sqlite.execute_foreign(sql).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_damaged_are_found_and_rebuilt() {
    let folder = folder_with_log().await;
    assert_eq!(verified(folder.path()).0, 0);
    tampered(&folder, "UPDATE positions_current SET total_fees = '1' WHERE state = 'closed'").await;
    tampered(&folder, "DELETE FROM fills WHERE exchange_trade_id = '35'").await;
    let (code, report) = verified(folder.path());
    assert_eq!((code, report["equal"].clone()), (1, false.into()));
    let differences = |name: &str| {
        let tables = report["tables"].as_array().unwrap();
        tables.iter().find(|table| table["table"] == name).unwrap()["differences"].clone()
    };
    let fees = serde_json::json!({ "column": "total_fees", "live": "1", "replayed": "5.663855" });
    assert_eq!(differences("positions_current"), serde_json::json!([{ "key": LONG, "columns": [fees] }]));
    let fill = format!("paper/{ACCOUNT}/BTCUSD/35");
    assert_eq!(differences("fills"), serde_json::json!([{ "key": fill, "only": "replay" }]));

    let run = robson(folder.path(), &[], "replay --rebuild");
    assert_eq!(
        (run.code, run.out.as_str()),
        (0, "33 events: 6 tables rebuilt and switched over\n"),
        "{}",
        run.err
    );
    assert_eq!(verified(folder.path()).0, 0);
    let again = robson(folder.path(), &[], "replay --rebuild --json");
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again["events"].clone(), again["began_at"].clone()), (33.into(), 0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_somebody_writes_is_not_rebuilt() {
    let folder = folder_with_log().await;
    let url = format!("sqlite://{}", folder.path().join("robson.db").display()).parse().unwrap();
    let store = std::sync::Arc::new(AnyStore::open(&url, &Default::default()).await.unwrap());
    let writer = WriterId::new("daemon").unwrap();
    let options = LedgerOptions::new(TENANT, writer, std::sync::Arc::new(SystemClock));
    let ledger = Ledger::open(std::sync::Arc::clone(&store), options).await.unwrap();
    let run = robson(folder.path(), &[], "replay --rebuild");
    assert_eq!((run.code, run.err.contains("a daemon writes this log: stop it")), (78, true), "{}", run.err);
    ledger.close().await;
    store.close().await;
    assert_eq!(robson(folder.path(), &[], "replay --rebuild").code, 0);
    let nowhere = robson(folder.path(), &[], "replay --rebuild --database sqlite://other.db");
    assert_eq!((nowhere.code, folder.path().join("other.db").exists()), (1, false), "{}", nowhere.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_would_decide_otherwise_is_listed() {
    let folder = folder_with_log().await;
    std::fs::write(folder.path().join("robson.toml"), "[symbols.BTCUSD]\nstep = 0.001\n").unwrap();
    let diff = |fee: &str, words: &str| {
        let run = robson(
            folder.path(),
            &[("ROBSON_TAKER_FEE_RATE", fee)],
            &format!("replay --engine-diff {words}"),
        );
        assert_eq!(run.code, 0, "{}", run.err);
        run.out
    };
    insta::assert_snapshot!(format!("{}\n{}", diff("0.0005", ""), diff("0.001", "")));
    let report: Value = serde_json::from_str(&diff("0.001", "--json")).unwrap();
    assert_eq!(report["signals"], 1);
    assert_eq!(report["stops_and_entries_not_compared"], 2);
    assert_eq!(report["differing"][0]["position_id"], LONG);
    let quantity = serde_json::json!({ "part": "quantity", "recorded": "0.059", "now": "0.056" });
    assert_eq!(report["differing"][0]["changes"][0], quantity);
}

/// A day that this program traded on recorded prices: with the same prices it decides the same.
#[test]
fn an_engine_that_did_not_change_decides_as_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let demo = robson(folder.path(), &[], "demo --database sqlite://robson.db");
    assert_eq!(demo.code, 0, "{}", demo.err);
    let feed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/demo-btcusd-1h.csv");
    let run = robson(folder.path(), &[], &format!("replay --engine-diff --feed BTCUSD={feed} --json"));
    assert_eq!(run.code, 0, "{}", run.err);
    let report: Value = serde_json::from_str(&run.out).unwrap();
    assert!(report["signals"].as_u64().unwrap() > 0, "{}", run.out);
    assert_eq!(
        (report["differing"].clone(), report["stops_and_entries_not_compared"].clone()),
        (Value::Array(vec![]), 0.into())
    );
}
