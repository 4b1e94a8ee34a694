//! `arm`, `disarm`, `close`, `panic`: sent to the daemon; the first two can be written without one.

use robson_domain::{CommandId, PositionId, PositionState, TrailingPolicy};
use robson_eventlog::{Clock as _, SystemClock};
use robsond::operator::{Arm, Command, Done, TouchedPosition};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args;
use crate::daemon::{Daemon, Request, Unanswered};
use crate::db::Database;
use crate::failure::{ExitCode, Failure};
use crate::offline;
use crate::positions;
use crate::printer::Printer;
use crate::settings::Settings;

/// `arm`.
///
/// # Errors
/// As daemon or risk gate say.
pub async fn run_arm(settings: &Settings, args: args::Arm, printer: &mut Printer) -> Result<(), Failure> {
    let id = command_id(&args.retry);
    let arm = Arm {
        symbol: args.symbol,
        side: args.side,
        entry: args.entry,
        trailing: args.trailing,
        capital: args.capital,
        risk: args.risk,
    };
    let done = execute(settings, id, Command::Arm(arm)).await?;
    said("armed", "as asked before", &done, printer)
}

/// `disarm`.
///
/// # Errors
/// There is no such position, it is not armed, or as the daemon says.
pub async fn run_disarm(
    settings: &Settings,
    args: args::OnePosition,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let position_id = position_of(settings, &args.position).await?;
    let done = execute(settings, command_id(&args.retry), Command::Disarm { position_id }).await?;
    said("disarmed", &position_id.to_string(), &done, printer)
}

/// `close`.
///
/// # Errors
/// There is no such position, it holds nothing, or as the daemon says.
pub async fn run_close(
    settings: &Settings,
    args: args::OnePosition,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let position_id = position_of(settings, &args.position).await?;
    let done = execute(settings, command_id(&args.retry), Command::Close { position_id }).await?;
    said("closing", &position_id.to_string(), &done, printer)
}

/// `panic`; without `--confirm` it shows what would be closed and ends with exit code 2.
///
/// # Errors
/// It was not confirmed, or as the daemon says.
pub async fn run_panic(settings: &Settings, args: args::Panic, printer: &mut Printer) -> Result<(), Failure> {
    if args.confirm {
        let done = execute(settings, command_id(&args.retry), Command::Panic).await?;
        return said("closing", "nothing: nothing was live", &done, printer);
    }
    let live = positions::live(&Database::read(settings).await?).await?;
    if printer.is_json {
        let would: Vec<Value> =
            live.iter().map(|(row, _)| row.to_json(&robson_projector::positions_current::TABLE)).collect();
        printer.json(&json!({ "confirmed": false, "would_close": would }), false)?;
    } else {
        printer.table(&positions::listing(live.iter().map(|(_, position)| position), "no live positions"))?;
    }
    let count = match live.len() {
        1 => "this position".to_owned(),
        count => format!("these {count} positions"),
    };
    Err(Failure::usage(format!(
        "nothing was done: `robson panic --confirm` disarms {count}, and closes at market what is held"
    )))
}

/// A whole id is taken as it is; a part of one is looked up in the database.
async fn position_of(settings: &Settings, text: &str) -> Result<PositionId, Failure> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => positions::resolve(&Database::read(settings).await?, text).await,
    }
}

/// Asks the daemon; where none answers, `arm` and `disarm` are written without it.
async fn execute(settings: &Settings, id: CommandId, command: Command) -> Result<Done, Failure> {
    let needs_venue = !matches!(command, Command::Arm(_) | Command::Disarm { .. });
    match Daemon::of(settings).send(id, &request(&command)) {
        Ok(body) => Ok(done(&body)),
        Err(Unanswered::Nobody(failure)) if !needs_venue => {
            offline::execute(settings, id, command, failure).await
        }
        Err(Unanswered::Failed(failure)) if failure.code == ExitCode::OutcomeUnknown => Err(Failure {
            sentence: format!("{}; to ask again: --command-id {id}", failure.sentence),
            ..failure
        }),
        Err(Unanswered::Nobody(failure) | Unanswered::Failed(failure)) => Err(failure),
    }
}

