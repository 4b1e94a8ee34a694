//! Portability: where databases differ by nature, the content does not.

use robson_eventlog::digest::{Scope, of_log, of_table};
use robson_eventlog::{CommitError, EventQuery, Row, RowQuery, Store, StreamKey, TableRows, Value};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::fixtures::{RawWriter, append, at, event, fill, id, keyed, payload, typed, whole_log};
use crate::tally::{RUNNING, SAMPLES, TALLIES};
use crate::{Env, case};

fn sample(name: &str, number: i64, values: [Value; 8]) -> Row {
    let mut row = vec![Value::Text(name.to_owned()), Value::Integer(number)];
    row.extend(values);
    Row(row)
}

const NOTHING: [Value; 8] = [const { Value::Null }; 8];

async fn write(env: &Env, rows: Vec<Row>) -> anyhow::Result<RawWriter> {
    env.prepare(&SAMPLES).await?;
    let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
    let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
    batch.rows = vec![TableRows { table: &SAMPLES, rows }];
    raw.commit(&batch).await?;
    Ok(raw)
}

case!(
    /// Where a batch holds a row's key twice, the last one is kept; and a later batch replaces the whole row.
    async fn same_key_twice_in_one_batch_keeps_the_last(env: &Env) -> CaseResult {
        let with_text = |text: &str| {
            let mut values = NOTHING;
            values[0] = Value::Text(text.to_owned());
            sample("a", 1, values)
        };
        let mut raw =
            write(env, vec![with_text("first"), sample("b", 1, NOTHING), with_text("last")]).await?;
        let rows = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        assert_eq!(rows, [with_text("last"), sample("b", 1, NOTHING)]);
        let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
        batch.rows = vec![
            TableRows { table: &SAMPLES, rows: vec![with_text("first again")] },
            TableRows { table: &SAMPLES, rows: vec![sample("a", 1, NOTHING)] },
        ];
        raw.commit(&batch).await?;
        let rows = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        assert_eq!(rows, [sample("a", 1, NOTHING), sample("b", 1, NOTHING)]);
        Ok(())
    }
);

case!(
    /// NUL in a row's text, a decimal in another form, a value of another kind: refused alike, before any database.
    async fn nul_in_text_is_refused_before_the_database(env: &Env) -> CaseResult {
        let raw = write(env, vec![sample("a", 1, NOTHING)]).await?;
        let set = |index: usize, value: Value| {
            let mut values = NOTHING;
            values[index] = value;
            sample("b", 1, values)
        };
        for row in [
            set(0, Value::Text("x\0y".to_owned())),
            sample("x\0y", 1, NOTHING),
            set(3, Value::Decimal(Decimal::from_str_exact("1.50")?)),
            set(2, Value::Text("1".to_owned())),
            set(5, Value::Integer(1)),
            Row(vec![Value::Null; 10]),
            Row(vec![Value::Text("short".to_owned())]),
        ] {
            let mut batch = raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z");
            batch.rows = vec![TableRows { table: &SAMPLES, rows: vec![row.clone()] }];
            let answer = env.store().commit(&batch).await;
            assert!(matches!(answer, Err(CommitError::Broken(_))), "{row:?}: {answer:?}");
        }
        assert_eq!(env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?.len(), 1);
        assert_eq!(whole_log(&env.store()).await?, []);
        Ok(())
    }
);

case!(
    /// Text sorts by bytes whatever the locale of a server: `Z`, `_`, `a`, `é`.
    async fn order_by_text_is_bytewise(env: &Env) -> CaseResult {
        let names = ["é", "a", "_", "Z"];
        let rows = names.iter().map(|name| sample(name, 1, NOTHING)).collect();
        drop(write(env, rows).await?);
        let rows = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        assert_eq!(rows.iter().map(|row| row.0[0].to_json()).collect::<Vec<_>>(), ["Z", "_", "a", "é"]);
        Ok(())
    }
);

