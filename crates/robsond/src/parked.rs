//! What the operator decides about events that a worker could not deal with: to try again, or to skip.
//!
//! The decision, the alert that remembers it and the command's record are one append. The trader has no
//! part in it: the ledger writes for both.

use robson_domain::events::OperatorAlertRaised;
use robson_domain::{AlertSeverity, CommandId, Event};
use robson_eventlog::command::COMMANDS;
use robson_eventlog::parking::{self, DecideError};
use robson_eventlog::{
    Actor, ActorType, Append, AppendError, CommandRecord, CommandStatus, Ledger, NewEvent, Outcome,
    PARKED_EVENTS, ParkedEvent, ParkedStatus, Payload, Recorder, RowQuery, Store, StoreError, Timestamp,
    Trace, Value, Verdict,
};
use robson_projector::{new_event, time_of};
use serde_json::json;

use crate::operator::Refused;

/// Most characters of the operator's reason.
const REASON_CHARS_MAX: usize = 200;

/// What the operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The event: its id, or its place in the log.
    pub event: String,
    /// The consumer that could not deal with it; none: the only one.
    pub consumer: Option<String>,
    /// What is to become of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

impl Decision {
    /// The command's name, as the table of commands keeps it.
    pub const fn command_type(&self) -> &'static str {
        match self.verdict {
            Verdict::Retry => "retry_event",
            Verdict::Skip => "skip_event",
        }
    }

    const fn alert_code(&self) -> &'static str {
        match self.verdict {
            Verdict::Retry => "event_retried",
            Verdict::Skip => "event_skipped",
        }
    }

    fn check(&self) -> Result<(), Refused> {
        let count = self.reason.trim().chars().count();
        if !(1..=REASON_CHARS_MAX).contains(&count) || self.reason.chars().any(char::is_control) {
            let why = format!("reason: 1 to {REASON_CHARS_MAX} characters on one line are needed");
            return Err(Refused::Invalid(why));
        }
        Ok(())
    }
}

/// Takes a decision down, with its reason; the same command again is answered with what it came to.
///
/// # Errors
/// There is no such event, it was decided about before, or whether it was taken down is not known.
pub async fn decide<S: Store>(
    ledger: &Ledger<S>,
    id: CommandId,
    actor: &str,
    decision: &Decision,
) -> Result<ParkedEvent, Refused> {
    decision.check()?;
    let Decision { event, consumer, verdict, reason } = decision;
    let request = json!({ "event": event, "consumer": consumer, "reason": reason });
    let request = Payload::new(&request).map_err(|error| Refused::Invalid(error.to_string()))?;
    let request_hash = CommandRecord::hash_request(decision.command_type(), &request);
    if let Some(first) = earlier(ledger, id).await? {
        if first.request_hash != request_hash {
            return Err(mismatch(id));
        }
        return find(ledger, decision, |_| true).await;
    }
    let parked = find(ledger, decision, |parked| parked.status.is_open()).await?;
    let now = ledger.now();
    let severity = AlertSeverity::Info;
    let mut alert = alert(decision.alert_code(), severity, &parked, reason, now).map_err(Refused::Invalid)?;
    alert.actor = Actor { actor_type: ActorType::Cli, id: Some(actor.to_owned()) };
    alert.trace = Trace { trace_id: Some(id.0), command_id: Some(id.0), ..Trace::default() };
    alert.dedupe_key = format!("{id}/0").parse().ok();
    let record = |decided: &ParkedEvent| {
        let command = CommandRecord {
            id: id.0,
            command_type: decision.command_type().to_owned(),
            request_hash,
            status: CommandStatus::Completed,
            result: Payload::new(&decided.to_row().to_json(&PARKED_EVENTS)).ok(),
            error: None,
            trace_id: Some(id.0),
            issued_at: now,
            completed_at: now,
        };
        Append { command: Some(command), ..Append::events(vec![alert]) }
    };
    let decided = parking::decide(ledger, &parked.consumer, parked.log_seq, *verdict, reason, record).await;
    decided.map_err(|error| match error {
        DecideError::NotParked { .. } => Refused::NotFound(error.to_string()),
        DecideError::Decided(decided) => Refused::WrongState(decided.to_string()),
        DecideError::Unrecorded(outcome) => match *outcome {
            Outcome::Mismatch { .. } => mismatch(id),
            other => Refused::WrongState(format!("the decision cannot be recorded: {other:?}")),
        },
        DecideError::Store(error) => not_ready(&error),
        DecideError::Append(AppendError::Unavailable(why)) => Refused::Unknown(why),
        DecideError::Append(error) => Refused::NotReady(error.to_string()),
    })
}

