//! A price chart in the terminal: the price as a line, the stop as steps, entry and exit as markers.
//!
//! Draws with braille dots, two across and four down in each character, so that a week of hours fits 80
//! columns. Knows nothing of positions: it is given points.

use std::fmt::Write as _;

use robson_domain::{Price, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

/// A point in time and price.
pub type Point = (Timestamp, Price);

/// What is marked in a chart.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Where the position was entered, and whether that was a purchase.
    pub entry: Option<(Point, bool)>,
    /// Where it was left.
    pub exit: Option<Point>,
    /// The stop: each point holds until the next; the last one holds until the exit.
    pub stops: Vec<Point>,
}

const RESET: &str = "\u{1b}[0m";
/// The bits of a braille character, by row and column of its dots.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// What stands in one character; a later one covers an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ink {
    Price,
    Stop,
    Entry,
    Exit,
}

impl Ink {
    const fn colour(self) -> &'static str {
        match self {
            Self::Price => "\u{1b}[36m",
            Self::Stop => "\u{1b}[31m",
            Self::Entry => "\u{1b}[1;32m",
            Self::Exit => "\u{1b}[1;33m",
        }
    }
}

/// Renders closes of rising time in so many columns and rows, axes included; nothing for no points.
///
/// Too small a size is raised to the smallest that can be read.
pub fn render(closes: &[Point], marks: &Marks, width: usize, height: usize, colour: bool) -> String {
    let Some(scale) = Scale::of(closes, marks, width, height) else { return String::new() };
    let mut canvas = Canvas::new(scale.columns, scale.rows);
    canvas.line(&scale.dots(closes));
    canvas.steps(&scale.stop_dots(marks));
    if let Some((point, is_purchase)) = marks.entry {
        canvas.mark(scale.dot(point), if is_purchase { '▲' } else { '▼' }, Ink::Entry);
    }
    if let Some(point) = marks.exit {
        canvas.mark(scale.dot(point), '✕', Ink::Exit);
    }
    let mut text = String::new();
    for row in 0..scale.rows {
        let label = scale.price_label(row);
        let _ = write!(text, "{label:>width$} ┤", width = scale.label_width);
        text.push_str(canvas.row(row, colour).trim_end());
        text.push('\n');
    }
    text.push_str(&scale.time_axis());
    text.push_str(&legend(marks, scale.label_width, colour));
    text
}

fn legend(marks: &Marks, indent: usize, colour: bool) -> String {
    let painted = |ink: Ink, text: String| {
        if colour { format!("{}{text}{RESET}", ink.colour()) } else { text }
    };
    let mut parts = vec![painted(Ink::Price, "⠤⠒ price".to_owned())];
    if !marks.stops.is_empty() {
        parts.push(painted(Ink::Stop, "── stop".to_owned()));
    }
    if let Some(((_, price), is_purchase)) = marks.entry {
        let marker = if is_purchase { '▲' } else { '▼' };
        parts.push(painted(Ink::Entry, format!("{marker} entry {price}")));
    }
    if let Some((_, price)) = marks.exit {
        parts.push(painted(Ink::Exit, format!("✕ exit {price}")));
    }
    format!("{:indent$}  {}\n", "", parts.join("   "))
}

/// Where points fall, and what the axes say.
struct Scale {
    columns: usize,
    rows: usize,
    first_at: Timestamp,
    last_at: Timestamp,
    low: Decimal,
    high: Decimal,
    decimals: u32,
    label_width: usize,
}

impl Scale {
    fn of(closes: &[Point], marks: &Marks, width: usize, height: usize) -> Option<Self> {
        let (first, last) = (closes.first()?, closes.last()?);
        let marked = marks.entry.iter().map(|(point, _)| point).chain(&marks.exit).chain(&marks.stops);
        let prices = || closes.iter().chain(marked.clone()).map(|(_, price)| price.get());
        let (low, high) = (prices().min()?, prices().max()?);
        let decimals = closes.iter().map(|(_, price)| price.get().scale()).max().unwrap_or(0).min(8);
        // Ten thousands need no cents to be told apart.
        let decimals = if high >= Decimal::from(1_000) { 0 } else { decimals.min(4) };
        let label_width =
            [low, high].map(|price| price.round_dp(decimals).to_string().len()).into_iter().max()?;
        let rows = height.max(8) - 3;
        let columns = width.max(label_width + 30) - label_width - 3;
        Some(Self { columns, rows, first_at: first.0, last_at: last.0, low, high, decimals, label_width })
    }

