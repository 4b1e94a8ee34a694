//! Parked events: what a consumer could not deal with, until somebody decides.
//!
//! A row is written in the commit that moves the consumer's checkpoint past the event (it is parked), or
//! that leaves it before the event (the consumer is stopped there). One event has one row per consumer,
//! however often it fails. The rows are a consumer's own state, as its checkpoint is, and no part of what
//! the log says.

use std::fmt;
use std::str::FromStr;

use crate::batch::TableRows;
use crate::event::{EventId, RecordedEvent};
use crate::ledger::{Append, AppendError, Ledger, Outcome};
use crate::names::{EventType, TenantId};
use crate::store::{RowQuery, Store, StoreError};
use crate::table::{Column, ColumnKind, Row, Table, Value};
use crate::time::Timestamp;

/// The table of parked events.
pub static PARKED_EVENTS: Table = Table {
    name: "parked_events",
    key_columns: 2,
    columns: &[
        Column::required("consumer", ColumnKind::Text),
        Column::required("log_seq", ColumnKind::Integer),
        Column::required("event_id", ColumnKind::Text),
        Column::required("event_type", ColumnKind::Text),
        Column::required("reason", ColumnKind::Text),
        Column::required("attempts", ColumnKind::Integer),
        Column::required("status", ColumnKind::Text),
        Column::optional("decision_reason", ColumnKind::Text),
        Column::required("parked_at", ColumnKind::Timestamp),
        Column::optional("decided_at", ColumnKind::Timestamp),
    ],
};

/// Most characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 2_000;
/// Rows that one read asks for.
const PAGE: usize = 1_000;

/// What is to become of a parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedStatus {
    /// The consumer waits before it: nothing behind it is dealt with.
    Stopped,
    /// The consumer went on without it.
    Parked,
    /// Somebody wants it tried again; the consumer has not done so yet.
    Retrying,
    /// It was tried again and dealt with.
    Retried,
    /// Somebody decided that it will never be dealt with.
    Skipped,
}

impl ParkedStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Stopped, Self::Parked, Self::Retrying, Self::Retried, Self::Skipped];

    /// The text as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Parked => "parked",
            Self::Retrying => "retrying",
            Self::Retried => "retried",
            Self::Skipped => "skipped",
        }
    }

    /// Whether nobody has dealt with the event, or decided that nobody will.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Stopped | Self::Parked | Self::Retrying)
    }
}

impl fmt::Display for ParkedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ParkedStatus {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not the status of a parked event"))
    }
}

/// What somebody decides about a parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try it again.
    Retry,
    /// Never try it again.
    Skip,
}

/// Why an event cannot be decided about: it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {log_seq} was decided about before: for {consumer} it is {status}")]
pub struct AlreadyDecided {
    /// The consumer.
    pub consumer: String,
    /// The event's place.
    pub log_seq: i64,
    /// What was decided.
    pub status: ParkedStatus,
}

/// An event that a consumer could not deal with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// The consumer.
    pub consumer: String,
    /// The event's place.
    pub log_seq: i64,
    /// The event's id.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// Why the consumer could not deal with it, the last time.
    pub reason: String,
    /// How often it tried.
    pub attempts: i64,
    /// What is to become of it.
    pub status: ParkedStatus,
    /// Why it was decided so.
    pub decision_reason: Option<String>,
    /// When it failed first.
    pub parked_at: Timestamp,
    /// When it was decided about.
    pub decided_at: Option<Timestamp>,
}

