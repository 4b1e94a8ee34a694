//! The OpenAPI document: follows from the table of routes and the tables of the projection.

use axum::Json;
use robson_domain::{ApprovalMode, EntryMode, PositionState, TrailingPolicy};
use robson_eventlog::{ColumnKind, PARKED_EVENTS, Table};
use robson_projector::{balances_current, fills, orders_current, positions_current, strategy_state_current};
use serde_json::{Map, Value, json};

use super::guard::Access;
use super::routes::{Answer, Parameter, ROUTES, Route};

pub(super) async fn document() -> Json<Value> {
    Json(openapi())
}

fn openapi() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            operations.insert(route.method.to_owned(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Robson",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Decimals are strings. Times are UTC with microseconds. A command that is sent again \
                with the same `Idempotency-Key` is answered as the first time and does nothing more.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route.query.iter().map(query_parameter).collect();
    if let Some((name, _)) = route.path.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
        // A parked event is named by its place or its id, which is no UUID; everything else by a UUID.
        let format = if route.path.contains("/parked/") { "" } else { "uuid" };
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": typed(format) }));
    }
    if route.access == Access::Change {
        parameters.push(header("Idempotency-Key", "uuid", "the command's id; a retry carries the same"));
        parameters.push(header("X-Robson-Operator", "", "who asks, for the log"));
    }
    if matches!(route.answer, Answer::Events) {
        parameters.push(header("Last-Event-ID", "int64", "a stream goes on behind this `log_seq`"));
    }
    let mut operation = Map::from_iter([
        ("operationId".to_owned(), json!(operation_id(route))),
        ("summary".to_owned(), json!(route.about)),
        ("parameters".to_owned(), json!(parameters)),
        ("responses".to_owned(), responses(route)),
        ("security".to_owned(), security(route.access)),
    ]);
    if let Some(schema) = route.body {
        let content = json!({ "application/json": { "schema": reference(schema) } });
        let body = json!({ "required": route.needs_body, "content": content });
        operation.insert("requestBody".to_owned(), body);
    }
    Value::Object(operation)
}

/// `post_positions_id_close` for `POST /api/v1/positions/{id}/close`.
fn operation_id(route: &Route) -> String {
    let path =
        route.path.replace("/api/v1/", "/v1/").replace("/v1/health", "/api_health").replace("/v1/", "/");
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(route.method).chain(words).collect::<Vec<_>>().join("_")
}

/// Without a token set, a caller on loopback needs none; elsewhere all but `/health` does.
fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::Read | Access::Change => json!([{}, { "token": [] }]),
    }
}

fn typed(format: &str) -> Value {
    match format {
        "" => json!({ "type": "string" }),
        "int32" | "int64" => json!({ "type": "integer", "format": format }),
        _ => json!({ "type": "string", "format": format }),
    }
}

fn query_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.about,
        "required": parameter.name == "date",
        "schema": typed(parameter.format),
    })
}

fn header(name: &str, format: &str, about: &str) -> Value {
    json!({ "name": name, "in": "header", "description": about, "schema": typed(format) })
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    responses.insert(route.status.to_string(), answer(route));
    let every: &[u16] = if route.access == Access::Open { &[400] } else { &[400, 401, 403, 500] };
    for status in every.iter().chain(route.refusals) {
        let schema = if route.path == "/ready" { "Ready" } else { "Failure" };
        let schema = if *status == 503 { schema } else { "Failure" };
        let refusal = json!({
            "description": refusal(*status),
            "content": { "application/json": { "schema": reference(schema) } },
        });
        responses.insert(status.to_string(), refusal);
    }
    Value::Object(responses)
}

fn answer(route: &Route) -> Value {
    let page = |name: &str, schema: &str| {
        json!({
            "type": "object",
            "required": [name],
            "properties": {
                name: { "type": "array", "items": reference(schema) },
                "next": { "type": ["string", "integer", "null"], "description": "give it as `after`" },
            },
        })
    };
    let content = match route.answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": reference(schema) } }),
        Answer::Page(name, schema) => json!({ "application/json": { "schema": page(name, schema) } }),
        Answer::Events => json!({
            "application/json": { "schema": page("events", "Event") },
            "text/event-stream": { "schema": reference("StreamedEvent") },
        }),
        Answer::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
        Answer::Empty => return json!({ "description": route.about }),
    };
    json!({ "description": route.about, "content": content })
}

