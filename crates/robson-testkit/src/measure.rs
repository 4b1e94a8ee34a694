//! Measuring one subject of a benchmark: what it is asked, concurrent callers, what it answers.
//!
//! A subject is a program that measures one round on a database of its own and prints one line of JSON.
//! Ours and those that they are compared with use this same loop. Compares nothing and keeps nothing.

use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::sync::Barrier;

/// What a subject is asked to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Which of the program's subjects; empty where it has but one.
    pub subject: String,
    /// The database: a file that is made anew and removed, or a server on which one is made and dropped.
    pub url: String,
    /// A database that was made before and stays, in place of a new one.
    pub database: Option<String>,
    /// What is done, such as `append`.
    pub workload: String,
    /// How many callers ask at the same time.
    pub callers: usize,
    /// How many events are written or read in the measured part.
    pub events: u64,
    /// How many events go into one commit, where the subject itself forms them.
    pub batch: usize,
    /// How many events lie in the log before the measured part.
    pub fill: u64,
    /// Over how many months those are spread.
    pub months: i64,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            subject: String::new(),
            url: "memory:".to_owned(),
            database: None,
            workload: "append".to_owned(),
            callers: 64,
            events: 20_000,
            batch: 64,
            fill: 0,
            months: 1,
        }
    }
}

impl Task {
    /// Reads a command line of `name=value` words; what cargo adds (`--bench`) is left out.
    ///
    /// # Errors
    /// Says which word it does not understand.
    pub fn from_words(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut task = Self::default();
        for word in words.into_iter().filter(|word| !word.starts_with("--")) {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: not name=value"))?;
            match name {
                "subject" => task.subject = value.to_owned(),
                "url" => task.url = value.to_owned(),
                "database" => task.database = Some(value.to_owned()),
                "workload" => task.workload = value.to_owned(),
                "callers" => task.callers = above_zero(name, value)?,
                "events" => task.events = above_zero(name, value)?,
                "batch" => task.batch = above_zero(name, value)?,
                "months" => task.months = above_zero(name, value)?,
                "fill" => task.fill = value.parse().map_err(|_| format!("fill is no number: {value}"))?,
                _ => return Err(format!("there is no {name}")),
            }
        }
        Ok(task)
    }

    /// The database's kind, by its URL.
    #[must_use]
    pub fn backend(&self) -> &str {
        let url = self.database.as_ref().unwrap_or(&self.url);
        match url.split_once(':').map_or(url.as_str(), |(scheme, _)| scheme) {
            "postgresql" => "postgres",
            scheme => scheme,
        }
    }
}

fn above_zero<N: FromStr + PartialOrd + From<u8>>(name: &str, value: &str) -> Result<N, String> {
    let number = value.parse().ok().filter(|number| *number > N::from(0));
    number.ok_or_else(|| format!("{name} is no number above 0: {value}"))
}

/// How long a measured part took, as a whole and for each caller's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    /// From the first request to the last answer.
    pub total: Duration,
    /// Each request's time, in any order; empty where there was but one piece of work.
    pub waits: Vec<Duration>,
}

impl From<Duration> for Took {
    fn from(total: Duration) -> Self {
        Self { total, waits: Vec::new() }
    }
}

/// What one round measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    events: u64,
    took: Took,
    extra: Map<String, Value>,
}

impl Round {
    /// So many events in such a time.
    #[must_use]
    pub fn new(events: u64, took: impl Into<Took>) -> Self {
        Self { events, took: took.into(), extra: Map::new() }
    }

    /// Adds what else is worth knowing.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// The line that the subject prints.
    #[must_use]
    pub fn report(&self, subject: &str, task: &Task) -> String {
        let mut waits = self.took.waits.clone();
        waits.sort_unstable();
        let percentile_us = |percent: usize| {
            let last = waits.len().checked_sub(1)?;
            waits.get(last * percent / 100).map(|wait| wait.as_secs_f64() * 1e6)
        };
        json!({
            "subject": subject,
            "backend": task.backend(),
            "workload": task.workload,
            "callers": task.callers,
            "events": self.events,
            "seconds": self.took.total.as_secs_f64(),
            "p50_us": percentile_us(50),
            "p99_us": percentile_us(99),
            "extra": self.extra,
        })
        .to_string()
    }
}

/// Lets `callers` tasks make `requests` requests together: each takes the next number and waits for its answer.
///
/// # Errors
/// The first failure of a request, after which the others' callers have stopped too.
pub async fn measure<R, F, E>(callers: usize, requests: u64, request: R) -> Result<Took, String>
where
    R: Fn(u64) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), E>> + Send,
    E: Display + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let start = Arc::new(Barrier::new(callers + 1));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (next, start, request) = (Arc::clone(&next), Arc::clone(&start), request.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                start.wait().await;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return Ok(waits);
                    }
                    let (outcome, wait) = timed(request(number)).await;
                    if let Err(failure) = outcome {
                        next.fetch_max(requests, Ordering::Relaxed);
                        return Err(failure.to_string());
                    }
                    waits.push(wait);
                }
            })
        })
        .collect();
    let (outcome, total) = timed(async {
        start.wait().await;
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.map_err(|failure| failure.to_string())??);
        }
        Ok::<_, String>(all)
    })
    .await;
    Ok(Took { total, waits: outcome? })
}

/// Runs something to its end and tells how long it took.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time; nothing depends on it")]
pub async fn timed<F: Future>(work: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = work.await;
    (output, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_task_is_read_from_the_command_line() {
        let task = Task::from_words(words("url=postgres://host/x --bench callers=16 fill=0")).unwrap();
        assert_eq!((task.backend(), task.callers, task.fill, task.events), ("postgres", 16, 0, 20_000));
        assert!(Task::from_words(words("callers=0")).is_err());
        assert!(Task::from_words(words("callers")).is_err());
        assert!(Task::from_words(words("caller=1")).is_err());
    }

    #[tokio::test]
    async fn every_request_is_made_once_and_timed() {
        let made = Arc::new(std::sync::Mutex::new(Vec::new()));
        let request = {
            let made = Arc::clone(&made);
            move |number| {
                made.lock().unwrap().push(number);
                std::future::ready(Ok::<(), String>(()))
            }
        };
        let took = measure(3, 100, request).await.unwrap();
        let mut made = made.lock().unwrap().clone();
        made.sort_unstable();
        assert_eq!(made, (0..100).collect::<Vec<_>>());
        assert_eq!(took.waits.len(), 100);
        let line = Round::new(100, took).with("commits", 7).report("x", &Task::default());
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&line["subject"], &line["events"], &line["extra"]["commits"]),
            (&json!("x"), &json!(100), &json!(7))
        );
        assert!(line["p50_us"].as_f64() <= line["p99_us"].as_f64());
    }

    #[tokio::test]
    async fn a_failed_request_ends_the_measurement() {
        let request = |number| std::future::ready(if number == 5 { Err("refused") } else { Ok(()) });
        assert_eq!(measure(4, 1_000_000, request).await.unwrap_err(), "refused");
    }
}
