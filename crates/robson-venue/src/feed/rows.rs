//! Rows of a recorded file. The whole file is checked before anything is played.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::DateTime;
use robson_domain::{OrderSide, Timestamp};
use rust_decimal::Decimal;

use super::TickGrid;
use crate::file_error::{FileError, line_of};

const BAR_COLUMNS: [&str; 6] = ["open_time", "open", "high", "low", "close", "volume"];
const TRADE_COLUMNS: [&str; 5] = ["time", "price", "quantity", "side", "trade_id"];

/// Finer volumes are cut: a twelfth decimal of anything traded is below every step.
const VOLUME_SCALE: u32 = 12;
/// Above it, sums of volumes would no longer be exact.
const VOLUME_MAX: i64 = 1_000_000_000_000_000;

/// What a file records, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// `open_time,open,high,low,close,volume`
    Bars,
    /// `time,price,quantity,side,trade_id`
    Trades,
}

/// A checked file.
#[derive(Debug)]
pub(crate) enum Rows {
    Bars(Vec<BarRow>),
    Trades(Vec<TradeRow>),
}

/// A bar; prices in ticks, times in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BarRow {
    pub(crate) open_micros: i64,
    /// Its length: the file's usual one, or less where the next bar comes sooner.
    pub(crate) span_micros: i64,
    pub(crate) open: i64,
    pub(crate) high: i64,
    pub(crate) low: i64,
    pub(crate) close: i64,
    pub(crate) volume: Decimal,
}

/// A trade; its price in ticks, its time in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TradeRow {
    pub(crate) micros: i64,
    pub(crate) price: i64,
    pub(crate) quantity: Decimal,
    pub(crate) side: OrderSide,
}

impl RowKind {
    /// The columns, in the order that a file has them.
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Bars => &BAR_COLUMNS,
            Self::Trades => &TRADE_COLUMNS,
        }
    }

    /// The kind that shares most columns with the header, so that a missing one can be named.
    fn of(header: &csv::StringRecord) -> Option<Self> {
        let shared = |kind: Self| kind.columns().iter().filter(|c| header.iter().any(|h| h == **c)).count();
        match (shared(Self::Bars), shared(Self::Trades)) {
            (0, 0) => None,
            (bars, trades) => Some(if trades > bars { Self::Trades } else { Self::Bars }),
        }
    }
}

/// Reads and checks the whole text of a file.
pub(crate) fn read_rows(file: &Path, text: &str, grid: &TickGrid) -> Result<Rows, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(FileError::at(file, 1, "the file is empty"));
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    let mut kind = None;
    let (mut bars, mut trades) = (Vec::new(), Vec::new());
    let mut lines = LineCounter::new(text);
    while reader.read_record(&mut record).map_err(|error| unreadable_row(file, &error))? {
        let line = lines.line_of(&record);
        let row = Row { file, line, record: &record, grid };
        match kind {
            None => kind = Some(row.header()?),
            Some(RowKind::Bars) => bars.push(row.bar(bars.last())?),
            Some(RowKind::Trades) => trades.push(row.trade(trades.last())?),
        }
    }
    if bars.is_empty() && trades.is_empty() {
        return Err(FileError::at(file, lines.line, "there is no row below the header"));
    }
    if trades.is_empty() {
        set_spans(&mut bars);
        Ok(Rows::Bars(bars))
    } else {
        Ok(Rows::Trades(trades))
    }
}

/// The usual length of a bar is the most common distance between two of them.
fn set_spans(bars: &mut [BarRow]) {
    const LONE_BAR_MICROS: i64 = 60_000_000;
    let gap = |pair: &[BarRow]| pair[1].open_micros - pair[0].open_micros;
    let mut gaps = BTreeMap::<i64, usize>::new();
    for pair in bars.windows(2) {
        *gaps.entry(gap(pair)).or_default() += 1;
    }
    let shortest_first = gaps.iter().rev().max_by_key(|(_, count)| **count);
    let usual = shortest_first.map_or(LONE_BAR_MICROS, |(gap, _)| *gap);
    for i in 0..bars.len() {
        bars[i].span_micros =
            bars.get(i + 1).map_or(usual, |next| usual.min(next.open_micros - bars[i].open_micros));
    }
}

/// One row of the file, and where it stands.
struct Row<'a> {
    file: &'a Path,
    line: u64,
    record: &'a csv::StringRecord,
    grid: &'a TickGrid,
}

