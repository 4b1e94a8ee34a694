//! The causal story of a position, as a tree built from the log: signal, stop, size, risk, orders, fills, exit.

use std::collections::BTreeMap;

use robson_domain::{DecisionId, DetectorId, Event, IntentId, OrderId, Position, PositionId, SignalId};
use robson_eventlog::{EventQuery, RecordedEvent, RowQuery, StreamKey, Value};
use robson_projector::event_of;
use serde_json::json;

use crate::args::Why;
use crate::db::Database;
use crate::failure::Failure;
use crate::positions;
use crate::printer::{Printer, Tone, seconds, signed};
use crate::story::{happened_at, tell};

/// A run of stop moves longer than this is shown by its first and last.
const MOVES_SHOWN: usize = 3;

/// One event and what followed from it.
#[derive(Debug)]
struct Node {
    event: RecordedEvent,
    decoded: Option<Event>,
    children: Vec<Node>,
}

/// `why POSITION`.
///
/// # Errors
/// There is no such position, or as the store says.
pub async fn run(db: &Database, args: &Why, printer: &mut Printer) -> Result<(), Failure> {
    let id = positions::resolve(db, &args.position).await?;
    let found = positions::read(db, &RowQuery::keys(vec![vec![Value::Uuid(id.0)]])).await?;
    let Some((row, position)) = found.into_iter().next() else {
        return Err(Failure::not_found(format!("there is no position {id}")));
    };
    let story = tree(read(db, id).await?);
    if printer.is_json {
        let story: Vec<serde_json::Value> = story.iter().map(node_json).collect();
        let json = json!({
            "position": row.to_json(&robson_projector::positions_current::TABLE),
            "story": story,
        });
        return Ok(printer.json(&json, false)?);
    }
    printer.line(headline(&position, printer))?;
    for line in lines(&story, args.all) {
        let time = printer.toned(Tone::Faint, &line.time);
        printer.line(
            format!("{time}  {}{}  {}", line.branch, printer.bold(&line.label), line.text).trim_end(),
        )?;
    }
    Ok(())
}

fn headline(position: &Position, printer: &Printer) -> String {
    let net = positions::net(position);
    let tone = if net.is_sign_negative() { Tone::Bad } else { Tone::Good };
    let result = match position.entry_price {
        Some(_) => format!(", {} net", printer.toned(tone, &signed(net))),
        None => String::new(),
    };
    let what = format!("{} {}", position.symbol, position.side);
    format!("{} {}: {}{result}", printer.bold(&what), position.position_id, position.state)
}

/// All events of a position: its stream, its orders' streams, and what names it; by place in the log.
///
/// # Errors
/// As the store says.
pub async fn read(db: &Database, id: PositionId) -> Result<Vec<RecordedEvent>, Failure> {
    let tenant = db.used_tenant()?;
    let mut found = BTreeMap::new();
    let about = EventQuery { entity_id: Some(id.to_string()), ..EventQuery::all(tenant) };
    read_all(db, about, &mut found).await?;
    for stream in order_streams(found.values()) {
        read_all(db, EventQuery::stream(tenant, stream), &mut found).await?;
    }
    Ok(found.into_values().collect())
}

/// The streams of the orders that some events speak of.
pub(crate) fn order_streams<'a>(events: impl Iterator<Item = &'a RecordedEvent>) -> Vec<StreamKey> {
    let orders = events.filter(|event| event.stream.category() == "order").map(|event| event.stream.clone());
    let mut streams: Vec<StreamKey> = orders.collect();
    streams.sort();
    streams.dedup();
    streams
}

async fn read_all(
    db: &Database,
    mut query: EventQuery,
    found: &mut BTreeMap<i64, RecordedEvent>,
) -> Result<(), Failure> {
    loop {
        let page = db.events(query.clone()).await?;
        let is_full = page.events.len() >= query.limit;
        if let Some(last) = page.events.last() {
            query.after = last.log_seq;
        }
        found.extend(page.events.into_iter().map(|event| (event.log_seq, event)));
        if !is_full {
            return Ok(());
        }
    }
}

