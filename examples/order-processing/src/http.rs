//! The HTTP front: what is asked for becomes a command, what comes of it a status, a code and a sentence.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use robson_eventlog::event_store::{EventStoreError, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::order::{Command, Item, Line, Rejection};
use crate::orders::{Failure, Found, Orders};

/// Most bytes of a body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the routes stand on.
#[derive(Debug, Clone)]
struct App {
    orders: Orders,
    /// Told when this process no longer may write.
    lost_log: watch::Sender<bool>,
}

pub(crate) fn router(orders: Orders, lost_log: watch::Sender<bool>) -> Router {
    Router::new()
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
        .route("/orders", post(place))
        .route("/orders/{id}", get(show))
        .route("/orders/{id}/events", get(events))
        .route("/orders/{id}/ship", post(ship))
        .route("/orders/{id}/cancel", post(cancel))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "not_found", "there is nothing here"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this method is not offered here")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(App { orders, lost_log })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// Chosen by the caller where a retry must not place the order twice.
    order_id: Option<Uuid>,
    customer: String,
    lines: Vec<Line>,
}

async fn place(State(app): State<App>, Body(body): Body<Place>) -> Result<Response, Response> {
    let id = body.order_id.unwrap_or_else(|| app.orders.new_id());
    let command = Command::Place { customer: body.customer, lines: body.lines };
    let placed = app.orders.execute(id, None, command).await.map_err(|failure| app.failed(failure))?;
    let location = [("location", format!("/orders/{id}"))];
    Ok((StatusCode::CREATED, location, Json(order_json(&placed))).into_response())
}

async fn show(State(app): State<App>, OrderId(id): OrderId) -> Result<Json<Value>, Response> {
    let found = app.orders.find(id).await.map_err(|failure| app.failed(failure))?;
    Ok(Json(order_json(&found)))
}

async fn events(State(app): State<App>, OrderId(id): OrderId) -> Result<Json<Value>, Response> {
    let events = app.orders.events(id).await.map_err(|failure| app.failed(failure))?;
    let told = events.iter().map(|stored| {
        Ok(json!({
            "version": stored.version,
            "event_id": stored.event_id.to_string(),
            "event_type": stored.event.event_type.as_str(),
            "ingested_at": stored.ingested_at.to_string(),
            "data": stored.json::<Value>()?,
        }))
    });
    let told = told.collect::<Result<Vec<Value>, EventStoreError>>();
    Ok(Json(json!({ "events": told.map_err(|error| app.failed(error.into()))? })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ship {
    tracking: String,
    #[serde(default)]
    items: Vec<Item>,
    expected_version: Option<Version>,
}

async fn ship(
    State(app): State<App>,
    OrderId(id): OrderId,
    Body(body): Body<Ship>,
) -> Result<Json<Value>, Response> {
    let command = Command::Ship { tracking: body.tracking, items: body.items };
    app.execute(id, body.expected_version, command).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    reason: String,
    expected_version: Option<Version>,
}

async fn cancel(
    State(app): State<App>,
    OrderId(id): OrderId,
    Body(body): Body<Cancel>,
) -> Result<Json<Value>, Response> {
    app.execute(id, body.expected_version, Command::Cancel { reason: body.reason }).await
}

fn order_json(Found { id, order, version }: &Found) -> Value {
    let lines = order.lines.iter().map(|line| {
        json!({
            "sku": line.sku,
            "quantity": line.quantity,
            "unit_price": line.unit_price.to_string(),
            "shipped": order.shipped.get(&line.sku).copied().unwrap_or(0),
        })
    });
    json!({
        "order_id": id.to_string(),
        "version": version,
        "status": order.status(),
        "customer": order.customer,
        "lines": lines.collect::<Vec<Value>>(),
        "total": order.total().map(|total| total.to_string()),
    })
}

impl App {
    async fn execute(
        &self,
        id: Uuid,
        seen: Option<Version>,
        command: Command,
    ) -> Result<Json<Value>, Response> {
        let done = self.orders.execute(id, seen, command).await.map_err(|failure| self.failed(failure))?;
        Ok(Json(order_json(&done)))
    }

    fn failed(&self, failure: Failure) -> Response {
        match failure {
            Failure::NotFound(id) => {
                refuse(StatusCode::NOT_FOUND, "not_found", &format!("there is no order {id}"))
            }
            Failure::Rejected(Rejection::Invalid(why)) => invalid(&why),
            Failure::Rejected(Rejection::WrongState { status, asked }) => {
                let why = format!("the order is {status} and cannot be {asked}");
                refuse(StatusCode::UNPROCESSABLE_ENTITY, "wrong_state", &why)
            }
            Failure::Rejected(Rejection::TooMuch { sku, left }) => {
                let why = format!("of `{sku}` there are {left} left to ship");
                refuse(StatusCode::UNPROCESSABLE_ENTITY, "too_much", &why)
            }
            Failure::Store(error) => self.store_failed(error),
        }
    }

    fn store_failed(&self, error: EventStoreError) -> Response {
        match error {
            EventStoreError::ConcurrencyConflict { expected, actual, .. } => {
                let error = format!("the order is at version {actual}, not {expected}: look again");
                let body =
                    json!({ "error": error, "code": "conflict", "expected": expected, "actual": actual });
                (StatusCode::CONFLICT, Json(body)).into_response()
            }
            EventStoreError::OutcomeUnknown(source) => {
                tracing::warn!(%source, "the outcome of an append is unknown");
                let why = "nobody knows yet whether this was done: look at the order before asking again";
                refuse(StatusCode::SERVICE_UNAVAILABLE, "unknown", why)
            }
            EventStoreError::Fenced(_) => {
                self.lost_log.send_replace(true);
                refuse(StatusCode::SERVICE_UNAVAILABLE, "fenced", "another process takes the orders now")
            }
            EventStoreError::Io(source) => {
                tracing::warn!(%source, "the event store cannot be reached");
                refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "nothing was done: try again later")
            }
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, source, "the event store failed");
                refuse(StatusCode::INTERNAL_SERVER_ERROR, "store", &error.to_string())
            }
        }
    }
}

fn refuse(status: StatusCode, code: &str, error: &str) -> Response {
    (status, Json(json!({ "error": error, "code": code }))).into_response()
}

fn invalid(why: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid", why)
}

/// The id of an order in the path.
struct OrderId(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for OrderId {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let id = text.ok().and_then(|Path(text)| text.parse().ok());
        id.map(Self).ok_or_else(|| invalid("an order's id is a UUID"))
    }
}

/// A JSON body; `Content-Type` does not matter.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let why = format!("a body has at most {BODY_BYTES_MAX} bytes");
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &why)
            } else {
                invalid("the body did not arrive whole")
            }
        })?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| invalid(&format!("the body cannot be used: {error}")))
    }
}
