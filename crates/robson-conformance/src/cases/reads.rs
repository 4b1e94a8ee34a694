//! Reads: ranges, directions, limits, filters, snapshots of the log in time.

use std::sync::Arc;

use robson_eventlog::{
    Direction, EventQuery, NewEvent, RecordedEvent, Row, RowQuery, Store, StoreError, TableRows, Trace, Value,
};
use serde_json::json;

use crate::erased::SharedStore;
use crate::fixtures::{
    Random, RawWriter, append, at, event, everything, id, payload, poll_then_drop, stream, typed, whole_log,
};
use crate::tally::SAMPLES;
use crate::{Env, case};

fn all() -> EventQuery {
    EventQuery::all(Env::TENANT)
}

fn backward() -> EventQuery {
    EventQuery { direction: Direction::Backward, ..all() }
}

async fn found(store: &SharedStore, query: &EventQuery) -> anyhow::Result<Vec<i64>> {
    Ok(store.read(query).await?.events.iter().map(|event| event.log_seq).collect())
}

/// A log of so many events on the streams `s:0`, `s:1` and `s:2` in turn.
async fn log_of(env: &Env, count: i64) -> anyhow::Result<Arc<SharedStore>> {
    let ledger = env.ledger().await?;
    append(&ledger, (0..count).map(|n| event(&format!("s:{}", n % 3), n)).collect()).await?;
    ledger.close().await;
    Ok(env.store())
}

case!(
    /// A stream that is unknown is told apart from a known one in which the range holds nothing.
    async fn read_missing_stream_vs_empty_range_distinguished(env: &Env) -> CaseResult {
        let store = log_of(env, 9).await?;
        let missing = store.read(&EventQuery::stream(Env::TENANT, stream("s:9"))).await?;
        assert_eq!((missing.events.len(), missing.stream_version, missing.head), (0, None, 9));
        let behind = EventQuery { after: 9, ..EventQuery::stream(Env::TENANT, stream("s:1")) };
        let behind = store.read(&behind).await?;
        assert_eq!((behind.events.len(), behind.stream_version, behind.head), (0, Some(3), 9));
        let known = store.read(&EventQuery::stream(Env::TENANT, stream("s:1"))).await?;
        assert_eq!((known.events.len(), known.stream_version), (3, Some(3)));
        assert_eq!(store.read(&all()).await?.stream_version, None);
        Ok(())
    }
);

case!(
    /// A forward read begins behind `after`, ends with `up_to`, and stops at its limit.
    async fn read_forward_from_to_limits(env: &Env) -> CaseResult {
        let store = log_of(env, 10).await?;
        let range = |after, up_to, limit| EventQuery { after, up_to, limit, ..all() };
        for (query, expected) in [
            (range(0, i64::MAX, 100), (1..=10).collect::<Vec<i64>>()),
            (range(3, 7, 100), vec![4, 5, 6, 7]),
            (range(3, 7, 2), vec![4, 5]),
            (range(3, 4, 2), vec![4]),
            (range(9, 100, 5), vec![10]),
            (range(-5, 2, 5), vec![1, 2]),
            (range(10, 100, 5), vec![]),
            (range(4, 4, 5), vec![]),
            (range(7, 3, 5), vec![]),
            (range(i64::MIN, i64::MIN, 5), vec![]),
            (range(i64::MAX, i64::MAX, 5), vec![]),
        ] {
            assert_eq!(found(&store, &query).await?, expected, "{query:?}");
            assert_eq!(store.read(&query).await?.head, 10);
        }
        Ok(())
    }
);

case!(
    /// A backward read answers the same range by falling place.
    async fn read_backward_limits(env: &Env) -> CaseResult {
        let store = log_of(env, 10).await?;
        let range = |after, up_to, limit| EventQuery { after, up_to, limit, ..backward() };
        for (query, expected) in [
            (range(0, i64::MAX, 100), (1..=10).rev().collect::<Vec<i64>>()),
            (range(3, 7, 100), vec![7, 6, 5, 4]),
            (range(3, 7, 2), vec![7, 6]),
            (range(0, 3, 2), vec![3, 2]),
            (range(7, 3, 2), vec![]),
        ] {
            assert_eq!(found(&store, &query).await?, expected, "{query:?}");
        }
        Ok(())
    }
);

