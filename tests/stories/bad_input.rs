//! What cannot be done is said in one clear sentence, with the exit code that scripts know, and leaves
//! nothing half-written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use robson_store::{AnyStore, OpenOptions};
use robson_stories::{Backend, Place, Ran, Script, repository};
use robson_testkit::PrivateServer;

const DAEMON: i32 = 78;

/// Every file of a folder, with what is in it; without what SQLite keeps beside a file that it has read.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_left_by_reading = name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty();
        if !is_left_by_reading {
            files.insert(name, bytes);
        }
    }
    Ok(files)
}

/// Requires that a program refuses: one sentence, this code, and every file as it was.
fn refused(place: &Place, program: &str, arguments: &[&str], code: i32, sentence: &str) -> Result<()> {
    let before = files(place.folder())?;
    let Ran { code: actual, out, err } = Ran::to_end(&mut place.command(program, arguments)?)?;
    let what = format!("{program} {}: {actual:?}\n{out}{err}", arguments.join(" "));
    ensure!(actual == Some(code), "{code} was due: {what}");
    ensure!(err.contains(sentence) && out.is_empty(), "`{sentence}` was due: {what}");
    ensure!(err.trim_end().lines().count() == 1, "one sentence was due: {what}");
    let after = files(place.folder())?;
    let changed: Vec<&String> =
        after.iter().filter(|(name, bytes)| before.get(*name) != Some(bytes)).map(|(name, _)| name).collect();
    ensure!(changed.is_empty() && before.len() == after.len(), "it left {changed:?} behind: {what}");
    Ok(())
}

/// The same of both programs, at a URL: the command line with its own code, the daemon with 78.
fn refused_by_both(place: &Place, url: &str, code: i32, sentence: &str) -> Result<()> {
    refused(place, "robson", &["positions", "--database", url], code, sentence)?;
    refused(place, "robson", &["db", "migrate", "--database", url], code, sentence)?;
    refused(place, "robsond", &with_feed(&["--database", url, "--no-api"]), DAEMON, sentence)
}

fn with_feed<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let mut all = flags.to_vec();
    all.extend(["--feed", "BTCUSD=bars.csv"]);
    all
}

/// An empty place with a feed that could be played.
async fn place() -> Result<Place> {
    let place = Place::new(Backend::Sqlite).await?;
    fs::copy(repository("examples/data/demo-btcusd-1h.csv"), place.path("bars.csv"))?;
    Ok(place)
}

/// A place where something was traded.
async fn traded(backend: Backend) -> Result<Place> {
    let place = Place::new(backend).await?;
    let script = Script::of_days(&place, "2019-05-05", "2019-05-20")?;
    place.run_to_end(&script.flags())?;
    Ok(place)
}

#[tokio::test]
async fn a_url_that_names_no_database() -> Result<()> {
    let place = place().await?;
    let sentence = "use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:";
    for url in ["mysql://robson@localhost/robson", "robson.db", "sqlite:robson.db"] {
        refused(&place, "robson", &["positions", "--database", url], 2, sentence)?;
        refused(&place, "robsond", &with_feed(&["--database", url]), 2, sentence)?;
    }
    refused(&place, "robson", &["positions"], 1, "there is no database at")?;
    refused_by_both(&place, "sqlite://no/such/folder/robson.db", 1, "no/such/folder")
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_server_that_does_not_answer() -> Result<()> {
    let place = place().await?;
    let server = PrivateServer::start()?;
    let url = server.url("postgres");
    let (_, host) = url.split_once('@').context("the URL has a user")?;
    let wrong = format!("postgres://robson:not-the-password@{host}");
    refused_by_both(&place, &wrong, 1, "refuses the user or the password")?;
    let missing = url.replace("/postgres", "/no_such_database");
    refused_by_both(&place, &missing, 1, "there is no database at")?;
    drop(server);
    refused(&place, "robson", &["positions", "--database", &url], 1, "cannot be reached")
}

/// The daemon waits for a server that may be starting, says so, and gives up after a minute.
#[tokio::test]
async fn a_server_that_does_not_answer() -> Result<()> {
    let place = place().await?;
    let url = "postgres://robson:hunter2@127.0.0.1:1/robson";
    let daemon = place.robsond(&with_feed(&["--database", url, "--no-api"]))?;
    let ran = daemon.finish(150)?;
    ensure!(ran.code == Some(DAEMON), "{ran:?}");
    let last = ran.err.trim_end().lines().last().unwrap_or_default();
    ensure!(last.starts_with("robsond: ") && last.contains("cannot be reached"), "{}", ran.err);
    ensure!(ran.err.contains("trying again in 1 s") && !ran.err.contains("hunter2"), "{}", ran.err);
    ensure!(files(place.folder())?.len() == 1, "it left something behind");
    Ok(())
}

/// The permission alone is asked, because root may write everything.
#[tokio::test]
async fn a_file_that_may_not_be_written() -> Result<()> {
    let place = traded(Backend::Sqlite).await?;
    let file = place.path("robson.db");
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions)?;
    let sentence = "is read-only: check the permissions";
    refused(&place, "robson", &["db", "migrate"], 1, sentence)?;
    refused(&place, "robson", &["arm", "BTCUSD", "--side", "long"], 1, sentence)?;
    refused(&place, "robsond", &with_feed(&["--no-api"]), DAEMON, sentence)
}

