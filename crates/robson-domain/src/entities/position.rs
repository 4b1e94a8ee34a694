//! A position: from its arming to its end.

use super::{Meta, Order};
use crate::arithmetic::{average, gain, money, product, quotient, value_of};
use crate::events::{EventContext, Violation, check};
use crate::lifecycle::{Consequence, Happening, Standing, step};
use crate::{
    AccountId, ApprovalMode, EntryMode, ExitReason, Fraction, Money, OrderId, Overflow, PositionId,
    PositionState, Price, Quantity, Side, SignalId, StrategyId, Symbol, Timestamp, TrailingPolicy,
    WrongState,
};

/// A position, as `positions_current` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its id.
    pub position_id: PositionId,
    /// The account that it belongs to.
    pub account_id: AccountId,
    /// The strategy that it counts for.
    pub strategy_id: Option<StrategyId>,
    /// What is traded.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// Where it is in its life.
    pub state: PositionState,
    /// What the entry waits for.
    pub entry_mode: EntryMode,
    /// Who admits the entry.
    pub approval_mode: ApprovalMode,
    /// How the stop follows.
    pub trailing_policy: TrailingPolicy,
    /// The capital that it is sized by.
    pub risk_capital: Money,
    /// The part of it that may be lost.
    pub risk_pct: Fraction,
    /// The worst loss that the risk gate admitted, from then on.
    pub planned_risk: Option<Money>,
    /// What the month's budget must hold for it: see [`Position::latent_risk_with`].
    pub latent_risk: Money,
    /// The average price of the entry fills, 12 decimals.
    pub entry_price: Option<Price>,
    /// The sum of the entry fills.
    pub entry_quantity: Option<Quantity>,
    /// The time of the first entry fill.
    pub entry_filled_at: Option<Timestamp>,
    /// The chart level that proves the idea wrong.
    pub technical_stop_price: Option<Price>,
    /// Its distance from the price of the decision.
    pub technical_stop_distance: Option<Price>,
    /// What is held.
    pub current_quantity: Quantity,
    /// The price of the last event that told one.
    pub current_price: Option<Price>,
    /// The stop in force; set when the position opened.
    pub trailing_stop_price: Option<Price>,
    /// The best price that a stop move has recorded, at first the entry's.
    pub favorable_extreme: Option<Price>,
    /// When it was recorded.
    pub extreme_at: Option<Timestamp>,
    /// What is held, valued at `current_price`; gross.
    pub unrealized_pnl: Option<Money>,
    /// What the exits gained; gross.
    pub realized_pnl: Money,
    /// All fees, in quote currency.
    pub total_fees: Money,
    /// What was too little to sell.
    pub dust_quantity: Quantity,
    /// The signal that was acted on.
    pub entry_signal_id: Option<SignalId>,
    /// The entry order.
    pub entry_order_id: Option<OrderId>,
    /// The latest exit order.
    pub exit_order_id: Option<OrderId>,
    /// The resting stop.
    pub stop_loss_order_id: Option<OrderId>,
    /// Why it is being closed, or was.
    pub exit_reason: Option<ExitReason>,
    /// What broke.
    pub error: Option<String>,
    /// When it was closed or cancelled.
    pub closed_at: Option<Timestamp>,
    /// Where the row stands in the log.
    pub meta: Meta,
}

impl Position {
    /// What the state machine must know besides the state.
    pub const fn standing(&self) -> Standing {
        Standing { holds: !self.current_quantity.is_zero(), closing: self.exit_reason.is_some() }
    }

    /// Whether its stop watches a held quantity.
    pub fn is_open(&self) -> bool {
        !self.current_quantity.is_zero() && self.state.is_live()
    }

