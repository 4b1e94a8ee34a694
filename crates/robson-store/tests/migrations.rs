//! Migrations one at a time: what was written before each is there after it, in every table.
//!
//! A row of every table is made up from its columns, so a new table and a new migration are covered by being
//! there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use robson_eventlog::Store as _;
use robson_store::testing::TestDatabase;
use robson_store::{OpenOptions, PostgresStore, SqliteStore};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};

/// A row as text, by column.
type TextRow = BTreeMap<String, String>;
/// Every row, by table.
type Content = BTreeMap<String, Vec<TextRow>>;

/// What a database can be asked while its schema is an old one.
trait Raw {
    /// Applies the migrations up to a version; answers the newest that there is.
    async fn migrate_to(&self, version: i32) -> i32;
    /// Every table of ours, with its columns and their declared types.
    async fn tables(&mut self) -> BTreeMap<String, Vec<(String, String)>>;
    /// Every row of a table.
    async fn rows(&mut self, table: &str, columns: &[(String, String)]) -> Vec<TextRow>;
    /// Runs a statement.
    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error>;
}

struct Sqlite {
    path: std::path::PathBuf,
    connection: SqliteConnection,
}

impl Raw for Sqlite {
    async fn migrate_to(&self, version: i32) -> i32 {
        let options = OpenOptions { migrate_to: Some(version), ..OpenOptions::default() };
        let store = SqliteStore::open(&self.path, &options).await.unwrap();
        let newest = store.migrations().program_version;
        store.close().await;
        newest
    }

    async fn tables(&mut self) -> BTreeMap<String, Vec<(String, String)>> {
        let sql = "SELECT t.name, c.name, c.type FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
                   WHERE t.type = 'table' AND t.name NOT LIKE 'refinery%' AND t.name NOT LIKE 'sqlite%'";
        let found = sqlx::query(sql).fetch_all(&mut self.connection).await.unwrap();
        by_table(found.iter().map(|row| (row.get(0), row.get(1), row.get(2))))
    }

    async fn rows(&mut self, table: &str, columns: &[(String, String)]) -> Vec<TextRow> {
        let quoted: Vec<String> = columns.iter().map(|(name, _)| format!("quote({name})")).collect();
        let sql = format!("SELECT {} FROM {table}", quoted.join(", "));
        let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.unwrap();
        let row = |row: &sqlx::sqlite::SqliteRow| {
            let cells = columns.iter().enumerate();
            cells.map(|(index, (name, _))| (name.clone(), row.get(index))).collect()
        };
        found.iter().map(row).collect()
    }

    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await.map(drop)
    }
}

struct Postgres {
    url: String,
    connection: PgConnection,
}

impl Raw for Postgres {
    async fn migrate_to(&self, version: i32) -> i32 {
        let options = OpenOptions { migrate_to: Some(version), ..OpenOptions::default() };
        let store = PostgresStore::open(&self.url, &options).await.unwrap();
        let newest = store.migrations().program_version;
        store.close().await;
        newest
    }

    async fn tables(&mut self) -> BTreeMap<String, Vec<(String, String)>> {
        // Rows of a partition are rows of its table.
        let sql = "SELECT t.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) \
                   FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid \
                   WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind IN ('r', 'p') \
                   AND NOT t.relispartition AND t.relname NOT LIKE 'refinery%' \
                   AND a.attnum > 0 AND NOT a.attisdropped ORDER BY t.relname, a.attnum";
        let found = sqlx::query(sql).fetch_all(&mut self.connection).await.unwrap();
        by_table(found.iter().map(|row| (row.get(0), row.get(1), row.get(2))))
    }

    async fn rows(&mut self, table: &str, columns: &[(String, String)]) -> Vec<TextRow> {
        let texts: Vec<String> =
            columns.iter().map(|(name, _)| format!("coalesce({name}::text, 'NULL')")).collect();
        let sql = format!("SELECT {} FROM {table}", texts.join(", "));
        let found = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.unwrap();
        let row = |row: &sqlx::postgres::PgRow| {
            let cells = columns.iter().enumerate();
            cells.map(|(index, (name, _))| (name.clone(), row.get(index))).collect()
        };
        found.iter().map(row).collect()
    }

    async fn execute(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.connection).await.map(drop)
    }
}

fn by_table(
    columns: impl Iterator<Item = (String, String, String)>,
) -> BTreeMap<String, Vec<(String, String)>> {
    let mut tables: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (table, column, kind) in columns {
        tables.entry(table).or_default().push((column, kind.to_lowercase()));
    }
    tables
}

