//! What the stories share: a place to trade in, the binaries as processes, and what a run came to.
//!
//! A story starts `robsond` and `robson` as a person would, from outside: it shares no memory with them, and
//! sees what they did in their output, their exit codes and their database. It never waits for a span of
//! time, always for a condition.

mod chance;
mod http;
mod outcome;
mod place;
mod program;
mod script;

pub use chance::Chance;
pub use http::{Answer, Http};
pub use outcome::Outcome;
pub use place::{Backend, Place};
pub use program::{Daemon, Ran, Signal, program};
pub use script::{Script, gaping_market, repository};
