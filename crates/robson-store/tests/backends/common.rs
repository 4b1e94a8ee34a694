//! What the harnesses of the SQL backends share.

use std::time::Duration;

use robson_conformance::{Access, Injected};
use robson_store::OpenOptions;

/// Short waits, so that the cases which wait for them are quick.
pub(crate) fn options(access: Access) -> OpenOptions {
    OpenOptions {
        access: match access {
            Access::Write => robson_store::Access::Write,
            Access::Read => robson_store::Access::Read,
        },
        lock_timeout: Duration::from_millis(400),
        pool_timeout: Duration::from_millis(400),
        doorbell: true,
        ..OpenOptions::default()
    }
}

/// What became of a statement that tampers.
pub(crate) fn tampered(result: Result<u64, sqlx::Error>) -> anyhow::Result<Injected> {
    match result {
        Ok(_) => Ok(Injected::Done),
        Err(sqlx::Error::Database(refusal)) => Ok(Injected::Refused(refusal.message().to_owned())),
        Err(error) => Err(error.into()),
    }
}
