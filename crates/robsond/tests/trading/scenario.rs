//! A session on a made-up feed: what a scenario needs to be told in a few lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use robson_domain::{
    ApprovalMode, CommandId, EntryMode, Event, Fraction, Money, Order, Position, PositionId, Price,
    RiskScope, Side, StrategyState, Symbol, Timestamp, TrailingPolicy,
};
use robson_eventlog::command::COMMANDS;
use robson_eventlog::digest::{Scope, row_json};
use robson_eventlog::replay::fold_all;
use robson_eventlog::{
    Append, EventQuery, Ledger, LedgerOptions, Outcome, RecordedEvent, RowQuery, Store, WriterId,
};
use robson_projector::{
    TABLES, TraderTables, balances_current, new_event, orders_current, positions_current,
};
use robson_projector::{risk_state_current, strategy_state_current};
use robson_store::AnyStore;
use robsond::clock::FeedClock;
use robsond::config::{Configuration, Flags, Settings, SymbolFilters};
use robsond::operator::{Arm, Command, Done, ManualSignal, Refused};
use robsond::session::{DEFAULT_TENANT, Databases, Script, Session};
use serde_json::Value;

/// Where the seconds of a feed count from, unless a scenario says otherwise.
pub const START: &str = "2024-01-10T00:00:00Z";

/// What a session is told from outside: feeds, plan, settings.
pub struct Setup {
    pub settings: Settings,
    pub start: Timestamp,
    dir: tempfile::TempDir,
}

impl Setup {
    /// One symbol whose trades are `second:price x quantity`, on round terms: no slippage, the whole volume, a
    /// fee of 0.1 %, steps of 0.001.
    pub fn of(trades: &str) -> Self {
        Self::with_feeds(START, &[("BTCUSD", trades)])
    }

    pub fn with_feeds(start: &str, feeds: &[(&str, &str)]) -> Self {
        let start: Timestamp = start.parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut specs = Vec::new();
        for (symbol, trades) in feeds {
            let file = dir.path().join(format!("{symbol}.csv"));
            std::fs::write(&file, rows(start, trades)).unwrap();
            specs.push(format!("{symbol}={}", file.display()));
        }
        let flags = Flags { database: Some("memory:".to_owned()), feed: specs, ..Flags::default() };
        let variables = [("ROBSON_PAPER_SLIPPAGE_BPS", "0"), ("ROBSON_PAPER_PARTICIPATION", "1")];
        let variables: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut settings = Configuration::load(&flags, &variables).unwrap().settings;
        for (symbol, _) in feeds {
            settings.symbols.insert(symbol.parse().unwrap(), filters("0.001", "0.001", "1"));
        }
        Self { settings, start, dir }
    }

    /// Arms by plan: `second symbol side entry`, each on a line.
    pub fn plan(mut self, lines: &[(u64, &str)]) -> Self {
        let mut text = String::new();
        for (second, rest) in lines {
            let at = self.at(*second);
            writeln!(text, "[[arm]]\nat = {at}\n{}\n", rest.replace("; ", "\n")).unwrap();
        }
        let file = self.dir.path().join("plan.toml");
        std::fs::write(&file, text).unwrap();
        self.settings.run.plan = Some(file);
        self
    }

    pub fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn at(&self, second: u64) -> Timestamp {
        self.start.plus_micros(i64::try_from(second).unwrap() * 1_000_000)
    }

    pub async fn open(self) -> Run {
        let databases = Databases::open(&self.settings.database.url).await.unwrap();
        let script = Script::read(&self.settings).unwrap();
        let session = self.session(&databases, &script).await;
        Run { setup: self, databases, script, session, commands: 1_000 }
    }

    pub async fn session(&self, databases: &Databases, script: &Script) -> Session {
        let writer = WriterId::new("test").unwrap();
        Session::open(&self.settings, databases, script, &writer).await.unwrap()
    }
}

pub fn filters(step: &str, min_quantity: &str, min_notional: &str) -> SymbolFilters {
    SymbolFilters {
        tick: "0.01".parse().unwrap(),
        step: step.parse().unwrap(),
        min_quantity: min_quantity.parse().unwrap(),
        min_notional: min_notional.parse().unwrap(),
    }
}

