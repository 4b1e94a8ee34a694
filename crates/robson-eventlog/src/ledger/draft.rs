//! A batch in the making: requests are decided one after the other, each on top of those before it.
//! Pure: what it needs from the store is loaded beforehand.

use std::collections::BTreeMap;

use super::{Append, Appended, EventReceipt, Outcome};
use crate::batch::{Batch, CheckpointMove, DedupeEntry, Head, Lease, StreamMove, TableRows};
use crate::command::COMMANDS;
use crate::event::{ChainHash, EventId, Fingerprint, NewEvent, RecordedEvent};
use crate::names::{DedupeKey, StreamKey, TenantId};
use crate::store::{Checkpoint, StreamVersion};
use crate::table::Row;
use crate::time::Timestamp;

pub(super) type TakenKey = (Fingerprint, Option<(EventId, i64)>);

/// What is known of the database before a batch, as far as its requests ask.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) taken: BTreeMap<DedupeKey, TakenKey>,
    pub(super) streams: BTreeMap<StreamKey, i64>,
    pub(super) checkpoints: BTreeMap<String, Checkpoint>,
}

impl Known {
    /// What a batch makes true that is on its way to the database: reads may not show it yet.
    pub(super) fn after(batch: &Batch) -> Self {
        let taken =
            batch.dedupe.iter().map(|entry| (entry.key.clone(), (entry.fingerprint.clone(), entry.event)));
        let checkpoints = batch.checkpoints.iter().map(|moved| {
            (moved.name.clone(), Checkpoint { log_seq: moved.to, generation: moved.generation })
        });
        Self { taken: taken.collect(), streams: BTreeMap::new(), checkpoints: checkpoints.collect() }
    }
}

/// A request's events as they will be recorded, but for what depends on their places.
pub(super) fn unplaced(request: &Append, tenant: TenantId) -> Vec<RecordedEvent> {
    let record = |event: &NewEvent| RecordedEvent {
        log_seq: 0,
        event_id: EventId::NONE,
        tenant,
        stream: event.stream.clone(),
        seq: 0,
        event_type: event.event_type.clone(),
        schema_version: event.schema_version,
        payload: event.payload.clone(),
        occurred_at: event.occurred_at,
        ingested_at: event.occurred_at,
        idempotency_key: event.fingerprint(tenant),
        trace: event.trace.clone(),
        actor: event.actor.clone(),
        prev_hash: ChainHash::GENESIS,
        hash: ChainHash::GENESIS,
    };
    request.events.iter().map(record).collect()
}

/// A request whose checks have passed: its events have their places, but were not folded yet.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) events: Vec<RecordedEvent>,
    /// Which of the request's events each of them is.
    pub(super) indices: Vec<usize>,
    head: Head,
    receipts: Vec<EventReceipt>,
    dedupe: BTreeMap<DedupeKey, TakenKey>,
    versions: BTreeMap<StreamKey, i64>,
    asserted: Vec<StreamKey>,
}

/// The batch so far.
#[derive(Debug)]
pub(super) struct Draft {
    known: Known,
    batch: Batch,
    streams: BTreeMap<StreamKey, StreamMove>,
    dedupe: BTreeMap<DedupeKey, TakenKey>,
    commands: Vec<Row>,
    rows: BTreeMap<&'static str, TableRows>,
    now: Timestamp,
    writer: [u8; 4],
}

impl Draft {
    pub(super) fn new(lease: &Lease, head: Head, known: Known, now: Timestamp, seed: u64) -> Self {
        Self {
            known,
            batch: Batch::empty(lease.tenant, lease.epoch, head),
            streams: BTreeMap::new(),
            dedupe: BTreeMap::new(),
            commands: Vec::new(),
            rows: BTreeMap::new(),
            // Within a tenant the time of ingestion never goes backwards, whatever the clock does.
            now: now.max(head.ingested_at),
            writer: EventId::hash_writer(lease.tenant, lease.epoch, seed),
        }
    }

    /// Takes note of more of the database.
    pub(super) fn learn(&mut self, known: Known) {
        self.known.taken.extend(known.taken);
        self.known.streams.extend(known.streams);
        self.known.checkpoints.extend(known.checkpoints);
    }

    /// Whether it is known who has a key.
    pub(super) fn knows_key(&self, key: &DedupeKey) -> bool {
        self.dedupe.contains_key(key) || self.known.taken.contains_key(key)
    }

