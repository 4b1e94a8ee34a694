//! `strategy_state_current`: one row per strategy.

use robson_domain::{AccountId, Fraction, Json, Meta, Money, RiskConfig, StrategyId, StrategyState, Timestamp};

use crate::table::table;

table! {
    "strategy_state_current" holds StrategyState, keyed by 1;
    strategy_id: StrategyId,
    account_id: AccountId,
    strategy_name: String,
    strategy_type: String,
    detector_config: Option<Json>,
    risk_config: RiskConfig,
    config_version: i64,
    is_enabled: bool,
    enabled_at: Option<Timestamp>,
    disabled_at: Option<Timestamp>,
    disabled_reason: Option<String>,
    total_signals: i64,
    total_positions: i64,
    open_positions: i64,
    closed_positions: i64,
    wins: i64,
    total_pnl: Money,
    win_rate: Option<Fraction>,
    [meta: Meta {
        last_event_id: String,
        last_log_seq: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }]
}
