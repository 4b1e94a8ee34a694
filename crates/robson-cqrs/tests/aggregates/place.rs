//! A database of its own for each test, with the tables of the views.

use std::sync::Arc;

use anyhow::Result;
use robson_cqrs::{LogRepository, ViewProjection, view_table};
use robson_eventlog::{Ledger, LedgerOptions, Projection, Store as _, SystemClock, Table, TenantId};
use robson_store::testing::TestDatabase;
use robson_store::{AnyStore, OpenOptions};
use tempfile::TempDir;

use crate::account::{Account, AccountView};

pub(crate) static ACCOUNTS: Table = view_table("test_accounts");
pub(crate) static BALANCES: Table = view_table("test_balances");

pub(crate) const TENANT: TenantId = TenantId(uuid::Uuid::from_u128(7));

pub(crate) struct Place {
    pub(crate) store: Arc<AnyStore>,
    _folder: Option<TempDir>,
    // Dropped last: whoever is still connected is then cut off.
    _database: Option<TestDatabase>,
}

impl Place {
    pub(crate) async fn memory() -> Result<Self> {
        Self::open("memory:", None, None).await
    }

    pub(crate) async fn sqlite() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("robson-cqrs-").tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        Self::open(&url, Some(folder), None).await
    }

    pub(crate) async fn postgres() -> Result<Self> {
        let server = robson_testkit::test_database_url()?;
        let database = TestDatabase::create(&server).await.map_err(anyhow::Error::from_boxed)?;
        let url = database.url().to_owned();
        Self::open(&url, None, Some(database)).await
    }

    async fn open(url: &str, folder: Option<TempDir>, database: Option<TestDatabase>) -> Result<Self> {
        let store = AnyStore::open(&url.parse()?, &OpenOptions::default()).await?;
        store.register(TENANT).await?;
        for table in [&ACCOUNTS, &BALANCES] {
            match &store {
                AnyStore::Memory(_) => {}
                AnyStore::Sqlite(store) => store.create_table(table).await?,
                AnyStore::Postgres(store) => store.create_table(table).await?,
            }
        }
        Ok(Self { store: Arc::new(store), _folder: folder, _database: database })
    }

    /// A repository with a view for each account and one of all of them.
    pub(crate) async fn repository(&self) -> Result<LogRepository<AnyStore>> {
        let each: Arc<dyn Projection> = Arc::new(ViewProjection::<Account, AccountView>::new(&ACCOUNTS));
        let all = ViewProjection::<Account, AccountView>::keyed(&BALANCES, |_| vec!["all".to_owned()]);
        self.with(vec![each, Arc::new(all)]).await
    }

    pub(crate) async fn plain_repository(&self) -> Result<LogRepository<AnyStore>> {
        self.with(Vec::new()).await
    }

    async fn with(&self, projections: Vec<Arc<dyn Projection>>) -> Result<LogRepository<AnyStore>> {
        let clock = Arc::new(SystemClock);
        let options = LedgerOptions::new(TENANT, "test".parse()?, clock.clone());
        let ledger = Ledger::open(Arc::clone(&self.store), LedgerOptions { projections, ..options }).await?;
        Ok(LogRepository::new(ledger, clock))
    }
}
