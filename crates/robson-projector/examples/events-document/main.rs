//! Writes `docs/events.md`: every event as the code has it.
//!
//! Names, revisions, streams, authors, keys and tables are asked of the code; fields with their types and words
//! are read from its source, payloads from the frozen samples. `cargo xtask codegen` writes the file,
//! `cargo xtask test` compares it.
#![expect(clippy::print_stdout, reason = "its output is the document")]

mod source;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use robson_domain::{Event, StreamName, Timestamp};
use robson_eventlog::{ChainHash, EventId, Projection, RecordedEvent, Rows, TenantId};
use robson_projector::{TraderTables, new_event};
use serde_json::Value;
use source::{Field, Struct};
use types::Types;

type Failure = Box<dyn std::error::Error>;

/// What makes the rows that the samples speak of, in order.
const STORY: [&str; 9] = [
    "RISK_LIMIT_EXCEEDED",
    "STRATEGY_CREATED",
    "POSITION_ARMED",
    "RISK_CHECK_PASSED",
    "DECISION_PROPOSED",
    "INTENT_CREATED",
    "ORDER_SUBMITTED",
    "ORDER_ACKED",
    "BALANCE_SAMPLED",
];

const HEAD: &str = "\
# Events

Generated from `crates/robson-domain` by `cargo xtask codegen`; do not edit.

Every change of state is one of these events. The envelope holds what all of them have: places, times, who and
why (`crates/robson-eventlog/src/event.rs`). A payload is canonical JSON; decimals and instants are text, and a
field that is absent is left out. Unknown fields are tolerated, so that a field may be added without a new
revision; an older revision is read as the newest, a newer one stops the reader.

*Changes* is what the fold does to the rows, *Refused* when a decision is not appended because of them. What
neither refuses nor could be refused is a fact: it is kept, and what contradicts the books is marked in them.
";

fn main() -> Result<(), Failure> {
    let domain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../robson-domain");
    let types = Types::read(&domain.join("src/values"))?;
    let rows = rows_of_the_story(&domain)?;
    let mut named = BTreeSet::new();
    let mut sections = String::new();
    let mut list = String::from(
        "| event | revision | stream | by | changes or reads |\n| --- | --- | --- | --- | --- |\n",
    );
    for (event_type, revision) in Event::TYPES {
        let event = sample(&domain, event_type, *revision)?;
        let tables = tables(&event, &rows)?;
        let tables = if tables.is_empty() { "-".to_owned() } else { tables.join(", ") };
        let (kind, author) = (kind(&event.stream()), format!("{:?}", event.author()));
        writeln!(
            list,
            "| [{event_type}](#{}) | {revision} | `{kind}` | {author} | {tables} |",
            event_type.to_lowercase()
        )?;
        let path = domain.join("src/events").join(format!("{}.rs", event_type.to_lowercase()));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        write!(sections, "\n## {event_type}\n\n{}\n\n", source::module_words(&text, event_type)?)?;
        write!(sections, "Revision {revision}, stream `{kind}`, by the {}.", author.to_lowercase())?;
        writeln!(sections, " Tables: {tables}.{}\n", keys(&event))?;
        sections.push_str("| field | type | meaning |\n| --- | --- | --- |\n");
        let structs = source::structs(&text);
        let body = structs.first().ok_or("an event without a struct")?;
        fields(&mut sections, &event.payload(), body, "", &structs, &types, &mut named)?;
        for revision in (1..=*revision).rev() {
            let payload = serde_json::to_string_pretty(&payload(&domain, event_type, revision)?)?;
            write!(sections, "\nRevision {revision}, as it was frozen:\n\n```json\n{payload}\n```\n")?;
        }
    }
    print!("{HEAD}\n{list}{sections}\n{}", types.document(&named)?);
    Ok(())
}

