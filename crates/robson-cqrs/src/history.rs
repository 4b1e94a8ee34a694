//! An aggregate as its events make it: from a snapshot where one fits, else from the first event on.

use cqrs_es::Aggregate;
use cqrs_es::persist::{EventUpcaster, PersistenceError};
use robson_eventlog::{RecordedEvent, Snapshot, Store, StreamKey, TenantId, Timestamp, stream};

use crate::event::{envelope, stream_of};
use crate::failure::of_store;

/// The scope of the snapshots of a stream.
const SCOPE: &str = "stream";

/// When snapshots are taken, and of which shape of the aggregate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotPolicy {
    pub(crate) every: usize,
    pub(crate) schema: i64,
}

/// An aggregate, and where in its stream it stands.
pub(crate) struct History<A> {
    pub(crate) aggregate: A,
    pub(crate) sequence: usize,
    /// How many events lie behind the snapshot that was begun with.
    tail: usize,
    last: Option<RecordedEvent>,
    stream: StreamKey,
}

impl<A: Aggregate> History<A> {
    pub(crate) async fn load<S: Store>(
        store: &S,
        tenant: TenantId,
        aggregate_id: &str,
        upcasters: &[Box<dyn EventUpcaster>],
        policy: Option<SnapshotPolicy>,
    ) -> Result<Self, PersistenceError> {
        let stream = stream_of::<A>(aggregate_id)?;
        if let Some(policy) = policy {
            let kept = store.snapshot(tenant, SCOPE, stream.as_str(), i64::MAX).await.map_err(of_store)?;
            if let Some(kept) = kept.filter(|kept| kept.schema_version == policy.schema) {
                // With the snapshot's own last event, which shows that it belongs to this log.
                let events = read(store, tenant, &stream, kept.as_of_seq).await?;
                match begin(&kept, &events) {
                    Some(aggregate) => {
                        let begun = Self { aggregate, sequence: 0, tail: 0, last: None, stream };
                        return begun.behind(&kept).fold(events.into_iter().skip(1), upcasters);
                    }
                    None => {
                        tracing::warn!(%stream, "a snapshot does not fit its stream; its events are read instead")
                    }
                }
            }
        }
        let events = read(store, tenant, &stream, 1).await?;
        let begun = Self { aggregate: A::default(), sequence: 0, tail: 0, last: None, stream };
        begun.fold(events.into_iter(), upcasters)
    }

    fn behind(mut self, kept: &Snapshot) -> Self {
        self.sequence = usize::try_from(kept.as_of_seq).unwrap_or(0);
        self
    }

    fn fold(
        mut self,
        events: impl Iterator<Item = RecordedEvent>,
        upcasters: &[Box<dyn EventUpcaster>],
    ) -> Result<Self, PersistenceError> {
        for event in events {
            let envelope = envelope::<A>(upcasters, event.clone())?;
            self.aggregate.apply(envelope.payload);
            self.sequence = envelope.sequence;
            self.tail += 1;
            self.last = Some(event);
        }
        Ok(self)
    }

    /// The snapshot that is due, if one is; of the events that were read, all of which are durable.
    pub(crate) fn snapshot_due(&self, policy: Option<SnapshotPolicy>, now: Timestamp) -> Option<Snapshot> {
        let policy = policy.filter(|policy| self.tail >= policy.every.max(1))?;
        let last = self.last.as_ref()?;
        let payload = match serde_json::to_vec(&self.aggregate) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::warn!(stream = %self.stream, %error, "the aggregate cannot be kept as a snapshot");
                return None;
            }
        };
        Some(Snapshot {
            scope: SCOPE.to_owned(),
            scope_id: self.stream.as_str().to_owned(),
            as_of_log_seq: last.log_seq,
            created_at: now,
            snapshot_type: "events".to_owned(),
            as_of_event_id: Some(last.event_id),
            as_of_seq: last.seq,
            as_of_time: last.ingested_at,
            schema_version: policy.schema,
            payload,
            compression: None,
        })
    }
}

async fn read<S: Store>(
    store: &S,
    tenant: TenantId,
    stream: &StreamKey,
    from: i64,
) -> Result<Vec<RecordedEvent>, PersistenceError> {
    stream::read_from(store, tenant, stream, from).await.map_err(of_store)
}

/// What a snapshot holds; nothing where it is of other events, or cannot be read.
fn begin<A: Aggregate>(kept: &Snapshot, events: &[RecordedEvent]) -> Option<A> {
    let last = events.first().filter(|event| event.seq == kept.as_of_seq)?;
    let is_its_own = kept.as_of_event_id == Some(last.event_id) && kept.compression.is_none();
    serde_json::from_slice(&kept.payload).ok().filter(|_| is_its_own)
}