    /// Whether it is known where a stream stands.
    pub(super) fn knows_stream(&self, stream: &StreamKey) -> bool {
        self.streams.contains_key(stream) || self.known.streams.contains_key(stream)
    }

    /// Whether it is known where a consumer stands.
    pub(super) fn knows_checkpoint(&self, name: &str) -> bool {
        self.known.checkpoints.contains_key(name)
    }

    fn version(&self, stream: &StreamKey) -> i64 {
        let moved = self.streams.get(stream).map(|moved| moved.last_seq);
        moved.or_else(|| self.known.streams.get(stream).copied()).unwrap_or(0)
    }

    fn taken<'a>(
        &'a self,
        staged: &'a BTreeMap<DedupeKey, TakenKey>,
        key: &DedupeKey,
    ) -> Option<&'a TakenKey> {
        staged.get(key).or_else(|| self.dedupe.get(key)).or_else(|| self.known.taken.get(key))
    }

    /// Gives a request its places, or tells how it ends without being appended.
    pub(super) fn stage(&self, request: &Append, unplaced: &[RecordedEvent]) -> Result<Staged, Outcome> {
        if let Some(text) = request.texts().find(|text| text.contains('\0')) {
            return Err(Outcome::Refused { reason: format!("{text:?} holds a NUL") });
        }
        if let Some(reason) = request.rows.iter().find_map(unwritable) {
            return Err(Outcome::Refused { reason });
        }
        let mut staged = Staged {
            events: Vec::with_capacity(unplaced.len()),
            indices: Vec::with_capacity(unplaced.len()),
            head: self.batch.after,
            receipts: Vec::new(),
            dedupe: BTreeMap::new(),
            versions: BTreeMap::new(),
            asserted: request.expected.iter().map(|(stream, _)| stream.clone()).collect(),
        };
        self.stage_command(request, &mut staged)?;
        for (index, (event, unplaced)) in request.events.iter().zip(unplaced).enumerate() {
            self.stage_event(index, event, unplaced, &mut staged)?;
        }
        if !request.events.is_empty() && staged.events.is_empty() && staged.dedupe.is_empty() {
            return Err(Outcome::Duplicate { first: staged.receipts });
        }
        for (stream, expected) in &request.expected {
            let actual = self.version(stream);
            if !expected.holds(actual) {
                return Err(Outcome::Conflict { stream: stream.clone(), expected: *expected, actual });
            }
        }
        request.checkpoints.iter().try_for_each(|wanted| self.check_checkpoint(wanted))?;
        Ok(staged)
    }

    fn stage_command(&self, request: &Append, staged: &mut Staged) -> Result<(), Outcome> {
        let Some((command, key)) = request.command.as_ref().and_then(|c| Some((c, c.dedupe_key().ok()?)))
        else {
            return Ok(());
        };
        match self.taken(&staged.dedupe, &key) {
            Some((first, _)) if *first == command.fingerprint() => {
                Err(Outcome::Duplicate { first: Vec::new() })
            }
            Some(_) => Err(Outcome::Mismatch { key }),
            None => {
                staged.dedupe.insert(key, (command.fingerprint(), None));
                Ok(())
            }
        }
    }

    fn stage_event(
        &self,
        index: usize,
        event: &NewEvent,
        unplaced: &RecordedEvent,
        staged: &mut Staged,
    ) -> Result<(), Outcome> {
        let fingerprint = &unplaced.idempotency_key;
        if let Some(key) = &event.dedupe_key {
            match self.taken(&staged.dedupe, key) {
                Some((first, Some((event_id, log_seq)))) if first == fingerprint => {
                    let receipt = EventReceipt { event_id: *event_id, log_seq: *log_seq, is_new: false };
                    staged.receipts.push(receipt);
                    return Ok(());
                }
                Some(_) => return Err(Outcome::Mismatch { key: key.clone() }),
                None => {}
            }
        }
        let log_seq = staged.head.log_seq + 1;
        let known = staged.versions.get(&event.stream).copied();
        let mut recorded = RecordedEvent {
            log_seq,
            event_id: EventId::numbered(self.now, log_seq, self.writer),
            seq: known.unwrap_or_else(|| self.version(&event.stream)) + 1,
            ingested_at: self.now,
            prev_hash: staged.head.chain_hash,
            ..unplaced.clone()
        };
        if let Some(cause) = event.caused_by.and_then(|index| staged.receipts.get(index)) {
            recorded.trace.causation_id = Some(cause.event_id);
        }
        recorded.hash = recorded.expected_hash();
        staged.head = Head { log_seq, chain_hash: recorded.hash, ingested_at: self.now };
        staged.versions.insert(event.stream.clone(), recorded.seq);
        let event_id = recorded.event_id;
        if let Some(key) = &event.dedupe_key {
            staged.dedupe.insert(key.clone(), (fingerprint.clone(), Some((event_id, log_seq))));
        }
        staged.receipts.push(EventReceipt { event_id, log_seq, is_new: true });
        staged.events.push(recorded);
        staged.indices.push(index);
        Ok(())
    }

    fn check_checkpoint(&self, wanted: &CheckpointMove) -> Result<(), Outcome> {
        let moved = self.batch.checkpoints.iter().rev().find(|moved| moved.name == wanted.name);
        let actual = moved.map(|moved| moved.to);
        let actual = actual.or_else(|| self.known.checkpoints.get(&wanted.name).map(|known| known.log_seq));
        let actual = actual.unwrap_or(0);
        if actual == wanted.from {
            Ok(())
        } else if actual >= wanted.to {
            Err(Outcome::CheckpointAhead { name: wanted.name.clone(), actual })
        } else {
            Err(Outcome::CheckpointMoved { name: wanted.name.clone(), expected: wanted.from, actual })
        }
    }

    /// Takes a staged request, whose events were folded, into the batch.
    pub(super) fn admit(&mut self, request: &Append, staged: Staged) -> Outcome {
        for stream in staged.asserted.iter().chain(staged.versions.keys()) {
            if !self.streams.contains_key(stream) {
                let expected_seq = self.version(stream);
                let still = StreamMove { stream: stream.clone(), expected_seq, last_seq: expected_seq };
                self.streams.insert(stream.clone(), still);
            }
        }
        let mut versions = Vec::new();
        for (stream, seq) in staged.versions {
            if let Some(moved) = self.streams.get_mut(&stream) {
                moved.last_seq = seq;
            }
            versions.push(StreamVersion { stream, last_seq: seq });
        }
        self.dedupe.extend(staged.dedupe);
        self.batch.events.extend(staged.events);
        self.batch.after = staged.head;
        for wanted in &request.checkpoints {
            match self.batch.checkpoints.iter_mut().find(|moved| moved.name == wanted.name) {
                Some(moved) => (moved.to, moved.generation) = (wanted.to, wanted.generation),
                None => self.batch.checkpoints.push(wanted.clone()),
            }
        }
        self.batch.snapshots.extend(request.snapshots.iter().cloned());
        self.commands.extend(request.command.iter().map(crate::command::CommandRecord::to_row));
        for TableRows { table, rows } in &request.rows {
            let of_table = self.rows.entry(table.name).or_insert(TableRows { table, rows: Vec::new() });
            // Every backend keeps the last row of a key.
            of_table.rows.extend(rows.iter().cloned());
        }
        Outcome::Appended(Appended { events: staged.receipts, streams: versions })
    }

    /// The batch, with the rows that the folds changed.
    pub(super) fn finish(mut self, rows: Vec<TableRows>) -> Batch {
        self.batch.dedupe = self
            .dedupe
            .into_iter()
            .map(|(key, (fingerprint, event))| DedupeEntry { key, fingerprint, event })
            .collect();
        self.batch.streams = self.streams.into_values().collect();
        self.batch.rows = rows;
        if !self.commands.is_empty() {
            self.batch.rows.push(TableRows { table: &COMMANDS, rows: self.commands });
        }
        self.batch.rows.extend(self.rows.into_values());
        self.batch
    }
}

/// The tables that the ledger writes by itself, under its own checks.
const OWN_TABLES: [&str; 7] = [
    "commands",
    "event_idempotency",
    "event_log",
    "log_head",
    "projection_checkpoints",
    "snapshots",
    "stream_state",
];

/// Why a request may not write such rows, or nothing.
fn unwritable(of_table: &TableRows) -> Option<String> {
    let TableRows { table, rows } = of_table;
    if OWN_TABLES.contains(&table.name) {
        return Some(format!("{} is the log's own table", table.name));
    }
    rows.iter().find_map(|row| table.misfit(row))
}
