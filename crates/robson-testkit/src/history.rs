//! A made-up history of trading: the events of armed, refused, entered, trailed and closed positions, as the
//! appends that a daemon would make of them, all from one seed.
//!
//! Plausible, not realistic: prices wander, every trade is one of a few stories, and no engine decides
//! anything. What counts is that the trader's folds accept each event, and that the same seed gives the
//! same bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use robson_domain::{
    AccountId, ClientOrderId, Event, FillKey, IntentId, OrderRole, Side, Timestamp, derived_id,
};
use robson_eventlog::{Append, Clock, CommandRecord, CommandStatus, Payload, TenantId, Trace};
use robson_projector::{log_time, new_event};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

/// One market after another has its own story under way, so that streams interleave.
const SYMBOLS: [&str; 6] = ["BTCUSD", "ETHUSD", "SOLUSD", "XRPUSD", "LTCUSD", "ADAUSD"];
/// Where the history begins, in Unix microseconds: 2025-01-01T00:00:00Z.
const BEGINNING: i64 = 1_735_689_600_000_000;
const CAPITAL: i64 = 1_000_000;

/// A clock that stands where the history has come to: who appends it gets its times and its months.
#[derive(Debug, Clone)]
pub struct HistoryClock(Arc<AtomicI64>);

impl Clock for HistoryClock {
    fn now(&self) -> robson_eventlog::Timestamp {
        log_time(instant(self.0.load(Ordering::Relaxed)))
    }
}

/// The appends of a history without end.
pub struct History {
    tenant: TenantId,
    account: AccountId,
    strategy: Uuid,
    random: Random,
    now: Arc<AtomicI64>,
    pace_micros: u32,
    month: Option<robson_domain::Month>,
    lanes: Vec<Lane>,
    trades: u64,
}

/// One market: its price, and what is still to happen of the trade under way.
struct Lane {
    symbol: &'static str,
    price: Decimal,
    steps: VecDeque<Step>,
}

