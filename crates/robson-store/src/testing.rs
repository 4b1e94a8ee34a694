//! A Postgres database for each test: made on a server, dropped at the end.
//!
//! Here and not in the test kit, because no other crate names sqlx. Does not start a server.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// Nothing but the server's URL must be right for these.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// A database of its own, empty and in UTF-8, which is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server: PgConnectOptions,
    name: String,
    url: String,
    is_dropped: bool,
}

impl TestDatabase {
    /// Makes a database on the server that a URL names; its user must be allowed to.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create(server_url: &str) -> Result<Self, Error> {
        let server: PgConnectOptions = server_url.parse()?;
        let server = server.disable_statement_logging();
        let name = format!("robson_test_{:016x}", RandomState::new().build_hasher().finish());
        let url = with_database(server_url, &name)?;
        let mut connection = server.connect().await?;
        // template0, because nobody connects to it, and because its encoding may be another one.
        execute(&mut connection, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
            .await?;
        connection.close().await?;
        Ok(Self { server, name, url, is_dropped: false })
    }

    /// The database's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets the database stay, and tells its URL.
    #[must_use]
    pub fn keep(mut self) -> String {
        self.is_dropped = true;
        self.url.clone()
    }

    /// Drops the database, whoever is still connected.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn remove(mut self) -> Result<(), Error> {
        self.is_dropped = true;
        drop_database(self.server.clone(), self.name.clone()).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.is_dropped {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may be the one that ends.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(drop_database(server, name))
        });
        if let Ok(Err(error)) = dropped.join() {
            tracing::warn!(error, database = self.name, "a test's database was not dropped");
        }
    }
}

async fn drop_database(server: PgConnectOptions, name: String) -> Result<(), Error> {
    let mut connection = server.connect().await?;
    execute(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    connection.close().await?;
    Ok(())
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ())
}

/// The URL with another database; its parameters stay.
fn with_database(url: &str, name: &str) -> Result<String, Error> {
    let (scheme, rest) = url.split_once("://").ok_or("the server's URL has no scheme")?;
    let (rest, parameters) = rest.split_once('?').map_or((rest, ""), |(rest, parameters)| (rest, parameters));
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let separator = if parameters.is_empty() { "" } else { "?" };
    Ok(format!("{scheme}://{authority}/{name}{separator}{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_database_of_a_url_changes() {
        let check = |url, expected: &str| assert_eq!(with_database(url, "x").unwrap(), expected);
        check("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x");
        check("postgres://h", "postgres://h/x");
        check("postgresql://u@h/db?sslmode=disable", "postgresql://u@h/x?sslmode=disable");
    }
}
