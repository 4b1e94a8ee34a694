//! The doorbell between processes: `NOTIFY` in the commit, `LISTEN` on a connection of its own.
//!
//! A channel carries the name of the schema and the tenant, so that two logs of one database do not wake
//! each other's readers. Nothing is read from a notification but that there may be something to read; what
//! was missed while the connection was down is made up for by ringing once it stands again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use robson_eventlog::{Bells, TenantId, Value};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::sql::statement::Statement;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
/// How long the listener waits for its connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The statement that rings, as the last one of a commit.
pub(super) fn ring(tenant: TenantId, log_seq: i64) -> Statement<'static> {
    Statement::fixed(include_str!("sql/ring.sql"), [Value::Uuid(tenant.0), Value::Integer(log_seq)])
}

/// The doorbells of a store: rung by its own commits and, where it listens, by those of other processes.
#[derive(Debug)]
pub(super) struct Doorbells {
    pub(super) bells: Arc<Bells>,
    /// Where to listen; none: only this process is heard.
    options: Option<PgConnectOptions>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Doorbells {
    pub(super) fn new(options: Option<PgConnectOptions>) -> Self {
        Self { bells: Arc::default(), options, task: Mutex::new(None) }
    }

    /// Listens for a tenant; the first listener of a tenant lets the connection listen for it too.
    pub(super) fn listen(&self, tenant: TenantId) -> watch::Receiver<i64> {
        let is_new = !self.bells.tenants().contains(&tenant);
        let receiver = self.bells.listen(tenant);
        // Without a runtime nobody waits either.
        if let (true, Some(options), Ok(runtime)) = (is_new, &self.options, Handle::try_current()) {
            let listening = listen_for_ever(options.clone(), Arc::clone(&self.bells));
            self.replace(Some(runtime.spawn(listening)));
        }
        receiver
    }

    pub(super) fn close(&self) {
        self.replace(None);
    }

    fn replace(&self, task: Option<JoinHandle<()>>) {
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *slot, task) {
            before.abort();
        }
    }
}

impl Drop for Doorbells {
    fn drop(&mut self) {
        self.close();
    }
}

/// Never ends: no error of the connection does more than delay the next attempt.
async fn listen_for_ever(options: PgConnectOptions, bells: Arc<Bells>) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options);
    let mut wait = BACKOFF_FIRST;
    loop {
        match listen(&pool, &bells, &mut wait).await {
            Ok(never) => match never {},
            Err(error) => tracing::debug!(%error, "the doorbell's connection was lost; polling goes on"),
        }
        metrics::counter!("eventlog_doorbell_losses_total").increment(1);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF_LAST);
    }
}

async fn listen(
    pool: &PgPool,
    bells: &Bells,
    wait: &mut Duration,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let schema: Option<String> =
        sqlx::query_scalar(include_str!("sql/schema_of_channel.sql")).fetch_one(pool).await?;
    let schema = schema.unwrap_or_default();
    let channel = |tenant: TenantId| format!("{schema}/{}", tenant.0.simple());
    let channels: Vec<(TenantId, String)> =
        bells.tenants().into_iter().map(|tenant| (tenant, channel(tenant))).collect();
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all(channels.iter().map(|(_, channel)| channel.as_str())).await?;
    *wait = BACKOFF_FIRST;
    // What was committed while nobody listened is there to be read.
    bells.ring_all();
    loop {
        match listener.try_recv().await? {
            Some(ring) => {
                let rung = channels.iter().find(|(_, channel)| channel == ring.channel());
                if let (Some((tenant, _)), Ok(log_seq)) = (rung, ring.payload().parse()) {
                    bells.ring(*tenant, log_seq);
                }
            }
            // The connection was lost and stands again.
            None => bells.ring_all(),
        }
    }
}
