//! `verify`: whether the log is the one that was written, and whether everything beside it follows from it.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use robson_eventlog::verify::{self, Damage, Progress, Report, Verification};
use robson_projector::{TraderScopes, TraderTables};
use serde_json::json;

use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::printer::Printer;
use crate::replay::scratch::Scratch;

/// Most damages that are printed for people; scripts get all that are told.
const SHOWN_MAX: usize = 20;

/// `verify`.
///
/// # Errors
/// Something is wrong (exit 1, after the report), or the database cannot be read (exit 2).
pub async fn run(db: &Database, printer: &mut Printer) -> Result<(), Failure> {
    let report = check(db, !printer.is_json).await.map_err(unreadable)?;
    if printer.is_json {
        printer.json(&as_json(&report), false)?
    } else {
        tell(&report, printer)?
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::reported(ExitCode::Error)) }
}

/// A database that cannot be read, as this command ends with it: 1 says that something in it is wrong.
pub fn unreadable(failure: Failure) -> Failure {
    Failure { code: ExitCode::Usage, ..failure }
}

/// Reads and compares everything of a log.
///
/// # Errors
/// As the store says.
pub async fn check(db: &Database, show_progress: bool) -> Result<Report, Failure> {
    let verification = Verification {
        tenant: db.used_tenant()?,
        projections: vec![Arc::new(TraderTables)],
        scopes: Some(Arc::new(TraderScopes)),
    };
    // It hides itself where standard error is no terminal.
    let bar = if show_progress { ProgressBar::new(0) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut part = "";
    let told = |progress: Progress| {
        if part != progress.part {
            part = progress.part;
            bar.reset();
            bar.set_message(progress.part);
        }
        bar.set_length(progress.total.unwrap_or(progress.done));
        bar.set_position(progress.done);
    };
    let scratch = Scratch::open(verification.tenant).await?;
    let report = verify::verify(db.store(), scratch.store(), &verification, told).await;
    bar.finish_and_clear();
    scratch.close().await;
    Ok(report?)
}

fn as_json(report: &Report) -> serde_json::Value {
    let damage =
        |damage: &Damage| json!({ "log_seq": damage.log_seq, "table": damage.part, "what": damage.what });
    json!({
        "clean": report.is_clean(),
        "first_damaged_log_seq": report.first_damaged(),
        "damages": report.damages.iter().map(damage).collect::<Vec<_>>(),
        "damages_total": report.damages_total,
        "skipped": report.skipped,
        "head": { "log_seq": report.head.log_seq, "chain_hash": report.head.chain_hash.to_string() },
        "events": report.events,
        "dedupe_keys": report.dedupe_keys,
        "streams": report.streams,
        "rows": report.rows,
        "snapshots": report.snapshots,
    })
}

fn tell(report: &Report, printer: &mut Printer) -> Result<(), Failure> {
    for damage in report.damages.iter().take(SHOWN_MAX) {
        printer.line(damage.to_string())?;
    }
    for skipped in &report.skipped {
        printer.line(skipped)?;
    }
    let Report { events, dedupe_keys, streams, rows, snapshots, damages_total, .. } = report;
    printer.line(format!(
        "{events} events, {dedupe_keys} dedupe keys, {streams} streams, {rows} rows, {snapshots} snapshots"
    ))?;
    let verdict = match (damages_total, report.first_damaged()) {
        (0, _) => format!("nothing is wrong; the chain of hashes ends with {}", report.head.chain_hash),
        (1, Some(first)) => format!("1 damage, at log_seq {first}"),
        (count, Some(first)) => format!("{count} damages; the first damaged log_seq is {first}"),
        (1, None) => "1 damage, beside the log".to_owned(),
        (count, None) => format!("{count} damages, beside the log"),
    };
    Ok(printer.line(verdict)?)
}
