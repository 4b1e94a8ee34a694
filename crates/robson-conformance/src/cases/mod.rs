//! The cases, one file for each group.

mod append;
mod consumers;
mod durability;
mod event_store;
mod expected;
mod idempotency;
mod order;
mod pipeline;
mod portability;
mod projections;
mod reads;
mod rebuilds;
mod retention;
mod snapshots;
mod subscriptions;
mod tenancy;
mod upcasting;
mod values;
mod verification;
