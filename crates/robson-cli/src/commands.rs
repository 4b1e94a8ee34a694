//! Commands that act: sent to the daemon; what needs no venue can be written without one.

use robson_domain::{ApprovalMode, CommandId, DecisionId, PositionId, PositionState, TrailingPolicy};
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
use crate::{status, strategies};

/// `arm`.
///
/// # Errors
/// As daemon or risk gate say.
pub async fn run_arm(settings: &Settings, args: args::Arm, printer: &mut Printer) -> Result<(), Failure> {
    let id = command_id(&args.retry);
    let strategy_id = match &args.strategy {
        Some(text) => Some(strategies::resolve(settings, text).await?),
        None => None,
    };
    let arm = Arm {
        symbol: args.symbol,
        side: args.side,
        entry: args.entry,
        trailing: args.trailing,
        capital: args.capital,
        risk: args.risk,
        approval: args.approval,
        strategy_id,
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
/// There is no such position, or as the daemon says.
pub async fn run_close(
    settings: &Settings,
    args: args::OnePosition,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let position_id = position_of(settings, &args.position).await?;
    let done = execute(settings, command_id(&args.retry), Command::Close { position_id }).await?;
    said("closing", &position_id.to_string(), &done, printer)
}

/// `clear`.
///
/// # Errors
/// There is no such position, it is not in error, or as the daemon says.
pub async fn run_clear(
    settings: &Settings,
    args: args::OnePosition,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let position_id = position_of(settings, &args.position).await?;
    let done = execute(settings, command_id(&args.retry), Command::Clear { position_id }).await?;
    said("cleared", &position_id.to_string(), &done, printer)
}

/// `halt`; without `--confirm` it shows how the month stands and ends with exit code 2.
///
/// # Errors
/// It was not confirmed, or as the daemon says.
pub async fn run_halt(settings: &Settings, args: args::Halt, printer: &mut Printer) -> Result<(), Failure> {
    if args.confirm {
        let done = execute(settings, command_id(&args.retry), Command::Halt { reason: args.reason }).await?;
        if printer.is_json {
            return Ok(printer.json(&json!(done), false)?);
        }
        printer.line("halted until the next UTC month")?;
        return if done.positions.is_empty() { Ok(()) } else { said("closing", "", &done, printer) };
    }
    let db = Database::read(settings).await?;
    let halted = status::halts(&db).await?;
    let live = positions::live(&db).await?;
    if printer.is_json {
        let would: Vec<Value> =
            live.iter().map(|(row, _)| row.to_json(&robson_projector::positions_current::TABLE)).collect();
        let json = json!({ "confirmed": false, "halts": halted, "would_close": would });
        printer.json(&json, false)?;
    } else {
        for halt in &halted {
            printer.line(halt.to_string())?;
        }
        printer.table(&positions::listing(live.iter().map(|(_, position)| position), "no live positions"))?;
    }
    Err(Failure::usage(
        "nothing was done: `robson halt --confirm` closes all of this and bars entries until the next UTC month",
    ))
}

/// `entries stop|resume`.
///
/// # Errors
/// As the daemon says.
pub async fn run_entries(
    settings: &Settings,
    args: args::Entries,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let (enabled, args::Because { reason, retry }) = match args {
        args::Entries::Stop(because) => (false, because),
        args::Entries::Resume(because) => (true, because),
    };
    let done = execute(settings, command_id(&retry), Command::Entries { enabled, reason }).await?;
    if printer.is_json {
        return Ok(printer.json(&json!(done), false)?);
    }
    let is_halted = done.account.is_some_and(|account| account.halted);
    let words = match (enabled, is_halted) {
        (false, _) => "entries are stopped; exits go on",
        (true, false) => "entries go on",
        (true, true) => "entries are no longer stopped, but the month is halted",
    };
    Ok(printer.line(words)?)
}

/// `approve` and `deny`.
///
/// # Errors
/// Nothing waits under that id, or as the daemon says.
pub async fn run_decision(
    settings: &Settings,
    args: args::OneDecision,
    is_approved: bool,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let decision_id = decision_of(settings, &args.decision).await?;
    let (command, did) = if is_approved {
        (Command::Approve { decision_id }, "approved")
    } else {
        (Command::Deny { decision_id }, "denied")
    };
    let done = execute(settings, command_id(&args.retry), command).await?;
    said(did, &decision_id.to_string(), &done, printer)
}

/// The waiting decision that a text means; a whole id is taken as it is, for the daemon to judge.
async fn decision_of(settings: &Settings, text: &str) -> Result<DecisionId, Failure> {
    let waiting = match Database::read(settings).await {
        Ok(db) => status::waiting(&db).await?,
        Err(failure) => return text.parse().map_err(|_| failure),
    };
    let wanted = text.trim().to_ascii_lowercase();
    let fits = |id: Uuid| {
        let (dashed, plain) = (id.hyphenated().to_string(), id.simple().to_string());
        [dashed, plain].iter().any(|id| id.starts_with(&wanted) || id.ends_with(&wanted))
    };
    let fitting = waiting.iter().filter(|entry| fits(entry.decision_id.0) || fits(entry.position_id.0));
    match fitting.collect::<Vec<_>>().as_slice() {
        _ if wanted.is_empty() => Err(Failure::usage("a decision needs an id; `robson status` lists them")),
        [only] => Ok(only.decision_id),
        [] => text.parse().map_err(|_| {
            Failure::not_found(format!("no entry waits under {text}: `robson status` lists them"))
        }),
        several => {
            let count = several.len();
            Err(Failure::usage(format!(
                "{count} entries that wait have {text} in their id: write more of it"
            )))
        }
    }
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

/// Asks the daemon; where none answers, what needs none is written without it.
pub(crate) async fn execute(settings: &Settings, id: CommandId, command: Command) -> Result<Done, Failure> {
    match Daemon::of(settings).send(id, &request(&command)) {
        Ok(body) => Ok(done(&body)),
        Err(Unanswered::Nobody(failure)) if !command.needs_daemon() => {
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
            if arm.approval != ApprovalMode::Automatic
                && let Some(policy) = body.get_mut("entry_policy").and_then(Value::as_object_mut)
            {
                policy.insert("approval".to_owned(), json!(arm.approval));
            }
            if let Some(fields) = body.as_object_mut() {
                fields.extend(arm.strategy_id.map(|id| ("strategy_id".to_owned(), json!(id))));
                if arm.trailing != TrailingPolicy::Continuous {
                    fields.insert("trailing_policy".to_owned(), json!(arm.trailing));
                }
                fields.extend(arm.capital.map(|capital| ("capital".to_owned(), json!(capital))));
                fields.extend(arm.risk.map(|risk| ("risk_percent".to_owned(), json!(percent(risk)))));
            }
            Request::Post { path: "/positions".to_owned(), body }
        }
        Command::Disarm { position_id } => Request::Delete { path: format!("/positions/{position_id}") },
        Command::Close { position_id } => post(format!("/positions/{position_id}/close"), json!({})),
        Command::Clear { position_id } => post(format!("/positions/{position_id}/clear"), json!({})),
        Command::Signal(signal) => {
            Request::Post { path: format!("/positions/{}/signal", signal.position_id), body: json!(signal) }
        }
        Command::Panic => post("/panic".to_owned(), json!({})),
        Command::Halt { reason } => post("/monthly-halt".to_owned(), json!({ "reason": reason })),
        Command::Entries { enabled, reason } => Request::Put {
            path: "/entries".to_owned(),
            body: json!({ "enabled": enabled, "reason": reason }),
        },
        Command::CreateStrategy(strategy) => {
            let mut body = json!({ "name": strategy.name, "type": strategy.kind });
            add(&mut body, "risk_config", Some(&strategy.risk_config));
            add(&mut body, "detector_config", strategy.detector_config.as_ref());
            post("/strategies".to_owned(), body)
        }
        Command::EnableStrategy { strategy_id } => {
            post(format!("/strategies/{strategy_id}/enable"), json!({}))
        }
        Command::DisableStrategy { strategy_id, reason } => {
            let mut body = json!({});
            add(&mut body, "reason", reason.as_ref());
            post(format!("/strategies/{strategy_id}/disable"), body)
        }
        Command::UpdateStrategy(update) => {
            let mut body = json!({});
            add(&mut body, "risk_config", update.risk_config.as_ref());
            add(&mut body, "detector_config", update.detector_config.as_ref());
            Request::Put { path: format!("/strategies/{}/config", update.strategy_id), body }
        }
        Command::Approve { decision_id } => post(format!("/approvals/{decision_id}/approve"), json!({})),
        Command::Deny { decision_id } => post(format!("/approvals/{decision_id}/deny"), json!({})),
    }
}

fn post(path: String, body: Value) -> Request {
    Request::Post { path, body }
}

/// A field that is left out where there is nothing to say.
fn add(body: &mut Value, name: &str, value: Option<&impl serde::Serialize>) {
    if let (Some(fields), Some(value)) = (body.as_object_mut(), value) {
        fields.insert(name.to_owned(), json!(value));
    }
}

/// What the daemon's answer says was done: one position, a list of them, an account or a strategy; an empty
/// answer: as asked.
fn done(body: &Value) -> Done {
    let list = body.get("positions").and_then(Value::as_array);
    let touched = |value: &Value| serde_json::from_value::<TouchedPosition>(value.clone()).ok();
    let positions: Vec<TouchedPosition> = match list {
        Some(list) => list.iter().filter_map(touched).collect(),
        None => touched(body).into_iter().collect(),
    };
    Done {
        positions,
        account: serde_json::from_value(body.clone()).ok(),
        strategy: serde_json::from_value(body.clone()).ok(),
    }
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
pub(crate) fn command_id(retry: &args::Retry) -> CommandId {
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
            approval: ApprovalMode::HumanConfirmation,
            strategy_id: Some(robson_domain::StrategyId(Uuid::from_u128(7))),
        };
        let expected = json!({
            "symbol": "BTCUSD",
            "side": "SHORT",
            "entry_policy": { "mode": "immediate", "approval": "human_confirmation" },
            "trailing_policy": "span",
            "strategy_id": Uuid::from_u128(7),
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
