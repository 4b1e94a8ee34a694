//! The paper exchange on a store: what survives a restart, and what can be asked after a fault.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use robson_domain::{ClientOrderId, Fraction, Money, OrderSide, OrderType, Symbol, Timestamp};
use robson_eventlog::{Clock, Ledger, LedgerOptions, Store, TenantId, WriterId};
use robson_store::MemoryStore;
use robson_store::memory::FaultKind;
use robson_venue::exchange::{CancelOutcome, Exchange, Instrument, OrderLookup, OrderRequest, PlaceOutcome};
use robson_venue::feed::Tick;
use robson_venue::paper::{FaultPlan, PaperExchange, PaperRules, PaperState};

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> robson_eventlog::Timestamp {
        robson_eventlog::Timestamp::EPOCH
    }
}

type Paper = PaperExchange<MemoryStore>;

async fn open(store: &Arc<MemoryStore>, faults: FaultPlan) -> Paper {
    let tenant = TenantId("00000000-0000-0000-0000-000000000001".parse().unwrap());
    store.register(tenant).await.unwrap();
    let writer = WriterId::new("paper").unwrap();
    let options =
        LedgerOptions { patience: Duration::ZERO, ..LedgerOptions::new(tenant, writer, Arc::new(Still)) };
    let ledger = Ledger::open(Arc::clone(store), options).await.unwrap();
    let quote = "USD".parse().unwrap();
    let instrument = Instrument::with_default_filters(&symbol(), &quote);
    Paper::open(ledger, PaperState::new(PaperRules::new(quote), [instrument]), faults).await.unwrap()
}

/// An exchange whose market stands at 1000.
async fn ready(faults: FaultPlan) -> (Arc<MemoryStore>, Paper) {
    let store = Arc::new(MemoryStore::new());
    let paper = open(&store, faults).await;
    paper.fund_once("10000".parse().unwrap(), second(0)).await.unwrap();
    paper.on_tick(&tick(1)).await.unwrap();
    (store, paper)
}

fn symbol() -> Symbol {
    "BTCUSD".parse().unwrap()
}

fn second(n: i64) -> Timestamp {
    "2020-01-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_micros(n * 1_000_000)
}

fn tick(at: i64) -> Tick {
    Tick {
        symbol: Arc::new(symbol()),
        at: second(at),
        price: "1000".parse().unwrap(),
        quantity: "2".parse().unwrap(),
        side: None,
        path: None,
        bar: None,
        opens_bar: false,
        closes: None,
    }
}

fn id(text: &str) -> ClientOrderId {
    ClientOrderId::from(text.to_owned())
}

fn buy(name: &str, quantity: &str) -> OrderRequest {
    OrderRequest {
        client_order_id: id(name),
        symbol: symbol(),
        side: OrderSide::Buy,
        quantity: quantity.parse().unwrap(),
        reduce_only: false,
        order_type: OrderType::Market,
    }
}

async fn status(paper: &Paper, name: &str) -> String {
    match paper.order(&symbol(), &id(name)).await {
        OrderLookup::Found(report) => format!("{} {}", report.status, report.filled),
        OrderLookup::Absent => "absent".to_owned(),
        OrderLookup::Unknown => "unknown".to_owned(),
    }
}

fn always() -> Fraction {
    "1".parse().unwrap()
}

#[tokio::test]
async fn the_book_survives_a_restart() {
    let (store, paper) = ready(FaultPlan::NONE).await;
    assert!(matches!(paper.place(buy("a", "1")).await, PlaceOutcome::Confirmed(_)));
    let reports = paper.on_tick(&tick(2)).await.unwrap();
    assert_eq!(reports[0].filled.to_string(), "0.5");
    let before = paper.state().await;
    drop(paper);

    let paper = open(&store, FaultPlan::NONE).await;
    assert_eq!(paper.state().await, before);
    assert_eq!(paper.cursor().await, Some(second(2)));
    paper.fund_once("10000".parse::<Money>().unwrap(), second(0)).await.unwrap();
    assert_eq!(paper.state().await, before, "the account is funded once");
    assert_eq!(paper.on_tick(&tick(2)).await.unwrap(), reports, "the tick again: the same answer");
    assert_eq!(paper.state().await, before, "and nothing more");
    let PlaceOutcome::Confirmed(again) = paper.place(buy("a", "1")).await else {
        panic!("the order is known")
    };
    assert_eq!((again.exchange_order_id.as_deref(), again.filled.to_string()), (Some("1"), "0.5".to_owned()));
    paper.on_tick(&tick(3)).await.unwrap();
    assert_eq!(status(&paper, "a").await, "filled 1");
    let balance = &paper.balances().await.unwrap()[0];
    assert_eq!(balance.free.plus(balance.locked).unwrap(), balance.total);
    assert_eq!(paper.positions().await.unwrap()[0].quantity.to_string(), "1");
}

#[tokio::test]
async fn the_last_ticks_taken_in_again_bring_the_prices_back_and_write_nothing() {
    let (store, paper) = ready(FaultPlan::NONE).await;
    paper.place(buy("a", "1")).await;
    let reports = paper.on_tick(&tick(2)).await.unwrap();
    drop(paper);
    for last in [tick(2), Tick { quantity: "0".parse().unwrap(), ..tick(3) }] {
        let paper = open(&store, FaultPlan::NONE).await;
        let before = paper.state().await;
        let again = paper.on_tick(&last).await.unwrap();
        assert_eq!(again, if last.at == second(2) { reports.clone() } else { Vec::new() });
        assert_eq!(paper.state().await, before);
    }
    let paper = open(&store, FaultPlan::NONE).await;
    paper.on_tick(&tick(2)).await.unwrap();
    let PlaceOutcome::Confirmed(report) = paper.place(buy("b", "1")).await else {
        panic!("there is a price")
    };
    assert_eq!(report.accepted_at, second(2));
}

