//! Projections: rows change with their events or not at all, and are what a replay makes of the log.

use std::collections::BTreeMap;

use robson_eventlog::digest::{Scope, of_rows, of_table};
use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, PROJECTION_CHECKPOINTS, STREAM_STATE};
use robson_eventlog::{
    Append, Batch, ChainHash, Checkpoint, CheckpointMove, CommitError, DedupeHit, EventQuery, Expected,
    Outcome, Projection, RecordedEvent, Row, RowQuery, Rows, Store, StoreError, Table, Value,
};
use serde_json::json;

use crate::erased::SharedStore;
use crate::fixtures::{RawWriter, append, appended, event, id, keyed, refused, stream, typed, whole_log};
use crate::harness::Cut;
use crate::tally::{RUNNING, TALLIES, Tally};
use crate::{Env, case};

const TABLES: [&Table; 2] = [&TALLIES, &RUNNING];

/// The rows that a replay of events makes, by table.
fn replayed(events: &[RecordedEvent]) -> anyhow::Result<Vec<Vec<Row>>> {
    let mut rows = Rows::default();
    for event in events {
        for key in Tally.keys(event, &rows)? {
            rows.load(key, None);
        }
        Tally.fold(event, &mut rows)?;
    }
    Ok(TABLES.iter().map(|table| rows.of_table(table).into_iter().cloned().collect()).collect())
}

/// That the tables hold what a replay of the whole log makes.
async fn check_replay(store: &SharedStore) -> anyhow::Result<()> {
    let log = whole_log(store).await?;
    for (table, expected) in TABLES.into_iter().zip(replayed(&log)?) {
        assert_eq!(store.rows(Env::TENANT, table, &RowQuery::all()).await?, expected, "{}", table.name);
    }
    Ok(())
}

async fn count(store: &SharedStore, table: &'static Table) -> anyhow::Result<usize> {
    Ok(store.rows(Env::TENANT, table, &RowQuery::all()).await?.len())
}

case!(
    /// Rows change in the commit of their events: both are there, or neither after a refusal, a conflict or a cut.
    async fn inline_projection_same_tx_commit_and_rollback(env: &Env) -> CaseResult {
        let (ledger, store) = (env.tallying_ledger().await?, env.store());
        append(&ledger, vec![event("a:1", 5), event("a:1", 7), event("b:1", 1)]).await?;
        check_replay(&store).await?;
        let before = of_table(&*store, Env::TENANT, &TALLIES, Scope::Everything).await?;

        let request = Append::events(vec![event("a:1", 100), event("c:1", 1), refused("a:1")]);
        assert!(matches!(ledger.append(request).await?, Outcome::Refused { .. }));
        let request = Append::events(vec![event("a:1", 100)]).expecting(stream("b:1"), Expected::NoStream);
        assert!(matches!(ledger.append(request).await?, Outcome::Conflict { .. }));
        assert_eq!(of_table(&*store, Env::TENANT, &TALLIES, Scope::Everything).await?, before);
        check_replay(&store).await?;

        // What a refused neighbour changed in memory must not leak into the next commit.
        append(&ledger, vec![event("a:1", 1)]).await?;
        for cut in [Cut::Before, Cut::After] {
            store.cut_next_commit(cut);
            append(&ledger, vec![event("a:1", 1), event("d:1", 1)]).await?;
            check_replay(&store).await?;
        }
        let tallies = store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
        assert_eq!(tallies[0].to_json(&TALLIES)["total"], "15");
        Ok(())
    }
);

