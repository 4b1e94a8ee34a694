//! Opening a Postgres database: the settings of each connection, the server's version, the schema, the
//! migrations.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::open::{Access, DatabaseUrl, OpenError, OpenOptions};
use crate::sql::migrate::{self, MigrationReport};

mod embedded {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// The oldest supported server, as `server_version_num` counts.
const SERVER_VERSION_MIN: i32 = 150_000;
/// A server that does not answer at all is given up after so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another process may take to migrate.
const MIGRATION_LOCK_TIMEOUT: &str = "60s";
/// Most bytes in the name of a schema.
const SCHEMA_BYTES_MAX: usize = 63;

/// What an open database consists of.
pub(super) struct Opened {
    pub(super) writer_options: PgConnectOptions,
    pub(super) writer: Option<PgConnection>,
    pub(super) readers: PgPool,
    /// Where to listen for other processes' commits, where that is wanted.
    pub(super) listener_options: Option<PgConnectOptions>,
    pub(super) migrations: MigrationReport,
    pub(super) server_version: String,
}

pub(super) async fn open(url: &str, options: &OpenOptions) -> Result<Opened, OpenError> {
    let shown = DatabaseUrl::Postgres(url.to_owned()).to_string();
    let failed = |error: sqlx::Error| open_error(&shown, &error);
    let base = base_options(url, &shown, options)?;
    let writer_options = writer_options(base.clone(), options);
    let reader_options = reader_options(base);
    let listener_options =
        options.doorbell.then(|| reader_options.clone().application_name("robson listener"));
    let first_options = match options.access {
        Access::Write => &writer_options,
        Access::Read => &reader_options,
    };
    let mut first = connect(first_options).await.map_err(failed)?;
    let server = read_server(&mut first).await.map_err(failed)?;
    server.check(options.access, &shown)?;
    let (writer, migrations) = match options.access {
        Access::Write => {
            let migrations = migrate_writer(&mut first, &shown, options).await?;
            (Some(first), migrations)
        }
        Access::Read => {
            let migrations = check_version(&mut first, &shown).await?;
            // The connection has done its work; how it ends changes nothing.
            let _ = first.close().await;
            (None, migrations)
        }
    };
    let readers = PgPoolOptions::new()
        .max_connections(options.readers_max)
        .acquire_timeout(options.pool_timeout)
        // Saves a round trip before each read; a read whose connection was lost is sent again instead.
        .test_before_acquire(false)
        .connect_lazy_with(reader_options);
    Ok(Opened {
        writer_options,
        writer,
        readers,
        listener_options,
        migrations,
        server_version: server.version,
    })
}

/// Connects, but does not wait for ever.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let late = |_| {
        let reason = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, reason))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await.map_err(late)?
}

/// sqlx itself sets the time zone to UTC, the encoding to UTF-8 and the style of dates to ISO.
fn base_options(url: &str, shown: &str, options: &OpenOptions) -> Result<PgConnectOptions, OpenError> {
    let parsed: Result<PgConnectOptions, sqlx::Error> = url.parse();
    let base = parsed.map_err(|error| OpenError::Unreachable {
        url: shown.to_owned(),
        reason: format!("its URL cannot be read ({})", reason(&error)),
    })?;
    let timeout = millis(options.statement_timeout);
    let base = base.disable_statement_logging().options([("statement_timeout", timeout)]);
    match &options.schema {
        None => Ok(base),
        Some(schema) if is_plain_name(schema) => Ok(base.options([("search_path", schema)])),
        Some(schema) => Err(OpenError::Unfit(format!(
            "the schema name `{schema}` is not made of small letters, digits and `_`"
        ))),
    }
}

fn is_plain_name(schema: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    schema.starts_with(plain)
        && schema.len() <= SCHEMA_BYTES_MAX
        && schema.chars().all(|c| plain(c) || c.is_ascii_digit())
}

fn writer_options(base: PgConnectOptions, options: &OpenOptions) -> PgConnectOptions {
    base.application_name("robson writer").options([
        ("lock_timeout", millis(options.lock_timeout).as_str()),
        ("idle_in_transaction_session_timeout", "5000"),
        ("synchronous_commit", "on"),
    ])
}

fn reader_options(base: PgConnectOptions) -> PgConnectOptions {
    base.application_name("robson reader")
        .options([("default_transaction_read_only", "on"), ("idle_in_transaction_session_timeout", "60000")])
}

/// 0 would mean: for ever.
fn millis(timeout: Duration) -> String {
    timeout.as_millis().max(1).to_string()
}

