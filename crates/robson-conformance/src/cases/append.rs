//! Append: places, versions, all or nothing, sizes, visibility.

use robson_eventlog::{
    Append, AppendError, CommitError, Expected, InvalidName, Outcome, Store, StoreError, StreamKey,
};

use crate::fixtures::{
    RawWriter, append, appended, event, everything, keyed, places, refused, stream, whole_log,
};
use crate::{Env, case};

case!(
    /// The first event of an empty store has place 1 in the log and version 1 in its stream.
    async fn append_to_empty_store_returns_position_one_version_one(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        assert_eq!(env.store().head(Env::TENANT).await?.log_seq, 0);
        let first = append(&ledger, vec![event("a:1", 5)]).await?;
        assert_eq!(places(&first), [1]);
        assert_eq!(first.streams[0].last_seq, 1);
        let log = whole_log(&env.store()).await?;
        assert_eq!((log[0].log_seq, log[0].seq, log[0].event_id), (1, 1, first.events[0].event_id));
        Ok(())
    }
);

case!(
    /// The events of an append get places without a gap, in the order in which they were given.
    async fn append_returns_positions_contiguous_and_in_input_order(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let events: Vec<_> = (0..20).map(|n| event(&format!("a:{}", n % 3), n)).collect();
        let receipts = append(&ledger, events.clone()).await?;
        assert_eq!(places(&receipts), (2..=21).collect::<Vec<i64>>());
        let log = whole_log(&env.store()).await?;
        for ((asked, receipt), recorded) in events.iter().zip(&receipts.events).zip(&log[1..]) {
            assert_eq!((&recorded.stream, &recorded.payload), (&asked.stream, &asked.payload));
            assert_eq!((recorded.event_id, recorded.log_seq), (receipt.event_id, receipt.log_seq));
        }
        Ok(())
    }
);

case!(
    /// An append whose last event is refused stores nothing of it, and a batch whose last key is taken neither.
    async fn append_batch_is_all_or_nothing(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![keyed("a:1", 1, "taken")]).await?;
        let request = Append::events(vec![event("a:1", 1), keyed("b:1", 1, "free"), refused("c:1")]);
        assert!(matches!(ledger.append(request).await?, Outcome::Refused { .. }));
        let mismatched = Append::events(vec![event("b:1", 1), keyed("b:1", 2, "taken")]);
        assert!(matches!(ledger.append(mismatched).await?, Outcome::Mismatch { .. }));
        ledger.close().await;

        let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let batch = raw.batch(
            &[event("d:1", 1), event("d:2", 1), keyed("e:1", 2, "taken")],
            "2026-01-15T12:00:00.000000Z",
        );
        assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Stale)));
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        let keys = ["b:1", "c:1", "d:1", "d:2", "e:1"].map(stream);
        assert_eq!(env.store().streams(Env::TENANT, &keys).await?, []);
        assert_eq!(env.store().lookup(Env::TENANT, &["free".parse()?]).await?, []);
        Ok(())
    }
);

case!(
    /// An append of nothing succeeds, writes nothing and uses no place up.
    async fn append_empty_batch_is_noop_and_consumes_no_position(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let nothing = append(&ledger, Vec::new()).await?;
        assert!(nothing.events.is_empty() && nothing.streams.is_empty());
        let only_expected = Append::default().expecting(stream("a:1"), Expected::NoStream);
        assert!(appended(ledger.append(only_expected).await?)?.events.is_empty());
        assert_eq!(env.store().head(Env::TENANT).await?.log_seq, 0);
        assert_eq!(env.store().streams(Env::TENANT, &[stream("a:1")]).await?, []);
        assert_eq!(places(&append(&ledger, vec![event("a:1", 1)]).await?), [1]);
        Ok(())
    }
);

case!(
    /// An append of 1, 1,001 or 10,000 events is one append, whatever a statement's parameters are limited to.
    async fn append_1_001_and_10_000_events_in_one_call(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut expected = 0;
        for count in [1_i64, 1_001, 10_000] {
            let events = (0..count).map(|n| keyed(&format!("a:{}", n % 700), n, &format!("{count}/{n}")));
            let receipts = append(&ledger, events.collect()).await?;
            assert_eq!(places(&receipts), (expected + 1..=expected + count).collect::<Vec<i64>>());
            expected += count;
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 11_002);
        let keys: Vec<_> = (0..10_000).map(|n| format!("10000/{n}").parse()).collect::<Result<_, _>>()?;
        assert_eq!(env.store().lookup(Env::TENANT, &keys).await?.len(), 10_000);
        let streams: Vec<StreamKey> = (0..700).map(|n| stream(&format!("a:{n}"))).collect();
        let versions = env.store().streams(Env::TENANT, &streams).await?;
        assert_eq!(versions.iter().map(|version| version.last_seq).sum::<i64>(), 11_002);
        Ok(())
    }
);

case!(
    /// What was acknowledged is visible at once on the handle that wrote it.
    async fn append_visible_to_own_handle_immediately(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        for n in 1..=20 {
            append(&ledger, vec![event("a:1", n)]).await?;
            assert_eq!(env.store().head(Env::TENANT).await?.log_seq, n);
            let log = whole_log(&env.store()).await?;
            assert_eq!(log.last().map(|last| last.log_seq), Some(n));
            assert_eq!(env.store().streams(Env::TENANT, &[stream("a:1")]).await?[0].last_seq, n);
        }
        Ok(())
    }
);

