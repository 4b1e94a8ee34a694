//! What events do to the rows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod steps;
mod strategies;
mod trades;
mod world;
