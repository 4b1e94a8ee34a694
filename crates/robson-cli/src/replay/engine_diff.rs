//! `replay --engine-diff`: the recorded signals, decided once more by this program's engine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::sync::Arc;

use robson_domain::events::SignalDetected;
use robson_domain::{EntityKey, Event, Money, Position, RiskKey, RiskState, Symbol, Timestamp};
use robson_engine::candles::Tick as EngineTick;
use robson_eventlog::{Checks, EventQuery, RecordedEvent, Replay, RowKey, RowQuery, Value};
use robson_projector::{balances_current, event_of, positions_current, risk_state_current, row_key};
use robson_store::AnyStore;
use robson_venue::exchange::Instrument;
use robson_venue::feed::{FeedSource, Playback, RecordedFeed};
use robsond::config::{Configuration, Flags, Settings as DaemonSettings};
use robsond::engine_diff::{Change, Chart, Situation, changes, decide, recorded};
use robsond::trader::Market;
use serde_json::json;

use super::{Scratch, options, progress};
use crate::args;
use crate::db::Database;
use crate::failure::Failure;
use crate::positions::unreadable;
use crate::printer::{Align, Cell, Listing, Printer, seconds, short_id};
use crate::settings::Settings;

/// How many signals are read at once.
const PAGE: usize = 500;
/// How many events behind a signal tell what it led to, at most.
const BEHIND_MAX: usize = 50;

/// A decision that would differ.
struct Differing {
    signal: SignalDetected,
    log_seq: i64,
    changes: Vec<Change>,
}

/// How many signals there are of each kind.
#[derive(Default)]
struct Counts {
    compared: usize,
    undecided: usize,
    without_prices: usize,
}

/// `replay --engine-diff [--feed FILE]`.
///
/// # Errors
/// The log does not fold; the settings or the feed cannot be read.
pub async fn run(settings: &Settings, args: &args::Replay, printer: &mut Printer) -> Result<(), Failure> {
    let db = &Database::read(settings).await?;
    let tenant = db.used_tenant()?;
    let settings = daemon_settings(settings, args)?;
    let mut prices = if args.feed.is_empty() { None } else { Some(Prices::open(&settings)?) };
    let scratch = Scratch::open(tenant).await?;
    let (source, target) = (Arc::clone(db.store()), Arc::clone(scratch.store()));
    let mut replay = Replay::begin(source, target, options(tenant, Checks::Links)).await?;
    let head = db.head().await?.log_seq;
    let bar = progress(head, !printer.is_json);
    let (mut differing, mut counts) = (Vec::new(), Counts::default());
    let signals = vec!["SIGNAL_DETECTED".parse().map_err(|_| Failure::error("a type's name"))?];
    let mut query = EventQuery { event_types: signals, limit: PAGE, up_to: head, ..EventQuery::all(tenant) };
    loop {
        let page = db.events(query.clone()).await?.events;
        let Some(last) = page.last() else { break };
        query.after = last.log_seq;
        for event in &page {
            replay.fold_up_to(event.log_seq, |_| ControlFlow::Continue(())).await?;
            bar.set_position(u64::try_from(event.log_seq).unwrap_or(0));
            if let Some(found) = compare(db, &replay, event, &settings, prices.as_mut(), &mut counts).await? {
                differing.push(found);
            }
        }
    }
    bar.finish_and_clear();
    scratch.close().await;
    print(&differing, &counts, prices.is_some(), printer)
}

/// What the daemon would run with: its file and environment, and the feed that was named.
fn daemon_settings(settings: &Settings, args: &args::Replay) -> Result<DaemonSettings, Failure> {
    let flags = Flags { config: settings.file.clone(), feed: args.feed.clone(), ..Flags::default() };
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables: BTreeMap<String, String> = std::env::vars_os().filter_map(text).collect();
    let configured = Configuration::load(&flags, &variables);
    Ok(configured.map_err(|error| Failure::usage(error.to_string()))?.settings)
}

fn instrument(settings: &DaemonSettings, symbol: &Symbol) -> Instrument {
    let filters = settings.filters(symbol);
    Instrument {
        tick_size: filters.tick,
        step: filters.step,
        min_quantity: filters.min_quantity,
        min_notional: filters.min_notional,
        ..Instrument::with_default_filters(symbol, &settings.paper.rules.quote)
    }
}

