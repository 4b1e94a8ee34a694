//! A database beside the real one, for what is folded only to be looked at: gone with its owner.

use std::sync::Arc;

use robson_eventlog::{Store as _, TenantId};
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};

use crate::failure::Failure;

/// A database of one tenant, in a folder of its own.
#[derive(Debug)]
pub(crate) struct Scratch {
    store: Arc<AnyStore>,
    _folder: tempfile::TempDir,
}

impl Scratch {
    /// A new one: a file, so that its size is not the memory's; in memory where the build has no SQLite.
    pub(crate) async fn open(tenant: TenantId) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("robson-replay-").tempdir();
        let folder = folder.map_err(|error| {
            Failure::error(format!("there is no place for a temporary database: {error}"))
        })?;
        let url = if cfg!(feature = "sqlite") {
            DatabaseUrl::Sqlite(folder.path().join("replay.db"))
        } else {
            DatabaseUrl::Memory
        };
        let store = AnyStore::open(&url, &OpenOptions::default()).await?;
        store.register(tenant).await?;
        Ok(Self { store: Arc::new(store), _folder: folder })
    }

    pub(crate) const fn store(&self) -> &Arc<AnyStore> {
        &self.store
    }

    /// Closes the file before its folder goes.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}
