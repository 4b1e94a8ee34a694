//! Aggregates of `cqrs-es` 0.5 on the log, with their views in the commit of their events.
//!
//! [`LogEventStore`] is what `CqrsFramework` takes; [`LogRepository`] fits below the library's own
//! `PersistedEventStore` and its replay; [`ViewProjection`] turns a `View` into rows that the ledger writes
//! with the events, so that a view is never behind and never loses an update. Which tables there are is the
//! application's business, as is what a command decides.
//!
//! An aggregate is the stream `TYPE:id`, its `sequence` the stream's `seq`. Metadata is kept; a `command_id`
//! in it (a UUID) makes the command idempotent: sent again, it ends as [`Refusal::Duplicate`].
//!
//! Where this differs from the library's own stores:
//!
//! - A snapshot is made of events that are in the log, in the commit of the next ones. The library applies a
//!   command's events once more to an aggregate that has them already; what it makes is not kept.
//! - A conflict leaves nothing behind, be there a snapshot or not.
//! - A replay tells each event that it cannot read and never ends early without saying why.

mod event;
mod failure;
mod history;
mod repository;
mod store;
mod view;

pub use failure::Refusal;
pub use repository::LogRepository;
pub use store::{LogContext, LogEventStore};
pub use view::{ViewProjection, load_view, view_table};
