//! `replay`: folds the log again, beside the database, and shows or compares what it comes to.
//!
//! Reads the database only; `--rebuild` is the one that writes.

mod engine_diff;
mod rebuild;
mod restored;
pub(crate) mod scratch;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use robson_eventlog::difference::{Comparison, Difference, Differs, Selection};
use robson_eventlog::digest::{Digester, Scope, row_json};
use robson_eventlog::{
    Checks, EventQuery, Projection, Replay, ReplayOptions, Row, RowQuery, Store as _, StreamKey, Table,
    TenantId, Timestamp, Value,
};
use robson_projector::{FOLD_VERSION, TABLES, TraderTables};
use robson_store::AnyStore;
use serde_json::json;

use crate::args::{self, At};
use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::printer::{Align, Cell, Listing, Printer, Tone};
use scratch::Scratch;

pub use engine_diff::run as run_engine_diff;
pub use rebuild::run as run_rebuild;

/// Most differences that are looked for.
const DIFFERENCES_MAX: usize = 1_000;
/// How many rows are shown or digested at once.
const PAGE: usize = 1_000;

/// What was folded, and how it compares.
#[derive(Debug)]
struct Report {
    log_seq: i64,
    tables: Vec<Told>,
    /// Nothing: it was not compared.
    differences: Option<Vec<Difference>>,
    is_cut_off: bool,
    /// What snapshots it came from, one line each.
    notes: Vec<String>,
}

/// What one table came to.
#[derive(Debug)]
struct Told {
    table: &'static Table,
    rows: u64,
    digest: String,
}

/// What the trader's folds make of a log.
fn options(tenant: TenantId, checks: Checks) -> ReplayOptions {
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(TraderTables)];
    ReplayOptions { checks, ..ReplayOptions::new(tenant, projections, FOLD_VERSION) }
}

/// `replay`, as far as it only reads.
///
/// # Errors
/// The log does not fold, or was edited; with `--verify`, a table differs (exit 1, after the report).
pub async fn run(db: &Database, args: &args::Replay, printer: &mut Printer) -> Result<(), Failure> {
    if args.rebuild || args.engine_diff {
        let what = "--rebuild and --engine-diff need more than a database that is read";
        return Err(Failure::usage(what));
    }
    let done = async {
        if args.from_snapshot {
            restored::run(db, args, printer).await
        } else {
            fold(db, args, printer).await
        }
    };
    tokio::select! {
        done = done => done,
        // A scratch database goes with the future that made it.
        _ = tokio::signal::ctrl_c() => Err(cancelled()),
    }
}

fn cancelled() -> Failure {
    Failure::error("cancelled: nothing was changed")
}

async fn fold(db: &Database, args: &args::Replay, printer: &mut Printer) -> Result<(), Failure> {
    let (tenant, tables) = (db.used_tenant()?, tables(args)?);
    let scratch = Scratch::open(tenant).await?;
    let (source, target) = (Arc::clone(db.store()), Arc::clone(scratch.store()));
    let mut replay = Replay::begin(source, target, options(tenant, Checks::Hashes)).await?;
    let up_to = match args.at {
        Some(at) => place(db, at).await?,
        None => db.head().await?.log_seq,
    };
    let bar = progress(up_to, !printer.is_json);
    let tell = |at: i64| {
        bar.set_position(u64::try_from(at).unwrap_or(0));
        ControlFlow::Continue(())
    };
    replay.fold_up_to(up_to, tell).await?;
    bar.finish_and_clear();
    let selection = select(&mut replay, args, &tables).await?;
    let compared = if args.verify { Some(replay.compare(&selection, DIFFERENCES_MAX).await?) } else { None };
    if args.verify || args.table.is_none() {
        let mut told = Vec::new();
        for (table, query) in &selection {
            told.push(tell_of(&replay, table, query).await?);
        }
        let (differences, is_cut_off) = compared
            .map_or((None, false), |Comparison { differences, is_cut_off, .. }| {
                (Some(differences), is_cut_off)
            });
        let log_seq = replay.log_seq();
        report(&Report { log_seq, tables: told, differences, is_cut_off, notes: Vec::new() }, printer)?;
    } else {
        let mut shown = Shown::default();
        for (table, query) in &selection {
            let mut query = RowQuery { limit: Some(PAGE), ..query.clone() };
            while let Some(rows) = next_page(&replay, table, &mut query).await? {
                shown.rows(table, &rows, printer)?;
            }
        }
        shown.end(printer)?;
    }
    scratch.close().await;
    Ok(())
}

/// The next rows of a table behind those before; nothing behind the last.
async fn next_page(
    replay: &Replay<AnyStore, AnyStore>,
    table: &'static Table,
    query: &mut RowQuery,
) -> Result<Option<Vec<Row>>, Failure> {
    let rows = replay.rows(table, query).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    query.after = Some(last.key(table));
    Ok(Some(rows))
}