case!(
    /// What a fold adds up in integers is an integer everywhere, also past 2^53: databases do not agree on the
    /// type of a sum, so none is taken in SQL.
    async fn integer_sums_have_one_type(env: &Env) -> CaseResult {
        let large = (1_i64 << 53) + 1;
        let mut values = NOTHING;
        values[2] = Value::Integer(large);
        let mut raw =
            write(env, vec![sample("a", 1, values.clone()), sample("a", 2, values.clone())]).await?;
        let rows = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        let sum = rows.iter().try_fold(0_i64, |sum, row| match row.get(&SAMPLES, "integer_value") {
            Some(Value::Integer(integer)) => sum.checked_add(*integer),
            _ => None,
        });
        assert_eq!(sum, Some(2 * large));
        values[2] = Value::Integer(2 * large);
        let mut batch = raw.batch(&[], "2026-01-15T12:00:01Z");
        batch.rows = vec![TableRows { table: &SAMPLES, rows: vec![sample("sum", 1, values)] }];
        raw.commit(&batch).await?;
        let filter = RowQuery::filter("integer_value", Value::Integer(2 * large));
        let found = env.store().rows(Env::TENANT, &SAMPLES, &filter).await?;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].get(&SAMPLES, "integer_value"), Some(&Value::Integer(18_014_398_509_481_986)));
        assert_eq!(found[0].to_json(&SAMPLES)["integer_value"], json!(18_014_398_509_481_986_i64));
        Ok(())
    }
);

case!(
    /// Truth values and instants have one form each in what is read and in what is digested.
    async fn booleans_and_instants_have_one_form(env: &Env) -> CaseResult {
        let values = |yes: bool, instant: &str| {
            let mut values = NOTHING;
            values[4] = Value::Timestamp(at(instant));
            values[5] = Value::Boolean(yes);
            values
        };
        let rows = vec![
            sample("a", 1, values(true, "2026-01-15T12:00:00Z")),
            sample("a", 2, values(false, "2026-01-15T13:00:00.100+01:00")),
        ];
        drop(write(env, rows.clone()).await?);
        let read = env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?;
        assert_eq!(read, rows);
        let json = read.iter().map(|row| row.to_json(&SAMPLES)).collect::<Vec<_>>();
        assert_eq!(json[0]["boolean_value"], json!(true));
        assert_eq!(json[1]["boolean_value"], json!(false));
        assert_eq!(json[0]["timestamp_value"], "2026-01-15T12:00:00.000000Z");
        assert_eq!(json[1]["timestamp_value"], "2026-01-15T12:00:00.100000Z");
        Ok(())
    }
);

case!(
    /// The largest and smallest integers, empty text, quotes, statements in text: all come back as they were.
    async fn i64_extremes_empty_text_quotes_round_trip(env: &Env) -> CaseResult {
        let integers = [i64::MIN, i64::MIN + 1, -1, 0, 1, 1 << 31, (1 << 53) + 1, i64::MAX];
        let texts = [
            "",
            "'",
            "''",
            "\"",
            "\\",
            "`",
            "$1",
            "?1",
            ":a",
            "'; DROP TABLE event_log; --",
            "%s{}",
            "\r\n\t",
            "NULL",
        ];
        let mut rows = Vec::new();
        for integer in integers {
            let mut values = NOTHING;
            values[2] = Value::Integer(integer);
            rows.push(sample("integer", integer, values));
        }
        for text in texts {
            let mut values = NOTHING;
            values[0] = Value::Text(text.to_owned());
            rows.push(sample(text, 0, values));
        }
        drop(write(env, rows.clone()).await?);
        rows.sort();
        assert_eq!(env.store().rows(Env::TENANT, &SAMPLES, &RowQuery::all()).await?, rows);
        for integer in integers {
            let query = RowQuery::filter("integer_value", Value::Integer(integer));
            assert_eq!(env.store().rows(Env::TENANT, &SAMPLES, &query).await?.len(), 1, "{integer}");
        }
        for text in texts {
            let query = RowQuery::filter("text_value", Value::Text(text.to_owned()));
            assert_eq!(env.store().rows(Env::TENANT, &SAMPLES, &query).await?.len(), 1, "{text:?}");
        }
        let ledger = env.ledger().await?;
        for text in texts.into_iter().filter(|text| StreamKey::new(*text).is_ok()) {
            append(&ledger, vec![keyed(text, 1, text)]).await?;
            let query = EventQuery { entity_id: Some(text.to_owned()), ..EventQuery::all(Env::TENANT) };
            assert_eq!(env.store().read(&query).await?.events, [], "{text:?}");
        }
        Ok(())
    }
);

