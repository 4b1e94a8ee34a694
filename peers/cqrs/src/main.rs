//! A subject of the benchmark: cqrs-es on sqlite-es or postgres-es, one event per command, no views.
//!
//! Each command goes to an aggregate of its own, which is what they do best: nothing has to be loaded.

mod database;
mod order;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use cqrs_es::{CqrsFramework, EventStore};
use peer_measure::{Round, Task, measure};
use uuid::Uuid;

use database::{PostgresDatabase, open_sqlite, sqlite_settings};
use order::{Order, OrderSubmitted, Submit};

/// Fewer than the ten that `sqlite_es` opens by itself: in two trials of 64 callers these were faster.
const SQLITE_CONNECTIONS: u32 = 4;
/// As many as `postgres_es` opens by itself; no other number was tried.
const POSTGRES_CONNECTIONS: u32 = 10;

/// Commands that are not measured: connections are opened and statements prepared by them.
const WARM_UP: u64 = 100;

#[tokio::main]
async fn main() -> Result<()> {
    let task = Task::from_words(std::env::args().skip(1)).map_err(|error| anyhow!(error))?;
    match task.backend() {
        "sqlite" => {
            let pool = open_sqlite(&task.url, SQLITE_CONNECTIONS).await?;
            let settings = sqlite_settings(&pool).await?;
            let round = run(sqlite_es::sqlite_cqrs(pool.clone(), vec![], ()), &task).await?;
            println!("{}", round.with("settings", settings).report("cqrs-es", &task));
            pool.close().await;
        }
        "postgres" => {
            let database = PostgresDatabase::create(&task.url, POSTGRES_CONNECTIONS).await?;
            let settings = database.settings().await?;
            let round = run(postgres_es::postgres_cqrs(database.pool.clone(), vec![], ()), &task).await;
            database.remove().await?;
            println!("{}", round?.with("settings", settings).report("cqrs-es", &task));
        }
        other => bail!("no such backend here: {other}"),
    }
    Ok(())
}

async fn run<S>(cqrs: CqrsFramework<Order, S>, task: &Task) -> Result<Round>
where
    S: EventStore<Order> + 'static,
    S::AC: Send,
{
    let times = match task.workload.as_str() {
        "append" => 1,
        "batch100" => 100,
        other => bail!("no such workload here: {other}"),
    };
    let sample = OrderSubmitted::sample()?;
    let cqrs = Arc::new(cqrs);
    let request = move |_| {
        let (cqrs, order) = (Arc::clone(&cqrs), Uuid::now_v7());
        let command = Submit { event: sample.of(order), times };
        async move { cqrs.execute(&order.to_string(), command).await }
    };
    let warm_up = measure(task.callers, WARM_UP, request.clone());
    warm_up.await.map_err(|error| anyhow!("warm up: {error}"))?;
    let requests = (task.events / times).max(1);
    let took = measure(task.callers, requests, request).await.map_err(|error| anyhow!(error))?;
    Ok(Round::new(requests * times, took))
}
