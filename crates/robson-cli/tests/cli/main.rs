//! The command line from outside: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod exit_codes;
mod output;
mod replay;
mod small_log;
mod verify;
