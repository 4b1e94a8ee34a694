//! The functions of the Postgres schema: months in UTC, made once, counted from the catalog.

use robson_eventlog::{Store as _, TenantId};
use robson_store::testing::TestDatabase;
use robson_store::{OpenOptions, PostgresStore};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

type Error = Box<dyn std::error::Error + Send + Sync>;
type TestResult = Result<(), Error>;

struct Migrated {
    database: TestDatabase,
    store: PostgresStore,
}

async fn migrated() -> Result<Migrated, Error> {
    let database = TestDatabase::create(&robson_testkit::test_database_url()?).await?;
    let store = PostgresStore::open(database.url(), &OpenOptions::default()).await?;
    Ok(Migrated { database, store })
}

impl Migrated {
    /// A session such as a person's, in New York and with another style of dates.
    async fn session(&self) -> Result<PgConnection, sqlx::Error> {
        let mut session = PgConnection::connect(self.database.url()).await?;
        session.execute("SET TimeZone = 'America/New_York'").await?;
        session.execute("SET DateStyle = 'SQL, DMY'").await?;
        Ok(session)
    }
}

async fn ask<T>(session: &mut PgConnection, sql: &str) -> Result<T, sqlx::Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(session).await
}

const BOUNDS: &str = "SELECT string_agg(child || ' ' || to_char(lower_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') \
     || ' ' || to_char(upper_bound AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), E'\\n' ORDER BY lower_bound) \
     FROM attached_months('event_log')";

