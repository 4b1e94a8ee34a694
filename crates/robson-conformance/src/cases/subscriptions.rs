//! Subscriptions: catch up, then live; nothing is lost, nothing comes twice, nothing that was taken back comes at all.

use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::{
    Append, CheckpointMove, ConsumerOptions, EventQuery, Expected, Ledger, LedgerOptions, Outcome,
    RecordedEvent, Start, Store, Subscription,
};
use serde_json::json;
use tokio::sync::watch;

use super::consumers::{Copier, copies};
use crate::erased::SharedStore;
use crate::fixtures::{append, appended, check_prefix, event, refused, stream, typed, whole_log};
use crate::harness::{Cut, Fault};
use crate::{CaseResult, Env, case};

/// Within which an event must have been delivered; far more than any backend needs.
const BOUND: Duration = Duration::from_secs(10);

/// Within which a server has come back; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

fn all() -> EventQuery {
    EventQuery::all(Env::TENANT)
}

/// Receives until so many events are there.
async fn receive(
    subscription: &mut Subscription<SharedStore>,
    count: usize,
) -> anyhow::Result<Vec<RecordedEvent>> {
    receive_within(subscription, count, BOUND).await
}

async fn receive_within(
    subscription: &mut Subscription<SharedStore>,
    count: usize,
    bound: Duration,
) -> anyhow::Result<Vec<RecordedEvent>> {
    let mut received = Vec::new();
    while received.len() < count {
        received.extend(tokio::time::timeout(bound, subscription.next_page()).await??);
    }
    anyhow::ensure!(received.len() == count, "{} events instead of {count}", received.len());
    Ok(received)
}

case!(
    /// From catching up to live nothing is lost and nothing comes twice, while a writer never pauses.
    async fn catch_up_then_live_no_loss_no_dup_at_handover(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..100).map(|n| event("old:1", n)).collect()).await?;
        let reader = env.reader().await?;
        let query = EventQuery { limit: 17, ..all() };
        let mut receivers = Vec::new();
        for subscription in [
            ledger.subscribe(Start::Origin, query.clone()),
            Subscription::new(Arc::clone(&reader), Start::Origin, query)
                .polling_every(Duration::from_millis(5)),
        ] {
            receivers.push(tokio::spawn(async move {
                let mut subscription = subscription;
                receive(&mut subscription, 300).await
            }));
        }
        for n in 0..100 {
            append(&ledger, vec![event("new:1", n), event("new:2", n)]).await?;
        }
        for receiver in receivers {
            let received = receiver.await??;
            check_prefix(&received)?;
            assert_eq!(received, whole_log(&env.store()).await?);
        }
        reader.close().await;
        Ok(())
    }
);

case!(
    /// Without any doorbell a subscription on another handle delivers soon, by asking again.
    async fn live_delivery_within_bound_without_notify(env: &Env) -> CaseResult {
        let (ledger, reader) = (env.ledger().await?, env.reader().await?);
        let mut subscription = Subscription::new(Arc::clone(&reader), Start::Origin, all())
            .without_doorbell()
            .polling_every(Duration::from_millis(5));
        for n in 1..=10 {
            append(&ledger, vec![event("a:1", n)]).await?;
            assert_eq!(receive(&mut subscription, 1).await?[0].log_seq, n);
        }
        assert_eq!(subscription.poll_page().await?, None);
        reader.close().await;
        Ok(())
    }
);

case!(
    /// A doorbell that never rings, or whose ringer is gone, only costs the poll's delay.
    async fn doorbell_that_never_rings_only_costs_the_polls_delay(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let (silent, never_rings) = watch::channel(0);
        let (gone, ringer_gone) = watch::channel(0);
        drop(gone);
        for wake in [never_rings, ringer_gone] {
            let mut subscription = Subscription::new(env.store(), Start::Now, all())
                .woken_by(wake)
                .polling_every(Duration::from_millis(5));
            assert_eq!(subscription.poll_page().await?, None);
            let waiting = tokio::spawn(async move {
                let mut subscription = subscription;
                receive(&mut subscription, 2).await
            });
            append(&ledger, vec![event("a:1", 1), event("a:1", 2)]).await?;
            check_dense(&waiting.await??);
        }
        drop(silent);
        Ok(())
    }
);

