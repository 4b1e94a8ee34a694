//! Which scopes the events of a page belong to, told from the rows that they touch as these stand now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Scope, Scopes};
use crate::event::RecordedEvent;
use crate::names::TenantId;
use crate::projection::{FoldError, Projection, RowKey, Rows};
use crate::replay::ReplayError;
use crate::store::{RowQuery, Store};
use crate::table::Table;

/// Tells the scopes of events, for whoever counts them.
#[derive(Debug)]
pub struct Watch {
    projections: Vec<Arc<dyn Projection>>,
    scopes: Arc<dyn Scopes>,
}

impl Watch {
    /// A watch over what these projections make.
    pub fn new(projections: Vec<Arc<dyn Projection>>, scopes: Arc<dyn Scopes>) -> Self {
        Self { projections, scopes }
    }

    /// What there is to take snapshots of.
    pub const fn scopes(&self) -> &Arc<dyn Scopes> {
        &self.scopes
    }

    /// The scopes of each event of a page, the widest first.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn scopes_of<S: Store>(
        &self,
        store: &S,
        tenant: TenantId,
        page: &[RecordedEvent],
    ) -> Result<Vec<Vec<Scope>>, ReplayError> {
        let mut rows = Rows::default();
        let touched = loop {
            let mut touched = Vec::with_capacity(page.len());
            let mut missing: BTreeMap<&'static str, Vec<RowKey>> = BTreeMap::new();
            for event in page {
                let keys = self.keys(event, &rows).map_err(|source| ReplayError::Fold {
                    log_seq: event.log_seq,
                    event_type: event.event_type.as_str().to_owned(),
                    source,
                })?;
                for key in keys.iter().filter(|key| !rows.holds(key)) {
                    missing.entry(key.table).or_default().push(key.clone());
                }
                touched.push(keys);
            }
            if missing.is_empty() {
                break touched;
            }
            for (name, keys) in missing {
                let query = RowQuery::keys(keys.iter().map(|key| key.key.clone()).collect());
                if let Some(table) = self.table(name) {
                    for row in store.rows(tenant, table, &query).await? {
                        rows.load(RowKey { table: name, key: row.key(table) }, Some(row));
                    }
                }
                keys.into_iter().for_each(|key| rows.load(key, None));
            }
        };
        Ok(page.iter().zip(touched).map(|(event, keys)| self.owners(event, &keys, &rows)).collect())
    }

    /// The rows that an event touches, and those of the scopes that it names.
    fn keys(&self, event: &RecordedEvent, rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        let named = self.scopes.names(event);
        let mut keys: Vec<RowKey> = named.iter().filter_map(|scope| self.scopes.anchor(scope)).collect();
        for projection in &self.projections {
            keys.append(&mut projection.keys(event, rows)?);
        }
        Ok(keys)
    }

    fn table(&self, name: &str) -> Option<&'static Table> {
        let mut tables = self.projections.iter().flat_map(|projection| projection.tables());
        tables.find(|table| table.name == name).copied()
    }

    fn owners(&self, event: &RecordedEvent, keys: &[RowKey], rows: &Rows) -> Vec<Scope> {
        let find = |key: &RowKey| rows.peek(key).cloned();
        let mut scopes = self.scopes.names(event);
        for key in keys {
            if let (Some(table), Some(row)) = (self.table(key.table), rows.peek(key)) {
                scopes.append(&mut self.scopes.owners(table, row, &find));
            }
        }
        let place = |scope: &Scope| self.scopes.kinds().iter().position(|kind| *kind == scope.kind);
        scopes.sort_by(|a, b| (place(a), &a.id).cmp(&(place(b), &b.id)));
        scopes.dedup();
        scopes
    }
}
