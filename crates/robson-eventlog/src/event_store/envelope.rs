//! Data and metadata of an event as one payload, and back byte for byte.
//!
//! A JSON object is the payload itself, so that it can be read and queried in the log. What has no place
//! in it stands beside its fields under names that begin with `$`: the metadata, the text where it was
//! written otherwise than the log writes JSON, and data that is no object or no JSON at all.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::payload::{InvalidPayload, Payload};

/// Data that is no JSON which the log can keep (floats are none), in base64.
const BASE64: &str = "$base64";
/// JSON that is no object, or an object with names like these.
const JSON: &str = "$json";
/// The data's own text, where it is not the canonical one.
const TEXT: &str = "$text";
/// The metadata, where there is any.
const METADATA: &str = "$metadata";

/// Why a payload has no data.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadEnvelope {
    #[error("`{0}` of the payload is not a text")]
    NotText(&'static str),
    #[error("`{BASE64}` of the payload is not base64")]
    NotBase64(#[source] base64::DecodeError),
    #[error("`{METADATA}` of the payload is not an object of texts")]
    NotMetadata,
}

pub(super) fn close(data: &[u8], metadata: &BTreeMap<String, String>) -> Result<Payload, InvalidPayload> {
    let as_json = std::str::from_utf8(data).ok().and_then(|text| Some((text, Payload::parse(text).ok()?)));
    let Some((text, canonical)) = as_json else {
        return with_metadata(in_base64(data), metadata);
    };
    let is_canonical = canonical.as_str() == text;
    let mut fields = match canonical.value() {
        Value::Object(fields) if !fields.keys().any(|name| name.starts_with('$')) => {
            if is_canonical && metadata.is_empty() {
                return Ok(canonical);
            }
            fields
        }
        other => Map::from_iter([(JSON.to_owned(), other)]),
    };
    if !is_canonical {
        fields.insert(TEXT.to_owned(), text.into());
    }
    match with_metadata(fields, metadata) {
        // One level deeper than it came, it may be too deep.
        Err(InvalidPayload::TooDeep(_)) => with_metadata(in_base64(data), metadata),
        closed => closed,
    }
}

fn in_base64(data: &[u8]) -> Map<String, Value> {
    Map::from_iter([(BASE64.to_owned(), STANDARD.encode(data).into())])
}

fn with_metadata(
    mut fields: Map<String, Value>,
    metadata: &BTreeMap<String, String>,
) -> Result<Payload, InvalidPayload> {
    if !metadata.is_empty() {
        let metadata = metadata.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
        fields.insert(METADATA.to_owned(), Value::Object(metadata.collect()));
    }
    Payload::new(&Value::Object(fields))
}

/// The data, and the metadata.
type Opened = (Vec<u8>, BTreeMap<String, String>);

pub(super) fn open(payload: &Payload) -> Result<Opened, BadEnvelope> {
    let as_it_is = || Ok((payload.as_str().as_bytes().to_vec(), BTreeMap::new()));
    // Most payloads have no such name; these need not be parsed.
    if !payload.as_str().contains("\"$") {
        return as_it_is();
    }
    let Value::Object(mut fields) = payload.value() else { return as_it_is() };
    let [base64, json, text, metadata] = [BASE64, JSON, TEXT, METADATA].map(|name| fields.remove(name));
    if [&base64, &json, &text, &metadata].into_iter().all(Option::is_none) {
        return as_it_is();
    }
    let metadata = metadata.map_or(Ok(BTreeMap::new()), serde_json::from_value);
    let metadata = metadata.map_err(|_| BadEnvelope::NotMetadata)?;
    let data = match (base64, text, json) {
        (Some(base64), ..) => {
            let base64 = base64.as_str().ok_or(BadEnvelope::NotText(BASE64))?;
            STANDARD.decode(base64).map_err(BadEnvelope::NotBase64)?
        }
        (None, Some(text), _) => text.as_str().ok_or(BadEnvelope::NotText(TEXT))?.as_bytes().to_vec(),
        (None, None, Some(json)) => text_of(&json),
        (None, None, None) => text_of(&Value::Object(fields)),
    };
    Ok((data, metadata))
}

/// JSON as the log writes it, or as it is where the log cannot keep it.
pub(super) fn text_of(value: &Value) -> Vec<u8> {
    Payload::new(value).map_or_else(|_| value.to_string(), |payload| payload.as_str().to_owned()).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(data: &[u8], metadata: &[(&str, &str)], payload: &str) {
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let closed = close(data, &metadata).unwrap();
        assert_eq!(closed.as_str(), payload);
        assert_eq!(open(&closed).unwrap(), (data.to_vec(), metadata));
    }

    #[test]
    fn an_object_is_the_payload_itself() {
        check(br#"{"a":1,"b":[null]}"#, &[], r#"{"a":1,"b":[null]}"#);
        check(b"{}", &[("by", "me")], r#"{"$metadata":{"by":"me"}}"#);
        check(br#"{"a":"x"}"#, &[("by", "me")], r#"{"$metadata":{"by":"me"},"a":"x"}"#);
        check(br#"{ "b": 1, "a": 2 }"#, &[], r#"{"$text":"{ \"b\": 1, \"a\": 2 }","a":2,"b":1}"#);
    }

    #[test]
    fn other_json_and_names_like_ours_stand_apart() {
        check(br#""placed""#, &[], r#"{"$json":"placed"}"#);
        check(b"null", &[("k", "v")], r#"{"$json":null,"$metadata":{"k":"v"}}"#);
        check(br#"{"$base64":1}"#, &[], r#"{"$json":{"$base64":1}}"#);
        check(b"[1, 2]", &[], r#"{"$json":[1,2],"$text":"[1, 2]"}"#);
    }

    #[test]
    fn what_the_log_cannot_keep_as_json_travels_in_base64() {
        check(b"", &[], r#"{"$base64":""}"#);
        check(&[0, 255, 128], &[], r#"{"$base64":"AP+A"}"#);
        check(br#"{"price":1.50}"#, &[], r#"{"$base64":"eyJwcmljZSI6MS41MH0="}"#);
        check(br#"{"a":1,"a":2}"#, &[], r#"{"$base64":"eyJhIjoxLCJhIjoyfQ=="}"#);
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        let closed = close(deep.as_bytes(), &BTreeMap::new()).unwrap();
        assert_eq!(open(&closed).unwrap().0, deep.as_bytes());
    }

    #[test]
    fn an_event_of_another_writer_is_read_as_it_is() {
        for text in [r#"{"$other":1}"#, "[\"$json\"]", "7"] {
            let payload = Payload::parse(text).unwrap();
            assert_eq!(open(&payload).unwrap(), (text.as_bytes().to_vec(), BTreeMap::new()));
        }
        assert!(open(&Payload::parse(r#"{"$base64":"?"}"#).unwrap()).is_err());
        assert!(open(&Payload::parse(r#"{"$metadata":[]}"#).unwrap()).is_err());
    }

    #[test]
    fn metadata_that_no_database_keeps_is_refused() {
        let metadata = BTreeMap::from([("k".to_owned(), "a\0".to_owned())]);
        assert_eq!(close(b"{}", &metadata), Err(InvalidPayload::Nul));
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(data: Vec<u8>, key in "[a-z$]{0,4}", value in "[^\0]{0,8}") {
            let metadata = BTreeMap::from([(key, value)]);
            prop_assert_eq!(open(&close(&data, &metadata).unwrap()).unwrap(), (data, metadata));
        }
    }
}
