//! The work: orders submitted, one event each, and batches of them made without a ledger.

use robson_domain::events::OrderSubmitted;
use robson_domain::{AccountId, ClientOrderId, Event, IntentId, OrderId, OrderRole, OrderSide, OrderType};
use robson_eventlog::{
    Actor, ActorType, Batch, ChainHash, DedupeEntry, DedupeKey, EventId, Head, Lease, NewEvent,
    Projection as _, RecordedEvent, Rows, StreamKey, StreamMove, Timestamp,
};
use robson_projector::{TABLES, TraderTables, new_event};
use uuid::Uuid;

/// When the work is said to happen; ids begin with it.
const FIRST_MS: u64 = 1_760_000_000_000;
/// The stream of which a read asks; the trader's tables have no part in it.
pub(crate) const READ_STREAM: &str = "bench:read";
/// How many events that stream has in a filled log.
pub(crate) const READ_STREAM_EVENTS: u64 = 1_000;

/// An id that begins with time, as ours do; ten of a kind share a millisecond.
fn id(n: u64, kind: u64) -> Uuid {
    let time = u128::from(FIRST_MS + n / 10) << 80;
    Uuid::from_u128(time | 0x7 << 76 | 0x8 << 60 | u128::from(kind) << 48 | u128::from(n))
}

/// The `n`-th order: an event of its own stream, traced and deduplicated by its command.
pub(crate) fn order(n: u64, at: Timestamp) -> NewEvent {
    let order_id = OrderId(id(n, 1));
    let submitted = OrderSubmitted {
        order_id,
        account_id: AccountId(Uuid::from_u128(0xa1)),
        position_id: None,
        intent_id: IntentId(order_id.0),
        client_order_id: ClientOrderId::from(format!("rbe-{}", order_id.0.simple())),
        symbol: "BTCUSD".parse().unwrap(),
        side: OrderSide::Buy,
        order_type: OrderType::Market,
        role: OrderRole::Entry,
        quantity: "0.059".parse().unwrap(),
        price: None,
        stop_price: None,
        reduce_only: false,
    };
    let happened = robson_projector::time_of(at);
    let mut event = new_event(&Event::from(submitted), happened).unwrap();
    let command = id(n, 2);
    event.trace.command_id = Some(command);
    event.trace.trace_id = Some(id(n, 3));
    event.dedupe_key = Some(DedupeKey::new(format!("{command}/0")).unwrap());
    event.actor = Actor::of(ActorType::Daemon);
    event
}

fn at_micros(micros: i64) -> Timestamp {
    chrono::DateTime::from_timestamp_micros(micros).unwrap().try_into().unwrap()
}

/// Makes batches as a ledger would, for the filling and for the ceiling.
pub(crate) struct Maker {
    lease: Lease,
    head: Head,
    next: u64,
    read_seq: i64,
    /// One event of so many is of the stream that is read.
    read_every: u64,
    /// Between one event and the next.
    step_us: i64,
    now_us: i64,
}

impl Maker {
    /// For a log that begins so many months ago and ends now.
    pub(crate) fn filling(lease: &Lease, events: u64, months: i64) -> Self {
        let now_us = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp_micros();
        let total = i64::try_from(events.max(1)).unwrap();
        // 11 months ago and the present one are 12 partitions.
        let span_us = (months - 1).max(0) * 30 * 86_400 * 1_000_000;
        let read_every = (events / READ_STREAM_EVENTS).max(1);
        Self { read_every, step_us: span_us / total, now_us: now_us - span_us, ..Self::new(lease) }
    }

    pub(crate) fn new(lease: &Lease) -> Self {
        let now_us = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp_micros();
        Self {
            lease: lease.clone(),
            head: lease.head,
            next: 0,
            read_seq: 0,
            read_every: u64::MAX,
            step_us: 0,
            now_us,
        }
    }

    /// Leaves out orders that a filled log has.
    pub(crate) fn skip(&mut self, orders: u64) {
        self.next += orders;
    }

    /// The next batch of so many events.
    pub(crate) fn batch(&mut self, count: u64) -> Batch {
        let mut batch = Batch::empty(self.lease.tenant, self.lease.epoch, self.head);
        let mut rows = Rows::default();
        let before = self.read_seq;
        for _ in 0..count {
            self.now_us += self.step_us;
            let at = at_micros(self.now_us).max(self.head.ingested_at);
            let mut new = order(self.next, at);
            self.next += 1;
            let is_read = self.next.is_multiple_of(self.read_every) && self.read_every < u64::MAX;
            let seq = if is_read {
                new.stream = READ_STREAM.parse().unwrap();
                self.read_seq += 1;
                self.read_seq
            } else {
                batch.streams.push(moved(&new.stream, 0, 1));
                1
            };
            let event = self.record(new, seq, at, &mut batch);
            for key in TraderTables.keys(&event, &rows).unwrap() {
                rows.load(key, None);
            }
            TraderTables.fold(&event, &mut rows).unwrap();
            batch.events.push(event);
        }
        if self.read_seq > before {
            batch.streams.push(moved(&READ_STREAM.parse().unwrap(), before, self.read_seq));
        }
        batch.after = self.head;
        batch.rows = rows.take_changes(TABLES);
        batch
    }

    fn record(&mut self, new: NewEvent, seq: i64, at: Timestamp, batch: &mut Batch) -> RecordedEvent {
        let lease = &self.lease;
        let log_seq = self.head.log_seq + 1;
        let fingerprint = new.fingerprint(lease.tenant);
        let event_id = EventId::derive(at, log_seq, lease.tenant, lease.epoch, 0);
        if let Some(key) = new.dedupe_key {
            batch.dedupe.push(DedupeEntry {
                key,
                fingerprint: fingerprint.clone(),
                event: Some((event_id, log_seq)),
            });
        }
        let mut event = RecordedEvent {
            log_seq,
            event_id,
            tenant: lease.tenant,
            stream: new.stream,
            seq,
            event_type: new.event_type,
            schema_version: new.schema_version,
            payload: new.payload,
            occurred_at: new.occurred_at,
            ingested_at: at,
            idempotency_key: fingerprint,
            trace: new.trace,
            actor: new.actor,
            prev_hash: self.head.chain_hash,
            hash: ChainHash::GENESIS,
        };
        event.hash = event.expected_hash();
        self.head = Head { log_seq, chain_hash: event.hash, ingested_at: at };
        event
    }
}

fn moved(stream: &StreamKey, expected_seq: i64, last_seq: i64) -> StreamMove {
    StreamMove { stream: stream.clone(), expected_seq, last_seq }
}
