//! Measures the log: the ledger, and beside it what the database alone could do.
//!
//! `log subject=ledger url=sqlite:///tmp/a.db workload=append callers=64 events=20000` prints one line of JSON
//! for one round. Durable settings always. Decides nothing and compares nothing: `cargo xtask bench` asks the
//! subjects by turns and takes ratios.
//!
//! | subject | workloads | what is measured |
//! | --- | --- | --- |
//! | `ledger` | `append`, `batch100` | the log as the daemon uses it, all tables of the trader on |
//! | `ledger` | `read`, `digest` | a stream of a filled log; the digest of the whole log |
//! | `ledger` | `replay`, `rebuild` | the tables from the log, into a file beside it; rebuilt and switched over |
//! | `ceiling` | `append` | a loop by hand: the best prepared statements, the same rows, `batch=` events to a commit |
//! | `scan` | `scan` | an ordered scan of the log, nothing read into events |
//! | `disk` | `fdatasync` | what every commit waits for |
//! | `ledger` | `from-snapshot`, `from-beginning` | the rows of an account, by its snapshot and by its log |
//! | `orders` | `fill` | makes a log of `fill=` orders over `months=` months, which stays |
//! | `history`, `account` | `fill` | makes a log of `fill=` events, or orders, of made-up trading, which stays |
//!
//! `fill=` events are in the log before a round begins, over `months=` months; `batch=` sets the ceiling's
//! events to a commit. A SQLite file is made anew and removed; on Postgres a database is made on the server
//! that `url` names, and dropped. With `database=`, a log that was made by `fill` is used and stays.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints and stops at what goes wrong"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the machine's clock")]

mod ceiling;
mod database;
mod disk;
mod history;
mod ledger;
mod memory;
mod settings;
mod tables;
mod work;

use database::Database;
use robson_testkit::measure::{Round, Task};

fn main() {
    let task = Task::from_words(std::env::args().skip(1)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let round = runtime.block_on(run(&task));
    println!("{}", round.report(&task.subject, &task));
}

async fn run(task: &Task) -> Round {
    if task.subject == "disk" {
        return disk::fdatasync(&task.url, task.events);
    }
    let database = Database::of(task).await;
    let round = match (task.subject.as_str(), task.workload.as_str()) {
        ("ledger", "append") => ledger::append(&database, task, 1).await,
        ("ledger", "batch100") => ledger::append(&database, task, 100).await,
        ("ledger", "read") => ledger::read_stream(&database, task).await,
        ("ledger", "from-snapshot") => history::from_snapshot(&database).await,
        ("ledger", "from-beginning") => history::from_beginning(&database).await,
        ("ledger", "rebuild") => tables::rebuild(&database, task).await,
        ("ledger", "replay") => tables::replay(&database, task).await,
        ("ledger", "digest") => ledger::digest(&database, task).await,
        ("ceiling", "append") => ceiling::append(&database, task).await,
        ("scan", "scan") => ceiling::scan(&database, task).await,
        ("orders", "fill") => return database::fill_orders(database, task).await,
        ("history", "fill") => return history::fill(database, task).await,
        ("account", "fill") => return history::fill_account(database, task).await,
        (subject, workload) => panic!("{subject} has no workload {workload}"),
    };
    let settings = settings::read_back(&database.url).await;
    database.remove().await;
    memory::weighed(round).with("settings", settings)
}
