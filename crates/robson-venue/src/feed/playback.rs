//! Playing recorded files as one sequence of ticks on one strictly increasing clock.

use robson_domain::{Quantity, Symbol, Timestamp};
use rust_decimal::Decimal;

use super::grid::along;
use super::recording::{Source, instant};
use super::rows::{BarRow, Rows, TradeRow};
use super::{Bar, PathStart, RecordedFeed, Tick};

/// A bar plays as so many equal steps.
const STEPS: u8 = 60;
/// The steps that stand on the bar's open, nearer extreme, other extreme and close.
const CORNERS: [u8; 4] = [0, 20, 40, 59];

/// A place in a recorded feed; as an iterator, the ticks from there on.
#[derive(Debug, Clone)]
pub struct Playback {
    feed: RecordedFeed,
    cursors: Vec<Cursor>,
    last_micros: i64,
}

/// The next tick of one source: a row, and the step within it.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    row: usize,
    step: u8,
}

impl Playback {
    pub(super) fn from_start(feed: RecordedFeed) -> Self {
        let cursors = vec![Cursor::default(); feed.sources.len()];
        Self { feed, cursors, last_micros: i64::MIN }
    }

    /// Moves on to the first tick whose time is not before `at`, without making the ticks before it.
    pub(super) fn skip_before(&mut self, at: Timestamp) {
        while let Some((source, micros)) = self.due().filter(|(_, micros)| *micros < at.unix_micros()) {
            self.advance(source, micros);
        }
    }

    /// When the next tick is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.due().map(|(_, micros)| instant(micros))
    }

    /// The recorded bars of a symbol that are complete with the ticks played so far, oldest first, at
    /// most the last `limit`; none where trades are recorded.
    pub fn closed_bars(&self, symbol: &Symbol, limit: usize) -> Vec<Bar> {
        let of_symbol = self.feed.sources.iter().zip(&self.cursors).find(|(s, _)| *s.symbol == *symbol);
        let Some((source, cursor)) = of_symbol else { return Vec::new() };
        match &source.rows {
            Rows::Bars(bars) => {
                bars[cursor.row.saturating_sub(limit)..cursor.row].iter().map(|row| source.bar(row)).collect()
            }
            Rows::Trades(_) => Vec::new(),
        }
    }

    /// The source of the next tick, and its time: its recorded one, or a microsecond after the last.
    fn due(&self) -> Option<(usize, i64)> {
        let nominal = |i: usize| self.cursors[i].nominal_micros(&self.feed.sources[i].rows);
        let (micros, source) = (0..self.cursors.len()).filter_map(|i| Some((nominal(i)?, i))).min()?;
        Some((source, micros.max(self.last_micros.saturating_add(1))))
    }

    fn advance(&mut self, source: usize, micros: i64) {
        self.last_micros = micros;
        self.cursors[source].advance(&self.feed.sources[source].rows);
    }
}

impl Iterator for Playback {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let (index, micros) = self.due()?;
        let source = &self.feed.sources[index];
        let Cursor { row, step } = self.cursors[index];
        let at = instant(micros);
        let tick = match &source.rows {
            Rows::Bars(bars) => bar_tick(source, &bars[row], step, at),
            Rows::Trades(trades) => trade_tick(source, &trades[row], at),
        };
        self.advance(index, micros);
        Some(tick)
    }
}

impl Cursor {
    fn nominal_micros(self, rows: &Rows) -> Option<i64> {
        match rows {
            Rows::Bars(bars) => bars.get(self.row).map(|bar| bar.step_micros(self.step)),
            Rows::Trades(trades) => trades.get(self.row).map(|trade| trade.micros),
        }
    }

    fn advance(&mut self, rows: &Rows) {
        let is_within_bar = matches!(rows, Rows::Bars(_)) && self.step + 1 < STEPS;
        *self = if is_within_bar {
            Self { row: self.row, step: self.step + 1 }
        } else {
            Self { row: self.row + 1, step: 0 }
        };
    }
}

impl BarRow {
    fn step_micros(&self, step: u8) -> i64 {
        let into = i128::from(self.span_micros) * i128::from(step) / i128::from(STEPS);
        self.open_micros + i64::try_from(into).expect("a part of an i64")
    }

    /// The price at a step, in ticks: straight lines from the open to the extreme nearer to it (the low
    /// where both are equally near), to the other extreme, to the close.
    fn step_price(&self, step: u8) -> i64 {
        let low_first = self.open - self.low <= self.high - self.open;
        let (near, far) = if low_first { (self.low, self.high) } else { (self.high, self.low) };
        let prices = [self.open, near, far, self.close];
        let line = CORNERS.iter().rposition(|corner| *corner <= step).unwrap_or(0).min(2);
        let (first, last) = (CORNERS[line], CORNERS[line + 1]);
        along(prices[line], prices[line + 1], i64::from(step - first), i64::from(last - first))
    }

    /// A sixtieth of the volume; what its twelfth decimal cannot hold goes to the last step.
    fn step_volume(&self, step: u8) -> Decimal {
        let part = (self.volume / Decimal::from(STEPS)).trunc_with_scale(12);
        if step + 1 < STEPS { part } else { self.volume - part * Decimal::from(STEPS - 1) }
    }
}

fn bar_tick(source: &Source, row: &BarRow, step: u8, at: Timestamp) -> Tick {
    let path = step.checked_sub(1).map(|before| PathStart {
        at: instant(row.step_micros(before)),
        price: source.grid.price(row.step_price(before)),
    });
    Tick {
        symbol: source.symbol.clone(),
        at,
        price: source.grid.price(row.step_price(step)),
        quantity: quantity(row.step_volume(step)),
        side: None,
        path,
        opens_bar: step == 0,
        closes: (step + 1 == STEPS).then(|| source.bar(row)),
    }
}

fn trade_tick(source: &Source, row: &TradeRow, at: Timestamp) -> Tick {
    Tick {
        symbol: source.symbol.clone(),
        at,
        price: source.grid.price(row.price),
        quantity: quantity(row.quantity),
        side: Some(row.side),
        path: None,
        opens_bar: false,
        closes: None,
    }
}

pub(super) fn quantity(volume: Decimal) -> Quantity {
    Quantity::new(volume).expect("volumes are checked when the file is read")
}
