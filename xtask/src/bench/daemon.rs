//! The daemon as a user starts it: how soon it is ready, how large it is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use robson_testkit::wait_until;
use serde_json::{Map, json};

use super::machine::Stopwatch;
use super::measurement::{Key, Measurement};
use super::plan::{BINARY, DAEMON, IDLE, Kind, LONG_LOG_EVENTS, RESTART};
use super::{Backend, Bench};
use crate::cargo::root;

/// The tenant of the logs that are made for the benchmark.
const TENANT: &str = "01920000-0000-7000-8000-000000000001";
const FEED: &str = "BTCUSD=examples/data/demo-btcusd-1h.csv";
const PLAN: &str = "examples/plans/demo.toml";
const READY_SECONDS_MAX: u32 = 120;
const STOP_SECONDS_MAX: u32 = 30;

impl Bench {
    /// Starts the daemon on a long log, again and again.
    pub(super) fn restart_daemon(&mut self, backend: Backend) {
        let database = self.filled(backend, Kind::History, self.options.scaled(LONG_LOG_EVENTS));
        let restarts = self.programs.robsond.clone().and_then(|program| {
            let database = database?;
            restart(&program, &database, self.options.rounds).map_err(|error| format!("{error:#}"))
        });
        let rounds = restarts.map(|all| all.into_iter().map(|took| measurement(took, None)).collect());
        self.file(backend, RESTART, DAEMON, rounds);
    }

    /// The binary's size, and what a daemon takes that has played its feed and waits.
    pub(super) fn weigh_daemon(&mut self, backend: Backend) {
        let binary = self.programs.robsond.clone().and_then(|program| {
            let bytes = fs::metadata(&program).map_err(|error| format!("{error}"))?.len();
            Ok(vec![measurement(Duration::ZERO, Some(bytes))])
        });
        self.file(backend, DAEMON, BINARY, binary);
        let idle = self.programs.robsond.clone().and_then(|program| {
            let rounds = 0..self.options.rounds;
            let weights = rounds.map(|_| {
                let url = self.new_file(backend.name());
                weigh_idle(&program, &url).map(|bytes| measurement(Duration::ZERO, Some(bytes)))
            });
            weights.collect::<Result<Vec<_>>>().map_err(|error| format!("{error:#}"))
        });
        self.file(backend, DAEMON, IDLE, idle);
    }

    fn file(
        &mut self,
        backend: Backend,
        work: &str,
        subject: &str,
        rounds: Result<Vec<Measurement>, String>,
    ) {
        let key = Key { backend, work: work.to_owned(), callers: 1, subject: subject.to_owned() };
        match rounds {
            Ok(rounds) => {
                self.tell(&format!("{}, {work}: {subject} measured", backend.name()));
                self.results.rounds.insert(key, rounds);
            }
            Err(reason) => {
                self.tell(&format!("{}, {work}: no {subject}: {reason}", backend.name()));
                self.results.absent.insert(key, reason);
            }
        }
    }
}

fn measurement(took: Duration, bytes: Option<u64>) -> Measurement {
    // Sizes of memory and files are far below what a float holds exactly.
    let mebibytes =
        bytes.and_then(|bytes| u32::try_from(bytes / 1024).ok()).map(|kib| f64::from(kib) / 1024.0);
    let extra = mebibytes.map(|mebibytes| ("mebibytes".to_owned(), json!(mebibytes)));
    Measurement {
        events: 0.0,
        seconds: took.as_secs_f64(),
        p50_us: None,
        p99_us: None,
        extra: Map::from_iter(extra),
    }
}

/// How long the daemon takes from its start until it says that it is ready.
fn restart(program: &Path, database: &str, rounds: usize) -> Result<Vec<Duration>> {
    // The first start plays the feed, which the others find done.
    Daemon::start(program, database)?.stop()?;
    (0..rounds)
        .map(|_| {
            let watch = Stopwatch::start();
            let daemon = Daemon::start(program, database)?;
            let took = watch.elapsed();
            daemon.stop().map(|()| took)
        })
        .collect()
}

/// What is resident of a daemon that has nothing more to do.
fn weigh_idle(program: &Path, database: &str) -> Result<u64> {
    let daemon = Daemon::start(program, database)?;
    ensure!(
        wait_until(READY_SECONDS_MAX, || daemon
            .get("/ready")
            .is_ok_and(|answer| answer.contains("feed_ended"))),
        "the daemon did not come to the end of its feed"
    );
    let status =
        fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).context("read its memory")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    daemon.stop()?;
    Ok(kib.context("the kernel tells no resident memory")? * 1024)
}

/// A running daemon; killed if it is dropped without having been stopped.
struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Returns once it says that it is ready.
    fn start(program: &Path, database: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|l| l.local_addr())
            .context("find a port")?;
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .args(["--database", database, "--feed", FEED, "--plan", PLAN, "--speed", "max"])
            .args(["--api-port", &port.port().to_string()])
            .env("PROJECTION_TENANT_ID", TENANT)
            .env("ROBSON_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().context("start robsond")?;
        let mut daemon = Self { child, port: port.port() };
        let mut ended = None;
        let is_settled = wait_until(READY_SECONDS_MAX, || {
            ended = daemon.child.try_wait().ok().flatten();
            ended.is_some() || daemon.get("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        let Some(status) = ended else {
            ensure!(is_settled, "robsond was not ready after {READY_SECONDS_MAX} s");
            return Ok(daemon);
        };
        let mut said = String::new();
        if let Some(mut errors) = daemon.child.stderr.take() {
            errors.read_to_string(&mut said).context("read what robsond said")?;
        }
        bail!("robsond: {status}: {}", said.lines().last().unwrap_or("it said nothing"))
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Asks it to go down in order, and waits until it has.
    fn stop(mut self) -> Result<()> {
        let id = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "robsond is gone already");
        let mut status = None;
        let has_ended = wait_until(STOP_SECONDS_MAX, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        ensure!(has_ended, "robsond did not stop within {STOP_SECONDS_MAX} s");
        ensure!(status.is_some_and(|status| status.success()), "robsond did not end well: {status:?}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended, or there is nothing better to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
