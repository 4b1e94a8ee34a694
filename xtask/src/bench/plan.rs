//! What is measured, in which order.

use std::fs;

use super::contest::{Contest, Entry, Size, Subject};
use super::figures::FIGURES;
use super::{Backend, Bench};

/// The URL of a database that stays, or why there is none.
pub(crate) type Filled = Result<String, String>;

/// A part of the run; figures name the parts that they rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// One event per append, by so many callers.
    Append(usize),
    /// A hundred events per append.
    Batches,
    /// Scanning, folding, hashing a log of some size, and rebuilding the tables from it.
    Reading,
    /// A log of very many events: appending to it, reading one stream of it.
    LargeLog,
    /// Replay with a snapshot and without.
    Snapshot,
    /// How much memory a replay takes.
    ReplayMemory,
    /// The daemon's start on a long log.
    Restart,
    /// The daemon's size, on disk and in memory.
    Daemon,
}

const PARTS: [Part; 11] = [
    Part::Append(1),
    Part::Append(16),
    Part::Append(64),
    Part::Append(256),
    Part::Batches,
    Part::Reading,
    Part::Snapshot,
    Part::ReplayMemory,
    Part::Restart,
    Part::Daemon,
    Part::LargeLog,
];

// What results are filed under.
pub(crate) const APPEND: &str = "append";
pub(crate) const BATCHES: &str = "append of 100 events";
pub(crate) const READING: &str = "the whole log";
pub(crate) const REPLAY: &str = "replay";
pub(crate) const REBUILD: &str = "rebuild";
const DIGEST: &str = "digest";
pub(crate) const SNAPSHOT: &str = "rows of an account";
pub(crate) const FROM_SNAPSHOT: &str = "from a snapshot";
pub(crate) const FROM_BEGINNING: &str = "from the beginning";
pub(crate) const REPLAY_MEMORY: &str = "memory";
pub(crate) const RESTART: &str = "start";
pub(crate) const DAEMON: &str = "robsond";
pub(crate) const BINARY: &str = "binary";
pub(crate) const IDLE: &str = "idle";
pub(crate) const LARGE_APPEND: &str = "append to a long log";
pub(crate) const READ_STREAM: &str = "read of a stream";
pub(crate) const SMALL: &str = "small log";
pub(crate) const LARGE: &str = "large log";

/// How many events the log has that is read as a whole.
const READING_EVENTS: u64 = 200_000;
/// How many events a long log has, that memory and a restart are measured on.
pub(crate) const LONG_LOG_EVENTS: u64 = 1_000_000;
/// Over how many months a large log goes; on PostgreSQL each is a partition.
const MONTHS: u32 = 12;

impl Bench {
    /// Measures all that is asked for.
    pub(crate) fn run_parts(&mut self) {
        let backends = self.options.backends.clone();
        let parts: Vec<(Backend, Part)> = backends
            .into_iter()
            .flat_map(|backend| PARTS.map(|part| (backend, part)))
            .filter(|(backend, part)| self.wants(*backend, *part))
            .collect();
        self.parts = parts.len();
        for (backend, part) in parts {
            self.part += 1;
            self.run_part(backend, part);
        }
    }

    /// All parts, unless a figure was named: then those that it rests on.
    fn wants(&self, backend: Backend, part: Part) -> bool {
        let figures = || FIGURES.iter().filter(|figure| figure.backends.contains(&backend));
        let is_named =
            figures().any(|figure| self.options.wants(figure.name) && figure.rests_on.contains(&part));
        is_named || (self.options.only.is_none() && part != Part::Daemon)
    }

