//! A plan: which positions are armed at which feed times, so that a run is a function of feed, plan and seed.
//!
//! A plan is TOML with two kinds of entries. `[[arm]]` arms one position `at` a feed time; `[[every]]` arms
//! one each `weeks`, `days` or `hours`, the first at `from`, none after `until`. Both take `symbol`, `side`,
//! `entry` (`confirmed_trend` where none is given, or `confirmed_reversal`, `confirmed_key_level`,
//! `immediate`), `trailing` (`continuous`, or `span`), `capital` and `risk` (percent, at most 1); the last two
//! only lower what the account would risk.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use robson_domain::{
    CommandId, EntryMode, Fraction, Money, Side, Symbol, Timestamp, TrailingPolicy, derived_id,
};
use rust_decimal::Decimal;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::file_error::{FileError, PlanError, line_of, read_text, sha256_hex};

/// A repeating entry that expands to more is a mistake.
const LINES_MAX: usize = 100_000;

/// A checked plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The file as it was named.
    pub file: PathBuf,
    /// SHA-256 of the file's bytes, in hex.
    pub sha256: String,
    /// What is armed, by feed time, then as written.
    pub lines: Vec<PlanLine>,
}

/// One position to arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine {
    /// Its place in the expanded plan as written, from 1.
    pub number: usize,
    /// The command's id, a function of the plan's bytes and the number: a restart arms nothing twice.
    pub command_id: CommandId,
    /// The feed time.
    pub at: Timestamp,
    /// What to trade.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// What the entry waits for.
    pub entry: EntryMode,
    /// How the stop follows.
    pub trailing: TrailingPolicy,
    /// A capital to risk from; none: the account's.
    pub capital: Option<Money>,
    /// The part of the capital to risk; none: the account's.
    pub risk: Option<Fraction>,
}

impl Plan {
    /// Reads and checks a plan file.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn read(file: &Path) -> Result<Self, PlanError> {
        let (text, _) = read_text(file)?;
        Self::parse(file, &text)
    }

    /// Checks the text of a plan; `file` only names it.
    ///
    /// # Errors
    /// The first entry that cannot be used.
    pub fn parse(file: &Path, text: &str) -> Result<Self, PlanError> {
        let source = Source { file, text };
        let sha256 = sha256_hex(text.as_bytes());
        let root = DeTable::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            source.refusal(start, format!("this is not TOML: {}", error.message().replace('\n', ", ")))
        })?;
        let mut lines = Vec::new();
        for entry in source.entries(root.get_ref())? {
            let fields = Fields { source: &source, entry };
            for at in fields.times()? {
                if lines.len() == LINES_MAX {
                    return Err(fields.refusal(format!("the plan arms more than {LINES_MAX} positions")));
                }
                lines.push(fields.line(lines.len() + 1, at, &sha256)?);
            }
        }
        lines.sort_by_key(|line| (line.at, line.number));
        Ok(Self { file: file.to_owned(), sha256, lines })
    }

    /// The symbols that the plan trades.
    pub fn symbols(&self) -> BTreeSet<&Symbol> {
        self.lines.iter().map(|line| &line.symbol).collect()
    }

    /// The plan's symbol, where it trades only one.
    pub fn only_symbol(&self) -> Option<&Symbol> {
        let symbols = self.symbols();
        symbols.first().copied().filter(|_| symbols.len() == 1)
    }

    /// The lines that are due after one feed time and up to another.
    pub fn due(&self, after: Option<Timestamp>, up_to: Timestamp) -> &[PlanLine] {
        let first = self.lines.partition_point(|line| after.is_some_and(|after| line.at <= after));
        let last = self.lines.partition_point(|line| line.at <= up_to);
        self.lines.get(first..last).unwrap_or_default()
    }
}

/// The text that entries point into.
struct Source<'a> {
    file: &'a Path,
    text: &'a str,
}

/// An `[[arm]]` or `[[every]]` as written.
#[derive(Clone, Copy)]
struct Entry<'a> {
    start: usize,
    table: &'a DeTable<'a>,
    kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Arm,
    Every,
}