impl Row<'_> {
    fn refused<T>(&self, reason: impl Into<String>) -> Result<T, FileError> {
        Err(FileError::at(self.file, self.line, reason))
    }

    fn header(&self) -> Result<RowKind, FileError> {
        let Some(kind) = RowKind::of(self.record) else {
            return self.refused(format!(
                "the header is neither `{}` nor `{}`",
                BAR_COLUMNS.join(","),
                TRADE_COLUMNS.join(",")
            ));
        };
        let columns = kind.columns();
        if let Some(missing) =
            columns.iter().find(|column| !self.record.iter().any(|field| field == **column))
        {
            return self.refused(format!("column `{missing}` is missing"));
        }
        if !self.record.iter().eq(columns.iter().copied()) {
            return self.refused(format!("the header must be exactly `{}`", columns.join(",")));
        }
        Ok(kind)
    }

    fn bar(&self, previous: Option<&BarRow>) -> Result<BarRow, FileError> {
        self.check_width(&BAR_COLUMNS)?;
        let open_micros = self.time(0, "open_time")?;
        if let Some(previous) = previous.filter(|previous| open_micros <= previous.open_micros) {
            return self.refused(format!(
                "open_time {} does not come after {}, that of the row before",
                &self.record[0],
                time_text(previous.open_micros)
            ));
        }
        let [open, high, low, close] =
            [self.price(1, "open")?, self.price(2, "high")?, self.price(3, "low")?, self.price(4, "close")?];
        if high.recorded < low.recorded {
            return self.refused(format!("high {} is below low {}", &self.record[2], &self.record[3]));
        }
        for (column, price) in [(1, &open), (4, &close)] {
            if !(low.recorded..=high.recorded).contains(&price.recorded) {
                return self.refused(format!(
                    "{} {} is outside low {} to high {}",
                    BAR_COLUMNS[column], &self.record[column], &self.record[3], &self.record[2]
                ));
            }
        }
        let volume = self.volume(5, "volume")?;
        let (open, high, low, close) = (open.ticks, high.ticks, low.ticks, close.ticks);
        Ok(BarRow { open_micros, span_micros: 0, open, high, low, close, volume })
    }

    fn trade(&self, previous: Option<&TradeRow>) -> Result<TradeRow, FileError> {
        self.check_width(&TRADE_COLUMNS)?;
        let micros = self.time(0, "time")?;
        if let Some(previous) = previous.filter(|previous| micros < previous.micros) {
            return self.refused(format!(
                "time {} comes before {}, that of the row before",
                &self.record[0],
                time_text(previous.micros)
            ));
        }
        let price = self.price(1, "price")?.ticks;
        let quantity = self.volume(2, "quantity")?;
        let side = match self.record[3].to_ascii_lowercase().as_str() {
            "buy" => OrderSide::Buy,
            "sell" => OrderSide::Sell,
            _ => return self.refused(format!("side `{}` is neither buy nor sell", &self.record[3])),
        };
        if self.record[4].is_empty() {
            return self.refused("trade_id is missing");
        }
        Ok(TradeRow { micros, price, quantity, side })
    }

    fn check_width(&self, columns: &[&str]) -> Result<(), FileError> {
        if self.record.len() == columns.len() {
            return Ok(());
        }
        let (actual, expected) = (self.record.len(), columns.len());
        let fields = if actual == 1 { "field" } else { "fields" };
        self.refused(format!("the row has {actual} {fields}, not the {expected} of the header"))
    }

    /// Finer than a microsecond is cut.
    fn time(&self, column: usize, name: &str) -> Result<i64, FileError> {
        let text = &self.record[column];
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|at| Timestamp::from_unix_micros(at.timestamp_micros()))
            .map(Timestamp::unix_micros)
            .map_or_else(
                || {
                    self.refused(format!(
                        "{name} `{text}` is not an ISO 8601 time such as 2017-07-01T11:00:00Z"
                    ))
                },
                Ok,
            )
    }

    fn number(&self, column: usize, name: &str) -> Result<Decimal, FileError> {
        let text = &self.record[column];
        let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
        let number = if text.contains(['e', 'E']) {
            Decimal::from_scientific(text).ok()
        } else {
            Decimal::from_str_exact(text).ok()
        };
        match number.filter(|_| plain) {
            Some(number) => Ok(number),
            None if text.is_empty() => self.refused(format!("{name} is missing")),
            None => self.refused(format!("{name} `{text}` is not a number")),
        }
    }

    fn price(&self, column: usize, name: &str) -> Result<RowPrice, FileError> {
        let recorded = self.number(column, name)?;
        let text = &self.record[column];
        if recorded <= Decimal::ZERO {
            return self.refused(format!("{name} {text} is not above 0"));
        }
        match self.grid.nearest(recorded) {
            Some(ticks) => Ok(RowPrice { recorded, ticks }),
            None => self.refused(format!("{name} {text} does not fit the tick size {}", self.grid.size())),
        }
    }

    fn volume(&self, column: usize, name: &str) -> Result<Decimal, FileError> {
        let volume = self.number(column, name)?;
        let text = &self.record[column];
        if volume < Decimal::ZERO {
            return self.refused(format!("{name} {text} is below 0"));
        }
        if volume > Decimal::from(VOLUME_MAX) {
            return self.refused(format!("{name} {text} is above {VOLUME_MAX}"));
        }
        Ok(volume.trunc_with_scale(VOLUME_SCALE).normalize())
    }
}

/// A price as recorded and on the grid: bars are judged by what was recorded.
struct RowPrice {
    recorded: Decimal,
    ticks: i64,
}

fn time_text(micros: i64) -> String {
    Timestamp::from_unix_micros(micros).map(|at| at.to_string()).unwrap_or_default()
}

fn unreadable_row(file: &Path, error: &csv::Error) -> FileError {
    let line = error.position().map_or(1, csv::Position::line);
    FileError::at(file, line, "the row is not comma-separated text")
}

/// Counts lines up to a row, so that blank lines, which the reader skips, count as well.
struct LineCounter<'a> {
    text: &'a [u8],
    counted_bytes: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), counted_bytes: 0, line: 1 }
    }

    /// The line of the first field of a row; rows are asked for in their order.
    fn line_of(&mut self, record: &csv::StringRecord) -> u64 {
        let byte = record.position().map_or(0, csv::Position::byte);
        let from = usize::try_from(byte).map_or(self.text.len(), |byte| byte.min(self.text.len()));
        let blank = self.text[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let between = self.text.get(self.counted_bytes..from + blank).unwrap_or_default();
        self.line += line_of(between) - 1;
        self.counted_bytes = from + blank;
        self.line
    }
}
