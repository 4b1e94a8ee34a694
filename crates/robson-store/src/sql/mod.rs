//! What both SQL backends share: the log's tables, the events as rows, the generated statements and the
//! migrations. A backend adds how a value is bound and read, and the statements that truly differ.

pub(crate) mod events;
pub(crate) mod migrate;
pub(crate) mod statement;
pub(crate) mod tables;
