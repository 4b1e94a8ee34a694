//! `risk_state_current`: one row per account, and one per strategy in it, for limits of its own.

use robson_domain::{AccountId, Amount, Fraction, Meta, Money, Month, RiskKey, RiskScope, RiskState, Timestamp};

use crate::table::table;

table! {
    "risk_state_current" holds RiskState, keyed by 2;
    [key: RiskKey {
        account_id: AccountId,
        scope: RiskScope,
    }]
    period: Month,
    capital_base: Money,
    realized_net: Money,
    latent_risk: Money,
    total_exposure: Money,
    max_exposure: Option<Money>,
    daily_pnl: Money,
    daily_loss_limit: Option<Money>,
    drawdown: Amount,
    max_drawdown: Fraction,
    is_violated: bool,
    violation_reason: Option<String>,
    violated_at: Option<Timestamp>,
    halted: bool,
    entries_stopped: bool,
    open_discrepancies: i64,
    calculated_at: Timestamp,
    [meta: Meta {
        last_event_id: String,
        last_log_seq: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }]
}
