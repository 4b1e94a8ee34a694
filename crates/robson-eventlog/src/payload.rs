//! Canonical JSON: one text for one content, so that both databases give back what was hashed.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a value cannot be a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPayload {
    /// Not JSON, or an object that names a key twice.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// Databases disagree on such numbers; decimals travel as strings.
    #[error("the number {0} is not a 64-bit integer; write decimals as strings")]
    NotInteger(String),
    /// PostgreSQL cannot store it.
    #[error("the NUL character is not allowed in text")]
    Nul,
    /// More than [`Payload::MAX_BYTES`].
    #[error("{actual} bytes are more than the {limit} that a payload may have")]
    TooLarge {
        /// Most bytes.
        limit: usize,
        /// Bytes given.
        actual: usize,
    },
    /// More than [`Payload::MAX_DEPTH`] levels.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
}

/// A JSON value in canonical form: sorted keys, no spaces, integers only, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload(Arc<str>);

impl Payload {
    /// Most bytes of canonical text.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;
    /// Most levels of nesting.
    pub const MAX_DEPTH: usize = 64;

    /// Checks a value and writes its canonical text.
    ///
    /// # Errors
    /// Why the value cannot be kept alike by every backend.
    pub fn new(value: &Value) -> Result<Self, InvalidPayload> {
        let mut text = String::new();
        write_canonical(value, 0, &mut text)?;
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPayload::TooLarge { limit: Self::MAX_BYTES, actual: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// Reads JSON text; a key that stands twice in an object is refused.
    ///
    /// # Errors
    /// As [`Payload::new`], and `NotJson`.
    pub fn parse(text: &str) -> Result<Self, InvalidPayload> {
        let strict: Strict =
            serde_json::from_str(text).map_err(|error| InvalidPayload::NotJson(error.to_string()))?;
        Self::new(&strict.0)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value.
    ///
    /// # Panics
    /// Never: the text was written by [`Payload::new`].
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("canonical text is JSON")
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn write_canonical(value: &Value, depth: usize, out: &mut String) -> Result<(), InvalidPayload> {
    if depth > Payload::MAX_DEPTH {
        return Err(InvalidPayload::TooDeep(Payload::MAX_DEPTH));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            let integer = number.as_i64().ok_or_else(|| InvalidPayload::NotInteger(number.to_string()))?;
            out.push_str(&integer.to_string());
        }
        Value::String(text) => write_text(text, out)?,
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, depth + 1, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            // serde_json keeps insertion order when any crate of a build asks for it, so sort here.
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out)?;
                out.push(':');
                write_canonical(&fields[key], depth + 1, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) -> Result<(), InvalidPayload> {
    if text.contains('\0') {
        return Err(InvalidPayload::Nul);
    }
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
    Ok(())
}

/// JSON in which an object names each key once; `serde_json::Value` would keep the last silently.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format!("the key `{key}` stands twice")));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_content_has_one_text() {
        let payload = Payload::parse(r#" {"b": [1, true, null], "a": "x\u0041\n"} "#).unwrap();
        assert_eq!(payload.as_str(), r#"{"a":"xA\n","b":[1,true,null]}"#);
    }

    #[test]
    fn what_databases_disagree_on_is_refused() {
        for text in ["1.5", "1e2", "18446744073709551615", r#"{"a":1,"a":2}"#, r#""\u0000""#, "{", ""] {
            assert!(Payload::parse(text).is_err(), "{text}");
        }
        assert!(Payload::new(&json!({"a": "b\0"})).is_err());
        assert!(Payload::parse(&"[".repeat(70)).is_err());
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(text in ".*", number: i64) {
            let clean = text.replace('\0', "");
            let payload = Payload::new(&json!({"t": clean, "n": number})).unwrap();
            prop_assert_eq!(Payload::parse(payload.as_str()).unwrap(), payload);
        }
    }
}
