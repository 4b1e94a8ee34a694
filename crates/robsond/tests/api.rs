//! The HTTP interface before a log with one position's story in it, and a trader that answers as it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use futures_util::StreamExt as _;
use robson_domain::{AccountId, CommandId, Event, PositionId, PositionState, Side, StrategyId};
use robson_eventlog::{
    Append, Clock, ConsumerState, ConsumerStatus, EventQuery, Ledger, LedgerOptions, Outcome, PARKED_EVENTS,
    ParkedEvent, ParkedStatus, Store as _, TableRows, TenantId, Timestamp, WriterId,
};
use robson_projector::{TraderTables, new_event};
use robson_store::{AnyStore, MemoryStore};
use robsond::api::{Api, Guard, LiveLedger, Serving, router};
use robsond::config::{ApiSettings, Environment};
use robsond::operator::{
    self, AccountStanding, Command, Done, Phase, Refused, TouchedPosition, TouchedStrategy,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(1));

/// What happened to the position of the samples, from its arming to its fill.
const STORY: &[&str] = &[
    "ACCOUNT_LINKED",
    "BALANCE_SAMPLED",
    "RISK_LIMIT_EXCEEDED",
    "STRATEGY_CREATED",
    "STRATEGY_ENABLED",
    "POSITION_ARMED",
    "DETECTOR_STARTED",
    "SIGNAL_DETECTED",
    "DETECTOR_STOPPED",
    "TECHNICAL_STOP_ANALYZED",
    "RISK_CHECK_PASSED",
    "DECISION_PROPOSED",
    "INTENT_CREATED",
    "ORDER_SUBMITTED",
    "INTENT_COMPLETED",
    "ORDER_ACKED",
    "FILL_RECEIVED",
    "POSITION_OPENED",
];

fn sample(event_type: &str) -> Event {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../robson-domain/samples").join(event_type);
    let text = std::fs::read_to_string(path.with_added_extension("v1.json")).unwrap();
    let sample: Value = serde_json::from_str(&text).unwrap();
    Event::decode(event_type, sample["payload"].clone()).unwrap()
}

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        "2026-01-02T03:04:06Z".parse().unwrap()
    }
}

const TOKEN: &str = "bench";

type Seen = Arc<Mutex<Vec<(CommandId, String, Command)>>>;

/// The interface, the log behind it, and what reached the trader.
struct Bench {
    router: Router,
    api: Api,
    ledger: Ledger<AnyStore>,
    seen: Seen,
    phase: watch::Sender<Phase>,
    stop: watch::Sender<bool>,
    /// What is sent with each request.
    token: Option<&'static str>,
}

fn settings(host: &str, token: Option<&str>) -> ApiSettings {
    ApiSettings {
        address: format!("{host}:0").parse().unwrap(),
        token: token.map(|token| token.parse().unwrap()),
    }
}

impl Bench {
    async fn plain() -> Self {
        let bench = Self::new(settings("127.0.0.1", Some(TOKEN)), Environment::Test, accept).await;
        Self { token: Some(TOKEN), ..bench }
    }

    async fn new(
        settings: ApiSettings,
        environment: Environment,
        trader: fn(&Command) -> Result<Done, Refused>,
    ) -> Self {
        let store = Arc::new(AnyStore::Memory(MemoryStore::new()));
        store.register(TENANT).await.unwrap();
        let options = LedgerOptions {
            projections: vec![Arc::new(TraderTables)],
            ..LedgerOptions::new(TENANT, WriterId::new("bench").unwrap(), Arc::new(Fixed))
        };
        let ledger = Ledger::open(Arc::clone(&store), options).await.unwrap();
        let seen = Seen::default();
        let (commands, mut requests) = mpsc::channel::<operator::Request>(4);
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let answer = trader(&request.command);
                noted.lock().unwrap().push((request.command_id, request.actor, request.command));
                request.reply.send(answer).unwrap();
            }
        });
        let (phase, phases) = watch::channel(Phase::Active { feed_at: None, ticks: 0 });
        let (stop, stopping) = watch::channel(false);
        let api = Api {
            store,
            tenant: TENANT,
            account_id: account(),
            commands,
            phase: phases,
            ledger: Arc::new(OnceLock::from(LiveLedger::of(&ledger))),
            guard: Guard::new(&settings, environment),
            new_command_id: Arc::new(|| Uuid::from_u128(42)),
            metrics: Some(robsond::metrics::install().unwrap()),
            poll_interval: Duration::from_millis(1),
        };
        let bench = Self {
            router: router(Arc::new(api.clone()), stopping),
            api,
            ledger,
            seen,
            phase,
            stop,
            token: None,
        };
        for event_type in STORY {
            bench.append(event_type).await;
        }
        bench
    }

    async fn append(&self, event_type: &str) {
        let event = new_event(&sample(event_type), "2026-01-02T03:04:05.678Z".parse().unwrap()).unwrap();
        let outcome = self.ledger.append(Append::events(vec![event])).await.unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{event_type}: {outcome:?}");
    }

    async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some(token) = self.token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().entry("Authorization").or_insert(bearer);
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.send(Request::get(path).body(Body::empty()).unwrap()).await).await
    }

    async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        read(self.send(Request::post(path).body(Body::from(body.to_owned())).unwrap()).await).await
    }

    async fn put(&self, path: &str, body: &str) -> (StatusCode, Value) {
        read(self.send(Request::put(path).body(Body::from(body.to_owned())).unwrap()).await).await
    }

    fn commands(&self) -> Vec<Command> {
        self.seen.lock().unwrap().iter().map(|(_, _, command)| command.clone()).collect()
    }
}

