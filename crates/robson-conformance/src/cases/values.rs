//! Values: what goes in comes out, in one form on every backend; what one of them could not keep is refused.

use robson_eventlog::{
    Actor, ActorType, Append, CommitError, EventQuery, EventType, InvalidName, InvalidPayload, NewEvent,
    Outcome, Payload, Row, RowQuery, Snapshot, Store, StreamKey, TableRows, TenantId, Timestamp, Value,
};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::fixtures::{
    RawWriter, append, at, event, everything, id, payload, places, stream, typed, whole_log,
};
use crate::harness::Fault;
use crate::tally::SAMPLES;
use crate::{Env, case};

/// The key that most samples of one case share.
const NAME: &str = "sample";

/// A sample of which one column is set.
fn sample(number: i64, column: &str, value: Value) -> Row {
    let mut row = Row(vec![Value::Null; SAMPLES.columns.len()]);
    row.0[0] = Value::Text(NAME.to_owned());
    row.0[1] = Value::Integer(number);
    if let Some(index) = SAMPLES.column_index(column) {
        row.0[index] = value;
    }
    row
}

/// Writes a value into a column of its own row each, and checks that reading gives back the same.
async fn round_trip(env: &Env, column: &'static str, values: Vec<Value>) -> anyhow::Result<()> {
    env.prepare(&SAMPLES).await?;
    let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
    let rows: Vec<Row> = (0..).zip(&values).map(|(n, value)| sample(n, column, value.clone())).collect();
    let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
    batch.rows = vec![TableRows { table: &SAMPLES, rows: rows.clone() }];
    raw.commit(&batch).await?;
    let reader = env.reader().await?;
    for store in [&env.store(), &reader] {
        let read = store.rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        let json = |rows: &[Row]| rows.iter().map(|row| row.to_json(&SAMPLES)).collect::<Vec<_>>();
        assert_eq!(read, rows);
        // Two decimals of different scale are equal; their texts are not.
        assert_eq!(json(&read), json(&rows));
    }
    reader.close().await;
    for value in values.into_iter().filter(|value| *value != Value::Null) {
        let expected: Vec<Row> =
            rows.iter().filter(|row| row.get(&SAMPLES, column) == Some(&value)).cloned().collect();
        // JSON is kept and given back, not searched by equality.
        if !matches!(value, Value::Json(_)) {
            let query = RowQuery::filter(column, value);
            assert_eq!(env.store().rows(Env::TENANT, &SAMPLES, &query).await?, expected, "{query:?}");
        }
    }
    Ok(())
}

/// A row that must be refused before any database sees it.
async fn refuses(env: &Env, row: Row) -> anyhow::Result<()> {
    env.prepare(&SAMPLES).await?;
    let raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
    let mut batch = raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z");
    batch.rows = vec![TableRows { table: &SAMPLES, rows: vec![row] }];
    let answer = env.store().commit(&batch).await;
    assert!(matches!(answer, Err(CommitError::Broken(_))), "{answer:?}");
    assert_eq!(env.store().head(Env::TENANT).await?.log_seq, 0);
    Ok(())
}

case!(
    /// Decimals of 28 digits keep every digit and have one form, without trailing zeros; other forms are refused.
    async fn decimal_text_exact(env: &Env) -> CaseResult {
        let texts = [
            "0",
            "1",
            "-1",
            "0.1",
            "100.1",
            "1000000",
            "0.00000001",
            "95000.25",
            "9999999999999999999999999999",
            "-9999999999999999999999999999",
            "0.0000000000000000000000000001",
            "1234567890123.456789012345678",
            "79228162514264337593543950335",
        ];
        let decimals: Vec<Decimal> =
            texts.iter().map(|text| Decimal::from_str_exact(text)).collect::<Result<_, _>>()?;
        assert!(decimals.iter().zip(texts).all(|(decimal, text)| decimal.to_string() == text));
        round_trip(env, "decimal_value", decimals.into_iter().map(Value::decimal).collect()).await?;
        for (text, normal) in [("100.10", "100.1"), ("-0", "0"), ("-0.00", "0"), ("1000.000", "1000")] {
            assert_eq!(Value::decimal(text.parse()?).to_json(), json!(normal));
        }
        let mut negative_zero = Decimal::ZERO;
        negative_zero.set_sign_negative(true);
        for other_form in ["100.10".parse()?, negative_zero] {
            let row = Row(sample(99, "decimal_value", Value::Decimal(other_form)).0);
            assert!(SAMPLES.misfit(&row).is_some());
        }
        for too_long in ["0.00000000000000000000000000001", "79228162514264337593543950336"] {
            assert!(Decimal::from_str_exact(too_long).is_err(), "{too_long}");
        }
        Ok(())
    }
);

