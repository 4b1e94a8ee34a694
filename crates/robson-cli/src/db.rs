//! The database as commands see it: opened for reading, and made or migrated on request.

use std::sync::Arc;

use robson_eventlog::{EventQuery, Head, Page, Row, RowQuery, Store as _, Table, TenantId};
use robson_store::{AnyStore, DatabaseUrl, MigrationReport, OpenError, OpenOptions};
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

/// Makes the database where there is none, and brings its schema up to date.
///
/// # Errors
/// See [`OpenError`].
pub async fn migrate(url: &DatabaseUrl) -> Result<MigrationReport, OpenError> {
    let store = AnyStore::open(url, &OpenOptions::default()).await?;
    let report = store.migrations().cloned().unwrap_or_default();
    store.close().await;
    Ok(report)
}

/// `db migrate`: brings a database that is there up to date; a misspelt path is not a new database.
///
/// # Errors
/// As the store says.
pub async fn run_migrate(url: &DatabaseUrl, printer: &mut Printer) -> Result<(), Failure> {
    match AnyStore::open(url, &OpenOptions::read_only()).await {
        Ok(store) => store.close().await,
        Err(OpenError::Older { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    run_init(url, printer).await
}

/// `db init`: makes and migrates, and says what was done.
///
/// # Errors
/// As the store says.
pub async fn run_init(url: &DatabaseUrl, printer: &mut Printer) -> Result<(), Failure> {
    let report = migrate(url).await?;
    if printer.is_json {
        let json = json!({
            "database": url.to_string(),
            "applied": report.applied,
            "database_version": report.database_version,
            "program_version": report.program_version,
        });
        return Ok(printer.json(&json, false)?);
    }
    for migration in &report.applied {
        printer.line(format!("applied {migration}"))?;
    }
    let already = if report.applied.is_empty() { "already " } else { "" };
    Ok(printer.line(format!("{url} is {already}at version {}", report.database_version))?)
}

/// `db status`: where the schema stands, without changing it.
///
/// # Errors
/// The database does not open, or its schema is not the one that this program needs.
pub async fn run_status(url: &DatabaseUrl, printer: &mut Printer) -> Result<(), Failure> {
    let store = AnyStore::open(url, &OpenOptions::read_only()).await?;
    let report = store.describe().await?;
    let (database, program) = report.schema_versions.unwrap_or_default();
    if printer.is_json {
        let json = json!({
            "database": url.to_string(),
            "backend": report.backend,
            "backend_version": report.version,
            "database_version": database,
            "program_version": program,
        });
        return Ok(printer.json(&json, false)?);
    }
    let version = report.version.unwrap_or_default();
    Ok(printer.line(format!("{url} ({} {version}) is at version {database} of {program}", report.backend))?)
}
