//! A small log: a long that was closed with a gain by its trailing stop, and a short that the risk gate refused.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use robson_cli::db::Database;
use robson_cli::printer::Printer;
use robson_domain::Event;
use robson_eventlog::{
    Append, Clock, EventId, Ledger, LedgerOptions, Outcome, Store as _, TenantId, Timestamp, WriterId,
};
use robson_projector::{TraderTables, new_event, time_of};
use robson_store::AnyStore;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub(crate) const LONG: &str = "01970000-0000-8000-8000-0000000000b1";
pub(crate) const SHORT: &str = "01970000-0000-8000-8000-0000000000b2";

pub(crate) const ACCOUNT: &str = "01970000-0000-8000-8000-0000000000a1";
const ENTRY: &str = "01970000-0000-8000-8000-0000000000c1";
const EXIT: &str = "01970000-0000-8000-8000-0000000000c2";
const SIGNAL: &str = "01970000-0000-8000-8000-0000000000e2";
const DETECTOR: &str = "01970000-0000-8000-8000-0000000000e3";
const DECISION: &str = "01970000-0000-8000-8000-0000000000e1";

/// A clock that is set.
#[derive(Debug)]
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn at(hour: u32) -> Timestamp {
    format!("2026-01-{:02}T{:02}:00:00Z", 2 + hour / 24, hour % 24).parse().unwrap()
}

/// Writes the log into a store; its tables with it.
pub(crate) async fn write_log(store: AnyStore) -> Arc<AnyStore> {
    let store = Arc::new(store);
    store.register(TENANT).await.unwrap();
    let clock = Arc::new(SetClock(Mutex::new(at(0))));
    let options = LedgerOptions {
        projections: vec![Arc::new(TraderTables)],
        ..LedgerOptions::new(TENANT, WriterId::new("test").unwrap(), Arc::clone(&clock) as Arc<dyn Clock>)
    };
    let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
    let mut cause: Option<EventId> = None;
    for (index, (hour, event_type, payload)) in log().into_iter().enumerate() {
        *clock.0.lock().unwrap() = at(hour);
        let event = Event::decode(event_type, payload).unwrap();
        let mut new = new_event(&event, time_of(at(hour))).unwrap();
        new.trace.causation_id = cause;
        new.dedupe_key = new.dedupe_key.or_else(|| Some(format!("small-log/{index}").parse().unwrap()));
        match ledger.append(Append::events(vec![new])).await.unwrap() {
            Outcome::Appended(appended) => cause = Some(appended.events[0].event_id),
            other => panic!("{event_type}: {other:?}"),
        }
    }
    ledger.close().await;
    store
}

/// The log in memory, to be read.
pub(crate) async fn database() -> Database {
    let store =
        write_log(AnyStore::open(&"memory:".parse().unwrap(), &Default::default()).await.unwrap()).await;
    Database::on(store, None).await.unwrap()
}

fn log() -> Vec<(u32, &'static str, Value)> {
    let mut log = vec![
        (0, "TENANT_REGISTERED", json!({ "tenant_id": TENANT.to_string(), "name": "default" })),
        (
            0,
            "ACCOUNT_LINKED",
            json!({ "account_id": ACCOUNT, "exchange": "paper", "profile": "default", "testnet": true }),
        ),
        (
            0,
            "RISK_LIMIT_EXCEEDED",
            json!({
                "account_id": ACCOUNT, "limit": "operator", "limit_value": "400", "actual_value": "0",
                "period": "2026-01", "action": "cleared", "capital_base": "10000", "reason": "a new month",
            }),
        ),
        (
            0,
            "BALANCE_SAMPLED",
            json!({
                "account_id": ACCOUNT, "asset": "USD", "free": "10000", "locked": "0", "total": "10000",
                "sampled_at": at(0),
            }),
        ),
    ];
    log.extend(entry());
    log.extend(fills_and_stops());
    log.extend(exit());
    log.extend(refusal());
    log
}

