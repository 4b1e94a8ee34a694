//! How a request fails: a status, a code for programs and a sentence for people.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use robson_eventlog::StoreError;
use robson_projector::BadRow;
use serde_json::json;

use crate::operator::Refused;
use crate::questions::QuestionError;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: String,
    error: String,
}

impl Failure {
    fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), error: error.into() }
    }

    pub(super) fn invalid(error: impl Into<String>) -> Self {
        Refused::Invalid(error.into()).into()
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Refused::NotFound(error.into()).into()
    }

    pub(super) fn too_large(limit_bytes: usize) -> Self {
        let error = format!("the body has more than the {limit_bytes} bytes that are taken");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error)
    }

    pub(super) fn unauthorized(error: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", error)
    }

    pub(super) fn forbidden(error: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", error)
    }

    pub(super) fn no_such_route() -> Self {
        let error = "there is nothing here: see /api/openapi.json";
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    pub(super) fn no_such_method() -> Self {
        let error = "this method is not offered here: see /api/openapi.json";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", error)
    }

    pub(super) fn timed_out() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "the request took too long: try again")
    }

    pub(super) fn broken(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed on what the database holds");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match refused {
            Refused::Invalid(_) => "invalid",
            Refused::NotFound(_) => "not_found",
            Refused::WrongState(_) => "wrong_state",
            Refused::Expired(_) => "expired",
            Refused::RiskDenied(_) => "risk_denied",
            Refused::Mismatch(_) => "mismatch",
            Refused::NotReady(_) => "not_ready",
            Refused::Unknown(_) => "unknown",
        };
        Self::new(status, code, refused.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, source, "a request could not read the store");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store", error.to_string())
    }
}

impl From<QuestionError> for Failure {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Store(error) => error.into(),
            QuestionError::Unreadable(what) => Self::broken(what),
        }
    }
}

impl From<BadRow> for Failure {
    fn from(row: BadRow) -> Self {
        Self::broken(row)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "code": self.code }));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