case!(
    /// The last n events, of the log or of a stream, are a backward read with a limit.
    async fn read_last_n(env: &Env) -> CaseResult {
        let store = log_of(env, 10).await?;
        for n in [1, 3, 10, 11] {
            let expected: Vec<i64> = (1..=10).rev().take(n).collect();
            assert_eq!(found(&store, &EventQuery { limit: n, ..backward() }).await?, expected);
        }
        let of_stream = EventQuery { limit: 2, stream: Some(stream("s:0")), ..backward() };
        assert_eq!(found(&store, &of_stream).await?, [10, 7]);
        Ok(())
    }
);

case!(
    /// At the edges of a page nothing is lost and nothing comes twice: 0, 1, n and n+1 events for pages of n.
    async fn page_boundary_0_1_n_n_plus_1(env: &Env) -> CaseResult {
        const PAGE: usize = 5;
        let ledger = env.ledger().await?;
        let store = env.store();
        let mut there = 0;
        for count in [0, 1, PAGE, PAGE + 1, 2 * PAGE] {
            append(&ledger, (there..count).map(|_| event("a:1", 1)).collect()).await?;
            there = count;
            let mut query = EventQuery { limit: PAGE, ..all() };
            let mut sizes = Vec::new();
            loop {
                let page = store.read(&query).await?;
                sizes.push(page.events.len());
                let Some(last) = page.events.last() else { break };
                query.after = last.log_seq;
            }
            let mut expected = vec![PAGE; count / PAGE];
            expected.extend([count % PAGE, 0].into_iter().filter(|size| *size > 0));
            expected.push(0);
            assert_eq!(sizes, expected, "{count} events");
        }
        Ok(())
    }
);

/// Reads page by page in the query's direction.
async fn paged(store: &SharedStore, mut query: EventQuery) -> anyhow::Result<Vec<i64>> {
    let mut places = Vec::new();
    loop {
        let page = found(store, &query).await?;
        let Some(last) = page.last() else { return Ok(places) };
        match query.direction {
            Direction::Forward => query.after = *last,
            Direction::Backward => query.up_to = *last - 1,
        }
        places.extend(page);
    }
}

case!(
    /// Whatever the size of a page, filter and direction, the pages together are the same events.
    async fn page_size_does_not_change_result(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut random = env.random();
        let events = (0..60).map(|n| {
            let name = format!("s:{}", random.below(4));
            typed(&name, if random.percent(30) { "RARE" } else { "TALLIED" }, json!({"n": n}))
        });
        append(&ledger, events.collect()).await?;
        let store = env.store();
        for direction in [Direction::Forward, Direction::Backward] {
            for query in [
                all(),
                EventQuery { event_types: vec!["RARE".parse()?], ..all() },
                EventQuery { stream: Some(stream("s:1")), ..all() },
                EventQuery { after: 11, up_to: 41, stream_prefix: Some("s:".to_owned()), ..all() },
            ] {
                let whole = EventQuery { direction, limit: 1_000, ..query };
                let expected = found(&store, &whole).await?;
                for limit in [1, 2, 3, 7, 59, 60, 61] {
                    let actual = paged(&store, EventQuery { limit, ..whole.clone() }).await?;
                    assert_eq!(actual, expected, "pages of {limit}: {whole:?}");
                }
            }
        }
        Ok(())
    }
);

