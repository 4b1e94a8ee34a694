//! Routes that read the log.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use robson_domain::{PositionId, Timestamp};
use robson_eventlog::{
    Direction, EventQuery, EventType, RecordedEvent, RowQuery, Store, StreamKey, Value, digest,
};
use robson_projector::{log_time, orders_current};
use serde_json::json;
use uuid::Uuid;

use super::failure::Failure;
use super::input::Params;
use super::{Api, App, stream};

const DAY_MICROS: i64 = 86_400_000_000;
/// How many events of a day are shown.
const HISTORY_EVENTS: usize = 100;

/// A list, or a stream for those who accept one.
pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Failure> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.into_iter().any(|types| types.contains("text/event-stream")) {
        return stream::events(app, &headers, &params).await;
    }
    let selection = Selection::of(&app.api, &params)?;
    let limit = params.limit()?;
    let after = params.get("after")?.unwrap_or(0);
    let events = selection.read(&app.api, after, limit).await?;
    let next = events.last().filter(|_| events.len() == limit).map(|event| event.log_seq);
    let events: Vec<_> = events.iter().map(digest::event_json).collect();
    Ok(Json(json!({ "events": events, "next": next })).into_response())
}

/// The newest events of a UTC day.
pub(super) async fn history(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let date = params.text("date").ok_or_else(|| Failure::invalid("date: a day is needed, as YYYY-MM-DD"))?;
    let begin: Timestamp = format!("{date}T00:00:00Z")
        .parse()
        .map_err(|_| Failure::invalid(format!("date: `{date}` is not a day, as YYYY-MM-DD")))?;
    let query = EventQuery {
        occurred_from: Some(log_time(begin)),
        occurred_before: Some(log_time(begin.plus_micros(DAY_MICROS))),
        direction: Direction::Backward,
        limit: HISTORY_EVENTS,
        ..EventQuery::all(app.api.tenant)
    };
    let page = app.api.store.read(&query).await?;
    let events: Vec<_> = page.events.iter().map(digest::event_json).collect();
    Ok(Json(json!({ "events": events })))
}

/// Which events a request asks for.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) query: EventQuery,
    pub(super) position: Option<PositionId>,
}

impl Selection {
    pub(super) fn of(api: &Api, params: &Params) -> Result<Self, Failure> {
        let types = params.text("type").into_iter().flat_map(|types| types.split(','));
        let types = types.map(|name| name.parse::<EventType>()).collect::<Result<Vec<_>, _>>();
        let query = EventQuery {
            stream: params.get::<StreamKey>("stream")?,
            event_types: types.map_err(|error| Failure::invalid(format!("type: {error}")))?,
            trace_id: params.get::<Uuid>("trace_id")?,
            command_id: params.get::<Uuid>("command_id")?,
            workflow_id: params.get::<Uuid>("workflow_id")?,
            ..EventQuery::all(api.tenant)
        };
        Ok(Self { query, position: params.get("position_id")? })
    }

    /// The first events behind a place.
    async fn read(&self, api: &Api, after: i64, limit: usize) -> Result<Vec<RecordedEvent>, Failure> {
        let query = EventQuery { after, limit, ..self.query.clone() };
        let Some(position) = self.position else { return Ok(api.store.read(&query).await?.events) };
        // One log position may be reached over several entities.
        let mut found = BTreeMap::new();
        for entity in entities_of(api, position).await? {
            let query = EventQuery { entity_id: Some(entity), ..query.clone() };
            found
                .extend(api.store.read(&query).await?.events.into_iter().map(|event| (event.log_seq, event)));
        }
        Ok(found.into_values().take(limit).collect())
    }
}

/// A position's own id and those of its orders: an order's later events name the order only.
pub(super) async fn entities_of(api: &Api, position: PositionId) -> Result<BTreeSet<String>, Failure> {
    let query = RowQuery::filter("position_id", Value::Uuid(position.0));
    let orders = api.store.rows(api.tenant, &orders_current::TABLE, &query).await?;
    let mut entities = BTreeSet::from([position.to_string()]);
    for order in &orders {
        entities.insert(orders_current::entity(order)?.order_id.to_string());
    }
    Ok(entities)
}
