//! The writer task: drains the queue, computes one batch while the one before it commits, answers.
//!
//! A batch is computed on top of the one that is on its way to the database. When that one fails, everything
//! that was computed on it is thrown away, and both are computed anew, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::draft::{Draft, Known, Staged, TakenKey, unplaced};
use super::guess::{Asked, Guesses};
use super::work::{Then, Work};
use super::{Append, AppendError, AtRest, Expected, LeaseState, LedgerOptions, Message, Outcome, locked};
use crate::batch::{Batch, Head, Lease};
use crate::event::RecordedEvent;
use crate::names::{DedupeKey, EventType, StreamKey, TenantId};
use crate::projection::{FoldError, Projection, Reading, RowKey, Rows};
use crate::recent::Recent;
use crate::store::{AcquireError, CommitError, RowQuery, Store, StoreError};
use crate::table::{Row, Table};

/// About how many rows, and how many streams, are held between batches.
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
    /// Where the log ends once what is under way is durable.
    head: Head,
    head_sender: Arc<watch::Sender<i64>>,
    lease_state: Arc<Mutex<LeaseState>>,
    tables: Vec<&'static Table>,
    rows: Rows,
    streams: Recent<StreamKey, i64>,
    /// What the last batch makes true, until the next one has been computed on it.
    under_way: Known,
    guesses: Guesses,
}

/// A batch in the making, and the requests that are in it.
struct Open {
    draft: Draft,
    work: Work,
    outcomes: Vec<Outcome>,
}

/// A batch on its way to the database; the task answers its callers once it is durable.
struct Flight(JoinHandle<Result<(), Box<Failed>>>);

/// A batch that is not known to be durable.
struct Failed {
    batch: Batch,
    work: Work,
    outcomes: Vec<Outcome>,
    error: CommitError,
}

