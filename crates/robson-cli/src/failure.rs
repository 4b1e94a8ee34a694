//! How a command ends when it does not end well: one sentence, one exit code. The only place where errors
//! of others become exit codes.

use std::io;

use robson_eventlog::{AcquireError, ReplayError, StoreError};
use robson_store::{BackupError, OpenError};
use robsond::operator::Refused;
use robsond::questions::QuestionError;
use robsond::schema::SchemaError;

/// What the operator's scripts can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It did what was asked.
    Done = 0,
    /// An error, or a difference was found.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// No daemon answers.
    DaemonUnreachable = 3,
    /// The daemon does not accept the token.
    Auth = 4,
    /// There is no such thing.
    NotFound = 5,
    /// The position is in another state.
    WrongState = 6,
    /// The risk gate refuses it.
    RiskRefused = 7,
    /// The venue refuses it.
    Venue = 8,
    /// It is not known whether it happened.
    OutcomeUnknown = 9,
    /// Another process writes the database: stop it first.
    Locked = 78,
}

impl ExitCode {
    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::DaemonUnreachable,
            4 => Self::Auth,
            5 => Self::NotFound,
            6 => Self::WrongState,
            7 => Self::RiskRefused,
            8 => Self::Venue,
            9 => Self::OutcomeUnknown,
            _ => Self::Error,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What scripts see.
    pub code: ExitCode,
    /// What people see: a sentence that says what to do next. Empty: everything was said already.
    pub sentence: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(code: ExitCode, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    /// A failure whose report was printed.
    pub const fn reported(code: ExitCode) -> Self {
        Self { code, sentence: String::new() }
    }

    /// An error without a code of its own.
    pub fn error(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Error, sentence)
    }

    /// The command line makes no sense.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, sentence)
    }

    /// There is no such thing.
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::NotFound, sentence)
    }

    /// What the daemon answered with another status than success.
    pub fn from_http(status: u16, body: &str) -> Self {
        if let Ok(refused) = serde_json::from_str::<Refused>(body) {
            return refused.into();
        }
        let body = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
        let word = |name: &str| body.get(name).and_then(|word| word.as_str());
        let said = |otherwise: &str| word("error").unwrap_or(otherwise).to_owned();
        match status {
            // The daemon gave up on answering, not on the command.
            _ if word("code") == Some("timed_out") => Self::new(
                ExitCode::OutcomeUnknown,
                "the daemon took too long: whether it happened is not known",
            ),
            400 | 422 => Self::usage(said("the daemon does not understand the request")),
            401 | 403 => Self::new(
                ExitCode::Auth,
                "the daemon does not accept the token: set ROBSON_API_TOKEN to the one in its robson.toml",
            ),
            404 => Self::not_found(said("the daemon knows no such thing")),
            409 | 410 => {
                Self::new(ExitCode::WrongState, said("the state of the position does not permit it"))
            }
            502 => Self::new(ExitCode::OutcomeUnknown, said("whether it happened is not known")),
            503 => Self::new(ExitCode::DaemonUnreachable, said("the daemon is not ready: try again later")),
            _ => Self::error(said(&format!("the daemon answered with status {status}"))),
        }
    }

    /// Why the daemon at a URL gave no answer.
    pub fn from_transport(url: &str, error: &ureq::Error) -> Self {
        let unreachable = |why: &str| {
            let sentence = format!(
                "no daemon answers at {url} ({why}): start `robsond`, or set ROBSON_DAEMON_URL to where it listens"
            );
            Self::new(ExitCode::DaemonUnreachable, sentence)
        };
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Self::usage(format!("`{url}` is not the URL of a daemon: write http://HOST:PORT"))
            }
            ureq::Error::HostNotFound => unreachable("no such host"),
            ureq::Error::ConnectionFailed => unreachable("the connection failed"),
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                unreachable("it did not answer in time")
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                unreachable("connection refused")
            }
            // The request may have arrived.
            other => Self::new(
                ExitCode::OutcomeUnknown,
                format!(
                    "the daemon at {url} took the request and did not answer ({other}): whether it happened is not known"
                ),
            ),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match error {
            OpenError::BadUrl(_) | OpenError::BackendMissing(_) => ExitCode::Usage,
            OpenError::Locked { .. } => ExitCode::Locked,
            _ => ExitCode::Error,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let code = match error {
            BackupError::NotAFile | BackupError::Exists(_) => ExitCode::Usage,
            _ => ExitCode::Error,
        };
        Self::new(code, chain(&error))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Open(error) => error.into(),
            SchemaError::Read(error) => error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownTenant(_) => Self::not_found(error.to_string()),
            _ => Self::error(chain(&error)),
        }
    }
}

impl From<QuestionError> for Failure {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Store(error) => error.into(),
            QuestionError::Unreadable(what) => crate::positions::unreadable(what),
        }
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Held { .. } => Self::new(ExitCode::Locked, error.to_string()),
            AcquireError::Store(error) => error.into(),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Store(error) => error.into(),
            _ => Self::error(chain(&error)),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(ExitCode::of(refused.exit_code()), refused.to_string())
    }
}

/// Writing to a reader that has gone away, such as `head`, is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::reported(ExitCode::Done),
            _ => Self::error(format!("cannot write the output: {error}")),
        }
    }
}

/// An error and what lies beneath it, in one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut source = error.source();
    while let Some(below) = source {
        sentence = format!("{sentence}: {below}");
        source = below.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_exit_code_of_its_kind() {
        let code = |body: &str, status| Failure::from_http(status, body).code;
        assert_eq!(code(r#"{"error":"x","code":"risk_denied"}"#, 409), ExitCode::RiskRefused);
        assert_eq!(code(r#"{"error":"x","code":"wrong_state"}"#, 409), ExitCode::WrongState);
        assert_eq!(code(r#"{"error":"x","code":"invalid"}"#, 400), ExitCode::Usage);
        assert_eq!(code(r#"{"error":"x","code":"not_found"}"#, 404), ExitCode::NotFound);
        assert_eq!(code(r#"{"error":"x","code":"unknown"}"#, 502), ExitCode::OutcomeUnknown);
        assert_eq!(code(r#"{"error":"x","code":"timed_out"}"#, 503), ExitCode::OutcomeUnknown);
        assert_eq!(code("", 401), ExitCode::Auth);
        assert_eq!(code("", 503), ExitCode::DaemonUnreachable);
        assert_eq!(code("", 500), ExitCode::Error);
    }

    #[test]
    fn the_daemons_own_words_are_passed_on() {
        let failure = Failure::from_http(404, r#"{"error":"there is no symbol DOGE","code":"not_found"}"#);
        assert_eq!(failure.sentence, "there is no symbol DOGE");
        assert_eq!(Failure::from_http(404, r#"{"error":"no such path"}"#).sentence, "no such path");
    }
}
