//! Snapshots of the trader's scopes, over a made-up history: what is restored is what a replay gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use robson_eventlog::replay::fold_all;
use robson_eventlog::snapshot::{Restored, Scope, Scopes, Watch, restore, take};
use robson_eventlog::{
    Append, EventQuery, Ledger, LedgerOptions, Outcome, Projection, RowKey, RowQuery, Store, TableRows,
    TenantId, Value,
};
use robson_projector::{TABLES, TraderScopes, TraderTables, orders_current, positions_current};
use robson_store::MemoryStore;
use robson_testkit::history::History;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001));

type TestResult = Result<(), Box<dyn std::error::Error>>;

struct World {
    store: Arc<MemoryStore>,
    ledger: Ledger<MemoryStore>,
    history: History,
}

impl World {
    async fn begin() -> Result<Self, Box<dyn std::error::Error>> {
        let store = Arc::new(MemoryStore::new());
        store.register(TENANT).await?;
        let history = History::new(11, TENANT);
        let options = LedgerOptions {
            projections: projections(),
            ..LedgerOptions::new(TENANT, "test".parse()?, Arc::new(history.clock()))
        };
        let ledger = Ledger::open(Arc::clone(&store), options).await?;
        Ok(Self { store, ledger, history })
    }

    async fn go_on(&mut self, events: usize) -> TestResult {
        let outcome = self.ledger.append(self.history.batch(events)).await?;
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
        Ok(())
    }

    async fn keep(&self, scope: &Scope) -> Result<i64, Box<dyn std::error::Error>> {
        let at = "2026-01-15T12:00:00Z".parse()?;
        let taken = take(&*self.store, TENANT, &TraderScopes, scope, "asked", at).await?;
        let snapshot = taken.ok_or_else(|| format!("there is no {scope}"))?.snapshot;
        let as_of = snapshot.as_of_log_seq;
        self.ledger.append(Append { snapshots: vec![snapshot], ..Append::default() }).await?;
        Ok(as_of)
    }

    async fn restored(&self, scope: &Scope) -> Result<Restored, Box<dyn std::error::Error>> {
        Ok(restore(&*self.store, TENANT, &projections(), &TraderScopes, scope, i64::MAX).await?)
    }

    /// The live rows of a scope.
    async fn live(&self, scope: &Scope) -> Result<Vec<TableRows>, Box<dyn std::error::Error>> {
        let rows = fold_all(&*self.store, TENANT, projections(), i64::MAX, |_| {}).await?;
        let find = |key: &RowKey| rows.peek(key).cloned();
        let mut live = Vec::new();
        for table in TABLES {
            let mut of = self.store.rows(TENANT, table, &RowQuery::all()).await?;
            of.retain(|row| TraderScopes.owners(table, row, &find).contains(scope));
            live.push(TableRows { table, rows: of });
        }
        live.retain(|of| !of.rows.is_empty());
        Ok(live)
    }

    async fn positions(&self) -> Result<Vec<Scope>, Box<dyn std::error::Error>> {
        let rows = self.store.rows(TENANT, &positions_current::TABLE, &RowQuery::all()).await?;
        let id = |value: &Value| if let Value::Uuid(id) = value { id.to_string() } else { String::new() };
        Ok(rows.iter().map(|row| Scope { kind: "position", id: id(&row.0[0]) }).collect())
    }

    fn account(&self) -> Scope {
        Scope { kind: "account", id: self.history.account().to_string() }
    }

    async fn strategy(&self) -> Result<Scope, Box<dyn std::error::Error>> {
        let table = &robson_projector::strategy_state_current::TABLE;
        let rows = self.store.rows(TENANT, table, &RowQuery::all()).await?;
        let Some(Value::Uuid(id)) = rows.first().map(|row| &row.0[0]) else {
            return Err("no strategy".into());
        };
        Ok(Scope { kind: "strategy", id: id.to_string() })
    }
}

fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(TraderTables)]
}

#[tokio::test]
async fn snapshot_and_the_events_behind_it_are_what_the_log_gives() -> TestResult {
    let mut world = World::begin().await?;
    world.go_on(300).await?;
    for round in 0..6 {
        let positions = world.positions().await?;
        let mut scopes = vec![world.account(), world.strategy().await?];
        // Those that are live go on, the others stay as they were.
        scopes.extend(positions.iter().rev().take(12).cloned());
        let mut kept = Vec::new();
        for scope in &scopes {
            kept.push(world.keep(scope).await?);
        }
        world.go_on(150).await?;
        for (scope, as_of) in scopes.iter().zip(kept) {
            let restored = world.restored(scope).await?;
            assert_eq!(
                (restored.snapshot, &restored.rejected),
                (Some(as_of), &Vec::new()),
                "{scope}, {round}"
            );
            assert_eq!(restored.rows, world.live(scope).await?, "{scope}, {round}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_account_has_every_row_and_a_position_its_orders() -> TestResult {
    let mut world = World::begin().await?;
    world.go_on(400).await?;
    let account = world.restored(&world.account()).await?;
    for table in TABLES {
        let all = world.store.rows(TENANT, table, &RowQuery::all()).await?;
        let of = account.rows.iter().find(|of| of.table == *table);
        assert_eq!(of.map_or(0, |of| of.rows.len()), all.len(), "{}", table.name);
    }
    let mut orders = 0;
    for position in world.positions().await? {
        world.keep(&position).await?;
        let restored = world.restored(&position).await?;
        let of = restored.rows.iter().filter(|of| *of.table == orders_current::TABLE);
        orders += of.map(|of| of.rows.len()).sum::<usize>();
    }
    let all = world.store.rows(TENANT, &orders_current::TABLE, &RowQuery::all()).await?;
    assert_eq!(orders, all.len(), "every order is of one position");
    Ok(())
}

#[tokio::test]
async fn every_event_of_a_position_counts_for_its_account_and_strategy() -> TestResult {
    let mut world = World::begin().await?;
    world.go_on(400).await?;
    let (account, strategy) = (world.account(), world.strategy().await?);
    let positions: BTreeSet<Scope> = world.positions().await?.into_iter().collect();
    let page = world.store.read(&EventQuery::all(TENANT)).await?.events;
    let watch = Watch::new(projections(), Arc::new(TraderScopes));
    let (mut seen, mut of_strategy) = (BTreeSet::new(), false);
    for (event, scopes) in page.iter().zip(watch.scopes_of(&*world.store, TENANT, &page).await?) {
        let of_trade = ["position:", "order:"].iter().any(|kind| event.stream.as_str().starts_with(kind));
        if of_trade {
            assert_eq!(scopes.first(), Some(&account), "event {} {}", event.log_seq, event.event_type);
            let position = match scopes.as_slice() {
                [_, own_strategy, position] if *own_strategy == strategy => position,
                [_, position] => position,
                other => panic!("event {} {} is of {other:?}", event.log_seq, event.event_type),
            };
            of_strategy |= scopes.len() == 3;
            assert!(positions.contains(position));
            seen.insert(position.clone());
        }
    }
    assert_eq!(seen, positions);
    assert!(of_strategy, "no position of the strategy");
    Ok(())
}
