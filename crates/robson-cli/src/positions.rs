//! Positions in the database: which there are, and which one a text means.

use robson_domain::{Position, PositionId};
use robson_eventlog::{Row, RowQuery, Value};
use robson_projector::positions_current;
use rust_decimal::Decimal;

use crate::db::Database;
use crate::failure::Failure;
use crate::printer::{Align, Cell, Listing, price, short_id};

/// A row that no fold of this program wrote.
pub(crate) fn unreadable(error: impl ToString) -> Failure {
    Failure::error(format!(
        "the database holds what cannot be: {}; run `robson replay --verify`",
        error.to_string()
    ))
}

/// The positions that a query finds, with their rows.
///
/// # Errors
/// As the store says.
pub async fn read(db: &Database, query: &RowQuery) -> Result<Vec<(Row, Position)>, Failure> {
    let rows = db.rows(&positions_current::TABLE, query).await?;
    let read = |row: Row| {
        let position = positions_current::entity(&row).map_err(unreadable)?;
        Ok((row, position))
    };
    rows.into_iter().map(read).collect()
}

/// The positions that still occupy their symbol and side.
///
/// # Errors
/// As the store says.
pub async fn live(db: &Database) -> Result<Vec<(Row, Position)>, Failure> {
    let mut positions = read(db, &RowQuery::all()).await?;
    positions.retain(|(_, position)| position.state.is_live());
    Ok(positions)
}

/// The position that a text means: its id, or the beginning or end of it, if no other position has it too.
///
/// # Errors
/// `NotFound` when there is none, `Usage` when there are several.
pub async fn resolve(db: &Database, text: &str) -> Result<PositionId, Failure> {
    let wanted = text.trim().to_ascii_lowercase();
    let fits = |id: &uuid::Uuid| {
        let (dashed, plain) = (id.hyphenated().to_string(), id.simple().to_string());
        [dashed, plain].iter().any(|id| id.starts_with(&wanted) || id.ends_with(&wanted))
    };
    let rows = db.rows(&positions_current::TABLE, &RowQuery::all()).await?;
    let ids = rows.iter().filter_map(|row| match row.0.first() {
        Some(Value::Uuid(id)) => Some(*id),
        _ => None,
    });
    let found: Vec<uuid::Uuid> = ids.filter(fits).collect();
    match found.as_slice() {
        _ if wanted.is_empty() => {
            Err(Failure::usage("a position needs an id; `robson positions` lists them"))
        }
        [] => Err(Failure::not_found(format!("there is no position {text}: `robson positions` lists them"))),
        [only] => Ok(PositionId(*only)),
        several => {
            let some: Vec<String> = several.iter().take(3).map(ToString::to_string).collect();
            let more = if several.len() > 3 { ", ..." } else { "" };
            let (count, some) = (several.len(), some.join(", "));
            Err(Failure::usage(format!(
                "{count} positions have {text} in their id ({some}{more}): write more of it"
            )))
        }
    }
}

/// What a position has earned, fees taken off.
pub fn net(position: &Position) -> Decimal {
    position.realized_pnl.get().checked_sub(position.total_fees.get()).unwrap_or_default()
}

/// Positions as a table.
pub fn listing<'a>(positions: impl IntoIterator<Item = &'a Position>, when_empty: &'static str) -> Listing {
    let row = |position: &Position| {
        let has_traded = position.entry_price.is_some();
        vec![
            Cell::of(short_id(position.position_id)),
            Cell::of(&position.symbol),
            Cell::of(position.side),
            Cell::of(position.state),
            Cell::time(position.meta.created_at),
            Cell::maybe(position.entry_price.map(price)),
            Cell::maybe(position.trailing_stop_price.map(price)),
            if has_traded { Cell::maybe(position.entry_quantity) } else { Cell::default() },
            if has_traded { Cell::gain(net(position)) } else { Cell::default() },
            Cell::maybe(position.exit_reason.map(|r| r.to_string()).or_else(|| position.error.clone())),
        ]
    };
    Listing {
        columns: vec![
            ("ID", Align::Left),
            ("SYMBOL", Align::Left),
            ("SIDE", Align::Left),
            ("STATE", Align::Left),
            ("ARMED", Align::Left),
            ("ENTRY", Align::Right),
            ("STOP", Align::Right),
            ("QUANTITY", Align::Right),
            ("NET", Align::Right),
            ("WHY", Align::Left),
        ],
        rows: positions.into_iter().map(row).collect(),
        when_empty,
    }
}