async fn read(response: Response<Body>) -> (StatusCode, Value) {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    (parts.status, value)
}

fn account() -> AccountId {
    serde_json::from_value(sample("POSITION_ARMED").payload()["account_id"].clone()).unwrap()
}

fn position() -> PositionId {
    serde_json::from_value(sample("POSITION_ARMED").payload()["position_id"].clone()).unwrap()
}

fn touched(position_id: PositionId, state: PositionState) -> TouchedPosition {
    TouchedPosition { position_id, symbol: "BTCUSD".parse().unwrap(), side: Side::Long, state }
}

fn accept(command: &Command) -> Result<Done, Refused> {
    let positions = match command {
        Command::Arm(_) => vec![touched(PositionId(Uuid::from_u128(7)), PositionState::Armed)],
        Command::Disarm { position_id } => vec![touched(*position_id, PositionState::Cancelled)],
        Command::Close { position_id } => vec![touched(*position_id, PositionState::Exiting)],
        Command::Signal(signal) => vec![touched(signal.position_id, PositionState::Entering)],
        Command::Panic | Command::Halt { .. } => vec![
            touched(PositionId(Uuid::from_u128(1)), PositionState::Closed),
            touched(PositionId(Uuid::from_u128(2)), PositionState::Cancelled),
        ],
        Command::Clear { position_id } => vec![touched(*position_id, PositionState::Active)],
        Command::Approve { .. } | Command::Deny { .. } => {
            vec![touched(PositionId(Uuid::from_u128(1)), PositionState::Entering)]
        }
        _ => Vec::new(),
    };
    let strategy = |strategy_id: StrategyId| TouchedStrategy {
        strategy_id,
        strategy_name: "breakout".to_owned(),
        is_enabled: !matches!(command, Command::DisableStrategy { .. }),
        config_version: 2,
    };
    let strategy = match command {
        Command::CreateStrategy(_) => Some(strategy(StrategyId(Uuid::from_u128(7)))),
        Command::EnableStrategy { strategy_id } | Command::DisableStrategy { strategy_id, .. } => {
            Some(strategy(*strategy_id))
        }
        Command::UpdateStrategy(update) => Some(strategy(update.strategy_id)),
        _ => None,
    };
    let entries_stopped = matches!(command, Command::Entries { enabled: false, .. });
    let halted = matches!(command, Command::Halt { .. });
    let account = AccountStanding { period: "2026-01".parse().unwrap(), halted, entries_stopped };
    Ok(Done { positions, strategy, account: Some(account) })
}

const ARM: &str = r#"{"symbol":"BTCUSD","side":"LONG"}"#;

