//! Aggregates of cqrs-es on the log: the library's own framework over the adapters, on every backend.

mod account;
mod place;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail, ensure};
use cqrs_es::persist::{
    PersistedEventRepository as _, PersistedEventStore, PersistenceError, QueryReplay,
    SemanticVersionEventUpcaster,
};
use cqrs_es::{AggregateContext as _, AggregateError, CqrsFramework, EventStore as _};
use robson_cqrs::{LogEventStore, LogRepository, Refusal, load_view};
use robson_eventlog::{
    Append, Expected, NewEvent, Outcome, Payload, Snapshot, Store as _, StreamKey, Timestamp,
};
use robson_store::AnyStore;
use serde_json::json;
use tokio::task::JoinSet;

use account::{Account, AccountEvent, AccountView, Command, Told};
use place::{ACCOUNTS, BALANCES, Place, TENANT};

type Framework = CqrsFramework<Account, LogEventStore<AnyStore, Account>>;

fn framework(repository: &LogRepository<AnyStore>) -> Framework {
    CqrsFramework::new(repository.event_store(), vec![], ())
}

fn every(events: u32) -> NonZeroU32 {
    NonZeroU32::new(events).expect("a number of events")
}

fn metadata(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn view(place: &Place, id: &str) -> Result<Option<(AccountView, i64)>> {
    Ok(load_view(place.store.as_ref(), TENANT, &ACCOUNTS, id).await?)
}

/// The state as the events make it, which no snapshot has touched.
async fn told(repository: &LogRepository<AnyStore>, id: &str) -> Result<Account> {
    let plain = LogRepository::new(repository.ledger().clone(), Arc::new(robson_eventlog::SystemClock));
    Ok(plain.event_store::<Account>().load_aggregate(id).await?.aggregate().clone())
}

async fn a_command_becomes_events_and_views_in_one_commit(place: Place) -> Result<()> {
    let repository = place.repository().await?;
    let dispatched = Arc::new(AtomicUsize::new(0));
    let query = Told(Arc::clone(&dispatched));
    let framework = CqrsFramework::new(repository.event_store(), vec![Box::new(query)], ());
    ensure!(view(&place, "a-1").await?.is_none());
    let by = metadata(&[("by", "ann"), ("trace_id", "01980000-0000-7000-8000-000000000001")]);
    framework.execute_with_metadata("a-1", Command::Open, by.clone()).await?;
    framework.execute_with_metadata("a-1", Command::Deposit(300, 2), by.clone()).await?;
    framework.execute("a-1", Command::Withdraw(100)).await?;
    framework.execute("a-2", Command::Open).await?;
    framework.execute("a-1", Command::Nothing).await?;
    let refused = framework.execute("a-1", Command::Withdraw(900)).await;
    ensure!(matches!(refused, Err(AggregateError::UserError(_))), "{refused:?}");

    let events = repository.event_store::<Account>().load_events("a-1").await?;
    let sequences: Vec<usize> = events.iter().map(|event| event.sequence).collect();
    ensure!(sequences == [1, 2, 3, 4], "{sequences:?}");
    ensure!(events[0].payload == AccountEvent::Opened && events[0].metadata == by, "{:?}", events[0]);
    ensure!(events[2].payload == AccountEvent::Deposited { cents: 300 });
    ensure!(events[3].metadata.is_empty());
    let stored = repository.get_last_events::<Account>("a-1", 2).await?;
    ensure!(stored.len() == 2 && stored[0].event_version == "1.2.0" && stored[1].event_version == "1");

    let (seen, version) = view(&place, "a-1").await?.expect("the view is there");
    ensure!((seen.cents, seen.changes, version) == (500, 4, 4), "{seen:?} {version}");
    let total = load_view::<AccountView, _>(place.store.as_ref(), TENANT, &BALANCES, "all").await?;
    ensure!(total.is_some_and(|(total, version)| (total.cents, version) == (500, 5)));
    ensure!(dispatched.load(Ordering::Relaxed) == 5);
    // One commit each: what was refused or did nothing left nothing.
    ensure!(place.store.head(TENANT).await?.log_seq == 5);
    Ok(())
}

async fn a_stale_decision_is_a_conflict_and_leaves_nothing(place: Place) -> Result<()> {
    let repository = place.repository().await?.with_snapshots(every(1), 1);
    let store = repository.event_store::<Account>();
    framework(&repository).execute("a-1", Command::Open).await?;
    let (first, second) = (store.load_aggregate("a-1").await?, store.load_aggregate("a-1").await?);
    ensure!((first.sequence(), second.sequence()) == (1, 1));
    let deposit = |cents| vec![AccountEvent::Deposited { cents }];
    store.commit(deposit(1), first, HashMap::new()).await?;
    let lost = store.commit(deposit(2), second, HashMap::new()).await;
    ensure!(matches!(lost, Err(AggregateError::AggregateConflict)), "{lost:?}");
    ensure!(view(&place, "a-1").await?.is_some_and(|(view, version)| (view.cents, version) == (1, 2)));
    ensure!(told(&repository, "a-1").await?.cents == 1);
    let stale = repository.get_events::<Account>("a-1").await?;
    let stale = repository.persist::<Account>(&stale[..1], None).await;
    ensure!(matches!(stale, Err(PersistenceError::OptimisticLockError)), "{stale:?}");
    repository.persist::<Account>(&[], None).await?;
    Ok(())
}

fn refusal(result: Result<(), AggregateError<account::Refused>>) -> Result<Refusal> {
    match result {
        Err(AggregateError::UnexpectedError(error)) => match error.downcast::<Refusal>() {
            Ok(refusal) => Ok(*refusal),
            Err(other) => bail!("another error: {other}"),
        },
        other => bail!("expected a refusal, got {other:?}"),
    }
}

async fn a_command_that_is_sent_again_is_a_duplicate(place: Place) -> Result<()> {
    let repository = place.repository().await?;
    let framework = framework(&repository);
    for account in ["a-1", "a-2"] {
        framework.execute(account, Command::Open).await?;
    }
    let id = "01980000-0000-7000-8000-00000000000a";
    let once = || metadata(&[("command_id", id)]);
    framework.execute_with_metadata("a-1", Command::Deposit(5, 1), once()).await?;
    for events in [1, 3] {
        let again = framework.execute_with_metadata("a-1", Command::Deposit(5, events), once()).await;
        ensure!(refusal(again)? == Refusal::Duplicate(id.parse()?));
    }
    let elsewhere = framework.execute_with_metadata("a-2", Command::Deposit(5, 1), once()).await;
    ensure!(refusal(elsewhere)? == Refusal::Mismatch(id.parse()?));
    let nonsense = metadata(&[("command_id", "tuesday")]);
    let nonsense = framework.execute_with_metadata("a-1", Command::Deposit(5, 1), nonsense).await;
    ensure!(matches!(refusal(nonsense)?, Refusal::Invalid(_)));
    ensure!(told(&repository, "a-1").await?.cents == 5 && told(&repository, "a-2").await?.cents == 0);
    ensure!(view(&place, "a-1").await?.is_some_and(|(view, _)| view.cents == 5));
    Ok(())
}

/// The library's own stores over the repository, and ours: all of them see each event once.
async fn a_snapshot_holds_each_event_once(place: Place) -> Result<()> {
    let repository = place.repository().await?.with_snapshots(every(5), 1);
    let of_library = || PersistedEventStore::<_, Account>::new_snapshot_store(repository.clone(), 3);
    let without_events = || PersistedEventStore::<_, Account>::new_aggregate_store(repository.clone());
    for (account, round) in [("ours", 0), ("library", 1), ("aggregate", 2)] {
        for step in 0..23 {
            let command = if step == 0 { Command::Open } else { Command::Deposit(10, 1 + step % 2) };
            match round {
                0 => framework(&repository).execute(account, command).await?,
                1 => CqrsFramework::new(of_library(), vec![], ()).execute(account, command).await?,
                _ => CqrsFramework::new(without_events(), vec![], ()).execute(account, command).await?,
            }
        }
        let expected = told(&repository, account).await?;
        ensure!((expected.cents, expected.events) == (330, 34), "{account}: {expected:?}");
        for mut loaded in
            [of_library().load_aggregate(account).await?, without_events().load_aggregate(account).await?]
        {
            ensure!(*loaded.aggregate() == expected, "{account}: {:?}", loaded.aggregate());
            ensure!(loaded.current_sequence == 34);
        }
        ensure!(*repository.event_store::<Account>().load_aggregate(account).await?.aggregate() == expected);
        let kept = place.store.snapshot(TENANT, "stream", &format!("account:{account}"), i64::MAX).await?;
        let kept = kept.expect("a snapshot was taken");
        let state: Account = serde_json::from_slice(&kept.payload)?;
        ensure!(state.events == kept.as_of_seq && kept.as_of_seq >= 25, "{account}: {kept:?}");
        ensure!(
            view(&place, account).await?.is_some_and(|(view, version)| (view.cents, version) == (330, 34))
        );
    }
    Ok(())
}

/// A snapshot that cannot be read, is of another schema, or of other events is passed over.
async fn a_snapshot_that_does_not_fit_is_passed_over(place: Place) -> Result<()> {
    let repository = place.repository().await?.with_snapshots(every(2), 1);
    for command in [Command::Open, Command::Deposit(10, 2), Command::Deposit(10, 1)] {
        framework(&repository).execute("a-1", command).await?;
    }
    let expected = told(&repository, "a-1").await?;
    let taken = place.store.snapshot(TENANT, "stream", "account:a-1", i64::MAX).await?.expect("it was taken");
    let lie = serde_json::to_vec(&Account { cents: 999, ..expected.clone() })?;
    let other = place.store.read(&robson_eventlog::EventQuery::all(TENANT)).await?.events[0].event_id;
    let later = |n: i64, change: fn(Snapshot) -> Snapshot| {
        // Each takes the place of the one before it, at one place of the log.
        let created_at: Timestamp = format!("2097-01-01T00:00:0{n}Z").parse().expect("an instant");
        change(Snapshot { payload: lie.clone(), created_at, ..taken.clone() })
    };
    let ahead = |snapshot: Snapshot| Snapshot { as_of_seq: 90, as_of_log_seq: 90, ..snapshot };
    for misfit in [
        later(1, |snapshot| Snapshot { payload: b"{".to_vec(), ..snapshot }),
        later(2, |snapshot| Snapshot { schema_version: 2, ..snapshot }),
        Snapshot { as_of_event_id: Some(other), ..later(3, |snapshot| snapshot) },
        later(4, |snapshot| Snapshot { compression: Some("zip".to_owned()), ..snapshot }),
        later(5, ahead),
    ] {
        let snapshots = vec![misfit.clone()];
        repository.ledger().append(Append { snapshots, ..Append::default() }).await?;
        let mut loaded = repository.event_store::<Account>().load_aggregate("a-1").await?;
        ensure!(*loaded.aggregate() == expected, "{misfit:?}: {:?}", loaded.aggregate());
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "how much contention there was")]
async fn concurrent_commands_are_neither_lost_nor_doubled(place: Place) -> Result<()> {
    const WORKERS: usize = 16;
    const COMMANDS: usize = 50;
    let repository = place.repository().await?.with_snapshots(every(20), 1);
    framework(&repository).execute("hot", Command::Open).await?;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let repository = repository.clone();
        workers.spawn(async move {
            let framework = framework(&repository);
            let mut conflicts = 0;
            for number in 0..COMMANDS {
                let tag = format!("{worker}/{number}");
                loop {
                    match framework
                        .execute_with_metadata("hot", Command::Deposit(1, 1), metadata(&[("tag", &tag)]))
                        .await
                    {
                        Ok(()) => break,
                        Err(AggregateError::AggregateConflict) => conflicts += 1,
                        Err(error) => bail!("{tag}: {error}"),
                    }
                }
            }
            Ok(conflicts)
        });
    }
    let mut conflicts = 0;
    while let Some(worker) = workers.join_next().await {
        conflicts += worker??;
    }
    let events = repository.event_store::<Account>().load_events("hot").await?;
    let tags: BTreeSet<&String> = events.iter().filter_map(|event| event.metadata.get("tag")).collect();
    let all = WORKERS * COMMANDS;
    println!("{all} commands, {conflicts} conflicts");
    ensure!((events.len(), tags.len()) == (all + 1, all), "{} events, {} tags", events.len(), tags.len());
    ensure!(events.iter().zip(1..).all(|(event, sequence)| event.sequence == sequence));
    let expected = i64::try_from(all)?;
    let mut loaded = repository.event_store::<Account>().load_aggregate("hot").await?;
    ensure!(loaded.aggregate().cents == expected && told(&repository, "hot").await?.cents == expected);
    ensure!(
        view(&place, "hot")
            .await?
            .is_some_and(|(view, version)| (view.cents, version) == (expected, expected + 1))
    );
    ensure!(conflicts > 0, "nobody got in another's way: this showed nothing");
    Ok(())
}

