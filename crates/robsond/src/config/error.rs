//! Why a configuration is refused.

use super::Origin;

/// One value that cannot be used, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct ConfigError {
    /// Where it stands.
    pub origin: Origin,
    /// One clause that says what is wrong.
    pub reason: String,
    /// Whether the command line is wrong, rather than the place in which the daemon runs.
    pub is_usage: bool,
}

impl ConfigError {
    pub(super) fn new(origin: Origin, reason: impl Into<String>) -> Self {
        let is_usage = matches!(origin, Origin::Flag(_));
        Self { origin, reason: reason.into(), is_usage }
    }

    /// The exit code that says so: 2 for usage, 78 where the operator must look after the configuration.
    pub const fn exit_code(&self) -> u8 {
        if self.is_usage { 2 } else { 78 }
    }
}