case!(
    /// Followers in another process whose connection to the doorbell is killed hear of what was committed meanwhile, and of what comes later.
    async fn notify_lost_or_listener_killed_recovers(env: &Env) -> CaseResult {
        // Where no connection carries the rings, there is nothing to kill; elsewhere this one finds none yet.
        env.inject(Fault::KillListener).await?;
        let (ledger, reader) = (env.ledger().await?, env.reader().await?);
        let mut bell = reader.doorbell(Env::TENANT);
        // It rings once it listens, because it may have missed something.
        tokio::time::timeout(BOUND, bell.changed()).await??;
        // Only the doorbell can wake it within the bound.
        let mut subscription = Subscription::new(Arc::clone(&reader), Start::Now, all())
            .polling_every(Duration::from_secs(3_600));
        for round in 0..3 {
            assert_eq!(subscription.poll_page().await?, None);
            let waiting = tokio::spawn(async move {
                let received = receive(&mut subscription, 2).await;
                (subscription, received)
            });
            if round < 2 {
                env.inject(Fault::KillListener).await?;
            }
            append(&ledger, vec![event("a:1", 1), event("a:1", 2)]).await?;
            let (back, received) = waiting.await?;
            subscription = back;
            assert_eq!(
                received?.iter().map(|event| event.log_seq).collect::<Vec<_>>(),
                [round * 2 + 1, round * 2 + 2]
            );
        }
        reader.close().await;
        Ok(())
    }
);

case!(
    /// A server that dies and comes back in the middle of a subscription loses nothing of it and doubles nothing, be the reader in the writer's process or another.
    async fn database_restart_mid_subscription_resumes(env: &Env) -> CaseResult {
        let own = env.alone().await?;
        let result = restart_mid_subscription(&own).await;
        own.finish().await?;
        result
    }
);

async fn restart_mid_subscription(env: &Env) -> CaseResult {
    let options = env.options(Env::TENANT);
    let options =
        LedgerOptions { patience: Duration::from_secs(60), lease_ttl: Duration::from_secs(60), ..options };
    let ledger = Ledger::open(env.store(), options).await?;
    let reader = env.reader().await?;
    let query = EventQuery { limit: 7, event_types: vec!["TALLIED".parse()?], ..all() };
    let copier = ledger.react(
        Copier::new("copier"),
        ConsumerOptions { query: query.clone(), ..ConsumerOptions::new(Env::TENANT) },
    );
    let mut receivers = Vec::new();
    for subscription in [
        ledger.subscribe(Start::Origin, query.clone()),
        Subscription::new(Arc::clone(&reader), Start::Origin, query.clone()),
        Subscription::new(Arc::clone(&reader), Start::Origin, query).without_doorbell(),
    ] {
        receivers.push(tokio::spawn(async move {
            let mut subscription = subscription;
            receive_within(&mut subscription, 90, PATIENCE).await
        }));
    }
    for round in 0..3 {
        for n in 0..15 {
            append(&ledger, vec![event("a:1", n), event("a:2", n)]).await?;
        }
        if round < 2 {
            env.inject(Fault::RestartServer).await?;
        }
    }
    let mut status = copier.status();
    tokio::time::timeout(PATIENCE, status.wait_for(|status| status.lag == 0 && status.done > 0)).await??;
    let log = whole_log(&env.store()).await?;
    let told: Vec<_> = log.iter().filter(|event| event.event_type.as_str() == "TALLIED").cloned().collect();
    assert_eq!(told.len(), 90);
    for receiver in receivers {
        assert_eq!(receiver.await??, told);
    }
    let copied = copies(&env.store()).await?;
    assert_eq!(copied, told.iter().map(|event| event.log_seq).collect::<Vec<_>>());
    copier.stop().await;
    reader.close().await;
    Ok(())
}

