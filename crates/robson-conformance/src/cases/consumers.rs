//! Consumers and reactors: effects happen once, one instance is active, and what cannot be dealt with stops
//! or is parked, to be seen and decided about.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use robson_eventlog::command::COMMANDS;
use robson_eventlog::parking::{decide, parked_events};
use robson_eventlog::{
    AcquireError, Append, AppendError, Checkpoint, CheckpointMove, Consumer, ConsumerOptions, ConsumerState,
    ConsumerStatus, EventQuery, Failure, Input, Ledger, LedgerOptions, NewEvent, OpenError, Outcome,
    ParkedEvent, ParkedStatus, Policy, ReactError, Reactor, Recorder, Row, RowQuery, RunningReactor, Start,
    Store, TableRows, Timestamp, Value, Verdict,
};
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::erased::SharedStore;
use crate::fixtures::{Log, append, event, everything, typed};
use crate::tally::{SAMPLES, TALLIES};
use crate::telemetry::Seen;
use crate::{Env, case};

/// Within which something must have happened; far more than any backend needs.
const BOUND: Duration = Duration::from_secs(20);

/// Stops a reactor in the middle of an event, until it is let go.
#[derive(Debug, Default)]
struct Gate {
    log_seq: i64,
    entered: Notify,
    open: Notify,
}

/// Copies each event `TALLIED` into the stream `copy:1`, knows `COPIED`, and no other type.
#[derive(Debug, Clone)]
pub(super) struct Copier {
    name: &'static str,
    handed: Arc<Mutex<Vec<i64>>>,
    gate: Option<Arc<Gate>>,
    /// Whether it can deal with events that say they are poison.
    is_mended: Arc<AtomicBool>,
}

impl Copier {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, handed: Arc::default(), gate: None, is_mended: Arc::default() }
    }

    /// The places that it was handed, in order.
    fn handed(&self) -> Vec<i64> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Reactor for Copier {
    fn name(&self) -> &str {
        self.name
    }

    async fn react(&mut self, input: Input<'_>) -> Result<Append, ReactError> {
        let event = input.event;
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).push(event.log_seq);
        if let Some(gate) = self.gate.as_ref().filter(|gate| gate.log_seq == event.log_seq) {
            gate.entered.notify_one();
            gate.open.notified().await;
        }
        match event.event_type.as_str() {
            "TALLIED"
                if event.payload.value()["poison"] == true && !self.is_mended.load(Ordering::Acquire) =>
            {
                Err(ReactError::Poison("it is poison".to_owned()))
            }
            "TALLIED" => Ok(Append::events(vec![typed("copy:1", "COPIED", json!({"of": event.log_seq}))])),
            "COPIED" | "NOTED" => Ok(Append::default()),
            _ => Err(ReactError::Unknown),
        }
    }
}

/// Which events were copied, in the order of the copies.
pub(super) async fn copies(store: &SharedStore) -> anyhow::Result<Vec<i64>> {
    let log = everything(store, Env::TENANT).await?;
    let copies = log.iter().filter(|event| event.event_type.as_str() == "COPIED");
    copies.map(|event| event.payload.value()["of"].as_i64().context("a copy of nothing")).collect()
}

/// Which events there are to copy.
async fn originals(store: &SharedStore) -> anyhow::Result<Vec<i64>> {
    let log = everything(store, Env::TENANT).await?;
    Ok(log.iter().filter(|e| e.event_type.as_str() == "TALLIED").map(|e| e.log_seq).collect())
}

/// Records what is parked as an event `NOTED`.
#[derive(Debug)]
struct Notes;

impl Recorder for Notes {
    fn record(&self, parked: &ParkedEvent, _now: Timestamp) -> Option<NewEvent> {
        let what = json!({"status": parked.status.as_str(), "log_seq": parked.log_seq});
        Some(typed("notes:1", "NOTED", what))
    }
}

fn poison() -> NewEvent {
    typed("a:1", "TALLIED", json!({"poison": true}))
}

fn options() -> ConsumerOptions {
    ConsumerOptions { recorder: Some(Arc::new(Notes)), ..ConsumerOptions::new(Env::TENANT) }
}

fn parking(policy: Policy) -> ConsumerOptions {
    ConsumerOptions { on_unknown: policy, on_poison: policy, ..options() }
}

async fn until(
    status: &mut watch::Receiver<ConsumerStatus>,
    holds: impl FnMut(&ConsumerStatus) -> bool,
) -> anyhow::Result<ConsumerStatus> {
    let status = tokio::time::timeout(BOUND, status.wait_for(holds)).await;
    Ok(status.context("the consumer does not get there")??.clone())
}

