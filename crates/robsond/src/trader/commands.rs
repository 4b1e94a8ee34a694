//! What the operator asks for: each command is answered once, and a retry gets the same answer.

use robson_domain::{CommandId, ExitReason, Position, PositionId, PositionState, Timestamp};
use robson_eventlog::command::COMMANDS;
use robson_eventlog::{Append, CommandRecord, CommandStatus, Payload, RowQuery, Store, Value};
use robson_projector::log_time;
use robson_venue::exchange::Exchange;

use super::{Desk, DeskError, Draft, Trader, TraderError};
use crate::config::RiskSettings;
use crate::operator::{Command, Done, ManualSignal, Refused, TouchedPosition};

/// A command as it is carried out: its record goes into the append that decides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) id: CommandId,
    pub(super) actor: &'a str,
    pub(super) command: &'a Command,
    pub(super) hash: &'a str,
    pub(super) at: Timestamp,
}

/// A refusal, and whether the append that explains it holds it already.
pub(super) enum Refusal {
    Alone(Refused),
    Recorded(Refused),
}

/// What a command came to, or why the trader must stop.
pub(super) type Carried = Result<Result<Done, Refusal>, TraderError>;

/// The same where no trader is needed.
pub(super) type Answer = Result<Result<Done, Refused>, DeskError>;

