//! The grid of prices: a price as a whole number of ticks, so that steps between prices are exact.

use robson_domain::Price;
use rust_decimal::Decimal;
use rust_decimal::RoundingStrategy::MidpointAwayFromZero;
use rust_decimal::prelude::ToPrimitive;

/// The tick size of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TickGrid {
    mantissa: i128,
    scale: u32,
    size: Decimal,
}

impl TickGrid {
    pub(crate) fn new(size: Price) -> Self {
        let size = size.get();
        Self { mantissa: size.mantissa(), scale: size.scale(), size }
    }

    /// The nearest point of the grid; none where it is not above zero or too far to count.
    pub(crate) fn nearest(&self, price: Decimal) -> Option<i64> {
        let ticks = price.checked_div(self.size)?.round_dp_with_strategy(0, MidpointAwayFromZero).to_i64()?;
        self.try_price(ticks).map(|_| ticks)
    }

    /// The price at a point between two others that [`Self::nearest`] gave.
    pub(crate) fn price(&self, ticks: i64) -> Price {
        self.try_price(ticks).expect("between two checked points of the grid")
    }

    pub(crate) fn size(&self) -> Decimal {
        self.size
    }

    fn try_price(&self, ticks: i64) -> Option<Price> {
        let mantissa = i128::from(ticks).checked_mul(self.mantissa)?;
        let price = Decimal::try_from_i128_with_scale(mantissa, self.scale).ok()?;
        Price::new(price).ok()
    }
}

/// The point so far along the straight line from one point to another, rounded to the grid.
///
/// Rounding is monotone, so the point never leaves the line's ends.
pub(crate) fn along(from: i64, to: i64, part: i64, whole: i64) -> i64 {
    let (part, whole) = (i128::from(part), i128::from(whole));
    let scaled = (i128::from(to) - i128::from(from)) * part;
    let rounded = (2 * scaled + whole).div_euclid(2 * whole);
    i64::try_from(i128::from(from) + rounded).expect("between two i64")
}
