//! How the binary ends: one sentence, and the exit code of what went wrong.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What the binary did.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the binary in a folder, with nothing in its environment but what is given.
pub(crate) fn robson(folder: &Path, variables: &[(&str, &str)], words: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_robson"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with the small log in `robson.db`.
pub(crate) async fn folder_with_log() -> TempDir {
    let folder = folder();
    let url = format!("sqlite://{}", folder.path().join("robson.db").display()).parse().unwrap();
    let store = robson_store::AnyStore::open(&url, &Default::default()).await.unwrap();
    robson_eventlog::Store::close(crate::small_log::write_log(store).await.as_ref()).await;
    folder
}

/// A daemon that answers one request, and gives back what it was sent.
fn daemon(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let request = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, request)
}

fn answer_of(status: &str, body: &str) -> &'static str {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    Box::leak(text.into_boxed_str())
}

fn check(run: &Run, code: i32, sentence: &str) {
    assert_eq!((run.code, run.err.contains(sentence)), (code, true), "{}", run.err);
    assert_eq!(run.err.trim_end().lines().count(), 1, "one sentence: {}", run.err);
    assert_eq!(run.out, "");
}

#[test]
fn a_command_line_that_makes_no_sense_is_2() {
    let folder = folder();
    let code = |words: &str| robson(folder.path(), &[], words).code;
    for words in [
        "",
        "dance",
        "positions --state sleeping",
        "arm BTCUSD",
        "arm BTCUSD --side up",
        "arm BTCUSD --side long --capital 0",
        "arm BTCUSD --side long --capital -5",
        "arm BTCUSD --side long --risk 1.5",
        "arm BTCUSD --side long --entry tomorrow",
        "disarm",
        "events list --limit many",
        "halt --confirm --reason ",
        "entries",
        "strategies create breakout --max-exposure 0",
        "strategies create breakout --detector-config 0.5",
        "strategies update breakout --daily-loss-limit some",
    ] {
        assert_eq!(code(words), 2, "{words}");
    }
    let help = robson(folder.path(), &[], "arm --help");
    assert_eq!((help.code, help.out.contains("Example")), (0, true));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was left behind");
}

#[test]
fn an_unknown_scheme_is_2_wherever_it_stands() {
    let folder = folder();
    let sentence =
        "unknown database URL `mysql://`: use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:";
    check(&robson(folder.path(), &[], "positions --database mysql://u:secret@h/d"), 2, sentence);
    check(&robson(folder.path(), &[("DATABASE_URL", "mysql://h/d")], "positions"), 2, sentence);
    std::fs::write(folder.path().join("robson.toml"), "[database]\nurl = \"mysql://h/d\"\n").unwrap();
    check(&robson(folder.path(), &[], "positions"), 2, sentence);
}

#[test]
fn a_missing_database_is_1_and_says_what_makes_one() {
    let folder = folder();
    check(
        &robson(folder.path(), &[], "positions"),
        1,
        "there is no database at sqlite://robson.db: create it with",
    );
    check(&robson(folder.path(), &[], "db migrate"), 1, "there is no database at sqlite://robson.db");
    assert!(!folder.path().join("robson.db").exists(), "only init makes one");
    let made = robson(folder.path(), &[], "db init");
    assert_eq!((made.code, made.out.starts_with("applied V1__")), (0, true), "{}", made.err);
    assert_eq!(robson(folder.path(), &[], "db migrate").code, 0);
}

#[tokio::test]
async fn a_database_that_another_process_writes_is_78() {
    let folder = folder();
    let url = format!("sqlite://{}", folder.path().join("robson.db").display()).parse().unwrap();
    let daemon = robson_store::AnyStore::open(&url, &Default::default()).await.unwrap();
    check(&robson(folder.path(), &[], "db init"), 78, "is in use by another process");
    robson_eventlog::Store::close(&daemon).await;
}

#[test]
fn a_file_that_is_no_database_is_1() {
    let folder = folder();
    std::fs::write(
        folder.path().join("robson.db"),
        "not a database, but long enough to have a header".repeat(99),
    )
    .unwrap();
    for words in ["positions", "db migrate", "db status"] {
        check(&robson(folder.path(), &[], words), 1, "is not a sound SQLite database");
    }
}