/// A command as the daemon's HTTP interface takes it.
fn request(command: &Command) -> Request {
    match command {
        Command::Arm(arm) => {
            let percent = |risk: robson_domain::Fraction| {
                risk.get().checked_mul(Decimal::ONE_HUNDRED).unwrap_or_default().normalize().to_string()
            };
            let mut body = json!({
                "symbol": arm.symbol,
                "side": arm.side.as_str().to_ascii_uppercase(),
                "entry_policy": { "mode": arm.entry },
            });
            if let Some(fields) = body.as_object_mut() {
                if arm.trailing != TrailingPolicy::Continuous {
                    fields.insert("trailing_policy".to_owned(), json!(arm.trailing));
                }
                fields.extend(arm.capital.map(|capital| ("capital".to_owned(), json!(capital))));
                fields.extend(arm.risk.map(|risk| ("risk_percent".to_owned(), json!(percent(risk)))));
            }
            Request::Post { path: "/positions".to_owned(), body }
        }
        Command::Disarm { position_id } => Request::Delete { path: format!("/positions/{position_id}") },
        Command::Close { position_id } => {
            Request::Post { path: format!("/positions/{position_id}/close"), body: json!({}) }
        }
        Command::Signal(signal) => {
            Request::Post { path: format!("/positions/{}/signal", signal.position_id), body: json!(signal) }
        }
        Command::Panic => Request::Post { path: "/panic".to_owned(), body: json!({}) },
    }
}

/// What the daemon's answer says was done: one position, or a list of them; an empty answer: as asked.
fn done(body: &Value) -> Done {
    let list = body.get("positions").and_then(Value::as_array);
    let touched = |value: &Value| serde_json::from_value::<TouchedPosition>(value.clone()).ok();
    let positions: Vec<TouchedPosition> = match list {
        Some(list) => list.iter().filter_map(touched).collect(),
        None => touched(body).into_iter().collect(),
    };
    Done { positions }
}

/// `otherwise` stands in for positions where the answer names none.
fn said(did: &str, otherwise: &str, done: &Done, printer: &mut Printer) -> Result<(), Failure> {
    if printer.is_json {
        return Ok(printer.json(&json!(done), false)?);
    }
    if done.positions.is_empty() {
        return Ok(printer.line(format!("{did} {otherwise}"))?);
    }
    for position in &done.positions {
        let TouchedPosition { position_id, symbol, side, state } = position;
        let word = match state {
            PositionState::Cancelled => "disarmed",
            PositionState::Closed => "closed",
            _ => did,
        };
        printer.line(format!("{word} {symbol} {side}: position {position_id} is {state}"))?;
    }
    Ok(())
}

/// The id of a retry, or a new one: a UUIDv7, so that it sorts by time as every key does.
fn command_id(retry: &args::Retry) -> CommandId {
    retry.command_id.unwrap_or_else(|| {
        let millis = u64::try_from(SystemClock.now().unix_millis()).unwrap_or(0);
        let mut random = [0; 10];
        random.copy_from_slice(&random_bytes()[..10]);
        CommandId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    })
}

/// 16 bytes that nobody can guess, but for the six bits that mark a UUIDv4.
#[expect(clippy::disallowed_methods, reason = "commands of people have no seed to be derived from")]
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = *Uuid::new_v4().as_bytes();
    // The marks stand in bytes 6 and 8: they go last, where a caller that needs ten bytes leaves them out.
    bytes.swap(6, 15);
    bytes.swap(8, 14);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_sent_as_the_interface_takes_it() {
        let arm = Arm {
            symbol: "BTCUSD".parse().unwrap(),
            side: robson_domain::Side::Short,
            entry: robson_domain::EntryMode::Immediate,
            trailing: TrailingPolicy::Span,
            capital: Some("5000".parse().unwrap()),
            risk: Some("0.005".parse().unwrap()),
        };
        let expected = json!({
            "symbol": "BTCUSD",
            "side": "SHORT",
            "entry_policy": { "mode": "immediate" },
            "trailing_policy": "span",
            "capital": "5000",
            "risk_percent": "0.5",
        });
        let expected = Request::Post { path: "/positions".to_owned(), body: expected };
        assert_eq!(request(&Command::Arm(arm)), expected);
    }

    #[test]
    fn new_ids_sort_by_time_and_differ() {
        let retry = args::Retry { command_id: None };
        let (first, second) = (command_id(&retry), command_id(&retry));
        assert_eq!(first.0.get_version_num(), 7);
        assert_ne!(first, second);
        assert_eq!(command_id(&args::Retry { command_id: Some(first) }), first);
    }
}
