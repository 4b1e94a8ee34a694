//! Views as rows that are written in the commit of the events.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, PersistenceError};
use cqrs_es::{Aggregate, EventEnvelope, View};
use robson_eventlog::{
    Column, ColumnKind, FoldError, Payload, Projection, RecordedEvent, Row, RowKey, RowQuery, Rows, Store,
    Table, TenantId, Value,
};
use serde::de::DeserializeOwned;

use crate::event::{Upcasters, envelope};
use crate::failure::of_store;

/// A table that keeps one view: its id, how many events it has seen, and its fields as JSON.
///
/// The application makes it, by a migration of its own, as
/// `(tenant_id, view_id, version, payload)` with the first two as its key.
pub const fn view_table(name: &'static str) -> Table {
    const COLUMNS: &[Column] = &[
        Column::required("view_id", ColumnKind::Text),
        Column::required("version", ColumnKind::Integer),
        Column::required("payload", ColumnKind::Json),
    ];
    Table { name, columns: COLUMNS, key_columns: 1 }
}

/// Which views an event changes.
type ViewIds<A> = fn(&EventEnvelope<A>) -> Vec<String>;
/// An event, and the ids of the views that it changes.
type Changes<A> = (EventEnvelope<A>, BTreeSet<String>);

/// Folds the events of an aggregate type into the rows of a view. The ledger runs it inside the append.
///
/// A view that cannot be updated or kept (a float is no JSON that the log keeps) refuses the events.
pub struct ViewProjection<A: Aggregate, V> {
    tables: [&'static Table; 1],
    view_ids: ViewIds<A>,
    upcasters: Upcasters,
    view: PhantomData<fn() -> V>,
}

impl<A: Aggregate, V> std::fmt::Debug for ViewProjection<A, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewProjection").field("table", &self.tables[0].name).finish_non_exhaustive()
    }
}

impl<A: Aggregate, V: View<A>> ViewProjection<A, V> {
    /// A view for each aggregate, under the aggregate's id.
    pub fn new(table: &'static Table) -> Self {
        Self::keyed(table, |event| vec![event.aggregate_id.clone()])
    }

    /// Views under ids that follow from the event, none included; what an event changes must follow from it alone.
    pub fn keyed(table: &'static Table, view_ids: ViewIds<A>) -> Self {
        Self { tables: [table], view_ids, upcasters: Arc::from(Vec::new()), view: PhantomData }
    }

    /// Brings older events up to date when the view is rebuilt.
    #[must_use]
    pub fn with_upcasters(mut self, upcasters: Vec<Box<dyn EventUpcaster>>) -> Self {
        self.upcasters = upcasters.into();
        self
    }

    /// What an event changes; nothing for an event of something else.
    fn changes(&self, event: &RecordedEvent) -> Result<Option<Changes<A>>, FoldError> {
        if event.stream.category() != A::TYPE {
            return Ok(None);
        }
        let envelope = envelope(&self.upcasters, event.clone()).map_err(refused)?;
        let ids = (self.view_ids)(&envelope).into_iter().collect();
        Ok(Some((envelope, ids)))
    }

    fn key(&self, view_id: &str) -> RowKey {
        RowKey { table: self.tables[0].name, key: vec![Value::Text(view_id.to_owned())] }
    }
}

/// The event shall not be in the log if the view cannot follow it.
fn refused(error: impl std::fmt::Display) -> FoldError {
    FoldError::Refused(error.to_string())
}

impl<A: Aggregate, V: View<A>> Projection for ViewProjection<A, V> {
    fn tables(&self) -> &[&'static Table] {
        &self.tables
    }

    fn keys(&self, event: &RecordedEvent, _rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        let changes = self.changes(event)?;
        Ok(changes.into_iter().flat_map(|(_, ids)| ids).map(|id| self.key(&id)).collect())
    }

    fn fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<(), FoldError> {
        let Some((envelope, ids)) = self.changes(event)? else { return Ok(()) };
        for id in ids {
            let (mut view, version): (V, i64) = match rows.get(&self.key(&id)) {
                None => (V::default(), 0),
                Some(row) => read(row).ok_or_else(|| {
                    FoldError::Broken(format!("{} holds a view {id} of another shape", self.tables[0].name))
                })?,
            };
            view.update(&envelope);
            let payload = Payload::new(&serde_json::to_value(&view).map_err(refused)?).map_err(refused)?;
            if id.contains('\0') {
                return Err(refused("the id of a view holds a NUL"));
            }
            rows.put(
                self.tables[0],
                Row(vec![Value::Text(id), Value::Integer(version + 1), Value::Json(payload)]),
            );
        }
        Ok(())
    }
}

/// A view and how many events it has seen; nothing where the row holds another one.
fn read<V: DeserializeOwned>(row: &Row) -> Option<(V, i64)> {
    let [_, Value::Integer(version), Value::Json(payload)] = row.0.as_slice() else { return None };
    Some((serde_json::from_str(payload.as_str()).ok()?, *version))
}

/// A view and how many events it has seen, if there is such a view.
///
/// # Errors
/// As the store says, and `DeserializationError` where the view has another shape.
pub async fn load_view<V: DeserializeOwned, S: Store>(
    store: &S,
    tenant: TenantId,
    table: &'static Table,
    view_id: &str,
) -> Result<Option<(V, i64)>, PersistenceError> {
    let key = vec![Value::Text(view_id.to_owned())];
    let rows = store.rows(tenant, table, &RowQuery::keys(vec![key])).await.map_err(of_store)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let what = || format!("{} holds a view {view_id} of another shape", table.name);
    read(row).map(Some).ok_or_else(|| PersistenceError::DeserializationError(what().into()))
}
