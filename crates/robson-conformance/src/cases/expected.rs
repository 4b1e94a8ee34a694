//! Expected versions and concurrency: who wins, who is told what, and that losers leave nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use robson_eventlog::{Append, AppendError, CommitError, Expected, Outcome, Store};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fixtures::{
    Log, RawWriter, append, appended, event, everything, places, refused, stream, typed, whole_log,
};
use crate::harness::{Cut, Fault};
use crate::{Env, case};

/// Appends one event to a stream that is expected to be at a version.
async fn append_at(ledger: &Log, name: &str, expected: Expected) -> anyhow::Result<Outcome> {
    let request = Append::events(vec![event(name, 1)]).expecting(stream(name), expected);
    Ok(ledger.append(request).await?)
}

fn conflict(name: &str, expected: Expected, actual: i64) -> Outcome {
    Outcome::Conflict { stream: stream(name), expected, actual }
}

case!(
    /// `NoStream` holds until the stream's first event, then it is a conflict.
    async fn expect_no_stream_ok_then_conflict(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        appended(append_at(&ledger, "a:1", Expected::NoStream).await?)?;
        let second = append_at(&ledger, "a:1", Expected::NoStream).await?;
        assert_eq!(second, conflict("a:1", Expected::NoStream, 1));
        appended(append_at(&ledger, "a:2", Expected::NoStream).await?)?;
        Ok(())
    }
);

case!(
    /// `Exact` holds when the stream's last version is the one that is named.
    async fn expect_exact_ok(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        for version in 0..5 {
            appended(append_at(&ledger, "a:1", Expected::Exact(version)).await?)?;
        }
        // A ledger that holds nothing yet must read the version.
        ledger.close().await;
        let ledger = env.ledger().await?;
        appended(append_at(&ledger, "a:1", Expected::Exact(5)).await?)?;
        Ok(())
    }
);

case!(
    /// A version below the stream's is a conflict.
    async fn expect_too_low_conflict(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("a:1", 2), event("a:1", 3)]).await?;
        for version in [-1, 0, 1, 2] {
            let expected = Expected::Exact(version);
            assert_eq!(append_at(&ledger, "a:1", expected).await?, conflict("a:1", expected, 3));
        }
        Ok(())
    }
);

case!(
    /// A version above the stream's is a conflict, for an unknown stream too.
    async fn expect_too_high_conflict(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        for (name, actual) in [("a:1", 1), ("b:1", 0)] {
            for version in [2, 3, i64::MAX] {
                let expected = Expected::Exact(version);
                assert_eq!(append_at(&ledger, name, expected).await?, conflict(name, expected, actual));
            }
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);

case!(
    /// Fifty writers that expect nothing never conflict, and every event that was acknowledged is there.
    async fn expect_any_never_conflicts_under_50_parallel_writers_and_none_lost(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut writers = JoinSet::new();
        for writer in 0..50 {
            let ledger = ledger.clone();
            writers.spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..10 {
                    let request = Append::events(vec![event("shared:1", writer * 100 + n)])
                        .expecting(stream("shared:1"), Expected::Any);
                    acknowledged.extend(places(&appended(ledger.append(request).await?)?));
                    tokio::task::yield_now().await;
                }
                anyhow::Ok(acknowledged)
            });
        }
        let mut acknowledged = BTreeSet::new();
        while let Some(places) = writers.join_next().await {
            acknowledged.extend(places??);
        }
        assert_eq!(acknowledged, (1..=500).collect());
        assert_eq!(whole_log(&env.store()).await?.len(), 500);
        Ok(())
    }
);

case!(
    /// `Exists` on a stream that does not exist is a conflict; once it exists it holds at any version.
    async fn expect_stream_exists_on_missing_is_conflict(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let missing = append_at(&ledger, "a:1", Expected::Exists).await?;
        assert_eq!(missing, conflict("a:1", Expected::Exists, 0));
        append(&ledger, vec![event("a:1", 1)]).await?;
        appended(append_at(&ledger, "a:1", Expected::Exists).await?)?;
        appended(append_at(&ledger, "a:1", Expected::Exists).await?)?;
        Ok(())
    }
);

case!(
    /// `Exact(0)` and `NoStream` are the same expectation: both hold before the first event, neither after it.
    async fn expect_zero_vs_no_stream_are_the_same_thing(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        for (name, expected) in [("a:1", Expected::NoStream), ("b:1", Expected::Exact(0))] {
            appended(append_at(&ledger, name, expected).await?)?;
            for again in [Expected::NoStream, Expected::Exact(0)] {
                assert_eq!(append_at(&ledger, name, again).await?, conflict(name, again, 1));
            }
        }
        Ok(())
    }
);

