//! A strategy: its settings and what its positions came to.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Meta, Position};
use crate::arithmetic::{quotient, rounded};
use crate::events::{EventContext, Violation};
use crate::{AccountId, Fraction, Json, Money, Overflow, StrategyId, Timestamp};

/// The limits that a strategy sets for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskConfig {
    /// The largest open notional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_exposure: Option<Money>,
    /// The largest loss of a UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_loss_limit: Option<Money>,
}

/// A strategy, as `strategy_state_current` mirrors it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyState {
    /// Its id.
    pub strategy_id: StrategyId,
    /// The account that it trades for.
    pub account_id: AccountId,
    /// Its name.
    pub strategy_name: String,
    /// Its kind; `operator` for what the operator arms.
    pub strategy_type: String,
    /// What its detectors are set to.
    pub detector_config: Option<Json>,
    /// Its own limits.
    pub risk_config: RiskConfig,
    /// Counts the changes of its settings, from 1.
    pub config_version: i64,
    /// Whether it may enter.
    pub is_enabled: bool,
    /// Since when it may.
    pub enabled_at: Option<Timestamp>,
    /// Since when it may not.
    pub disabled_at: Option<Timestamp>,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// How many signals its detectors gave.
    pub total_signals: i64,
    /// How many positions were opened.
    pub total_positions: i64,
    /// How many are open.
    pub open_positions: i64,
    /// How many were closed.
    pub closed_positions: i64,
    /// How many of those gained after fees.
    pub wins: i64,
    /// What the closed ones gained after fees.
    pub total_pnl: Money,
    /// Wins per closed position, 6 decimals; none before the first.
    pub win_rate: Option<Fraction>,
    /// Where the row stands in the log.
    pub meta: Meta,
}

impl StrategyState {
    pub(crate) fn count_opened(&mut self) {
        self.total_positions += 1;
        self.open_positions += 1;
    }

    pub(crate) fn count_closed(&mut self, position: &Position) -> Result<(), Violation> {
        let net = position.net_pnl()?;
        self.open_positions -= 1;
        self.closed_positions += 1;
        self.wins += i64::from(net > Money::ZERO);
        self.total_pnl = self.total_pnl.plus(net)?;
        let rate = rounded(quotient(self.wins.into(), Decimal::from(self.closed_positions))?, 6);
        self.win_rate = Some(Fraction::new(rate).map_err(|_| Overflow)?);
        Ok(())
    }

    pub(super) fn stamp(&mut self, ctx: &EventContext) {
        self.meta.stamp(ctx);
    }
}
