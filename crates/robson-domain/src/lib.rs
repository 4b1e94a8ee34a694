//! Values, events and entities of the trader: pure data and pure folds.
//!
//! Knows no storage, no clock, no randomness and no async: everything here is a function of its
//! arguments, so that a replay of the log gives the rows that the append gave.
#![deny(clippy::disallowed_types, clippy::float_arithmetic)]

mod arithmetic;
pub mod entities;
pub mod events;
pub mod lifecycle;
pub mod values;

pub use entities::{
    Balance, BalanceKey, Entities, Entity, EntityKey, Fill, FillKey, Meta, Order, Position, RiskConfig,
    RiskKey, RiskScope, RiskState, StrategyState,
};
pub use events::{Author, DecodeError, Event, EventBody, EventContext, StreamName, Upcast, Violation};
pub use lifecycle::WrongState;
pub use values::*;
