//! The partitions by month, which a batch finds ready: they are made outside its transaction.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::Datelike as _;
use robson_eventlog::{Batch, Timestamp, Value};
use sqlx::postgres::{PgConnection, Postgres};

use crate::sql::database::SqlDatabase as _;
use crate::sql::statement::Statement;

/// The statements that make the partitions of each table that has some.
pub(super) const MAKE: [&str; 2] = [MAKE_LOG, MAKE_SNAPSHOTS];
const MAKE_LOG: &str = include_str!("sql/create_event_log_partitions.sql");
const MAKE_SNAPSHOTS: &str = include_str!("sql/create_snapshot_partitions.sql");

/// A year and a month, in UTC, and the statement that makes its partition.
type Month = (&'static str, i32, u32);

/// The months whose partitions are known to exist.
#[derive(Debug, Default)]
pub(super) struct Months(Mutex<BTreeSet<Month>>);

impl Months {
    /// Makes the partitions that a batch needs.
    pub(super) async fn make_missing(
        &self,
        connection: &mut PgConnection,
        batch: &Batch,
    ) -> Result<(), sqlx::Error> {
        let log = batch.events.iter().map(|event| (MAKE_LOG, event.ingested_at));
        let snapshots = batch.snapshots.iter().map(|snapshot| (MAKE_SNAPSHOTS, snapshot.created_at));
        for (sql, at) in log.chain(snapshots) {
            let day = at.to_datetime();
            let month = (sql, day.year(), day.month());
            if !self.known().contains(&month) {
                Postgres::fetch(connection, make(sql, 0, at)).await?;
                self.known().insert(month);
            }
        }
        Ok(())
    }

    /// Has every partition made again where it is missing.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<Month>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statement that makes the partitions of an instant's month and of so many more; it answers how many
/// were missing.
pub(super) fn make(sql: &'static str, months_ahead: i64, at: Timestamp) -> Statement<'static> {
    Statement::fixed(sql, [Value::Integer(months_ahead), Value::Timestamp(at)])
}
