//! Names in the log: tenants, streams, event types, dedupe keys, writers. Checked where they are made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing was given.
    #[error("a {kind} cannot be empty")]
    Empty {
        /// What it should have been.
        kind: &'static str,
    },
    /// More bytes than every backend keeps.
    #[error("a {kind} has at most {limit} bytes, this one has {actual}")]
    TooLong {
        /// What it should have been.
        kind: &'static str,
        /// Most bytes.
        limit: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A control character, NUL above all, which PostgreSQL cannot store.
    #[error("a {kind} holds no control characters")]
    Control {
        /// What it should have been.
        kind: &'static str,
    },
    /// A stream whose name begins with `$` belongs to the log itself.
    #[error("stream keys that begin with `$` are reserved")]
    Reserved,
}

fn check(text: &str, kind: &'static str, limit: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        Err(InvalidName::Empty { kind })
    } else if text.len() > limit {
        Err(InvalidName::TooLong { kind, limit, actual: text.len() })
    } else if text.chars().any(char::is_control) {
        Err(InvalidName::Control { kind })
    } else {
        Ok(())
    }
}

/// Whose log it is. Every key begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for TenantId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $limit:literal, |$text:ident| $also:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Most bytes in the name.
            pub const MAX_BYTES: usize = $limit;

            /// Checks a text.
            ///
            /// # Errors
            /// Why the text is not such a name.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let $text = text.into();
                check(&$text, $kind, $limit)?;
                $also?;
                // A request names a stream in many places: clones share the text.
                Ok(Self($text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name!(
    /// The name of a stream, `category:id`; case matters, order is bytewise.
    StreamKey, "stream key", 255,
    |text| if text.starts_with('$') { Err(InvalidName::Reserved) } else { Ok(()) }
);
text_name!(
    /// What happened, in capitals: `ORDER_SUBMITTED`.
    EventType, "event type", 100, |text| Ok(())
);
text_name!(
    /// What must be unique within a tenant; begins with time, so that inserts stay at the index's right edge.
    DedupeKey, "dedupe key", 255, |text| Ok(())
);
text_name!(
    /// Who holds or asks for a tenant's lease: one run of one process.
    WriterId, "writer id", 100, |text| Ok(())
);

impl StreamKey {
    /// The part before the first colon, or all of it.
    pub fn category(&self) -> &str {
        self.0.split_once(':').map_or(self.as_str(), |(category, _)| category)
    }
}