/// What a command without a venue is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The rules of risk.
    pub rules: &'a RiskSettings,
    /// Whether the venue trades the symbol that the command names.
    pub is_traded: bool,
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Carries a command out, or repeats the answer that its id had before.
    ///
    /// # Errors
    /// The trader must then be dropped; whether the command was carried out is not known.
    pub async fn execute(
        &mut self,
        id: CommandId,
        actor: &str,
        command: &Command,
    ) -> Result<Result<Done, Refused>, TraderError> {
        let hash = match request_hash(command) {
            Ok(hash) => hash,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(answer) = self.desk.earlier_answer(id, &hash).await? {
            return Ok(answer);
        }
        let asked = Asked { id, actor, command, hash: &hash, at: self.now };
        match self.carry_out(asked).await? {
            Ok(done) => Ok(Ok(done)),
            Err(Refusal::Recorded(refused)) => Ok(Err(refused)),
            Err(Refusal::Alone(refused)) => {
                self.desk.record_refusal(asked, &refused).await?;
                Ok(Err(refused))
            }
        }
    }

    async fn carry_out(&mut self, asked: Asked<'_>) -> Carried {
        match asked.command {
            Command::Close { position_id } => self.close(asked, *position_id).await,
            Command::Signal(signal) => self.signal(asked, signal).await,
            Command::Panic => {
                let draft = self.desk.draft_of_command(asked.id, asked.actor);
                self.close_all_as_asked(asked, draft, ExitReason::UserPanic, Done::default()).await
            }
            Command::Halt { reason } => self.halt_by_hand(asked, reason).await,
            Command::Approve { decision_id } => self.approve(asked, *decision_id).await,
            Command::Deny { decision_id } => self.deny(asked, *decision_id).await,
            command => {
                let is_traded =
                    matches!(command, Command::Arm(arm) if self.markets.contains_key(&arm.symbol));
                let terms = Terms { rules: &self.rules, is_traded };
                let answer = self.desk.carry_out(asked, &terms).await?;
                if let Ok(done) = &answer {
                    self.watch_anew(done).await?;
                }
                Ok(answer.map_err(Refusal::Alone))
            }
        }
    }

    /// Keeps the detectors in step with what the desk did to positions.
    async fn watch_anew(&mut self, done: &Done) -> Result<(), TraderError> {
        for TouchedPosition { position_id, .. } in &done.positions {
            self.watches.remove(position_id);
            self.approvals.remove(position_id);
            let position = self.desk.position(*position_id);
            if let Some(armed) = position.filter(|p| p.state == PositionState::Armed).cloned() {
                let watch = self.recorded_watch(&armed).await?;
                self.watches.insert(*position_id, watch);
            }
        }
        Ok(())
    }

    /// Closes one position. One that has ended, or is in error with nothing held, stays as it is.
    async fn close(&mut self, asked: Asked<'_>, position_id: PositionId) -> Carried {
        let position = match self.desk.find(position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(Refusal::Alone(refused))),
        };
        let mut draft = self.desk.draft_of_command(asked.id, asked.actor);
        self.decide_to_close(&mut draft, &position, ExitReason::DisarmedByUser).await?;
        self.close_as_asked(asked, draft, vec![position], Done::default()).await.map(Ok)
    }

    /// Adds the end of every live position to a draft and sees to it.
    pub(super) async fn close_all_as_asked(
        &mut self,
        asked: Asked<'_>,
        mut draft: Draft,
        reason: ExitReason,
        done: Done,
    ) -> Carried {
        let live: Vec<Position> = self.desk.positions().cloned().collect();
        self.decide_to_close_all(&mut draft, reason).await?;
        self.close_as_asked(asked, draft, live, done).await.map(Ok)
    }

    /// Makes the decision to close positions durable with the command's record, then sees to it. After a crash
    /// between the two the next session does.
    async fn close_as_asked(
        &mut self,
        asked: Asked<'_>,
        mut draft: Draft,
        positions: Vec<Position>,
        done: Done,
    ) -> Result<Done, TraderError> {
        let now = |position: &Position| touched(draft.position(position.position_id).unwrap_or(position));
        let done = Done { positions: positions.iter().map(now).collect(), ..done };
        draft.command = Some(self.desk.record_of(asked, Ok(&done))?);
        self.desk.commit(draft).await?;
        let ids: Vec<PositionId> = positions.iter().map(|position| position.position_id).collect();
        self.see_closed(&ids).await?;
        Ok(done)
    }

    async fn signal(&mut self, asked: Asked<'_>, signal: &ManualSignal) -> Carried {
        let position = match self.desk.find(signal.position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(Refusal::Alone(refused))),
        };
        let watch = self.watches.get(&position.position_id).copied();
        let (PositionState::Armed, Some(watch)) = (position.state, watch) else {
            let why = match position.state {
                PositionState::Armed => "the position waits for the operator to approve its entry".to_owned(),
                state => format!("the position is {state}, not armed"),
            };
            return Ok(Err(Refusal::Alone(Refused::WrongState(why))));
        };
        let bounds = &self.rules.stops.bounds;
        if let Err(out) = bounds.distance(position.side, signal.entry_price, signal.stop_loss) {
            return Ok(Err(Refusal::Alone(Refused::Invalid(out.to_string()))));
        }
        let (entry, stop) = (signal.entry_price, signal.stop_loss);
        let entered = self.enter_by_hand(&position, watch, entry, stop, asked).await?;
        Ok(answer_of_entry(&position, entered))
    }

    /// Puts the record of an entry that the operator asked for into the append that decides it.
    pub(super) fn answer_entry(
        &self,
        draft: &mut Draft,
        asked: Option<Asked<'_>>,
        position: &Position,
        refusal: Option<&str>,
    ) -> Result<(), DeskError> {
        let Some(asked) = asked else { return Ok(()) };
        let record = match refusal {
            Some(reason) => self.desk.record_of(asked, Err(&Refused::RiskDenied(reason.to_owned()))),
            None => {
                let position = drafted(draft, position.position_id)?;
                self.desk.record_of(asked, Ok(&Done::with(vec![touched(&position)])))
            }
        };
        draft.command = Some(record?);
        Ok(())
    }
}

/// What became of an entry that the operator asked for, as its record has it.
pub(super) fn answer_of_entry(
    position: &Position,
    entered: Result<PositionState, String>,
) -> Result<Done, Refusal> {
    match entered {
        Ok(state) => Ok(Done::with(vec![TouchedPosition { state, ..touched(position) }])),
        Err(reason) => Err(Refusal::Recorded(Refused::RiskDenied(reason))),
    }
}

