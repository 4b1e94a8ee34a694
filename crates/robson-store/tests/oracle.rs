//! Random requests, answered by a backend as memory answers them: outcomes, reads, rows and digests.
//!
//! The requests shrink to the fewest that still differ. `ROBSON_TEST_SEED` repeats a run, which is printed
//! where one fails, and `ROBSON_TEST_CASES` makes it longer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use robson_conformance::{RUNNING, TALLIES, Tally, TestClock};
use robson_eventlog::digest::{self, Scope};
use robson_eventlog::snapshot::Snapshot;
use robson_eventlog::{
    Append, AppendError, CheckpointMove, CommandRecord, CommandStatus, Direction, EventQuery, Expected,
    Ledger, LedgerOptions, NewEvent, Outcome, Payload, RowQuery, Store, StreamKey, TenantId, Timestamp,
};
use robson_store::testing::TestDatabase;
use robson_store::{MemoryStore, OpenOptions, PostgresStore, SqliteStore};
use serde_json::json;
use uuid::Uuid;

/// What is asked of both.
#[derive(Debug, Clone)]
enum Step {
    /// Requests that are under way at once, in this order.
    Append(Vec<Request>),
    /// The writer goes and comes back.
    Reopen,
    /// A read of the log.
    Read(Question),
    /// A read of every row, of the checkpoints and of the snapshots.
    Rows,
}

#[derive(Debug, Clone)]
struct Request {
    events: Vec<Happening>,
    expected: Vec<(u8, Guess)>,
    command: Option<(u8, bool)>,
    checkpoint: Option<(bool, u8, u8)>,
    snapshot: Option<u8>,
}

#[derive(Debug, Clone)]
struct Happening {
    stream: u8,
    amount: u8,
    key: Option<u8>,
    is_refused: bool,
}

#[derive(Debug, Clone, Copy)]
enum Guess {
    Any,
    NoStream,
    Exists,
    Exact(u8),
}

#[derive(Debug, Clone)]
struct Question {
    after: u8,
    up_to: Option<u8>,
    limit: u8,
    is_backward: bool,
    stream: Option<u8>,
    has_prefix: bool,
}

