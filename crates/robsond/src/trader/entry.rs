//! Entries: signal, stop, size, risk gate, intent, order: one decision, one append.

use robson_domain::events::{
    DecisionProposed, DetectorStopped, PositionDisarmed, RiskCheckFailed, RiskCheckPassed, SignalDetected,
    SignalRejected, TechnicalStopAnalyzed,
};
use robson_domain::{
    Amount, DecisionAction, DecisionId, DetectorStopCause, EntryMode, Json, Money, OrderId, OrderRole,
    Position, PositionState, Price, SignalId, WorkflowId,
};
use robson_engine::entry::Signal;
use robson_engine::risk_gate::{MonthRisk, RiskRequest, Verdict};
use robson_engine::sizing::{Lot, Size, Trade, size};
use robson_engine::technical_stop::{TechnicalStop, analyze};
use robson_eventlog::Store;
use robson_venue::exchange::{Exchange, Instrument};
use rust_decimal::Decimal;
use serde_json::json;

use super::approvals::{Pending, awaits_approval, expiry};
use super::commands::Asked;
use super::detectors::Watch;
use super::orders::Wanted;
use super::{DeskError, Draft, Trader, TraderError};
use crate::metrics::RISK_DENIALS;

/// The age from which a price is stale, by the feed's clock.
const MARKET_DATA_AGE_MS_MAX: u64 = 90_000;

/// Why a signal led to no entry, as SIGNAL_REJECTED says it.
pub(super) struct Rejection {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// A stop with its distance from the entry.
pub(super) struct Stop {
    price: Price,
    distance: Price,
}

/// What an entry is decided on.
pub(super) struct Entry<'a> {
    pub(super) watch: Watch,
    pub(super) signal_id: SignalId,
    pub(super) price: Price,
    pub(super) stop: Stop,
    /// The command that it answers, where the operator asked for it.
    pub(super) asked: Option<Asked<'a>>,
}

/// What an entry may take of its strategy's limits.
struct StrategyRoom {
    max_exposure: Option<Money>,
    exposure: Money,
    daily_loss_limit: Option<Money>,
    daily_net: Money,
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Decides what a detector's signal leads to.
    pub(super) async fn enter(
        &mut self,
        position: &Position,
        watch: Watch,
        signal: Signal,
    ) -> Result<(), TraderError> {
        let signal_id = SignalId(self.desk.derive(self.now, "signal", &[&watch.detector_id.to_string()]));
        let mut draft = self.begin_entry(position, watch, &signal, signal_id).await?;
        let stop = match self.analyze_stop(&mut draft, position, signal.price, signal_id).await? {
            Ok(stop) => stop,
            Err(rejection) => return self.reject(draft, position, watch, signal_id, rejection, None).await,
        };
        let entry = Entry { watch, signal_id, price: signal.price, stop, asked: None };
        self.decide_entry(draft, position, entry).await.map(drop)
    }

    /// Enters with the operator's own stop, which is within bounds; answers why not, where it does not.
    pub(super) async fn enter_by_hand(
        &mut self,
        position: &Position,
        watch: Watch,
        entry: Price,
        stop: Price,
        asked: Asked<'_>,
    ) -> Result<Result<PositionState, String>, TraderError> {
        let stop = Stop { price: stop, distance: price(entry.distance(stop)?)? };
        let signal_id = SignalId(self.desk.derive(self.now, "signal", &[&watch.detector_id.to_string()]));
        let signal = Signal {
            side: position.side,
            price: entry,
            detected_at: self.now,
            indicators: std::collections::BTreeMap::new(),
        };
        let draft = self.begin_entry(position, watch, &signal, signal_id).await?;
        let entry = Entry { watch, signal_id, price: entry, stop, asked: Some(asked) };
        self.decide_entry(draft, position, entry).await
    }

