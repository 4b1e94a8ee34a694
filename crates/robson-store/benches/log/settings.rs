//! What the database says of its durability, so that no round is measured on less than was promised.

use robson_store::DatabaseUrl;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};

/// Reads the settings back; the store itself refuses a file whose `synchronous` is not FULL.
pub(crate) async fn read_back(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Memory => "in memory, not durable".to_owned(),
        DatabaseUrl::Sqlite(path) => {
            let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            let sql = "SELECT sqlite_version() || ', ' || upper(journal_mode) FROM pragma_journal_mode";
            let text: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            assert!(text.ends_with("WAL"), "{text}");
            format!("SQLite {text}, synchronous=FULL")
        }
        DatabaseUrl::Postgres(url) => {
            let options: PgConnectOptions = url.parse().unwrap();
            let mut connection = options.connect().await.unwrap();
            let mut settings = Vec::new();
            for name in ["server_version", "fsync", "full_page_writes", "synchronous_commit"] {
                let sql = AssertSqlSafe(format!("SHOW {name}"));
                let value: String = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
                assert!(name == "server_version" || value == "on", "{name} is {value}");
                settings.push(if name == "server_version" { value } else { format!("{name}={value}") });
            }
            format!("PostgreSQL {}", settings.join(", "))
        }
    }
}
