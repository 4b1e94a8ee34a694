//! Why there is no private server, and what to do about it.

use std::error::Error;
use std::{fmt, io};

/// Why a private server could not be started.
pub enum ServerError {
    /// There are no server binaries of a supported version, and installing them failed or is not possible.
    Missing {
        /// What was tried and how it ended.
        tried: String,
    },
    /// A server program ended with an error or did not become ready.
    Failed {
        /// The program.
        step: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it logged.
        log: String,
    },
    /// The operating system refused something.
    Io {
        /// What was attempted.
        step: &'static str,
        /// The refusal.
        source: io::Error,
    },
}

impl ServerError {
    pub(super) fn io(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }

    pub(super) fn is_taken_port(&self) -> bool {
        matches!(self, Self::Failed { log, .. } if log.contains("Address already in use"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { tried } => write!(
                f,
                "no PostgreSQL 15 or newer on this machine ({tried}); install the server package \
                 (Debian: postgresql, Fedora: postgresql-server, Alpine: postgresql, \
                 Homebrew: postgresql@17) or set ROBSON_TEST_DATABASE_URL to a server that tests may use"
            ),
            Self::Failed { step, status, log } => {
                write!(f, "{step} of the private PostgreSQL server: {status}; the end of its log:\n{log}")
            }
            Self::Io { step, .. } => write!(f, "{step} for the private PostgreSQL server"),
        }
    }
}

/// A test that returns this error shows it with `Debug`, and then too it should say what to do.
impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source() {
            Some(source) => write!(f, "{self}: {source}"),
            None => write!(f, "{self}"),
        }
    }
}

impl Error for ServerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Missing { .. } | Self::Failed { .. } => None,
        }
    }
}
