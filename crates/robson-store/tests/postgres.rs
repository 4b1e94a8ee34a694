//! The storage contract on PostgreSQL.

#[path = "backends/common.rs"]
mod common;
#[path = "backends/postgres.rs"]
mod postgres;

use std::process::ExitCode;

fn main() -> ExitCode {
    robson_conformance::run(postgres::Postgres)
}
