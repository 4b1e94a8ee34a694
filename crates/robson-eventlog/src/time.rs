//! Instants in UTC with microseconds, and the one clock that is passed in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// Why a text or a time is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ISO 8601 instant between the years 1 and 9999 with at most microseconds")]
pub struct InvalidTimestamp(pub String);

/// An instant in UTC with microseconds, between the years 1 and 9999: what every backend keeps exactly.
///
/// Its text has a fixed width (six digits, `Z`), so text order is time order. Finer input and leap
/// seconds are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The beginning of 1970, where a new log's head stands.
    pub const EPOCH: Self = Self(DateTime::UNIX_EPOCH);

    /// The instant as chrono has it.
    pub const fn to_datetime(self) -> DateTime<Utc> {
        self.0
    }

    /// Milliseconds since 1970.
    pub const fn unix_millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The instant so much later; nothing beyond what a timestamp holds.
    pub fn checked_add(self, later: std::time::Duration) -> Option<Self> {
        let micros = i64::try_from(later.as_micros()).ok()?;
        let at = self.0.checked_add_signed(chrono::TimeDelta::microseconds(micros))?;
        Self::try_from(at).ok()
    }

    /// Whether both instants lie in the same UTC month.
    pub fn same_month(self, other: Self) -> bool {
        (self.0.year(), self.0.month()) == (other.0.year(), other.0.month())
    }
}

impl TryFrom<DateTime<Utc>> for Timestamp {
    type Error = InvalidTimestamp;
    fn try_from(at: DateTime<Utc>) -> Result<Self, InvalidTimestamp> {
        let exact = at.nanosecond() < 1_000_000_000 && at.nanosecond().is_multiple_of(1_000);
        if exact && (1..=9999).contains(&at.year()) {
            Ok(Self(at))
        } else {
            Err(InvalidTimestamp(at.to_rfc3339()))
        }
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(at: Timestamp) -> Self {
        at.0
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

/// Where "now" comes from: the wall, a recorded feed, or a test.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The wall clock, cut to microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        let now: DateTime<Utc> = std::time::SystemTime::now().into();
        let micros = now.timestamp_subsec_micros();
        now.with_nanosecond(micros.saturating_mul(1_000)).map_or(Timestamp::EPOCH, Timestamp)
    }
}
