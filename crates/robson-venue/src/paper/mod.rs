//! The paper exchange: a futures-like venue that fills market orders from a feed's ticks.
//!
//! [`PaperState`] is the venue's book: a pure fold over its own events. It fills at the price that the
//! market has `latency` after an order was accepted, worse by `slippage`, and takes at most a part of each
//! bar's, or each recorded trade's, volume. [`PaperExchange`] keeps the book in a log of its own and puts it behind the port. It never
//! knows what the trader believes; it can only be asked.

mod event;
mod exchange;
mod faults;
mod order;
mod position;
mod rules;
mod state;

pub use event::{InvalidPaperEvent, PaperEvent};
pub use exchange::{PaperError, PaperExchange};
pub use faults::FaultPlan;
pub use order::PaperOrder;
pub use position::PaperPosition;
pub use rules::{PaperRefusal, PaperRules};
pub use state::{PaperFault, PaperState, PlaceDecision};
