//! The table of routes: path, caller, parameters, answer and handler of each, in one place.
//!
//! A route is added here and nowhere else; its checks and its place in the document follow.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

use super::App;
use super::failure::Failure;
use super::guard::Access;
use super::input::{BODY_BYTES_MAX, Params};
use super::{commands, events, openapi, parked, rows, standing};
use crate::metrics::HTTP_REQUESTS;

/// A handler that takes longer is given up; streams count until they begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What a query parameter holds, for the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) format: &'static str,
    pub(super) about: &'static str,
}

/// What a route answers with when all is well.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// A JSON object of a named schema.
    Json(&'static str),
    /// A page of rows of a named schema under a name.
    Page(&'static str, &'static str),
    /// A page of events, or a stream of them.
    Events,
    /// Text.
    Text,
    /// Nothing.
    Empty,
}

/// One route.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) about: &'static str,
    pub(super) query: &'static [Parameter],
    /// The schema of its body.
    pub(super) body: Option<&'static str>,
    /// Whether the body may not be left out.
    pub(super) needs_body: bool,
    pub(super) status: u16,
    pub(super) answer: Answer,
    /// The statuses that it refuses with, besides what every route may.
    pub(super) refusals: &'static [u16],
    handler: fn() -> MethodRouter<App>,
}

impl Route {
    const fn get(
        path: &'static str,
        about: &'static str,
        answer: Answer,
        handler: fn() -> MethodRouter<App>,
    ) -> Self {
        Self {
            method: "get",
            path,
            access: Access::Read,
            about,
            query: &[],
            body: None,
            needs_body: true,
            status: 200,
            answer,
            refusals: &[],
            handler,
        }
    }

    const fn change(
        method: &'static str,
        path: &'static str,
        about: &'static str,
        status: u16,
        answer: Answer,
        handler: fn() -> MethodRouter<App>,
    ) -> Self {
        let refusals = &[404, 409, 502, 503];
        Self { method, access: Access::Change, status, refusals, ..Self::get(path, about, answer, handler) }
    }

    const fn open(self) -> Self {
        Self { access: Access::Open, ..self }
    }

    const fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    const fn maybe_body(self, schema: &'static str) -> Self {
        Self { body: Some(schema), needs_body: false, ..self }
    }

    const fn refusing(self, refusals: &'static [u16]) -> Self {
        Self { refusals, ..self }
    }
}

const fn parameter(name: &'static str, format: &'static str, about: &'static str) -> Parameter {
    Parameter { name, format, about }
}

const LIMIT: Parameter =
    parameter("limit", "int32", "at most so many, from 1 to 1000; 100 where none is given");
const AFTER: Parameter = parameter("after", "", "what the page before gave as `next`");
const SYMBOL: Parameter = parameter("symbol", "", "only this symbol");

