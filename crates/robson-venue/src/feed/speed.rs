//! How fast a recorded feed is played. It only computes waits; its caller waits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use robson_domain::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// The speed of a recorded feed: `real`, `max`, or `Nx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// So many times as fast as it was recorded; 1 is real time.
    Times(Decimal),
    /// Without any wait.
    Max,
}

/// Why a text is not a speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a speed: give `real`, `max` or a factor above 0 such as `60x`")]
pub struct InvalidSpeed(pub String);

impl Speed {
    /// As fast as it was recorded.
    pub const REAL: Self = Self::Times(Decimal::ONE);

    /// How long to wait between two feed times.
    ///
    /// Asked for the wait since the first tick, rather than since the last one, it does not drift.
    pub fn wait(self, earlier: Timestamp, later: Timestamp) -> Duration {
        let Self::Times(factor) = self else { return Duration::ZERO };
        let micros = Decimal::from(later.micros_since(earlier).max(0));
        let scaled = micros.checked_div(factor).and_then(|wait| wait.to_u64());
        Duration::from_micros(scaled.unwrap_or(u64::MAX))
    }
}

impl FromStr for Speed {
    type Err = InvalidSpeed;

    fn from_str(text: &str) -> Result<Self, InvalidSpeed> {
        match text {
            "real" => Ok(Self::REAL),
            "max" => Ok(Self::Max),
            _ => text
                .strip_suffix('x')
                .and_then(|factor| Decimal::from_str_exact(factor).ok())
                .filter(|factor| *factor > Decimal::ZERO)
                .map(|factor| Self::Times(factor.normalize()))
                .ok_or_else(|| InvalidSpeed(text.to_owned())),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            speed if *speed == Self::REAL => f.write_str("real"),
            Self::Times(factor) => write!(f, "{factor}x"),
            Self::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(speed: &str, micros: i64) -> Duration {
        let start: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        speed.parse::<Speed>().unwrap().wait(start, start.plus_micros(micros))
    }

    #[test]
    fn the_wait_is_the_recorded_time_over_the_factor() {
        assert_eq!(wait("real", 60_000_000), Duration::from_secs(60));
        assert_eq!(wait("60x", 60_000_000), Duration::from_secs(1));
        assert_eq!(wait("0.5x", 1_000_000), Duration::from_secs(2));
        assert_eq!(wait("max", 60_000_000), Duration::ZERO);
        assert_eq!(wait("real", -5), Duration::ZERO);
    }

    #[test]
    fn what_is_not_a_speed_is_refused() {
        for text in ["", "x", "0x", "-1x", "60", "fast", "1e3x", "NaNx"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
        assert_eq!("60.0x".parse::<Speed>().unwrap().to_string(), "60x");
        assert_eq!("1x".parse::<Speed>().unwrap().to_string(), "real");
    }
}