    const fn dots_across(&self) -> usize {
        self.columns * 2
    }

    const fn dots_down(&self) -> usize {
        self.rows * 4
    }

    /// The dot of a point, counted from the upper left; what lies outside stands at the border.
    fn dot(&self, (at, price): Point) -> (usize, usize) {
        let span = Decimal::from(self.last_at.micros_since(self.first_at).max(1));
        let passed = Decimal::from(at.micros_since(self.first_at));
        let x = part_of(passed, span, self.dots_across() - 1);
        let range = self.high.checked_sub(self.low).unwrap_or_default();
        let above = price.get().checked_sub(self.low).unwrap_or_default();
        let y = part_of(above, range, self.dots_down() - 1);
        (x, self.dots_down() - 1 - y)
    }

    fn dots(&self, points: &[Point]) -> Vec<(usize, usize)> {
        points.iter().map(|point| self.dot(*point)).collect()
    }

    fn stop_dots(&self, marks: &Marks) -> Vec<(usize, usize)> {
        let mut points = marks.stops.clone();
        if let Some((_, price)) = points.last().copied() {
            points.push((marks.exit.map_or(self.last_at, |(at, _)| at), price));
        }
        self.dots(&points)
    }

    /// The price at the middle of a row, on every other row and the outer ones.
    fn price_label(&self, row: usize) -> String {
        let is_labelled = row == 0 || row == self.rows - 1 || (row.is_multiple_of(3) && row + 2 < self.rows);
        if !is_labelled {
            return String::new();
        }
        let steps = Decimal::from(self.rows - 1);
        let range = self.high.checked_sub(self.low).unwrap_or_default();
        let down =
            range.checked_mul(Decimal::from(row)).and_then(|d| d.checked_div(steps)).unwrap_or_default();
        let price = self.high.checked_sub(down).unwrap_or(self.high);
        format!("{:.*}", self.decimals as usize, price.round_dp(self.decimals))
    }

    fn time_axis(&self) -> String {
        let ticks = (self.columns / 18).clamp(1, 5);
        let mut rule: Vec<char> = vec!['─'; self.columns];
        let mut labels = String::new();
        let span = self.last_at.micros_since(self.first_at);
        // A chart of less than two days needs the hours, a longer one the year.
        let is_short = span < 2 * 86_400_000_000;
        for tick in 0..=ticks {
            let column = (self.columns - 1) * tick / ticks;
            rule[column] = '┬';
            let micros =
                i128::from(span) * i128::try_from(tick).unwrap_or(0) / i128::try_from(ticks).unwrap_or(1);
            let at = self.first_at.plus_micros(i64::try_from(micros).unwrap_or(span)).to_datetime();
            let label = at.format(if is_short { "%m-%d %H:%M" } else { "%Y-%m-%d" }).to_string();
            let start = match tick {
                0 => 0,
                _ if tick == ticks => self.columns.saturating_sub(label.len()),
                _ => column.saturating_sub(label.len() / 2),
            };
            let missing = start.saturating_sub(labels.len());
            labels.push_str(&" ".repeat(missing));
            labels.push_str(&label);
        }
        let rule: String = rule.into_iter().collect();
        let indent = self.label_width + 1;
        format!("{:indent$}└{rule}\n{:indent$} {labels}\n", "", "")
    }
}

/// `steps * value / whole`, rounded, between 0 and `steps`; half way where there is no whole.
fn part_of(value: Decimal, whole: Decimal, steps: usize) -> usize {
    let steps_decimal = Decimal::from(steps);
    // Divided first: a product of two large numbers could leave the range of decimals.
    let part = value.checked_div(whole).and_then(|part| part.checked_mul(steps_decimal));
    let part = part.map(|part| part.round().clamp(Decimal::ZERO, steps_decimal));
    part.and_then(|part| part.to_usize()).unwrap_or(steps / 2)
}

#[derive(Debug, Clone, Copy, Default)]
struct Glyph {
    dots: u32,
    over: Option<(char, Ink)>,
}