/// Every route.
pub(super) static ROUTES: &[Route] = &[
    Route::get("/health", "Whether the process lives; from memory.", Answer::Json("Health"), || {
        get(standing::health)
    })
    .open(),
    Route::get("/api/v1/health", "The same as `/health`.", Answer::Json("Health"), || get(standing::health))
        .open(),
    Route::get("/ready", "Whether the daemon trades, and why not.", Answer::Json("Ready"), || {
        get(standing::ready)
    })
    .refusing(&[503]),
    Route::get("/metrics", "What is measured, as Prometheus text.", Answer::Text, || get(standing::metrics))
        .refusing(&[404]),
    Route::get("/api/openapi.json", "This document.", Answer::Json("Document"), || get(openapi::document)),
    Route::get("/api/v1/status", "Live positions and the month's budget.", Answer::Json("Status"), || {
        get(standing::status)
    }),
    Route::get(
        "/api/v1/positions",
        "Positions, by id, which is by time.",
        Answer::Page("positions", "Position"),
        || get(rows::positions),
    )
    .query(&[
        parameter("state", "", "only positions in this state"),
        SYMBOL,
        parameter("month", "", "only positions that lived in this UTC month, as YYYY-MM"),
        AFTER,
        LIMIT,
    ]),
    Route::get("/api/v1/positions/{id}", "One position.", Answer::Json("Position"), || get(rows::position))
        .refusing(&[404]),
    Route::change(
        "post",
        "/api/v1/positions",
        "Arms a position: watches a symbol for an entry.",
        201,
        Answer::Json("Touched"),
        || post(commands::arm),
    )
    .body("Arm"),
    Route::change(
        "delete",
        "/api/v1/positions/{id}",
        "Disarms a position that holds nothing.",
        204,
        Answer::Empty,
        || delete(commands::disarm),
    ),
    Route::change(
        "post",
        "/api/v1/positions/{id}/close",
        "Closes a position at market.",
        200,
        Answer::Json("Touched"),
        || post(commands::close),
    ),
    Route::change(
        "post",
        "/api/v1/positions/{id}/clear",
        "Clears an error: what is held is watched again, what holds nothing ends.",
        200,
        Answer::Json("Touched"),
        || post(commands::clear),
    ),
    Route::change(
        "post",
        "/api/v1/positions/{id}/signal",
        "Enters an armed position now, with this stop; off in production.",
        200,
        Answer::Json("Touched"),
        || post(commands::signal),
    )
    .body("Signal")
    .refusing(&[403, 404, 409, 502, 503]),
    Route::change(
        "post",
        "/api/v1/panic",
        "Disarms everything and closes everything at market.",
        200,
        Answer::Json("Panic"),
        || post(commands::panic),
    ),
    Route::get(
        "/api/v1/monthly-halt",
        "Whether trading is halted for the rest of the month, and why.",
        Answer::Json("MonthlyHalt"),
        || get(standing::monthly_halt),
    ),
    Route::change(
        "post",
        "/api/v1/monthly-halt",
        "Disarms and closes everything; no entries until the next UTC month.",
        200,
        Answer::Json("Halted"),
        || post(commands::halt),
    )
    .body("Halt"),
    Route::change(
        "put",
        "/api/v1/entries",
        "Stops entries, or lets them go on; exits always go on.",
        200,
        Answer::Json("Standing"),
        || put(commands::entries),
    )
    .body("Entries"),
    Route::get("/api/v1/approvals", "Entries that wait for the operator.", Answer::Json("Approvals"), || {
        get(standing::approvals)
    }),
    Route::change(
        "post",
        "/api/v1/approvals/{decision_id}/approve",
        "Enters, where stop, size and risk gate still say so.",
        200,
        Answer::Json("Touched"),
        || post(commands::approve),
    )
    .refusing(&[404, 409, 410, 502, 503]),
    Route::change(
        "post",
        "/api/v1/approvals/{decision_id}/deny",
        "Refuses an entry that waits.",
        200,
        Answer::Json("Touched"),
        || post(commands::deny),
    )
    .refusing(&[404, 409, 410, 502, 503]),
    Route::get("/api/v1/strategies", "Strategies, by id.", Answer::Page("strategies", "Strategy"), || {
        get(rows::strategies)
    })
    .query(&[parameter("name", "", "only the one with this name"), AFTER, LIMIT]),
    Route::change(
        "post",
        "/api/v1/strategies",
        "Makes a strategy; it may not enter yet.",
        201,
        Answer::Json("TouchedStrategy"),
        || post(commands::create_strategy),
    )
    .body("NewStrategy"),
    Route::change(
        "put",
        "/api/v1/strategies/{id}/config",
        "Changes a strategy's settings; what is left out stays.",
        200,
        Answer::Json("TouchedStrategy"),
        || put(commands::update_strategy),
    )
    .body("StrategyConfig"),
    Route::change(
        "post",
        "/api/v1/strategies/{id}/enable",
        "Lets a strategy enter.",
        200,
        Answer::Json("TouchedStrategy"),
        || post(commands::enable_strategy),
    ),
    Route::change(
        "post",
        "/api/v1/strategies/{id}/disable",
        "Keeps a strategy from entering; what it holds goes on.",
        200,
        Answer::Json("TouchedStrategy"),
        || post(commands::disable_strategy),
    )
    .maybe_body("Reason"),
    Route::get("/api/v1/orders", "Orders, by id, which is by time.", Answer::Page("orders", "Order"), || {
        get(rows::orders)
    })
    .query(&[
        parameter("position_id", "uuid", "only orders of this position"),
        SYMBOL,
        parameter("status", "", "only orders with this status"),
        AFTER,
        LIMIT,
    ]),
    Route::get("/api/v1/fills", "Fills, by trade.", Answer::Page("fills", "Fill"), || get(rows::fills))
        .query(&[parameter("order_id", "uuid", "only fills of this order"), SYMBOL, AFTER, LIMIT]),
    Route::get("/api/v1/balances", "Balances, by asset.", Answer::Page("balances", "Balance"), || {
        get(rows::balances)
    })
    .query(&[parameter("asset", "", "only this asset"), AFTER, LIMIT]),
    Route::get(
        "/api/v1/parked",
        "Events that a consumer could not deal with, by consumer and place.",
        Answer::Page("parked", "Parked"),
        || get(parked::list),
    )
    .query(&[
        parameter("consumer", "", "only of this consumer"),
        parameter("status", "", "only those that are stopped, parked, retrying, retried or skipped"),
        AFTER,
        LIMIT,
    ]),
    Route::change(
        "post",
        "/api/v1/parked/{id}/retry",
        "Lets a consumer try an event again, named by its id or its place.",
        200,
        Answer::Json("Parked"),
        || post(parked::retry),
    )
    .body("Decision"),
    Route::change(
        "post",
        "/api/v1/parked/{id}/skip",
        "Lets a consumer pass over an event for good, named by its id or its place.",
        200,
        Answer::Json("Parked"),
        || post(parked::skip),
    )
    .body("Decision"),
    Route::get(
        "/api/v1/events",
        "Events by rising `log_seq`; as a stream for those who accept `text/event-stream`.",
        Answer::Events,
        || get(events::events),
    )
    .query(&[
        parameter("stream", "", "only this stream, such as `account:ID`"),
        parameter("type", "", "only these types, between commas"),
        parameter("trace_id", "uuid", "only this operator action or tick"),
        parameter("command_id", "uuid", "only what this command asked for"),
        parameter("workflow_id", "uuid", "only this detector run"),
        parameter("position_id", "uuid", "only its events, its orders' and those that name it"),
        parameter("after", "int64", "only behind this `log_seq`"),
        LIMIT,
    ]),
    Route::get(
        "/api/v1/events/history",
        "The newest 100 events of a UTC day, newest first.",
        Answer::Page("events", "Event"),
        || get(events::history),
    )
    .query(&[parameter("date", "date", "the day, as YYYY-MM-DD")]),
];

