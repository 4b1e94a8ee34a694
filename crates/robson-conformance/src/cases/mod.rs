//! The cases, one file for each group.

mod append;
mod expected;
mod idempotency;
mod order;
mod reads;
mod tenancy;
mod values;
