//! `snapshot`: takes one now, while no daemon runs, and lists those that there are.

use std::sync::Arc;

use robson_eventlog::snapshot::{Reason, SNAPSHOTS, Scope, Scopes as _, Snapshot, take};
use robson_eventlog::{
    AcquireError, Append, Clock, Ledger, LedgerOptions, OpenError, RowQuery, Store as _, Timestamp, Value,
    WriterId,
};
use robson_projector::{TraderScopes, risk_state_current};
use robson_store::{AnyStore, OpenOptions};
use serde_json::json;

use crate::args;
use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::printer::{Align, Cell, Listing, Printer};
use crate::settings::Settings;

/// `snapshot take`.
///
/// # Errors
/// A daemon writes the log, there is no such thing, or as the store says.
pub async fn run_take(
    settings: &Settings,
    args: &args::SnapshotTake,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let db = Database::read(settings).await?;
    let tenant = db.used_tenant()?;
    let scopes = scopes(&db, args).await?;
    // The log's own time, as for every command without a daemon.
    let now = db.head().await?.ingested_at;
    // Whoever still reads keeps the writer from emptying the file's log when it closes.
    db.store().close().await;
    let store = match AnyStore::open(&settings.database, &OpenOptions::default()).await {
        Err(robson_store::OpenError::Locked { .. }) => return Err(held()),
        opened => Arc::new(opened?),
    };
    let writer = WriterId::new(format!("robson/snapshot/{}", std::process::id()))
        .map_err(|error| Failure::error(error.to_string()))?;
    let options = LedgerOptions::new(tenant, writer, Arc::new(StandingClock(now)));
    let ledger = match Ledger::open(Arc::clone(&store), options).await {
        Err(OpenError::Acquire(AcquireError::Held { .. })) => return Err(held()),
        opened => opened.map_err(|error| Failure::error(error.to_string()))?,
    };
    let mut taken = Vec::new();
    for scope in &scopes {
        let found = take(store.as_ref(), tenant, &TraderScopes, scope, Reason::Asked.as_str(), now).await?;
        let found = found.ok_or_else(|| Failure::not_found(format!("there is no {scope}")))?;
        let snapshots = vec![found.snapshot.clone()];
        let kept = ledger.append(Append { snapshots, ..Append::default() }).await;
        kept.map_err(|error| Failure::error(error.to_string()))?;
        taken.push(found);
    }
    ledger.close().await;
    store.close().await;
    if printer.is_json {
        let all: Vec<_> = taken.iter().map(|taken| as_json(&taken.snapshot)).collect();
        return Ok(printer.json(&all.into(), false)?);
    }
    for found in &taken {
        let Snapshot { scope, scope_id, as_of_log_seq, payload, .. } = &found.snapshot;
        let bytes = payload.len();
        printer.line(format!(
            "{scope} {scope_id} at log_seq {as_of_log_seq}: {} rows, {bytes} bytes",
            found.rows
        ))?;
    }
    Ok(())
}

fn held() -> Failure {
    Failure::new(ExitCode::Locked, "a daemon writes this log, and takes snapshots by itself: stop it first")
}

/// What is asked for: one scope, or every account.
async fn scopes(db: &Database, args: &args::SnapshotTake) -> Result<Vec<Scope>, Failure> {
    let named =
        [("account", args.account_id), ("strategy", args.strategy_id), ("position", args.position_id)];
    let named: Vec<_> = named.into_iter().filter_map(|(kind, id)| Some((kind, id?))).collect();
    let scope = |kind: &str, id: uuid::Uuid| TraderScopes.scope(kind, &id.to_string());
    if !named.is_empty() {
        return Ok(named.into_iter().filter_map(|(kind, id)| scope(kind, id)).collect());
    }
    let accounts = RowQuery::filter("scope", Value::Text("account".to_owned()));
    let rows = db.rows(&risk_state_current::TABLE, &accounts).await?;
    let account = |value: &Value| if let Value::Uuid(id) = value { scope("account", *id) } else { None };
    let scopes: Vec<Scope> = rows.iter().filter_map(|row| row.0.first().and_then(account)).collect();
    if scopes.is_empty() {
        return Err(Failure::not_found("no account trades in this database yet: start `robsond` first"));
    }
    Ok(scopes)
}

/// `snapshot list`.
///
/// # Errors
/// As the store says.
pub async fn run_list(
    db: &Database,
    args: &args::SnapshotList,
    printer: &mut Printer,
) -> Result<(), Failure> {
    db.used_tenant()?;
    let rows = db.rows(&SNAPSHOTS, &RowQuery::all()).await?;
    let mut all: Vec<Snapshot> = rows.into_iter().filter_map(Snapshot::from_row).collect();
    all.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.as_of_log_seq, snapshot.created_at)));
    all.truncate(args.limit);
    if printer.is_json {
        let all: Vec<_> = all.iter().map(as_json).collect();
        return Ok(printer.json(&all.into(), false)?);
    }
    let cells = |snapshot: &Snapshot| {
        let is_current = snapshot.schema_version == TraderScopes.fold_version();
        vec![
            Cell::of(snapshot.as_of_log_seq),
            Cell::of(&snapshot.scope),
            Cell::of(&snapshot.scope_id),
            Cell::of(&snapshot.snapshot_type),
            Cell::of(snapshot.created_at),
            Cell::of(snapshot.payload.len()),
            Cell::of(if is_current { "" } else { "other folds" }),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("LOG_SEQ", Align::Right),
            ("SCOPE", Align::Left),
            ("ID", Align::Left),
            ("WHY", Align::Left),
            ("TAKEN", Align::Left),
            ("BYTES", Align::Right),
            ("", Align::Left),
        ],
        rows: all.iter().map(cells).collect(),
        when_empty: "no snapshots",
    };
    Ok(printer.table(&listing)?)
}

fn as_json(snapshot: &Snapshot) -> serde_json::Value {
    json!({
        "scope": snapshot.scope,
        "scope_id": snapshot.scope_id,
        "as_of_log_seq": snapshot.as_of_log_seq,
        "as_of_time": snapshot.as_of_time.to_string(),
        "created_at": snapshot.created_at.to_string(),
        "why": snapshot.snapshot_type,
        "fold_version": snapshot.schema_version,
        "bytes": snapshot.payload.len(),
        "compression": snapshot.compression,
    })
}

/// A clock that stands where the log ends.
#[derive(Debug)]
struct StandingClock(Timestamp);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
