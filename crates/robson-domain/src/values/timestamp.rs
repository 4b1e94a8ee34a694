//! Instants in UTC with microseconds, and UTC months.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Why a text or a time is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 8601 instant between the years 1 and 9999 with at most microseconds")]
pub struct InvalidTimestamp(pub String);

/// An instant in UTC with microseconds, between the years 1 and 9999.
///
/// Its text has a fixed width (six digits, `Z`), so text order is time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The beginning of 1970: the cause's time of ids that have none.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// The instant so many microseconds after 1970, where it is in range.
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).and_then(|at| Self::try_from(at).ok())
    }

    /// Microseconds since 1970.
    pub const fn unix_micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Milliseconds since 1970.
    pub const fn unix_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The instant as chrono has it.
    pub const fn to_datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// The instant so many microseconds later, held within the range.
    pub fn plus_micros(self, micros: i64) -> Self {
        self.0
            .checked_add_signed(TimeDelta::microseconds(micros))
            .and_then(|at| Self::try_from(at).ok())
            .unwrap_or(self)
    }

    /// Microseconds from `earlier` to here; negative where it is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.unix_micros() - earlier.unix_micros()
    }

    /// The UTC day that holds the instant, counted from 1970.
    pub const fn day(self) -> i64 {
        self.unix_micros().div_euclid(86_400_000_000)
    }

    /// The UTC month that holds the instant.
    pub fn month(self) -> Month {
        Month { year: self.0.year(), month: self.0.month() }
    }
}

impl TryFrom<DateTime<Utc>> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(at: DateTime<Utc>) -> Result<Self, InvalidTimestamp> {
        let in_range = (1..=9999).contains(&at.year());
        if in_range && at.nanosecond() < 1_000_000_000 && at.nanosecond().is_multiple_of(1_000) {
            Ok(Self(at))
        } else {
            Err(InvalidTimestamp(at.to_rfc3339()))
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|at| Self::try_from(at.with_timezone(&Utc)).ok())
            .ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> String {
        at.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// A UTC month, written `YYYY-MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i32,
    month: u32,
}

impl FromStr for Month {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        format!("{text}-01T00:00:00Z")
            .parse::<Timestamp>()
            .map(Timestamp::month)
            .map_err(|_| InvalidTimestamp(text.to_owned()))
    }
}

impl TryFrom<String> for Month {
    type Error = InvalidTimestamp;
    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> String {
        month.to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form() {
        let at: Timestamp = "2017-07-01T13:00:00.5+02:00".parse().unwrap();
        assert_eq!(at.to_string(), "2017-07-01T11:00:00.500000Z");
        assert_eq!(at.month().to_string(), "2017-07");
    }

    #[test]
    fn what_a_database_could_not_keep_is_refused() {
        for text in ["2017-07-01T11:00:00.1234567Z", "2016-12-31T23:59:60Z", "yesterday", "2017-07-01"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
