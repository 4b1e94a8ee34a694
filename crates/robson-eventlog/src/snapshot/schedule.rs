//! When a snapshot is due. Pure: it counts what it is told, and neither reads nor takes anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Scope;
use crate::event::RecordedEvent;
use crate::names::EventType;
use crate::time::Timestamp;

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// So many events had come since the last one.
    Events,
    /// So much time had passed since the last one.
    Time,
    /// A workflow had ended.
    Boundary,
    /// Somebody asked for it.
    Asked,
}

impl Reason {
    /// The text as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Time => "time",
            Self::Boundary => "boundary",
            Self::Asked => "asked",
        }
    }
}

/// What makes a snapshot due; each can be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// So many events of a scope since its last one, and at least as many as that one had rows: so that the work
    /// stays in proportion to the events, however large an account grows.
    pub events: Option<u64>,
    /// So much time since the first event of a scope that no snapshot has.
    pub period: Option<Duration>,
    /// Events that end a workflow: the narrowest scope of such an event is due at once.
    pub boundaries: BTreeSet<EventType>,
}

/// What has come of a scope since its last snapshot.
#[derive(Debug, Clone, Default)]
struct Pending {
    events: u64,
    since: Option<Timestamp>,
    is_at_boundary: bool,
    /// How many rows the last snapshot had.
    rows: u64,
}

/// Counts what comes, and tells what is due.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    triggers: Triggers,
    pending: BTreeMap<Scope, Pending>,
}

impl Schedule {
    /// Begins to count.
    pub fn new(triggers: Triggers) -> Self {
        Self { triggers, pending: BTreeMap::new() }
    }

    /// Whether nothing can ever be due.
    pub fn is_off(&self) -> bool {
        self.triggers == Triggers::default()
    }

    /// Takes note of an event of these scopes, the widest first.
    pub fn observe(&mut self, event: &RecordedEvent, scopes: &[Scope]) {
        let is_boundary = self.triggers.boundaries.contains(&event.event_type);
        for (index, scope) in scopes.iter().enumerate() {
            let is_at_boundary = is_boundary && index + 1 == scopes.len();
            self.add(scope.clone(), 1, event.ingested_at, is_at_boundary);
        }
    }

    /// Takes note of events that came before counting began.
    pub fn catch_up(&mut self, scope: Scope, events: u64, since: Timestamp) {
        if events > 0 {
            self.add(scope, events, since, false);
        }
    }

    fn add(&mut self, scope: Scope, events: u64, at: Timestamp, is_at_boundary: bool) {
        let pending = self.pending.entry(scope).or_default();
        pending.events += events;
        pending.since.get_or_insert(at);
        pending.is_at_boundary |= is_at_boundary;
    }

    /// What is due at an instant, and why.
    pub fn due(&self, now: Timestamp) -> Vec<(Scope, Reason)> {
        let reason = |pending: &Pending| {
            let is_full = |max: u64| pending.events >= max.max(pending.rows).max(1);
            let is_old = |period: Duration| {
                pending.since.and_then(|since| since.checked_add(period)).is_some_and(|due| due <= now)
            };
            if pending.is_at_boundary {
                Some(Reason::Boundary)
            } else if self.triggers.events.is_some_and(is_full) {
                Some(Reason::Events)
            } else {
                self.triggers.period.is_some_and(is_old).then_some(Reason::Time)
            }
        };
        let due = self.pending.iter().filter_map(|(scope, pending)| Some((scope.clone(), reason(pending)?)));
        due.collect()
    }

    /// Takes note of a snapshot with so many rows; nothing pends behind it. Of a small scope nothing is remembered:
    /// most of them end.
    pub fn taken(&mut self, scope: &Scope, rows: u64) {
        self.pending.remove(scope);
        if self.triggers.events.is_some_and(|max| rows > max) {
            self.pending.insert(scope.clone(), Pending { rows, ..Pending::default() });
        }
    }

