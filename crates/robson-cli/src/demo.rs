//! `demo`: trades two weeks of recorded prices on the paper exchange, and tells the story from the log.
//!
//! Needs no network, no key and no server: the prices and the plan are part of the program.

use std::collections::BTreeMap;
use std::path::Path;

use robson_domain::{Event, Money, Position, PositionId, PositionState, Price, Timestamp};
use robson_eventlog::{EventQuery, RowQuery, Store as _, WriterId};
use robson_projector::{event_of, positions_current};
use robson_store::DatabaseUrl;
use robsond::config::{Configuration, Flags, Settings};
use robsond::report::Report;
use robsond::session::{DEFAULT_TENANT, Databases, Script, Session, beside};
use serde_json::json;

use crate::chart::{self, Marks, Point};
use crate::failure::Failure;
use crate::printer::{Printer, Tone, cents, seconds, short_id, signed};

/// Where the demo leaves its database when no other is named.
pub const DATABASE: &str = "sqlite://robson-demo.db";
const PRICES: &str = include_str!("../../../examples/data/demo-btcusd-1h.csv");
const PLAN: &str = include_str!("../../../examples/plans/demo.toml");
const CHART_WIDTH: usize = 78;
const CHART_HEIGHT: usize = 10;
/// How much of the market a chart shows around its trade.
const CHART_MARGIN_MICROS: i64 = 8 * 3_600 * 1_000_000;

/// Runs the demo; `database` is what the flag or the environment named.
///
/// # Errors
/// The database does not open, or holds a log already.
pub async fn run(database: Option<&str>, printer: &mut Printer) -> Result<(), Failure> {
    let text = database.unwrap_or(DATABASE);
    let url: DatabaseUrl = text.parse()?;
    if text == DATABASE {
        remove_last_demo(&url)?;
    }
    let folder =
        tempfile::tempdir().map_err(|error| Failure::error(format!("no temporary folder: {error}")))?;
    let settings = settings(folder.path(), text)?;
    let script = Script::read(&settings).map_err(|error| Failure::error(error.to_string()))?;
    let databases = Databases::open(&url).await?;
    let played = play(&settings, &script, &databases).await;
    let told = match played {
        Ok(()) => tell(&script, &databases, &url, printer).await,
        Err(failure) => Err(failure),
    };
    databases.close().await;
    told
}

/// The default target is the demo's own: what an earlier demo left there is replaced.
fn remove_last_demo(url: &DatabaseUrl) -> Result<(), Failure> {
    let (paper, _) = beside(url);
    for url in [url, &paper] {
        let DatabaseUrl::Sqlite(path) = url else { continue };
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let name = Path::new(&name).display();
                    return Err(Failure::error(format!("cannot replace the last demo's {name}: {error}")));
                }
            }
        }
    }
    Ok(())
}

fn settings(folder: &Path, database: &str) -> Result<Settings, Failure> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        let written = std::fs::write(&path, text);
        written.map_err(|error| Failure::error(format!("cannot write {}: {error}", path.display())))?;
        Ok::<_, Failure>(path.display().to_string())
    };
    let empty = file("demo.conf", "")?;
    let flags = Flags {
        // A configuration of the operator's must not change the demo.
        config: Some(empty.into()),
        database: Some(database.to_owned()),
        feed: vec![file("demo-btcusd-1h.csv", PRICES)?],
        plan: Some(file("demo.toml", PLAN)?),
        speed: Some("max".to_owned()),
        ..Flags::default()
    };
    let configuration = Configuration::load(&flags, &BTreeMap::new());
    configuration.map(|loaded| loaded.settings).map_err(|error| Failure::error(error.to_string()))
}

async fn play(settings: &Settings, script: &Script, databases: &Databases) -> Result<(), Failure> {
    for store in [&databases.trader, &databases.paper] {
        store.register(DEFAULT_TENANT).await?;
        let events = store.head(DEFAULT_TENANT).await?.log_seq;
        if events > 0 {
            return Err(Failure::error(format!(
                "{} holds a log of {events} events already: the demo needs an empty database of its own",
                settings.database.url
            )));
        }
    }
    let writer = WriterId::new(format!("demo/{}", std::process::id()));
    let writer = writer.map_err(|error| Failure::error(error.to_string()))?;
    let stopped = |error: &dyn std::error::Error| Failure::error(error.to_string());
    let mut session =
        Session::open(settings, databases, script, &writer).await.map_err(|error| stopped(&error))?;
    while session.step().await.map_err(|error| stopped(&error))? {}
    session.close("the feed has ended").await.map_err(|error| stopped(&error))
}

/// What the log says of one position, in order.
#[derive(Debug, Default)]
struct Story {
    lines: Vec<(Timestamp, String)>,
    stops: Vec<Point>,
    entry: Option<Point>,
    exit: Option<Point>,
    denial: Option<String>,
}