    async fn begin_entry(
        &mut self,
        position: &Position,
        watch: Watch,
        signal: &Signal,
        signal_id: SignalId,
    ) -> Result<Draft, TraderError> {
        let mut draft = self.desk.draft(signal_id.0, self.now);
        draft.workflow_id = Some(WorkflowId(watch.detector_id.0));
        self.desk.rest_on_account(&mut draft);
        let indicators: serde_json::Map<String, serde_json::Value> = signal
            .indicators
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value.normalize())))
            .collect();
        let detected = SignalDetected {
            position_id: position.position_id,
            signal_id,
            detector_id: watch.detector_id,
            symbol: position.symbol.clone(),
            side: position.side,
            price: signal.price,
            indicators: Json::new(indicators.into()).map_err(|error| DeskError::Broken(error.to_string()))?,
            detected_at: signal.detected_at,
        };
        self.desk.add(&mut draft, detected, self.now).await?;
        self.stop_detector(&mut draft, position, watch, DetectorStopCause::Fired).await?;
        Ok(draft)
    }

    pub(super) async fn stop_detector(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        watch: Watch,
        cause: DetectorStopCause,
    ) -> Result<(), TraderError> {
        let stopped =
            DetectorStopped { position_id: position.position_id, detector_id: watch.detector_id, cause };
        Ok(self.desk.add(draft, stopped, self.now).await?)
    }

    pub(super) async fn analyze_stop(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        entry: Price,
        signal_id: SignalId,
    ) -> Result<Result<Stop, Rejection>, TraderError> {
        let market = self.market(position)?;
        let tick = market.instrument.tick_size;
        let timeframe = market.candle_length().to_string();
        let found = match analyze(position.side, entry, market.candles(), tick, &self.rules.stops) {
            Ok(found) => found,
            Err(none) => return Ok(Err(Rejection { code: none.code(), reason: none.to_string() })),
        };
        let stop = Stop { price: found.stop, distance: price(found.distance)? };
        let analyzed = analyzed(position, entry, signal_id, timeframe, &found)?;
        self.desk.add(draft, analyzed, self.now).await?;
        Ok(Ok(stop))
    }

    /// Sizes the trade, asks the risk gate and, where it admits, intends the order and sends it, or lets it wait
    /// for the operator. Answers where the decision leads, or why it leads nowhere.
    pub(super) async fn decide_entry(
        &mut self,
        mut draft: Draft,
        position: &Position,
        entry: Entry<'_>,
    ) -> Result<Result<PositionState, String>, TraderError> {
        let Entry { watch, signal_id, price: entry, stop, asked } = entry;
        let instrument = self.market(position)?.instrument.clone();
        let available = self.available(&instrument).await?;
        let sized = match self.strategy_refusal(position).await? {
            Some(rejection) => Err(rejection),
            None => self.size(position, &instrument, entry, stop.price, available)?,
        };
        let size = match sized {
            Ok(size) => size,
            Err(rejection) => {
                let reason = rejection.reason.clone();
                self.reject(draft, position, watch, signal_id, rejection, asked).await?;
                return Ok(Err(reason));
            }
        };
        // What the operator asked for waits for nobody.
        let expires_at = if asked.is_some() { None } else { expiry(position, self.now) };
        // An approval is the second decision on one signal, maybe at the very time of the first.
        let signal = signal_id.to_string();
        let parts = [signal.as_str(), "approved"];
        let parts = if awaits_approval(position) { &parts[..] } else { &parts[..1] };
        let decision_id = DecisionId(self.desk.derive(self.now, "decision", parts));
        let room = self.strategy_room(position).await?;
        match self.judge(position, &size, available, room)? {
            Verdict::Denied { failed, severity } => {
                let names: Vec<&str> = failed.iter().map(|failed| failed.check.as_str()).collect();
                for name in &names {
                    metrics::counter!(RISK_DENIALS, "check" => *name).increment(1);
                }
                let reason = format!("the risk gate refuses: {}", names.join(", "));
                let denied = RiskCheckFailed {
                    account_id: position.account_id,
                    decision_id: Some(decision_id),
                    position_id: Some(position.position_id),
                    strategy_id: position.strategy_id,
                    failed_checks: failed.iter().map(failed_check).collect::<Result<_, TraderError>>()?,
                    severity,
                    violation_reason: names.join(", "),
                };
                self.desk.add(&mut draft, denied, self.now).await?;
                let rejection = Rejection { code: "risk_denied", reason: reason.clone() };
                self.reject(draft, position, watch, signal_id, rejection, asked).await?;
                Ok(Err(reason))
            }
            Verdict::Admitted(admission) => {
                let passed = RiskCheckPassed {
                    account_id: position.account_id,
                    decision_id,
                    position_id: position.position_id,
                    checks_performed: admission.checks.clone(),
                    exposure_before: admission.exposure_before,
                    exposure_after: admission.exposure_after,
                    planned_risk: admission.planned_risk,
                    capital_base: self.month_risk()?.base,
                };
                self.desk.add(&mut draft, passed, self.now).await?;
                let proposed = DecisionProposed {
                    position_id: position.position_id,
                    decision_id,
                    signal_id,
                    action: DecisionAction::Enter,
                    symbol: position.symbol.clone(),
                    side: position.side,
                    entry_price: entry,
                    stop_price: stop.price,
                    stop_distance: stop.distance,
                    quantity: size.quantity,
                    planned_risk: size.planned_risk,
                    approval_expires_at: expires_at,
                };
                self.desk.add(&mut draft, proposed, self.now).await?;
                if let Some(expires_at) = expires_at {
                    self.desk.commit(draft).await?;
                    self.watches.remove(&position.position_id);
                    let pending = Pending { decision_id, signal_id, watch, expires_at };
                    self.approvals.insert(position.position_id, pending);
                    return Ok(Ok(PositionState::Armed));
                }
                let order_id = self.intend_entry(&mut draft, position, decision_id, signal_id, &size).await?;
                self.answer_entry(&mut draft, asked, position, None)?;
                self.desk.commit(draft).await?;
                self.watches.remove(&position.position_id);
                self.send(order_id).await?;
                Ok(Ok(PositionState::Entering))
            }
        }
    }

    /// Why a position's strategy may not enter, if it may not.
    async fn strategy_refusal(&mut self, position: &Position) -> Result<Option<Rejection>, TraderError> {
        let Some(strategy_id) = position.strategy_id else { return Ok(None) };
        let refused = self.desk.enabled_strategy(strategy_id).await?.err();
        Ok(refused.map(|refused| Rejection { code: "strategy_disabled", reason: refused.to_string() }))
    }

    /// What its strategy's own limits leave a position.
    async fn strategy_room(&mut self, position: &Position) -> Result<StrategyRoom, TraderError> {
        let risk = match position.strategy_id {
            Some(id) => self.desk.strategy_risk(id).await?,
            None => None,
        };
        let mut exposure = risk.as_ref().map_or(Money::ZERO, |risk| risk.total_exposure);
        // What is being bought is not held yet, and must not be spent twice.
        for order in self.desk.working_orders() {
            let owner = order.position_id.and_then(|id| self.desk.position(id));
            let last = self.markets.get(&order.symbol).and_then(super::Market::last);
            if let (OrderRole::Entry, Some(owner), Some((price, _))) = (order.role, owner, last)
                && owner.strategy_id == position.strategy_id
            {
                let value = order.remaining().get().checked_mul(price.get());
                let value = value.and_then(|value| Money::new(value).ok()).ok_or(robson_domain::Overflow)?;
                exposure = exposure.plus(value)?;
            }
        }
        let today = risk.as_ref().filter(|risk| risk.calculated_at.day() == self.now.day());
        Ok(StrategyRoom {
            max_exposure: risk.as_ref().and_then(|risk| risk.max_exposure),
            exposure,
            daily_loss_limit: risk.as_ref().and_then(|risk| risk.daily_loss_limit),
            daily_net: today.map_or(Money::ZERO, |risk| risk.daily_pnl),
        })
    }

    async fn intend_entry(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        decision_id: DecisionId,
        signal_id: SignalId,
        size: &Size,
    ) -> Result<OrderId, TraderError> {
        let wanted = Wanted {
            role: OrderRole::Entry,
            quantity: size.quantity,
            attempt: 1,
            cause: signal_id.to_string(),
            decision_id: Some(decision_id),
        };
        self.intend(draft, position, wanted).await
    }

    /// Ends a signal that leads to nothing: an only try is disarmed, a confirmed one gets a new detector.
    pub(super) async fn reject(
        &mut self,
        mut draft: Draft,
        position: &Position,
        watch: Watch,
        signal_id: SignalId,
        rejection: Rejection,
        asked: Option<Asked<'_>>,
    ) -> Result<(), TraderError> {
        let answer = rejection.reason.clone();
        let next = self.add_rejection(&mut draft, position, watch, signal_id, rejection).await?;
        self.answer_entry(&mut draft, asked, position, Some(&answer))?;
        self.desk.commit(draft).await?;
        self.set_watch(position, next);
        Ok(())
    }

    /// Adds the end of a signal to a draft; answers with the detector that follows.
    pub(super) async fn add_rejection(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        watch: Watch,
        signal_id: SignalId,
        rejection: Rejection,
    ) -> Result<Option<Watch>, TraderError> {
        let reason = rejection.reason.clone();
        let rejected = SignalRejected {
            position_id: position.position_id,
            signal_id,
            reason_code: rejection.code.to_owned(),
            reason: rejection.reason,
        };
        self.desk.add(draft, rejected, self.now).await?;
        self.after_failure(draft, position, watch.attempt, reason).await
    }

    /// What follows when a signal or its entry came to nothing.
    pub(super) async fn after_failure(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        attempt: i64,
        reason: String,
    ) -> Result<Option<Watch>, TraderError> {
        if position.entry_mode == EntryMode::Immediate {
            let disarmed =
                PositionDisarmed { position_id: position.position_id, reason, disarmed_at: self.now };
            self.desk.add(draft, disarmed, self.now).await?;
            return Ok(None);
        }
        self.rearm(draft, position, attempt + 1).await.map(Some)
    }

    pub(super) fn set_watch(&mut self, position: &Position, watch: Option<Watch>) {
        match watch {
            Some(watch) => drop(self.watches.insert(position.position_id, watch)),
            None => drop(self.watches.remove(&position.position_id)),
        }
    }

    pub(super) fn market(&self, position: &Position) -> Result<&super::Market, DeskError> {
        let market = self.markets.get(&position.symbol);
        market.ok_or_else(|| DeskError::Broken(format!("there is no market for {}", position.symbol)))
    }

    /// What the venue lets new orders use; negative counts as nothing.
    async fn available(&self, instrument: &Instrument) -> Result<Money, TraderError> {
        let balances = self.exchange.balances().await?;
        let free =
            balances.iter().find(|balance| balance.asset == instrument.quote).map(|balance| balance.free);
        let free = free.map_or(Decimal::ZERO, Amount::get);
        Ok(Money::new(free).map_or(Money::ZERO, Money::at_least_zero))
    }

    fn size(
        &self,
        position: &Position,
        instrument: &Instrument,
        entry: Price,
        stop: Price,
        available: Money,
    ) -> Result<Result<Size, Rejection>, TraderError> {
        let trade = Trade {
            side: position.side,
            entry,
            stop,
            capital: position.risk_capital.min(self.month_risk()?.base),
            available,
            risk: position.risk_pct,
        };
        let lot = Lot {
            step: instrument.step,
            min_quantity: instrument.min_quantity,
            min_notional: instrument.min_notional,
        };
        let sized = size(&trade, &self.rules.sizing, &lot);
        Ok(sized.map_err(|none| Rejection { code: none.code(), reason: none.to_string() }))
    }

    pub(super) fn month_risk(&self) -> Result<MonthRisk, TraderError> {
        let risk = self.desk.risk().ok_or_else(|| DeskError::Broken("no month is open".to_owned()))?;
        Ok(MonthRisk { base: risk.capital_base, realized_net: risk.realized_net, latent: risk.latent_risk })
    }

    fn judge(
        &self,
        position: &Position,
        size: &Size,
        available: Money,
        room: StrategyRoom,
    ) -> Result<Verdict, TraderError> {
        let risk = self.desk.risk().ok_or_else(|| DeskError::Broken("no month is open".to_owned()))?;
        let others = || {
            let mine = position.position_id;
            let same = move |other: &&Position| other.position_id != mine && other.symbol == position.symbol;
            self.desk.positions().filter(same)
        };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let at_risk =
            |state| matches!(state, PositionState::Entering | PositionState::Active | PositionState::Exiting);
        let last = self.market(position)?.last().map_or(i64::MAX, |(_, at)| self.now.micros_since(at));
        // One that waited for the operator has reserved its risk: it is not counted twice.
        let month = self.month_risk()?;
        let month = MonthRisk { latent: month.latent.minus(position.latent_risk)?, ..month };
        let request = RiskRequest {
            halted: risk.halted,
            entries_stopped: risk.entries_stopped,
            open_discrepancies: u32::try_from(risk.open_discrepancies).unwrap_or(u32::MAX),
            market_data_age_ms: u64::try_from(last / 1_000).unwrap_or(0),
            market_data_age_ms_max: MARKET_DATA_AGE_MS_MAX,
            live_twins: count(others().filter(|other| other.side == position.side).count()),
            live_opposites: count(
                others().filter(|other| other.side != position.side && at_risk(other.state)).count(),
            ),
            margin_available: available,
            margin_needed: size.notional,
            month,
            planned_risk: Some(size.planned_risk),
            exposure: risk.total_exposure,
            notional: size.notional,
            max_exposure: room.max_exposure,
            strategy_exposure: room.exposure,
            daily_net: room.daily_net,
            daily_loss_limit: room.daily_loss_limit,
            // The decision is one synchronous function: by the feed's clock it takes no time.
            elapsed_ms: 0,
        };
        Ok(request.judge()?)
    }
}

