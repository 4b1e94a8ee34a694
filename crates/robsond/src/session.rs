//! A session: one account trading one recorded feed on the paper exchange, from where the logs left off.
//!
//! The trader's log and the exchange's are two; the later of their ends is the tick at which to resume.
//! That tick is taken in again, and every step of it finds what is durable already.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use robson_domain::events::{
    AccountLinked, ConnectorConnected, DaemonStarted, DaemonStopped, StrategyCreated, StrategyEnabled,
    TenantRegistered,
};
use robson_domain::{
    AccountId, ApprovalMode, CommandId, InstanceId, Price, RiskConfig, Symbol, Timestamp, derived_id,
};
use robson_eventlog::{AcquireError, Ledger, LedgerOptions, Store, TenantId, WriterId};
use robson_projector::{TraderTables, time_of};
use robson_store::{AnyStore, DatabaseUrl, OpenError, OpenOptions};
use robson_venue::exchange::Instrument;
use robson_venue::feed::{FeedSource, Playback, RecordedFeed};
use robson_venue::paper::{PaperError, PaperExchange, PaperState};
use robson_venue::plan::Plan;
use robson_venue::{FeedError, PlanError};

use crate::clock::FeedClock;
use crate::config::Settings;
use crate::operator::{Arm, Command, Done, Refused};
use crate::trader::{Desk, DeskError, Market, Markets, Trader, TraderError};

/// The tenant of a database that has only one.
pub const DEFAULT_TENANT: TenantId = TenantId(uuid::Uuid::from_u128(1));
/// How many months of partitions there are beyond the current one.
const MONTHS_AHEAD: u16 = 3;

/// Why a session did not begin.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The database did not open.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Somebody else writes the log.
    #[error("the log is being written by another daemon ({writer})")]
    Held {
        /// Who.
        writer: String,
    },
    /// The log's end is damaged, or it could not be read.
    #[error(transparent)]
    Ledger(robson_eventlog::OpenError),
    /// A feed file cannot be played.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// A plan cannot be followed.
    #[error(transparent)]
    Plan(PlanError),
    /// Feed and plan do not fit each other, or there is no feed.
    #[error("{0}")]
    Unfit(String),
    /// The paper exchange's log is damaged.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// The trader could not begin.
    #[error(transparent)]
    Trader(#[from] TraderError),
}

impl From<DeskError> for SessionError {
    fn from(error: DeskError) -> Self {
        Self::Trader(error.into())
    }
}

impl From<robson_eventlog::OpenError> for SessionError {
    fn from(error: robson_eventlog::OpenError) -> Self {
        match error {
            robson_eventlog::OpenError::Acquire(AcquireError::Held { writer, .. }) => Self::Held { writer },
            other => Self::Ledger(other),
        }
    }
}