/// Waits until a reactor has dealt with everything, its own effects included.
async fn caught_up(env: &Env, running: &RunningReactor) -> anyhow::Result<ConsumerStatus> {
    loop {
        let head = env.store().head(Env::TENANT).await?.log_seq;
        let status = until(&mut running.status(), |status| status.done >= head).await?;
        if env.store().head(Env::TENANT).await?.log_seq == head {
            return Ok(status);
        }
    }
}

async fn stuck(running: &RunningReactor) -> anyhow::Result<ConsumerStatus> {
    until(&mut running.status(), |status| matches!(status.state, ConsumerState::Stuck(_))).await
}

/// How often each act was recorded.
async fn notes(env: &Env) -> anyhow::Result<usize> {
    let log = everything(&env.store(), Env::TENANT).await?;
    Ok(log.iter().filter(|event| event.event_type.as_str() == "NOTED").count())
}

fn writer(env: &Env, name: &str) -> anyhow::Result<LedgerOptions> {
    let lease_ttl = Duration::from_millis(900);
    Ok(LedgerOptions { writer: name.parse()?, lease_ttl, ..env.options(Env::TENANT) })
}

/// A second instance that asks for the log while the first one has it; nothing where it is refused.
async fn ask_for_log(env: &Env) -> anyhow::Result<Option<Log>> {
    // The backend may refuse even the second handle.
    let Ok(store) = env.second_writer().await else { return Ok(None) };
    match Ledger::open(store, writer(env, "second")?).await {
        Ok(ledger) => Ok(Some(ledger)),
        Err(OpenError::Acquire(AcquireError::Held { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

case!(
    /// Of two instances one is active; when it is killed in the middle of an event the other takes over where its checkpoint stands, and every effect is there once.
    async fn two_instances_one_active_failover_on_kill(env: &Env) -> CaseResult {
        let first = Ledger::open(env.store(), writer(env, "first")?).await?;
        // Eight events and their copies come before it.
        let gate = Arc::new(Gate { log_seq: 17, ..Gate::default() });
        let copier = Copier { gate: Some(Arc::clone(&gate)), ..Copier::new("copier") };
        let active = first.react(copier, options());
        append(&first, (0..8).map(|n| event("a:1", n)).collect()).await?;
        caught_up(env, &active).await?;
        let second = match ask_for_log(env).await? {
            // Whoever acquires takes over at once: then the first one is not active any more.
            Some(second) => {
                let late = Append::events(vec![event("a:1", 9)]);
                assert_eq!(first.append(late).await, Err(AppendError::Fenced));
                second
            }
            None => {
                append(&first, vec![event("a:1", 9)]).await?;
                tokio::time::timeout(BOUND, gate.entered.notified()).await?;
                active.abort();
                until(&mut active.status(), |status| matches!(status.state, ConsumerState::Ended(_))).await?;
                drop(first);
                let store = env.crash().await?;
                tokio::time::timeout(BOUND, Ledger::open_in_turn(store, writer(env, "second")?)).await??
            }
        };
        append(&second, (0..3).map(|n| event("b:1", n)).collect()).await?;
        let successor = Copier::new("copier");
        let running = second.react(successor.clone(), options());
        caught_up(env, &running).await?;
        assert_eq!(copies(&env.store()).await?, originals(&env.store()).await?);
        // What was acknowledged before is not handed to the second one.
        assert!(successor.handed().iter().all(|log_seq| *log_seq > 8), "{:?}", successor.handed());
        running.stop().await;
        Ok(())
    }
);

case!(
    /// An event that was being dealt with when the lease was lost comes again to the next consumer; what was acknowledged does not, and the one that lost the lease can acknowledge nothing more.
    async fn in_flight_redelivered_after_lock_loss_acked_not(env: &Env) -> CaseResult {
        let only = EventQuery { event_types: vec!["TALLIED".parse()?], ..EventQuery::all(Env::TENANT) };
        let options = ConsumerOptions { query: only, ..options() };
        let loser = env.ledger().await?;
        append(&loser, (0..5).map(|n| event("a:1", n)).collect()).await?;
        let gate = Arc::new(Gate { log_seq: 4, ..Gate::default() });
        let copier = Copier { gate: Some(Arc::clone(&gate)), ..Copier::new("copier") };
        let running = loser.react(copier.clone(), options.clone());
        tokio::time::timeout(BOUND, gate.entered.notified()).await?;
        assert_eq!(copies(&env.store()).await?, [1, 2, 3]);
        // The same writer acquires again: the lease that the consumer works under is lost.
        let winner = env.ledger().await?;
        gate.open.notify_one();
        let ended =
            until(&mut running.status(), |status| matches!(status.state, ConsumerState::Ended(_))).await?;
        assert_eq!((ended.checkpoint, copier.handed()), (3, vec![1, 2, 3, 4]));
        assert_eq!(copies(&env.store()).await?, [1, 2, 3]);
        let successor = Copier::new("copier");
        let running = winner.react(successor.clone(), options);
        until(&mut running.status(), |status| status.done == 5).await?;
        assert_eq!(successor.handed(), [4, 5]);
        assert_eq!(copies(&env.store()).await?, [1, 2, 3, 4, 5]);
        running.stop().await;
        Ok(())
    }
);

case!(
    /// How far a consumer is behind, and whether it gets on at all, are told apart: a slow one has a lag and is not stuck, a stuck one may have hardly any.
    async fn subscription_reports_lag_and_stuck_state(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..10).map(|n| event("a:1", n)).collect()).await?;
        let mut consumer = Consumer::new(&ledger, "slow", ConsumerOptions::new(Env::TENANT));
        let mut status = consumer.status();
        for n in 1..=9 {
            assert_eq!(consumer.next().await?.event.log_seq, n);
            let now = status.borrow_and_update().clone();
            assert_eq!(
                (now.lag, now.done, now.state, now.parked),
                (11 - n, n - 1, ConsumerState::Following, 0)
            );
            consumer.acknowledge(Append::default()).await?;
        }
        consumer.next().await?;
        consumer.fail(&Failure::Poison("no".to_owned())).await?;
        let stuck = status.borrow_and_update().clone();
        assert_eq!((stuck.lag, stuck.checkpoint, stuck.done), (1, 9, 9));
        assert!(stuck.stuck().is_some_and(|why| why.contains("event 10 (TALLIED): no")), "{stuck:?}");
        // It waits, and is seen to fall behind.
        let waiting = tokio::spawn(async move { consumer.next().await.map(|delivery| (delivery, consumer)) });
        append(&ledger, vec![event("a:1", 11), event("a:1", 12)]).await?;
        let behind = until(&mut status, |status| status.lag == 3).await?;
        assert!(matches!(behind.state, ConsumerState::Stuck(ref at) if at.log_seq == 10 && at.attempts == 1));
        decide(&ledger, "slow", 10, Verdict::Retry, "try again", |_| Append::default()).await?;
        let (again, mut consumer) = tokio::time::timeout(BOUND, waiting).await???;
        assert_eq!((again.event.log_seq, again.failed.map(|failed| failed.attempts)), (10, Some(1)));
        let following = status.borrow_and_update().clone();
        assert_eq!((following.state, following.lag), (ConsumerState::Following, 3));
        let done = consumer.acknowledge(Append::default()).await?;
        assert!(matches!(done, Outcome::Appended(_)));
        assert_eq!(consumer.next().await?.event.log_seq, 11);
        Ok(())
    }
);

case!(
    /// A consumer stops at an event whose type it does not know, unless it was told to park: nothing behind is dealt with, a restart changes nothing, and skipping it takes a decision.
    async fn unknown_event_type_policy_stop_by_default(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mystery = || typed("a:1", "MYSTERY", json!({}));
        append(&ledger, vec![event("a:1", 1), mystery(), event("a:1", 3)]).await?;
        let running = ledger.react(Copier::new("stops"), options());
        let at = stuck(&running).await?;
        assert!(
            at.stuck()
                .is_some_and(|why| why.contains("event 2 (MYSTERY): the event type MYSTERY is unknown"))
        );
        assert_eq!((at.checkpoint, at.parked), (1, 0));
        running.stop().await;
        // Another one of the same name is as stuck, and counts no further attempt.
        let running = ledger.react(Copier::new("stops"), options());
        stuck(&running).await?;
        let listed = parked_events(env.store().as_ref(), Env::TENANT, None).await?;
        let [one] = listed.as_slice() else { anyhow::bail!("listed: {listed:?}") };
        assert_eq!((one.consumer.as_str(), one.log_seq, one.status), ("stops", 2, ParkedStatus::Stopped));
        assert_eq!((one.attempts, notes(env).await?), (1, 1));
        assert_eq!(copies(&env.store()).await?, [1]);
        let note = |parked: &ParkedEvent| {
            Append::events(vec![typed("notes:1", "NOTED", json!({"skipped": parked.log_seq}))])
        };
        let decided = decide(&ledger, "stops", 2, Verdict::Skip, "nobody needs it", note).await?;
        assert_eq!(
            (decided.status, decided.decision_reason.as_deref()),
            (ParkedStatus::Skipped, Some("nobody needs it"))
        );
        caught_up(env, &running).await?;
        assert_eq!(copies(&env.store()).await?, [1, 3]);
        running.stop().await;
        assert!(decide(&ledger, "stops", 2, Verdict::Retry, "after all", note).await.is_err());
        // The same log under the other policy: it goes on by itself.
        let parks = ledger.react(Copier::new("parks"), parking(Policy::Park));
        let done = caught_up(env, &parks).await?;
        assert_eq!((done.parked, done.stuck()), (1, None));
        assert_eq!(parked_events(env.store().as_ref(), Env::TENANT, Some("parks")).await?.len(), 1);
        parks.stop().await;
        Ok(())
    }
);

case!(
    /// An event that cannot be dealt with is parked, or stops the consumer, as the policy says; it is listed and recorded once, however often it fails, and what becomes of it in the end happens once.
    async fn poison_event_parks_or_stops_per_policy_and_is_listed_once(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), poison(), event("a:1", 3), poison(), event("a:1", 5)]).await?;
        for (name, policy) in [("parks", Policy::Park), ("stops", Policy::Stop)] {
            let (copied, noted) = (copies(&env.store()).await?.len(), notes(env).await?);
            let copier = Copier::new(name);
            let mut running = ledger.react(copier.clone(), parking(policy));
            let poisoned: &[i64] = if policy == Policy::Park { &[2, 4] } else { &[2] };
            for round in 1..=3_i64 {
                let status = match policy {
                    Policy::Park => caught_up(env, &running).await?,
                    Policy::Stop => stuck(&running).await?,
                };
                let listed = parked_events(env.store().as_ref(), Env::TENANT, Some(name)).await?;
                let seen: Vec<(i64, i64)> = listed.iter().map(|at| (at.log_seq, at.attempts)).collect();
                let (first, rest) = poisoned.split_first().context("nothing is poisoned")?;
                let expected: Vec<(i64, i64)> =
                    std::iter::once((*first, round)).chain(rest.iter().map(|at| (*at, 1))).collect();
                assert_eq!(seen, expected, "{name} after {round} attempts");
                assert!(listed.iter().all(|at| at.status.is_open() && at.reason == "it is poison"));
                let parked =
                    i64::try_from(listed.iter().filter(|at| at.status == ParkedStatus::Parked).count())?;
                assert_eq!(status.parked, parked);
                assert_eq!(notes(env).await? - noted, poisoned.len());
                if round == 2 {
                    running.stop().await;
                    running = ledger.react(copier.clone(), parking(policy));
                }
                if round < 3 {
                    decide(&ledger, name, 2, Verdict::Retry, "again", |_| Append::default()).await?;
                    attempted(env, name, round + 1).await?;
                }
            }
            copier.is_mended.store(true, Ordering::Release);
            for at in poisoned {
                decide(&ledger, name, *at, Verdict::Retry, "it is mended", |_| Append::default()).await?;
            }
            until(&mut running.status(), |status| status.parked == 0 && status.stuck().is_none()).await?;
            caught_up(env, &running).await?;
            let copied: Vec<i64> = copies(&env.store()).await?.split_off(copied);
            assert_eq!(copied.len(), 5, "{name} copied {copied:?}");
            assert_eq!(copied.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3, 4, 5]));
            let listed = parked_events(env.store().as_ref(), Env::TENANT, Some(name)).await?;
            assert!(listed.iter().all(|at| at.status == ParkedStatus::Retried), "{listed:?}");
            assert_eq!(listed.len(), poisoned.len());
            running.stop().await;
        }
        Ok(())
    }
);

