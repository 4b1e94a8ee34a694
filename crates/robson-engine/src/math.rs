//! Checked decimal arithmetic, and directions of a position: gain and loss instead of up and down.

use robson_domain::{Fraction, Overflow, Price, Side};
use rust_decimal::Decimal;

pub(crate) fn add(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_add(b).ok_or(Overflow)
}

pub(crate) fn sub(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_sub(b).ok_or(Overflow)
}

pub(crate) fn mul(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_mul(b).ok_or(Overflow)
}

pub(crate) fn div(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    a.checked_div(b).ok_or(Overflow)
}

/// `a / b` cut after `decimals`, for `a >= 0` and `b > 0`.
///
/// The plain quotient is rounded in its last digit; where that lifted it over the cut, one unit is
/// taken back, so that the result times `b` never exceeds `a`.
pub(crate) fn div_down(a: Decimal, b: Decimal, decimals: u32) -> Result<Decimal, Overflow> {
    let cut = div(a, b)?.trunc_with_scale(decimals).normalize();
    if mul(cut, b)? > a { sub(cut, Decimal::new(1, decimals)) } else { Ok(cut) }
}

pub(crate) fn sum(values: impl IntoIterator<Item = Decimal>) -> Result<Decimal, Overflow> {
    values.into_iter().try_fold(Decimal::ZERO, add)
}

pub(crate) fn bps(bps: u16) -> Fraction {
    Fraction::from_bps(bps).expect("a default in basis points is below 10000")
}

/// Whether `a` lies further in the direction of gain than `b`: for two stops, whether `a` is tighter.
pub(crate) fn ahead<T: Ord>(side: Side, a: T, b: T) -> bool {
    match side {
        Side::Long => a > b,
        Side::Short => a < b,
    }
}

pub(crate) fn toward_loss(side: Side, price: Decimal, by: Decimal) -> Result<Decimal, Overflow> {
    match side {
        Side::Long => sub(price, by),
        Side::Short => add(price, by),
    }
}

pub(crate) fn toward_gain(side: Side, price: Decimal, by: Decimal) -> Result<Decimal, Overflow> {
    toward_loss(side.opposite(), price, by)
}

/// The nearest tick that is not nearer to the position than `price`, if it is a price at all.
pub(crate) fn tick_toward_loss(side: Side, price: Decimal, tick: Price) -> Option<Price> {
    let price = Price::new(price).ok()?;
    match side {
        Side::Long => price.floor_to(tick),
        Side::Short => price.ceil_to(tick),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::str::FromStr;

    /// Parses a value that a test knows to be good.
    pub(crate) fn v<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_is_never_rounded_up() {
        let a = Decimal::new(2, 0);
        let b = Decimal::new(3, 0);
        assert_eq!(div_down(a, b, 28).unwrap().to_string(), "0.6666666666666666666666666666");
        assert_eq!(div_down(a, b, 2).unwrap().to_string(), "0.66");
        assert_eq!(div_down(a, Decimal::ZERO, 2), Err(Overflow));
    }
}