/// A log with a bit of everything that can be asked for, the same on every backend.
fn varied(random: &mut Random, count: u32) -> Vec<NewEvent> {
    let streams = ["order:1", "order:11", "order", "orders:1", "position:1", "Order:1", "pos%:1", "pos_:1"];
    (0..count)
        .map(|n| {
            let name = streams[random.below(8) as usize];
            let kind = ["PLACED", "FILLED", "CLOSED"][random.below(3) as usize];
            let told = match random.below(4) {
                0 => json!({"position_id": "1", "n": n}),
                1 => json!({"order_id": "11", "nested": {"position_id": "1"}}),
                2 => json!(["1", "11"]),
                _ => json!({"number": 1}),
            };
            let minute = random.below(60);
            NewEvent {
                occurred_at: at(&format!("2026-01-10T10:{minute:02}:00.000001Z")),
                trace: Trace {
                    trace_id: (random.percent(50)).then(|| id(u128::from(random.below(3)))),
                    causation_id: None,
                    command_id: (random.percent(50)).then(|| id(100 + u128::from(random.below(3)))),
                    workflow_id: (random.percent(50)).then(|| id(200 + u128::from(random.below(3)))),
                },
                caused_by: None,
                ..typed(name, kind, told)
            }
        })
        .collect()
}

/// Whether an event is what a query asks for, said once more and as plainly as possible.
fn is_asked_for(query: &EventQuery, event: &RecordedEvent) -> bool {
    let names_it = |id: &str| {
        event.payload.value().as_object().is_some_and(|fields| fields.values().any(|field| field == id))
    };
    event.tenant == query.tenant
        && query.stream.as_ref().is_none_or(|stream| *stream == event.stream)
        && query.stream_prefix.as_ref().is_none_or(|prefix| event.stream.as_str().starts_with(prefix))
        && (query.event_types.is_empty() || query.event_types.contains(&event.event_type))
        && query.trace_id.is_none_or(|id| event.trace.trace_id == Some(id))
        && query.causation_id.is_none_or(|id| event.trace.causation_id == Some(id))
        && query.command_id.is_none_or(|id| event.trace.command_id == Some(id))
        && query.workflow_id.is_none_or(|id| event.trace.workflow_id == Some(id))
        && query
            .entity_id
            .as_ref()
            .is_none_or(|id| event.stream.as_str().ends_with(&format!(":{id}")) || names_it(id))
        && query.occurred_from.is_none_or(|from| event.occurred_at >= from)
        && query.occurred_before.is_none_or(|before| event.occurred_at < before)
}

