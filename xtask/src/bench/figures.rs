//! The figures: what is compared with what, the goals, and what bounds each of them.

use super::Backend;
use super::contest::Subject;
use super::measurement::{Key, Measurement, Results};
use super::plan::{self, Part};

/// One line of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) backends: &'static [Backend],
    pub(crate) unit: Unit,
    pub(crate) sense: Sense,
    pub(crate) must: f64,
    pub(crate) aim: f64,
    /// What it is that cannot be faster, or smaller, without something else changing.
    pub(crate) bound: &'static str,
    pub(crate) rests_on: &'static [Part],
    pub(crate) read: fn(&Results, Backend) -> Result<Reading, String>,
}

/// What was read for a figure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) value: f64,
    /// What was measured of ours.
    pub(crate) ours: String,
    /// What that was put in relation to.
    pub(crate) beside: String,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Times,
    Percent,
    Seconds,
    Milliseconds,
    Mebibytes,
}

/// Which values are the better ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    More,
    Less,
}

/// How a value stands to its goals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Aim,
    Must,
    Missed,
}

impl Figure {
    pub(crate) fn verdict(&self, value: f64) -> Verdict {
        let reaches = |goal| match self.sense {
            Sense::More => value >= goal,
            Sense::Less => value <= goal,
        };
        if reaches(self.aim) {
            Verdict::Aim
        } else if reaches(self.must) {
            Verdict::Must
        } else {
            Verdict::Missed
        }
    }

    pub(crate) fn goal(&self, value: f64) -> String {
        let sign = match self.sense {
            Sense::More => "≥",
            Sense::Less => "≤",
        };
        format!("{sign} {}", self.unit.write_goal(value))
    }
}

impl Unit {
    /// Two digits are enough to compare by.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::Times => format!("{value:.2}x"),
            Self::Percent => format!("{value:.0} %"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }

    fn write_goal(self, value: f64) -> String {
        match self {
            Self::Times => format!("{value}x"),
            Self::Percent => format!("{value} %"),
            Self::Seconds => format!("{value} s"),
            Self::Milliseconds => format!("{value} ms"),
            Self::Mebibytes => format!("{value} MiB"),
        }
    }
}

impl Verdict {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::Must => "must",
            Self::Missed => "MISSED",
        }
    }
}

const SQLITE: &[Backend] = &[Backend::Sqlite];
const POSTGRES: &[Backend] = &[Backend::Postgres];
const BOTH: &[Backend] = &Backend::ALL;

const WRITER: &str =
    "one core of the writer: folding, hashing and binding a batch, while the one before it is committed";

pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "append, 64 callers, against cqrs-es + sqlite-es",
        backends: SQLITE,
        unit: Unit::Times,
        sense: Sense::More,
        must: 6.0,
        aim: 10.0,
        bound: WRITER,
        rests_on: &[Part::Append(64)],
        read: |results, backend| rates(results, backend, 64, Subject::Cqrs),
    },
    Figure {
        name: "append, 256 callers, against cqrs-es + sqlite-es",
        backends: SQLITE,
        unit: Unit::Times,
        sense: Sense::More,
        must: 9.0,
        aim: 16.0,
        bound: WRITER,
        rests_on: &[Part::Append(256)],
        read: |results, backend| rates(results, backend, 256, Subject::Cqrs),
    },
    Figure {
        name: "append, 64 callers, against UmaDB",
        backends: SQLITE,
        unit: Unit::Times,
        sense: Sense::More,
        must: 1.0,
        aim: 2.0,
        bound: WRITER,
        rests_on: &[Part::Append(64)],
        read: |results, backend| rates(results, backend, 64, Subject::Umadb),
    },
    Figure {
        name: "append, 64 callers, against cqrs-es + postgres-es",
        backends: POSTGRES,
        unit: Unit::Times,
        sense: Sense::More,
        must: 3.0,
        aim: 5.0,
        bound: "the server's work for each row and index entry, and a flush for each commit",
        rests_on: &[Part::Append(64)],
        read: |results, backend| rates(results, backend, 64, Subject::Cqrs),
    },
    Figure {
        name: "append, 256 callers, against cqrs-es + postgres-es",
        backends: POSTGRES,
        unit: Unit::Times,
        sense: Sense::More,
        must: 3.5,
        aim: 6.0,
        bound: "the server's work for each row and index entry, and a flush for each commit",
        rests_on: &[Part::Append(256)],
        read: |results, backend| rates(results, backend, 256, Subject::Cqrs),
    },
    Figure {
        name: "append, 64 callers, against the ceiling",
        backends: BOTH,
        unit: Unit::Percent,
        sense: Sense::More,
        must: 60.0,
        aim: 90.0,
        bound: "what deciding, folding and hashing take that the ceiling has done beforehand, on the same cores",
        rests_on: &[Part::Append(64)],
        read: |results, backend| {
            let reading = rates(results, backend, 64, Subject::Ceiling)?;
            Ok(Reading { value: reading.value * 100.0, ..reading })
        },
    },
    Figure {
        name: "append, 1 caller, median latency against a raw durable insert",
        backends: BOTH,
        unit: Unit::Times,
        sense: Sense::Less,
        must: 2.0,
        aim: 1.2,
        bound: "one durable commit, and the two hand-overs between caller and writer",
        rests_on: &[Part::Append(1)],
        read: |results, backend| {
            let latency = |subject: Subject| {
                results.median(&key(backend, plan::APPEND, 1, subject.name()), |measured| measured.p50_us)
            };
            let (ours, raw) = (latency(Subject::Ledger)?, latency(Subject::Raw)?);
            Ok(Reading { value: ours / raw, ours: format!("{ours:.0} µs"), beside: format!("{raw:.0} µs") })
        },
    },
    Figure {
        name: "append, cost with a large log against a hundredth of it",
        backends: BOTH,
        unit: Unit::Times,
        sense: Sense::Less,
        must: 1.3,
        aim: 1.05,
        bound: "keys that begin with time: every insert is at the right edge of its index",
        rests_on: &[Part::LargeLog],
        read: |results, backend| {
            let rate = |log| results.median(&key(backend, plan::LARGE_APPEND, 64, log), rate_of);
            let (large, small) = (rate(plan::LARGE)?, rate(plan::SMALL)?);
            Ok(Reading { value: small / large, ours: per_second(large), beside: per_second(small) })
        },
    },
    Figure {
        name: "read of 1,000 events of one stream in a large log of 12 months",
        backends: BOTH,
        unit: Unit::Milliseconds,
        sense: Sense::Less,
        must: 50.0,
        aim: 10.0,
        bound: "a thousand rows that lie far apart, each a page of its own",
        rests_on: &[Part::LargeLog],
        read: |results, backend| {
            let log = key(backend, plan::READ_STREAM, 1, plan::LARGE);
            let median_us = results.median(&log, |measured| measured.p50_us)?;
            Ok(Reading {
                value: median_us / 1_000.0,
                ours: format!("{:.1} ms", median_us / 1_000.0),
                beside: String::new(),
            })
        },
    },
    Figure {
        name: "rebuild of all tables, events/s, against a bare scan of the log",
        backends: BOTH,
        unit: Unit::Percent,
        sense: Sense::More,
        must: 30.0,
        aim: 60.0,
        bound: "folding each event and writing each row that changed, where the scan does neither",
        rests_on: &[Part::Reading],
        read: |results, backend| {
            let rate = |what| results.median(&key(backend, plan::READING, 1, what), rate_of);
            let (ours, scan) = (rate(plan::REBUILD)?, rate(Subject::Scan.name())?);
            Ok(Reading { value: 100.0 * ours / scan, ours: per_second(ours), beside: per_second(scan) })
        },
    },
    Figure {
        name: "snapshot of an account with 10,000 orders, replay time saved",
        backends: BOTH,
        unit: Unit::Percent,
        sense: Sense::More,
        must: 90.0,
        aim: 99.0,
        bound: "reading and decoding the snapshot, then the events behind it",
        rests_on: &[Part::Snapshot],
        read: |results, backend| {
            let seconds = |what| {
                results.median(&key(backend, plan::SNAPSHOT, 1, what), |measured| Some(measured.seconds))
            };
            let (with, without) = (seconds(plan::FROM_SNAPSHOT)?, seconds(plan::FROM_BEGINNING)?);
            Ok(Reading {
                value: 100.0 * (1.0 - with / without),
                ours: format!("{with:.3} s"),
                beside: format!("{without:.3} s"),
            })
        },
    },
    Figure {
        name: "snapshot of an account with 10,000 orders, restore",
        backends: BOTH,
        unit: Unit::Seconds,
        sense: Sense::Less,
        must: 5.0,
        aim: 1.0,
        bound: "decompressing and decoding the rows",
        rests_on: &[Part::Snapshot],
        read: |results, backend| {
            let log = key(backend, plan::SNAPSHOT, 1, plan::FROM_SNAPSHOT);
            let seconds = results.median(&log, |measured| Some(measured.seconds))?;
            Ok(Reading { value: seconds, ours: format!("{seconds:.3} s"), beside: String::new() })
        },
    },
    Figure {
        name: "restart to ready with 1,000,000 events and a snapshot",
        backends: BOTH,
        unit: Unit::Seconds,
        sense: Sense::Less,
        must: 1.0,
        aim: 0.2,
        bound: "opening the database and checking the end of the log; nothing is folded again",
        rests_on: &[Part::Restart],
        read: |results, backend| {
            let daemon = key(backend, plan::RESTART, 1, plan::DAEMON);
            let seconds = results.median(&daemon, |measured| Some(measured.seconds))?;
            Ok(Reading { value: seconds, ours: format!("{seconds:.3} s"), beside: String::new() })
        },
    },
    Figure {
        name: "resident memory while replaying 1,000,000 events",
        backends: BOTH,
        unit: Unit::Mebibytes,
        sense: Sense::Less,
        must: 200.0,
        aim: 64.0,
        bound: "the rows that are held at a time, and a page of events",
        rests_on: &[Part::ReplayMemory],
        read: |results, backend| mebibytes(results, &key(backend, plan::REPLAY_MEMORY, 1, plan::REPLAY)),
    },
    Figure {
        name: "robsond, release and stripped",
        backends: SQLITE,
        unit: Unit::Mebibytes,
        sense: Sense::Less,
        must: 25.0,
        aim: 12.0,
        bound: "both databases, TLS and HTTP in one binary",
        rests_on: &[Part::Daemon],
        read: |results, backend| mebibytes(results, &key(backend, plan::DAEMON, 1, plan::BINARY)),
    },
    Figure {
        name: "robsond, idle resident memory",
        backends: SQLITE,
        unit: Unit::Mebibytes,
        sense: Sense::Less,
        must: 40.0,
        aim: 20.0,
        bound: "the pages of the binary that were touched, and the databases' page caches",
        rests_on: &[Part::Daemon],
        read: |results, backend| mebibytes(results, &key(backend, plan::DAEMON, 1, plan::IDLE)),
    },
];

