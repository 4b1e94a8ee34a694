//! Routes about events that a worker could not deal with.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use robson_eventlog::{PARKED_EVENTS, ParkedStatus, Value, Verdict};
use serde::Deserialize;

use super::commands::{actor, answer, check_phase, command_id};
use super::failure::Failure;
use super::input::{Body, Params, PathId};
use super::rows::{filters, page};
use super::{Api, App};
use crate::operator::Refused;
use crate::parked::Decision;

/// Why, and of which consumer, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    consumer: Option<String>,
    reason: String,
}

pub(super) async fn list(State(app): State<App>, params: Params) -> Result<Json<serde_json::Value>, Failure> {
    let text = |text: &str| Value::Text(text.to_owned());
    let filters = filters([
        params.text("consumer").map(|name| ("consumer", text(name))),
        params.get("status")?.map(|status: ParkedStatus| ("status", text(status.as_str()))),
    ]);
    page(&app.api, "parked", &PARKED_EVENTS, filters, &params, |_| Ok(true)).await
}

pub(super) async fn retry(
    State(app): State<App>,
    PathId(event): PathId<String>,
    headers: HeaderMap,
    Body(body): Body<DecisionBody>,
) -> Result<Response, Failure> {
    decide(&app.api, &headers, event, Verdict::Retry, body).await
}

pub(super) async fn skip(
    State(app): State<App>,
    PathId(event): PathId<String>,
    headers: HeaderMap,
    Body(body): Body<DecisionBody>,
) -> Result<Response, Failure> {
    decide(&app.api, &headers, event, Verdict::Skip, body).await
}

async fn decide(
    api: &Api,
    headers: &HeaderMap,
    event: String,
    verdict: Verdict,
    body: DecisionBody,
) -> Result<Response, Failure> {
    let (id, actor) = (command_id(api, headers)?, actor(headers)?);
    check_phase(&api.phase.borrow())?;
    let DecisionBody { consumer, reason } = body;
    let ledger = api.ledger.get();
    let ledger = ledger.ok_or_else(|| Refused::NotReady("the log is not open".to_owned()))?;
    let decided = (ledger.decide)(id, actor, Decision { event, consumer, verdict, reason }).await?;
    Ok(answer(id, Json(decided.to_row().to_json(&PARKED_EVENTS))))
}
