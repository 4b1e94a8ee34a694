//! POSITION_ARMED: the operator, or a plan, armed a position.
//!
//! That no live twin stands in its way is decided before: a fold sees rows by key only.
//!
//! Changes: a new position, armed, without a quantity or a stop.
//!
//! Refused: when the position exists, has no capital, or risks more than 1 % of it or nothing.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Author, EventBody, EventContext, StreamName, Violation, check};
use crate::entities::{Entities, EntityKey, Position};
use crate::{
    AccountId, ApprovalMode, EntryMode, Fraction, Money, PositionId, PositionState, Quantity, Side,
    StrategyId, Symbol, Timestamp, TrailingPolicy,
};

/// The largest part of its capital that a position may risk; it may only be lowered.
const RISK_PCT_MAX: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// The operator, or a plan, armed a position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositionArmed {
    /// The position.
    pub position_id: PositionId,
    /// The account.
    pub account_id: AccountId,
    /// The strategy that it counts for.
    pub strategy_id: Option<StrategyId>,
    /// What to trade.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
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
    /// When.
    pub armed_at: Timestamp,
}

impl EventBody for PositionArmed {
    const TYPE: &'static str = "POSITION_ARMED";
    const AUTHOR: Author = Author::Engine;

    fn stream(&self) -> StreamName {
        StreamName::Position(self.position_id)
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![EntityKey::Position(self.position_id)]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        check(entities.position(self.position_id).is_none(), || {
            format!("position {} exists already", self.position_id)
        })?;
        check(self.risk_capital > Money::ZERO, || "a position needs capital above zero".to_owned())?;
        check(self.risk_pct > Fraction::ZERO && self.risk_pct.get() <= RISK_PCT_MAX, || {
            format!(
                "a position risks more than 0 and at most {RISK_PCT_MAX} of its capital, not {}",
                self.risk_pct
            )
        })?;
        entities.put(Position {
            position_id: self.position_id,
            account_id: self.account_id,
            strategy_id: self.strategy_id,
            symbol: self.symbol.clone(),
            side: self.side,
            state: PositionState::Armed,
            entry_mode: self.entry_mode,
            approval_mode: self.approval_mode,
            trailing_policy: self.trailing_policy,
            risk_capital: self.risk_capital,
            risk_pct: self.risk_pct,
            planned_risk: None,
            latent_risk: Money::ZERO,
            entry_price: None,
            entry_quantity: None,
            entry_filled_at: None,
            technical_stop_price: None,
            technical_stop_distance: None,
            current_quantity: Quantity::ZERO,
            current_price: None,
            trailing_stop_price: None,
            favorable_extreme: None,
            extreme_at: None,
            unrealized_pnl: None,
            realized_pnl: Money::ZERO,
            total_fees: Money::ZERO,
            dust_quantity: Quantity::ZERO,
            entry_signal_id: None,
            entry_order_id: None,
            exit_order_id: None,
            stop_loss_order_id: None,
            exit_reason: None,
            error: None,
            closed_at: None,
            meta: ctx.meta(),
        });
        Ok(())
    }
}
