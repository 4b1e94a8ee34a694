//! `positions_current`: one row per position, from its arming on.

use robson_domain::{AccountId, ApprovalMode, EntryMode, ExitReason, Fraction, Meta, Money, OrderId, Position, PositionId, PositionState, Price, Quantity, Side, SignalId, StrategyId, Symbol, Timestamp, TrailingPolicy};

use crate::table::table;

table! {
    "positions_current" holds Position, keyed by 1;
    position_id: PositionId,
    account_id: AccountId,
    strategy_id: Option<StrategyId>,
    symbol: Symbol,
    side: Side,
    state: PositionState,
    entry_mode: EntryMode,
    approval_mode: ApprovalMode,
    trailing_policy: TrailingPolicy,
    risk_capital: Money,
    risk_pct: Fraction,
    planned_risk: Option<Money>,
    latent_risk: Money,
    entry_price: Option<Price>,
    entry_quantity: Option<Quantity>,
    entry_filled_at: Option<Timestamp>,
    technical_stop_price: Option<Price>,
    technical_stop_distance: Option<Price>,
    current_quantity: Quantity,
    current_price: Option<Price>,
    trailing_stop_price: Option<Price>,
    favorable_extreme: Option<Price>,
    extreme_at: Option<Timestamp>,
    unrealized_pnl: Option<Money>,
    realized_pnl: Money,
    total_fees: Money,
    dust_quantity: Quantity,
    entry_signal_id: Option<SignalId>,
    entry_order_id: Option<OrderId>,
    exit_order_id: Option<OrderId>,
    stop_loss_order_id: Option<OrderId>,
    exit_reason: Option<ExitReason>,
    error: Option<String>,
    closed_at: Option<Timestamp>,
    [meta: Meta {
        last_event_id: String,
        last_log_seq: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }]
}
