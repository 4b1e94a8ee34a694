//! Orders that are placed, shipped and cancelled over HTTP: an example on the log's event store.
//!
//! One file for what an order is ([`order`]), one for the loop of load, decide, append ([`orders`]), one for
//! HTTP ([`http`]). Nothing here knows which database it runs on.

mod http;
mod order;
mod orders;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use robson_eventlog::{Clock as _, SystemClock};
use robson_store::{DatabaseUrl, EventStoreOptions, open_event_store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use orders::Orders;

/// How long open requests may take once the process is told to stop.
const GRACE: Duration = Duration::from_secs(5);

const EXAMPLE: &str = r#"Example:
  order-processing --database sqlite://orders.db &
  curl -s localhost:8087/orders -d '{"customer": "ann", "lines": [{"sku": "tea", "quantity": 2, "unit_price": "3.50"}]}'
  curl -s localhost:8087/orders/ORDER_ID/ship -d '{"tracking": "T-1"}'
  curl -s localhost:8087/orders/ORDER_ID/events"#;

/// Takes orders over HTTP and keeps them as events
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    /// Where the events are kept: `memory:`, sqlite://FILE or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL", default_value = "memory:")]
    database: String,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8087")]
    listen: SocketAddr,
    /// How long the right to write outlives a process that was killed, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(500..))]
    lease_ms: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("info"))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let url: DatabaseUrl = arguments.database.parse()?;
    // One name for each run: two processes on one database then never take each other for themselves.
    let run = format!("orders/{}/{}", std::process::id(), SystemClock.now().unix_millis());
    let mut options = EventStoreOptions::new(run.parse()?);
    options.ledger.lease_ttl = Duration::from_millis(arguments.lease_ms);
    options.lease_wait = options.ledger.lease_ttl * 2;
    let opened = tokio::select! {
        opened = open_event_store(&url, options) => opened,
        _ = terminate.recv() => return Ok(()),
    };
    let store = opened.with_context(|| format!("open {url}"))?;

    let (stop, stopping) = watch::channel(false);
    let orders = Orders::new(Arc::clone(&store), Arc::new(SystemClock));
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("listen at {}", arguments.listen))?;
    tracing::info!(address = %listener.local_addr()?, "the HTTP interface listens");
    let mut stopped = stopping.clone();
    let (lost_log, mut log_is_lost) = watch::channel(false);
    let serving = axum::serve(listener, http::router(orders, lost_log)).with_graceful_shutdown(async move {
        // A closed channel is as good a reason to stop.
        let _ = stopped.wait_for(|stopping| *stopping).await;
    });
    let serving = tokio::spawn(serving.into_future());
    let is_lost = tokio::select! {
        _ = terminate.recv() => false,
        _ = tokio::signal::ctrl_c() => false,
        lost = log_is_lost.wait_for(|is_lost| *is_lost) => lost.is_ok(),
    };
    tracing::info!("stopping");
    stop.send_replace(true);
    if tokio::time::timeout(GRACE, serving).await.is_err() {
        tracing::warn!("requests were still open and are cut off");
    }
    store.close().await;
    if is_lost { bail!("another process writes the orders now") } else { Ok(()) }
}
