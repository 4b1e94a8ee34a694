//! SQLite: a file in a folder of its own for each case.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use robson_conformance::{Access, Database, Fault, Harness, Injected, tampered_sql};
use robson_eventlog::Table;
use robson_store::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;

use crate::common::{options, tampered};

pub(crate) struct Sqlite;

impl Harness for Sqlite {
    type Database = SqliteDatabase;

    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn fresh(&self, _case: &str) -> anyhow::Result<SqliteDatabase> {
        let folder = TempDir::with_prefix("robson-")?;
        let file = Mutex::new(folder.path().join("case.db"));
        Ok(SqliteDatabase { folder, file })
    }

    async fn open_at(&self, address: &str) -> anyhow::Result<SqliteStore> {
        Ok(SqliteStore::open(address, &options(Access::Write)).await?)
    }
}

pub(crate) struct SqliteDatabase {
    folder: TempDir,
    /// Another one after a crash.
    file: Mutex<PathBuf>,
}

impl SqliteDatabase {
    pub(crate) fn path(&self) -> PathBuf {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn foreign(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(self.path())).await
    }

    /// What the disk holds when the process dies: the file and its log, without what only memory knows.
    fn crash(&self) -> anyhow::Result<()> {
        let dead = self.path();
        let alive = self.folder.path().join(format!("after-{}", file_name(&dead)));
        for suffix in ["", "-wal"] {
            let from = with_suffix(&dead, suffix);
            if from.exists() {
                std::fs::copy(from, with_suffix(&alive, suffix))?;
            }
        }
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = alive;
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("{}{suffix}", file_name(path)))
}

impl Database for SqliteDatabase {
    type Store = SqliteStore;

    async fn open(&self, access: Access) -> anyhow::Result<SqliteStore> {
        Ok(SqliteStore::open(self.path(), &options(access)).await?)
    }

    async fn prepare(&self, table: &'static Table) -> anyhow::Result<()> {
        let store = SqliteStore::open(self.path(), &options(Access::Write)).await?;
        store.create_table(table).await?;
        robson_eventlog::Store::close(&store).await;
        Ok(())
    }

    fn address(&self) -> Result<String, &'static str> {
        Ok(self.path().display().to_string())
    }

    async fn inject(&self, store: &SqliteStore, fault: Fault) -> anyhow::Result<Injected> {
        match fault {
            Fault::WriteLock(_) => {
                let mut session = self.foreign().await?;
                session.execute("BEGIN IMMEDIATE").await?;
                Ok(Injected::until(async move { Ok(session.close().await?) }))
            }
            Fault::BusyReaders => {
                let held = store.hold_readers().await?;
                Ok(Injected::until(async move {
                    drop(held);
                    Ok(())
                }))
            }
            Fault::FullDisk => {
                // A limit below what the file has becomes what it has.
                store.execute_on_writer("PRAGMA max_page_count = 1").await?;
                let lift = store.execute_on_writer("PRAGMA max_page_count = 4294967294");
                Ok(Injected::until(async move { Ok(lift.await?) }))
            }
            Fault::Crash => self.crash().map(|()| Injected::Done),
            Fault::MoveHead(tenant, log_seq) => {
                let sql = format!("UPDATE log_head SET log_seq = {log_seq} WHERE tenant_id = '{tenant}'");
                tampered(store.execute_foreign(&sql).await)
            }
            Fault::UpdateEvent(tenant, log_seq) => {
                let sql = format!(
                    "UPDATE event_log SET event_type = 'EDITED' WHERE tenant_id = '{tenant}' AND log_seq = {log_seq}"
                );
                tampered(store.execute_foreign(&sql).await)
            }
            Fault::DeleteEvent(tenant, log_seq) => {
                let sql =
                    format!("DELETE FROM event_log WHERE tenant_id = '{tenant}' AND log_seq = {log_seq}");
                tampered(store.execute_foreign(&sql).await)
            }
            Fault::TruncateLog => tampered(store.execute_foreign("DELETE FROM event_log").await),
            Fault::Tamper(tenant, tampering) => {
                let mut session = self.foreign().await?;
                for trigger in ["event_log_refuses_update", "event_log_refuses_delete"] {
                    session.execute(AssertSqlSafe(format!("DROP TRIGGER IF EXISTS {trigger}"))).await?;
                }
                for statement in tampered_sql(tenant, tampering) {
                    session.execute(AssertSqlSafe(statement)).await?;
                }
                session.close().await?;
                Ok(Injected::Done)
            }
            Fault::IdleInTransaction => Ok(Injected::Impossible(
                "a session that has written holds the file's only write lock, see WriteLock",
            )),
            Fault::PreparedTransaction => Ok(Injected::Impossible("SQLite prepares no transactions")),
            Fault::RestartServer => {
                Ok(Injected::Impossible("the file is this process's own, there is no server"))
            }
            Fault::KillListener => Ok(Injected::Impossible("nobody rings across processes, followers poll")),
            Fault::CutAtCommit(_) => {
                Ok(Injected::Impossible("there is no connection between a process and its file"))
            }
            _ => Ok(Injected::Impossible("unknown to this harness")),
        }
    }
}
