//! Where things are: the file `robson.toml`, then the environment, then flags; later wins.

use std::path::{Path, PathBuf};

use robson_eventlog::TenantId;
use robson_store::DatabaseUrl;
use serde::Deserialize;

use crate::args::Global;
use crate::failure::Failure;

/// The file that is read where no other is named.
pub const FILE: &str = "robson.toml";
/// The database where none is named.
pub const DATABASE: &str = "sqlite://robson.db";

/// Where things are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings file, where there is one.
    pub file: Option<PathBuf>,
    /// The database.
    pub database: DatabaseUrl,
    /// Whose log it is; none: the only one in the database.
    pub tenant: Option<TenantId>,
    /// Where the daemon listens.
    pub daemon_url: String,
    /// What the daemon's mutations ask for.
    pub token: Option<String>,
    /// Who asks.
    pub operator: Option<String>,
}

/// What the command line reads of the file; the rest is the daemon's.
#[derive(Debug, Default, Deserialize)]
struct File {
    #[serde(default)]
    database: DatabaseSection,
    #[serde(default)]
    api: ApiSection,
}

#[derive(Debug, Default, Deserialize)]
struct DatabaseSection {
    url: Option<String>,
    tenant_id: Option<TenantId>,
}

#[derive(Debug, Default, Deserialize)]
struct ApiSection {
    host: Option<String>,
    port: Option<toml::Value>,
    token: Option<String>,
}

impl Settings {
    /// Brings file, environment and flags together.
    ///
    /// # Errors
    /// The file is missing where it was named, or is not what it should be; the database's URL is not one.
    pub fn gather(global: &Global) -> Result<Self, Failure> {
        let named = global.config.as_deref();
        let path = named.unwrap_or_else(|| Path::new(FILE));
        let file = read(path, named.is_some())?;
        let found = file.is_some();
        let file = file.unwrap_or_default();
        let url = global.database.as_deref().or(file.database.url.as_deref()).unwrap_or(DATABASE);
        let listens = || {
            // What listens everywhere is reached here too.
            let host = file.api.host.as_deref().filter(|host| *host != "0.0.0.0").unwrap_or("127.0.0.1");
            let port = file.api.port.as_ref().map_or("8080".to_owned(), |port| match port {
                toml::Value::String(port) => port.clone(),
                other => other.to_string(),
            });
            format!("http://{host}:{port}")
        };
        Ok(Self {
            file: found.then(|| path.to_owned()),
            database: url.parse()?,
            tenant: global.tenant_id.or(file.database.tenant_id),
            daemon_url: global.daemon_url.clone().unwrap_or_else(listens),
            token: global.token.clone().or(file.api.token),
            operator: global.operator.clone(),
        })
    }
}

fn read(path: &Path, is_named: bool) -> Result<Option<File>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map(Some).map_err(|error| {
            let reason = error.message().to_owned();
            Failure::usage(format!("{} is not a settings file: {reason}", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => Ok(None),
        Err(error) => Err(Failure::error(format!("cannot read {}: {error}", path.display()))),
    }
}
