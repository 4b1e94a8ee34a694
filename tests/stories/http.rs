//! The daemon over HTTP and the command line beside it: asked, told, misused, and sent home.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use robson_stories::{Answer, Backend, Daemon, Http, Place, Ran, Signal, repository};
use serde_json::{Value, json};

const TOKEN: &str = "only-the-story-knows";
const KEY: &str = "0197f000-0000-7000-8000-000000000001";
const UNKNOWN: &str = "/api/v1/positions/0197f000-0000-7000-8000-00000000dead";

/// An hour of the market takes a second.
const SPEED: &str = "3600x";

/// A daemon that trades, and a client that has its token.
fn trading(place: &Place) -> Result<(Daemon, Http)> {
    let feed = format!("BTCUSD={}", repository("examples/data/coinbase-btcusd-1h.csv").display());
    let mut daemon = place.robsond(&["--feed", &feed, "--speed", SPEED, "--api-port", "0"])?;
    let http = Http::of(&mut daemon)?;
    http.wait_for("/api/v1/status", |answer| !answer.json()["budget"].is_null())?;
    let bearer = format!("Bearer {TOKEN}");
    Ok((daemon, http.with("Authorization", &bearer)))
}

async fn place(backend: Backend) -> Result<Place> {
    Ok(Place::new(backend).await?.with("ROBSON_API_TOKEN", TOKEN))
}

/// Requires a status, and of a refusal one sentence and a code.
fn require(answer: Answer, status: u16) -> Result<Value> {
    let body = answer.json();
    ensure!(answer.status == status, "{status} was due: {answer:?}");
    let error = body["error"].as_str();
    let is_explained = error.is_some_and(|error| !error.is_empty() && !error.contains('\n'));
    ensure!(status < 400 || (is_explained && body["code"].is_string()), "not explained: {answer:?}");
    Ok(body)
}

fn arm(side: &str, entry: &str) -> Value {
    json!({ "symbol": "BTCUSD", "side": side, "entry_policy": { "mode": entry } })
}

fn ids(page: &Value) -> Vec<String> {
    let positions = page["positions"].as_array().into_iter().flatten();
    positions.filter_map(|position| position["position_id"].as_str().map(str::to_owned)).collect()
}

