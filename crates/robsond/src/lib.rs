//! The trading daemon: configuration, wiring, HTTP interface and shutdown.
//!
//! One task trades; everything else serves it or watches it. Only the binaries read the environment.

pub mod api;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod engine_diff;
pub mod metrics;
pub mod offline;
pub mod operator;
pub mod parked;
pub mod questions;
pub mod report;
pub mod schema;
pub mod session;
pub mod snapshotter;
pub mod trader;
pub mod workers;
