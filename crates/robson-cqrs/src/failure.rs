//! How an append fails in the library's words, and what has no word there.

use cqrs_es::persist::PersistenceError;
use robson_eventlog::{AppendError, Appended, EventStoreError, Outcome, StoreError};
use uuid::Uuid;

/// Why the log did not take a command's events. Travels boxed in `PersistenceError::UnknownError`, and so in
/// `AggregateError::UnexpectedError`, from where it is downcast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The command was carried out before: treat as done.
    #[error("the command {0} was carried out before")]
    Duplicate(Uuid),
    /// Another command has this id: a bug, or two causes with one id.
    #[error("the command id {0} belongs to a command for another aggregate")]
    Mismatch(Uuid),
    /// A view refuses the events: nothing was appended.
    #[error("a view refuses the events: {0}")]
    View(String),
    /// The events cannot be appended as they are: a bug of the caller.
    #[error("the events cannot be appended: {0}")]
    Invalid(String),
}

impl From<Refusal> for PersistenceError {
    fn from(refusal: Refusal) -> Self {
        Self::UnknownError(Box::new(refusal))
    }
}

pub(crate) fn invalid(what: impl ToString) -> PersistenceError {
    Refusal::Invalid(what.to_string()).into()
}

pub(crate) fn of_store(error: StoreError) -> PersistenceError {
    match error {
        StoreError::Unavailable(_) | StoreError::Closed => PersistenceError::ConnectionError(Box::new(error)),
        StoreError::UnknownTenant(_) | StoreError::Broken(_) => {
            PersistenceError::UnknownError(Box::new(error))
        }
    }
}

/// An append without an outcome. The error beneath tells whether to look up, to stop or to halt.
pub(crate) fn of_append(error: AppendError) -> PersistenceError {
    match error {
        AppendError::Unavailable(_) | AppendError::Closed | AppendError::Fenced => {
            PersistenceError::ConnectionError(Box::new(error))
        }
        AppendError::Broken(_) => PersistenceError::UnknownError(Box::new(error)),
    }
}

/// Data of an event that cannot be kept or read.
pub(crate) fn of_data(error: EventStoreError) -> PersistenceError {
    PersistenceError::DeserializationError(Box::new(error))
}

/// What became of a command's events.
pub(crate) fn of_outcome(outcome: Outcome, command: Option<Uuid>) -> Result<Appended, PersistenceError> {
    match (outcome, command) {
        (Outcome::Appended(appended), _) => Ok(appended),
        (Outcome::Conflict { .. }, _) => Err(PersistenceError::OptimisticLockError),
        (Outcome::Duplicate { .. }, Some(command)) => Err(Refusal::Duplicate(command).into()),
        (Outcome::Mismatch { .. }, Some(command)) => Err(Refusal::Mismatch(command).into()),
        (Outcome::Refused { reason }, _) => Err(Refusal::View(reason).into()),
        (other, _) => Err(PersistenceError::UnknownError(format!("the ledger answered {other:?}").into())),
    }
}