#[tokio::test]
async fn a_newer_database_is_1() {
    let folder = folder_with_log().await;
    let url = format!("sqlite://{}", folder.path().join("robson.db").display()).parse().unwrap();
    let store = robson_store::AnyStore::open(&url, &Default::default()).await.unwrap();
    let robson_store::AnyStore::Sqlite(sqlite) = &store else { panic!("not a file") };
    let newer = "INSERT INTO refinery_schema_history SELECT 999, 'later', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
    sqlite.execute_foreign(newer).await.unwrap();
    robson_eventlog::Store::close(&store).await;
    drop(store);
    for words in ["positions", "db migrate"] {
        check(&robson(folder.path(), &[], words), 1, "the database has version 999, newer than the");
    }
}

#[test]
fn an_unreachable_server_is_1_and_no_password_is_printed() {
    let folder = folder();
    let run = robson(folder.path(), &[], "positions --database postgres://robson:hunter2@127.0.0.1:1/robson");
    check(&run, 1, "cannot be reached");
    assert!(!run.err.contains("hunter2"));
}

#[tokio::test]
async fn an_unknown_position_is_5() {
    let folder = folder_with_log().await;
    let sentence = "there is no position ffff: `robson positions` lists them";
    check(&robson(folder.path(), &[], "why ffff"), 5, sentence);
    check(&robson(folder.path(), &[], "disarm ffff"), 5, sentence);
}

#[tokio::test]
async fn panic_shows_what_it_would_close_and_does_nothing_without_confirmation() {
    let folder = folder_with_log().await;
    let run = robson(folder.path(), &[], "panic");
    assert_eq!(run.code, 2);
    assert!(run.out.contains("000000b2") && !run.out.contains("000000b1"), "{}", run.out);
    assert!(run.err.contains("nothing was done: `robson panic --confirm`"), "{}", run.err);
}

#[tokio::test]
async fn halt_shows_how_the_month_stands_and_does_nothing_without_confirmation() {
    let folder = folder_with_log().await;
    let run = robson(folder.path(), &[], "halt");
    assert_eq!(run.code, 2);
    assert!(run.out.contains("is not halted in 2026-01") && run.out.contains("000000b2"), "{}", run.out);
    assert!(run.err.contains("nothing was done: `robson halt --confirm`"), "{}", run.err);
}

/// Without a daemon the command line writes them itself.
#[tokio::test]
async fn strategies_are_made_and_set_without_a_daemon() {
    let folder = folder_with_log().await;
    let alone = |words: &str| {
        let run = robson(folder.path(), &[("ROBSON_DAEMON_URL", "http://127.0.0.1:1")], words);
        (run.code, run.out, run.err)
    };
    let (code, out, err) = alone("strategies create breakout --max-exposure 5000 --daily-loss-limit 150");
    assert_eq!((code, out.starts_with("made breakout: strategy ")), (0, true), "{out}{err}");
    assert_eq!(alone("strategies create breakout").0, 6, "the name is taken");
    assert!(alone("strategies enable breakout").1.ends_with(" may enter\n"));
    assert_eq!(alone("strategies update breakout --max-exposure none").0, 0);
    let (_, out, _) = alone("strategies list --json");
    let listed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let limits = serde_json::json!({ "daily_loss_limit": "150" });
    assert_eq!((&listed[0]["risk_config"], &listed[0]["is_enabled"]), (&limits, &true.into()));
    assert!(alone("strategies disable breakout --reason broken").1.ends_with(" may not enter\n"));
    assert_eq!(alone("strategies enable nobody").0, 5);
    assert_eq!(alone("approve ffff").0, 5);
    assert_eq!(alone("events search --type strategy_disabled").1.matches("STRATEGY_DISABLED").count(), 1);
}

#[test]
fn without_a_daemon_what_needs_the_venue_is_3() {
    let folder = folder();
    for words in [
        "panic --confirm",
        "close 01970000-0000-8000-8000-0000000000b1",
        "halt --confirm",
        "approve 01970000-0000-8000-8000-0000000000e1",
        "deny 01970000-0000-8000-8000-0000000000e1",
    ] {
        let run = robson(folder.path(), &[("ROBSON_DAEMON_URL", "http://127.0.0.1:1")], words);
        check(&run, 3, "no daemon answers at http://127.0.0.1:1 (connection refused): start `robsond`");
    }
}

