//! The log: envelope, idempotency, the storage contract, the ledger and its subscriptions.
//!
//! Knows no SQL and no trading, and depends on no other crate of this workspace, so that anyone can
//! use it. The promise, on every backend: append order = log order = commit order = delivery order,
//! gapless per tenant.

pub mod batch;
pub mod command;
pub mod consumer;
pub mod difference;
pub mod digest;
pub mod doorbell;
pub mod event;
pub mod event_store;
pub mod ledger;
pub mod log_tables;
pub mod names;
pub mod parking;
pub mod payload;
pub mod projection;
pub mod reactor;
pub mod rebuild;
mod recent;
pub mod replay;
pub mod snapshot;
pub mod store;
pub mod stream;
pub mod subscription;
pub mod table;
pub mod time;
pub mod upcast;
pub mod verify;

pub use batch::{Batch, CheckpointMove, DedupeEntry, Head, Lease, Receipt, StreamMove, TableRows};
pub use command::{CommandRecord, CommandStatus};
pub use consumer::{
    Consumer, ConsumerError, ConsumerOptions, ConsumerState, ConsumerStatus, Delivery, Failure, Policy,
    Recorder,
};
pub use doorbell::Bells;
pub use event::{Actor, ActorType, ChainHash, EventId, Fingerprint, NewEvent, RecordedEvent, Trace};
pub use event_store::{EventStore, EventStoreError, LedgerEventStore};
pub use ledger::{
    Append, AppendError, Appended, EventReceipt, Expected, Ledger, LedgerOptions, OpenError, Outcome,
};
pub use names::{DedupeKey, EventType, InvalidName, StreamKey, TenantId, WriterId};
pub use parking::{PARKED_EVENTS, ParkedEvent, ParkedStatus, Verdict};
pub use payload::{InvalidPayload, Payload};
pub use projection::{FoldError, Projection, Reading, RowKey, Rows};
pub use reactor::{Input, ReactError, Reactor, RunningReactor};
pub use rebuild::{Generation, Progress, RebuildError, Rebuilt};
pub use replay::{Checks, Replay, ReplayError, ReplayOptions};
pub use snapshot::Snapshot;
pub use store::{
    AcquireError, Capture, Checkpoint, CommitError, DedupeHit, Direction, EventQuery, Page, RowQuery, Store,
    StoreError, StreamVersion,
};
pub use subscription::{Start, Subscription, Trouble};
pub use table::{Column, ColumnKind, Row, Table, Value};
pub use time::{Clock, InvalidTimestamp, SystemClock, Timestamp};
pub use upcast::{Upcast, UpcastError, Upcasters};