impl EntryKind {
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Arm => &["at", "symbol", "side", "entry", "trailing", "capital", "risk"],
            Self::Every => &[
                "weeks", "days", "hours", "from", "until", "symbol", "side", "entry", "trailing", "capital",
                "risk",
            ],
        }
    }

    const fn header(self) -> &'static str {
        match self {
            Self::Arm => "[[arm]]",
            Self::Every => "[[every]]",
        }
    }
}

impl Source<'_> {
    fn refusal(&self, start: usize, reason: impl Into<String>) -> FileError {
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        FileError::at(self.file, line_of(before), reason)
    }

    /// The entries in the order in which they are written, their keys known.
    fn entries<'a>(&self, root: &'a DeTable<'a>) -> Result<Vec<Entry<'a>>, FileError> {
        let mut entries = Vec::new();
        for (key, value) in root {
            let kind = match key.get_ref().as_ref() {
                "arm" => EntryKind::Arm,
                "every" => EntryKind::Every,
                other => {
                    let reason = format!("`{other}` is unknown: a plan holds [[arm]] and [[every]]");
                    return Err(self.refusal(key.span().start, reason));
                }
            };
            let wrong_shape = || self.refusal(key.span().start, format!("write this as {}", kind.header()));
            for item in value.get_ref().as_array().ok_or_else(wrong_shape)?.iter() {
                let table = item.get_ref().as_table().ok_or_else(wrong_shape)?;
                entries.push(Entry { start: item.span().start, table, kind });
            }
        }
        entries.sort_by_key(|entry| entry.start);
        if entries.is_empty() {
            return Err(self.refusal(0, "the plan arms nothing"));
        }
        for entry in &entries {
            let known = entry.kind.keys();
            let unknown = entry.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
            if let Some(key) = unknown.min_by_key(|key| key.span().start) {
                let reason = format!(
                    "`{}` is unknown: {} takes {}",
                    key.get_ref(),
                    entry.kind.header(),
                    known.join(", ")
                );
                return Err(self.refusal(key.span().start, reason));
            }
        }
        Ok(entries)
    }
}

/// Reads the fields of one entry.
struct Fields<'a> {
    source: &'a Source<'a>,
    entry: Entry<'a>,
}

