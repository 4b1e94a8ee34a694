//! Replay: the rows that the log alone gives, folded as the ledger folds them, in bounded memory.
//!
//! Reads the log and nothing else of its database. The rows go into the next generation of a target, which
//! may be the same database or a scratch one; a few thousand stay in memory, and what is missing is read
//! back from the target, a page's worth at a time. While one page is folded the next one is read and the
//! last one's rows are written.
//!
//! The order of the log is checked on the way, because rows that follow from a log with holes prove
//! nothing. It appends nothing and sends nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::event::{ChainHash, RecordedEvent};
use crate::names::TenantId;
use crate::projection::{FoldError, Projection, RowKey, Rows};
use crate::rebuild::Generation;
use crate::store::{CommitError, EventQuery, RowQuery, Store, StoreError};
use crate::table::{Row, Table};

/// Most bytes of payloads in a page, unless one event has more.
const PAGE_BYTES: u64 = 4 * 1024 * 1024;
/// How many events ahead the rows are loaded of, once an event lacks one.
const LOOKAHEAD: usize = 256;

/// Why a log could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows were not kept: begin again, it goes on where it stood.
    #[error("the replayed rows could not be kept")]
    Target(#[source] CommitError),
    /// Whoever watched it said so.
    #[error("the replay was cancelled at event {0}")]
    Cancelled(i64),
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

/// How much of the chain is checked on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// That places follow each other, and that each event names the hash of the one before it.
    Links,
    /// That, and that each event's content has its hash.
    Hashes,
}

/// How a log is replayed.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Whose log.
    pub tenant: TenantId,
    /// What is folded.
    pub projections: Vec<Arc<dyn Projection>>,
    /// The version of the folds: what other folds left half done in the target is not gone on with.
    pub generation: i64,
    /// How much of the chain is checked.
    pub checks: Checks,
    /// How many events are read, folded and written at once.
    pub page_events: usize,
    /// Most rows that stay in memory between two pages.
    pub rows_max: usize,
}

impl ReplayOptions {
    /// Links are checked; pages of 1,000 events, 4,000 rows in memory.
    pub const fn new(tenant: TenantId, projections: Vec<Arc<dyn Projection>>, generation: i64) -> Self {
        Self { tenant, projections, generation, checks: Checks::Links, page_events: 1_000, rows_max: 4_000 }
    }

    /// The generation that a target is given.
    pub fn next_generation(&self) -> Generation {
        let mut tables: Vec<&'static Table> = Vec::new();
        for table in self.projections.iter().flat_map(|projection| projection.tables()) {
            if !tables.contains(table) {
                tables.push(table);
            }
        }
        Generation { tenant: self.tenant, tables, number: self.generation }
    }
}

/// A replay under way: what it has folded is in the target, up to and including a place of the log.
///
/// Dropping it loses nothing: whoever begins again with the same folds goes on from the target's last page.
#[derive(Debug)]
pub struct Replay<S, T> {
    source: Arc<S>,
    target: Arc<T>,
    options: Arc<ReplayOptions>,
    next: Arc<Generation>,
    rows: Rows,
    log_seq: i64,
    hash: ChainHash,
    writing: Option<Task<Result<(), CommitError>>>,
}

/// A page of the log, and the rows that its events name by themselves.
struct PageRead {
    events: Vec<RecordedEvent>,
    keys: BTreeSet<RowKey>,
}

impl<S: Store, T: Store> Replay<S, T> {
    /// Begins in front of the first event, or behind the last one that the target's next generation holds.
    ///
    /// # Errors
    /// `Store` and `Target` as the two databases say; the target must know the tenant.
    pub async fn begin(source: Arc<S>, target: Arc<T>, options: ReplayOptions) -> Result<Self, ReplayError> {
        let next = options.next_generation();
        let mut log_seq = target.begin_rebuild(&next).await.map_err(ReplayError::Target)?.unwrap_or(0);
        let mut hash = ChainHash::GENESIS;
        if log_seq > 0 {
            let query = EventQuery { after: log_seq - 1, limit: 1, ..EventQuery::all(options.tenant) };
            match source.read(&query).await?.events.pop() {
                Some(last) if last.log_seq == log_seq => hash = last.hash,
                // It was filled from a longer log than this one is.
                _ => {
                    target.abandon_rebuild(&next).await.map_err(ReplayError::Target)?;
                    target.begin_rebuild(&next).await.map_err(ReplayError::Target)?;
                    log_seq = 0;
                }
            }
        }
        let (options, next) = (Arc::new(options), Arc::new(next));
        Ok(Self { source, target, options, next, rows: Rows::default(), log_seq, hash, writing: None })
    }

    /// Whose log it is.
    pub fn tenant(&self) -> TenantId {
        self.options.tenant
    }

    /// The place of the last event that was folded.
    pub const fn log_seq(&self) -> i64 {
        self.log_seq
    }

    /// How many rows are in memory now.
    pub fn rows_held(&self) -> usize {
        self.rows.len()
    }

    /// What is being filled.
    pub fn generation(&self) -> &Generation {
        &self.next
    }

