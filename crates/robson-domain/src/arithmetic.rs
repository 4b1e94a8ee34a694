//! Decimal arithmetic of the folds: checked, and rounded in one place.
//!
//! Sums are exact. Products and quotients keep 12 decimals, halves to even, so that whatever is summed
//! later stays far from the 28 digits where a decimal would start to round by itself.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::{Money, Overflow, Price, Quantity, Side};

/// Decimals that a product or a quotient keeps.
const DECIMALS: u32 = 12;

pub(crate) fn product(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_mul(b).map(|d| rounded(d, DECIMALS)).ok_or(Overflow)
}

pub(crate) fn quotient(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_div(b).map(|d| rounded(d, DECIMALS)).ok_or(Overflow)
}

pub(crate) fn rounded(value: Decimal, decimals: u32) -> Decimal {
    value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointNearestEven).normalize()
}

pub(crate) fn money(value: Decimal) -> Result<Money, Overflow> {
    Money::new(value).map_err(|_| Overflow)
}

/// What a quantity is worth at a price.
pub(crate) fn value_of(quantity: Quantity, price: Price) -> Result<Money, Overflow> {
    product(quantity.get(), price.get()).and_then(money)
}

/// What a quantity gains between two prices; negative where it loses.
pub(crate) fn gain(side: Side, from: Price, to: Price, quantity: Quantity) -> Result<Money, Overflow> {
    let rise = to.get().checked_sub(from.get()).ok_or(Overflow)?;
    let per_unit = match side {
        Side::Long => rise,
        Side::Short => -rise,
    };
    product(per_unit, quantity.get()).and_then(money)
}

/// The price of two quantities together.
///
/// Exact for the first fill; later ones carry the rounding of [`quotient`].
pub(crate) fn average(
    before: Option<(Quantity, Price)>,
    quantity: Quantity,
    price: Price,
) -> Result<Price, Overflow> {
    let Some((old_quantity, old_price)) = before.filter(|(q, _)| !q.is_zero()) else { return Ok(price) };
    let total = value_of(old_quantity, old_price)?.plus(value_of(quantity, price)?)?;
    quotient(total.get(), old_quantity.plus(quantity)?.get())
        .and_then(|d| Price::new(d).map_err(|_| Overflow))
}
