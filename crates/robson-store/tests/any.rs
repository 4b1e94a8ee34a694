//! The storage contract on `AnyStore`, over each backend in turn.

#[path = "backends/common.rs"]
mod common;
#[path = "backends/memory.rs"]
mod memory;
#[path = "backends/postgres.rs"]
mod postgres;
#[path = "backends/sqlite.rs"]
mod sqlite;

use std::process::ExitCode;

use robson_conformance::{Access, Database, Fault, Harness, Injected};
use robson_eventlog::Table;
use robson_store::{AnyStore, DatabaseUrl};

use common::options;
use memory::{Memory, MemoryDatabase};
use postgres::{Postgres, PostgresDatabase};
use sqlite::{Sqlite, SqliteDatabase};

enum Any {
    Memory,
    Sqlite,
    Postgres,
}

enum AnyDatabase {
    Memory(MemoryDatabase),
    Sqlite(SqliteDatabase),
    Postgres(Box<PostgresDatabase>),
}

impl Harness for Any {
    type Database = AnyDatabase;

    fn name(&self) -> &'static str {
        match self {
            Self::Memory => "any over memory",
            Self::Sqlite => "any over sqlite",
            Self::Postgres => "any over postgres",
        }
    }

    async fn fresh(&self, case: &str) -> anyhow::Result<AnyDatabase> {
        Ok(match self {
            Self::Memory => AnyDatabase::Memory(Memory.fresh(case).await?),
            Self::Sqlite => AnyDatabase::Sqlite(Sqlite.fresh(case).await?),
            Self::Postgres => AnyDatabase::Postgres(Box::new(Postgres.fresh(case).await?)),
        })
    }

    async fn alone(&self, case: &str) -> anyhow::Result<AnyDatabase> {
        match self {
            Self::Memory | Self::Sqlite => self.fresh(case).await,
            Self::Postgres => Ok(AnyDatabase::Postgres(Box::new(Postgres.alone(case).await?))),
        }
    }

    async fn open_at(&self, address: &str) -> anyhow::Result<AnyStore> {
        Ok(AnyStore::open(&address.parse()?, &options(Access::Write)).await?)
    }
}

impl Database for AnyDatabase {
    type Store = AnyStore;

    async fn open(&self, access: Access) -> anyhow::Result<AnyStore> {
        let options = options(access);
        let url: DatabaseUrl = match self {
            // A second handle on the same memory has no URL.
            Self::Memory(database) => return Ok(AnyStore::Memory(database.open(access).await?)),
            Self::Sqlite(database) => format!("sqlite://{}", database.path().display()).parse()?,
            Self::Postgres(database) => database.url().parse()?,
        };
        Ok(AnyStore::open(&url, &options).await?)
    }

    async fn prepare(&self, table: &'static Table) -> anyhow::Result<()> {
        match self {
            Self::Memory(database) => database.prepare(table).await,
            Self::Sqlite(database) => database.prepare(table).await,
            Self::Postgres(database) => database.prepare(table).await,
        }
    }

    fn address(&self) -> Result<String, &'static str> {
        match self {
            Self::Memory(database) => database.address(),
            Self::Sqlite(database) => Ok(format!("sqlite://{}", database.path().display())),
            Self::Postgres(database) => database.address(),
        }
    }

    async fn inject(&self, store: &AnyStore, fault: Fault) -> anyhow::Result<Injected> {
        match (self, store) {
            (Self::Sqlite(database), AnyStore::Sqlite(store)) => database.inject(store, fault).await,
            (Self::Postgres(database), AnyStore::Postgres(store)) => database.inject(store, fault).await,
            (Self::Memory(database), AnyStore::Memory(store)) => database.inject(store, fault).await,
            _ => anyhow::bail!("{store:?} is of another backend than its database"),
        }
    }
}

fn main() -> ExitCode {
    let runs = [Any::Memory, Any::Sqlite, Any::Postgres].map(robson_conformance::run);
    if runs.iter().all(|run| *run == ExitCode::SUCCESS) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
