//! The projection over recorded events: rows in, rows out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use robson_domain::Event;
use robson_eventlog::{
    ChainHash, EventId, FoldError, NewEvent, Payload, Projection, RecordedEvent, Rows, TenantId, Timestamp,
};
use robson_projector::{TABLES, TraderTables, event_of, new_event};
use serde_json::Value;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::nil());

fn sample(event_type: &str) -> Event {
    let newest = Event::TYPES.iter().find(|(name, _)| *name == event_type).unwrap().1;
    Event::decode(event_type, payload(event_type, newest)).unwrap()
}

/// The payload of a frozen sample.
fn payload(event_type: &str, revision: i64) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../robson-domain/samples");
    let text = std::fs::read_to_string(path.join(format!("{event_type}.v{revision}.json"))).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["payload"].clone()
}

fn recorded(log_seq: i64, new: NewEvent) -> RecordedEvent {
    let ingested_at: Timestamp = "2026-01-02T03:04:06Z".parse().unwrap();
    RecordedEvent {
        log_seq,
        event_id: EventId::derive(ingested_at, log_seq, TENANT, 1, 7),
        tenant: TENANT,
        idempotency_key: new.fingerprint(TENANT),
        stream: new.stream,
        seq: 1,
        event_type: new.event_type,
        schema_version: new.schema_version,
        payload: new.payload,
        occurred_at: new.occurred_at,
        ingested_at,
        trace: new.trace,
        actor: new.actor,
        prev_hash: ChainHash::GENESIS,
        hash: ChainHash::GENESIS,
    }
}

fn record(log_seq: i64, event: &Event) -> RecordedEvent {
    recorded(log_seq, new_event(event, "2026-01-02T03:04:05.678Z".parse().unwrap()).unwrap())
}

/// Folds as a ledger does: load what is named until nothing new is named, then fold.
fn fold(rows: &mut Rows, event: &RecordedEvent) -> Result<(), FoldError> {
    loop {
        let keys = TraderTables.keys(event, rows)?;
        let missing: Vec<_> = keys.into_iter().filter(|key| !rows.holds(key)).collect();
        if missing.is_empty() {
            return TraderTables.fold(event, rows);
        }
        for key in missing {
            rows.load(key, None);
        }
    }
}

const STORY: &[&str] = &[
    "ACCOUNT_LINKED",
    "BALANCE_SAMPLED",
    "RISK_LIMIT_EXCEEDED",
    "STRATEGY_CREATED",
    "STRATEGY_ENABLED",
    "POSITION_ARMED",
    "DETECTOR_STARTED",
    "SIGNAL_DETECTED",
    "DETECTOR_STOPPED",
    "TECHNICAL_STOP_ANALYZED",
    "RISK_CHECK_PASSED",
    "DECISION_PROPOSED",
    "INTENT_CREATED",
    "ORDER_SUBMITTED",
    "INTENT_COMPLETED",
    "ORDER_ACKED",
    "FILL_RECEIVED",
    "POSITION_OPENED",
    "TRAILING_STOP_UPDATED",
    "EXIT_TRIGGERED",
];

fn story() -> Rows {
    let mut rows = Rows::default();
    for (log_seq, event_type) in (1..).zip(STORY) {
        fold(&mut rows, &record(log_seq, &sample(event_type)))
            .unwrap_or_else(|e| panic!("{event_type}: {e}"));
    }
    rows
}

#[test]
fn a_trade_fills_every_table() {
    let rows = story();
    for table in TABLES {
        // A strategy has a risk state of its own beside its account's.
        let expected = if table.name == "risk_state_current" { 2 } else { 1 };
        assert_eq!(rows.of_table(table).len(), expected, "{}", table.name);
    }
    let position = rows.of_table(&robson_projector::positions_current::TABLE)[0];
    let json = position.to_json(&robson_projector::positions_current::TABLE);
    assert_eq!(
        (json["state"].as_str(), json["trailing_stop_price"].as_str()),
        (Some("exiting"), Some("95000"))
    );
    assert_eq!(json["last_log_seq"], 20);
}