case!(
    /// A conflict names the stream, what was expected of it, and its version.
    async fn conflict_error_carries_stream_expected_actual(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("b:1", 1), event("b:1", 2)]).await?;
        let request = Append::events(vec![event("a:1", 2)])
            .expecting(stream("a:1"), Expected::Exact(1))
            .expecting(stream("b:1"), Expected::Exact(1));
        assert_eq!(ledger.append(request).await?, conflict("b:1", Expected::Exact(1), 2));
        Ok(())
    }
);

case!(
    /// Of two racers that expect the same version exactly one wins, in each of 1,000 rounds.
    async fn two_racers_same_version_exactly_one_wins_1000_rounds(env: &Env) -> CaseResult {
        const LANES: i64 = 20;
        const ROUNDS: i64 = 50;
        let ledger = env.ledger().await?;
        let mut racers = JoinSet::new();
        for lane in 0..LANES {
            let barrier = Arc::new(Barrier::new(2));
            for racer in 0..2 {
                let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
                racers.spawn(async move {
                    let name = format!("race:{lane}");
                    let mut wins = Vec::new();
                    for round in 0..ROUNDS {
                        barrier.wait().await;
                        match append_at(&ledger, &name, Expected::Exact(round)).await? {
                            Outcome::Appended(_) => wins.push((lane, round)),
                            lost => {
                                let expected = conflict(&name, Expected::Exact(round), round + 1);
                                anyhow::ensure!(lost == expected, "racer {racer}: {lost:?}");
                            }
                        }
                        barrier.wait().await;
                    }
                    Ok(wins)
                });
            }
        }
        let mut wins = Vec::new();
        while let Some(won) = racers.join_next().await {
            wins.extend(won??);
        }
        wins.sort_unstable();
        let rounds: Vec<_> =
            (0..LANES).flat_map(|lane| (0..ROUNDS).map(move |round| (lane, round))).collect();
        assert_eq!(wins, rounds);
        assert_eq!(whole_log(&env.store()).await?.len(), 1_000);
        Ok(())
    }
);

case!(
    /// Of two batches that were computed from the same head the store takes exactly one; the other is `Stale`.
    async fn two_batches_on_one_head_exactly_one_is_committed(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        for round in 0..30 {
            let batch = |racer| raw.batch(&[event(&format!("r:{racer}-{round}"), 1)], "2026-01-15T12:00:00Z");
            let (left, right) = (batch(0), batch(1));
            let store = env.store();
            let race = tokio::spawn({
                let (store, left) = (env.store(), left.clone());
                async move { store.commit(&left).await }
            });
            let answers = [store.commit(&right).await, race.await?];
            let winners: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
            assert_eq!(winners.len(), 1, "{answers:?}");
            assert!(answers.iter().any(|answer| matches!(answer, Err(CommitError::Stale))), "{answers:?}");
            raw.head = winners[0].head;
            assert_eq!(raw.head, store.head(Env::TENANT).await?);
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 30);
        Ok(())
    }
);

case!(
    /// A conflict uses no place up: after 1,000 losers the log has no gap.
    async fn conflict_consumes_no_position(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let mut losers = JoinSet::new();
        for _ in 0..10 {
            let ledger = ledger.clone();
            losers.spawn(async move {
                for _ in 0..100 {
                    let outcome = append_at(&ledger, "a:1", Expected::NoStream).await?;
                    anyhow::ensure!(matches!(outcome, Outcome::Conflict { actual: 1, .. }), "{outcome:?}");
                }
                Ok(())
            });
        }
        while let Some(done) = losers.join_next().await {
            done??;
        }
        assert_eq!(places(&append(&ledger, vec![event("a:1", 2)]).await?), [2]);
        assert_eq!(whole_log(&env.store()).await?.len(), 2);
        Ok(())
    }
);

case!(
    /// What is taken back uses no place up: a fold's refusal, a commit that was cut before, a stale batch.
    async fn rollback_consumes_no_position(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        for _ in 0..20 {
            let request = Append::events(vec![event("b:1", 1), refused("b:1")]);
            assert!(matches!(ledger.append(request).await?, Outcome::Refused { .. }));
        }
        env.store().cut_next_commit(Cut::Before);
        assert_eq!(places(&append(&ledger, vec![event("a:1", 2)]).await?), [2]);
        ledger.close().await;

        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let stale = raw.batch(&[event("c:1", 1)], "2026-01-15T12:00:00Z");
        raw.commit(&raw.batch(&[event("d:1", 1)], "2026-01-15T12:00:00Z")).await?;
        for _ in 0..5 {
            assert!(matches!(env.store().commit(&stale).await, Err(CommitError::Stale)));
        }
        let next = raw.batch(&[event("e:1", 1)], "2026-01-15T12:00:00Z");
        assert_eq!(raw.commit(&next).await?.head.log_seq, 4);
        assert_eq!(whole_log(&env.store()).await?.len(), 4);
        Ok(())
    }
);

