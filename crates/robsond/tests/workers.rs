//! Workers beside the trader: what they cannot deal with stops them, is remembered, and is decided about once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use robson_domain::{CommandId, Event};
use robson_eventlog::{
    Append, Clock, ConsumerState, ConsumerStatus, EventQuery, Ledger, LedgerOptions, NewEvent, Outcome,
    ParkedStatus, Payload, Store, TenantId, Timestamp, Verdict, WriterId,
};
use robson_projector::{TraderTables, event_of};
use robson_store::{AnyStore, MemoryStore};
use robsond::operator::Refused;
use robsond::parked::{Decision, decide};
use robsond::workers::Workers;
use serde_json::json;
use tokio::sync::watch;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
/// Within which a worker must have got somewhere.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        "2026-01-02T03:04:06Z".parse().unwrap()
    }
}

fn unknown(stream: &str) -> NewEvent {
    let payload = Payload::new(&json!({})).unwrap();
    NewEvent::new(stream.parse().unwrap(), "WRITTEN_BY_A_NEWER_ONE".parse().unwrap(), payload, Fixed.now())
}

fn options() -> LedgerOptions {
    LedgerOptions::new(TENANT, WriterId::new("bench").unwrap(), Arc::new(Fixed))
}

/// A log in which a newer program has left an event, reopened by this one.
async fn ledger() -> Ledger<AnyStore> {
    let store = Arc::new(AnyStore::Memory(MemoryStore::new()));
    store.register(TENANT).await.unwrap();
    let newer = Ledger::open(Arc::clone(&store), options()).await.unwrap();
    let events = vec![unknown("shop:1"), unknown("system:news")];
    assert!(matches!(newer.append(Append::events(events)).await.unwrap(), Outcome::Appended(_)));
    newer.close().await;
    let projections: Vec<Arc<dyn robson_eventlog::Projection>> = vec![Arc::new(TraderTables)];
    Ledger::open(store, LedgerOptions { projections, ..options() }).await.unwrap()
}

async fn until(
    status: &mut watch::Receiver<ConsumerStatus>,
    holds: impl FnMut(&ConsumerStatus) -> bool,
) -> ConsumerStatus {
    tokio::time::timeout(BOUND, status.wait_for(holds)).await.unwrap().unwrap().clone()
}

/// The codes of the alerts, in order.
async fn alerts(ledger: &Ledger<AnyStore>) -> Vec<(String, Option<String>)> {
    let log = ledger.store().read(&EventQuery::all(TENANT)).await.unwrap().events;
    let raised = log.iter().filter_map(|recorded| match event_of(recorded) {
        Ok(Event::OperatorAlertRaised(raised)) => Some((raised.code, raised.reason)),
        _ => None,
    });
    raised.collect()
}

#[tokio::test]
async fn a_worker_stops_at_an_unknown_event_until_it_is_skipped_with_a_reason() {
    let ledger = ledger().await;
    let workers = Workers::start(&ledger);
    let mut status = workers.statuses().remove(0);
    let stuck = until(&mut status, |status| matches!(status.state, ConsumerState::Stuck(_))).await;
    // The first one lies on somebody else's stream.
    assert!(stuck.stuck().unwrap().contains("event 2 (WRITTEN_BY_A_NEWER_ONE)"), "{stuck:?}");
    let stopped =
        ("consumer_stopped".to_owned(), Some("the event type WRITTEN_BY_A_NEWER_ONE is unknown".to_owned()));
    assert_eq!(alerts(&ledger).await, std::slice::from_ref(&stopped));

    let id = CommandId(Uuid::from_u128(7));
    let skip = |reason: &str| Decision {
        event: "2".to_owned(),
        consumer: None,
        verdict: Verdict::Skip,
        reason: reason.to_owned(),
    };
    assert!(matches!(decide(&ledger, id, "me", &skip("  ")).await, Err(Refused::Invalid(_))));
    let other = Decision { event: "3".to_owned(), ..skip("it is news") };
    assert!(matches!(decide(&ledger, id, "me", &other).await, Err(Refused::NotFound(_))));
    let skipped = decide(&ledger, id, "me", &skip("it is news")).await.unwrap();
    assert_eq!((skipped.status, skipped.attempts), (ParkedStatus::Skipped, 1));
    // The same command again does nothing more; another one under its id is no repetition.
    assert_eq!(decide(&ledger, id, "me", &skip("it is news")).await, Ok(skipped));
    assert!(matches!(decide(&ledger, id, "me", &skip("it is not")).await, Err(Refused::Mismatch(_))));
    let again = decide(&ledger, CommandId(Uuid::from_u128(8)), "me", &skip("it is news")).await;
    assert!(matches!(again, Err(Refused::WrongState(_))), "{again:?}");

    let head = ledger.store().head(TENANT).await.unwrap().log_seq;
    let done = until(&mut status, |status| status.done >= head).await;
    assert_eq!((done.state.clone(), done.lag, done.parked), (ConsumerState::Following, 0, 0));
    let skipped = ("event_skipped".to_owned(), Some("it is news".to_owned()));
    assert_eq!(alerts(&ledger).await, [stopped, skipped]);
    workers.stop().await;
    let checkpoint = ledger.store().checkpoint(TENANT, "alarms").await.unwrap();
    assert_eq!(checkpoint.map(|checkpoint| checkpoint.log_seq), Some(head));
}

#[tokio::test]
async fn a_retry_that_fails_again_is_counted_and_remembered_once() {
    let ledger = ledger().await;
    let workers = Workers::start(&ledger);
    let mut status = workers.statuses().remove(0);
    until(&mut status, |status| matches!(status.state, ConsumerState::Stuck(_))).await;
    let listed =
        robson_eventlog::parking::parked_events(ledger.store().as_ref(), TENANT, None).await.unwrap();
    let retry = Decision {
        event: listed[0].event_id.to_string(),
        consumer: Some("alarms".to_owned()),
        verdict: Verdict::Retry,
        reason: "the program was upgraded".to_owned(),
    };
    decide(&ledger, CommandId(Uuid::from_u128(7)), "me", &retry).await.unwrap();
    let attempts = |status: &ConsumerStatus| match &status.state {
        ConsumerState::Stuck(at) => at.attempts,
        _ => 0,
    };
    until(&mut status, |status| attempts(status) == 2).await;
    let codes: Vec<String> = alerts(&ledger).await.into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, ["consumer_stopped", "event_retried"]);
    workers.stop().await;
}
