//! What the operator asks of the trader, and how it answers. The HTTP interface, plans and the command
//! line all speak this.

use std::fmt;
use std::str::FromStr;

use robson_domain::{
    ApprovalMode, CommandId, DecisionId, EntryMode, Fraction, Json, Money, Month, PositionId, PositionState,
    Price, RiskConfig, Side, StrategyId, Symbol, TrailingPolicy,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// One thing that the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Watch a symbol for an entry.
    Arm(Arm),
    /// Stop watching; only while nothing is held.
    Disarm {
        /// Which position.
        position_id: PositionId,
    },
    /// Close at market.
    Close {
        /// Which position.
        position_id: PositionId,
    },
    /// Declare that an error was looked at: what is held is watched again, what holds nothing ends.
    Clear {
        /// Which position.
        position_id: PositionId,
    },
    /// Enter now, with this stop.
    Signal(ManualSignal),
    /// Disarm everything and close everything at market.
    Panic,
    /// As a panic, and no entries until the next UTC month.
    Halt {
        /// Why.
        reason: Words,
    },
    /// Stop entries, or let them go on; exits always go on.
    Entries {
        /// Whether there may be entries.
        enabled: bool,
        /// Why.
        reason: Words,
    },
    /// Make a strategy; it may not enter yet.
    CreateStrategy(NewStrategy),
    /// Let a strategy enter.
    EnableStrategy {
        /// Which strategy.
        strategy_id: StrategyId,
    },
    /// Keep a strategy from entering; what it holds goes on.
    DisableStrategy {
        /// Which strategy.
        strategy_id: StrategyId,
        /// Why.
        reason: Option<Words>,
    },
    /// Change a strategy's settings.
    UpdateStrategy(StrategyUpdate),
    /// Admit an entry that waits for the operator.
    Approve {
        /// Which decision.
        decision_id: DecisionId,
    },
    /// Refuse an entry that waits for the operator.
    Deny {
        /// Which decision.
        decision_id: DecisionId,
    },
}

/// What the operator writes: 1 to 200 characters on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Words(String);

impl Words {
    const CHARS_MAX: usize = 200;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a text of 1 to 200 characters on one line is needed")]
pub struct InvalidWords;

impl FromStr for Words {
    type Err = InvalidWords;
    fn from_str(text: &str) -> Result<Self, InvalidWords> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= Self::CHARS_MAX;
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWords)
        }
    }
}

impl TryFrom<String> for Words {
    type Error = InvalidWords;
    fn try_from(text: String) -> Result<Self, InvalidWords> {
        text.parse()
    }
}

impl From<Words> for String {
    fn from(words: Words) -> Self {
        words.0
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to watch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// What to trade.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// What the entry waits for.
    pub entry: EntryMode,
    /// How the stop follows.
    pub trailing: TrailingPolicy,
    /// A capital to risk from, at most the account's base; none: the base.
    pub capital: Option<Money>,
    /// The part of it to risk, at most 1 %; none: what the configuration says.
    pub risk: Option<Fraction>,
    // What these two say unless told otherwise is left out, so that an older program's record of the same
    // request has the same hash.
    /// Who admits the entry.
    #[serde(default = "automatic", skip_serializing_if = "is_automatic")]
    pub approval: ApprovalMode,
    /// The strategy that it counts for; none: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy_id: Option<StrategyId>,
}

const fn automatic() -> ApprovalMode {
    ApprovalMode::Automatic
}

fn is_automatic(approval: &ApprovalMode) -> bool {
    *approval == ApprovalMode::Automatic
}

/// A strategy to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewStrategy {
    /// Its name, which no other strategy of the account has.
    pub name: Words,
    /// Its kind.
    pub kind: Words,
    /// What its detectors are set to.
    pub detector_config: Option<Json>,
    /// Its own limits.
    pub risk_config: RiskConfig,
}

/// A strategy's new settings; what is not given stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyUpdate {
    /// Which strategy.
    pub strategy_id: StrategyId,
    /// What its detectors are set to.
    pub detector_config: Option<Json>,
    /// Its own limits; one that is not in it ends.
    pub risk_config: Option<RiskConfig>,
}

/// An entry that the operator decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualSignal {
    /// The armed position.
    pub position_id: PositionId,
    /// The price of the decision.
    pub entry_price: Price,
    /// The stop, on the loss side.
    pub stop_loss: Price,
}

