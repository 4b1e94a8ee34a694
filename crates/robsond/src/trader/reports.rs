//! Reports of the venue: what they say beyond what is recorded, and what follows for the position.

use robson_domain::events::{
    BalanceSampled, FillReceived, IntentCompleted, OperatorAlertRaised, OrderAcked, OrderCanceled,
    OrderRejected, PositionClosed, PositionOpened,
};
use robson_domain::{
    CancelReason, ClientOrderId, ExitReason, FillKey, IntentOutcome, Money, Order, OrderId, OrderRole,
    OrderStatus, Position, PositionState,
};
use robson_eventlog::Store;
use robson_venue::exchange::{Exchange, OrderReport, Refusal, VenueFill};
use uuid::Uuid;

use super::{Draft, Trader, TraderError};

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Records what a report says beyond what is recorded, in one append.
    pub(super) async fn record(&mut self, report: &OrderReport) -> Result<(), TraderError> {
        let Some(order) = self.own_order(report).await? else { return Ok(()) };
        if let Some(refusal) = &report.refusal {
            return if order.is_working() { self.record_refusal(&order, refusal).await } else { Ok(()) };
        }
        let progress = format!("{}/{}", report.status, report.filled);
        let mut draft = self.report_draft(&order, &progress);
        self.acknowledge(&mut draft, &order, report).await?;
        let new_fills: Vec<&VenueFill> = report
            .fills
            .iter()
            .filter(|fill| !order.exchange_trade_ids.contains(&fill.exchange_trade_id))
            .collect();
        for fill in &new_fills {
            self.record_fill(&mut draft, &order, report, fill).await?;
        }
        self.record_end(&mut draft, &order, report).await?;
        let next_watch = self.settle_position(&mut draft, &order).await?;
        if !new_fills.is_empty() {
            self.sample_balances(&mut draft).await?;
        }
        if draft.is_empty() {
            return Ok(());
        }
        self.desk.commit(draft).await?;
        if let Some((position, watch)) = next_watch {
            self.set_watch(&position, watch);
        }
        if new_fills.is_empty() { Ok(()) } else { Box::pin(self.halt_if_spent()).await }
    }

    /// Our order behind a report: its client id holds its id. A foreign one raises an alert.
    async fn own_order(&mut self, report: &OrderReport) -> Result<Option<Order>, TraderError> {
        let id = order_id_of(&report.client_order_id);
        if let Some(order) = id.and_then(|id| self.desk.order(id)) {
            return Ok(Some(order.clone()));
        }
        let stored = match id {
            Some(id) => self.desk.load(robson_domain::EntityKey::Order(id)).await?,
            None => None,
        };
        if let Some(robson_domain::Entity::Order(order)) = stored {
            return Ok(Some(order));
        }
        let id = self.desk.derive(report.accepted_at, "foreign", &[report.client_order_id.as_str()]);
        let mut draft = self.desk.draft(id, self.now);
        let alert = OperatorAlertRaised {
            code: "foreign_order".to_owned(),
            severity: robson_domain::AlertSeverity::Critical,
            message: format!("the venue reports order {}, which is not ours", report.client_order_id),
            subject_id: None,
            reason: None,
        };
        self.desk.add(&mut draft, alert, self.now).await?;
        self.desk.commit(draft).await?;
        Ok(None)
    }

    pub(super) fn report_draft(&self, order: &Order, progress: &str) -> Draft {
        let id = self.desk.derive(self.now, "report", &[&order.order_id.to_string(), progress]);
        self.desk.draft(id, self.now)
    }

    async fn acknowledge(
        &mut self,
        draft: &mut Draft,
        order: &Order,
        report: &OrderReport,
    ) -> Result<(), TraderError> {
        let (OrderStatus::Pending | OrderStatus::Submitted, Some(exchange_order_id)) =
            (order.status, &report.exchange_order_id)
        else {
            return Ok(());
        };
        let acked = OrderAcked {
            order_id: order.order_id,
            exchange_order_id: exchange_order_id.clone(),
            status: OrderStatus::Acknowledged,
            acked_at: report.accepted_at,
        };
        self.desk.add_fact(draft, acked, report.accepted_at).await?;
        self.complete_intent(draft, order, IntentOutcome::Success, None).await
    }

    pub(super) async fn complete_intent(
        &mut self,
        draft: &mut Draft,
        order: &Order,
        outcome: IntentOutcome,
        error: Option<String>,
    ) -> Result<(), TraderError> {
        let completed = IntentCompleted {
            intent_id: order.intent_id,
            account_id: order.account_id,
            position_id: order.position_id,
            outcome,
            order_id: Some(order.order_id),
            error,
            completed_at: self.now,
        };
        Ok(self.desk.add(draft, completed, self.now).await?)
    }

    async fn record_fill(
        &mut self,
        draft: &mut Draft,
        order: &Order,
        report: &OrderReport,
        fill: &VenueFill,
    ) -> Result<(), TraderError> {
        let key = FillKey {
            venue: self.exchange.venue().clone(),
            account_id: order.account_id,
            symbol: report.symbol.clone(),
            exchange_trade_id: fill.exchange_trade_id.clone(),
        };
        let received = FillReceived {
            order_id: order.order_id,
            fill_id: key.fill_id(fill.at),
            account_id: key.account_id,
            venue: key.venue,
            exchange_order_id: report.exchange_order_id.clone().unwrap_or_default(),
            exchange_trade_id: key.exchange_trade_id,
            symbol: key.symbol,
            side: report.side,
            fill_price: fill.price,
            fill_quantity: fill.quantity,
            fee: fill.fee,
            fee_asset: fill.fee_asset.clone(),
            fee_quote: self.fee_in_quote(fill, order)?,
            fee_estimated: false,
            is_maker: fill.is_maker,
            filled_at: fill.at,
        };
        self.desk.add_fact(draft, received, fill.at).await?;
        let opened = order.position_id.and_then(|id| draft.position(id)).cloned();
        match opened {
            Some(position) if order.role == OrderRole::Entry => {
                self.open_position(draft, &position, fill).await
            }
            _ => Ok(()),
        }
    }

    /// The fee in quote units: as it is, or priced at the fill where the venue took it in the base asset.
    fn fee_in_quote(&self, fill: &VenueFill, order: &Order) -> Result<Money, TraderError> {
        let instrument = self.markets.get(&order.symbol).map(|market| &market.instrument);
        let in_quote = instrument.is_none_or(|instrument| instrument.quote == fill.fee_asset);
        let fee = if in_quote { Some(fill.fee.get()) } else { fill.fee.get().checked_mul(fill.price.get()) };
        Ok(fee.and_then(|fee| Money::new(fee).ok()).ok_or(robson_domain::Overflow)?)
    }

    /// The first fill of an entry opens the position and sets its stop.
    async fn open_position(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        fill: &VenueFill,
    ) -> Result<(), TraderError> {
        if position.trailing_stop_price.is_some() || !position.is_open() {
            return Ok(());
        }
        let (Some(stop), Some(distance), Some(entry_order_id)) =
            (position.technical_stop_price, position.technical_stop_distance, position.entry_order_id)
        else {
            return Ok(());
        };
        // A held position without a stop must not pass: a missing market halts.
        self.market(position)?;
        let Some(trail) = self.trail(position, fill.price) else { return Ok(()) };
        let opened = PositionOpened {
            position_id: position.position_id,
            account_id: position.account_id,
            strategy_id: position.strategy_id,
            symbol: position.symbol.clone(),
            side: position.side,
            entry_price: fill.price,
            entry_quantity: fill.quantity,
            entry_filled_at: fill.at,
            technical_stop_price: stop,
            technical_stop_distance: distance,
            initial_stop: trail.start()?.stop,
            entry_order_id,
        };
        Ok(self.desk.add(draft, opened, fill.at).await?)
    }

    /// An order that ended without being filled whole, or that the venue clipped.
    async fn record_end(
        &mut self,
        draft: &mut Draft,
        order: &Order,
        report: &OrderReport,
    ) -> Result<(), TraderError> {
        let still_working = draft.order(order.order_id).unwrap_or(order).is_working();
        if !report.status.is_final() || !still_working {
            return Ok(());
        }
        let reason = match report.status {
            OrderStatus::Expired => CancelReason::Expired,
            OrderStatus::Canceled => CancelReason::Requested,
            _ => CancelReason::Exchange,
        };
        let canceled = OrderCanceled { order_id: order.order_id, reason, filled_quantity: report.filled };
        Ok(self.desk.add_fact(draft, canceled, report.ended_at.unwrap_or(report.accepted_at)).await?)
    }

    /// What an order's news mean for its position: closed, or armed again.
    async fn settle_position(
        &mut self,
        draft: &mut Draft,
        order: &Order,
    ) -> Result<Option<(Position, Option<super::Watch>)>, TraderError> {
        let Some(position) = order.position_id.and_then(|id| draft.position(id)).cloned() else {
            return Ok(None);
        };
        match (order.role, position.state) {
            (_, PositionState::Exiting) => {
                self.close_if_flat(draft, &position, order).await?;
                Ok(None)
            }
            (OrderRole::Entry, PositionState::Armed) if order.is_working() => {
                let attempt = self.attempt_of(&position).await?;
                let reason = "the entry ended without a fill".to_owned();
                let watch = self.after_failure(draft, &position, attempt, reason).await?;
                Ok(Some((position, watch)))
            }
            _ => Ok(None),
        }
    }

    /// How many detectors a position has had.
    async fn attempt_of(&self, position: &Position) -> Result<i64, TraderError> {
        let story = self.desk.story(position.position_id).await?;
        let started =
            story.iter().filter(|event| matches!(event, robson_domain::Event::DetectorStarted(_))).count();
        Ok(i64::try_from(started).unwrap_or(i64::MAX))
    }

    async fn close_if_flat(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        order: &Order,
    ) -> Result<(), TraderError> {
        let instrument = &self.market(position)?.instrument;
        let rest = position.current_quantity;
        let works = |id: Option<OrderId>| {
            let order = id.and_then(|id| draft.order(id).or_else(|| self.desk.order(id)));
            order.is_some_and(Order::is_working)
        };
        // What a working exit may still sell is no dust.
        let smallest = if works(position.exit_order_id) {
            instrument.step
        } else {
            instrument.min_quantity.max(instrument.step)
        };
        let (Some(entry_price), Some(exit_price), true, false) = (
            position.entry_price,
            position.average_exit_price()?,
            rest < smallest,
            works(position.entry_order_id),
        ) else {
            return Ok(());
        };
        let is_by_fill = order.role == OrderRole::Exit;
        let filled_at = draft.order(order.order_id).and_then(|order| order.filled_at).filter(|_| is_by_fill);
        let closed_at = filled_at.unwrap_or(self.now);
        let closed = PositionClosed {
            position_id: position.position_id,
            exit_reason: position.exit_reason.unwrap_or(ExitReason::TrailingStop),
            entry_price,
            exit_price,
            quantity: position.exited_quantity(),
            realized_pnl: position.realized_pnl,
            total_fees: position.total_fees,
            dust_quantity: rest,
            exit_order_id: position.exit_order_id,
            closed_at,
            evidence: None,
        };
        Ok(self.desk.add(draft, closed, closed_at).await?)
    }

    async fn sample_balances(&mut self, draft: &mut Draft) -> Result<(), TraderError> {
        for balance in self.exchange.balances().await? {
            let sampled = BalanceSampled {
                account_id: self.desk.account_id(),
                asset: balance.asset,
                free: balance.free,
                locked: balance.locked,
                total: balance.total,
                sampled_at: balance.at,
            };
            self.desk.add(draft, sampled, balance.at).await?;
        }
        Ok(())
    }

    pub(super) async fn record_refusal(
        &mut self,
        order: &Order,
        refusal: &Refusal,
    ) -> Result<(), TraderError> {
        self.end_unaccepted(order, refusal, refusal.reason_code(), IntentOutcome::Failed).await
    }

    /// An order that the venue never took, proven.
    pub(super) async fn end_unaccepted(
        &mut self,
        order: &Order,
        refusal: &Refusal,
        reason_code: &str,
        outcome: IntentOutcome,
    ) -> Result<(), TraderError> {
        let mut draft = self.report_draft(order, "refused");
        let rejected = OrderRejected {
            order_id: order.order_id,
            reason_code: reason_code.to_owned(),
            reason: refusal.reason.clone(),
            exchange_code: (refusal.code != 0).then_some(refusal.code),
        };
        self.desk.add_fact(&mut draft, rejected, refusal.at).await?;
        self.complete_intent(&mut draft, order, outcome, Some(refusal.reason.clone())).await?;
        if order.role == OrderRole::Exit {
            self.alert_on_third_refusal(&mut draft, order, refusal).await?;
        }
        let next = self.settle_position(&mut draft, order).await?;
        self.desk.commit(draft).await?;
        if let Some((position, watch)) = next {
            self.set_watch(&position, watch);
        }
        Ok(())
    }

    async fn alert_on_third_refusal(
        &mut self,
        draft: &mut Draft,
        order: &Order,
        refusal: &Refusal,
    ) -> Result<(), TraderError> {
        let Some(position_id) = order.position_id else { return Ok(()) };
        if self.desk.attempts(position_id, OrderRole::Exit).await? != 3 {
            return Ok(());
        }
        let alert = OperatorAlertRaised {
            code: "exit_refused".to_owned(),
            severity: robson_domain::AlertSeverity::Critical,
            message: format!("the venue refused the third exit of {}: {}", order.symbol, refusal.reason),
            subject_id: Some(position_id.to_string()),
            reason: None,
        };
        Ok(self.desk.add(draft, alert, self.now).await?)
    }
}

/// An order's id is its intent's, and the client id ends in its 32 hex digits.
fn order_id_of(client_order_id: &ClientOrderId) -> Option<OrderId> {
    let (_, hex) = client_order_id.as_str().split_once('-')?;
    Uuid::try_parse(hex).ok().map(OrderId)
}
