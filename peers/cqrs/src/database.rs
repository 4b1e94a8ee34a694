//! The databases: durable settings, the peers' own tables, nothing left behind.

use std::str::FromStr as _;

use anyhow::{Context, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, SqlitePool};
use uuid::Uuid;

/// Opens a new database file as `sqlite_es::default_sqlite_pool` does, but durable.
pub(crate) async fn open_sqlite(url: &str, connections: u32) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::from_str(url)
        .context("read the URL of the file")?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().max_connections(connections).min_connections(connections);
    let pool = pool.connect_with(options).await.context("open the database")?;
    sqlx::raw_sql(include_str!("../schema/sqlite.sql")).execute(&pool).await.context("make the tables")?;
    Ok(pool)
}

/// What the database says of its durability.
pub(crate) async fn sqlite_settings(pool: &SqlitePool) -> Result<String> {
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await?;
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(pool).await?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    ensure!(
        (journal.as_str(), synchronous) == ("wal", 2),
        "not durable: {journal}, synchronous={synchronous}"
    );
    Ok(format!("SQLite {version}, WAL, synchronous=FULL"))
}

/// A database of its own on a server.
#[derive(Debug)]
pub(crate) struct PostgresDatabase {
    server: PgConnectOptions,
    name: String,
    pub(crate) pool: PgPool,
}

impl PostgresDatabase {
    pub(crate) async fn create(url: &str, connections: u32) -> Result<Self> {
        let server: PgConnectOptions = url.parse().context("read the URL of the server")?;
        let server = server.disable_statement_logging();
        let name = format!("peer_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect_with(&server).await.context("connect to the server")?;
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await?;
        let options = server.clone().database(&name).options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new().max_connections(connections).min_connections(connections);
        let pool = pool.connect_with(options).await.context("connect to the database")?;
        sqlx::raw_sql(include_str!("../schema/postgres.sql"))
            .execute(&pool)
            .await
            .context("make the tables")?;
        Ok(Self { server, name, pool })
    }

    /// What the server says of its durability.
    pub(crate) async fn settings(&self) -> Result<String> {
        let mut settings = Vec::new();
        for name in ["fsync", "full_page_writes", "synchronous_commit"] {
            let value: String = sqlx::query_scalar(&format!("SHOW {name}")).fetch_one(&self.pool).await?;
            ensure!(value == "on", "not durable: {name} is {value}");
            settings.push(format!("{name}={value}"));
        }
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&self.pool).await?;
        Ok(format!("PostgreSQL {version}, {}", settings.join(", ")))
    }

    pub(crate) async fn remove(self) -> Result<()> {
        self.pool.close().await;
        let mut connection =
            PgConnection::connect_with(&self.server).await.context("connect to the server")?;
        sqlx::raw_sql(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).execute(&mut connection).await?;
        Ok(())
    }
}
