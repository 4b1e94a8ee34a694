//! The printer: the one place that writes to standard output, as tables for people or JSON for programs.

use std::io::{self, IsTerminal as _, Write};

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Table, presets};

pub use comfy_table::CellAlignment as Align;
use robson_domain::{Price, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;

/// Text is not broken into less than this.
const LAST_COLUMN_MIN: usize = 20;

/// Writes what commands found.
pub struct Printer {
    out: Box<dyn Write + Send>,
    /// Whether programs read it.
    pub is_json: bool,
    /// Whether it may be coloured.
    pub colour: bool,
    /// How many columns it has; nothing: as many as needed.
    pub width: Option<u16>,
    /// Whether the screen can be wiped between two looks.
    pub is_terminal: bool,
}

impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").field("is_json", &self.is_json).field("colour", &self.colour).finish()
    }
}

impl Printer {
    /// Prints to standard output; colour only on a terminal, and not where `NO_COLOR` is set.
    pub fn stdout(is_json: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        #[expect(clippy::disallowed_methods, reason = "a binary's output follows the terminal's environment")]
        let no_colour = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
        let width = if is_terminal { Table::new().width() } else { None };
        Self { out: Box::new(io::stdout()), is_json, colour: is_terminal && !no_colour, width, is_terminal }
    }

    /// Prints to a buffer, without colour and as wide as needed.
    pub fn to(out: Box<dyn Write + Send>, is_json: bool) -> Self {
        Self { out, is_json, colour: false, width: None, is_terminal: false }
    }

    /// One line of text.
    ///
    /// # Errors
    /// As the output says.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref())
    }

    /// One JSON value, on one line where `compact`.
    ///
    /// # Errors
    /// As the output says.
    pub fn json(&mut self, value: &Value, compact: bool) -> io::Result<()> {
        let text = if compact { value.to_string() } else { format!("{value:#}") };
        self.line(text)
    }

    /// A table, or what is said in its place when it has no rows.
    ///
    /// # Errors
    /// As the output says.
    pub fn table(&mut self, listing: &Listing) -> io::Result<()> {
        if listing.rows.is_empty() {
            return self.line(listing.when_empty);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.colour {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        let heading = |name: &&str| comfy_table::Cell::new(name).add_attribute(Attribute::Bold);
        table.set_header(listing.columns.iter().map(|(name, _)| heading(name)).collect::<Vec<_>>());
        for row in &listing.rows {
            table.add_row(row.iter().map(Cell::styled).collect::<Vec<_>>());
        }
        for (column, (_, align)) in table.column_iter_mut().zip(&listing.columns) {
            column.set_padding((0, 2));
            column.set_cell_alignment(*align);
        }
        self.fold_last_column(&mut table);
        table.lines().try_for_each(|line| self.line(line.trim_end()))
    }

    /// Breaks the last column's text where the terminal ends; a number or an id is never broken.
    fn fold_last_column(&self, table: &mut Table) {
        let widths = table.column_max_content_widths();
        let Some((_, others)) = widths.split_last() else { return };
        let taken: usize = others.iter().map(|width| usize::from(*width) + 2).sum();
        let Some(width) = self.width.filter(|width| usize::from(*width) > taken + LAST_COLUMN_MIN) else {
            return;
        };
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        let others = others.len();
        table.column_iter_mut().take(others).for_each(|column| {
            column.set_constraint(ColumnConstraint::ContentWidth);
        });
    }

    /// Wipes the screen, where there is one.
    ///
    /// # Errors
    /// As the output says.
    pub fn wipe(&mut self) -> io::Result<()> {
        if self.is_terminal { write!(self.out, "\u{1b}[2J\u{1b}[H") } else { Ok(()) }
    }

    /// Hands over what is buffered.
    ///
    /// # Errors
    /// As the output says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The text, bold where colour is allowed.
    pub fn bold(&self, text: &str) -> String {
        self.escaped("1", text)
    }

    /// The text in a tone, where colour is allowed.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Plain => text.to_owned(),
            Tone::Good => self.escaped("32", text),
            Tone::Bad => self.escaped("31", text),
            Tone::Faint => self.escaped("2", text),
        }
    }

    fn escaped(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// How a text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// A gain, or something in order.
    Good,
    /// A loss, or something to be looked at.
    Bad,
    /// Less important than what stands beside it.
    Faint,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Any value as it prints itself.
    pub fn of(value: impl ToString) -> Self {
        Self { text: value.to_string(), tone: Tone::Plain }
    }

    /// A value that may be absent, which leaves the cell empty.
    pub fn maybe(value: Option<impl ToString>) -> Self {
        value.map(Self::of).unwrap_or_default()
    }

    /// An instant, to the second.
    pub fn time(at: Timestamp) -> Self {
        Self::of(seconds(at))
    }

    /// A gain or a loss, in cents and with its sign.
    pub fn gain(amount: Decimal) -> Self {
        let tone = match amount {
            gain if gain > Decimal::ZERO => Tone::Good,
            loss if loss < Decimal::ZERO => Tone::Bad,
            _ => Tone::Plain,
        };
        Self { text: signed(amount), tone }
    }

    /// The same text in a tone.
    #[must_use]
    pub const fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    fn styled(&self) -> comfy_table::Cell {
        let cell = comfy_table::Cell::new(&self.text);
        match self.tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }
}

