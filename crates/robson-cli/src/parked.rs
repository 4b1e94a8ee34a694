//! `events parked`, `events retry`, `events skip`: what consumers could not deal with, and what becomes of it.

use robson_eventlog::parking::parked_events;
use robson_eventlog::{PARKED_EVENTS, ParkedEvent, Verdict};
use robsond::parked::Decision;
use serde_json::{Value, json};

use crate::args::{DecideParked, Parked};
use crate::commands::command_id;
use crate::daemon::{Daemon, Request, Unanswered};
use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::offline;
use crate::printer::{Align, Cell, Listing, Printer};
use crate::settings::Settings;

/// `events parked`.
///
/// # Errors
/// As the store says.
pub(crate) async fn list(db: &Database, args: &Parked, printer: &mut Printer) -> Result<(), Failure> {
    let all = parked_events(db.store().as_ref(), db.used_tenant()?, args.consumer.as_deref()).await?;
    let parked: Vec<ParkedEvent> =
        all.into_iter().filter(|parked| args.all || parked.status.is_open()).collect();
    if printer.is_json {
        let rows: Vec<Value> = parked.iter().map(|parked| parked.to_row().to_json(&PARKED_EVENTS)).collect();
        return Ok(printer.json(&rows.into(), false)?);
    }
    let cells = |parked: &ParkedEvent| {
        vec![
            Cell::of(&parked.consumer),
            Cell::of(parked.log_seq),
            Cell::of(parked.event_id),
            Cell::of(parked.event_type.as_str()),
            Cell::of(parked.status),
            Cell::of(parked.attempts),
            Cell::of(parked.decision_reason.as_ref().unwrap_or(&parked.reason)),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("CONSUMER", Align::Left),
            ("LOG", Align::Right),
            ("EVENT", Align::Left),
            ("TYPE", Align::Left),
            ("STATUS", Align::Left),
            ("TRIED", Align::Right),
            ("WHY", Align::Left),
        ],
        rows: parked.iter().map(cells).collect(),
        when_empty: "no event waits for a decision",
    };
    Ok(printer.table(&listing)?)
}

/// `events retry`, `events skip`: by the daemon, or without one where none runs.
///
/// # Errors
/// There is no such event, it was decided about before, or as the daemon says.
pub(crate) async fn decide(
    settings: &Settings,
    verdict: Verdict,
    args: DecideParked,
    printer: &mut Printer,
) -> Result<(), Failure> {
    // What is no name would be another place in the daemon's interface.
    if args.event.is_empty() || !args.event.chars().all(|c| c.is_ascii_alphanumeric()) {
        let sentence = format!("`{}` is neither an event's id nor its place in the log", args.event);
        return Err(Failure::usage(sentence));
    }
    let id = command_id(&args.retry);
    let decision = Decision { event: args.event, consumer: args.consumer, verdict, reason: args.reason };
    let row = match Daemon::of(settings).send(id, &request(&decision)) {
        Ok(row) => row,
        Err(Unanswered::Nobody(failure)) => {
            let decided = offline::decide_parked(settings, id, &decision, failure).await?;
            decided.to_row().to_json(&PARKED_EVENTS)
        }
        Err(Unanswered::Failed(failure)) if failure.code == ExitCode::OutcomeUnknown => {
            let sentence = format!("{}; to ask again: --command-id {id}", failure.sentence);
            return Err(Failure { sentence, ..failure });
        }
        Err(Unanswered::Failed(failure)) => return Err(failure),
    };
    if printer.is_json {
        return Ok(printer.json(&row, false)?);
    }
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let place = row.get("log_seq").and_then(Value::as_i64).unwrap_or_default();
    let does = match verdict {
        Verdict::Retry => "tries again",
        Verdict::Skip => "passes over",
    };
    Ok(printer.line(format!("{} {does} event {place} ({})", text("consumer"), text("event_type")))?)
}

/// A decision as the daemon's HTTP interface takes it.
fn request(decision: &Decision) -> Request {
    let act = match decision.verdict {
        Verdict::Retry => "retry",
        Verdict::Skip => "skip",
    };
    let mut body = json!({ "reason": decision.reason });
    if let (Some(fields), Some(consumer)) = (body.as_object_mut(), &decision.consumer) {
        fields.insert("consumer".to_owned(), json!(consumer));
    }
    Request::Post { path: format!("/parked/{}/{act}", decision.event), body }
}