#[test]
fn what_the_daemon_refuses_has_the_code_of_its_kind() {
    let folder = folder();
    let refused = |status: &str, body: &str, code: i32, sentence: &str| {
        let (url, request) = daemon(answer_of(status, body));
        check(&robson(folder.path(), &[("ROBSON_DAEMON_URL", &url)], "arm DOGE --side long"), code, sentence);
        request.join().unwrap();
    };
    refused("401 Unauthorized", "", 4, "set ROBSON_API_TOKEN");
    refused(
        "404 Not Found",
        r#"{"code":"not_found","error":"there is no symbol DOGE"}"#,
        5,
        "there is no symbol DOGE",
    );
    refused(
        "409 Conflict",
        r#"{"code":"wrong_state","error":"it is armed already"}"#,
        6,
        "it is armed already",
    );
    refused(
        "409 Conflict",
        r#"{"code":"risk_denied","error":"the budget is spent"}"#,
        7,
        "the budget is spent",
    );
    refused(
        "502 Bad Gateway",
        r#"{"code":"unknown","error":"nobody knows"}"#,
        9,
        "nobody knows; to ask again: --command-id ",
    );
    refused("500 Internal Server Error", r#"{"error":"the log is broken"}"#, 1, "the log is broken");
}

#[test]
fn a_daemon_that_takes_the_request_and_says_nothing_is_9() {
    let folder = folder();
    let (url, request) = daemon("");
    let run = robson(folder.path(), &[("ROBSON_DAEMON_URL", &url)], "panic --confirm");
    check(&run, 9, "whether it happened is not known; to ask again: --command-id ");
    request.join().unwrap();
}

#[test]
fn an_arm_carries_token_operator_and_command_id() {
    let folder = folder();
    let body = r#"{"position_id":"01970000-0000-8000-8000-0000000000b1","symbol":"BTCUSD","side":"long","state":"armed"}"#;
    let (url, request) = daemon(answer_of("201 Created", body));
    let variables =
        [("ROBSON_DAEMON_URL", url.as_str()), ("ROBSON_API_TOKEN", "secret"), ("ROBSON_OPERATOR_ID", "ada")];
    let id = "01970000-0000-7000-8000-000000000001";
    let run = robson(
        folder.path(),
        &variables,
        &format!("arm BTCUSD --side long --capital 5000 --risk 0.5 --command-id {id}"),
    );
    let expected = "armed BTCUSD long: position 01970000-0000-8000-8000-0000000000b1 is armed\n";
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, expected, ""));
    let request = request.join().unwrap();
    let (head, sent) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for line in [
        "post /api/v1/positions ",
        "authorization: bearer secret",
        "x-robson-operator: ada",
        &format!("idempotency-key: {id}"),
    ] {
        assert!(head.contains(line), "{line} in\n{head}");
    }
    let sent: serde_json::Value = serde_json::from_str(sent).unwrap();
    assert_eq!((sent["side"].as_str(), sent["risk_percent"].as_str()), (Some("LONG"), Some("0.5")));
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let run = robson(folder().path(), &[], "positions --json");
    let error: serde_json::Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!((run.code, error["exit_code"].as_i64()), (1, Some(1)));
}

#[test]
fn init_writes_a_file_that_the_daemon_takes_and_keeps_one_that_is_there() {
    let folder = folder();
    let run = robson(folder.path(), &[], "init --database sqlite://trades.db");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    assert!(folder.path().join("trades.db").exists());
    let path = folder.path().join("robson.toml");
    let flags = robsond::config::Flags { config: Some(path.clone()), ..Default::default() };
    let settings = robsond::config::Configuration::load(&flags, &BTreeMap::new()).unwrap().settings;
    assert_eq!(settings.database.url.to_string(), "sqlite://trades.db");
    assert_eq!(settings.api.unwrap().token.unwrap().expose().len(), 64);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777,
        0o600
    );

    let written = std::fs::read_to_string(&path).unwrap();
    let again = robson(folder.path(), &[], "init");
    assert_eq!((again.code, again.out.starts_with("kept robson.toml\n")), (0, true), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    let empty = robson(folder.path(), &[], "positions");
    assert!(empty.code == 0 && empty.out.starts_with("no positions"), "{}", empty.err);
}