const fn refusal(status: u16) -> &'static str {
    match status {
        400 => "The input makes no sense.",
        401 => "The token is missing or wrong.",
        403 => "Not from here: a browser without a token, or off in this environment.",
        404 => "There is no such thing.",
        410 => "The entry waited too long for the operator.",
        409 => "Wrong state, denied by the risk gate, or the command id was used for another request.",
        502 => "The outcome is unknown: ask again with the same `Idempotency-Key`.",
        503 => "Halted or not ready: try later.",
        _ => "The store failed.",
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let id = json!({ "type": "string", "format": "uuid" });
    let decimal = json!({ "type": "string", "format": "decimal" });
    let maybe_decimal = json!({ "type": ["string", "null"], "format": "decimal" });
    let sent_decimal = json!({ "type": ["string", "number"], "format": "decimal" });
    let boolean = json!({ "type": "boolean" });
    let integer = json!({ "type": "integer" });
    let maybe_integer = json!({ "type": ["integer", "null"] });
    let side = json!({ "type": "string", "enum": ["long", "short"] });
    let sent_side = json!({ "type": "string", "enum": ["LONG", "BUY", "SHORT", "SELL"] });
    let state = words(PositionState::ALL.iter().map(|word| word.as_str()));
    let any = json!({ "type": "object" });
    let touched = object(&[("position_id", &id), ("symbol", &text), ("side", &side), ("state", &state)], &[]);
    let entry_policy = object(
        &[("mode", &words(EntryMode::ALL.iter().map(|word| word.as_str())))],
        &[("approval", &words(ApprovalMode::ALL.iter().map(|word| word.as_str())))],
    );
    let maybe_text = json!({ "type": ["string", "null"] });
    let limits = object(&[], &[("max_exposure", &sent_decimal), ("daily_loss_limit", &sent_decimal)]);
    let approval = object(
        &[
            ("decision_id", &id),
            ("position_id", &id),
            ("symbol", &text),
            ("side", &side),
            ("entry_price", &decimal),
            ("stop_price", &decimal),
            ("quantity", &decimal),
            ("planned_risk", &decimal),
            ("proposed_at", &json!({ "type": "string", "format": "date-time" })),
            ("expires_at", &json!({ "type": "string", "format": "date-time" })),
        ],
        &[],
    );
    let budget = object(
        &[
            ("period", &text),
            ("base", &decimal),
            ("budget", &decimal),
            ("consumed", &decimal),
            ("latent", &decimal),
            ("remaining", &decimal),
            ("slots", &integer),
        ],
        &[],
    );
    let consumer = object(
        &[
            ("name", &text),
            ("state", &words(["following", "retrying", "stuck", "ended"].into_iter())),
            ("reason", &json!({ "type": ["string", "null"] })),
            ("checkpoint", &integer),
            ("done", &integer),
            ("lag", &integer),
            ("parked", &integer),
        ],
        &[],
    );
    let live = object(
        &[
            ("id", &id),
            ("symbol", &text),
            ("side", &side),
            ("state", &state),
            ("entry_price", &maybe_decimal),
            ("trailing_stop", &maybe_decimal),
            ("pnl", &maybe_decimal),
        ],
        &[],
    );
    json!({
        "Failure": object(&[("error", &text), ("code", &text)], &[]),
        "Health": object(
            &[("status", &text), ("version", &text), ("lag", &integer), ("log_seq", &maybe_integer)],
            &[],
        ),
        "Ready": object(
            &[("ready", &boolean), ("reasons", &json!({ "type": "array", "items": text })), ("phase", &any)],
            &[],
        ),
        "Document": any,
        "Status": object(
            &[
                ("active_positions", &integer),
                ("positions", &json!({ "type": "array", "items": live })),
                ("budget", &json!({ "oneOf": [budget, { "type": "null" }] })),
                ("slots", &maybe_integer),
                ("halted", &boolean),
                ("entries_stopped", &boolean),
                ("approvals", &integer),
                ("phase", &any),
                ("feed_at", &json!({ "type": ["string", "null"], "format": "date-time" })),
                ("log_seq", &integer),
                ("consumers", &json!({ "type": "array", "items": consumer })),
            ],
            &[],
        ),
        "Parked": row(&PARKED_EVENTS),
        "Decision": object(&[("reason", &text)], &[("consumer", &text)]),
        "Arm": object(
            &[("symbol", &text), ("side", &sent_side)],
            &[
                ("account_id", &id),
                ("entry_policy", &entry_policy),
                ("trailing_policy", &words(TrailingPolicy::ALL.iter().map(|word| word.as_str()))),
                ("capital", &sent_decimal),
                ("risk_percent", &sent_decimal),
                ("strategy_id", &id),
            ],
        ),
        "Halt": object(&[("reason", &text)], &[]),
        "Reason": object(&[], &[("reason", &text)]),
        "Entries": object(&[("enabled", &boolean), ("reason", &text)], &[]),
        "Standing": object(
            &[("period", &text), ("halted", &boolean), ("entries_stopped", &boolean)],
            &[],
        ),
        "Halted": object(
            &[
                ("halted", &boolean),
                ("period", &text),
                ("positions", &json!({ "type": "array", "items": reference("Touched") })),
            ],
            &[],
        ),
        "MonthlyHalt": object(
            &[
                ("halted", &boolean),
                ("period", &maybe_text),
                ("since", &json!({ "type": ["string", "null"], "format": "date-time" })),
                ("reason", &maybe_text),
                ("limit", &maybe_text),
                ("by", &maybe_text),
                ("budget", &json!({ "oneOf": [budget, { "type": "null" }] })),
            ],
            &[],
        ),
        "Approvals": object(&[("approvals", &json!({ "type": "array", "items": approval }))], &[]),
        "NewStrategy": object(
            &[("name", &text), ("type", &text)],
            &[("detector_config", &any), ("risk_config", &limits)],
        ),
        "StrategyConfig": object(&[], &[("detector_config", &any), ("risk_config", &limits)]),
        "TouchedStrategy": object(
            &[
                ("strategy_id", &id),
                ("strategy_name", &text),
                ("is_enabled", &boolean),
                ("config_version", &integer),
            ],
            &[],
        ),
        "Strategy": row(&strategy_state_current::TABLE),
        "Signal": object(&[("entry_price", &sent_decimal), ("stop_loss", &sent_decimal)], &[("position_id", &id)]),
        "Touched": touched,
        "Panic": object(
            &[
                ("closed_positions", &json!({ "type": "array", "items": id })),
                ("count", &integer),
                ("positions", &json!({ "type": "array", "items": reference("Touched") })),
            ],
            &[],
        ),
        "Position": row(&positions_current::TABLE),
        "Order": row(&orders_current::TABLE),
        "Fill": row(&fills::TABLE),
        "Balance": row(&balances_current::TABLE),
        "Event": {
            "type": "object",
            "required": ["log_seq", "event_id", "stream_key", "seq", "event_type", "payload", "occurred_at"],
            "properties": {
                "log_seq": integer,
                "event_id": text,
                "stream_key": text,
                "seq": integer,
                "event_type": text,
                "payload": any,
                "occurred_at": { "type": "string", "format": "date-time" },
            },
        },
        "StreamedEvent": object(
            &[
                ("schema_version", &integer),
                ("event_id", &text),
                ("event_type", &text),
                ("occurred_at", &json!({ "type": "string", "format": "date-time" })),
                ("payload", &any),
            ],
            &[],
        ),
    })
}