#[tokio::test]
async fn arming_hands_every_field_to_the_trader_in_the_digits_that_were_sent() {
    let bench = Bench::plain().await;
    let body = r#"{"symbol":"BTCUSD","side":"SELL","entry_policy":{"mode":"immediate","approval":"human_confirmation"},
        "trailing_policy":"span","capital":1000.10,"risk_percent":"0.5",
        "strategy_id":"00000000-0000-0000-0000-000000000009"}"#;
    let (status, answer) = bench.post("/api/v1/positions", body).await;
    assert_eq!(status, StatusCode::CREATED);
    let expected = json!({
        "position_id": "00000000-0000-0000-0000-000000000007", "symbol": "BTCUSD", "side": "long", "state": "armed",
    });
    assert_eq!(answer, expected);
    let Command::Arm(arm) = bench.commands().remove(0) else { panic!("not an arm") };
    let shown = serde_json::to_value(arm).unwrap();
    let expected = json!({
        "symbol": "BTCUSD", "side": "short", "entry": "immediate", "trailing": "span",
        "capital": "1000.1", "risk": "0.005", "approval": "human_confirmation",
        "strategy_id": "00000000-0000-0000-0000-000000000009",
    });
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_cannot_be_armed_is_refused_with_a_sentence_and_never_reaches_the_trader() {
    let bench = Bench::plain().await;
    let check = async |body: &str, expected: &str| {
        let (status, answer) = bench.post("/api/v1/positions", body).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{body}: {answer}");
        assert_eq!(
            status,
            if expected.contains("not traded") { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST }
        );
    };
    check("", "the body is empty").await;
    check("{", "the body cannot be used: EOF").await;
    check(r#"{"side":"LONG"}"#, "missing field `symbol`").await;
    check(r#"{"symbol":"BTCUSD","side":"UP"}"#, "`UP` is not a valid side").await;
    check(r#"{"symbol":"BTCUSD","side":"LONG","size":1}"#, "unknown field `size`, expected one of `symbol`")
        .await;
    check(r#"{"symbol":"BTCUSD","symbol":"X","side":"LONG"}"#, "duplicate field `symbol`").await;
    check(r#"{"symbol":"BTCUSD","side":"LONG","capital":0}"#, "capital: 0 is not above 0").await;
    check(r#"{"symbol":"BTCUSD","side":"LONG","capital":1e400}"#, "`1e400` is not a decimal number").await;
    check(r#"{"symbol":"BTCUSD","side":"LONG","risk_percent":1.01}"#, "risk_percent: 1.01 is not above 0")
        .await;
    check(r#"{"symbol":"BTCUSD","side":"LONG","risk_percent":"-1"}"#, "risk_percent: -1 is not above 0")
        .await;
    check(
        r#"{"symbol":"BTCUSD","side":"LONG","entry_policy":{"mode":"immediate","approval":"nobody"}}"#,
        "`nobody` is not a approval mode",
    )
    .await;
    check(
        r#"{"symbol":"BTCUSD","side":"LONG","account_id":"00000000-0000-0000-0000-000000000009"}"#,
        "is not traded here",
    )
    .await;
    let huge = format!(r#"{{"symbol":"{}"}}"#, "X".repeat(100_000));
    assert_eq!(bench.post("/api/v1/positions", &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(bench.commands(), []);
}

#[tokio::test]
async fn the_idempotency_key_is_the_commands_id() {
    let bench = Bench::plain().await;
    let key = "0190a0b0-0000-7000-8000-000000000001";
    let request = |key: &str| {
        Request::post("/api/v1/panic")
            .header("Idempotency-Key", key)
            .header("X-Robson-Operator", "ana")
            .body(Body::empty())
            .unwrap()
    };
    let response = bench.send(request(key)).await;
    assert_eq!(response.headers()["idempotency-key"], key);
    let without = bench.send(Request::post("/api/v1/panic").body(Body::empty()).unwrap()).await;
    assert_eq!(without.headers()["idempotency-key"], Uuid::from_u128(42).to_string());
    let seen: Vec<_> =
        bench.seen.lock().unwrap().iter().map(|(id, actor, _)| (id.0, actor.clone())).collect();
    let expected = [(key.parse().unwrap(), "ana".to_owned()), (Uuid::from_u128(42), "http".to_owned())];
    assert_eq!(seen, expected);
    let (status, answer) = read(bench.send(request("7")).await).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("invalid")));
}

#[tokio::test]
async fn each_route_becomes_its_command() {
    let bench = Bench::plain().await;
    let id = position();
    let path = format!("/api/v1/positions/{id}");
    let deleted = bench.send(Request::delete(&path).body(Body::empty()).unwrap()).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(bench.post(&format!("{path}/close"), "").await.1["state"], "exiting");
    let signal = r#"{"entry_price":"95000","stop_loss":93500.5}"#;
    assert_eq!(bench.post(&format!("{path}/signal"), signal).await.1["state"], "entering");
    let (_, panicked) = bench.post("/api/v1/panic", "").await;
    assert_eq!(panicked["closed_positions"], json!(["00000000-0000-0000-0000-000000000001"]));
    assert_eq!(panicked["count"], 1);
    let names: Vec<_> = bench.commands().iter().map(Command::name).collect();
    assert_eq!(names, ["disarm", "close", "signal", "panic"]);
    let other = r#"{"position_id":"00000000-0000-0000-0000-000000000009","entry_price":1,"stop_loss":2}"#;
    assert_eq!(bench.post(&format!("{path}/signal"), other).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bench.post("/api/v1/positions/x/close", "").await.1["error"], "`x` is not an id (a UUID)");
}

#[tokio::test]
async fn each_act_on_account_strategies_and_approvals_becomes_its_command() {
    let bench = Bench::plain().await;
    let reason = r#"{"reason":"news at noon"}"#;
    let (status, halted) = bench.post("/api/v1/monthly-halt", reason).await;
    assert_eq!(
        (status, &halted["halted"], &halted["period"]),
        (StatusCode::OK, &json!(true), &json!("2026-01"))
    );
    let stop = r#"{"enabled":false,"reason":"news at noon"}"#;
    let (status, entries) = bench.put("/api/v1/entries", stop).await;
    let expected = json!({ "period": "2026-01", "halted": false, "entries_stopped": true });
    assert_eq!((status, entries), (StatusCode::OK, expected));
    let strategy = r#"{"name":"breakout","type":"trend","risk_config":{"max_exposure":2500.50}}"#;
    let (status, made) = bench.post("/api/v1/strategies", strategy).await;
    assert_eq!((status, &made["strategy_name"]), (StatusCode::CREATED, &json!("breakout")));
    let path = format!("/api/v1/strategies/{}", Uuid::from_u128(7));
    let config = r#"{"risk_config":{"daily_loss_limit":"100"},"detector_config":{"fast":9}}"#;
    assert_eq!(bench.put(&format!("{path}/config"), config).await.0, StatusCode::OK);
    assert_eq!(bench.post(&format!("{path}/enable"), "").await.1["is_enabled"], true);
    assert_eq!(bench.post(&format!("{path}/disable"), reason).await.1["is_enabled"], false);
    assert_eq!(
        bench.post(&format!("{path}/disable"), "").await.0,
        StatusCode::OK,
        "a reason may be left out"
    );
    let waiting = format!("/api/v1/approvals/{}", Uuid::nil());
    assert_eq!(bench.post(&format!("{waiting}/approve"), "").await.1["state"], "entering");
    assert_eq!(bench.post(&format!("{waiting}/deny"), "").await.0, StatusCode::OK);
    let clear = format!("/api/v1/positions/{}/clear", position());
    assert_eq!(bench.post(&clear, "").await.1["state"], "active");
    let commands = bench.commands();
    let names: Vec<_> = commands.iter().map(Command::name).collect();
    let expected = [
        "halt",
        "stop_entries",
        "create_strategy",
        "update_strategy",
        "enable_strategy",
        "disable_strategy",
        "disable_strategy",
        "approve",
        "deny",
        "clear",
    ];
    assert_eq!(names, expected);
    let shown = serde_json::to_value(&commands[2]).unwrap();
    assert_eq!(shown["risk_config"], json!({ "max_exposure": "2500.5" }), "in the digits that were sent");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(201));
    for body in ["", "{}", r#"{"reason":" "}"#, r#"{"reason":"a\u0000b"}"#, long.as_str()] {
        assert_eq!(bench.post("/api/v1/monthly-halt", body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(bench.put("/api/v1/entries", reason).await.0, StatusCode::BAD_REQUEST, "it must say which");
    let float = r#"{"name":"x","type":"y","detector_config":{"fast":0.5}}"#;
    assert_eq!(bench.post("/api/v1/strategies", float).await.0, StatusCode::BAD_REQUEST, "no floats");
}

#[tokio::test]
async fn halt_approvals_and_strategies_can_be_looked_at() {
    let bench = Bench::plain().await;
    let (_, halt) = bench.get("/api/v1/monthly-halt").await;
    assert_eq!(
        (&halt["halted"], &halt["since"], &halt["reason"]),
        (&json!(false), &json!(null), &json!(null))
    );
    assert!(halt["budget"]["remaining"].is_string(), "{halt}");
    assert_eq!(bench.get("/api/v1/approvals").await.1, json!({ "approvals": [] }));
    let (_, all) = bench.get("/api/v1/strategies").await;
    assert_eq!(all["strategies"].as_array().unwrap().len(), 1);
    assert_eq!(all["strategies"][0]["is_enabled"], true);
    assert_eq!(bench.get("/api/v1/strategies?name=nobody").await.1["strategies"], json!([]));
}

#[tokio::test]
async fn a_refusal_has_the_status_of_its_kind() {
    fn refuse(command: &Command) -> Result<Done, Refused> {
        Err(match command {
            Command::Arm(_) => Refused::RiskDenied("the month's budget is spent".to_owned()),
            Command::Disarm { .. } => Refused::WrongState("the position is active".to_owned()),
            Command::Close { .. } => Refused::NotFound("there is no such position".to_owned()),
            Command::Signal(_) => Refused::Mismatch("the id was used before".to_owned()),
            Command::Approve { .. } => Refused::Expired("it came too late".to_owned()),
            _ => Refused::Unknown("the venue does not answer".to_owned()),
        })
    }
    let bench = Bench::new(settings("127.0.0.1", Some(TOKEN)), Environment::Test, refuse).await;
    let bench = Bench { token: Some(TOKEN), ..bench };
    let (status, answer) = bench.post("/api/v1/positions", ARM).await;
    assert_eq!(
        (status.as_u16(), answer),
        (409, json!({ "error": "the month's budget is spent", "code": "risk_denied" }))
    );
    let path = format!("/api/v1/positions/{}", position());
    let deleted = read(bench.send(Request::delete(&path).body(Body::empty()).unwrap()).await).await;
    assert_eq!((deleted.0.as_u16(), &deleted.1["code"]), (409, &json!("wrong_state")));
    assert_eq!(bench.post(&format!("{path}/close"), "").await.0.as_u16(), 404);
    assert_eq!(bench.post("/api/v1/panic", "").await.0.as_u16(), 502);
    let (status, answer) = bench.post(&format!("/api/v1/approvals/{}/approve", Uuid::nil()), "").await;
    assert_eq!((status.as_u16(), &answer["code"]), (410, &json!("expired")));
}

#[tokio::test]
async fn nothing_is_asked_of_a_trader_that_does_not_trade() {
    let bench = Bench::plain().await;
    bench.phase.send_replace(Phase::Standby { writer: "vps/7".to_owned() });
    let (status, answer) = bench.post("/api/v1/positions", ARM).await;
    assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("not_ready")));
    assert_eq!(answer["error"], "this daemon stands by while vps/7 trades");
    assert_eq!(bench.commands(), []);
    let (status, ready) = bench.get("/ready").await;
    assert_eq!((status.as_u16(), &ready["reasons"]), (503, &json!(["vps/7 trades, this daemon stands by"])));
    assert_eq!(bench.get("/health").await.0, StatusCode::OK);
    bench.phase.send_replace(Phase::FeedEnded);
    assert_eq!(
        bench.get("/ready").await,
        (StatusCode::OK, json!({ "ready": true, "reasons": [], "phase": { "phase": "feed_ended" } }))
    );
    bench.ledger.store().close().await;
    assert_eq!(bench.get("/ready").await.1["reasons"], json!(["the store is closed"]));
    assert_eq!(bench.get("/api/v1/status").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_token_is_needed_for_changes_and_off_loopback_for_everything_but_health() {
    let ask = async |bench: &Bench, method: &str, path: &str, token: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        bench.send(request.body(Body::empty()).unwrap()).await.status().as_u16()
    };
    let at_home = Bench::new(settings("127.0.0.1", Some("open-sesame")), Environment::Test, accept).await;
    assert_eq!(ask(&at_home, "GET", "/api/v1/status", None).await, 200);
    assert_eq!(ask(&at_home, "POST", "/api/v1/panic", None).await, 401);
    assert_eq!(ask(&at_home, "POST", "/api/v1/panic", Some("open-sesamf")).await, 401);
    assert_eq!(ask(&at_home, "POST", "/api/v1/panic", Some("open-sesame")).await, 200);
    let off_loopback = settings("0.0.0.0", Some("open-sesame"));
    for bench in [
        Bench::new(off_loopback, Environment::Test, accept).await,
        Bench::new(settings("127.0.0.1", Some("open-sesame")), Environment::Production, accept).await,
    ] {
        for path in ["/api/v1/status", "/metrics", "/ready", "/api/v1/events", "/api/openapi.json"] {
            assert_eq!(ask(&bench, "GET", path, None).await, 401, "{path}");
            assert_eq!(ask(&bench, "GET", path, Some("open-sesame")).await, 200, "{path}");
        }
        assert_eq!(ask(&bench, "GET", "/health", None).await, 200);
    }
    let exposed = Bench::new(settings("0.0.0.0", None), Environment::Test, accept).await;
    assert_eq!(ask(&exposed, "POST", "/api/v1/panic", Some("")).await, 401);
}

#[tokio::test]
async fn nothing_can_be_changed_where_no_token_is_set() {
    let bench = Bench::new(settings("127.0.0.1", None), Environment::Test, accept).await;
    for request in [
        Request::post("/api/v1/panic"),
        Request::post("/api/v1/panic").header("Authorization", "Bearer "),
        Request::post("/api/v1/panic").header("Origin", "https://example.com"),
    ] {
        let answer = bench.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(bench.commands(), []);
}

#[tokio::test]
async fn signals_by_hand_are_off_in_production() {
    let bench = Bench::new(settings("127.0.0.1", Some("t")), Environment::Production, accept).await;
    let request = Request::post(format!("/api/v1/positions/{}/signal", position()))
        .header("Authorization", "Bearer t")
        .body(Body::from(r#"{"entry_price":1,"stop_loss":2}"#))
        .unwrap();
    assert_eq!(bench.send(request).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_known_is_said_in_json() {
    let bench = Bench::plain().await;
    assert_eq!(bench.get("/api/v1/nothing").await.1["code"], "not_found");
    assert_eq!(bench.post("/api/v1/status", "").await.1["code"], "method_not_allowed");
    let (status, answer) = bench.get("/api/v1/orders?colour=red").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["error"],
        "`colour` is unknown in the query: /api/v1/orders takes position_id, symbol, status, after, limit"
    );
    assert_eq!(bench.get("/api/v1/orders?limit=0").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/orders?after=x").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/positions?state=open").await.0, StatusCode::BAD_REQUEST);
    let absent = bench.get(&format!("/api/v1/positions/{}", Uuid::nil())).await;
    assert_eq!(absent.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rows_are_listed_by_filter_and_page() {
    let bench = Bench::plain().await;
    let id = position();
    let count = async |path: String, name: &str| bench.get(&path).await.1[name].as_array().unwrap().len();
    assert_eq!(count("/api/v1/positions".to_owned(), "positions").await, 1);
    assert_eq!(count("/api/v1/positions?state=active".to_owned(), "positions").await, 1);
    assert_eq!(count("/api/v1/positions?state=closed".to_owned(), "positions").await, 0);
    assert_eq!(count("/api/v1/positions?month=2026-01".to_owned(), "positions").await, 1);
    assert_eq!(count("/api/v1/positions?month=2025-12".to_owned(), "positions").await, 0);
    assert_eq!(count(format!("/api/v1/orders?position_id={id}"), "orders").await, 1);
    assert_eq!(count("/api/v1/orders?status=rejected".to_owned(), "orders").await, 0);
    assert_eq!(count("/api/v1/fills".to_owned(), "fills").await, 1);
    let (_, fills) = bench.get("/api/v1/fills").await;
    assert!(fills["fills"][0]["fill_price"].is_string(), "decimals are strings: {fills}");
    assert_eq!(count("/api/v1/balances".to_owned(), "balances").await, 1);
    let (_, one) = bench.get(&format!("/api/v1/positions/{id}")).await;
    assert_eq!((&one["position_id"], &one["state"]), (&json!(id), &json!("active")));

    let (_, all) = bench.get("/api/v1/events").await;
    let mut walked = Vec::new();
    let mut after = json!(0);
    while !after.is_null() {
        let (_, page) = bench.get(&format!("/api/v1/events?limit=5&after={after}")).await;
        walked.extend(page["events"].as_array().unwrap().clone());
        after = page["next"].clone();
    }
    assert_eq!(json!(walked), all["events"]);
    assert_eq!(walked.len(), STORY.len());
}

#[tokio::test]
async fn a_positions_events_include_those_of_its_orders() {
    let bench = Bench::plain().await;
    let types = |answer: &Value| -> Vec<String> {
        let events = answer["events"].as_array().unwrap();
        events.iter().map(|event| event["event_type"].as_str().unwrap().to_owned()).collect()
    };
    let (_, answer) = bench.get(&format!("/api/v1/events?position_id={}", position())).await;
    assert_eq!(types(&answer), STORY[5..], "from its arming on everything is about it");
    let (_, answer) = bench.get("/api/v1/events?type=ORDER_ACKED,FILL_RECEIVED").await;
    assert_eq!(types(&answer), ["ORDER_ACKED", "FILL_RECEIVED"]);
    let (_, answer) = bench.get(&format!("/api/v1/events?stream=account:{}", account())).await;
    assert!(types(&answer).contains(&"BALANCE_SAMPLED".to_owned()));
    let (_, answer) = bench.get("/api/v1/events/history?date=2026-01-02").await;
    let newest_first: Vec<_> = STORY.iter().rev().map(ToString::to_string).collect();
    assert_eq!(types(&answer), newest_first);
    let (_, answer) = bench.get("/api/v1/events/history?date=2026-01-03").await;
    assert_eq!(types(&answer), Vec::<String>::new());
    assert_eq!(bench.get("/api/v1/events/history?date=today").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bench.get("/api/v1/events/history").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_status_shows_positions_and_budget() {
    let bench = Bench::plain().await;
    let (_, status) = bench.get("/api/v1/status").await;
    assert_eq!(status["active_positions"], 1);
    assert_eq!(status["positions"][0]["id"], json!(position()));
    assert_eq!(status["log_seq"], STORY.len());
    assert_eq!((&status["halted"], &status["phase"]["phase"]), (&json!(false), &json!("active")));
    for figure in ["base", "budget", "consumed", "latent", "remaining"] {
        assert!(status["budget"][figure].is_string(), "{figure} in {status}");
    }
    assert_eq!(status["slots"], status["budget"]["slots"]);
}

#[tokio::test]
async fn the_metrics_are_prometheus_text() {
    let bench = Bench::plain().await;
    bench.get("/api/v1/status").await;
    let (_, text) = bench.get("/metrics").await;
    let text = text.as_str().unwrap();
    for expected in [
        "# TYPE robsond_active_positions gauge",
        "robsond_http_requests_total{method=\"get\",route=\"/api/v1/status\",status=\"200\"}",
        "eventlog_events_total",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

/// The next events of a stream, as `id type`; comments are passed over.
async fn streamed(body: &mut axum::body::BodyDataStream, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    while events.len() < count {
        let chunk = body.next().await.expect("the stream goes on").unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        for event in text.split("\n\n").filter(|event| event.contains("data:")) {
            let field = |name: &str| {
                event.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim).to_owned()
            };
            let data: Value = serde_json::from_str(&field("data:")).unwrap();
            let name = data["event_type"].as_str().map_or_else(|| field("event:"), ToOwned::to_owned);
            events.push(format!("{} {name}", field("id:")).trim().to_owned());
        }
    }
    events
}

async fn follow(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> axum::body::BodyDataStream {
    let mut request = Request::get(path).header("Accept", "text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = bench.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

#[tokio::test]
async fn a_stream_resumes_behind_the_last_event_that_was_seen_and_then_follows() {
    let bench = Bench::plain().await;
    let mut body = follow(&bench, "/api/v1/events", &[("Last-Event-ID", "16")]).await;
    assert_eq!(streamed(&mut body, 2).await, ["17 FILL_RECEIVED", "18 POSITION_OPENED"]);
    let mut from_now = follow(&bench, "/api/v1/events", &[]).await;
    bench.append("BALANCE_SAMPLED").await;
    assert_eq!(streamed(&mut body, 1).await, ["19 BALANCE_SAMPLED"]);
    assert_eq!(streamed(&mut from_now, 1).await, ["19 BALANCE_SAMPLED"]);
    bench.stop.send_replace(true);
    assert!(body.next().await.is_none(), "a stream ends with the daemon");
}

#[tokio::test]
async fn a_stream_can_be_narrowed_to_a_position() {
    let bench = Bench::plain().await;
    let path = format!("/api/v1/events?position_id={}", position());
    let mut body = follow(&bench, &path, &[("Last-Event-ID", "0")]).await;
    let expected: Vec<_> =
        STORY.iter().enumerate().skip(5).map(|(i, name)| format!("{} {name}", i + 1)).collect();
    assert_eq!(streamed(&mut body, expected.len()).await, expected);
}

#[tokio::test]
async fn who_saw_another_log_is_told_to_read_everything_again() {
    let bench = Bench::plain().await;
    let mut body = follow(&bench, "/api/v1/events", &[("Last-Event-ID", "1000")]).await;
    assert_eq!(streamed(&mut body, 1).await, ["system.resync_required"]);
    let request =
        Request::get("/api/v1/events").header("Accept", "text/event-stream").header("Last-Event-ID", "x");
    assert_eq!(bench.send(request.body(Body::empty()).unwrap()).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stopped_consumer_is_seen_and_what_it_stopped_at_is_decided_about() {
    let bench = Bench::plain().await;
    let at = bench.ledger.store().read(&EventQuery::all(TENANT)).await.unwrap().events.swap_remove(2);
    let now = bench.ledger.now();
    let parked = ParkedEvent::first("mailer", &at, ParkedStatus::Stopped, "no such address", now);
    let rows = vec![TableRows { table: &PARKED_EVENTS, rows: vec![parked.to_row()] }];
    bench.ledger.append(Append { rows, ..Append::default() }).await.unwrap();
    let status = ConsumerStatus {
        name: "mailer".into(),
        checkpoint: 2,
        done: 2,
        lag: 16,
        parked: 0,
        state: ConsumerState::Stuck(parked),
    };
    let (_alive, status) = watch::channel(status);
    let ledger = LiveLedger::of(&bench.ledger).with_consumers(vec![status]);
    let api = Api { ledger: Arc::new(OnceLock::from(ledger)), ..bench.api.clone() };
    let bench = Bench { router: router(Arc::new(api.clone()), bench.stop.subscribe()), api, ..bench };

    let (status, ready) = bench.get("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let why = "the consumer mailer: it is stopped at event 3 (RISK_LIMIT_EXCEEDED): no such address";
    assert_eq!(ready["reasons"], json!([why]));
    assert_eq!(bench.get("/health").await.1["lag"], 16);
    let (_, standing) = bench.get("/api/v1/status").await;
    let consumer = &standing["consumers"][0];
    assert_eq!(
        (&consumer["name"], &consumer["state"], &consumer["lag"]),
        (&json!("mailer"), &json!("stuck"), &json!(16))
    );

    let (_, listed) = bench.get("/api/v1/parked?consumer=mailer&status=stopped").await;
    assert_eq!((&listed["parked"][0]["log_seq"], &listed["parked"][0]["attempts"]), (&json!(3), &json!(1)));
    assert_eq!(bench.get("/api/v1/parked?consumer=other").await.1["parked"], json!([]));
    let (status, _) = bench.post("/api/v1/parked/3/skip", r#"{"reason":""}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = bench.post("/api/v1/parked/4/skip", r#"{"reason":"it bounced"}"#).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, skipped) = bench.post("/api/v1/parked/3/skip", r#"{"reason":"it bounced"}"#).await;
    assert_eq!(
        (status, &skipped["status"], &skipped["decision_reason"]),
        (StatusCode::OK, &json!("skipped"), &json!("it bounced"))
    );
    let (_, events) = bench.get("/api/v1/events?type=OPERATOR_ALERT_RAISED").await;
    assert_eq!(events["events"][0]["payload"]["code"], "event_skipped");
    assert_eq!(events["events"][0]["payload"]["reason"], "it bounced");
    assert_eq!(bench.commands(), [], "the trader has no part in it");
}

#[tokio::test]
async fn the_document_covers_every_route_and_its_references_resolve() {
    let bench = Bench::plain().await;
    let (_, document) = bench.get("/api/openapi.json").await;
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    for reference in &references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(
                operations.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{path} {method}"
            );
            let nil = Uuid::nil().to_string();
            let path = path.replace("{id}", &nil).replace("{decision_id}", &nil);
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&path);
            let (status, answer) = read(bench.send(request.body(Body::empty()).unwrap()).await).await;
            assert_ne!(answer["code"], "method_not_allowed", "{method} {path}");
            assert!(
                operation["responses"].get(status.as_str()).is_some(),
                "{method} {path} answers {status}"
            );
        }
    }
    // What serde expects and what the document says are the same.
    for (path, schema) in [
        ("/api/v1/positions", "Arm"),
        ("/api/v1/parked/1/skip", "Decision"),
        ("/api/v1/positions/00000000-0000-0000-0000-000000000000/signal", "Signal"),
        ("/api/v1/strategies", "NewStrategy"),
    ] {
        let (_, answer) = bench.post(path, r#"{"unknown":1}"#).await;
        let error = answer["error"].as_str().unwrap();
        let expected: BTreeSet<&str> = error.split('`').skip(3).step_by(2).collect();
        let properties = &document["components"]["schemas"][schema]["properties"];
        let documented: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(documented, expected, "{schema}");
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            fields.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_stop_ends_open_streams() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let bench = Bench::plain().await;
    let serving = Serving::start(bench.api.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let mut connection = tokio::net::TcpStream::connect(serving.address()).await.unwrap();
    let request = "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0_u8; 15];
    connection.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    serving.stop().await;
    let mut rest = String::new();
    connection.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("POSITION_OPENED"), "{rest}");
}
