//! `verify` and `snapshot` on a file: sound, tampered with in each way, and not to be read at all.

use std::path::{Path, PathBuf};

use clap::Parser as _;
use robson_cli::args::Cli;
use robson_cli::failure::{ExitCode, Failure};
use robson_eventlog::Store as _;
use robson_store::AnyStore;
use serde_json::Value;

use crate::small_log::{LONG, Paper, TENANT, write_log};

async fn open(path: &Path) -> AnyStore {
    let url = format!("sqlite://{}", path.display()).parse().unwrap();
    AnyStore::open(&url, &Default::default()).await.unwrap()
}

/// A file with the small log, closed.
async fn small_log_in(folder: &Path) -> PathBuf {
    let path = folder.join("robson.db");
    write_log(open(&path).await).await.close().await;
    path
}

/// Runs a command as the shell does.
async fn run(path: &Path, words: &str) -> (String, Result<(), Failure>) {
    let words = format!("robson {words} --database sqlite://{}", path.display());
    let cli = Cli::try_parse_from(words.split(' ')).unwrap();
    let paper = Paper::default();
    let done = robson_cli::run(cli, &mut paper.printer(words.contains("--json"))).await;
    (paper.text(), done)
}

async fn tamper(path: &Path, statements: &[&str]) {
    let AnyStore::Sqlite(store) = open(path).await else { panic!("not a file") };
    for trigger in ["event_log_refuses_update", "event_log_refuses_delete"] {
        store.execute_foreign(&format!("DROP TRIGGER {trigger}")).await.unwrap();
    }
    for statement in statements {
        let changed = store.execute_foreign(statement).await.unwrap();
        assert!(changed > 0, "{statement}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_sound_log_is_verified_and_so_are_its_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let path = small_log_in(folder.path()).await;
    let (text, done) = run(&path, "snapshot take").await;
    assert_eq!(done, Ok(()));
    assert!(text.starts_with("account 01970000-0000-8000-8000-0000000000a1 at log_seq 33: "), "{text}");
    let (_, done) = run(&path, &format!("snapshot take --position-id {LONG}")).await;
    assert_eq!(done, Ok(()));
    let (_, done) = run(&path, "snapshot take --position-id 01970000-0000-8000-8000-0000000000ff").await;
    assert_eq!(done.unwrap_err().code, ExitCode::NotFound);
    let (text, done) = run(&path, "snapshot list --json").await;
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((done, list.as_array().unwrap().len()), (Ok(()), 2));
    assert_eq!(list[0]["as_of_log_seq"], 33);
    let (text, done) = run(&path, "verify").await;
    assert_eq!(done, Ok(()), "{text}");
    assert!(text.contains("33 events, 33 dedupe keys, ") && text.contains(" 2 snapshots\n"), "{text}");
    assert!(text.contains("nothing is wrong; the chain of hashes ends with "), "{text}");
    let (text, done) = run(&path, "verify --json").await;
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(done, Ok(()));
    assert_eq!((&report["clean"], &report["events"]), (&true.into(), &33.into()));
    assert_eq!(report["first_damaged_log_seq"], Value::Null);
}

#[tokio::test]
async fn whatever_is_changed_in_plain_sql_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = small_log_in(folder.path()).await;
    assert_eq!(run(&sound, "snapshot take").await.1, Ok(()));
    let copy = "INSERT INTO event_log SELECT tenant_id, 34, event_id, stream_key, seq, event_type, \
                payload_schema_version, payload, occurred_at, ingested_at, idempotency_key, trace_id, causation_id, \
                command_id, workflow_id, actor_type, actor_id, prev_hash, hash FROM event_log WHERE log_seq = 33";
    let cases: &[(&[&str], Option<i64>, &str)] = &[
        (
            &["UPDATE event_log SET event_type = 'ORDER_REJECTED' WHERE log_seq = 12"],
            Some(12),
            "does not have its hash",
        ),
        (
            &["UPDATE event_log SET payload = replace(payload, '95000', '96000') WHERE log_seq = 9"],
            Some(9),
            "its hash",
        ),
        (&["UPDATE event_log SET payload = '{' WHERE log_seq = 9"], Some(9), "cannot be read"),
        (
            &["UPDATE event_log SET actor_id = 'somebody' WHERE log_seq = 1"],
            Some(1),
            "does not have its hash",
        ),
        (
            &["UPDATE event_log SET occurred_at = '2026-01-02T00:00:00Z' WHERE log_seq = 2"],
            Some(2),
            "cannot be read",
        ),
        (
            &["UPDATE event_log SET tenant_id = '00000000-0000-0000-0000-000000000009' WHERE log_seq = 7"],
            Some(7),
            "is missing",
        ),
        (&["DELETE FROM event_log WHERE log_seq = 20"], Some(20), "it is missing"),
        (&["DELETE FROM event_log WHERE log_seq = 33"], Some(33), "it is missing"),
        (&["DELETE FROM event_log WHERE log_seq > 30"], Some(31), "it is missing, and so are the next 2"),
        (&["DELETE FROM event_log"], Some(1), "it is missing, and so are the next 32"),
        (&[copy], Some(34), "it lies behind the head, which is 33"),
        (&[copy, "UPDATE log_head SET log_seq = 34"], Some(34), "follows another event"),
        (
            &[
                "UPDATE event_log SET log_seq = 99 WHERE log_seq = 5",
                "UPDATE event_log SET log_seq = 5 WHERE log_seq = 6",
                "UPDATE event_log SET log_seq = 6 WHERE log_seq = 99",
            ],
            Some(5),
            "follows another event",
        ),
        (&["UPDATE log_head SET log_seq = 32"], Some(32), "it lies behind the head, which is 32"),
        (
            &["UPDATE log_head SET chain_hash = zeroblob(32)"],
            Some(33),
            "is not the event that the head names",
        ),
        (
            &["UPDATE stream_state SET last_seq = last_seq + 1 WHERE stream_key LIKE 'account:%'"],
            None,
            "stream_state",
        ),
        (&["DELETE FROM stream_state WHERE stream_key LIKE 'account:%'"], None, "stream_state"),
        (&["DELETE FROM event_idempotency WHERE log_seq = 17"], Some(17), "its dedupe key is missing"),
        (
            &["UPDATE event_idempotency SET log_seq = 16 WHERE log_seq = 17"],
            Some(16),
            "its second dedupe key",
        ),
        (
            &["UPDATE positions_current SET total_fees = '1' WHERE state = 'closed'"],
            Some(28),
            "total_fees is \"1\"",
        ),
        (&["DELETE FROM fills"], None, "is missing"),
        (&["UPDATE balances_current SET free = '1'"], Some(4), "free is \"1\", the log gives"),
        (&["UPDATE snapshots SET snapshot_payload = zeroblob(10)"], Some(33), "it is corrupt"),
        (
            &["UPDATE snapshots SET as_of_log_seq = 40"],
            Some(40),
            "it contains the log up to 40, which ends at 33",
        ),
    ];
    for (number, (statements, first, what)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("tampered-{number}.db"));
        std::fs::copy(&sound, &path).unwrap();
        tamper(&path, statements).await;
        let (text, done) = run(&path, "verify --json").await;
        assert_eq!(done, Err(Failure::reported(ExitCode::Error)), "{statements:?}: {text}");
        let report: Value = serde_json::from_str(&text).unwrap();
        let damages = report["damages"].as_array().unwrap();
        let is_told = |damage: &Value| damage.to_string().replace("\\\"", "\"").contains(what);
        assert!(damages.iter().any(is_told), "{statements:?}: {text}");
        assert_eq!(report["first_damaged_log_seq"], Value::from(*first), "{statements:?}: {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let (_, done) = run(&folder.path().join("nowhere.db"), "verify").await;
    assert_eq!(done.unwrap_err().code, ExitCode::Usage);
    let noise = folder.path().join("noise.db");
    std::fs::write(&noise, [7; 9_000]).unwrap();
    let (_, done) = run(&noise, "verify").await;
    assert_eq!(done.unwrap_err().code, ExitCode::Usage);
    let path = small_log_in(folder.path()).await;
    let store = open(&path).await;
    let lease =
        store.acquire(TENANT, &"other".parse().unwrap(), std::time::Duration::from_secs(9)).await.unwrap();
    let (text, done) = run(&path, "verify").await;
    assert_eq!(done, Ok(()), "a writer is no reason not to read: {text}");
    store.release(&lease).await.unwrap();
    store.close().await;
}