case!(
    /// Every filter, alone and together with others, selects exactly the events that it names, of one tenant.
    async fn filter_by_type_stream_prefix_category_time_tenant(env: &Env) -> CaseResult {
        let mut random = env.random();
        for tenant in [Env::NEIGHBOUR, Env::TENANT] {
            let ledger = env.ledger_of(tenant).await?;
            append(&ledger, varied(&mut random, 150)).await?;
            let caused = NewEvent { caused_by: Some(0), ..event("order:1", 1) };
            append(&ledger, vec![event("order:1", 1), caused.clone(), caused]).await?;
            ledger.close().await;
        }
        let store = env.store();
        let log = whole_log(&store).await?;
        let cause = log[log.len() - 3].event_id;
        let filters: Vec<EventQuery> = vec![
            all(),
            EventQuery { stream: Some(stream("order:1")), ..all() },
            EventQuery { stream_prefix: Some("order:".to_owned()), ..all() },
            EventQuery { stream_prefix: Some("order:1".to_owned()), ..all() },
            EventQuery { stream_prefix: Some("order".to_owned()), ..all() },
            EventQuery { stream_prefix: Some(String::new()), ..all() },
            EventQuery { event_types: vec!["FILLED".parse()?], ..all() },
            EventQuery { event_types: vec!["FILLED".parse()?, "CLOSED".parse()?], ..all() },
            EventQuery { event_types: vec!["NEVER".parse()?], ..all() },
            EventQuery { trace_id: Some(id(1)), ..all() },
            EventQuery { causation_id: Some(cause), ..all() },
            EventQuery { command_id: Some(id(101)), ..all() },
            EventQuery { workflow_id: Some(id(202)), ..all() },
            EventQuery { entity_id: Some("1".to_owned()), ..all() },
            EventQuery { entity_id: Some("11".to_owned()), ..all() },
            EventQuery { occurred_from: Some(at("2026-01-10T10:30:00.000001Z")), ..all() },
            EventQuery { occurred_before: Some(at("2026-01-10T10:30:00.000001Z")), ..all() },
        ];
        let mut selective = 0;
        for left in &filters {
            for right in &filters {
                let both = EventQuery {
                    tenant: Env::TENANT,
                    after: 20,
                    up_to: 150,
                    direction: if left == right { Direction::Backward } else { Direction::Forward },
                    limit: 1_000,
                    bytes_max: None,
                    stream: left.stream.clone().or_else(|| right.stream.clone()),
                    stream_prefix: left.stream_prefix.clone().or_else(|| right.stream_prefix.clone()),
                    event_types: [left.event_types.clone(), right.event_types.clone()].concat(),
                    trace_id: left.trace_id.or(right.trace_id),
                    causation_id: left.causation_id.or(right.causation_id),
                    command_id: left.command_id.or(right.command_id),
                    workflow_id: left.workflow_id.or(right.workflow_id),
                    entity_id: left.entity_id.clone().or_else(|| right.entity_id.clone()),
                    occurred_from: left.occurred_from.or(right.occurred_from),
                    occurred_before: left.occurred_before.or(right.occurred_before),
                };
                let in_range = log.iter().filter(|event| (21..=150).contains(&event.log_seq));
                let mut expected: Vec<i64> =
                    in_range.filter(|event| is_asked_for(&both, event)).map(|event| event.log_seq).collect();
                if both.direction == Direction::Backward {
                    expected.reverse();
                }
                selective += usize::from(!expected.is_empty() && expected.len() < 130);
                assert_eq!(found(&store, &both).await?, expected, "{both:?}");
            }
        }
        assert!(selective > 100, "only {selective} of the queries select some and leave some");
        assert_eq!(found(&store, &EventQuery { causation_id: Some(cause), ..all() }).await?, [152, 153]);
        Ok(())
    }
);

case!(
    /// A filtered read tells where the log ends, so that its reader can go on behind what it does not want.
    async fn filtered_read_advances_cursor_past_non_matching(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![typed("a:1", "RARE", json!({}))]).await?;
        append(&ledger, (0..50).map(|n| event("a:1", n)).collect()).await?;
        let store = env.store();
        let mut query = EventQuery { event_types: vec!["RARE".parse()?], limit: 10, ..all() };
        let page = store.read(&query).await?;
        assert_eq!((page.events.len(), page.head), (1, 51));
        query.after = page.head;
        append(&ledger, vec![event("a:1", 1), typed("a:1", "RARE", json!({}))]).await?;
        assert_eq!(found(&store, &query).await?, [53]);
        Ok(())
    }
);

case!(
    /// A limit counts the events that a filter selects, not those that it passes over.
    async fn limit_applies_after_filter(env: &Env) -> CaseResult {
        let store = log_of(env, 30).await?;
        let filtered = EventQuery { stream: Some(stream("s:2")), limit: 4, ..all() };
        assert_eq!(found(&store, &filtered).await?, [3, 6, 9, 12]);
        let backward = EventQuery { direction: Direction::Backward, ..filtered.clone() };
        assert_eq!(found(&store, &backward).await?, [30, 27, 24, 21]);
        let by_type = EventQuery { event_types: vec!["NEVER".parse()?], limit: 1, ..all() };
        assert_eq!(found(&store, &by_type).await?, [0; 0]);
        Ok(())
    }
);

