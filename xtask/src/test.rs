//! `cargo xtask test`: everything that a change must pass.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use robson_testkit::PrivateServer;
use robson_testkit::postgres_server::TEST_DATABASE_URL;

use crate::bench;
use crate::cargo::{Workspace, cargo, describe, read, succeed};
use crate::steps::{Steps, Sum};
use crate::{codegen, tidy};

const STEPS: [&str; 10] =
    ["fmt", "tidy", "clippy", "build", "codegen", "database", "test", "bench", "docs", "features"];

/// Tells the process-level stories where the built binaries are.
const BIN_DIR: &str = "ROBSON_BIN_DIR";

/// A build with one backend links nothing of the other: package, its features, the crate that must not be there.
const ABSENT: [(&str, &str, &str); 4] = [
    ("robsond", "postgres", "libsqlite3-sys"),
    ("robsond", "sqlite", "sqlx-postgres"),
    ("robson-cli", "postgres", "libsqlite3-sys"),
    ("robson-cli", "sqlite", "sqlx-postgres"),
];

/// Two versions of one of these in a process would corrupt data or split its state.
const SINGLE: [&str; 4] = ["sqlx", "libsqlite3-sys", "tokio", "rustls"];

/// What the binaries must not link.
const BANNED: [&str; 1] = ["openssl-sys"];

/// What was asked for on the command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    only: Vec<String>,
    /// Handed to `cargo test` in place of `--workspace`.
    test_arguments: Vec<String>,
}

impl Options {
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match (word.as_str(), word.strip_prefix("--only=")) {
                ("--", _) => options.test_arguments = words.by_ref().cloned().collect(),
                ("--only", _) => options.only.push(words.next().context("--only takes a step")?.clone()),
                (_, Some(step)) => options.only.push(step.to_owned()),
                _ => bail!("unknown argument: {word}"),
            }
        }
        if let Some(unknown) = options.only.iter().find(|step| !STEPS.contains(&step.as_str())) {
            bail!("unknown step: {unknown}; the steps are {}", STEPS.join(", "));
        }
        // The tests need what these two prepare.
        if options.only.iter().any(|step| step == "test") {
            options.only.extend(["build".to_owned(), "database".to_owned()]);
        }
        if options.only.iter().any(|step| step == "bench") {
            options.only.push("build".to_owned());
        }
        Ok(options)
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut steps = Steps::only(options.only.clone());
    run_steps(&mut steps, &options.test_arguments)?;
    Ok(steps.finish())
}

pub(crate) fn run_steps(steps: &mut Steps, test_arguments: &[String]) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut server = None;

    steps.run("fmt", || {
        succeed(cargo().args(["fmt", "--all", "--check"]))?;
        succeed(cargo().args(["fmt", "--manifest-path", "peers/Cargo.toml", "--all", "--check"])).map(none)
    });
    steps.run("tidy", || tidy::run().map(none));
    steps.run("clippy", || {
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        succeed(cargo().args(clippy)).map(none)
    });
    // Building the tests builds the binaries beside them, with the features that the tests use: one build
    // of each dependency serves both.
    steps.run("build", || succeed(cargo().args(["test", "--workspace", "--no-run"])).map(none));
    steps.run("codegen", || codegen::compare().map(none));
    steps.run("database", || find_database(&mut server).map(none));
    steps.run("test", || run_tests(&workspace, server.as_ref(), test_arguments));
    drop(server);
    // That every workload of the benchmark still runs; no time is asserted.
    steps.run("bench", || {
        bench::run(&["--quick", "--backend", "sqlite"].map(str::to_owned)).map(|_| none(()))
    });
    steps.run("docs", || {
        let mut doc = cargo();
        doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        succeed(&mut doc).map(none)
    });
    steps.run("features", || check_features(&workspace).map(none));
    Ok(())
}

fn none((): ()) -> Sum {
    Sum::default()
}

fn find_database(server: &mut Option<PrivateServer>) -> Result<()> {
    if given_database().is_some() {
        println!("PostgreSQL: the server that {TEST_DATABASE_URL} names");
        return Ok(());
    }
    let started = PrivateServer::start()?;
    println!("PostgreSQL: a private server on port {} in {}", started.port(), started.folder().display());
    *server = Some(started);
    Ok(())
}

fn given_database() -> Option<std::ffi::OsString> {
    std::env::var_os(TEST_DATABASE_URL).filter(|url| !url.is_empty())
}

/// Runs the tests, shows their output as it comes, and adds up their result lines.
fn run_tests(workspace: &Workspace, server: Option<&PrivateServer>, arguments: &[String]) -> Result<Sum> {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]);
    if arguments.is_empty() {
        command.arg("--workspace");
    }
    command.args(arguments).env(BIN_DIR, workspace.target.join("debug")).stdout(Stdio::piped());
    if let Some(server) = server {
        command.env(TEST_DATABASE_URL, server.url("postgres"));
    }
    println!("$ {}", describe(&command));
    let mut child = command.spawn().context("run cargo test")?;
    let mut sum = Sum::default();
    let mut conformance = Conformance::default();
    for line in BufReader::new(child.stdout.take().context("output of cargo test")?).split(b'\n') {
        let line = line.context("output of cargo test")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        sum += parse_result(&line).unwrap_or_default();
        conformance.add(&line);
    }
    if conformance.stores > 0 {
        println!("{conformance}");
    }
    let status = child.wait().context("wait for cargo test")?;
    if !status.success() && sum.failed == 0 {
        // It did not compile, or a test program ended without a result.
        println!("cargo test: {status}, and no test said why");
        sum.failed = 1;
    }
    if let Some(server) = server.filter(|_| sum.failed > 0) {
        println!("the end of the PostgreSQL server's log:\n{}", server.log_tail());
    }
    Ok(sum)
}

