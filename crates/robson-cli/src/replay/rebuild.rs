//! `replay --rebuild`: fills the tables anew beside the live rows and switches over, as the log's writer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use robson_eventlog::{
    AcquireError, Checks, Clock, Ledger, LedgerOptions, OpenError, RebuildError, Rebuilt, ReplayError,
    Store as _, Timestamp, WriterId,
};
use robson_projector::TABLES;
use robson_store::{AnyStore, OpenOptions};
use serde_json::json;

use super::{cancelled, options, progress};
use crate::db::Database;
use crate::failure::{ExitCode, Failure, chain};
use crate::printer::Printer;
use crate::settings::Settings;

/// Nothing is appended, so nobody asks for the time.
#[derive(Debug)]
struct StandingClock(Timestamp);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// `replay --rebuild`.
///
/// # Errors
/// A daemon writes the log (exit 78); the log does not fold; Ctrl-C, which leaves everything as it was.
pub async fn run(settings: &Settings, printer: &mut Printer) -> Result<(), Failure> {
    // Where there is nothing to rebuild, nothing is made.
    Database::read(settings).await?.store().close().await;
    let opened = AnyStore::open(&settings.database, &OpenOptions::default()).await;
    let store = Arc::new(opened.map_err(|error| match error {
        robson_store::OpenError::Locked { .. } => held(),
        other => other.into(),
    })?);
    let db = Database::on(Arc::clone(&store), settings.tenant).await?;
    let rebuilt = rebuild(&db, !printer.is_json).await;
    store.close().await;
    let rebuilt = rebuilt?;
    if printer.is_json {
        let json = json!({
            "events": rebuilt.log_seq,
            "began_at": rebuilt.began_at,
            "tables": TABLES.iter().map(|table| table.name).collect::<Vec<_>>(),
        });
        return Ok(printer.json(&json, false)?);
    }
    if rebuilt.began_at > 0 {
        printer.line(format!(
            "went on behind event {}, where an earlier rebuild was cut off",
            rebuilt.began_at
        ))?;
    }
    let (tables, events) = (TABLES.len(), rebuilt.log_seq);
    Ok(printer.line(format!("{events} events: {tables} tables rebuilt and switched over"))?)
}

fn held() -> Failure {
    Failure::new(
        ExitCode::Locked,
        "a daemon writes this log: stop it, run `robson replay --rebuild` again, then start it; \
         meanwhile `robson replay --verify` tells whether there is anything to rebuild",
    )
}

async fn rebuild(db: &Database, show_progress: bool) -> Result<Rebuilt, Failure> {
    let tenant = db.used_tenant()?;
    let head = db.head().await?;
    let writer = WriterId::new(format!("robson/rebuild-{}", std::process::id()));
    let writer = writer.map_err(|error| Failure::error(error.to_string()))?;
    let clock = Arc::new(StandingClock(head.ingested_at));
    let ledger = Ledger::open(Arc::clone(db.store()), LedgerOptions::new(tenant, writer, clock)).await;
    let ledger = ledger.map_err(|error| match error {
        OpenError::Acquire(AcquireError::Held { .. }) => held(),
        OpenError::Acquire(error) => error.into(),
        damaged @ OpenError::Damaged(_) => Failure::error(damaged.to_string()),
    })?;
    let asked_to_stop = Arc::new(AtomicBool::new(false));
    let listener = tokio::spawn({
        let asked_to_stop = Arc::clone(&asked_to_stop);
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                asked_to_stop.store(true, Ordering::Relaxed);
            }
        }
    });
    let bar = progress(head.log_seq, show_progress);
    let rebuilt = ledger
        .rebuild(options(tenant, Checks::Hashes), |at| {
            bar.set_length(u64::try_from(at.head).unwrap_or(0));
            bar.set_position(u64::try_from(at.log_seq).unwrap_or(0));
            if asked_to_stop.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .await;
    bar.finish_and_clear();
    listener.abort();
    ledger.close().await;
    rebuilt.map_err(|error| match error {
        RebuildError::Replay(ReplayError::Cancelled(_)) => cancelled(),
        RebuildError::Replay(error) => error.into(),
        error => Failure::error(chain(&error)),
    })
}