impl From<robson_eventlog::StoreError> for SessionError {
    fn from(error: robson_eventlog::StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

/// What is played and what is armed, read and checked before any database is opened.
#[derive(Debug, Clone)]
pub struct Script {
    /// The feed.
    pub feed: RecordedFeed,
    /// The plan, where there is one.
    pub plan: Option<Plan>,
    instruments: BTreeMap<Symbol, Instrument>,
}

impl Script {
    /// Reads feed and plan as the settings name them.
    ///
    /// # Errors
    /// The first thing that cannot be played or followed; nothing was touched.
    pub fn read(settings: &Settings) -> Result<Self, SessionError> {
        let plan = settings.run.plan.as_deref().map(Plan::read).transpose().map_err(SessionError::Plan)?;
        if settings.run.feeds.is_empty() {
            let what = "there is no market data: name a recorded feed with --feed [SYMBOL=]FILE";
            return Err(SessionError::Unfit(what.to_owned()));
        }
        let only = plan.as_ref().and_then(Plan::only_symbol);
        let mut sources = Vec::new();
        let mut instruments = BTreeMap::new();
        for spec in &settings.run.feeds {
            let symbol = spec.symbol_or(only).map_err(|error| SessionError::Unfit(error.to_string()))?;
            let filters = settings.filters(&symbol);
            let named = Instrument::with_default_filters(&symbol, &settings.paper.rules.quote);
            let instrument = Instrument {
                tick_size: filters.tick,
                step: filters.step,
                min_quantity: filters.min_quantity,
                min_notional: filters.min_notional,
                ..named
            };
            let tick_size: Price = filters.tick;
            sources.push(FeedSource { symbol: symbol.clone(), file: spec.file.clone(), tick_size });
            instruments.insert(symbol, instrument);
        }
        let feed = RecordedFeed::open(&sources)?;
        if let Some(unfed) =
            plan.iter().flat_map(Plan::symbols).find(|symbol| !instruments.contains_key(symbol))
        {
            return Err(SessionError::Unfit(format!("the plan arms {unfed}, which no feed plays")));
        }
        Ok(Self { feed, plan, instruments })
    }
}

/// The two databases of a session.
#[derive(Debug, Clone)]
pub struct Databases {
    /// The trader's.
    pub trader: Arc<AnyStore>,
    /// The paper exchange's.
    pub paper: Arc<AnyStore>,
}

impl Databases {
    /// Opens, makes and migrates both.
    ///
    /// # Errors
    /// As the database says.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        Self::open_with(url, &OpenOptions::default()).await
    }

    /// The same, with options for the trader's.
    ///
    /// # Errors
    /// As the database says.
    pub async fn open_with(url: &DatabaseUrl, options: &OpenOptions) -> Result<Self, OpenError> {
        let trader = AnyStore::open(url, options).await?;
        let (paper_url, options) = beside(url);
        let paper = AnyStore::open(&paper_url, &options).await?;
        Ok(Self { trader: Arc::new(trader), paper: Arc::new(paper) })
    }

    /// Lets go of both.
    pub async fn close(&self) {
        self.trader.close().await;
        self.paper.close().await;
    }
}

/// Where the paper exchange keeps its log: never in the trader's own.
pub fn beside(url: &DatabaseUrl) -> (DatabaseUrl, OpenOptions) {
    match url {
        DatabaseUrl::Memory => (DatabaseUrl::Memory, OpenOptions::default()),
        DatabaseUrl::Sqlite(path) => {
            let mut name: PathBuf = path.clone();
            name.set_extension("paper.db");
            (DatabaseUrl::Sqlite(name), OpenOptions::default())
        }
        DatabaseUrl::Postgres(_) => {
            (url.clone(), OpenOptions { schema: Some("robson_paper".to_owned()), ..OpenOptions::default() })
        }
    }
}

/// A session at work.
#[derive(Debug)]
pub struct Session {
    trader: Trader<AnyStore, PaperExchange<AnyStore>>,
    exchange: Arc<PaperExchange<AnyStore>>,
    clock: Arc<FeedClock>,
    playback: Playback,
    plan: Option<Plan>,
    next_line: usize,
    instance_id: InstanceId,
    /// Whether a session before it took its first tick in, in part at least.
    is_resuming: bool,
    ticks: u64,
}

impl Session {
    /// Becomes the writer of both logs and takes up where they end.
    ///
    /// # Errors
    /// `Held` when another daemon writes: try again.
    pub async fn open(
        settings: &Settings,
        databases: &Databases,
        script: &Script,
        writer: &WriterId,
    ) -> Result<Self, SessionError> {
        let tenant = settings.database.tenant.unwrap_or(DEFAULT_TENANT);
        let first_at = script.feed.first_at();
        let first_at = first_at.ok_or_else(|| SessionError::Unfit("the feed is empty".to_owned()))?;
        let clock = Arc::new(FeedClock::at(first_at));
        let options = LedgerOptions {
            seed: settings.run.seed,
            lease_ttl: settings.database.lease,
            ..LedgerOptions::new(
                tenant,
                writer.clone(),
                Arc::clone(&clock) as Arc<dyn robson_eventlog::Clock>,
            )
        };
        databases.trader.register(tenant).await?;
        databases.paper.register(tenant).await?;
        let trading = LedgerOptions { projections: vec![Arc::new(TraderTables)], ..options.clone() };
        let ledger = Ledger::open(Arc::clone(&databases.trader), trading).await?;
        let paper_ledger = wait_for_paper(&databases.paper, &options).await?;
        let instruments = script.instruments.values().cloned();
        let first = PaperState::new(settings.paper.rules.clone(), instruments);
        let exchange =
            Arc::new(PaperExchange::open(paper_ledger, first, settings.paper.faults.clone()).await?);
        let head = databases.trader.head(tenant).await?;
        let traded_to = (head.log_seq > 0).then(|| time_of(head.ingested_at));
        let is_resuming = traded_to.is_some();
        let resume_at = traded_to.max(exchange.cursor().await).unwrap_or(first_at);
        clock.set(resume_at);
        databases.trader.ensure_partitions(MONTHS_AHEAD, clock_time(&clock)).await?;
        databases.paper.ensure_partitions(MONTHS_AHEAD, clock_time(&clock)).await?;
        exchange.fund_once(settings.paper.capital, resume_at).await?;
        let playback = script.feed.resume_at(resume_at);
        let markets = warm_up(script, &exchange, &playback, resume_at).await?;
        let account_id = paper_account(tenant);
        let epoch = ledger.epoch();
        let desk = Desk::open(ledger, account_id).await?;
        let instance_id = InstanceId(desk.derive(resume_at, "instance", &[&epoch.to_string()]));
        let trader = Trader::open(desk, Arc::clone(&exchange), settings.risk, markets, resume_at).await?;
        let mut session = Self {
            trader,
            exchange,
            clock,
            playback,
            plan: script.plan.clone(),
            next_line: 0,
            instance_id,
            is_resuming,
            ticks: 0,
        };
        session.introduce(settings, &script.feed).await?;
        Ok(session)
    }

