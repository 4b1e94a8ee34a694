//! The daemon: opens, waits where another one writes, trades, and goes down in order.
//!
//! Each concern is one task: this one trades, the HTTP interface answers, each ledger writes and renews
//! its lease. The trading task is never cut off in the middle of a tick.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use robson_domain::derived_id;
use robson_eventlog::{AppendError, Clock as _, SystemClock, WriterId};
use robson_projector::time_of;
use robson_store::{DatabaseUrl, OpenError, OpenOptions};
use robson_venue::feed::Speed;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::api::{Api, Guard, IdSource, LiveLedger, Serving};
use crate::config::{DatabaseSettings, Settings};
use crate::metrics::TICKS;
use crate::operator::{Phase, Request};
use crate::report::{Pace, Report, ReportError};
use crate::session::{DEFAULT_TENANT, Databases, Script, Session, SessionError, paper_account};
use crate::snapshotter::Snapshotter;
use crate::trader::{DeskError, TraderError};
use crate::workers::Workers;

/// Why the daemon ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It could not start; the operator has to act.
    #[error(transparent)]
    Start(#[from] SessionError),
    /// It had to stop trading.
    #[error(transparent)]
    Trading(#[from] TraderError),
    /// The report at the end could not be read.
    #[error("the closing report could not be read")]
    Report(#[from] ReportError),
    /// The HTTP interface could not be served.
    #[error("the HTTP interface cannot be served at {address}")]
    Api {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl DaemonError {
    /// 78 where starting needs the operator, else 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(_) | Self::Api { .. } => 78,
            Self::Trading(_) | Self::Report(_) => 1,
        }
    }

    /// Whether another daemon has taken over.
    pub const fn is_fenced(&self) -> bool {
        matches!(
            self,
            Self::Trading(TraderError::LeaseLost | TraderError::Desk(DeskError::Append(AppendError::Fenced)))
        )
    }
}

/// What a run came to, where it ended with its feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What the log came to.
    pub report: Report,
    /// How fast it went.
    pub pace: Pace,
}

/// How often the phase is told, in ticks.
const TELL_EVERY: u64 = 500;
/// How long the daemon tries to reach its database at start.
const CONNECT_TRIES: u32 = 7;
/// How many commands may wait.
const COMMANDS_WAITING: usize = 64;

/// Runs until the shutdown resolves, or until the feed ends where the settings say so.
///
/// # Errors
/// See [`DaemonError`]. What was decided before is durable.
pub async fn run(
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Option<Ended>, DaemonError> {
    let mut shutdown = pin!(shutdown);
    let script = Script::read(&settings)?;
    let databases = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(None),
        opened = connect(&settings.database) => opened.map_err(SessionError::from)?,
    };
    let (phase, _) = watch::channel(Phase::Starting);
    let (commands, requests) = mpsc::channel(COMMANDS_WAITING);
    let ledger = Arc::new(OnceLock::new());
    let serving = serve(&settings, &databases, commands, phase.subscribe(), Arc::clone(&ledger)).await?;
    let run =
        Run { settings: &settings, databases: &databases, script: &script, phase: &phase, ledger: &ledger };
    let result = run.trade(requests, shutdown).await;
    phase.send_replace(Phase::Stopping);
    if let Some(serving) = serving {
        serving.stop().await;
    }
    let result = match result {
        Ok(Some(pace)) => {
            let tenant = settings.database.tenant.unwrap_or(DEFAULT_TENANT);
            let report = Report::read(databases.trader.as_ref(), tenant).await;
            report.map(|report| Some(Ended { report, pace })).map_err(DaemonError::from)
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    databases.close().await;
    result
}

/// Opens the databases; a server that does not answer is tried again for about two minutes.
async fn connect(database: &DatabaseSettings) -> Result<Databases, OpenError> {
    let url = &database.url;
    let options = OpenOptions { doorbell: database.doorbell, ..OpenOptions::default() };
    let mut pause = Duration::from_secs(1);
    for attempt in 1.. {
        match Databases::open_with(url, &options).await {
            Err(error @ OpenError::Unreachable { .. })
                if attempt < CONNECT_TRIES && matches!(url, DatabaseUrl::Postgres(_)) =>
            {
                tracing::warn!(attempt, %error, "trying again in {} s", pause.as_secs());
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    unreachable!("the last attempt answers")
}

/// Serves the HTTP interface, unless the settings leave it out.
async fn serve(
    settings: &Settings,
    databases: &Databases,
    commands: mpsc::Sender<Request>,
    phase: watch::Receiver<Phase>,
    ledger: Arc<OnceLock<LiveLedger>>,
) -> Result<Option<Serving>, DaemonError> {
    let Some(http) = &settings.api else { return Ok(None) };
    let tenant = settings.database.tenant.unwrap_or(DEFAULT_TENANT);
    let metrics = match crate::metrics::install() {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::warn!(%error, "nothing is measured");
            None
        }
    };
    let api = Api {
        store: Arc::clone(&databases.trader),
        tenant,
        account_id: paper_account(tenant),
        commands,
        phase,
        ledger,
        guard: Guard::new(http, settings.environment),
        new_command_id: command_ids(),
        metrics,
        poll_interval: settings.database.poll_interval,
    };
    let serving = Serving::start(api, http.address).await;
    let serving = serving.map_err(|source| DaemonError::Api { address: http.address, source })?;
    Ok(Some(serving))
}

/// Ids for commands that came without one: they begin with time and never repeat within a run.
fn command_ids() -> IdSource {
    let (run, count) = (writer_id(), AtomicU64::new(0));
    Arc::new(move || {
        let number = count.fetch_add(1, Ordering::Relaxed).to_string();
        derived_id(time_of(SystemClock.now()), &["command", run.as_str(), &number])
    })
}

/// One run of one process: two runs never share a lease, be it on one host.
fn writer_id() -> WriterId {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() || host.len() > 60 { "host" } else { host };
    let begun_ms = SystemClock.now().unix_millis();
    let text = format!("{host}/{}/{begun_ms}", std::process::id());
    WriterId::new(text).unwrap_or_else(|_| WriterId::new("robsond").expect("a plain name"))
}

/// What the trading task of one run works with.
struct Run<'a> {
    settings: &'a Settings,
    databases: &'a Databases,
    script: &'a Script,
    phase: &'a watch::Sender<Phase>,
    ledger: &'a OnceLock<LiveLedger>,
}

impl Run<'_> {
    /// Opens the session, waiting as a standby while another daemon writes.
    async fn open_session(&self) -> Result<Session, DaemonError> {
        let writer = writer_id();
        let pause = (self.settings.database.lease / 10).max(Duration::from_millis(20));
        loop {
            match Session::open(self.settings, self.databases, self.script, &writer).await {
                Err(SessionError::Held { writer }) => {
                    let standby = Phase::Standby { writer };
                    if *self.phase.borrow() != standby {
                        tracing::info!(?standby, "another daemon writes; waiting for its lease to end");
                        self.phase.send_replace(standby);
                    }
                    tokio::time::sleep(pause).await;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Trades until told to stop, or to the end of the feed; answers the pace where the feed ended.
    async fn trade(
        &self,
        mut requests: mpsc::Receiver<Request>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<Option<Pace>, DaemonError> {
        let mut session = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(None),
            opened = self.open_session() => opened?,
        };
        let workers = Workers::start(session.ledger());
        // It is set once: there is one session in a run.
        let _ = self.ledger.set(LiveLedger::of(session.ledger()).with_consumers(workers.statuses()));
        tracing::info!(feed_at = %session.now(), epoch = session.ledger().epoch(), "trading");
        let begun = Begun::at(&session, self.settings.run.speed);
        let snapshots = self.settings.snapshots.clone();
        let snapshotter = Snapshotter::start(session.ledger().clone(), snapshots);
        let mut has_ended = false;
        self.tell(&session);
        let reason = loop {
            if !has_ended && session.next_at().is_none() {
                has_ended = true;
                self.phase.send_replace(Phase::FeedEnded);
                tracing::info!(feed_at = %session.now(), "the feed has ended");
                if self.settings.run.exit_at_end {
                    break "the feed has ended";
                }
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break "told to stop",
                Some(request) = requests.recv() => {
                    answer(&mut session, request).await?;
                    continue;
                }
                () = begun.due(session.next_at()) => {}
            }
            session.step().await?;
            if session.ticks().is_multiple_of(TELL_EVERY) || self.settings.run.speed != Speed::Max {
                self.tell(&session);
            }
        };
        let pace = begun.pace(&session);
        snapshotter.stop().await;
        workers.stop().await;
        session.close(reason).await?;
        Ok(has_ended.then_some(pace))
    }

    fn tell(&self, session: &Session) {
        metrics::counter!(TICKS).absolute(session.ticks());
        self.phase.send_replace(Phase::Active { feed_at: Some(session.now()), ticks: session.ticks() });
    }
}

async fn answer(session: &mut Session, request: Request) -> Result<(), TraderError> {
    let answer = session.execute(request.command_id, &request.actor, &request.command).await?;
    // The caller may have gone away; the command's record keeps the answer.
    let _ = request.reply.send(answer);
    Ok(())
}

/// Where a run began, on the feed's clock and on the wall's.
struct Begun {
    feed_at: Option<robson_domain::Timestamp>,
    wall: Instant,
    log_seq: i64,
    speed: Speed,
}

impl Begun {
    fn at(session: &Session, speed: Speed) -> Self {
        let log_seq = *session.ledger().head().borrow();
        Self { feed_at: session.next_at(), wall: Instant::now(), log_seq, speed }
    }

    /// Resolves when the next tick is due; never at the end of the feed.
    async fn due(&self, next_at: Option<robson_domain::Timestamp>) {
        match (self.feed_at, next_at) {
            (Some(_), Some(_)) if self.speed == Speed::Max => {}
            (Some(first), Some(next)) => {
                tokio::time::sleep_until(self.wall + self.speed.wait(first, next)).await;
            }
            _ => std::future::pending().await,
        }
    }

    fn pace(&self, session: &Session) -> Pace {
        let events = session.ledger().head().borrow().saturating_sub(self.log_seq);
        Pace {
            ticks: session.ticks(),
            events: u64::try_from(events).unwrap_or(0),
            elapsed: self.wall.elapsed(),
            feed_at: session.now(),
        }
    }
}
