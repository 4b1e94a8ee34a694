//! Every statement file is one that the database of its folder prepares; those in `src/sql` both do.
//!
//! The statements that are written at run time are snapshots in `src/sql/statement.rs`, and the conformance
//! suite runs them all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use robson_eventlog::Store as _;
use robson_store::testing::TestDatabase;
use robson_store::{OpenOptions, PostgresStore, SqliteStore};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqlSafeStr as _, SqliteConnection};

/// The statements of folders below `src`: file name and text.
fn statements(folders: [&str; 2]) -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut statements = Vec::new();
    for folder in folders {
        let before = statements.len();
        for entry in fs::read_dir(source.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                let name = path.strip_prefix(&source).unwrap().display().to_string();
                statements.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
        assert!(statements.len() > before, "there is no statement in {folder}");
    }
    statements
}

#[tokio::test]
async fn statements_all_prepare_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("statements.db");
    SqliteStore::open(&path, &OpenOptions::default()).await.unwrap().close().await;
    let mut connection = SqliteConnection::connect(&path.display().to_string()).await.unwrap();
    for (name, text) in statements(["sql", "sqlite/sql"]) {
        let prepared = (&mut connection).prepare(AssertSqlSafe(text).into_sql_str()).await;
        prepared.map(drop).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn statements_all_prepare_on_postgres() {
    let server = robson_testkit::test_database_url().unwrap();
    let database = TestDatabase::create(&server).await.unwrap();
    PostgresStore::open(database.url(), &OpenOptions::default()).await.unwrap().close().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    for (name, text) in statements(["sql", "postgres/sql"]) {
        let prepared = (&mut connection).prepare(AssertSqlSafe(text).into_sql_str()).await;
        prepared.map(drop).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    connection.close().await.unwrap();
    database.remove().await.unwrap();
}
