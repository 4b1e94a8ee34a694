//! Restoring: the newest snapshot that can be trusted, then the events behind it that belong to its scope; where
//! there is none, the log from its beginning. Writes nothing.

use std::sync::Arc;

use super::{BadSnapshot, Content, Scope, Scopes, Snapshot};
use crate::batch::TableRows;
use crate::event::{ChainHash, RecordedEvent};
use crate::names::TenantId;
use crate::projection::{FoldError, Projection, RowKey, Rows};
use crate::replay::{self, ReplayError};
use crate::store::{EventQuery, Store, StoreError};
use crate::table::{Row, Table, Value};

const PAGE: usize = 2_000;

/// What a scope has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its rows, by table in the projections' order and by key.
    pub rows: Vec<TableRows>,
    /// The place in the log that they are of.
    pub log_seq: i64,
    /// The place of the snapshot that they come from; nothing where the whole log was folded.
    pub snapshot: Option<i64>,
    /// The snapshots that were left aside, newest first: their places, and why.
    pub rejected: Vec<(i64, BadSnapshot)>,
}

/// What a scope had come to at a place of the log, or at its end where that comes first.
///
/// # Errors
/// See [`ReplayError`].
pub async fn restore<S: Store>(
    store: &S,
    tenant: TenantId,
    projections: &[Arc<dyn Projection>],
    scopes: &dyn Scopes,
    scope: &Scope,
    up_to: i64,
) -> Result<Restored, ReplayError> {
    let head = store.head(tenant).await?.log_seq;
    let log_seq = up_to.min(head);
    let tables: Vec<&'static Table> =
        projections.iter().flat_map(|projection| projection.tables()).copied().collect();
    let mut rejected = Vec::new();
    // What is ahead of the log shall be told, so it must be asked for.
    let mut asked = if up_to >= head { i64::MAX } else { up_to };
    while let Some(snapshot) = store.snapshot(tenant, scope.kind, &scope.id, asked).await? {
        let as_of = snapshot.as_of_log_seq;
        match begin(store, tenant, &snapshot, &tables, scopes.fold_version(), head).await? {
            Ok((content, hash)) => {
                let mut tail = Tail::new(projections, scopes, scope, content);
                match tail.fold(store, tenant, as_of, hash, log_seq).await {
                    Ok(()) => {
                        let rows = tail.own_rows(&tables);
                        return Ok(Restored { rows, log_seq, snapshot: Some(as_of), rejected });
                    }
                    Err(ReplayError::Fold { source, .. }) => {
                        rejected.push((as_of, BadSnapshot::Corrupt(source.to_string())));
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(bad) => rejected.push((as_of, bad)),
        }
        asked = as_of - 1;
    }
    let whole = replay::fold_all(store, tenant, projections.to_vec(), log_seq, |_| {}).await?;
    let rows = own_rows(&whole, &tables, scopes, scope);
    Ok(Restored { rows, log_seq, snapshot: None, rejected })
}

/// Whether a snapshot can be trusted: its content, and the hash of the event that it ends with.
async fn begin<S: Store>(
    store: &S,
    tenant: TenantId,
    snapshot: &Snapshot,
    tables: &[&'static Table],
    fold_version: i64,
    head: i64,
) -> Result<Result<(Content, ChainHash), BadSnapshot>, StoreError> {
    let as_of = snapshot.as_of_log_seq;
    if as_of > head {
        return Ok(Err(BadSnapshot::Ahead { as_of, head }));
    }
    let content = match Content::decode(snapshot, tables, fold_version) {
        Ok(content) => content,
        Err(bad) => return Ok(Err(bad)),
    };
    let place = EventQuery { after: as_of - 1, up_to: as_of, ..EventQuery::all(tenant) };
    let last = store.read(&place).await?.events.into_iter().next();
    Ok(match last {
        Some(event) if Some(event.event_id) == snapshot.as_of_event_id => Ok((content, event.hash)),
        _ => Err(BadSnapshot::OtherLog { as_of }),
    })
}

/// The rows of a scope, and the fold of what comes behind them. Of the rows, only those that an event touches are
/// taken up.
struct Tail<'a> {
    projections: &'a [Arc<dyn Projection>],
    scopes: &'a dyn Scopes,
    scope: &'a Scope,
    content: Content,
    rows: Rows,
}

impl<'a> Tail<'a> {
    fn new(
        projections: &'a [Arc<dyn Projection>],
        scopes: &'a dyn Scopes,
        scope: &'a Scope,
        content: Content,
    ) -> Self {
        Self { projections, scopes, scope, content, rows: Rows::default() }
    }

    async fn fold<S: Store>(
        &mut self,
        store: &S,
        tenant: TenantId,
        mut after: i64,
        mut hash: ChainHash,
        up_to: i64,
    ) -> Result<(), ReplayError> {
        while after < up_to {
            let query = EventQuery { after, up_to, limit: PAGE, ..EventQuery::all(tenant) };
            let page = store.read(&query).await?.events;
            if page.is_empty() {
                return Err(ReplayError::Edited { log_seq: after + 1, what: "it is missing" });
            }
            for event in page {
                replay::check_link(&event, after, hash)?;
                (after, hash) = (event.log_seq, event.hash);
                self.fold_event(&event)?;
            }
        }
        Ok(())
    }

    fn fold_event(&mut self, event: &RecordedEvent) -> Result<(), ReplayError> {
        for projection in self.projections {
            let folded = self.belongs(projection.as_ref(), event).and_then(|belongs| {
                if belongs { replay::fold_into(projection.as_ref(), event, &mut self.rows) } else { Ok(()) }
            });
            folded.map_err(|source| ReplayError::Fold {
                log_seq: event.log_seq,
                event_type: event.event_type.as_str().to_owned(),
                source,
            })?;
        }
        self.rows.keep_changes();
        Ok(())
    }

    /// Whether an event changes rows of the scope, or rows of its context and nothing else.
    fn belongs(&mut self, projection: &dyn Projection, event: &RecordedEvent) -> Result<bool, FoldError> {
        let keys = self.take_up(projection, event)?;
        if keys.is_empty() {
            return Ok(false);
        }
        let is_own = |key: &RowKey| self.rows.peek(key).is_some() && !self.is_context(key);
        Ok(keys.iter().any(is_own)
            || keys.iter().all(|key| self.is_context(key))
            || self.scopes.names(event).contains(self.scope))
    }

    /// Takes up the rows of the snapshot that an event touches; what is not in it stays untold.
    fn take_up(
        &mut self,
        projection: &dyn Projection,
        event: &RecordedEvent,
    ) -> Result<Vec<RowKey>, FoldError> {
        loop {
            let keys = projection.keys(event, &self.rows)?;
            let mut found_more = false;
            for key in keys.iter().filter(|key| !self.rows.holds(key)).cloned().collect::<Vec<_>>() {
                let row = find(&self.content.own, &key).or_else(|| find(&self.content.context, &key));
                if let Some(row) = row.cloned() {
                    self.rows.load(key, Some(row));
                    found_more = true;
                }
            }
            if !found_more {
                return Ok(keys);
            }
        }
    }

    fn is_context(&self, key: &RowKey) -> bool {
        find(&self.content.context, key).is_some()
    }

    /// The scope's rows as they stand now: those of the snapshot, with what was changed in their place.
    fn own_rows(mut self, tables: &[&'static Table]) -> Vec<TableRows> {
        let mut own = std::mem::take(&mut self.content.own);
        for TableRows { table, rows } in self.rows.take_changes(tables) {
            let place = own.iter().position(|of| of.table == table);
            let place = place.unwrap_or_else(|| {
                own.push(TableRows { table, rows: Vec::new() });
                own.len() - 1
            });
            let of = &mut own[place];
            let mut added = Vec::new();
            for row in rows {
                let key = RowKey { table: table.name, key: row.key(table) };
                match of.rows.binary_search_by(|kept| cmp(table, kept, &key.key)) {
                    Ok(index) => of.rows[index] = row,
                    Err(_) if self.is_context(&key) => {}
                    Err(_) => added.push(row),
                }
            }
            let find = |key: &RowKey| self.rows.peek(key).cloned();
            added.retain(|row| self.scopes.owners(table, row, &find).contains(self.scope));
            if !added.is_empty() {
                of.rows.append(&mut added);
                of.rows.sort_by(|a, b| a.0[..table.key_columns].cmp(&b.0[..table.key_columns]));
            }
        }
        let place = |of: &TableRows| tables.iter().position(|table| *table == of.table);
        own.retain(|of| !of.rows.is_empty());
        own.sort_by_key(place);
        own
    }
}

/// The row under a key, among rows by rising key.
fn find<'a>(tables: &'a [TableRows], key: &RowKey) -> Option<&'a Row> {
    tables.iter().filter(|of| of.table.name == key.table).find_map(|of| {
        let index = of.rows.binary_search_by(|row| cmp(of.table, row, &key.key)).ok()?;
        of.rows.get(index)
    })
}

fn cmp(table: &Table, row: &Row, key: &[Value]) -> std::cmp::Ordering {
    row.0[..table.key_columns].cmp(key)
}

/// The rows of a scope among those of a fold.
fn own_rows(rows: &Rows, tables: &[&'static Table], scopes: &dyn Scopes, scope: &Scope) -> Vec<TableRows> {
    let find = |key: &RowKey| rows.peek(key).cloned();
    let of = |table: &'static Table| {
        let own = rows.of_table(table).into_iter();
        let own = own.filter(|row| scopes.owners(table, row, &find).contains(scope));
        TableRows { table, rows: own.cloned().collect() }
    };
    tables.iter().map(|table| of(table)).filter(|of| !of.rows.is_empty()).collect()
}
