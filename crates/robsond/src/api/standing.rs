//! Routes that say how the daemon and its account stand.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use robson_domain::{EntityKey, Overflow, Position, PositionState, RiskKey, RiskState};
use robson_engine::MonthRisk;
use robson_eventlog::{ConsumerState, ConsumerStatus, RowQuery, Store, Value};
use robson_projector::{positions_current, risk_state_current, row_key};
use serde_json::json;

use super::failure::Failure;
use super::{Api, App};
use crate::metrics::{ACTIVE_POSITIONS, LOG_HEAD, MONTHLY_HALT};
use crate::operator::Phase;
use crate::questions;

/// How long the database may take to prove that it is there.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// From memory: answers as long as the process lives. Folds run inside the append: only consumers may lag.
pub(super) async fn health(State(app): State<App>) -> Json<serde_json::Value> {
    let ledger = app.api.ledger.get();
    let head = ledger.map(|ledger| *ledger.head.borrow());
    let lag = ledger.iter().flat_map(|ledger| ledger.consumers()).map(|consumer| consumer.lag).max();
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({ "status": "ok", "version": version, "lag": lag.unwrap_or(0), "log_seq": head }))
}

pub(super) async fn ready(State(app): State<App>) -> Response {
    let api = &app.api;
    let phase = api.phase.borrow().clone();
    let mut reasons: Vec<String> = Vec::new();
    match &phase {
        Phase::Active { .. } | Phase::FeedEnded => {}
        Phase::Starting => reasons.push("the daemon is starting".to_owned()),
        Phase::Standby { writer } => reasons.push(format!("{writer} trades, this daemon stands by")),
        Phase::Stopping => reasons.push("the daemon is stopping".to_owned()),
    }
    match api.ledger.get() {
        Some(ledger) if (ledger.lease_holds)() => {}
        Some(_) => reasons.push("the lease does not hold".to_owned()),
        None => reasons.push("the log is not open".to_owned()),
    }
    for consumer in consumers(api) {
        if let Some(why) = consumer.stuck() {
            reasons.push(format!("the consumer {}: {why}", consumer.name));
        }
    }
    match tokio::time::timeout(DATABASE_TIMEOUT, api.store.head(api.tenant)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push("the database does not answer".to_owned()),
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons, "phase": phase }))).into_response()
}

pub(super) async fn status(State(app): State<App>) -> Result<Json<serde_json::Value>, Failure> {
    let api = &app.api;
    let standing = Standing::read(api).await?;
    let waiting = questions::waiting_entries(api.store.as_ref(), api.tenant).await?;
    let phase = api.phase.borrow().clone();
    let feed_at = if let Phase::Active { feed_at, .. } = phase { feed_at } else { None };
    let positions: Vec<serde_json::Value> = standing.positions.iter().map(position_json).collect();
    let budget = standing.risk.as_ref().map(budget_json).transpose()?;
    Ok(Json(json!({
        "active_positions": standing.active_positions(),
        "positions": positions,
        "slots": budget.as_ref().and_then(|budget| budget.get("slots")).cloned(),
        "budget": budget,
        "halted": standing.is_halted(),
        "approvals": waiting.len(),
        "entries_stopped": standing.risk.as_ref().is_some_and(|risk| risk.entries_stopped),
        "phase": phase,
        "feed_at": feed_at,
        "log_seq": standing.log_seq,
        "consumers": consumers(api).iter().map(consumer_json).collect::<Vec<_>>(),
    })))
}

/// Whether the month is halted; since when, why and by whom, as the log has it.
pub(super) async fn monthly_halt(State(app): State<App>) -> Result<Json<serde_json::Value>, Failure> {
    let api = &app.api;
    let standing = Standing::read(api).await?;
    let halt = match &standing.risk {
        Some(risk) if risk.halted => questions::halt_of(api.store.as_ref(), api.tenant, risk).await?,
        _ => None,
    };
    Ok(Json(json!({
        "halted": standing.is_halted(),
        "period": standing.risk.as_ref().map(|risk| risk.period),
        "since": halt.as_ref().map(|halt| halt.at),
        "reason": halt.as_ref().and_then(|halt| halt.reason.as_deref()),
        "limit": halt.as_ref().map(|halt| halt.limit),
        "by": halt.as_ref().map(|halt| &halt.by),
        "budget": standing.risk.as_ref().map(budget_json).transpose()?,
    })))
}