#[test]
fn only_what_changed_is_written() {
    let mut rows = story();
    rows.take_changes(TABLES);
    fold(&mut rows, &record(21, &sample("ORDER_ACKED"))).unwrap();
    let changed: Vec<_> = rows.take_changes(TABLES).iter().map(|change| change.table.name).collect();
    assert_eq!(changed, ["orders_current"]);
}

#[test]
fn a_refused_decision_changes_no_row() {
    let mut rows = story();
    rows.take_changes(TABLES);
    let refused = fold(&mut rows, &record(21, &sample("POSITION_DISARMED"))).unwrap_err();
    let position = sample("POSITION_DISARMED").stream();
    let reason =
        format!("POSITION_DISARMED on {position}: disarm: not possible while the position is exiting");
    assert_eq!(refused, FoldError::Refused(reason));
    assert!(rows.take_changes(TABLES).is_empty());
}

#[test]
fn an_unknown_type_breaks_our_streams_and_is_skipped_on_others() {
    let mut new = new_event(&sample("DAEMON_STARTED"), "2026-01-02T00:00:00Z".parse().unwrap()).unwrap();
    new.event_type = "DAEMON_PAUSED".parse().unwrap();
    let broken = fold(&mut Rows::default(), &recorded(1, new.clone())).unwrap_err();
    assert_eq!(broken, FoldError::Broken("event 1: unknown event type `DAEMON_PAUSED`".into()));
    new.stream = "hedge:1".parse().unwrap();
    assert_eq!(fold(&mut Rows::default(), &recorded(1, new)), Ok(()));
}

/// What was written once is read for ever: each frozen sample, as the newest revision has it.
#[test]
fn every_revision_of_every_event_is_read() {
    for (event_type, newest) in Event::TYPES {
        for revision in 1..=*newest {
            let mut old = record(1, &sample(event_type));
            old.schema_version = revision;
            old.payload = Payload::new(&payload(event_type, revision)).unwrap();
            let read = event_of(&old).unwrap_or_else(|e| panic!("{event_type} revision {revision}: {e}"));
            assert_eq!((read.event_type(), read.revision()), (*event_type, *newest));
        }
    }
}

#[test]
fn what_a_newer_program_wrote_breaks_the_fold_and_is_never_skipped() {
    for (event_type, newest) in Event::TYPES {
        let mut newer = record(7, &sample(event_type));
        newer.schema_version = newest + 1;
        let reason = format!(
            "event 7: {event_type} revision {} is newer than the known {newest}",
            newer.schema_version
        );
        assert_eq!(fold(&mut Rows::default(), &newer), Err(FoldError::Broken(reason)));
    }
}

#[test]
fn a_payload_on_another_stream_is_refused() {
    let mut new = new_event(&sample("POSITION_ARMED"), "2026-01-02T00:00:00Z".parse().unwrap()).unwrap();
    new.stream = "position:somewhere".parse().unwrap();
    assert!(matches!(fold(&mut Rows::default(), &recorded(1, new)), Err(FoldError::Refused(_))));
}

#[test]
fn every_event_comes_back_from_the_log_as_it_went() {
    for (event_type, revision) in Event::TYPES {
        let event = sample(event_type);
        let recorded = record(1, &event);
        assert_eq!(recorded.schema_version, *revision);
        assert_eq!(event_of(&recorded).unwrap(), event);
    }
    let fill = new_event(&sample("FILL_RECEIVED"), "2026-01-02T00:00:00Z".parse().unwrap()).unwrap();
    assert!(fill.dedupe_key.unwrap().as_str().starts_with("fill/paper/"));
    assert_eq!(
        fill.fingerprint.unwrap().as_str(),
        r#"{"fill_price":"95000","fill_quantity":"0.059","side":"buy"}"#
    );
}
