//! Values that cannot be wrong: each is checked where it is made, so no later code checks it again.

mod amount;
mod ids;
mod json;
mod symbol;
mod terms;
mod timestamp;

pub use amount::{Amount, Fraction, InvalidAmount, Money, Overflow, Price, Quantity};
pub use ids::*;
pub use json::{FloatInJson, Json};
pub use symbol::{Asset, InvalidName, Side, Symbol, Venue};
pub use terms::*;
pub use timestamp::{InvalidTimestamp, Month, Timestamp};
