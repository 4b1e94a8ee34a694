//! The event store as event-sourcing users know it, over the same ledger on every backend.

use std::collections::BTreeMap;
use std::sync::Arc;

use robson_eventlog::event_store::{
    BatchAppend, EventStore, EventStoreError, LedgerEventStore, SerializedEvent, StoredEvent, Version,
};
use robson_eventlog::{EventQuery, Store as _};
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::clock::TestClock;
use crate::fixtures::{at, stream, whole_log};
use crate::{Env, case};

/// The store as an application holds it.
async fn open(env: &Env) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(Arc::new(with_schema(env, 1).await?))
}

async fn with_schema(env: &Env, schema: i64) -> anyhow::Result<LedgerEventStore<crate::SharedStore>> {
    let clock = Arc::new(TestClock::at(at("2026-01-15T12:00:00Z")));
    Ok(LedgerEventStore::new(env.ledger().await?, clock).with_snapshot_schema(schema))
}

fn event(number: u64) -> SerializedEvent {
    let event_type = "NUMBERED".parse().expect("an event type that a case writes down");
    SerializedEvent::new(event_type, json!({"number": number}).to_string()).with_metadata("by", "suite")
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<SerializedEvent> {
    numbers.into_iter().map(event).collect()
}

fn batch(name: &str, expected: Option<Version>, numbers: impl IntoIterator<Item = u64>) -> BatchAppend {
    BatchAppend { stream_id: stream(name), expected, events: events(numbers) }
}

/// The versions and numbers of what was loaded.
fn numbers(loaded: &[StoredEvent]) -> anyhow::Result<Vec<(Version, u64)>> {
    loaded
        .iter()
        .map(|stored| {
            let data: BTreeMap<String, u64> = stored.json()?;
            Ok((stored.version, data["number"]))
        })
        .collect()
}

#[track_caller]
fn check_conflict<T: std::fmt::Debug>(
    result: Result<T, EventStoreError>,
    name: &str,
    expected: Version,
    actual: Version,
) {
    match result {
        Err(EventStoreError::ConcurrencyConflict { stream_id, expected: told, actual: stands }) => {
            assert_eq!((stream_id, told, stands), (stream(name), expected, actual));
        }
        other => panic!("expected a conflict over {name} at {actual}, got {other:?}"),
    }
}

case!(
    /// What was appended is loaded in its order, with its data, metadata, type and revision.
    async fn append_and_load_events(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let mut first = event(1);
        first.schema_version = 3;
        first.occurred_at = Some(at("2020-02-29T23:59:59.999999Z"));
        assert_eq!(store.append_events(stream("a:1"), Some(0), vec![first.clone(), event(2)]).await?, 2);
        assert_eq!(store.append_events(stream("a:1"), None, events([3])).await?, 3);
        let loaded = store.load_events(stream("a:1"), None).await?;
        assert_eq!(numbers(&loaded)?, [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(loaded[0].event, first);
        let now = Some(at("2026-01-15T12:00:00Z"));
        assert_eq!(loaded[2].event, SerializedEvent { occurred_at: now, ..event(3) });
        assert_eq!((loaded[2].stream_id.clone(), loaded[2].log_seq), (stream("a:1"), 3));
        Ok(())
    }
);

case!(
    /// None checks nothing, 0 is an empty stream, n is exactly n events; a conflict names all three.
    async fn optimistic_concurrency_check(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let append = |expected| store.append_events(stream("a:1"), expected, events([7, 8]));
        check_conflict(append(Some(1)).await, "a:1", 1, 0);
        assert_eq!(append(Some(0)).await?, 2);
        check_conflict(append(Some(0)).await, "a:1", 0, 2);
        check_conflict(append(Some(1)).await, "a:1", 1, 2);
        check_conflict(append(Some(Version::MAX)).await, "a:1", Version::MAX, 2);
        assert_eq!(append(Some(2)).await?, 4);
        assert_eq!(append(None).await?, 6);
        assert_eq!(whole_log(&env.store()).await?.len(), 6);
        Ok(())
    }
);

case!(
    /// Of writers that all have looked at the same version, one wins; the others get the conflict that a
    /// late look would have given them.
    async fn concurrent_appends_race_condition(env: &Env) -> CaseResult {
        const RACERS: u64 = 8;
        const ROUNDS: u64 = 25;
        let store = open(env).await?;
        for round in 0..ROUNDS {
            let barrier = Arc::new(Barrier::new(RACERS.try_into()?));
            let mut racers = JoinSet::new();
            for racer in 0..RACERS {
                let (store, barrier) = (Arc::clone(&store), Arc::clone(&barrier));
                racers.spawn(async move {
                    barrier.wait().await;
                    store.append_events(stream("race:1"), Some(round), events([racer])).await
                });
            }
            let mut winners = 0;
            while let Some(result) = racers.join_next().await {
                match result? {
                    Ok(version) => {
                        assert_eq!(version, round + 1);
                        winners += 1;
                    }
                    lost => check_conflict(lost, "race:1", round, round + 1),
                }
            }
            assert_eq!(winners, 1, "round {round}");
        }
        assert_eq!(whole_log(&env.store()).await?.len(), usize::try_from(ROUNDS)?);
        Ok(())
    }
);

case!(
    /// A load from a version has that version and all after it, whatever the stream's length.
    async fn load_events_from_version(env: &Env) -> CaseResult {
        let store = open(env).await?;
        store.append_events(stream("a:1"), Some(0), events(1..=2_345)).await?;
        store.append_events(stream("b:1"), Some(0), events([1])).await?;
        for (from, first, count) in [
            (None, 1, 2_345),
            (Some(0), 1, 2_345),
            (Some(1), 1, 2_345),
            (Some(2), 2, 2_344),
            (Some(1_346), 1_346, 1_000),
            (Some(1_345), 1_345, 1_001),
            (Some(2_345), 2_345, 1),
        ] {
            let loaded = numbers(&store.load_events(stream("a:1"), from).await?)?;
            let expected: Vec<(Version, u64)> = (first..=2_345).map(|number| (number, number)).collect();
            assert!(loaded == expected && loaded.len() == count, "from {from:?}: {} events", loaded.len());
        }
        for from in [2_346, 9_999, Version::MAX] {
            assert_eq!(store.load_events(stream("a:1"), Some(from)).await?, []);
        }
        assert_eq!(store.load_events(stream("nobody:1"), None).await?, []);
        assert_eq!(store.load_events(stream("nobody:1"), Some(3)).await?, []);
        Ok(())
    }
);

case!(
    /// A snapshot comes back byte for byte with its version, also to the next process.
    async fn save_and_load_snapshot(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let content: Vec<u8> = (0..=255).collect();
        store.append_events(stream("a:1"), Some(0), events(1..=5)).await?;
        store.save_snapshot(stream("a:1"), 3, content.clone()).await?;
        assert_eq!(store.load_snapshot(stream("a:1")).await?, Some((3, content.clone())));
        store.append_events(stream("a:1"), Some(5), events([6])).await?;
        let kept = env.store().snapshot(Env::TENANT, "stream", "a:1", i64::MAX).await?;
        let kept = kept.expect("it is kept");
        assert_eq!((kept.as_of_log_seq, kept.as_of_seq, kept.schema_version), (3, 3, 1));
        store.close().await;
        env.reopen().await?;
        let store = open(env).await?;
        assert_eq!(store.load_snapshot(stream("a:1")).await?, Some((3, content)));
        let tail = store.load_events(stream("a:1"), Some(4)).await?;
        assert_eq!(numbers(&tail)?, [(4, 4), (5, 5), (6, 6)]);
        Ok(())
    }
);

case!(
    /// A newer snapshot takes the place of an older one, never the other way round, and none is ahead of
    /// its stream.
    async fn snapshot_upsert(env: &Env) -> CaseResult {
        let store = open(env).await?;
        store.append_events(stream("a:1"), Some(0), events(1..=5)).await?;
        let save =
            |version, content: &str| store.save_snapshot(stream("a:1"), version, content.as_bytes().to_vec());
        let newest = async || store.load_snapshot(stream("a:1")).await;
        save(2, "two").await?;
        save(4, "four").await?;
        assert_eq!(newest().await?, Some((4, b"four".to_vec())));
        for (version, content) in [(3, "late"), (4, "again"), (0, "nothing")] {
            save(version, content).await?;
            assert_eq!(newest().await?, Some((4, b"four".to_vec())), "{content}");
        }
        check_conflict(save(6, "ahead").await, "a:1", 6, 5);
        check_conflict(save(Version::MAX, "far ahead").await, "a:1", Version::MAX, 5);
        save(5, "five").await?;
        assert_eq!(newest().await?, Some((5, b"five".to_vec())));
        Ok(())
    }
);

case!(
    /// Without a snapshot nothing is loaded, and a stream that does not exist can have none.
    async fn load_snapshot_not_found(env: &Env) -> CaseResult {
        let store = open(env).await?;
        assert_eq!(store.load_snapshot(stream("a:1")).await?, None);
        match store.save_snapshot(stream("a:1"), 1, vec![1]).await {
            Err(EventStoreError::StreamNotFound(missing)) => assert_eq!(missing, stream("a:1")),
            other => panic!("{other:?}"),
        }
        store.append_events(stream("a:1"), None, events([1])).await?;
        assert_eq!(store.load_snapshot(stream("a:1")).await?, None);
        Ok(())
    }
);

case!(
    /// A snapshot of another schema is passed over, and one of this schema takes its place.
    async fn snapshot_of_another_schema_is_passed_over(env: &Env) -> CaseResult {
        let old = with_schema(env, 1).await?;
        old.append_events(stream("a:1"), None, events([1, 2])).await?;
        old.save_snapshot(stream("a:1"), 2, vec![1]).await?;
        let new =
            LedgerEventStore::new(old.ledger().clone(), Arc::new(TestClock::at(at("2026-01-15T12:00:01Z"))))
                .with_snapshot_schema(2);
        assert_eq!(new.load_snapshot(stream("a:1")).await?, None);
        new.save_snapshot(stream("a:1"), 2, vec![2]).await?;
        assert_eq!(new.load_snapshot(stream("a:1")).await?, Some((2, vec![2])));
        assert_eq!(old.load_snapshot(stream("a:1")).await?, None);
        Ok(())
    }
);

case!(
    /// An append without events is an error, alone and in a batch, and leaves nothing.
    async fn empty_event_list_error(env: &Env) -> CaseResult {
        let store = open(env).await?;
        for expected in [None, Some(0), Some(1)] {
            let empty = store.append_events(stream("a:1"), expected, Vec::new()).await;
            assert!(matches!(empty, Err(EventStoreError::EmptyAppend)), "{empty:?}");
        }
        for appends in [vec![], vec![batch("a:1", None, [1]), batch("b:1", None, [])]] {
            let empty = store.append_batch(appends).await;
            assert!(matches!(empty, Err(EventStoreError::EmptyAppend)), "{empty:?}");
        }
        assert_eq!(whole_log(&env.store()).await?, []);
        Ok(())
    }
);

case!(
    /// Streams have versions, events and snapshots of their own, whatever their names share.
    async fn multiple_streams_isolation(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let names = ["order:1", "order:10", "order:1:x", "Order:1", "invoice:1"];
        for round in 0..3 {
            for (number, name) in (0..).zip(names) {
                let version =
                    store.append_events(stream(name), Some(round), events([number * 10 + round])).await?;
                assert_eq!(version, round + 1);
            }
        }
        store.save_snapshot(stream("order:1"), 2, b"one".to_vec()).await?;
        store.save_snapshot(stream("order:10"), 3, b"ten".to_vec()).await?;
        for (number, name) in (0..).zip(names) {
            let loaded = store.load_events(stream(name), None).await?;
            let expected: Vec<(Version, u64)> =
                (0..3).map(|round| (round + 1, number * 10 + round)).collect();
            assert_eq!(numbers(&loaded)?, expected, "{name}");
        }
        assert_eq!(store.load_snapshot(stream("order:1")).await?, Some((2, b"one".to_vec())));
        assert_eq!(store.load_snapshot(stream("Order:1")).await?, None);
        Ok(())
    }
);

case!(
    /// A batch is durable whole or not at all; appends to one stream count on each other.
    async fn append_batch_spans_streams_all_or_nothing(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let versions = store
            .append_batch(vec![
                batch("a:1", Some(0), [1, 2]),
                batch("b:1", None, [3]),
                batch("a:1", Some(2), [4]),
                batch("a:1", None, [5]),
            ])
            .await?;
        assert_eq!(versions, [2, 1, 3, 4]);
        for (appends, name, expected, actual) in [
            (vec![batch("c:1", Some(0), [6]), batch("a:1", Some(3), [7])], "a:1", 3, 4),
            (vec![batch("c:1", Some(1), [6]), batch("a:1", Some(3), [7])], "c:1", 1, 0),
            // The second counts on the first; the first alone would hold.
            (vec![batch("b:1", Some(1), [8]), batch("b:1", Some(1), [9])], "b:1", 1, 2),
            (vec![batch("b:1", None, [8, 9]), batch("b:1", Some(0), [9])], "b:1", 0, 3),
        ] {
            check_conflict(store.append_batch(appends).await, name, expected, actual);
        }
        let whole = whole_log(&env.store()).await?;
        let places: Vec<(&str, i64)> = whole.iter().map(|event| (event.stream.as_str(), event.seq)).collect();
        assert_eq!(places, [("a:1", 1), ("a:1", 2), ("b:1", 1), ("a:1", 3), ("a:1", 4)]);
        Ok(())
    }
);

case!(
    /// Data comes back byte for byte, be it JSON or not; JSON objects can be queried in the log.
    async fn event_data_returns_byte_for_byte(env: &Env) -> CaseResult {
        let store = open(env).await?;
        let all_bytes: Vec<u8> = (0..=255).collect();
        let texts: [&[u8]; 8] = [
            b"",
            &all_bytes,
            br#"{"number":1.50}"#,
            br#"{ "b": 1, "a": 2 }"#,
            br#"{"$base64":"?"}"#,
            b"[1,2]",
            "\u{feff}{}".as_bytes(),
            br#"{"order_id":"o-1"}"#,
        ];
        let told = texts.map(|data| SerializedEvent { data: data.to_vec(), ..event(0) });
        store.append_events(stream("a:1"), Some(0), told.to_vec()).await?;
        let loaded = store.load_events(stream("a:1"), None).await?;
        let kept: Vec<&[u8]> = loaded.iter().map(|stored| stored.event.data.as_slice()).collect();
        assert_eq!(kept, texts);
        let query = EventQuery { entity_id: Some("o-1".to_owned()), ..EventQuery::all(Env::TENANT) };
        assert_eq!(env.store().read(&query).await?.events.len(), 1);
        Ok(())
    }
);

case!(
    /// Whoever was closed, fenced or cut off says so in a typed error.
    async fn event_store_errors_tell_what_to_do(env: &Env) -> CaseResult {
        let first = open(env).await?;
        first.append_events(stream("a:1"), None, events([1])).await?;
        let second = open(env).await?;
        let fenced = first.append_events(stream("a:1"), None, events([2])).await;
        assert!(matches!(fenced, Err(EventStoreError::Fenced(_))), "{fenced:?}");
        second.append_events(stream("a:1"), Some(1), events([2])).await?;
        second.close().await;
        let closed = second.append_events(stream("a:1"), None, events([3])).await;
        assert!(matches!(closed, Err(EventStoreError::Io(_))), "{closed:?}");
        let closed = second.load_events(stream("a:1"), None).await;
        assert!(matches!(closed, Err(EventStoreError::Io(_))), "{closed:?}");
        env.reopen().await?;
        Ok(())
    }
);
