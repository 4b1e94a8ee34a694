//! Measures the log: the ledger, and beside it what the database alone could do.
//!
//! `log subject=ledger url=sqlite:///tmp/a.db workload=append callers=64 events=20000` prints one JSON object
//! per round on standard output. Durable settings always. Decides nothing and compares nothing: whoever runs
//! it alternates the subjects and takes ratios.
//!
//! | subject | workloads | what is measured |
//! | --- | --- | --- |
//! | `ledger` | `append`, `batch100`, `read`, `replay`, `rebuild`, `digest` | the log as the daemon uses it, all tables of the trader on |
//! | `ceiling` | `append` | a loop by hand: the best prepared statements, the same rows, `batch=` events to a commit |
//! | `scan` | `scan` | an ordered scan of the log, nothing read into events |
//! | `disk` | `fdatasync` | what every commit waits for |
//! | `ledger` | `fill` | nothing: makes a log that stays, and tells its `url` |
//!
//! `fill=` events are in the log before a round begins, over `months=` months. Without `database=`, which
//! names a log that stays, a SQLite file is made anew and removed; on Postgres a database is made on the
//! server that `url=` names, and dropped.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints and stops at what goes wrong"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the machine's clock")]

mod ceiling;
mod database;
mod disk;
mod ledger;
mod report;
mod work;

use std::collections::BTreeMap;

use database::Database;
use report::Round;

/// What is to be measured, as the command line says.
struct Plan {
    subject: String,
    url: String,
    database: Option<String>,
    workload: String,
    callers: usize,
    events: u64,
    batch: usize,
    fill: u64,
    months: i64,
}

impl Plan {
    /// Reads `name=value` words; what cargo adds (`--bench`) is left out.
    fn read(words: impl Iterator<Item = String>) -> Self {
        let words: Vec<String> = words.filter(|word| !word.starts_with("--")).collect();
        let pair =
            |word: &'_ String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut values: BTreeMap<String, String> =
            words.iter().map(|word| pair(word).unwrap_or_else(|| panic!("{word}: not name=value"))).collect();
        let mut take = |name: &str, default: &str| values.remove(name).unwrap_or_else(|| default.to_owned());
        let plan = Self {
            subject: take("subject", "ledger"),
            url: take("url", "memory:"),
            database: Some(take("database", "")).filter(|url| !url.is_empty()),
            workload: take("workload", "append"),
            callers: take("callers", "64").parse().unwrap(),
            events: take("events", "20000").parse().unwrap(),
            batch: take("batch", "64").parse().unwrap(),
            fill: take("fill", "0").parse().unwrap(),
            months: take("months", "1").parse().unwrap(),
        };
        assert!(values.is_empty(), "there is no {values:?}");
        plan
    }
}

fn main() {
    let plan = Plan::read(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let round = runtime.block_on(run(&plan));
    println!("{}", round.to_json(&plan));
}

async fn run(plan: &Plan) -> Round {
    if plan.subject == "disk" {
        return disk::fdatasync(&plan.url, plan.events);
    }
    let database = match &plan.database {
        Some(url) => Database::that_stays(url),
        None => Database::make(&plan.url).await,
    };
    if plan.workload == "fill" {
        let url = database.keep(plan).await;
        return Round::new(plan.fill, std::time::Duration::ZERO, Vec::new()).with("url", url);
    }
    let round = match (plan.subject.as_str(), plan.workload.as_str()) {
        ("ledger", "append") => ledger::append(&database, plan, 1).await,
        ("ledger", "batch100") => ledger::append(&database, plan, 100).await,
        ("ledger", "read") => ledger::read_stream(&database, plan).await,
        ("ledger", "replay") => ledger::replay(&database, plan).await,
        ("ledger", "rebuild") => ledger::rebuild(&database, plan).await,
        ("ledger", "digest") => ledger::digest(&database, plan).await,
        ("ceiling", "append") => ceiling::append(&database, plan).await,
        ("scan", "scan") => ceiling::scan(&database, plan).await,
        (subject, workload) => panic!("{subject} has no workload {workload}"),
    };
    database.remove().await;
    round
}
