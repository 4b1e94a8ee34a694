//! The walk through the log: places, links, hashes, versions, and on the way the folds that tables and snapshots
//! are compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::damage::Damages;
use super::keys::Keys;
use super::pages::{self, Found};
use super::snapshots::Snapshots;
use super::{Progress, Report};
use crate::batch::Head;
use crate::event::RecordedEvent;
use crate::names::{StreamKey, TenantId};
use crate::projection::{Projection, Rows};
use crate::replay::{Replay, ReplayError};
use crate::store::{Direction, EventQuery, Store, StoreError};
use crate::table::Table;

pub(super) const PART: &str = "event_log";
const HEAD: &str = "log_head";

/// What the log has given so far.
#[derive(Debug)]
pub(super) struct Walk<S, T> {
    pub(super) tables: Vec<&'static Table>,
    pub(super) damages: Damages,
    pub(super) streams: BTreeMap<StreamKey, i64>,
    /// What is folded on the way, up to the last snapshot or page.
    pub(super) replay: Replay<S, T>,
    projections: Vec<Arc<dyn Projection>>,
    /// The last event that was read, as a head would name it.
    at: Head,
    events: u64,
    keys: Keys,
    snapshots: Snapshots,
    /// Why nothing is folded any more: rows that follow from a damaged log prove nothing.
    halted: Option<String>,
    /// The head that the database named, once the walk has come to it.
    named: Head,
}

impl<S: Store, T: Store> Walk<S, T> {
    pub(super) fn new(
        replay: Replay<S, T>,
        projections: Vec<Arc<dyn Projection>>,
        keys: Keys,
        snapshots: Snapshots,
        damages: Damages,
    ) -> Self {
        let tables = replay.generation().tables.clone();
        Self {
            tables,
            damages,
            streams: BTreeMap::new(),
            replay,
            projections,
            at: Head::EMPTY,
            events: 0,
            keys,
            snapshots,
            halted: None,
            named: Head::EMPTY,
        }
    }

    pub(super) fn tenant(&self) -> TenantId {
        self.replay.tenant()
    }

    /// The database that is verified.
    pub(super) fn store(&self) -> Arc<S> {
        Arc::clone(self.replay.source())
    }

    /// Whether the rows are those of a sound log.
    pub(super) const fn is_sound(&self) -> bool {
        self.halted.is_none()
    }

    /// Reads on, up to a head that the database named.
    pub(super) async fn go_to(
        &mut self,
        head: Head,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), ReplayError> {
        self.named = head;
        let (store, tenant) = (self.store(), self.tenant());
        // Where places are missing at the end, the last event tells: a head may name any place.
        let end = head.log_seq.min(last_place(store.as_ref(), tenant).await?.unwrap_or(head.log_seq));
        let mut after = self.at.log_seq;
        while after < end {
            let (found, up_to) = pages::places(store.as_ref(), tenant, after, end).await?;
            let mut unfolded = Vec::with_capacity(found.len());
            for found in found {
                match found {
                    Found::Event(event) if self.step(&event) => {
                        let is_snapshot = self.snapshots.wait_for(event.log_seq);
                        if self.is_sound() {
                            unfolded.push((*event).clone());
                        }
                        if is_snapshot {
                            self.fold(std::mem::take(&mut unfolded)).await?;
                            let replay = self.halted.is_none().then_some(&self.replay);
                            self.snapshots.compare(store.as_ref(), &event, replay, &mut self.damages).await?;
                        }
                    }
                    Found::Event(_) => {}
                    Found::Unreadable { log_seq, why } => self.pass_unreadable(log_seq, &why),
                }
            }
            self.fold(unfolded).await?;
            after = up_to;
            progress(Progress {
                part: PART,
                done: u64::try_from(after).unwrap_or(0),
                total: u64::try_from(end).ok(),
            });
        }
        Ok(())
    }