case!(
    /// Of neighbours in one commit the refused ones leave nothing in the rows, the others everything.
    async fn refused_neighbours_leave_nothing_in_the_rows(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..60 {
            let ledger = ledger.clone();
            writers.spawn(async move {
                let mut events = vec![event("shared:1", 1), event(&format!("own:{n}"), 1)];
                if n % 3 == 0 {
                    events.push(refused("shared:1"));
                }
                ledger.append(Append::events(events)).await
            });
        }
        let mut refusals = 0;
        while let Some(outcome) = writers.join_next().await {
            refusals += usize::from(matches!(outcome??, Outcome::Refused { .. }));
        }
        assert_eq!(refusals, 20);
        check_replay(&env.store()).await?;
        assert_eq!(count(&env.store(), &TALLIES).await?, 41);
        Ok(())
    }
);

case!(
    /// A checkpoint moves in the commit of the rows and events that it stands for; a crash cannot come between.
    async fn checkpoint_and_rows_commit_together_crash_between_is_impossible(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let mut from = 0;
        for (cut, to) in [(None, 10), (Some(Cut::Before), 20), (Some(Cut::After), 30), (None, 40)] {
            if let Some(cut) = cut {
                env.store().cut_next_commit(cut);
            }
            let moved = CheckpointMove { name: "reader".to_owned(), from, to, generation: 3 };
            let request = Append { checkpoints: vec![moved], ..Append::events(vec![event("effect:1", 1)]) };
            appended(ledger.append(request).await?)?;
            from = to;
            let effects = env.store().streams(Env::TENANT, &[stream("effect:1")]).await?[0].last_seq;
            let stands = env.store().checkpoint(Env::TENANT, "reader").await?;
            assert_eq!(stands, Some(Checkpoint { log_seq: effects * 10, generation: 3 }));
            check_replay(&env.store()).await?;
        }
        ledger.close().await;

        let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let mut batch: Batch = raw.batch(&[event("other:1", 1)], "2026-01-15T12:00:00Z");
        batch.checkpoints =
            vec![CheckpointMove { name: "reader".to_owned(), from: 30, to: 50, generation: 3 }];
        assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Stale)));
        batch.checkpoints[0] = CheckpointMove { name: "newcomer".to_owned(), from: 1, to: 50, generation: 3 };
        assert!(matches!(env.store().commit(&batch).await, Err(CommitError::Stale)));
        assert_eq!(env.store().streams(Env::TENANT, &[stream("other:1")]).await?, []);
        assert_eq!(env.store().checkpoint(Env::TENANT, "newcomer").await?, None);
        Ok(())
    }
);

case!(
    /// Checkpoints that move twice within one commit end where, and in the generation in which, the last move ends.
    async fn checkpoint_moved_twice_in_one_commit_keeps_the_last(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut consumers = tokio::task::JoinSet::new();
        for n in 0..50 {
            let ledger = ledger.clone();
            let moved = CheckpointMove { name: "reader".to_owned(), from: n, to: n + 1, generation: n + 1 };
            let request = Append { checkpoints: vec![moved], ..Append::events(vec![event("effect:1", n)]) };
            consumers.spawn(async move {
                // Whoever is too early asks again; none is told that its work was done by another.
                loop {
                    match ledger.append(request.clone()).await? {
                        Outcome::Appended(_) => return anyhow::Ok(()),
                        Outcome::CheckpointMoved { .. } => tokio::task::yield_now().await,
                        other => anyhow::bail!("{other:?}"),
                    }
                }
            });
        }
        while let Some(done) = consumers.join_next().await {
            done??;
        }
        let stands = env.store().checkpoint(Env::TENANT, "reader").await?;
        assert_eq!(stands, Some(Checkpoint { log_seq: 50, generation: 50 }));
        assert_eq!(whole_log(&env.store()).await?.len(), 50);
        Ok(())
    }
);