#[tokio::test]
async fn a_tick_without_effect_writes_nothing() {
    let (store, paper) = ready(FaultPlan::NONE).await;
    paper.place(buy("a", "1")).await;
    let head =
        || async { store.head(TenantId("00000000-0000-0000-0000-000000000001".parse().unwrap())).await };
    assert_eq!(head().await.unwrap().log_seq, 2);
    let quiet = Tick { quantity: "0".parse().unwrap(), ..tick(2) };
    assert!(paper.on_tick(&quiet).await.unwrap().is_empty());
    assert_eq!((head().await.unwrap().log_seq, paper.cursor().await), (2, Some(second(1))));
}

#[tokio::test]
async fn a_lost_request_leaves_proof_of_absence_and_goes_through_when_sent_again() {
    let (store, paper) = ready(FaultPlan { lost_request: always(), ..FaultPlan::NONE }).await;
    assert_eq!(paper.place(buy("a", "1")).await, PlaceOutcome::Unknown);
    assert_eq!(status(&paper, "a").await, "absent");
    drop(paper);
    let paper = open(&store, FaultPlan::NONE).await;
    paper.on_tick(&tick(1)).await.unwrap();
    assert!(matches!(paper.place(buy("a", "1")).await, PlaceOutcome::Confirmed(_)));
}

#[tokio::test]
async fn a_lost_reply_leaves_an_order_that_can_be_asked_for() {
    let (_, paper) = ready(FaultPlan { lost_reply: always(), ..FaultPlan::NONE }).await;
    assert_eq!(paper.place(buy("a", "1")).await, PlaceOutcome::Unknown);
    assert_eq!(status(&paper, "a").await, "acknowledged 0");
    paper.on_tick(&tick(2)).await.unwrap();
    assert_eq!(status(&paper, "a").await, "partial 0.5");
}

#[tokio::test]
async fn a_refusal_on_demand_is_kept_like_any_other() {
    let (store, paper) = ready(FaultPlan { refusal: always(), ..FaultPlan::NONE }).await;
    let refused = paper.place(buy("a", "1")).await;
    assert!(matches!(&refused, PlaceOutcome::Refused(refusal) if refusal.code == -2010));
    drop(paper);
    let paper = open(&store, FaultPlan::NONE).await;
    assert_eq!(paper.place(buy("a", "1")).await, refused);
    assert_eq!(status(&paper, "a").await, "rejected 0");
}

#[tokio::test]
async fn a_report_can_come_twice() {
    let (_, paper) = ready(FaultPlan { duplicate_report: always(), ..FaultPlan::NONE }).await;
    paper.place(buy("a", "0.5")).await;
    let reports = paper.on_tick(&tick(2)).await.unwrap();
    assert_eq!((reports.len(), &reports[0]), (2, &reports[1]));
}

#[tokio::test]
async fn a_cancel_answers_with_what_was_filled() {
    let (_, paper) = ready(FaultPlan::NONE).await;
    assert_eq!(paper.cancel(&symbol(), &id("a")).await, CancelOutcome::NotWorking);
    paper.place(buy("a", "1")).await;
    paper.on_tick(&tick(2)).await.unwrap();
    let CancelOutcome::Canceled(report) = paper.cancel(&symbol(), &id("a")).await else { panic!("it works") };
    assert_eq!((report.filled.to_string(), report.ended_at), ("0.5".to_owned(), Some(second(2))));
    assert_eq!(paper.cancel(&symbol(), &id("a")).await, CancelOutcome::NotWorking);
}

#[tokio::test]
async fn before_the_feed_begins_nothing_is_sent() {
    let paper = open(&Arc::new(MemoryStore::new()), FaultPlan::NONE).await;
    assert!(matches!(paper.place(buy("a", "1")).await, PlaceOutcome::Denied { .. }));
    assert!(paper.balances().await.is_err());
}

#[tokio::test]
async fn a_commit_that_goes_wrong_never_makes_two_orders() {
    for fault in [FaultKind::BeforeCommit, FaultKind::AfterCommit] {
        let (store, paper) = ready(FaultPlan::NONE).await;
        store.fail_next_commit(fault);
        let first = paper.place(buy("a", "1")).await;
        assert!(matches!(first, PlaceOutcome::Confirmed(_) | PlaceOutcome::Unknown), "{first:?}");
        let PlaceOutcome::Confirmed(report) = paper.place(buy("a", "1")).await else { panic!("sent again") };
        assert_eq!(report.exchange_order_id.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn an_exchange_that_lost_its_log_knows_nothing() {
    let (store, paper) = ready(FaultPlan::NONE).await;
    store.close().await;
    assert_eq!(paper.place(buy("a", "1")).await, PlaceOutcome::Unknown);
    assert_eq!(paper.order(&symbol(), &id("a")).await, OrderLookup::Unknown);
    assert!(paper.positions().await.is_err());
    assert!(paper.on_tick(&tick(2)).await.is_err());
}
