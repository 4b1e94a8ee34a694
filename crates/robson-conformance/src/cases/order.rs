//! Global order: what readers see is always a gapless prefix, in commit order.

use std::sync::Arc;

use robson_eventlog::{Append, CommitError, EventQuery, Outcome, Store};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fixtures::{
    RawWriter, append, check_prefix, event, everything, places, refused, stream, whole_log,
};
use crate::harness::Fault;
use crate::{Env, case};

case!(
    /// While 8 writers append and a fifth of their appends is refused, every snapshot that a reader takes is a gapless prefix.
    async fn every_reader_snapshot_is_a_gapless_prefix(env: &Env) -> CaseResult {
        let (ledger, reader) = (env.tallying_ledger().await?, env.reader().await?);
        let (finished, running) = watch::channel(false);
        let mut readers = JoinSet::new();
        for store in [Arc::clone(&reader), env.store()] {
            let running = running.clone();
            readers.spawn(async move {
                let (mut seen, mut snapshots) = (0, 0);
                loop {
                    let was_finished = *running.borrow();
                    let everything = EventQuery { limit: 100_000, ..EventQuery::all(Env::TENANT) };
                    let page = store.read(&everything).await?;
                    check_prefix(&page.events)?;
                    let count = i64::try_from(page.events.len())?;
                    anyhow::ensure!(count == page.head, "{count} events, but the head is {}", page.head);
                    anyhow::ensure!(count >= seen, "{seen} events were there, now {count}");
                    (seen, snapshots) = (count, snapshots + 1);
                    if was_finished {
                        return anyhow::Ok((seen, snapshots));
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        let mut writers = JoinSet::new();
        for writer in 0..8_u32 {
            let (ledger, mut random) = (ledger.clone(), env.random().fork(writer));
            writers.spawn(async move {
                let mut appended = 0;
                for n in 0..25 {
                    let name = format!("s:{}", random.below(5));
                    let mut events: Vec<_> = (0..=random.below(3)).map(|_| event(&name, n)).collect();
                    if random.percent(20) {
                        events.push(refused(&name));
                    }
                    let count = i64::try_from(events.len())?;
                    match ledger.append(Append::events(events)).await? {
                        Outcome::Appended(_) => appended += count,
                        Outcome::Refused { .. } => {}
                        other => anyhow::bail!("{other:?}"),
                    }
                }
                Ok(appended)
            });
        }
        let mut appended = 0;
        while let Some(count) = writers.join_next().await {
            appended += count??;
        }
        finished.send_replace(true);
        while let Some(seen) = readers.join_next().await {
            let (seen, snapshots) = seen??;
            assert_eq!(seen, appended);
            assert!(snapshots >= 1);
        }
        reader.close().await;
        Ok(())
    }
);

case!(
    /// A reader that goes on from the last place it received misses nothing, though a transaction began first and ended last.
    async fn tailing_reader_with_pos_gt_cursor_never_misses(env: &Env) -> CaseResult {
        // The slow one is computed first and committed last; by then it may only be refused.
        let slow = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let slow_batch = slow.batch(&[event("slow:1", 1)], "2026-01-15T12:00:00Z");
        let (ledger, reader) = (env.ledger().await?, env.reader().await?);
        let tail = tokio::spawn({
            let reader = Arc::clone(&reader);
            async move {
                let mut query = EventQuery { limit: 7, ..EventQuery::all(Env::TENANT) };
                let mut received = Vec::new();
                while received.len() < 300 {
                    let page = reader.read(&query).await?;
                    query.after = page.events.last().map_or(query.after, |last| last.log_seq);
                    received.extend(page.events);
                    tokio::task::yield_now().await;
                }
                anyhow::Ok(received)
            }
        });
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            let ledger = ledger.clone();
            writers.spawn(async move {
                for n in 0..25 {
                    append(&ledger, vec![event(&format!("a:{writer}"), n), event("b:1", n), event("b:2", n)])
                        .await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        assert!(matches!(env.store().commit(&slow_batch).await, Err(CommitError::Fenced)));
        let received = tail.await??;
        check_prefix(&received)?;
        assert_eq!(received, whole_log(&env.store()).await?);
        reader.close().await;
        Ok(())
    }
);

case!(
    /// In the order of the log a stream's version n+1 never stands before its version n.
    async fn global_order_respects_stream_order(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut writers = JoinSet::new();
        for writer in 0..6_u32 {
            let (ledger, mut random) = (ledger.clone(), env.random().fork(writer));
            writers.spawn(async move {
                for n in 0..30 {
                    let events = (0..3).map(|_| event(&format!("s:{}", random.below(4)), n)).collect();
                    append(&ledger, events).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        let log = whole_log(&env.store()).await?;
        assert_eq!(log.len(), 540);
        for name in ["s:0", "s:1", "s:2", "s:3"] {
            let one = EventQuery::stream(Env::TENANT, stream(name));
            let alone = env.store().read(&one).await?.events;
            let within: Vec<_> = log.iter().filter(|event| event.stream.as_str() == name).cloned().collect();
            assert_eq!(alone, within);
            assert!(alone.iter().zip(1..).all(|(event, seq)| event.seq == seq));
        }
        Ok(())
    }
);

case!(
    /// The order is the same on every read, backwards, on another handle, and after the database was opened again.
    async fn order_is_same_on_every_read_and_after_reopen(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut random = env.random();
        for n in 0..20 {
            let events = (0..=random.below(6)).map(|_| event(&format!("s:{}", random.below(9)), n)).collect();
            append(&ledger, events).await?;
            // Times do not make the order.
            env.clock().set(crate::fixtures::at(if n % 2 == 0 {
                "2026-03-01T00:00:00Z"
            } else {
                "2026-01-01T00:00:00Z"
            }));
        }
        let log = whole_log(&env.store()).await?;
        assert_eq!(whole_log(&env.store()).await?, log);
        let backward =
            EventQuery { direction: robson_eventlog::Direction::Backward, ..EventQuery::all(Env::TENANT) };
        let mut turned = env.store().read(&backward).await?.events;
        turned.reverse();
        assert_eq!(turned, log);
        let reader = env.reader().await?;
        assert_eq!(everything(&reader, Env::TENANT).await?, log);
        reader.close().await;
        ledger.close().await;
        let store = env.reopen().await?;
        assert_eq!(whole_log(&store).await?, log);
        Ok(())
    }
);

case!(
    /// Two appends of 1,000 events at the same time are two contiguous runs.
    async fn two_1000_event_appends_do_not_interleave(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut writers = JoinSet::new();
        for name in ["left:1", "right:1"] {
            let ledger = ledger.clone();
            writers.spawn(async move { append(&ledger, (0..1_000).map(|n| event(name, n)).collect()).await });
        }
        while let Some(receipts) = writers.join_next().await {
            let places = places(&receipts??);
            assert!(places[0] == 1 || places[0] == 1_001);
            assert_eq!(places, (places[0]..places[0] + 1_000).collect::<Vec<i64>>());
        }
        let log = whole_log(&env.store()).await?;
        let changes = log.windows(2).filter(|pair| pair[0].stream != pair[1].stream).count();
        assert_eq!((log.len(), changes), (2_000, 1));
        Ok(())
    }
);

case!(
    /// A session elsewhere that idles in an open transaction delays neither appends nor readers.
    async fn idle_in_transaction_session_elsewhere_does_not_block_feed(env: &Env) -> CaseResult {
        env.during(Fault::IdleInTransaction, feed_goes_on(env)).await
    }
);

case!(
    /// A prepared transaction that nobody ends delays neither appends nor readers.
    async fn orphan_prepared_transaction_does_not_block_feed(env: &Env) -> CaseResult {
        env.during(Fault::PreparedTransaction, feed_goes_on(env)).await
    }
);

/// Appends, and receives each event at once on another handle.
async fn feed_goes_on(env: &Env) -> anyhow::Result<()> {
    let (ledger, reader) = (env.ledger().await?, env.reader().await?);
    for n in 1..=10 {
        append(&ledger, vec![event("a:1", n)]).await?;
        let page = reader.read(&EventQuery { after: n - 1, ..EventQuery::all(Env::TENANT) }).await?;
        assert_eq!(page.events.iter().map(|event| event.log_seq).collect::<Vec<_>>(), [n]);
        assert_eq!(page.head, n);
    }
    reader.close().await;
    ledger.close().await;
    Ok(())
}
