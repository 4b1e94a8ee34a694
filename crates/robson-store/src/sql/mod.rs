//! What both SQL backends share: the log's tables, the events as rows, the statements, the order of a
//! batch's writes, the reads, the writer's session and the migrations. A backend adds how a value is bound
//! and read, what its errors mean, and the statements that truly differ.

pub(crate) mod commit;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod lease;
pub(crate) mod migrate;
pub(crate) mod read;
pub(crate) mod rebuild;
pub(crate) mod record;
pub(crate) mod session;
pub(crate) mod statement;
pub(crate) mod tables;
