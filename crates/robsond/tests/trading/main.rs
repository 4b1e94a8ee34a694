//! The trading task on made-up markets: what each of its rules does to the rows, and that neither a restart
//! nor a misbehaving venue changes what a run comes to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "nobody uses a test from outside")]

mod approvals;
mod commands;
mod entries_and_exits;
mod restarts;
mod risk;
mod scenario;
mod stops_and_halts;
mod strategies;
mod venue_faults;