impl Flight {
    async fn land(&mut self) -> Result<(), Box<Failed>> {
        match (&mut self.0).await {
            Ok(landed) => landed,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
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
        Self {
            store,
            head: lease.head,
            options,
            lease,
            head_sender: Arc::new(head_sender),
            lease_state,
            tables,
            rows: Rows::default(),
            streams: Recent::default(),
            under_way: Known::default(),
            guesses: Guesses::default(),
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        // Also when a fold panics: a lease that nobody writes under must run out.
        let _over = OverOnDrop(Arc::clone(&self.lease_state));
        match self.write(&mut queue).await {
            Ok(None) => {}
            Ok(Some(done)) => {
                if let Err(error) = self.store.release(&self.lease).await {
                    tracing::warn!(%error, "the lease was not given up; it ends by itself");
                }
                queue.close();
                // The closer may have gone away, which changes nothing.
                let _ = done.send(());
            }
            Err(stop) => {
                if stop == AppendError::Fenced {
                    locked(&self.lease_state).is_fenced = true;
                    metrics::counter!("eventlog_fenced_total").increment(1);
                }
                tracing::error!(error = %stop, "the writer stops");
                refuse_rest(&mut queue, &stop);
            }
        }
    }

    /// Writes until nobody is left, or somebody waits for the end. An error means that the writer cannot go on.
    async fn write(
        &mut self,
        queue: &mut mpsc::Receiver<Message>,
    ) -> Result<Option<oneshot::Sender<()>>, AppendError> {
        let mut flight: Option<Flight> = None;
        let mut open: Option<Open> = None;
        let mut then: Option<Then> = None;
        loop {
            if flight.is_none() {
                if let Some(open) = open.take() {
                    flight = self.launch(open);
                    continue;
                }
                match then.take() {
                    None => {}
                    Some(Then::Rest(rest)) => self.rest(rest).await,
                    Some(Then::Leave) => return Ok(None),
                    Some(Then::Close(done)) => return Ok(Some(done)),
                }
            }
            let has_room = then.is_none() && open.as_ref().is_none_or(|open| !open.work.is_full());
            let message = tokio::select! {
                biased;
                landed = land(&mut flight), if flight.is_some() => {
                    flight = None;
                    if let Err(failed) = landed {
                        self.write_again(Some(failed), open.take().map(|open| open.work)).await?;
                    }
                    continue;
                }
                message = queue.recv(), if has_room => message,
            };
            let mut batch = open.take().unwrap_or_else(|| self.open());
            let before = batch.work.len();
            then = batch.work.drain(message, queue);
            match self.extend(&mut batch, before).await {
                Ok(()) if batch.work.is_empty() => {}
                Ok(()) => open = Some(batch),
                Err(_) => {
                    // Reads failed, or a fold: without a batch under way it is known what to make of it.
                    let failed = match flight.as_mut() {
                        Some(flight) => flight.land().await.err(),
                        None => None,
                    };
                    flight = None;
                    self.write_again(failed, Some(batch.work)).await?;
                }
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

    fn open(&mut self) -> Open {
        let known = std::mem::take(&mut self.under_way);
        let now = self.options.clock.now();
        let draft = Draft::new(&self.lease, self.head, known, now, self.options.seed);
        Open { draft, work: Work::default(), outcomes: Vec::new() }
    }

    /// The batch as it is committed; the next one is computed on top of it.
    fn close(&mut self, open: Open) -> (Batch, Work, Vec<Outcome>) {
        let Open { draft, work, outcomes } = open;
        let batch = draft.finish(self.rows.take_changes(&self.tables));
        metrics::histogram!("eventlog_batch_requests").record(count_for_metrics(work.len()));
        (batch, work, outcomes)
    }

    /// Takes note of a batch that is durable, or will be.
    fn advance(&mut self, batch: &Batch) {
        self.head = batch.after;
        for moved in &batch.streams {
            self.streams.insert(moved.stream.clone(), moved.last_seq);
        }
        self.streams.age(HELD_MAX / 2);
        self.rows.age(HELD_MAX);
        self.under_way = Known::after(batch);
        self.guesses.batch_done();
    }

    /// Sends a batch on its way; nothing when it changes nothing, since everything before it is durable.
    fn launch(&mut self, open: Open) -> Option<Flight> {
        let (batch, work, outcomes) = self.close(open);
        if batch.is_empty() {
            work.answer(outcomes);
            return None;
        }
        self.advance(&batch);
        let (store, head) = (Arc::clone(&self.store), Arc::clone(&self.head_sender));
        Some(Flight(tokio::spawn(async move {
            match store.commit(&batch).await {
                Ok(_) => {
                    tell(&head, batch.after);
                    work.answer(outcomes);
                    Ok(())
                }
                Err(error) => Err(Box::new(Failed { batch, work, outcomes, error })),
            }
        })))
    }

    /// Writes what failed, and what was computed on top of it, one batch after the other.
    async fn write_again(
        &mut self,
        failed: Option<Box<Failed>>,
        next: Option<Work>,
    ) -> Result<(), AppendError> {
        self.forget();
        let mut result = Ok(());
        if let Some(failed) = failed {
            let Failed { batch, work, outcomes, error } = *failed;
            self.head = batch.before;
            result = self.write_alone(work, Some((batch, outcomes, error))).await;
        }
        match (next, result) {
            (Some(work), Ok(())) => self.write_alone(work, None).await,
            (Some(work), Err(stop)) => {
                work.fail(&stop);
                Err(stop)
            }
            (None, result) => result,
        }
    }

    /// Writes requests while nothing else is under way, and answers them. An error means that the writer
    /// cannot go on.
    async fn write_alone(
        &mut self,
        work: Work,
        attempt: Option<(Batch, Vec<Outcome>, CommitError)>,
    ) -> Result<(), AppendError> {
        let (result, work) = self.commit_until_known(work, attempt).await;
        match result {
            Ok(outcomes) => {
                work.answer(outcomes);
                Ok(())
            }
            Err(error) => {
                self.forget();
                work.fail(&error);
                if matches!(error, AppendError::Unavailable(_)) { Ok(()) } else { Err(error) }
            }
        }
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.streams.clear();
        self.under_way = Known::default();
    }

    async fn commit_until_known(
        &mut self,
        mut work: Work,
        attempt: Option<(Batch, Vec<Outcome>, CommitError)>,
    ) -> (Result<Vec<Outcome>, AppendError>, Work) {
        let deadline = Instant::now() + self.options.patience;
        let mut stale = 0;
        let mut backoff = Backoff::default();
        let mut attempt = match attempt {
            Some((batch, outcomes, error)) => {
                Some(self.conclude(&batch, Err(error), deadline).await.map(|()| outcomes))
            }
            None => None,
        };
        loop {
            let result = match attempt.take() {
                Some(result) => result,
                None => self.commit_once(&mut work, deadline).await,
            };
            match result {
                Ok(outcomes) => return (Ok(outcomes), work),
                Err(Failure::Stop(error)) => return (Err(error), work),
                Err(Failure::Stale) if stale < STALE_RETRIES => {
                    stale += 1;
                    self.forget();
                    self.guesses.were_wrong();
                    match self.store.head(self.lease.tenant).await {
                        Ok(head) => self.head = head,
                        Err(error) if Instant::now() >= deadline => {
                            return (Err(AppendError::Unavailable(error.to_string())), work);
                        }
                        Err(_) => backoff.wait().await,
                    }
                }
                Err(Failure::Stale) => {
                    let why = "the log keeps moving under its only writer";
                    return (Err(AppendError::Broken(why.into())), work);
                }
                Err(Failure::Unavailable(why)) => {
                    self.forget();
                    if Instant::now() >= deadline {
                        return (Err(AppendError::Unavailable(why)), work);
                    }
                    backoff.wait().await;
                }
            }
        }
    }

    async fn commit_once(&mut self, work: &mut Work, deadline: Instant) -> Result<Vec<Outcome>, Failure> {
        let mut open = self.open();
        std::mem::swap(&mut open.work, work);
        let extended = self.extend(&mut open, 0).await;
        let (batch, requests, outcomes) = self.close(open);
        *work = requests;
        extended?;
        if batch.is_empty() {
            return Ok(outcomes);
        }
        let result = self.store.commit(&batch).await.map(|_| ());
        self.conclude(&batch, result, deadline).await?;
        Ok(outcomes)
    }

    /// What a commit's answer means; a batch that is durable becomes what the next one builds on.
    async fn conclude(
        &mut self,
        batch: &Batch,
        result: Result<(), CommitError>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        match result {
            Ok(()) => {}
            Err(CommitError::Stale) => return Err(Failure::Stale),
            Err(CommitError::Fenced) => return Err(Failure::Stop(AppendError::Fenced)),
            Err(CommitError::Broken(what)) => return Err(Failure::Stop(AppendError::Broken(what))),
            Err(CommitError::Unavailable(source)) => {
                tracing::warn!(%source, "the outcome of a commit is unknown");
                self.resolve(batch, deadline).await?;
            }
        }
        self.advance(batch);
        tell(&self.head_sender, self.head);
        Ok(())
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

    /// Computes the requests from the one at `first` on, on top of those before it.
    async fn extend(&mut self, open: &mut Open, first: usize) -> Result<(), Failure> {
        let projections = self.options.projections.clone();
        let Open { draft, work, outcomes } = open;
        let requests = &work.requests()[first..];
        let read = |request| Incoming::read(request, &projections, self.lease.tenant);
        let incoming: Vec<Incoming<'_>> = requests.iter().map(read).collect();
        let is_guessed = self.guesses.may_guess();
        let keys = if is_guessed { Vec::new() } else { unknown_keys(draft, requests) };
        let (held, asked) = self.versions_held(draft, requests, is_guessed);
        draft.learn(Known { streams: held, ..Known::default() });
        let readings = incoming.iter().flat_map(|incoming| &incoming.readings).flatten().flatten().collect();
        let (missing, unread) = self.missing(readings);
        let streams: Vec<StreamKey> = asked.keys().cloned().collect();
        let (taken, versions, rows) =
            tokio::join!(self.look_up(&keys), self.look_streams_up(&streams), self.find(missing));
        let (taken, versions) = (taken?, versions?);
        self.guesses.keys_were_taken(taken.len());
        self.guesses.streams_were(&asked, &versions);
        draft.learn(Known { taken, streams: versions, ..Known::default() });
        self.hold(rows?);
        self.hold_further(unread).await?;
        self.look_checkpoints_up(draft, requests).await?;
        for (request, incoming) in requests.iter().zip(&incoming) {
            let mut outcome = self.decide(draft, request, incoming, &projections).await?;
            if is_guessed && !matches!(outcome, Outcome::Appended(_)) {
                // What is committed proves the guesses in it; this is not, so it must be known.
                let taken = self.look_up(&unknown_keys(draft, std::slice::from_ref(request))).await?;
                self.guesses.keys_were_taken(taken.len());
                let streams: Vec<StreamKey> = streams_of(request).map(|(stream, _)| stream.clone()).collect();
                let streams = self.look_streams_up(&streams).await?;
                draft.learn(Known { taken, streams, ..Known::default() });
                outcome = self.decide(draft, request, incoming, &projections).await?;
            }
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// How a request ends, once all that it needs is known.
    async fn decide(
        &mut self,
        draft: &mut Draft,
        request: &Append,
        incoming: &Incoming<'_>,
        projections: &[Arc<dyn Projection>],
    ) -> Result<Outcome, Failure> {
        let folded = request.rows.iter().find(|of| self.tables.contains(&of.table));
        match draft.stage(request, &incoming.unplaced) {
            Err(outcome) => Ok(outcome),
            Ok(_) if folded.is_some() => {
                let name = folded.map_or("", |of| of.table.name);
                Ok(Outcome::Refused { reason: format!("{name} holds what events are folded into") })
            }
            Ok(staged) => match self.fold_all(&staged, incoming, projections).await? {
                Err(reason) => Ok(Outcome::Refused { reason }),
                Ok(()) => Ok(draft.admit(request, staged)),
            },
        }
    }

    /// Folds the events of one request; a refusal takes back what they changed.
    async fn fold_all(
        &mut self,
        staged: &Staged,
        incoming: &Incoming<'_>,
        projections: &[Arc<dyn Projection>],
    ) -> Result<Result<(), String>, Failure> {
        let mark = self.rows.mark();
        for (event, index) in staged.events.iter().zip(&staged.indices) {
            for (projection, reading) in projections.iter().zip(&incoming.readings[*index]) {
                loop {
                    let folded = match reading {
                        Ok(reading) => reading.try_fold(event, &mut self.rows),
                        // Once more, so that the error names the event's place.
                        Err(_) => projection.try_fold(event, &mut self.rows),
                    };
                    match folded {
                        Ok(missing) if missing.is_empty() => break,
                        // An event may name further rows only once those before it were folded.
                        Ok(missing) => {
                            let rows = self.find(missing.into_iter().collect()).await?;
                            self.hold(rows);
                        }
                        Err(FoldError::Refused(reason)) => {
                            self.rows.take_back(mark);
                            return Ok(Err(reason));
                        }
                        Err(FoldError::Broken(what)) => return Err(Failure::Stop(AppendError::Broken(what))),
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// The rows that events name and that are not held, and the events that named them.
    fn missing<'r, 'p>(&mut self, readings: Vec<&'r Read<'p>>) -> (BTreeSet<RowKey>, Vec<&'r Read<'p>>) {
        let mut missing = BTreeSet::new();
        let mut unread = Vec::new();
        for reading in readings {
            // What is wrong with an event is said when it is folded, if it comes to that.
            let keys = reading.keys(&self.rows).unwrap_or_default();
            let before = missing.len();
            missing.extend(keys.into_iter().filter(|key| !self.rows.touch(key)));
            if missing.len() > before {
                unread.push(reading);
            }
        }
        (missing, unread)
    }

    /// Loads rows until the events name no others.
    async fn hold_further(&mut self, readings: Vec<&Read<'_>>) -> Result<(), Failure> {
        let (mut missing, mut unread) = self.missing(readings);
        while !missing.is_empty() {
            let rows = self.find(missing).await?;
            self.hold(rows);
            (missing, unread) = self.missing(unread);
        }
        Ok(())
    }

    fn hold(&mut self, rows: Vec<(RowKey, Option<Row>)>) {
        for (key, row) in rows {
            self.rows.load(key, row);
        }
    }

    /// Rows, or that there are none, in one call per table.
    async fn find(&self, missing: BTreeSet<RowKey>) -> Result<Vec<(RowKey, Option<Row>)>, Failure> {
        let mut by_table: BTreeMap<&'static str, Vec<RowKey>> = BTreeMap::new();
        for key in missing {
            by_table.entry(key.table).or_default().push(key);
        }
        let mut rows = Vec::new();
        for (name, keys) in by_table {
            let table = self.tables.iter().copied().find(|table| table.name == name);
            let table = table.ok_or_else(|| {
                Failure::Stop(AppendError::Broken(format!(
                    "a projection names the table {name}, which is not its own"
                )))
            })?;
            let query = RowQuery::keys(keys.iter().map(|key| key.key.clone()).collect());
            let found: Vec<Row> = self.store.rows(self.lease.tenant, table, &query).await?;
            let found = found.into_iter().map(|row| (RowKey { table: name, key: row.key(table) }, Some(row)));
            // What was found comes first, and a row that is held stays.
            rows.extend(found.chain(keys.into_iter().map(|key| (key, None))));
        }
        Ok(rows)
    }

    async fn look_up(&self, keys: &[DedupeKey]) -> Result<BTreeMap<DedupeKey, TakenKey>, Failure> {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let hits = self.store.lookup(self.lease.tenant, keys).await?;
        Ok(hits.into_iter().map(|hit| (hit.key, (hit.fingerprint, hit.event))).collect())
    }

    async fn look_streams_up(&self, streams: &[StreamKey]) -> Result<BTreeMap<StreamKey, i64>, Failure> {
        if streams.is_empty() {
            return Ok(BTreeMap::new());
        }
        let versions = self.store.streams(self.lease.tenant, streams).await?;
        Ok(versions.into_iter().map(|version| (version.stream, version.last_seq)).collect())
    }

    async fn look_checkpoints_up(&self, draft: &mut Draft, requests: &[Append]) -> Result<(), Failure> {
        let names: BTreeSet<&String> =
            requests.iter().flat_map(|r| &r.checkpoints).map(|moved| &moved.name).collect();
        let mut known = Known::default();
        for name in names {
            if !draft.knows_checkpoint(name)
                && let Some(checkpoint) = self.store.checkpoint(self.lease.tenant, name).await?
            {
                known.checkpoints.insert(name.clone(), checkpoint);
            }
        }
        draft.learn(known);
        Ok(())
    }

    /// The streams of requests whose versions are held or guessed, and those that must be looked up, with
    /// the type of the event that is appended first.
    fn versions_held(
        &mut self,
        draft: &Draft,
        requests: &[Append],
        is_guessed: bool,
    ) -> (BTreeMap<StreamKey, i64>, Asked) {
        let (mut held, mut asked) = (BTreeMap::new(), Asked::new());
        for request in requests {
            for (stream, event_type) in streams_of(request) {
                if draft.knows_stream(stream) || held.contains_key(stream) {
                    continue;
                }
                let is_expected = |(of, expected): &(StreamKey, Expected)| of == stream && !expected.holds(0);
                if let Some(version) = self.streams.touch(stream) {
                    held.insert(stream.clone(), *version);
                } else if is_guessed
                    && event_type.is_some_and(|event_type| self.guesses.begins_streams(event_type))
                    && !request.expected.iter().any(is_expected)
                {
                    held.insert(stream.clone(), 0);
                } else {
                    asked.entry(stream.clone()).or_insert_with(|| event_type.cloned());
                }
            }
        }
        (held, asked)
    }
}

/// An event that one projection has read.
type Read<'a> = Box<dyn Reading + 'a>;

/// A request's events, read once by each projection.
struct Incoming<'a> {
    unplaced: Vec<RecordedEvent>,
    readings: Vec<Vec<Result<Read<'a>, FoldError>>>,
}

impl<'a> Incoming<'a> {
    fn read(request: &Append, projections: &'a [Arc<dyn Projection>], tenant: TenantId) -> Self {
        let unplaced = unplaced(request, tenant);
        let read = |event| projections.iter().map(|projection| projection.read(event)).collect();
        let readings = unplaced.iter().map(read).collect();
        Self { unplaced, readings }
    }
}

/// The streams that a request writes, each with its event's type, and those that it asserts.
fn streams_of(request: &Append) -> impl Iterator<Item = (&StreamKey, Option<&EventType>)> {
    let written = request.events.iter().map(|event| (&event.stream, Some(&event.event_type)));
    written.chain(request.expected.iter().map(|(stream, _)| (stream, None)))
}

/// The dedupe keys of requests of which it is not known who has them.
fn unknown_keys(draft: &Draft, requests: &[Append]) -> Vec<DedupeKey> {
    let event_keys = requests.iter().flat_map(|r| &r.events).filter_map(|e| e.dedupe_key.clone());
    let command_keys = requests.iter().filter_map(|r| r.command.as_ref()?.dedupe_key().ok());
    let keys: BTreeSet<DedupeKey> = event_keys.chain(command_keys).collect();
    keys.into_iter().filter(|key| !draft.knows_key(key)).collect()
}

/// What is under way, if anything is.
async fn land(flight: &mut Option<Flight>) -> Result<(), Box<Failed>> {
    match flight {
        Some(flight) => flight.land().await,
        None => std::future::pending().await,
    }
}

fn tell(sender: &watch::Sender<i64>, head: Head) {
    sender.send_if_modified(|known| {
        let moved = *known != head.log_seq;
        *known = head.log_seq;
        moved
    });
}

fn refuse_rest(queue: &mut mpsc::Receiver<Message>, stop: &AppendError) {
    queue.close();
    while let Ok(message) = queue.try_recv() {
        if let Message::Append(_, reply) = message {
            let _ = reply.send(Err(stop.clone()));
        }
    }
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
