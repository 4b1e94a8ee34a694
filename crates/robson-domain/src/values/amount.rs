//! Decimal values: prices, quantities, money and fractions. No float, no silent overflow.

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a decimal is not a value of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// The text is not a decimal number of at most 28 digits.
    #[error("`{0}` is not a decimal number of at most 28 digits")]
    NotDecimal(String),
    /// The number lies outside the range of the value.
    #[error("{value} is not a valid {kind}: it must be {range}")]
    OutOfRange {
        /// The offending number.
        value: Decimal,
        /// What it should have been.
        kind: &'static str,
        /// The permitted range, in words.
        range: &'static str,
    },
}

/// A result that does not fit 96 bits, or a division by zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decimal arithmetic overflow")]
pub struct Overflow;

fn parse_decimal(text: &str) -> Result<Decimal, InvalidAmount> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'));
    Decimal::from_str_exact(text)
        .ok()
        .filter(|_| plain)
        .map(|d| d.normalize())
        .ok_or_else(|| InvalidAmount::NotDecimal(text.to_owned()))
}

/// Takes text and integers only: a JSON float has already lost the digits that it once had.
struct ExactDecimal;

impl de::Visitor<'_> for ExactDecimal {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal as text, or an integer")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
        parse_decimal(text).map_err(E::custom)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Decimal, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Decimal, E> {
        Ok(value.into())
    }
}

macro_rules! decimal_value {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $range:literal, |$d:ident| $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// Checks and normalizes a decimal.
            ///
            /// # Errors
            /// `OutOfRange` with the permitted range.
            pub fn new(value: Decimal) -> Result<Self, InvalidAmount> {
                let $d = value.normalize();
                if $valid {
                    Ok(Self($d))
                } else {
                    Err(InvalidAmount::OutOfRange { value: $d, kind: $kind, range: $range })
                }
            }

            /// The normalized decimal.
            pub const fn get(self) -> Decimal {
                self.0
            }
        }

        impl TryFrom<Decimal> for $name {
            type Error = InvalidAmount;
            fn try_from(value: Decimal) -> Result<Self, InvalidAmount> {
                Self::new(value)
            }
        }

        impl From<$name> for Decimal {
            fn from(value: $name) -> Decimal {
                value.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidAmount;
            fn from_str(text: &str) -> Result<Self, InvalidAmount> {
                parse_decimal(text).and_then(Self::new)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ExactDecimal).and_then(|d| Self::new(d).map_err(de::Error::custom))
            }
        }
    };
}

decimal_value!(
    /// A price in quote units per base unit; above zero.
    Price, "price", "above 0", |d| d > Decimal::ZERO
);
decimal_value!(
    /// A quantity in base units; zero or above.
    Quantity, "quantity", "0 or above", |d| d >= Decimal::ZERO
);
decimal_value!(
    /// An amount of quote currency; negative amounts are losses or debts.
    Money, "amount of money", "a decimal", |_d| true
);
decimal_value!(
    /// A signed decimal without a unit of its own, such as a balance of any asset.
    Amount, "amount", "a decimal", |_d| true
);
decimal_value!(
    /// A fraction between 0 and 1 inclusive; 0.01 is one percent.
    Fraction, "fraction", "between 0 and 1", |d| d >= Decimal::ZERO && d <= Decimal::ONE
);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Whether nothing is left.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The largest multiple of `step` that is not above the quantity.
    pub fn floor_to(self, step: Quantity) -> Self {
        floor_to_grid(self.0, step.0).map_or(self, Self)
    }

    /// The sum.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(|d| Self(d.normalize())).ok_or(Overflow)
    }

    /// The difference, or nothing where more would be taken than is there.
    pub fn minus(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(|d| Self::new(d).ok())
    }

    /// The value of the quantity at a price, in quote units.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn at(self, price: Price) -> Result<Money, Overflow> {
        self.0.checked_mul(price.0).map(|d| Money(d.normalize())).ok_or(Overflow)
    }
}

impl Price {
    /// The distance between two prices.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn distance(self, other: Self) -> Result<Decimal, Overflow> {
        self.0.checked_sub(other.0).map(|d| d.abs().normalize()).ok_or(Overflow)
    }

    /// The nearest price on the grid of `tick` that is not above the price, if one is above zero.
    pub fn floor_to(self, tick: Price) -> Option<Self> {
        floor_to_grid(self.0, tick.0).and_then(|d| Self::new(d).ok())
    }

    /// The nearest price on the grid of `tick` that is not below the price.
    pub fn ceil_to(self, tick: Price) -> Option<Self> {
        let down = floor_to_grid(self.0, tick.0)?;
        let up = if down == self.0 { down } else { down.checked_add(tick.0)? };
        Self::new(up).ok()
    }
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The sum.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(|d| Self(d.normalize())).ok_or(Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn minus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(|d| Self(d.normalize())).ok_or(Overflow)
    }

    /// The part of the amount that a fraction stands for.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn part(self, fraction: Fraction) -> Result<Self, Overflow> {
        self.0.checked_mul(fraction.0).map(|d| Self(d.normalize())).ok_or(Overflow)
    }

    /// The amount, or zero where it is negative.
    pub fn at_least_zero(self) -> Self {
        if self.0.is_sign_negative() { Self::ZERO } else { self }
    }

    /// Two decimals, halves to even, for people to read; never stored.
    pub fn to_cents(self) -> Decimal {
        self.0.round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven)
    }
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The sum.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(|d| Self(d.normalize())).ok_or(Overflow)
    }
}

impl Fraction {
    /// None of it.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// So many hundredths of a percent.
    pub fn from_bps(bps: u16) -> Result<Self, InvalidAmount> {
        Self::new(Decimal::new(i64::from(bps), 4))
    }
}

fn floor_to_grid(value: Decimal, step: Decimal) -> Option<Decimal> {
    if step.is_zero() {
        return None;
    }
    let rest = value.checked_rem(step)?;
    value.checked_sub(rest).map(|d| d.normalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn equal_numbers_have_one_form() {
        assert_eq!("100.10".parse::<Price>().unwrap().to_string(), "100.1");
        assert_eq!("-0".parse::<Money>().unwrap(), Money::ZERO);
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in ["", "1e3", "NaN", "inf", "1,5", "0x1", "12345678901234567890123456789.1", "1_000"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
        assert!("0".parse::<Price>().is_err());
        assert!("-1".parse::<Quantity>().is_err());
        assert!("1.01".parse::<Fraction>().is_err());
    }

    #[test]
    fn json_floats_are_refused() {
        for json in ["1.5", "1e3", "true", "null", "\"1e3\""] {
            assert!(serde_json::from_str::<Money>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<Money>("-7").unwrap().to_string(), "-7");
        assert_eq!(serde_json::to_string(&quantity("1.50")).unwrap(), "\"1.5\"");
    }

    #[test]
    fn rounding_to_the_grid_never_goes_up_for_a_quantity() {
        assert_eq!(quantity("0.059252122670").floor_to(quantity("0.001")), quantity("0.059"));
        assert_eq!(quantity("0.0005").floor_to(quantity("0.001")), Quantity::ZERO);
        let price: Price = "93500.05".parse().unwrap();
        let tick: Price = "0.1".parse().unwrap();
        assert_eq!(price.floor_to(tick).unwrap().to_string(), "93500");
        assert_eq!(price.ceil_to(tick).unwrap().to_string(), "93500.1");
    }
}
