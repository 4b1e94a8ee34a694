//! The next generation of tables, filled beside the live rows and put in their place.

use robson_eventlog::{Checkpoint, CommitError, Generation, Head, Lease, Table, TableRows};

use super::Log;

impl Log {
    /// Where the rebuild stands that is to go on; what another one left is gone.
    pub(super) fn begin_rebuild(&mut self, next: &Generation) -> Option<i64> {
        let names = next.tables.iter().map(|table| Generation::shadow_name(table));
        let stands = names.map(|name| self.checkpoints.get(&name).copied()).collect::<Option<Vec<_>>>();
        let place = next.common_place(&stands.unwrap_or_default());
        if place.is_none() {
            self.abandon(next);
        }
        place
    }

    /// Puts rows into the next generation, which stands at `from`, and moves it to `to`.
    pub(super) fn fill(
        &mut self,
        next: &Generation,
        rows: &[TableRows],
        from: i64,
        to: i64,
    ) -> Result<(), CommitError> {
        if let Some(flaw) = next.flaw(rows) {
            return Err(CommitError::Broken(flaw));
        }
        self.check_place(next, from)?;
        for changed in rows {
            let shadow = self.shadows.entry(changed.table.name).or_default();
            shadow.extend(changed.rows.iter().map(|row| (row.key(changed.table), row.clone())));
        }
        for table in &next.tables {
            let checkpoint = Checkpoint { log_seq: to, generation: next.number };
            self.checkpoints.insert(Generation::shadow_name(table), checkpoint);
        }
        Ok(())
    }

    /// Puts the next generation in the place of the live rows.
    pub(super) fn swap(&mut self, next: &Generation, lease: &Lease, head: Head) -> Result<(), CommitError> {
        if self.epoch != lease.epoch {
            return Err(CommitError::Fenced);
        }
        if self.head.log_seq != head.log_seq {
            return Err(CommitError::Stale);
        }
        self.check_place(next, head.log_seq)?;
        for table in &next.tables {
            self.tables.insert(table.name, self.shadows.remove(table.name).unwrap_or_default());
            self.checkpoints.remove(&Generation::shadow_name(table));
            let checkpoint = Checkpoint { log_seq: head.log_seq, generation: next.number };
            self.checkpoints.insert(table.name.to_owned(), checkpoint);
        }
        Ok(())
    }

    /// Leaves nothing of a rebuild.
    pub(super) fn abandon(&mut self, next: &Generation) {
        for table in &next.tables {
            self.shadows.remove(table.name);
            self.checkpoints.remove(&Generation::shadow_name(table));
        }
    }

    /// That every table of the rebuild stands at a place; 0: it was begun and not filled yet.
    fn check_place(&self, next: &Generation, place: i64) -> Result<(), CommitError> {
        let stands_there = |table: &&&'static Table| {
            let checkpoint = self.checkpoints.get(&Generation::shadow_name(table));
            checkpoint
                .map_or(place == 0, |stands| stands.log_seq == place && stands.generation == next.number)
        };
        if next.tables.iter().all(|table| stands_there(&table)) { Ok(()) } else { Err(CommitError::Stale) }
    }
}
