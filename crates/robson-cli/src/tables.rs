//! The tables that are read as they are: positions, orders, fills, balances.

use robson_domain::Symbol;
use robson_eventlog::{Row, RowQuery, Table, Value};
use robson_projector::{balances_current, fills, orders_current, positions_current};

use crate::args::{OfSymbol, Positions};
use crate::db::Database;
use crate::failure::Failure;
use crate::positions::{self, unreadable};
use crate::printer::{Align, Cell, Listing, Printer, amount, price, short_id};

/// `positions`.
///
/// # Errors
/// As the store says.
pub async fn run_positions(db: &Database, args: &Positions, printer: &mut Printer) -> Result<(), Failure> {
    let mut query = of_symbol(args.symbol.as_ref());
    query.filters.extend(args.state.map(|state| ("state", Value::Text(state.to_string()))));
    let found = positions::read(db, &query).await?;
    if printer.is_json {
        return print_json(&positions_current::TABLE, found.iter().map(|(row, _)| row), printer);
    }
    let listing = positions::listing(
        found.iter().map(|(_, position)| position),
        "no positions: `robson arm SYMBOL --side long` begins one",
    );
    Ok(printer.table(&listing)?)
}

/// `orders`.
///
/// # Errors
/// As the store says.
pub async fn run_orders(db: &Database, args: &OfSymbol, printer: &mut Printer) -> Result<(), Failure> {
    let rows = db.rows(&orders_current::TABLE, &of_symbol(args.symbol.as_ref())).await?;
    if printer.is_json {
        return print_json(&orders_current::TABLE, &rows, printer);
    }
    let cells = |row: &Row| {
        let order = orders_current::entity(row).map_err(unreadable)?;
        Ok(vec![
            Cell::of(short_id(order.order_id)),
            Cell::maybe(order.position_id.map(short_id)),
            Cell::time(order.meta.created_at),
            Cell::of(&order.symbol),
            Cell::of(order.role),
            Cell::of(order.side),
            Cell::of(order.quantity),
            Cell::of(order.filled_quantity),
            Cell::maybe(order.average_fill_price.map(price)),
            Cell::of(order.total_fee_quote.to_cents()),
            Cell::of(order.status),
            Cell::maybe(order.reason),
        ])
    };
    let listing = Listing {
        columns: vec![
            ("ID", Align::Left),
            ("POSITION", Align::Left),
            ("TIME", Align::Left),
            ("SYMBOL", Align::Left),
            ("ROLE", Align::Left),
            ("SIDE", Align::Left),
            ("QUANTITY", Align::Right),
            ("FILLED", Align::Right),
            ("PRICE", Align::Right),
            ("FEE", Align::Right),
            ("STATUS", Align::Left),
            ("REASON", Align::Left),
        ],
        rows: rows.iter().map(cells).collect::<Result<_, Failure>>()?,
        when_empty: "no orders",
    };
    Ok(printer.table(&listing)?)
}

/// `fills`.
///
/// # Errors
/// As the store says.
pub async fn run_fills(db: &Database, args: &OfSymbol, printer: &mut Printer) -> Result<(), Failure> {
    let rows = db.rows(&fills::TABLE, &of_symbol(args.symbol.as_ref())).await?;
    if printer.is_json {
        return print_json(&fills::TABLE, &rows, printer);
    }
    let mut found = rows.iter().map(fills::entity).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    // The key is the venue's; people read by time.
    found.sort_by_key(|fill| fill.filled_at);
    let cells = |fill: &robson_domain::Fill| {
        vec![
            Cell::time(fill.filled_at),
            Cell::of(&fill.key.symbol),
            Cell::of(fill.side),
            Cell::of(fill.fill_quantity),
            Cell::of(fill.fill_price),
            Cell::of(format!("{} {}", amount(fill.fee), fill.fee_asset)),
            Cell::of(short_id(fill.order_id)),
            Cell::of(format!("{} {}", fill.key.venue, fill.key.exchange_trade_id)),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("TIME", Align::Left),
            ("SYMBOL", Align::Left),
            ("SIDE", Align::Left),
            ("QUANTITY", Align::Right),
            ("PRICE", Align::Right),
            ("FEE", Align::Right),
            ("ORDER", Align::Left),
            ("TRADE", Align::Left),
        ],
        rows: found.iter().map(cells).collect(),
        when_empty: "no fills",
    };
    Ok(printer.table(&listing)?)
}

/// `balances`.
///
/// # Errors
/// As the store says.
pub async fn run_balances(db: &Database, printer: &mut Printer) -> Result<(), Failure> {
    let rows = db.rows(&balances_current::TABLE, &RowQuery::all()).await?;
    if printer.is_json {
        return print_json(&balances_current::TABLE, &rows, printer);
    }
    Ok(printer.table(&balances(&rows)?)?)
}

/// Balances as a table.
pub(crate) fn balances(rows: &[Row]) -> Result<Listing, Failure> {
    let cells = |row: &Row| {
        let balance = balances_current::entity(row).map_err(unreadable)?;
        Ok(vec![
            Cell::of(short_id(balance.key.account_id)),
            Cell::of(&balance.key.asset),
            Cell::of(amount(balance.free)),
            Cell::of(amount(balance.locked)),
            Cell::of(amount(balance.total)),
            Cell::time(balance.sampled_at),
        ])
    };
    Ok(Listing {
        columns: vec![
            ("ACCOUNT", Align::Left),
            ("ASSET", Align::Left),
            ("FREE", Align::Right),
            ("LOCKED", Align::Right),
            ("TOTAL", Align::Right),
            ("SAMPLED", Align::Left),
        ],
        rows: rows.iter().map(cells).collect::<Result<_, Failure>>()?,
        when_empty: "no balances",
    })
}

fn of_symbol(symbol: Option<&Symbol>) -> RowQuery {
    symbol.map_or_else(RowQuery::all, |symbol| RowQuery::filter("symbol", Value::Text(symbol.to_string())))
}

fn print_json<'a>(
    table: &Table,
    rows: impl IntoIterator<Item = &'a Row>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let rows: Vec<serde_json::Value> = rows.into_iter().map(|row| row.to_json(table)).collect();
    Ok(printer.json(&rows.into(), false)?)
}
