//! The writer task: drains the queue, computes one batch, commits it, answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::draft::{Draft, Known, Staged};
use super::{
    Append, AppendError, AtRest, BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, LeaseState, LedgerOptions, Message,
    Outcome, Reply, locked,
};
use crate::batch::{Batch, Head, Lease};
use crate::names::{DedupeKey, StreamKey};
use crate::projection::{FoldError, RowKey, Rows};
use crate::store::{AcquireError, CommitError, RowQuery, Store, StoreError};
use crate::table::{Row, Table};

/// Most rows and streams that are held between batches.
const HELD_MAX: usize = 50_000;
/// How often a batch is computed anew because the log had moved.
const STALE_RETRIES: u32 = 5;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(2);

/// Why a batch did not come to be, or did not become durable.
enum Failure {
    Stale,
    Stop(AppendError),
    Unavailable(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(source) => Self::Unavailable(source.to_string()),
            StoreError::Closed => Self::Stop(AppendError::Closed),
            other => Self::Stop(AppendError::Broken(other.to_string())),
        }
    }
}

pub(super) struct Writer<S> {
    store: Arc<S>,
    options: LedgerOptions,
    lease: Lease,
    head: Head,
    head_sender: watch::Sender<i64>,
    lease_state: Arc<Mutex<LeaseState>>,
    tables: Vec<&'static Table>,
    rows: Rows,
    streams: BTreeMap<StreamKey, i64>,
}

impl<S: Store> Writer<S> {
    pub(super) fn new(
        store: Arc<S>,
        options: LedgerOptions,
        lease: Lease,
        head_sender: watch::Sender<i64>,
        lease_state: Arc<Mutex<LeaseState>>,
    ) -> Self {
        let tables = options.projections.iter().flat_map(|projection| projection.tables()).copied().collect();
        let head = lease.head;
        let streams = BTreeMap::new();
        Self { store, options, lease, head, head_sender, lease_state, tables, rows: Rows::default(), streams }
    }

    pub(super) async fn run(self, queue: mpsc::Receiver<Message>) {
        // Also when a fold panics: a lease that nobody writes under must run out.
        let _over = OverOnDrop(Arc::clone(&self.lease_state));
        self.write(queue).await;
    }

    async fn write(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(first) = queue.recv().await {
            let (requests, replies, then) = drain(first, &mut queue);
            if !requests.is_empty() {
                metrics::histogram!("eventlog_batch_requests").record(count_for_metrics(requests.len()));
                if let Err(stop) = self.append_all(requests, replies).await {
                    if stop == AppendError::Fenced {
                        locked(&self.lease_state).is_fenced = true;
                        metrics::counter!("eventlog_fenced_total").increment(1);
                    }
                    tracing::error!(error = %stop, "the writer stops");
                    refuse_rest(&mut queue, &stop);
                    return;
                }
            }
            if let Some(Then::Rest(rest)) = then {
                self.rest(rest).await;
            } else if let Some(Then::Close(done)) = then {
                if let Err(error) = self.store.release(&self.lease).await {
                    tracing::warn!(%error, "the lease was not given up; it ends by itself");
                }
                queue.close();
                // The closer may have gone away, which changes nothing.
                let _ = done.send(());
                return;
            }
        }
    }

    /// Writes nothing until whoever asked for it is done; rows may be others then.
    async fn rest(&mut self, rest: oneshot::Sender<AtRest>) {
        let (until, done) = oneshot::channel();
        let at_rest = AtRest { lease: self.lease.clone(), head: self.head, _until: until };
        if rest.send(at_rest).is_ok() {
            // Nobody sends: it is over when the other end is dropped.
            let _ = done.await;
            self.forget();
        }
    }

