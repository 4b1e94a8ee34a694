//! Snapshots: the newest that fits is found, whatever the order of writing, and none that cannot be trusted is used.

use std::sync::Arc;

use robson_eventlog::replay::fold_all;
use robson_eventlog::snapshot::{BadSnapshot, Content, Restored, Scopes, restore, take};
use robson_eventlog::{
    Append, EventQuery, Outcome, Projection, RecordedEvent, RowQuery, Snapshot, Store, TableRows,
};

use crate::fixtures::{Log, append, appended, at, event, stream};
use crate::tally::{TALLIES, Tally, TallyScopes};
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

/// Takes a snapshot of a stream's tally, as a worker does.
async fn taken(env: &Env, stream_key: &str) -> anyhow::Result<Snapshot> {
    let (store, now) = (env.store(), at("2026-01-15T12:00:00Z"));
    let snapshot =
        take(&*store, Env::TENANT, &TallyScopes, &TallyScopes::of(stream_key), "asked", now).await?;
    snapshot.map(|taken| taken.snapshot).ok_or_else(|| anyhow::anyhow!("{stream_key} has no rows"))
}

async fn keep(ledger: &Log, snapshot: Snapshot) -> anyhow::Result<()> {
    appended(ledger.append(Append { snapshots: vec![snapshot], ..Append::default() }).await?).map(|_| ())
}

async fn restored(env: &Env, stream_key: &str, up_to: i64) -> anyhow::Result<Restored> {
    let projections: [Arc<dyn Projection>; 1] = [Arc::new(Tally)];
    let scope = TallyScopes::of(stream_key);
    Ok(restore(&*env.store(), Env::TENANT, &projections, &TallyScopes, &scope, up_to).await?)
}

/// What a replay of the log from its beginning gives of a stream's tally.
async fn replayed(env: &Env, stream_key: &str, up_to: i64) -> anyhow::Result<Vec<TableRows>> {
    let rows = fold_all(&*env.store(), Env::TENANT, vec![Arc::new(Tally)], up_to, |_| {}).await?;
    let own = rows.of_table(&TALLIES).into_iter().filter(|row| row.0[0].to_json() == stream_key).cloned();
    let rows: Vec<_> = own.collect();
    Ok(if rows.is_empty() { Vec::new() } else { vec![TableRows { table: &TALLIES, rows }] })
}

/// A restore gives what the replay gives, begins where it should, and tells what it left aside.
async fn check_restored(
    env: &Env,
    snapshot: Option<i64>,
    is_rejected: impl Fn(&[(i64, BadSnapshot)]) -> bool,
) -> anyhow::Result<()> {
    let restored = restored(env, "a:1", i64::MAX).await?;
    anyhow::ensure!(restored.rows == replayed(env, "a:1", i64::MAX).await?, "other rows: {restored:?}");
    anyhow::ensure!(restored.snapshot == snapshot, "begun at {:?}, not at {snapshot:?}", restored.snapshot);
    anyhow::ensure!(is_rejected(&restored.rejected), "left aside: {:?}", restored.rejected);
    Ok(())
}

/// Events on two streams, so that not every event belongs to the scope.
async fn append_some(ledger: &Log, from: i64, count: i64) -> anyhow::Result<()> {
    let events = (from..from + count).map(|n| event(if n % 3 == 0 { "b:1" } else { "a:1" }, n));
    append(ledger, events.collect()).await.map(|_| ())
}

case!(
    /// A restore, from whatever snapshot and at whatever place of the log, is what a replay from the beginning gives.
    async fn restore_from_any_snapshot_equals_full_replay(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let mut random = env.random();
        let mut count = 0;
        for _ in 0..12 {
            let more = i64::from(random.below(8)) + 1;
            append_some(&ledger, count, more).await?;
            count += more;
            if random.percent(40) {
                keep(&ledger, taken(env, "a:1").await?).await?;
            }
            for stream_key in ["a:1", "b:1", "c:1"] {
                let up_to = 1 + i64::from(random.below(u32::try_from(count)?));
                for up_to in [up_to, i64::MAX] {
                    let restored = restored(env, stream_key, up_to).await?;
                    assert_eq!(
                        restored.rows,
                        replayed(env, stream_key, up_to).await?,
                        "{stream_key} at {up_to}"
                    );
                    assert_eq!(restored.log_seq, up_to.min(count));
                    assert_eq!(restored.rejected, []);
                }
            }
        }
        Ok(())
    }
);