async fn tell(
    script: &Script,
    databases: &Databases,
    url: &DatabaseUrl,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let store = databases.trader.as_ref();
    let rows = store.rows(DEFAULT_TENANT, &positions_current::TABLE, &RowQuery::all()).await?;
    let read = rows.iter().map(positions_current::entity).collect::<Result<Vec<Position>, _>>();
    let mut positions = read.map_err(|bad| Failure::error(bad.to_string()))?;
    positions.sort_by_key(|position| (position.meta.created_at, position.position_id));
    let stories = stories(store).await?;
    let report =
        Report::read(store, DEFAULT_TENANT).await.map_err(|error| Failure::error(error.to_string()))?;
    if printer.is_json {
        let trades: Vec<_> = positions
            .iter()
            .map(|p| {
                let story = stories.get(&p.position_id);
                json!({
                    "position_id": p.position_id, "symbol": p.symbol, "side": p.side, "state": p.state,
                    "entry_price": p.entry_price, "quantity": p.entry_quantity,
                    "technical_stop": p.technical_stop_price, "last_stop": p.trailing_stop_price,
                    "realized_pnl": p.realized_pnl, "fees": p.total_fees, "closed_at": p.closed_at,
                    "denial": story.and_then(|story| story.denial.clone()),
                })
            })
            .collect();
        let summary = json!({ "database": url.to_string(), "positions": trades, "report": report });
        return Ok(printer.json(&summary, false)?);
    }
    printer.line("Robson trades two weeks of recorded Bitcoin prices on the paper exchange:")?;
    printer.line("10,000 USD, at most 1 % of it at risk in a trade, every step an event in the log.")?;
    let best = positions.iter().filter(|position| position.state == PositionState::Closed);
    let best = best.max_by_key(|position| position.net_pnl().unwrap_or(Money::ZERO));
    for position in &positions {
        let empty = Story::default();
        let story = stories.get(&position.position_id).unwrap_or(&empty);
        tell_position(position, story, printer)?;
        if best.is_some_and(|best| best.position_id == position.position_id) {
            let colour = printer.colour;
            let picture = picture(script, position, story, colour);
            printer.line("")?;
            picture.trim_end().lines().try_for_each(|line| printer.line(line))?;
        }
    }
    printer.line("")?;
    report.to_string().lines().try_for_each(|line| printer.line(format!("  {line}")))?;
    let id = best.or(positions.first()).map(|position| short_id(position.position_id)).unwrap_or_default();
    printer.line("")?;
    printer.line(printer.bold("Look deeper:"))?;
    for command in
        ["why ".to_owned() + &id, "positions".into(), "events list".into(), "replay --verify".into()]
    {
        printer.line(format!("  robson {command} --database {url}"))?;
    }
    Ok(())
}

fn tell_position(position: &Position, story: &Story, printer: &mut Printer) -> Result<(), Failure> {
    let net = position.net_pnl().unwrap_or(Money::ZERO);
    let (tone, result) = match (&story.denial, position.state) {
        (Some(_), PositionState::Cancelled) => (Tone::Faint, "denied".to_owned()),
        (_, PositionState::Closed) => {
            let tone = if net > Money::ZERO { Tone::Good } else { Tone::Bad };
            (tone, format!("{} USD", signed(net.get())))
        }
        (_, state) => (Tone::Plain, state.to_string()),
    };
    let title = printer.bold(&format!("{} {}", position.side.as_str().to_uppercase(), position.symbol));
    printer.line("")?;
    printer.line(format!("{title}  {}  {}", short_id(position.position_id), printer.toned(tone, &result)))?;
    let mut last = None;
    for (at, text) in &story.lines {
        let time = if last == Some(*at) { String::new() } else { seconds(*at) };
        printer.line(format!("  {time:<19}  {text}"))?;
        last = Some(*at);
    }
    Ok(())
}

/// The closes around a trade, with its entry, its stop and its exit.
fn picture(script: &Script, position: &Position, story: &Story, colour: bool) -> String {
    let (Some(entry), Some(exit)) = (story.entry, story.exit) else { return String::new() };
    let (from, to) = (entry.0.plus_micros(-CHART_MARGIN_MICROS), exit.0.plus_micros(CHART_MARGIN_MICROS));
    let is_shown = |at: Timestamp| from <= at && at <= to;
    let ticks = script.feed.play().filter(|tick| *tick.symbol == position.symbol && is_shown(tick.at));
    let closes: Vec<Point> = ticks.step_by(10).map(|tick| (tick.at, tick.price)).collect();
    let is_purchase = position.side == robson_domain::Side::Long;
    let marks = Marks { entry: Some((entry, is_purchase)), exit: Some(exit), stops: story.stops.clone() };
    chart::render(&closes, &marks, CHART_WIDTH, CHART_HEIGHT, colour)
}

