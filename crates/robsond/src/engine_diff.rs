//! What this program's engine decides on a recorded signal, beside what was decided then.
//!
//! Pure: whoever asks brings the rows as they were at the signal, the rules of today and, for the stop and the
//! entry, the candles. Sends nothing and writes nothing.

use std::fmt;

use robson_domain::{
    EntryMode, Event, Money, Position, PositionState, Price, Quantity, RiskCheck, RiskState, SignalId,
    Timestamp,
};
use robson_engine::candles::{Candle, CandleLength, Tick};
use robson_engine::entry::Detector;
use robson_engine::risk_gate::{MonthRisk, RiskRequest, Verdict};
use robson_engine::sizing::{Lot, Trade, size};
use robson_engine::technical_stop::analyze;
use robson_venue::exchange::Instrument;

use crate::config::RiskSettings;

/// What was known when a signal was decided on.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The position that waited for the signal.
    pub position: Position,
    /// The other positions of its symbol.
    pub others: Vec<Position>,
    /// The account's risk.
    pub risk: RiskState,
    /// The risk of the position's strategy, where it has one. Entries that were being bought are not in it.
    pub strategy: Option<RiskState>,
    /// The margin that was free when the balance was last sampled: the log has no closer figure.
    pub available: Money,
    /// The price of the signal.
    pub entry: Price,
    /// When the signal was detected.
    pub at: Timestamp,
    /// From when on the detector looked.
    pub not_before: Timestamp,
    /// The symbol's filters.
    pub instrument: Instrument,
}

/// The market at the signal.
#[derive(Debug, Clone, Copy)]
pub struct Chart<'a> {
    /// The closed candles, oldest first.
    pub candles: &'a [Candle],
    /// How long they are.
    pub length: CandleLength,
    /// The tick that the signal came with, as far as the feed has it.
    pub tick: Option<Tick>,
}

/// What a signal led to; a part that was not decided, or not compared, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether the entry's condition held.
    pub fires: Option<bool>,
    /// The stop.
    pub stop: Option<Price>,
    /// The size.
    pub quantity: Option<Quantity>,
    /// What it could lose.
    pub planned_risk: Option<Money>,
    /// How it ended: `entered`, `denied` with the checks, or the word for why there was no stop or size.
    pub verdict: String,
}

/// A part of a decision that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which part.
    pub part: &'static str,
    /// As it was recorded.
    pub recorded: String,
    /// As it would be now.
    pub now: String,
}

/// `quantity 0.059, now 0.058`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, now {}", self.part, self.recorded, self.now)
    }
}

/// What a log says of a signal: its decision, from the events behind it. Nothing while it is undecided.
pub fn recorded<'a>(signal: SignalId, behind: impl IntoIterator<Item = &'a Event>) -> Option<Decision> {
    let mut decision = Decision { fires: Some(true), ..Decision::default() };
    let mut denied: Option<String> = None;
    for event in behind {
        match event {
            Event::TechnicalStopAnalyzed(found) if found.signal_id == signal => {
                decision.stop = Some(found.stop_price);
            }
            Event::RiskCheckFailed(failed) => {
                let checks = failed.failed_checks.iter().map(|failed| failed.check);
                denied = Some(denial(checks));
            }
            Event::DecisionProposed(proposed) if proposed.signal_id == signal => {
                decision.stop = Some(proposed.stop_price);
                decision.quantity = Some(proposed.quantity);
                decision.planned_risk = Some(proposed.planned_risk);
                "entered".clone_into(&mut decision.verdict);
                return Some(decision);
            }
            Event::SignalRejected(rejected) if rejected.signal_id == signal => {
                decision.verdict = denied.unwrap_or_else(|| rejected.reason_code.clone());
                return Some(decision);
            }
            _ => {}
        }
    }
    None
}

fn denial(checks: impl Iterator<Item = RiskCheck>) -> String {
    let checks: Vec<&str> = checks.map(RiskCheck::as_str).collect();
    format!("denied: {}", checks.join(", "))
}

