//! Snapshots: the newest that fits is found, whatever the order of writing.

use robson_eventlog::{Append, EventQuery, Outcome, RecordedEvent, Snapshot, Store};

use crate::fixtures::{append, appended, at, event, stream};
use crate::{Env, case};

fn snapshot(scope_id: &str, log_seq: i64, content: &str) -> Snapshot {
    Snapshot {
        scope: "stream".to_owned(),
        scope_id: scope_id.to_owned(),
        as_of_log_seq: log_seq,
        created_at: at("2026-01-15T12:00:00Z"),
        snapshot_type: "periodic".to_owned(),
        as_of_event_id: None,
        as_of_seq: log_seq,
        as_of_time: at("2026-01-15T11:00:00.000001Z"),
        schema_version: 2,
        payload: content.as_bytes().to_vec(),
        compression: None,
    }
}

case!(
    /// However snapshots arrive, the one of the highest place is the newest, for each scope by itself.
    async fn concurrent_snapshot_writes_keep_highest_version(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..20).map(|n| event("a:1", n)).collect()).await?;
        let mut writers = tokio::task::JoinSet::new();
        for place in [3, 17, 9, 20, 1, 12] {
            let ledger = ledger.clone();
            writers.spawn(async move {
                let snapshots = vec![snapshot("a:1", place, "a"), snapshot("b:1", 21 - place, "b")];
                ledger.append(Append { snapshots, ..Append::default() }).await
            });
        }
        while let Some(outcome) = writers.join_next().await {
            assert!(matches!(outcome??, Outcome::Appended(_)));
        }
        for (scope_id, content) in [("a:1", "a"), ("b:1", "b")] {
            let newest = env.store().snapshot(Env::TENANT, "stream", scope_id, i64::MAX).await?;
            assert_eq!(newest, Some(snapshot(scope_id, 20, content)));
        }
        assert_eq!(env.store().snapshot(Env::TENANT, "account", "a:1", i64::MAX).await?, None);
        Ok(())
    }
);

case!(
    /// Asked for a place, a snapshot that contains anything behind it is left out.
    async fn snapshot_up_to_a_place_contains_nothing_behind_it(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..20).map(|n| event("a:1", n)).collect()).await?;
        let snapshots = [5, 10, 15].map(|place| snapshot("a:1", place, &place.to_string())).to_vec();
        appended(ledger.append(Append { snapshots, ..Append::default() }).await?)?;
        for (up_to, expected) in
            [(4, None), (5, Some(5)), (9, Some(5)), (10, Some(10)), (14, Some(10)), (i64::MAX, Some(15))]
        {
            let found = env.store().snapshot(Env::TENANT, "stream", "a:1", up_to).await?;
            assert_eq!(found.map(|snapshot| snapshot.as_of_log_seq), expected, "up to {up_to}");
        }
        ledger.close().await;
        let store = env.reopen().await?;
        let newest = store.snapshot(Env::TENANT, "stream", "a:1", i64::MAX).await?;
        assert_eq!(newest, Some(snapshot("a:1", 15, "15")));
        Ok(())
    }
);

case!(
    /// A fold that begins with a snapshot and reads the tail ends where a fold of the whole log ends.
    async fn snapshot_plus_tail_equals_full_replay(env: &Env) -> CaseResult {
        let (ledger, store) = (env.ledger().await?, env.store());
        let fold = |sum: i64, events: &[RecordedEvent]| {
            events.iter().fold(sum, |sum, event| {
                let amount =
                    event.payload.value()["amount"].as_str().and_then(|text| text.parse::<i64>().ok());
                // The order matters, as it does in a real fold.
                sum.wrapping_mul(31).wrapping_add(amount.unwrap_or_default())
            })
        };
        let of_stream = EventQuery::stream(Env::TENANT, stream("a:1"));
        let mut random = env.random();
        for round in 0..20 {
            let names = ["a:1", "b:1"];
            let events = (0..=random.below(9)).map(|n| event(names[random.below(2) as usize], n.into()));
            append(&ledger, events.collect()).await?;
            let page = store.read(&of_stream).await?;
            let whole = fold(0, &page.events);
            let kept = store.snapshot(Env::TENANT, "stream", "a:1", i64::MAX).await?;
            let (sum, after) = match &kept {
                Some(kept) => (String::from_utf8(kept.payload.clone())?.parse()?, kept.as_of_log_seq),
                None => (0, 0),
            };
            let tail = store.read(&EventQuery { after, ..of_stream.clone() }).await?.events;
            assert_eq!(fold(sum, &tail), whole, "round {round}, tail of {} events", tail.len());
            if random.percent(40) {
                let snapshots = vec![snapshot("a:1", page.head, &whole.to_string())];
                appended(ledger.append(Append { snapshots, ..Append::default() }).await?)?;
            }
        }
        Ok(())
    }
);