/// What an event introduces, and others follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Detector(DetectorId),
    Signal(SignalId),
    Decision(DecisionId),
    Intent(IntentId),
    Order(OrderId),
}

const fn introduces(event: &Event) -> Option<Cause> {
    match event {
        Event::DetectorStarted(started) => Some(Cause::Detector(started.detector_id)),
        Event::SignalDetected(signal) => Some(Cause::Signal(signal.signal_id)),
        Event::DecisionProposed(decision) => Some(Cause::Decision(decision.decision_id)),
        Event::IntentCreated(intent) => Some(Cause::Intent(intent.intent_id)),
        Event::OrderSubmitted(order) => Some(Cause::Order(order.order_id)),
        _ => None,
    }
}

fn follows(event: &Event, last_signal: Option<SignalId>) -> Option<Cause> {
    match event {
        Event::SignalDetected(signal) => Some(Cause::Detector(signal.detector_id)),
        Event::DetectorStopped(stopped) => Some(Cause::Detector(stopped.detector_id)),
        Event::TechnicalStopAnalyzed(stop) => Some(Cause::Signal(stop.signal_id)),
        Event::DecisionProposed(decision) => Some(Cause::Signal(decision.signal_id)),
        Event::SignalRejected(rejected) => Some(Cause::Signal(rejected.signal_id)),
        // The gate judges a decision that is not proposed yet.
        Event::RiskCheckPassed(_) | Event::RiskCheckFailed(_) => last_signal.map(Cause::Signal),
        Event::IntentCreated(intent) => intent.decision_id.map(Cause::Decision),
        Event::IntentCompleted(intent) => Some(Cause::Intent(intent.intent_id)),
        Event::OrderSubmitted(order) => Some(Cause::Intent(order.intent_id)),
        Event::OrderAcked(acked) => Some(Cause::Order(acked.order_id)),
        Event::OrderRejected(rejected) => Some(Cause::Order(rejected.order_id)),
        Event::OrderCanceled(canceled) => Some(Cause::Order(canceled.order_id)),
        Event::FillReceived(fill) => Some(Cause::Order(fill.order_id)),
        _ => None,
    }
}

/// Puts every event under the one that it follows from.
fn tree(events: Vec<RecordedEvent>) -> Vec<Node> {
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(events.len());
    let mut introduced: BTreeMap<Cause, usize> = BTreeMap::new();
    let mut exit: Option<usize> = None;
    let mut last_signal = None;
    let nodes: Vec<Node> = events
        .into_iter()
        .map(|event| Node { decoded: event_of(&event).ok(), event, children: Vec::new() })
        .collect();
    for (index, node) in nodes.iter().enumerate() {
        let event = node.decoded.as_ref();
        let named = event.and_then(|event| follows(event, last_signal));
        let parent = named.and_then(|id| introduced.get(&id).copied());
        // An intent without a decision closes the position: it follows from the exit.
        let is_intent = matches!(event, Some(Event::IntentCreated(_)));
        parents.push(parent.or_else(|| exit.filter(|_| is_intent)));
        match event {
            Some(Event::SignalDetected(signal)) => last_signal = Some(signal.signal_id),
            Some(Event::ExitTriggered(_)) => exit = Some(index),
            _ => {}
        }
        if let Some(id) = event.and_then(introduces) {
            introduced.insert(id, index);
        }
    }
    gather(nodes, &parents)
}

/// From the last to the first, because what follows from an event always stands behind it.
fn gather(nodes: Vec<Node>, parents: &[Option<usize>]) -> Vec<Node> {
    let mut waiting: BTreeMap<Option<usize>, Vec<Node>> = BTreeMap::new();
    for (index, mut node) in nodes.into_iter().enumerate().rev() {
        node.children = waiting.remove(&Some(index)).unwrap_or_default();
        node.children.reverse();
        waiting.entry(parents.get(index).copied().flatten()).or_default().push(node);
    }
    let mut roots = waiting.remove(&None).unwrap_or_default();
    roots.reverse();
    roots
}