    /// Folds the next events, which are sound.
    async fn fold(&mut self, events: Vec<RecordedEvent>) -> Result<(), ReplayError> {
        if events.is_empty() {
            return Ok(());
        }
        let (snapshots, projections) = (&mut self.snapshots, &self.projections);
        let mut seen = |event: &RecordedEvent, rows: &Rows| snapshots.observe(event, projections, rows);
        match self.replay.fold_read(events, &mut seen).await {
            Ok(()) => self.replay.settle().await,
            Err(ReplayError::Fold { log_seq, event_type, source }) => {
                self.damages.add(PART, Some(log_seq), format!("{event_type} does not fold: {source}"));
                self.halted = Some(format!("event {log_seq} does not fold"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Checks one event; whether it stands at its place for the first time.
    fn step(&mut self, event: &RecordedEvent) -> bool {
        let place = event.log_seq;
        if place <= self.at.log_seq {
            self.harm(place, "there are two events at this place");
            return false;
        }
        self.pass_missing(place);
        if place == self.at.log_seq + 1 && event.prev_hash != self.at.chain_hash {
            self.harm(place, "it follows another event than the one before it");
        }
        if event.expected_hash() != event.hash {
            self.harm(place, "its content does not have its hash");
        }
        if event.ingested_at < self.at.ingested_at {
            self.harm(place, "it was appended before the event before it");
        }
        let version = self.streams.entry(event.stream.clone()).or_insert(0);
        let expected = *version + 1;
        *version = event.seq;
        if event.seq != expected {
            self.harm(
                place,
                format!("it is version {} of {}, after {}", event.seq, event.stream, expected - 1),
            );
        }
        let must_have = self.projections.iter().any(|projection| projection.is_deduplicated(event));
        self.keys.check(event, must_have, &mut self.damages);
        self.events += 1;
        self.at = Head { log_seq: place, chain_hash: event.hash, ingested_at: event.ingested_at };
        true
    }

    /// Takes note of damage of the log itself.
    fn harm(&mut self, log_seq: i64, what: impl Into<String>) {
        self.damages.add(PART, Some(log_seq), what);
        self.halted.get_or_insert_with(|| format!("the log is damaged at {log_seq}"));
    }

    fn pass_missing(&mut self, place: i64) {
        let first = self.at.log_seq + 1;
        if place > first {
            let what = match place - first {
                1 => "it is missing".to_owned(),
                count => format!("it is missing, and so are the next {}", count - 1),
            };
            self.harm(first, what);
        }
    }

    fn pass_unreadable(&mut self, log_seq: i64, why: &str) {
        self.pass_missing(log_seq);
        self.harm(log_seq, format!("it cannot be read: {why}"));
        self.keys.forget(log_seq);
        self.at.log_seq = log_seq;
    }

    /// Compares the end of the log with the head, and what is left of the keys and snapshots with the log.
    pub(super) async fn check_end(&mut self) -> Result<(), StoreError> {
        let Head { log_seq, chain_hash, ingested_at } = self.named;
        if self.at.log_seq < log_seq {
            self.pass_missing(log_seq + 1);
        } else if self.at.chain_hash != chain_hash && self.is_sound() {
            self.harm(log_seq, "it is not the event that the head names");
        } else if self.at.ingested_at != ingested_at && self.is_sound() {
            self.damages.add(
                HEAD,
                None,
                format!("it was moved at {ingested_at}, its event at {}", self.at.ingested_at),
            );
        }
        let last = EventQuery { direction: Direction::Backward, limit: 1, ..EventQuery::all(self.tenant()) };
        let page = self.store().read(&last).await?;
        if let Some(last) = page.events.first().filter(|last| last.log_seq > page.head) {
            self.harm(last.log_seq, format!("it lies behind the head, which is {}", page.head));
        }
        self.keys.check_rest(page.head, &mut self.damages);
        self.snapshots.check_rest(self.at.log_seq, page.head, &mut self.damages);
        Ok(())
    }

    pub(super) fn finish(self, rows: u64) -> Report {
        let mut skipped = self.snapshots.skipped();
        if let Some(why) = self.halted {
            skipped.insert(0, format!("tables and later snapshots were not compared: {why}"));
        }
        let (damages, damages_total) = self.damages.finish();
        Report {
            head: self.at,
            events: self.events,
            dedupe_keys: self.keys.count,
            streams: self.streams.len() as u64,
            rows,
            snapshots: self.snapshots.compared,
            damages,
            damages_total,
            skipped,
        }
    }
}

/// The place of the last event; nothing where it cannot be read, or there is none.
async fn last_place<S: Store>(store: &S, tenant: TenantId) -> Result<Option<i64>, StoreError> {
    let last = EventQuery { direction: Direction::Backward, limit: 1, ..EventQuery::all(tenant) };
    match store.read(&last).await {
        Ok(page) => Ok(Some(page.events.first().map_or(0, |last| last.log_seq))),
        Err(StoreError::Broken(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
