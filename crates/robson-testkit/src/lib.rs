//! What tests share: a private PostgreSQL server, made-up histories, how to wait for something.
//!
//! Test support only: no crate that ships in a binary depends on it. Each part sits behind a feature,
//! so that a caller builds no more than it uses.

#[cfg(feature = "history")]
pub mod history;
#[cfg(feature = "measure")]
pub mod measure;
#[cfg(feature = "postgres-server")]
pub mod postgres_server;
mod wait;

#[cfg(feature = "history")]
pub use history::{History, HistoryClock};
#[cfg(feature = "postgres-server")]
pub use postgres_server::{Durability, PrivateServer, ServerError, test_database_url};
pub use wait::wait_until;
