//! The HTTP interface: reads the store, hands commands to the trader, and decides nothing itself.
//!
//! The list of routes is one table; who may call a route, what it takes, and the OpenAPI document all
//! follow from it.

mod commands;
mod events;
mod failure;
mod guard;
mod input;
mod openapi;
mod parked;
mod routes;
mod rows;
mod standing;
mod stream;

use std::fmt;
use std::future::{Future, IntoFuture as _};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use robson_domain::{AccountId, CommandId};
use robson_eventlog::{ConsumerStatus, Ledger, ParkedEvent, Store, TenantId};
use robson_store::AnyStore;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::operator::{Phase, Refused, Request};
use crate::parked::Decision;

pub use guard::Guard;

/// How long open requests may take once the daemon stops.
const GRACE: Duration = Duration::from_secs(3);
/// How often the metrics are tidied up between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Makes the id of a command that came without one; ids begin with time.
pub type IdSource = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// What the interface stands on.
#[derive(Clone)]
pub struct Api {
    /// Where it reads.
    pub store: Arc<AnyStore>,
    /// Whose log it reads.
    pub tenant: TenantId,
    /// The account that is traded.
    pub account_id: AccountId,
    /// Where commands go.
    pub commands: mpsc::Sender<Request>,
    /// What the daemon is doing.
    pub phase: watch::Receiver<Phase>,
    /// What the ledger says of itself, once it is open.
    pub ledger: Arc<OnceLock<LiveLedger>>,
    /// Who may call what.
    pub guard: Guard,
    /// Where commands without an id get one.
    pub new_command_id: IdSource,
    /// What `/metrics` prints; none: nothing is measured.
    pub metrics: Option<PrometheusHandle>,
    /// How often an event stream asks for news when nobody wakes it.
    pub poll_interval: Duration,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("tenant", &self.tenant)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

type Decide =
    dyn Fn(CommandId, String, Decision) -> BoxFuture<'static, Result<ParkedEvent, Refused>> + Send + Sync;

/// What the interface may know of the ledger: where it stands, whether the lease holds, and where its consumers
/// stand; not how to append, but for what the operator decides about parked events.
#[derive(Clone)]
pub struct LiveLedger {
    head: watch::Receiver<i64>,
    lease_holds: Arc<dyn Fn() -> bool + Send + Sync>,
    decide: Arc<Decide>,
    consumers: Vec<watch::Receiver<ConsumerStatus>>,
}

impl LiveLedger {
    /// The view of a ledger.
    pub fn of<S: Store>(ledger: &Ledger<S>) -> Self {
        let head = ledger.head();
        let (ledger, writer) = (ledger.clone(), ledger.clone());
        let decide = move |id, actor: String, decision| -> BoxFuture<'static, _> {
            let writer = writer.clone();
            Box::pin(async move { crate::parked::decide(&writer, id, &actor, &decision).await })
        };
        let lease_holds = Arc::new(move || ledger.lease_holds());
        Self { head, lease_holds, decide: Arc::new(decide), consumers: Vec::new() }
    }

    /// The same with the consumers that are to be seen.
    #[must_use]
    pub fn with_consumers(self, consumers: Vec<watch::Receiver<ConsumerStatus>>) -> Self {
        Self { consumers, ..self }
    }

    /// Where the consumers stand now.
    fn consumers(&self) -> Vec<ConsumerStatus> {
        self.consumers.iter().map(|consumer| consumer.borrow().clone()).collect()
    }
}

impl fmt::Debug for LiveLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveLedger").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

/// What handlers get: the interface, and the news that it stops.
#[derive(Debug, Clone)]
struct App {
    api: Arc<Api>,
    stopping: watch::Receiver<bool>,
}

/// The interface as a service, ended streams included: they end when `stopping` turns true.
pub fn router(api: Arc<Api>, stopping: watch::Receiver<bool>) -> Router {
    routes::router(App { api, stopping })
}

/// Serves until `shutdown` resolves, then lets open requests end for a moment.
///
/// # Errors
/// As the listener says.
pub async fn serve(
    api: Api,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let upkeep = tidy_metrics(api.metrics.clone());
    let mut stopped = stopping.clone();
    let server = axum::serve(listener, router(Arc::new(api), stopping))
        .with_graceful_shutdown(async move {
            // A closed channel is as good a reason to stop.
            let _ = stopped.wait_for(|stopping| *stopping).await;
        })
        .into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = upkeep => {}
        () = shutdown => {}
    }
    stop.send_replace(true);
    match tokio::time::timeout(GRACE, server).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!("requests were still open and are cut off");
            Ok(())
        }
    }
}

/// Never ends: what was measured between two scrapes would pile up otherwise.
async fn tidy_metrics(metrics: Option<PrometheusHandle>) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        if let Some(metrics) = &metrics {
            metrics.run_upkeep();
        }
    }
}

/// An interface that is being served by a task of its own.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Binds an address and serves there.
    ///
    /// # Errors
    /// The address is taken, or not ours.
    pub async fn start(api: Api, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            // Dropping the handle stops the interface too.
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(api, listener, shutdown));
        tracing::info!(%address, "the HTTP interface listens");
        Ok(Self { address, stop, task })
    }

    /// Where it listens; the port is the one that was taken, where 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it; open requests may end for a moment.
    pub async fn stop(self) {
        // It may have ended by itself.
        let _ = self.stop.send(());
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the HTTP interface ended with an error"),
            Err(error) => tracing::warn!(%error, "the HTTP interface broke"),
        }
    }
}
