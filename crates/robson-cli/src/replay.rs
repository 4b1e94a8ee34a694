//! `replay`: folds the whole log again in memory, and compares the result with the rows of the database.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use robson_eventlog::digest::{Scope, of_rows};
use robson_eventlog::{Replay, Row, RowQuery, Table};
use robson_projector::{TABLES, TraderTables};
use serde_json::json;

use crate::args;
use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::printer::{Align, Cell, Listing, Printer, Tone};

/// How often a log that grows meanwhile is followed before the comparison is given up.
const CHASES_MAX: usize = 20;
/// Most differences that are printed for one table.
const SHOWN_MAX: usize = 10;

/// One table, folded and as the database has it.
#[derive(Debug)]
pub struct Comparison {
    table: &'static Table,
    rows: usize,
    digest: String,
    /// One line for each column that differs, and for each row that only one side has.
    differences: Vec<String>,
}

/// `replay [--verify]`.
///
/// # Errors
/// The log does not fold, or was edited; with `--verify`, a table differs (exit 1, after the report).
pub async fn run(db: &Database, args: &args::Replay, printer: &mut Printer) -> Result<(), Failure> {
    let (events, tables) = compare(db, args.verify, !printer.is_json).await?;
    let is_equal = tables.iter().all(|table| table.differences.is_empty());
    if printer.is_json {
        let table = |found: &Comparison| {
            json!({
                "table": found.table.name,
                "rows": found.rows,
                "sha256": found.digest,
                "differences": found.differences,
            })
        };
        let tables: Vec<serde_json::Value> = tables.iter().map(table).collect();
        let json = json!({ "events": events, "verified": args.verify, "equal": is_equal, "tables": tables });
        printer.json(&json, false)?;
    } else {
        report(events, &tables, args.verify, printer)?;
    }
    if is_equal { Ok(()) } else { Err(Failure::reported(ExitCode::Error)) }
}

fn report(events: i64, tables: &[Comparison], verify: bool, printer: &mut Printer) -> Result<(), Failure> {
    let verdict = |table: &Comparison| match (verify, table.differences.len()) {
        (false, _) => Cell::default(),
        (true, 0) => Cell::of("equal").toned(Tone::Good),
        (true, 1) => Cell::of("1 difference").toned(Tone::Bad),
        (true, count) => Cell::of(format!("{count} differences")).toned(Tone::Bad),
    };
    let cells = |found: &Comparison| {
        let digest = found.digest.get(..16).unwrap_or_default();
        vec![Cell::of(found.table.name), Cell::of(found.rows), Cell::of(digest), verdict(found)]
    };
    let listing = Listing {
        columns: vec![
            ("TABLE", Align::Left),
            ("ROWS", Align::Right),
            ("SHA-256", Align::Left),
            ("LIVE", Align::Left),
        ],
        rows: tables.iter().map(cells).collect(),
        when_empty: "no tables",
    };
    printer.table(&listing)?;
    for difference in tables.iter().flat_map(|table| table.differences.iter().take(SHOWN_MAX)) {
        printer.line(difference)?;
    }
    let is_equal = tables.iter().all(|table| table.differences.is_empty());
    let outcome = match (verify, is_equal) {
        (false, _) => "folded; --verify compares with the database".to_owned(),
        (true, true) => "replay equals live, and the chain of hashes is whole".to_owned(),
        (true, false) => {
            "replay and live differ: the rows were changed behind the log's back, or a fold was".to_owned()
        }
    };
    Ok(printer.line(format!("{events} events: {outcome}"))?)
}

/// Folds the log; with `verify`, compares each table with the live rows at the same place in the log.
///
/// # Errors
/// The log does not fold, was edited, or grows faster than it is folded.
pub async fn compare(
    db: &Database,
    verify: bool,
    show_progress: bool,
) -> Result<(i64, Vec<Comparison>), Failure> {
    let tenant = db.used_tenant()?;
    let mut replay = Replay::new(vec![Arc::new(TraderTables)]);
    for _ in 0..CHASES_MAX {
        let head = db.head().await?.log_seq;
        let bar = progress(head.saturating_sub(replay.log_seq()), show_progress);
        let start = replay.log_seq();
        let tell = |at: i64| bar.set_position(u64::try_from(at - start).unwrap_or(0));
        replay.fold_up_to(db.store().as_ref(), tenant, head, tell).await?;
        bar.finish_and_clear();
        let mut tables = Vec::new();
        for table in TABLES {
            let folded = replay.rows().of_table(table);
            let live = if verify { Some(db.rows(table, &RowQuery::all()).await?) } else { None };
            let differences = live.map(|live| differences(table, &folded, &live)).unwrap_or_default();
            let digest = of_rows(table, folded.iter().copied(), Scope::Everything).to_string();
            tables.push(Comparison { table, rows: folded.len(), digest, differences });
        }
        // Rows that were read while the log grew belong to a later place: fold on and read again.
        if !verify || db.head().await?.log_seq == head {
            return Ok((replay.log_seq(), tables));
        }
    }
    Err(Failure::error("the log grows faster than it is folded: try again when less is happening"))
}

fn progress(events: i64, is_shown: bool) -> ProgressBar {
    let count = u64::try_from(events).unwrap_or(0);
    // It hides itself where standard error is no terminal.
    let bar = if is_shown { ProgressBar::new(count) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What differs; both lists are by rising key.
fn differences(table: &'static Table, folded: &[&Row], live: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut folded, mut live) = (folded.iter().peekable(), live.iter().peekable());
    loop {
        let order = match (folded.peek(), live.peek()) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(folded), Some(live)) => folded.key(table).cmp(&live.key(table)),
        };
        let only = |row: &Row, side: &str| format!("{} {}: only {side}", table.name, key_text(table, row));
        match order {
            std::cmp::Ordering::Less => found.extend(folded.next().map(|row| only(row, "in the replay"))),
            std::cmp::Ordering::Greater => found.extend(live.next().map(|row| only(row, "in the database"))),
            std::cmp::Ordering::Equal => {
                if let (Some(folded), Some(live)) = (folded.next(), live.next()) {
                    found.extend(differing_columns(table, folded, live));
                }
            }
        }
    }
}

fn differing_columns(table: &Table, folded: &Row, live: &Row) -> Vec<String> {
    let key = key_text(table, live);
    let cells = table.columns.iter().zip(folded.0.iter().zip(&live.0));
    cells
        .filter(|(_, (folded, live))| folded != live)
        .map(|(column, (folded, live))| {
            format!(
                "{} {key}: {} is {}, the replay says {}",
                table.name,
                column.name,
                live.to_json(),
                folded.to_json()
            )
        })
        .collect()
}

fn key_text(table: &Table, row: &Row) -> String {
    let parts: Vec<String> = row
        .key(table)
        .iter()
        .map(|value| match value.to_json() {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        })
        .collect();
    parts.join("/")
}