fn armed(position: &str, side: &str, detector: &str, hour: u32) -> [(u32, &'static str, Value); 2] {
    [
        (
            hour,
            "POSITION_ARMED",
            json!({
                "position_id": position, "account_id": ACCOUNT, "symbol": "BTCUSD", "side": side,
                "entry_mode": "confirmed_trend", "approval_mode": "automatic", "trailing_policy": "continuous",
                "risk_capital": "10000", "risk_pct": "0.01", "armed_at": at(hour),
            }),
        ),
        (
            hour,
            "DETECTOR_STARTED",
            json!({
                "position_id": position, "detector_id": detector, "strategy": "confirmed_trend",
                "params": { "attempt": 1 },
            }),
        ),
    ]
}

fn entry() -> Vec<(u32, &'static str, Value)> {
    let client = format!("rbe-{}", ENTRY.replace('-', ""));
    let mut log = armed(LONG, "long", DETECTOR, 1).to_vec();
    log.extend([
        (
            9,
            "SIGNAL_DETECTED",
            json!({
                "position_id": LONG, "signal_id": SIGNAL, "detector_id": DETECTOR, "symbol": "BTCUSD",
                "side": "long", "price": "95000", "indicators": { "fast": "94950.5", "slow": "94900" },
                "detected_at": at(9),
            }),
        ),
        (9, "DETECTOR_STOPPED", json!({ "position_id": LONG, "detector_id": DETECTOR, "cause": "fired" })),
        (
            9,
            "TECHNICAL_STOP_ANALYZED",
            json!({
                "position_id": LONG, "signal_id": SIGNAL, "timeframe": "1h", "candles": 100,
                "entry_price": "95000", "stop_price": "93500", "method": "swing", "configured_level_n": 2,
                "level_n": 3,
                "skipped_levels": [{ "level": "94950", "distance": "50", "reason": "below_min" }],
                "confidence": "medium",
            }),
        ),
        (
            9,
            "RISK_CHECK_PASSED",
            json!({
                "account_id": ACCOUNT, "decision_id": DECISION, "position_id": LONG,
                "checks_performed": ["trading_halted", "entries_stopped", "monthly_drawdown"],
                "exposure_before": "0", "exposure_after": "99.57449175", "planned_risk": "99.57449175",
                "capital_base": "10000",
            }),
        ),
        (
            9,
            "DECISION_PROPOSED",
            json!({
                "position_id": LONG, "decision_id": DECISION, "signal_id": SIGNAL, "action": "enter",
                "symbol": "BTCUSD", "side": "long", "entry_price": "95000", "stop_price": "93500",
                "stop_distance": "1500", "quantity": "0.059", "planned_risk": "99.57449175",
            }),
        ),
        (
            9,
            "INTENT_CREATED",
            json!({
                "intent_id": ENTRY, "account_id": ACCOUNT, "decision_id": DECISION, "position_id": LONG,
                "order_id": ENTRY, "intent_type": "place_entry", "attempt": 1, "symbol": "BTCUSD",
                "side": "buy", "quantity": "0.059", "client_order_id": client,
            }),
        ),
        (
            9,
            "ORDER_SUBMITTED",
            json!({
                "order_id": ENTRY, "account_id": ACCOUNT, "position_id": LONG, "intent_id": ENTRY,
                "client_order_id": client, "symbol": "BTCUSD", "side": "buy", "order_type": "market",
                "role": "entry", "quantity": "0.059", "reduce_only": false,
            }),
        ),
    ]);
    log
}

fn fill(order: &str, trade: u32, side: &str, price: &str, quantity: &str, fee: &str, hour: u32) -> Value {
    json!({
        "order_id": order, "fill_id": Uuid::from_u128(u128::from(trade)).to_string(), "account_id": ACCOUNT,
        "venue": "paper", "exchange_order_id": "12", "exchange_trade_id": trade.to_string(),
        "symbol": "BTCUSD", "side": side, "fill_price": price, "fill_quantity": quantity, "fee": fee,
        "fee_asset": "USD", "fee_quote": fee, "fee_estimated": false, "is_maker": false, "filled_at": at(hour),
    })
}

fn fills_and_stops() -> Vec<(u32, &'static str, Value)> {
    let mut log = vec![
        (
            9,
            "ORDER_ACKED",
            json!({ "order_id": ENTRY, "exchange_order_id": "12", "status": "acknowledged", "acked_at": at(9) }),
        ),
        (9, "FILL_RECEIVED", fill(ENTRY, 34, "buy", "95010", "0.059", "2.802795", 9)),
        (
            9,
            "POSITION_OPENED",
            json!({
                "position_id": LONG, "account_id": ACCOUNT, "symbol": "BTCUSD", "side": "long",
                "entry_price": "95010", "entry_quantity": "0.059", "entry_filled_at": at(9),
                "technical_stop_price": "93500", "technical_stop_distance": "1500", "initial_stop": "93510",
                "entry_order_id": ENTRY,
            }),
        ),
    ];
    let mut stop = 93_510;
    for (hour, best) in [(10, 96_000), (12, 96_500), (15, 97_000), (20, 98_000), (25, 98_500)] {
        let moved = best - 1_500;
        log.push((
            hour,
            "TRAILING_STOP_UPDATED",
            json!({
                "position_id": LONG, "previous_stop": stop.to_string(), "new_stop": moved.to_string(),
                "trigger_price": best.to_string(), "favorable_extreme": best.to_string(), "timestamp": at(hour),
            }),
        ));
        stop = moved;
    }
    log
}

fn exit() -> Vec<(u32, &'static str, Value)> {
    let client = format!("rbx-{}", EXIT.replace('-', ""));
    vec![
        (
            30,
            "EXIT_TRIGGERED",
            json!({
                "position_id": LONG, "reason": "trailing_stop", "trigger_price": "96995", "stop_price": "97000",
                "timestamp": at(30),
            }),
        ),
        (
            30,
            "INTENT_CREATED",
            json!({
                "intent_id": EXIT, "account_id": ACCOUNT, "position_id": LONG, "order_id": EXIT,
                "intent_type": "place_exit", "attempt": 1, "symbol": "BTCUSD", "side": "sell",
                "quantity": "0.059", "client_order_id": client,
            }),
        ),
        (
            30,
            "ORDER_SUBMITTED",
            json!({
                "order_id": EXIT, "account_id": ACCOUNT, "position_id": LONG, "intent_id": EXIT,
                "client_order_id": client, "symbol": "BTCUSD", "side": "sell", "order_type": "market",
                "role": "exit", "quantity": "0.059", "reduce_only": true,
            }),
        ),
        (
            30,
            "ORDER_ACKED",
            json!({ "order_id": EXIT, "exchange_order_id": "13", "status": "acknowledged", "acked_at": at(30) }),
        ),
        (30, "FILL_RECEIVED", fill(EXIT, 35, "sell", "96990", "0.03", "1.45485", 30)),
        (30, "FILL_RECEIVED", fill(EXIT, 36, "sell", "96980", "0.029", "1.40621", 30)),
        (
            30,
            "POSITION_CLOSED",
            json!({
                "position_id": LONG, "exit_reason": "trailing_stop", "entry_price": "95010",
                "exit_price": "96985.0847457627", "quantity": "0.059", "realized_pnl": "116.53",
                "total_fees": "5.663855", "dust_quantity": "0", "exit_order_id": EXIT, "closed_at": at(30),
            }),
        ),
    ]
}

fn refusal() -> Vec<(u32, &'static str, Value)> {
    let detector = "01970000-0000-8000-8000-0000000000f3";
    let signal = "01970000-0000-8000-8000-0000000000f2";
    let mut log = armed(SHORT, "short", detector, 31).to_vec();
    log.extend([
        (
            33,
            "SIGNAL_DETECTED",
            json!({
                "position_id": SHORT, "signal_id": signal, "detector_id": detector, "symbol": "BTCUSD",
                "side": "short", "price": "95000", "indicators": { "fast": "94900", "slow": "94950.5" },
                "detected_at": at(33),
            }),
        ),
        (
            33,
            "RISK_CHECK_FAILED",
            json!({
                "account_id": ACCOUNT, "position_id": SHORT,
                "failed_checks": [
                    { "check": "risk_budget_insufficient", "limit": "70.42550825", "actual": "99.57449175" },
                ],
                "severity": "deny",
                "violation_reason": "the month has 70.42550825 left, the trade risks 99.57449175",
            }),
        ),
        (
            33,
            "SIGNAL_REJECTED",
            json!({
                "position_id": SHORT, "signal_id": signal, "reason_code": "risk_budget_insufficient",
                "reason": "the month has 70.42550825 left, the trade risks 99.57449175",
            }),
        ),
    ]);
    log
}

/// What was printed.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    /// A printer that prints here.
    pub(crate) fn printer(&self, is_json: bool) -> Printer {
        Printer::to(Box::new(self.clone()), is_json)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