pub(super) fn router(app: App) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let checked = (route.handler)().route_layer(from_fn_with_state((app.clone(), route), check));
        router = router.route(route.path, checked);
    }
    router
        .fallback(async || Failure::no_such_route())
        .method_not_allowed_fallback(async || Failure::no_such_method())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// Checks caller and query by the table, bounds the time, and counts.
async fn check(
    State((app, route)): State<(App, &'static Route)>,
    params: Result<Params, Failure>,
    request: Request,
    next: Next,
) -> Response {
    let admitted = app
        .api
        .guard
        .admit(route.access, request.headers())
        .and(params)
        .and_then(|params| check_query(route, &params));
    let response = match admitted {
        Ok(()) => tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
            .await
            .unwrap_or_else(|_| Failure::timed_out().into_response()),
        Err(failure) => failure.into_response(),
    };
    count(route, response.status());
    response
}

fn check_query(route: &Route, params: &Params) -> Result<(), Failure> {
    let unknown = params.names().find(|name| route.query.iter().all(|known| known.name != *name));
    let Some(unknown) = unknown else { return Ok(()) };
    let known: Vec<&str> = route.query.iter().map(|known| known.name).collect();
    let takes = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    Err(Failure::invalid(format!("`{unknown}` is unknown in the query: {} takes {takes}", route.path)))
}

fn count(route: &'static Route, status: StatusCode) {
    let labels = [
        ("method", route.method.to_owned()),
        ("route", route.path.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!(HTTP_REQUESTS, &labels).increment(1);
}