    /// Where the log is read.
    pub const fn source(&self) -> &Arc<S> {
        &self.source
    }

    /// Where the rows are.
    pub const fn target(&self) -> &Arc<T> {
        &self.target
    }

    /// Rows as they were right after the last event that was folded.
    ///
    /// # Errors
    /// As the target says.
    pub async fn rows(&self, table: &'static Table, query: &RowQuery) -> Result<Vec<Row>, StoreError> {
        self.target.shadow_rows(self.options.tenant, table, query).await
    }

    /// The rows that an event touches, given those that are in the target.
    ///
    /// # Errors
    /// As [`Replay::fold_up_to`].
    pub async fn touched_by(&mut self, event: &RecordedEvent) -> Result<BTreeSet<RowKey>, ReplayError> {
        let projections = self.options.projections.clone();
        let mut touched = BTreeSet::new();
        for projection in &projections {
            loop {
                let keys = projection.keys(event, &self.rows).map_err(|source| unfoldable(event, source))?;
                let missing: BTreeSet<RowKey> =
                    keys.iter().filter(|key| !self.rows.holds(key)).cloned().collect();
                if missing.is_empty() {
                    touched.extend(keys);
                    break;
                }
                self.load(missing).await?;
            }
        }
        Ok(touched)
    }

    /// Folds what follows, up to and including a place, and tells after each page where it stands; whoever
    /// is told may break it off, and everything that was folded by then is in the target.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn fold_up_to(
        &mut self,
        up_to: i64,
        mut progress: impl FnMut(i64) -> ControlFlow<()> + Send,
    ) -> Result<(), ReplayError> {
        let mut reading = (self.log_seq < up_to).then(|| self.read_behind(self.log_seq, up_to));
        while let Some(task) = reading.take() {
            let page = task.join().await?;
            let Some(last) = page.events.last().map(|event| event.log_seq) else { break };
            reading = (last < up_to).then(|| self.read_behind(last, up_to));
            self.fold_page(page, &mut |_, _| {}).await?;
            if progress(self.log_seq).is_break() {
                self.settle().await?;
                return Err(ReplayError::Cancelled(self.log_seq));
            }
        }
        self.settle().await
    }

    /// Reads a page while something else is done.
    fn read_behind(&self, after: i64, up_to: i64) -> Task<Result<PageRead, ReplayError>> {
        let (source, options) = (Arc::clone(&self.source), Arc::clone(&self.options));
        Task(tokio::spawn(async move {
            let limit = options.page_events.max(1);
            let bytes_max = Some(PAGE_BYTES);
            let query = EventQuery { after, up_to, limit, bytes_max, ..EventQuery::all(options.tenant) };
            let events = source.read(&query).await?.events;
            let (nothing, mut keys) = (Rows::default(), BTreeSet::new());
            for event in &events {
                if options.checks == Checks::Hashes {
                    check_content(event)?;
                }
                for projection in &options.projections {
                    let named = projection.keys(event, &nothing);
                    keys.extend(named.map_err(|source| unfoldable(event, source))?);
                }
            }
            Ok(PageRead { events, keys })
        }))
    }

    /// Folds events that somebody else has read, the next ones of the log; `seen` is told of each with the rows
    /// that are held right behind it, which are at least those that it touched.
    pub(crate) async fn fold_read(
        &mut self,
        events: Vec<RecordedEvent>,
        seen: &mut (impl FnMut(&RecordedEvent, &Rows) + Send),
    ) -> Result<(), ReplayError> {
        let keys = self.missing_ahead(Vec::new(), events.iter());
        self.fold_page(PageRead { events, keys }, seen).await
    }

    async fn fold_page(
        &mut self,
        page: PageRead,
        seen: &mut (impl FnMut(&RecordedEvent, &Rows) + Send),
    ) -> Result<(), ReplayError> {
        let from = self.log_seq;
        self.load(page.keys).await?;
        let options = Arc::clone(&self.options);
        for (place, event) in page.events.iter().enumerate() {
            check_place(event, self.log_seq, self.hash)?;
            for projection in &options.projections {
                let fold = |rows: &mut Rows| {
                    projection.try_fold(event, rows).map_err(|source| unfoldable(event, source))
                };
                loop {
                    let missing = fold(&mut self.rows)?;
                    if missing.is_empty() {
                        break;
                    }
                    let ahead = page.events.iter().skip(place + 1).take(LOOKAHEAD);
                    let missing = self.missing_ahead(missing, ahead);
                    self.load(missing).await?;
                }
            }
            // Nothing is taken back in a replay.
            self.rows.keep_changes();
            (self.log_seq, self.hash) = (event.log_seq, event.hash);
            seen(event, &self.rows);
        }
        let changes = self.rows.take_changes(&self.next.tables);
        self.settle().await?;
        if self.rows.len() > options.rows_max {
            // What is being written stays: until it is written, the target has older rows.
            self.rows.keep_only(&changes);
        }
        let (target, next, to) = (Arc::clone(&self.target), Arc::clone(&self.next), self.log_seq);
        let write = async move { target.fill(&next, &changes, from, to).await };
        self.writing = Some(Task(tokio::spawn(write)));
        Ok(())
    }

    /// The rows that an event lacks, and those that the events behind it lack as far as they can be told.
    fn missing_ahead<'a>(
        &self,
        missing: Vec<RowKey>,
        ahead: impl Iterator<Item = &'a RecordedEvent>,
    ) -> BTreeSet<RowKey> {
        let mut missing: BTreeSet<RowKey> = missing.into_iter().collect();
        for event in ahead {
            for projection in &self.options.projections {
                // What cannot be read is reported when it is that event's turn.
                let keys = projection.keys(event, &self.rows).unwrap_or_default();
                missing.extend(keys.into_iter().filter(|key| !self.rows.holds(key)));
            }
        }
        missing
    }

    /// Loads those rows that are not held, one call per table.
    async fn load(&mut self, keys: BTreeSet<RowKey>) -> Result<(), ReplayError> {
        let mut by_table: BTreeMap<&'static str, Vec<RowKey>> = BTreeMap::new();
        for key in keys.into_iter().filter(|key| !self.rows.holds(key)) {
            by_table.entry(key.table).or_default().push(key);
        }
        for (name, keys) in by_table {
            let table = self.next.tables.iter().copied().find(|table| table.name == name);
            let table = table.ok_or_else(|| {
                StoreError::Broken(format!("a projection names the table {name}, which is not its own"))
            })?;
            // In front of the first event nothing is there.
            if self.log_seq > 0 {
                let query = RowQuery::keys(keys.iter().map(|key| key.key.clone()).collect());
                for row in self.rows(table, &query).await? {
                    self.rows.load(RowKey { table: name, key: row.key(table) }, Some(row));
                }
            }
            for key in keys {
                self.rows.load(key, None);
            }
        }
        Ok(())
    }

    /// Waits until the last page's rows are written.
    pub(crate) async fn settle(&mut self) -> Result<(), ReplayError> {
        match self.writing.take() {
            Some(writing) => writing.join().await.map_err(ReplayError::Target),
            None => Ok(()),
        }
    }
}

