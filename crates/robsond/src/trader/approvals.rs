//! Approvals: an entry that the risk gate admits waits for the operator, with its risk reserved.
//!
//! Which decision waits is in the log; that it still may be approved is not: a restart ends the wait, as the
//! price that it was decided on is gone.

use robson_domain::events::OperatorAlertRaised;
use robson_domain::{
    AlertSeverity, ApprovalMode, DecisionId, Event, Position, PositionState, SignalId, Timestamp, WorkflowId,
};
use robson_eventlog::{EventQuery, Store};
use robson_venue::exchange::Exchange;

use super::commands::{Asked, Carried, Refusal, answer_of_entry};
use super::detectors::Watch;
use super::entry::{Entry, Rejection};
use super::{Desk, DeskError, Trader, TraderError};
use crate::operator::{Done, Refused};

/// How long the operator has, by the feed's clock.
const EXPIRY_MICROS: i64 = 300_000_000;

/// `SIGNAL_REJECTED` says by these how a wait ended without an entry.
const DENIED: &str = "approval_denied";
const EXPIRED: &str = "approval_expired";
const INTERRUPTED: &str = "approval_interrupted";

/// An entry that waits for the operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) decision_id: DecisionId,
    pub(super) signal_id: SignalId,
    pub(super) watch: Watch,
    pub(super) expires_at: Timestamp,
}

/// Until when an entry that is decided now may be approved; nothing where the risk gate decides alone.
pub(super) fn expiry(position: &Position, now: Timestamp) -> Option<Timestamp> {
    match position.approval_mode {
        ApprovalMode::Automatic => None,
        ApprovalMode::HumanConfirmation => Some(now.plus_micros(EXPIRY_MICROS)),
    }
}

/// Whether a position has a decision to enter and no order for it yet.
pub(super) fn awaits_approval(position: &Position) -> bool {
    position.state == PositionState::Armed && position.entry_signal_id.is_some()
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Enters, where stop, size and risk gate still say so at the price of now.
    pub(super) async fn approve(&mut self, asked: Asked<'_>, decision_id: DecisionId) -> Carried {
        let (position, pending) = match self.pending(decision_id).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(Refusal::Alone(refused))),
        };
        let Some((price, _)) = self.market(&position)?.last() else {
            let why = format!("no price of {} has been seen yet", position.symbol);
            return Ok(Err(Refusal::Alone(Refused::NotReady(why))));
        };
        let mut draft = self.desk.draft_of_command(asked.id, asked.actor);
        draft.workflow_id = Some(WorkflowId(pending.watch.detector_id.0));
        self.desk.rest_on_account(&mut draft);
        let granted = OperatorAlertRaised {
            code: "approval_granted".to_owned(),
            severity: AlertSeverity::Info,
            message: format!("{} approved the entry into {} {}", asked.actor, position.side, position.symbol),
            subject_id: Some(decision_id.to_string()),
            reason: None,
        };
        self.desk.add(&mut draft, granted, self.now).await?;
        let Pending { watch, signal_id, .. } = pending;
        self.approvals.remove(&position.position_id);
        let stop = match self.analyze_stop(&mut draft, &position, price, signal_id).await? {
            Ok(stop) => stop,
            Err(rejection) => {
                let reason = rejection.reason.clone();
                self.reject(draft, &position, watch, signal_id, rejection, Some(asked)).await?;
                return Ok(answer_of_entry(&position, Err(reason)));
            }
        };
        let entry = Entry { watch, signal_id, price, stop, asked: Some(asked) };
        let entered = self.decide_entry(draft, &position, entry).await?;
        Ok(answer_of_entry(&position, entered))
    }

    /// Refuses an entry that waits: an only try is over, any other gets a new detector.
    pub(super) async fn deny(&mut self, asked: Asked<'_>, decision_id: DecisionId) -> Carried {
        let (position, pending) = match self.pending(decision_id).await? {
            Ok(found) => found,
            Err(refused) => return Ok(Err(Refusal::Alone(refused))),
        };
        let mut draft = self.desk.draft_of_command(asked.id, asked.actor);
        let rejection = Rejection { code: DENIED, reason: format!("{} denied the entry", asked.actor) };
        let next =
            self.add_rejection(&mut draft, &position, pending.watch, pending.signal_id, rejection).await?;
        let state = draft.position(position.position_id).map_or(position.state, |position| position.state);
        let done = Done::with(vec![crate::operator::TouchedPosition {
            state,
            ..super::commands::touched(&position)
        }]);
        let done = self.desk.answer_with(draft, asked, done).await?;
        self.approvals.remove(&position.position_id);
        self.set_watch(&position, next);
        Ok(done.map_err(Refusal::Alone))
    }

    /// Ends every wait that has lasted too long.
    pub(super) async fn expire_approvals(&mut self) -> Result<(), TraderError> {
        let due: Vec<Position> = self
            .approvals
            .iter()
            .filter(|(_, pending)| pending.expires_at <= self.now)
            .filter_map(|(id, _)| self.desk.position(*id).cloned())
            .collect();
        for position in due {
            let Some(pending) = self.approvals.remove(&position.position_id) else { continue };
            let rejection =
                Rejection { code: EXPIRED, reason: "nobody approved the entry in time".to_owned() };
            self.end_wait(&position, pending.watch, pending.signal_id, rejection).await?;
        }
        Ok(())
    }

    /// Ends every wait that a restart cut short.
    pub(super) async fn reject_interrupted_approvals(&mut self) -> Result<(), TraderError> {
        let waiting: Vec<Position> = self.desk.positions().filter(|p| awaits_approval(p)).cloned().collect();
        for position in waiting {
            let Some(signal_id) = position.entry_signal_id else { continue };
            let watch = self.recorded_watch(&position).await?;
            let reason = "a restart came before anybody approved the entry".to_owned();
            self.end_wait(&position, watch, signal_id, Rejection { code: INTERRUPTED, reason }).await?;
        }
        Ok(())
    }

    async fn end_wait(
        &mut self,
        position: &Position,
        watch: Watch,
        signal_id: SignalId,
        rejection: Rejection,
    ) -> Result<(), TraderError> {
        let id = self.desk.derive(self.now, rejection.code, &[&signal_id.to_string()]);
        let draft = self.desk.draft(id, self.now);
        self.reject(draft, position, watch, signal_id, rejection, None).await
    }

    /// The decision that waits under an id, or why it does not.
    async fn pending(
        &self,
        decision_id: DecisionId,
    ) -> Result<Result<(Position, Pending), Refused>, TraderError> {
        let found = self.approvals.iter().find(|(_, pending)| pending.decision_id == decision_id);
        let found = found.and_then(|(id, pending)| Some((self.desk.position(*id)?.clone(), *pending)));
        match found {
            Some(found) => Ok(Ok(found)),
            None => Ok(Err(self.desk.why_not_pending(decision_id).await?)),
        }
    }
}

