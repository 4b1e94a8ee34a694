//! Rebuilding tables from the log beside the live ones, and switching over once they have caught up.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::batch::TableRows;
use crate::ledger::{AppendError, AtRest, Ledger};
use crate::names::TenantId;
use crate::replay::{Replay, ReplayError, ReplayOptions};
use crate::store::{Checkpoint, CommitError, Store};
use crate::table::Table;

/// The next generation of some tables: whose, which, and by which folds.
///
/// While it is filled, the checkpoint `<table>__next` of each table says up to which place and under which
/// number; once it is live, the checkpoint under the table's own name does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Whose tables.
    pub tenant: TenantId,
    /// Which tables; all of them move together.
    pub tables: Vec<&'static Table>,
    /// The version of the folds that fill it. What other folds left half done is not gone on with.
    pub number: i64,
}

impl Generation {
    /// What a table's next generation and its checkpoint are called.
    pub fn shadow_name(table: &Table) -> String {
        format!("{}__next", table.name)
    }

    /// The place at which all tables of this generation stand, given what was found under their shadows'
    /// names; nothing where they do not stand at one.
    pub fn common_place(&self, stands: &[Checkpoint]) -> Option<i64> {
        let first = stands.first()?;
        let is_common = stands.len() == self.tables.len()
            && stands.iter().all(|stand| stand == first && stand.generation == self.number);
        is_common.then_some(first.log_seq)
    }

    /// Why rows cannot be put into this generation, or nothing; every backend refuses them as `Broken`.
    pub fn flaw(&self, rows: &[TableRows]) -> Option<String> {
        rows.iter().find_map(|changed| {
            if !self.tables.contains(&changed.table) {
                return Some(format!("{} is not being rebuilt", changed.table.name));
            }
            changed.rows.iter().find_map(|row| changed.table.misfit(row))
        })
    }
}

/// Why tables were not rebuilt. The live rows are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log was not folded: as the replay says.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The writer does not write any more.
    #[error("the tables cannot be switched over")]
    Stopped(#[from] AppendError),
    /// The switch did not happen, or it is not known whether it did: look again, or rebuild again.
    #[error("the tables were not switched over")]
    Switch(#[source] CommitError),
}

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The place of the last event that was folded.
    pub log_seq: i64,
    /// Where the log ended when it was last looked at.
    pub head: i64,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// Behind which place it began: above 0 where it went on with one that was cut off.
    pub began_at: i64,
    /// The place up to which the rows that are live now were folded.
    pub log_seq: i64,
    /// For how many events appending had to wait.
    pub held_up: i64,
}

/// How often a log that grows is followed before its writer is asked to wait.
const CHASES_MAX: u32 = 8;
/// How often a switch whose outcome is unknown is tried again.
const SWITCHES_MAX: u32 = 3;

impl<S: Store> Ledger<S> {
    /// Rebuilds tables from the log while appending goes on, and puts the new rows in place of the live ones.
    ///
    /// Readers see the old rows until the switch. For the last few events and the switch the writer waits, so
    /// that these always win; afterwards it reads its rows anew. Events are only read: nothing is appended,
    /// no checkpoint but the tables' own moves, nobody is notified. What a crash cuts off is gone on with;
    /// breaking it off from `progress` leaves nothing of it.
    ///
    /// # Errors
    /// See [`RebuildError`].
    pub async fn rebuild(
        &self,
        options: ReplayOptions,
        mut progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<Rebuilt, RebuildError> {
        let (tenant, store) = (self.tenant(), self.store());
        let page = i64::try_from(options.page_events).unwrap_or(i64::MAX);
        let mut replay = Replay::begin(Arc::clone(store), Arc::clone(store), options).await?;
        let began_at = replay.log_seq();
        for _ in 0..CHASES_MAX {
            let head = store.head(tenant).await.map_err(ReplayError::Store)?.log_seq;
            let caught_up = replay.fold_up_to(head, |log_seq| progress(Progress { log_seq, head })).await;
            if let Err(cancelled @ ReplayError::Cancelled(_)) = caught_up {
                store.abandon_rebuild(replay.generation()).await.map_err(ReplayError::Target)?;
                return Err(cancelled.into());
            }
            caught_up?;
            let head = store.head(tenant).await.map_err(ReplayError::Store)?.log_seq;
            if head - replay.log_seq() <= page {
                break;
            }
        }
        let at_rest = self.pause().await?;
        let held_up = at_rest.head.log_seq - replay.log_seq();
        replay.fold_up_to(at_rest.head.log_seq, |_| ControlFlow::Continue(())).await?;
        switch(store.as_ref(), replay.generation(), &at_rest).await.map_err(RebuildError::Switch)?;
        Ok(Rebuilt { began_at, log_seq: at_rest.head.log_seq, held_up })
    }
}

/// Switches over, and finds out whether it happened where that was not answered.
async fn switch<S: Store>(store: &S, next: &Generation, at_rest: &AtRest) -> Result<(), CommitError> {
    let done = Checkpoint { log_seq: at_rest.head.log_seq, generation: next.number };
    let mut attempts_left = SWITCHES_MAX;
    loop {
        let failure = match store.swap(next, &at_rest.lease, at_rest.head).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        // A switch that was not answered and did happen left nothing that a second one could put in place.
        if let (CommitError::Stale, Some(table)) = (&failure, next.tables.first())
            && attempts_left < SWITCHES_MAX
            && store.checkpoint(next.tenant, table.name).await.is_ok_and(|stands| stands == Some(done))
        {
            return Ok(());
        }
        if attempts_left == 0 || !matches!(failure, CommitError::Unavailable(_)) {
            return Err(failure);
        }
        attempts_left -= 1;
    }
}