case!(
    /// What a read up to a place answers does not change while others append.
    async fn read_as_of_position_is_stable_while_writing(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..50).map(|n| event(&format!("s:{}", n % 3), n)).collect()).await?;
        let (store, as_of) = (env.store(), EventQuery { up_to: 40, ..all() });
        let expected = store.read(&as_of).await?.events;
        assert_eq!(expected.len(), 40);
        let writer = tokio::spawn(async move {
            for n in 0..40 {
                append(&ledger, vec![event(&format!("s:{}", n % 3), n)]).await?;
            }
            anyhow::Ok(())
        });
        while !writer.is_finished() {
            assert_eq!(store.read(&as_of).await?.events, expected);
            tokio::task::yield_now().await;
        }
        writer.await??;
        assert_eq!(store.read(&as_of).await?.events, expected);
        assert_eq!(store.head(Env::TENANT).await?.log_seq, 90);
        Ok(())
    }
);

case!(
    /// A reader that goes away in the middle of a long read gives its connection back.
    async fn streaming_read_cancelled_midway_releases_connection(env: &Env) -> CaseResult {
        let store = log_of(env, 3_000).await?;
        let long = EventQuery { limit: 3_000, ..all() };
        for polls in 0..40 {
            drop(poll_then_drop(store.read(&long), polls).await);
            drop(
                poll_then_drop(
                    store.rows(Env::TENANT, &robson_eventlog::command::COMMANDS, &RowQuery::all()),
                    polls,
                )
                .await,
            );
        }
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let store = Arc::clone(&store);
            readers.spawn(async move { found(&store, &EventQuery { limit: 10, ..all() }).await });
        }
        while let Some(places) = readers.join_next().await {
            assert_eq!(places??, (1..=10).collect::<Vec<i64>>());
        }
        append(&env.ledger().await?, vec![event("a:1", 1)]).await?;
        Ok(())
    }
);

case!(
    /// A prefix is taken literally: `%`, `_`, `\`, `*`, `?` and `[` stand for themselves, and case matters.
    async fn prefix_filter_escapes_percent_underscore_backslash(env: &Env) -> CaseResult {
        let names = [
            "a%b:1",
            "axb:1",
            "a_b:1",
            "a\\b:1",
            "a\\%b:1",
            "a*b:1",
            "a?b:1",
            "a[x]b:1",
            "A%b:1",
            "é:1",
            "e\u{301}:1",
            "a'b:1",
            "a\"b:1",
        ];
        let ledger = env.ledger().await?;
        append(&ledger, names.iter().map(|name| event(name, 1)).collect()).await?;
        let store = env.store();
        for prefix in [
            "a%", "a_", "a\\", "a\\%", "a*", "a?", "a[", "A", "a", "%", "_", "\\", "é", "e", "a'", "a\"",
            "a%b:1", "",
        ] {
            let expected: Vec<i64> = (1..)
                .zip(names)
                .filter(|(_, name)| name.starts_with(prefix))
                .map(|(place, _)| place)
                .collect();
            let query = EventQuery { stream_prefix: Some(prefix.to_owned()), ..all() };
            assert_eq!(found(&store, &query).await?, expected, "prefix {prefix:?}");
        }
        Ok(())
    }
);

case!(
    /// A limit of nothing answers nothing but the head; the largest limit there is answers everything.
    async fn read_limit_zero_and_huge(env: &Env) -> CaseResult {
        let store = log_of(env, 5).await?;
        for query in [all(), backward(), EventQuery::stream(Env::TENANT, stream("s:0"))] {
            let nothing = store.read(&EventQuery { limit: 0, ..query.clone() }).await?;
            assert_eq!((nothing.events.len(), nothing.head), (0, 5));
            let whole = store.read(&EventQuery { limit: usize::MAX, ..query.clone() }).await?;
            assert_eq!(whole.events.len(), if query.stream.is_some() { 2 } else { 5 });
        }
        env.prepare(&SAMPLES).await?;
        let rows = |limit| RowQuery { limit: Some(limit), ..RowQuery::all() };
        assert_eq!(store.rows(Env::TENANT, &SAMPLES, &rows(0)).await?, []);
        assert_eq!(store.rows(Env::TENANT, &SAMPLES, &rows(usize::MAX)).await?, []);
        Ok(())
    }
);

