//! Snapshots: the newest that fits is found, whatever the order of writing.

use robson_eventlog::{Append, Outcome, Snapshot, Store};

use crate::fixtures::{append, appended, at, event};
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
