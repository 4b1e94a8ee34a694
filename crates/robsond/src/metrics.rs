//! What is measured: the names, and the recorder that `/metrics` prints. It listens nowhere itself.
//!
//! The log's own counters (`eventlog_...`) are kept where the log is written; labels are few and bounded.

use std::sync::{Mutex, PoisonError};

use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Orders sent, by `side`.
pub const ORDERS: &str = "robsond_orders_total";
/// Orders whose outcome had to be asked for.
pub const UNKNOWN_OUTCOMES: &str = "robsond_unknown_outcomes_total";
/// Entries that the risk gate denied, by `check`.
pub const RISK_DENIALS: &str = "robsond_risk_denials_total";
/// Positions that hold something.
pub const ACTIVE_POSITIONS: &str = "robsond_active_positions";
/// 1 while the month is halted.
pub const MONTHLY_HALT: &str = "robsond_monthly_halt";
/// The log's last place.
pub const LOG_HEAD: &str = "robsond_log_head";
/// Ticks taken in.
pub const TICKS: &str = "robsond_ticks_total";
/// What called for the operator, by `code`.
pub const ALARMS: &str = "robsond_alarms_total";
/// Open event streams.
pub const SSE_CONNECTIONS: &str = "robsond_sse_connections";
/// Requests answered, by `method`, `route` and `status`.
pub const HTTP_REQUESTS: &str = "robsond_http_requests_total";
/// How long an append takes, as the log measures it.
const APPEND_SECONDS: &str = "eventlog_append_seconds";
/// Requests in one commit, as the log counts them.
const BATCH_REQUESTS: &str = "eventlog_batch_requests";

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Installs the recorder of this process; a second call answers with the first one's handle.
///
/// # Errors
/// Another recorder was installed before.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let batches = Matcher::Full(BATCH_REQUESTS.to_owned());
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(batches, &[1.0, 2.0, 4.0, 16.0, 64.0, 256.0])?;
    let appends = Matcher::Full(APPEND_SECONDS.to_owned());
    let builder =
        builder.set_buckets_for_metric(appends, &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0])?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(ORDERS, Unit::Count, "Orders sent, by side.");
    describe_counter!(UNKNOWN_OUTCOMES, Unit::Count, "Orders whose outcome had to be asked for.");
    describe_counter!(RISK_DENIALS, Unit::Count, "Entries that the risk gate denied, by check.");
    describe_gauge!(ACTIVE_POSITIONS, Unit::Count, "Positions that hold something.");
    describe_gauge!(MONTHLY_HALT, Unit::Count, "1 while the month is halted.");
    describe_counter!(LOG_HEAD, Unit::Count, "The log's last place.");
    describe_counter!(TICKS, Unit::Count, "Ticks taken in.");
    describe_gauge!(SSE_CONNECTIONS, Unit::Count, "Open event streams.");
    describe_counter!(HTTP_REQUESTS, Unit::Count, "Requests answered, by method, route and status.");
    describe_counter!(ALARMS, Unit::Count, "What called for the operator, by code.");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "From asking for an append to its durable answer.");
    describe_counter!("eventlog_reads_total", Unit::Count, "Reads of the log.");
    describe_counter!("eventlog_read_events_total", Unit::Count, "Events that reads answered with.");
    describe_counter!("eventlog_delivered_total", Unit::Count, "Events that subscriptions delivered.");
    describe_counter!(
        "eventlog_subscription_failures_total",
        Unit::Count,
        "Reads that a subscription makes again."
    );
    describe_counter!(
        "eventlog_doorbell_losses_total",
        Unit::Count,
        "Times that the doorbell's connection was lost."
    );
    describe_counter!(
        "eventlog_parked_total",
        Unit::Count,
        "Events that could not be dealt with, by consumer."
    );
    describe_gauge!("eventlog_consumer_lag", Unit::Count, "How many events a consumer is behind.");
    describe_gauge!("eventlog_consumer_parked", Unit::Count, "Events that a consumer went on without.");
    describe_gauge!(
        "eventlog_consumer_stuck",
        Unit::Count,
        "1 while a consumer waits for somebody's decision."
    );
    describe_counter!("eventlog_events_total", Unit::Count, "Events appended.");
    describe_counter!("eventlog_duplicates_total", Unit::Count, "Appends that had been made before.");
    describe_counter!("eventlog_mismatches_total", Unit::Count, "Dedupe keys used for two contents.");
    describe_counter!("eventlog_conflicts_total", Unit::Count, "Appends that expected another version.");
    describe_counter!("eventlog_refusals_total", Unit::Count, "Appends that a fold refused.");
    describe_counter!("eventlog_fenced_total", Unit::Count, "Times that another writer took over.");
    describe_histogram!(BATCH_REQUESTS, Unit::Count, "Requests in one commit.");
}