/// The story of each position, from the log alone.
async fn stories(store: &robson_store::AnyStore) -> Result<BTreeMap<PositionId, Story>, Failure> {
    let mut stories: BTreeMap<PositionId, Story> = BTreeMap::new();
    let mut orders: BTreeMap<robson_domain::OrderId, PositionId> = BTreeMap::new();
    let mut query = EventQuery::all(DEFAULT_TENANT);
    loop {
        let page = store.read(&query).await?;
        for recorded in &page.events {
            let event = event_of(recorded).map_err(|error| Failure::error(error.to_string()))?;
            if let Event::OrderSubmitted(order) = &event
                && let Some(position) = order.position_id
            {
                orders.insert(order.order_id, position);
            }
            let at = robson_projector::time_of(recorded.occurred_at);
            if let Some(position) = position_of(&event, &orders) {
                stories.entry(position).or_default().add(at, &event);
            }
        }
        match page.events.last() {
            Some(last) if page.events.len() == query.limit => query.after = last.log_seq,
            _ => return Ok(stories),
        }
    }
}

fn position_of(event: &Event, orders: &BTreeMap<robson_domain::OrderId, PositionId>) -> Option<PositionId> {
    match (event, event.stream()) {
        (Event::RiskCheckFailed(failed), _) => failed.position_id,
        (_, robson_domain::StreamName::Position(id)) => Some(id),
        (_, robson_domain::StreamName::Order(id)) => orders.get(&id).copied(),
        _ => None,
    }
}

impl Story {
    fn add(&mut self, at: Timestamp, event: &Event) {
        let line = match event {
            Event::PositionArmed(armed) => {
                let waits = match armed.entry_mode {
                    robson_domain::EntryMode::Immediate => "enters at the next price",
                    _ => "waits for the averages of 9 and 21 hours to cross",
                };
                format!("armed: {waits}")
            }
            Event::SignalDetected(signal) => format!("signal at {}", signal.price),
            Event::TechnicalStopAnalyzed(stop) => stop_line(stop),
            Event::RiskCheckFailed(failed) => {
                self.denial = Some(failed.violation_reason.clone());
                format!("denied by the risk gate: {}", failed.violation_reason)
            }
            Event::DecisionProposed(decision) => format!(
                "size {}: {} USD at risk down to the stop, gap and fees included",
                decision.quantity,
                cents(decision.planned_risk.get())
            ),
            Event::FillReceived(fill) => {
                if self.entry.is_none() {
                    self.entry = Some((at, fill.fill_price));
                }
                self.exit = Some((at, fill.fill_price));
                let verb = match fill.side {
                    robson_domain::OrderSide::Buy => "bought",
                    robson_domain::OrderSide::Sell => "sold",
                };
                format!(
                    "{verb} {} at {}, fee {}",
                    fill.fill_quantity,
                    fill.fill_price,
                    cents(fill.fee_quote.get())
                )
            }
            Event::PositionOpened(opened) => {
                self.stops.push((at, opened.initial_stop));
                return;
            }
            Event::TrailingStopUpdated(moved) => {
                self.stops.push((at, moved.new_stop));
                return;
            }
            Event::ExitTriggered(exit) => return self.add_exit(at, exit.trigger_price),
            Event::PositionClosed(closed) => format!(
                "closed: {} before fees of {}",
                signed(closed.realized_pnl.get()),
                cents(closed.total_fees.get())
            ),
            _ => return,
        };
        self.lines.push((at, line));
    }

    fn add_exit(&mut self, at: Timestamp, price: Option<Price>) {
        if let [(_, first), .., (last_at, last)] = self.stops.as_slice() {
            let moves = self.stops.len() - 1;
            self.lines.push((*last_at, format!("stop moved {moves} times, from {first} to {last}")));
        }
        let price = price.map(|price| price.to_string()).unwrap_or_default();
        self.lines.push((at, format!("stop touched at {price}")));
    }
}

fn stop_line(stop: &robson_domain::events::TechnicalStopAnalyzed) -> String {
    let why = match (stop.method, stop.level_n) {
        (robson_domain::StopMethod::Swing, Some(level)) => {
            format!("swing level {level} behind the entry, {} confidence", stop.confidence)
        }
        _ => "1.5 average true ranges behind the entry".to_owned(),
    };
    format!("stop {}: {why}", stop.stop_price)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_demo_trades_both_ways_wins_loses_and_is_denied_once() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), "memory:").unwrap();
        let script = Script::read(&settings).unwrap();
        let databases = Databases::open(&settings.database.url).await.unwrap();
        play(&settings, &script, &databases).await.unwrap();
        let store = databases.trader.as_ref();
        let rows = store.rows(DEFAULT_TENANT, &positions_current::TABLE, &RowQuery::all()).await.unwrap();
        let positions: Vec<Position> =
            rows.iter().map(|row| positions_current::entity(row).unwrap()).collect();
        let closed = || positions.iter().filter(|position| position.state == PositionState::Closed);
        assert!(closed().any(|p| p.side == robson_domain::Side::Long));
        assert!(closed().any(|p| p.side == robson_domain::Side::Short));
        assert!(closed().any(|p| p.net_pnl().unwrap() > Money::ZERO));
        assert!(closed().any(|p| p.net_pnl().unwrap() < Money::ZERO));
        let stories = stories(store).await.unwrap();
        assert_eq!(stories.values().filter(|story| story.denial.is_some()).count(), 1);
        assert!(play(&settings, &script, &databases).await.is_err(), "a log that is not empty is refused");
    }
}
