//! The backends of the storage contract: memory, SQLite and PostgreSQL.
//!
//! Backends hold SQL and nothing else: every rule lives above them, in `robson-eventlog`. The backends
//! mirror each other's file names, so a diff shows what differs.

#[cfg(feature = "memory")]
pub mod memory;
pub mod open;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use open::{Access, DatabaseUrl, OpenError, OpenOptions};
#[cfg(feature = "sql")]
pub use sql::migrate::MigrationReport;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
