//! Closed candles from ticks, or from a record; no gaps are filled and nothing is ever revised.

use std::fmt;

use robson_domain::{Overflow, Price, Quantity, Side, Timestamp};

/// Candles that a series keeps unless told otherwise.
pub const DEFAULT_CAPACITY: usize = 400;

/// One trade or one quote of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When it happened, by the feed's clock.
    pub time: Timestamp,
    /// The price.
    pub price: Price,
    /// The quantity traded; zero for a quote.
    pub quantity: Quantity,
}

/// The prices of one interval, from its open time (inclusive) to the next (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// The start of the interval.
    pub open_time: Timestamp,
    /// The first price.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last price.
    pub close: Price,
    /// The quantity traded.
    pub volume: Quantity,
}

impl Candle {
    /// The price of it that a position of the side likes least: the low for a long.
    pub(crate) const fn adverse(&self, side: Side) -> Price {
        match side {
            Side::Long => self.low,
            Side::Short => self.high,
        }
    }

    fn of(tick: &Tick, open_time: Timestamp) -> Self {
        let Tick { price, quantity, .. } = *tick;
        Self { open_time, open: price, high: price, low: price, close: price, volume: quantity }
    }

    fn with(self, tick: &Tick) -> Result<Self, Overflow> {
        Ok(Self {
            high: self.high.max(tick.price),
            low: self.low.min(tick.price),
            close: tick.price,
            volume: self.volume.plus(tick.quantity)?,
            ..self
        })
    }
}

/// How long a candle lasts: whole seconds, at least one, at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CandleLength {
    secs: u32,
}

impl CandleLength {
    /// The candles that stops and entries are decided on, unless the feed's bars are longer.
    pub const QUARTER_HOUR: Self = Self { secs: 900 };

    /// A length of so many seconds, from 1 to 86,400.
    pub const fn from_secs(secs: u32) -> Option<Self> {
        if secs >= 1 && secs <= 86_400 { Some(Self { secs }) } else { None }
    }

    /// The length in seconds.
    pub const fn secs(self) -> u32 {
        self.secs
    }

    /// The open time of the candle that holds an instant: a multiple of the length since 1970 UTC.
    pub fn open_of(self, at: Timestamp) -> Timestamp {
        at.plus_micros(-at.unix_micros().rem_euclid(self.micros()))
    }

    /// The instant at which a candle is closed.
    pub fn close_of(self, candle: &Candle) -> Timestamp {
        candle.open_time.plus_micros(self.micros())
    }

    fn micros(self) -> i64 {
        i64::from(self.secs) * 1_000_000
    }
}

impl fmt::Display for CandleLength {
    /// The largest whole unit: `15m`, `1h`, `90s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.secs {
            s if s.is_multiple_of(86_400) => (s / 86_400, 'd'),
            s if s.is_multiple_of(3_600) => (s / 3_600, 'h'),
            s if s.is_multiple_of(60) => (s / 60, 'm'),
            s => (s, 's'),
        };
        write!(f, "{count}{unit}")
    }
}

/// Why a tick or a candle cannot be taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CandleError {
    /// It lies in an interval that is closed already.
    #[error("{at} lies before {expected}, where the series stands")]
    OutOfOrder {
        /// The earliest time that would be taken.
        expected: Timestamp,
        /// The time that was offered.
        at: Timestamp,
    },
    /// A recorded candle does not open at a multiple of the length.
    #[error("a candle of {length} cannot open at {at}")]
    Misaligned {
        /// The length of the series' candles.
        length: CandleLength,
        /// The open time that was offered.
        at: Timestamp,
    },
    /// The volume does not fit.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// The last closed candles of one market, oldest first, and the one that is still open.
#[derive(Debug, Clone)]
pub struct CandleSeries {
    length: CandleLength,
    capacity: usize,
    closed: Vec<Candle>,
    open: Option<Candle>,
}

impl CandleSeries {
    /// An empty series that keeps `capacity` closed candles.
    pub fn new(length: CandleLength, capacity: usize) -> Self {
        Self { length, capacity: capacity.max(1), closed: Vec::new(), open: None }
    }

    /// The length of the candles.
    pub const fn length(&self) -> CandleLength {
        self.length
    }

    /// The closed candles, oldest first.
    pub fn closed(&self) -> &[Candle] {
        &self.closed
    }

    /// Takes in a tick; answers the candle that it closed, which is the one before its own.
    ///
    /// An interval without ticks has no candle.
    ///
    /// # Errors
    /// `OutOfOrder` when its interval is closed already; the series is unchanged.
    pub fn add_tick(&mut self, tick: &Tick) -> Result<Option<Candle>, CandleError> {
        let open_time = self.length.open_of(tick.time);
        self.expect_from(open_time, tick.time)?;
        match self.open {
            Some(open) if open.open_time == open_time => {
                self.open = Some(open.with(tick)?);
                Ok(None)
            }
            closed => {
                self.open = Some(Candle::of(tick, open_time));
                if let Some(closed) = closed {
                    self.keep(closed);
                }
                Ok(closed)
            }
        }
    }