async fn tell_of(
    replay: &Replay<AnyStore, AnyStore>,
    table: &'static Table,
    query: &RowQuery,
) -> Result<Told, Failure> {
    let mut digester = Digester::default();
    let mut query = RowQuery { limit: Some(PAGE), ..query.clone() };
    while let Some(rows) = next_page(replay, table, &mut query).await? {
        rows.iter().for_each(|row| digester.add(&row_json(table, row, Scope::Everything)));
    }
    let digest = digester.finish();
    Ok(Told { table, rows: digest.rows, digest: digest.to_string() })
}

/// The tables that are asked for.
fn tables(args: &args::Replay) -> Result<Vec<&'static Table>, Failure> {
    let Some(name) = &args.table else { return Ok(TABLES.to_vec()) };
    let found = TABLES.iter().copied().find(|table| table.name == name);
    let names = || TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
    found
        .map(|table| vec![table])
        .ok_or_else(|| Failure::usage(format!("there is no table {name}: it is one of {}", names())))
}

/// The place of the log's last event at an instant or a place, which need not be in the log.
async fn place(db: &Database, at: At) -> Result<i64, Failure> {
    let head = db.head().await?.log_seq;
    let instant = match at {
        At::Place(log_seq) => return Ok(log_seq.min(head)),
        At::Time(instant) => instant,
    };
    // Time of ingestion never goes backwards in a log.
    let (mut known, mut unknown) = (0, head);
    while known < unknown {
        let middle = unknown - (unknown - known) / 2;
        match ingested_at(db, middle).await? {
            Some(ingested_at) if ingested_at <= instant => known = middle,
            _ => unknown = middle - 1,
        }
    }
    Ok(known)
}

async fn ingested_at(db: &Database, log_seq: i64) -> Result<Option<Timestamp>, Failure> {
    let query = EventQuery { after: log_seq - 1, limit: 1, ..EventQuery::all(db.used_tenant()?) };
    Ok(db.events(query).await?.events.first().map(|event| event.ingested_at))
}

/// Which rows are shown or compared.
async fn select(
    replay: &mut Replay<AnyStore, AnyStore>,
    args: &args::Replay,
    tables: &[&'static Table],
) -> Result<Selection, Failure> {
    if let Some(account) = args.account_id {
        let of_account = |table: &&'static Table| (*table, of_account(account.0));
        return Ok(tables.iter().map(of_account).collect());
    }
    let Some(stream) = &args.stream else {
        return Ok(tables.iter().map(|table| (*table, RowQuery::all())).collect());
    };
    let mut keys = touched(replay, stream).await?;
    let keys_of = |table: &&'static Table| Some((*table, RowQuery::keys(keys.remove(table.name)?)));
    Ok(tables.iter().filter_map(keys_of).collect())
}

/// The rows of an account, in any table.
fn of_account(account: uuid::Uuid) -> RowQuery {
    RowQuery::filter("account_id", Value::Uuid(account))
}

/// The keys of the rows that a stream's events touched, by table.
async fn touched(
    replay: &mut Replay<AnyStore, AnyStore>,
    stream: &StreamKey,
) -> Result<BTreeMap<&'static str, Vec<Vec<Value>>>, Failure> {
    let tenant = replay.tenant();
    let mut keys: BTreeMap<&'static str, Vec<Vec<Value>>> = BTreeMap::new();
    let mut query = EventQuery { up_to: replay.log_seq(), ..EventQuery::stream(tenant, stream.clone()) };
    loop {
        let page = replay.source().read(&query).await?;
        if page.stream_version.is_none() {
            return Err(Failure::not_found(format!("there is no stream {stream}")));
        }
        let Some(last) = page.events.last() else { break };
        query.after = last.log_seq;
        for event in &page.events {
            for key in replay.touched_by(event).await? {
                let known = keys.entry(key.table).or_default();
                if !known.contains(&key.key) {
                    known.push(key.key);
                }
            }
        }
    }
    Ok(keys)
}