/// An event that somebody put into an aggregate's stream, which is none.
fn stranger(stream: &str) -> Result<NewEvent> {
    let stream: StreamKey = stream.parse()?;
    let payload = Payload::new(&json!({"what": "is this"}))?;
    Ok(NewEvent::new(stream, "STRANGE".parse()?, payload, Timestamp::EPOCH))
}

async fn a_replay_reads_all_pages_and_tells_what_it_cannot_read(place: Place) -> Result<()> {
    // Without views, which would refuse the stranger.
    let repository = place.plain_repository().await?;
    let framework = framework(&repository);
    for account in ["a", "b", "c"] {
        framework.execute(account, Command::Open).await?;
        framework.execute(account, Command::Deposit(1, 449)).await?;
    }
    let mut foreign = Append::events(vec![stranger("account:b")?, stranger("accounting:x")?, stranger("a")?]);
    foreign.expected.push(("account:b".parse()?, Expected::Exact(450)));
    ensure!(matches!(repository.ledger().append(foreign).await?, Outcome::Appended(_)));
    framework.execute("c", Command::Deposit(1, 1)).await?;

    let replayed = async |account: Option<&str>| {
        let (count, errors) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut replay = QueryReplay::new(repository.clone(), Told(Arc::clone(&count)));
        let told = Arc::clone(&errors);
        replay
            .use_error_handler(Box::new(move |error| told.lock().expect("no panic").push(error.to_string())));
        match account {
            Some(account) => replay.replay(account).await?,
            None => replay.replay_all().await?,
        }
        let errors = errors.lock().expect("no panic").clone();
        anyhow::Ok((count.load(Ordering::Relaxed), errors.len()))
    };
    ensure!(replayed(None).await? == (1_351, 1));
    ensure!(replayed(Some("b")).await? == (450, 1));
    ensure!(replayed(Some("c")).await? == (451, 0));
    ensure!(replayed(Some("nobody")).await? == (0, 0));
    place.store.close().await;
    let cut_off = replayed(None).await?;
    ensure!(cut_off == (0, 1), "{cut_off:?}");
    Ok(())
}