fn mismatch(id: CommandId) -> Refused {
    Refused::Mismatch(format!("the command id {id} was used for another request"))
}

fn not_ready(error: &StoreError) -> Refused {
    Refused::NotReady(error.to_string())
}

async fn earlier<S: Store>(ledger: &Ledger<S>, id: CommandId) -> Result<Option<CommandRecord>, Refused> {
    let query = RowQuery::keys(vec![vec![Value::Uuid(id.0)]]);
    let rows = ledger.store().rows(ledger.tenant(), &COMMANDS, &query).await;
    Ok(rows.map_err(|error| not_ready(&error))?.into_iter().next().and_then(CommandRecord::from_row))
}

/// The one parked event that a decision is about; `preferred` decides where several consumers have it.
async fn find<S: Store>(
    ledger: &Ledger<S>,
    decision: &Decision,
    preferred: impl Fn(&ParkedEvent) -> bool,
) -> Result<ParkedEvent, Refused> {
    let Decision { event, consumer, .. } = decision;
    let store = ledger.store().as_ref();
    let all = parking::parked_events(store, ledger.tenant(), consumer.as_deref()).await;
    let is_meant = |parked: &ParkedEvent| {
        parked.event_id.to_string().eq_ignore_ascii_case(event) || parked.log_seq.to_string() == *event
    };
    let mut meant: Vec<ParkedEvent> =
        all.map_err(|error| not_ready(&error))?.into_iter().filter(is_meant).collect();
    if meant.len() > 1 && meant.iter().any(&preferred) {
        meant.retain(preferred);
    }
    let names: Vec<String> = meant.iter().map(|parked| parked.consumer.clone()).collect();
    let mut meant = meant.into_iter();
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Refused::NotFound(format!("no event `{event}` is parked"))),
        (Some(_), Some(_)) => Err(Refused::Invalid(format!(
            "consumer: name the one that is meant, since several could not deal with the event: {}",
            names.join(", ")
        ))),
    }
}

/// The alert that remembers what became of an event.
fn alert(
    code: &str,
    severity: AlertSeverity,
    parked: &ParkedEvent,
    reason: &str,
    at: Timestamp,
) -> Result<NewEvent, String> {
    let ParkedEvent { consumer, log_seq, event_id, event_type, .. } = parked;
    let raised = OperatorAlertRaised {
        code: code.to_owned(),
        severity,
        message: format!("event {log_seq} ({event_type}) of the consumer {consumer}"),
        subject_id: Some(event_id.to_string()),
        reason: Some(reason.to_owned()),
    };
    new_event(&Event::from(raised), time_of(at)).map_err(|error| error.to_string())
}

/// Raises an alert when an event is parked, and when a worker stops at one.
#[derive(Debug, Clone, Copy)]
pub struct Alerts;

impl Recorder for Alerts {
    fn record(&self, parked: &ParkedEvent, now: Timestamp) -> Option<NewEvent> {
        let (code, severity) = match parked.status {
            ParkedStatus::Stopped => ("consumer_stopped", AlertSeverity::Critical),
            _ => ("event_parked", AlertSeverity::Warning),
        };
        let mut alert = alert(code, severity, parked, &parked.reason, now).ok()?;
        alert.actor = Actor::of(ActorType::Daemon);
        Some(alert)
    }
}
