//! Routes that list rows: filters, and pages by the last key.

use axum::Json;
use axum::extract::State;
use robson_domain::{EntityKey, Month, OrderId, OrderStatus, PositionId, PositionState, Symbol};
use robson_eventlog::{ColumnKind, Row, RowQuery, Store, Table, Value};
use robson_projector::{
    balances_current, fills, orders_current, positions_current, row_key, strategy_state_current,
};
use serde_json::json;

use super::failure::Failure;
use super::input::{Params, PathId};
use super::{Api, App};

pub(super) async fn positions(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let filters = filters([
        params.get("state")?.map(|state: PositionState| ("state", text(state.as_str()))),
        params.get("symbol")?.map(|symbol: Symbol| ("symbol", text(symbol.as_str()))),
    ]);
    let month: Option<Month> = params.get("month")?;
    let lived = |row: &Row| {
        let Some(month) = month else { return Ok(true) };
        let position = positions_current::entity(row)?;
        // Months read `YYYY-MM`, so that text order is time order.
        let month = month.to_string();
        let ended = position.closed_at.map(|at| at.month().to_string());
        Ok(position.meta.created_at.month().to_string() <= month && ended.is_none_or(|ended| ended >= month))
    };
    page(&app.api, "positions", &positions_current::TABLE, filters, &params, lived).await
}

pub(super) async fn position(
    State(app): State<App>,
    PathId(id): PathId<PositionId>,
) -> Result<Json<serde_json::Value>, Failure> {
    let query = RowQuery::keys(vec![row_key(&EntityKey::Position(id)).key]);
    let rows = app.api.store.rows(app.api.tenant, &positions_current::TABLE, &query).await?;
    let row = rows.first().ok_or_else(|| Failure::not_found(format!("there is no position {id}")))?;
    Ok(Json(row.to_json(&positions_current::TABLE)))
}

pub(super) async fn orders(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let filters = filters([
        params.get("position_id")?.map(|id: PositionId| ("position_id", Value::Uuid(id.0))),
        params.get("symbol")?.map(|symbol: Symbol| ("symbol", text(symbol.as_str()))),
        params.get("status")?.map(|status: OrderStatus| ("status", text(status.as_str()))),
    ]);
    page(&app.api, "orders", &orders_current::TABLE, filters, &params, |_| Ok(true)).await
}

pub(super) async fn fills(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let filters = filters([
        params.get("order_id")?.map(|id: OrderId| ("order_id", Value::Uuid(id.0))),
        params.get("symbol")?.map(|symbol: Symbol| ("symbol", text(symbol.as_str()))),
    ]);
    page(&app.api, "fills", &fills::TABLE, filters, &params, |_| Ok(true)).await
}

pub(super) async fn strategies(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let filters = filters([params.text("name").map(|name| ("strategy_name", text(name)))]);
    page(&app.api, "strategies", &strategy_state_current::TABLE, filters, &params, |_| Ok(true)).await
}

pub(super) async fn balances(
    State(app): State<App>,
    params: Params,
) -> Result<Json<serde_json::Value>, Failure> {
    let filters = filters([params.text("asset").map(|asset| ("asset", text(asset)))]);
    page(&app.api, "balances", &balances_current::TABLE, filters, &params, |_| Ok(true)).await
}

fn text(word: &str) -> Value {
    Value::Text(word.to_owned())
}

pub(super) type Filter = (&'static str, Value);

pub(super) fn filters<const N: usize>(given: [Option<Filter>; N]) -> Vec<Filter> {
    given.into_iter().flatten().collect()
}

/// One page of the rows that are kept, and where the next one begins.
pub(super) async fn page(
    api: &Api,
    name: &str,
    table: &'static Table,
    filters: Vec<Filter>,
    params: &Params,
    keep: impl Fn(&Row) -> Result<bool, Failure>,
) -> Result<Json<serde_json::Value>, Failure> {
    let limit = params.limit()?;
    let after = params.text("after").map(|cursor| read_cursor(table, cursor)).transpose()?;
    let mut query = RowQuery { filters, after, limit: Some(limit + 1), ..RowQuery::all() };
    let mut kept = Vec::new();
    loop {
        let rows = api.store.rows(api.tenant, table, &query).await?;
        let is_last = rows.len() <= limit;
        query.after = rows.last().map(|row| row.key(table));
        for row in rows {
            if keep(&row)? {
                kept.push(row);
            }
        }
        if is_last || kept.len() > limit {
            break;
        }
    }
    let has_more = kept.len() > limit;
    kept.truncate(limit);
    let next = kept.last().filter(|_| has_more).map(|row| cursor(&row.key(table)));
    let rows: Vec<_> = kept.iter().map(|row| row.to_json(table)).collect();
    Ok(Json(json!({ name: rows, "next": next })))
}

/// A key as text: its parts between slashes, which only the last part may hold.
fn cursor(key: &[Value]) -> String {
    let part = |value: &Value| match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    key.iter().map(part).collect::<Vec<_>>().join("/")
}

fn read_cursor(table: &Table, cursor: &str) -> Result<Vec<Value>, Failure> {
    let invalid = || Failure::invalid("after: this is not the `next` of another page");
    let parts: Vec<&str> = cursor.splitn(table.key_columns, '/').collect();
    if parts.len() != table.key_columns {
        return Err(invalid());
    }
    let value = |(column, part): (&robson_eventlog::Column, &str)| match column.kind {
        ColumnKind::Uuid => part.parse().map(Value::Uuid).map_err(|_| invalid()),
        ColumnKind::Integer => part.parse().map(Value::Integer).map_err(|_| invalid()),
        _ => Ok(text(part)),
    };
    table.key().iter().zip(parts).map(value).collect()
}
