//! The trading task: takes ticks and commands one after the other and awaits each append, so that a run
//! is a function of feed, plan and seed.
//!
//! Every step of a tick may be taken again after a crash: what is durable is found done, what is not is
//! decided again from the same inputs.

mod approvals;
mod arming;
mod commands;
mod desk;
mod detectors;
mod entry;
mod exit;
mod market;
mod month;
mod orders;
mod reports;
mod strategies;

use std::collections::BTreeMap;
use std::sync::Arc;

use robson_domain::events::{MarketDataGapDetected, TrailingStopUpdated};
use robson_domain::{
    GapFallback, Position, PositionId, PositionState, Price, Side, Symbol, Timestamp, TrailingPolicy,
};
use robson_engine::trailing_stop::{Trail, TrailAction, TrailState};
use robson_eventlog::Store;
use robson_venue::exchange::{Exchange, OrderReport};
use robson_venue::feed::Tick;

pub use commands::Terms;
pub use desk::{Desk, DeskError, Draft};
pub use market::{Market, Markets};

use crate::config::RiskSettings;
use approvals::Pending;
use detectors::Watch;

/// Why the trader stops.
#[derive(Debug, thiserror::Error)]
pub enum TraderError {
    /// A decision did not become durable.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The lease may have ended: nothing more may be sent.
    #[error("another daemon may have taken over: the lease no longer surely holds, nothing more is sent")]
    LeaseLost,
    /// The feed broke its own order.
    #[error("the feed is out of order")]
    Feed(#[from] robson_engine::candles::CandleError),
    /// The venue did not answer a question that trading cannot go on without.
    #[error(transparent)]
    Venue(#[from] robson_venue::exchange::Unanswered),
}

impl From<robson_domain::Overflow> for TraderError {
    fn from(error: robson_domain::Overflow) -> Self {
        Self::Desk(error.into())
    }
}

/// The trader of one account.
#[derive(Debug)]
pub struct Trader<S, X> {
    desk: Desk<S>,
    exchange: Arc<X>,
    rules: RiskSettings,
    markets: Markets,
    watches: BTreeMap<PositionId, Watch>,
    approvals: BTreeMap<PositionId, Pending>,
    now: Timestamp,
    has_recovered: bool,
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Takes up where the log left off. The markets have seen every tick before `now`.
    ///
    /// # Errors
    /// As the store says.
    pub async fn open(
        desk: Desk<S>,
        exchange: Arc<X>,
        rules: RiskSettings,
        markets: Markets,
        now: Timestamp,
    ) -> Result<Self, TraderError> {
        let (watches, approvals) = (BTreeMap::new(), BTreeMap::new());
        let mut trader =
            Self { desk, exchange, rules, markets, watches, approvals, now, has_recovered: false };
        trader.restart_detectors().await?;
        Ok(trader)
    }

    /// The desk, for whoever closes up.
    pub const fn desk(&self) -> &Desk<S> {
        &self.desk
    }

    /// The desk, for the daemon's own events.
    pub const fn desk_mut(&mut self) -> &mut Desk<S> {
        &mut self.desk
    }

    /// The first instant within a tick's step at which a stop is touched: the tick is to be split there.
    pub fn first_touch(&self, tick: &Tick) -> Option<Timestamp> {
        tick.path.as_ref()?;
        let touched = |position: &Position| {
            let stop = position.trailing_stop_price?;
            tick.reaches(stop, position.side == Side::Long)
        };
        self.of_symbol(&tick.symbol, PositionState::Active).filter_map(touched).min()
    }

    fn of_symbol<'a>(
        &'a self,
        symbol: &'a Symbol,
        state: PositionState,
    ) -> impl Iterator<Item = &'a Position> {
        self.desk.positions().filter(move |position| position.state == state && position.symbol == *symbol)
    }

