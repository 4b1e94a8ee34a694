//! Every event type has a frozen sample of each of its revisions, and reads and writes it unchanged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use robson_domain::{Author, DecodeError, Event, EventBody, StreamName, Upcast};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn sample(event_type: &str, revision: i64) -> Value {
    let path = folder().join(format!("{event_type}.v{revision}.json"));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{event_type} revision {revision} has no frozen sample at {path:?}: {e}"));
    serde_json::from_str(&text).unwrap()
}

fn decode(sample: &Value) -> Result<Event, DecodeError> {
    let event_type = sample["event_type"].as_str().unwrap();
    Event::decode(event_type, sample["payload"].clone())
}

#[test]
fn every_revision_of_every_type_has_a_sample_and_the_newest_reads_and_writes_unchanged() {
    for (event_type, current) in Event::TYPES {
        for revision in 1..=*current {
            let sample = sample(event_type, revision);
            assert_eq!((&sample["event_type"], &sample["revision"]), (&json!(event_type), &json!(revision)));
        }
        let sample = sample(event_type, *current);
        let event = decode(&sample).unwrap_or_else(|e| panic!("{event_type}: {e}"));
        assert_eq!((event.event_type(), event.revision()), (*event_type, *current));
        assert_eq!(event.stream().to_string().parse(), Ok(event.stream()), "{event_type}");
        assert_eq!(event.payload(), sample["payload"], "{event_type} writes what it read");
    }
}

#[test]
fn no_sample_lies_about_for_a_type_that_is_not_listed() {
    let known = |name: &str| {
        let mut all = Event::TYPES.iter().flat_map(|(t, newest)| (1..=*newest).map(move |r| (t, r)));
        all.any(|(event_type, revision)| name == format!("{event_type}.v{revision}.json"))
    };
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known(&name), "{name}: no such event type in the list");
    }
}

#[test]
fn unknown_fields_are_tolerated_and_a_missing_one_is_not() {
    let mut disarmed = sample("POSITION_DISARMED", 1);
    let known = decode(&disarmed).unwrap();
    disarmed["payload"]["mood"] = json!("calm");
    assert_eq!(decode(&disarmed).unwrap(), known);
    disarmed["payload"].as_object_mut().unwrap().remove("reason");
    assert!(matches!(
        decode(&disarmed),
        Err(DecodeError::BadPayload { event_type: "POSITION_DISARMED", .. })
    ));
}

#[test]
fn what_is_not_in_the_list_is_refused_by_name() {
    let payload = sample("EXIT_TRIGGERED", 1)["payload"].clone();
    assert_eq!(Event::decode("EXIT", payload), Err(DecodeError::UnknownType("EXIT".into())));
}

/// A body that has changed twice: a new revision is a step in its chain, and nothing else.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Changed;

impl EventBody for Changed {
    const TYPE: &'static str = "CHANGED";
    const AUTHOR: Author = Author::System;
    const UPCASTS: &'static [Upcast] = &[Ok, Ok];

    fn stream(&self) -> StreamName {
        StreamName::System("test".to_owned())
    }
}

#[test]
fn each_step_of_the_chain_makes_a_revision() {
    assert_eq!(Changed::REVISION, 3);
    for ((event_type, revision), (of, steps)) in Event::TYPES.iter().zip(Event::UPCASTS) {
        assert_eq!((event_type, *revision), (of, i64::try_from(steps.len()).unwrap() + 1));
    }
}

#[test]
fn a_float_in_a_payload_is_refused_at_any_depth() {
    for (event_type, field, value) in [
        ("EXIT_TRIGGERED", "trigger_price", json!(95000.5)),
        ("SIGNAL_DETECTED", "indicators", json!({"averages": [{"fast": 1.5}]})),
        ("STRATEGY_CREATED", "risk_config", json!({"max_exposure": 1.5})),
    ] {
        let mut sample = sample(event_type, 1);
        sample["payload"][field] = value;
        assert!(matches!(decode(&sample), Err(DecodeError::BadPayload { .. })), "{event_type}");
    }
}

#[test]
fn a_fill_is_known_by_venue_account_symbol_and_padded_trade_id() {
    let mut fill = sample("FILL_RECEIVED", 1);
    let account = fill["payload"]["account_id"].as_str().unwrap().to_owned();
    let event = decode(&fill).unwrap();
    assert_eq!(event.natural_key().unwrap(), format!("fill/paper/{account}/BTCUSD/00000000000000000034"));
    assert_eq!(
        event.fingerprint_payload().unwrap(),
        json!({"side": "buy", "fill_price": "95000", "fill_quantity": "0.059"})
    );
    fill["payload"]["exchange_trade_id"] = json!("t-34");
    assert!(decode(&fill).unwrap().natural_key().unwrap().ends_with("/BTCUSD/t-34"));
}
