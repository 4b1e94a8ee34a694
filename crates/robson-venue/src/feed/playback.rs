//! Playing recorded files as one sequence of ticks on one strictly increasing clock.

use robson_domain::{Quantity, Symbol, Timestamp};
use rust_decimal::Decimal;

use super::grid::along;
use super::recording::{Source, instant};
use super::rows::{BarRow, Rows, TradeRow};
use super::{Bar, Path, RecordedFeed, RunningBar, Tick};

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
    /// A split that was made before a restart, to be made again: its source and its time.
    pending_split: Option<(usize, i64)>,
}

/// The next tick of one source: a row, and the step within it.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    row: usize,
    step: u8,
    /// Where the step was split last: only the rest of it is to come.
    split_micros: Option<i64>,
    /// The time of the source's last whole tick, once there is one.
    played_micros: Option<i64>,
}

impl Playback {
    pub(super) fn from_start(feed: RecordedFeed) -> Self {
        let cursors = vec![Cursor::default(); feed.sources.len()];
        Self { feed, cursors, last_micros: i64::MIN, pending_split: None }
    }

    /// Moves on to `at`, without making the ticks before it: to its tick, else to the split that was made
    /// there, else to the first tick after.
    pub(super) fn skip_to(&mut self, at: Timestamp) {
        let at_micros = at.unix_micros();
        while let Some((source, micros)) = self.due().filter(|(_, micros)| *micros < at_micros) {
            self.advance(source, micros);
        }
        // What was split before is not split again.
        self.last_micros = self.last_micros.max(at_micros.saturating_sub(1));
        let Some((_, due_micros)) = self.due() else { return };
        let split = self.source_of_split(at_micros);
        let is_within = self.whole_tick(split, due_micros).is_some_and(|tick| tick.split_at(at).is_some());
        self.pending_split = (at_micros < due_micros && is_within).then_some((split, at_micros));
    }

    /// The next tick, or the part of it before the earliest split that `split_at` asks for.
    ///
    /// `split_at` is shown the next tick of each symbol, from the feed's clock on, and may answer with an
    /// instant on its path, such as [`Tick::reaches`] gives; so no symbol's clock runs ahead of another's
    /// stop. The rest comes later, and may be split again. Where several files are played, a split takes
    /// place up to so many microseconds later, so that its time alone names the file to [`RecordedFeed::resume_at`].
    /// A split never moves the time of a whole tick.
    pub fn next_or_split(&mut self, mut split_at: impl FnMut(&Tick) -> Option<Timestamp>) -> Option<Tick> {
        if self.pending_split.is_some() {
            return self.next();
        }
        let (_, due_micros) = self.due()?;
        let mut earliest: Option<(i64, usize)> = None;
        for source in 0..self.cursors.len() {
            let Some(tick) = self.rest_of_tick(source, due_micros) else { continue };
            let clock = Timestamp::from_unix_micros(self.last_micros);
            let seen = clock.and_then(|clock| tick.split_at(clock));
            let shown = seen.map_or(tick, |(_, rest)| rest);
            let Some(at) = split_at(&shown) else { continue };
            let micros = self.first_for_split(source, at.unix_micros());
            let is_free = micros < due_micros && shown.split_at(instant(micros)).is_some();
            if is_free && earliest.is_none_or(|earliest| (micros, source) < earliest) {
                earliest = Some((micros, source));
            }
        }
        match earliest {
            Some((micros, source)) => self.split(source, micros),
            None => self.next(),
        }
    }

