//! Reading one stream: from a version to its end, whatever its length.

use crate::event::RecordedEvent;
use crate::names::{StreamKey, TenantId};
use crate::store::{Direction, EventQuery, Store, StoreError};

/// Most events in one read.
const PAGE: usize = 1_000;

/// The events of a stream from a `seq` on, in order; none of a stream that does not exist.
///
/// A tail is read from the end, so that it costs its own length and not the stream's.
///
/// # Errors
/// As the store says.
pub async fn read_from<S: Store>(
    store: &S,
    tenant: TenantId,
    stream: &StreamKey,
    from: i64,
) -> Result<Vec<RecordedEvent>, StoreError> {
    if from <= 1 {
        read_whole(store, tenant, stream).await
    } else {
        read_tail(store, tenant, stream, from).await
    }
}

async fn read_whole<S: Store>(
    store: &S,
    tenant: TenantId,
    stream: &StreamKey,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut query = EventQuery { limit: PAGE, ..EventQuery::stream(tenant, stream.clone()) };
    let mut events = Vec::new();
    loop {
        let page = store.read(&query).await?.events;
        let is_last = page.len() < PAGE;
        query.after = page.last().map_or(query.after, |last| last.log_seq);
        events.extend(page);
        if is_last {
            return Ok(events);
        }
    }
}

async fn read_tail<S: Store>(
    store: &S,
    tenant: TenantId,
    stream: &StreamKey,
    from: i64,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let version = store.streams(tenant, std::slice::from_ref(stream)).await?;
    let version = version.first().map_or(0, |known| known.last_seq);
    // What was appended since lies behind the end that is read first, so one page may not reach `from`.
    let Ok(mut left) = usize::try_from(version.saturating_sub(from).saturating_add(1)) else {
        return Ok(Vec::new());
    };
    let mut query = EventQuery::stream(tenant, stream.clone());
    query.direction = Direction::Backward;
    let mut events: Vec<RecordedEvent> = Vec::new();
    while left > 0 {
        query.limit = left.min(PAGE);
        let page = store.read(&query).await?.events;
        let Some(first) = page.last() else { break };
        query.up_to = first.log_seq - 1;
        left = usize::try_from(first.seq.saturating_sub(from)).unwrap_or(0);
        events.extend(page);
    }
    events.retain(|event| event.seq >= from);
    events.reverse();
    Ok(events)
}
