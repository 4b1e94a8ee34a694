//! Detectors: each armed position has one, and it ends with its one signal or a disarm.

use robson_domain::events::DetectorStarted;
use robson_domain::{DetectorId, EntryMode, Event, Json, Position, PositionId, PositionState, Timestamp};
use robson_engine::entry::Detector;
use robson_eventlog::Store;
use robson_venue::exchange::Exchange;
use robson_venue::feed::Tick;
use serde_json::json;

use super::approvals::awaits_approval;
use super::market::engine_tick;
use super::{Desk, DeskError, Draft, Trader, TraderError};

/// The pause after the first refusal; it doubles with each one.
const PAUSE_FIRST_MICROS: i64 = 5_000_000;
const PAUSE_LAST_MICROS: i64 = 15 * 60 * 1_000_000;

/// A detector at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    pub(super) detector_id: DetectorId,
    pub(super) detector: Detector,
    /// How many detectors the position has had, this one included.
    pub(super) attempt: i64,
}

/// How long a position pauses before the detector of this number looks again.
pub(super) fn pause_micros(attempt: i64) -> i64 {
    let doublings = u32::try_from((attempt - 2).clamp(0, 20)).unwrap_or(0);
    PAUSE_FIRST_MICROS.saturating_mul(1 << doublings).min(PAUSE_LAST_MICROS)
}

/// The event that starts a detector. Its parameters are all that a restart needs.
pub(super) fn started<S: Store>(
    desk: &Desk<S>,
    position_id: PositionId,
    mode: EntryMode,
    attempt: i64,
    at: Timestamp,
    not_before: Timestamp,
) -> Result<DetectorStarted, DeskError> {
    let detector_id = desk.derive(at, "detector", &[&position_id.to_string(), &attempt.to_string()]);
    let params = Json::new(json!({"attempt": attempt, "not_before": not_before.to_string()}));
    Ok(DetectorStarted {
        position_id,
        detector_id: detector_id.into(),
        strategy: mode.as_str().to_owned(),
        params: params.map_err(|error| DeskError::Broken(error.to_string()))?,
    })
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Brings the detectors of armed positions back from the log. One whose entry waited for the operator has
    /// none: its wait ends with the first tick.
    pub(super) async fn restart_detectors(&mut self) -> Result<(), TraderError> {
        let is_watching = |p: &&Position| p.state == PositionState::Armed && !awaits_approval(p);
        let armed: Vec<Position> = self.desk.positions().filter(is_watching).cloned().collect();
        for position in armed {
            let watch = self.recorded_watch(&position).await?;
            self.watches.insert(position.position_id, watch);
        }
        Ok(())
    }

    /// The detector of an armed position, as the log has it.
    pub(super) async fn recorded_watch(&self, position: &Position) -> Result<Watch, TraderError> {
        let story = self.desk.story(position.position_id).await?;
        let started = story.iter().rev().find_map(|event| match event {
            Event::DetectorStarted(started) => Some(started),
            _ => None,
        });
        let watch = started.and_then(|started| watch_of(position, started));
        let id = position.position_id;
        Ok(watch.ok_or_else(|| DeskError::Broken(format!("position {id} is armed without a detector")))?)
    }

    /// Starts the next detector of a position whose signal or entry came to nothing.
    pub(super) async fn rearm(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        attempt: i64,
    ) -> Result<Watch, TraderError> {
        let not_before = self.now.plus_micros(pause_micros(attempt));
        let event =
            started(&self.desk, position.position_id, position.entry_mode, attempt, self.now, not_before)?;
        let watch = watch_of(position, &event)
            .ok_or_else(|| DeskError::Broken(format!("no detector for {}", position.entry_mode)))?;
        self.desk.add(draft, event, self.now).await?;
        Ok(watch)
    }

    /// Asks the detector of each armed position of the tick's symbol.
    ///
    /// A condition on candles is judged when a candle closes and at no other tick, so that a restart in
    /// mid-candle changes nothing.
    pub(super) async fn watch_armed_positions(&mut self, tick: &Tick) -> Result<(), TraderError> {
        let armed: Vec<Position> = self.of_symbol(&tick.symbol, PositionState::Armed).cloned().collect();
        for position in armed {
            let Some(watch) = self.watches.get(&position.position_id).copied() else { continue };
            let Some(market) = self.markets.get(&position.symbol) else { continue };
            if position.entry_mode != EntryMode::Immediate && !market.candle_closed() {
                continue;
            }
            let signal =
                watch.detector.signal(&engine_tick(tick), market.candles(), market.candle_length())?;
            if let Some(signal) = signal {
                self.enter(&position, watch, signal).await?;
            }
        }
        Ok(())
    }
}

/// The detector that an event started; nothing where its parameters are not ours.
pub(super) fn watch_of(position: &Position, started: &DetectorStarted) -> Option<Watch> {
    let params = started.params.get();
    let attempt = params.get("attempt")?.as_i64()?;
    let not_before = params.get("not_before")?.as_str()?.parse().ok()?;
    let detector = Detector::new(position.entry_mode, position.side, not_before);
    Some(Watch { detector_id: started.detector_id, detector, attempt })
}