/// What the engine decides now. Without a chart the recorded stop is taken as it was, and the entry is not judged.
pub fn decide(
    situation: &Situation,
    recorded_stop: Option<Price>,
    chart: Option<&Chart<'_>>,
    rules: &RiskSettings,
) -> Decision {
    let mut decision =
        Decision { fires: chart.and_then(|chart| fires(situation, chart)), ..Decision::default() };
    let Situation { position, entry, instrument, .. } = situation;
    let stop = match chart {
        Some(chart) => {
            match analyze(position.side, *entry, chart.candles, instrument.tick_size, &rules.stops) {
                Ok(found) => Some(found.stop),
                Err(none) => {
                    none.code().clone_into(&mut decision.verdict);
                    None
                }
            }
        }
        None => recorded_stop,
    };
    decision.stop = stop;
    let Some(stop) = stop else {
        if decision.verdict.is_empty() {
            "no stop was recorded".clone_into(&mut decision.verdict);
        }
        return decision;
    };
    let trade = Trade {
        side: position.side,
        entry: *entry,
        stop,
        capital: position.risk_capital.min(situation.risk.capital_base),
        available: situation.available,
        risk: position.risk_pct,
    };
    let lot = Lot {
        step: instrument.step,
        min_quantity: instrument.min_quantity,
        min_notional: instrument.min_notional,
    };
    match size(&trade, &rules.sizing, &lot) {
        Ok(sized) => {
            decision.quantity = Some(sized.quantity);
            decision.planned_risk = Some(sized.planned_risk);
            decision.verdict = match judge(situation, sized.notional, sized.planned_risk) {
                Ok(Verdict::Admitted(_)) => "entered".to_owned(),
                Ok(Verdict::Denied { failed, .. }) => denial(failed.iter().map(|failed| failed.check)),
                Err(overflow) => overflow.to_string(),
            };
        }
        Err(none) => none.code().clone_into(&mut decision.verdict),
    }
    decision
}

fn judge(
    situation: &Situation,
    notional: Money,
    planned_risk: Money,
) -> Result<Verdict, robson_domain::Overflow> {
    let Situation { position, others, risk, strategy, .. } = situation;
    let is_live = |other: &&Position| {
        !matches!(other.state, PositionState::Closed | PositionState::Cancelled)
            && other.position_id != position.position_id
    };
    let is_at_risk =
        |state| matches!(state, PositionState::Entering | PositionState::Active | PositionState::Exiting);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let twins = others.iter().filter(is_live).filter(|other| other.side == position.side).count();
    let opposites =
        others.iter().filter(|other| other.side != position.side && is_at_risk(other.state)).count();
    let today = strategy.as_ref().filter(|risk| risk.calculated_at.day() == situation.at.day());
    let request = RiskRequest {
        halted: risk.halted,
        entries_stopped: risk.entries_stopped,
        open_discrepancies: u32::try_from(risk.open_discrepancies).unwrap_or(u32::MAX),
        // A signal comes with the tick that shows it.
        market_data_age_ms: 0,
        market_data_age_ms_max: u64::MAX,
        live_twins: count(twins),
        live_opposites: count(opposites),
        margin_available: situation.available,
        margin_needed: notional,
        month: MonthRisk {
            base: risk.capital_base,
            realized_net: risk.realized_net,
            latent: risk.latent_risk.minus(position.latent_risk)?,
        },
        planned_risk: Some(planned_risk),
        exposure: risk.total_exposure,
        notional,
        max_exposure: strategy.as_ref().and_then(|risk| risk.max_exposure),
        strategy_exposure: strategy.as_ref().map_or(Money::ZERO, |risk| risk.total_exposure),
        daily_net: today.map_or(Money::ZERO, |risk| risk.daily_pnl),
        daily_loss_limit: strategy.as_ref().and_then(|risk| risk.daily_loss_limit),
        elapsed_ms: 0,
    };
    request.judge()
}

fn fires(situation: &Situation, chart: &Chart<'_>) -> Option<bool> {
    let mode: EntryMode = situation.position.entry_mode;
    let detector = Detector::new(mode, situation.position.side, situation.not_before);
    let signal = detector.signal(&chart.tick?, chart.candles, chart.length).ok()?;
    Some(signal.is_some())
}

/// What differs between a recorded decision and one that was made now, part by part.
pub fn changes(recorded: &Decision, now: &Decision) -> Vec<Change> {
    fn text<T: ToString>(part: Option<&T>) -> String {
        part.map_or_else(|| "none".to_owned(), ToString::to_string)
    }
    let mut changes = Vec::new();
    let mut compare = |part, recorded: String, now: String| {
        if recorded != now {
            changes.push(Change { part, recorded, now });
        }
    };
    if let (Some(recorded), Some(now)) = (recorded.fires, now.fires) {
        let word = |fires| if fires { "fires" } else { "does not fire" };
        compare("entry", word(recorded).to_owned(), word(now).to_owned());
    }
    compare("stop", text(recorded.stop.as_ref()), text(now.stop.as_ref()));
    // A signal that was refused has no size in the log.
    if recorded.quantity.is_some() {
        compare("quantity", text(recorded.quantity.as_ref()), text(now.quantity.as_ref()));
        compare("planned risk", text(recorded.planned_risk.as_ref()), text(now.planned_risk.as_ref()));
    }
    compare("verdict", recorded.verdict.clone(), now.verdict.clone());
    changes
}
