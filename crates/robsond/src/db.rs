//! `robsond db`: the schema's version, and what makes or migrates it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use robson_store::{DatabaseUrl, OpenError};
use robsond::config::Flags;
use robsond::schema::{Schema, SchemaError};
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

/// 78 where another process holds the database, else 1.
pub(crate) const fn exit_code(error: &SchemaError) -> u8 {
    match error {
        SchemaError::Open(OpenError::Locked { .. }) => 78,
        SchemaError::Open(_) | SchemaError::Read(_) => 1,
    }
}

impl DbCommand {
    /// The daemon's flags that it uses.
    pub(crate) fn flags(&self) -> Flags {
        let (Self::Status(flags) | Self::Migrate(flags) | Self::Init(flags)) = self;
        Flags { config: flags.config.clone(), database: flags.database.clone(), ..Flags::default() }
    }

    /// Does it; answers what to print.
    pub(crate) async fn run(self, url: &DatabaseUrl) -> Result<String, SchemaError> {
        let (flags, schema) = match self {
            Self::Status(flags) => (flags, Schema::status(url).await?),
            Self::Migrate(flags) => (flags, Schema::migrate(url).await?),
            Self::Init(flags) => (flags, Schema::init(url).await?),
        };
        Ok(if flags.json { format!("{:#}\n", json!(schema)) } else { format!("{schema}\n") })
    }
}
