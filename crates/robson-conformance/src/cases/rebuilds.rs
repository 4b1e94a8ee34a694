//! Rebuilds: another generation of the tables is filled beside the live rows and takes their place at once.

use robson_eventlog::{
    Checkpoint, CommitError, Generation, Row, RowQuery, Store, Table, TableRows, TenantId, Value,
};

use crate::erased::SharedStore;
use crate::fixtures::{RawWriter, append, event};
use crate::tally::{RUNNING, TALLIES};
use crate::{Env, case};

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
        let earlier = robson_eventlog::Head { log_seq: 1, ..head };
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
