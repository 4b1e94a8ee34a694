//! What a piece of work leaves behind for those who watch: the names of its spans, and its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::span;

/// What was seen of a piece of work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    spans: Arc<Mutex<BTreeSet<&'static str>>>,
    metrics: Arc<Mutex<BTreeMap<String, Arc<Metric>>>>,
}

/// How often a metric was touched, and what a counter came to.
#[derive(Debug, Default)]
struct Metric {
    touched: AtomicU64,
    count: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    /// Does a piece of work on the calling thread alone, and answers with it what was seen of it.
    ///
    /// # Errors
    /// When there is no runtime, or as the work says.
    pub(crate) fn of<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(T, Self)> {
        let seen = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = || tracing::subscriber::with_default(seen.clone(), || runtime.block_on(work));
        let done = metrics::with_local_recorder(&seen, work)?;
        Ok((done, seen))
    }

    pub(crate) fn has_span(&self, name: &str) -> bool {
        locked(&self.spans).contains(name)
    }

    /// How often a counter, gauge or histogram was touched, under any labels.
    pub(crate) fn touched(&self, name: &str) -> u64 {
        locked(&self.metrics).get(name).map_or(0, |metric| metric.touched.load(Ordering::Acquire))
    }

    /// What a counter came to, over all labels.
    pub(crate) fn count(&self, name: &str) -> u64 {
        locked(&self.metrics).get(name).map_or(0, |metric| metric.count.load(Ordering::Acquire))
    }

    fn metric(&self, key: &Key) -> Arc<Metric> {
        Arc::clone(locked(&self.metrics).entry(key.name().to_owned()).or_default())
    }
}

impl CounterFn for Metric {
    fn increment(&self, value: u64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
        self.count.fetch_add(value, Ordering::AcqRel);
    }
    fn absolute(&self, value: u64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
        self.count.fetch_max(value, Ordering::AcqRel);
    }
}

impl GaugeFn for Metric {
    fn increment(&self, _value: f64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
    }
    fn decrement(&self, _value: f64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
    }
    fn set(&self, _value: f64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
    }
}

impl HistogramFn for Metric {
    fn record(&self, _value: f64) {
        self.touched.fetch_add(1, Ordering::AcqRel);
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _key: KeyName, _unit: Option<Unit>, _about: SharedString) {}
    fn describe_gauge(&self, _key: KeyName, _unit: Option<Unit>, _about: SharedString) {}
    fn describe_histogram(&self, _key: KeyName, _unit: Option<Unit>, _about: SharedString) {}
    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.metric(key))
    }
    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.metric(key))
    }
    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.metric(key))
    }
}

impl tracing::Subscriber for Seen {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        locked(&self.spans).insert(span.metadata().name());
        span::Id::from_u64(1)
    }
    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn event(&self, _event: &tracing::Event<'_>) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}