/// Events that are one append, before their time is known.
type Step = Box<dyn FnOnce(Timestamp) -> Vec<(&'static str, Value)> + Send>;

impl History {
    /// The history that follows from a seed.
    ///
    /// The first append registers tenant, account and strategy; the tenant must be known to the store.
    pub fn new(seed: u64, tenant: TenantId) -> Self {
        let mut random = Random(seed);
        let begin = instant(BEGINNING);
        let seed = seed.to_string();
        let account = AccountId(derived_id(begin, &["account", &seed]));
        let strategy = derived_id(begin, &["strategy", &seed]);
        let lane = |symbol| Lane {
            symbol,
            price: Decimal::from(20_000 + random.below(60_000)),
            steps: VecDeque::new(),
        };
        let lanes = SYMBOLS.map(lane).into();
        Self {
            tenant,
            account,
            strategy,
            random,
            now: Arc::new(AtomicI64::new(BEGINNING)),
            pace_micros: 60_000_000,
            month: None,
            lanes,
            trades: 0,
        }
    }

    /// Lets so much time pass between two appends, half more or less; a minute where nothing is said.
    #[must_use]
    pub const fn paced(mut self, micros: u32) -> Self {
        self.pace_micros = micros;
        self
    }

    /// The clock that stands at the latest append that was handed out.
    pub fn clock(&self) -> HistoryClock {
        HistoryClock(Arc::clone(&self.now))
    }

    /// The account that trades.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The next appends as one, of at least so many events: for who wants few commits and the same bytes
    /// from every backend.
    pub fn batch(&mut self, events: usize) -> Append {
        let mut whole = Append::default();
        while whole.events.len() < events {
            let offset = whole.events.len();
            let mut next = self.next_append();
            for event in &mut next.events {
                event.caused_by = event.caused_by.map(|index| index + offset);
            }
            whole.events.append(&mut next.events);
        }
        whole
    }

    fn next_append(&mut self) -> Append {
        let pause = self.pace_micros / 2 + self.random.below(self.pace_micros.max(1));
        let now = instant(self.now.fetch_add(i64::from(pause) + 1, Ordering::Relaxed) + i64::from(pause) + 1);
        if let Some(opening) = self.open_month(now) {
            return opening;
        }
        let index = self.random.below(u32::try_from(self.lanes.len()).unwrap_or(1)) as usize;
        if self.lanes[index].steps.is_empty() {
            self.begin_trade(index, now);
        }
        let step = self.lanes[index].steps.pop_front().expect("a trade that was begun has steps");
        self.append(step(now), now)
    }

    /// A month opens before anything happens in it; the first one after tenant, account and strategy.
    fn open_month(&mut self, now: Timestamp) -> Option<Append> {
        let month = now.month();
        if self.month == Some(month) {
            return None;
        }
        let account = self.account;
        let cleared = json!({
            "account_id": account, "limit": "operator", "limit_value": (CAPITAL / 25).to_string(), "actual_value": "0",
            "period": month.to_string(), "action": "cleared", "capital_base": CAPITAL.to_string(),
            "reason": "a new month",
        });
        let mut events = Vec::new();
        if self.month.is_none() {
            let strategy = json!({
                "strategy_id": self.strategy, "account_id": account, "strategy_name": "history",
                "strategy_type": "confirmed_trend", "risk_config": {},
            });
            events.extend([
                ("TENANT_REGISTERED", json!({"tenant_id": self.tenant.0, "name": "history"})),
                (
                    "ACCOUNT_LINKED",
                    json!({"account_id": account, "exchange": "paper", "profile": "history", "testnet": true}),
                ),
                ("STRATEGY_CREATED", strategy.clone()),
                ("STRATEGY_ENABLED", strategy),
            ]);
        }
        events.push(("RISK_LIMIT_EXCEEDED", cleared));
        self.month = Some(month);
        Some(self.append(events, now))
    }

    /// Events as the daemon appends them: one trace and one dedupe key each, each caused by the one before.
    fn append(&self, events: Vec<(&'static str, Value)>, now: Timestamp) -> Append {
        let id = derived_id(now, &["append", &now.to_string()]);
        let command = events.first().filter(|(name, _)| *name == "POSITION_ARMED");
        let command = command.map(|(_, payload)| arm_command(id, payload, now));
        let event = |(index, (name, payload)): (usize, (&'static str, Value))| {
            let event = Event::decode(name, payload)
                .unwrap_or_else(|error| panic!("the history made a wrong event: {error}"));
            let mut new = new_event(&event, now).expect("the history holds no text that a database refuses");
            new.dedupe_key =
                new.dedupe_key.or_else(|| Some(format!("{id}/{index}").parse().expect("a dedupe key")));
            new.caused_by = index.checked_sub(1);
            new.trace = Trace {
                trace_id: Some(id),
                command_id: command.as_ref().map(|command| command.id),
                ..Trace::default()
            };
            new
        };
        let events = events.into_iter().enumerate().map(event).collect();
        Append { events, command, ..Append::default() }
    }

    /// Puts the steps of a whole trade in front of a market.
    fn begin_trade(&mut self, index: usize, now: Timestamp) {
        self.trades += 1;
        let number = self.trades;
        let random = &mut self.random;
        let lane = &mut self.lanes[index];
        let drift = Decimal::from(i64::from(random.below(401)) - 200);
        lane.price = (lane.price + drift).clamp(Decimal::from(10_000), Decimal::from(100_000));
        let trade = Trade {
            tenant: self.tenant,
            account: self.account,
            strategy: (index.is_multiple_of(2)).then_some(self.strategy),
            symbol: lane.symbol,
            side: if random.below(2) == 0 { Side::Long } else { Side::Short },
            number,
            begun_at: now,
            entry: lane.price,
            distance: Decimal::from(100 + random.below(400)),
            quantity: Decimal::new(2 * i64::from(1 + random.below(20)), 3),
        };
        let moves = random.below(5);
        let in_parts = random.below(3) == 0;
        lane.steps = match random.below(100) {
            0..15 => trade.refused(),
            15..20 => trade.rejected_by_the_venue(),
            _ => trade.traded(moves, in_parts),
        };
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("now", &self.now)
            .field("trades", &self.trades)
            .finish_non_exhaustive()
    }
}

impl Iterator for History {
    type Item = Append;

    fn next(&mut self) -> Option<Append> {
        Some(self.next_append())
    }
}

fn arm_command(id: Uuid, payload: &Value, now: Timestamp) -> CommandRecord {
    let request = Payload::new(&json!({"symbol": payload["symbol"], "side": payload["side"]}));
    let request = request.expect("a symbol and a side are a payload");
    CommandRecord {
        id,
        command_type: "arm".to_owned(),
        request_hash: CommandRecord::hash_request("arm", &request),
        status: CommandStatus::Completed,
        result: Some(request),
        error: None,
        trace_id: Some(id),
        issued_at: log_time(now),
        completed_at: log_time(now),
    }
}

/// What one trade is made from.
#[derive(Debug, Clone)]
struct Trade {
    tenant: TenantId,
    account: AccountId,
    strategy: Option<Uuid>,
    symbol: &'static str,
    side: Side,
    number: u64,
    begun_at: Timestamp,
    entry: Decimal,
    distance: Decimal,
    quantity: Decimal,
}

impl Trade {
    /// Armed, signalled, denied by the risk gate, disarmed.
    fn refused(self) -> VecDeque<Step> {
        let decide = {
            let trade = self.clone();
            move |at: Timestamp| {
                let mut events = trade.signal(at);
                events.push((
                    "RISK_CHECK_FAILED",
                    json!({
                        "account_id": trade.account, "decision_id": trade.id("decision"), "position_id": trade.position(),
                        "strategy_id": trade.strategy, "severity": "deny", "violation_reason": "duplicate_position",
                        "failed_checks": [{"check": "duplicate_position", "limit": "0", "actual": "1"}],
                    }),
                ));
                events.push((
                    "SIGNAL_REJECTED",
                    json!({
                        "position_id": trade.position(), "signal_id": trade.id("signal"), "reason_code": "risk_denied",
                        "reason": "the risk gate refuses: duplicate_position",
                    }),
                ));
                events.push(trade.disarmed("the risk gate refuses", at));
                events
            }
        };
        VecDeque::from([self.arm(), Box::new(decide) as Step])
    }

    /// Armed, decided, sent, refused by the venue, disarmed.
    fn rejected_by_the_venue(self) -> VecDeque<Step> {
        let reject = {
            let trade = self.clone();
            move |at: Timestamp| {
                vec![
                    (
                        "ORDER_REJECTED",
                        json!({
                            "order_id": trade.order(OrderRole::Entry), "reason_code": "insufficient_margin",
                            "reason": "margin is insufficient", "exchange_code": -2019,
                        }),
                    ),
                    trade.intent_completed(OrderRole::Entry, "failed", at),
                    trade.disarmed("the venue refused the entry", at),
                ]
            }
        };
        VecDeque::from([self.arm(), self.decide(), Box::new(reject) as Step])
    }

    /// Armed, decided, filled, trailed, exited.
    fn traded(self, moves: u32, in_parts: bool) -> VecDeque<Step> {
        let mut steps = VecDeque::from([self.arm(), self.decide(), self.acked(OrderRole::Entry)]);
        let parts = if in_parts { vec![self.quantity / Decimal::TWO; 2] } else { vec![self.quantity] };
        let fill_price = self.entry;
        for (index, part) in parts.iter().copied().enumerate() {
            let trade = self.clone();
            steps.push_back(Box::new(move |at| {
                let mut events = vec![trade.filled(OrderRole::Entry, index, fill_price, part, at)];
                if index == 0 {
                    events.push(trade.opened(fill_price, part, at));
                }
                events
            }));
        }
        let done = self.clone();
        steps.push_back(Box::new(move |at| vec![done.intent_completed(OrderRole::Entry, "success", at)]));
        for n in 0..moves {
            let trade = self.clone();
            steps.push_back(Box::new(move |at| vec![trade.stop_moved(n, at)]));
        }
        let stop = self.stop_after(moves);
        let trade = self.clone();
        steps.push_back(Box::new(move |at| trade.exit(stop, at)));
        steps.push_back(self.acked(OrderRole::Exit));
        let last = parts.len() - 1;
        let quantity = self.quantity;
        for (index, part) in parts.into_iter().enumerate() {
            let trade = self.clone();
            steps.push_back(Box::new(move |at| {
                let mut events = vec![trade.filled(OrderRole::Exit, index, stop, part, at)];
                if index == last {
                    events.extend(trade.closed(fill_price, stop, quantity, at));
                }
                events
            }));
        }
        steps
    }

    /// A move in the trade's favour, as its sign says.
    fn favour(&self, distance: Decimal) -> Decimal {
        match self.side {
            Side::Long => distance,
            Side::Short => -distance,
        }
    }

    fn stop_after(&self, moves: u32) -> Decimal {
        self.entry - self.favour(self.distance) + self.favour(Decimal::from(moves) * Decimal::from(40))
    }

    fn id(&self, kind: &str) -> Uuid {
        let number = self.number.to_string();
        derived_id(self.begun_at, &[kind, &self.tenant.to_string(), self.symbol, &number])
    }

    fn position(&self) -> Uuid {
        self.id("position")
    }

    fn order(&self, role: OrderRole) -> Uuid {
        self.id(role.as_str())
    }

    fn order_side(&self, role: OrderRole) -> &'static str {
        let side = if role == OrderRole::Entry { self.side.entry() } else { self.side.exit() };
        side.as_str()
    }

    fn client_order_id(&self, role: OrderRole) -> ClientOrderId {
        ClientOrderId::of(role, IntentId(self.order(role)))
    }

    fn planned_risk(&self) -> Decimal {
        self.quantity * self.distance + fee(self.entry, self.quantity) + fee(self.entry, self.quantity)
    }

    fn arm(&self) -> Step {
        let trade = self.clone();
        Box::new(move |at| {
            vec![
                (
                    "POSITION_ARMED",
                    optional(json!({
                        "position_id": trade.position(), "account_id": trade.account, "strategy_id": trade.strategy,
                        "symbol": trade.symbol, "side": trade.side, "entry_mode": "confirmed_trend",
                        "approval_mode": "automatic", "trailing_policy": "continuous", "risk_capital": "10000",
                        "risk_pct": "0.01", "armed_at": at,
                    })),
                ),
                (
                    "DETECTOR_STARTED",
                    json!({
                        "position_id": trade.position(), "detector_id": trade.id("detector"),
                        "strategy": "confirmed_trend", "params": {"attempt": 1, "not_before": at},
                    }),
                ),
            ]
        })
    }

    fn signal(&self, at: Timestamp) -> Vec<(&'static str, Value)> {
        vec![
            (
                "SIGNAL_DETECTED",
                json!({
                    "position_id": self.position(), "signal_id": self.id("signal"), "detector_id": self.id("detector"),
                    "symbol": self.symbol, "side": self.side, "price": self.entry, "detected_at": at,
                    "indicators": {"fast": self.entry.to_string(), "slow": self.entry.to_string()},
                }),
            ),
            (
                "DETECTOR_STOPPED",
                json!({"position_id": self.position(), "detector_id": self.id("detector"), "cause": "fired"}),
            ),
            (
                "TECHNICAL_STOP_ANALYZED",
                json!({
                    "position_id": self.position(), "signal_id": self.id("signal"), "timeframe": "15m", "candles": 100,
                    "entry_price": self.entry, "stop_price": self.stop_after(0), "method": "swing",
                    "configured_level_n": 2, "level_n": 2, "skipped_levels": [], "confidence": "high",
                }),
            ),
        ]
    }

    fn decide(&self) -> Step {
        let trade = self.clone();
        Box::new(move |at| {
            let (position, order) = (trade.position(), trade.order(OrderRole::Entry));
            let mut events = trade.signal(at);
            events.push((
                "RISK_CHECK_PASSED",
                json!({
                    "account_id": trade.account, "decision_id": trade.id("decision"), "position_id": position,
                    "checks_performed": ["trading_halted", "entries_stopped", "monthly_drawdown"],
                    "exposure_before": "0", "exposure_after": trade.planned_risk(),
                    "planned_risk": trade.planned_risk(), "capital_base": CAPITAL.to_string(),
                }),
            ));
            events.push((
                "DECISION_PROPOSED",
                json!({
                    "position_id": position, "decision_id": trade.id("decision"), "signal_id": trade.id("signal"),
                    "action": "enter", "symbol": trade.symbol, "side": trade.side, "entry_price": trade.entry,
                    "stop_price": trade.stop_after(0), "stop_distance": trade.distance, "quantity": trade.quantity,
                    "planned_risk": trade.planned_risk(),
                }),
            ));
            events.extend(trade.order_events(OrderRole::Entry, order));
            events
        })
    }

    /// The intent and its order.
    fn order_events(&self, role: OrderRole, order: Uuid) -> [(&'static str, Value); 2] {
        let entry = role == OrderRole::Entry;
        let decision = entry.then(|| self.id("decision"));
        let intent = json!({
            "intent_id": order, "account_id": self.account, "decision_id": decision, "position_id": self.position(),
            "order_id": order, "intent_type": if entry { "place_entry" } else { "place_exit" }, "attempt": 1,
            "symbol": self.symbol, "side": self.order_side(role), "quantity": self.quantity,
            "client_order_id": self.client_order_id(role),
        });
        let submitted = json!({
            "order_id": order, "account_id": self.account, "position_id": self.position(), "intent_id": order,
            "client_order_id": self.client_order_id(role), "symbol": self.symbol, "side": self.order_side(role),
            "order_type": "market", "role": role, "quantity": self.quantity, "reduce_only": !entry,
        });
        [("INTENT_CREATED", optional(intent)), ("ORDER_SUBMITTED", submitted)]
    }

    fn acked(&self, role: OrderRole) -> Step {
        let trade = self.clone();
        Box::new(move |at| {
            let acked = json!({
                "order_id": trade.order(role), "exchange_order_id": trade.exchange_order_id(role),
                "status": "acknowledged", "acked_at": at,
            });
            vec![("ORDER_ACKED", acked)]
        })
    }

    fn exchange_order_id(&self, role: OrderRole) -> String {
        (self.number * 2 + u64::from(role == OrderRole::Exit)).to_string()
    }

    fn filled(
        &self,
        role: OrderRole,
        index: usize,
        price: Decimal,
        quantity: Decimal,
        at: Timestamp,
    ) -> (&'static str, Value) {
        let trade_id = format!("{}{}{index}", self.number, u8::from(role == OrderRole::Exit));
        let key = FillKey {
            venue: "paper".parse().expect("a venue"),
            account_id: self.account,
            symbol: self.symbol.parse().expect("a symbol"),
            exchange_trade_id: trade_id.clone(),
        };
        let fee = fee(price, quantity);
        let filled = json!({
            "order_id": self.order(role), "fill_id": key.fill_id(at), "account_id": self.account, "venue": "paper",
            "exchange_order_id": self.exchange_order_id(role), "exchange_trade_id": trade_id, "symbol": self.symbol,
            "side": self.order_side(role), "fill_price": price, "fill_quantity": quantity, "fee": fee,
            "fee_asset": "USD", "fee_quote": fee, "fee_estimated": false, "is_maker": false, "filled_at": at,
        });
        ("FILL_RECEIVED", filled)
    }

    fn opened(&self, price: Decimal, quantity: Decimal, at: Timestamp) -> (&'static str, Value) {
        let opened = json!({
            "position_id": self.position(), "account_id": self.account, "strategy_id": self.strategy,
            "symbol": self.symbol, "side": self.side, "entry_price": price, "entry_quantity": quantity,
            "entry_filled_at": at, "technical_stop_price": self.stop_after(0),
            "technical_stop_distance": self.distance, "initial_stop": self.stop_after(0),
            "entry_order_id": self.order(OrderRole::Entry),
        });
        ("POSITION_OPENED", optional(opened))
    }

    fn stop_moved(&self, n: u32, at: Timestamp) -> (&'static str, Value) {
        let best = self.stop_after(n + 1) + self.favour(self.distance);
        let moved = json!({
            "position_id": self.position(), "previous_stop": self.stop_after(n), "new_stop": self.stop_after(n + 1),
            "trigger_price": best, "favorable_extreme": best, "timestamp": at,
        });
        ("TRAILING_STOP_UPDATED", moved)
    }

    fn exit(&self, stop: Decimal, at: Timestamp) -> Vec<(&'static str, Value)> {
        let triggered = json!({
            "position_id": self.position(), "reason": "trailing_stop", "trigger_price": stop, "stop_price": stop,
            "timestamp": at,
        });
        let mut events = vec![("EXIT_TRIGGERED", triggered)];
        events.extend(self.order_events(OrderRole::Exit, self.order(OrderRole::Exit)));
        events
    }

    fn closed(
        &self,
        entry: Decimal,
        exit: Decimal,
        quantity: Decimal,
        at: Timestamp,
    ) -> [(&'static str, Value); 3] {
        let realized = self.favour(exit - entry) * quantity;
        let fees = fee(entry, quantity) + fee(exit, quantity);
        let closed = json!({
            "position_id": self.position(), "exit_reason": "trailing_stop", "entry_price": entry, "exit_price": exit,
            "quantity": quantity, "realized_pnl": realized.normalize(), "total_fees": fees.normalize(),
            "dust_quantity": "0", "exit_order_id": self.order(OrderRole::Exit), "closed_at": at,
        });
        let free = Decimal::from(CAPITAL) + realized - fees;
        let sampled = json!({
            "account_id": self.account, "asset": "USD", "free": free.normalize(), "locked": "0",
            "total": free.normalize(), "sampled_at": at,
        });
        [
            ("POSITION_CLOSED", closed),
            self.intent_completed(OrderRole::Exit, "success", at),
            ("BALANCE_SAMPLED", sampled),
        ]
    }

    fn intent_completed(&self, role: OrderRole, outcome: &str, at: Timestamp) -> (&'static str, Value) {
        let completed = json!({
            "intent_id": self.order(role), "account_id": self.account, "position_id": self.position(),
            "outcome": outcome, "order_id": self.order(role), "completed_at": at,
        });
        ("INTENT_COMPLETED", completed)
    }

    fn disarmed(&self, reason: &str, at: Timestamp) -> (&'static str, Value) {
        let disarmed = json!({"position_id": self.position(), "reason": reason, "disarmed_at": at});
        ("POSITION_DISARMED", disarmed)
    }
}

/// A payload without the fields that hold nothing.
fn optional(mut payload: Value) -> Value {
    if let Some(fields) = payload.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    payload
}

fn fee(price: Decimal, quantity: Decimal) -> Decimal {
    (price * quantity * Decimal::new(1, 3)).normalize()
}

fn instant(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(micros).expect("the history ends before the year 9999")
}

/// Choices that look random and are the same in every run (splitmix64).
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.bits() % u64::from(limit)).unwrap_or(0)
    }
}
