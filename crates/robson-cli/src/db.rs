//! The database as commands see it: opened for reading; its schema looked at, made or migrated on request.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use robson_eventlog::{EventQuery, Head, Page, Row, RowQuery, Store as _, Table, TenantId};
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};
use robsond::schema::{Schema, SchemaError};
use serde_json::json;

use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings::Settings;

/// A database that is read.
#[derive(Debug)]
pub struct Database {
    store: Arc<AnyStore>,
    tenant: Option<TenantId>,
}

impl Database {
    /// Opens the database of the settings for reading, at the tenant that they name or the only one.
    ///
    /// # Errors
    /// It does not open, the tenant is not in it, or there are several and none was named.
    pub async fn read(settings: &Settings) -> Result<Self, Failure> {
        let store = AnyStore::open(&settings.database, &OpenOptions::read_only()).await?;
        Self::on(Arc::new(store), settings.tenant).await
    }

    /// A store that is open, at a tenant or the only one.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub async fn on(store: Arc<AnyStore>, wanted: Option<TenantId>) -> Result<Self, Failure> {
        let tenants = store.tenants().await?;
        let tenant = match (wanted, tenants.as_slice()) {
            (Some(wanted), known) if known.contains(&wanted) => Some(wanted),
            (Some(wanted), _) => {
                return Err(Failure::not_found(format!("the tenant {wanted} is not in this database")));
            }
            (None, []) => None,
            (None, [only]) => Some(*only),
            (None, several) => {
                let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                let ids = ids.join(", ");
                return Err(Failure::usage(format!(
                    "the database has several tenants: name one of {ids} with --tenant-id"
                )));
            }
        };
        Ok(Self { store, tenant })
    }

    /// The store.
    pub const fn store(&self) -> &Arc<AnyStore> {
        &self.store
    }

    /// Whose log it is; nothing in a database that nobody has used.
    pub const fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// Whose log it is.
    ///
    /// # Errors
    /// Nobody has used the database.
    pub fn used_tenant(&self) -> Result<TenantId, Failure> {
        self.tenant.ok_or_else(|| {
            Failure::not_found("the database holds no log yet: start `robsond --paper`, or run `robson demo`")
        })
    }

    /// Where the log ends.
    ///
    /// # Errors
    /// As the store says.
    pub async fn head(&self) -> Result<Head, Failure> {
        match self.tenant {
            Some(tenant) => Ok(self.store.head(tenant).await?),
            None => Ok(Head::EMPTY),
        }
    }

    /// Rows of a table, by rising key.
    ///
    /// # Errors
    /// As the store says.
    pub async fn rows(&self, table: &'static Table, query: &RowQuery) -> Result<Vec<Row>, Failure> {
        match self.tenant {
            Some(tenant) => Ok(self.store.rows(tenant, table, query).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Events, of this tenant whatever the query says.
    ///
    /// # Errors
    /// As the store says.
    pub async fn events(&self, query: EventQuery) -> Result<Page, Failure> {
        match self.tenant {
            Some(tenant) => Ok(self.store.read(&EventQuery { tenant, ..query }).await?),
            None => Ok(Page { events: Vec::new(), head: 0, stream_version: None }),
        }
    }
}

/// `db status`, `db migrate` and `db init`: where the schema stands now.
///
/// # Errors
/// As the store says.
pub async fn run_schema(
    schema: impl Future<Output = Result<Schema, SchemaError>>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let schema = schema.await?;
    if printer.is_json {
        return Ok(printer.json(&json!(schema), false)?);
    }
    Ok(printer.line(schema.to_string())?)
}

/// `db backup`: a copy of a SQLite file that may be in use.
///
/// # Errors
/// The database is no SQLite file, or could not be copied; no file is left.
pub async fn run_backup(url: &DatabaseUrl, to: &Path, printer: &mut Printer) -> Result<(), Failure> {
    let store = AnyStore::open(url, &OpenOptions::read_only()).await?;
    let copied = store.backup(to).await;
    store.close().await;
    let bytes = copied?;
    if printer.is_json {
        return Ok(printer.json(&json!({"file": to, "bytes": bytes}), false)?);
    }
    Ok(printer.line(format!("{}: {bytes} bytes, checked", to.display()))?)
}