fn happening() -> impl Strategy<Value = Happening> {
    (0..4_u8, 0..3_u8, weighted(0.4, 0..6_u8), prop::bool::weighted(0.05))
        .prop_map(|(stream, amount, key, is_refused)| Happening { stream, amount, key, is_refused })
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![
        1 => Just(Guess::Any),
        1 => Just(Guess::NoStream),
        1 => Just(Guess::Exists),
        3 => (0..6_u8).prop_map(Guess::Exact),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    (
        vec(happening(), 0..4),
        vec((0..4_u8, guess()), 0..2),
        weighted(0.2, (0..4_u8, any::<bool>())),
        weighted(0.2, (any::<bool>(), 0..4_u8, 1..8_u8)),
        weighted(0.2, 0..8_u8),
    )
        .prop_map(|(events, expected, command, checkpoint, snapshot)| Request {
            events,
            expected,
            command,
            checkpoint,
            snapshot,
        })
}

fn question() -> impl Strategy<Value = Question> {
    (0..20_u8, weighted(0.5, 0..30_u8), 0..12_u8, any::<bool>(), weighted(0.4, 0..5_u8), any::<bool>())
        .prop_map(|(after, up_to, limit, is_backward, stream, has_prefix)| Question {
            after,
            up_to,
            limit,
            is_backward,
            stream,
            has_prefix,
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => vec(request(), 1..5).prop_map(Step::Append),
        1 => Just(Step::Reopen),
        2 => question().prop_map(Step::Read),
        1 => Just(Step::Rows),
    ];
    vec(step, 1..14)
}

fn stream(number: u8) -> StreamKey {
    format!("suite:{number}").parse().unwrap()
}

fn append(request: &Request, now: Timestamp) -> Append {
    let event = |happening: &Happening| {
        let value = json!({"amount": happening.amount.to_string(), "refuse": happening.is_refused});
        let mut event = NewEvent::new(
            stream(happening.stream),
            "TALLIED".parse().unwrap(),
            Payload::new(&value).unwrap(),
            now,
        );
        event.dedupe_key = happening.key.map(|key| format!("key/{key}").parse().unwrap());
        event
    };
    let guess = |guess| match guess {
        Guess::Any => Expected::Any,
        Guess::NoStream => Expected::NoStream,
        Guess::Exists => Expected::Exists,
        Guess::Exact(version) => Expected::Exact(i64::from(version)),
    };
    let command = |(id, is_other): (u8, bool)| CommandRecord {
        id: Uuid::from_u128(u128::from(id)),
        command_type: "suite".to_owned(),
        request_hash: format!("hash {is_other}"),
        status: CommandStatus::Completed,
        result: None,
        error: None,
        trace_id: None,
        issued_at: now,
        completed_at: now,
    };
    let checkpoint = |(is_other, from, step): (bool, u8, u8)| CheckpointMove {
        name: format!("consumer {is_other}"),
        from: i64::from(from),
        to: i64::from(from) + i64::from(step),
        generation: 1,
    };
    let snapshot = |as_of: u8| Snapshot {
        scope: "stream".to_owned(),
        scope_id: "suite:0".to_owned(),
        as_of_log_seq: i64::from(as_of),
        created_at: now,
        snapshot_type: "suite".to_owned(),
        as_of_event_id: None,
        as_of_seq: i64::from(as_of),
        as_of_time: now,
        schema_version: 1,
        payload: vec![as_of; 3],
        compression: None,
    };
    Append {
        events: request.events.iter().map(event).collect(),
        expected: request.expected.iter().map(|(number, what)| (stream(*number), guess(*what))).collect(),
        command: request.command.map(command),
        checkpoints: request.checkpoint.map(checkpoint).into_iter().collect(),
        snapshots: request.snapshot.map(snapshot).into_iter().collect(),
        ..Append::default()
    }
}

fn query(question: &Question, tenant: TenantId) -> EventQuery {
    EventQuery {
        after: i64::from(question.after),
        up_to: question.up_to.map_or(i64::MAX, i64::from),
        limit: usize::from(question.limit),
        direction: if question.is_backward { Direction::Backward } else { Direction::Forward },
        stream: question.stream.map(stream),
        stream_prefix: question.has_prefix.then(|| "suite:".to_owned()),
        ..EventQuery::all(tenant)
    }
}

/// What a run of steps looks like from outside, line by line.
#[derive(Debug, Default)]
struct Seen(Vec<String>);

impl Seen {
    fn note(&mut self, what: &str, seen: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {seen:?}"));
    }
}

async fn ledger<S: Store>(store: &Arc<S>, tenant: TenantId, clock: &Arc<TestClock>) -> Ledger<S> {
    let clock: Arc<TestClock> = Arc::clone(clock);
    let options = LedgerOptions {
        projections: vec![Arc::new(Tally)],
        seed: 7,
        ..LedgerOptions::new(tenant, "oracle".parse().unwrap(), clock)
    };
    Ledger::open(Arc::clone(store), options).await.unwrap()
}

/// Takes the steps and tells what was seen.
async fn play<S: Store>(store: &Arc<S>, tenant: TenantId, steps: &[Step]) -> Seen {
    store.register(tenant).await.unwrap();
    let clock = Arc::new(TestClock::at("2026-01-15T12:00:00Z".parse().unwrap()));
    let mut log = ledger(store, tenant, &clock).await;
    let mut seen = Seen::default();
    for step in steps {
        clock.advance(1);
        let now = robson_eventlog::Clock::now(clock.as_ref());
        match step {
            Step::Append(requests) => {
                let answers = requests.iter().map(|request| log.append(append(request, now)));
                let answers: Vec<Result<Outcome, AppendError>> =
                    futures_util::future::join_all(answers).await;
                seen.note("appended", answers);
            }
            Step::Reopen => {
                log.close().await;
                log = ledger(store, tenant, &clock).await;
            }
            Step::Read(question) => {
                seen.note("read", store.read(&query(question, tenant)).await.unwrap());
            }
            Step::Rows => note_rows(&mut seen, store.as_ref(), tenant).await,
        }
    }
    note_rows(&mut seen, store.as_ref(), tenant).await;
    seen.note("log", digest::of_log(store.as_ref(), tenant).await.unwrap());
    seen.note("head", store.head(tenant).await.unwrap());
    log.close().await;
    seen
}

async fn note_rows<S: Store>(seen: &mut Seen, store: &S, tenant: TenantId) {
    for table in [&TALLIES, &RUNNING, &robson_eventlog::command::COMMANDS] {
        let rows = store.rows(tenant, table, &RowQuery::all()).await.unwrap();
        seen.note(table.name, rows);
        seen.note("digest", digest::of_table(store, tenant, table, Scope::Everything).await.unwrap());
    }
    for name in ["consumer true", "consumer false"] {
        seen.note(name, store.checkpoint(tenant, name).await.unwrap());
    }
    for up_to in [3, i64::MAX] {
        seen.note("snapshot", store.snapshot(tenant, "stream", "suite:0", up_to).await.unwrap());
    }
    let streams: Vec<StreamKey> = (0..5).map(stream).collect();
    let mut versions = store.streams(tenant, &streams).await.unwrap();
    versions.sort_by(|a, b| a.stream.cmp(&b.stream));
    seen.note("streams", versions);
}

#[expect(clippy::disallowed_methods, reason = "a test is told by its variables alone")]
fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Plays random steps on both, each time for a tenant of its own.
fn check<S: Store>(runtime: &tokio::runtime::Runtime, store: &Arc<S>) {
    let seed = from_environment("ROBSON_TEST_SEED").unwrap_or(0x0b50_2026);
    let cases = from_environment("ROBSON_TEST_CASES").map_or(48, |cases| cases.try_into().unwrap());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tenants = std::cell::Cell::new(1_u128);
    let result = runner.run(&steps(), |steps| {
        let tenant = TenantId(Uuid::from_u128(tenants.get()));
        tenants.set(tenants.get() + 1);
        let (told, found) = runtime.block_on(async {
            let oracle = Arc::new(MemoryStore::new());
            (play(&oracle, tenant, &steps).await, play(store, tenant, &steps).await)
        });
        for (told, found) in told.0.iter().zip(&found.0) {
            prop_assert_eq!(told, found);
        }
        prop_assert_eq!(told.0.len(), found.0.len());
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, steps)) => {
            panic!("with ROBSON_TEST_SEED={seed}, memory and the backend differ after {steps:#?}\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("with ROBSON_TEST_SEED={seed}: {why}"),
    }
}

#[test]
fn sqlite_answers_as_memory_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oracle.db").display().to_string();
    let store = runtime.block_on(SqliteStore::open(&path, &OpenOptions::default())).unwrap();
    let store = Arc::new(store);
    runtime.block_on(async {
        for table in [&TALLIES, &RUNNING] {
            store.create_table(table).await.unwrap();
        }
    });
    check(&runtime, &store);
}

#[test]
fn postgres_answers_as_memory_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = robson_testkit::test_database_url().unwrap();
    let database = runtime.block_on(TestDatabase::create(&server)).unwrap();
    let store = runtime.block_on(PostgresStore::open(database.url(), &OpenOptions::default())).unwrap();
    let store = Arc::new(store);
    runtime.block_on(async {
        for table in [&TALLIES, &RUNNING] {
            store.create_table(table).await.unwrap();
        }
    });
    check(&runtime, &store);
    runtime.block_on(async {
        store.close().await;
        database.remove().await.unwrap();
    });
}
