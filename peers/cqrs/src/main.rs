//! A subject of the benchmark: cqrs-es on sqlite-es or postgres-es, one event per command, no views.
//!
//! Each command goes to an aggregate of its own, which is what they do best: nothing has to be loaded.

mod database;
mod order;

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use cqrs_es::{CqrsFramework, EventStore};
use peer_measure::{Durations, Task, measure};
use uuid::Uuid;

use database::{PostgresDatabase, open_sqlite, sqlite_settings};
use order::{Order, OrderSubmitted, Submit};

/// As many as the libraries' own functions open; fewer and more were no faster.
const CONNECTIONS: u32 = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let task = Task::from_words(std::env::args().skip(1)).map_err(|error| anyhow!(error))?;
    match task.backend() {
        "sqlite" => {
            let pool = open_sqlite(&task.url, CONNECTIONS).await?;
            let extra = sqlite_settings(&pool).await?;
            let durations = run(sqlite_es::sqlite_cqrs(pool.clone(), vec![], ()), &task).await?;
            println!("{}", durations.report("cqrs-es", &task, extra));
            pool.close().await;
        }
        "postgres" => {
            let database = PostgresDatabase::create(&task.url, CONNECTIONS).await?;
            let extra = database.settings().await?;
            let durations = run(postgres_es::postgres_cqrs(database.pool.clone(), vec![], ()), &task).await;
            database.remove().await?;
            println!("{}", durations?.report("cqrs-es", &task, extra));
        }
        other => bail!("no such backend here: {other}"),
    }
    Ok(())
}

async fn run<S>(cqrs: CqrsFramework<Order, S>, task: &Task) -> Result<Durations>
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
    let warm_up = measure(task.callers, task.callers * 2, request.clone());
    warm_up.await.map_err(|error| anyhow!("warm up: {error}"))?;
    measure(task.callers, task.events / times, request).await.map_err(|error| anyhow!(error))
}
