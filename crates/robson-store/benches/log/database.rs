//! A database for one round: made, filled, opened, removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use robson_eventlog::{Store as _, TenantId, WriterId};
use robson_store::testing::TestDatabase;
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};
use uuid::Uuid;

use crate::Plan;
use crate::work::Maker;

pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001));
/// How many events one commit of the filling has.
const FILL_BATCH: u64 = 2_000;

/// A database that is gone after the round.
pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    server: Option<TestDatabase>,
    stays: bool,
}

impl Database {
    pub(crate) async fn make(url: &str) -> Self {
        match url.parse().unwrap() {
            DatabaseUrl::Postgres(server) => {
                let server = TestDatabase::create(&server).await.unwrap();
                Self {
                    url: DatabaseUrl::Postgres(server.url().to_owned()),
                    server: Some(server),
                    stays: false,
                }
            }
            url => {
                let database = Self { url, server: None, stays: false };
                database.remove_files();
                database
            }
        }
    }

    /// A database with a log in it, which is used as it is.
    pub(crate) fn that_stays(url: &str) -> Self {
        Self { url: url.parse().unwrap(), server: None, stays: true }
    }

    /// Fills the log and leaves it; answers where it is.
    pub(crate) async fn keep(self, plan: &Plan) -> String {
        self.open(plan.fill, plan.months).await.close().await;
        if let Some(server) = self.server {
            // It goes with the server.
            std::mem::forget(server);
        }
        match self.url {
            DatabaseUrl::Postgres(url) => url,
            url => url.to_string(),
        }
    }

    /// The store, with the tenant known and the log filled.
    pub(crate) async fn open(&self, events: u64, months: i64) -> Arc<AnyStore> {
        let options = OpenOptions { statement_timeout: Duration::from_secs(600), ..OpenOptions::default() };
        let store = Arc::new(AnyStore::open(&self.url, &options).await.unwrap());
        if self.stays {
            return store;
        }
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
        if self.stays {
            return;
        }
        self.remove_files();
        if let Some(server) = self.server {
            server.remove().await.unwrap();
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