    /// When the next tick is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.pending_split.or_else(|| self.due()).map(|(_, micros)| instant(micros))
    }

    /// The last whole tick of each symbol before this place, oldest first: the prices that a restarted
    /// exchange has to see again.
    pub fn last_ticks(&self) -> Vec<Tick> {
        let last_tick = |(cursor, source): (&Cursor, &Source)| {
            let (row, step) = match (&source.rows, cursor.step.checked_sub(1)) {
                (Rows::Bars(_), Some(step)) => (cursor.row, step),
                (Rows::Bars(_), None) => (cursor.row.checked_sub(1)?, STEPS - 1),
                (Rows::Trades(_), _) => (cursor.row.checked_sub(1)?, 0),
            };
            source.tick(row, step, instant(cursor.played_micros?))
        };
        let mut ticks: Vec<Tick> =
            self.cursors.iter().zip(&*self.feed.sources).filter_map(last_tick).collect();
        ticks.sort_by_key(|tick| tick.at);
        ticks
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

    /// The tick that a source is at, were it due at `micros` at the earliest.
    fn whole_tick(&self, source: usize, micros: i64) -> Option<Tick> {
        let (cursor, source) = (self.cursors[source], &self.feed.sources[source]);
        let micros = micros.max(cursor.nominal_micros(&source.rows)?);
        source.tick(cursor.row, cursor.step, instant(micros))
    }

    fn rest_of_tick(&self, source: usize, micros: i64) -> Option<Tick> {
        let whole = self.whole_tick(source, micros)?;
        let rest = self.cursors[source].split_micros.and_then(|split| whole.split_at(instant(split)));
        Some(rest.map_or(whole, |(_, rest)| rest))
    }

    /// Yields a part of a source's step; the tick at its end stays due.
    fn split(&mut self, source: usize, micros: i64) -> Option<Tick> {
        let (first, _) = self.rest_of_tick(source, micros)?.split_at(instant(micros))?;
        self.last_micros = micros;
        self.cursors[source].split_micros = Some(micros);
        Some(first)
    }

    /// The first instant after the clock, and not before `micros`, at which a source may be split.
    fn first_for_split(&self, source: usize, micros: i64) -> i64 {
        let first = micros.max(self.last_micros.saturating_add(1));
        let later = (source + self.cursors.len() - self.source_of_split(first)) % self.cursors.len();
        first.saturating_add(i64::try_from(later).unwrap_or(i64::MAX))
    }

    /// The source that may be split at an instant: the microseconds go round among them.
    fn source_of_split(&self, micros: i64) -> usize {
        let sources = i64::try_from(self.cursors.len()).unwrap_or(i64::MAX);
        usize::try_from(micros.rem_euclid(sources)).expect("below the number of sources")
    }

    fn advance(&mut self, source: usize, micros: i64) {
        self.last_micros = micros;
        self.cursors[source].advance(&self.feed.sources[source].rows, micros);
    }
}

impl Iterator for Playback {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        if let Some((source, micros)) = self.pending_split.take() {
            return self.split(source, micros);
        }
        let (source, micros) = self.due()?;
        let tick = self.rest_of_tick(source, micros);
        self.advance(source, micros);
        tick
    }
}

impl Cursor {
    fn nominal_micros(self, rows: &Rows) -> Option<i64> {
        match rows {
            Rows::Bars(bars) => bars.get(self.row).map(|bar| bar.step_micros(self.step)),
            Rows::Trades(trades) => trades.get(self.row).map(|trade| trade.micros),
        }
    }

    fn advance(&mut self, rows: &Rows, micros: i64) {
        let is_within_bar = matches!(rows, Rows::Bars(_)) && self.step + 1 < STEPS;
        let (row, step) = if is_within_bar { (self.row, self.step + 1) } else { (self.row + 1, 0) };
        *self = Self { row, step, split_micros: None, played_micros: Some(micros) };
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

impl Source {
    fn tick(&self, row: usize, step: u8, at: Timestamp) -> Option<Tick> {
        match &self.rows {
            Rows::Bars(bars) => bars.get(row).map(|row| self.bar_tick(row, step, at)),
            Rows::Trades(trades) => trades.get(row).map(|row| self.trade_tick(row, at)),
        }
    }

    fn bar_tick(&self, row: &BarRow, step: u8, at: Timestamp) -> Tick {
        let point = |step| (instant(row.step_micros(step)), row.step_price(step));
        let volume = quantity(row.step_volume(step));
        let line_from = |before| Path::between(point(before), point(step), volume, self.grid);
        Tick {
            symbol: self.symbol.clone(),
            at,
            price: self.grid.price(row.step_price(step)),
            quantity: volume,
            side: None,
            path: step.checked_sub(1).and_then(line_from),
            bar: Some(RunningBar { opened_at: instant(row.open_micros), volume: quantity(row.volume) }),
            opens_bar: step == 0,
            closes: (step + 1 == STEPS).then(|| self.bar(row)),
        }
    }

    fn trade_tick(&self, row: &TradeRow, at: Timestamp) -> Tick {
        Tick {
            symbol: self.symbol.clone(),
            at,
            price: self.grid.price(row.price),
            quantity: quantity(row.quantity),
            side: Some(row.side),
            path: None,
            bar: None,
            opens_bar: false,
            closes: None,
        }
    }
}

pub(super) fn quantity(volume: Decimal) -> Quantity {
    Quantity::new(volume).expect("volumes are checked when the file is read")
}