impl Fields<'_> {
    fn refusal(&self, reason: impl Into<String>) -> FileError {
        self.source.refusal(self.entry.start, reason)
    }

    fn times(&self) -> Result<Vec<Timestamp>, FileError> {
        if self.entry.kind == EntryKind::Arm {
            return Ok(vec![self.required("at")?]);
        }
        let (from, until): (Timestamp, Timestamp) = (self.required("from")?, self.required("until")?);
        let period_micros = self.period_micros()?;
        if until < from {
            return Err(self.refusal(format!("until {until} is before from {from}")));
        }
        let count = until.micros_since(from) / period_micros;
        if usize::try_from(count).is_ok_and(|count| count >= LINES_MAX) {
            return Err(self.refusal(format!("the plan arms more than {LINES_MAX} positions")));
        }
        Ok((0..=count).map(|i| from.plus_micros(i * period_micros)).collect())
    }

    fn period_micros(&self) -> Result<i64, FileError> {
        const UNITS: [(&str, i64); 3] = [("weeks", 168), ("days", 24), ("hours", 1)];
        const HOUR_MICROS: i64 = 3_600_000_000;
        let mut periods = Vec::new();
        for (unit, hours) in UNITS {
            if let Some(count) = self.optional::<u16>(unit)? {
                let micros = i64::from(count) * hours * HOUR_MICROS;
                periods.push(if micros > 0 {
                    micros
                } else {
                    return Err(self.refusal(format!("{unit} is 0")));
                });
            }
        }
        match periods[..] {
            [period] => Ok(period),
            _ => Err(self.refusal("give one of weeks, days and hours")),
        }
    }

    fn line(&self, number: usize, at: Timestamp, sha256: &str) -> Result<PlanLine, FileError> {
        let capital: Option<Money> = self.optional("capital")?;
        if let Some(capital) = capital.filter(|capital| *capital <= Money::ZERO) {
            return Err(self.refusal_of("capital", format!("capital {capital} is not above 0")));
        }
        Ok(PlanLine {
            number,
            command_id: CommandId(derived_id(at, &["plan", sha256, &number.to_string()])),
            at,
            symbol: self.required("symbol")?,
            side: self.required("side")?,
            entry: self.optional("entry")?.unwrap_or(EntryMode::ConfirmedTrend),
            trailing: self.optional("trailing")?.unwrap_or(TrailingPolicy::Continuous),
            capital,
            risk: self.risk()?,
        })
    }

    fn risk(&self) -> Result<Option<Fraction>, FileError> {
        let Some(percent) = self.optional::<Money>("risk")?.map(Money::get) else { return Ok(None) };
        let fraction = percent.checked_div(Decimal::ONE_HUNDRED).and_then(|risk| Fraction::new(risk).ok());
        let fraction = fraction.filter(|_| percent > Decimal::ZERO && percent <= Decimal::ONE);
        let refusal =
            || self.refusal_of("risk", format!("risk {percent} is not above 0 and at most 1 percent"));
        fraction.map(Some).ok_or_else(refusal)
    }

    fn required<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T, FileError> {
        let missing = || self.refusal(format!("{} needs `{key}`", self.entry.kind.header()));
        self.optional(key)?.ok_or_else(missing)
    }

    /// Reads a field from its text, so that no number passes through a float.
    fn optional<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, FileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let refusal = |reason: String| self.source.refusal(value.span().start, reason);
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Datetime(time) => time.to_string(),
            other => {
                return Err(refusal(format!("{key} is {}, not a text, number or time", other.type_str())));
            }
        };
        text.parse().map(Some).map_err(|error| refusal(format!("{key}: {error}")))
    }

    fn value(&self, key: &str) -> Option<&Spanned<DeValue<'_>>> {
        self.entry.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn refusal_of(&self, key: &str, reason: String) -> FileError {
        let start = self.value(key).map_or(self.entry.start, |value| value.span().start);
        self.source.refusal(start, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Plan {
        Plan::parse(Path::new("plan.toml"), text).unwrap()
    }

    fn refused(text: &str, expected: &str) {
        let error = Plan::parse(Path::new("plan.toml"), text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    fn arm(more: &str) -> String {
        format!(
            "# a plan\n[[arm]]\nat = 2020-01-01T00:00:00Z\nsymbol = \"BTCUSD\"\nside = \"long\"\n{more}\n"
        )
    }

    #[test]
    fn an_entry_says_what_to_arm_and_when() {
        let plan = plan(&arm("entry = \"immediate\"\ntrailing = \"span\"\ncapital = 10_000.50\nrisk = 0.5"));
        let line = &plan.lines[0];
        assert_eq!((line.number, line.at.to_string()), (1, "2020-01-01T00:00:00.000000Z".to_owned()));
        assert_eq!(
            (line.side, line.entry, line.trailing),
            (Side::Long, EntryMode::Immediate, TrailingPolicy::Span)
        );
        assert_eq!(
            (line.capital.unwrap().to_string(), line.risk.unwrap().to_string()),
            ("10000.5".into(), "0.005".into())
        );
        assert_eq!(plan.only_symbol().unwrap().as_str(), "BTCUSD");
    }

    #[test]
    fn a_repeating_entry_expands_to_lines_in_feed_time() {
        let text = format!(
            "{}[[every]]\ndays = 1\nfrom = \"2019-12-31T00:00:00Z\"\nuntil = \"2020-01-02T00:00:00Z\"\nsymbol = \"ETHUSD\"\nside = \"short\"\n",
            arm("")
        );
        let plan = plan(&text);
        let shown: Vec<String> =
            plan.lines.iter().map(|l| format!("{} {} {}", l.number, l.at.month(), l.symbol)).collect();
        assert_eq!(shown, ["2 2019-12 ETHUSD", "1 2020-01 BTCUSD", "3 2020-01 ETHUSD", "4 2020-01 ETHUSD"]);
        assert_eq!((plan.only_symbol(), plan.symbols().len()), (None, 2));
        let new_year: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(plan.due(None, new_year).len(), 3);
        assert_eq!(plan.due(Some(new_year), new_year.plus_micros(1)).len(), 0);
        assert_eq!(plan.due(Some(new_year.plus_micros(-1)), new_year).len(), 2);
    }

    #[test]
    fn a_command_id_is_a_function_of_the_plan_and_the_line() {
        let ids = |text: &str| plan(text).lines.iter().map(|l| l.command_id).collect::<Vec<_>>();
        let two = format!("{}{}", arm(""), arm(""));
        assert_eq!(ids(&two), ids(&two));
        assert_ne!(ids(&two)[0], ids(&two)[1]);
        assert_ne!(ids(&arm("")), ids(&arm("# another plan")));
        assert!(ids(&arm(""))[0].to_string().starts_with("016f5e66-e800-8"));
    }

    #[test]
    fn what_cannot_be_armed_is_refused_with_its_line() {
        refused("", "plan.toml:1: the plan arms nothing");
        refused("[[arm]\n", "plan.toml:1: this is not TOML: unclosed array table, expected `]`");
        refused("[arm]\nat = 1\n", "plan.toml:1: write this as [[arm]]");
        refused("\nspeed = 1\n", "plan.toml:2: `speed` is unknown: a plan holds [[arm]] and [[every]]");
        refused(
            &arm("leverage = 5"),
            "plan.toml:6: `leverage` is unknown: [[arm]] takes at, symbol, side, entry, trailing, capital, risk",
        );
        refused(&arm("capital = 0"), "plan.toml:6: capital 0 is not above 0");
        refused(&arm("capital = \"-5\""), "plan.toml:6: capital -5 is not above 0");
        refused(
            &arm("capital = 1e400"),
            "plan.toml:6: capital: `1e400` is not a decimal number of at most 28 digits",
        );
        refused(&arm("capital = true"), "plan.toml:6: capital is boolean, not a text, number or time");
        refused(&arm("risk = 1.01"), "plan.toml:6: risk 1.01 is not above 0 and at most 1 percent");
        refused(&arm("risk = 0"), "plan.toml:6: risk 0 is not above 0 and at most 1 percent");
        refused(
            &arm("entry = \"confirmed\""),
            "plan.toml:6: entry: `confirmed` is not a entry mode: one of immediate, confirmed_trend, \
             confirmed_reversal, confirmed_key_level",
        );
        refused("[[arm]]\nsymbol = \"BTCUSD\"\nside = \"long\"\n", "plan.toml:1: [[arm]] needs `at`");
        refused(
            "[[arm]]\nat = 2020-01-01T00:00:00Z\nside = \"long\"\n",
            "plan.toml:1: [[arm]] needs `symbol`",
        );
        let every = |more: &str| {
            format!("[[every]]\nsymbol = \"A\"\nside = \"long\"\nfrom = 2020-01-01T00:00:00Z\n{more}")
        };
        refused(&every("until = 2020-02-01T00:00:00Z"), "plan.toml:1: give one of weeks, days and hours");
        refused(&every("until = 2020-02-01T00:00:00Z\nweeks = 0"), "plan.toml:1: weeks is 0");
        refused(
            &every("until = 2019-02-01T00:00:00Z\nweeks = 1"),
            "plan.toml:1: until 2019-02-01T00:00:00.000000Z is before from 2020-01-01T00:00:00.000000Z",
        );
        refused(
            &every("until = 2200-01-01T00:00:00Z\nhours = 1"),
            "plan.toml:1: the plan arms more than 100000 positions",
        );
    }

    #[test]
    fn the_bundled_plan_arms_a_long_and_a_short_each_week() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plans/weekly.toml");
        let plan = Plan::read(&file).unwrap();
        assert_eq!(plan.lines.len(), 2 * 120);
        assert_eq!(plan.only_symbol().unwrap().as_str(), "BTCUSD");
        let sides = |side: Side| plan.lines.iter().filter(|line| line.side == side).count();
        assert_eq!((sides(Side::Long), sides(Side::Short)), (120, 120));
    }
}
