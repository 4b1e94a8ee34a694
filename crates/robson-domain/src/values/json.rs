//! Free-form JSON inside a payload: what a detector looked at, what a strategy was set to.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a JSON value cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JSON with the number {0}: write decimals as text")]
pub struct FloatInJson(pub String);

/// JSON without floats: numbers are integers, decimals are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Json(Value);

impl Json {
    /// An object without members.
    pub fn empty() -> Self {
        Self(Value::Object(serde_json::Map::new()))
    }

    /// Keeps a value that holds no float, at any depth.
    ///
    /// # Errors
    /// `FloatInJson` with the first float.
    pub fn new(value: Value) -> Result<Self, FloatInJson> {
        match first_float(&value) {
            Some(number) => Err(FloatInJson(number)),
            None => Ok(Self(value)),
        }
    }

    /// The value.
    pub const fn get(&self) -> &Value {
        &self.0
    }
}

fn first_float(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_f64() => Some(number.to_string()),
        Value::Array(items) => items.iter().find_map(first_float),
        Value::Object(members) => members.values().find_map(first_float),
        _ => None,
    }
}

impl TryFrom<Value> for Json {
    type Error = FloatInJson;
    fn try_from(value: Value) -> Result<Self, FloatInJson> {
        Self::new(value)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Value {
        json.0
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
