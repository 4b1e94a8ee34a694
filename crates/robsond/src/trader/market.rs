//! One symbol's market as the trader sees it: its instrument, its candles, its last price.

use robson_domain::{Price, Symbol, Timestamp};
use robson_engine::candles::{Candle, CandleError, CandleLength, CandleSeries, DEFAULT_CAPACITY};
use robson_venue::exchange::Instrument;
use robson_venue::feed::{Bar, Tick};

/// The length that decisions use, unless the feed's own bars are longer.
const DECISION_CANDLE_SECS: u32 = 15 * 60;

/// One symbol's market.
#[derive(Debug)]
pub struct Market {
    /// The venue's filters.
    pub instrument: Instrument,
    candles: CandleSeries,
    /// The feed's bars are the candles; else candles are built from ticks.
    takes_bars: bool,
    last: Option<(Price, Timestamp)>,
    candle_closed: bool,
    /// Bars that come later than this after the last tick leave a gap; none where trades are played.
    gap_micros: Option<i64>,
}

impl Market {
    /// A market without a past; `bar_micros` is the length of the feed's bars, if it has bars.
    pub fn new(instrument: Instrument, bar_micros: Option<i64>) -> Self {
        let bar_secs = bar_micros.and_then(|micros| u32::try_from(micros / 1_000_000).ok());
        let own = bar_secs.filter(|secs| *secs >= DECISION_CANDLE_SECS);
        let secs = own.unwrap_or(DECISION_CANDLE_SECS);
        let length = CandleLength::from_secs(secs).unwrap_or(CandleLength::QUARTER_HOUR);
        Self {
            instrument,
            candles: CandleSeries::new(length, DEFAULT_CAPACITY),
            takes_bars: own.is_some(),
            last: None,
            candle_closed: false,
            gap_micros: bar_micros.map(|micros| micros.saturating_mul(2)),
        }
    }

    /// The last tick before a tick, where bars are missing between the two.
    pub fn gap_before(&self, tick: &Tick) -> Option<Timestamp> {
        let (_, last) = self.last?;
        (tick.at.micros_since(last) > self.gap_micros?).then_some(last)
    }

    /// Takes a tick in.
    ///
    /// # Errors
    /// The feed's own order is broken.
    pub fn take(&mut self, tick: &Tick) -> Result<(), CandleError> {
        self.last = Some((tick.price, tick.at));
        self.candle_closed = if self.takes_bars {
            match &tick.closes {
                Some(bar) => {
                    self.candles.add_closed(candle(bar))?;
                    true
                }
                None => false,
            }
        } else {
            self.candles.add_tick(&engine_tick(tick))?.is_some()
        };
        Ok(())
    }

    /// The closed candles, oldest first.
    pub fn candles(&self) -> &[Candle] {
        self.candles.closed()
    }

    /// How long a candle is.
    pub fn candle_length(&self) -> CandleLength {
        self.candles.length()
    }

    /// Whether the last tick closed a candle.
    pub const fn candle_closed(&self) -> bool {
        self.candle_closed
    }

    /// The last price and its time.
    pub const fn last(&self) -> Option<(Price, Timestamp)> {
        self.last
    }
}

/// A tick as the engine has it.
pub(super) fn engine_tick(tick: &Tick) -> robson_engine::candles::Tick {
    robson_engine::candles::Tick { time: tick.at, price: tick.price, quantity: tick.quantity }
}

const fn candle(bar: &Bar) -> Candle {
    Candle {
        open_time: bar.open_time,
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
    }
}

/// The markets, by symbol.
pub type Markets = std::collections::BTreeMap<Symbol, Market>;
