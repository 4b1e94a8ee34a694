//! Reads: events, rows and snapshots, filtered in plain code.

use std::collections::BTreeSet;
use std::ops::Bound;

use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    Direction, EventQuery, Page, RecordedEvent, Row, RowQuery, Snapshot, StoreError, Table, Value,
};

use super::Log;

impl Log {
    pub(super) fn page(&self, query: &EventQuery) -> Page {
        let events = if query.after < query.up_to {
            let range = (Bound::Excluded(query.after), Bound::Included(query.up_to));
            let wanted =
                self.events.range(range).map(|(_, event)| event).filter(|event| selects(query, event));
            match query.direction {
                Direction::Forward => wanted.take(query.limit).cloned().collect(),
                Direction::Backward => wanted.rev().take(query.limit).cloned().collect(),
            }
        } else {
            Vec::new()
        };
        let stream_version = query.stream.as_ref().and_then(|stream| self.streams.get(stream).copied());
        Page { events, head: self.head.log_seq, stream_version }
    }

    pub(super) fn rows(&self, table: &'static Table, query: &RowQuery) -> Result<Vec<Row>, StoreError> {
        let column = |name: &str| {
            let index = table.column_index(name);
            index.ok_or_else(|| StoreError::Broken(format!("{} has no column {name}", table.name)))
        };
        let filters: Vec<(usize, &Value)> = query
            .filters
            .iter()
            .map(|(name, value)| Ok((column(name)?, value)))
            .collect::<Result<_, StoreError>>()?;
        let Some(rows) = self.tables.get(table.name) else { return Ok(Vec::new()) };
        let keys: BTreeSet<&Vec<Value>> = query.keys.iter().collect();
        let after = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = rows.range::<Vec<Value>, _>((after, Bound::Unbounded)).filter(|(key, row)| {
            (keys.is_empty() || keys.contains(key))
                && filters.iter().all(|(index, value)| row.0.get(*index) == Some(*value))
        });
        let limit = query.limit.unwrap_or(usize::MAX);
        Ok(wanted.take(limit).map(|(_, row)| row.clone()).collect())
    }

    pub(super) fn snapshot(
        &self,
        scope: &str,
        scope_id: &str,
        up_to: i64,
    ) -> Result<Option<Snapshot>, StoreError> {
        let rows = self.tables.get(SNAPSHOTS.name).into_iter().flat_map(|rows| rows.values());
        let mut newest: Option<Snapshot> = None;
        for row in rows {
            let snapshot = Snapshot::from_row(row.clone())
                .ok_or_else(|| StoreError::Broken("a snapshot does not fit its table".into()))?;
            // Rows come by rising place, so the last one that fits is the newest.
            if snapshot.scope == scope && snapshot.scope_id == scope_id && snapshot.as_of_log_seq <= up_to {
                newest = Some(snapshot);
            }
        }
        Ok(newest)
    }
}

fn selects(query: &EventQuery, event: &RecordedEvent) -> bool {
    fn is_any_or<T: PartialEq>(wanted: Option<&T>, actual: Option<&T>) -> bool {
        wanted.is_none() || wanted == actual
    }
    let trace = &event.trace;
    is_any_or(query.stream.as_ref(), Some(&event.stream))
        && query
            .stream_prefix
            .as_ref()
            .is_none_or(|prefix| event.stream.as_str().starts_with(prefix.as_str()))
        && (query.event_types.is_empty() || query.event_types.contains(&event.event_type))
        && is_any_or(query.trace_id.as_ref(), trace.trace_id.as_ref())
        && is_any_or(query.causation_id.as_ref(), trace.causation_id.as_ref())
        && is_any_or(query.command_id.as_ref(), trace.command_id.as_ref())
        && is_any_or(query.workflow_id.as_ref(), trace.workflow_id.as_ref())
        && query.entity_id.as_ref().is_none_or(|id| concerns(event, id))
        && query.occurred_from.is_none_or(|from| event.occurred_at >= from)
        && query.occurred_before.is_none_or(|before| event.occurred_at < before)
}

/// Whether the event's stream is the entity's, or a field at the top of its payload names it.
fn concerns(event: &RecordedEvent, id: &str) -> bool {
    event.stream.as_str().strip_suffix(id).is_some_and(|category| category.ends_with(':'))
        || event
            .payload
            .value()
            .as_object()
            .is_some_and(|fields| fields.values().any(|field| field.as_str() == Some(id)))
}
