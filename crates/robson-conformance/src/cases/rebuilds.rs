//! Rebuilds: another generation of the tables is filled beside the live rows and takes their place at once.

use std::ops::ControlFlow;
use std::sync::Arc;

use robson_eventlog::command::COMMANDS;
use robson_eventlog::digest::{Digest, Scope, of_log, of_table};
use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, STREAM_STATE};
use robson_eventlog::{
    Append, Checkpoint, CheckpointMove, CommitError, EventQuery, FoldError, Generation, Head, Outcome,
    Projection, RebuildError, RecordedEvent, Replay, ReplayError, ReplayOptions, Row, RowKey, RowQuery, Rows,
    Start, Store, Table, TableRows, TenantId, Value,
};

use crate::erased::SharedStore;
use crate::fixtures::{Log, RawWriter, append, appended, event, keyed, poll_then_drop, refused, whole_log};
use crate::harness::Cut;
use crate::tally::{RUNNING, TALLIES, Tally};
use crate::{Env, case};

/// A rebuild of the suite's tables in pages so small that one takes several.
fn options() -> ReplayOptions {
    ReplayOptions { page_events: 4, rows_max: 3, ..ReplayOptions::new(Env::TENANT, vec![Arc::new(Tally)], 1) }
}

fn go_on<P>(_: P) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every table that an event changes and every one that only the writer does, as one digest each.
async fn digests(store: &SharedStore) -> anyhow::Result<Vec<Digest>> {
    let mut digests = vec![of_log(store, Env::TENANT).await?];
    let tables: [&'static Table; 5] = [&TALLIES, &RUNNING, &EVENT_IDEMPOTENCY, &STREAM_STATE, &COMMANDS];
    for table in tables {
        digests.push(of_table(store, Env::TENANT, table, Scope::Everything).await?);
    }
    Ok(digests)
}

/// Events of a few streams, and one that is refused now and then.
async fn history(env: &Env, ledger: &Log, appends: u32) -> anyhow::Result<()> {
    let mut random = env.random();
    for n in 0..appends {
        let of = |n: u32| format!("s:{}", n % 5);
        let mut events = vec![event(&of(n), i64::from(n)), event(&of(random.below(9)), 1)];
        if random.percent(20) {
            events.push(refused("s:0"));
        }
        ledger.append(Append::events(events)).await?;
    }
    Ok(())
}

/// Damages the live rows behind the log's back, in a commit that appends nothing.
async fn damage(env: &Env) -> anyhow::Result<()> {
    let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
    let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
    batch.rows = vec![running("all", -5), running("of nothing", 1)];
    raw.commit(&batch).await?;
    Ok(())
}

/// A tally that counts each event ten times: other folds for the same tables.
#[derive(Debug)]
struct Tenfold;

impl Projection for Tenfold {
    fn tables(&self) -> &[&'static Table] {
        static TABLES: [&Table; 1] = [&RUNNING];
        &TABLES
    }

    fn keys(&self, _event: &RecordedEvent, _rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        Ok(vec![RowKey { table: RUNNING.name, key: vec![Value::Text("all".to_owned())] }])
    }

    fn fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<(), FoldError> {
        let key = RowKey { table: RUNNING.name, key: vec![Value::Text("all".to_owned())] };
        let before = match rows.get(&key).map(|row| &row.0[1]) {
            Some(Value::Integer(events)) => *events,
            _ => 0,
        };
        let text = Value::Text("all".to_owned());
        rows.put(&RUNNING, Row(vec![text, Value::Integer(before + 10), Value::Integer(event.log_seq)]));
        Ok(())
    }
}

/// Both of the suite's tables, as folds of this version make them.
fn generation(tenant: TenantId, number: i64) -> Generation {
    Generation { tenant, tables: vec![&TALLIES, &RUNNING], number }
}

fn running(name: &str, events: i64) -> TableRows {
    let row = Row(vec![Value::Text(name.to_owned()), Value::Integer(events), Value::Integer(events)]);
    TableRows { table: &RUNNING, rows: vec![row] }
}

/// The first column and the count of each row of the running table, live or next.
fn told(rows: &[Row]) -> Vec<(String, String)> {
    let told = |row: &Row| (row.0[0].to_json().to_string(), row.0[1].to_json().to_string());
    rows.iter().map(told).collect()
}

async fn live(store: &SharedStore, tenant: TenantId) -> anyhow::Result<Vec<(String, String)>> {
    Ok(told(&store.rows(tenant, &RUNNING, &RowQuery::all()).await?))
}

async fn next(store: &SharedStore, tenant: TenantId) -> anyhow::Result<Vec<(String, String)>> {
    Ok(told(&store.shadow_rows(tenant, &RUNNING, &RowQuery::all()).await?))
}

fn pair(name: &str, events: i64) -> (String, String) {
    (format!("\"{name}\""), events.to_string())
}

async fn shadow_of(store: &SharedStore, table: &Table) -> anyhow::Result<Option<Checkpoint>> {
    Ok(store.checkpoint(Env::TENANT, &Generation::shadow_name(table)).await?)
}

case!(
    /// Rows of the next generation are seen by nobody who reads the live ones, until they take their place whole.
    async fn next_generation_takes_the_place_of_the_live_rows_whole(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        append(&ledger, vec![event("a:1", 1), event("b:1", 2)]).await?;
        ledger.close().await;
        let first = generation(Env::TENANT, 1);
        assert_eq!(store.begin_rebuild(&first).await?, None);
        store.fill(&first, &[running("next", 7), running("all", 8)], 0, 1).await?;
        assert_eq!(live(&store, Env::TENANT).await?, [pair("all", 2)]);
        assert_eq!(next(&store, Env::TENANT).await?, [pair("all", 8), pair("next", 7)]);
        assert_eq!(shadow_of(&store, &RUNNING).await?, Some(Checkpoint { log_seq: 1, generation: 1 }));

        let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let head = raw.head;
        let early = store.swap(&first, &raw.lease, head).await;
        assert!(matches!(early, Err(CommitError::Stale)), "filled up to 1 of 2: {early:?}");
        store.fill(&first, &[running("all", 9)], 1, 2).await?;
        let earlier = Head { log_seq: 1, ..head };
        assert!(matches!(store.swap(&first, &raw.lease, earlier).await, Err(CommitError::Stale)));
        let mut old = raw.lease.clone();
        old.epoch -= 1;
        assert!(matches!(store.swap(&first, &old, head).await, Err(CommitError::Fenced)));
        assert_eq!(live(&store, Env::TENANT).await?, [pair("all", 2)]);

        store.swap(&first, &raw.lease, head).await?;
        assert_eq!(live(&store, Env::TENANT).await?, [pair("all", 9), pair("next", 7)]);
        assert_eq!(store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?, [], "none was filled");
        assert_eq!(next(&store, Env::TENANT).await?, []);
        assert_eq!(store.head(Env::TENANT).await?, head);
        for table in [&TALLIES, &RUNNING] {
            assert_eq!(shadow_of(&store, table).await?, None);
            let stands = store.checkpoint(Env::TENANT, table.name).await?;
            assert_eq!(stands, Some(Checkpoint { log_seq: 2, generation: 1 }));
        }
        let twice = store.swap(&first, &raw.lease, head).await;
        assert!(matches!(twice, Err(CommitError::Stale)), "there is nothing to put in place: {twice:?}");
        Ok(())
    }
);

case!(
    /// A rebuild goes on only where the same folds left the same tables; rows of its own kind only, at its own place.
    async fn next_generation_goes_on_only_where_its_own_folds_left_it(env: &Env) -> CaseResult {
        let store = env.store();
        env.prepare(&TALLIES).await?;
        env.prepare(&RUNNING).await?;
        let first = generation(Env::TENANT, 1);
        store.abandon_rebuild(&first).await?;
        assert_eq!(store.begin_rebuild(&first).await?, None);
        assert_eq!(store.begin_rebuild(&first).await?, None, "nothing was filled");
        store.fill(&first, &[running("a", 1)], 0, 5).await?;
        for from in [0, 4, 6] {
            let answer = store.fill(&first, &[running("b", 1)], from, 9).await;
            assert!(matches!(answer, Err(CommitError::Stale)), "from {from}: {answer:?}");
        }
        let short = TableRows { table: &RUNNING, rows: vec![Row(vec![Value::Text("a".to_owned())])] };
        assert!(matches!(store.fill(&first, &[short], 5, 6).await, Err(CommitError::Broken(_))));
        let one_table = Generation { tables: vec![&TALLIES], ..first.clone() };
        let strange = store.fill(&one_table, &[running("a", 1)], 5, 6).await;
        assert!(matches!(strange, Err(CommitError::Broken(_))), "{strange:?}");
        assert_eq!(store.begin_rebuild(&first).await?, Some(5));
        let store = env.reopen().await?;
        assert_eq!(store.begin_rebuild(&first).await?, Some(5));
        store.fill(&first, &[running("b", 2)], 5, 6).await?;
        assert_eq!(next(&store, Env::TENANT).await?, [pair("a", 1), pair("b", 2)]);

        let newer = generation(Env::TENANT, 2);
        assert!(matches!(store.fill(&newer, &[], 6, 7).await, Err(CommitError::Stale)));
        assert_eq!(store.begin_rebuild(&newer).await?, None);
        assert_eq!(next(&store, Env::TENANT).await?, []);
        store.fill(&newer, &[running("c", 3)], 0, 6).await?;
        store.abandon_rebuild(&newer).await?;
        assert_eq!(next(&store, Env::TENANT).await?, []);
        assert_eq!(shadow_of(&store, &RUNNING).await?, None);
        let stranger = generation(Env::STRANGER, 1);
        assert!(matches!(store.begin_rebuild(&stranger).await, Err(CommitError::Fenced)));
        Ok(())
    }
);

case!(
    /// Two tenants rebuild the same tables at once, and neither touches a row of the other, live or next.
    async fn rebuilds_of_two_tenants_do_not_touch_each_other(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        append(&ledger, vec![event("a:1", 1)]).await?;
        let neighbour = env.open_tallying(Env::NEIGHBOUR).await?;
        append(&neighbour, vec![event("a:1", 1), event("a:1", 1)]).await?;
        let (ours, theirs) = (generation(Env::TENANT, 1), generation(Env::NEIGHBOUR, 1));
        assert_eq!(store.begin_rebuild(&theirs).await?, None);
        store.fill(&theirs, &[running("theirs", 5)], 0, 2).await?;
        assert_eq!(store.begin_rebuild(&ours).await?, None);
        store.fill(&ours, &[running("ours", 6)], 0, 1).await?;
        assert_eq!(next(&store, Env::NEIGHBOUR).await?, [pair("theirs", 5)]);

        ledger.close().await;
        let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        store.swap(&ours, &raw.lease, raw.head).await?;
        assert_eq!(live(&store, Env::TENANT).await?, [pair("ours", 6)]);
        assert_eq!(live(&store, Env::NEIGHBOUR).await?, [pair("all", 2)]);
        assert_eq!(next(&store, Env::NEIGHBOUR).await?, [pair("theirs", 5)]);
        assert_eq!(store.begin_rebuild(&ours).await?, None);
        assert_eq!(store.begin_rebuild(&theirs).await?, Some(2), "ours began anew, theirs is as it was");
        store.abandon_rebuild(&theirs).await?;
        assert_eq!(live(&store, Env::NEIGHBOUR).await?, [pair("all", 2)]);
        Ok(())
    }
);

case!(
    /// While the next generation is filled and live appends go on, readers see the old rows; then, at once, the new ones.
    async fn rebuild_blue_green_old_serves_until_switch(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        history(env, &ledger, 10).await?;
        ledger.close().await;
        damage(env).await?;
        let (ledger, store) = (env.open_tallying(Env::TENANT).await?, env.store());
        let reader = env.reader().await?;
        let before = live(&reader, Env::TENANT).await?;
        assert_eq!(before, [pair("all", -5), pair("of nothing", 1)]);

        let mut replay = Replay::begin(Arc::clone(&store), Arc::clone(&store), options()).await?;
        replay.fold_up_to(9, go_on).await?;
        assert_eq!(live(&reader, Env::TENANT).await?, before);
        assert_eq!(next(&store, Env::TENANT).await?, [pair("all", 9)]);
        append(&ledger, vec![event("late:1", 1)]).await?;
        assert_eq!(live(&reader, Env::TENANT).await?, [pair("all", -4), pair("of nothing", 1)]);
        assert_eq!(next(&store, Env::TENANT).await?, [pair("all", 9)]);

        let rebuilt = ledger.rebuild(options(), go_on).await?;
        let head = store.head(Env::TENANT).await?.log_seq;
        assert_eq!((rebuilt.began_at, rebuilt.log_seq), (9, head));
        assert_eq!(live(&reader, Env::TENANT).await?, [pair("all", head)]);
        // The writer folds on the new rows, not on the old ones that it held.
        append(&ledger, vec![event("late:1", 1)]).await?;
        assert_eq!(live(&reader, Env::TENANT).await?, [pair("all", head + 1)]);
        reader.close().await;
        Ok(())
    }
);

case!(
    /// A rebuild that is broken off leaves nothing behind, and the next one begins at the beginning and succeeds.
    async fn rebuild_cancel_then_retry_clean(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        history(env, &ledger, 12).await?;
        let before = digests(&store).await?;
        let mut pages = 0;
        let cancelled = ledger
            .rebuild(options(), |progress| {
                pages += 1;
                assert!(progress.log_seq <= progress.head);
                if pages == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
        let Err(RebuildError::Replay(ReplayError::Cancelled(8))) = cancelled else {
            anyhow::bail!("{cancelled:?}")
        };
        assert_eq!(next(&store, Env::TENANT).await?, []);
        assert_eq!(shadow_of(&store, &RUNNING).await?, None);
        assert_eq!(digests(&store).await?, before);
        append(&ledger, vec![event("a:1", 1)]).await?;

        let before = digests(&store).await?;
        let rebuilt = ledger.rebuild(options(), go_on).await?;
        assert_eq!(rebuilt.began_at, 0);
        assert_eq!(digests(&store).await?, before);

        // Dropped midway, nothing waits for it: the writer writes, and the next rebuild goes on.
        for polls in [0, 1, 5, 25] {
            poll_then_drop(ledger.rebuild(options(), go_on), polls).await;
        }
        append(&ledger, vec![event("a:1", 1)]).await?;
        let before = digests(&store).await?;
        ledger.rebuild(options(), go_on).await?;
        assert_eq!(digests(&store).await?, before);
        Ok(())
    }
);

case!(
    /// What a crash cuts off is gone on with from the last page that was kept, by the same folds.
    async fn rebuild_crash_resume(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        history(env, &ledger, 12).await?;
        let before = digests(&store).await?;
        let mut replay = Replay::begin(Arc::clone(&store), Arc::clone(&store), options()).await?;
        replay.fold_up_to(10, go_on).await?;
        drop((replay, ledger));
        let store = env.crash().await?;
        assert_eq!(digests(&store).await?, before);

        let ledger = env.open_tallying(Env::TENANT).await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let before = digests(&store).await?;
        let mut first = None;
        let rebuilt = ledger
            .rebuild(options(), |progress| {
                first.get_or_insert(progress.log_seq);
                ControlFlow::Continue(())
            })
            .await?;
        assert_eq!((rebuilt.began_at, first), (10, Some(14)));
        assert_eq!(digests(&store).await?, before);
        Ok(())
    }
);

case!(
    /// A rebuild appends nothing and delivers nothing again: log, keys, streams, commands and consumers stand as before.
    async fn rebuild_suppresses_side_effects(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        let mut consumer = ledger.subscribe(Start::Origin, EventQuery::all(Env::TENANT));
        append(&ledger, vec![keyed("a:1", 1, "sent/1"), event("b:1", 2), event("a:1", 3)]).await?;
        assert_eq!(consumer.next_page().await?.len(), 3);
        let moved = CheckpointMove { name: "sender".to_owned(), from: 0, to: 3, generation: 1 };
        let effect = Append { checkpoints: vec![moved], ..Append::events(vec![event("effect:1", 1)]) };
        appended(ledger.append(effect).await?)?;
        assert_eq!(consumer.next_page().await?.len(), 1);
        let (before, head) = (digests(&store).await?, store.head(Env::TENANT).await?);

        let mut live_only = ledger.subscribe(Start::Now, EventQuery::all(Env::TENANT));
        assert_eq!(live_only.poll_page().await?, None);
        ledger.rebuild(options(), go_on).await?;
        ledger.rebuild(options(), go_on).await?;
        assert_eq!(consumer.poll_page().await?, None);
        assert_eq!(live_only.poll_page().await?, None);
        assert_eq!(digests(&store).await?, before);
        assert_eq!(store.head(Env::TENANT).await?, head);
        let stands = store.checkpoint(Env::TENANT, "sender").await?;
        assert_eq!(stands, Some(Checkpoint { log_seq: 3, generation: 1 }));
        let again = ledger.append(Append::events(vec![keyed("a:1", 1, "sent/1")])).await?;
        assert!(matches!(again, Outcome::Duplicate { .. }), "{again:?}");
        Ok(())
    }
);

case!(
    /// The old and the new version of a fold go on independently, each with its rows and its place, until one is chosen.
    async fn two_versions_progress_independently(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        let newer =
            ReplayOptions { page_events: 2, ..ReplayOptions::new(Env::TENANT, vec![Arc::new(Tenfold)], 2) };
        let mut replay = Replay::begin(Arc::clone(&store), Arc::clone(&store), newer.clone()).await?;
        for appended in 1..=6 {
            append(&ledger, vec![event("a:1", appended)]).await?;
            if appended % 2 == 0 {
                replay.fold_up_to(appended - 1, go_on).await?;
                assert_eq!(next(&store, Env::TENANT).await?, [pair("all", 10 * (appended - 1))]);
                let stands = shadow_of(&store, &RUNNING).await?;
                assert_eq!(stands, Some(Checkpoint { log_seq: appended - 1, generation: 2 }));
            }
            assert_eq!(live(&store, Env::TENANT).await?, [pair("all", appended)]);
        }
        let tallies = store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
        ledger.rebuild(newer, go_on).await?;
        assert_eq!(live(&store, Env::TENANT).await?, [pair("all", 60)]);
        assert_eq!(store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?, tallies, "not its table");
        let stands = store.checkpoint(Env::TENANT, RUNNING.name).await?;
        assert_eq!(stands, Some(Checkpoint { log_seq: 6, generation: 2 }));
        assert_eq!(store.checkpoint(Env::TENANT, TALLIES.name).await?, None);
        Ok(())
    }
);

case!(
    /// Rebuilt while many append, the tables are what the live fold made of the same log, and nobody's append is lost.
    async fn rebuild_equals_live(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        history(env, &ledger, 40).await?;
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..8 {
            let ledger = ledger.clone();
            writers.spawn(async move {
                for amount in 0..25 {
                    append(&ledger, vec![event(&format!("w:{n}"), amount), event("s:1", 1)]).await?;
                }
                anyhow::Ok(())
            });
        }
        for _ in 0..3 {
            ledger.rebuild(options(), go_on).await?;
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        let live = digests(&store).await?;
        ledger.rebuild(options(), go_on).await?;
        assert_eq!(digests(&store).await?, live);
        // Neither an unknown outcome nor a reopened store changes that.
        env.store().cut_next_commit(Cut::After);
        append(&ledger, vec![event("s:1", 1)]).await?;
        ledger.close().await;
        let store = env.reopen().await?;
        let live = digests(&store).await?;
        let ledger = env.open_tallying(Env::TENANT).await?;
        ledger.rebuild(options(), go_on).await?;
        assert_eq!(digests(&store).await?, live);
        let events = i64::try_from(whole_log(&store).await?.len())?;
        let told = self::live(&store, Env::TENANT).await?;
        assert_eq!(told, [pair("all", events)]);
        Ok(())
    }
);

case!(
    /// A page that names rows by the hundred, with a memory for a handful, comes to the same as one event at a time.
    async fn rebuild_with_little_memory_equals_one_with_much(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        let events = (0..300).map(|n| event(&format!("s:{}", n * 7 % 113), n)).collect();
        append(&ledger, events).await?;
        let live = digests(&store).await?;
        for (page_events, rows_max) in [(1, 0), (7, 5), (64, 10), (1_000, 1_000)] {
            let options = ReplayOptions { page_events, rows_max, ..options() };
            ledger.rebuild(options, go_on).await?;
            assert_eq!(digests(&store).await?, live, "{page_events} events, {rows_max} rows");
        }
        Ok(())
    }
);

case!(
    /// A replay holds the rows that its options permit and those of two pages, however many the log makes; the
    /// benchmark shows the same in bytes over a million events.
    async fn memory_flat_over_1m_event_replay(env: &Env) -> CaseResult {
        const STREAMS: i64 = 4_000;
        let ledger = env.ledger().await?;
        for first in (0..STREAMS).step_by(500) {
            let events = (first..first + 500).map(|n| event(&format!("s:{n}"), n)).collect();
            append(&ledger, events).await?;
        }
        ledger.close().await;
        let options = ReplayOptions { page_events: 100, rows_max: 50, ..options() };
        let store = env.store();
        let mut replay = Replay::begin(Arc::clone(&store), store, options).await?;
        while replay.log_seq() < STREAMS {
            replay.fold_up_to(replay.log_seq() + 250, go_on).await?;
            assert!(replay.rows_held() <= 50 + 2 * 101, "{} rows are held", replay.rows_held());
        }
        let rows = replay.rows(&TALLIES, &RowQuery::all()).await?;
        assert_eq!(rows.len(), 4_000);
        Ok(())
    }
);