case!(
    /// A consumer that is behind its checkpoint is told where it stands; one that did the work already is told so: two answers.
    async fn checkpoint_cas_mismatch_and_current_ahead(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let move_to = async |from, to| {
            let moved = CheckpointMove { name: "reader".to_owned(), from, to, generation: 1 };
            let request = Append { checkpoints: vec![moved], ..Append::events(vec![event("effect:1", to)]) };
            anyhow::Ok(ledger.append(request).await?)
        };
        appended(move_to(0, 5).await?)?;
        appended(move_to(5, 10).await?)?;
        let name = || "reader".to_owned();
        assert_eq!(move_to(5, 10).await?, Outcome::CheckpointAhead { name: name(), actual: 10 });
        assert_eq!(move_to(5, 8).await?, Outcome::CheckpointAhead { name: name(), actual: 10 });
        assert_eq!(move_to(5, 15).await?, Outcome::CheckpointMoved { name: name(), expected: 5, actual: 10 });
        assert_eq!(
            move_to(12, 15).await?,
            Outcome::CheckpointMoved { name: name(), expected: 12, actual: 10 }
        );
        appended(move_to(10, 15).await?)?;
        assert_eq!(whole_log(&env.store()).await?.len(), 3);
        Ok(())
    }
);

case!(
    /// Whatever the events and however they are batched, the rows are what a replay of the log makes.
    async fn replay_from_zero_equals_incremental(env: &Env) -> CaseResult {
        let mut ledger = env.tallying_ledger().await?;
        let mut random = env.random();
        for round in 0..60 {
            let events = (0..=random.below(8)).map(|_| {
                let name = format!("s:{}", random.below(6));
                let amount =
                    format!("{}.{:04}", i64::from(random.below(2_000)) - 1_000, random.below(10_000));
                let mut told = typed(&name, "TALLIED", json!({"amount": amount}));
                if random.percent(20) {
                    told = typed(&name, "TALLIED", json!({"amount": amount, "note": format!("n{round}")}));
                }
                told.trace.trace_id = random.percent(40).then(|| id(random.bits().into()));
                told
            });
            let mut events: Vec<_> = events.collect();
            if random.percent(15) {
                events.push(refused("s:0"));
            }
            ledger.append(Append::events(events)).await?;
            if round % 20 == 19 {
                // Half the time from rows that are held, half from rows that are read back.
                check_replay(&env.store()).await?;
                ledger.close().await;
                ledger = env.open_tallying(Env::TENANT).await?;
            }
        }
        check_replay(&env.store()).await
    }
);

case!(
    /// Two replays of a log give the same bytes, and those of the live tables.
    async fn projection_deterministic_no_clock_no_rng(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        for n in 0..30 {
            append(&ledger, vec![event(&format!("s:{}", n % 4), n), event("s:0", -n)]).await?;
            env.clock().advance(7);
        }
        let store = env.store();
        let log = whole_log(&store).await?;
        env.clock().advance(86_400);
        let (first, second) = (replayed(&log)?, replayed(&log)?);
        assert_eq!(first, second);
        for (table, rows) in TABLES.into_iter().zip(&first) {
            let live = of_table(&*store, Env::TENANT, table, Scope::Everything).await?;
            assert_eq!(of_rows(table, rows, Scope::Everything), live);
        }
        Ok(())
    }
);

case!(
    /// Rows that another writer changed are read again: a ledger that was opened later folds on what is there.
    async fn rows_are_loaded_not_assumed(env: &Env) -> CaseResult {
        let first = env.tallying_ledger().await?;
        append(&first, vec![event("a:1", 1)]).await?;
        let second = env.open_tallying(Env::TENANT).await?;
        append(&second, vec![event("a:1", 2)]).await?;
        let third = env.open_tallying(Env::TENANT).await?;
        append(&third, vec![event("a:1", 4), event("b:1", 1)]).await?;
        check_replay(&env.store()).await?;
        let rows = env.store().rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
        assert_eq!(rows[0].to_json(&TALLIES)["total"], "7");
        Ok(())
    }
);