fn check_dense(events: &[RecordedEvent]) {
    assert!(events.windows(2).all(|pair| pair[1].log_seq == pair[0].log_seq + 1));
}

case!(
    /// A slow consumer gets pages of its own size, tells how far it is behind, and catches up.
    async fn slow_consumer_backpressure_bounded_memory_then_catch_up(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut subscription = ledger.subscribe(Start::Origin, EventQuery { limit: 10, ..all() });
        let mut received = Vec::new();
        for round in 0..20 {
            // Five times as much comes in as is taken out.
            append(&ledger, (0..50).map(|n| event(&format!("s:{}", n % 3), round)).collect()).await?;
            let page = subscription.poll_page().await?.unwrap_or_default();
            assert_eq!(page.len(), 10);
            received.extend(page);
            assert_eq!(subscription.lag(), (round + 1) * 40);
        }
        while let Some(page) = subscription.poll_page().await? {
            assert!(page.len() <= 10);
            received.extend(page);
        }
        assert_eq!(subscription.lag(), 0);
        check_prefix(&received)?;
        assert_eq!(received.len(), 1_000);
        Ok(())
    }
);

case!(
    /// A page ends where its bytes are used up, whatever its limit, but holds one event at least; so memory is bounded.
    async fn page_is_bounded_in_bytes_and_never_empty(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let told = |bytes: usize| typed("a:1", "TOLD", json!({"text": "x".repeat(bytes)}));
        append(&ledger, vec![told(10), told(400), told(400), told(400), told(90_000), told(10), told(10)])
            .await?;
        let query = EventQuery { bytes_max: Some(1_000), ..all() };
        let mut subscription = ledger.subscribe(Start::Origin, query.clone());
        let mut pages = Vec::new();
        while let Some(page) = subscription.poll_page().await? {
            pages.push(page.iter().map(|event| event.log_seq).collect::<Vec<_>>());
        }
        // The last event of a page is the one that uses the bytes up.
        assert_eq!(pages, [vec![1, 2, 3, 4], vec![5], vec![6, 7]]);
        let backward = EventQuery { direction: robson_eventlog::Direction::Backward, up_to: 6, ..query };
        let page = env.store().read(&backward).await?.events;
        assert_eq!(page.iter().map(|event| event.log_seq).collect::<Vec<_>>(), [6, 5]);
        Ok(())
    }
);

case!(
    /// A subscription whose pages would hold nothing still delivers: one event at a time, none passed over.
    async fn page_of_nothing_does_not_skip(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..3).map(|n| event("a:1", n)).collect()).await?;
        let mut subscription = ledger.subscribe(Start::Origin, EventQuery { limit: 0, ..all() });
        check_prefix(&receive(&mut subscription, 3).await?)
    }
);

case!(
    /// A subscription begins with the first event, behind a place, or with what is appended from now on.
    async fn start_from_origin_current_position(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..5).map(|n| event("a:1", n)).collect()).await?;
        let mut origin = ledger.subscribe(Start::Origin, all());
        let mut after = ledger.subscribe(Start::After(3), all());
        let mut now = ledger.subscribe(Start::Now, all());
        let mut future = ledger.subscribe(Start::After(6), all());
        assert_eq!(now.poll_page().await?, None);
        assert_eq!(future.poll_page().await?, None);
        append(&ledger, (0..2).map(|n| event("a:1", n)).collect()).await?;
        let places =
            |events: &[RecordedEvent]| events.iter().map(|event| event.log_seq).collect::<Vec<i64>>();
        assert_eq!(places(&receive(&mut origin, 7).await?), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(places(&receive(&mut after, 4).await?), [4, 5, 6, 7]);
        assert_eq!(places(&receive(&mut now, 2).await?), [6, 7]);
        assert_eq!(places(&receive(&mut future, 1).await?), [7]);
        Ok(())
    }
);