    /// Takes in a recorded candle that is closed, to warm up before the first tick.
    ///
    /// # Errors
    /// `OutOfOrder` or `Misaligned`; the series is unchanged.
    pub fn add_closed(&mut self, candle: Candle) -> Result<(), CandleError> {
        let at = candle.open_time;
        if self.length.open_of(at) != at {
            return Err(CandleError::Misaligned { length: self.length, at });
        }
        self.expect_from(at, at)?;
        if let Some(open) = self.open {
            return Err(CandleError::OutOfOrder { expected: open.open_time, at });
        }
        self.keep(candle);
        Ok(())
    }

    fn expect_from(&self, open_time: Timestamp, at: Timestamp) -> Result<(), CandleError> {
        let after_closed = self.closed.last().map(|last| self.length.close_of(last));
        match self.open.map(|open| open.open_time).or(after_closed) {
            Some(expected) if open_time < expected => Err(CandleError::OutOfOrder { expected, at }),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, candle: Candle) {
        if self.closed.len() == self.capacity {
            self.closed.remove(0);
        }
        self.closed.push(candle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::testing::v;

    fn tick(time: &str, price: &str) -> Tick {
        Tick { time: v(&format!("2017-07-01T{time}Z")), price: v(price), quantity: v("0.5") }
    }

    fn series(capacity: usize) -> CandleSeries {
        CandleSeries::new(CandleLength::QUARTER_HOUR, capacity)
    }

    #[test]
    fn the_first_tick_of_a_later_interval_closes_a_candle() {
        let mut series = series(DEFAULT_CAPACITY);
        for (time, price) in [("11:15:00", "100"), ("11:20:00", "104"), ("11:29:59.999999", "98")] {
            assert_eq!(series.add_tick(&tick(time, price)).unwrap(), None);
        }
        let closed = series.add_tick(&tick("11:30:00", "99")).unwrap().unwrap();
        let expected = Candle {
            open_time: v("2017-07-01T11:15:00Z"),
            open: v("100"),
            high: v("104"),
            low: v("98"),
            close: v("98"),
            volume: v("1.5"),
        };
        assert_eq!(closed, expected);
        assert_eq!(series.closed(), [expected]);
    }

    #[test]
    fn an_empty_interval_has_no_candle() {
        let mut series = series(DEFAULT_CAPACITY);
        series.add_tick(&tick("11:00:01", "100")).unwrap();
        series.add_tick(&tick("13:07:00", "101")).unwrap();
        series.add_tick(&tick("13:15:00", "102")).unwrap();
        let opens: Vec<_> = series.closed().iter().map(|c| c.open_time.to_string()).collect();
        assert_eq!(opens, ["2017-07-01T11:00:00.000000Z", "2017-07-01T13:00:00.000000Z"]);
    }

    #[test]
    fn only_the_last_candles_are_kept() {
        let mut series = series(2);
        for minute in 0..5 {
            series
                .add_tick(&tick(&format!("{:02}:15:00", 10 + minute), &format!("{}", 100 + minute)))
                .unwrap();
        }
        let closes: Vec<_> = series.closed().iter().map(|c| c.close.to_string()).collect();
        assert_eq!(closes, ["102", "103"]);
    }

    #[test]
    fn what_is_closed_is_never_revised() {
        let mut series = series(DEFAULT_CAPACITY);
        series.add_tick(&tick("11:00:00", "100")).unwrap();
        series.add_tick(&tick("11:15:00", "100")).unwrap();
        assert!(matches!(series.add_tick(&tick("11:14:59", "1")), Err(CandleError::OutOfOrder { .. })));
        let late = series.closed()[0];
        assert!(matches!(series.add_closed(late), Err(CandleError::OutOfOrder { .. })));
    }

    #[test]
    fn recorded_candles_warm_a_series_up() {
        let mut built = series(DEFAULT_CAPACITY);
        for minute in ["11:00:00", "11:15:00", "11:30:00"] {
            built.add_tick(&tick(minute, "100")).unwrap();
        }
        let mut warmed = series(DEFAULT_CAPACITY);
        for candle in built.closed() {
            warmed.add_closed(*candle).unwrap();
        }
        assert_eq!(warmed.closed(), built.closed());
        assert!(matches!(warmed.add_tick(&tick("11:29:00", "1")), Err(CandleError::OutOfOrder { .. })));
        assert_eq!(warmed.add_tick(&tick("11:30:00", "100")).unwrap(), None);
        let mut full = series(1);
        full.add_closed(built.closed()[0]).unwrap();
        full.add_tick(&tick("11:15:00", "100")).unwrap();
        assert_eq!(full.closed(), &built.closed()[..1], "an open candle displaces none");
        let crooked = Candle { open_time: v("2017-07-01T12:01:00Z"), ..built.closed()[0] };
        assert!(matches!(series(1).add_closed(crooked), Err(CandleError::Misaligned { .. })));
    }

    #[test]
    fn a_length_is_shown_in_its_largest_unit() {
        for (secs, text) in [(900, "15m"), (3_600, "1h"), (86_400, "1d"), (90, "90s")] {
            assert_eq!(CandleLength::from_secs(secs).unwrap().to_string(), text);
        }
        assert_eq!(CandleLength::from_secs(0), None);
    }
}
