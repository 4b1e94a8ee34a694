//! Snapshots: each ends with an event of the log, can be read, and holds what the log gives at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::damage::Damages;
use super::pages::Pages;
use super::rows;
use crate::batch::TableRows;
use crate::event::RecordedEvent;
use crate::names::TenantId;
use crate::projection::{Projection, RowKey, Rows};
use crate::replay::Replay;
use crate::snapshot::{BadSnapshot, Content, SNAPSHOTS, Scope, Scopes, Snapshot};
use crate::store::{RowQuery, Store, StoreError};
use crate::table::{Row, Table, Value};

const PART: &str = SNAPSHOTS.name;
/// Snapshots of one read: they may be large.
const ROWS: usize = 8;
/// Rows of a scope that are read at once.
const KEYS: usize = 2_000;

/// The snapshots that there are, and the rows of their scopes as the walk finds them.
#[derive(Debug)]
pub(super) struct Snapshots {
    tenant: TenantId,
    scopes: Option<Arc<dyn Scopes>>,
    tables: Vec<&'static Table>,
    /// By place, the keys of those that are still to be compared.
    waiting: BTreeMap<i64, Vec<Vec<Value>>>,
    /// The rows of each scope that a snapshot waits for.
    owned: BTreeMap<Scope, BTreeSet<RowKey>>,
    other_folds: u64,
    pub(super) compared: u64,
}

impl Snapshots {
    pub(super) async fn list<S: Store>(
        store: &S,
        tenant: TenantId,
        scopes: Option<Arc<dyn Scopes>>,
        tables: Vec<&'static Table>,
        damages: &mut Damages,
    ) -> Result<Self, StoreError> {
        let (waiting, owned) = (BTreeMap::new(), BTreeMap::new());
        let mut list = Self { tenant, scopes, tables, waiting, owned, other_folds: 0, compared: 0 };
        let mut pages = Pages::new(tenant, &SNAPSHOTS, ROWS);
        loop {
            let page = pages.next(store, damages).await?;
            if page.is_empty() {
                return Ok(list);
            }
            page.into_iter().for_each(|row| list.note(row, damages));
        }
    }

    fn note(&mut self, row: Row, damages: &mut Damages) {
        let key = row.key(&SNAPSHOTS);
        let Some(snapshot) = Snapshot::from_row(row) else {
            return damages.add(PART, None, format!("{} cannot be read", name(&key)));
        };
        let as_of = snapshot.as_of_log_seq;
        if as_of < 1 {
            return damages.add(PART, None, format!("{} ends with no event", name(&key)));
        }
        if let Some(scope) = self.scope_of(&snapshot) {
            self.owned.entry(scope).or_default();
        }
        self.waiting.entry(as_of).or_default().push(key);
    }

    fn scope_of(&self, snapshot: &Snapshot) -> Option<Scope> {
        self.scopes.as_ref()?.scope(&snapshot.scope, &snapshot.scope_id)
    }

    /// Takes note of the rows that an event made, where a snapshot waits for their scope.
    pub(super) fn observe(
        &mut self,
        event: &RecordedEvent,
        projections: &[Arc<dyn Projection>],
        rows: &Rows,
    ) {
        let Some(scopes) = self.scopes.as_ref().filter(|_| !self.owned.is_empty()) else { return };
        let find = |key: &RowKey| rows.peek(key).cloned();
        for projection in projections {
            // It was folded, so its keys can be told.
            for key in projection.keys(event, rows).unwrap_or_default() {
                let table = projection.tables().iter().find(|table| table.name == key.table);
                let (Some(table), Some(row)) = (table, rows.peek(&key)) else { continue };
                for scope in scopes.owners(table, row, &find) {
                    if let Some(owned) = self.owned.get_mut(&scope) {
                        owned.insert(key.clone());
                    }
                }
            }
        }
    }

    /// Whether a snapshot ends at a place, so that what was read up to it must be folded.
    pub(super) fn wait_for(&self, log_seq: i64) -> bool {
        self.waiting.contains_key(&log_seq)
    }

