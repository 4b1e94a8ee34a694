//! A subject of the benchmark: UmaDB, one event per append, through its server and its client.
//!
//! The server runs in this process, on threads of its own, and is asked over loopback as its users ask it: with
//! its own defaults and by one client, since neither its other writer nor more connections were faster.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use peer_measure::{Round, Task, measure};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_core::mvcc::StorageOptions;
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreAsync, DcbQuery, DcbQueryItem};
use umadb_server::{ServerOptions, start_server_with_options};
use uuid::Uuid;

/// The frozen sample of our event, so that both write payloads of the same size.
const SAMPLE: &str = include_str!("../../../crates/robson-domain/samples/ORDER_SUBMITTED.v1.json");

const EVENT_TYPE: &str = "ORDER_SUBMITTED";
/// Appends that are not measured: the connection is opened by them.
const WARM_UP: u64 = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let task = Task::from_words(std::env::args().skip(1)).map_err(|error| anyhow!(error))?;
    let times = match task.workload.as_str() {
        "append" => 1,
        "batch100" => 100,
        other => bail!("no such workload here: {other}"),
    };
    let file =
        task.url.strip_prefix("umadb://").with_context(|| format!("{}: not umadb://FILE", task.url))?;

    let server = Server::start(Path::new(file))?;
    let client = UmaDbClient::new(server.url.clone()).connect_async().await.context("connect")?;
    let client = Arc::new(client);
    let payload = payload()?;
    let request = move |_| {
        let (client, payload) = (Arc::clone(&client), payload.clone());
        async move { append(&client, payload, times).await }
    };
    let warm_up = measure(task.callers, WARM_UP, request.clone());
    warm_up.await.map_err(|error| anyhow!("warm up: {error}"))?;
    let requests = (task.events / times).max(1);
    let took = measure(task.callers, requests, request).await.map_err(|error| anyhow!(error))?;
    server.stop()?;
    let settings = "UmaDB 0.7.8, fdatasync before each answer";
    println!("{}", Round::new(requests * times, took).with("settings", settings).report("umadb", &task));
    Ok(())
}

/// Appends to an order that must not exist yet, as we do.
async fn append(client: &AsyncUmaDbClient, mut payload: Value, times: u64) -> Result<()> {
    let order = Uuid::now_v7();
    payload["order_id"] = json!(order.to_string());
    payload["intent_id"] = json!(order.to_string());
    payload["client_order_id"] = json!(format!("rbe-{}", order.simple()));
    let (data, tag) = (payload.to_string(), format!("order:{order}"));
    let event = || {
        let event = DcbEvent::new().event_type(EVENT_TYPE).tags([&tag]).data(data.as_bytes());
        event.uuid(Uuid::now_v7())
    };
    let nothing_yet = DcbAppendCondition::new(DcbQuery::new().item(DcbQueryItem::new().tags([&tag])));
    client.append((0..times).map(|_| event()).collect(), Some(nothing_yet), None).await?;
    Ok(())
}

fn payload() -> Result<Value> {
    let mut sample: Value = serde_json::from_str(SAMPLE).context("read the frozen sample")?;
    Ok(sample["payload"].take())
}

/// A server on a free port.
struct Server {
    url: String,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<Result<()>>,
}

impl Server {
    fn start(file: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let options = ServerOptions {
            listen_addr: address.clone(),
            tls: None,
            api_key: None,
            storage: StorageOptions::default().db_path(file),
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime
                .block_on(start_server_with_options(options, stopped))
                .map_err(|error| anyhow!("the server: {error}"))
        });
        Ok(Self { url: format!("http://{address}"), stop, thread })
    }

    fn stop(self) -> Result<()> {
        // The receiver is gone when the server ended of itself, which the thread tells.
        let _ = self.stop.send(());
        self.thread.join().map_err(|_| anyhow!("the server panicked"))?
    }
}