impl ParkedEvent {
    /// An event that failed for the first time.
    pub fn first(
        consumer: &str,
        event: &RecordedEvent,
        status: ParkedStatus,
        reason: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            consumer: consumer.to_owned(),
            log_seq: event.log_seq,
            event_id: event.event_id,
            event_type: event.event_type.clone(),
            reason: storable(reason),
            attempts: 1,
            status,
            decision_reason: None,
            parked_at: now,
            decided_at: None,
        }
    }

    /// The same after it failed once more.
    #[must_use]
    pub fn failed_again(self, status: ParkedStatus, reason: &str) -> Self {
        Self { reason: storable(reason), attempts: self.attempts.saturating_add(1), status, ..self }
    }

    /// The same after it was dealt with.
    #[must_use]
    pub fn dealt_with(self) -> Self {
        Self { attempts: self.attempts.saturating_add(1), status: ParkedStatus::Retried, ..self }
    }

    /// The same after somebody decided about it.
    ///
    /// # Errors
    /// It was dealt with, or skipped, before.
    pub fn decided(self, verdict: Verdict, reason: &str, now: Timestamp) -> Result<Self, AlreadyDecided> {
        if !self.status.is_open() {
            let Self { consumer, log_seq, status, .. } = self;
            return Err(AlreadyDecided { consumer, log_seq, status });
        }
        let status = match verdict {
            Verdict::Retry => ParkedStatus::Retrying,
            Verdict::Skip => ParkedStatus::Skipped,
        };
        Ok(Self { status, decision_reason: Some(storable(reason)), decided_at: Some(now), ..self })
    }

    /// The row that keeps it.
    pub fn to_row(&self) -> Row {
        Row(vec![
            Value::Text(self.consumer.clone()),
            Value::Integer(self.log_seq),
            Value::Text(self.event_id.to_string()),
            Value::Text(self.event_type.as_str().to_owned()),
            Value::Text(self.reason.clone()),
            Value::Integer(self.attempts),
            Value::Text(self.status.as_str().to_owned()),
            self.decision_reason.clone().map_or(Value::Null, Value::Text),
            Value::Timestamp(self.parked_at),
            self.decided_at.map_or(Value::Null, Value::Timestamp),
        ])
    }

    /// The event that a row keeps; nothing where the row does not fit.
    pub fn from_row(row: Row) -> Option<Self> {
        let [
            Value::Text(consumer),
            Value::Integer(log_seq),
            Value::Text(event_id),
            Value::Text(event_type),
            Value::Text(reason),
            Value::Integer(attempts),
            Value::Text(status),
            decision_reason,
            Value::Timestamp(parked_at),
            decided_at,
        ] = <[Value; 10]>::try_from(row.0).ok()?
        else {
            return None;
        };
        let decision_reason = if let Value::Text(reason) = decision_reason { Some(reason) } else { None };
        let decided_at = if let Value::Timestamp(at) = decided_at { Some(at) } else { None };
        Some(Self {
            consumer,
            log_seq,
            event_id: event_id.parse().ok()?,
            event_type: event_type.parse().ok()?,
            reason,
            attempts,
            status: status.parse().ok()?,
            decision_reason,
            parked_at,
            decided_at,
        })
    }
}

/// A reason as every backend keeps it.
fn storable(reason: &str) -> String {
    reason.chars().filter(|c| *c != '\0').take(REASON_CHARS_MAX).collect()
}

/// The parked events of a tenant, by consumer and place; of one consumer, where one is named.
///
/// # Errors
/// As the store says.
pub async fn parked_events<S: Store>(
    store: &S,
    tenant: TenantId,
    consumer: Option<&str>,
) -> Result<Vec<ParkedEvent>, StoreError> {
    let filters = consumer.map(|name| ("consumer", Value::Text(name.to_owned()))).into_iter().collect();
    select(store, tenant, filters).await
}

/// The parked event of a consumer at a place.
///
/// # Errors
/// As the store says.
pub async fn parked_event<S: Store>(
    store: &S,
    tenant: TenantId,
    consumer: &str,
    log_seq: i64,
) -> Result<Option<ParkedEvent>, StoreError> {
    let key = vec![Value::Text(consumer.to_owned()), Value::Integer(log_seq)];
    first(store, tenant, RowQuery::keys(vec![key])).await
}

