//! How near and how far a technical stop may be.

use rust_decimal::Decimal;

use super::{Fraction, Overflow, Price};

/// The permitted distance of a stop from the entry, as fractions of the entry; both ends are permitted.
///
/// One value serves the choice of a level, its rounding and the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBounds {
    /// The smallest distance.
    pub min: Fraction,
    /// The largest distance.
    pub max: Fraction,
}

impl Default for StopBounds {
    /// 0.1 % to 10 %: nothing wider is ever admitted.
    fn default() -> Self {
        let fraction = |mantissa| Fraction::new(Decimal::new(mantissa, 3)).expect("between 0 and 1");
        Self { min: fraction(1), max: fraction(100) }
    }
}

impl StopBounds {
    /// Whether a stop so far from an entry is permitted.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn admit(&self, entry: Price, distance: Price) -> Result<bool, Overflow> {
        let part = |fraction: Fraction| entry.get().checked_mul(fraction.get()).ok_or(Overflow);
        Ok(distance.get() >= part(self.min)? && distance.get() <= part(self.max)?)
    }
}
