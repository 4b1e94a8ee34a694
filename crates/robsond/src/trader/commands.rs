//! What the operator asks for: each command is answered once, and a retry gets the same answer.

use robson_domain::events::{DetectorStarted, PositionArmed};
use robson_domain::{
    CommandId, ExitReason, Fraction, Money, Position, PositionId, PositionState, StrategyId, Timestamp,
    lifecycle,
};
use robson_engine::sizing::RISK_MAX;
use robson_eventlog::command::COMMANDS;
use robson_eventlog::{Append, CommandRecord, CommandStatus, Payload, RowQuery, Store, Value};
use robson_projector::log_time;
use robson_venue::exchange::Exchange;

use super::entry::APPROVAL;
use super::{Desk, DeskError, Draft, Trader, TraderError, detectors};
use crate::config::RiskSettings;
use crate::operator::{Arm, Command, Done, ManualSignal, Refused, TouchedPosition};

/// What a command came to, or why the trader must stop.
type Answer = Result<Result<Done, Refused>, TraderError>;

/// A command as it is carried out: its record goes into the append that decides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    id: CommandId,
    actor: &'a str,
    command: &'a Command,
    hash: &'a str,
}

/// A refusal, and whether the append that explains it holds it already.
pub(super) enum Refusal {
    Alone(Refused),
    Recorded(Refused),
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Carries a command out, or repeats the answer that its id had before.
    ///
    /// # Errors
    /// The trader must then be dropped; whether the command was carried out is not known.
    pub async fn execute(&mut self, id: CommandId, actor: &str, command: &Command) -> Answer {
        let hash = request_hash(command)?;
        if let Some(answer) = self.desk.earlier_answer(id, &hash).await? {
            return Ok(answer);
        }
        let asked = Asked { id, actor, command, hash: &hash };
        match self.carry_out(asked).await? {
            Ok(done) => Ok(Ok(done)),
            Err(Refusal::Recorded(refused)) => Ok(Err(refused)),
            Err(Refusal::Alone(refused)) => {
                let record = self.desk.record_of(id, command, hash, Err(&refused), self.now)?;
                self.desk.record_alone(record).await?;
                Ok(Err(refused))
            }
        }
    }

    async fn carry_out(&mut self, asked: Asked<'_>) -> Result<Result<Done, Refusal>, TraderError> {
        let Asked { id, actor, hash, .. } = asked;
        match asked.command {
            Command::Arm(arm) => {
                let is_traded = self.markets.contains_key(&arm.symbol);
                let armed = self.desk.arm(id, actor, arm, is_traded, &self.rules, self.now, hash).await?;
                Ok(armed.map_err(Refusal::Alone).map(|armed| {
                    let watch = detectors::watch_of(&armed.position, &armed.started);
                    self.set_watch(&armed.position, watch);
                    armed.done
                }))
            }
            Command::Disarm { position_id } => {
                let done = self.desk.disarm(id, actor, *position_id, self.now, hash).await?;
                if done.is_ok() {
                    self.watches.remove(position_id);
                }
                Ok(done.map_err(Refusal::Alone))
            }
            Command::Close { position_id } => {
                let position = match self.desk.find(*position_id).await? {
                    Ok(position) => position,
                    Err(refused) => return Ok(Err(Refusal::Alone(refused))),
                };
                if !position.state.is_live() {
                    let why = format!("the position is {}", position.state);
                    return Ok(Err(Refusal::Alone(Refused::WrongState(why))));
                }
                let mut draft = self.desk.draft_of_command(id, actor);
                self.decide_to_close(&mut draft, &position, ExitReason::DisarmedByUser).await?;
                self.close_as_asked(asked, draft, vec![position]).await.map(Ok)
            }
            Command::Signal(signal) => self.signal(asked, signal).await,
            Command::Panic => {
                let live: Vec<Position> = self.desk.positions().cloned().collect();
                let mut draft = self.desk.draft_of_command(id, actor);
                self.decide_to_close_all(&mut draft, ExitReason::UserPanic).await?;
                self.close_as_asked(asked, draft, live).await.map(Ok)
            }
        }
    }

