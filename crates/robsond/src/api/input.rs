//! What a request carries, as values: bodies, query parameters, ids, decimals in the digits that were sent.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

use super::failure::Failure;

/// Most bytes of a body.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most items of a page, and how many there are unless asked otherwise.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;

/// A JSON body; refused with a sentence.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
                Failure::too_large(BODY_BYTES_MAX)
            } else {
                Failure::invalid("the body did not arrive whole")
            }
        })?;
        if bytes.is_empty() {
            return Err(Failure::invalid("the body is empty: send a JSON object"));
        }
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Self).map_err(|error| Failure::invalid(format!("the body cannot be used: {error}")))
    }
}

/// A JSON body that may be left out.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Body::from_request(request, state).await.map(|Body(body)| Self(body))
    }
}

/// The query parameters; which ones a route knows is checked against the table of routes.
pub(super) struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|_| Failure::invalid("the query cannot be read"))?;
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            if params.insert(name.clone(), value).is_some() {
                return Err(Failure::invalid(format!("`{name}` stands twice in the query")));
            }
        }
        Ok(Self(params))
    }
}

impl Params {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|error| Failure::invalid(format!("{name}: {error}")))
    }

    pub(super) fn limit(&self) -> Result<usize, Failure> {
        match self.get("limit")?.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            limit => Err(Failure::invalid(format!("limit: {limit} is not between 1 and {LIMIT_MAX}"))),
        }
    }
}

/// The id in the path.
pub(super) struct PathId<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for PathId<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::invalid("the path holds no id"))?;
        let id = text.parse().map_err(|_| Failure::invalid(format!("`{text}` is not an id (a UUID)")))?;
        Ok(Self(id))
    }
}

/// A decimal as it was written, be it as text or as a number: no float ever stands between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact<T>(pub(super) T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = if raw.get().starts_with('"') {
            serde_json::from_str::<String>(raw.get()).map_err(de::Error::custom)?
        } else {
            raw.get().to_owned()
        };
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A word in any of the forms that its type reads.
pub(super) fn from_text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}