fn progress(events: i64, is_shown: bool) -> ProgressBar {
    let count = u64::try_from(events).unwrap_or(0);
    // It hides itself where standard error is no terminal.
    let bar = if is_shown { ProgressBar::new(count) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Rows as they are shown: one block each, or one list in JSON.
#[derive(Debug, Default)]
struct Shown {
    rows: usize,
    json: Vec<serde_json::Value>,
}

impl Shown {
    fn rows(&mut self, table: &Table, rows: &[Row], printer: &mut Printer) -> Result<(), Failure> {
        if printer.is_json {
            self.json.extend(rows.iter().map(|row| row.to_json(table)));
        } else {
            rows.iter().try_for_each(|row| show(table, row, printer))?;
        }
        self.rows += rows.len();
        Ok(())
    }

    fn end(self, printer: &mut Printer) -> Result<(), Failure> {
        match (printer.is_json, self.rows) {
            (true, _) => printer.json(&self.json.into(), false)?,
            (false, 0) => printer.line("no rows")?,
            (false, _) => {}
        }
        Ok(())
    }
}

/// One line for the key, and one for each column that has a value.
fn show(table: &Table, row: &Row, printer: &mut Printer) -> Result<(), Failure> {
    let text = |value: &Value| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let key: Vec<String> = row.key(table).iter().map(text).collect();
    printer.line(format!("{} {}", table.name, key.join("/")))?;
    for (column, value) in table.columns.iter().zip(&row.0).skip(table.key_columns) {
        if *value != Value::Null {
            printer.line(format!("  {:<24} {}", column.name, text(value)))?;
        }
    }
    Ok(())
}

fn report(report: &Report, printer: &mut Printer) -> Result<(), Failure> {
    let is_equal = report.differences.as_ref().is_none_or(Vec::is_empty);
    if printer.is_json {
        printer.json(&report_json(report, is_equal), false)?;
    } else {
        print(report, is_equal, printer)?;
    }
    if is_equal { Ok(()) } else { Err(Failure::reported(ExitCode::Error)) }
}

fn of_table<'a>(report: &'a Report, table: &'a Table) -> impl Iterator<Item = &'a Difference> {
    report.differences.iter().flatten().filter(move |difference| difference.table == table)
}

fn report_json(report: &Report, is_equal: bool) -> serde_json::Value {
    let told = |told: &Told| {
        json!({
            "table": told.table.name,
            "rows": told.rows,
            "sha256": told.digest,
            "differences": of_table(report, told.table).map(difference_json).collect::<Vec<_>>(),
        })
    };
    json!({
        "events": report.log_seq,
        "verified": report.differences.is_some(),
        "equal": is_equal,
        "more_differences": report.is_cut_off,
        "snapshots": report.notes,
        "tables": report.tables.iter().map(told).collect::<Vec<_>>(),
    })
}

fn difference_json(difference: &Difference) -> serde_json::Value {
    let key = difference.key_text();
    match &difference.what {
        Differs::OnlyReplayed => json!({ "key": key, "only": "replay" }),
        Differs::OnlyLive => json!({ "key": key, "only": "database" }),
        Differs::Columns(columns) => {
            let column = |differs: &robson_eventlog::difference::ColumnDifference| {
                let (live, replayed) = (differs.live.to_json(), differs.replayed.to_json());
                json!({ "column": differs.column, "live": live, "replayed": replayed })
            };
            json!({ "key": key, "columns": columns.iter().map(column).collect::<Vec<_>>() })
        }
    }
}

fn print(report: &Report, is_equal: bool, printer: &mut Printer) -> Result<(), Failure> {
    let verdict = |table: &Table| match (&report.differences, of_table(report, table).count()) {
        (None, _) => Cell::default(),
        (Some(_), 0) => Cell::of("equal").toned(Tone::Good),
        (Some(_), 1) => Cell::of("1 difference").toned(Tone::Bad),
        (Some(_), count) => Cell::of(format!("{count} differences")).toned(Tone::Bad),
    };
    let cells = |told: &Told| {
        let digest = told.digest.get(..16).unwrap_or_default();
        vec![Cell::of(told.table.name), Cell::of(told.rows), Cell::of(digest), verdict(told.table)]
    };
    let listing = Listing {
        columns: vec![
            ("TABLE", Align::Left),
            ("ROWS", Align::Right),
            ("SHA-256", Align::Left),
            ("LIVE", Align::Left),
        ],
        rows: report.tables.iter().map(cells).collect(),
        when_empty: "no tables",
    };
    printer.table(&listing)?;
    for difference in report.differences.iter().flatten() {
        printer.line(difference.to_string())?;
    }
    if report.is_cut_off {
        printer.line(format!("and more: only {DIFFERENCES_MAX} differences were looked for"))?;
    }
    report.notes.iter().try_for_each(|note| printer.line(note))?;
    let outcome = match (&report.differences, is_equal) {
        (None, _) => "folded; --verify compares with the database, --table NAME shows rows",
        (Some(_), true) if report.notes.is_empty() => "replay equals live, and the chain of hashes is whole",
        (Some(_), true) => "snapshots and the events behind them equal live",
        (Some(_), false) => {
            "replay and live differ: the rows were changed behind the log's back, or a fold was"
        }
    };
    Ok(printer.line(format!("{} events: {outcome}", report.log_seq))?)
}