#[tokio::test]
async fn doctor_checks_what_there_is_and_fails_with_1() {
    let none = folder();
    let run = robson(none.path(), &[("ROBSON_DAEMON_URL", "http://127.0.0.1:1")], "doctor");
    assert_eq!(run.code, 1);
    assert!(run.out.contains("fail  database    there is no database at sqlite://robson.db"), "{}", run.out);
    let folder = folder_with_log().await;
    let run = robson(folder.path(), &[("ROBSON_DAEMON_URL", "http://127.0.0.1:1")], "doctor");
    for line in
        ["ok    version", "ok    database", "ok    migrations", "ok    pragmas", "33 events", "warn  daemon"]
    {
        assert!(run.out.contains(line), "{line} in\n{}", run.out);
    }
    assert_eq!(run.code, 0, "{}", run.out);
}

#[test]
fn completions_name_every_command() {
    let run = robson(folder().path(), &[], "completions bash");
    assert_eq!(run.code, 0);
    for command in ["arm", "why", "replay", "digest", "doctor"] {
        assert!(run.out.contains(command), "{command}");
    }
}

/// Stops two consumers at events of the log in a folder.
async fn park(folder: &Path) {
    use robson_eventlog::{
        Append, EventQuery, Ledger, LedgerOptions, PARKED_EVENTS, ParkedEvent, ParkedStatus, Store as _,
        SystemClock, TableRows,
    };
    let url = format!("sqlite://{}", folder.join("robson.db").display()).parse().unwrap();
    let store = std::sync::Arc::new(robson_store::AnyStore::open(&url, &Default::default()).await.unwrap());
    let tenant = crate::small_log::TENANT;
    let options = LedgerOptions::new(tenant, "test".parse().unwrap(), std::sync::Arc::new(SystemClock));
    let ledger = Ledger::open(std::sync::Arc::clone(&store), options).await.unwrap();
    let events = store.read(&EventQuery::all(tenant)).await.unwrap().events;
    let parked = [("mailer", 2), ("alarms", 1)].map(|(consumer, index)| {
        let at = events[index].ingested_at;
        ParkedEvent::first(consumer, &events[index], ParkedStatus::Parked, "no such address", at).to_row()
    });
    let rows = vec![TableRows { table: &PARKED_EVENTS, rows: parked.to_vec() }];
    ledger.append(Append { rows, ..Append::default() }).await.unwrap();
    ledger.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_listed_and_decided_about_without_a_daemon() {
    let folder = folder_with_log().await;
    let unreachable = [("ROBSON_DAEMON_URL", "http://127.0.0.1:1")];
    let run = |words: &str| robson(folder.path(), &unreachable, words);
    assert!(run("events parked").out.contains("no event waits"));
    park(folder.path()).await;
    let listed = run("events parked").out;
    assert!(
        listed.contains("mailer") && listed.contains("alarms") && listed.contains("no such address"),
        "{listed}"
    );
    let mailer = run("events parked --consumer mailer --json").out;
    let mailer: serde_json::Value = serde_json::from_str(&mailer).unwrap();
    assert_eq!((mailer.as_array().unwrap().len(), &mailer[0]["log_seq"]), (1, &serde_json::json!(3)));
    let skipped = run("events skip 3 --reason bounced");
    assert_eq!((skipped.code, skipped.err.as_str()), (0, ""), "{}", skipped.out);
    assert!(skipped.out.contains("mailer passes over event 3"), "{}", skipped.out);
    assert_eq!(run("events skip 3 --reason again").code, 6);
    assert_eq!(run("events retry 77 --reason again").code, 5);
    assert_eq!(run("events retry ../orders --reason again").code, 2);
    let event = mailer[0]["event_id"].as_str().unwrap();
    assert_eq!(run(&format!("events retry {event} --consumer nobody --reason again")).code, 5);
    assert_eq!(run("events retry 2 --reason upgraded").code, 0);
    let left = run("events parked").out;
    assert!(left.contains("retrying") && !left.contains("mailer"), "{left}");
    assert!(run("events parked --all").out.contains("bounced"));
    // The reasons are in the log too.
    let alerts = run("events list --type OPERATOR_ALERT_RAISED --json").out;
    for word in ["event_skipped", "bounced", "event_retried", "upgraded"] {
        assert!(alerts.contains(word), "{word}: {alerts}");
    }
}
