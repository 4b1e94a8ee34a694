//! The workers: what follows the log beside the trader, each under its own checkpoint.
//!
//! They decide no trade. One that cannot go on is seen in readiness, status and metrics; the others and
//! the trader go on.

use std::sync::Arc;

use robson_domain::events::{OperatorAlertRaised, PositionError, RiskLimitExceeded};
use robson_domain::{AlertSeverity, Event, LimitAction, StreamName};
use robson_eventlog::{
    Append, ConsumerOptions, ConsumerStatus, Input, Ledger, ReactError, Reactor, RunningReactor, Store,
    UpcastError,
};
use robson_projector::{UnreadableEvent, event_of};
use tokio::sync::watch;

use crate::metrics::ALARMS;
use crate::parked::Alerts;

/// The workers of one session, at work.
#[derive(Debug)]
pub struct Workers(Vec<RunningReactor>);

impl Workers {
    /// Sets them to work, for as long as this process is the log's writer.
    pub fn start<S: Store>(ledger: &Ledger<S>) -> Self {
        let options =
            ConsumerOptions { recorder: Some(Arc::new(Alerts)), ..ConsumerOptions::new(ledger.tenant()) };
        Self(vec![ledger.react(Alarms, options)])
    }

    /// Where each of them stands.
    pub fn statuses(&self) -> Vec<watch::Receiver<ConsumerStatus>> {
        self.0.iter().map(RunningReactor::status).collect()
    }

    /// Lets each end what it is at, and makes durable how far it has come.
    pub async fn stop(self) {
        for worker in self.0 {
            worker.stop().await;
        }
    }
}

/// Tells the operator's log and the metrics of what calls for the operator.
#[derive(Debug, Clone, Copy)]
struct Alarms;

impl Reactor for Alarms {
    fn name(&self) -> &'static str {
        "alarms"
    }

    async fn react(&mut self, input: Input<'_>) -> Result<Append, ReactError> {
        let event = match event_of(input.event) {
            Ok(event) => event,
            // Somebody else's streams may lie in the same log.
            Err(_) if !StreamName::is_ours(input.event.stream.as_str()) => return Ok(Append::default()),
            Err(UnreadableEvent::Upcast(UpcastError::UnknownType(_))) => return Err(ReactError::Unknown),
            Err(error) => return Err(ReactError::Poison(error.to_string())),
        };
        if let Some((code, what)) = alarm(&event) {
            tracing::warn!(code, log_seq = input.event.log_seq, at = %input.event.occurred_at, "{what}");
            metrics::counter!(ALARMS, "code" => code.to_owned()).increment(1);
        }
        Ok(Append::default())
    }
}

/// What an event calls the operator for, if it does.
fn alarm(event: &Event) -> Option<(&str, String)> {
    match event {
        Event::OperatorAlertRaised(OperatorAlertRaised { code, severity, message, .. })
            if *severity != AlertSeverity::Info =>
        {
            Some((code, message.clone()))
        }
        Event::PositionError(PositionError { position_id, error, cleared: false, .. }) => {
            Some(("position_error", format!("position {position_id}: {error}")))
        }
        Event::RiskLimitExceeded(RiskLimitExceeded { limit, action, .. })
            if *action != LimitAction::Cleared =>
        {
            Some(("risk_limit_exceeded", format!("{limit}: {action}")))
        }
        _ => None,
    }
}
