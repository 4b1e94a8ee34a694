//! A copy of the file in use: whole, checked and on disk before it is called a backup.

use std::fs::File;
use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _};

use super::connect::{base_options, reader_options};
use crate::open::{Access, BackupError, OpenOptions};

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Copy(
            error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()),
        )
    }
}

/// Copies what is committed now to a new file; who writes goes on meanwhile. Answers its size in bytes.
///
/// `VACUUM INTO` reads one snapshot, so the copy is a consistent prefix of the log with its tables.
pub(super) async fn backup(from: &Path, to: &Path) -> Result<u64, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let copied = copy(from, to).await;
    if copied.is_err() {
        // The error that is told is the first one.
        let _ = std::fs::remove_file(to);
    }
    copied
}

async fn copy(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let unwritable = |error| BackupError::Unwritable(to.to_owned(), error);
    let options = OpenOptions { access: Access::Read, ..OpenOptions::default() };
    let target = to.to_str().ok_or_else(|| {
        unwritable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "its name is not text"))
    })?;
    // Not `query_only`, which would refuse the new file too; the handle is read-only all the same.
    let mut source = base_options(from, &options).read_only(true).connect().await?;
    sqlx::query("VACUUM INTO $1").bind(target).execute(&mut source).await?;
    source.close().await?;
    let file = File::open(to).map_err(unwritable)?;
    file.sync_all().map_err(unwritable)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unwritable)?;
    let mut copy = reader_options(to, &options).connect().await?;
    let result: String = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(&mut copy).await?;
    copy.close().await?;
    if result != "ok" {
        return Err(BackupError::Unsound(result));
    }
    Ok(file.metadata().map_err(unwritable)?.len())
}
