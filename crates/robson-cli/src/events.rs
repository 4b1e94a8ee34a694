//! `events`: the log itself, listed, searched, followed.

use std::collections::BTreeMap;
use std::sync::Arc;

use robson_eventlog::digest::event_json;
use robson_eventlog::{Direction, EventQuery, RecordedEvent, Start, StreamKey, Subscription};

use crate::args::{EventFilter, Events, Tail};
use crate::db::Database;
use crate::failure::Failure;
use crate::parked;
use crate::positions;
use crate::printer::{Align, Cell, Listing, Printer, Tone, seconds, short_stream};
use crate::story::{happened_at, tell};
use crate::why;

/// Most events that one read asks for.
const PAGE: usize = 1_000;

/// `events list|search|tail|parked`.
///
/// # Errors
/// A filter makes no sense, or as the store says.
pub async fn run(db: &Database, args: Events, printer: &mut Printer) -> Result<(), Failure> {
    match args {
        Events::List(filter) => list(db, &filter, printer).await,
        Events::Search(search) => {
            let filter = EventFilter { query: search.text.or(search.filter.query), ..search.filter };
            let EventFilter { stream, types, trace_id, position_id, query, .. } = &filter;
            let is_narrow = stream.is_some() || trace_id.is_some() || position_id.is_some();
            if !is_narrow && types.is_empty() && query.is_none() {
                return Err(Failure::usage(
                    "search for what: a text, --trace-id, --position-id, --stream or --type is needed",
                ));
            }
            list(db, &filter, printer).await
        }
        Events::Tail(args) => tail(db, &args, printer).await,
        Events::Parked(args) => parked::list(db, &args, printer).await,
        Events::Retry(_) | Events::Skip(_) => Err(Failure::usage("a decision does not only read".to_owned())),
    }
}

async fn list(db: &Database, filter: &EventFilter, printer: &mut Printer) -> Result<(), Failure> {
    let wanted = Wanted::of(db, filter).await?;
    let events = wanted.read(db, Direction::Forward).await?;
    if printer.is_json {
        let events: Vec<serde_json::Value> = events.iter().map(event_json).collect();
        return Ok(printer.json(&events.into(), false)?);
    }
    let cells = |event: &RecordedEvent| {
        vec![
            Cell::of(event.log_seq),
            Cell::time(happened_at(event)),
            Cell::of(short_stream(event.stream.as_str())),
            Cell::of(event.event_type.as_str()),
            Cell::of(tell(event)),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("LOG", Align::Right),
            ("TIME", Align::Left),
            ("STREAM", Align::Left),
            ("TYPE", Align::Left),
            ("WHAT", Align::Left),
        ],
        rows: events.iter().map(cells).collect(),
        when_empty: "no such events",
    };
    printer.table(&listing)?;
    if let (true, Some(last)) = (events.len() == filter.limit, events.last()) {
        printer.line(printer.toned(Tone::Faint, &format!("there may be more: --after {}", last.log_seq)))?;
    }
    Ok(())
}

/// Lines, not a table: what comes later must not move what stands already.
async fn tail(db: &Database, args: &Tail, printer: &mut Printer) -> Result<(), Failure> {
    let wanted = Wanted::of(db, &args.filter).await?;
    let head = db.head().await?.log_seq;
    let newest = wanted.read(db, Direction::Backward).await?;
    newest.iter().rev().filter(|event| event.log_seq <= head).try_for_each(|event| print(event, printer))?;
    if !args.follow {
        return Ok(());
    }
    let query = EventQuery { limit: PAGE, ..EventQuery::all(db.used_tenant()?) };
    let mut live = Subscription::new(Arc::clone(db.store()), Start::After(head), query);
    loop {
        printer.flush()?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            page = live.next_page() => {
                let page = page?;
                page.iter().filter(|event| wanted.takes(event)).try_for_each(|event| print(event, printer))?;
            }
        }
    }
}

fn print(event: &RecordedEvent, printer: &mut Printer) -> Result<(), Failure> {
    if printer.is_json {
        return Ok(printer.json(&event_json(event), true)?);
    }
    let time = printer.toned(Tone::Faint, &seconds(happened_at(event)));
    let kind = printer.bold(event.event_type.as_str());
    Ok(printer.line(format!("{:>8}  {time}  {kind}  {}", event.log_seq, tell(event)))?)
}

