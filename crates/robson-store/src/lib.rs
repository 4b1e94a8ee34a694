//! The backends of the storage contract: memory, SQLite and PostgreSQL.
//!
//! Backends hold SQL and nothing else: every rule lives above them, in `robson-eventlog`. The backends
//! mirror each other's file names, so a diff shows what differs.

pub mod any;
pub mod event_store;
#[cfg(feature = "memory")]
pub mod memory;
pub mod open;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "memory", feature = "sql"))]
mod question;
#[cfg(feature = "sql")]
mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;

pub use any::{AnyStore, BackendReport};
pub use event_store::{EventStoreOptions, OpenEventStoreError, open_event_store};
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use open::{Access, BackupError, DatabaseUrl, OpenError, OpenOptions};
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sql")]
pub use sql::migrate::MigrationReport;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
