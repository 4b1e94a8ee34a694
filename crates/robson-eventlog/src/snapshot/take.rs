//! Taking a snapshot: the rows of a scope and the head in one snapshot of the database. Keeps nothing by itself.

use super::content::ZSTD;
use super::{Content, Part, Scope, Scopes, Snapshot};
use crate::batch::{Head, TableRows};
use crate::names::TenantId;
use crate::projection::RowKey;
use crate::store::{EventQuery, RowQuery, Store, StoreError};
use crate::table::Row;
use crate::time::Timestamp;

/// A snapshot that an append can keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// How many rows its scope has.
    pub rows: u64,
}

/// What a scope has come to; nothing where there is no such scope.
///
/// # Errors
/// As the store says.
pub async fn take<S: Store>(
    store: &S,
    tenant: TenantId,
    scopes: &dyn Scopes,
    scope: &Scope,
    reason: &str,
    created_at: Timestamp,
) -> Result<Option<Taken>, StoreError> {
    let Some((head, content)) = capture(store, tenant, scopes, scope).await? else { return Ok(None) };
    let at_head = EventQuery { after: head.log_seq - 1, up_to: head.log_seq, ..EventQuery::all(tenant) };
    let last = store.read(&at_head).await?.events.into_iter().next();
    let last = last.ok_or_else(|| StoreError::Broken(format!("event {} is missing", head.log_seq)))?;
    let rows = content.len() as u64;
    // Compressing a large account takes longer than a task may hold its thread.
    let encoded = tokio::task::spawn_blocking(move || content.encode()).await;
    let payload = match encoded {
        Ok(Ok(payload)) => payload,
        Ok(Err(error)) => return Err(StoreError::Broken(error.to_string())),
        Err(error) => return Err(StoreError::Unavailable(Box::new(error))),
    };
    let snapshot = Snapshot {
        scope: scope.kind.to_owned(),
        scope_id: scope.id.clone(),
        as_of_log_seq: head.log_seq,
        created_at,
        snapshot_type: reason.to_owned(),
        as_of_event_id: Some(last.event_id),
        as_of_seq: 0,
        as_of_time: head.ingested_at,
        schema_version: scopes.fold_version(),
        payload,
        compression: Some(ZSTD.to_owned()),
    };
    Ok(Some(Taken { snapshot, rows }))
}

/// The rows of a scope and the head that they are of; nothing where the scope has none.
async fn capture<S: Store>(
    store: &S,
    tenant: TenantId,
    scopes: &dyn Scopes,
    scope: &Scope,
) -> Result<Option<(Head, Content)>, StoreError> {
    let anchor = match scopes.anchor(scope) {
        None => None,
        Some(key) => {
            let parts = scopes.parts(scope, None);
            let table = parts.iter().map(|part| part.table).find(|table| table.name == key.table);
            let table = table.ok_or_else(|| StoreError::Broken(format!("{scope} has no {}", key.table)))?;
            let found = store.rows(tenant, table, &RowQuery::keys(vec![key.key])).await?;
            let Some(row) = found.into_iter().next() else { return Ok(None) };
            Some(row)
        }
    };
    let parts = scopes.parts(scope, anchor.as_ref());
    let queries: Vec<_> = parts.iter().map(|part| (part.table, part.query.clone())).collect();
    let captured = store.capture(tenant, &queries).await?;
    let content = sorted_out(scopes, scope, parts.iter().zip(captured.rows));
    Ok((captured.head.log_seq > 0 && !content.is_empty()).then_some((captured.head, content)))
}

/// What of the rows that were found is the scope's own, and what is its context.
fn sorted_out<'a>(
    scopes: &dyn Scopes,
    scope: &Scope,
    found: impl Iterator<Item = (&'a Part, Vec<Row>)>,
) -> Content {
    let (context, own): (Vec<_>, Vec<_>) = found.partition(|(part, _)| part.is_context);
    let tables = |found: Vec<(&Part, Vec<Row>)>| {
        let rows = found.into_iter().map(|(part, rows)| TableRows { table: part.table, rows });
        rows.filter(|of| !of.rows.is_empty()).collect::<Vec<_>>()
    };
    let (mut own, context) = (tables(own), tables(context));
    let keep: Vec<Vec<bool>> = own.iter().map(|of| owned(scopes, scope, of, &own)).collect();
    for (of, keep) in own.iter_mut().zip(keep) {
        let mut keep = keep.into_iter();
        of.rows.retain(|_| keep.next() == Some(true));
    }
    own.retain(|of| !of.rows.is_empty());
    Content { own, context }
}

/// Which rows of a table are of the scope, given all that were found.
fn owned(scopes: &dyn Scopes, scope: &Scope, of: &TableRows, found: &[TableRows]) -> Vec<bool> {
    let find = |key: &RowKey| {
        let table = found.iter().find(|of| of.table.name == key.table)?;
        let columns = table.table.key_columns;
        let index = table.rows.binary_search_by(|row| row.0[..columns].cmp(&key.key)).ok()?;
        table.rows.get(index).cloned()
    };
    of.rows.iter().map(|row| scopes.owners(of.table, row, &find).contains(scope)).collect()
}