case!(
    /// Appends that name the same two streams in opposite order all end; none waits for another forever.
    async fn parallel_multi_stream_appends_in_opposite_order_do_not_deadlock(env: &Env) -> CaseResult {
        let (ledger, neighbour) = (env.ledger().await?, env.ledger_of(Env::NEIGHBOUR).await?);
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            // Two tenants share the database, so their commits meet there, too.
            let ledger = if writer < 4 { ledger.clone() } else { neighbour.clone() };
            writers.spawn(async move {
                for n in 0..20 {
                    let mut events = vec![event("left:1", n), event("right:1", n)];
                    if writer % 2 == 1 {
                        events.reverse();
                    }
                    append(&ledger, events).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 160);
        assert_eq!(everything(&env.store(), Env::NEIGHBOUR).await?.len(), 160);
        Ok(())
    }
);

case!(
    /// The history fits: every append that was acknowledged is readable at its place, every refused one is nowhere.
    async fn every_acked_append_is_readable_every_failed_one_is_not(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let mut writers = JoinSet::new();
        for writer in 0..6_u32 {
            let (ledger, mut random) = (ledger.clone(), env.random().fork(writer));
            writers.spawn(async move {
                let mut history: Vec<(String, Option<i64>)> = Vec::new();
                for n in 0..40 {
                    let name = format!("{writer}/{n}");
                    let stream_key = format!("s:{}", random.below(4));
                    let mut told = typed(&stream_key, "TALLIED", serde_json::json!({"name": name}));
                    if random.percent(20) {
                        told =
                            typed(&stream_key, "TALLIED", serde_json::json!({"name": name, "refuse": true}));
                    }
                    let expected =
                        if random.percent(30) { Expected::Exact(i64::from(n)) } else { Expected::Any };
                    let request = Append::events(vec![told]).expecting(stream(&stream_key), expected);
                    let place = match ledger.append(request).await? {
                        Outcome::Appended(appended) => Some(appended.events[0].log_seq),
                        _ => None,
                    };
                    history.push((name, place));
                }
                anyhow::Ok(history)
            });
        }
        let mut history = Vec::new();
        while let Some(part) = writers.join_next().await {
            history.extend(part??);
        }
        let mut expected: Vec<_> =
            history.into_iter().filter_map(|(name, place)| Some((place?, name))).collect();
        expected.sort_unstable();
        let log = whole_log(&env.store()).await?;
        let actual: Vec<_> = log
            .iter()
            .map(|event| {
                (event.log_seq, event.payload.value()["name"].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        assert_eq!(actual, expected);
        assert!(!actual.is_empty() && actual.len() < 240);
        Ok(())
    }
);

case!(
    /// Once another writer has taken the log over, the old one is `Fenced`: it commits, renews and appends nothing.
    async fn stale_writer_epoch_is_fenced(env: &Env) -> CaseResult {
        let old = env.ledger().await?;
        append(&old, vec![event("a:1", 1)]).await?;
        let old_raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let new = env.ledger().await?;
        assert!(new.epoch() > old.epoch());
        for _ in 0..2 {
            let error = old.append(Append::events(vec![event("a:1", 2)])).await;
            assert_eq!(error, Err(AppendError::Fenced));
        }
        assert!(!old.lease_holds() && new.lease_holds());

        let batch = old_raw.batch(&[event("b:1", 1)], "2026-01-15T12:00:00Z");
        assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Fenced)));
        let ttl = std::time::Duration::from_secs(10);
        assert!(matches!(env.store().renew(&old_raw.lease, ttl).await, Err(CommitError::Fenced)));
        assert!(matches!(env.store().release(&old_raw.lease).await, Err(CommitError::Fenced)));

        append(&new, vec![event("a:1", 2)]).await?;
        // Behind the head of the new writer, the old one still learns that it is fenced, not that it is late.
        assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Fenced)));
        assert_eq!(whole_log(&env.store()).await?.len(), 2);
        Ok(())
    }
);

case!(
    /// A writer that waits too long for a lock is told that the database is unavailable, and may try again.
    async fn lock_timeout_surfaces_as_retryable(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let batch = raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z");
        let store = env.store();
        let locked = async { Ok(store.commit(&batch).await) };
        let answer = env.during(Fault::WriteLock(Env::TENANT), locked).await?;
        assert!(matches!(answer, Err(CommitError::Unavailable(_))), "{answer:?}");
        raw.commit(&batch).await?;
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);
