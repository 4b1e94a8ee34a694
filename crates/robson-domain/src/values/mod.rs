//! Values that cannot be wrong: each is checked where it is made, so no later code checks it again.

mod amount;
mod ids;
mod symbol;
mod timestamp;

pub use amount::{Amount, Fraction, InvalidAmount, Money, Overflow, Price, Quantity};
pub use ids::*;
pub use symbol::{Asset, InvalidName, OrderSide, Side, Symbol, Venue};
pub use timestamp::{InvalidTimestamp, Month, Timestamp};
