//! A child process that appends until it is killed: the test binary itself, started with arguments of ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use robson_eventlog::{Append, Ledger, LedgerOptions};

use crate::clock::TestClock;
use crate::env::Env;
use crate::erased::SharedStore;
use crate::fixtures::{appended, at, event};
use crate::harness::Harness;

/// The first argument of a child.
const CHILD: &str = "--append-until-killed";

/// Starts a child, kills it once it has acknowledged so many appends, and answers the last place it named.
pub(crate) fn run_and_kill(
    backend: &str,
    address: &str,
    appends: usize,
    events: usize,
) -> anyhow::Result<i64> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, backend, address, &events.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(child.stdout.take().context("the child has no output")?);
    let acknowledged = output.lines().take(appends).last();
    // On Unix this is SIGKILL: nothing in the child runs any more.
    child.kill()?;
    child.wait()?;
    Ok(acknowledged.context("the child ended before it appended")??.trim().parse()?)
}

/// Becomes such a child if the arguments say so; a harness that is not meant does nothing.
pub(crate) fn append_if_asked<H: Harness>(harness: &H) -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, flag, backend, address, events] = arguments.as_slice() else { return None };
    if flag != CHILD {
        return None;
    }
    if backend != harness.name() {
        return Some(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let events = events.parse()?;
        runtime.block_on(append_until_killed(harness, address, events))
    });
    // Only an error ends it; its parent may have gone away, which is one.
    let _ = writeln!(std::io::stderr(), "the child ended: {ended:?}");
    Some(ExitCode::FAILURE)
}

async fn append_until_killed<H: Harness>(harness: &H, address: &str, events: i64) -> anyhow::Result<()> {
    let store = Arc::new(SharedStore::new(harness.open_at(address).await?));
    let clock = Arc::new(TestClock::at(at("2026-01-15T12:00:00Z")));
    let options = LedgerOptions::new(Env::TENANT, "suite".parse()?, clock);
    let ledger = Ledger::open(store, options).await?;
    for round in 0_i64.. {
        let events = (0..events).map(|n| event(&format!("round:{}", round % 5), n)).collect();
        let receipts = appended(ledger.append(Append::events(events)).await?)?;
        let last = receipts.events.last().context("an append of nothing")?;
        let mut output = std::io::stdout();
        writeln!(output, "{}", last.log_seq)?;
        output.flush()?;
    }
    Ok(())
}
