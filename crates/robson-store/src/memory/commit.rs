//! What a commit checks, and what it changes.

use std::collections::BTreeSet;

use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{Batch, Checkpoint, CommitError, DedupeHit, Row, Table};

use super::Log;

impl Log {
    /// Whether the batch may be committed: every compare-and-set that a database makes.
    pub(super) fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        if self.epoch != batch.epoch {
            return Err(CommitError::Fenced);
        }
        if self.head.log_seq != batch.before.log_seq {
            return Err(CommitError::Stale);
        }
        if let Some(flaw) = batch.flaw() {
            return Err(CommitError::Broken(flaw));
        }
        let mut new_keys = BTreeSet::new();
        let key_is_taken = batch
            .dedupe
            .iter()
            .any(|entry| self.taken.contains_key(&entry.key) || !new_keys.insert(&entry.key));
        let stream_moved = batch
            .streams
            .iter()
            .any(|moved| self.streams.get(&moved.stream).copied().unwrap_or(0) != moved.expected_seq);
        let checkpoint_moved = batch.checkpoints.iter().any(|moved| {
            self.checkpoints.get(&moved.name).map_or(0, |checkpoint| checkpoint.log_seq) != moved.from
        });
        if key_is_taken || stream_moved || checkpoint_moved { Err(CommitError::Stale) } else { Ok(()) }
    }

    /// Makes the batch's changes; it was checked.
    pub(super) fn apply(&mut self, batch: &Batch) {
        self.head = batch.after;
        self.events.extend(batch.events.iter().map(|event| (event.log_seq, event.clone())));
        self.taken.extend(batch.dedupe.iter().map(|entry| {
            let (key, fingerprint, event) = (entry.key.clone(), entry.fingerprint.clone(), entry.event);
            (key.clone(), DedupeHit { key, fingerprint, event })
        }));
        for moved in batch.streams.iter().filter(|moved| moved.last_seq > 0) {
            self.streams.insert(moved.stream.clone(), moved.last_seq);
        }
        for changed in &batch.rows {
            changed.rows.iter().for_each(|row| self.put(changed.table, row.clone()));
        }
        for moved in &batch.checkpoints {
            let checkpoint = Checkpoint { log_seq: moved.to, generation: moved.generation };
            self.checkpoints.insert(moved.name.clone(), checkpoint);
        }
        batch.snapshots.iter().for_each(|snapshot| self.put(&SNAPSHOTS, snapshot.to_row()));
    }

    fn put(&mut self, table: &'static Table, row: Row) {
        self.tables.entry(table.name).or_default().insert(row.key(table), row);
    }
}