struct Line {
    time: String,
    branch: String,
    label: String,
    text: String,
}

fn lines(story: &[Node], all: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    add_lines(story, "", all, &mut lines);
    lines
}

fn add_lines(nodes: &[Node], indent: &str, all: bool, lines: &mut Vec<Line>) {
    let mut rest = nodes;
    while let Some((node, behind)) = rest.split_first() {
        let moves = rest.iter().take_while(|node| is_stop_move(node)).count();
        let is_collapsed = !all && moves > MOVES_SHOWN;
        let behind = if is_collapsed { &rest[moves..] } else { behind };
        let (branch, below) = if behind.is_empty() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        if is_collapsed {
            add_moves(&rest[..moves], indent, branch, lines);
        } else {
            lines.push(Line {
                time: seconds(happened_at(&node.event)),
                branch: format!("{indent}{branch}"),
                label: label(&node.event),
                text: tell(&node.event),
            });
            add_lines(&node.children, &format!("{indent}{below}"), all, lines);
        }
        rest = behind;
    }
}

/// The first and the last move of the stop, and how many lie between.
fn add_moves(moves: &[Node], indent: &str, last_branch: &str, lines: &mut Vec<Line>) {
    let [first, between @ .., last] = moves else { return };
    let line = |node: &Node, branch: &str| Line {
        time: seconds(happened_at(&node.event)),
        branch: format!("{indent}{branch}"),
        label: label(&node.event),
        text: tell(&node.event),
    };
    lines.push(line(first, "├─ "));
    lines.push(Line {
        time: " ".repeat(19),
        branch: format!("{indent}┊  "),
        label: format!("{} more moves", between.len()),
        text: "(--all shows each)".to_owned(),
    });
    lines.push(line(last, last_branch));
}

fn is_stop_move(node: &Node) -> bool {
    matches!(node.decoded, Some(Event::TrailingStopUpdated(_)))
}

/// The event's name in few words.
fn label(event: &RecordedEvent) -> String {
    let known = match event.event_type.as_str() {
        "POSITION_ARMED" => "armed",
        "POSITION_DISARMED" => "disarmed",
        "POSITION_OPENED" => "opened",
        "POSITION_CLOSED" => "closed",
        "POSITION_ERROR" => "error",
        "DETECTOR_STARTED" => "detector",
        "DETECTOR_STOPPED" => "detector stopped",
        "SIGNAL_DETECTED" => "signal",
        "SIGNAL_REJECTED" => "signal rejected",
        "TECHNICAL_STOP_ANALYZED" => "stop analysis",
        "RISK_CHECK_PASSED" => "risk check passed",
        "RISK_CHECK_FAILED" => "risk check failed",
        "DECISION_PROPOSED" => "decision",
        "INTENT_CREATED" => "intent",
        "INTENT_COMPLETED" => "intent completed",
        "ORDER_SUBMITTED" => "order",
        "ORDER_ACKED" => "accepted",
        "ORDER_REJECTED" => "order rejected",
        "ORDER_CANCELED" => "order ended",
        "FILL_RECEIVED" => "fill",
        "TRAILING_STOP_UPDATED" => "stop moved",
        "EXIT_TRIGGERED" => "exit",
        _ => "",
    };
    match known {
        "" => event.event_type.as_str().to_ascii_lowercase().replace('_', " "),
        known => known.to_owned(),
    }
}

fn node_json(node: &Node) -> serde_json::Value {
    let event = &node.event;
    let followed_by: Vec<serde_json::Value> = node.children.iter().map(node_json).collect();
    json!({
        "log_seq": event.log_seq,
        "event_id": event.event_id.to_string(),
        "event_type": event.event_type.as_str(),
        "occurred_at": event.occurred_at.to_string(),
        "causation_id": event.trace.causation_id.map(|id| id.to_string()),
        "trace_id": event.trace.trace_id.map(|id| id.to_string()),
        "text": tell(event),
        "payload": event.payload.value(),
        "followed_by": followed_by,
    })
}
