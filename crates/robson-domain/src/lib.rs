//! Values, events and entities of the trader: pure data and pure folds.
//!
//! Knows no storage, no clock, no randomness and no async: everything here is a function of its
//! arguments, so that a replay of the log gives the rows that the append gave.
#![deny(clippy::disallowed_types, clippy::float_arithmetic)]

pub mod values;

pub use values::*;
