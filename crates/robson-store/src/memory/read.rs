//! Reads: events, rows and snapshots, filtered in plain code.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;

use robson_eventlog::log_tables::{EVENT_IDEMPOTENCY, PROJECTION_CHECKPOINTS, STREAM_STATE};
use robson_eventlog::snapshot::SNAPSHOTS;
use robson_eventlog::{
    DedupeEntry, DedupeHit, Direction, EventQuery, Page, RecordedEvent, Row, RowQuery, Snapshot, StoreError,
    StreamMove, Table, Value,
};

use super::{Log, TableContent};

impl Log {
    pub(super) fn page(&self, query: &EventQuery) -> Page {
        let events = if query.after < query.up_to {
            let range = (Bound::Excluded(query.after), Bound::Included(query.up_to));
            let wanted =
                self.events.range(range).map(|(_, event)| event).filter(|event| selects(query, event));
            match query.direction {
                Direction::Forward => within(query, wanted),
                Direction::Backward => within(query, wanted.rev()),
            }
        } else {
            Vec::new()
        };
        let stream_version = query.stream.as_ref().and_then(|stream| self.streams.get(stream).copied());
        Page { events, head: self.head.log_seq, stream_version }
    }

    pub(super) fn rows(&self, table: &'static Table, query: &RowQuery) -> Result<Vec<Row>, StoreError> {
        select(table, query, self.content(table, query))
    }

    pub(super) fn shadow_rows(
        &self,
        table: &'static Table,
        query: &RowQuery,
    ) -> Result<Vec<Row>, StoreError> {
        select(table, query, stored(self.shadows.get(table.name), query))
    }

    /// The rows of a table behind a key; those of the log's own tables are made as they are asked for.
    fn content<'a>(&'a self, table: &'static Table, query: &'a RowQuery) -> RowIter<'a> {
        let is_behind = move |text: &str| match query.after.as_deref() {
            Some([Value::Text(after)]) => text > after.as_str(),
            _ => true,
        };
        if *table == EVENT_IDEMPOTENCY {
            let taken = self.taken.values().skip_while(move |hit| !is_behind(hit.key.as_str()));
            let entry = |hit: &DedupeHit| {
                let DedupeHit { key, fingerprint, event } = hit.clone();
                Cow::Owned(DedupeEntry { key, fingerprint, event }.to_row())
            };
            Box::new(taken.map(entry))
        } else if *table == STREAM_STATE {
            let streams = self.streams.iter().skip_while(move |(stream, _)| !is_behind(stream.as_str()));
            Box::new(streams.map(|(stream, last_seq)| {
                let (stream, last_seq) = (stream.clone(), *last_seq);
                Cow::Owned(StreamMove { stream, expected_seq: 0, last_seq }.to_row())
            }))
        } else if *table == PROJECTION_CHECKPOINTS {
            let checkpoints = self.checkpoints.iter().skip_while(move |(name, _)| !is_behind(name));
            Box::new(checkpoints.map(|(name, checkpoint)| Cow::Owned(checkpoint.to_row(name))))
        } else {
            stored(self.tables.get(table.name), query)
        }
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

type RowIter<'a> = Box<dyn Iterator<Item = Cow<'a, Row>> + 'a>;

/// The rows that are kept behind a key, or those under the keys that are asked for: without looking at others.
fn stored<'a>(content: Option<&'a TableContent>, query: &'a RowQuery) -> RowIter<'a> {
    let Some(content) = content else { return Box::new(std::iter::empty()) };
    let after = query.after.as_ref();
    if query.keys.is_empty() {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = content.range::<Vec<Value>, _>((after, Bound::Unbounded));
        return Box::new(behind.map(|(_, row)| Cow::Borrowed(row)));
    }
    let keys: BTreeSet<&Vec<Value>> = query.keys.iter().collect();
    let behind = keys.into_iter().filter(move |key| after.is_none_or(|after| *key > after));
    Box::new(behind.filter_map(|key| content.get(key)).map(Cow::Borrowed))
}

/// The rows that a query asks for.
fn select(table: &'static Table, query: &RowQuery, rows: RowIter<'_>) -> Result<Vec<Row>, StoreError> {
    let column = |name: &str| {
        let index = table.column_index(name);
        index.ok_or_else(|| StoreError::Broken(format!("{} has no column {name}", table.name)))
    };
    let filters: Vec<(usize, &Value)> = query
        .filters
        .iter()
        .map(|(name, value)| Ok((column(name)?, value)))
        .collect::<Result<_, StoreError>>()?;
    let keys: BTreeSet<&[Value]> = query.keys.iter().map(Vec::as_slice).collect();
    let wanted = rows.filter(|row| {
        (keys.is_empty() || row.0.get(..table.key_columns).is_some_and(|key| keys.contains(key)))
            && filters.iter().all(|(index, value)| row.0.get(*index) == Some(*value))
    });
    Ok(wanted.take(query.limit.unwrap_or(usize::MAX)).map(Cow::into_owned).collect())
}

/// As many events as the limits allow.
fn within<'a>(query: &EventQuery, wanted: impl Iterator<Item = &'a RecordedEvent>) -> Vec<RecordedEvent> {
    let mut bytes_before = 0;
    let fits = |event: &&RecordedEvent| {
        let fits = bytes_before == 0 || query.bytes_max.is_none_or(|max| bytes_before < max);
        bytes_before += event.payload.as_str().len() as u64;
        fits
    };
    wanted.take(query.limit).take_while(fits).cloned().collect()
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