case!(
    /// What was acknowledged is visible at once on every other handle.
    async fn append_visible_to_second_handle_after_ack(env: &Env) -> CaseResult {
        let (ledger, reader) = (env.ledger().await?, env.reader().await?);
        for n in 1..=20 {
            append(&ledger, vec![keyed("a:1", n, &format!("k/{n}"))]).await?;
            assert_eq!(everything(&reader, Env::TENANT).await?.last().map(|last| last.log_seq), Some(n));
            assert_eq!(reader.head(Env::TENANT).await?.log_seq, n);
            assert_eq!(reader.lookup(Env::TENANT, &[format!("k/{n}").parse()?]).await?.len(), 1);
        }
        reader.close().await;
        Ok(())
    }
);

case!(
    /// An append over several streams writes all of them, each with its own versions.
    async fn append_multi_stream_atomic_success(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let request = Append::events(vec![event("a:1", 2), event("b:1", 3), event("c:1", 4)])
            .expecting(stream("a:1"), Expected::Exact(1))
            .expecting(stream("b:1"), Expected::NoStream);
        let receipts = appended(ledger.append(request).await?)?;
        let versions: Vec<_> =
            receipts.streams.iter().map(|version| (version.stream.as_str(), version.last_seq)).collect();
        assert_eq!(versions, [("a:1", 2), ("b:1", 1), ("c:1", 1)]);
        assert_eq!(whole_log(&env.store()).await?.len(), 4);
        Ok(())
    }
);

case!(
    /// When one of several streams is not as expected, none of them is written.
    async fn append_multi_stream_one_conflict_rolls_back_all(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("c:1", 1)]).await?;
        let request = Append::events(vec![event("a:1", 1), event("b:1", 1), event("c:1", 1)])
            .expecting(stream("a:1"), Expected::NoStream)
            .expecting(stream("c:1"), Expected::Exact(7));
        let outcome = ledger.append(request).await?;
        let conflict = Outcome::Conflict { stream: stream("c:1"), expected: Expected::Exact(7), actual: 1 };
        assert_eq!(outcome, conflict);
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        assert_eq!(env.store().streams(Env::TENANT, &[stream("a:1"), stream("b:1")]).await?, []);
        Ok(())
    }
);

case!(
    /// The events of an append keep their order where its streams alternate.
    async fn append_multi_stream_interleaved_order_preserved(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("b:1", 2), event("a:1", 3), event("b:1", 4)]).await?;
        let log = whole_log(&env.store()).await?;
        let order: Vec<_> = log.iter().map(|event| (event.stream.as_str(), event.seq)).collect();
        assert_eq!(order, [("a:1", 1), ("b:1", 1), ("a:1", 2), ("b:1", 2)]);
        Ok(())
    }
);

case!(
    /// An append may rest on the version of a stream that it does not write, and the store checks it too.
    async fn append_asserts_version_of_stream_not_written(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("limit:1", 1)]).await?;
        let request = |version| {
            Append::events(vec![event("order:1", 1)]).expecting(stream("limit:1"), Expected::Exact(version))
        };
        appended(ledger.append(request(1)).await?)?;
        append(&ledger, vec![event("limit:1", 2)]).await?;
        assert!(matches!(ledger.append(request(1)).await?, Outcome::Conflict { actual: 2, .. }));
        ledger.close().await;

        let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        for (limit, expected_seq) in [("limit:1", 1), ("limit:1", 0), ("limit:2", 1)] {
            let mut batch = raw.batch(&[event("order:2", 1)], "2026-01-15T12:00:00.000000Z");
            batch.streams.push(robson_eventlog::StreamMove {
                stream: stream(limit),
                expected_seq,
                last_seq: expected_seq,
            });
            assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Stale)), "{limit}");
        }
        let mut batch = raw.batch(&[event("order:2", 1)], "2026-01-15T12:00:00.000000Z");
        for (limit, expected_seq) in [("limit:1", 2), ("limit:2", 0)] {
            batch.streams.push(robson_eventlog::StreamMove {
                stream: stream(limit),
                expected_seq,
                last_seq: expected_seq,
            });
        }
        env.store().commit(&batch).await?;
        assert_eq!(env.store().streams(Env::TENANT, &[stream("limit:2")]).await?, []);
        Ok(())
    }
);

case!(
    /// Streams whose name begins with `$` belong to the log itself: nobody can name one.
    async fn append_to_reserved_or_internal_stream_rejected(env: &Env) -> CaseResult {
        for name in ["$", "$all", "$streams:1"] {
            assert_eq!(StreamKey::new(name), Err(InvalidName::Reserved), "{name}");
            assert!(serde_json::from_value::<StreamKey>(name.into()).is_err(), "{name}");
        }
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a$:1", 1)]).await?;
        Ok(())
    }
);

case!(
    /// Appending after the store or the ledger was closed is a typed error, and so is every read.
    async fn append_after_store_closed_is_typed_error(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let store = env.store();
        store.close().await;
        for stream in ["a:1", "b:1"] {
            let error = ledger.append(Append::events(vec![event(stream, 2)])).await;
            assert_eq!(error, Err(AppendError::Closed));
        }
        assert!(matches!(store.head(Env::TENANT).await, Err(StoreError::Closed)));
        let everything = robson_eventlog::EventQuery::all(Env::TENANT);
        assert!(matches!(store.read(&everything).await, Err(StoreError::Closed)));
        store.close().await;

        env.reopen().await?;
        let ledger = env.ledger().await?;
        ledger.close().await;
        assert_eq!(ledger.append(Append::events(vec![event("a:1", 2)])).await, Err(AppendError::Closed));
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);
