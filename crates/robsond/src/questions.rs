//! What the interface and the command line both ask of the log and its tables.

use robson_domain::{
    DecisionId, Event, LimitAction, LimitKind, Money, PositionId, PositionState, Price, Quantity, RiskState,
    Side, StreamName, Symbol, Timestamp,
};
use robson_eventlog::{
    Direction, EventQuery, EventType, RecordedEvent, RowQuery, Store, StoreError, StreamKey, TenantId, Value,
};
use robson_projector::{event_of, positions_current, time_of};
use serde::Serialize;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database holds what no program of ours wrote.
    #[error("{0}")]
    Unreadable(String),
}

fn unreadable(error: impl ToString) -> QuestionError {
    QuestionError::Unreadable(error.to_string())
}

/// An entry that waits for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingEntry {
    /// The decision, by which it is approved.
    pub decision_id: DecisionId,
    /// Whose entry.
    pub position_id: PositionId,
    /// What it trades.
    pub symbol: Symbol,
    /// Long or short.
    pub side: Side,
    /// The price that it was decided at.
    pub entry_price: Price,
    /// The stop that it was decided with.
    pub stop_price: Price,
    /// How much.
    pub quantity: Quantity,
    /// The worst loss.
    pub planned_risk: Money,
    /// Since when.
    pub proposed_at: Timestamp,
    /// Until when it may be approved.
    pub expires_at: Timestamp,
}

/// The entries that wait for the operator, by position.
///
/// # Errors
/// As the store says.
pub async fn waiting_entries<S: Store>(
    store: &S,
    tenant: TenantId,
) -> Result<Vec<WaitingEntry>, QuestionError> {
    let armed = RowQuery::filter("state", Value::Text(PositionState::Armed.as_str().to_owned()));
    let mut waiting = Vec::new();
    for row in store.rows(tenant, &positions_current::TABLE, &armed).await? {
        let position = positions_current::entity(&row).map_err(unreadable)?;
        if position.entry_signal_id.is_none() {
            continue;
        }
        let stream = StreamName::Position(position.position_id);
        let proposed = last_of(store, tenant, stream, "DECISION_PROPOSED", |event| match event {
            Event::DecisionProposed(proposed) => Some(proposed),
            _ => None,
        });
        let Some((recorded, proposed)) = proposed.await? else { continue };
        let Some(expires_at) = proposed.approval_expires_at else { continue };
        waiting.push(WaitingEntry {
            decision_id: proposed.decision_id,
            position_id: proposed.position_id,
            symbol: proposed.symbol,
            side: proposed.side,
            entry_price: proposed.entry_price,
            stop_price: proposed.stop_price,
            quantity: proposed.quantity,
            planned_risk: proposed.planned_risk,
            proposed_at: time_of(recorded.occurred_at),
            expires_at,
        });
    }
    Ok(waiting)
}

/// A halt, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Halt {
    /// Since when.
    pub at: Timestamp,
    /// What was exceeded; `operator` where somebody decided so.
    pub limit: LimitKind,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub by: String,
}

/// What halted a month.
///
/// # Errors
/// As the store says.
pub async fn halt_of<S: Store>(
    store: &S,
    tenant: TenantId,
    risk: &RiskState,
) -> Result<Option<Halt>, QuestionError> {
    let stream = StreamName::Account(risk.key.account_id);
    let halted = last_of(store, tenant, stream, "RISK_LIMIT_EXCEEDED", |event| match event {
        Event::RiskLimitExceeded(limit) if limit.action == LimitAction::Halt => Some(limit),
        _ => None,
    });
    Ok(halted.await?.map(|(recorded, limit)| Halt {
        at: time_of(recorded.occurred_at),
        limit: limit.limit,
        reason: limit.reason,
        by: recorded.actor.id.unwrap_or_else(|| "robsond".to_owned()),
    }))
}

/// The last event of a stream that is wanted.
async fn last_of<S: Store, T>(
    store: &S,
    tenant: TenantId,
    stream: StreamName,
    event_type: &str,
    wanted: impl Fn(Event) -> Option<T>,
) -> Result<Option<(RecordedEvent, T)>, QuestionError> {
    let stream = StreamKey::new(stream.to_string()).map_err(unreadable)?;
    let event_type: EventType = event_type.parse().map_err(unreadable)?;
    let mut query = EventQuery {
        direction: Direction::Backward,
        event_types: vec![event_type],
        limit: 20,
        ..EventQuery::stream(tenant, stream)
    };
    loop {
        let page = store.read(&query).await?;
        let (count, last) = (page.events.len(), page.events.last().map(|event| event.log_seq));
        for recorded in page.events {
            if let Some(found) = wanted(event_of(&recorded).map_err(unreadable)?) {
                return Ok(Some((recorded, found)));
            }
        }
        match last {
            Some(last) if count == query.limit => query.up_to = last.saturating_sub(1),
            _ => return Ok(None),
        }
    }
}