/// The rows of a struct's fields; those of a struct within it follow, with its field's name in front.
fn fields(
    out: &mut String,
    payload: &Value,
    of: &Struct,
    within: &str,
    structs: &[Struct],
    types: &Types,
    named: &mut BTreeSet<String>,
) -> Result<(), Failure> {
    let known: BTreeSet<&str> = of.fields.iter().map(|field| field.name.as_str()).collect();
    let told = payload.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(unknown) = told.into_iter().find(|name| !known.contains(name)) {
        return Err(format!("{} has no field `{unknown}`, its sample has", of.name).into());
    }
    for field in &of.fields {
        let Field { name, kind, words } = field;
        let (list, inner) = (kind.starts_with("Vec<"), field.inner());
        let told = if field.is_optional() { "?" } else { "" };
        let own = structs.iter().find(|nested| nested.name == inner);
        let mark = if list { "[]" } else { "" };
        let shown = if own.is_some() { "object".to_owned() } else { types.link(inner, named)? };
        writeln!(out, "| `{within}{name}{mark}`{told} | {shown} | {words} |")?;
        if let Some(nested) = own {
            let inside = payload.get(name).unwrap_or(&Value::Null);
            let inside = if list { inside.get(0).unwrap_or(&Value::Null) } else { inside };
            let within = format!("{within}{name}{mark}.");
            fields(out, inside, nested, &within, structs, types, named)?;
        }
    }
    Ok(())
}

fn kind(stream: &StreamName) -> String {
    match stream {
        StreamName::System(component) => format!("system:{component}"),
        own => own.to_string().split(':').next().unwrap_or_default().to_owned() + ":<id>",
    }
}

/// What makes it unique, and what tells a repeat from a contradiction, where it says so itself.
fn keys(event: &Event) -> String {
    let mut told = String::new();
    if let Some(key) = event.natural_key() {
        told = format!(" Unique by its natural key, as in `{key}`");
        if let Some(Value::Object(parts)) = event.fingerprint_payload() {
            let parts: Vec<String> = parts.keys().map(|part| format!("`{part}`")).collect();
            told += &format!("; a repeat agrees in {}", parts.join(", "));
        }
        told.push('.');
    }
    told
}

fn payload(domain: &Path, event_type: &str, revision: i64) -> Result<Value, Failure> {
    let path: PathBuf = domain.join("samples").join(format!("{event_type}.v{revision}.json"));
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(serde_json::from_str::<Value>(&text)?["payload"].clone())
}

fn sample(domain: &Path, event_type: &str, revision: i64) -> Result<Event, Failure> {
    Ok(Event::decode(event_type, payload(domain, event_type, revision)?)?)
}

fn recorded(event: &Event, log_seq: i64) -> Result<RecordedEvent, Failure> {
    let at: Timestamp = "2026-01-02T03:04:05.678Z".parse()?;
    let (new, tenant) = (new_event(event, at)?, TenantId(uuid::Uuid::nil()));
    Ok(RecordedEvent {
        log_seq,
        event_id: EventId::derive(new.occurred_at, log_seq, tenant, 1, 1),
        tenant,
        idempotency_key: new.fingerprint(tenant),
        stream: new.stream,
        seq: log_seq,
        event_type: new.event_type,
        schema_version: new.schema_version,
        payload: new.payload,
        occurred_at: new.occurred_at,
        ingested_at: new.occurred_at,
        trace: new.trace,
        actor: new.actor,
        prev_hash: ChainHash::GENESIS,
        hash: ChainHash::GENESIS,
    })
}

/// Loads what an event names until it names nothing new, as a ledger does.
fn load(event: &RecordedEvent, rows: &mut Rows) -> Result<BTreeSet<&'static str>, Failure> {
    loop {
        let keys = TraderTables.keys(event, rows)?;
        let missing: Vec<_> = keys.iter().filter(|key| !rows.holds(key)).cloned().collect();
        if missing.is_empty() {
            return Ok(keys.iter().map(|key| key.table).collect());
        }
        missing.into_iter().for_each(|key| rows.load(key, None));
    }
}

fn rows_of_the_story(domain: &Path) -> Result<Rows, Failure> {
    let revisions: BTreeMap<&str, i64> = Event::TYPES.iter().copied().collect();
    let mut rows = Rows::default();
    for (log_seq, event_type) in (1..).zip(STORY) {
        let event = recorded(&sample(domain, event_type, revisions[event_type])?, log_seq)?;
        load(&event, &mut rows)?;
        TraderTables.fold(&event, &mut rows)?;
    }
    Ok(rows)
}

/// The tables whose rows an event names, once the rows behind it are there.
fn tables(event: &Event, story: &Rows) -> Result<Vec<&'static str>, Failure> {
    let mut rows = Rows::default();
    for table in robson_projector::TABLES {
        for row in story.of_table(table) {
            let key = robson_eventlog::RowKey { table: table.name, key: row.key(table) };
            rows.load(key, Some(row.clone()));
        }
    }
    let named = load(&recorded(event, 100)?, &mut rows)?;
    let all = robson_projector::TABLES.iter().map(|table| table.name);
    Ok(all.filter(|table| named.contains(table)).collect())
}
