//! Sessions on recorded data, in memory: what a run comes to, and that a restart changes nothing of it.

use std::collections::BTreeMap;
use std::path::Path;

use robson_eventlog::WriterId;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_weekly_arms_trades_within_the_rule() {
    let settings = settings("examples/data/coinbase-btcusd-1h.csv", "examples/plans/weekly.toml");
    let script = Script::read(&settings).unwrap();
    let databases = Databases::open(&settings.database.url).await.unwrap();
    let writer = WriterId::new("test").unwrap();
    let mut session = Session::open(&settings, &databases, &script, &writer).await.unwrap();
    while session.step().await.unwrap() {}
    session.close("test ends").await.unwrap();
    let report = Report::read(databases.trader.as_ref(), DEFAULT_TENANT).await.unwrap();
    println!("{report}");
    assert!(report.trades > 50, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tmp_losses() {
    use robson_eventlog::{RowQuery, Store};
    let settings = settings("examples/data/coinbase-btcusd-1h.csv", "examples/plans/weekly.toml");
    let script = Script::read(&settings).unwrap();
    let databases = Databases::open(&settings.database.url).await.unwrap();
    let writer = WriterId::new("test").unwrap();
    let mut session = Session::open(&settings, &databases, &script, &writer).await.unwrap();
    while session.step().await.unwrap() {}
    let t = &robson_projector::positions_current::TABLE;
    let rows = databases.trader.rows(DEFAULT_TENANT, t, &RowQuery::all()).await.unwrap();
    for row in rows {
        let p = robson_projector::positions_current::entity(&row).unwrap();
        if p.state == robson_domain::PositionState::Closed {
            let lim = p.risk_capital.part(p.risk_pct).unwrap().get();
            let net = p.net_pnl().unwrap().get();
            if -net > lim {
                println!("{} {} entry {:?} qty {:?} stop {:?} tstop {:?} D {:?} net {net} limit {lim} opened {:?} closed {:?}", p.position_id, p.side, p.entry_price, p.entry_quantity, p.trailing_stop_price, p.technical_stop_price, p.technical_stop_distance, p.entry_filled_at, p.closed_at);
            }
        }
    }
}
