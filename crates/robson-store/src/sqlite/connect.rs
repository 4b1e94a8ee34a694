//! Opening a SQLite file: the lock, the pragmas (read back), the version, the migrations.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::open::{Access, OpenError, OpenOptions};
use crate::sql::migrate::{self, MigrationReport};

mod embedded {
    refinery::embed_migrations!("../../migrations/sqlite");
}

/// The oldest SQLite that does not lose commits when a second checkpoint races a WAL reset.
const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);
/// A file of up to so many bytes is checked whole when it is opened for writing.
const QUICK_CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How often, and after how long each time, a file that is locked is tried again.
const LOCK_PAUSES_MAX: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What an open file consists of.
pub(super) struct Opened {
    pub(super) writer: Option<SqliteConnection>,
    pub(super) readers: SqlitePool,
    pub(super) lock: Option<Arc<WriteLock>>,
    pub(super) migrations: MigrationReport,
}

/// The operating system's lock on the file beside the database; one process holds it, until it ends.
#[derive(Debug)]
pub(super) struct WriteLock {
    _file: File,
}

/// Handles within one process share the lock; the epoch tells them apart.
static HELD: Mutex<BTreeMap<PathBuf, Weak<WriteLock>>> = Mutex::new(BTreeMap::new());

pub(super) async fn open(path: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    let url = format!("sqlite://{}", path.display());
    let lock = match options.access {
        Access::Write => Some(lock_patiently(path, &url).await?),
        Access::Read if !path.exists() => {
            return Err(OpenError::Missing { url, remedy: "`robson db init`" });
        }
        Access::Read => None,
    };
    let (writer, migrations) = match options.access {
        Access::Write => {
            let (writer, migrations) = open_writer(path, &url, options).await?;
            (Some(writer), migrations)
        }
        Access::Read => (None, check_version(path, &url, options).await?),
    };
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers_max)
        .acquire_timeout(options.pool_timeout)
        // A file does not hang up; asking each time would double the work of a small read.
        .test_before_acquire(false)
        .connect_with(reader_options(path, options))
        .await
        .map_err(|error| open_error(&url, &error))?;
    Ok(Opened { writer, readers, lock, migrations })
}

/// A child that this process starts keeps every file open until it runs its own program, and with it a lock
/// that was just given up. So a lock that is taken is tried again for a moment.
async fn lock_patiently(path: &Path, url: &str) -> Result<Arc<WriteLock>, OpenError> {
    let mut pauses_left = LOCK_PAUSES_MAX;
    loop {
        match lock(path, url) {
            Err(OpenError::Locked { .. }) if pauses_left > 0 => pauses_left -= 1,
            outcome => return outcome,
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

fn lock(path: &Path, url: &str) -> Result<Arc<WriteLock>, OpenError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let key = std::path::absolute(&lock_path).unwrap_or_else(|_| lock_path.clone());
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lock) = held.get(&key).and_then(Weak::upgrade) {
        return Ok(lock);
    }
    let read_only = |_| OpenError::ReadOnly { url: url.to_owned() };
    let file = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            OpenError::Unreachable { url: url.to_owned(), reason: "its directory does not exist".to_owned() }
        }
        _ => read_only(error),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let lock = lock_path.display().to_string();
            return Err(OpenError::Locked { url: url.to_owned(), lock });
        }
        Err(TryLockError::Error(error)) => {
            return Err(OpenError::Unfit(format!("its file system has no locks ({error})")));
        }
    }
    let lock = Arc::new(WriteLock { _file: file });
    held.insert(key, Arc::downgrade(&lock));
    Ok(lock)
}

pub(super) fn base_options(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.lock_timeout)
        .foreign_keys(true)
        .pragma("mmap_size", "0")
        .pragma("trusted_schema", "OFF")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

fn writer_options(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    base_options(path, options)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .auto_vacuum(SqliteAutoVacuum::None)
        .page_size(4096)
        .pragma("fullfsync", "ON")
        .pragma("cache_size", "-32000")
        .pragma("journal_size_limit", "67108864")
        .pragma("wal_autocheckpoint", "1000")
}

pub(super) fn reader_options(path: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    base_options(path, options).read_only(true).pragma("query_only", "ON")
}

async fn open_writer(
    path: &Path,
    url: &str,
    options: &OpenOptions,
) -> Result<(SqliteConnection, MigrationReport), OpenError> {
    let failed = |error: sqlx::Error| open_error(url, &error);
    if path.metadata().is_ok_and(|metadata| metadata.permissions().readonly()) {
        return Err(OpenError::ReadOnly { url: url.to_owned() });
    }
    let mut writer = writer_options(path, options).connect().await.map_err(failed)?;
    check_library(&mut writer).await.map_err(failed)??;
    check_pragmas(&mut writer).await.map_err(failed)??;
    if path.metadata().is_ok_and(|metadata| metadata.len() <= QUICK_CHECK_BYTES_MAX) {
        let result: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut writer).await.map_err(failed)?;
        if result != "ok" {
            // The first line names the database, which the URL does better.
            let reason = result.lines().last().unwrap_or_default().to_owned();
            return Err(OpenError::Corrupt { url: url.to_owned(), reason });
        }
    }
    let report = migrate_writer(&mut writer, url, options).await?;
    Ok((writer, report))
}

