//! A run of named steps: each is timed, none hides the next, the last line is the sum.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The steps run so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// Run these alone; empty for all.
    only: Vec<String>,
    sum: Sum,
    failures: Vec<String>,
}

impl Steps {
    pub(crate) fn only(only: Vec<String>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Runs one step under its heading, unless others were asked for.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Sum>) {
        if !self.only.is_empty() && !self.only.iter().any(|only| only == name) {
            return;
        }
        println!("\n== {name}");
        let (outcome, seconds) = timed(step);
        let sum = match outcome {
            Ok(sum) => {
                if sum.failed > 0 {
                    self.failures.push(format!("{name}: {} tests", sum.failed));
                }
                sum
            }
            Err(error) => {
                println!("{error:#}");
                self.failures.push(format!("{name}: {error:#}"));
                // A step that is not made of tests counts as one, so that the last line never says
                // "0 failed" of a run that failed.
                Sum { passed: 0, failed: 1 }
            }
        };
        println!("== {name}: {} in {seconds:.1} s", if sum.failed == 0 { "ok" } else { "FAILED" });
        self.sum += sum;
    }

    /// Prints what failed and, as the last line, the sum.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        for failure in &self.failures {
            println!("failed: {}", failure.lines().next().unwrap_or_default());
        }
        println!("{} passed, {} failed", self.sum.passed, self.sum.failed);
        if self.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[expect(clippy::disallowed_methods, reason = "reports how long a step took; nothing depends on it")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    (work(), start.elapsed().as_secs_f64())
}
