//! What cases are written with: events, appends, reads of everything, batches by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use anyhow::{bail, ensure};
use robson_eventlog::{
    Append, Appended, Batch, ChainHash, DedupeEntry, DedupeKey, EventId, EventQuery, Head, Lease, Ledger,
    NewEvent, Outcome, Payload, Receipt, RecordedEvent, Store, StreamKey, StreamMove, TenantId, Timestamp,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::erased::SharedStore;

pub(crate) type Log = Ledger<SharedStore>;

/// Choices that look random and are the same in every run (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Choices that follow from a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Other choices, for the `n`-th of several tasks.
    #[must_use]
    pub fn fork(&self, n: u32) -> Self {
        Self(Self(self.0 ^ (u64::from(n) << 32)).bits())
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.bits() % u64::from(limit)).unwrap_or(0)
    }

    /// Yes in so many of a hundred cases.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

/// An instant that a case writes down.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant that a case writes down")
}

/// A stream that a case writes down.
pub(crate) fn stream(text: &str) -> StreamKey {
    text.parse().expect("a stream key that a case writes down")
}

/// A dedupe key that a case writes down.
pub(crate) fn key(text: &str) -> DedupeKey {
    text.parse().expect("a dedupe key that a case writes down")
}

/// A payload that a case writes down.
pub(crate) fn payload(value: &Value) -> Payload {
    Payload::new(value).expect("a payload that a case writes down")
}

/// An event `TALLIED` with an amount.
pub(crate) fn event(stream_key: &str, amount: i64) -> NewEvent {
    typed(stream_key, "TALLIED", json!({"amount": amount.to_string()}))
}

/// An event with a type and a payload.
pub(crate) fn typed(stream_key: &str, event_type: &str, value: Value) -> NewEvent {
    let event_type = event_type.parse().expect("an event type that a case writes down");
    NewEvent::new(stream(stream_key), event_type, payload(&value), at("2026-01-15T11:59:59.123456Z"))
}

/// An event that is deduplicated by a key.
pub(crate) fn keyed(stream_key: &str, amount: i64, dedupe_key: &str) -> NewEvent {
    NewEvent { dedupe_key: Some(key(dedupe_key)), ..event(stream_key, amount) }
}

/// An event that the tally refuses.
pub(crate) fn refused(stream_key: &str) -> NewEvent {
    typed(stream_key, "TALLIED", json!({"refuse": true}))
}

/// A trade at a venue: its natural key, and only side, price and quantity as its fingerprint.
pub(crate) fn fill(venue: &str, account: &str, execution: &str, price: &str, channel: &str) -> NewEvent {
    let facts = json!({"side": "buy", "price": price, "quantity": "0.5"});
    let told =
        json!({"side": "buy", "price": price, "quantity": "0.5", "channel": channel, "trade_id": execution});
    NewEvent {
        dedupe_key: Some(key(&format!("fill/{venue}/{account}/BTCUSD/{execution}"))),
        fingerprint: Some(payload(&facts)),
        ..typed(&format!("order:{account}"), "FILL_RECEIVED", told)
    }
}

/// Appends events without expectations.
pub(crate) async fn append(ledger: &Log, events: Vec<NewEvent>) -> anyhow::Result<Appended> {
    appended(ledger.append(Append::events(events)).await?)
}

/// What was appended; any other outcome is an error.
pub(crate) fn appended(outcome: Outcome) -> anyhow::Result<Appended> {
    match outcome {
        Outcome::Appended(appended) => Ok(appended),
        other => bail!("expected an append, the ledger answered {other:?}"),
    }
}

/// The places of an append's events.
pub(crate) fn places(appended: &Appended) -> Vec<i64> {
    appended.events.iter().map(|receipt| receipt.log_seq).collect()
}

/// Every event of a tenant, read page by page.
pub(crate) async fn everything(store: &SharedStore, tenant: TenantId) -> anyhow::Result<Vec<RecordedEvent>> {
    let mut query = EventQuery::all(tenant);
    let mut events = Vec::new();
    loop {
        let page = store.read(&query).await?.events;
        let Some(last) = page.last() else { return Ok(events) };
        query.after = last.log_seq;
        events.extend(page);
    }
}

