//! The whole recorded file, a long and a short armed each week: the run that the project is judged by.

use std::collections::BTreeMap;
use std::fs::read_to_string;

use anyhow::{Context as _, Result, ensure};
use robson_domain::{Event, OrderRole, Position, PositionId, PositionState, Side};
use robson_eventlog::{EventQuery, RowQuery, Store as _};
use robson_projector::{event_of, fills, orders_current, positions_current};
use robson_store::AnyStore;
use robson_stories::{Backend, Place, repository};
use robsond::session::DEFAULT_TENANT;
use rust_decimal::Decimal;

const FEED: &str = "examples/data/coinbase-btcusd-1h.csv";
const PLAN: &str = "examples/plans/weekly.toml";

#[tokio::test]
async fn two_years_end_without_an_error_and_no_trade_loses_more_than_the_rule() -> Result<()> {
    let place = Place::new(Backend::Sqlite).await?;
    let feed = format!("BTCUSD={}", repository(FEED).display());
    let plan = repository(PLAN).display().to_string();
    let flags = ["--paper", "--feed", &feed, "--plan", &plan, "--speed", "max", "--exit-at-end", "--no-api"];
    let report = place.run_to_end(&flags)?.printed()?;
    println!("{report}");
    for line in ["trades ", " won, ", "fees ", "net PnL ", "max drawdown ", "events ", " events/s"] {
        ensure!(report.contains(line), "the report has no `{line}`:\n{report}");
    }
    place.robson(&["replay", "--verify"])?.printed().context("replay equals live")?;

    let reader = place.reader().await?;
    let net = net_by_fills(&reader).await?;
    let mut closed = 0;
    let mut worst = Decimal::ZERO;
    for row in reader.rows(DEFAULT_TENANT, &positions_current::TABLE, &RowQuery::all()).await? {
        let position = positions_current::entity(&row)?;
        ensure!(position.error.is_none(), "{position:?}");
        if position.state != PositionState::Closed {
            continue;
        }
        closed += 1;
        let net = net.get(&position.position_id).copied().context("a closed position has fills")?;
        ensure!(net == position.net_pnl()?.get(), "the fills of {} come to {net}", position.position_id);
        let limit = position.risk_capital.part(position.risk_pct)?.get();
        worst = worst.max(-net / limit);
        let is_within = -net <= limit || opened_beyond_the_stop(&reader, &position).await?;
        ensure!(is_within, "{} lost {} of {limit}", position.position_id, -net);
    }
    reader.close().await;
    println!("{closed} trades, the worst lost {} of what it may", worst.round_dp(4));
    ensure!(report.contains(&format!(" {closed}  (")), "the report counts {closed} trades:\n{report}");
    Ok(())
}

/// What each position came to, by its fills alone.
async fn net_by_fills(reader: &AnyStore) -> Result<BTreeMap<PositionId, Decimal>> {
    let mut orders = BTreeMap::new();
    for row in reader.rows(DEFAULT_TENANT, &orders_current::TABLE, &RowQuery::all()).await? {
        let order = orders_current::entity(&row)?;
        orders.insert(order.order_id, order);
    }
    let mut net: BTreeMap<PositionId, Decimal> = BTreeMap::new();
    let mut sides: BTreeMap<PositionId, Side> = BTreeMap::new();
    for row in reader.rows(DEFAULT_TENANT, &fills::TABLE, &RowQuery::all()).await? {
        let fill = fills::entity(&row)?;
        let order = orders.get(&fill.order_id).context("a fill has an order")?;
        let position_id = order.position_id.context("an order has a position")?;
        let value = fill.fill_price.get() * fill.fill_quantity.get();
        let is_bought = order.side == robson_domain::OrderSide::Buy;
        let came_in = if is_bought { -value } else { value };
        *net.entry(position_id).or_default() += came_in - fill.fee_quote.get();
        if order.role == OrderRole::Entry {
            sides.insert(position_id, if is_bought { Side::Long } else { Side::Short });
        }
    }
    ensure!(net.keys().eq(sides.keys()), "each position was entered");
    Ok(net)
}

/// Whether the bar in which the exit was triggered opened beyond the stop that was in force.
async fn opened_beyond_the_stop(reader: &AnyStore, position: &Position) -> Result<bool> {
    let stream = format!("position:{}", position.position_id).parse()?;
    let page =
        reader.read(&EventQuery { limit: 10_000, ..EventQuery::stream(DEFAULT_TENANT, stream) }).await?;
    for recorded in &page.events {
        let Event::ExitTriggered(triggered) = event_of(recorded)? else { continue };
        let hour = triggered.timestamp.to_string().get(..13).context("a time has an hour")?.to_owned();
        let bars = read_to_string(repository(FEED))?;
        let bar = bars.lines().find(|bar| bar.starts_with(&hour)).context("an exit has a bar")?;
        let open: Decimal = bar.split(',').nth(1).context("a bar has an open")?.parse()?;
        let stop = triggered.stop_price.context("an exit has a stop")?.get();
        return Ok(match position.side {
            Side::Long => open < stop,
            Side::Short => open > stop,
        });
    }
    Ok(false)
}
