//! Repository automation: one entry point for a person and for CI.
//!
//! It decides nothing about the product; it runs cargo and reads files.
#![expect(clippy::print_stdout, reason = "a command-line tool")]

mod bench;
mod cargo;
mod ci;
mod codegen;
mod postgres;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--only STEP].. [-- CARGO_TEST_ARGS]
              everything that a change must pass, on every backend; steps: fmt, tidy, clippy, build,
              codegen, database, test, bench, docs, features; the last line is the sum of all tests
  ci          test, then cargo-deny and every combination of features
  bench [--quick] [--backend sqlite|postgres] [--only FIGURE] [--rounds N] [--log-events N] [--write-docs]
              the log beside what others would use: a table per backend, target/bench/bench.json and a chart;
              --write-docs puts them into docs/benchmarks.md, --quick only shows that it all runs
  codegen     writes the files that are made from the code, such as docs/events.md
  tidy        the rules of ARCHITECTURE.md and CONTRIBUTING.md that no compiler checks
  postgres [--durable] [COMMAND [ARG]..]
              a private PostgreSQL server for the length of COMMAND, which finds its URL in
              ROBSON_TEST_DATABASE_URL; without COMMAND until its input ends; --durable forces every
              commit to the disk, for measurements";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1);
    let command = words.next();
    let rest: Vec<String> = words.collect();
    std::env::set_current_dir(cargo::root()).context("enter the repository")?;
    match command.as_deref() {
        Some("test") => test::run(&test::Options::parse(&rest)?),
        Some("ci") if rest.is_empty() => ci::run(),
        Some("codegen") if rest.is_empty() => codegen::write(),
        Some("bench") => bench::run(&rest),
        Some("tidy") if rest.is_empty() => tidy::run().map(|()| ExitCode::SUCCESS),
        Some("postgres") => postgres::run(&rest),
        None | Some("help" | "-h" | "--help") => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Some(command) => bail!("unknown command or argument: {command} {}\n{USAGE}", rest.join(" ")),
    }
}
