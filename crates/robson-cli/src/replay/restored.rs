//! `replay --from-snapshot`: the newest snapshots that can be trusted, and the events behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use robson_eventlog::difference::{Difference, Selection, of_rows};
use robson_eventlog::digest::{Scope as Digested, of_rows as digest_of};
use robson_eventlog::log_tables::STREAM_STATE;
use robson_eventlog::snapshot::{Scope, Scopes as _, restore};
use robson_eventlog::{Projection, Row, RowQuery, Store as _, Table, Value};
use robson_projector::{TraderScopes, TraderTables};

use super::{DIFFERENCES_MAX, Report, Shown, Told, of_account, place, report, tables};
use crate::args;
use crate::db::Database;
use crate::failure::Failure;
use crate::printer::Printer;

/// Rows by table, by rising key.
type Rows = BTreeMap<&'static str, Vec<Row>>;

pub(super) async fn run(db: &Database, args: &args::Replay, printer: &mut Printer) -> Result<(), Failure> {
    let (tenant, tables) = (db.used_tenant()?, tables(args)?);
    let scopes = scopes(db, args).await?;
    // Live rows and their place first: a snapshot leads to any place behind it.
    let selection: Selection = match (args.account_id, &args.stream) {
        (Some(account), _) => tables.iter().map(|table| (*table, of_account(account.0))).collect(),
        _ => tables.iter().map(|table| (*table, RowQuery::all())).collect(),
    };
    let (live, log_seq) = match (args.verify, args.at) {
        (true, _) => {
            let live = db.store().capture(tenant, &selection).await?;
            (Some(live.rows), live.head.log_seq)
        }
        (false, Some(at)) => (None, place(db, at).await?),
        (false, None) => (None, db.head().await?.log_seq),
    };
    let projections: Vec<Arc<dyn Projection>> = vec![Arc::new(TraderTables)];
    let (mut rows, mut notes) = (Rows::new(), Vec::new());
    for scope in &scopes {
        let restored =
            restore(db.store().as_ref(), tenant, &projections, &TraderScopes, scope, log_seq).await?;
        notes.extend(
            restored.rejected.iter().map(|(at, why)| format!("{scope}: snapshot at {at} left aside: {why}")),
        );
        notes.push(match restored.snapshot {
            Some(at) => format!("{scope}: from the snapshot at {at}, and {} events behind it", log_seq - at),
            None => format!("{scope}: no snapshot that can be used, from the log alone"),
        });
        for of in restored.rows {
            rows.entry(of.table.name).or_default().extend(of.rows);
        }
    }
    for (table, _) in &selection {
        rows.entry(table.name).or_default().sort_by_key(|row| row.key(table));
    }
    if args.table.is_some() && !args.verify {
        let mut shown = Shown::default();
        for table in tables {
            shown.rows(table, of(&rows, table), printer)?;
        }
        return shown.end(printer);
    }
    let is_one_stream = args.stream.is_some();
    let mut differences = live.map(|live| {
        let pairs = selection.iter().zip(&live);
        pairs
            .flat_map(|((table, _), live)| compare(table, of(&rows, table), live, is_one_stream))
            .collect::<Vec<_>>()
    });
    let is_cut_off = differences.as_ref().is_some_and(|found| found.len() > DIFFERENCES_MAX);
    differences.iter_mut().for_each(|found| found.truncate(DIFFERENCES_MAX));
    let told = |table: &&'static Table| {
        let digest = digest_of(table, of(&rows, table), Digested::Everything);
        Told { table, rows: digest.rows, digest: digest.to_string() }
    };
    report(
        &Report { log_seq, tables: tables.iter().map(told).collect(), differences, is_cut_off, notes },
        printer,
    )
}

fn of<'a>(rows: &'a Rows, table: &Table) -> &'a [Row] {
    rows.get(table.name).map(Vec::as_slice).unwrap_or_default()
}

/// What differs; of one stream alone, whatever else is live belongs to others.
fn compare(table: &'static Table, restored: &[Row], live: &[Row], is_one_stream: bool) -> Vec<Difference> {
    let found = of_rows(table, restored, live).into_iter();
    let is_live_only = |found: &Difference| found.what == robson_eventlog::difference::Differs::OnlyLive;
    found.filter(|found| !(is_one_stream && is_live_only(found))).collect()
}

/// What snapshots are taken of and is asked for: an account, what a stream is about, or every account.
async fn scopes(db: &Database, args: &args::Replay) -> Result<Vec<Scope>, Failure> {
    let named = match (args.account_id, &args.stream) {
        (Some(account), _) => Some(("account".to_owned(), account.to_string())),
        (None, Some(stream)) => {
            let parts = stream.as_str().split_once(':');
            parts.map(|(kind, id)| (kind.to_owned(), id.to_owned()))
        }
        (None, None) => return accounts(db).await,
    };
    let scope = named.as_ref().and_then(|(kind, id)| TraderScopes.scope(kind, id));
    let scope = scope.ok_or_else(|| {
        let kinds = TraderScopes.kinds().join(", ");
        Failure::usage(format!("snapshots are taken of {kinds}; the stream is of something else"))
    })?;
    Ok(vec![scope])
}

/// Every account that has a stream.
async fn accounts(db: &Database) -> Result<Vec<Scope>, Failure> {
    const PREFIX: &str = "account:";
    let behind = Some(vec![Value::Text(PREFIX.to_owned())]);
    let mut query = RowQuery { after: behind, limit: Some(super::PAGE), ..RowQuery::all() };
    let mut scopes = Vec::new();
    loop {
        let rows = db.rows(&STREAM_STATE, &query).await?;
        let Some(last) = rows.last() else { return Ok(scopes) };
        query.after = Some(last.key(&STREAM_STATE));
        for row in &rows {
            match row.0.first() {
                Some(Value::Text(stream)) if stream.starts_with(PREFIX) => {
                    scopes.extend(TraderScopes.scope("account", &stream[PREFIX.len()..]));
                }
                _ => return Ok(scopes),
            }
        }
    }
}
