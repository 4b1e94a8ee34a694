//! Verification: whether a tenant's log is the one that was appended, and whether everything beside it follows
//! from it. Reads the log once, repairs nothing, and may run beside a writer.
//!
//! Whoever rewrites the whole chain, head included, is not found by the chain; the tables, the snapshots and a
//! digest that was kept elsewhere may still tell.

mod damage;
mod keys;
mod log;
mod mark;
mod pages;
mod rows;
mod snapshots;
mod tables;

use std::sync::Arc;

use crate::batch::Head;
use crate::names::TenantId;
use crate::projection::Projection;
use crate::replay::{Replay, ReplayError, ReplayOptions};
use crate::snapshot::Scopes;
use crate::store::Store;
use damage::Damages;
use keys::Keys;
use log::Walk;
use snapshots::Snapshots;

pub use damage::Damage;
pub use mark::{MARK, TAIL_MAX, check_tail, marked};

/// What is verified.
#[derive(Debug, Clone)]
pub struct Verification {
    /// Whose log.
    pub tenant: TenantId,
    /// The folds that its tables come from.
    pub projections: Vec<Arc<dyn Projection>>,
    /// What its snapshots are of; none: only their places are checked.
    pub scopes: Option<Arc<dyn Scopes>>,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being read: `event_log`, or another table.
    pub part: &'static str,
    /// How many of its rows were read.
    pub done: u64,
    /// How many there are, where that is known.
    pub total: Option<u64>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Where the log ended when its reading ended.
    pub head: Head,
    /// How many events were read.
    pub events: u64,
    /// How many dedupe keys were compared.
    pub dedupe_keys: u64,
    /// How many streams there are.
    pub streams: u64,
    /// How many rows of tables were compared with what the log gives.
    pub rows: u64,
    /// How many snapshots were compared with what the log gives.
    pub snapshots: u64,
    /// What is wrong, by place in the log; what has none comes last. Of many of a kind, the first.
    pub damages: Vec<Damage>,
    /// How many there are in all.
    pub damages_total: u64,
    /// What could not be compared, and why.
    pub skipped: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.damages_total == 0
    }

    /// The first damaged place in the log.
    pub fn first_damaged(&self) -> Option<i64> {
        self.damages.iter().find_map(|damage| damage.log_seq)
    }
}

/// Verifies a tenant's log and everything beside it. What the log gives is folded into a scratch database, which
/// knows the tenant and is given back as it was.
///
/// # Errors
/// As the databases say, where they cannot be read or written at all. What is read and found wrong is in the report.
pub async fn verify<S: Store, T: Store>(
    store: &Arc<S>,
    scratch: &Arc<T>,
    verification: &Verification,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Report, ReplayError> {
    let Verification { tenant, projections, scopes } = verification;
    let mut damages = Damages::default();
    // Whatever is in the log up to this head has its keys already, so they may be read first.
    let head = store.head(*tenant).await?;
    let keys = Keys::load(store.as_ref(), *tenant, head.log_seq, &mut damages, &mut progress).await?;
    let tables = projections.iter().flat_map(|projection| projection.tables()).copied().collect();
    let snapshots = Snapshots::list(store.as_ref(), *tenant, scopes.clone(), tables, &mut damages).await?;
    let options = ReplayOptions::new(*tenant, projections.clone(), 0);
    // Whatever an earlier one left there is not known to be of this log.
    let next = options.next_generation();
    scratch.abandon_rebuild(&next).await.map_err(ReplayError::Target)?;
    let replay = Replay::begin(Arc::clone(store), Arc::clone(scratch), options).await?;
    let mut walk = Walk::new(replay, projections.clone(), keys, snapshots, damages);
    walk.go_to(head, &mut progress).await?;
    walk.check_end().await?;
    tables::check_streams(&mut walk, &mut progress).await?;
    let rows = tables::check_rows(&mut walk, &mut progress).await?;
    scratch.abandon_rebuild(&next).await.map_err(ReplayError::Target)?;
    Ok(walk.finish(rows))
}