case!(
    /// Rows are read by keys, by what columns hold, behind a key and up to a limit, always by rising key.
    async fn rows_by_keys_filters_and_pages(env: &Env) -> CaseResult {
        env.prepare(&SAMPLES).await?;
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let sample = |name: &str, number: i64| {
            let text = if number % 2 == 0 { Value::Text(format!("even {name}")) } else { Value::Null };
            let boolean = Value::Boolean(number > 2);
            let json = Value::Json(payload(&json!({"n": number})));
            Row(vec![
                Value::Text(name.to_owned()),
                Value::Integer(number),
                text,
                Value::Uuid(id(u128::from(number.unsigned_abs()))),
                Value::Null,
                Value::decimal(number.into()),
                Value::Timestamp(at(&format!("2026-01-0{}T00:00:00Z", number + 1))),
                boolean,
                json,
                Value::Bytes(vec![0, 255]),
            ])
        };
        let mut rows: Vec<Row> =
            ["b", "a", "c"].iter().flat_map(|name| (0..5).rev().map(move |n| sample(name, n))).collect();
        let mut batch = raw.batch(&[], "2026-01-15T12:00:00Z");
        batch.rows = vec![robson_eventlog::TableRows { table: &SAMPLES, rows: rows.clone() }];
        raw.commit(&batch).await?;
        rows.sort();
        let store = env.store();
        let key = |name: &str, number| vec![Value::Text(name.to_owned()), Value::Integer(number)];
        let check = async |query: RowQuery, expected: &dyn Fn(&Row) -> bool| {
            let wanted: Vec<Row> = rows.iter().filter(|row| expected(row)).cloned().collect();
            assert_eq!(store.rows(Env::TENANT, &SAMPLES, &query).await?, wanted, "{query:?}");
            anyhow::Ok(wanted.len())
        };
        let number = |row: &Row| row.0[1].clone();
        assert_eq!(check(RowQuery::all(), &|_| true).await?, 15);
        let three = vec![key("c", 4), key("a", 0), key("d", 1), key("a", 0)];
        let by_keys = RowQuery::keys(three.clone());
        assert_eq!(check(by_keys, &|row| three.contains(&row.key(&SAMPLES))).await?, 2);
        let even = Value::Text("even b".to_owned());
        assert_eq!(check(RowQuery::filter("text_value", even.clone()), &|row| row.0[2] == even).await?, 3);
        assert_eq!(
            check(RowQuery::filter("text_value", Value::Null), &|row| row.0[2] == Value::Null).await?,
            6
        );
        let three = Value::Integer(3);
        assert_eq!(check(RowQuery::filter("number", three.clone()), &|row| number(row) == three).await?, 3);
        for (column, index) in
            [("uuid_value", 3), ("decimal_value", 5), ("timestamp_value", 6), ("boolean_value", 7)]
        {
            let value = sample("a", 1).0[index].clone();
            let found = check(RowQuery::filter(column, value.clone()), &|row| row.0[index] == value).await?;
            assert!(found >= 3, "{column}");
        }
        let both = RowQuery {
            filters: vec![("boolean_value", Value::Boolean(true)), ("name", Value::Text("b".to_owned()))],
            ..RowQuery::all()
        };
        assert_eq!(
            check(both, &|row| row.0[7] == Value::Boolean(true) && row.0[0] == Value::Text("b".to_owned()))
                .await?,
            2
        );
        let behind = RowQuery { after: Some(key("b", 3)), ..RowQuery::all() };
        assert_eq!(check(behind, &|row| row.key(&SAMPLES) > key("b", 3)).await?, 6);
        let mut page =
            RowQuery { limit: Some(4), ..RowQuery::filter("boolean_value", Value::Boolean(false)) };
        let mut paged = Vec::new();
        loop {
            let found = store.rows(Env::TENANT, &SAMPLES, &page).await?;
            let Some(last) = found.last() else { break };
            page.after = Some(last.key(&SAMPLES));
            paged.extend(found);
        }
        assert_eq!(
            paged,
            rows.iter().filter(|row| row.0[7] == Value::Boolean(false)).cloned().collect::<Vec<_>>()
        );
        Ok(())
    }
);

