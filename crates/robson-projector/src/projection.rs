//! The projection: loads the entities that an event touches, lets the domain fold, writes the rows.

use robson_domain::{Entities, Event, EventContext, StreamName};
use robson_eventlog::{FoldError, Projection, Reading, RecordedEvent, Row, RowKey, Rows, Table};

use crate::envelope::{event_of, time_of};
use crate::{TABLES, put_row, read_row, row_key};

/// What the trader's tables make of the log.
///
/// Streams of others are skipped; an unknown type on a stream of ours breaks the fold, because the rows
/// would silently lack its effect.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraderTables;

impl TraderTables {
    fn event(recorded: &RecordedEvent) -> Result<Option<Event>, FoldError> {
        if !StreamName::is_ours(recorded.stream.as_str()) {
            return Ok(None);
        }
        let event =
            event_of(recorded).map_err(|e| FoldError::Broken(format!("event {}: {e}", recorded.log_seq)))?;
        let stream = event.stream().to_string();
        if stream != recorded.stream.as_str() {
            return Err(FoldError::Refused(format!(
                "the payload belongs to {stream}, not to {}",
                recorded.stream
            )));
        }
        Ok(Some(event))
    }

    /// Loads what the event touches as far as `find` has it; answers every key, and the entities.
    fn load<'a>(
        event: &Event,
        find: impl Fn(&RowKey) -> Option<Option<&'a Row>>,
    ) -> Result<(Vec<RowKey>, Entities), FoldError> {
        let mut entities = Entities::new();
        loop {
            let keys = event.touches(&entities);
            let mut found_more = false;
            for key in keys.iter().filter(|key| !entities.is_loaded(key)).collect::<Vec<_>>() {
                if let Some(row) = find(&row_key(key)) {
                    let entity = row.map(|row| read_row(key, row)).transpose()?;
                    entities.load(key.clone(), entity);
                    found_more = true;
                }
            }
            if !found_more {
                return Ok((keys.iter().map(row_key).collect(), entities));
            }
        }
    }
}

impl Projection for TraderTables {
    fn tables(&self) -> &[&'static Table] {
        TABLES
    }

    fn keys(&self, event: &RecordedEvent, rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        Decoded(Self::event(event)?).keys(rows)
    }

    /// What is decided or reported has a natural key, or one by its command or tick; only a part of the program may
    /// tell of itself without.
    fn is_deduplicated(&self, event: &RecordedEvent) -> bool {
        StreamName::is_ours(event.stream.as_str()) && event.stream.category() != "system"
    }

    fn fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<(), FoldError> {
        match self.try_fold(event, rows)?.first() {
            None => Ok(()),
            Some(key) => Err(FoldError::Broken(format!("{key:?} was not loaded before the fold"))),
        }
    }

    /// Reads the event once, which is most of the work.
    fn try_fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<Vec<RowKey>, FoldError> {
        Decoded(Self::event(event)?).try_fold(event, rows)
    }

    fn read(&self, event: &RecordedEvent) -> Result<Box<dyn Reading + '_>, FoldError> {
        Ok(Box::new(Decoded(Self::event(event)?)))
    }
}

/// An event of ours, or nothing where it is not ours.
#[derive(Debug)]
struct Decoded(Option<Event>);

impl Reading for Decoded {
    fn keys(&self, rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        let Some(event) = &self.0 else { return Ok(Vec::new()) };
        TraderTables::load(event, |key| rows.holds(key).then(|| rows.peek(key))).map(|(keys, _)| keys)
    }

    fn try_fold(&self, recorded: &RecordedEvent, rows: &mut Rows) -> Result<Vec<RowKey>, FoldError> {
        let Some(event) = &self.0 else { return Ok(Vec::new()) };
        let (keys, mut entities) = TraderTables::load(event, |key| rows.holds(key).then(|| rows.peek(key)))?;
        let missing: Vec<RowKey> = keys.into_iter().filter(|key| !rows.holds(key)).collect();
        if !missing.is_empty() {
            return Ok(missing);
        }
        let ctx = EventContext {
            occurred_at: time_of(recorded.occurred_at),
            ingested_at: time_of(recorded.ingested_at),
            event_id: recorded.event_id.to_string(),
            log_seq: recorded.log_seq,
        };
        event.apply(&ctx, &mut entities).map_err(|violation| {
            FoldError::Refused(format!("{} on {}: {violation}", event.event_type(), recorded.stream))
        })?;
        for key in entities.changed() {
            if let Some(entity) = entities.get(key) {
                let (table, row) = put_row(entity);
                rows.put(table, row);
            }
        }
        Ok(missing)
    }
}