async fn compare(
    db: &Database,
    replay: &Replay<AnyStore, AnyStore>,
    event: &RecordedEvent,
    settings: &DaemonSettings,
    prices: Option<&mut Prices>,
    counts: &mut Counts,
) -> Result<Option<Differing>, Failure> {
    let decoded = event_of(event).map_err(|error| Failure::error(error.to_string()))?;
    let Event::SignalDetected(signal) = decoded else { return Ok(None) };
    let behind = behind(db, event, &signal).await?;
    let Some(before) = recorded(signal.signal_id, &behind) else {
        counts.undecided += 1;
        return Ok(None);
    };
    let Some(situation) = situation(replay, &signal, settings).await? else {
        counts.undecided += 1;
        return Ok(None);
    };
    let market = match prices {
        Some(prices) => prices.at(&signal.symbol, signal.detected_at)?,
        None => None,
    };
    counts.without_prices += usize::from(market.is_none());
    if market.is_none() && before.stop.is_none() {
        // It ended before a stop was told, and without prices there is none to go on with.
        return Ok(None);
    }
    let chart = market.map(|(market, tick)| Chart {
        candles: market.candles(),
        length: market.candle_length(),
        tick,
    });
    counts.compared += 1;
    let now = decide(&situation, before.stop, chart.as_ref(), &settings.risk);
    let changes = changes(&before, &now);
    Ok((!changes.is_empty()).then_some(Differing { signal, log_seq: event.log_seq, changes }))
}

/// What followed a signal: the position's own events, and those of others that name it.
async fn behind(
    db: &Database,
    event: &RecordedEvent,
    signal: &SignalDetected,
) -> Result<Vec<Event>, Failure> {
    let query = EventQuery {
        after: event.log_seq,
        limit: BEHIND_MAX,
        entity_id: Some(signal.position_id.to_string()),
        ..EventQuery::all(event.tenant)
    };
    let events = db.events(query).await?.events;
    events.iter().map(|event| event_of(event).map_err(|error| Failure::error(error.to_string()))).collect()
}

/// The rows that the decision rested on, as they were right after the signal.
async fn situation(
    replay: &Replay<AnyStore, AnyStore>,
    signal: &SignalDetected,
    settings: &DaemonSettings,
) -> Result<Option<Situation>, Failure> {
    let of_symbol = RowQuery::filter("symbol", Value::Text(signal.symbol.to_string()));
    let rows = replay.rows(&positions_current::TABLE, &of_symbol).await?;
    let positions: Vec<Position> =
        rows.iter().map(positions_current::entity).collect::<Result<_, _>>().map_err(unreadable)?;
    let (mut own, others): (Vec<Position>, Vec<Position>) =
        positions.into_iter().partition(|position| position.position_id == signal.position_id);
    let Some(position) = own.pop() else { return Ok(None) };
    let others = others.into_iter().filter(|other| other.account_id == position.account_id).collect();
    let Some(risk) = risk_of(replay, RiskKey::account(position.account_id)).await? else { return Ok(None) };
    let strategy = match position.strategy_id {
        Some(id) => risk_of(replay, RiskKey::strategy(position.account_id, id)).await?,
        None => None,
    };
    let instrument = instrument(settings, &signal.symbol);
    let balances = RowQuery::filter("account_id", Value::Uuid(position.account_id.0));
    let balances = replay.rows(&balances_current::TABLE, &balances).await?;
    // Before the first sample there is only what the account began its month with.
    let mut available = risk.capital_base;
    for row in &balances {
        let balance = balances_current::entity(row).map_err(unreadable)?;
        if balance.key.asset == instrument.quote {
            available = Money::new(balance.free.get()).map_or(Money::ZERO, Money::at_least_zero);
        }
    }
    let not_before = position.meta.created_at;
    let (entry, at) = (signal.price, signal.detected_at);
    Ok(Some(Situation { position, others, risk, strategy, available, entry, at, not_before, instrument }))
}

