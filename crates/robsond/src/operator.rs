//! What the operator asks of the trader, and how it answers. The HTTP interface, plans and the command
//! line all speak this.

use robson_domain::{
    CommandId, EntryMode, Fraction, Money, PositionId, PositionState, Price, Side, Symbol, TrailingPolicy,
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
    /// Enter now, with this stop.
    Signal(ManualSignal),
    /// Disarm everything and close everything at market.
    Panic,
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
            Self::Signal(_) => "signal",
            Self::Panic => "panic",
        }
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The positions that it touched.
    pub positions: Vec<TouchedPosition>,
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
    /// There is no such position, or the venue does not trade the symbol.
    #[error("{0}")]
    NotFound(String),
    /// The position is not in a state that permits it.
    #[error("{0}")]
    WrongState(String),
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
            Self::NotReady(_) => 503,
            Self::Unknown(_) => 502,
        }
    }

    /// The exit code that says so.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid(_) => 2,
            Self::NotFound(_) => 5,
            Self::WrongState(_) | Self::Mismatch(_) => 6,
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