async fn a_view_that_cannot_follow_refuses_the_event(place: Place) -> Result<()> {
    let repository = place.repository().await?;
    let framework = framework(&repository);
    framework.execute("a-1", Command::Open).await?;
    let refused = refusal(framework.execute("a-1", Command::Deposit(account::UNVIEWABLE, 1)).await)?;
    ensure!(matches!(refused, Refusal::View(_)), "{refused:?}");
    framework.execute("a-1", Command::Deposit(7, 1)).await?;
    ensure!(told(&repository, "a-1").await?.events == 2);
    ensure!(view(&place, "a-1").await?.is_some_and(|(view, version)| (view.cents, version) == (7, 2)));
    Ok(())
}

async fn older_events_are_read_as_the_newest(place: Place) -> Result<()> {
    let repository = place.repository().await?;
    let old = json!({"Deposit": {"euros": 3}});
    let mut event = stranger("account:a-1")?;
    (event.payload, event.event_type) = (Payload::new(&old)?, "Deposited".parse()?);
    let upcaster = SemanticVersionEventUpcaster::new(
        "Deposited",
        "1.2.0",
        Box::new(|old| json!({"Deposited": {"cents": old["Deposit"]["euros"].as_i64().unwrap_or(0) * 100}})),
    );
    let plain = place.plain_repository().await?;
    plain.ledger().append(Append::events(vec![event])).await?;
    ensure!(plain.event_store::<Account>().load_aggregate("a-1").await.is_err());
    let upcasting = plain.clone().with_upcasters(vec![Box::new(upcaster)]);
    ensure!(upcasting.event_store::<Account>().load_aggregate("a-1").await?.aggregate().cents == 300);
    drop(repository);
    Ok(())
}

macro_rules! on_each_backend {
    ($($story:ident),+ $(,)?) => {
        mod on_memory { $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> { super::$story(super::Place::memory().await?).await })+ }
        mod on_sqlite { $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> { super::$story(super::Place::sqlite().await?).await })+ }
        mod on_postgres { $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> { super::$story(super::Place::postgres().await?).await })+ }
    };
}

on_each_backend!(
    a_command_becomes_events_and_views_in_one_commit,
    a_stale_decision_is_a_conflict_and_leaves_nothing,
    a_command_that_is_sent_again_is_a_duplicate,
    a_snapshot_holds_each_event_once,
    a_snapshot_that_does_not_fit_is_passed_over,
    concurrent_commands_are_neither_lost_nor_doubled,
    a_replay_reads_all_pages_and_tells_what_it_cannot_read,
    a_view_that_cannot_follow_refuses_the_event,
    older_events_are_read_as_the_newest,
);