fn key(backend: Backend, work: &str, callers: usize, subject: &str) -> Key {
    Key { backend, work: work.to_owned(), callers, subject: subject.to_owned() }
}

fn rate_of(measured: &Measurement) -> Option<f64> {
    Some(measured.rate())
}

fn rates(results: &Results, backend: Backend, callers: usize, other: Subject) -> Result<Reading, String> {
    let rate =
        |subject: Subject| results.median(&key(backend, plan::APPEND, callers, subject.name()), rate_of);
    let (ours, theirs) = (rate(Subject::Ledger)?, rate(other)?);
    Ok(Reading { value: ours / theirs, ours: per_second(ours), beside: per_second(theirs) })
}

fn mebibytes(results: &Results, key: &Key) -> Result<Reading, String> {
    let value = results.median(key, |measured| measured.extra_number("mebibytes"))?;
    Ok(Reading { value, ours: format!("{value:.1} MiB"), beside: String::new() })
}

/// A rate with its thousands apart.
pub(crate) fn per_second(rate: f64) -> String {
    format!("{}/s", thousands(rate))
}

pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(events: u32, seconds: f64) -> Measurement {
        Measurement::read(&format!("{{\"events\":{events},\"seconds\":{seconds}}}")).unwrap()
    }

    #[test]
    fn a_figure_is_a_ratio_of_medians() {
        let mut results = Results::default();
        let entry = |subject: Subject| key(Backend::Sqlite, plan::APPEND, 64, subject.name());
        results
            .rounds
            .insert(entry(Subject::Ledger), vec![measured(100, 1.0), measured(600, 1.0), measured(400, 1.0)]);
        let figure = &FIGURES[0];
        results.absent.insert(entry(Subject::Cqrs), "it was not built".to_owned());
        assert_eq!((figure.read)(&results, Backend::Sqlite).unwrap_err(), "it was not built");
        results.rounds.insert(entry(Subject::Cqrs), vec![measured(50, 1.0)]);
        let reading = (figure.read)(&results, Backend::Sqlite).unwrap();
        assert_eq!((reading.value, reading.ours.as_str()), (8.0, "400/s"));
        assert_eq!(figure.verdict(reading.value), Verdict::Must);
    }

    #[test]
    fn goals_point_the_right_way() {
        let cost = FIGURES.iter().find(|figure| figure.sense == Sense::Less).unwrap();
        assert_eq!(cost.verdict(cost.aim), Verdict::Aim);
        assert_eq!(cost.verdict(cost.must * 2.0), Verdict::Missed);
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(12.0), "12");
    }
}
