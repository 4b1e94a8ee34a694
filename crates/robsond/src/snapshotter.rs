//! The snapshotter: takes snapshots when they are due, and every hour marks the log as verified up to where it is.
//!
//! It reads beside the trading task and hands its appends to the same ledger, so that it is never in the way and
//! decides nothing: no event, no row of a table and no digest depends on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::snapshot::{Reason, Schedule, Scopes as _, Triggers, Watch, take};
use robson_eventlog::{
    Append, AppendError, CheckpointMove, EventQuery, EventType, Ledger, Outcome, ReplayError, RowQuery,
    Start, Store, StoreError, Subscription, TenantId, Timestamp, Value, verify,
};
use robson_projector::{TraderScopes, TraderTables, risk_state_current};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How often the log is looked at: a snapshot that comes a second later is as good.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the log is marked as verified.
const MARK_EVERY: Duration = Duration::from_secs(3_600);

/// When snapshots are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// After so many events of a scope.
    pub events: Option<u64>,
    /// After so much time.
    pub period: Option<Duration>,
    /// After events of these types, which end a workflow.
    pub workflow_ends: BTreeSet<EventType>,
}

/// The task.
#[derive(Debug)]
pub struct Snapshotter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Snapshotter {
    /// Begins to look after a ledger's log.
    pub fn start<S: Store>(ledger: Ledger<S>, settings: SnapshotSettings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let SnapshotSettings { events, period, workflow_ends: boundaries } = settings;
            let worker = Worker::new(ledger, Triggers { events, period, boundaries });
            worker.run(stopped).await;
        });
        Self { stop, task }
    }

    /// Ends once what is under way is done.
    pub async fn stop(self) {
        // It may have ended by itself, with its ledger.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the snapshotter ended badly; the log is safe");
        }
    }
}

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    /// Another round may do better.
    #[error("try again")]
    Later(#[source] ReplayError),
    /// There is nothing more to be done.
    #[error("over")]
    Over(#[source] Option<ReplayError>),
}

impl From<StoreError> for RoundError {
    fn from(error: StoreError) -> Self {
        ReplayError::from(error).into()
    }
}

impl From<ReplayError> for RoundError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(StoreError::Closed) => Self::Over(None),
            ReplayError::Store(StoreError::Unavailable(_)) => Self::Later(error),
            other => Self::Over(Some(other)),
        }
    }
}

impl From<AppendError> for RoundError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable(why) => {
                Self::Later(ReplayError::Store(StoreError::Unavailable(why.into())))
            }
            // The trading task learns it by itself.
            _ => Self::Over(None),
        }
    }
}

struct Worker<S> {
    ledger: Ledger<S>,
    store: Arc<S>,
    tenant: TenantId,
    watch: Watch,
    schedule: Schedule,
    subscription: Option<Subscription<S>>,
    marked_at: Timestamp,
}

impl<S: Store> Worker<S> {
    fn new(ledger: Ledger<S>, triggers: Triggers) -> Self {
        let (store, tenant) = (Arc::clone(ledger.store()), ledger.tenant());
        let watch = Watch::new(vec![Arc::new(TraderTables)], Arc::new(TraderScopes));
        let (schedule, marked_at) = (Schedule::new(triggers), ledger.now());
        Self { ledger, store, tenant, watch, schedule, subscription: None, marked_at }
    }

    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                _ = ticks.tick() => {}
            }
            match self.round().await {
                Ok(()) => {}
                Err(RoundError::Later(error)) => {
                    tracing::warn!(%error, "no snapshot was taken; it is tried again")
                }
                Err(RoundError::Over(Some(error))) => {
                    return tracing::error!(%error, "no more snapshots are taken; run `robson verify`");
                }
                Err(RoundError::Over(None)) => return,
            }
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        self.follow().await?;
        for (scope, reason) in self.schedule.due(self.ledger.now()) {
            self.take(&scope, reason).await?;
        }
        self.mark().await
    }

    /// Counts what has come.
    async fn follow(&mut self) -> Result<(), RoundError> {
        if self.schedule.is_off() {
            return Ok(());
        }
        if self.subscription.is_none() {
            let start = Start::After(self.catch_up().await?);
            self.subscription = Some(self.ledger.subscribe(start, EventQuery::all(self.tenant)));
        }
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        while let Some(page) = subscription.poll_page().await? {
            let scopes = self.watch.scopes_of(self.store.as_ref(), self.tenant, &page).await?;
            page.iter().zip(&scopes).for_each(|(event, scopes)| self.schedule.observe(event, scopes));
        }
        Ok(())
    }

    /// What came of each account since its last snapshot, before this run; answers the place up to which it counted.
    async fn catch_up(&mut self) -> Result<i64, RoundError> {
        let head = self.store.head(self.tenant).await?;
        let accounts = RowQuery::filter("scope", Value::Text("account".to_owned()));
        let rows = self.store.rows(self.tenant, &risk_state_current::TABLE, &accounts).await?;
        for row in rows {
            let Some(Value::Uuid(id)) = row.0.first() else { continue };
            let Some(scope) = TraderScopes.scope("account", &id.to_string()) else { continue };
            let last = self.store.snapshot(self.tenant, scope.kind, &scope.id, head.log_seq).await?;
            let last = last.filter(|last| last.schema_version == TraderScopes.fold_version());
            let (as_of, since) =
                last.map_or((0, head.ingested_at), |last| (last.as_of_log_seq, last.as_of_time));
            self.schedule.catch_up(scope, u64::try_from(head.log_seq - as_of).unwrap_or(0), since);
        }
        Ok(head.log_seq)
    }

    async fn take(
        &mut self,
        scope: &robson_eventlog::snapshot::Scope,
        reason: Reason,
    ) -> Result<(), RoundError> {
        let now = self.ledger.now();
        let taken =
            take(self.store.as_ref(), self.tenant, &TraderScopes, scope, reason.as_str(), now).await?;
        let Some(taken) = taken else {
            self.schedule.forget(scope);
            return Ok(());
        };
        let as_of = taken.snapshot.as_of_log_seq;
        self.ledger.append(Append { snapshots: vec![taken.snapshot], ..Append::default() }).await?;
        self.schedule.taken(scope, taken.rows);
        metrics::counter!("robsond_snapshots_total", "reason" => reason.as_str()).increment(1);
        tracing::debug!(%scope, as_of, rows = taken.rows, reason = reason.as_str(), "took a snapshot");
        Ok(())
    }

    /// Checks what was appended since the last mark, once an hour, and marks it.
    async fn mark(&mut self) -> Result<(), RoundError> {
        let now = self.ledger.now();
        if self.marked_at.checked_add(MARK_EVERY).is_none_or(|due| now < due) {
            return Ok(());
        }
        self.marked_at = now;
        let head = self.store.head(self.tenant).await?;
        let from = verify::marked(self.store.as_ref(), self.tenant).await?;
        let damage = verify::check_tail(self.store.as_ref(), self.tenant, head, from, i64::MAX).await?;
        if let Some(damage) = damage {
            metrics::gauge!("robsond_log_damaged").set(1.0);
            tracing::error!(%damage, "the log is not as it was written: stop, run `robson verify`");
            return Ok(());
        }
        if head.log_seq > from {
            let name = verify::MARK.to_owned();
            let checkpoints = vec![CheckpointMove { name, from, to: head.log_seq, generation: 0 }];
            let outcome = self.ledger.append(Append { checkpoints, ..Append::default() }).await?;
            if !matches!(outcome, Outcome::Appended(_)) {
                tracing::warn!(?outcome, "the verified mark was moved by somebody else");
            }
        }
        Ok(())
    }
}
