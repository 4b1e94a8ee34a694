//! Every event type has a frozen sample of each of its revisions, and reads and writes it unchanged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use robson_domain::{DecodeError, Event};
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
    Event::decode(event_type, sample["revision"].as_i64().unwrap(), sample["payload"].clone())
}

#[test]
fn every_revision_of_every_type_has_a_sample_that_still_reads() {
    for (event_type, current) in Event::TYPES {
        for revision in 1..=*current {
            let sample = sample(event_type, revision);
            let event = decode(&sample).unwrap_or_else(|e| panic!("{event_type} revision {revision}: {e}"));
            assert_eq!(sample["event_type"], *event_type);
            assert_eq!(sample["revision"], revision);
            assert_eq!((event.event_type(), event.revision()), (*event_type, *current));
            assert_eq!(event.stream().to_string().parse(), Ok(event.stream()), "{event_type}");
            if revision == *current {
                assert_eq!(event.payload(), sample["payload"], "{event_type} writes what it read");
            }
        }
    }
}

#[test]
fn no_sample_lies_about_for_a_type_that_is_not_listed() {
    let known = |name: &str| {
        Event::TYPES.iter().any(|(t, _)| name.strip_prefix(t).is_some_and(|r| r.starts_with(".v")))
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
fn what_a_newer_program_wrote_is_refused_by_name() {
    let payload = sample("EXIT_TRIGGERED", 1)["payload"].clone();
    assert_eq!(
        Event::decode("EXIT_TRIGGERED", 2, payload.clone()),
        Err(DecodeError::NewerRevision { event_type: "EXIT_TRIGGERED", revision: 2, known: 1 })
    );
    assert_eq!(Event::decode("EXIT", 1, payload.clone()), Err(DecodeError::UnknownType("EXIT".into())));
    assert!(matches!(Event::decode("EXIT_TRIGGERED", 0, payload), Err(DecodeError::BadPayload { .. })));
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
