//! What is wrong, and where.

use std::collections::BTreeMap;
use std::fmt;

/// Most damages of one part that are told; the others are counted.
const TOLD_MAX: u64 = 100;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The place in the log that it concerns: the event, or the last event that changed the row.
    pub log_seq: Option<i64>,
    /// The table in which it is.
    pub part: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log_seq {
            Some(log_seq) => write!(f, "log_seq {log_seq}, {}: {}", self.part, self.what),
            None => write!(f, "{}: {}", self.part, self.what),
        }
    }
}

/// The damages so far.
#[derive(Debug, Default)]
pub(super) struct Damages {
    told: Vec<Damage>,
    counts: BTreeMap<&'static str, u64>,
}

impl Damages {
    pub(super) fn add(&mut self, part: &'static str, log_seq: Option<i64>, what: impl Into<String>) {
        let count = self.counts.entry(part).or_default();
        *count += 1;
        if *count <= TOLD_MAX {
            self.told.push(Damage { log_seq, part, what: what.into() });
        }
    }

    /// Takes note of more of a kind, of which enough were told.
    pub(super) fn add_untold(&mut self, part: &'static str, count: u64) {
        *self.counts.entry(part).or_default() += count;
    }

    /// What is told, by place, and how many there are in all.
    pub(super) fn finish(self) -> (Vec<Damage>, u64) {
        let mut told = self.told;
        told.sort_by(|a, b| (a.log_seq.is_none(), a).cmp(&(b.log_seq.is_none(), b)));
        (told, self.counts.values().sum())
    }
}
