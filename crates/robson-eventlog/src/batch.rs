//! A transaction as a value: everything that one commit makes durable, whole or not at all.

use std::collections::BTreeMap;

use crate::event::{ChainHash, EventId, Fingerprint, RecordedEvent};
use crate::names::{DedupeKey, StreamKey, TenantId, WriterId};
use crate::snapshot::{SNAPSHOTS, Snapshot};
use crate::table::{Row, Table};
use crate::time::Timestamp;

/// Where a tenant's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last event's place; 0 in an empty log.
    pub log_seq: i64,
    /// The last event's hash.
    pub chain_hash: ChainHash,
    /// The last event's `ingested_at`.
    pub ingested_at: Timestamp,
}

impl Head {
    /// The head of an empty log.
    pub const EMPTY: Self =
        Self { log_seq: 0, chain_hash: ChainHash::GENESIS, ingested_at: Timestamp::EPOCH };
}

/// The right to write a tenant's log, until somebody else takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Whose log it is.
    pub tenant: TenantId,
    /// Who holds it.
    pub writer: WriterId,
    /// Counts acquisitions; a commit under an older epoch is `Fenced`.
    pub epoch: i64,
    /// Where the log ended when the lease was taken.
    pub head: Head,
}

/// A dedupe key that becomes taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeEntry {
    /// What must be unique.
    pub key: DedupeKey,
    /// What a second delivery must share.
    pub fingerprint: Fingerprint,
    /// The event that it first produced, and its place; a command's own key has none.
    pub event: Option<(EventId, i64)>,
}

/// A stream whose version moves, or is only asserted where both are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMove {
    /// The stream.
    pub stream: StreamKey,
    /// Its version before; 0 when it is new.
    pub expected_seq: i64,
    /// Its version after.
    pub last_seq: i64,
}

/// The changed rows of one table, at most one per key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRows {
    /// The table.
    pub table: &'static Table,
    /// The rows as they shall be.
    pub rows: Vec<Row>,
}

/// A checkpoint that moves with the effects of what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointMove {
    /// The consumer.
    pub name: String,
    /// Where it stood; 0 when it is new.
    pub from: i64,
    /// Where it shall stand: the place of an event that was delivered.
    pub to: i64,
    /// The generation of the tables that it fills.
    pub generation: i64,
}

/// Everything that one commit makes durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Whose log it is.
    pub tenant: TenantId,
    /// The epoch under which it may be committed.
    pub epoch: i64,
    /// Where the log must end before.
    pub before: Head,
    /// Where it ends after.
    pub after: Head,
    /// The events, in log order.
    pub events: Vec<RecordedEvent>,
    /// The dedupe keys that become taken.
    pub dedupe: Vec<DedupeEntry>,
    /// The streams that move or are asserted, each once.
    pub streams: Vec<StreamMove>,
    /// The rows that change.
    pub rows: Vec<TableRows>,
    /// The checkpoints that move.
    pub checkpoints: Vec<CheckpointMove>,
    /// The snapshots that are kept.
    pub snapshots: Vec<Snapshot>,
}

impl Batch {
    /// A batch that changes nothing yet.
    pub const fn empty(tenant: TenantId, epoch: i64, before: Head) -> Self {
        Self {
            tenant,
            epoch,
            before,
            after: before,
            events: Vec::new(),
            dedupe: Vec::new(),
            streams: Vec::new(),
            rows: Vec::new(),
            checkpoints: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether there is nothing to commit.
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.dedupe.is_empty()
            && self.rows.is_empty()
            && self.checkpoints.is_empty()
            && self.snapshots.is_empty()
    }

    /// What no correct writer would hand in and not every database would refuse, or nothing. Each backend
    /// answers it with `Broken` before anything is sent.
    pub fn flaw(&self) -> Option<String> {
        self.misplaced_event()
            .or_else(|| self.unportable_text())
            .or_else(|| self.rows.iter().find_map(|of| of.rows.iter().find_map(|row| of.table.misfit(row))))
    }

    fn misplaced_event(&self) -> Option<String> {
        let mut log_seq = self.before.log_seq;
        let mut versions: BTreeMap<&StreamKey, i64> =
            self.streams.iter().map(|moved| (&moved.stream, moved.expected_seq)).collect();
        for event in &self.events {
            log_seq += 1;
            if event.log_seq != log_seq || event.tenant != self.tenant {
                return Some(format!("event {} of {} stands at {log_seq}", event.log_seq, event.tenant));
            }
            let version = versions.entry(&event.stream).or_insert(i64::MIN);
            *version += 1;
            if event.seq != *version {
                return Some(format!("version {} of {} does not fit its move", event.seq, event.stream));
            }
        }
        if log_seq != self.after.log_seq {
            return Some(format!("the events end at {log_seq}, the batch at {}", self.after.log_seq));
        }
        let moved = self.streams.iter().find(|moved| versions[&moved.stream] != moved.last_seq);
        moved.map(|moved| format!("{} does not end at version {}", moved.stream, moved.last_seq))
    }

    fn unportable_text(&self) -> Option<String> {
        let actors = self.events.iter().filter_map(|event| event.actor.id.as_deref());
        let checkpoints = self.checkpoints.iter().map(|moved| moved.name.as_str());
        let nul = actors.chain(checkpoints).find(|text| text.contains('\0'));
        let snapshots = self.snapshots.iter();
        nul.map(|text| format!("{text:?} holds a NUL"))
            .or_else(|| snapshots.map(Snapshot::to_row).find_map(|row| SNAPSHOTS.misfit(&row)))
    }
}

/// A batch that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Where the log ends now.
    pub head: Head,
}