struct Canvas {
    columns: usize,
    glyphs: Vec<Glyph>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, glyphs: vec![Glyph::default(); columns * rows] }
    }

    fn glyph(&mut self, x: usize, y: usize) -> Option<&mut Glyph> {
        self.glyphs.get_mut(y / 4 * self.columns + x / 2)
    }

    fn set(&mut self, x: usize, y: usize) {
        if let Some(glyph) = self.glyph(x, y) {
            glyph.dots |= DOTS[y % 4][x % 2];
        }
    }

    /// Joins the dots; several in one column become one stroke.
    fn line(&mut self, dots: &[(usize, usize)]) {
        if let [(x, y)] = dots {
            self.set(*x, *y);
        }
        for pair in dots.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let across = x1.abs_diff(x0);
            let steps = across.max(y1.abs_diff(y0)).max(1);
            for step in 0..=steps {
                self.set(between(x0, x1, step, steps), between(y0, y1, step, steps));
            }
        }
    }

    /// Holds each height until the next point, in whole characters.
    fn steps(&mut self, dots: &[(usize, usize)]) {
        for pair in dots.windows(2) {
            let ((x0, y0), (x1, _)) = (pair[0], pair[1]);
            for column in x0 / 2..=x1 / 2 {
                self.mark((column * 2, y0), '─', Ink::Stop);
            }
        }
    }

    fn mark(&mut self, (x, y): (usize, usize), symbol: char, ink: Ink) {
        if let Some(glyph) = self.glyph(x, y)
            && glyph.over.is_none_or(|(_, below)| below <= ink)
        {
            glyph.over = Some((symbol, ink));
        }
    }

    fn row(&self, row: usize, colour: bool) -> String {
        let mut text = String::new();
        let mut last = None;
        for glyph in &self.glyphs[row * self.columns..(row + 1) * self.columns] {
            let (symbol, ink) = match glyph.over {
                Some((symbol, ink)) => (symbol, Some(ink)),
                None if glyph.dots == 0 => (' ', None),
                None => (char::from_u32(0x2800 + glyph.dots).unwrap_or('·'), Some(Ink::Price)),
            };
            if colour && ink != last {
                text.push_str(last.map_or("", |_| RESET));
                text.push_str(ink.map_or("", Ink::colour));
                last = ink;
            }
            text.push(symbol);
        }
        text.push_str(last.map_or("", |_| RESET));
        text
    }
}

fn between(from: usize, to: usize, step: usize, steps: usize) -> usize {
    let moved = (from.abs_diff(to) * step + steps / 2) / steps;
    if to >= from { from + moved } else { from - moved }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        "2017-07-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_micros(hour * 3_600_000_000)
    }

    fn price(units: i64) -> Price {
        Price::new(Decimal::from(units)).unwrap()
    }

    /// A rise, a fall through the stop, and what came after.
    fn wave() -> Vec<Point> {
        (0..120)
            .map(|hour| (at(hour), price(2_500 + (hour - 60) * (60 - hour) / 12 + hour % 7 * 4)))
            .collect()
    }

    fn long() -> Marks {
        Marks {
            entry: Some(((at(30), price(2_430)), true)),
            exit: Some((at(84), price(2_460))),
            stops: vec![
                (at(30), price(2_330)),
                (at(40), price(2_380)),
                (at(50), price(2_420)),
                (at(58), price(2_460)),
            ],
        }
    }

    #[test]
    fn a_trade_in_80_columns() {
        let chart = render(&wave(), &long(), 80, 20, false);
        assert!(chart.lines().all(|line| line.chars().count() <= 80));
        insta::assert_snapshot!(chart);
    }

    #[test]
    fn colour_is_only_ever_added() {
        let plain = render(&wave(), &long(), 80, 20, false);
        let coloured = render(&wave(), &long(), 80, 20, true);
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        stripped.push_str(rest);
        let trimmed = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&stripped), trimmed(&plain));
    }

    #[test]
    fn odd_input_is_drawn_without_a_panic() {
        assert_eq!(render(&[], &Marks::default(), 80, 20, false), "");
        let one = [(at(0), price(7))];
        assert!(render(&one, &Marks::default(), 0, 0, false).contains('7'));
        let flat: Vec<Point> = (0..5).map(|hour| (at(hour), price(7))).collect();
        assert!(render(&flat, &Marks::default(), 40, 10, false).contains('7'));
        let outside = Marks { exit: Some((at(900), price(9_000_000))), ..Marks::default() };
        assert!(render(&flat, &outside, 40, 10, true).contains('✕'));
    }
}
