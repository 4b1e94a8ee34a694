//! Instants in UTC with microseconds, and the one clock that is passed in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
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
        let any_form = || {
            let at = DateTime::parse_from_rfc3339(text).ok()?;
            Self::try_from(at.with_timezone(&Utc)).ok()
        };
        fixed_width(text.as_bytes()).or_else(any_form).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

const DIGITS: &[u8; 10] = b"0123456789";

/// The instant of a text in our own form, which is nearly every one that is read; nothing for another form.
fn fixed_width(text: &[u8]) -> Option<Timestamp> {
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    if text.len() != 27 || marks.iter().any(|(place, mark)| text[*place] != *mark) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        text[range].iter().try_fold(0_u32, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(*digit - b'0'))
        })
    };
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?;
    let at = date.and_hms_micro_opt(number(11..13)?, number(14..16)?, number(17..19)?, number(20..26)?)?;
    Timestamp::try_from(at.and_utc()).ok()
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
        // Written for every event several times over; the years have four digits.
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |range: std::ops::Range<usize>, mut value: u32| {
            for place in range.rev() {
                text[place] = DIGITS[(value % 10) as usize];
                value /= 10;
            }
        };
        put(0..4, self.0.year().unsigned_abs());
        put(5..7, self.0.month());
        put(8..10, self.0.day());
        put(11..13, self.0.hour());
        put(14..16, self.0.minute());
        put(17..19, self.0.second());
        put(20..26, self.0.timestamp_subsec_micros());
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
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

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_is_rfc_3339_of_fixed_width(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let text = Timestamp::try_from(at).unwrap().to_string();
            prop_assert_eq!(&text, &at.to_rfc3339_opts(SecondsFormat::Micros, true));
            prop_assert_eq!(text.parse::<Timestamp>().unwrap().to_datetime(), at);
        }
    }

    #[test]
    fn other_forms_are_read_and_what_is_no_instant_is_refused() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<Timestamp>().ok().map(|at| at.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05.000000Z"));
        check("2026-01-02T03:04:05.5+01:00", Some("2026-01-02T02:04:05.500000Z"));
        check("2026-02-30T03:04:05.000000Z", None);
        check("2026-01-02T23:59:60.000000Z", None);
        check("2026-01-02T03:04:05.0000001Z", None);
        check("0000-01-02T03:04:05.000000Z", None);
    }
}
