//! The log as server-sent events: resumes behind the last one that the client saw, then follows.
//!
//! The client pulls, so a slow one costs no memory and misses nothing.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use robson_eventlog::{RecordedEvent, Start, Store, Subscription};
use robson_store::AnyStore;
use serde_json::{Value, json};

use super::events::{Selection, entities_of};
use super::failure::Failure;
use super::input::Params;
use super::{Api, App};
use crate::metrics::SSE_CONNECTIONS;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

pub(super) async fn events(app: App, headers: &HeaderMap, params: &Params) -> Result<Response, Failure> {
    let api = &app.api;
    let selection = Selection::of(api, params)?;
    let head = api.store.head(api.tenant).await?.log_seq;
    let wanted = place(headers, params)?;
    let mut pending = VecDeque::new();
    let start = match wanted {
        // The client has seen another log than this one: it must read everything again.
        Some(log_seq) if log_seq > head => {
            pending.push_back(resync_required(head));
            Start::After(head)
        }
        Some(log_seq) => Start::After(log_seq),
        None => Start::After(head),
    };
    let follower = Follower {
        entities: match selection.position {
            Some(position) => Some(entities_of(api, position).await?),
            None => None,
        },
        subscription: subscribe(api, start, selection),
        pending,
        _connection: Connection::open(),
    };
    let mut stopping = app.stopping.clone();
    let stopped = async move {
        // A closed channel is as good a reason to stop.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let events = stream::unfold(follower, Follower::next).take_until(Box::pin(stopped));
    let comments = KeepAlive::new().interval(COMMENT_INTERVAL).text("alive");
    Ok(Sse::new(events).keep_alive(comments).into_response())
}

/// The place behind which the client wants to go on; none: from now on.
fn place(headers: &HeaderMap, params: &Params) -> Result<Option<i64>, Failure> {
    let Some(given) = headers.get(LAST_EVENT_ID) else { return params.get("after") };
    let place = given.to_str().ok().and_then(|text| text.parse().ok()).filter(|place| *place >= 0);
    place.map(Some).ok_or_else(|| Failure::invalid("Last-Event-ID: this is not a place in the log"))
}

fn subscribe(api: &Api, start: Start, selection: Selection) -> Subscription<AnyStore> {
    let subscription = Subscription::new(std::sync::Arc::clone(&api.store), start, selection.query)
        .polling_every(api.poll_interval);
    match api.ledger.get() {
        Some(ledger) => subscription.woken_by(ledger.head.clone()),
        None => subscription,
    }
}

/// One client's way through the log.
struct Follower {
    subscription: Subscription<AnyStore>,
    pending: VecDeque<Event>,
    /// The ids that an event must concern; none: all do.
    entities: Option<BTreeSet<String>>,
    _connection: Connection,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some((Ok(event), self));
            }
            match self.subscription.next_page().await {
                Ok(events) => {
                    for event in events {
                        if self.is_wanted(&event) {
                            self.pending.push_back(sent(&event));
                        }
                    }
                }
                Err(error) => {
                    // The client comes back with the id of the last event that it saw.
                    tracing::warn!(%error, "an event stream ends");
                    return None;
                }
            }
        }
    }

    /// Whether the event concerns the position that was asked for; learns of the orders on the way.
    fn is_wanted(&mut self, event: &RecordedEvent) -> bool {
        let Some(entities) = &mut self.entities else { return true };
        let payload = event.payload.value();
        let stream_id = event.stream.as_str().split_once(':').map(|(_, id)| id);
        let named =
            payload.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(Value::as_str);
        let is_wanted = stream_id.into_iter().chain(named).any(|id| entities.contains(id));
        if let (true, Some(order)) = (is_wanted, payload.get("order_id").and_then(Value::as_str)) {
            entities.insert(order.to_owned());
        }
        is_wanted
    }
}

fn sent(event: &RecordedEvent) -> Event {
    let data = json!({
        "schema_version": event.schema_version,
        "event_id": event.event_id.to_string(),
        "event_type": event.event_type.as_str(),
        "occurred_at": event.occurred_at.to_string(),
        "payload": event.payload.value(),
    });
    Event::default().id(event.log_seq.to_string()).data(data.to_string())
}

fn resync_required(head: i64) -> Event {
    let data = json!({ "reason": "the log ends before the last event that was seen", "log_seq": head });
    Event::default().event("system.resync_required").data(data.to_string())
}

/// Counts an open stream as long as it lives.
struct Connection;

impl Connection {
    fn open() -> Self {
        metrics::gauge!(SSE_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        metrics::gauge!(SSE_CONNECTIONS).decrement(1.0);
    }
}