/// A table as a value.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The columns' names and on which side their content stands.
    pub columns: Vec<(&'static str, Align)>,
    /// The rows, one cell for each column.
    pub rows: Vec<Vec<Cell>>,
    /// What is said when there are none.
    pub when_empty: &'static str,
}

/// An instant to the second, in UTC.
pub fn seconds(at: Timestamp) -> String {
    at.to_datetime().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A price as far as people read it: an average of fills may have twenty digits.
pub fn price(price: Price) -> String {
    let decimals = if price.get() >= Decimal::ONE_HUNDRED { 2 } else { 8 };
    price.get().round_dp(decimals).normalize().to_string()
}

/// An amount as far as people read it: eight decimals.
pub fn amount(amount: impl Into<Decimal>) -> String {
    amount.into().round_dp(8).normalize().to_string()
}

/// A stream as far as people read it: its category, and the end of its id.
pub fn short_stream(stream: &str) -> String {
    match stream.split_once(':') {
        Some((category, id)) if id.len() == 36 => format!("{category}:{}", short_id(id)),
        _ => stream.to_owned(),
    }
}

/// An amount of money in cents.
pub fn cents(amount: Decimal) -> String {
    format!("{:.2}", amount.round_dp(2))
}

/// An amount of money in cents, with its sign.
pub fn signed(amount: Decimal) -> String {
    let sign = if amount.round_dp(2) > Decimal::ZERO { "+" } else { "" };
    format!("{sign}{}", cents(amount))
}

/// The end of an id: where ids that were made in the same instant differ.
pub fn short_id(id: impl ToString) -> String {
    let id = id.to_string();
    id.get(id.len().saturating_sub(8)..).unwrap_or(&id).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was printed.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(listing: &Listing, colour: bool) -> String {
        printed_in(listing, colour, None)
    }

    fn printed_in(listing: &Listing, colour: bool, width: Option<u16>) -> String {
        let paper = Paper::default();
        let mut printer = Printer::to(Box::new(paper.clone()), false);
        printer.colour = colour;
        printer.width = width;
        printer.table(listing).unwrap();
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn listing() -> Listing {
        let row = |symbol: &str, gain: i64| vec![Cell::of(symbol), Cell::gain(Decimal::new(gain, 2))];
        Listing {
            columns: vec![("SYMBOL", Align::Left), ("PNL", Align::Right)],
            rows: vec![row("BTCUSD", 12_345), row("ETHUSD", -50), row("X", 0)],
            when_empty: "no positions",
        }
    }

    #[test]
    fn numbers_stand_on_the_right_and_no_line_ends_in_spaces() {
        let expect = "SYMBOL      PNL\nBTCUSD  +123.45\nETHUSD    -0.50\nX          0.00\n";
        assert_eq!(printed(&listing(), false), expect);
    }

    #[test]
    fn a_narrow_terminal_breaks_only_the_last_columns_text() {
        let listing = Listing {
            columns: vec![("LOG", Align::Right), ("WHAT", Align::Left)],
            rows: vec![vec![Cell::of(12_345), Cell::of("a stop was moved to a price of 5000")]],
            when_empty: "nothing",
        };
        let expect = "  LOG  WHAT\n12345  a stop was moved to a\n       price of 5000\n";
        assert_eq!(printed_in(&listing, false, Some(30)), expect);
        for too_narrow in [0, 1, 10] {
            assert_eq!(printed_in(&listing, false, Some(too_narrow)), printed(&listing, false));
        }
    }

    #[test]
    fn colour_is_only_where_it_is_allowed() {
        assert!(printed(&listing(), true).contains("\u{1b}["));
        assert!(!printed(&listing(), false).contains('\u{1b}'));
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(printed(&Listing { rows: Vec::new(), ..listing() }, false), "no positions\n");
    }
}