/// Waits until the event at place 2 was tried so often.
async fn attempted(env: &Env, name: &str, attempts: i64) -> anyhow::Result<()> {
    let tried = async {
        loop {
            let listed = parked_events(env.store().as_ref(), Env::TENANT, Some(name)).await?;
            if listed.iter().any(|at| at.log_seq == 2 && at.attempts == attempts) {
                return anyhow::Ok(());
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, tried).await?
}

case!(
    /// What a consumer acknowledged without effects becomes durable when it stops, and the lost answer to an acknowledgement does its effects once.
    async fn acknowledged_without_effects_is_flushed_and_lost_answers_count_once(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![typed("a:1", "NOTED", json!({})), event("a:1", 2), event("a:1", 3)]).await?;
        let stands = async || {
            let checkpoint = env.store().checkpoint(Env::TENANT, "copier").await?;
            anyhow::Ok(checkpoint.map(|Checkpoint { log_seq, .. }| log_seq))
        };
        for cut in [crate::harness::Cut::After, crate::harness::Cut::Before] {
            env.store().cut_next_commit(cut);
            let running = ledger.react(Copier::new("copier"), options());
            caught_up(env, &running).await?;
            assert_eq!(copies(&env.store()).await?, originals(&env.store()).await?);
            running.stop().await;
            assert_eq!(stands().await?, Some(env.store().head(Env::TENANT).await?.log_seq));
            append(&ledger, vec![event("a:1", 4)]).await?;
        }
        Ok(())
    }
);

case!(
    /// Appending, reading, subscribing and reacting can be watched: each has its span, its counts and its times.
    async fn metrics_and_spans_emitted_for_append_read_subscribe(env: &Env) -> CaseResult {
        let (store, ledger_options) = (env.store(), env.options(Env::TENANT));
        let work = async move {
            let ledger = Ledger::open(Arc::clone(&store), ledger_options).await?;
            append(&ledger, vec![event("a:1", 1), event("a:1", 2), poison()]).await?;
            let page = store.read(&EventQuery::all(Env::TENANT)).await?;
            let mut subscription = ledger.subscribe(Start::Origin, EventQuery::all(Env::TENANT));
            assert_eq!(subscription.poll_page().await?.as_deref(), Some(page.events.as_slice()));
            let running = ledger.react(Copier::new("watched"), options());
            stuck(&running).await?;
            running.stop().await;
            ledger.close().await;
            anyhow::Ok(store.head(Env::TENANT).await?.log_seq)
        };
        let ((), seen) = tokio::task::spawn_blocking(move || {
            Seen::of(async move {
                // Three events, two copies and the note of the stop.
                assert_eq!(work.await?, 6);
                Ok(())
            })
        })
        .await??;
        for span in ["append", "read", "subscribe", "react"] {
            assert!(seen.has_span(span), "there is no span {span}");
        }
        assert_eq!(seen.count("eventlog_events_total"), 6);
        assert!(seen.count("eventlog_read_events_total") >= seen.count("eventlog_delivered_total"));
        assert!(seen.count("eventlog_delivered_total") >= 6, "{seen:?}");
        assert_eq!(seen.count("eventlog_parked_total"), 1);
        for name in [
            "eventlog_append_seconds",
            "eventlog_reads_total",
            "eventlog_consumer_lag",
            "eventlog_consumer_stuck",
        ] {
            assert!(seen.touched(name) > 0, "{name} is not measured");
        }
        Ok(())
    }
);

case!(
    /// A consumer's own rows commit with its checkpoint or not at all; the tables of the log and of the ledger's projections are not a request's to write.
    async fn rows_of_a_request_commit_with_its_checkpoint_or_not_at_all(env: &Env) -> CaseResult {
        env.prepare(&SAMPLES).await?;
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let sample = |number, text: &str| {
            let mut values = vec![Value::Null; SAMPLES.columns.len()];
            (values[0], values[1]) = (Value::Text("a".to_owned()), Value::Integer(number));
            values[2] = Value::Text(text.to_owned());
            TableRows { table: &SAMPLES, rows: vec![Row(values)] }
        };
        let moved = |from, to| vec![CheckpointMove { name: "keeper".to_owned(), from, to, generation: 1 }];
        let request = Append {
            rows: vec![sample(1, "first"), sample(1, "last")],
            checkpoints: moved(0, 1),
            ..Append::default()
        };
        assert!(matches!(ledger.append(request).await?, Outcome::Appended(_)));
        let late = Append {
            rows: vec![sample(1, "late"), sample(2, "late")],
            checkpoints: moved(0, 2),
            ..Append::default()
        };
        assert!(matches!(ledger.append(late).await?, Outcome::CheckpointMoved { actual: 1, .. }));
        let rows = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        assert_eq!(rows, sample(1, "last").rows);
        let misfit = TableRows { table: &SAMPLES, rows: vec![Row(Vec::new())] };
        for rows in [
            misfit,
            TableRows { table: &TALLIES, rows: Vec::new() },
            TableRows { table: &COMMANDS, rows: Vec::new() },
        ] {
            let refused = ledger.append(Append { rows: vec![rows], ..Append::default() }).await?;
            assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");
        }
        Ok(())
    }
);