case!(
    /// There is no infinity and no "not a number": neither as a decimal nor in a payload.
    async fn decimal_nan_inf_rejected(env: &Env) -> CaseResult {
        for text in ["NaN", "nan", "inf", "Infinity", "-inf", "-Infinity", "1e400", ""] {
            assert!(Decimal::from_str_exact(text).is_err(), "{text}");
        }
        for text in ["NaN", "Infinity", "-Infinity", "1e400", "1.5", "1e2", "0.1", "-0"] {
            assert!(Payload::parse(&format!(r#"{{"amount":{text}}}"#)).is_err(), "{text}");
        }
        assert!(matches!(Payload::new(&json!({"amount": 0.5})), Err(InvalidPayload::NotInteger(_))));
        refuses(env, sample(1, "decimal_value", Value::Text("NaN".to_owned()))).await
    }
);

case!(
    /// Instants keep their microseconds from the year 1 to 9999; finer ones and leap seconds are refused alike.
    async fn timestamp_ns_exact_pre1970_far_future_leap(env: &Env) -> CaseResult {
        let texts = [
            "0001-01-01T00:00:00.000000Z",
            "1582-10-10T12:00:00.000001Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000000Z",
            "1970-01-01T00:00:00.000001Z",
            "1999-12-31T23:59:59.500000Z",
            "2024-02-29T12:34:56.789012Z",
            "2038-01-19T03:14:08.000001Z",
            "9999-12-31T23:59:59.999999Z",
        ];
        let instants = texts.map(at);
        assert!(instants.iter().zip(texts).all(|(instant, text)| instant.to_string() == text));
        assert!(instants.is_sorted());
        round_trip(env, "timestamp_value", instants.map(Value::Timestamp).to_vec()).await?;
        let ledger = env.ledger().await?;
        append(&ledger, instants.map(|at| NewEvent { occurred_at: at, ..event("a:1", 1) }).to_vec()).await?;
        let log = whole_log(&env.store()).await?;
        assert_eq!(log.iter().map(|event| event.occurred_at).collect::<Vec<_>>(), instants);
        let from = EventQuery { occurred_from: Some(instants[6]), ..EventQuery::all(Env::TENANT) };
        assert_eq!(env.store().read(&from).await?.events.len(), 3);
        assert_eq!(at("2026-01-15T13:00:00+01:00").to_string(), "2026-01-15T12:00:00.000000Z");
        for refused in [
            "2026-01-15T12:00:00.0000001Z",
            "2026-01-15T12:00:00.123456789Z",
            "2016-12-31T23:59:60Z",
            "10000-01-01T00:00:00Z",
            "0000-12-31T23:59:59Z",
            "2026-02-30T00:00:00Z",
            "2026-01-15",
            "now",
            "",
        ] {
            assert!(refused.parse::<Timestamp>().is_err(), "{refused}");
        }
        Ok(())
    }
);

case!(
    /// An id is 16 bytes: however it was written, it is stored in one form and found again.
    async fn uuid_bytes_case_insensitive_parse(env: &Env) -> CaseResult {
        let written = [
            "0198ABCD-EF01-7234-8567-89ABCDEF0123",
            "0198abcd-ef01-7234-8567-89abcdef0123",
            "0198ABCDEF017234856789abcdef0123",
        ];
        let ids: Vec<Uuid> = written.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(Value::Uuid(ids[0]).to_json(), json!(written[1]));
        let extremes =
            vec![Value::Uuid(ids[0]), Value::Uuid(Uuid::nil()), Value::Uuid(Uuid::max()), Value::Null];
        round_trip(env, "uuid_value", extremes).await?;
        let tenant: TenantId = written[0].parse()?;
        env.store().register(tenant).await?;
        env.store().register(written[2].parse()?).await?;
        let tenants = env.store().tenants().await?;
        assert_eq!(tenants.iter().filter(|known| **known == tenant).count(), 1);
        let ledger = env.ledger_of(tenant).await?;
        let mut traced = event("a:1", 1);
        traced.trace.trace_id = Some(ids[0]);
        append(&ledger, vec![traced, event("a:1", 2)]).await?;
        let query = EventQuery { trace_id: Some(written[2].parse()?), ..EventQuery::all(tenant) };
        assert_eq!(env.store().read(&query).await?.events.len(), 1);
        Ok(())
    }
);

case!(
    /// Text is kept as it is: composed and decomposed letters differ, emoji and right-to-left text survive.
    async fn unicode_nfc_nfd_distinct_emoji_rtl_zwj_in_ids_and_payload(env: &Env) -> CaseResult {
        let texts = [
            "caf\u{e9}",
            "cafe\u{301}",
            "👩‍👩‍👧‍👦",
            "🇩🇪",
            "שלום",
            "مرحبا\u{200f}",
            "a\u{200d}b",
            "\u{feff}x",
            "ＡＢＣ",
            "ß",
            "SS",
            "\u{10ffff}",
            "日本語",
            "x\u{200b}",
            "i",
            "İ",
        ];
        let ledger = env.ledger().await?;
        for text in texts {
            let told = NewEvent {
                actor: Actor { actor_type: ActorType::Cli, id: Some(text.to_owned()) },
                dedupe_key: Some(text.parse()?),
                ..typed(&format!("{text}:1"), text, json!({text: [text]}))
            };
            assert_eq!(append(&ledger, vec![told]).await?.streams[0].last_seq, 1, "{text}");
        }
        let log = whole_log(&env.store()).await?;
        for (event, text) in log.iter().zip(texts) {
            assert_eq!(event.stream.as_str(), format!("{text}:1"));
            assert_eq!(event.event_type.as_str(), text);
            assert_eq!(event.payload.value(), json!({text: [text]}));
            assert_eq!(event.actor.id.as_deref(), Some(text));
            let alone = EventQuery::stream(Env::TENANT, stream(&format!("{text}:1")));
            assert_eq!(env.store().read(&alone).await?.events, std::slice::from_ref(event));
            let hits = env.store().lookup(Env::TENANT, &[text.parse()?]).await?;
            assert_eq!(hits.len(), 1, "{text}");
        }
        ledger.close().await;
        round_trip(env, "text_value", texts.map(|text| Value::Text(text.to_owned())).to_vec()).await
    }
);

case!(
    /// NUL is refused alike, before any database is asked: in names, payloads, actors; one caller's mistake, nobody else's.
    async fn nul_byte_policy(env: &Env) -> CaseResult {
        assert_eq!(StreamKey::new("a\0:1"), Err(InvalidName::Control { kind: "stream key" }));
        assert!(EventType::new("A\0").is_err());
        assert!(robson_eventlog::DedupeKey::new("k\0").is_err());
        assert!(robson_eventlog::WriterId::new("w\0").is_err());
        assert_eq!(Payload::new(&json!({"a": ["\0"]})), Err(InvalidPayload::Nul));
        assert_eq!(Payload::new(&json!({"\0": 1})), Err(InvalidPayload::Nul));
        assert_eq!(Payload::parse(r#"{"a":"\u0000"}"#), Err(InvalidPayload::Nul));
        let ledger = env.ledger().await?;
        let mut by_nul = event("a:1", 1);
        by_nul.actor.id = Some("x\0y".to_owned());
        assert!(matches!(ledger.append(Append::events(vec![by_nul])).await?, Outcome::Refused { .. }));
        append(&ledger, vec![event("a:1", 1)]).await?;
        // Other control characters are text like any other in a payload.
        append(&ledger, vec![typed("a:1", "TOLD", json!({"a": "\u{1}\t\r\n\u{7f}\u{85}"}))]).await?;
        let log = whole_log(&env.store()).await?;
        assert_eq!(log[1].payload.value(), json!({"a": "\u{1}\t\r\n\u{7f}\u{85}"}));
        Ok(())
    }
);

/// All 256 bytes in base64.
const ALL_BYTES: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqbnJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp6uvs7e7v8PHy8/T19vf4+fr7/P3+/w==";

case!(
    /// Every byte survives: as base64 in an event, as bytes in a snapshot and in a row.
    async fn binary_payload_all_256_bytes(env: &Env) -> CaseResult {
        let bytes: Vec<u8> = (0..=255).collect();
        let ledger = env.ledger().await?;
        append(&ledger, vec![typed("a:1", "TOLD", json!({"data": ALL_BYTES}))]).await?;
        assert_eq!(whole_log(&env.store()).await?[0].payload.value(), json!({"data": ALL_BYTES}));
        for (place, content) in [(1, bytes.clone()), (2, Vec::new()), (3, vec![0])] {
            let snapshot = Snapshot {
                scope: "stream".to_owned(),
                scope_id: format!("a:{place}"),
                as_of_log_seq: 1,
                created_at: at("2026-01-15T12:00:00.000001Z"),
                snapshot_type: "asked_for".to_owned(),
                as_of_event_id: None,
                as_of_seq: 1,
                as_of_time: at("2026-01-15T12:00:00Z"),
                schema_version: 1,
                payload: content,
                compression: (place == 2).then(|| "zstd".to_owned()),
            };
            let request = Append { snapshots: vec![snapshot.clone()], ..Append::default() };
            assert!(matches!(ledger.append(request).await?, Outcome::Appended(_)));
            let kept = env.store().snapshot(Env::TENANT, "stream", &snapshot.scope_id, i64::MAX).await?;
            assert_eq!(kept, Some(snapshot));
        }
        ledger.close().await;
        let values = [bytes, Vec::new(), vec![0], vec![0; 100_000], b"'\"\\".to_vec()];
        round_trip(env, "bytes_value", values.map(Value::Bytes).to_vec()).await
    }
);

case!(
    /// A payload comes back as the bytes that were hashed, whatever order or form a database keeps.
    async fn payload_byte_exact(env: &Env) -> CaseResult {
        let texts = [
            r#"{"b":1,"a":2,"aa":3,"B":4,"":5}"#,
            r#" { "z" : [ 3 , 1 , 2 ] , "nested" : { "y" : null , "x" : { } } } "#,
            r#"{"text":"\u00e9\u2028\"\\\/\b\f\n\r\t","é":"\ud83d\ude00"}"#,
            r#"{"numbers":[0,9223372036854775807,-9223372036854775808,-1]}"#,
            r#"{"decimal":"100.10","exponent":"1e2"}"#,
            r#"[[],{},[[]],[{}],"",null,true,false]"#,
        ];
        let ledger = env.ledger().await?;
        let payloads: Vec<Payload> =
            texts.iter().map(|text| Payload::parse(text)).collect::<Result<_, _>>()?;
        assert_eq!(payloads[0].as_str(), r#"{"":5,"B":4,"a":2,"aa":3,"b":1}"#);
        assert_eq!(payloads[3].as_str(), r#"{"numbers":[0,9223372036854775807,-9223372036854775808,-1]}"#);
        let events = payloads.iter().map(|payload| NewEvent { payload: payload.clone(), ..event("a:1", 1) });
        append(&ledger, events.collect()).await?;
        ledger.close().await;
        let store = env.reopen().await?;
        let log = whole_log(&store).await?;
        for (event, payload) in log.iter().zip(&payloads) {
            assert_eq!(event.payload.as_str(), payload.as_str());
        }
        round_trip(env, "json_value", payloads.into_iter().map(Value::Json).collect()).await
    }
);

case!(
    /// Payloads of 1 MiB and 16 MiB are kept; one byte more than 16 MiB is refused with both numbers.
    async fn large_payload_1_mib_16_mib_and_over_limit_error(env: &Env) -> CaseResult {
        let text = |bytes: usize| json!("x".repeat(bytes - 2));
        let ledger = env.ledger().await?;
        for bytes in [1024 * 1024, Payload::MAX_BYTES] {
            let large = payload(&text(bytes));
            assert_eq!(large.as_str().len(), bytes);
            let receipts =
                append(&ledger, vec![NewEvent { payload: large.clone(), ..event("a:1", 1) }]).await?;
            let one =
                EventQuery { after: places(&receipts)[0] - 1, limit: 1, ..EventQuery::all(Env::TENANT) };
            let read = env.store().read(&one).await?.events;
            assert!(read[0].payload == large && read[0].hash == read[0].expected_hash());
        }
        let over = Payload::new(&text(Payload::MAX_BYTES + 1));
        let limit = Payload::MAX_BYTES;
        assert_eq!(over, Err(InvalidPayload::TooLarge { limit, actual: limit + 1 }));
        append(&ledger, vec![event("a:1", 1)]).await?;
        Ok(())
    }
);

case!(
    /// Empty, null and absent are three things: in payloads, in an event's metadata, in rows.
    async fn empty_payload_empty_metadata_null_metadata_distinct(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let contents = [
            json!({}),
            json!(null),
            json!([]),
            json!(""),
            json!({"a": null}),
            json!({"a": {}}),
            json!({"a": ""}),
        ];
        append(&ledger, contents.iter().map(|content| typed("a:1", "TOLD", content.clone())).collect())
            .await?;
        let actors = [None, Some(String::new()), Some("null".to_owned())];
        let by = |actor: &Option<String>| {
            let mut told = event("b:1", 1);
            told.actor = Actor { actor_type: ActorType::Exchange, id: actor.clone() };
            told.trace.workflow_id = actor.is_some().then(Uuid::nil);
            told
        };
        append(&ledger, actors.iter().map(by).collect()).await?;
        let log = whole_log(&env.store()).await?;
        assert_eq!(log[..7].iter().map(|event| event.payload.value()).collect::<Vec<_>>(), contents);
        assert_eq!(log[7..].iter().map(|event| event.actor.id.clone()).collect::<Vec<_>>(), actors);
        assert_eq!(log[7].trace.workflow_id, None);
        assert_eq!(log[8].trace.workflow_id, Some(Uuid::nil()));
        ledger.close().await;
        let texts = [
            Value::Null,
            Value::Text(String::new()),
            Value::Text("null".to_owned()),
            Value::Text(" ".to_owned()),
        ];
        round_trip(env, "text_value", texts.to_vec()).await?;
        Ok(())
    }
);

case!(
    /// A json column tells JSON's own null from an absent value.
    async fn json_null_is_not_an_absent_value(env: &Env) -> CaseResult {
        let values = [json!(null), json!({}), json!(""), json!("null")];
        let mut values: Vec<Value> = values.iter().map(|value| Value::Json(payload(value))).collect();
        values.push(Value::Null);
        round_trip(env, "json_value", values).await
    }
);

case!(
    /// A stream's name has up to 255 bytes; one more, or none, is refused with the numbers.
    async fn stream_id_max_length_and_over(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let longest = ["a".repeat(255), format!("{}:", "é".repeat(127))];
        for name in &longest {
            assert_eq!(name.len(), 255);
            append(&ledger, vec![event(name, 1)]).await?;
            let read = env.store().read(&EventQuery::stream(Env::TENANT, stream(name))).await?;
            assert_eq!(read.events[0].stream.as_str(), name);
        }
        for name in ["a".repeat(256), "é".repeat(128)] {
            let error = InvalidName::TooLong { kind: "stream key", limit: 255, actual: 256 };
            assert_eq!(StreamKey::new(name), Err(error));
        }
        assert_eq!(StreamKey::new(""), Err(InvalidName::Empty { kind: "stream key" }));
        Ok(())
    }
);

case!(
    /// Names that differ in case are different streams, keys and types.
    async fn stream_id_case_sensitive(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let names = ["order:a", "order:A", "ORDER:A", "Order:a"];
        for name in names {
            let told = NewEvent { dedupe_key: Some(name.parse()?), ..typed(name, name, json!({})) };
            assert_eq!(append(&ledger, vec![told]).await?.streams[0].last_seq, 1);
        }
        for (place, name) in (1..).zip(names) {
            let by_stream = EventQuery::stream(Env::TENANT, stream(name));
            let by_type = EventQuery { event_types: vec![name.parse()?], ..EventQuery::all(Env::TENANT) };
            for query in [by_stream, by_type] {
                let found = env.store().read(&query).await?.events;
                assert_eq!(found.iter().map(|event| event.log_seq).collect::<Vec<i64>>(), [place]);
            }
            let hits = env.store().lookup(Env::TENANT, &[name.parse()?]).await?;
            assert_eq!(hits.len(), 1);
        }
        Ok(())
    }
);

case!(
    /// Ids and names sort by their bytes: capitals before small letters, ASCII before everything else.
    async fn id_sort_order_is_bytewise(env: &Env) -> CaseResult {
        let ids = [3, 1 << 40, 2, 1].map(|n| TenantId(id(n)));
        for tenant in ids {
            env.store().register(tenant).await?;
        }
        let tenants = env.store().tenants().await?;
        assert!(tenants.is_sorted() && tenants.len() == 4, "{tenants:?}");
        env.prepare(&SAMPLES).await?;
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let names = [
            "b",
            "a",
            "B",
            "A",
            "_",
            "Z",
            "é",
            "e\u{301}",
            "1",
            "10",
            "2",
            " ",
            "~",
            "日",
            "\u{10ffff}",
            "-",
            "aa",
            "a b",
        ];
        let rows = names.iter().map(|name| {
            let mut row = sample(1, "", Value::Null);
            row.0[0] = Value::Text((*name).to_owned());
            row
        });
        let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
        batch.rows = vec![TableRows { table: &SAMPLES, rows: rows.collect() }];
        raw.commit(&batch).await?;
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        let read = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        let read: Vec<_> = read.iter().map(|row| row.0[0].to_json()).collect();
        assert_eq!(read, sorted);
        for (index, name) in sorted.iter().enumerate() {
            let key = vec![Value::Text((*name).to_owned()), Value::Integer(i64::MAX)];
            let behind = RowQuery { after: Some(key), limit: Some(1), ..RowQuery::all() };
            let next = env.store().rows(Env::TENANT, &SAMPLES, &behind).await?;
            let next: Vec<_> = next.iter().map(|row| row.0[0].to_json()).collect();
            assert_eq!(next, sorted.iter().skip(index + 1).take(1).copied().collect::<Vec<_>>());
        }
        Ok(())
    }
);

case!(
    /// Places behind 2^31 and 2^53 are exact: in the log, in receipts, cursors, keys and checkpoints.
    async fn i64_positions_past_2_pow_31_and_53(env: &Env) -> CaseResult {
        for (tenant, power) in [(Env::TENANT, 31), (Env::NEIGHBOUR, 53)] {
            let base = 1_i64 << power;
            env.inject(Fault::MoveHead(tenant, base)).await?;
            let mut raw = RawWriter::acquire(env.store(), tenant).await?;
            assert_eq!(raw.head.log_seq, base);
            let events: Vec<_> =
                (0..5).map(|n| crate::fixtures::keyed("a:1", n, &format!("k/{n}"))).collect();
            let mut batch = raw.batch(&events, "2026-01-15T12:00:00Z");
            batch.checkpoints = vec![robson_eventlog::CheckpointMove {
                name: "reader".to_owned(),
                from: 0,
                to: base + 3,
                generation: base + 1,
            }];
            assert_eq!(raw.commit(&batch).await?.head.log_seq, base + 5);
            let store = env.store();
            let log = everything(&store, tenant).await?;
            assert_eq!(
                log.iter().map(|event| event.log_seq).collect::<Vec<_>>(),
                (base + 1..=base + 5).collect::<Vec<_>>()
            );
            assert!(log.iter().all(|event| event.hash == event.expected_hash()));
            let range = EventQuery { after: base + 1, up_to: base + 3, ..EventQuery::all(tenant) };
            let page = store.read(&range).await?;
            assert_eq!(page.events, log[1..3]);
            assert_eq!((page.head, store.head(tenant).await?.log_seq), (base + 5, base + 5));
            let hits = store.lookup(tenant, &["k/4".parse()?]).await?;
            assert_eq!(hits[0].event.map(|(_, place)| place), Some(base + 5));
            let checkpoint = store.checkpoint(tenant, "reader").await?;
            assert_eq!(
                checkpoint,
                Some(robson_eventlog::Checkpoint { log_seq: base + 3, generation: base + 1 })
            );
        }
        Ok(())
    }
);