fn analyzed(
    position: &Position,
    entry: Price,
    signal_id: SignalId,
    timeframe: String,
    found: &TechnicalStop,
) -> Result<TechnicalStopAnalyzed, TraderError> {
    let skipped = found.skipped_levels.iter().map(|level| {
        Ok(robson_domain::events::SkippedLevel {
            level: level.level,
            distance: price(level.distance)?,
            reason: level.reason,
        })
    });
    Ok(TechnicalStopAnalyzed {
        position_id: position.position_id,
        signal_id,
        timeframe,
        candles: i64::try_from(found.candles).unwrap_or(i64::MAX),
        entry_price: entry,
        stop_price: found.stop,
        method: found.method,
        configured_level_n: i64::from(found.configured_level_n),
        level_n: found.level_n.map(i64::from),
        skipped_levels: skipped.collect::<Result<_, TraderError>>()?,
        confidence: found.confidence,
    })
}

fn failed_check(
    failed: &robson_engine::risk_gate::FailedCheck,
) -> Result<robson_domain::events::FailedCheck, TraderError> {
    let amount = |value| Amount::new(value).map_err(|_| robson_domain::Overflow);
    Ok(robson_domain::events::FailedCheck {
        check: failed.check,
        limit: amount(failed.limit)?,
        actual: amount(failed.actual)?,
    })
}

/// A distance between prices, which the events keep as a price: it is above zero.
fn price(distance: Decimal) -> Result<Price, TraderError> {
    Price::new(distance).map_err(|error| DeskError::Broken(error.to_string()).into())
}
