//! The clock of the cases: it stands still until a case moves it.

use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use robson_eventlog::{Clock, Timestamp};

/// A clock that stands still until it is moved, forwards or backwards.
#[derive(Debug)]
pub struct TestClock(Mutex<Timestamp>);

impl TestClock {
    /// A clock that stands at an instant.
    pub const fn at(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves the clock to an instant, before or after the present one.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Moves the clock on by so many seconds.
    ///
    /// # Panics
    /// When the clock would leave the years 1 to 9999.
    pub fn advance(&self, seconds: i64) {
        let later = self.now().to_datetime() + TimeDelta::seconds(seconds);
        self.set(Timestamp::try_from(later).expect("the suite's times lie in this century"));
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
