//! Names of things that are traded, and the two sides of a trade.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::OrderSide;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: 1 to 64 visible characters without spaces, `:`, `/` or `=`")]
pub struct InvalidName {
    /// The offending text.
    pub text: String,
    /// What it should have been.
    pub kind: &'static str,
}

macro_rules! name_value {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let good = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | '='));
                if (1..=64).contains(&text.chars().count()) && text.chars().all(good) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { text: text.to_owned(), kind: $kind })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_value!(
    /// A traded pair as its venue spells it, such as `BTCUSD`; case matters.
    Symbol, "symbol"
);
name_value!(
    /// A currency or coin, such as `USD`.
    Asset, "asset"
);
name_value!(
    /// A venue, such as `paper`.
    Venue, "venue"
);

/// The side of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Gains when the price rises.
    Long,
    /// Gains when the price falls.
    Short,
}

impl Side {
    /// The side as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }

    /// The other side.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Long => Self::Short,
            Self::Short => Self::Long,
        }
    }

    /// The order side that opens a position of this side.
    pub const fn entry(self) -> OrderSide {
        match self {
            Self::Long => OrderSide::Buy,
            Self::Short => OrderSide::Sell,
        }
    }

    /// The order side that closes a position of this side.
    pub const fn exit(self) -> OrderSide {
        self.opposite().entry()
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Side {
    type Err = InvalidName;
    /// `long` or `buy`, `short` or `sell`, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.to_ascii_lowercase().as_str() {
            "long" | "buy" => Ok(Self::Long),
            "short" | "sell" => Ok(Self::Short),
            _ => Err(InvalidName { text: text.to_owned(), kind: "side (long or short)" }),
        }
    }
}
