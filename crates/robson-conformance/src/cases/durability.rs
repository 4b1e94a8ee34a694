//! Durability, limits, operations: what was acknowledged stays, what goes wrong has a name.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use robson_eventlog::{
    AcquireError, Append, AppendError, CheckpointMove, CommitError, EventQuery, Outcome, Store, StoreError,
};
use serde_json::json;

use crate::fixtures::{
    RawWriter, append, appended, at, check_prefix, event, everything, keyed, places, poll_then_drop, stream,
    typed, whole_log,
};
use crate::harness::Fault;
use crate::tally::TALLIES;
use crate::{Env, case};

case!(
    /// What a process acknowledged before it was killed is there, and its successor goes on behind it.
    async fn sigkill_after_ack_keeps_event(env: &Env) -> CaseResult {
        for appends in [1, 5, 20] {
            let acknowledged = env.kill_child_after(appends, 3).await?;
            let log = whole_log(&env.store()).await?;
            let last = log.last().map_or(0, |last| last.log_seq);
            assert!(last >= acknowledged, "{acknowledged} was acknowledged, the log ends at {last}");
            let ledger = env.ledger().await?;
            assert_eq!(places(&append(&ledger, vec![event("a:1", 1)]).await?), [last + 1]);
            ledger.close().await;
        }
        Ok(())
    }
);

case!(
    /// A process that is killed at any moment leaves whole appends only.
    async fn sigkill_mid_batch_all_or_nothing(env: &Env) -> CaseResult {
        for appends in 1..=6 {
            let acknowledged = env.kill_child_after(appends, 100).await?;
            let log = whole_log(&env.store()).await?;
            assert_eq!(log.len() % 100, 0, "after {appends} appends");
            assert!(i64::try_from(log.len())? >= acknowledged);
            let streams: Vec<_> = (0..5).map(|n| stream(&format!("round:{n}"))).collect();
            let versions = env.store().streams(Env::TENANT, &streams).await?;
            let sum: i64 = versions.iter().map(|version| version.last_seq).sum();
            assert_eq!(usize::try_from(sum)?, log.len());
        }
        Ok(())
    }
);

case!(
    /// After a process died the database opens without a manual step, and holds what was acknowledged.
    async fn reopen_after_unclean_shutdown_needs_no_manual_step(env: &Env) -> CaseResult {
        for round in 1..=3 {
            let ledger = if round == 1 {
                env.tallying_ledger().await?
            } else {
                env.open_tallying(Env::TENANT).await?
            };
            for n in 0..5 {
                append(&ledger, vec![event("a:1", n), keyed("b:1", n, &format!("{round}/{n}"))]).await?;
            }
            let before = whole_log(&env.store()).await?;
            let store = env.crash().await?;
            assert_eq!(whole_log(&store).await?, before);
            assert_eq!(before.len(), round * 10);
            let tallies = store.rows(Env::TENANT, &TALLIES, &robson_eventlog::RowQuery::all()).await?;
            assert_eq!(tallies.len(), 2);
        }
        append(&env.open_tallying(Env::TENANT).await?, vec![event("a:1", 1)]).await?;
        Ok(())
    }
);

