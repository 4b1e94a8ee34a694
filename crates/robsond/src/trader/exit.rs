//! Exits: the stop, the operator, a halt. Every exit is a market order that may only reduce.

use robson_domain::events::{ExitTriggered, IntentCompleted, IntentCreated, PositionDisarmed};
use robson_domain::{
    DetectorStopCause, ExitReason, IntentId, IntentOutcome, IntentType, Order, OrderRole, Position,
    PositionState, Price,
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
    /// The stop was touched: close at market.
    pub(super) async fn exit_at_stop(
        &mut self,
        position: &Position,
        price: Price,
    ) -> Result<(), TraderError> {
        self.exit(position, ExitReason::TrailingStop, Some(price)).await
    }

    /// Triggers an exit: cancels a working entry first, then sends the exit for what is held.
    pub(super) async fn exit(
        &mut self,
        position: &Position,
        reason: ExitReason,
        trigger_price: Option<Price>,
    ) -> Result<(), TraderError> {
        if let Some(entry) = self.working_entry(position) {
            self.cancel(&entry).await?;
        }
        let Some(position) = self.desk.position(position.position_id).cloned() else { return Ok(()) };
        let id = self.desk.derive(self.now, "exit", &[&position.position_id.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let triggered = ExitTriggered {
            position_id: position.position_id,
            reason,
            trigger_price,
            stop_price: position.trailing_stop_price,
            timestamp: self.now,
        };
        self.desk.add(&mut draft, triggered, self.now).await?;
        self.place_exit(draft, &position).await
    }

    /// Adds the next attempt to close what is held to a draft, makes it durable and sends it.
    async fn place_exit(&mut self, mut draft: Draft, position: &Position) -> Result<(), TraderError> {
        let step = self.market(position)?.instrument.step;
        let quantity = position.current_quantity.floor_to(step);
        let is_exiting =
            draft.position(position.position_id).map_or(position.state, |position| position.state)
                == PositionState::Exiting;
        if quantity.is_zero() || !is_exiting {
            return Ok(self.desk.commit(draft).await?);
        }
        let attempt = self.desk.attempts(position.position_id, OrderRole::Exit).await? + 1;
        let wanted = Wanted {
            role: OrderRole::Exit,
            quantity,
            attempt,
            cause: attempt.to_string(),
            decision_id: None,
        };
        let order_id = self.intend(&mut draft, position, wanted).await?;
        self.desk.commit(draft).await?;
        self.send(order_id).await
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
            let attempt = self.desk.attempts(position.position_id, OrderRole::Exit).await?;
            let parts = [position.position_id.to_string(), attempt.to_string()];
            let id = self.desk.derive(self.now, "exit_again", &[&parts[0], &parts[1]]);
            let draft = self.desk.draft(id, self.now);
            self.place_exit(draft, &position).await?;
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
        let id = self.desk.derive(self.now, "cancel", &[&order.order_id.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let intent = IntentCreated {
            intent_id: IntentId(id),
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
            intent_id: IntentId(self.desk.derive(self.now, "cancel", &[&order.order_id.to_string()])),
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

    /// Disarms what is armed and closes what is held; answers the positions it touched.
    pub(super) async fn close_all(&mut self, reason: ExitReason) -> Result<Vec<Position>, TraderError> {
        let live: Vec<Position> = self.desk.positions().cloned().collect();
        for position in &live {
            self.close_one(position, reason).await?;
        }
        Ok(live)
    }

    /// Disarms an armed position, closes a held one, and remembers the wish for one that is entering.
    pub(super) async fn close_one(
        &mut self,
        position: &Position,
        reason: ExitReason,
    ) -> Result<(), TraderError> {
        match position.state {
            PositionState::Armed => {
                let id = self.desk.derive(self.now, "disarm", &[&position.position_id.to_string()]);
                let mut draft = self.desk.draft(id, self.now);
                self.disarm(&mut draft, position, reason.as_str()).await?;
                self.desk.commit(draft).await?;
                self.watches.remove(&position.position_id);
                Ok(())
            }
            PositionState::Entering => {
                let id = self.desk.derive(self.now, "exit", &[&position.position_id.to_string()]);
                let mut draft = self.desk.draft(id, self.now);
                let triggered = ExitTriggered {
                    position_id: position.position_id,
                    reason,
                    trigger_price: None,
                    stop_price: None,
                    timestamp: self.now,
                };
                self.desk.add(&mut draft, triggered, self.now).await?;
                self.desk.commit(draft).await?;
                match self.working_entry(position) {
                    Some(entry) => self.cancel(&entry).await,
                    None => Ok(()),
                }
            }
            PositionState::Active | PositionState::Error if position.is_open() => {
                let price = self.markets.get(&position.symbol).and_then(super::Market::last);
                self.exit(position, reason, price.map(|(price, _)| price)).await
            }
            _ => Ok(()),
        }
    }
}
