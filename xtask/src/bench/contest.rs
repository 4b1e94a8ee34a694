//! Contests: subjects that do the same work by turns, round by round.

use std::process::Command;
use std::time::Duration;

use super::measurement::{Key, Measurement};
use super::plan::Filled;
use super::{Backend, Bench};

/// One who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Our log, all tables on.
    Ledger,
    /// The best that can be written by hand against the same tables, with as many events to a commit as the
    /// ledger had.
    Ceiling,
    /// The same with one event to a commit: a raw durable insert of the same rows.
    Raw,
    /// An ordered read of the log that makes nothing of the rows.
    Scan,
    /// cqrs-es on the store for this database.
    Cqrs,
    /// UmaDB, which has a storage of its own.
    Umadb,
}

impl Subject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Ceiling => "ceiling",
            Self::Raw => "raw insert",
            Self::Scan => "bare scan",
            Self::Cqrs => "cqrs-es",
            Self::Umadb => "UmaDB",
        }
    }

    /// What our own program calls it.
    const fn word(self) -> &'static str {
        match self {
            Self::Ceiling | Self::Raw => "ceiling",
            Self::Scan => "scan",
            _ => "ledger",
        }
    }
}

/// How much work a round is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// As much as takes about the time that a round is meant to take; at least so many events.
    Timed(usize),
    /// What the workload says of itself.
    Whole,
}

/// The same work for several subjects.
#[derive(Debug, Clone)]
pub(crate) struct Contest {
    pub(crate) backend: Backend,
    /// What the results are filed under.
    pub(crate) work: &'static str,
    pub(crate) callers: usize,
    pub(crate) size: Size,
    pub(crate) entries: Vec<Entry>,
}

/// One subject's part in a contest.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) subject: Subject,
    /// What the results are filed under; the subject's name where nothing else is said.
    pub(crate) name: &'static str,
    /// What the program calls the work.
    pub(crate) workload: &'static str,
    /// A database that stays, in place of a new one for each round.
    pub(crate) database: Option<Filled>,
}

impl Entry {
    pub(crate) const fn new(subject: Subject, workload: &'static str) -> Self {
        Self { subject, name: subject.name(), workload, database: None }
    }
}

impl Contest {
    fn key(&self, entry: &Entry) -> Key {
        let (work, subject) = (self.work.to_owned(), entry.name.to_owned());
        Key { backend: self.backend, work, callers: self.callers, subject }
    }
}

impl Bench {
    /// Lets every subject of a contest have its rounds.
    pub(crate) fn hold(&mut self, contest: &Contest) {
        self.hold_for(contest, self.options.rounds);
    }

    /// The same for so many rounds.
    pub(crate) fn hold_for(&mut self, contest: &Contest, rounds: usize) {
        let mut batch = None;
        // A small round first: it warms what a process leaves behind, and tells how much work fills a round.
        let mut running: Vec<(&Entry, Option<usize>)> = Vec::new();
        for entry in &contest.entries {
            let Size::Timed(events_min) = contest.size else {
                running.push((entry, None));
                continue;
            };
            match self.ask(contest, entry, Some(events_min), &mut batch) {
                Ok(probe) => {
                    running.push((entry, Some(events_for(&probe, self.options.per_round, events_min))))
                }
                Err(reason) => self.leave_out(contest, entry, reason),
            }
        }
        for round in 0..rounds {
            for turn in 0..running.len() {
                // Nobody always comes after the same neighbour.
                let (entry, events) = running[(turn + round) % running.len()];
                let key = contest.key(entry);
                if self.results.absent.contains_key(&key) {
                    continue;
                }
                match self.ask(contest, entry, events, &mut batch) {
                    Ok(measured) => {
                        self.tell(&format!(
                            "{}, {}, {} callers, round {}: {} {:.0} events/s",
                            contest.backend.name(),
                            contest.work,
                            contest.callers,
                            round + 1,
                            entry.name,
                            measured.rate()
                        ));
                        self.results.rounds.entry(key).or_default().push(measured);
                    }
                    Err(reason) => self.leave_out(contest, entry, reason),
                }
            }
        }
    }

    fn leave_out(&mut self, contest: &Contest, entry: &Entry, reason: String) {
        self.tell(&format!("{}, {}: no {}: {reason}", contest.backend.name(), contest.work, entry.name));
        self.results.absent.insert(contest.key(entry), reason);
    }