/// A value of a column's type; `word` for words, of which some columns permit only a few.
fn value(column: &str, kind: &str, word: &str) -> String {
    let is_instant = kind.starts_with("timestamp") || column.ends_with("_at") || column.ends_with("_time");
    match kind {
        "uuid" => "'019b7ca9-8f2e-8e29-bb22-9fd1e8ef8295'".to_owned(),
        "text" if column == "tenant_id" => "'019b7ca9-8f2e-8e29-bb22-9fd1e8ef8295'".to_owned(),
        _ if is_instant || column == "lease_until" => "'2026-01-15T12:00:00.000000Z'".to_owned(),
        "bytea" => format!("'\\x{}'::bytea", "ab".repeat(32)),
        "blob" => format!("x'{}'", "ab".repeat(32)),
        "jsonb" => "'{\"a\": 1}'".to_owned(),
        "boolean" => "TRUE".to_owned(),
        "bigint" | "integer" | "int" => "1".to_owned(),
        "numeric" => "1.50".to_owned(),
        _ => format!("'{word}'"),
    }
}

/// Puts a row into a table, whatever words its checks permit.
async fn fill(database: &mut impl Raw, table: &str, columns: &[(String, String)]) {
    let mut refusals = Vec::new();
    for word in ["word", "completed", "parked"] {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<String> = columns.iter().map(|(name, kind)| value(name, kind, word)).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "));
        match database.execute(&sql).await {
            Ok(()) => return,
            Err(error) => refusals.push(error.to_string()),
        }
    }
    panic!("no row could be made up for {table}: {refusals:#?}");
}

async fn content(database: &mut impl Raw) -> Content {
    let mut content = Content::new();
    for (table, columns) in database.tables().await {
        let rows = database.rows(&table, &columns).await;
        content.insert(table, rows);
    }
    content
}

/// That every row of before is there, in the columns that it had.
fn check_kept(before: &Content, after: &Content, version: i32) {
    for (table, rows) in before {
        let kept = after.get(table).unwrap_or_else(|| panic!("V{version} removed the table {table}"));
        assert_eq!(rows.len(), kept.len(), "V{version} changed the number of rows in {table}");
        for (row, kept) in rows.iter().zip(kept) {
            for (column, value) in row {
                assert_eq!(kept.get(column), Some(value), "V{version} changed {table}.{column}");
            }
        }
    }
}

/// Applies one migration after the other, with a row in every table that there is by then.
async fn check_each_step(database: &mut impl Raw) {
    let mut before = Content::new();
    let (mut version, mut newest) = (0, 1);
    while version < newest {
        version += 1;
        newest = database.migrate_to(version).await;
        let after = content(database).await;
        check_kept(&before, &after, version);
        for (table, columns) in database.tables().await {
            if after[&table].is_empty() {
                fill(database, &table, &columns).await;
            }
        }
        before = content(database).await;
        assert!(before.values().all(|rows| rows.len() == 1), "V{version}: {before:#?}");
    }
    assert!(newest > 1, "there is nothing to migrate");
}

/// Data that was written before a migration is read after it, unchanged.
#[tokio::test]
async fn migration_each_step_preserves_prior_data_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("steps.db");
    let options = OpenOptions { migrate_to: Some(1), ..OpenOptions::default() };
    SqliteStore::open(&path, &options).await.unwrap().close().await;
    let connection = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
    let mut database = Sqlite { path, connection };
    check_each_step(&mut database).await;
}

/// Data that was written before a migration is read after it, unchanged.
#[tokio::test]
async fn migration_each_step_preserves_prior_data_on_postgres() {
    let server = robson_testkit::test_database_url().unwrap();
    let test = TestDatabase::create(&server).await.unwrap();
    let options = OpenOptions { migrate_to: Some(1), ..OpenOptions::default() };
    PostgresStore::open(test.url(), &options).await.unwrap().close().await;
    let mut connection = PgConnection::connect(test.url()).await.unwrap();
    let months = "SELECT create_event_log_partitions(0, '2026-01-15T00:00:00Z'), \
                  create_snapshot_partitions(0, '2026-01-15T00:00:00Z')";
    sqlx::raw_sql(months).execute(&mut connection).await.unwrap();
    let mut database = Postgres { url: test.url().to_owned(), connection };
    check_each_step(&mut database).await;
    database.connection.close().await.unwrap();
    test.remove().await.unwrap();
}