/// Trades, or bars of an hour: `hour|open|high|low|close|volume`.
fn rows(start: Timestamp, trades: &str) -> String {
    if trades.contains('|') {
        let mut text = "open_time,open,high,low,close,volume\n".to_owned();
        for bar in trades.split_whitespace() {
            let (hour, rest) = bar.split_once('|').unwrap();
            let at = start.plus_micros(hour.parse::<i64>().unwrap() * 3_600_000_000);
            writeln!(text, "{at},{}", rest.replace('|', ",")).unwrap();
        }
        return text;
    }
    let mut text = "time,price,quantity,side,trade_id\n".to_owned();
    for (number, trade) in trades.split_whitespace().enumerate() {
        let (second, trade) = trade.split_once(':').unwrap();
        let (price, quantity) = trade.split_once('x').unwrap();
        let at = start.plus_micros(second.parse::<i64>().unwrap() * 1_000_000);
        writeln!(text, "{at},{price},{quantity},buy,{number}").unwrap();
    }
    text
}

/// Trades a second apart, of a volume that fills everything.
pub fn calm(first_second: u64, prices: &[&str]) -> String {
    let trade = |(second, price): (u64, &&str)| format!("{second}:{price}x1000");
    (first_second..).zip(prices).map(trade).collect::<Vec<_>>().join(" ")
}

/// A session under way.
pub struct Run {
    pub setup: Setup,
    pub databases: Databases,
    pub script: Script,
    pub session: Session,
    commands: u128,
}

pub const LONG: Side = Side::Long;
pub const SHORT: Side = Side::Short;

impl Run {
    /// Takes in every tick up to a second.
    pub async fn until(&mut self, second: u64) {
        // A second feed's tick of the same second comes a microsecond later.
        let at = self.setup.at(second).plus_micros(1_000);
        while self.session.next_at().is_some_and(|next| next <= at) {
            self.session.step().await.unwrap();
        }
    }

    /// As after a `kill -9`: the session is gone, the databases are not.
    pub async fn restart(&mut self) {
        self.session = self.setup.session(&self.databases, &self.script).await;
    }

    /// Plays the rest and checks what holds after every run.
    pub async fn end(&mut self) {
        while self.session.step().await.unwrap() {}
        self.check_books().await;
    }

    /// Writes an event behind the session's back, as an earlier one might have, and takes up from there.
    pub async fn record(&mut self, event: impl Into<Event>) {
        let at = self.session.now();
        let options = LedgerOptions {
            projections: vec![Arc::new(TraderTables)],
            ..LedgerOptions::new(DEFAULT_TENANT, WriterId::new("test").unwrap(), Arc::new(FeedClock::at(at)))
        };
        let ledger = Ledger::open(Arc::clone(&self.databases.trader), options).await.unwrap();
        let event = new_event(&event.into(), at).unwrap();
        let outcome = ledger.append(Append::events(vec![event])).await.unwrap();
        assert!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
        self.restart().await;
    }

    pub async fn execute(&mut self, command: &Command) -> Result<Done, Refused> {
        self.commands += 1;
        self.execute_as(self.commands, command).await
    }

    pub async fn execute_as(&mut self, id: u128, command: &Command) -> Result<Done, Refused> {
        self.session.execute(CommandId(uuid::Uuid::from_u128(id)), "test", command).await.unwrap()
    }

    pub async fn arm(&mut self, arm: &Arm) -> PositionId {
        self.execute(&Command::Arm(arm.clone())).await.unwrap().positions[0].position_id
    }

    /// Arms a position that waits for a cross which never comes.
    pub async fn wait_on(&mut self, symbol: &str, side: Side) -> PositionId {
        self.arm(&Arm { symbol: symbol.parse().unwrap(), side, ..waiting() }).await
    }

    pub async fn signal(&mut self, id: PositionId, entry: &str, stop: &str) -> Result<Done, Refused> {
        self.execute(&signal(id, entry, stop)).await
    }