/// Why a decision was not taken down.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is no such parked event.
    #[error("{consumer} has not parked event {log_seq}, nor is it stopped there")]
    NotParked {
        /// The consumer.
        consumer: String,
        /// The event's place.
        log_seq: i64,
    },
    /// It was decided before.
    #[error(transparent)]
    Decided(#[from] AlreadyDecided),
    /// What records the decision was not appended.
    #[error("the decision cannot be recorded: {0:?}")]
    Unrecorded(Box<Outcome>),
    /// As the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As the ledger says.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Decides about a parked event, for a reason; what records the decision commits with it. The consumer
/// takes note by itself.
///
/// # Errors
/// See [`DecideError`].
pub async fn decide<S: Store>(
    ledger: &Ledger<S>,
    consumer: &str,
    log_seq: i64,
    verdict: Verdict,
    reason: &str,
    record: impl FnOnce(&ParkedEvent) -> Append + Send,
) -> Result<ParkedEvent, DecideError> {
    let _deciding = ledger.parking().await;
    let parked = parked_event(ledger.store().as_ref(), ledger.tenant(), consumer, log_seq).await?;
    let not_parked = || DecideError::NotParked { consumer: consumer.to_owned(), log_seq };
    let decided = parked.ok_or_else(not_parked)?.decided(verdict, reason, ledger.now())?;
    let mut request = record(&decided);
    request.rows.push(TableRows { table: &PARKED_EVENTS, rows: vec![decided.to_row()] });
    match ledger.append(request).await? {
        Outcome::Appended(_) => Ok(decided),
        other => Err(DecideError::Unrecorded(Box::new(other))),
    }
}

/// The events of a consumer that nobody has dealt with or decided about for good, by status and place.
pub(crate) async fn open_events<S: Store>(
    store: &S,
    tenant: TenantId,
    consumer: &str,
) -> Result<Vec<ParkedEvent>, StoreError> {
    let mut open = Vec::new();
    for status in ParkedStatus::ALL.into_iter().filter(|status| status.is_open()) {
        open.extend(select(store, tenant, with_status(consumer, status)).await?);
    }
    Ok(open)
}

/// The first event of a consumer, by place, that somebody wants tried again.
pub(crate) async fn next_retry<S: Store>(
    store: &S,
    tenant: TenantId,
    consumer: &str,
) -> Result<Option<ParkedEvent>, StoreError> {
    let filters = with_status(consumer, ParkedStatus::Retrying);
    first(store, tenant, RowQuery { filters, limit: Some(1), ..RowQuery::all() }).await
}

/// The first event of a consumer behind a place, whatever became of it.
pub(crate) async fn first_behind<S: Store>(
    store: &S,
    tenant: TenantId,
    consumer: &str,
    log_seq: i64,
) -> Result<Option<ParkedEvent>, StoreError> {
    let name = Value::Text(consumer.to_owned());
    let query = RowQuery {
        filters: vec![("consumer", name.clone())],
        after: Some(vec![name, Value::Integer(log_seq)]),
        limit: Some(1),
        ..RowQuery::all()
    };
    first(store, tenant, query).await
}

fn with_status(consumer: &str, status: ParkedStatus) -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    vec![("consumer", text(consumer)), ("status", text(status.as_str()))]
}

async fn first<S: Store>(
    store: &S,
    tenant: TenantId,
    query: RowQuery,
) -> Result<Option<ParkedEvent>, StoreError> {
    let rows = store.rows(tenant, &PARKED_EVENTS, &query).await?;
    rows.into_iter().next().map(read).transpose()
}

async fn select<S: Store>(
    store: &S,
    tenant: TenantId,
    filters: Vec<(&'static str, Value)>,
) -> Result<Vec<ParkedEvent>, StoreError> {
    let mut query = RowQuery { filters, limit: Some(PAGE), ..RowQuery::all() };
    let mut found = Vec::new();
    loop {
        let rows = store.rows(tenant, &PARKED_EVENTS, &query).await?;
        query.after = rows.last().map(|row| row.key(&PARKED_EVENTS));
        let is_last = rows.len() < PAGE;
        found.extend(rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?);
        if is_last {
            return Ok(found);
        }
    }
}

fn read(row: Row) -> Result<ParkedEvent, StoreError> {
    let parked = ParkedEvent::from_row(row);
    parked.ok_or_else(|| StoreError::Broken("a parked event cannot be read".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parked() -> ParkedEvent {
        ParkedEvent {
            consumer: "mailer".to_owned(),
            log_seq: 7,
            event_id: EventId::derive(Timestamp::EPOCH, 7, TenantId(uuid::Uuid::nil()), 1, 0),
            event_type: "TOLD".parse().unwrap(),
            reason: "no".to_owned(),
            attempts: 1,
            status: ParkedStatus::Parked,
            decision_reason: None,
            parked_at: Timestamp::EPOCH,
            decided_at: None,
        }
    }

    #[test]
    fn a_row_keeps_everything() {
        let decided = parked().decided(Verdict::Skip, "it was a test", Timestamp::EPOCH).unwrap();
        for event in [parked(), decided] {
            assert_eq!(PARKED_EVENTS.misfit(&event.to_row()), None);
            assert_eq!(ParkedEvent::from_row(event.to_row()), Some(event));
        }
    }

    #[test]
    fn what_was_dealt_with_or_skipped_stays_so() {
        let again = |parked: ParkedEvent| parked.decided(Verdict::Retry, "again", Timestamp::EPOCH);
        let retrying = again(parked()).unwrap();
        assert_eq!(again(retrying.clone()).unwrap().status, ParkedStatus::Retrying);
        let failed = retrying.clone().failed_again(ParkedStatus::Parked, "no\0 again");
        assert_eq!((failed.attempts, failed.reason.as_str()), (2, "no again"));
        assert_eq!(again(retrying.dealt_with()).unwrap_err().status, ParkedStatus::Retried);
        let skipped = parked().decided(Verdict::Skip, "never", Timestamp::EPOCH).unwrap();
        assert!(again(skipped).is_err());
    }
}
