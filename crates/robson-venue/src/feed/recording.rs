//! A set of checked files, ready to be played any number of times.

use std::path::PathBuf;
use std::sync::Arc;

use robson_domain::{Symbol, Timestamp};

use super::rows::{BarRow, Rows, read_rows};
use super::{Bar, FeedSource, Playback, RowKind, TickGrid};
use crate::file_error::{FeedError, FileError, read_text};

/// Recorded files, one per symbol, checked whole. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordedFeed {
    pub(super) sources: Arc<[Source]>,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) symbol: Arc<Symbol>,
    pub(super) grid: TickGrid,
    pub(super) rows: Rows,
    file: PathBuf,
    sha256: String,
}

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSummary {
    /// The symbol that the file is played as.
    pub symbol: Symbol,
    /// The file as it was named.
    pub file: PathBuf,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
    /// Bars or trades.
    pub kind: RowKind,
    /// How many of them.
    pub rows: usize,
    /// The usual length of a bar in microseconds; none for trades.
    pub bar_micros: Option<i64>,
    /// When the first tick is due.
    pub first_at: Timestamp,
    /// When the last row begins.
    pub last_row_at: Timestamp,
}

impl RecordedFeed {
    /// Reads and checks every file; symbols are played in the order given where they share an instant.
    ///
    /// # Errors
    /// The first row that cannot be played; nothing of any file is played then.
    pub fn open(sources: &[FeedSource]) -> Result<Self, FeedError> {
        for (i, source) in sources.iter().enumerate() {
            if sources[..i].iter().any(|other| other.symbol == source.symbol) {
                let reason = format!("symbol {} is fed by another file already", source.symbol);
                return Err(FileError::whole(&source.file, reason));
            }
        }
        let sources = sources.iter().map(Source::read).collect::<Result<_, _>>()?;
        Ok(Self { sources })
    }

    /// Plays from the first tick on.
    pub fn play(&self) -> Playback {
        Playback::from_start(self.clone())
    }

    /// Plays from the tick whose time is `at`, or else from the first one after.
    ///
    /// Where `at` lies within a step, a player has split the step there: the part up to `at` comes first,
    /// from the step's beginning even if it had been split before, and then the rest. A player that makes
    /// the same splits from there on sees what the first one saw.
    pub fn resume_at(&self, at: Timestamp) -> Playback {
        let mut playback = self.play();
        playback.skip_to(at);
        playback
    }

    /// What each file holds.
    pub fn summaries(&self) -> Vec<SourceSummary> {
        self.sources.iter().map(Source::summary).collect()
    }

    /// The symbols, in playing order.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.sources.iter().map(|source| &*source.symbol)
    }

    /// When the first tick of all is due; none for a feed of no files.
    pub fn first_at(&self) -> Option<Timestamp> {
        self.sources.iter().map(|source| source.summary().first_at).min()
    }
}

impl Source {
    fn read(source: &FeedSource) -> Result<Self, FeedError> {
        let (text, sha256) = read_text(&source.file)?;
        let grid = TickGrid::new(source.tick_size);
        let rows = read_rows(&source.file, &text, &grid)?;
        Ok(Self { symbol: Arc::new(source.symbol.clone()), grid, rows, file: source.file.clone(), sha256 })
    }

    fn summary(&self) -> SourceSummary {
        let (kind, rows, bar_micros, first, last) = match &self.rows {
            Rows::Bars(bars) => {
                let usual = bars.iter().map(|bar| bar.span_micros).max();
                (RowKind::Bars, bars.len(), usual, bars[0].open_micros, bars[bars.len() - 1].open_micros)
            }
            Rows::Trades(trades) => {
                (RowKind::Trades, trades.len(), None, trades[0].micros, trades[trades.len() - 1].micros)
            }
        };
        SourceSummary {
            symbol: (*self.symbol).clone(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            kind,
            rows,
            bar_micros,
            first_at: instant(first),
            last_row_at: instant(last),
        }
    }

    pub(super) fn bar(&self, row: &BarRow) -> Bar {
        Bar {
            open_time: instant(row.open_micros),
            close_time: instant(row.open_micros + row.span_micros),
            open: self.grid.price(row.open),
            high: self.grid.price(row.high),
            low: self.grid.price(row.low),
            close: self.grid.price(row.close),
            volume: super::playback::quantity(row.volume),
        }
    }
}

/// Rows hold times that came from timestamps; their sums are held within the range.
pub(super) fn instant(micros: i64) -> Timestamp {
    const LAST_MICROS: i64 = 253_402_300_799_999_999;
    Timestamp::from_unix_micros(micros.min(LAST_MICROS)).expect("an instant between the years 1 and 9999")
}