    /// Makes the decision to close positions durable with the command's record, then sees to it. After a crash
    /// between the two the next session does.
    async fn close_as_asked(
        &mut self,
        asked: Asked<'_>,
        mut draft: Draft,
        positions: Vec<Position>,
    ) -> Result<Done, TraderError> {
        let now = |position: &Position| touched(draft.position(position.position_id).unwrap_or(position));
        let done = Done { positions: positions.iter().map(now).collect() };
        self.answer_in(&mut draft, asked, Ok(&done))?;
        self.desk.commit(draft).await?;
        let ids: Vec<PositionId> = positions.iter().map(|position| position.position_id).collect();
        self.see_closed(&ids).await?;
        Ok(done)
    }

    async fn signal(
        &mut self,
        asked: Asked<'_>,
        signal: &ManualSignal,
    ) -> Result<Result<Done, Refusal>, TraderError> {
        let position = match self.desk.find(signal.position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(Refusal::Alone(refused))),
        };
        let watch = self.watches.get(&position.position_id).copied();
        let (PositionState::Armed, Some(watch)) = (position.state, watch) else {
            let why = format!("the position is {}, not armed", position.state);
            return Ok(Err(Refusal::Alone(Refused::WrongState(why))));
        };
        let bounds = &self.rules.stops.bounds;
        if let Err(out) = bounds.distance(position.side, signal.entry_price, signal.stop_loss) {
            return Ok(Err(Refusal::Alone(Refused::Invalid(out.to_string()))));
        }
        let (entry, stop) = (signal.entry_price, signal.stop_loss);
        let entered = self.enter_by_hand(&position, watch, entry, stop, asked).await?;
        Ok(entered.map_err(|reason| Refusal::Recorded(Refused::RiskDenied(reason))).map(|state| {
            let mut done = Done { positions: vec![touched(&position)] };
            done.positions[0].state = state;
            done
        }))
    }

    /// Puts the record of an entry by hand into the append that decides it.
    pub(super) fn answer_entry(
        &self,
        draft: &mut Draft,
        asked: Option<Asked<'_>>,
        position: &Position,
        refusal: Option<&str>,
    ) -> Result<(), DeskError> {
        let Some(asked) = asked else { return Ok(()) };
        match refusal {
            Some(reason) => self.answer_in(draft, asked, Err(&Refused::RiskDenied(reason.to_owned()))),
            None => {
                let position = drafted(draft, position.position_id)?;
                self.answer_in(draft, asked, Ok(&Done { positions: vec![touched(&position)] }))
            }
        }
    }

    fn answer_in(
        &self,
        draft: &mut Draft,
        asked: Asked<'_>,
        answer: Result<&Done, &Refused>,
    ) -> Result<(), DeskError> {
        let record = self.desk.record_of(asked.id, asked.command, asked.hash.to_owned(), answer, self.now)?;
        draft.command = Some(record);
        Ok(())
    }
}

/// A position that was armed, with its detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// The position.
    pub position: Position,
    /// Its first detector.
    pub started: DetectorStarted,
    /// The answer to the command.
    pub done: Done,
}

/// What needs no venue: the daemon does it, and the command line where no daemon runs.
impl<S: Store> Desk<S> {
    /// Arms a position: an id of its own, a detector, and the command's record, in one append.
    ///
    /// # Errors
    /// Whether it was armed is then not known.
    #[expect(clippy::too_many_arguments, reason = "each is one input of the decision, named once")]
    pub async fn arm(
        &mut self,
        id: CommandId,
        actor: &str,
        arm: &Arm,
        is_traded: bool,
        rules: &RiskSettings,
        now: Timestamp,
        hash: &str,
    ) -> Result<Result<Armed, Refused>, DeskError> {
        let (risk_capital, risk_pct) = match self.may_arm(arm, is_traded, rules) {
            Ok(terms) => terms,
            Err(refused) => return Ok(Err(refused)),
        };
        let position_id = PositionId(self.derive(now, "position", &[&id.to_string()]));
        let mut draft = self.draft_of_command(id, actor);
        let armed = PositionArmed {
            position_id,
            account_id: self.account_id(),
            strategy_id: Some(self.operator_strategy()),
            symbol: arm.symbol.clone(),
            side: arm.side,
            entry_mode: arm.entry,
            approval_mode: APPROVAL,
            trailing_policy: arm.trailing,
            risk_capital,
            risk_pct,
            armed_at: now,
        };
        self.add(&mut draft, armed, now).await?;
        let started = detectors::started(self, position_id, arm.entry, 1, now, now)?;
        self.add(&mut draft, started.clone(), now).await?;
        let position = drafted(&draft, position_id)?;
        let done = Done { positions: vec![touched(&position)] };
        draft.command =
            Some(self.record_of(id, &Command::Arm(arm.clone()), hash.to_owned(), Ok(&done), now)?);
        self.commit(draft).await?;
        Ok(Ok(Armed { position, started, done }))
    }

