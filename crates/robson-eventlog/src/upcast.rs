//! Upcasting: a payload of an older revision is read as the newest one, revision by revision.
//!
//! The log keeps what was written, for ever; only its reading changes. Which types there are and what their
//! revisions look like is the business of whoever writes them: they hand in a chain per type.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::event::RecordedEvent;

/// Takes a payload from one revision to the next; what cannot be taken is told in words.
pub type Upcast = fn(Value) -> Result<Value, String>;

/// Why a payload cannot be read as its type's newest revision. Stop, or park the event: never skip it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// No chain was handed in for the type.
    #[error("unknown event type `{0}`")]
    UnknownType(String),
    /// A newer program wrote it.
    #[error("{event_type} revision {revision} is newer than the known {newest}")]
    Newer {
        /// The type.
        event_type: String,
        /// The revision that was written.
        revision: i64,
        /// The newest one that is known.
        newest: i64,
    },
    /// Revisions count from 1.
    #[error("{event_type} has no revision {revision}")]
    NoRevision {
        /// The type.
        event_type: String,
        /// The revision that was written.
        revision: i64,
    },
    /// A step could not take it.
    #[error("{event_type} revision {from} as {}: {reason}", from + 1)]
    Step {
        /// The type.
        event_type: String,
        /// The revision that the step takes.
        from: i64,
        /// What is wrong.
        reason: String,
    },
}

/// The chains of some event types: the first step takes revision 1 to 2, the next 2 to 3, and so on.
#[derive(Debug, Clone, Default)]
pub struct Upcasters {
    chains: BTreeMap<&'static str, &'static [Upcast]>,
}

impl Upcasters {
    /// The chain of each type; one without older revisions has an empty one.
    pub fn new(chains: impl IntoIterator<Item = (&'static str, &'static [Upcast])>) -> Self {
        Self { chains: chains.into_iter().collect() }
    }

    /// The newest revision of a type: one more than its chain has steps.
    pub fn newest(&self, event_type: &str) -> Option<i64> {
        self.chains.get(event_type).map(|steps| newest(steps))
    }

    /// The payload of a recorded event as its newest revision has it; the event itself stays as it is.
    ///
    /// # Errors
    /// See [`UpcastError`].
    pub fn payload(&self, event: &RecordedEvent) -> Result<Value, UpcastError> {
        self.upcast(event.event_type.as_str(), event.schema_version, event.payload.value())
    }

    /// A payload as the newest revision of its type has it.
    ///
    /// # Errors
    /// See [`UpcastError`].
    pub fn upcast(&self, event_type: &str, revision: i64, payload: Value) -> Result<Value, UpcastError> {
        let steps = self.chains.get(event_type);
        let event_type = || event_type.to_owned();
        let steps = *steps.ok_or_else(|| UpcastError::UnknownType(event_type()))?;
        let newest = newest(steps);
        if revision > newest {
            return Err(UpcastError::Newer { event_type: event_type(), revision, newest });
        }
        let older = revision.checked_sub(1).and_then(|older| usize::try_from(older).ok());
        let older = older.ok_or_else(|| UpcastError::NoRevision { event_type: event_type(), revision })?;
        (revision..).zip(&steps[older..]).try_fold(payload, |payload, (from, step)| {
            step(payload).map_err(|reason| UpcastError::Step { event_type: event_type(), from, reason })
        })
    }
}

fn newest(steps: &[Upcast]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STEPS: &[Upcast] = &[
        |payload| Ok(json!({"second": payload["first"]})),
        |payload| match &payload["second"] {
            Value::Null => Err("there is no `second`".to_owned()),
            second => Ok(json!({"third": [second, payload.get("kept")]})),
        },
    ];

    fn check(event_type: &str, revision: i64, payload: Value, expected: Result<Value, &str>) {
        let upcasters = Upcasters::new([("CHANGED", STEPS), ("PLAIN", &[])]);
        let found = upcasters.upcast(event_type, revision, payload).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{event_type} {revision}");
    }

    #[test]
    fn every_revision_is_read_as_the_newest() {
        check("CHANGED", 1, json!({"first": 1, "kept": 2}), Ok(json!({"third": [1, null]})));
        check("CHANGED", 2, json!({"second": 1, "kept": 2}), Ok(json!({"third": [1, 2]})));
        check("CHANGED", 3, json!({"third": 1}), Ok(json!({"third": 1})));
        check("PLAIN", 1, json!({"a": 1}), Ok(json!({"a": 1})));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_says_why() {
        check("CHANGED", 4, json!({}), Err("CHANGED revision 4 is newer than the known 3"));
        check(
            "CHANGED",
            i64::MAX,
            json!({}),
            Err("CHANGED revision 9223372036854775807 is newer than the known 3"),
        );
        check("PLAIN", 2, json!({}), Err("PLAIN revision 2 is newer than the known 1"));
        check("CHANGED", 0, json!({}), Err("CHANGED has no revision 0"));
        check("CHANGED", i64::MIN, json!({}), Err("CHANGED has no revision -9223372036854775808"));
        check("CHANGED", 2, json!({}), Err("CHANGED revision 2 as 3: there is no `second`"));
        check("OTHER", 1, json!({}), Err("unknown event type `OTHER`"));
    }

    #[test]
    fn a_type_says_its_newest_revision() {
        let upcasters = Upcasters::new([("CHANGED", STEPS), ("PLAIN", &[])]);
        assert_eq!((upcasters.newest("CHANGED"), upcasters.newest("PLAIN")), (Some(3), Some(1)));
        assert_eq!(upcasters.newest("OTHER"), None);
    }
}
