//! Subscriptions: everything from a place on, in order, then live. The reader pulls, so memory is bounded.
//!
//! A subscription reads and remembers where it stands; what is done with the events, and that it is done
//! once, is a [`Consumer`](crate::Consumer)'s to see to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::event::RecordedEvent;
use crate::store::{Direction, EventQuery, Store, StoreError};

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first event.
    Origin,
    /// With the event behind this place.
    After(i64),
    /// With what is appended from now on.
    Now,
}

/// Most payload bytes of a page, but for a single event that has more.
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often a subscription asks by itself, unless told otherwise.
const POLL: Duration = Duration::from_millis(100);
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(2);

/// A database that does not answer at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How often it was asked in vain since it last answered.
    pub attempts: u32,
    /// What it said last.
    pub reason: String,
}

/// A reader of the log that catches up, then waits for more.
///
/// Its cursor moves only past events that one read has shown not to be wanted, or that were delivered,
/// and the log has no late arrivals; so nothing is skipped and nothing comes twice. It holds one page, of
/// at most `limit` events and 4 MiB of payloads (or one event), and nothing else. A database that cannot
/// be reached is asked again for as long as it takes.
#[derive(Debug)]
pub struct Subscription<S> {
    store: Arc<S>,
    query: EventQuery,
    start: Option<Start>,
    delivered: Option<i64>,
    head: i64,
    wake: Option<watch::Receiver<i64>>,
    poll: Duration,
    trouble: Option<Trouble>,
}

impl<S: Store> Subscription<S> {
    /// A subscription to what a query selects; its range and direction are the subscription's own.
    ///
    /// It is woken by the store's doorbell, and asks every 100 ms besides.
    pub fn new(store: Arc<S>, start: Start, query: EventQuery) -> Self {
        // A page of nothing would look like the end of the log.
        let limit = query.limit.max(1);
        let bytes_max = Some(query.bytes_max.unwrap_or(PAGE_BYTES_MAX));
        let query = EventQuery {
            after: 0,
            up_to: i64::MAX,
            direction: Direction::Forward,
            limit,
            bytes_max,
            ..query
        };
        let wake = Some(store.doorbell(query.tenant));
        Self { store, query, start: Some(start), delivered: None, head: 0, wake, poll: POLL, trouble: None }
    }

    /// Is woken by this instead of the store's doorbell, besides polling.
    #[must_use]
    pub fn woken_by(mut self, wake: watch::Receiver<i64>) -> Self {
        self.wake = Some(wake);
        self
    }

    /// Is woken by nobody: it polls.
    #[must_use]
    pub fn without_doorbell(mut self) -> Self {
        self.wake = None;
        self
    }

    /// Asks the store again after so long without being woken.
    #[must_use]
    pub const fn polling_every(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// The place of the last event that was delivered: what a checkpoint may be set to.
    pub const fn delivered(&self) -> Option<i64> {
        self.delivered
    }

    /// How many places of the log are known to lie ahead.
    pub const fn lag(&self) -> i64 {
        self.head - self.query.after
    }

    /// Where the log ended when it was last read.
    pub const fn head(&self) -> i64 {
        self.head
    }

    /// Why nothing comes although there may be more; nothing while the database answers.
    pub const fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// The next events, at least one; waits for them, and for a database that does not answer.
    ///
    /// # Errors
    /// `UnknownTenant`, `Closed` and `Broken`, which waiting does not mend; the subscription stands where
    /// it stood.
    pub async fn next_page(&mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        loop {
            if let Some(events) = self.attempt().await? {
                return Ok(events);
            }
        }
    }

    /// One turn of [`Subscription::next_page`]: the next events, or nothing after a wait for them.
    pub(crate) async fn attempt(&mut self) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
        if let Some(wake) = &mut self.wake {
            wake.mark_unchanged();
        }
        match self.poll_page().await {
            Ok(None) => self.wait().await,
            Err(StoreError::Unavailable(_)) => self.back_off().await,
            page => return page,
        }
        Ok(None)
    }

    /// The next events, if there are any now.
    ///
    /// # Errors
    /// As the store says; the subscription stands where it stood and can be asked again.
    #[tracing::instrument(level = "debug", name = "subscribe", skip_all, fields(after = self.query.after))]
    pub async fn poll_page(&mut self) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
        let page = match self.read().await {
            Ok(page) => page,
            Err(error) => {
                self.note(&error);
                return Err(error);
            }
        };
        if self.trouble.take().is_some() {
            tracing::info!(after = self.query.after, "the database answers again; the subscription goes on");
        }
        self.head = page.head.max(self.query.after);
        match page.events.last() {
            Some(last) => {
                self.query.after = last.log_seq;
                self.delivered = Some(last.log_seq);
                metrics::counter!("eventlog_delivered_total").increment(page.events.len() as u64);
                Ok(Some(page.events))
            }
            // Head and rows come from one snapshot, so nothing wanted lies between.
            None => {
                self.query.after = self.head;
                Ok(None)
            }
        }
    }

    /// Looks where the log ends, without reading on.
    pub(crate) async fn look(&mut self) -> Result<(), StoreError> {
        if let Some(wake) = &mut self.wake {
            wake.mark_unchanged();
        }
        self.head = self.store.head(self.query.tenant).await?.log_seq.max(self.query.after);
        Ok(())
    }

    async fn read(&mut self) -> Result<crate::store::Page, StoreError> {
        match self.start {
            Some(Start::After(log_seq)) => self.query.after = log_seq,
            Some(Start::Now) => self.query.after = self.store.head(self.query.tenant).await?.log_seq,
            Some(Start::Origin) | None => {}
        }
        self.start = None;
        self.store.read(&self.query).await
    }

    fn note(&mut self, error: &StoreError) {
        let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts).saturating_add(1);
        metrics::counter!("eventlog_subscription_failures_total").increment(1);
        // Once, not at each attempt: the status tells the rest.
        if attempts == 1 {
            tracing::warn!(%error, after = self.query.after, "a subscription cannot read; it tries again");
        }
        self.trouble = Some(Trouble { attempts, reason: error.to_string() });
    }

    /// Waits for the doorbell, at most until it is time to ask by itself.
    pub(crate) async fn wait(&mut self) {
        let woken = async {
            let is_woken = match &mut self.wake {
                Some(wake) => wake.changed().await.is_ok(),
                None => false,
            };
            if !is_woken {
                // There is no writer here, or it is gone: the poll alone wakes.
                std::future::pending::<()>().await;
            }
        };
        // Running out is the poll, not an error.
        let _ = tokio::time::timeout(self.poll, woken).await;
    }

    async fn back_off(&self) {
        let attempts = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
        let wait = BACKOFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10));
        tokio::time::sleep(wait.min(BACKOFF_LAST)).await;
    }
}