case!(
    /// Tables that are captured together are of one instant: what they hold is what the log gives up to the head
    /// that comes with them, however much is written meanwhile.
    async fn capture_is_one_snapshot_of_tables_and_head(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let reader = env.reader().await?;
        let writing = tokio::spawn(async move {
            for n in 0..60 {
                append(&ledger, vec![event(&format!("s:{}", n % 5), n), event("s:5", -n)]).await?;
            }
            anyhow::Ok(())
        });
        let all = RowQuery::all();
        let queries = [(&TALLIES, all.clone()), (&RUNNING, all.clone()), (&STREAM_STATE, all)];
        loop {
            let is_over = writing.is_finished();
            let capture = reader.capture(Env::TENANT, &queries).await?;
            let up_to = EventQuery { up_to: capture.head.log_seq, ..EventQuery::all(Env::TENANT) };
            let log = reader.read(&up_to).await?.events;
            let [tallies, running] = replayed(&log)?.try_into().expect("two tables");
            let streams: BTreeMap<&str, i64> =
                log.iter().map(|event| (event.stream.as_str(), event.seq)).collect();
            let text = |text: &str| Value::Text(text.to_owned());
            let streams: Vec<Row> =
                streams.iter().map(|(name, seq)| Row(vec![text(name), Value::Integer(*seq)])).collect();
            assert_eq!(capture.rows, [tallies, running, streams]);
            assert_eq!(log.last().map_or(ChainHash::GENESIS, |last| last.hash), capture.head.chain_hash);
            if is_over {
                break;
            }
        }
        writing.await??;
        reader.close().await;
        let stranger = env.store().capture(Env::STRANGER, &[]).await;
        assert!(matches!(stranger, Err(StoreError::UnknownTenant(Env::STRANGER))), "{stranger:?}");
        Ok(())
    }
);

case!(
    /// Dedupe keys, stream versions and checkpoints are tables as any other: by key, by page, by filter.
    async fn the_logs_own_tables_are_read_as_any_other(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let keys = ["k/3", "k/1", "K/2"];
        for (n, key) in (1..).zip(keys) {
            append(&ledger, vec![keyed(&format!("s:{key}"), n, key), event("s:all", n)]).await?;
        }
        let moved = CheckpointMove { name: "reader".to_owned(), from: 0, to: 6, generation: 2 };
        appended(ledger.append(Append { checkpoints: vec![moved], ..Append::default() }).await?)?;
        let store = env.store();
        let first_column = |rows: Vec<Row>| rows.into_iter().map(|row| row.0[0].clone()).collect::<Vec<_>>();
        let text = |text: &str| Value::Text(text.to_owned());
        let taken = store.rows(Env::TENANT, &EVENT_IDEMPOTENCY, &RowQuery::all()).await?;
        let log = whole_log(&store).await?;
        for row in &taken {
            let hit = DedupeHit::from_row(row.clone()).expect("a taken key");
            let (id, log_seq) = hit.event.expect("an event's key");
            assert!(log.iter().any(|event| (event.event_id, event.log_seq) == (id, log_seq)
                && event.idempotency_key == hit.fingerprint));
        }
        assert_eq!(first_column(taken), ["K/2", "k/1", "k/3"].map(text));
        let page = RowQuery { after: Some(vec![text("s:K/2")]), limit: Some(2), ..RowQuery::all() };
        let page = store.rows(Env::TENANT, &STREAM_STATE, &page).await?;
        assert_eq!(first_column(page), [text("s:all"), text("s:k/1")]);
        let three = RowQuery::filter("last_seq", Value::Integer(3));
        assert_eq!(first_column(store.rows(Env::TENANT, &STREAM_STATE, &three).await?), [text("s:all")]);
        let named = RowQuery::keys(vec![vec![text("reader")], vec![text("nobody")]]);
        let named = store.rows(Env::TENANT, &PROJECTION_CHECKPOINTS, &named).await?;
        assert_eq!(named, [Row(vec![text("reader"), Value::Integer(6), Value::Integer(2)])]);
        assert_eq!(store.rows(Env::NEIGHBOUR, &STREAM_STATE, &RowQuery::all()).await?, []);
        Ok(())
    }
);