/// Entries that wait for the operator, oldest first.
pub(super) async fn approvals(State(app): State<App>) -> Result<Json<serde_json::Value>, Failure> {
    let waiting = questions::waiting_entries(app.api.store.as_ref(), app.api.tenant).await?;
    Ok(Json(json!({ "approvals": waiting })))
}

fn consumers(api: &Api) -> Vec<ConsumerStatus> {
    api.ledger.get().map(super::LiveLedger::consumers).unwrap_or_default()
}

fn consumer_json(consumer: &ConsumerStatus) -> serde_json::Value {
    let (state, reason) = match &consumer.state {
        ConsumerState::Following => ("following", None),
        ConsumerState::Retrying(trouble) => ("retrying", Some(trouble.reason.clone())),
        ConsumerState::Stuck(_) => ("stuck", consumer.stuck()),
        ConsumerState::Ended(_) => ("ended", consumer.stuck()),
    };
    json!({
        "name": *consumer.name,
        "state": state,
        "reason": reason,
        "checkpoint": consumer.checkpoint,
        "done": consumer.done,
        "lag": consumer.lag,
        "parked": consumer.parked,
    })
}

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Failure> {
    let handle = app.api.metrics.as_ref();
    let handle = handle.ok_or_else(|| Failure::not_found("nothing is measured in this process"))?;
    // What the tables know is measured when it is asked for; the rest is printed even without them.
    if let Ok(standing) = Standing::read(&app.api).await {
        let count = u32::try_from(standing.active_positions()).unwrap_or(u32::MAX);
        metrics::gauge!(ACTIVE_POSITIONS).set(count);
        metrics::gauge!(MONTHLY_HALT).set(u8::from(standing.is_halted()));
        metrics::counter!(LOG_HEAD).absolute(standing.log_seq.unsigned_abs());
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, handle.render()).into_response())
}

/// How the account stands, by the tables.
struct Standing {
    positions: Vec<Position>,
    risk: Option<RiskState>,
    log_seq: i64,
}

impl Standing {
    async fn read(api: &Api) -> Result<Self, Failure> {
        let log_seq = api.store.head(api.tenant).await?.log_seq;
        let mut positions = Vec::new();
        for state in PositionState::ALL.iter().filter(|state| state.is_live()) {
            let query = RowQuery::filter("state", Value::Text(state.as_str().to_owned()));
            for row in api.store.rows(api.tenant, &positions_current::TABLE, &query).await? {
                positions.push(positions_current::entity(&row)?);
            }
        }
        positions.sort_by_key(|position| position.position_id);
        let key = EntityKey::RiskState(RiskKey::account(api.account_id));
        let query = RowQuery::keys(vec![row_key(&key).key]);
        let rows = api.store.rows(api.tenant, &risk_state_current::TABLE, &query).await?;
        let risk = rows.first().map(risk_state_current::entity).transpose()?;
        Ok(Self { positions, risk, log_seq })
    }

    /// Positions that hold something.
    fn active_positions(&self) -> usize {
        self.positions.iter().filter(|position| position.is_open()).count()
    }

    fn is_halted(&self) -> bool {
        self.risk.as_ref().is_some_and(|risk| risk.halted)
    }
}

fn position_json(position: &Position) -> serde_json::Value {
    json!({
        "id": position.position_id,
        "symbol": position.symbol,
        "side": position.side,
        "state": position.state,
        "entry_price": position.entry_price,
        "trailing_stop": position.trailing_stop_price,
        "pnl": position.unrealized_pnl,
    })
}

fn budget_json(risk: &RiskState) -> Result<serde_json::Value, Failure> {
    let month =
        MonthRisk { base: risk.capital_base, realized_net: risk.realized_net, latent: risk.latent_risk };
    let figures = || {
        Ok(json!({
            "period": risk.period,
            "base": month.base,
            "budget": month.budget()?,
            "consumed": month.consumed()?,
            "latent": month.latent,
            "remaining": month.remaining()?,
            "slots": month.slots()?,
        }))
    };
    figures().map_err(|error: Overflow| Failure::broken(error))
}