#[tokio::test]
async fn a_database_of_a_newer_version() -> Result<()> {
    let sentence = "the database has version 999, newer than the";
    let newer = "INSERT INTO refinery_schema_history \
                 SELECT 999, 'later', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let place = traded(backend).await?;
        let store = AnyStore::open(&place.url().parse()?, &OpenOptions::default()).await?;
        let done = match &store {
            AnyStore::Sqlite(store) => store.execute_foreign(newer).await,
            AnyStore::Postgres(store) => store.execute_foreign(newer).await,
            AnyStore::Memory(_) => unreachable!("a story has a database"),
        };
        robson_eventlog::Store::close(&store).await;
        done.map_err(|error| anyhow!("{error}"))?;
        refused_by_both(&place, place.url(), 1, sentence)?;
        ensure!(place.head().await == 0, "the newer database is not read either");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_sound() -> Result<()> {
    let place = traded(Backend::Sqlite).await?;
    let sound = fs::read(place.path("robson.db"))?;
    let sentence = "is not a sound SQLite database";
    fs::write(place.path("robson.db"), "not a database, however long it may be".repeat(99))?;
    refused_by_both(&place, place.url(), 1, sentence)?;
    let mut torn = sound.clone();
    torn[4096..3 * 4096].fill(0xff);
    fs::write(place.path("robson.db"), torn)?;
    refused(&place, "robsond", &with_feed(&["--no-api"]), DAEMON, sentence)?;
    refused(&place, "robson", &["db", "migrate"], 1, sentence)?;
    fs::write(place.path("robson.db"), sound)?;
    place.robson(&["replay", "--verify"])?.printed().map(drop)
}

#[tokio::test]
async fn a_capital_of_nothing_and_a_symbol_that_nobody_knows() -> Result<()> {
    let place = traded(Backend::Sqlite).await?;
    refused(&place, "robsond", &with_feed(&["--capital", "0"]), 2, "--capital: 0 is not a capital above 0")?;
    refused(&place, "robson", &["disarm", "ffff"], 5, "there is no position ffff")?;
    refused(&place, "robson", &["why", "ffff"], 5, "there is no position ffff")?;
    let capital = place.robson(&["arm", "BTCUSD", "--side", "long", "--capital", "0"])?;
    ensure!(capital.code == Some(2) && capital.err.contains("above 0"), "{capital:?}");
    let head = place.head().await;
    let symbol = place.robson(&["arm", "DOGEUSD", "--side", "long"])?;
    ensure!(symbol.code == Some(5) && symbol.err.contains("DOGEUSD"), "{symbol:?}");
    ensure!(symbol.err.trim_end().lines().count() == 1, "{symbol:?}");
    ensure!(place.head().await == head, "a refused arm wrote events");
    let plan = "[[arm]]\nat = 2019-05-06T00:00:00Z\nsymbol = \"DOGEUSD\"\nside = \"long\"\n";
    fs::write(place.path("bad.toml"), plan)?;
    let unfed = with_feed(&["--no-api", "--plan", "bad.toml"]);
    refused(&place, "robsond", &unfed, DAEMON, "the plan arms DOGEUSD, which no feed plays")
}

/// Each is refused with file, line and reason before anything is made or traded.
#[tokio::test]
async fn a_feed_that_cannot_be_played() -> Result<()> {
    let place = Place::new(Backend::Sqlite).await?;
    let header = "open_time,open,high,low,close,volume\n";
    let first = "2020-01-01T00:00:00Z,100,110,90,105,5\n";
    let bad = |rows: &str| format!("{header}{first}{rows}\n");
    for (feed, sentence) in [
        (bad("2020-01-01T00:00:00Z,100,110,90,105,5"), "bad.csv:3: open_time"),
        (bad("2019-12-31T00:00:00Z,100,110,90,105,5"), "does not come after"),
        (bad("2020-01-01T01:00:00Z,100,90,110,105,5"), "bad.csv:3: high 90 is below low 110"),
        (bad("2020-01-01T01:00:00Z,100,110,90,120,5"), "bad.csv:3: close 120 is outside low 90 to high 110"),
        (bad("2020-01-01T01:00:00Z,abc,110,90,105,5"), "bad.csv:3: open `abc` is not a number"),
        (bad("2020-01-01T01:00:00Z,NaN,110,90,105,5"), "bad.csv:3: open `NaN` is not a number"),
        (bad("2020-01-01T01:00:00Z,-5,110,90,105,5"), "bad.csv:3: open -5"),
        (bad("2020-01-01T01:00:00Z,100,110,90,105"), "bad.csv:3: the row has 5 fields, not the 6"),
        (bad("yesterday,100,110,90,105,5"), "bad.csv:3: open_time `yesterday` is not an ISO 8601 time"),
        (format!("open_time,open,high,low,close\n{first}"), "bad.csv:1: "),
        (header.to_owned(), "bad.csv"),
        (String::new(), "bad.csv"),
    ] {
        fs::write(place.path("bad.csv"), feed)?;
        let flags = ["--no-api", "--exit-at-end", "--speed", "max", "--feed", "BTCUSD=bad.csv"];
        refused(&place, "robsond", &flags, DAEMON, sentence)?;
    }
    let missing = ["--no-api", "--feed", "BTCUSD=none.csv"];
    refused(&place, "robsond", &missing, DAEMON, "none.csv: there is no such file")
}