    /// Compares the snapshots that end with an event, which was folded just now; without a replay, only what they say
    /// of their place.
    pub(super) async fn compare<S: Store, T: Store>(
        &mut self,
        store: &S,
        event: &RecordedEvent,
        replay: Option<&Replay<S, T>>,
        damages: &mut Damages,
    ) -> Result<(), StoreError> {
        for key in self.waiting.remove(&event.log_seq).unwrap_or_default() {
            let found = store.rows(self.tenant, &SNAPSHOTS, &RowQuery::keys(vec![key.clone()])).await?;
            let Some(snapshot) = found.into_iter().next().and_then(Snapshot::from_row) else { continue };
            let what = if snapshot.as_of_event_id.is_some_and(|id| id != event.event_id) {
                Some(BadSnapshot::OtherLog { as_of: event.log_seq }.to_string())
            } else if snapshot.as_of_time != event.ingested_at && snapshot.as_of_event_id.is_some() {
                Some(format!("it says that its last event was appended at {}", snapshot.as_of_time))
            } else {
                self.differs(&snapshot, replay).await?
            };
            if let Some(what) = what {
                damages.add(PART, Some(event.log_seq), format!("{}: {what}", name(&key)));
            }
        }
        Ok(())
    }

    /// What is wrong with the content of a snapshot, given the rows of its place.
    async fn differs<S: Store, T: Store>(
        &mut self,
        snapshot: &Snapshot,
        replay: Option<&Replay<S, T>>,
    ) -> Result<Option<String>, StoreError> {
        let scope = self.scope_of(snapshot);
        let (Some(scope), Some(scopes)) = (scope, &self.scopes) else { return Ok(None) };
        let content = match Content::decode(snapshot, &self.tables, scopes.fold_version()) {
            Ok(content) => content,
            Err(BadSnapshot::OtherFold { .. }) => {
                self.other_folds += 1;
                return Ok(None);
            }
            Err(bad) => return Ok(Some(bad.to_string())),
        };
        let Some(replay) = replay else { return Ok(None) };
        self.compared += 1;
        let owned = self.owned.get(&scope).cloned().unwrap_or_default();
        difference(content, owned, &self.tables, replay).await
    }

    /// What is left ends with no event of the log; `walked` is the place up to which it was read.
    pub(super) fn check_rest(&self, walked: i64, head: i64, damages: &mut Damages) {
        for (place, keys) in &self.waiting {
            let what = if *place > head {
                format!("it contains the log up to {place}, which ends at {head}")
            } else if *place <= walked {
                format!("event {place}, with which it ends, is not in the log")
            } else {
                // Taken since the reading of the log began.
                continue;
            };
            keys.iter().for_each(|key| damages.add(PART, Some(*place), format!("{}: {what}", name(key))));
        }
    }

    /// What was not compared.
    pub(super) fn skipped(&self) -> Vec<String> {
        match self.other_folds {
            0 => Vec::new(),
            1 => vec!["1 snapshot of another fold version was not compared".to_owned()],
            count => vec![format!("{count} snapshots of other fold versions were not compared")],
        }
    }
}

/// Which snapshot: its scope, and where it ends.
fn name(key: &[Value]) -> String {
    let text = |index: usize| match key.get(index) {
        Some(Value::Text(text)) => text.clone(),
        other => other.map(Value::to_json).unwrap_or_default().to_string(),
    };
    format!("{} {} at {}", text(0), text(1), text(2))
}

/// The first difference between a snapshot and the rows of its place, table by table.
async fn difference<S: Store, T: Store>(
    content: Content,
    owned: BTreeSet<RowKey>,
    tables: &[&'static Table],
    replay: &Replay<S, T>,
) -> Result<Option<String>, StoreError> {
    let mut kept: BTreeMap<RowKey, Option<Row>> = owned.into_iter().map(|key| (key, None)).collect();
    for TableRows { table, rows } in content.own.into_iter().chain(content.context) {
        let keyed = |row: Row| (RowKey { table: table.name, key: row.key(table) }, Some(row));
        kept.extend(rows.into_iter().map(keyed));
    }
    let mut kept: Vec<(RowKey, Option<Row>)> = kept.into_iter().collect();
    while let Some(name) = kept.first().map(|(key, _)| key.table) {
        let of_table = kept.iter().take_while(|(key, _)| key.table == name).count().min(KEYS);
        let some: Vec<_> = kept.drain(..of_table).collect();
        let Some(table) = tables.iter().find(|table| table.name == name) else { continue };
        let query = RowQuery::keys(some.iter().map(|(key, _)| key.key.clone()).collect());
        let given = replay.rows(table, &query).await?;
        let given: BTreeMap<Vec<Value>, Row> = given.into_iter().map(|row| (row.key(table), row)).collect();
        let differing =
            some.iter().find_map(|(key, kept)| rows::difference(table, kept.as_ref(), given.get(&key.key)));
        if differing.is_some() {
            return Ok(differing);
        }
    }
    Ok(None)
}
