//! What an event says, in one line for people.

use robson_domain::{Event, Json, LimitKind, Timestamp};
use robson_eventlog::RecordedEvent;
use robson_projector::{event_of, time_of};
use rust_decimal::Decimal;

use crate::printer::{amount, cents, price, seconds, signed};

/// When the event happened.
pub fn happened_at(event: &RecordedEvent) -> Timestamp {
    time_of(event.occurred_at)
}

/// What the event says; a type that has no words here is told by the fields of its payload.
pub fn tell(recorded: &RecordedEvent) -> String {
    let words = event_of(recorded).ok().and_then(|event| words(&event));
    words.unwrap_or_else(|| fields(&recorded.payload.value()).join(", "))
}

fn words(event: &Event) -> Option<String> {
    let words = match event {
        Event::PositionArmed(armed) => format!(
            "{} {}: entry {}, stop {}, {} of {} at risk",
            armed.side,
            armed.symbol,
            armed.entry_mode,
            armed.trailing_policy,
            percent(armed.risk_pct.get()),
            cents(armed.risk_capital.get())
        ),
        Event::PositionDisarmed(disarmed) => disarmed.reason.clone(),
        Event::DetectorStarted(started) => format!("{}{}", started.strategy, listed(&started.params)),
        Event::DetectorStopped(stopped) => stopped.cause.to_string(),
        Event::SignalDetected(signal) => {
            format!("{} {} at {}{}", signal.side, signal.symbol, signal.price, listed(&signal.indicators))
        }
        Event::TechnicalStopAnalyzed(stop) => {
            let level = stop.level_n.map(|n| format!(" level {n}")).unwrap_or_default();
            let skipped: Vec<String> = stop
                .skipped_levels
                .iter()
                .map(|skipped| format!("{} ({} away: {})", skipped.level, skipped.distance, skipped.reason))
                .collect();
            let skipped =
                if skipped.is_empty() { String::new() } else { format!("; skipped {}", skipped.join(", ")) };
            format!(
                "stop {} for an entry at {}: {}{level} of {} candles of {}, confidence {}{skipped}",
                stop.stop_price, stop.entry_price, stop.method, stop.candles, stop.timeframe, stop.confidence
            )
        }
        Event::RiskCheckPassed(passed) => format!(
            "{} checks; exposure {} -> {}, risks {} of a base of {}",
            passed.checks_performed.len(),
            cents(passed.exposure_before.get()),
            cents(passed.exposure_after.get()),
            cents(passed.planned_risk.get()),
            cents(passed.capital_base.get())
        ),
        Event::RiskCheckFailed(failed) => format!("{}: {}", failed.severity, failed.violation_reason),
        Event::RiskLimitExceeded(limit) => {
            let (actual, allowed) = (cents(limit.actual_value.get()), cents(limit.limit_value.get()));
            match (limit.limit, &limit.reason) {
                (LimitKind::Operator, Some(reason)) => {
                    format!("{} for {}: {reason}", limit.action, limit.period)
                }
                _ => format!("{} for {}: {actual} of {allowed}", limit.action, limit.period),
            }
        }
        Event::DecisionProposed(decision) => format!(
            "{} {} {} at {}, stop {} ({} away), planned risk {}{}",
            decision.action,
            decision.side,
            decision.quantity,
            decision.entry_price,
            decision.stop_price,
            decision.stop_distance,
            cents(decision.planned_risk.get()),
            decision.approval_expires_at.map_or_else(String::new, |until| {
                format!(", waits for the operator until {}", seconds(until))
            })
        ),
        Event::SignalRejected(rejected) => format!("{}: {}", rejected.reason_code, rejected.reason),
        Event::IntentCreated(intent) => {
            let again =
                if intent.attempt > 1 { format!(", attempt {}", intent.attempt) } else { String::new() };
            format!("{}: {} {}{again}", intent.intent_type, intent.side, intent.quantity)
        }
        Event::IntentCompleted(intent) => match &intent.error {
            Some(error) => format!("{}: {error}", intent.outcome),
            None => intent.outcome.to_string(),
        },
        Event::OrderSubmitted(order) => {
            format!(
                "{} {} {} at {}, as {}",
                order.role, order.side, order.quantity, order.order_type, order.client_order_id
            )
        }
        Event::OrderAcked(acked) => format!("the venue has it as {}", acked.exchange_order_id),
        Event::OrderRejected(rejected) => format!("{}: {}", rejected.reason_code, rejected.reason),
        Event::OrderCanceled(canceled) => format!("{}, {} filled", canceled.reason, canceled.filled_quantity),
        Event::FillReceived(fill) => format!(
            "{} {} at {}, fee {} {}",
            fill.side,
            fill.fill_quantity,
            fill.fill_price,
            amount(fill.fee),
            fill.fee_asset
        ),
        Event::PositionOpened(opened) => {
            format!(
                "{} at {}, stop {}",
                opened.entry_quantity,
                price(opened.entry_price),
                opened.initial_stop
            )
        }
        Event::TrailingStopUpdated(moved) => {
            format!("{} -> {} at a price of {}", moved.previous_stop, moved.new_stop, moved.trigger_price)
        }
        Event::ExitTriggered(exit) => {
            let at = exit.trigger_price.map(|at| format!(" at {at}")).unwrap_or_default();
            let stop = exit.stop_price.map(|stop| format!(", stop {stop}")).unwrap_or_default();
            format!("{}{at}{stop}", exit.reason)
        }
        Event::PositionClosed(closed) => {
            let net = closed.realized_pnl.get().checked_sub(closed.total_fees.get()).unwrap_or_default();
            format!(
                "{} from {} to {}: {} before fees of {}, {} net",
                closed.quantity,
                price(closed.entry_price),
                price(closed.exit_price),
                signed(closed.realized_pnl.get()),
                cents(closed.total_fees.get()),
                signed(net)
            )
        }
        Event::PositionError(error) if error.cleared => format!("cleared: {}", error.error),
        Event::PositionError(error) => error.error.clone(),
        Event::BalanceSampled(balance) => {
            format!("{} {}, {} of it free", amount(balance.total), balance.asset, amount(balance.free))
        }
        Event::StrategyCreated(strategy) => strategy.strategy_name.clone(),
        Event::StrategyEnabled(strategy) => strategy.strategy_name.clone(),
        Event::StrategyDisabled(strategy) => strategy.reason.clone().unwrap_or_else(|| "disabled".to_owned()),
        Event::StrategyConfigUpdated(update) => {
            let limit = |name: &str, limit: Option<robson_domain::Money>| {
                format!(", {name} {}", limit.map_or_else(|| "none".to_owned(), |limit| cents(limit.get())))
            };
            let limits = update.risk_config.as_ref().map(|limits| {
                limit("most exposure", limits.max_exposure)
                    + &limit("most daily loss", limits.daily_loss_limit)
            });
            let detectors = if update.detector_config.is_some() { ", its detectors" } else { "" };
            format!("settings {}{}{detectors}", update.config_version, limits.unwrap_or_default())
        }
        Event::MarketDataGapDetected(gap) => {
            format!(
                "{}: nothing for {} s after {}",
                gap.symbol,
                gap.gap_ms / 1_000,
                seconds(gap.last_tick_at)
            )
        }
        Event::DaemonStarted(started) => format!("version {}, {}", started.version, started.environment),
        Event::DaemonStopped(stopped) => stopped.reason.clone(),
        Event::OperatorAlertRaised(alert) => format!("{} {}: {}", alert.severity, alert.code, alert.message),
        Event::TenantRegistered(tenant) => tenant.name.clone(),
        Event::AccountLinked(account) => format!("{}, profile {}", account.exchange, account.profile),
        _ => return None,
    };
    Some(words)
}

fn percent(fraction: Decimal) -> String {
    let percent = fraction.checked_mul(Decimal::ONE_HUNDRED).unwrap_or_default();
    format!("{} %", percent.normalize())
}

/// The members of an object as ` (a 1, b 2)`; nothing for anything else.
fn listed(json: &Json) -> String {
    let fields = fields(json.get());
    if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) }
}

/// Names and values of an object's members, but for ids: those are for programs.
fn fields(json: &serde_json::Value) -> Vec<String> {
    let members = json.as_object().into_iter().flatten();
    let told = members.filter(|(name, _)| !name.ends_with("_id"));
    told.map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    })
    .collect()
}