struct Server {
    version_num: i32,
    version: String,
    encoding: String,
    is_read_only: bool,
}

async fn read_server(connection: &mut PgConnection) -> Result<Server, sqlx::Error> {
    let query = sqlx::query_as(include_str!("sql/server.sql"));
    let (version_num, version, encoding, is_read_only) = query.fetch_one(connection).await?;
    Ok(Server { version_num, version, encoding, is_read_only })
}

impl Server {
    fn check(&self, access: Access, shown: &str) -> Result<(), OpenError> {
        if self.version_num < SERVER_VERSION_MIN {
            let (version, min) = (&self.version, SERVER_VERSION_MIN / 10_000);
            return Err(OpenError::Unfit(format!(
                "PostgreSQL {version} is too old; this program needs {min} or newer"
            )));
        }
        if self.encoding != "UTF8" {
            let encoding = &self.encoding;
            return Err(OpenError::Unfit(format!("its encoding is {encoding}, not UTF8")));
        }
        if access == Access::Write && self.is_read_only {
            return Err(OpenError::ReadOnly { url: shown.to_owned() });
        }
        Ok(())
    }
}

/// One outer transaction, so that an upgrade is all or nothing, under a lock that carries the schema's
/// name, so that two processes migrate one after the other.
async fn migrate_writer(
    writer: &mut PgConnection,
    shown: &str,
    options: &OpenOptions,
) -> Result<MigrationReport, OpenError> {
    let failed = |error: sqlx::Error| open_error(shown, &error);
    let runner = embedded::migrations::runner();
    let program = migrate::newest(runner.get_migrations());
    let mut tx = writer.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(failed)?;
    let waits = format!(
        "SET LOCAL lock_timeout = '{MIGRATION_LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0; \
         SET LOCAL idle_in_transaction_session_timeout = 0"
    );
    sqlx::raw_sql(AssertSqlSafe(waits)).execute(&mut *tx).await.map_err(failed)?;
    let schema = match &options.schema {
        Some(schema) => schema.clone(),
        None => current_schema(&mut tx)
            .await
            .map_err(failed)?
            .ok_or_else(|| OpenError::Unfit("its search path names no schema that exists".to_owned()))?,
    };
    sqlx::query(include_str!("sql/lock_schema.sql")).bind(&schema).execute(&mut *tx).await.map_err(failed)?;
    if options.schema.is_some() && current_schema(&mut tx).await.map_err(failed)?.is_none() {
        // The name was checked: nothing in it ends the quotes.
        let create = format!("CREATE SCHEMA \"{schema}\"");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *tx).await.map_err(failed)?;
    }
    if has_history(&mut tx).await.map_err(failed)? {
        let database = migrate::database_version(&mut *tx).await.map_err(failed)?;
        if database > program {
            return Err(OpenError::Newer { database, program });
        }
    }
    let report = migrate::migrate(&mut *tx, runner, options.migrate_to).await?;
    tx.commit().await.map_err(failed)?;
    Ok(report)
}

async fn check_version(reader: &mut PgConnection, shown: &str) -> Result<MigrationReport, OpenError> {
    let failed = |error: sqlx::Error| open_error(shown, &error);
    let program = migrate::newest(embedded::migrations::runner().get_migrations());
    let has_history = has_history(reader).await.map_err(failed)?;
    let database = if has_history { migrate::database_version(reader).await.map_err(failed)? } else { 0 };
    match database.cmp(&program) {
        std::cmp::Ordering::Greater => Err(OpenError::Newer { database, program }),
        std::cmp::Ordering::Less => Err(OpenError::Older { database, program }),
        std::cmp::Ordering::Equal => {
            Ok(MigrationReport { applied: Vec::new(), database_version: database, program_version: program })
        }
    }
}

async fn current_schema(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await
}

async fn has_history(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar(include_str!("sql/has_history.sql"));
    query.bind(migrate::HISTORY_TABLE).fetch_one(connection).await
}

fn open_error(shown: &str, error: &sqlx::Error) -> OpenError {
    let url = shown.to_owned();
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref() {
        // The password, the user, or what the server's rules say of them.
        Some("28P01" | "28000") => OpenError::Refused { url },
        Some("3D000") => OpenError::Missing { url, remedy: "`createdb`, then run `robson db init`" },
        // A standby, a transaction that only reads, a user without the right to create.
        Some("25006" | "42501") => OpenError::ReadOnly { url },
        _ => OpenError::Unreachable { url, reason: reason(error) },
    }
}

fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Configuration(error) => error.to_string(),
        error => {
            error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
        }
    }
}