/// Which events are wanted: any of the queries, and the text.
struct Wanted {
    queries: Vec<EventQuery>,
    text: Option<String>,
    limit: usize,
}

impl Wanted {
    async fn of(db: &Database, filter: &EventFilter) -> Result<Self, Failure> {
        let tenant = db.used_tenant()?;
        let stream = filter.stream.as_deref().map(str::parse::<StreamKey>).transpose();
        let stream = stream.map_err(|error| Failure::usage(format!("--stream: {error}")))?;
        let types =
            filter.types.iter().map(|name| name.to_ascii_uppercase().parse()).collect::<Result<_, _>>();
        let base = EventQuery {
            after: filter.after,
            stream,
            event_types: types
                .map_err(|error: robson_eventlog::InvalidName| Failure::usage(format!("--type: {error}")))?,
            trace_id: filter.trace_id,
            ..EventQuery::all(tenant)
        };
        let mut queries = vec![base.clone()];
        if let Some(text) = &filter.position_id {
            let position = positions::resolve(db, text).await?;
            let all = why::read(db, position).await?;
            let streams = if base.stream.is_some() { Vec::new() } else { why::order_streams(all.iter()) };
            queries = vec![EventQuery { entity_id: Some(position.to_string()), ..base.clone() }];
            queries.extend(
                streams.into_iter().map(|stream| EventQuery { stream: Some(stream), ..base.clone() }),
            );
        }
        Ok(Self { queries, text: filter.query.clone(), limit: filter.limit })
    }

    /// Up to the limit, from one end of the log.
    async fn read(&self, db: &Database, direction: Direction) -> Result<Vec<RecordedEvent>, Failure> {
        let mut found = BTreeMap::new();
        for query in &self.queries {
            self.read_one(db, EventQuery { direction, ..query.clone() }, &mut found).await?;
        }
        let events = found.into_values();
        Ok(match direction {
            Direction::Forward => events.take(self.limit).collect(),
            Direction::Backward => events.rev().take(self.limit).collect(),
        })
    }

    async fn read_one(
        &self,
        db: &Database,
        mut query: EventQuery,
        found: &mut BTreeMap<i64, RecordedEvent>,
    ) -> Result<(), Failure> {
        // A text is looked for here, so a page of it may hold nothing.
        query.limit = if self.text.is_some() { PAGE } else { self.limit.clamp(1, PAGE) };
        let mut taken = 0;
        while taken < self.limit {
            let page = db.events(query.clone()).await?;
            let Some(last) = page.events.last() else { break };
            match query.direction {
                Direction::Forward => query.after = last.log_seq,
                Direction::Backward => query.up_to = last.log_seq - 1,
            }
            let is_last = page.events.len() < query.limit;
            let fitting: Vec<_> = page.events.into_iter().filter(|event| self.holds_text(event)).collect();
            taken += fitting.len();
            found.extend(fitting.into_iter().map(|event| (event.log_seq, event)));
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn holds_text(&self, event: &RecordedEvent) -> bool {
        self.text.as_deref().is_none_or(|text| {
            let holds = |place: &str| place.to_lowercase().contains(&text.to_lowercase());
            holds(event.stream.as_str()) || holds(event.event_type.as_str()) || holds(event.payload.as_str())
        })
    }

    /// Whether a live event is wanted.
    fn takes(&self, event: &RecordedEvent) -> bool {
        let names = |id: &str| {
            let payload = event.payload.value();
            let in_payload = payload
                .as_object()
                .is_some_and(|fields| fields.values().any(|value| value.as_str() == Some(id)));
            in_payload || event.stream.as_str().split_once(':').is_some_and(|(_, of)| of == id)
        };
        let fits = |query: &EventQuery| {
            event.log_seq > query.after
                && query.stream.as_ref().is_none_or(|stream| *stream == event.stream)
                && (query.event_types.is_empty() || query.event_types.contains(&event.event_type))
                && query.trace_id.is_none_or(|id| event.trace.trace_id == Some(id))
                && query.entity_id.as_deref().is_none_or(names)
        };
        self.queries.iter().any(fits) && self.holds_text(event)
    }
}
