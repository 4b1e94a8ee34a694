//! What the writer takes for granted instead of asking the database.
//!
//! A dedupe key is hardly ever taken, and some types of events always begin their stream. The commit proves
//! both: it inserts keys and new streams, and counts. So a wrong guess costs a batch that is computed anew,
//! never a wrong answer; what is not committed (a conflict, a refusal) is not answered on a guess.

use std::collections::BTreeMap;

use crate::names::{EventType, StreamKey};

/// The streams that are looked up, each with the type of the event that would begin it.
pub(super) type Asked = BTreeMap<StreamKey, Option<EventType>>;

/// After how many batches without a surprise keys are no longer looked up.
const BATCHES_WITHOUT_SURPRISE: u32 = 64;
/// After how many streams of a type that began with it the next one is taken for new.
const STREAMS_BEGUN: u32 = 64;

#[derive(Debug)]
pub(super) struct Guesses {
    /// Batches that are still looked up whole.
    careful: u32,
    /// How many streams in a row an event of each type has begun.
    begun: BTreeMap<EventType, u32>,
}

impl Default for Guesses {
    fn default() -> Self {
        // Whoever was not answered before a restart sends again after it.
        Self { careful: BATCHES_WITHOUT_SURPRISE, begun: BTreeMap::new() }
    }
}

impl Guesses {
    pub(super) const fn may_guess(&self) -> bool {
        self.careful == 0
    }

    pub(super) fn begins_streams(&self, event_type: &EventType) -> bool {
        self.begun.get(event_type).is_some_and(|begun| *begun >= STREAMS_BEGUN)
    }

    pub(super) const fn batch_done(&mut self) {
        self.careful = self.careful.saturating_sub(1);
    }

    /// How many of the keys that were looked up were taken.
    pub(super) const fn keys_were_taken(&mut self, count: usize) {
        if count > 0 {
            self.careful = BATCHES_WITHOUT_SURPRISE;
        }
    }

    /// Which of the streams that were looked up exist.
    pub(super) fn streams_were(&mut self, asked: &Asked, found: &BTreeMap<StreamKey, i64>) {
        for (stream, event_type) in asked {
            let Some(event_type) = event_type else { continue };
            let begun = self.begun.entry(event_type.clone()).or_default();
            *begun = if found.contains_key(stream) { 0 } else { begun.saturating_add(1) };
        }
    }

    /// A commit found something else than what the batch was computed from.
    pub(super) fn were_wrong(&mut self) {
        *self = Self::default();
    }
}
