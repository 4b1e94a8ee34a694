//! Commands without a daemon: whoever calls becomes the writer of the log for the length of one command.
//!
//! Only what needs no venue can be done so. The log's own time is the clock: the daemon takes up where the
//! log ends, and under a recorded feed a wall's time would be far ahead of it.

use std::sync::Arc;

use robson_domain::{CommandId, Symbol};
use robson_eventlog::{
    AcquireError, Clock, Ledger, LedgerOptions, ParkedEvent, RowQuery, Store, StoreError, Timestamp, Value,
    WriterId,
};
use robson_projector::{TraderTables, time_of};
use robson_store::{AnyStore, OpenError, OpenOptions};

use crate::config::Settings;
use crate::operator::{Command, Done, Refused};
use crate::parked::{self, Decision};
use crate::session::{DEFAULT_TENANT, paper_account};
use crate::trader::{Desk, DeskError, Terms};

/// Why a command was not carried out without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A daemon holds the log after all: ask it.
    #[error("a daemon holds the log")]
    Held,
    /// Only a daemon can do it.
    #[error("{0} needs a running daemon")]
    NeedsDaemon(&'static str),
    /// There is no account yet.
    #[error("no account trades in this database yet: start `robsond` first")]
    NoAccount,
    /// The command was refused.
    #[error(transparent)]
    Refused(Refused),
    /// The database did not open.
    #[error(transparent)]
    Database(OpenError),
    /// The log could not be read or written.
    #[error(transparent)]
    Desk(DeskError),
}

impl From<OpenError> for OfflineError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked { .. } => Self::Held,
            other => Self::Database(other),
        }
    }
}

impl From<robson_eventlog::OpenError> for OfflineError {
    fn from(error: robson_eventlog::OpenError) -> Self {
        match error {
            robson_eventlog::OpenError::Acquire(AcquireError::Held { .. }) => Self::Held,
            robson_eventlog::OpenError::Acquire(AcquireError::Store(StoreError::UnknownTenant(_))) => {
                Self::NoAccount
            }
            other => Self::Desk(DeskError::Broken(other.to_string())),
        }
    }
}

impl From<DeskError> for OfflineError {
    fn from(error: DeskError) -> Self {
        Self::Desk(error)
    }
}

impl From<StoreError> for OfflineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::UnknownTenant(_) => Self::NoAccount,
            other => Self::Desk(other.into()),
        }
    }
}

/// Carries a command out as the log's writer, then lets go of it.
///
/// # Errors
/// See [`OfflineError`].
pub async fn execute(
    settings: &Settings,
    id: CommandId,
    actor: &str,
    command: &Command,
) -> Result<Done, OfflineError> {
    if command.needs_daemon() {
        return Err(OfflineError::NeedsDaemon(command.name()));
    }
    let store = Arc::new(AnyStore::open(&settings.database.url, &OpenOptions::default()).await?);
    let done = execute_on(Arc::clone(&store), settings, id, actor, command).await;
    store.close().await;
    done
}

async fn execute_on(
    store: Arc<AnyStore>,
    settings: &Settings,
    id: CommandId,
    actor: &str,
    command: &Command,
) -> Result<Done, OfflineError> {
    let ledger = open_ledger(store, settings, id).await?;
    let now = time_of(ledger.now());
    let answer = carry_out(ledger.clone(), settings, id, actor, command, now).await;
    ledger.close().await;
    answer?.map_err(OfflineError::Refused)
}

/// Becomes the writer, at the time at which the log ends.
async fn open_ledger(
    store: Arc<AnyStore>,
    settings: &Settings,
    id: CommandId,
) -> Result<Ledger<AnyStore>, OfflineError> {
    let tenant = settings.database.tenant.unwrap_or(DEFAULT_TENANT);
    let head = store.head(tenant).await?;
    if head.log_seq == 0 {
        return Err(OfflineError::NoAccount);
    }
    let writer = WriterId::new(format!("robson/{}", id.0)).map_err(|e| DeskError::Broken(e.to_string()))?;
    let options = LedgerOptions {
        seed: settings.run.seed,
        lease_ttl: settings.database.lease,
        projections: vec![Arc::new(TraderTables)],
        ..LedgerOptions::new(tenant, writer, Arc::new(StandingClock(head.ingested_at)))
    };
    Ok(Ledger::open(store, options).await?)
}

/// Decides about a parked event as the log's writer, then lets go of it; the consumer takes note when a
/// daemon runs again.
///
/// # Errors
/// See [`OfflineError`].
pub async fn decide_parked(
    settings: &Settings,
    id: CommandId,
    actor: &str,
    decision: &Decision,
) -> Result<ParkedEvent, OfflineError> {
    let store = Arc::new(AnyStore::open(&settings.database.url, &OpenOptions::default()).await?);
    let decided = async {
        let ledger = open_ledger(Arc::clone(&store), settings, id).await?;
        let decided = parked::decide(&ledger, id, actor, decision).await;
        ledger.close().await;
        decided.map_err(OfflineError::Refused)
    };
    let decided = decided.await;
    store.close().await;
    decided
}

async fn carry_out(
    ledger: Ledger<AnyStore>,
    settings: &Settings,
    id: CommandId,
    actor: &str,
    command: &Command,
    now: robson_domain::Timestamp,
) -> Result<Result<Done, Refused>, DeskError> {
    let tenant = ledger.tenant();
    let mut desk = Desk::open(ledger, paper_account(tenant)).await?;
    let is_traded = match command {
        Command::Arm(arm) => {
            settings.symbols.contains_key(&arm.symbol) || was_traded(&desk, &arm.symbol).await?
        }
        _ => false,
    };
    desk.execute(id, actor, command, &Terms { rules: &settings.risk, is_traded }, now).await
}

/// Whether the log knows a position of the symbol: the venue took it then.
async fn was_traded(desk: &Desk<AnyStore>, symbol: &Symbol) -> Result<bool, DeskError> {
    let query = RowQuery { limit: Some(1), ..RowQuery::filter("symbol", Value::Text(symbol.to_string())) };
    let table = &robson_projector::positions_current::TABLE;
    let rows = desk.ledger().store().rows(desk.ledger().tenant(), table, &query).await?;
    Ok(!rows.is_empty())
}

/// A clock that stands where the log ends.
#[derive(Debug)]
struct StandingClock(Timestamp);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