case!(
    /// A snapshot that other folds made is left aside and told, and what it holds is not read as something else.
    async fn snapshot_of_older_schema_ignored_not_misread(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append_some(&ledger, 0, 10).await?;
        let mut older = taken(env, "a:1").await?;
        older.schema_version = TallyScopes.fold_version() - 1;
        keep(&ledger, older).await?;
        append_some(&ledger, 10, 10).await?;
        let is_told = |rejected: &[(i64, BadSnapshot)]| {
            *rejected == [(10, BadSnapshot::OtherFold { version: 2, current: 3 })]
        };
        check_restored(env, None, is_told).await?;
        keep(&ledger, taken(env, "a:1").await?).await?;
        check_restored(env, Some(20), <[_]>::is_empty).await?;
        append_some(&ledger, 20, 10).await?;
        let mut newer = taken(env, "a:1").await?;
        newer.schema_version = TallyScopes.fold_version() + 1;
        keep(&ledger, newer).await?;
        append_some(&ledger, 30, 10).await?;
        let is_told = |rejected: &[(i64, BadSnapshot)]| {
            *rejected == [(30, BadSnapshot::OtherFold { version: 4, current: 3 })]
        };
        check_restored(env, Some(20), is_told).await
    }
);

case!(
    /// Whatever becomes of a snapshot's bytes, it is left aside and told: an older one is used, or the log.
    async fn corrupt_snapshot_falls_back_to_replay(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append_some(&ledger, 0, 10).await?;
        let sound = taken(env, "a:1").await?;
        let mut wrecks = Vec::new();
        for index in (0..sound.payload.len()).step_by(7) {
            let mut flipped = sound.clone();
            flipped.payload[index] ^= 0x10;
            wrecks.push(flipped);
        }
        for length in [0, 4, sound.payload.len() / 2, sound.payload.len() - 1] {
            wrecks.push(Snapshot { payload: sound.payload[..length].to_vec(), ..sound.clone() });
        }
        wrecks.push(Snapshot { compression: None, ..sound.clone() });
        wrecks.push(Snapshot { compression: Some("lzma".to_owned()), ..sound.clone() });
        for text in ["{}x", "[]", r#"{"own":[{"columns":["x"],"rows":[]}]}"#] {
            wrecks.push(Snapshot { payload: text.into(), compression: None, ..sound.clone() });
        }
        for wreck in wrecks {
            // The same key: it takes the place of the one before.
            keep(&ledger, wreck).await?;
            let is_told = |rejected: &[(i64, BadSnapshot)]| matches!(rejected, [(10, BadSnapshot::Corrupt(why))] if !why.is_empty());
            check_restored(env, None, is_told).await?;
        }
        keep(&ledger, sound).await?;
        append_some(&ledger, 10, 10).await?;
        keep(&ledger, Snapshot { payload: b"broken".to_vec(), ..taken(env, "a:1").await? }).await?;
        append_some(&ledger, 20, 10).await?;
        let is_told = |rejected: &[(i64, BadSnapshot)]| matches!(rejected, [(20, BadSnapshot::Corrupt(_))]);
        check_restored(env, Some(10), is_told).await
    }
);

case!(
    /// A snapshot that contains what the log does not have is detected: one that is ahead of it, and one of another
    /// log that is as long.
    async fn snapshot_ahead_of_stream_is_detected(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append_some(&ledger, 0, 10).await?;
        let sound = taken(env, "a:1").await?;
        keep(&ledger, Snapshot { as_of_log_seq: 11, ..sound.clone() }).await?;
        let is_told =
            |rejected: &[(i64, BadSnapshot)]| *rejected == [(11, BadSnapshot::Ahead { as_of: 11, head: 10 })];
        check_restored(env, None, is_told).await?;
        append_some(&ledger, 10, 1).await?;
        // The log has grown past it, which makes it no truer.
        let is_told =
            |rejected: &[(i64, BadSnapshot)]| *rejected == [(11, BadSnapshot::OtherLog { as_of: 11 })];
        check_restored(env, None, is_told).await?;
        keep(&ledger, sound).await?;
        check_restored(env, Some(10), is_told).await?;
        assert_eq!(restored(env, "a:1", 10).await?.rejected, [], "nobody asked for what is behind");
        Ok(())
    }
);

case!(
    /// A snapshot holds what its scope has, of one instant, whatever is written meanwhile.
    async fn snapshot_taken_while_writing_is_of_one_instant(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append_some(&ledger, 0, 2).await?;
        let writing = {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for n in 0..40 {
                    append_some(&ledger, n, 3).await?;
                }
                anyhow::Ok(())
            })
        };
        loop {
            let is_over = writing.is_finished();
            let snapshot = taken(env, "a:1").await?;
            let content = Content::decode(&snapshot, &[&TALLIES, &crate::tally::RUNNING], 3)?;
            assert_eq!(content.own, replayed(env, "a:1", snapshot.as_of_log_seq).await?);
            if is_over {
                break;
            }
        }
        writing.await??;
        let rows = env.store().rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
        assert_eq!(rows.len(), 2);
        Ok(())
    }
);