async fn risk_of(replay: &Replay<AnyStore, AnyStore>, key: RiskKey) -> Result<Option<RiskState>, Failure> {
    let RowKey { key, .. } = row_key(&EntityKey::RiskState(key));
    let rows = replay.rows(&risk_state_current::TABLE, &RowQuery::keys(vec![key])).await?;
    rows.first().map(risk_state_current::entity).transpose().map_err(unreadable)
}

/// A feed, played once along the signals.
struct Prices {
    playback: std::iter::Peekable<Playback>,
    markets: BTreeMap<Symbol, (Market, Option<EngineTick>)>,
}

impl Prices {
    fn open(settings: &DaemonSettings) -> Result<Self, Failure> {
        let mut sources = Vec::new();
        for spec in &settings.run.feeds {
            let symbol = spec.symbol_or(None).map_err(|error| Failure::usage(error.to_string()))?;
            let tick_size = settings.filters(&symbol).tick;
            sources.push(FeedSource { symbol, file: spec.file.clone(), tick_size });
        }
        let feed = RecordedFeed::open(&sources).map_err(|error| Failure::usage(error.to_string()))?;
        let markets = feed.summaries().into_iter().map(|summary| {
            let instrument = instrument(settings, &summary.symbol);
            (summary.symbol, (Market::new(instrument, summary.bar_micros), None))
        });
        Ok(Self { markets: markets.collect(), playback: feed.play().peekable() })
    }

    /// A symbol's market at an instant that is not before the last one that was asked for.
    fn at(
        &mut self,
        symbol: &Symbol,
        at: Timestamp,
    ) -> Result<Option<(&Market, Option<EngineTick>)>, Failure> {
        while let Some(tick) = self.playback.next_if(|tick| tick.at <= at) {
            if let Some((market, last)) = self.markets.get_mut(&*tick.symbol) {
                market.take(&tick).map_err(|error| Failure::error(error.to_string()))?;
                *last = Some(EngineTick { time: tick.at, price: tick.price, quantity: tick.quantity });
            }
        }
        Ok(self.markets.get(symbol).map(|(market, tick)| (market, *tick)))
    }
}

fn print(
    differing: &[Differing],
    counts: &Counts,
    has_feed: bool,
    printer: &mut Printer,
) -> Result<(), Failure> {
    if printer.is_json {
        let change =
            |change: &Change| json!({ "part": change.part, "recorded": change.recorded, "now": change.now });
        let one = |found: &Differing| {
            json!({
                "log_seq": found.log_seq,
                "position_id": found.signal.position_id,
                "signal_id": found.signal.signal_id,
                "detected_at": found.signal.detected_at,
                "changes": found.changes.iter().map(change).collect::<Vec<_>>(),
            })
        };
        let json = json!({
            "signals": counts.compared,
            "undecided": counts.undecided,
            "stops_and_entries_not_compared": counts.without_prices,
            "differing": differing.iter().map(one).collect::<Vec<_>>(),
        });
        return Ok(printer.json(&json, false)?);
    }
    let cells = |found: &Differing| {
        let changes: Vec<String> = found.changes.iter().map(ToString::to_string).collect();
        vec![
            Cell::of(found.log_seq),
            Cell::of(seconds(found.signal.detected_at)),
            Cell::of(short_id(found.signal.position_id)),
            Cell::of(&found.signal.symbol),
            Cell::of(changes.join("; ")),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("LOG", Align::Right),
            ("TIME", Align::Left),
            ("POSITION", Align::Left),
            ("SYMBOL", Align::Left),
            ("RECORDED, AND NOW", Align::Left),
        ],
        rows: differing.iter().map(cells).collect(),
        when_empty: "no decision would differ",
    };
    printer.table(&listing)?;
    let (compared, differ) = (counts.compared, differing.len());
    printer.line(format!("{compared} signals decided once more: {differ} would differ"))?;
    if counts.without_prices > 0 {
        let which = if has_feed { "where the feed has no prices" } else { "name prices with --feed FILE" };
        printer.line(format!(
            "stops and entries of {} signals were not compared, their recorded stops were taken: {which}",
            counts.without_prices
        ))?;
    }
    Ok(())
}