    /// What an arm risks, or why it may not be.
    fn may_arm(
        &self,
        arm: &Arm,
        is_traded: bool,
        rules: &RiskSettings,
    ) -> Result<(Money, Fraction), Refused> {
        if !is_traded {
            return Err(Refused::NotFound(format!("the venue does not trade {}", arm.symbol)));
        }
        let detector = robson_engine::entry::Detector::new(arm.entry, arm.side, Timestamp::EPOCH);
        detector.map_err(|unsupported| Refused::Invalid(unsupported.to_string()))?;
        let risk_pct = arm.risk.unwrap_or(rules.default_risk);
        if risk_pct.get() > RISK_MAX || risk_pct == Fraction::ZERO {
            return Err(Refused::Invalid(
                "a position risks more than 0 % and at most 1 % of its capital".into(),
            ));
        }
        if arm.capital.is_some_and(|capital| capital <= Money::ZERO) {
            return Err(Refused::Invalid("the capital must be above zero".into()));
        }
        let Some(risk) = self.risk() else {
            return Err(Refused::NotReady("no price has been seen yet, so the month is not open".into()));
        };
        if risk.halted {
            return Err(Refused::NotReady(format!("trading is halted for the rest of {}", risk.period)));
        }
        if risk.entries_stopped {
            return Err(Refused::NotReady("entries are stopped".into()));
        }
        let twins = self.positions().filter(|twin| twin.symbol == arm.symbol && twin.side == arm.side);
        lifecycle::arm(twins.map(|twin| twin.state))
            .map_err(|duplicate| Refused::WrongState(duplicate.to_string()))?;
        let capital = arm.capital.map_or(risk.capital_base, |capital| capital.min(risk.capital_base));
        if capital <= Money::ZERO {
            return Err(Refused::RiskDenied("the account has no capital to risk".into()));
        }
        Ok((capital, risk_pct))
    }

