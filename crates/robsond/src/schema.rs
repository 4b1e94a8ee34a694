//! The database's schema: where it stands, and what makes or migrates it. Both binaries offer it as `db`.

use std::fmt;

use robson_eventlog::{Store as _, StoreError};
use robson_store::{AnyStore, DatabaseUrl, OpenError, OpenOptions};
use serde::Serialize;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It opened, but could not be read.
    #[error("the database cannot be read")]
    Read(#[from] StoreError),
}

/// Where a schema stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// Where, without the password.
    pub database: String,
    /// Which backend.
    pub backend: &'static str,
    /// The engine's version, where it has one.
    pub engine_version: Option<String>,
    /// The schema's version; none where there is no schema.
    pub database_version: Option<i32>,
    /// The version that this program needs.
    pub program_version: Option<i32>,
    /// The migrations that were applied now.
    pub applied: Vec<String>,
}

impl Schema {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// It does not open, or has another version than this program needs.
    pub async fn status(url: &DatabaseUrl) -> Result<Self, SchemaError> {
        Self::open(url, &OpenOptions::read_only()).await
    }

    /// Brings a database that is there up to date; a misspelt path is not a new database.
    ///
    /// # Errors
    /// It does not open, or a migration failed and left it as it was.
    pub async fn migrate(url: &DatabaseUrl) -> Result<Self, SchemaError> {
        match AnyStore::open(url, &OpenOptions::read_only()).await {
            Ok(store) => store.close().await,
            Err(OpenError::Older { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Self::init(url).await
    }

    /// Makes the database where there is none, and brings it up to date.
    ///
    /// # Errors
    /// As [`Schema::migrate`].
    pub async fn init(url: &DatabaseUrl) -> Result<Self, SchemaError> {
        Self::open(url, &OpenOptions::default()).await
    }

    async fn open(url: &DatabaseUrl, options: &OpenOptions) -> Result<Self, SchemaError> {
        let store = AnyStore::open(url, options).await?;
        let applied = store.applied_migrations();
        let report = store.describe().await;
        store.close().await;
        let report = report?;
        let (database_version, program_version) = report.schema_versions.unzip();
        Ok(Self {
            database: url.to_string(),
            backend: report.backend,
            engine_version: report.version,
            database_version,
            program_version,
            applied,
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for migration in &self.applied {
            writeln!(f, "applied {migration}")?;
        }
        write!(f, "{}: {}", self.database, self.backend)?;
        if let Some(version) = &self.engine_version {
            write!(f, " {version}")?;
        }
        match (self.database_version, self.program_version) {
            (Some(database), Some(program)) => write!(f, ", schema version {database} of {program}"),
            _ => write!(f, ", no schema"),
        }
    }
}