impl<S: Store> Desk<S> {
    /// What became of a decision that no longer waits, by the log.
    async fn why_not_pending(&self, decision_id: DecisionId) -> Result<Refused, DeskError> {
        let event_types = vec!["DECISION_PROPOSED".parse().map_err(|_| broken("an event type"))?];
        let query = EventQuery {
            entity_id: Some(decision_id.to_string()),
            event_types,
            limit: 1,
            ..EventQuery::all(self.ledger().tenant())
        };
        let page = self.ledger().store().read(&query).await?;
        let proposed = page.events.first().map(robson_projector::event_of).transpose();
        let proposed = match proposed.map_err(|error| DeskError::Broken(error.to_string()))? {
            Some(Event::DecisionProposed(proposed)) if proposed.approval_expires_at.is_some() => proposed,
            _ => return Ok(Refused::NotFound(format!("no entry waits as decision {decision_id}"))),
        };
        let story = self.story(proposed.position_id).await?;
        let code = story.iter().find_map(|event| match event {
            Event::SignalRejected(rejected) if rejected.signal_id == proposed.signal_id => {
                Some(rejected.reason_code.as_str())
            }
            _ => None,
        });
        Ok(match code {
            Some(EXPIRED | INTERRUPTED) => {
                Refused::Expired(format!("decision {decision_id} was not approved in time"))
            }
            Some(DENIED) => Refused::WrongState(format!("decision {decision_id} was denied")),
            Some(_) => {
                Refused::WrongState(format!("decision {decision_id} was approved and led to no entry"))
            }
            None => Refused::WrongState(format!("decision {decision_id} no longer waits")),
        })
    }
}

fn broken(what: &str) -> DeskError {
    DeskError::Broken(format!("{what} cannot be named"))
}