/// An object with these properties and no others.
fn object(required: &[(&str, &Value)], optional: &[(&str, &Value)]) -> Value {
    let properties: Map<String, Value> = required
        .iter()
        .chain(optional)
        .map(|(name, schema)| ((*name).to_owned(), (*schema).clone()))
        .collect();
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": properties })
}

fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": words.collect::<Vec<_>>() })
}

/// A row of a table.
fn row(table: &Table) -> Value {
    let property = |kind: ColumnKind, is_nullable: bool| {
        let (kind, format) = match kind {
            ColumnKind::Text | ColumnKind::Bytes => ("string", None),
            ColumnKind::Uuid => ("string", Some("uuid")),
            ColumnKind::Integer => ("integer", Some("int64")),
            ColumnKind::Decimal => ("string", Some("decimal")),
            ColumnKind::Timestamp => ("string", Some("date-time")),
            ColumnKind::Boolean => ("boolean", None),
            ColumnKind::Json => return json!({}),
        };
        let kind = if is_nullable { json!([kind, "null"]) } else { json!(kind) };
        format.map_or_else(|| json!({ "type": kind }), |format| json!({ "type": kind, "format": format }))
    };
    let properties: Map<String, Value> = table
        .columns
        .iter()
        .map(|column| (column.name.to_owned(), property(column.kind, column.nullable)))
        .collect();
    let names: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": properties })
}
