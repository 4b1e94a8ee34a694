//! Opening a database: what is made, what is refused, one clear sentence each.

use std::path::Path;
use std::sync::Arc;

use robson_eventlog::{Store, TenantId, WriterId};
use robson_store::testing::TestDatabase;
use robson_store::{Access, AnyStore, DatabaseUrl, MigrationReport, OpenError, OpenOptions, SqliteStore};
use robson_testkit::PrivateServer;
use tempfile::TempDir;

type TestResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn open(url: &str, access: Access) -> Result<AnyStore, OpenError> {
    AnyStore::open(&url.parse()?, &OpenOptions { access, ..OpenOptions::default() }).await
}

async fn refusal(url: &str, access: Access) -> OpenError {
    match open(url, access).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

fn sqlite_url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn test_database() -> Result<TestDatabase, Box<dyn std::error::Error + Send + Sync>> {
    TestDatabase::create(&robson_testkit::test_database_url()?).await
}

fn report(store: &AnyStore) -> MigrationReport {
    store.migrations().cloned().unwrap_or_default()
}

async fn run_foreign(store: &AnyStore, sql: &str) -> TestResult {
    match store {
        AnyStore::Sqlite(store) => store.execute_foreign(sql).await?,
        AnyStore::Postgres(store) => store.execute_foreign(sql).await?,
        AnyStore::Memory(_) => panic!("memory runs no SQL"),
    };
    Ok(())
}

async fn eight_open_at_once(url: &str, options: OpenOptions) -> TestResult {
    let url: Arc<DatabaseUrl> = Arc::new(url.parse()?);
    let barrier = Arc::new(tokio::sync::Barrier::new(8));
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let (url, options, barrier) = (Arc::clone(&url), options.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                AnyStore::open(&url, &options).await
            })
        })
        .collect();
    let mut applied = Vec::new();
    for opened in opening {
        let store = opened.await??;
        let report = report(&store);
        assert_eq!(report.database_version, report.program_version);
        applied.extend(report.applied);
        store.close().await;
    }
    let again = AnyStore::open(&url, &options).await?;
    let last = report(&again);
    assert_eq!(applied.len(), usize::try_from(last.program_version)?, "each applied once: {applied:?}");
    assert!(last.applied.is_empty(), "applied again: {:?}", last.applied);
    again.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn migration_is_idempotent_and_safe_when_two_processes_start() -> TestResult {
    let folder = TempDir::new()?;
    eight_open_at_once(&sqlite_url(&folder.path().join("a.db")), OpenOptions::default()).await?;
    let database = test_database().await?;
    eight_open_at_once(database.url(), OpenOptions::default()).await?;
    let in_schema = OpenOptions { schema: Some("select".to_owned()), ..OpenOptions::default() };
    eight_open_at_once(database.url(), in_schema).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schemas_are_two_databases() -> TestResult {
    let database = test_database().await?;
    let url: DatabaseUrl = database.url().parse()?;
    let tenant = TenantId("01980000-0000-7000-8000-000000000001".parse()?);
    for schema in ["one", "two"] {
        let options = OpenOptions { schema: Some(schema.to_owned()), ..OpenOptions::default() };
        let store = AnyStore::open(&url, &options).await?;
        assert_eq!(store.tenants().await?, []);
        store.register(tenant).await?;
        assert_eq!(store.ensure_partitions(1, "2026-01-15T00:00:00Z".parse()?).await?, 4);
        assert_eq!(store.partition_coverage("2026-01-15T00:00:00Z".parse()?).await?, Some(2));
        store.close().await;
    }
    let bad = OpenOptions { schema: Some("x\"; DROP SCHEMA one".to_owned()), ..OpenOptions::default() };
    assert!(matches!(AnyStore::open(&url, &bad).await, Err(OpenError::Unfit(_))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_db_older_binary_refuses_to_write() -> TestResult {
    let folder = TempDir::new()?;
    let database = test_database().await?;
    for url in [sqlite_url(&folder.path().join("a.db")), database.url().to_owned()] {
        let store = open(&url, Access::Write).await?;
        let future = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
                      VALUES (9999, 'future', '2099-01-01T00:00:00Z', '1')";
        run_foreign(&store, future).await?;
        store.close().await;
        for access in [Access::Write, Access::Read] {
            let refused = refusal(&url, access).await;
            assert!(matches!(refused, OpenError::Newer { database: 9999, .. }), "{refused}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_makes_and_migrates_nothing() -> TestResult {
    let folder = TempDir::new()?;
    let path = folder.path().join("a.db");
    assert!(matches!(refusal(&sqlite_url(&path), Access::Read).await, OpenError::Missing { .. }));
    assert!(std::fs::read_dir(folder.path())?.next().is_none(), "a reader made a file");
    std::fs::write(&path, "")?;
    assert!(matches!(refusal(&sqlite_url(&path), Access::Read).await, OpenError::Older { database: 0, .. }));
    let database = test_database().await?;
    assert!(matches!(refusal(database.url(), Access::Read).await, OpenError::Older { database: 0, .. }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_and_a_missing_database_are_told_apart() -> TestResult {
    let unreachable = refusal("postgres://robson:secret@127.0.0.1:1/robson", Access::Write).await;
    assert_eq!(
        unreachable.to_string(),
        "the database postgres://robson@127.0.0.1:1/robson cannot be reached: Connection refused (os error 111)"
    );
    let server = robson_testkit::test_database_url()?;
    let (before, _) = server.rsplit_once('/').ok_or("no database in the URL")?;
    let missing = refusal(&format!("{before}/robson_is_not_here"), Access::Write).await;
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("createdb"), "{missing}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_is_refused_and_not_shown() -> TestResult {
    // Whoever lends a server to the tests may trust every password.
    let server = PrivateServer::start()?;
    let url = format!("postgres://robson:wrong@127.0.0.1:{}/postgres", server.port());
    let refused = refusal(&url, Access::Write).await;
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused}");
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_found_again() -> TestResult {
    let mut server = PrivateServer::start()?;
    let store = open(&server.url("postgres"), Access::Write).await?;
    let tenant = TenantId("01980000-0000-7000-8000-000000000001".parse()?);
    let writer: WriterId = "a".parse()?;
    store.register(tenant).await?;
    let lease = store.acquire(tenant, &writer, std::time::Duration::from_secs(60)).await?;
    assert_eq!(store.head(tenant).await?.log_seq, 0);
    server.stop_immediately();
    server.restart()?;
    assert_eq!(store.head(tenant).await?, lease.head, "a reader's lost connection is replaced");
    // The writer's lost connection shows once: whether its last statement was done is for the caller.
    let first = store.renew(&lease, std::time::Duration::from_secs(60)).await;
    assert!(first.is_err());
    store.renew(&lease, std::time::Duration::from_secs(60)).await?;
    store.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_respected_until_it_ends_by_the_servers_clock() -> TestResult {
    let database = test_database().await?;
    let (a, b): (WriterId, WriterId) = ("a".parse()?, "b".parse()?);
    let tenant = TenantId("01980000-0000-7000-8000-000000000001".parse()?);
    let (first, second) =
        (open(database.url(), Access::Write).await?, open(database.url(), Access::Write).await?);
    first.register(tenant).await?;
    let minute = std::time::Duration::from_secs(60);
    let lease = first.acquire(tenant, &a, minute).await?;
    let held = second.acquire(tenant, &b, minute).await.expect_err("the lease is held");
    assert!(
        matches!(&held, robson_eventlog::AcquireError::Held { writer, until: Some(_) } if writer == "a"),
        "{held}"
    );
    let again = second.acquire(tenant, &a, minute).await?;
    assert_eq!(again.epoch, lease.epoch + 1, "the same writer takes its own lease over");
    assert!(matches!(first.renew(&lease, minute).await, Err(robson_eventlog::CommitError::Fenced)));
    second.renew(&again, std::time::Duration::ZERO).await?;
    let taken = first.acquire(tenant, &b, minute).await?;
    first.release(&taken).await?;
    second.acquire(tenant, &a, minute).await?;
    first.close().await;
    second.close().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_database_is_refused_for_writing_and_open_for_reading() -> TestResult {
    let folder = TempDir::new()?;
    let path = folder.path().join("a.db");
    open(&sqlite_url(&path), Access::Write).await?.close().await;
    let mut permissions = std::fs::metadata(&path)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions)?;
    let database = test_database().await?;
    let store = open(database.url(), Access::Write).await?;
    run_foreign(
        &store,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
    )
    .await?;
    store.close().await;
    for url in [sqlite_url(&path), database.url().to_owned()] {
        let refused = refusal(&url, Access::Write).await;
        assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused}");
        open(&url, Access::Read).await?.close().await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused() -> TestResult {
    let folder = TempDir::new()?;
    let random = folder.path().join("random.db");
    let noise: Vec<u8> = (0..20_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    std::fs::write(&random, &noise)?;
    let truncated = folder.path().join("truncated.db");
    open(&sqlite_url(&truncated), Access::Write).await?.close().await;
    let bytes = std::fs::read(&truncated)?;
    std::fs::write(&truncated, &bytes[..bytes.len() / 2])?;
    let overwritten = folder.path().join("overwritten.db");
    std::fs::write(&overwritten, [&bytes[..4096], &noise[..4096], &bytes[8192..]].concat())?;
    for path in [random, truncated, overwritten] {
        let before = std::fs::read(&path)?;
        let refused = refusal(&sqlite_url(&path), Access::Write).await;
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{}: {refused}", path.display());
        assert!(std::fs::read(&path)? == before, "{} was changed", path.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_writes_is_refused_for_writing_only() -> TestResult {
    let folder = TempDir::new()?;
    let path = folder.path().join("a.db");
    open(&sqlite_url(&path), Access::Write).await?.close().await;
    // The lock belongs to the open file, so this stands for another process.
    let lock = std::fs::File::options().write(true).open(folder.path().join("a.db.lock"))?;
    lock.lock()?;
    let refused = refusal(&sqlite_url(&path), Access::Write).await;
    assert!(
        matches!(refused, OpenError::Locked { .. }) && refused.to_string().contains("a.db.lock"),
        "{refused}"
    );
    open(&sqlite_url(&path), Access::Read).await?.close().await;
    lock.unlock()?;
    let ours = SqliteStore::open(&path, &OpenOptions::default()).await?;
    assert!(lock.try_lock().is_err());
    drop(ours);
    lock.try_lock()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_backend_is_refused() {
    for url in ["mysql://localhost/robson", "robson.db", "", "sqlite://", "postgres://"] {
        let refused = url.parse::<DatabaseUrl>().expect_err(url);
        assert!(matches!(refused, OpenError::BadUrl(_)), "{refused}");
    }
    let refused = refusal("postgres://h:port/robson", Access::Write).await;
    assert!(refused.to_string().contains("URL cannot be read"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reads_back_what_durability_rests_on() -> TestResult {
    let folder = TempDir::new()?;
    let database = test_database().await?;
    let url = sqlite_url(&folder.path().join("a.db"));
    for access in [Access::Write, Access::Read] {
        let report = open(&url, access).await?.describe().await?;
        assert_eq!((report.backend, report.version.as_deref()), ("SQLite", Some("3.51.3")));
        assert!(report.settings.contains(&("journal_mode".to_owned(), "wal".to_owned())), "{report:?}");
        let report = open(database.url(), access).await?.describe().await?;
        assert_eq!(report.backend, "PostgreSQL");
        assert!(report.settings.contains(&("TimeZone".to_owned(), "UTC".to_owned())), "{report:?}");
        let is_read_only = if access == Access::Read { "on" } else { "off" };
        let expected = ("default_transaction_read_only".to_owned(), is_read_only.to_owned());
        assert!(report.settings.contains(&expected), "{report:?}");
        assert!(!report.location.contains("password") && report.schema_versions.is_some());
    }
    Ok(())
}
