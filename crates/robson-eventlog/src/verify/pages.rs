//! Reading what may be damaged: by ranges and pages, around what cannot be read.

use crate::event::RecordedEvent;
use crate::names::TenantId;
use crate::store::{EventQuery, RowQuery, Store, StoreError};
use crate::table::{Row, Table};

use super::damage::Damages;

/// Rows of one read.
pub(super) const ROWS: usize = 2_000;
/// Places of one read.
const PLACES: i64 = 2_000;

/// What is at a place of the log.
#[derive(Debug)]
pub(super) enum Found {
    Event(Box<RecordedEvent>),
    /// The database holds something there that is no event.
    Unreadable {
        log_seq: i64,
        why: String,
    },
}

/// What the log has in the next places: asked for by range, so that a place that is there twice is seen twice.
pub(super) async fn places<S: Store>(
    store: &S,
    tenant: TenantId,
    after: i64,
    end: i64,
) -> Result<(Vec<Found>, i64), StoreError> {
    let up_to = end.min(after.saturating_add(PLACES));
    match range(store, tenant, after, up_to).await {
        Ok(events) => Ok((events.into_iter().map(event).collect(), up_to)),
        Err(StoreError::Broken(_)) => {
            let mut found = Vec::new();
            for log_seq in after + 1..=up_to {
                match range(store, tenant, log_seq - 1, log_seq).await {
                    Ok(events) => found.extend(events.into_iter().map(event)),
                    Err(StoreError::Broken(why)) => found.push(Found::Unreadable { log_seq, why }),
                    Err(error) => return Err(error),
                }
            }
            Ok((found, up_to))
        }
        Err(error) => Err(error),
    }
}

fn event(event: RecordedEvent) -> Found {
    Found::Event(Box::new(event))
}

async fn range<S: Store>(
    store: &S,
    tenant: TenantId,
    after: i64,
    up_to: i64,
) -> Result<Vec<RecordedEvent>, StoreError> {
    // Twice as many as there can be: what is there twice must not hide what follows.
    let limit = usize::try_from(PLACES).unwrap_or(usize::MAX).saturating_mul(2);
    let query = EventQuery { after, up_to, limit, ..EventQuery::all(tenant) };
    Ok(store.read(&query).await?.events)
}

/// The pages of a table.
#[derive(Debug)]
pub(super) struct Pages {
    tenant: TenantId,
    table: &'static Table,
    query: RowQuery,
    is_over: bool,
}

impl Pages {
    pub(super) fn new(tenant: TenantId, table: &'static Table, rows: usize) -> Self {
        let query = RowQuery { limit: Some(rows), ..RowQuery::all() };
        Self { tenant, table, query, is_over: false }
    }

    /// The next rows; none: it is over. A page that holds what no row can hold ends the table as damaged.
    pub(super) async fn next<S: Store>(
        &mut self,
        store: &S,
        damages: &mut Damages,
    ) -> Result<Vec<Row>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        match store.rows(self.tenant, self.table, &self.query).await {
            Ok(rows) => {
                self.is_over = rows.len() < self.query.limit.unwrap_or(0);
                self.query.after = rows.last().map(|row| row.key(self.table));
                Ok(rows)
            }
            Err(StoreError::Broken(why)) => {
                self.is_over = true;
                damages.add(self.table.name, None, format!("it cannot be read to its end: {why}"));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}
