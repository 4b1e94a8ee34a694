//! Replay: the rows that the log alone gives, folded as the ledger folds them.
//!
//! Reads the log and nothing else: no row of the database is loaded and none is written. The chain of
//! hashes is checked on the way, because rows that follow from an edited log prove nothing.

use std::sync::Arc;

use crate::event::{ChainHash, RecordedEvent};
use crate::names::TenantId;
use crate::projection::{FoldError, Projection, RowKey, Rows};
use crate::store::{EventQuery, Store, StoreError};

const PAGE: usize = 2_000;

/// Why a log could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not the one that was written: halt, restore it.
    #[error("event {log_seq} is not as it was appended: {what}")]
    Edited {
        /// The event's place.
        log_seq: i64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An event that was appended does not fold: the fold or the log was changed.
    #[error("event {log_seq} ({event_type}) does not fold")]
    Fold {
        /// The event's place.
        log_seq: i64,
        /// Its type.
        event_type: String,
        /// Why.
        #[source]
        source: FoldError,
    },
}

/// A replay under way: the rows so far, and where the log was left.
#[derive(Debug)]
pub struct Replay {
    projections: Vec<Arc<dyn Projection>>,
    rows: Rows,
    log_seq: i64,
    hash: ChainHash,
}

impl Replay {
    /// A replay that stands before the first event.
    pub fn new(projections: Vec<Arc<dyn Projection>>) -> Self {
        Self { projections, rows: Rows::default(), log_seq: 0, hash: ChainHash::GENESIS }
    }

    /// The rows so far.
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The place of the last event that was folded.
    pub const fn log_seq(&self) -> i64 {
        self.log_seq
    }

    /// Folds one event, the next of its log.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn fold(&mut self, event: &RecordedEvent) -> Result<(), ReplayError> {
        let log_seq = event.log_seq;
        check_link(event, self.log_seq, self.hash)?;
        for projection in &self.projections {
            fold_into(projection.as_ref(), event, &mut self.rows).map_err(|source| ReplayError::Fold {
                log_seq,
                event_type: event.event_type.as_str().to_owned(),
                source,
            })?;
        }
        // Nothing is taken back in a replay, so nothing needs to be remembered.
        self.rows.take_changes(&[]);
        self.log_seq = log_seq;
        self.hash = event.hash;
        Ok(())
    }

    /// Folds what follows, up to and including a place, and tells after each page where it stands.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn fold_up_to<S: Store>(
        &mut self,
        store: &S,
        tenant: TenantId,
        up_to: i64,
        mut progress: impl FnMut(i64) + Send,
    ) -> Result<(), ReplayError> {
        while self.log_seq < up_to {
            let query = EventQuery { after: self.log_seq, up_to, limit: PAGE, ..EventQuery::all(tenant) };
            let page = store.read(&query).await?;
            if page.events.is_empty() {
                break;
            }
            page.events.iter().try_for_each(|event| self.fold(event))?;
            progress(self.log_seq);
        }
        Ok(())
    }
}

/// Whether an event is the one that was appended behind the event of a place and a hash.
pub(crate) fn check_link(event: &RecordedEvent, after: i64, hash: ChainHash) -> Result<(), ReplayError> {
    let edited = |what| Err(ReplayError::Edited { log_seq: event.log_seq, what });
    if event.log_seq != after + 1 {
        return edited("an event before it is missing");
    }
    if event.prev_hash != hash {
        return edited("it follows another event than the one before it");
    }
    if event.expected_hash() != event.hash {
        return edited("its content does not have its hash");
    }
    Ok(())
}

/// Folds one event as the ledger does; a row that no earlier event made is absent.
pub(crate) fn fold_into(
    projection: &dyn Projection,
    event: &RecordedEvent,
    rows: &mut Rows,
) -> Result<(), FoldError> {
    loop {
        let keys = projection.keys(event, rows)?;
        let missing: Vec<RowKey> = keys.into_iter().filter(|key| !rows.holds(key)).collect();
        if missing.is_empty() {
            return projection.fold(event, rows);
        }
        missing.into_iter().for_each(|key| rows.load(key, None));
    }
}

/// The rows that a tenant's log gives, up to and including a place.
///
/// # Errors
/// See [`ReplayError`].
pub async fn fold_all<S: Store>(
    store: &S,
    tenant: TenantId,
    projections: Vec<Arc<dyn Projection>>,
    up_to: i64,
    progress: impl FnMut(i64) + Send,
) -> Result<Rows, ReplayError> {
    let mut replay = Replay::new(projections);
    replay.fold_up_to(store, tenant, up_to, progress).await?;
    Ok(replay.rows)
}