/// Connects the writer again, after its connection was lost; the file was checked when it was opened.
pub(super) async fn reconnect(path: &Path, options: &OpenOptions) -> Result<SqliteConnection, OpenError> {
    let url = format!("sqlite://{}", path.display());
    let failed = |error: sqlx::Error| open_error(&url, &error);
    let mut writer =
        writer_options(path, options).create_if_missing(false).connect().await.map_err(failed)?;
    check_pragmas(&mut writer).await.map_err(failed)??;
    Ok(writer)
}

/// One outer transaction holds the write lock, so that two processes migrate one after the other.
async fn migrate_writer(
    writer: &mut SqliteConnection,
    url: &str,
    options: &OpenOptions,
) -> Result<MigrationReport, OpenError> {
    let failed = |error: sqlx::Error| open_error(url, &error);
    let runner = embedded::migrations::runner();
    let program = migrate::newest(runner.get_migrations());
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
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

async fn check_version(path: &Path, url: &str, options: &OpenOptions) -> Result<MigrationReport, OpenError> {
    let failed = |error: sqlx::Error| open_error(url, &error);
    let program = migrate::newest(embedded::migrations::runner().get_migrations());
    let mut connection = reader_options(path, options).connect().await.map_err(failed)?;
    let has_history = has_history(&mut connection).await.map_err(failed)?;
    let database =
        if has_history { migrate::database_version(&mut connection).await.map_err(failed)? } else { 0 };
    connection.close().await.map_err(failed)?;
    match database.cmp(&program) {
        std::cmp::Ordering::Greater => Err(OpenError::Newer { database, program }),
        std::cmp::Ordering::Less => Err(OpenError::Older { database, program }),
        std::cmp::Ordering::Equal => {
            Ok(MigrationReport { applied: Vec::new(), database_version: database, program_version: program })
        }
    }
}

async fn has_history(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(migrate::HISTORY_TABLE).fetch_one(connection).await?;
    Ok(count > 0)
}

async fn check_library(connection: &mut SqliteConnection) -> Result<Result<(), OpenError>, sqlx::Error> {
    let text: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let mut parts = text.split('.').map(|part| u32::from_str(part).unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let version = (next(), next(), next());
    if version >= SQLITE_VERSION_MIN {
        return Ok(Ok(()));
    }
    let (major, minor, patch) = SQLITE_VERSION_MIN;
    Ok(Err(OpenError::Unfit(format!(
        "SQLite {text} can lose commits; this program needs {major}.{minor}.{patch} or newer"
    ))))
}

/// The pragmas that durability rests on, as the connection has them.
const PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "wal"),
    ("synchronous", "2"),
    ("foreign_keys", "1"),
    ("mmap_size", "0"),
    ("trusted_schema", "0"),
];

async fn check_pragmas(connection: &mut SqliteConnection) -> Result<Result<(), OpenError>, sqlx::Error> {
    for (name, expected, actual) in read_pragmas(connection).await? {
        if actual != expected {
            return Ok(Err(OpenError::Unfit(format!("PRAGMA {name} is {actual}, not {expected}"))));
        }
    }
    Ok(Ok(()))
}

/// Each pragma with what it must be and what it is.
pub(super) async fn read_pragmas(
    connection: &mut SqliteConnection,
) -> Result<Vec<(&'static str, &'static str, String)>, sqlx::Error> {
    let mut found = Vec::new();
    for (name, expected) in PRAGMAS {
        let row =
            sqlx::query(AssertSqlSafe(format!("PRAGMA {name}"))).fetch_optional(&mut *connection).await?;
        let actual = match row {
            // A build without memory mapping answers no row.
            None => "0".to_owned(),
            Some(row) => match row.try_get::<i64, _>(0) {
                Ok(integer) => integer.to_string(),
                Err(_) => row.try_get::<String, _>(0)?,
            },
        };
        found.push((name, expected, actual));
    }
    Ok(found)
}

fn open_error(url: &str, error: &sqlx::Error) -> OpenError {
    let url = url.to_owned();
    let code =
        error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
    // The low byte is the primary result code.
    match code.map(|code| code & 0xff) {
        Some(8) => OpenError::ReadOnly { url },
        Some(11 | 26) => OpenError::Corrupt { url, reason: reason(error) },
        Some(14) => OpenError::Unreachable { url, reason: "the file cannot be opened".to_owned() },
        _ => OpenError::Unreachable { url, reason: reason(error) },
    }
}

fn reason(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