fn edited(event: &RecordedEvent, what: &'static str) -> ReplayError {
    ReplayError::Edited { log_seq: event.log_seq, what }
}

fn unfoldable(event: &RecordedEvent, source: FoldError) -> ReplayError {
    let event_type = event.event_type.as_str().to_owned();
    ReplayError::Fold { log_seq: event.log_seq, event_type, source }
}

/// Whether an event is the one that was appended behind the event of a place and a hash.
pub(crate) fn check_link(event: &RecordedEvent, after: i64, hash: ChainHash) -> Result<(), ReplayError> {
    check_place(event, after, hash)?;
    check_content(event)
}

fn check_place(event: &RecordedEvent, after: i64, hash: ChainHash) -> Result<(), ReplayError> {
    if event.log_seq != after + 1 {
        return Err(edited(event, "an event before it is missing"));
    }
    if event.prev_hash != hash {
        return Err(edited(event, "it follows another event than the one before it"));
    }
    Ok(())
}

fn check_content(event: &RecordedEvent) -> Result<(), ReplayError> {
    if event.expected_hash() == event.hash {
        Ok(())
    } else {
        Err(edited(event, "its content does not have its hash"))
    }
}

/// Something that is done meanwhile, and not any more once nobody waits for it.
#[derive(Debug)]
struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    async fn join(mut self) -> T {
        match (&mut self.0).await {
            Ok(done) => done,
            // Only its owner aborts it.
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The rows that a tenant's log gives, up to and including a place, all of them in memory.
///
/// # Errors
/// See [`ReplayError`].
pub async fn fold_all<S: Store>(
    store: &S,
    tenant: TenantId,
    projections: Vec<Arc<dyn Projection>>,
    up_to: i64,
    mut progress: impl FnMut(i64) + Send,
) -> Result<Rows, ReplayError> {
    let (mut rows, mut hash) = (Rows::default(), ChainHash::GENESIS);
    let mut query = EventQuery { up_to, ..EventQuery::all(tenant) };
    loop {
        let events = store.read(&query).await?.events;
        if events.is_empty() {
            return Ok(rows);
        }
        for event in &events {
            check_link(event, query.after, hash)?;
            for projection in &projections {
                fold_into(projection.as_ref(), event, &mut rows)
                    .map_err(|source| unfoldable(event, source))?;
            }
            rows.keep_changes();
            (query.after, hash) = (event.log_seq, event.hash);
        }
        progress(query.after);
    }
}

/// Folds one event as the ledger does; a row that no earlier event made is absent.
pub(crate) fn fold_into(
    projection: &dyn Projection,
    event: &RecordedEvent,
    rows: &mut Rows,
) -> Result<(), FoldError> {
    loop {
        let missing = projection.try_fold(event, rows)?;
        if missing.is_empty() {
            return Ok(());
        }
        missing.into_iter().for_each(|key| rows.load(key, None));
    }
}