    /// The first session of an account introduces it; each session says that it began, and on what prices.
    async fn introduce(&mut self, settings: &Settings, feed: &RecordedFeed) -> Result<(), SessionError> {
        let now = self.clock.get();
        let desk = self.trader.desk_mut();
        let (tenant, account_id) = (desk.ledger().tenant(), desk.account_id());
        if *desk.ledger().head().borrow() == 0 {
            let mut draft = desk.draft(desk.derive(now, "introduction", &[]), now);
            let strategy_id = desk.operator_strategy();
            let name = "default".to_owned();
            desk.add(&mut draft, TenantRegistered { tenant_id: tenant.0, name }, now).await?;
            let linked = AccountLinked {
                account_id,
                exchange: robson_venue::exchange::Exchange::venue(self.exchange.as_ref()).clone(),
                profile: "paper".to_owned(),
                testnet: false,
            };
            desk.add(&mut draft, linked, now).await?;
            let created = StrategyCreated {
                strategy_id,
                account_id,
                strategy_name: "operator".to_owned(),
                strategy_type: "operator".to_owned(),
                detector_config: None,
                risk_config: RiskConfig { max_exposure: None, daily_loss_limit: None },
            };
            desk.add(&mut draft, created.clone(), now).await?;
            let enabled = StrategyEnabled {
                strategy_id,
                account_id,
                strategy_name: created.strategy_name,
                strategy_type: created.strategy_type,
                detector_config: None,
                risk_config: created.risk_config,
            };
            desk.add(&mut draft, enabled, now).await?;
            desk.commit(draft).await?;
        }
        let started = DaemonStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: self.instance_id,
            environment: settings.environment.as_str().to_owned(),
            config_hash: settings.config_hash().to_owned(),
        };
        let instance = self.instance_id.to_string();
        let mut draft = desk.draft(desk.derive(now, "started", &[&instance]), now);
        desk.add(&mut draft, started, now).await?;
        for source in feed.summaries() {
            let connected = ConnectorConnected {
                connector: "recorded".to_owned(),
                stream: "market".to_owned(),
                endpoint: format!("{}:{}", source.symbol, source.sha256),
                connection_id: instance.clone(),
            };
            desk.add(&mut draft, connected, now).await?;
        }
        Ok(desk.commit(draft).await?)
    }