    /// Answers every request. An error means that the writer cannot go on.
    async fn append_all(&mut self, requests: Vec<Append>, replies: Vec<Reply>) -> Result<(), AppendError> {
        let result = self.commit_until_known(&requests).await;
        if result.is_err() {
            self.forget();
        }
        match result {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    count_outcome(&outcome);
                    // A caller that went away does not need its answer.
                    let _ = reply.send(Ok(outcome));
                }
                Ok(())
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
                if matches!(error, AppendError::Unavailable(_)) { Ok(()) } else { Err(error) }
            }
        }
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.streams.clear();
    }

    async fn commit_until_known(&mut self, requests: &[Append]) -> Result<Vec<Outcome>, AppendError> {
        let deadline = Instant::now() + self.options.patience;
        let mut stale = 0;
        let mut backoff = Backoff::default();
        loop {
            match self.commit_once(requests, deadline).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(Failure::Stop(error)) => return Err(error),
                Err(Failure::Stale) if stale < STALE_RETRIES => {
                    stale += 1;
                    self.forget();
                    match self.store.head(self.lease.tenant).await {
                        Ok(head) => self.head = head,
                        Err(error) if Instant::now() >= deadline => {
                            return Err(AppendError::Unavailable(error.to_string()));
                        }
                        Err(_) => backoff.wait().await,
                    }
                }
                Err(Failure::Stale) => {
                    return Err(AppendError::Broken("the log keeps moving under its only writer".into()));
                }
                Err(Failure::Unavailable(why)) => {
                    self.forget();
                    if Instant::now() >= deadline {
                        return Err(AppendError::Unavailable(why));
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    async fn commit_once(&mut self, requests: &[Append], deadline: Instant) -> Result<Vec<Outcome>, Failure> {
        let (batch, outcomes) = self.compute(requests).await?;
        if batch.is_empty() {
            return Ok(outcomes);
        }
        match self.store.commit(&batch).await {
            Ok(_) => {}
            Err(CommitError::Stale) => return Err(Failure::Stale),
            Err(CommitError::Fenced) => return Err(Failure::Stop(AppendError::Fenced)),
            Err(CommitError::Broken(what)) => return Err(Failure::Stop(AppendError::Broken(what))),
            Err(CommitError::Unavailable(source)) => {
                tracing::warn!(%source, "the outcome of a commit is unknown");
                self.resolve(&batch, deadline).await?;
            }
        }
        self.head = batch.after;
        self.streams.extend(batch.streams.into_iter().map(|moved| (moved.stream, moved.last_seq)));
        if self.rows.len() + self.streams.len() > HELD_MAX {
            self.forget();
        }
        self.head_sender.send_if_modified(|head| {
            let moved = *head != self.head.log_seq;
            *head = self.head.log_seq;
            moved
        });
        Ok(outcomes)
    }

    /// Finds out whether a batch whose commit had no answer is durable, and makes it so.
    ///
    /// Acquiring again waits for the old transaction and fences it; then the head tells.
    async fn resolve(&mut self, batch: &Batch, deadline: Instant) -> Result<(), Failure> {
        let mut batch = batch.clone();
        let mut backoff = Backoff::default();
        loop {
            let asked_at = Instant::now();
            let ttl = self.options.lease_ttl;
            let why = match self.store.acquire(batch.tenant, &self.options.writer, ttl).await {
                Ok(lease) => {
                    let head = lease.head;
                    locked(&self.lease_state).replace(lease.clone(), asked_at + ttl);
                    batch.epoch = lease.epoch;
                    self.lease = lease;
                    let moves = batch.before != batch.after;
                    if moves && head == batch.after {
                        return Ok(());
                    }
                    if head != batch.before {
                        return Err(Failure::Stop(AppendError::Fenced));
                    }
                    match self.store.commit(&batch).await {
                        Ok(_) => return Ok(()),
                        Err(CommitError::Stale) => return Err(Failure::Stale),
                        Err(CommitError::Fenced) => return Err(Failure::Stop(AppendError::Fenced)),
                        Err(CommitError::Broken(what)) => {
                            return Err(Failure::Stop(AppendError::Broken(what)));
                        }
                        Err(CommitError::Unavailable(source)) => source.to_string(),
                    }
                }
                Err(AcquireError::Held { .. }) => return Err(Failure::Stop(AppendError::Fenced)),
                Err(AcquireError::Store(StoreError::Unavailable(source))) => source.to_string(),
                Err(AcquireError::Store(error)) => return Err(error.into()),
            };
            if Instant::now() >= deadline {
                return Err(Failure::Stop(AppendError::Unavailable(why)));
            }
            backoff.wait().await;
        }
    }

    async fn compute(&mut self, requests: &[Append]) -> Result<(Batch, Vec<Outcome>), Failure> {
        let known = self.load_known(requests).await?;
        let now = self.options.clock.now();
        let mut draft = Draft::new(&self.lease, self.head, known, now, self.options.seed);
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let folded = request.rows.iter().find(|of| self.tables.contains(&of.table));
            let outcome = match draft.stage(request) {
                Err(outcome) => outcome,
                Ok(_) if folded.is_some() => {
                    let name = folded.map_or("", |of| of.table.name);
                    Outcome::Refused { reason: format!("{name} holds what events are folded into") }
                }
                Ok(staged) => match self.fold_all(&staged).await? {
                    Err(reason) => Outcome::Refused { reason },
                    Ok(()) => draft.admit(request, staged),
                },
            };
            outcomes.push(outcome);
        }
        let changes = self.rows.take_changes(&self.tables);
        Ok((draft.finish(changes), outcomes))
    }

    async fn load_known(&self, requests: &[Append]) -> Result<Known, Failure> {
        let mut known = Known::default();
        let tenant = self.lease.tenant;
        let event_keys = requests.iter().flat_map(|r| &r.events).filter_map(|e| e.dedupe_key.clone());
        let command_keys = requests.iter().filter_map(|r| r.command.as_ref()?.dedupe_key().ok());
        let keys: BTreeSet<DedupeKey> = event_keys.chain(command_keys).collect();
        if !keys.is_empty() {
            let keys: Vec<DedupeKey> = keys.into_iter().collect();
            let hits = self.store.lookup(tenant, &keys).await?;
            known.taken = hits.into_iter().map(|hit| (hit.key, (hit.fingerprint, hit.event))).collect();
        }
        let written = requests.iter().flat_map(|r| &r.events).map(|event| &event.stream);
        let asserted = requests.iter().flat_map(|r| &r.expected).map(|(stream, _)| stream);
        let mut missing = BTreeSet::new();
        for stream in written.chain(asserted) {
            match self.streams.get(stream) {
                Some(version) => drop(known.streams.insert(stream.clone(), *version)),
                None => drop(missing.insert(stream.clone())),
            }
        }
        if !missing.is_empty() {
            let missing: Vec<StreamKey> = missing.into_iter().collect();
            let versions = self.store.streams(tenant, &missing).await?;
            known.streams.extend(versions.into_iter().map(|version| (version.stream, version.last_seq)));
        }
        let names: BTreeSet<&String> =
            requests.iter().flat_map(|r| &r.checkpoints).map(|moved| &moved.name).collect();
        for name in names {
            if let Some(checkpoint) = self.store.checkpoint(tenant, name).await? {
                known.checkpoints.insert(name.clone(), checkpoint);
            }
        }
        Ok(known)
    }

    /// Folds the events of one request; a refusal takes back what they changed.
    async fn fold_all(&mut self, staged: &Staged) -> Result<Result<(), String>, Failure> {
        let mark = self.rows.mark();
        let projections = self.options.projections.clone();
        self.load_rows(&projections, staged).await?;
        for event in &staged.events {
            for projection in &projections {
                // An event may name further rows only once those before it were folded.
                self.load_rows_of(projection.as_ref(), event).await?;
                match projection.fold(event, &mut self.rows) {
                    Ok(()) => {}
                    Err(FoldError::Refused(reason)) => {
                        self.rows.take_back(mark);
                        return Ok(Err(reason));
                    }
                    Err(FoldError::Broken(what)) => return Err(Failure::Stop(AppendError::Broken(what))),
                }
            }
        }
        Ok(Ok(()))
    }

    /// Loads the rows of all events of a request at once, as far as they can be told beforehand.
    async fn load_rows(
        &mut self,
        projections: &[Arc<dyn crate::projection::Projection>],
        staged: &Staged,
    ) -> Result<(), Failure> {
        if staged.events.len() < 2 {
            return Ok(());
        }
        let mut missing = BTreeSet::new();
        for event in &staged.events {
            for projection in projections {
                let keys = projection.keys(event, &self.rows).map_err(broken)?;
                missing.extend(keys.into_iter().filter(|key| !self.rows.holds(key)));
            }
        }
        self.load(missing).await
    }

    async fn load_rows_of(
        &mut self,
        projection: &dyn crate::projection::Projection,
        event: &crate::event::RecordedEvent,
    ) -> Result<(), Failure> {
        loop {
            let keys = projection.keys(event, &self.rows).map_err(broken)?;
            let missing: BTreeSet<RowKey> = keys.into_iter().filter(|key| !self.rows.holds(key)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            self.load(missing).await?;
        }
    }

    /// Loads rows, one call per table.
    async fn load(&mut self, missing: BTreeSet<RowKey>) -> Result<(), Failure> {
        let mut by_table: BTreeMap<&'static str, Vec<RowKey>> = BTreeMap::new();
        for key in missing {
            by_table.entry(key.table).or_default().push(key);
        }
        for (name, keys) in by_table {
            let table = self.tables.iter().copied().find(|table| table.name == name);
            let table = table.ok_or_else(|| {
                Failure::Stop(AppendError::Broken(format!(
                    "a projection names the table {name}, which is not its own"
                )))
            })?;
            let query = RowQuery::keys(keys.iter().map(|key| key.key.clone()).collect());
            let found: Vec<Row> = self.store.rows(self.lease.tenant, table, &query).await?;
            for row in found {
                self.rows.load(RowKey { table: name, key: row.key(table) }, Some(row));
            }
            for key in keys {
                self.rows.load(key, None);
            }
        }
        Ok(())
    }
}

fn broken(error: FoldError) -> Failure {
    Failure::Stop(AppendError::Broken(error.to_string()))
}

/// What the writer was asked to do behind a batch.
enum Then {
    Rest(oneshot::Sender<AtRest>),
    Close(oneshot::Sender<()>),
}

/// Takes what is queued, up to one batch, and never waits for more.
fn drain(first: Message, queue: &mut mpsc::Receiver<Message>) -> (Vec<Append>, Vec<Reply>, Option<Then>) {
    let (mut requests, mut replies, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Pause(rest) => return (requests, replies, Some(Then::Rest(rest))),
            Message::Close(done) => return (requests, replies, Some(Then::Close(done))),
            Message::Append(request, reply) => {
                bytes += request.events.iter().map(|event| event.payload.as_str().len()).sum::<usize>();
                requests.push(*request);
                replies.push(reply);
            }
        }
        let full = requests.len() >= BATCH_REQUESTS_MAX || bytes >= BATCH_BYTES_MAX;
        next = if full { None } else { queue.try_recv().ok() };
    }
    (requests, replies, None)
}

fn refuse_rest(queue: &mut mpsc::Receiver<Message>, stop: &AppendError) {
    queue.close();
    while let Ok(message) = queue.try_recv() {
        if let Message::Append(_, reply) = message {
            let _ = reply.send(Err(stop.clone()));
        }
    }
}

fn count_outcome(outcome: &Outcome) {
    let name = match outcome {
        Outcome::Appended(appended) => {
            let new = appended.events.iter().filter(|receipt| receipt.is_new).count();
            metrics::counter!("eventlog_events_total").increment(new as u64);
            return;
        }
        Outcome::Duplicate { .. } => "eventlog_duplicates_total",
        Outcome::Mismatch { .. } => "eventlog_mismatches_total",
        Outcome::Conflict { .. } => "eventlog_conflicts_total",
        Outcome::CheckpointMoved { .. } | Outcome::CheckpointAhead { .. } => {
            "eventlog_checkpoint_conflicts_total"
        }
        Outcome::Refused { .. } => "eventlog_refusals_total",
    };
    metrics::counter!(name).increment(1);
}

fn count_for_metrics(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Marks the lease as no longer written under when the writer ends, however it ends.
struct OverOnDrop(Arc<Mutex<LeaseState>>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        locked(&self.0).is_over = true;
    }
}

#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    /// Waits twice as long as the last time, up to a limit. The spread comes from the callers' own timing:
    /// there is one writer per tenant.
    async fn wait(&mut self) {
        let wait = BACKOFF_FIRST.saturating_mul(1 << self.0.min(10)).min(BACKOFF_LAST);
        self.0 += 1;
        tokio::time::sleep(wait).await;
    }
}
