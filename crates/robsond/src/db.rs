//! `robsond db`: the schema's version, and what makes or migrates it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use robson_eventlog::Store as _;
use robson_store::{AnyStore, DatabaseUrl, OpenError, OpenOptions};
use robsond::config::Flags;
use serde_json::json;

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Print the schema's version and the program's; exit 1 where they differ
    Status(DbFlags),
    /// Bring the schema of a database up to date
    Migrate(DbFlags),
    /// Make the database and its schema
    Init(DbFlags),
}

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct DbFlags {
    /// The configuration file [default: ./robson.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database [default: as configured]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// The database does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It opened, but could not be read.
    #[error("the database cannot be read")]
    Read(#[from] robson_eventlog::StoreError),
}

impl DbError {
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(OpenError::Locked { .. }) => 78,
            Self::Open(_) | Self::Read(_) => 1,
        }
    }
}

impl DbCommand {
    /// The daemon's flags that it uses.
    pub(crate) fn flags(&self) -> Flags {
        let (Self::Status(flags) | Self::Migrate(flags) | Self::Init(flags)) = self;
        Flags { config: flags.config.clone(), database: flags.database.clone(), ..Flags::default() }
    }

    /// Does it; answers what to print.
    pub(crate) async fn run(self, url: &DatabaseUrl) -> Result<String, DbError> {
        let (flags, options) = match self {
            Self::Status(flags) => (flags, OpenOptions::read_only()),
            Self::Migrate(flags) => {
                // Migrating makes nothing: a misspelt path is not a new database.
                match AnyStore::open(url, &OpenOptions::read_only()).await {
                    Ok(store) => store.close().await,
                    Err(OpenError::Older { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                (flags, OpenOptions::default())
            }
            Self::Init(flags) => (flags, OpenOptions::default()),
        };
        let store = AnyStore::open(url, &options).await?;
        let report = store.describe().await;
        store.close().await;
        let report = report?;
        let (database, program) = report.schema_versions.unzip();
        if flags.json {
            let json = json!({
                "database": url.to_string(),
                "backend": report.backend,
                "engine_version": report.version,
                "database_version": database,
                "program_version": program,
            });
            return Ok(format!("{json:#}\n"));
        }
        let engine =
            report.version.map_or_else(|| report.backend.to_owned(), |v| format!("{} {v}", report.backend));
        let version =
            database.map_or_else(|| "no schema".to_owned(), |version| format!("schema version {version}"));
        Ok(format!("{url}: {engine}, {version}\n"))
    }
}
