//! One round as a line of JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Plan;

/// What one round measured.
pub(crate) struct Round {
    pub(crate) events: u64,
    pub(crate) took: Duration,
    /// How long each caller waited, in any order.
    pub(crate) waits: Vec<Duration>,
    /// What else is worth knowing.
    pub(crate) extra: Map<String, Value>,
}

impl Round {
    pub(crate) fn new(events: u64, took: Duration, waits: Vec<Duration>) -> Self {
        Self { events, took, waits, extra: Map::new() }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn to_json(&self, plan: &Plan) -> Value {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        let micros = |wait: &Duration| u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let percentile = |percent: usize| {
            let last = waits.len().checked_sub(1)?;
            waits.get(last * percent / 100).map(micros)
        };
        let backend = match plan.url.split(':').next() {
            Some("sqlite") => "sqlite",
            Some("memory") => "memory",
            _ => "postgres",
        };
        json!({
            "subject": plan.subject,
            "backend": backend,
            "workload": plan.workload,
            "callers": plan.callers,
            "events": self.events,
            "seconds": self.took.as_secs_f64(),
            "p50_us": percentile(50),
            "p99_us": percentile(99),
            "extra": self.extra,
        })
    }
}