/// How many cases of the storage contract ran on how many stores.
#[derive(Debug, Default)]
struct Conformance {
    cases: u64,
    stores: u64,
    runs: u64,
    excluded: u64,
}

impl Conformance {
    /// Reads `conformance on sqlite: 133 cases, 130 passed, 0 failed, 3 excluded`; other lines say nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) =
            line.trim().strip_prefix("conformance on ").and_then(|rest| rest.split_once(": "))
        else {
            return;
        };
        let count = |part: &str| part.split_whitespace().next().and_then(|count| count.parse::<u64>().ok());
        let counts: Option<Vec<u64>> = counts.split(", ").map(count).collect();
        if let Some([cases, passed, failed, excluded]) = counts.as_deref() {
            self.cases = self.cases.max(*cases);
            self.stores += 1;
            self.runs += passed + failed;
            self.excluded += excluded;
        }
    }
}

impl std::fmt::Display for Conformance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cases, stores, runs, excluded } = self;
        write!(
            f,
            "conformance: {cases} cases x {stores} stores: {runs} runs, {excluded} excluded with the reason above"
        )
    }
}

/// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; ...`.
fn parse_result(line: &str) -> Option<Sum> {
    let counts = line.trim().strip_prefix("test result:")?;
    let count = |what: &str| {
        let before = &counts[..counts.find(what)?];
        before.rsplit(' ').next()?.parse().ok()
    };
    Some(Sum { passed: count(" passed")?, failed: count(" failed")? })
}

fn check_features(workspace: &Workspace) -> Result<()> {
    for package in workspace.binaries_with_features() {
        for feature in &package.features {
            check_with(&package.name, feature)?;
        }
    }
    for (package, feature, absent) in ABSENT {
        let tree = tree(&["-p", package, "--no-default-features", "--features", feature])?;
        ensure!(
            !tree.contains_key(absent),
            "`{package}` with feature `{feature}` alone links {absent}; \
             `cargo tree -p {package} --no-default-features --features {feature} -i {absent}` shows the way"
        );
        println!("{package} with {feature} alone links no {absent}");
    }
    let tree = tree(&["--workspace"])?;
    for name in SINGLE {
        let versions = tree.get(name).map(|v| v.iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
        ensure!(
            versions.len() == 1,
            "expected one version of {name}, found {versions:?}; `cargo tree -i {name}` shows who asks for it"
        );
        println!("one {name}: {}", versions[0]);
    }
    for name in BANNED {
        ensure!(!tree.contains_key(name), "{name} is linked; `cargo tree -i {name}` shows who asks for it");
        println!("no {name}");
    }
    Ok(())
}

pub(crate) fn check_with(package: &str, features: &str) -> Result<()> {
    succeed(cargo().args(["check", "-p", package, "--no-default-features", "--features", features]))
}

/// The versions of every crate that is linked, by name.
fn tree(selection: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut command = cargo();
    command.args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"]).args(selection);
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in read(&mut command)?.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up_and_other_lines_are_not() {
        let check = |line, expected| assert_eq!(parse_result(line), expected, "{line}");
        let result =
            "test result: ok. 41 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.20s";
        check(result, Some(Sum { passed: 41, failed: 0 }));
        check("test result: FAILED. 3 passed; 2 failed; 0 ignored", Some(Sum { passed: 3, failed: 2 }));
        check("test replay_equals_live ... ok", None);
        check("the test result: 5 passed; 1 failed", None);
    }

    #[test]
    fn runs_of_the_contract_are_added_up_over_the_stores() {
        let mut conformance = Conformance::default();
        conformance.add("conformance on memory: 150 cases, 140 passed, 1 failed, 9 excluded\n");
        conformance.add("conformance on sqlite: 150 cases, 147 passed, 0 failed, 3 excluded");
        conformance.add("a conformance on nothing: 1 cases");
        let said = "conformance: 150 cases x 2 stores: 288 runs, 12 excluded with the reason above";
        assert_eq!(conformance.to_string(), said);
    }

    #[test]
    fn a_step_that_does_not_exist_is_refused() {
        let parse =
            |words: &[&str]| Options::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(parse(&["--only", "nothing"]).is_err());
        assert!(parse(&["--all"]).is_err());
        let options = parse(&["--only=test", "--", "-p", "xtask"]).unwrap();
        assert_eq!(options.test_arguments, ["-p", "xtask"]);
        assert!(options.only.contains(&"database".to_owned()));
    }
}