async fn asked_and_told(backend: Backend) -> Result<()> {
    let place = place(backend).await?;
    let (daemon, http) = trading(&place)?;
    let positions = || http.get("/api/v1/positions").map(|answer| ids(&answer.json()));

    require(http.get("/health")?, 200)?;
    http.wait_for("/ready", |answer| answer.status == 200)?;
    let document = require(http.get("/api/openapi.json")?, 200)?;
    for path in ["/health", "/ready", "/metrics", "/api/v1/status", "/api/v1/positions", "/api/v1/panic"] {
        ensure!(document["paths"][path].is_object(), "{path} is not in the document");
    }

    // What is refused leaves nothing behind.
    let stranger = http.with("Authorization", "Bearer something-else");
    require(stranger.post("/api/v1/positions", &arm("LONG", "immediate"))?, 401)?;
    let unknown = json!({ "symbol": "DOGEUSD", "side": "LONG" });
    require(http.post("/api/v1/positions", &unknown)?, 404)?;
    let nothing = json!({ "symbol": "BTCUSD", "side": "LONG", "capital": "0" });
    require(http.post("/api/v1/positions", &nothing)?, 400)?;
    require(http.delete(UNKNOWN)?, 404)?;
    ensure!(positions()?.is_empty(), "a refused arm left a position behind");

    // The same key is the same command.
    let keyed = http.with("Idempotency-Key", KEY);
    let armed = require(keyed.post("/api/v1/positions", &arm("LONG", "confirmed_trend"))?, 201)?;
    let again = require(keyed.post("/api/v1/positions", &arm("LONG", "confirmed_trend"))?, 201)?;
    ensure!(armed == again && positions()?.len() == 1, "armed twice: {armed} and {again}");
    require(keyed.post("/api/v1/positions", &arm("SHORT", "confirmed_trend"))?, 409)?;
    let long = armed["position_id"].as_str().context("the answer names the position")?.to_owned();
    let of_long = format!("/api/v1/events?position_id={long}");

    // The price is about 2,450 and does not fall below 2,300 for days.
    let before = require(http.get(&of_long)?, 200)?;
    let wrong_side = json!({ "entry_price": "2450", "stop_loss": "2600" });
    let refused = require(http.post(&format!("/api/v1/positions/{long}/signal"), &wrong_side)?, 400)?;
    ensure!(refused["error"].as_str().is_some_and(|error| error.contains("stop")), "{refused}");
    ensure!(require(http.get(&of_long)?, 200)? == before, "a refused signal left events behind");
    let signal = json!({ "entry_price": "2450", "stop_loss": "2300" });
    require(http.post(&format!("/api/v1/positions/{long}/signal"), &signal)?, 200)?;
    let path = format!("/api/v1/positions/{long}");
    http.wait_for(&path, |answer| answer.json()["state"] == "active")?;
    let events = require(http.get(&of_long)?, 200)?.to_string();
    for event in ["POSITION_ARMED", "SIGNAL_DETECTED", "ORDER_SUBMITTED", "FILL_RECEIVED", "POSITION_OPENED"]
    {
        ensure!(events.contains(event), "{event} is not among {events}");
    }

    let armed = require(http.post("/api/v1/positions", &arm("SHORT", "confirmed_trend"))?, 201)?;
    let short = format!("/api/v1/positions/{}", armed["position_id"].as_str().unwrap_or_default());
    require(http.delete(&short)?, 204)?;
    require(http.delete(&short)?, 409)?;
    require(http.delete(&path)?, 409)?;

    // A stream goes on behind the last event that was seen.
    let stream = |last: &str| http.with("Last-Event-ID", last).stream("/api/v1/events", 5);
    ensure!(stream("0")? == ["1", "2", "3", "4", "5"] && stream("3")?[0] == "4");

    let open = require(http.get("/api/v1/monthly-halt")?, 200)?;
    ensure!(open["halted"] == false && open["budget"]["base"].is_string(), "{open}");

    let panicked = require(http.post("/api/v1/panic", &json!({}))?, 200)?;
    ensure!(panicked["positions"][0]["position_id"] == long.as_str(), "{panicked}");
    http.wait_for(&path, |answer| answer.json()["state"] == "closed")?;
    ensure!(http.get("/metrics")?.text.contains("# TYPE robsond_"), "Prometheus text");

    let reason = json!({ "reason": "the story ends" });
    require(http.post("/api/v1/monthly-halt", &reason)?, 200)?;
    let halted = require(http.get("/api/v1/monthly-halt")?, 200)?;
    ensure!(halted["halted"] == true && halted["reason"] == "the story ends", "{halted}");
    ensure!(halted["since"].is_string() && halted["limit"] == "operator", "{halted}");

    daemon.signal(Signal::Terminate)?;
    daemon.finish(10)?.printed()?;
    let last = place.robson(&["events", "list", "--type", "DAEMON_STOPPED", "--json"])?.printed()?;
    ensure!(last.contains("told to stop"), "{last}");
    place.robson(&["replay", "--verify"])?.printed().map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_asked_and_told_over_http_on_sqlite() -> Result<()> {
    asked_and_told(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_asked_and_told_over_http_on_postgres() -> Result<()> {
    asked_and_told(Backend::Postgres).await
}

/// The command line asks the daemon; without one it arms and disarms by itself, and says what it cannot do.
async fn by_command_line(backend: Backend) -> Result<()> {
    let place = place(backend).await?;
    let (daemon, http) = trading(&place)?;
    let with_daemon = place.with("ROBSON_DAEMON_URL", http.url());
    let arm_short = ["arm", "BTCUSD", "--side", "short", "--json"];
    let armed: Value = serde_json::from_str(&with_daemon.robson(&arm_short)?.printed()?)?;
    let short = armed["positions"][0]["position_id"].as_str().context("a position")?.to_owned();
    let twin = with_daemon.robson(&arm_short)?;
    ensure!(twin.code == Some(6), "a twin is refused: {twin:?}");
    let unknown = with_daemon.robson(&["arm", "DOGEUSD", "--side", "long"])?;
    ensure!(unknown.code == Some(5), "an unknown symbol: {unknown:?}");
    ensure!(with_daemon.robson(&["status"])?.printed()?.contains("BTCUSD"), "the status shows what is armed");
    with_daemon.robson(&["disarm", &short])?.printed()?;
    with_daemon.robson(&["entries", "stop", "--reason", "news at noon"])?.printed()?;
    let stopped = with_daemon.robson(&["arm", "BTCUSD", "--side", "long"])?;
    ensure!(stopped.code == Some(3) && stopped.err.contains("entries are stopped"), "{stopped:?}");
    with_daemon.robson(&["entries", "resume"])?.printed()?;
    with_daemon.robson(&["strategies", "create", "breakout", "--max-exposure", "5000"])?.printed()?;
    let arm_breakout = ["arm", "BTCUSD", "--side", "long", "--strategy", "breakout"];
    let disabled = with_daemon.robson(&arm_breakout)?;
    ensure!(disabled.code == Some(6), "a strategy is made disabled: {disabled:?}");
    with_daemon.robson(&["strategies", "enable", "breakout"])?.printed()?;
    with_daemon.robson(&["strategies", "update", "breakout", "--daily-loss-limit", "100"])?.printed()?;
    let strategies = with_daemon.robson(&["strategies", "list"])?.printed()?;
    ensure!(strategies.contains("5000.00") && strategies.contains("100.00"), "{strategies}");
    with_daemon.robson(&arm_breakout)?.printed()?;
    let asked = with_daemon.robson(&["panic"])?;
    ensure!(asked.code == Some(2) && asked.err.contains("--confirm"), "{asked:?}");
    with_daemon.robson(&["panic", "--confirm"])?.printed()?;
    let states = with_daemon.robson(&["positions", "--json"])?.printed()?;
    let states: Vec<Value> = serde_json::from_str(&states)?;
    let states: BTreeSet<&str> = states.iter().filter_map(|position| position["state"].as_str()).collect();
    ensure!(states == BTreeSet::from(["cancelled"]), "{states:?}");
    let forgotten = with_daemon.with("ROBSON_API_TOKEN", "");
    let refused = forgotten.robson(&["panic", "--confirm"])?;
    ensure!(refused.code == Some(4), "without the token: {refused:?}");
    daemon.signal(Signal::Terminate)?;
    daemon.finish(10)?.printed()?;

    let alone = forgotten.with("ROBSON_API_TOKEN", TOKEN);
    alone.robson(&["arm", "BTCUSD", "--side", "long"])?.printed()?;
    let live: Vec<Value> =
        serde_json::from_str(&alone.robson(&["positions", "--state", "armed", "--json"])?.printed()?)?;
    let id = live.first().and_then(|position| position["position_id"].as_str()).context("it is armed")?;
    alone.robson(&["disarm", id])?.printed()?;
    alone.robson(&["entries", "stop"])?.printed()?;
    ensure!(alone.robson(&["arm", "BTCUSD", "--side", "long"])?.code == Some(3), "entries are stopped");
    alone.robson(&["entries", "resume"])?.printed()?;
    alone.robson(&["strategies", "disable", "breakout", "--reason", "under review"])?.printed()?;
    let shown = alone.robson(&["halt"])?;
    ensure!(shown.code == Some(2) && shown.out.contains("is not halted"), "{shown:?}");
    for needs_daemon in [["halt", "--confirm"], ["approve", "00000000-0000-0000-0000-000000000001"]] {
        ensure!(alone.robson(&needs_daemon)?.code == Some(3), "{needs_daemon:?}");
    }
    let Ran { code, err, .. } = alone.robson(&["panic", "--confirm"])?;
    ensure!(code == Some(3) && err.contains("start `robsond`"), "{err}");
    alone.robson(&["replay", "--verify"])?.printed().map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_for_the_operator_on_sqlite() -> Result<()> {
    by_command_line(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_speaks_for_the_operator_on_postgres() -> Result<()> {
    by_command_line(Backend::Postgres).await
}
