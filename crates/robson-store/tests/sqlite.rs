//! The storage contract on SQLite.

#[path = "backends/common.rs"]
mod common;
#[path = "backends/sqlite.rs"]
mod sqlite;

use std::process::ExitCode;

fn main() -> ExitCode {
    robson_conformance::run(sqlite::Sqlite)
}
