//! Migrations: refinery's verification and history over sqlx connections.
//!
//! refinery takes no lock of its own, so each backend calls it inside an outer transaction that holds one;
//! the upgrade is therefore all or nothing, and two processes that start at once do not meet.

use std::future::Future;

use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use refinery_core::{Migration, Runner, Target};
use sqlx::{AssertSqlSafe, Executor, Row as _};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::open::OpenError;

/// Where refinery keeps what was applied.
pub(crate) const HISTORY_TABLE: &str = "refinery_schema_history";

/// A connection inside the outer transaction.
pub(crate) struct Session<'a, C>(pub(crate) &'a mut C);

/// What an adapter needs of a connection; there are two.
pub(crate) trait MigrationConnection: Send {
    fn run(&mut self, sql: String) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    fn history(&mut self, sql: String) -> impl Future<Output = Result<Vec<Applied>, sqlx::Error>> + Send;
}

/// One applied migration.
pub(crate) struct Applied {
    version: i32,
    name: String,
    applied_on: String,
    checksum: String,
}

macro_rules! migration_connection {
    ($connection:ty) => {
        impl MigrationConnection for $connection {
            // raw_sql lets the database split the text: trigger bodies and dollar quotes work.
            async fn run(&mut self, sql: String) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self).await.map(|_| ())
            }

            async fn history(&mut self, sql: String) -> Result<Vec<Applied>, sqlx::Error> {
                let rows = self.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
                rows.iter()
                    .map(|row| {
                        Ok(Applied {
                            version: row.try_get(0)?,
                            name: row.try_get(1)?,
                            applied_on: row.try_get(2)?,
                            checksum: row.try_get(3)?,
                        })
                    })
                    .collect()
            }
        }
    };
}

#[cfg(feature = "sqlite")]
migration_connection!(sqlx::SqliteConnection);
#[cfg(feature = "postgres")]
migration_connection!(sqlx::PgConnection);

impl<C: MigrationConnection> AsyncTransaction for Session<'_, C> {
    type Error = sqlx::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, sqlx::Error> {
        let mut count = 0;
        for query in queries {
            self.0.run(query.to_owned()).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl<C: MigrationConnection> AsyncQuery<Vec<Migration>> for Session<'_, C> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, sqlx::Error> {
        self.0.history(query.to_owned()).await?.into_iter().map(applied).collect()
    }
}

impl<C: MigrationConnection> AsyncMigrate for Session<'_, C> {}

fn applied(row: Applied) -> Result<Migration, sqlx::Error> {
    let unreadable = |what: &str| sqlx::Error::Decode(format!("{HISTORY_TABLE}: unreadable {what}").into());
    let applied_on =
        OffsetDateTime::parse(&row.applied_on, &Rfc3339).map_err(|_| unreadable("applied_on"))?;
    let checksum = row.checksum.parse().map_err(|_| unreadable("checksum"))?;
    Ok(Migration::applied(row.version, row.name, applied_on, checksum))
}

/// What migrating changed, and where the schema stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations that were applied now, as `V1__name`.
    pub applied: Vec<String>,
    /// The newest version that the database has.
    pub database_version: i32,
    /// The newest version that this program knows.
    pub program_version: i32,
}

/// Applies what is missing, up to a version or all of it.
pub(crate) async fn migrate<C: MigrationConnection>(
    connection: &mut C,
    runner: Runner,
    up_to: Option<i32>,
) -> Result<MigrationReport, OpenError> {
    let known = newest(runner.get_migrations());
    let mut session = Session(connection);
    let report = runner
        .set_abort_divergent(true)
        .set_abort_missing(true)
        .set_target(up_to.map_or(Target::Latest, Target::Version))
        .run_async(&mut session)
        .await
        .map_err(migration_error)?;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();
    Ok(MigrationReport { applied, database_version: up_to.unwrap_or(known), program_version: known })
}

/// The newest version that was applied; 0 in a database that was never migrated. The history table exists.
pub(crate) async fn database_version<C: MigrationConnection>(connection: &mut C) -> Result<i32, sqlx::Error> {
    let sql = format!("SELECT version, name, applied_on, checksum FROM {HISTORY_TABLE} ORDER BY version");
    Ok(connection.history(sql).await?.last().map_or(0, |row| row.version))
}

pub(crate) fn newest(migrations: &[Migration]) -> i32 {
    migrations.iter().map(Migration::version).max().unwrap_or(0)
}

fn migration_error(error: refinery_core::Error) -> OpenError {
    use std::error::Error as _;
    let source = error.source().and_then(|source| source.downcast_ref::<sqlx::Error>());
    let detail = source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    OpenError::Migration(detail)
}
