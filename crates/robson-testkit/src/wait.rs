//! Waiting for a condition; never for a span of time that is hoped to be long enough.

use std::thread;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until `condition` holds, for at most about `seconds_max`; tells whether it did.
#[must_use]
pub fn wait_until(seconds_max: u32, mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..seconds_max.saturating_mul(100) {
        if condition() {
            return true;
        }
        thread::sleep(PAUSE);
    }
    condition()
}