/// What needs no venue: the daemon does it, and the command line where no daemon runs.
impl<S: Store> Desk<S> {
    /// Carries a command out that needs no venue, or repeats the answer that its id had before.
    ///
    /// # Errors
    /// Whether it was carried out is then not known.
    pub async fn execute(
        &mut self,
        id: CommandId,
        actor: &str,
        command: &Command,
        terms: &Terms<'_>,
        at: Timestamp,
    ) -> Result<Result<Done, Refused>, DeskError> {
        let hash = match request_hash(command) {
            Ok(hash) => hash,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(answer) = self.earlier_answer(id, &hash).await? {
            return Ok(answer);
        }
        let asked = Asked { id, actor, command, hash: &hash, at };
        let answer = self.carry_out(asked, terms).await?;
        if let Err(refused) = &answer {
            self.record_refusal(asked, refused).await?;
        }
        Ok(answer)
    }

    pub(super) async fn carry_out(&mut self, asked: Asked<'_>, terms: &Terms<'_>) -> Answer {
        match asked.command {
            Command::Arm(arm) => self.arm(asked, arm, terms).await,
            Command::Disarm { position_id } => self.disarm(asked, *position_id).await,
            Command::Clear { position_id } => self.clear(asked, *position_id).await,
            Command::Entries { enabled, reason } => self.set_entries(asked, *enabled, reason).await,
            Command::CreateStrategy(strategy) => self.create_strategy(asked, strategy).await,
            Command::EnableStrategy { strategy_id } => self.enable_strategy(asked, *strategy_id).await,
            Command::DisableStrategy { strategy_id, reason } => {
                self.disable_strategy(asked, *strategy_id, reason.as_ref()).await
            }
            Command::UpdateStrategy(update) => self.update_strategy(asked, update).await,
            other => Ok(Err(Refused::NotReady(format!("{} needs a running daemon", other.name())))),
        }
    }

    /// Makes a draft durable with the command's record, and answers.
    pub(super) async fn answer_with(&mut self, mut draft: Draft, asked: Asked<'_>, done: Done) -> Answer {
        draft.command = Some(self.record_of(asked, Ok(&done))?);
        self.commit(draft).await?;
        Ok(Ok(done))
    }

    /// A position, be it live or ended.
    ///
    /// # Errors
    /// As the store says.
    pub(super) async fn find(&mut self, id: PositionId) -> Result<Result<Position, Refused>, DeskError> {
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
    async fn earlier_answer(
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
    pub(super) fn record_of(
        &self,
        asked: Asked<'_>,
        answer: Result<&Done, &Refused>,
    ) -> Result<CommandRecord, DeskError> {
        let (status, result) = match answer {
            Ok(done) => (CommandStatus::Completed, serde_json::to_value(done)),
            Err(refused) => (CommandStatus::Failed, serde_json::to_value(refused)),
        };
        let result = result.map_err(|error| DeskError::Broken(error.to_string()))?;
        Ok(CommandRecord {
            id: asked.id.0,
            command_type: asked.command.name().to_owned(),
            request_hash: asked.hash.to_owned(),
            status,
            result: Some(Payload::new(&result).map_err(|error| DeskError::Broken(error.to_string()))?),
            error: answer.err().map(ToString::to_string),
            trace_id: Some(asked.id.0),
            issued_at: log_time(asked.at),
            completed_at: log_time(asked.at),
        })
    }

    /// Keeps a refusal that no event goes with.
    async fn record_refusal(&self, asked: Asked<'_>, refused: &Refused) -> Result<(), DeskError> {
        let record = self.record_of(asked, Err(refused))?;
        let request = Append { command: Some(record), ..Append::default() };
        Ok(self.ledger().append(request).await.map(drop)?)
    }
}

/// The hash of a request; a request with a text that no database keeps is refused.
fn request_hash(command: &Command) -> Result<String, Refused> {
    let refused = |error: &dyn std::fmt::Display| Refused::Invalid(error.to_string());
    let value = serde_json::to_value(command).map_err(|error| refused(&error))?;
    let payload = Payload::new(&value).map_err(|error| refused(&error))?;
    Ok(CommandRecord::hash_request(command.name(), &payload))
}

pub(super) fn drafted(draft: &Draft, id: PositionId) -> Result<Position, DeskError> {
    let position = draft.position(id).cloned();
    position.ok_or_else(|| DeskError::Broken(format!("position {id} was not drafted")))
}

pub(super) fn touched(position: &Position) -> TouchedPosition {
    TouchedPosition {
        position_id: position.position_id,
        symbol: position.symbol.clone(),
        side: position.side,
        state: position.state,
    }
}
