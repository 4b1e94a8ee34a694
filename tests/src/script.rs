//! What a story plays and arms: a piece of the bundled market, and a plan.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use robson_domain::Timestamp;

use crate::chance::Chance;
use crate::place::Place;

/// 2020-01-01, in hours since 1970.
const FIRST_HOUR: i64 = 438_288;

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A feed and a plan in a place's folder.
#[derive(Debug, Clone)]
pub struct Script {
    arguments: Vec<String>,
}

impl Script {
    /// Hourly bars of Bitcoin from one day to another, with a long and a short armed every other day, and
    /// some that enter at once.
    ///
    /// # Errors
    /// The bundled data cannot be read, or the files cannot be written.
    pub fn of_days(place: &Place, from: &str, until: &str) -> Result<Self> {
        let feed = place.path("bars.csv");
        std::fs::write(&feed, bars(from, until)?)?;
        let plan = place.path("plan.toml");
        std::fs::write(&plan, arms(from, until)?)?;
        Ok(Self {
            arguments: vec![
                format!("--feed=BTCUSD={}", feed.display()),
                format!("--plan={}", plan.display()),
            ],
        })
    }

    /// The daemon's flags that play it as fast as it goes, to its end.
    pub fn flags(&self) -> Vec<&str> {
        self.flags_at("max")
    }

    /// The daemon's flags that play it at a speed, to its end.
    pub fn flags_at<'a>(&'a self, speed: &'a str) -> Vec<&'a str> {
        let run = ["--paper", "--speed", speed, "--exit-at-end", "--no-api"];
        run.into_iter().chain(self.arguments.iter().map(String::as_str)).collect()
    }
}

/// The header, and the rows whose time lies between two days; ISO 8601 sorts as text.
fn bars(from: &str, until: &str) -> Result<String> {
    let path = repository("examples/data/coinbase-btcusd-1h.csv");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let (header, rows) = text.split_once('\n').context("the bundled data has a header")?;
    let mut piece = format!("{header}\n");
    for row in rows.lines().filter(|row| (from..until).contains(&row.get(..10).unwrap_or_default())) {
        writeln!(piece, "{row}")?;
    }
    ensure!(piece.lines().count() > 1, "the bundled data has no row from {from} to {until}");
    Ok(piece)
}

fn arms(from: &str, until: &str) -> Result<String> {
    let mut plan = String::new();
    for (days, time, side, entry) in [
        (2, "00:00:00", "long", "confirmed_trend"),
        (2, "00:00:00", "short", "confirmed_trend"),
        (9, "05:30:00", "long", "immediate"),
        (7, "12:45:10", "short", "immediate"),
    ] {
        writeln!(plan, "[[every]]\ndays = {days}\nfrom = {from}T{time}Z\nuntil = {until}T00:00:00Z")?;
        writeln!(plan, "symbol = \"BTCUSD\"\nside = \"{side}\"\nentry = \"{entry}\"\n")?;
    }
    Ok(plan)
}

/// Hourly bars of a market that rises slowly and falls over gaps, from the beginning of 2020 on: a market
/// that spends the months' budgets of whoever is long.
///
/// # Errors
/// Never: there are so many hours.
pub fn gaping_market(seed: u64, days: i64) -> Result<String> {
    let mut chance = Chance::of(seed);
    let mut up_to =
        |most: i64| i64::try_from(chance.below(u64::try_from(most)?)).map_err(anyhow::Error::from);
    let mut csv = "open_time,open,high,low,close,volume\n".to_owned();
    let mut cents = 1_000_000;
    for hour in 0..days * 24 {
        let gap = if up_to(100)? < 6 { cents * 15 / 1_000 } else { 0 };
        let open = cents - gap;
        let close = open - open * 6 / 1_000 + up_to(open * 14 / 1_000)?;
        let high = open.max(close) + up_to(open * 3 / 1_000)?;
        let low = open.min(close) - up_to(open * 3 / 1_000)?;
        let [open, high, low, last] =
            [open, high, low, close].map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
        let at = Timestamp::from_unix_micros((FIRST_HOUR + hour) * 3_600_000_000).context("a time")?;
        writeln!(csv, "{at},{open},{high},{low},{last},50")?;
        cents = close;
    }
    Ok(csv)
}