    fn run_part(&mut self, backend: Backend, part: Part) {
        match part {
            Part::Append(callers) => {
                let beside = if callers == 1 { Subject::Raw } else { Subject::Ceiling };
                let subjects =
                    [Subject::Ledger, beside, Subject::Cqrs].into_iter().chain(own_storage(backend));
                self.hold(&Contest {
                    backend,
                    work: APPEND,
                    callers,
                    size: Size::Timed(callers.max(20) * 10),
                    entries: subjects.map(|subject| Entry::new(subject, "append")).collect(),
                });
            }
            Part::Batches => {
                let subjects = [Subject::Ledger, Subject::Cqrs].into_iter().chain(own_storage(backend));
                self.hold(&Contest {
                    backend,
                    work: BATCHES,
                    callers: 16,
                    size: Size::Timed(4_000),
                    entries: subjects.map(|subject| Entry::new(subject, "batch100")).collect(),
                });
            }
            Part::Reading => self.read_log(backend),
            Part::LargeLog => self.use_large_log(backend),
            Part::Snapshot => self.hold(&Contest {
                backend,
                work: SNAPSHOT,
                callers: 1,
                size: Size::Whole,
                entries: vec![
                    Entry { name: FROM_SNAPSHOT, ..Entry::new(Subject::Ledger, "from-snapshot") },
                    Entry { name: FROM_BEGINNING, ..Entry::new(Subject::Ledger, "from-beginning") },
                ],
            }),
            Part::ReplayMemory => self.weigh_replay(backend),
            Part::Restart => self.restart_daemon(backend),
            Part::Daemon => self.weigh_daemon(backend),
        }
    }

    fn read_log(&mut self, backend: Backend) {
        let database = self.filled(backend, self.options.scaled(READING_EVENTS), 1);
        let entry = |name, subject, workload| Entry {
            name,
            database: Some(database.clone()),
            ..Entry::new(subject, workload)
        };
        self.hold(&Contest {
            backend,
            work: READING,
            callers: 1,
            size: Size::Whole,
            entries: vec![
                entry(Subject::Scan.name(), Subject::Scan, "scan"),
                entry(REPLAY, Subject::Ledger, "replay"),
                entry(REBUILD, Subject::Ledger, "rebuild"),
                entry(DIGEST, Subject::Ledger, "digest"),
            ],
        });
    }

    fn weigh_replay(&mut self, backend: Backend) {
        let database = self.filled(backend, self.options.scaled(LONG_LOG_EVENTS), 1);
        let entry = Entry { name: REPLAY, database: Some(database), ..Entry::new(Subject::Ledger, "replay") };
        self.hold(&Contest {
            backend,
            work: REPLAY_MEMORY,
            callers: 1,
            size: Size::Whole,
            entries: vec![entry],
        });
    }

    fn use_large_log(&mut self, backend: Backend) {
        let events = self.options.log_events;
        let small = self.filled(backend, events / 100, MONTHS);
        let large = self.filled(backend, events, MONTHS);
        let entry = |name, workload, database: &Filled| Entry {
            name,
            database: Some(database.clone()),
            ..Entry::new(Subject::Ledger, workload)
        };
        self.hold(&Contest {
            backend,
            work: READ_STREAM,
            callers: 1,
            size: Size::Whole,
            entries: vec![entry(SMALL, "read", &small), entry(LARGE, "read", &large)],
        });
        self.hold(&Contest {
            backend,
            work: LARGE_APPEND,
            callers: 64,
            size: Size::Timed(2_000),
            entries: vec![entry(SMALL, "append", &small), entry(LARGE, "append", &large)],
        });
        self.discard(backend, events);
    }

    /// The database that holds a log of so many events; made on first use.
    pub(crate) fn filled(&mut self, backend: Backend, events: u64, months: u32) -> Filled {
        if let Some(database) = self.databases.get(&(backend, events)) {
            return database.clone();
        }
        self.tell(&format!("{}: making a log of {events} events", backend.name()));
        let words = ["workload=fill".to_owned(), format!("fill={events}"), format!("months={months}")];
        let database = self.measure(backend, Subject::Ledger, &words).and_then(|made| {
            let url = made.extra.get("url").and_then(|url| url.as_str());
            url.map(str::to_owned).ok_or_else(|| "the program did not say where it made the log".to_owned())
        });
        if let Err(reason) = &database {
            self.tell(&format!("{}: no log of {events} events: {reason}", backend.name()));
        }
        self.databases.insert((backend, events), database.clone());
        database
    }

    /// Lets go of a file that takes much of the disk; a server's databases go with the server.
    fn discard(&mut self, backend: Backend, events: u64) {
        if let Some(Ok(url)) = self.databases.remove(&(backend, events))
            && let Some(path) = url.strip_prefix("sqlite://")
        {
            for suffix in ["", "-wal", "-shm", ".lock"] {
                // Some of them are not there.
                let _ = fs::remove_file(format!("{path}{suffix}"));
            }
        }
    }
}

/// UmaDB is compared once, beside the database that is a file as well.
fn own_storage(backend: Backend) -> Option<Subject> {
    (backend == Backend::Sqlite).then_some(Subject::Umadb)
}
