//! Names of streams: a kind, a colon and an id.

use std::fmt;
use std::str::FromStr;

use crate::{AccountId, OrderId, PositionId, StrategyId};

/// The stream that an event belongs to; events of one stream are numbered without gaps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamName {
    /// All that concerns one position.
    Position(PositionId),
    /// All that concerns one order.
    Order(OrderId),
    /// An account: its money, its risk.
    Account(AccountId),
    /// A strategy's settings.
    Strategy(StrategyId),
    /// A part of the program.
    System(String),
}

impl StreamName {
    /// The beginnings of our streams; an event on one of them must be of a known type.
    pub const PREFIXES: [&str; 5] = ["position:", "order:", "account:", "strategy:", "system:"];

    /// Whether a stream key is one of ours.
    pub fn is_ours(stream_key: &str) -> bool {
        Self::PREFIXES.iter().any(|prefix| stream_key.starts_with(prefix))
    }

    pub(crate) fn system(component: &str) -> Self {
        Self::System(component.to_owned())
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(id) => write!(f, "position:{id}"),
            Self::Order(id) => write!(f, "order:{id}"),
            Self::Account(id) => write!(f, "account:{id}"),
            Self::Strategy(id) => write!(f, "strategy:{id}"),
            Self::System(component) => write!(f, "system:{component}"),
        }
    }
}

/// A text that names none of our streams.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a trading stream")]
pub struct InvalidStreamName(pub String);

impl FromStr for StreamName {
    type Err = InvalidStreamName;
    fn from_str(text: &str) -> Result<Self, InvalidStreamName> {
        let (kind, id) = text.split_once(':').unwrap_or_default();
        let name = match kind {
            "position" => id.parse().ok().map(Self::Position),
            "order" => id.parse().ok().map(Self::Order),
            "account" => id.parse().ok().map(Self::Account),
            "strategy" => id.parse().ok().map(Self::Strategy),
            "system" if !id.is_empty() => Some(Self::system(id)),
            _ => None,
        };
        name.ok_or_else(|| InvalidStreamName(text.to_owned()))
    }
}