/// That events are a log's beginning: dense places and versions, linked hashes, time that does not go back.
pub(crate) fn check_prefix(events: &[RecordedEvent]) -> anyhow::Result<()> {
    let mut before = Head::EMPTY;
    let mut versions: BTreeMap<&StreamKey, i64> = BTreeMap::new();
    for event in events {
        ensure!(event.log_seq == before.log_seq + 1, "{} follows {}", event.log_seq, before.log_seq);
        let version = versions.entry(&event.stream).or_insert(0);
        *version += 1;
        ensure!(event.seq == *version, "{} has version {} at {version}", event.stream, event.seq);
        ensure!(event.prev_hash == before.chain_hash, "event {} is not linked", event.log_seq);
        ensure!(event.hash == event.expected_hash(), "event {} has a wrong hash", event.log_seq);
        ensure!(event.ingested_at >= before.ingested_at, "time goes back at {}", event.log_seq);
        before = Head { log_seq: event.log_seq, chain_hash: event.hash, ingested_at: event.ingested_at };
    }
    Ok(())
}

/// Polls a future so many times, then drops it; answers what it came to, if it did.
pub(crate) async fn poll_then_drop<T>(future: impl Future<Output = T>, mut polls: u32) -> Option<T> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// The whole log of [`crate::Env::TENANT`], checked to be a dense, linked prefix.
pub(crate) async fn whole_log(store: &SharedStore) -> anyhow::Result<Vec<RecordedEvent>> {
    let events = everything(store, crate::Env::TENANT).await?;
    check_prefix(&events)?;
    let head = store.head(crate::Env::TENANT).await?;
    ensure!(head.log_seq == events.last().map_or(0, |last| last.log_seq), "head {head:?}");
    ensure!(head.chain_hash == events.last().map_or(ChainHash::GENESIS, |last| last.hash), "head {head:?}");
    Ok(events)
}

/// A writer without a ledger: it makes batches by hand, to ask the store itself.
pub(crate) struct RawWriter {
    pub(crate) store: Arc<SharedStore>,
    pub(crate) lease: Lease,
    pub(crate) head: Head,
    versions: BTreeMap<StreamKey, i64>,
}

impl RawWriter {
    pub(crate) async fn acquire(store: Arc<SharedStore>, tenant: TenantId) -> anyhow::Result<Self> {
        let writer = "suite".parse()?;
        let lease = store.acquire(tenant, &writer, Duration::from_secs(10)).await?;
        let head = lease.head;
        Ok(Self { store, lease, head, versions: BTreeMap::new() })
    }

    /// A batch of events, all ingested at an instant.
    pub(crate) fn batch(&self, events: &[NewEvent], ingested_at: &str) -> Batch {
        self.batch_over_time(events.iter().map(|event| (event, at(ingested_at))))
    }

    /// A batch of events, each ingested at its own instant.
    pub(crate) fn batch_over_time<'a>(
        &self,
        events: impl IntoIterator<Item = (&'a NewEvent, Timestamp)>,
    ) -> Batch {
        let tenant = self.lease.tenant;
        let mut batch = Batch::empty(tenant, self.lease.epoch, self.head);
        let mut moves: BTreeMap<StreamKey, StreamMove> = BTreeMap::new();
        for (event, ingested_at) in events {
            let log_seq = batch.after.log_seq + 1;
            let known = self.versions.get(&event.stream).copied().unwrap_or(0);
            let moved = moves.entry(event.stream.clone()).or_insert_with(|| StreamMove {
                stream: event.stream.clone(),
                expected_seq: known,
                last_seq: known,
            });
            moved.last_seq += 1;
            let mut recorded = RecordedEvent {
                log_seq,
                event_id: EventId::derive(ingested_at, log_seq, tenant, self.lease.epoch, 7),
                tenant,
                stream: event.stream.clone(),
                seq: moved.last_seq,
                event_type: event.event_type.clone(),
                schema_version: event.schema_version,
                payload: event.payload.clone(),
                occurred_at: event.occurred_at,
                ingested_at,
                idempotency_key: event.fingerprint(tenant),
                trace: event.trace.clone(),
                actor: event.actor.clone(),
                prev_hash: batch.after.chain_hash,
                hash: ChainHash::GENESIS,
            };
            recorded.hash = recorded.expected_hash();
            batch.after = Head { log_seq, chain_hash: recorded.hash, ingested_at };
            batch.dedupe.extend(event.dedupe_key.clone().map(|key| DedupeEntry {
                key,
                fingerprint: recorded.idempotency_key.clone(),
                event: Some((recorded.event_id, log_seq)),
            }));
            batch.events.push(recorded);
        }
        batch.streams = moves.into_values().collect();
        batch
    }

    /// Commits a batch and goes on behind it.
    pub(crate) async fn commit(&mut self, batch: &Batch) -> anyhow::Result<Receipt> {
        let receipt = self.store.commit(batch).await?;
        self.head = receipt.head;
        self.versions.extend(batch.streams.iter().map(|moved| (moved.stream.clone(), moved.last_seq)));
        Ok(receipt)
    }
}

/// An id that a case writes down.
pub(crate) const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 | number)
}