    /// Takes a tick in, with what the venue reported at its time.
    ///
    /// # Errors
    /// The trader must then be dropped and opened again.
    pub async fn on_tick(&mut self, tick: &Tick, reports: &[OrderReport]) -> Result<(), TraderError> {
        self.now = tick.at;
        if !self.has_recovered {
            self.finish_what_was_begun().await?;
        }
        for report in reports {
            self.record(report).await?;
        }
        if !self.has_recovered {
            self.ask_about_working_orders().await?;
            self.has_recovered = true;
        }
        self.open_month().await?;
        self.note_gap(tick).await?;
        if let Some(market) = self.markets.get_mut(&*tick.symbol) {
            market.take(tick)?;
        }
        self.watch_open_positions(tick).await?;
        self.chase_exits(tick).await?;
        self.probe_orders(tick).await?;
        self.expire_approvals().await?;
        self.watch_armed_positions(tick).await
    }

    /// Takes up what a crash cut short, in the order in which it would have gone on: what was intended is
    /// sent, a month that was spent is halted, what was to be closed is closed.
    async fn finish_what_was_begun(&mut self) -> Result<(), TraderError> {
        self.send_what_is_pending().await?;
        self.halt_if_spent().await?;
        self.reject_interrupted_approvals().await?;
        let closing: Vec<PositionId> = self.desk.positions().map(|position| position.position_id).collect();
        self.see_closed(&closing).await
    }

    /// Prices that did not come are an event: what was decided around them rests on old ones.
    async fn note_gap(&mut self, tick: &Tick) -> Result<(), TraderError> {
        let last = self.markets.get(&*tick.symbol).and_then(|market| market.gap_before(tick));
        let Some(last_tick_at) = last else { return Ok(()) };
        let mut draft = self.desk.draft(self.desk.derive(self.now, "gap", &[tick.symbol.as_str()]), self.now);
        let gap = MarketDataGapDetected {
            symbol: (*tick.symbol).clone(),
            last_tick_at,
            gap_ms: tick.at.micros_since(last_tick_at) / 1_000,
            fallback: GapFallback::None,
        };
        self.desk.add(&mut draft, gap, self.now).await?;
        Ok(self.desk.commit(draft).await?)
    }

    /// Checks each open position's exit, then moves its stop.
    async fn watch_open_positions(&mut self, tick: &Tick) -> Result<(), TraderError> {
        let open: Vec<Position> = self.of_symbol(&tick.symbol, PositionState::Active).cloned().collect();
        for position in open {
            let Some((trail, state)) = self.trail_in_force(&position) else { continue };
            let (next, action) = trail.decide(state, tick.price)?;
            match action {
                TrailAction::Hold => {}
                TrailAction::Exit => self.exit_at_stop(&position, tick.price).await?,
                TrailAction::Move { previous_stop, completed_spans } => {
                    self.move_stop(&position, previous_stop, next, completed_spans, tick.price).await?;
                }
            }
        }
        Ok(())
    }

    /// What is fixed about a decided position's stop once it is filled at a price.
    fn trail(&self, position: &Position, fill: Price) -> Option<Trail> {
        Some(Trail {
            side: position.side,
            policy: position.trailing_policy,
            fill,
            technical_stop: position.technical_stop_price?,
            distance: position.technical_stop_distance?.get(),
            tick: self.markets.get(&position.symbol)?.instrument.tick_size,
            min_step: self.rules.trail_min_step,
        })
    }

    /// The trail of an open position and where it stands: the stop in force is the one in the log.
    fn trail_in_force(&self, position: &Position) -> Option<(Trail, TrailState)> {
        let fill = position.entry_price?;
        let best = position.favorable_extreme.unwrap_or(fill);
        Some((self.trail(position, fill)?, TrailState { stop: position.trailing_stop_price?, best }))
    }

    async fn move_stop(
        &mut self,
        position: &Position,
        previous_stop: Price,
        next: TrailState,
        completed_spans: Option<u32>,
        trigger_price: Price,
    ) -> Result<(), TraderError> {
        let id = self.desk.derive(self.now, "stop", &[&position.position_id.to_string()]);
        let mut draft = self.desk.draft(id, self.now);
        let moved = TrailingStopUpdated {
            position_id: position.position_id,
            previous_stop,
            new_stop: next.stop,
            trigger_price,
            favorable_extreme: next.best,
            completed_spans: match position.trailing_policy {
                TrailingPolicy::Span => completed_spans.map(i64::from),
                TrailingPolicy::Continuous => None,
            },
            timestamp: self.now,
        };
        self.desk.add(&mut draft, moved, self.now).await?;
        Ok(self.desk.commit(draft).await?)
    }
}