    /// Arms and enters by hand.
    pub async fn enter(&mut self, side: Side, entry: &str, stop: &str) -> PositionId {
        let id = self.wait_on("BTCUSD", side).await;
        self.signal(id, entry, stop).await.unwrap();
        id
    }

    pub async fn close(&mut self, id: PositionId) -> Result<Done, Refused> {
        self.execute(&Command::Close { position_id: id }).await
    }

    pub async fn positions(&self) -> Vec<Position> {
        let rows = self.rows(&positions_current::TABLE).await;
        rows.iter().map(|row| positions_current::entity(row).unwrap()).collect()
    }

    pub async fn position(&self, id: PositionId) -> Position {
        self.positions().await.into_iter().find(|position| position.position_id == id).unwrap()
    }

    /// State, entry, holding and result of a position, on one line.
    pub async fn told(&self, id: PositionId) -> String {
        let p = self.position(id).await;
        let mut told = p.state.to_string();
        if let Some(reason) = p.exit_reason {
            write!(told, " by {reason}").unwrap();
        }
        if let (Some(quantity), Some(price)) = (p.entry_quantity, p.entry_price) {
            write!(told, ", {quantity} at {price}").unwrap();
        }
        if !p.current_quantity.is_zero() {
            write!(told, ", holds {}", p.current_quantity).unwrap();
        }
        if let Some(stop) = p.trailing_stop_price {
            write!(told, ", stop {stop}").unwrap();
        }
        if p.realized_pnl != Money::ZERO || p.total_fees != Money::ZERO {
            write!(told, ", made {} for {}", p.realized_pnl, p.total_fees).unwrap();
        }
        if let Some(error) = p.error {
            write!(told, ", error {error}").unwrap();
        }
        told
    }

    /// The orders of a position, oldest first, on one line each.
    pub async fn orders(&self, id: PositionId) -> Vec<String> {
        let told =
            |o: &Order| format!("{} {} {} {}, {}", o.role, o.side, o.quantity, o.status, o.filled_quantity);
        self.all_orders().await.iter().filter(|order| order.position_id == Some(id)).map(told).collect()
    }

    /// Every order, oldest first.
    pub async fn all_orders(&self) -> Vec<Order> {
        let rows = self.rows(&orders_current::TABLE).await;
        let mut orders: Vec<Order> = rows.iter().map(|row| orders_current::entity(row).unwrap()).collect();
        orders.sort_by_key(|order| order.meta.created_at);
        orders
    }

    pub async fn risk(&self) -> robson_domain::RiskState {
        let rows = self.rows(&risk_state_current::TABLE).await;
        let mut states = rows.iter().map(|row| risk_state_current::entity(row).unwrap());
        states.find(|risk| risk.key.scope == RiskScope::Account).unwrap()
    }

    async fn rows(&self, table: &'static robson_eventlog::Table) -> Vec<robson_eventlog::Row> {
        self.databases.trader.rows(DEFAULT_TENANT, table, &RowQuery::all()).await.unwrap()
    }

    /// The payloads of an event type, oldest first.
    pub async fn events(&self, event_type: &str) -> Vec<Value> {
        events(&self.databases.trader, event_type).await
    }

