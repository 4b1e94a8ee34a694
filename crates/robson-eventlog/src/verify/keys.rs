//! Dedupe keys: each names the event that it first produced, each event that must have one has it, and commands
//! and their keys are each other's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use super::Progress;
use super::damage::Damages;
use super::pages::{Pages, ROWS};
use crate::command::{COMMANDS, CommandRecord};
use crate::event::{EventId, Fingerprint, RecordedEvent};
use crate::log_tables::EVENT_IDEMPOTENCY;
use crate::names::{DedupeKey, TenantId};
use crate::store::{DedupeHit, RowQuery, Store, StoreError};
use crate::table::{Row, Value};

const PART: &str = EVENT_IDEMPOTENCY.name;
const BLOCK: usize = 4_096;

/// What dedupe keys say of events: eight bytes for each place, in blocks, since a damaged key may name any place.
#[derive(Debug, Default)]
pub(super) struct Keys {
    blocks: HashMap<usize, Box<[u64]>>,
    /// Those that name a place behind the head of their time.
    late: Vec<(DedupeKey, i64)>,
    /// The head before they were read: events behind it may have keys that were not seen.
    head: i64,
    pub(super) count: u64,
}

impl Keys {
    pub(super) async fn load<S: Store>(
        store: &S,
        tenant: TenantId,
        head: i64,
        damages: &mut Damages,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Self, StoreError> {
        let mut keys = Self { head, ..Self::default() };
        let mut pages = Pages::new(tenant, &EVENT_IDEMPOTENCY, ROWS);
        loop {
            let page = pages.next(store, damages).await?;
            if page.is_empty() {
                break;
            }
            keys.count += page.len() as u64;
            let mut of_commands = Vec::new();
            for row in page {
                match DedupeHit::from_row(row.clone()) {
                    Some(hit) if hit.event.is_none() => of_commands.push(hit),
                    Some(hit) => keys.note(hit, damages),
                    None => damages.add(PART, None, format!("{} cannot be read", row.0[0].to_json())),
                }
            }
            check_commands_of(store, tenant, &of_commands, damages).await?;
            progress(Progress { part: PART, done: keys.count, total: None });
        }
        check_commands(store, tenant, damages, progress).await?;
        Ok(keys)
    }

    fn note(&mut self, hit: DedupeHit, damages: &mut Damages) {
        let Some((event_id, log_seq)) = hit.event else { return };
        if log_seq > self.head {
            self.late.push((hit.key, log_seq));
            return;
        }
        let Some(slot) = self.slot(log_seq) else {
            damages.add(PART, None, format!("{} names the place {log_seq}", hit.key));
            return;
        };
        if *slot != 0 {
            damages.add(PART, Some(log_seq), format!("{} is its second dedupe key", hit.key));
        }
        *slot = mark(event_id, &hit.fingerprint);
    }

    fn slot(&mut self, log_seq: i64) -> Option<&mut u64> {
        let place = usize::try_from(log_seq.checked_sub(1)?).ok()?;
        let block = self.blocks.entry(place / BLOCK).or_insert_with(|| vec![0; BLOCK].into());
        block.get_mut(place % BLOCK)
    }

    /// Compares what the keys say with an event of the log, and takes note that it is there.
    pub(super) fn check(&mut self, event: &RecordedEvent, must_have: bool, damages: &mut Damages) {
        if event.log_seq > self.head {
            return;
        }
        let Some(slot) = self.slot(event.log_seq) else { return };
        let said = std::mem::take(slot);
        if said == 0 && must_have {
            damages.add(PART, Some(event.log_seq), "its dedupe key is missing");
        } else if said != 0 && said != mark(event.event_id, &event.idempotency_key) {
            damages.add(PART, Some(event.log_seq), "its dedupe key says another event or fingerprint");
        }
    }

    /// Forgets what is said of a place that cannot be read.
    pub(super) fn forget(&mut self, log_seq: i64) {
        if let Some(slot) = self.slot(log_seq) {
            *slot = 0;
        }
    }

    /// What is left names events that the log does not have.
    pub(super) fn check_rest(&self, head: i64, damages: &mut Damages) {
        let blocks: BTreeMap<_, _> = self.blocks.iter().collect();
        for (block, slots) in blocks {
            for (index, _) in slots.iter().enumerate().filter(|(_, said)| **said != 0) {
                let log_seq = i64::try_from(block * BLOCK + index + 1).unwrap_or(i64::MAX);
                damages.add(PART, Some(log_seq), "a dedupe key names an event that the log does not have");
            }
        }
        for (key, log_seq) in self.late.iter().filter(|(_, log_seq)| *log_seq > head) {
            damages.add(PART, Some(*log_seq), format!("{key} names an event behind the end of the log"));
        }
    }
}

/// Never 0, which says that there is no key.
fn mark(event_id: EventId, fingerprint: &Fingerprint) -> u64 {
    let mut hash = Sha256::new();
    hash.update(event_id.0.to_bytes());
    hash.update(fingerprint.as_str().as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

/// Keys without an event are those of commands, and have their command.
async fn check_commands_of<S: Store>(
    store: &S,
    tenant: TenantId,
    hits: &[DedupeHit],
    damages: &mut Damages,
) -> Result<(), StoreError> {
    let mut wanted = BTreeMap::new();
    for hit in hits {
        match hit.key.as_str().strip_prefix("cmd/").and_then(|id| id.parse().ok()) {
            Some(id) => drop(wanted.insert(Value::Uuid(id), hit)),
            None => damages.add(PART, None, format!("{} names no event", hit.key)),
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let query = RowQuery::keys(wanted.keys().map(|id| vec![id.clone()]).collect());
    let found = store.rows(tenant, &COMMANDS, &query).await?;
    let found: BTreeMap<Value, Row> = found.into_iter().map(|row| (row.0[0].clone(), row)).collect();
    for (id, hit) in wanted {
        let command = found.get(&id).cloned().and_then(CommandRecord::from_row);
        match command {
            None => {
                damages.add(COMMANDS.name, None, format!("the command of the key {} is missing", hit.key))
            }
            Some(command) if command.fingerprint() != hit.fingerprint => {
                damages.add(PART, None, format!("{} has another request than its command", hit.key));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Every command has its key.
async fn check_commands<S: Store>(
    store: &S,
    tenant: TenantId,
    damages: &mut Damages,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<(), StoreError> {
    let mut pages = Pages::new(tenant, &COMMANDS, ROWS);
    let mut done = 0;
    loop {
        let page = pages.next(store, damages).await?;
        if page.is_empty() {
            return Ok(());
        }
        done += page.len() as u64;
        let mut keys = Vec::with_capacity(page.len());
        for row in page {
            let id = row.0[0].to_json();
            match CommandRecord::from_row(row).map(|command| command.dedupe_key()) {
                Some(Ok(key)) => keys.push(key),
                _ => damages.add(COMMANDS.name, None, format!("{id} cannot be read")),
            }
        }
        let hits = store.lookup(tenant, &keys).await?;
        let taken: BTreeSet<&DedupeKey> = hits.iter().map(|hit| &hit.key).collect();
        for key in keys.iter().filter(|key| !taken.contains(key)) {
            damages.add(COMMANDS.name, None, format!("the dedupe key {key} is missing"));
        }
        progress(Progress { part: COMMANDS.name, done, total: None });
    }
}
