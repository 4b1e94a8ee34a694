//! The feed's clock: under a recorded feed it is the only one there is.

use std::sync::{PoisonError, RwLock};

use robson_domain::Timestamp;
use robson_eventlog::Clock;
use robson_projector::log_time;

/// A clock that stands at the last tick.
#[derive(Debug)]
pub struct FeedClock(RwLock<Timestamp>);

impl FeedClock {
    /// A clock that stands at an instant.
    pub const fn at(at: Timestamp) -> Self {
        Self(RwLock::new(at))
    }

    /// Moves the clock to a tick.
    pub fn set(&self, at: Timestamp) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// The last tick's time.
    pub fn get(&self) -> Timestamp {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for FeedClock {
    fn now(&self) -> robson_eventlog::Timestamp {
        log_time(self.get())
    }
}
