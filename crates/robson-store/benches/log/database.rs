//! A database for one round: made, filled, opened, removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::{Store as _, TenantId, WriterId};
use robson_store::testing::TestDatabase;
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};
use robson_testkit::measure::{Round, Task, timed};
use uuid::Uuid;

use crate::work::Maker;

pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));
/// How many events one commit of the filling has.
const FILL_BATCH: u64 = 2_000;

/// The database of a round.
pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    server: Option<TestDatabase>,
    /// Whether it was there before the round and stays.
    is_kept: bool,
}

impl Database {
    /// The one that is named, or else a new one.
    pub(crate) async fn of(task: &Task) -> Self {
        if let Some(url) = &task.database {
            return Self { url: url.parse().unwrap(), server: None, is_kept: true };
        }
        match task.url.parse().unwrap() {
            DatabaseUrl::Postgres(server) => {
                let server = TestDatabase::create(&server).await.unwrap();
                let url = DatabaseUrl::Postgres(server.url().to_owned());
                Self { url, server: Some(server), is_kept: false }
            }
            url => {
                let database = Self { url, server: None, is_kept: false };
                database.remove_files();
                database
            }
        }
    }

    /// The store, with the tenant known and the log filled.
    pub(crate) async fn open(&self, events: u64, months: i64) -> Arc<AnyStore> {
        let options = OpenOptions { statement_timeout: Duration::from_secs(600), ..OpenOptions::default() };
        let store = Arc::new(AnyStore::open(&self.url, &options).await.unwrap());
        store.register(TENANT).await.unwrap();
        let writer: WriterId = "filling".parse().unwrap();
        let lease = store.acquire(TENANT, &writer, Duration::from_secs(3_600)).await.unwrap();
        let mut maker = Maker::filling(&lease, events, months);
        let mut left = events;
        while left > 0 {
            let count = left.min(FILL_BATCH);
            store.commit(&maker.batch(count)).await.unwrap();
            left -= count;
        }
        store.release(&lease).await.unwrap();
        store
    }

    pub(crate) async fn remove(self) {
        if self.is_kept {
            return;
        }
        self.remove_files();
        if let Some(server) = self.server {
            server.remove().await.unwrap();
        }
    }

    /// Lets it stay, and tells where it is.
    pub(crate) fn keep(self) -> String {
        match (self.server, self.url) {
            (Some(server), _) => server.keep(),
            (None, DatabaseUrl::Sqlite(path)) => format!("sqlite://{}", path.display()),
            (None, url) => panic!("{url} does not stay"),
        }
    }

    fn remove_files(&self) {
        if let DatabaseUrl::Sqlite(path) = &self.url {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                let mut file = path.clone().into_os_string();
                file.push(suffix);
                // Most of them are not there.
                let _ = std::fs::remove_file(PathBuf::from(file));
            }
        }
    }
}

/// Makes a log of orders that stays.
pub(crate) async fn fill_orders(database: Database, task: &Task) -> Round {
    let (store, took) = timed(database.open(task.fill, task.months)).await;
    store.close().await;
    Round::new(task.fill, took).with("url", database.keep())
}