impl Command {
    /// The command's name, as the table of commands keeps it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Arm(_) => "arm",
            Self::Disarm { .. } => "disarm",
            Self::Close { .. } => "close",
            Self::Clear { .. } => "clear",
            Self::Signal(_) => "signal",
            Self::Panic => "panic",
            Self::Halt { .. } => "halt",
            Self::Entries { enabled: true, .. } => "resume_entries",
            Self::Entries { enabled: false, .. } => "stop_entries",
            Self::CreateStrategy(_) => "create_strategy",
            Self::EnableStrategy { .. } => "enable_strategy",
            Self::DisableStrategy { .. } => "disable_strategy",
            Self::UpdateStrategy(_) => "update_strategy",
            Self::Approve { .. } => "approve",
            Self::Deny { .. } => "deny",
        }
    }

    /// Whether only a daemon can carry it out: it sends orders, or it is about what a daemon is waiting for.
    pub const fn needs_daemon(&self) -> bool {
        matches!(
            self,
            Self::Close { .. }
                | Self::Signal(_)
                | Self::Panic
                | Self::Halt { .. }
                | Self::Approve { .. }
                | Self::Deny { .. }
        )
    }
}

/// What a command did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The positions that it touched.
    pub positions: Vec<TouchedPosition>,
    /// How the account stands after a halt or a stop of entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountStanding>,
    /// The strategy that it touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<TouchedStrategy>,
}

impl Done {
    /// Positions were touched, and nothing else.
    pub fn with(positions: Vec<TouchedPosition>) -> Self {
        Self { positions, ..Self::default() }
    }
}

/// Whether an account may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountStanding {
    /// The UTC month.
    pub period: Month,
    /// Whether it is halted for the rest of the month.
    pub halted: bool,
    /// Whether entries are stopped.
    pub entries_stopped: bool,
}

/// A strategy after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchedStrategy {
    /// Which one.
    pub strategy_id: StrategyId,
    /// Its name.
    pub strategy_name: String,
    /// Whether it may enter.
    pub is_enabled: bool,
    /// Counts the changes of its settings, from 1.
    pub config_version: i64,
}

/// A position after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchedPosition {
    /// Which one.
    pub position_id: PositionId,
    /// What it trades.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// Where it stands now.
    pub state: PositionState,
}

/// Why a command did nothing. Each kind has one HTTP status and one exit code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", content = "error", rename_all = "snake_case")]
pub enum Refused {
    /// The input makes no sense: correct it.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or the venue does not trade the symbol.
    #[error("{0}")]
    NotFound(String),
    /// The state of what it is about does not permit it.
    #[error("{0}")]
    WrongState(String),
    /// The entry waited too long for the operator.
    #[error("{0}")]
    Expired(String),
    /// The risk gate refuses it.
    #[error("{0}")]
    RiskDenied(String),
    /// The same command id was used for another request.
    #[error("{0}")]
    Mismatch(String),
    /// Trading is halted, or the daemon is not ready: try later.
    #[error("{0}")]
    NotReady(String),
    /// It is not known whether it happened: ask before trying again.
    #[error("{0}")]
    Unknown(String),
}

impl Refused {
    /// The HTTP status that says so.
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Invalid(_) => 400,
            Self::NotFound(_) => 404,
            Self::WrongState(_) | Self::RiskDenied(_) | Self::Mismatch(_) => 409,
            Self::Expired(_) => 410,
            Self::NotReady(_) => 503,
            Self::Unknown(_) => 502,
        }
    }

    /// The exit code that says so.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid(_) => 2,
            Self::NotFound(_) => 5,
            Self::WrongState(_) | Self::Expired(_) | Self::Mismatch(_) => 6,
            Self::RiskDenied(_) => 7,
            Self::NotReady(_) => 3,
            Self::Unknown(_) => 9,
        }
    }
}

/// A command on its way to the trader.
#[derive(Debug)]
pub struct Request {
    /// Its id; a retry carries the same.
    pub command_id: CommandId,
    /// Who asks.
    pub actor: String,
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Done, Refused>>,
}

/// What the daemon is doing, for readiness and status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Opening the database, migrating, recovering.
    Starting,
    /// Another daemon writes; this one waits for its lease to end.
    Standby {
        /// Who writes.
        writer: String,
    },
    /// Trading.
    Active {
        /// The feed's clock at the last tick.
        feed_at: Option<robson_domain::Timestamp>,
        /// Ticks taken in since the start.
        ticks: u64,
    },
    /// The feed has ended; commands are still taken.
    FeedEnded,
    /// Going down.
    Stopping,
}