    /// One field of every event of a type.
    pub async fn told_by(&self, event_type: &str, field: &str) -> Vec<String> {
        let text = |payload: Value| match &payload[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.events(event_type).await.into_iter().map(text).collect()
    }

    /// The checks that each denial names.
    pub async fn denials(&self) -> Vec<String> {
        self.told_by("RISK_CHECK_FAILED", "violation_reason").await
    }

    /// The log alone gives the rows; the venue's fills are recorded; money is neither made nor lost.
    pub async fn check_books(&self) {
        let trader = self.databases.trader.as_ref();
        let head = trader.head(DEFAULT_TENANT).await.unwrap().log_seq;
        let folded =
            fold_all(trader, DEFAULT_TENANT, vec![Arc::new(TraderTables)], head, drop).await.unwrap();
        for table in TABLES {
            let live = self.rows(table).await;
            assert_eq!(folded.of_table(table), live.iter().collect::<Vec<_>>(), "{}", table.name);
        }
        let recorded = self.events("FILL_RECEIVED").await.len();
        assert_eq!(recorded, events(&self.databases.paper, "PAPER_FILLED").await.len(), "fills");
        let positions = self.positions().await;
        let Some(wallet) = self.rows(&balances_current::TABLE).await.first().cloned() else { return };
        let net = positions.iter().map(|position| position.net_pnl().unwrap());
        let earned = net.fold(self.setup.settings.paper.capital, |sum, net| sum.plus(net).unwrap());
        let wallet = balances_current::entity(&wallet).unwrap().total;
        // An average entry has 12 decimals; the venue keeps the value.
        let apart = (wallet.get() - earned.get()).abs().round_dp(8);
        assert!(apart.is_zero(), "the wallet is {wallet}, the capital and what was made {earned}");
        let closed = positions.iter().filter(|p| p.state == robson_domain::PositionState::Closed).count();
        let strategies = self.strategies().await;
        let counted: i64 = strategies.iter().map(|strategy| strategy.closed_positions).sum();
        assert_eq!(counted, i64::try_from(closed).unwrap());
    }

    pub async fn strategies(&self) -> Vec<StrategyState> {
        let rows = self.rows(&strategy_state_current::TABLE).await;
        rows.iter().map(|row| strategy_state_current::entity(row).unwrap()).collect()
    }

    /// What a restart may not change, row by row: what the digests of content cover, and what the venue saw.
    pub async fn content(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for table in TABLES.iter().copied().chain([&COMMANDS]) {
            let rows = self.rows(table).await;
            let told = |row| format!("{} {}", table.name, row_json(table, row, Scope::Content));
            lines.extend(rows.iter().map(told));
        }
        for event_type in
            ["PAPER_ORDER_ACCEPTED", "PAPER_ORDER_REFUSED", "PAPER_FILLED", "PAPER_ORDER_CANCELED"]
        {
            let seen = events(&self.databases.paper, event_type).await;
            lines.extend(seen.iter().map(|payload| format!("{event_type} {payload}")));
        }
        lines
    }
}

/// An arm by hand, of what the configuration and the account say.
pub fn waiting() -> Arm {
    Arm {
        symbol: "BTCUSD".parse::<Symbol>().unwrap(),
        side: Side::Long,
        entry: EntryMode::ConfirmedTrend,
        trailing: TrailingPolicy::Continuous,
        capital: None,
        risk: None,
        approval: ApprovalMode::Automatic,
        strategy_id: None,
    }
}

pub fn signal(position_id: PositionId, entry: &str, stop: &str) -> Command {
    let price = |text: &str| text.parse::<Price>().unwrap();
    Command::Signal(ManualSignal { position_id, entry_price: price(entry), stop_loss: price(stop) })
}

pub fn fraction(text: &str) -> Fraction {
    text.parse().unwrap()
}

async fn events(store: &AnyStore, event_type: &str) -> Vec<Value> {
    let mut query =
        EventQuery { event_types: vec![event_type.parse().unwrap()], ..EventQuery::all(DEFAULT_TENANT) };
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let page = store.read(&query).await.unwrap().events;
        let Some(last) = page.last() else { break };
        query.after = last.log_seq;
        events.extend(page);
    }
    events.iter().map(|event| event.payload.value()).collect()
}

/// The seconds of so many hours.
pub const fn hours(count: u64) -> u64 {
    count * 3_600
}

/// One trade in each quarter of an hour: swings between 98 and 102, then between 96 and 104.
pub fn zigzag(quarters: u64) -> String {
    const PRICES: [u32; 16] = [100, 99, 98, 99, 100, 101, 102, 101, 100, 98, 96, 98, 100, 102, 104, 102];
    let trade = |(quarter, price)| format!("{}:{price}x1000", quarter * 900);
    (0..quarters).zip(PRICES.iter().cycle()).map(trade).collect::<Vec<_>>().join(" ")
}