    /// Forgets a scope of which there is nothing to take.
    pub fn forget(&mut self, scope: &Scope) {
        self.pending.remove(scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ChainHash, EventId, Fingerprint, Trace};
    use crate::payload::Payload;
    use crate::{Actor, ActorType, TenantId};

    fn event(event_type: &str, at: &str) -> RecordedEvent {
        let tenant = TenantId(uuid::Uuid::nil());
        let at = at.parse().unwrap();
        RecordedEvent {
            log_seq: 1,
            event_id: EventId::derive(at, 1, tenant, 1, 7),
            tenant,
            stream: "a:1".parse().unwrap(),
            seq: 1,
            event_type: event_type.parse().unwrap(),
            schema_version: 1,
            payload: Payload::new(&serde_json::json!({})).unwrap(),
            occurred_at: at,
            ingested_at: at,
            idempotency_key: Fingerprint::of_parts(&[]),
            trace: Trace::default(),
            actor: Actor::of(ActorType::System),
            prev_hash: ChainHash::GENESIS,
            hash: ChainHash::GENESIS,
        }
    }

    fn scope(kind: &'static str) -> Scope {
        Scope { kind, id: "1".to_owned() }
    }

    fn due(schedule: &Schedule, now: &str) -> Vec<(&'static str, Reason)> {
        schedule.due(now.parse().unwrap()).into_iter().map(|(scope, reason)| (scope.kind, reason)).collect()
    }

    #[test]
    fn so_many_events_make_a_snapshot_due_and_at_least_as_many_as_it_has_rows() {
        let mut schedule = Schedule::new(Triggers { events: Some(3), ..Triggers::default() });
        let (noon, account) = ("2026-01-15T12:00:00Z", scope("account"));
        for count in 1..=3 {
            assert_eq!(due(&schedule, noon), [], "before event {count}");
            schedule.observe(&event("ANY", noon), std::slice::from_ref(&account));
        }
        assert_eq!(due(&schedule, noon), [("account", Reason::Events)]);
        schedule.taken(&account, 5);
        for _ in 0..4 {
            schedule.observe(&event("ANY", noon), std::slice::from_ref(&account));
            assert_eq!(due(&schedule, noon), []);
        }
        schedule.observe(&event("ANY", noon), &[account]);
        assert_eq!(due(&schedule, noon), [("account", Reason::Events)]);
    }

    #[test]
    fn time_counts_from_the_first_event_that_no_snapshot_has() {
        let hour = Some(Duration::from_secs(3_600));
        let mut schedule = Schedule::new(Triggers { period: hour, ..Triggers::default() });
        let account = scope("account");
        schedule.observe(&event("ANY", "2026-01-15T12:00:00Z"), std::slice::from_ref(&account));
        schedule.observe(&event("ANY", "2026-01-15T12:30:00Z"), std::slice::from_ref(&account));
        assert_eq!(due(&schedule, "2026-01-15T12:59:59Z"), []);
        assert_eq!(due(&schedule, "2026-01-15T13:00:00Z"), [("account", Reason::Time)]);
        schedule.taken(&account, 1);
        assert_eq!(due(&schedule, "2026-01-16T13:00:00Z"), [], "nothing came since");
    }

    #[test]
    fn the_end_of_a_workflow_makes_its_narrowest_scope_due_at_once() {
        let boundaries = BTreeSet::from(["POSITION_CLOSED".parse().unwrap()]);
        let mut schedule = Schedule::new(Triggers { boundaries, ..Triggers::default() });
        let noon = "2026-01-15T12:00:00Z";
        let scopes = [scope("account"), scope("position")];
        schedule.observe(&event("POSITION_OPENED", noon), &scopes);
        assert_eq!(due(&schedule, noon), []);
        schedule.observe(&event("POSITION_CLOSED", noon), &scopes);
        assert_eq!(due(&schedule, noon), [("position", Reason::Boundary)]);
        schedule.taken(&scope("position"), 2);
        assert_eq!(due(&schedule, noon), []);
    }
}