#[tokio::test(flavor = "multi_thread")]
async fn months_are_bounded_in_utc_whatever_the_session_says() -> TestResult {
    let migrated = migrated().await?;
    let mut session = migrated.session().await?;
    // In New York this is still February.
    let march = "'2026-03-01 02:00:00+00'";
    assert_eq!(
        ask::<i32>(&mut session, &format!("SELECT create_event_log_partitions(1, {march})")).await?,
        2
    );
    assert_eq!(
        ask::<String>(&mut session, BOUNDS).await?,
        "event_log_2026_03 2026-03-01 00:00 2026-04-01 00:00\nevent_log_2026_04 2026-04-01 00:00 2026-05-01 00:00"
    );
    assert_eq!(
        ask::<i32>(&mut session, &format!("SELECT create_event_log_partitions(2, {march})")).await?,
        1
    );
    assert_eq!(migrated.store.ensure_partitions(2, "2026-03-31T23:59:59.999999Z".parse()?).await?, 3);
    assert_eq!(ask::<i32>(&mut session, &format!("SELECT check_partition_coverage({march})")).await?, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_and_the_last_month_can_be_made() -> TestResult {
    let migrated = migrated().await?;
    for at in ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"] {
        assert_eq!(migrated.store.ensure_partitions(0, at.parse()?).await?, 2, "{at}");
        assert_eq!(migrated.store.partition_coverage(at.parse()?).await?, 1, "{at}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn months_default_to_now_and_sessions_may_make_them_at_once() -> TestResult {
    let migrated = migrated().await?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(migrated.session().await?);
    }
    let making = sessions.into_iter().map(|mut session| {
        tokio::spawn(async move {
            let log = ask::<i32>(&mut session, "SELECT create_event_log_partitions(12)").await?;
            Ok::<i32, sqlx::Error>(
                log + ask::<i32>(&mut session, "SELECT create_snapshot_partitions(12)").await?,
            )
        })
    });
    let mut made = 0;
    for task in making.collect::<Vec<_>>() {
        made += task.await??;
    }
    assert_eq!(made, 26);
    let mut session = migrated.session().await?;
    assert_eq!(ask::<i32>(&mut session, "SELECT check_partition_coverage()").await?, 13);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_counts_attached_months_up_to_the_first_gap() -> TestResult {
    let migrated = migrated().await?;
    let mut session = migrated.session().await?;
    let at = "2026-01-15T00:00:00Z".parse()?;
    assert_eq!(migrated.store.partition_coverage(at).await?, 0);
    migrated.store.ensure_partitions(5, at).await?;
    assert_eq!(migrated.store.partition_coverage(at).await?, 6);
    session.execute("ALTER TABLE snapshots DETACH PARTITION snapshots_2026_05").await?;
    assert_eq!(migrated.store.partition_coverage(at).await?, 4, "a month of the other table is missing");
    session.execute("ALTER TABLE event_log DETACH PARTITION event_log_2026_03").await?;
    assert_eq!(migrated.store.partition_coverage(at).await?, 2, "the name is still there");
    let refused = migrated.store.ensure_partitions(5, at).await.expect_err("a detached table has the name");
    assert!(refused.to_string().contains("event_log_2026_03"), "{refused}");
    session.execute("DROP TABLE event_log_2026_03, snapshots_2026_05").await?;
    assert_eq!(migrated.store.ensure_partitions(5, at).await?, 2);
    assert_eq!(migrated.store.partition_coverage(at).await?, 6);
    assert_eq!(migrated.store.partition_coverage("2026-07-01T00:00:00Z".parse()?).await?, 0);
    session.execute("CREATE TABLE rest PARTITION OF event_log DEFAULT").await?;
    assert_eq!(migrated.store.partition_coverage("2026-07-01T00:00:00Z".parse()?).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_reader_does_not_hold_up_a_new_month() -> TestResult {
    let migrated = migrated().await?;
    migrated.store.ensure_partitions(0, "2026-01-15T00:00:00Z".parse()?).await?;
    let mut idle = migrated.session().await?;
    idle.execute(sqlx::raw_sql("BEGIN; SELECT count(*) FROM event_log; SELECT count(*) FROM snapshots"))
        .await?;
    assert_eq!(migrated.store.ensure_partitions(1, "2026-01-15T00:00:00Z".parse()?).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_month_refuses_update_delete_and_truncate() -> TestResult {
    let migrated = migrated().await?;
    migrated.store.ensure_partitions(1, "2026-01-15T00:00:00Z".parse()?).await?;
    let insert = "INSERT INTO event_log_2026_02 VALUES (gen_random_uuid(), 1, 'e', 's', 1, 't', 1, '{}', now(), \
                  '2026-02-02 00:00:00+00', 'i', NULL, NULL, NULL, NULL, 'CLI', NULL, \
                  decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'))";
    migrated.store.execute_foreign(insert).await?;
    for table in ["event_log", "event_log_2026_02"] {
        for statement in ["UPDATE ? SET seq = 2", "DELETE FROM ?", "TRUNCATE ?"] {
            let refused = migrated.store.execute_foreign(&statement.replace('?', table)).await;
            let refused = refused.expect_err(statement).to_string();
            assert!(refused.contains("is append-only"), "{statement} {table}: {refused}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn next_seq_answers_the_next_version_and_changes_nothing() -> TestResult {
    let migrated = migrated().await?;
    let tenant = TenantId("01980000-0000-7000-8000-000000000001".parse()?);
    let stream = "order:1".parse()?;
    assert_eq!(migrated.store.next_seq(tenant, &stream).await?, 1);
    let insert = format!("INSERT INTO stream_state VALUES ('{tenant}', 'order:1', 41)");
    migrated.store.execute_foreign(&insert).await?;
    assert_eq!(migrated.store.next_seq(tenant, &stream).await?, 42);
    assert_eq!(migrated.store.next_seq(tenant, &stream).await?, 42);
    let mut session = migrated.session().await?;
    session.execute("BEGIN").await?;
    assert_eq!(ask::<i64>(&mut session, &format!("SELECT next_seq('order:1', '{tenant}')")).await?, 42);
    let mut other = migrated.session().await?;
    let locked = format!(
        "SELECT count(*) FROM (SELECT 1 FROM stream_state WHERE tenant_id = '{tenant}' FOR UPDATE SKIP LOCKED) AS free"
    );
    assert_eq!(ask::<i64>(&mut other, &locked).await?, 0, "the row is locked until the transaction ends");
    session.execute("ROLLBACK").await?;
    assert_eq!(ask::<i64>(&mut other, &locked).await?, 1);
    migrated.store.close().await;
    Ok(())
}
