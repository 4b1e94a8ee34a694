//! Arming, disarming and clearing positions: acts that need no venue.

use robson_domain::events::{DetectorStopped, PositionArmed, PositionDisarmed, PositionError};
use robson_domain::lifecycle::{self, Happening};
use robson_domain::{
    DetectorId, DetectorStopCause, Event, Fraction, Money, Order, Position, PositionId, StrategyId, Timestamp,
};
use robson_engine::sizing::RISK_MAX;
use robson_eventlog::Store;

use super::commands::{Answer, Asked, Terms, drafted, touched};
use super::{Desk, DeskError, Draft, detectors};
use crate::operator::{Arm, Done, Refused};

impl<S: Store> Desk<S> {
    /// Arms a position: an id of its own, a detector, and the command's record, in one append.
    pub(super) async fn arm(&mut self, asked: Asked<'_>, arm: &Arm, terms: &Terms<'_>) -> Answer {
        let (risk_capital, risk_pct) = match self.may_arm(arm, terms) {
            Ok(terms) => terms,
            Err(refused) => return Ok(Err(refused)),
        };
        let strategy_id = arm.strategy_id.unwrap_or_else(|| self.operator_strategy());
        if let Err(refused) = self.enabled_strategy(strategy_id).await? {
            return Ok(Err(refused));
        }
        let position_id = PositionId(self.derive(asked.at, "position", &[&asked.id.to_string()]));
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        let armed = PositionArmed {
            position_id,
            account_id: self.account_id(),
            strategy_id: Some(strategy_id),
            symbol: arm.symbol.clone(),
            side: arm.side,
            entry_mode: arm.entry,
            approval_mode: arm.approval,
            trailing_policy: arm.trailing,
            risk_capital,
            risk_pct,
            armed_at: asked.at,
        };
        self.add(&mut draft, armed, asked.at).await?;
        let started = detectors::started(self, position_id, arm.entry, 1, asked.at, asked.at)?;
        self.add(&mut draft, started, asked.at).await?;
        let done = Done::with(vec![touched(&drafted(&draft, position_id)?)]);
        self.answer_with(draft, asked, done).await
    }

    /// What an arm risks, or why it may not be.
    fn may_arm(&self, arm: &Arm, terms: &Terms<'_>) -> Result<(Money, Fraction), Refused> {
        if !terms.is_traded {
            return Err(Refused::NotFound(format!("the venue does not trade {}", arm.symbol)));
        }
        let risk_pct = arm.risk.unwrap_or(terms.rules.default_risk);
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
    pub(super) async fn disarm(&mut self, asked: Asked<'_>, position_id: PositionId) -> Answer {
        let position = match self.find(position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(refused)),
        };
        if lifecycle::step(position.state, Happening::Disarm, position.standing()).is_err() {
            let why = format!("only an armed position can be disarmed, this one is {}", position.state);
            return Ok(Err(Refused::WrongState(why)));
        }
        if let Err(refused) = self.must_have_no_working_order(&position) {
            return Ok(Err(refused));
        }
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        self.stop_running_detector(&mut draft, position_id, asked.at).await?;
        let reason = "disarmed by the operator".to_owned();
        let disarmed = PositionDisarmed { position_id, reason, disarmed_at: asked.at };
        self.add(&mut draft, disarmed, asked.at).await?;
        let done = Done::with(vec![touched(&drafted(&draft, position_id)?)]);
        self.answer_with(draft, asked, done).await
    }

    /// Takes a position out of its error: what is held is watched again, what holds nothing has ended.
    pub(super) async fn clear(&mut self, asked: Asked<'_>, position_id: PositionId) -> Answer {
        let position = match self.find(position_id).await? {
            Ok(position) => position,
            Err(refused) => return Ok(Err(refused)),
        };
        if lifecycle::step(position.state, Happening::Clear, position.standing()).is_err() {
            let why = format!("only an error can be cleared, this position is {}", position.state);
            return Ok(Err(Refused::WrongState(why)));
        }
        if let Err(refused) = self.must_have_no_working_order(&position) {
            return Ok(Err(refused));
        }
        if position.is_open() && position.trailing_stop_price.is_none() {
            let held = position.current_quantity;
            let why = format!("the position holds {held} without a stop: close it");
            return Ok(Err(Refused::WrongState(why)));
        }
        let mut draft = self.draft_of_command(asked.id, asked.actor);
        self.stop_running_detector(&mut draft, position_id, asked.at).await?;
        let error = position.error.unwrap_or_else(|| "no reason is known".to_owned());
        let cleared = PositionError { position_id, error, recoverable: true, cleared: true };
        self.add(&mut draft, cleared, asked.at).await?;
        let done = Done::with(vec![touched(&drafted(&draft, position_id)?)]);
        self.answer_with(draft, asked, done).await
    }

    /// What ends or is watched again must not be filled behind our back.
    fn must_have_no_working_order(&self, position: &Position) -> Result<(), Refused> {
        let orders = [position.entry_order_id, position.exit_order_id].into_iter().flatten();
        let working = orders.filter_map(|id| self.order(id)).find(|order| Order::is_working(order));
        working.map_or(Ok(()), |order| {
            Err(Refused::WrongState(format!("its {} order is still working: close it", order.role)))
        })
    }

    async fn stop_running_detector(
        &mut self,
        draft: &mut Draft,
        position_id: PositionId,
        at: Timestamp,
    ) -> Result<(), DeskError> {
        let Some(detector_id) = self.running_detector(position_id).await? else { return Ok(()) };
        let cause = DetectorStopCause::Disarmed;
        self.add(draft, DetectorStopped { position_id, detector_id, cause }, at).await
    }

    /// The detector that was started last, unless it was stopped.
    async fn running_detector(&self, position_id: PositionId) -> Result<Option<DetectorId>, DeskError> {
        let story = self.story(position_id).await?;
        let last = story.iter().rev().find_map(|event| match event {
            Event::DetectorStarted(started) => Some(Some(started.detector_id)),
            Event::DetectorStopped(_) => Some(None),
            _ => None,
        });
        Ok(last.flatten())
    }

    /// The strategy that positions of the operator belong to.
    pub fn operator_strategy(&self) -> StrategyId {
        StrategyId(self.derive(Timestamp::EPOCH, "strategy", &[&self.account_id().to_string(), "operator"]))
    }
}