    /// When the next tick is due; none at the end of the feed.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.playback.next_at()
    }

    /// The feed's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.get()
    }

    /// Ticks taken in since the session began.
    pub const fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The ledger, for whoever reads along.
    pub const fn ledger(&self) -> &Ledger<AnyStore> {
        self.trader.desk().ledger()
    }

    /// The account that trades.
    pub const fn account_id(&self) -> AccountId {
        self.trader.desk().account_id()
    }

    /// Takes the next tick in; answers whether there was one.
    ///
    /// # Errors
    /// The session must then be dropped; a new one takes up where the logs end.
    pub async fn step(&mut self) -> Result<bool, TraderError> {
        let trader = &self.trader;
        // A fill is known when it happens, so that its stop is watched from there on.
        let fillable = self.exchange.next_fillable().await;
        let next = self.playback.next_or_split(|tick| {
            let fill = fillable.as_ref().filter(|(symbol, at)| *symbol == *tick.symbol && *at < tick.at);
            trader.first_touch(tick).into_iter().chain(fill.map(|(_, at)| *at)).min()
        });
        let Some(tick) = next else { return Ok(false) };
        self.clock.set(tick.at);
        let reports = self.exchange.on_tick(&tick).await.map_err(paper_stopped)?;
        self.trader.on_tick(&tick, &reports).await?;
        self.follow_plan(tick.at).await?;
        self.ticks += 1;
        Ok(true)
    }

    /// Arms what the plan wants armed by now. A line that was followed before answers as it did then.
    async fn follow_plan(&mut self, now: Timestamp) -> Result<(), TraderError> {
        while let Some(line) = self.plan.as_ref().and_then(|plan| plan.lines.get(self.next_line)) {
            if line.at > now {
                break;
            }
            let arm = Arm {
                symbol: line.symbol.clone(),
                side: line.side,
                entry: line.entry,
                trailing: line.trailing,
                capital: line.capital,
                risk: line.risk,
                approval: ApprovalMode::Automatic,
                strategy_id: None,
            };
            let (id, number) = (line.command_id, line.number);
            self.next_line += 1;
            if let Err(refused) = self.trader.execute(id, "plan", &Command::Arm(arm)).await? {
                tracing::info!(line = number, at = %now, %refused, "the plan's line was refused");
            }
        }
        Ok(())
    }

    /// Carries a command out.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub async fn execute(
        &mut self,
        id: CommandId,
        actor: &str,
        command: &Command,
    ) -> Result<Result<Done, Refused>, TraderError> {
        // The tick at which it resumed was begun before: it ends before anything else happens.
        if self.is_resuming && self.ticks == 0 {
            self.step().await?;
        }
        self.trader.execute(id, actor, command).await
    }

    /// Says that it ends, and gives up both logs.
    ///
    /// # Errors
    /// What was decided before is durable all the same.
    pub async fn close(mut self, reason: &str) -> Result<(), TraderError> {
        let now = self.clock.get();
        let desk = self.trader.desk_mut();
        let stopped = DaemonStopped { instance_id: self.instance_id, reason: reason.to_owned() };
        let mut draft = desk.draft(desk.derive(now, "stopped", &[&self.instance_id.to_string()]), now);
        desk.add(&mut draft, stopped, now).await?;
        desk.commit(draft).await?;
        desk.ledger().close().await;
        self.exchange.close().await;
        Ok(())
    }
}

/// The paper account of a tenant.
pub fn paper_account(tenant: TenantId) -> AccountId {
    AccountId(derived_id(Timestamp::EPOCH, &["account", &tenant.to_string(), "paper"]))
}

fn clock_time(clock: &FeedClock) -> robson_eventlog::Timestamp {
    robson_projector::log_time(clock.get())
}

fn paper_stopped(error: PaperError) -> TraderError {
    match error {
        PaperError::Append(robson_eventlog::AppendError::Fenced) => TraderError::LeaseLost,
        other => DeskError::Broken(format!("{other:#}")).into(),
    }
}

/// The daemon that held both leases is gone, but the second may take a moment longer to end.
async fn wait_for_paper(
    store: &Arc<AnyStore>,
    options: &LedgerOptions,
) -> Result<Ledger<AnyStore>, SessionError> {
    let pause = (options.lease_ttl / 10).max(Duration::from_millis(20));
    let mut tries = 0_u32;
    loop {
        match Ledger::open(Arc::clone(store), options.clone()).await.map_err(SessionError::from) {
            Err(SessionError::Held { .. }) if tries < 20 => tries += 1,
            answer => return answer,
        }
        tokio::time::sleep(pause).await;
    }
}

/// Brings the markets to where they stood before `resume_at`, by playing the feed up to there.
async fn warm_up(
    script: &Script,
    exchange: &PaperExchange<AnyStore>,
    playback: &Playback,
    resume_at: Timestamp,
) -> Result<Markets, SessionError> {
    let mut markets: Markets = script
        .feed
        .summaries()
        .into_iter()
        .filter_map(|summary| {
            let instrument = script.instruments.get(&summary.symbol)?.clone();
            Some((summary.symbol, Market::new(instrument, summary.bar_micros)))
        })
        .collect();
    for tick in script.feed.play().take_while(|tick| tick.at < resume_at) {
        if let Some(market) = markets.get_mut(&*tick.symbol) {
            market.take(&tick).map_err(TraderError::from)?;
        }
    }
    // The exchange's prices are not durable; these ticks were taken in before, so nothing else changes.
    for tick in playback.last_ticks() {
        exchange.on_tick(&tick).await?;
    }
    Ok(markets)
}
