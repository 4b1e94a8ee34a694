//! Subscriptions: everything from a place on, in order, then live. The reader pulls, so memory is bounded.

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

/// A reader of the log that catches up, then waits for more.
///
/// Its cursor moves only past events that one read has shown not to be wanted, or that were delivered,
/// and the log has no late arrivals; so nothing is skipped and nothing comes twice.
#[derive(Debug)]
pub struct Subscription<S> {
    store: Arc<S>,
    query: EventQuery,
    start: Option<Start>,
    delivered: Option<i64>,
    head: i64,
    wake: Option<watch::Receiver<i64>>,
    poll: Duration,
}

impl<S: Store> Subscription<S> {
    /// A subscription to what a query selects; its range and direction are the subscription's own.
    pub fn new(store: Arc<S>, start: Start, query: EventQuery) -> Self {
        // A page of nothing would look like the end of the log.
        let limit = query.limit.max(1);
        let query = EventQuery { after: 0, up_to: i64::MAX, direction: Direction::Forward, limit, ..query };
        let poll = Duration::from_millis(100);
        Self { store, query, start: Some(start), delivered: None, head: 0, wake: None, poll }
    }

    /// Is woken by a writer in the same process, besides polling.
    #[must_use]
    pub fn woken_by(mut self, wake: watch::Receiver<i64>) -> Self {
        self.wake = Some(wake);
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

    /// The next events, at least one; waits for them.
    ///
    /// # Errors
    /// As the store says; the subscription stands where it stood and can be asked again.
    pub async fn next_page(&mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        loop {
            if let Some(wake) = &mut self.wake {
                wake.mark_unchanged();
            }
            if let Some(events) = self.poll_page().await? {
                return Ok(events);
            }
            self.wait().await;
        }
    }

    /// The next events, if there are any now.
    ///
    /// # Errors
    /// As [`Subscription::next_page`].
    pub async fn poll_page(&mut self) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
        self.begin().await?;
        let page = self.store.read(&self.query).await?;
        self.head = page.head.max(self.query.after);
        match page.events.last() {
            Some(last) => {
                self.query.after = last.log_seq;
                self.delivered = Some(last.log_seq);
                Ok(Some(page.events))
            }
            // Head and rows come from one snapshot, so nothing wanted lies between.
            None => {
                self.query.after = self.head;
                Ok(None)
            }
        }
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        match self.start {
            Some(Start::After(log_seq)) => self.query.after = log_seq,
            Some(Start::Now) => self.query.after = self.store.head(self.query.tenant).await?.log_seq,
            Some(Start::Origin) | None => {}
        }
        self.start = None;
        Ok(())
    }

    async fn wait(&mut self) {
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
}
