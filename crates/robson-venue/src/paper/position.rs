//! A net position at the paper exchange, kept by value, so that what a round trip made is exact.

use robson_domain::{OrderSide, Overflow, Price, Quantity, Side, Symbol};
use rust_decimal::Decimal;

use crate::exchange::VenuePosition;

/// The net position in one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PaperPosition {
    /// Base units; negative when short.
    pub(super) held: Decimal,
    /// What the units held were worth at entry, in quote units; never negative.
    pub(super) entry_value: Decimal,
}

impl PaperPosition {
    /// How much of an order would close, rather than open.
    pub(super) fn reducible_by(&self, side: OrderSide) -> Decimal {
        match side {
            OrderSide::Buy => (-self.held).max(Decimal::ZERO),
            OrderSide::Sell => self.held.max(Decimal::ZERO),
        }
    }

    /// Takes a fill in and answers what it realized.
    ///
    /// The value of a part that is closed is cut after twelve decimals; the rest stays, so that a position
    /// which is closed in parts realizes exactly what it realizes when closed at once.
    pub(super) fn take(
        &mut self,
        side: OrderSide,
        price: Price,
        quantity: Quantity,
    ) -> Result<Decimal, Overflow> {
        let (price, quantity) = (price.get(), quantity.get());
        let closing = self.reducible_by(side).min(quantity);
        let opening = quantity.checked_sub(closing).ok_or(Overflow)?;
        let closed_value = self.entry_value_of(closing)?;
        let proceeds = price.checked_mul(closing).ok_or(Overflow)?;
        let gain = proceeds.checked_sub(closed_value).ok_or(Overflow)?;
        let opened_value = price.checked_mul(opening).ok_or(Overflow)?;
        let entry_value =
            self.entry_value.checked_sub(closed_value).and_then(|rest| rest.checked_add(opened_value));
        let signed = if side == OrderSide::Buy { quantity } else { -quantity };
        let held = self.held.checked_add(signed).ok_or(Overflow)?;
        *self = Self { held: held.normalize(), entry_value: entry_value.ok_or(Overflow)?.normalize() };
        Ok(if side == OrderSide::Sell { gain } else { -gain })
    }

    fn entry_value_of(&self, closing: Decimal) -> Result<Decimal, Overflow> {
        let held = self.held.abs();
        if closing == held {
            return Ok(self.entry_value);
        }
        let part = closing.checked_div(held).ok_or(Overflow)?;
        let value = self.entry_value.checked_mul(part).ok_or(Overflow)?;
        Ok(value.trunc_with_scale(12))
    }

    /// The position as the trader is told; none when flat.
    pub(super) fn report(&self, symbol: &Symbol) -> Option<VenuePosition> {
        let entry_price = self.entry_value.checked_div(self.held.abs())?.round_dp(12);
        Some(VenuePosition {
            symbol: symbol.clone(),
            side: if self.held > Decimal::ZERO { Side::Long } else { Side::Short },
            quantity: Quantity::new(self.held.abs()).ok()?,
            entry_price: Price::new(entry_price).ok()?,
        })
    }
}