case!(
    /// A consumer receives what was committed and nothing else: no refusal, no conflict, no duplicate, nothing cut before its commit.
    async fn consumer_never_sees_uncommitted_or_rolled_back(env: &Env) -> CaseResult {
        let (ledger, reader) = (env.tallying_ledger().await?, env.reader().await?);
        let consumer = tokio::spawn({
            let reader = Arc::clone(&reader);
            async move {
                let mut subscription =
                    Subscription::new(reader, Start::Origin, EventQuery { limit: 3, ..all() })
                        .polling_every(Duration::from_millis(1));
                receive(&mut subscription, 60).await
            }
        });
        for n in 0..30 {
            append(&ledger, vec![typed("good:1", "GOOD", json!({"n": n}))]).await?;
            let bad = Append::events(vec![typed("bad:1", "BAD", json!({})), refused("bad:1")]);
            assert!(matches!(ledger.append(bad).await?, Outcome::Refused { .. }));
            let late = Append::events(vec![typed("bad:2", "BAD", json!({}))])
                .expecting(stream("good:1"), Expected::NoStream);
            assert!(matches!(ledger.append(late).await?, Outcome::Conflict { .. }));
            env.store().cut_next_commit(if n % 2 == 0 { Cut::Before } else { Cut::After });
            append(&ledger, vec![typed("good:2", "GOOD", json!({"n": n}))]).await?;
        }
        let received = consumer.await??;
        assert!(received.iter().all(|event| event.event_type.as_str() == "GOOD"));
        assert_eq!(received, whole_log(&env.store()).await?);
        reader.close().await;
        Ok(())
    }
);

case!(
    /// What a checkpoint is set to is the place of an event that was delivered, though a filtered cursor is further on.
    async fn checkpoint_is_position_of_a_delivered_event(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), typed("a:1", "WANTED", json!({}))]).await?;
        append(&ledger, (0..10).map(|n| event("a:1", n)).collect()).await?;
        let wanted = EventQuery { event_types: vec!["WANTED".parse()?], ..all() };
        let mut subscription = ledger.subscribe(Start::Origin, wanted.clone());
        assert_eq!(subscription.delivered(), None);
        let page = receive(&mut subscription, 1).await?;
        assert_eq!(subscription.poll_page().await?, None);
        assert_eq!((subscription.delivered(), page[0].log_seq, subscription.lag()), (Some(2), 2, 0));
        let to = subscription.delivered().unwrap_or_default();
        let moved = CheckpointMove { name: "reader".to_owned(), from: 0, to, generation: 1 };
        let request =
            Append { checkpoints: vec![moved], ..Append::events(vec![typed("effect:1", "DONE", json!({}))]) };
        appended(ledger.append(request).await?)?;
        append(&ledger, vec![typed("a:1", "WANTED", json!({}))]).await?;
        let stands =
            env.store().checkpoint(Env::TENANT, "reader").await?.map(|checkpoint| checkpoint.log_seq);
        assert_eq!(stands, Some(2));
        let mut resumed = ledger.subscribe(Start::After(2), wanted);
        assert_eq!(receive(&mut resumed, 1).await?[0].log_seq, 14);
        Ok(())
    }
);

case!(
    /// What was delivered but not acknowledged by a checkpoint is delivered again to the next consumer, the rest is not.
    async fn unacknowledged_is_redelivered_after_restart_acknowledged_is_not(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..10).map(|n| event("a:1", n)).collect()).await?;
        let mut first = ledger.subscribe(Start::Origin, EventQuery { limit: 4, ..all() });
        assert_eq!(receive(&mut first, 4).await?.len(), 4);
        let moved = CheckpointMove { name: "reader".to_owned(), from: 0, to: 4, generation: 1 };
        appended(ledger.append(Append { checkpoints: vec![moved], ..Append::default() }).await?)?;
        assert_eq!(receive(&mut first, 4).await?.last().map(|last| last.log_seq), Some(8));
        ledger.close().await;
        let store = env.reopen().await?;
        let stands =
            store.checkpoint(Env::TENANT, "reader").await?.map_or(0, |checkpoint| checkpoint.log_seq);
        let mut second = Subscription::new(store, Start::After(stands), all());
        let again = receive(&mut second, 6).await?;
        assert_eq!(again.iter().map(|event| event.log_seq).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
        Ok(())
    }
);
