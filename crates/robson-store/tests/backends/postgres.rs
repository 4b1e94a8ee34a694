//! Postgres: a database for each case, reached over a wire that can be cut.

mod proxy;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use robson_conformance::{Access, Database, Fault, Harness, Injected, tampered_sql};
use robson_eventlog::{Store as _, Table};
use robson_store::PostgresStore;
use robson_store::testing::TestDatabase;
use robson_testkit::PrivateServer;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::common::{options, tampered};
use proxy::Proxy;

pub(crate) struct Postgres;

impl Harness for Postgres {
    type Database = PostgresDatabase;

    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn fresh(&self, _case: &str) -> anyhow::Result<PostgresDatabase> {
        PostgresDatabase::on(&robson_testkit::test_database_url()?, None).await
    }

    async fn alone(&self, _case: &str) -> anyhow::Result<PostgresDatabase> {
        let server = tokio::task::spawn_blocking(PrivateServer::start).await??;
        let url = server.url("postgres");
        PostgresDatabase::on(&url, Some(Arc::new(Mutex::new(server)))).await
    }

    async fn open_at(&self, address: &str) -> anyhow::Result<PostgresStore> {
        Ok(PostgresStore::open(address, &options(Access::Write)).await?)
    }
}

/// What stands before the host and port, these, and what comes after.
fn split(url: &str) -> Option<(String, String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, after) = rest.split_at(rest.find('/')?);
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let at = if user.is_empty() { "" } else { "@" };
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    Some((format!("{scheme}://{user}{at}"), address, after.to_owned()))
}

pub(crate) struct PostgresDatabase {
    url: String,
    database: TestDatabase,
    proxy: Proxy,
    /// Where it is this database's alone.
    server: Option<Arc<Mutex<PrivateServer>>>,
}

impl PostgresDatabase {
    async fn on(server_url: &str, server: Option<Arc<Mutex<PrivateServer>>>) -> anyhow::Result<Self> {
        let database = TestDatabase::create(server_url).await.map_err(anyhow::Error::from_boxed)?;
        let (before, address, after) = split(database.url()).context("the server's URL has no host")?;
        let proxy = Proxy::to(address).await?;
        // The wire has to be readable, and the server is beside the tests.
        let separator = if after.contains('?') { '&' } else { '?' };
        let url = format!("{before}{}{after}{separator}sslmode=disable", proxy.address());
        Ok(Self { url, database, proxy, server })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    async fn foreign(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(self.database.url()).await
    }

    /// A session that has run these statements and then does nothing, until it is released.
    async fn idle_session(&self, statements: &str) -> anyhow::Result<Injected> {
        let mut session = self.foreign().await?;
        session.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await?;
        Ok(Injected::until(async move { Ok(session.close().await?) }))
    }
}

impl Database for PostgresDatabase {
    type Store = PostgresStore;

    async fn open(&self, access: Access) -> anyhow::Result<PostgresStore> {
        Ok(PostgresStore::open(self.url(), &options(access)).await?)
    }

    async fn prepare(&self, table: &'static Table) -> anyhow::Result<()> {
        let store = PostgresStore::open(self.url(), &options(Access::Write)).await?;
        store.create_table(table).await?;
        store.close().await;
        Ok(())
    }

    fn address(&self) -> Result<String, &'static str> {
        Ok(self.url().to_owned())
    }

    async fn inject(&self, store: &PostgresStore, fault: Fault) -> anyhow::Result<Injected> {
        match fault {
            Fault::IdleInTransaction => {
                self.idle_session(
                    "BEGIN; SELECT count(*) FROM event_log; CREATE TABLE elsewhere (id integer); \
                     INSERT INTO elsewhere VALUES (1)",
                )
                .await
            }
            Fault::PreparedTransaction => {
                let mut session = self.foreign().await?;
                let allowed: String =
                    sqlx::query_scalar("SHOW max_prepared_transactions").fetch_one(&mut session).await?;
                if allowed == "0" {
                    return Ok(Injected::Impossible("the server has max_prepared_transactions = 0"));
                }
                let orphan = "BEGIN; CREATE TABLE elsewhere (id integer); PREPARE TRANSACTION 'orphan'";
                session.execute(sqlx::raw_sql(orphan)).await?;
                Ok(Injected::until(async move {
                    session.execute("ROLLBACK PREPARED 'orphan'").await?;
                    Ok(session.close().await?)
                }))
            }
            Fault::WriteLock(tenant) => {
                self.idle_session(&format!(
                    "BEGIN; SELECT 1 FROM log_head WHERE tenant_id = '{tenant}' FOR UPDATE"
                ))
                .await
            }
            Fault::BusyReaders => {
                let held = store.hold_readers().await?;
                Ok(Injected::until(async move {
                    drop(held);
                    Ok(())
                }))
            }
            Fault::CutAtCommit(cut) => {
                self.proxy.cut_next_commit(cut);
                Ok(Injected::Done)
            }
            Fault::Crash => {
                let ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                             WHERE datname = current_database() AND application_name LIKE 'robson %'";
                tampered(store.execute_foreign(ended).await)
            }
            Fault::RestartServer => {
                let server = self.server.clone().context("the server is not this case's alone")?;
                let restarted = tokio::task::spawn_blocking(move || {
                    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
                    server.stop_immediately();
                    server.restart()
                });
                restarted.await??;
                Ok(Injected::Done)
            }
            Fault::KillListener => {
                let ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                             WHERE datname = current_database() AND application_name = 'robson listener'";
                tampered(store.execute_foreign(ended).await)
            }
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
            Fault::TruncateLog => {
                let whole = tampered(store.execute_foreign("TRUNCATE event_log").await)?;
                let month = tampered(store.execute_foreign("TRUNCATE event_log_2026_01").await)?;
                Ok(if matches!(whole, Injected::Refused(_)) { month } else { whole })
            }
            Fault::Tamper(tenant, tampering) => {
                let mut session = self.foreign().await?;
                // No trigger fires in such a session.
                session.execute("SET session_replication_role = replica").await?;
                for statement in tampered_sql(tenant, tampering) {
                    session.execute(AssertSqlSafe(statement)).await?;
                }
                session.close().await?;
                Ok(Injected::Done)
            }
            Fault::FullDisk => Ok(Injected::Impossible("the server's disk is not the suite's to fill")),
            _ => Ok(Injected::Impossible("unknown to this harness")),
        }
    }
}