    /// What was realized, less all fees.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn net_pnl(&self) -> Result<Money, Overflow> {
        self.realized_pnl.minus(self.total_fees)
    }

    /// How much of the entry has left the position again.
    pub fn exited_quantity(&self) -> Quantity {
        self.entry_quantity.and_then(|entered| entered.minus(self.current_quantity)).unwrap_or(Quantity::ZERO)
    }

    /// The average price of the exits, implied by what they realized.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn average_exit_price(&self) -> Result<Option<Price>, Overflow> {
        let (Some(entry), exited) = (self.entry_price, self.exited_quantity()) else { return Ok(None) };
        if exited.is_zero() {
            return Ok(None);
        }
        let per_unit = quotient(self.realized_pnl.get(), exited.get())?;
        let price = match self.side {
            Side::Long => entry.get().checked_add(per_unit),
            Side::Short => entry.get().checked_sub(per_unit),
        };
        Ok(price.and_then(|price| Price::new(price).ok()))
    }

    /// Refuses what concerns another symbol or side.
    pub(crate) fn must_be(&self, symbol: &Symbol, side: Side) -> Result<(), Violation> {
        check(self.symbol == *symbol && self.side == side, || {
            format!("{side} {symbol} does not concern a {} position in {}", self.side, self.symbol)
        })
    }

    /// Whether a stop at `new` is tighter than one at `old`.
    pub fn is_tighter(&self, new: Price, old: Price) -> bool {
        match self.side {
            Side::Long => new > old,
            Side::Short => new < old,
        }
    }

    /// What the held quantity cost.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn exposure(&self) -> Result<Money, Overflow> {
        match self.entry_price {
            Some(price) if self.is_open() => value_of(self.current_quantity, price),
            _ => Ok(Money::ZERO),
        }
    }

    /// The loss that the month's budget must hold for the position: `max(0, loss if the stop filled now)`.
    ///
    /// Held with a stop: quantity x (entry to stop) + an exit fee at the rate that the entry paid; the
    /// entry's own fee is realized already. While an admitted entry is in flight or still filling: at least
    /// its planned risk. Nothing held and nothing admitted: nothing.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn latent_risk_with(&self, entry_order: Option<&Order>) -> Result<Money, Overflow> {
        let planned = self.planned_risk.unwrap_or(Money::ZERO);
        if !self.state.is_live() {
            return Ok(Money::ZERO);
        }
        let (Some(entry), Some(stop), false) =
            (self.entry_price, self.trailing_stop_price, self.current_quantity.is_zero())
        else {
            let over = self.entry_quantity.is_some() && self.current_quantity.is_zero();
            return Ok(if over { Money::ZERO } else { planned });
        };
        let move_to_stop = gain(self.side, stop, entry, self.current_quantity)?;
        let fee = match entry_order.map(|order| (order, order.average_fill_price)) {
            Some((order, Some(price))) if !order.filled_quantity.is_zero() => {
                let paid_on = value_of(order.filled_quantity, price)?;
                let paid =
                    product(value_of(self.current_quantity, stop)?.get(), order.total_fee_quote.get())?;
                money(quotient(paid, paid_on.get())?)?
            }
            _ => Money::ZERO,
        };
        let at_stop = move_to_stop.plus(fee)?.at_least_zero();
        let still_filling = entry_order.is_some_and(Order::is_working);
        Ok(if still_filling { at_stop.max(planned) } else { at_stop })
    }

    /// Takes the step that the state machine prescribes.
    pub(crate) fn take(&mut self, happening: Happening) -> Result<Option<Consequence>, WrongState> {
        let step = step(self.state, happening, self.standing())?;
        self.state = step.to;
        Ok(step.then)
    }

    /// Goes into error; one that has ended stays ended.
    pub(crate) fn fault(&mut self, reason: String) {
        if let Ok(step) = step(self.state, Happening::InvariantBroken, self.standing()) {
            self.state = step.to;
        }
        self.error = Some(reason);
    }

    /// Forgets the decision: its entry ended without a fill.
    pub(crate) fn forget_entry(&mut self) {
        self.planned_risk = None;
        self.technical_stop_price = None;
        self.technical_stop_distance = None;
        self.entry_signal_id = None;
        self.entry_order_id = None;
    }

    /// Adds an entry fill. `taken_as_fee` is what the venue kept of the base asset.
    pub(crate) fn enter(
        &mut self,
        price: Price,
        quantity: Quantity,
        taken_as_fee: Quantity,
        filled_at: Timestamp,
    ) -> Result<(), Violation> {
        let before = self.entry_quantity.zip(self.entry_price);
        self.entry_price = Some(average(before, quantity, price)?);
        self.entry_quantity = Some(self.entry_quantity.unwrap_or(Quantity::ZERO).plus(quantity)?);
        let kept = quantity.minus(taken_as_fee).unwrap_or(Quantity::ZERO);
        self.current_quantity = self.current_quantity.plus(kept)?;
        self.entry_filled_at = Some(self.entry_filled_at.map_or(filled_at, |at| at.min(filled_at)));
        self.see_price(price)
    }

    /// Takes an exit fill off; answers what it realized and what exceeded the position.
    pub(crate) fn exit(&mut self, price: Price, quantity: Quantity) -> Result<(Money, Quantity), Violation> {
        let closed = quantity.min(self.current_quantity);
        let realized = match self.entry_price {
            Some(entry) => gain(self.side, entry, price, closed)?,
            None => Money::ZERO,
        };
        self.realized_pnl = self.realized_pnl.plus(realized)?;
        self.current_quantity = self.current_quantity.minus(closed).unwrap_or(Quantity::ZERO);
        self.see_price(price)?;
        Ok((realized, quantity.minus(closed).unwrap_or(Quantity::ZERO)))
    }

    /// Values what is held at a price.
    pub(crate) fn see_price(&mut self, price: Price) -> Result<(), Violation> {
        self.current_price = Some(price);
        self.unrealized_pnl = match self.entry_price {
            Some(entry) if !self.current_quantity.is_zero() => {
                Some(gain(self.side, entry, price, self.current_quantity)?)
            }
            _ => None,
        };
        Ok(())
    }

    pub(super) fn stamp(&mut self, ctx: &EventContext) {
        self.meta.stamp(ctx);
    }
}
