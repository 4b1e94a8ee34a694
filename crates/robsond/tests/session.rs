//! Sessions on recorded data, in memory: what a run comes to, and what a misbehaving venue cannot change.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::collections::BTreeMap;
use std::path::Path;

use robson_domain::{Fraction, Money, Position, PositionState};
use robson_eventlog::{EventQuery, RecordedEvent, RowQuery, Store, WriterId};
use robson_projector::positions_current;
use robson_store::AnyStore;
use robson_venue::paper::FaultPlan;
use robsond::config::{Configuration, Flags, Settings};
use robsond::report::Report;
use robsond::session::{DEFAULT_TENANT, Databases, Script, Session};

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

fn settings(feed: &str, plan: &str) -> Settings {
    let flags = Flags {
        database: Some("memory:".to_owned()),
        feed: vec![repository(feed)],
        plan: Some(repository(plan)),
        ..Flags::default()
    };
    Configuration::load(&flags, &BTreeMap::new()).unwrap().settings
}

/// Plays the feed to its end.
async fn play(settings: &Settings) -> Databases {
    let script = Script::read(settings).unwrap();
    let databases = Databases::open(&settings.database.url).await.unwrap();
    let writer = WriterId::new("test").unwrap();
    let mut session = Session::open(settings, &databases, &script, &writer).await.unwrap();
    while session.step().await.unwrap() {}
    session.close("test ends").await.unwrap();
    databases
}

async fn positions(databases: &Databases) -> Vec<Position> {
    let rows =
        databases.trader.rows(DEFAULT_TENANT, &positions_current::TABLE, &RowQuery::all()).await.unwrap();
    rows.iter().map(|row| positions_current::entity(row).unwrap()).collect()
}

async fn events(store: &AnyStore, event_type: &str) -> Vec<RecordedEvent> {
    let query = EventQuery {
        event_types: vec![event_type.parse().unwrap()],
        limit: 10_000,
        ..EventQuery::all(DEFAULT_TENANT)
    };
    store.read(&query).await.unwrap().events
}

/// No bar of the file opened beyond a stop, so the rule has no exception here; `tests/stories/weekly.rs`
/// runs the same with the exception looked up.
#[tokio::test(flavor = "multi_thread")]
async fn two_years_of_weekly_arms_lose_at_most_one_percent_a_trade() {
    let databases =
        play(&settings("examples/data/coinbase-btcusd-1h.csv", "examples/plans/weekly.toml")).await;
    let report = Report::read(databases.trader.as_ref(), DEFAULT_TENANT).await.unwrap();
    assert!(report.trades > 200, "{report}");
    for position in positions(&databases).await.iter().filter(|p| p.state == PositionState::Closed) {
        let loss = Money::ZERO.minus(position.net_pnl().unwrap()).unwrap();
        let limit = position.risk_capital.part(position.risk_pct).unwrap();
        assert!(loss <= limit, "{} lost {loss} of {limit}", position.position_id);
    }
}

/// Lost requests, lost answers and doubled reports cost time at most: nothing is bought or sold twice, and
/// every position that was opened is closed or still watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_loses_answers_is_asked_and_nothing_is_sent_twice() {
    let fraction = |text: &str| text.parse::<Fraction>().unwrap();
    let mut settings = settings("examples/data/demo-btcusd-1h.csv", "examples/plans/demo.toml");
    let faults = FaultPlan {
        seed: 7,
        lost_request: fraction("0.3"),
        lost_reply: fraction("0.3"),
        refusal: fraction("0.2"),
        duplicate_report: fraction("0.5"),
    };
    settings.paper.faults = faults;
    let (mut unknown, mut refused) = (0, 0);
    for seed in 0..20 {
        settings.paper.faults.seed = seed;
        let databases = play(&settings).await;
        let trader = databases.trader.as_ref();
        let outcomes = events(trader, "INTENT_COMPLETED").await;
        unknown += outcomes.iter().filter(|e| e.payload.as_str().contains(r#""outcome":"unknown""#)).count();
        refused += events(trader, "ORDER_REJECTED").await.len();
        let recorded = events(trader, "FILL_RECEIVED").await.len();
        let filled = events(databases.paper.as_ref(), "PAPER_FILLED").await.len();
        assert_eq!(recorded, filled, "seed {seed}: what the venue filled is what was recorded");
        for position in positions(&databases).await {
            assert_ne!(position.state, PositionState::Error, "seed {seed}: {:?}", position.error);
            assert_ne!(position.state, PositionState::Exiting, "seed {seed}");
        }
    }
    assert!(unknown > 0 && refused > 0, "the faults never struck: {unknown} unknown, {refused} refused");
}
