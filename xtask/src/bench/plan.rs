//! What is measured, in which order.

use std::fs;

use super::contest::{Contest, Entry, Size, Subject};
use super::figures::FIGURES;
use super::machine::free_bytes;
use super::{Backend, Bench};

/// The URL of a database that stays, or why there is none.
pub(crate) type Filled = Result<String, String>;

/// What a log is made of that stays for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Orders, as those that are appended, over twelve months; one stream has a thousand events.
    Orders,
    /// Made-up trading: positions, orders, fills, balances.
    History,
    /// The same, until the account has so many orders; a snapshot of it was taken.
    Account,
}

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
/// How many orders the account has of which a snapshot is taken.
const ACCOUNT_ORDERS: u64 = 10_000;
/// What an event takes on disk, with its keys, its stream and its order.
const BYTES_PER_EVENT: u64 = 2_400;
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
            Part::Snapshot => self.restore_account(backend),
            Part::ReplayMemory => self.weigh_replay(backend),
            Part::Restart => self.restart_daemon(backend),
            Part::Daemon => self.weigh_daemon(backend),
        }
    }

    fn read_log(&mut self, backend: Backend) {
        let database = self.filled(backend, Kind::History, self.options.scaled(READING_EVENTS));
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
        let database = self.filled(backend, Kind::History, self.options.scaled(LONG_LOG_EVENTS));
        let entry = Entry { name: REPLAY, database: Some(database), ..Entry::new(Subject::Ledger, "replay") };
        self.hold(&Contest {
            backend,
            work: REPLAY_MEMORY,
            callers: 1,
            size: Size::Whole,
            entries: vec![entry],
        });
    }

    fn restore_account(&mut self, backend: Backend) {
        let database = self.filled(backend, Kind::Account, self.options.scaled(ACCOUNT_ORDERS));
        let entry = |name, workload| Entry {
            name,
            database: Some(database.clone()),
            ..Entry::new(Subject::Ledger, workload)
        };
        self.hold(&Contest {
            backend,
            work: SNAPSHOT,
            callers: 1,
            size: Size::Whole,
            entries: vec![entry(FROM_SNAPSHOT, "from-snapshot"), entry(FROM_BEGINNING, "from-beginning")],
        });
    }

    fn use_large_log(&mut self, backend: Backend) {
        let events = self.options.log_events;
        let small = self.filled(backend, Kind::Orders, events / 100);
        let large = self.filled(backend, Kind::Orders, events);
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
            entries: vec![entry(LARGE, "read", &large)],
        });
        self.hold(&Contest {
            backend,
            work: LARGE_APPEND,
            callers: 64,
            size: Size::Timed(2_000),
            entries: vec![entry(SMALL, "append", &small), entry(LARGE, "append", &large)],
        });
        self.discard(backend, Kind::Orders, events);
    }

    /// The database that holds a log of so many events; made on first use.
    pub(crate) fn filled(&mut self, backend: Backend, kind: Kind, events: u64) -> Filled {
        if let Some(database) = self.databases.get(&(backend, kind, events)) {
            return database.clone();
        }
        // The write-ahead log and a sort may need some more; and nobody else's work shall fail for want of space.
        let bytes_needed = events.saturating_mul(BYTES_PER_EVENT) * 5 / 4;
        if let Some(bytes_free) = free_bytes(&self.folder).filter(|free| *free < bytes_needed) {
            let gib = |bytes: u64| bytes / (1 << 30);
            let (free, needed) = (gib(bytes_free), gib(bytes_needed));
            return Err(format!("a log of {events} needs about {needed} GiB, and the disk has {free} left"));
        }
        self.tell(&format!("{}: making a log of {events} ({kind:?})", backend.name()));
        let subject = match kind {
            Kind::Orders => "orders",
            Kind::History => "history",
            Kind::Account => "account",
        };
        let fill = format!("fill={events}");
        let words =
            [format!("subject={subject}"), "workload=fill".to_owned(), fill, format!("months={MONTHS}")];
        let database = self.measure(backend, Subject::Ledger, &words).and_then(|made| {
            let url = made.extra.get("url").and_then(|url| url.as_str());
            url.map(str::to_owned).ok_or_else(|| "the program did not say where it made the log".to_owned())
        });
        if let Err(reason) = &database {
            self.tell(&format!("{}: no log of {events} ({kind:?}): {reason}", backend.name()));
        }
        self.databases.insert((backend, kind, events), database.clone());
        database
    }

    /// Lets go of a file that takes much of the disk; a server's databases go with the server.
    fn discard(&mut self, backend: Backend, kind: Kind, events: u64) {
        if let Some(Ok(url)) = self.databases.remove(&(backend, kind, events))
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