    /// One round of one subject. `batch` is what the ledger last had in a commit, for the ceiling.
    fn ask(
        &mut self,
        contest: &Contest,
        entry: &Entry,
        events: Option<usize>,
        batch: &mut Option<f64>,
    ) -> Result<Measurement, String> {
        let mut words = vec![format!("workload={}", entry.workload), format!("callers={}", contest.callers)];
        words.extend(events.map(|events| format!("events={events}")));
        if let Some(database) = &entry.database {
            words.push(format!("database={}", database.as_ref().map_err(Clone::clone)?));
        }
        match (entry.subject, *batch) {
            (Subject::Raw, _) => words.push("batch=1".to_owned()),
            (Subject::Ceiling, Some(batch)) => words.push(format!("batch={:.0}", batch.max(1.0))),
            (Subject::Ceiling, None) => return Err("the ledger told no mean batch".to_owned()),
            _ => {}
        }
        let measured = self.measure(contest.backend, entry.subject, &words)?;
        if entry.subject == Subject::Ledger {
            *batch = measured.extra_number("mean_batch");
        }
        Ok(measured)
    }

    /// Asks a subject once, on a database of its own where the words name none.
    pub(crate) fn measure(
        &mut self,
        backend: Backend,
        subject: Subject,
        words: &[String],
    ) -> Result<Measurement, String> {
        let program = match subject {
            Subject::Cqrs => &self.programs.cqrs,
            Subject::Umadb => &self.programs.umadb,
            _ => &self.programs.log,
        };
        let program = program.clone()?;
        let url = if subject == Subject::Umadb {
            self.new_file("umadb")
        } else {
            match (backend, &self.server) {
                (Backend::Sqlite, _) => self.new_file("sqlite"),
                (Backend::Postgres, Some(server)) => server.url("postgres"),
                (Backend::Postgres, None) => return Err("no server was started".to_owned()),
            }
        };
        let mut command = Command::new(program);
        command.arg(format!("subject={}", subject.word())).arg(format!("url={url}")).args(words);
        let output = command.output().map_err(|error| format!("it did not start: {error}"))?;
        if !output.status.success() {
            return Err(why(&String::from_utf8_lossy(&output.stderr)));
        }
        Measurement::read(&String::from_utf8_lossy(&output.stdout)).map_err(|error| format!("{error:#}"))
    }

    /// A URL of a file that does not exist yet.
    pub(crate) fn new_file(&mut self, scheme: &str) -> String {
        self.files += 1;
        format!("{scheme}://{}", self.folder.join(format!("{}.{scheme}", self.files)).display())
    }
}

/// How many events fill a round, by a probe.
fn events_for(probe: &Measurement, per_round: Duration, events_min: usize) -> usize {
    let probed_us = Duration::try_from_secs_f64(probe.seconds).map_or(0, |time| time.as_micros()).max(1);
    let events = (per_round.as_micros() * events_min as u128) / probed_us;
    usize::try_from(events).unwrap_or(events_min).max(events_min)
}

/// The reason in what a failed program said: a panic's message, else its last line.
fn why(errors: &str) -> String {
    let mut lines = errors.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("note: "));
    let panic = lines.clone().skip_while(|line| !line.contains("panicked at")).nth(1);
    panic.or(lines.next_back()).unwrap_or("it failed and did not say why").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_as_many_events_as_fill_its_time() {
        let probe =
            |seconds| Measurement::read(&format!("{{\"events\":100,\"seconds\":{seconds}}}")).unwrap();
        let two_seconds = Duration::from_secs(2);
        assert_eq!(events_for(&probe(0.1), two_seconds, 100), 2_000);
        assert_eq!(events_for(&probe(30.0), two_seconds, 100), 100);
    }

    #[test]
    fn a_failure_says_why() {
        let panic =
            "starting\nthread 'main' panicked at x.rs:1:1:\nledger has no workload x\nnote: run with\n";
        assert_eq!(why(panic), "ledger has no workload x");
        assert_eq!(why("Error: connect\n\nCaused by:\n    refused\n"), "refused");
        assert_eq!(why(""), "it failed and did not say why");
    }
}
