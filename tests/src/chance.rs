//! Chance with a seed: printed, so that a story can be told again with the same draws.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Sets the seed of a run.
const SEED: &str = "ROBSON_TEST_SEED";

/// Random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
}

impl Chance {
    /// From `ROBSON_TEST_SEED`, else from a new seed; prints it.
    ///
    /// # Panics
    /// When the variable holds something else than a number.
    #[expect(clippy::print_stdout, reason = "whoever reads of a failure needs the seed")]
    pub fn new() -> Self {
        let seed = std::env::var_os(SEED).map_or_else(
            || RandomState::new().build_hasher().finish(),
            |text| text.to_str().and_then(|text| text.parse().ok()).expect("ROBSON_TEST_SEED is a number"),
        );
        println!("{SEED}={seed}");
        Self::of(seed)
    }

    /// From a seed of the story's own, where the draws are part of the story.
    pub const fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`, which is above 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Keeps the processor busy for a random time, so that what follows does not begin at a round moment.
    pub fn spin_up_to(&mut self, most: Duration) {
        let micros = self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1));
        let until = Instant::now() + Duration::from_micros(micros);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}