case!(
    /// Without space an append fails whole and can be sent again, reads go on, and with space everything works.
    async fn disk_full_fails_append_store_stays_usable(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        raw.commit(&raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z")).await?;
        let large = "x".repeat(4 * 1024 * 1024);
        let told = crate::fixtures::typed("a:1", "TOLD", serde_json::json!({ "text": large }));
        let batch = raw.batch(std::slice::from_ref(&told), "2026-01-15T12:00:00Z");
        let store = env.store();
        env.during(Fault::FullDisk, async {
            let answer = store.commit(&batch).await;
            assert!(matches!(answer, Err(CommitError::Unavailable(_))), "{answer:?}");
            assert_eq!(whole_log(&store).await?.len(), 1);
            Ok(())
        })
        .await?;
        raw.commit(&batch).await?;
        assert_eq!(whole_log(&store).await?.len(), 2);
        Ok(())
    }
);

case!(
    /// A handle for reading reads everything and answers every attempt to write with a typed error.
    async fn read_only_database_reports_cleanly(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let reader = env.reader().await?;
        assert_eq!(whole_log(&reader).await?.len(), 1);
        let writer = "intruder".parse()?;
        let ttl = std::time::Duration::from_secs(10);
        let acquired = reader.acquire(Env::TENANT, &writer, ttl).await;
        assert!(matches!(acquired, Err(AcquireError::Store(StoreError::Unavailable(_)))), "{acquired:?}");
        assert!(matches!(reader.register(Env::STRANGER).await, Err(StoreError::Unavailable(_))));
        let raw = RawWriter::acquire(env.store(), Env::NEIGHBOUR).await?;
        let batch = raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z");
        let answer = reader.commit(&batch).await;
        assert!(matches!(answer, Err(CommitError::Unavailable(_))), "{answer:?}");
        reader.close().await;
        assert_eq!(everything(&env.store(), Env::NEIGHBOUR).await?, []);
        append(&ledger, vec![event("a:1", 2)]).await?;
        Ok(())
    }
);

case!(
    /// A second writer is refused at the door, waits as a standby, or fences the first: never do both write.
    async fn second_process_opening_same_sqlite_file_is_refused_or_fenced(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let first_writes = async |n| ledger.append(Append::events(vec![event("a:1", n)])).await;
        match env.second_writer().await {
            Err(refusal) => {
                assert!(!refusal.to_string().is_empty());
                appended(first_writes(2).await?)?;
            }
            Ok(second) => {
                let writer = "second".parse()?;
                match second.acquire(Env::TENANT, &writer, std::time::Duration::from_secs(10)).await {
                    Err(AcquireError::Held { writer, .. }) => {
                        assert_eq!(writer, "suite");
                        appended(first_writes(2).await?)?;
                        // Given up, the lease is free for the second at once.
                        ledger.close().await;
                        let writer = "second".parse()?;
                        second.acquire(Env::TENANT, &writer, std::time::Duration::from_secs(10)).await?;
                    }
                    Ok(_) => assert_eq!(first_writes(2).await, Err(AppendError::Fenced)),
                    Err(error) => return Err(error.into()),
                }
                second.close().await;
            }
        }
        check_prefix(&everything(&env.store(), Env::TENANT).await?)
    }
);

case!(
    /// A commit whose caller goes away at any point is there whole or not at all, and holds nobody up.
    async fn future_dropped_mid_append_leaves_no_open_tx(env: &Env) -> CaseResult {
        let store = env.store();
        let mut kept = 0;
        for round in 0..60 {
            let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
            let events: Vec<_> = (0..3).map(|n| event(&format!("{round}:{n}"), n)).collect();
            let batch = raw.batch(&events, "2026-01-15T12:00:00Z");
            // A few polls end before the commit, many behind it.
            drop(poll_then_drop(store.commit(&batch), round * round).await);
            let mut next = RawWriter::acquire(env.store(), Env::TENANT).await?;
            assert!(next.head == batch.before || next.head == batch.after, "{:?}", next.head);
            let streams: Vec<_> = (0..3).map(|n| stream(&format!("{round}:{n}"))).collect();
            let written = store.streams(Env::TENANT, &streams).await?.len();
            assert_eq!(written, if next.head == batch.after { 3 } else { 0 });
            kept += usize::from(written > 0);
            next.commit(&next.batch(&[event(&format!("next:{round}"), 1)], "2026-01-15T12:00:00Z")).await?;
        }
        assert_eq!(whole_log(&store).await?.len(), 60 + 3 * kept);

        let ledger = env.ledger().await?;
        for n in 0..20 {
            let request = Append::events(vec![keyed("a:1", n, &format!("k/{n}"))]);
            drop(poll_then_drop(ledger.append(request), 1).await);
        }
        // What was handed in is not taken back by going away.
        append(&ledger, vec![event("z:1", 1)]).await?;
        assert_eq!(store.streams(Env::TENANT, &[stream("a:1")]).await?[0].last_seq, 20);
        Ok(())
    }
);

case!(
    /// When every connection is taken a read is told that the database is unavailable, soon; later it works.
    async fn pool_exhaustion_times_out_typed(env: &Env) -> CaseResult {
        append(&env.ledger().await?, vec![event("a:1", 1)]).await?;
        let store = env.store();
        let answer = env
            .during(Fault::BusyReaders, async { Ok(store.read(&EventQuery::all(Env::TENANT)).await) })
            .await?;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert_eq!(store.read(&EventQuery::all(Env::TENANT)).await?.events.len(), 1);
        Ok(())
    }
);

case!(
    /// When the clock goes backwards the log does not: places go on, the time of ingestion stands still until it is reached.
    async fn clock_goes_backwards_positions_still_order(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut expected = Vec::new();
        for (now, ingested) in [
            ("2026-01-15T12:00:00Z", "2026-01-15T12:00:00.000000Z"),
            ("2026-01-15T11:00:00Z", "2026-01-15T12:00:00.000000Z"),
            ("1999-01-01T00:00:00Z", "2026-01-15T12:00:00.000000Z"),
            ("2026-01-15T12:00:00.000001Z", "2026-01-15T12:00:00.000001Z"),
            ("2025-12-31T00:00:00Z", "2026-01-15T12:00:00.000001Z"),
        ] {
            env.clock().set(at(now));
            append(&ledger, vec![event("a:1", 1)]).await?;
            expected.push(ingested.to_owned());
        }
        // A new writer goes on from the log's time, not from its own.
        ledger.close().await;
        env.reopen().await?;
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        expected.push("2026-01-15T12:00:00.000001Z".to_owned());
        let log = whole_log(&env.store()).await?;
        assert_eq!(log.iter().map(|event| event.ingested_at.to_string()).collect::<Vec<_>>(), expected);
        assert!(log.is_sorted_by_key(|event| event.event_id));
        Ok(())
    }
);

case!(
    /// Closing a ledger writes what was handed in before, checkpoints included, and gives the lease up.
    async fn graceful_shutdown_drains_queue_and_flushes_checkpoint(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut pending = Vec::new();
        for n in 0..300 {
            let moved = CheckpointMove { name: "reader".to_owned(), from: n, to: n + 1, generation: 1 };
            let request = Append { checkpoints: vec![moved], ..Append::events(vec![event("a:1", n)]) };
            let ledger = ledger.clone();
            let append = async move { ledger.append(request).await };
            let mut append = Box::pin(tokio::task::unconstrained(append));
            // The first poll hands it in; where commits take no time, it may have its answer by then.
            let mut answered = None;
            std::future::poll_fn(|context| {
                if let Poll::Ready(answer) = append.as_mut().poll(context) {
                    answered = Some(answer);
                }
                Poll::Ready(())
            })
            .await;
            pending.push((append, answered));
        }
        ledger.close().await;
        for ((append, answered), place) in pending.into_iter().zip(1..) {
            let answer = match answered {
                Some(answer) => answer,
                None => append.await,
            };
            assert_eq!(places(&appended(answer?)?), [place]);
        }
        assert_eq!(ledger.append(Append::events(vec![event("a:1", 1)])).await, Err(AppendError::Closed));
        let store = env.reopen().await?;
        assert_eq!(whole_log(&store).await?.len(), 300);
        let stands = store.checkpoint(Env::TENANT, "reader").await?.map(|checkpoint| checkpoint.log_seq);
        assert_eq!(stands, Some(300));
        let other = "other".parse()?;
        store.acquire(Env::TENANT, &other, std::time::Duration::from_secs(10)).await?;
        Ok(())
    }
);

case!(
    /// Closing twice, or closing one of two handles, disturbs nobody else.
    async fn closing_one_handle_leaves_the_others_open(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let (left, right) = (env.reader().await?, env.reader().await?);
        left.close().await;
        left.close().await;
        assert!(matches!(left.head(Env::TENANT).await, Err(StoreError::Closed)));
        append(&ledger, vec![event("a:1", 1)]).await?;
        assert_eq!(right.head(Env::TENANT).await?.log_seq, 1);
        right.close().await;
        let outcome = ledger.append(Append::events(vec![event("a:1", 2)])).await?;
        assert!(matches!(outcome, Outcome::Appended(_)));
        assert_eq!(Arc::strong_count(&right), 1);
        Ok(())
    }
);

case!(
    /// A writer that had to stop holds no lease: nothing more is sent, and the lease is left to run out.
    async fn a_writer_that_stopped_holds_no_lease(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        assert!(ledger.lease_holds());
        let unreadable = typed("a:1", "TALLIED", json!({"amount": "many"}));
        let answer = ledger.append(Append::events(vec![unreadable])).await;
        assert!(matches!(answer, Err(AppendError::Broken(_))), "{answer:?}");
        while ledger.lease_holds() {
            tokio::task::yield_now().await;
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);
