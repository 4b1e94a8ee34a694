//! Closed vocabularies: words that payloads and rows hold as text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not one of the words of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: one of {words}")]
pub struct InvalidTerm {
    /// The offending text.
    pub text: String,
    /// The vocabulary.
    pub kind: &'static str,
    /// Its words.
    pub words: String,
}

macro_rules! terms {
    ($($(#[$doc:meta])* $name:ident $kind:literal {
        $($(#[$word_doc:meta])* $word:ident = $text:literal,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// The word as it is stored.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidTerm;
            fn from_str(text: &str) -> Result<Self, InvalidTerm> {
                match text {
                    $($text => Ok(Self::$word),)+
                    _ => Err(InvalidTerm {
                        text: text.to_owned(),
                        kind: $kind,
                        words: [$($text),+].join(", "),
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidTerm;
            fn try_from(text: String) -> Result<Self, InvalidTerm> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> String {
                word.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

terms! {
    /// The side of an order.
    OrderSide "order side" {
        /// Takes base, gives quote.
        Buy = "buy",
        /// Gives base, takes quote.
        Sell = "sell",
    }

    /// What an order is for; its letter is part of the client order id.
    OrderRole "order role" {
        /// Opens a position.
        Entry = "entry",
        /// Closes a position.
        Exit = "exit",
        /// Rests at the venue at the stop's price.
        Stop = "stop",
    }

    /// How an order executes.
    OrderType "order type" {
        /// At once, at the best price there is.
        Market = "market",
        /// At a price or better.
        Limit = "limit",
        /// At the market once the stop price is touched.
        StopLoss = "stop_loss",
        /// At a price or better once the stop price is touched.
        StopLossLimit = "stop_loss_limit",
    }

    /// How far an order has come; it never goes back.
    OrderStatus "order status" {
        /// The intent is durable; nothing is known to have been sent.
        Pending = "pending",
        /// Sent, outcome unproven.
        Submitted = "submitted",
        /// The venue has it.
        Acknowledged = "acknowledged",
        /// Some of it is filled.
        Partial = "partial",
        /// All of it is filled.
        Filled = "filled",
        /// Ended by us or by the venue.
        Canceled = "canceled",
        /// Never accepted.
        Rejected = "rejected",
        /// Ended by time or by lack of liquidity.
        Expired = "expired",
    }

    /// Where a position is in its life.
    PositionState "position state" {
        /// Waits for its entry condition; holds nothing.
        Armed = "armed",
        /// The entry is durable; nothing is known to be held.
        Entering = "entering",
        /// Holds a quantity and has a stop.
        Active = "active",
        /// An exit was triggered; something may be held.
        Exiting = "exiting",
        /// Ended after having held something.
        Closed = "closed",
        /// Ended without ever holding anything.
        Cancelled = "cancelled",
        /// An invariant broke; the operator decides.
        Error = "error",
    }

    /// What the entry waits for.
    EntryMode "entry mode" {
        /// The first fresh price.
        Immediate = "immediate",
        /// A crossing of two moving averages.
        ConfirmedTrend = "confirmed_trend",
        /// A reversal candle.
        ConfirmedReversal = "confirmed_reversal",
        /// A bounce from a swing level.
        ConfirmedKeyLevel = "confirmed_key_level",
    }

    /// Who admits an entry.
    ApprovalMode "approval mode" {
        /// The risk gate alone.
        Automatic = "automatic",
        /// The operator too.
        HumanConfirmation = "human_confirmation",
    }

    /// How the stop follows the price.
    TrailingPolicy "trailing policy" {
        /// At the technical distance behind the best price.
        Continuous = "continuous",
        /// By whole technical distances.
        Span = "span",
    }

    /// Why a position was closed.
    ExitReason "exit reason" {
        /// The stop was touched, moved or not.
        TrailingStop = "trailing_stop",
        /// The resting stop filled.
        InsuranceStop = "insurance_stop",
        /// The operator closed everything.
        UserPanic = "user_panic",
        /// The operator closed this one.
        DisarmedByUser = "disarmed_by_user",
        /// The month's budget is spent.
        MonthlyHalt = "monthly_halt",
        /// The daemon cannot trust what it sees.
        DegradedMode = "degraded_mode",
        /// The position broke an invariant.
        PositionError = "position_error",
        /// The venue no longer holds it.
        ReconciledMissingOnExchange = "reconciled_missing_on_exchange",
        /// The venue closed it.
        Liquidation = "liquidation",
    }

    /// What an intent wants of the venue.
    IntentType "intent type" {
        /// To open a position.
        PlaceEntry = "place_entry",
        /// To close a position.
        PlaceExit = "place_exit",
        /// To rest a stop at the venue.
        PlaceStop = "place_stop",
        /// To cancel an order.
        Cancel = "cancel",
    }

    /// How an intent ended.
    IntentOutcome "intent outcome" {
        /// The venue did it.
        Success = "success",
        /// The venue proved that it did not.
        Failed = "failed",
        /// It was never sent.
        Skipped = "skipped",
        /// Nobody knows yet; ask by client id.
        Unknown = "unknown",
    }

    /// Why an order ended without being filled.
    CancelReason "cancel reason" {
        /// We asked for it.
        Requested = "requested",
        /// Its time or its liquidity ran out.
        Expired = "expired",
        /// The venue decided so.
        Exchange = "exchange",
    }

    /// What a denial leads to.
    DenialSeverity "denial severity" {
        /// The entry is refused.
        Deny = "deny",
        /// Trading stops for the month.
        Halt = "halt",
    }

    /// A check of the risk gate, in the order in which they run.
    RiskCheck "risk check" {
        /// The month was halted.
        TradingHalted = "trading_halted",
        /// Entries were stopped.
        EntriesStopped = "entries_stopped",
        /// A discrepancy with the venue is open.
        AccountUnreconciled = "account_unreconciled",
        /// The last price is too old.
        MarketDataStale = "market_data_stale",
        /// A live position stands in the way.
        DuplicatePosition = "duplicate_position",
        /// The account cannot pay for it.
        InsufficientMargin = "insufficient_margin",
        /// The month's budget is spent.
        MonthlyDrawdown = "monthly_drawdown",
        /// What remains of the month's budget is too little.
        RiskBudgetInsufficient = "risk_budget_insufficient",
        /// The strategy's exposure limit.
        MaxExposure = "max_exposure",
        /// The strategy's daily loss limit.
        DailyLoss = "daily_loss",
        /// The gate did not answer in time.
        RiskEngineTimeout = "risk_engine_timeout",
    }

    /// What was exceeded.
    LimitKind "risk limit" {
        /// The month's budget.
        MonthlyDrawdown = "monthly_drawdown",
        /// The day's loss.
        DailyLoss = "daily_loss",
        /// The open notional.
        Exposure = "exposure",
        /// None: the operator or the calendar decided.
        Operator = "operator",
    }

    /// What follows from an exceeded limit.
    LimitAction "limit action" {
        /// Everything is closed, nothing is opened until the next month.
        Halt = "halt",
        /// Nothing is opened until entries resume.
        StopEntries = "stop_entries",
        /// The operator is told.
        Warn = "warn",
        /// Entries resume; a new period also ends a halt.
        Cleared = "cleared",
    }

    /// Why a detector ended.
    DetectorStopCause "cause of a detector's end" {
        /// It gave its one signal.
        Fired = "fired",
        /// Its position is no longer armed.
        Disarmed = "disarmed",
        /// The daemon ends.
        Shutdown = "shutdown",
        /// It broke.
        Error = "error",
    }

    /// Where a technical stop comes from.
    StopMethod "stop method" {
        /// A swing level.
        Swing = "swing",
        /// The average true range.
        Atr = "atr",
    }

    /// How much a technical stop is trusted.
    Confidence "confidence" {
        /// The configured level.
        High = "high",
        /// A deeper level.
        Medium = "medium",
        /// The average true range.
        Low = "low",
    }

    /// Why a level was passed over.
    SkipReason "reason to skip a level" {
        /// Nearer than the smallest distance.
        BelowMin = "below_min",
        /// Beyond the largest distance.
        AboveMax = "above_max",
    }

    /// What a decision wants.
    DecisionAction "decision" {
        /// To enter.
        Enter = "enter",
    }

    /// What bridges a gap in the market data.
    GapFallback "market data fallback" {
        /// The venue is polled.
        Rest = "rest",
        /// Nothing.
        None = "none",
    }

    /// How the venue and the books differ.
    DiscrepancyKind "kind of discrepancy" {
        /// The venue holds what the books do not know.
        Untracked = "untracked",
        /// The venue does not hold what the books say.
        Missing = "missing",
        /// Both hold it, not equally much.
        QtyMismatch = "qty_mismatch",
    }

    /// How a venue takes margin for a symbol.
    MarginMode "margin mode" {
        /// From what was set aside for the one position.
        Isolated = "isolated",
        /// From the whole account.
        Cross = "cross",
    }

    /// Why money moved without a trade.
    FundsMove "move of funds" {
        /// Somebody paid in.
        TransferIn = "transfer_in",
        /// Somebody took out.
        TransferOut = "transfer_out",
        /// The venue lent.
        Borrow = "borrow",
        /// A loan was paid back.
        Repay = "repay",
        /// A loan cost.
        Interest = "interest",
        /// Longs paid shorts, or the reverse.
        FundingFee = "funding_fee",
    }

    /// How urgent an alert is.
    AlertSeverity "alert severity" {
        /// To be remembered.
        Info = "info",
        /// To be looked at.
        Warning = "warning",
        /// To be acted on now.
        Critical = "critical",
    }
}

impl OrderStatus {
    /// Whether nothing but a late fill can follow.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected | Self::Expired)
    }

    /// The status after news that say `next`: never an earlier one, and an end is an end.
    #[must_use]
    pub fn advanced_to(self, next: Self) -> Self {
        if self.is_final() { self } else { self.max(next) }
    }
}

impl PositionState {
    /// Whether the position still occupies its symbol and side.
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Closed | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_as_themselves() {
        for check in RiskCheck::ALL {
            assert_eq!(check.as_str().parse::<RiskCheck>().unwrap(), *check);
        }
        let refused = "later".parse::<LimitAction>().unwrap_err().to_string();
        assert_eq!(refused, "`later` is not a limit action: one of halt, stop_entries, warn, cleared");
    }

    #[test]
    fn an_order_never_goes_back() {
        use OrderStatus::*;
        assert_eq!(Partial.advanced_to(Acknowledged), Partial);
        assert_eq!(Submitted.advanced_to(Partial), Partial);
        assert_eq!(Canceled.advanced_to(Filled), Canceled);
    }
}