case!(
    /// A taken key, a moved stream, a moved head: what a database calls a violation is `Stale`, whatever it names it.
    async fn unique_violation_needs_no_constraint_name(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        raw.commit(&raw.batch(&[keyed("a:1", 1, "k/1")], "2026-01-15T12:00:00Z")).await?;
        let forgetful = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let now = "2026-01-15T12:00:00Z";
        for (what, batch) in [
            ("a key", forgetful.batch(&[keyed("b:1", 1, "k/1")], now)),
            ("a stream", forgetful.batch(&[event("a:1", 1)], now)),
            ("a key twice", forgetful.batch(&[keyed("b:1", 1, "k/2"), keyed("b:1", 2, "k/2")], now)),
        ] {
            let answer = env.store().commit(&batch).await;
            assert!(matches!(answer, Err(CommitError::Stale)), "{what}: {answer:?}");
        }
        let mut late = forgetful.batch(&[event("c:1", 1)], now);
        late.before.log_seq = 0;
        late.after.log_seq = 1;
        late.events[0].log_seq = 1;
        assert!(matches!(env.store().commit(&late).await, Err(CommitError::Stale)));
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);

case!(
    /// The same appends give the same log and the same tables on every backend, digest for digest.
    async fn table_digest_is_equal_on_all_backends(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        for n in 0..40_i64 {
            let mut told = typed(
                &format!("é_{}:{}", if n % 2 == 0 { "Z" } else { "a" }, n % 7),
                "TALLIED",
                json!({"amount": format!("{}.{:03}0", n * n - 500, n), "note": format!("'{n}' 😀 \u{1}"), "b": [n, null, true]}),
            );
            told.trace.trace_id = (n % 3 == 0).then(|| id(n.unsigned_abs().into()));
            told.trace.command_id =
                (n % 4 == 0).then(|| Uuid::from_u128(u128::MAX - u128::from(n.unsigned_abs())));
            let caused = robson_eventlog::NewEvent { caused_by: Some(0), ..event("position:1", n) };
            append(&ledger, vec![told, caused, fill("kraken", "1", &format!("{n:020}"), "95000.5", "ws")])
                .await?;
            env.clock().advance(86_400 * 3 + 1);
        }
        ledger.close().await;
        let mut values = NOTHING;
        values[0] = Value::Text("x".to_owned());
        values[1] = Value::Uuid(id(5));
        values[3] = Value::decimal(Decimal::from_str_exact("100.10")?);
        values[4] = Value::Timestamp(at("1969-12-31T23:59:59.999999Z"));
        values[5] = Value::Boolean(true);
        values[6] = Value::Json(payload(&json!({"z": 1, "a": [null, "é"]})));
        values[7] = Value::Bytes((0..=255).collect());
        drop(write(env, vec![sample("full", -1, values), sample("empty", i64::MAX, NOTHING)]).await?);
        let store = env.store();
        let mut digests = vec![format!("event_log {}", of_log(&*store, Env::TENANT).await?)];
        for table in [&TALLIES, &RUNNING, &SAMPLES] {
            let digest = of_table(&*store, Env::TENANT, table, Scope::Everything).await?;
            digests.push(format!("{} {} {digest}", table.name, digest.rows));
        }
        let content = of_table(&*store, Env::TENANT, &TALLIES, Scope::Content).await?;
        digests.push(format!("content of {} {content}", TALLIES.name));
        assert_eq!(
            digests,
            [
                "event_log e90127680c51e4a9410d2b5db49e2e2dd6d7e31bf1779e1a77cdf5d628f1623b",
                "suite_tallies 16 6d594904ae1924cb961604a67e086c5a277343973f79e46399dd74cfededd707",
                "suite_running 1 54f08b837e9100732988b9e48fe0887b908d08977a653c0d8b8a3d3fb4121800",
                "suite_samples 2 09813dc77f4cd7d0614c312cd202f5fa190dfabd19cce4f42c6fd6d3f5e48962",
                "content of suite_tallies e7e04b131afe14aa048469bce1c20169a6369f17f951351e77140a7db4b78db7",
            ]
        );
        Ok(())
    }
);

case!(
    /// A filter on a column that the table does not have is an error, not everything or nothing.
    async fn filter_on_unknown_column_is_an_error(env: &Env) -> CaseResult {
        drop(write(env, vec![sample("a", 1, NOTHING)]).await?);
        for value in [Value::Null, Value::Integer(1)] {
            let unknown = RowQuery::filter("no_such_column", value);
            assert!(env.store().rows(Env::TENANT, &SAMPLES, &unknown).await.is_err());
        }
        Ok(())
    }
);
