//! What a subject printed, and medians over its rounds.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Backend;

/// One round of one subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) events: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    pub(crate) extra: Map<String, Value>,
}

impl Measurement {
    /// Reads a subject's output: its last line of JSON; other lines are its own affair.
    pub(crate) fn read(output: &str) -> Result<Self> {
        let line =
            output.lines().rev().find(|line| line.starts_with('{')).context("it printed no measurement")?;
        let value: Value = serde_json::from_str(line).with_context(|| format!("read `{line}`"))?;
        let number = |name: &str| value[name].as_f64().with_context(|| format!("`{line}` has no {name}"));
        Ok(Self {
            events: number("events")?,
            seconds: number("seconds")?,
            p50_us: value["p50_us"].as_f64(),
            p99_us: value["p99_us"].as_f64(),
            extra: value["extra"].as_object().cloned().unwrap_or_default(),
        })
    }

    pub(crate) fn rate(&self) -> f64 {
        self.events / self.seconds.max(1e-9)
    }

    pub(crate) fn extra_number(&self, name: &str) -> Option<f64> {
        self.extra.get(name)?.as_f64()
    }

    fn to_json(&self) -> Value {
        json!({
            "events": self.events,
            "seconds": self.seconds,
            "p50_us": self.p50_us,
            "p99_us": self.p99_us,
            "extra": self.extra,
        })
    }
}

/// What was measured: in whose table, doing what, by how many callers, on which subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) backend: Backend,
    pub(crate) work: String,
    pub(crate) callers: usize,
    pub(crate) subject: String,
}

/// All rounds so far, and what could not be measured, with the reason.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rounds: BTreeMap<Key, Vec<Measurement>>,
    pub(crate) absent: BTreeMap<Key, String>,
}

impl Results {
    /// The median over the rounds of one number.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(crate) fn median(
        &self,
        key: &Key,
        number: impl Fn(&Measurement) -> Option<f64>,
    ) -> Result<f64, String> {
        let rounds = self.rounds.get(key).map(Vec::as_slice).unwrap_or_default();
        let numbers = rounds.iter().filter_map(number).collect();
        median(numbers).ok_or_else(|| match self.absent.get(key) {
            Some(reason) => reason.clone(),
            None => format!("{} was not asked", key.subject),
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        let rounds = self.rounds.iter().map(|(key, rounds)| {
            json!({
                "table": key.backend.name(),
                "work": key.work,
                "callers": key.callers,
                "subject": key.subject,
                "rounds": rounds.iter().map(Measurement::to_json).collect::<Vec<_>>(),
            })
        });
        rounds.collect()
    }
}

/// The middle one; of an even count the mean of the middle two.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = numbers.get(middle)?;
    Some(if numbers.len().is_multiple_of(2) { f64::midpoint(numbers[middle - 1], *upper) } else { *upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }

    #[test]
    fn a_measurement_is_found_among_other_lines() {
        let output = "UmaDB is listening\n{\"events\":10,\"seconds\":0.5,\"p50_us\":null,\"extra\":{\"commits\":2}}\nbye\n";
        let measured = Measurement::read(output).unwrap();
        assert_eq!(
            (measured.rate(), measured.p50_us, measured.extra_number("commits")),
            (20.0, None, Some(2.0))
        );
        assert!(Measurement::read("nothing").is_err());
        assert!(Measurement::read("{\"events\":10}").is_err());
    }
}