    /// Disarms a position that holds nothing.
    ///
    /// # Errors
    /// Whether it was disarmed is then not known.
    pub async fn disarm(
        &mut self,
        id: CommandId,
        actor: &str,
        position_id: PositionId,
        now: Timestamp,
        hash: &str,
    ) -> Result<Result<Done, Refused>, DeskError> {
        let position = match self.find(position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(refused)),
        };
        if position.state != PositionState::Armed {
            let why = format!("only an armed position can be disarmed, this one is {}", position.state);
            return Ok(Err(Refused::WrongState(why)));
        }
        let mut draft = self.draft_of_command(id, actor);
        if let Some(detector_id) = self.running_detector(position_id).await? {
            let cause = robson_domain::DetectorStopCause::Disarmed;
            let stopped = robson_domain::events::DetectorStopped { position_id, detector_id, cause };
            self.add(&mut draft, stopped, now).await?;
        }
        let reason = "disarmed by the operator".to_owned();
        let disarmed = robson_domain::events::PositionDisarmed { position_id, reason, disarmed_at: now };
        self.add(&mut draft, disarmed, now).await?;
        let done = Done { positions: vec![touched(&drafted(&draft, position_id)?)] };
        let command = Command::Disarm { position_id };
        draft.command = Some(self.record_of(id, &command, hash.to_owned(), Ok(&done), now)?);
        self.commit(draft).await?;
        Ok(Ok(done))
    }

    async fn running_detector(
        &self,
        position_id: PositionId,
    ) -> Result<Option<robson_domain::DetectorId>, DeskError> {
        let story = self.story(position_id).await?;
        Ok(story.iter().rev().find_map(|event| match event {
            robson_domain::Event::DetectorStarted(started) => Some(started.detector_id),
            _ => None,
        }))
    }

    /// The strategy that positions of the operator belong to.
    pub fn operator_strategy(&self) -> StrategyId {
        StrategyId(self.derive(Timestamp::EPOCH, "strategy", &[&self.account_id().to_string(), "operator"]))
    }

    /// A position, be it live or ended.
    ///
    /// # Errors
    /// As the store says.
    pub async fn find(&mut self, id: PositionId) -> Result<Result<Position, Refused>, DeskError> {
        if let Some(position) = self.position(id) {
            return Ok(Ok(position.clone()));
        }
        let query = RowQuery::keys(vec![vec![Value::Uuid(id.0)]]);
        let table = &robson_projector::positions_current::TABLE;
        let rows = self.ledger().store().rows(self.ledger().tenant(), table, &query).await?;
        let position = rows.first().map(robson_projector::positions_current::entity).transpose();
        let position = position.map_err(|bad| DeskError::Broken(bad.to_string()))?;
        Ok(position.ok_or_else(|| Refused::NotFound(format!("there is no position {id}"))))
    }

    /// The answer that a command id had before, if it had one.
    ///
    /// # Errors
    /// As the store says.
    pub async fn earlier_answer(
        &self,
        id: CommandId,
        hash: &str,
    ) -> Result<Option<Result<Done, Refused>>, DeskError> {
        let query = RowQuery::keys(vec![vec![Value::Uuid(id.0)]]);
        let rows = self.ledger().store().rows(self.ledger().tenant(), &COMMANDS, &query).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let broken = || DeskError::Broken(format!("the record of command {id} cannot be read"));
        let record = CommandRecord::from_row(row).ok_or_else(broken)?;
        if record.request_hash != hash {
            let why = format!("the command id {id} was used for another request");
            return Ok(Some(Err(Refused::Mismatch(why))));
        }
        let result = record.result.ok_or_else(broken)?.value();
        Ok(Some(match record.status {
            CommandStatus::Completed => Ok(serde_json::from_value(result).map_err(|_| broken())?),
            CommandStatus::Failed => Err(serde_json::from_value(result).map_err(|_| broken())?),
        }))
    }

    /// The record of a command and its answer.
    ///
    /// # Errors
    /// `Broken` when the answer holds a text that no database keeps.
    pub fn record_of(
        &self,
        id: CommandId,
        command: &Command,
        request_hash: String,
        answer: Result<&Done, &Refused>,
        at: Timestamp,
    ) -> Result<CommandRecord, DeskError> {
        let (status, result) = match answer {
            Ok(done) => (CommandStatus::Completed, serde_json::to_value(done)),
            Err(refused) => (CommandStatus::Failed, serde_json::to_value(refused)),
        };
        let result = result.map_err(|error| DeskError::Broken(error.to_string()))?;
        Ok(CommandRecord {
            id: id.0,
            command_type: command.name().to_owned(),
            request_hash,
            status,
            result: Some(Payload::new(&result).map_err(|error| DeskError::Broken(error.to_string()))?),
            error: answer.err().map(ToString::to_string),
            trace_id: Some(id.0),
            issued_at: log_time(at),
            completed_at: log_time(at),
        })
    }

    /// Keeps a command's record that no event goes with.
    ///
    /// # Errors
    /// As the log says.
    pub async fn record_alone(&self, record: CommandRecord) -> Result<(), DeskError> {
        let request = Append { command: Some(record), ..Append::default() };
        Ok(self.ledger().append(request).await.map(drop)?)
    }
}

/// The hash of a request.
///
/// # Errors
/// `Broken` when it holds a text that no database keeps.
pub fn request_hash(command: &Command) -> Result<String, DeskError> {
    let value = serde_json::to_value(command).map_err(|error| DeskError::Broken(error.to_string()))?;
    let payload = Payload::new(&value).map_err(|error| DeskError::Broken(error.to_string()))?;
    Ok(CommandRecord::hash_request(command.name(), &payload))
}

fn drafted(draft: &Draft, id: PositionId) -> Result<Position, DeskError> {
    let position = draft.position(id).cloned();
    position.ok_or_else(|| DeskError::Broken(format!("position {id} was not drafted")))
}

fn touched(position: &Position) -> TouchedPosition {
    TouchedPosition {
        position_id: position.position_id,
        symbol: position.symbol.clone(),
        side: position.side,
        state: position.state,
    }
}
