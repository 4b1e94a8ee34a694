//! The verified mark: up to where the log was checked while it was written, so that a start need not check all.

use std::collections::BTreeMap;

use super::damage::Damage;
use super::log::PART;
use crate::batch::Head;
use crate::event::ChainHash;
use crate::log_tables::STREAM_STATE;
use crate::names::{StreamKey, TenantId};
use crate::replay::{self, ReplayError};
use crate::store::{EventQuery, Store, StoreError};

/// The name under which the mark is kept among the checkpoints.
pub const MARK: &str = "verified";
/// Most events that a start checks: of a log without a mark, the rest is `verify`'s to read.
pub const TAIL_MAX: i64 = 4_096;

/// The place up to which a tenant's log was checked; 0 where it never was.
///
/// # Errors
/// As the store says.
pub async fn marked<S: Store>(store: &S, tenant: TenantId) -> Result<i64, StoreError> {
    Ok(store.checkpoint(tenant, MARK).await?.map_or(0, |mark| mark.log_seq))
}

/// Checks the end of a log, behind a place: that it is there without a gap, that each event is the one that was
/// appended behind the one before it, that the last one is the head's, and that the streams written there stand
/// where their last events do. Of a longer end, only the last `at_most` events.
///
/// # Errors
/// As the store says.
pub async fn check_tail<S: Store>(
    store: &S,
    tenant: TenantId,
    head: Head,
    behind: i64,
    at_most: i64,
) -> Result<Option<Damage>, StoreError> {
    let harm = |log_seq: i64, what: String| Ok(Some(Damage { log_seq: Some(log_seq), part: PART, what }));
    // The event before the first one gives the hash that it must follow.
    let mut after = behind.max(head.log_seq.saturating_sub(at_most)).max(1) - 1;
    let mut hash = (after == 0).then_some(ChainHash::GENESIS);
    let mut versions: BTreeMap<StreamKey, i64> = BTreeMap::new();
    while after < head.log_seq {
        let query = EventQuery { after, up_to: head.log_seq, ..EventQuery::all(tenant) };
        let page = match store.read(&query).await {
            Ok(page) => page,
            Err(StoreError::Broken(why)) => return harm(after + 1, format!("it cannot be read: {why}")),
            Err(error) => return Err(error),
        };
        if page.events.is_empty() {
            return harm(after + 1, "it is missing".to_owned());
        }
        for event in page.events {
            let linked = replay::check_link(&event, after, hash.unwrap_or(event.prev_hash));
            if let Err(ReplayError::Edited { log_seq, what }) = linked {
                return harm(log_seq, what.to_owned());
            }
            (after, hash) = (event.log_seq, Some(event.hash));
            versions.insert(event.stream, event.seq);
        }
    }
    if hash.is_some_and(|hash| hash != head.chain_hash) {
        return harm(head.log_seq, "it is not the event that the head names".to_owned());
    }
    let behind_head = EventQuery { after: head.log_seq, limit: 1, ..EventQuery::all(tenant) };
    let page = store.read(&behind_head).await?;
    if let Some(event) = page.events.first().filter(|event| event.log_seq > page.head) {
        return harm(event.log_seq, format!("it lies behind the head, which is {}", page.head));
    }
    let streams: Vec<StreamKey> = versions.keys().cloned().collect();
    let kept = store.streams(tenant, &streams).await?;
    let kept: BTreeMap<StreamKey, i64> = kept.into_iter().map(|of| (of.stream, of.last_seq)).collect();
    let astray = versions.into_iter().find_map(|(stream, seq)| {
        let kept = kept.get(&stream).copied().unwrap_or(0);
        // A writer may have gone on since.
        (kept < seq).then(|| format!("{stream} stands at {kept}, its last event at {seq}"))
    });
    Ok(astray.map(|what| Damage { log_seq: None, part: STREAM_STATE.name, what }))
}
