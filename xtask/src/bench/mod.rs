//! `cargo xtask bench`: the log beside a hand-written loop and beside what others would use, in one run.
//!
//! Subjects are programs of their own, asked by turns, one round each; figures are ratios of medians over the
//! rounds. Nothing is asserted here: a figure that misses its goal is printed as such, and one that could not
//! be measured says why.

mod chart;
mod contest;
mod daemon;
mod figures;
mod machine;
mod measurement;
mod plan;
mod programs;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use robson_testkit::{Durability, PrivateServer};

use crate::cargo::root;
use contest::Subject;
use figures::FIGURES;
use machine::{Machine, Stopwatch};
use measurement::Results;
use plan::{Filled, Kind};
use programs::Programs;

/// What was asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) is_quick: bool,
    pub(crate) backends: Vec<Backend>,
    /// Only figures whose name contains this.
    pub(crate) only: Option<String>,
    pub(crate) rounds: usize,
    /// How long one subject's measured part is meant to take.
    pub(crate) per_round: Duration,
    /// How many events a large log has.
    pub(crate) log_events: u64,
    pub(crate) writes_docs: bool,
}

/// The databases that have a table of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

impl Options {
    fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self {
            is_quick: false,
            backends: Backend::ALL.to_vec(),
            only: None,
            rounds: 5,
            per_round: Duration::from_millis(1_500),
            log_events: 10_000_000,
            writes_docs: false,
        };
        let mut words = words.iter().map(String::as_str);
        let (mut rounds, mut log_events) = (None, None);
        while let Some(word) = words.next() {
            let (name, given) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let mut value =
                || given.or_else(|| words.next()).with_context(|| format!("{name} takes a value"));
            match name {
                "--quick" if given.is_none() => options.is_quick = true,
                "--write-docs" if given.is_none() => options.writes_docs = true,
                "--backend" => {
                    let value = value()?;
                    let backend = Backend::ALL.into_iter().find(|backend| backend.name() == value);
                    options.backends = vec![backend.with_context(|| format!("no such backend: {value}"))?];
                }
                "--only" => options.only = Some(value()?.to_owned()),
                "--rounds" => rounds = Some(value()?.parse().context("--rounds takes a number")?),
                "--log-events" => log_events = Some(value()?.parse().context("--log-events takes a number")?),
                _ => bail!("unknown argument: {word}"),
            }
        }
        if options.is_quick {
            options.rounds = 1;
            options.per_round = Duration::from_millis(20);
            options.log_events = 4_000;
        }
        options.rounds = rounds.unwrap_or(options.rounds);
        options.log_events = log_events.unwrap_or(options.log_events);
        ensure!(options.rounds > 0, "--rounds takes a number above 0");
        // The small log is a hundredth of the large one, and each has a stream of a thousand events.
        ensure!(options.log_events >= 4_000, "--log-events takes at least 4000");
        ensure!(
            !(options.is_quick && options.writes_docs),
            "a quick run measures nothing worth writing down"
        );
        if let Some(only) = &options.only
            && !FIGURES.iter().any(|figure| figure.name.contains(only.as_str()))
        {
            let names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
            bail!("no such figure: {only}; there are\n  {}", names.join("\n  "));
        }
        Ok(options)
    }

    /// A number of events; a quick run makes do with few.
    const fn scaled(&self, events: u64) -> u64 {
        if self.is_quick { events.div_ceil(500) } else { events }
    }

    /// Whether a figure is asked for.
    pub(crate) fn wants(&self, figure: &str) -> bool {
        self.only.as_ref().is_none_or(|only| figure.contains(only.as_str()))
    }
}

pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let options = Options::parse(words)?;
    let folder = folder(&options)?;
    let programs = programs::build(&options);
    let server = if options.backends.contains(&Backend::Postgres) {
        Some(PrivateServer::start_with(Durability::Durable).context("start a durable PostgreSQL server")?)
    } else {
        None
    };
    let data = folder.join("data");
    let machine = Machine::look(&data)?;
    let mut bench = Bench {
        options,
        programs,
        folder: data,
        server,
        machine,
        results: Results::default(),
        databases: BTreeMap::new(),
        watch: Stopwatch::start(),
        files: 0,
        part: 0,
        parts: 0,
    };
    bench.run_parts();
    report::publish(&bench, &folder)?;
    let missing = bench.missing();
    if bench.options.is_quick && !missing.is_empty() {
        bail!("these do not run any more:\n  {}", missing.join("\n  "));
    }
    fs::remove_dir_all(&bench.folder).context("remove the databases")?;
    Ok(ExitCode::SUCCESS)
}

/// A run: what is measured, on what, and what came of it so far.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    programs: Programs,
    /// Where database files are made.
    folder: PathBuf,
    server: Option<PrivateServer>,
    machine: Machine,
    results: Results,
    /// Logs that stay for the run, by how many events they have.
    databases: BTreeMap<(Backend, Kind, u64), Filled>,
    watch: Stopwatch,
    /// How many database files were named.
    files: u32,
    part: usize,
    parts: usize,
}

impl Bench {
    /// What of our own could not be measured; peers may be absent.
    fn missing(&self) -> Vec<String> {
        let peers = [Subject::Cqrs, Subject::Umadb].map(Subject::name);
        let ours = self.results.absent.iter().filter(|(key, _)| !peers.contains(&key.subject.as_str()));
        ours.map(|(key, reason)| format!("{}, {}, {}: {reason}", key.backend.name(), key.work, key.subject))
            .collect()
    }

    /// Says how far the run is, and what it just did.
    fn tell(&self, what: &str) {
        let seconds = self.watch.elapsed().as_secs();
        println!("[{:02}:{:02}, part {}/{}] {what}", seconds / 60, seconds % 60, self.part, self.parts);
    }
}

/// `target/bench`, with an empty folder for databases in it; a quick run has one of its own.
fn folder(options: &Options) -> Result<PathBuf> {
    let folder = root().join("target").join(if options.is_quick { "bench-quick" } else { "bench" });
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(&data).with_context(|| format!("empty {}", data.display()))?;
    }
    fs::create_dir_all(&data).with_context(|| format!("make {}", data.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_mistakes_are_refused() {
        let options = parse("--quick --backend postgres --rounds=3 --only append").unwrap();
        assert!(options.is_quick && options.wants("append, 64 callers") && !options.wants("restart"));
        assert_eq!((options.rounds, options.backends), (3, vec![Backend::Postgres]));
        assert_eq!(parse("").unwrap().rounds, 5);
        for wrong in
            ["--backend mysql", "--rounds 0", "--only nothing-of-the-kind", "--quick --write-docs", "x"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
