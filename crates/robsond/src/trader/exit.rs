//! Exits: the stop, the operator, a halt. Every exit is a market order that may only reduce.

use robson_domain::events::{
    ExitTriggered, IntentCompleted, IntentCreated, OperatorAlertRaised, PositionDisarmed, PositionError,
};
use robson_domain::{
    AlertSeverity, DetectorStopCause, ExitReason, IntentId, IntentOutcome, IntentType, Order, OrderId,
    OrderRole, OrderStatus, Position, PositionId, PositionState, Price, Quantity,
};
use robson_eventlog::Store;
use robson_venue::exchange::{CancelOutcome, Exchange, OrderLookup};
use robson_venue::feed::Tick;

use super::orders::Wanted;
use super::{Draft, Trader, TraderError};

/// The pause after the first refused exit; it doubles with each one.
const RETRY_FIRST_MICROS: i64 = 1_000_000;
const RETRY_LAST_MICROS: i64 = 30_000_000;

impl<S: Store, X: Exchange> Trader<S, X> {
    /// The stop was touched: cancels a working entry first, then closes what is held at market.
    pub(super) async fn exit_at_stop(
        &mut self,
        position: &Position,
        price: Price,
    ) -> Result<(), TraderError> {
        if let Some(entry) = self.working_entry(position) {
            self.cancel(&entry).await?;
        }
        let position = self.desk.position(position.position_id).cloned();
        let Some(position) = position.filter(|position| position.state == PositionState::Active) else {
            return Ok(());
        };
        let id = self.desk.derive(self.now, "exit", &[&position.position_id.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let triggered = ExitTriggered {
            position_id: position.position_id,
            reason: ExitReason::TrailingStop,
            trigger_price: Some(price),
            stop_price: position.trailing_stop_price,
            timestamp: self.now,
        };
        self.desk.add(&mut draft, triggered, self.now).await?;
        self.place_exit(draft, &position).await
    }

    /// Adds the next attempt to close what is held to a draft, makes it durable and sends it.
    async fn place_exit(&mut self, mut draft: Draft, position: &Position) -> Result<(), TraderError> {
        let order_id = self.intend_exit(&mut draft, position).await?;
        self.desk.commit(draft).await?;
        match order_id {
            Some(order_id) => self.send(order_id).await,
            None => Ok(()),
        }
    }

    /// Adds the next attempt to close what is held to a draft, where the draft leaves anything to close.
    async fn intend_exit(
        &mut self,
        draft: &mut Draft,
        position: &Position,
    ) -> Result<Option<OrderId>, TraderError> {
        let now = draft.position(position.position_id).unwrap_or(position).clone();
        if now.state != PositionState::Exiting || now.current_quantity.is_zero() {
            return Ok(None);
        }
        let instrument = &self.market(position)?.instrument;
        let (step, smallest) = (instrument.step, instrument.min_quantity.max(instrument.step));
        let quantity = now.current_quantity.floor_to(step);
        if quantity < smallest {
            self.tell_unsellable(draft, &now, smallest).await?;
            return Ok(None);
        }
        let attempt = self.desk.attempts(position.position_id, OrderRole::Exit).await? + 1;
        let wanted = Wanted {
            role: OrderRole::Exit,
            quantity,
            attempt,
            cause: attempt.to_string(),
            decision_id: None,
        };
        self.intend(draft, position, wanted).await.map(Some)
    }

    /// No order of ours may sell so little: the operator must, and nothing is tried in a loop.
    async fn tell_unsellable(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        smallest: Quantity,
    ) -> Result<(), TraderError> {
        let held = position.current_quantity;
        let error = format!("{held} is held, and the venue's smallest order is {smallest}");
        let alert = OperatorAlertRaised {
            code: "exit_too_small".to_owned(),
            severity: AlertSeverity::Critical,
            message: format!("{} of {} cannot be closed: {error}", position.symbol, position.position_id),
            subject_id: Some(position.position_id.to_string()),
            reason: None,
        };
        let faulted =
            PositionError { position_id: position.position_id, error, recoverable: true, cleared: false };
        self.desk.add(draft, faulted, self.now).await?;
        Ok(self.desk.add(draft, alert, self.now).await?)
    }

    /// Tries again where an exit ended and something is still held.
    pub(super) async fn chase_exits(&mut self, tick: &Tick) -> Result<(), TraderError> {
        let exiting: Vec<Position> = self.of_symbol(&tick.symbol, PositionState::Exiting).cloned().collect();
        for position in exiting {
            let last = position.exit_order_id.and_then(|id| self.desk.order(id)).cloned();
            if last.as_ref().is_some_and(Order::is_working)
                || !self.retry_is_due(&position, last.as_ref()).await?
            {
                continue;
            }
            self.exit_again(&position).await?;
        }
        Ok(())
    }

    async fn retry_is_due(&self, position: &Position, last: Option<&Order>) -> Result<bool, TraderError> {
        let Some(last) = last else { return Ok(true) };
        let attempts = self.desk.attempts(position.position_id, OrderRole::Exit).await?;
        let doublings = u32::try_from((attempts - 1).clamp(0, 20)).unwrap_or(0);
        let pause = RETRY_FIRST_MICROS.saturating_mul(1 << doublings).min(RETRY_LAST_MICROS);
        Ok(self.now.micros_since(last.meta.updated_at) >= pause)
    }

    fn working_entry(&self, position: &Position) -> Option<Order> {
        let order = position.entry_order_id.and_then(|id| self.desk.order(id))?;
        order.is_working().then(|| order.clone())
    }

    /// Ends a working order: intent, cancel, outcome. What it filled before counts.
    async fn cancel(&mut self, order: &Order) -> Result<(), TraderError> {
        let intent_id = IntentId(self.desk.derive(self.now, "cancel", &[&order.order_id.to_string()]));
        let mut draft = self.desk.draft(intent_id.0, self.now);
        let intent = IntentCreated {
            intent_id,
            account_id: order.account_id,
            decision_id: None,
            position_id: order.position_id,
            order_id: order.order_id,
            intent_type: IntentType::Cancel,
            attempt: 1,
            symbol: order.symbol.clone(),
            side: order.side,
            quantity: order.remaining(),
            client_order_id: order.client_order_id.clone(),
        };
        self.desk.add(&mut draft, intent, self.now).await?;
        self.desk.commit(draft).await?;
        if !self.desk.ledger().lease_holds() {
            return Err(TraderError::LeaseLost);
        }
        let outcome = match self.exchange.cancel(&order.symbol, &order.client_order_id).await {
            CancelOutcome::Canceled(report) => {
                self.record(&report).await?;
                IntentOutcome::Success
            }
            // It may have filled, ended or never arrived: the venue knows.
            CancelOutcome::NotWorking | CancelOutcome::Unknown => {
                match self.exchange.order(&order.symbol, &order.client_order_id).await {
                    OrderLookup::Found(report) => {
                        self.record(&report).await?;
                        IntentOutcome::Failed
                    }
                    OrderLookup::Absent | OrderLookup::Unknown => IntentOutcome::Unknown,
                }
            }
        };
        let id = self.desk.derive(self.now, "cancelled", &[&order.order_id.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let completed = IntentCompleted {
            intent_id,
            account_id: order.account_id,
            position_id: order.position_id,
            outcome,
            order_id: None,
            error: None,
            completed_at: self.now,
        };
        self.desk.add(&mut draft, completed, self.now).await?;
        Ok(self.desk.commit(draft).await?)
    }

    /// Takes an arm back.
    pub(super) async fn disarm(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        reason: &str,
    ) -> Result<(), TraderError> {
        let disarmed = PositionDisarmed {
            position_id: position.position_id,
            reason: reason.to_owned(),
            disarmed_at: self.now,
        };
        if let Some(watch) = self.watches.get(&position.position_id).copied() {
            self.stop_detector(draft, position, watch, DetectorStopCause::Disarmed).await?;
        }
        Ok(self.desk.add(draft, disarmed, self.now).await?)
    }

    /// Decides to end every live position: see [`Self::decide_to_close`].
    pub(super) async fn decide_to_close_all(
        &mut self,
        draft: &mut Draft,
        reason: ExitReason,
    ) -> Result<Vec<PositionId>, TraderError> {
        let live: Vec<Position> = self.desk.positions().cloned().collect();
        for position in &live {
            self.decide_to_close(draft, position, reason).await?;
        }
        Ok(live.into_iter().map(|position| position.position_id).collect())
    }

    /// Adds the end of a position to a draft: an armed one is disarmed, for a held one the exit is intended, for
    /// one that is entering the wish is remembered. Once the draft is durable, [`Self::see_closed`] does the rest.
    pub(super) async fn decide_to_close(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        reason: ExitReason,
    ) -> Result<(), TraderError> {
        let is_closable = match position.state {
            PositionState::Armed => return self.disarm(draft, position, reason.as_str()).await,
            PositionState::Entering => position.exit_reason.is_none(),
            PositionState::Active | PositionState::Error => position.is_open(),
            _ => false,
        };
        if !is_closable {
            return Ok(());
        }
        let last = self.markets.get(&position.symbol).and_then(super::Market::last);
        let triggered = ExitTriggered {
            position_id: position.position_id,
            reason,
            trigger_price: last.map(|(price, _)| price).filter(|_| position.is_open()),
            stop_price: position.trailing_stop_price,
            timestamp: self.now,
        };
        self.desk.add(draft, triggered, self.now).await?;
        if self.working_entry(position).is_none() {
            self.intend_exit(draft, position).await?;
        }
        Ok(())
    }

    /// Sees to what was decided about positions: detectors of ended ones go, working entries are cancelled and
    /// exits are sent.
    pub(super) async fn see_closed(&mut self, positions: &[PositionId]) -> Result<(), TraderError> {
        for id in positions {
            let Some(position) = self.desk.position(*id).cloned() else {
                self.watches.remove(id);
                self.approvals.remove(id);
                continue;
            };
            if position.exit_reason.is_none() {
                continue;
            }
            if let Some(entry) = self.working_entry(&position) {
                self.cancel(&entry).await?;
            }
            let Some(position) = self.desk.position(*id).cloned() else { continue };
            match position.exit_order_id.and_then(|id| self.desk.order(id)).cloned() {
                Some(exit) if exit.status == OrderStatus::Pending => self.send(exit.order_id).await?,
                Some(_) => {}
                None => self.exit_again(&position).await?,
            }
        }
        Ok(())
    }

    async fn exit_again(&mut self, position: &Position) -> Result<(), TraderError> {
        let attempt = self.desk.attempts(position.position_id, OrderRole::Exit).await?;
        let parts = [position.position_id.to_string(), attempt.to_string()];
        let id = self.desk.derive(self.now, "exit_again", &[&parts[0], &parts[1]]);
        let draft = self.desk.draft(id, self.now);
        self.place_exit(draft, position).await
    }
}