case!(
    /// Small reads about nothing answer nothing: no keys, no streams, no checkpoint, no snapshot, no rows.
    async fn reads_of_what_is_not_there_are_empty_not_errors(env: &Env) -> CaseResult {
        let store = env.store();
        assert_eq!(everything(&store, Env::TENANT).await?, []);
        assert_eq!(store.head(Env::TENANT).await?, robson_eventlog::Head::EMPTY);
        assert_eq!(store.lookup(Env::TENANT, &[]).await?, []);
        assert_eq!(store.lookup(Env::TENANT, &["k".parse()?]).await?, []);
        assert_eq!(store.streams(Env::TENANT, &[]).await?, []);
        assert_eq!(store.streams(Env::TENANT, &[stream("a:1")]).await?, []);
        assert_eq!(store.checkpoint(Env::TENANT, "nobody").await?, None);
        assert_eq!(store.snapshot(Env::TENANT, "stream", "a:1", i64::MAX).await?, None);
        Ok(())
    }
);

case!(
    /// A question with a value that no backend keeps, as a text with NUL, finds nothing and is no error; what
    /// stands beside it in the question is found.
    async fn question_that_nothing_can_answer_finds_nothing(env: &Env) -> CaseResult {
        env.prepare(&SAMPLES).await?;
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let row = |name: &str| {
            let mut row = Row(vec![Value::Null; SAMPLES.columns.len()]);
            (row.0[0], row.0[1]) = (Value::Text(name.to_owned()), Value::Integer(1));
            row.0[5] = Value::decimal("1.1".parse().expect("a decimal"));
            row
        };
        let mut batch = raw.batch(&[event("a:1", 1)], "2026-01-15T12:00:00Z");
        batch.rows = vec![TableRows { table: &SAMPLES, rows: vec![row("a"), row("b")] }];
        raw.commit(&batch).await?;

        let store = env.store();
        for nul in ["\0", "a\0", "\0a"] {
            for query in [
                EventQuery { entity_id: Some(nul.to_owned()), ..all() },
                EventQuery { stream_prefix: Some(nul.to_owned()), ..backward() },
            ] {
                let page = store.read(&query).await?;
                assert_eq!((page.events, page.head), (vec![], 1), "{nul:?}");
                let unknown = store.read(&EventQuery { tenant: Env::STRANGER, ..query }).await;
                assert!(matches!(unknown, Err(StoreError::UnknownTenant(Env::STRANGER))), "{unknown:?}");
            }
            let key = |name: &str| vec![Value::Text(name.to_owned()), Value::Integer(1)];
            for query in [
                RowQuery::keys(vec![key(nul)]),
                RowQuery::filter("name", Value::Text(nul.to_owned())),
                RowQuery { after: Some(key(nul)), ..RowQuery::all() },
            ] {
                assert_eq!(store.rows(Env::TENANT, &SAMPLES, &query).await?, [], "{query:?}");
            }
            let beside = RowQuery::keys(vec![key(nul), key("b")]);
            assert_eq!(store.rows(Env::TENANT, &SAMPLES, &beside).await?, [row("b")]);
            assert_eq!(store.checkpoint(Env::TENANT, nul).await?, None);
            assert_eq!(store.snapshot(Env::TENANT, nul, "a:1", i64::MAX).await?, None);
            assert_eq!(store.snapshot(Env::TENANT, "stream", nul, i64::MAX).await?, None);
        }
        let filter = |text: &str| Ok(RowQuery::filter("decimal_value", Value::Decimal(text.parse()?)));
        let found = async |query: anyhow::Result<RowQuery>| {
            anyhow::Ok(store.rows(Env::TENANT, &SAMPLES, &query?).await?.len())
        };
        assert_eq!((found(filter("1.1")).await?, found(filter("1.10")).await?), (2, 0));
        Ok(())
    }
);
