//! Runs the cases under libtest's command line, each on its own runtime and database.

use std::any::Any;
use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::child;
use crate::env::Env;
use crate::harness::{Harness, Lacking};

/// How a case ends; an error of type [`Lacking`] excludes it, any other fails it.
pub type CaseResult = anyhow::Result<()>;

/// What is derived from it is in each case's random choices.
pub(crate) const SEED: u64 = 0x0b50_2026;

/// A case that hangs fails after so long; the slowest takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A case of the contract.
#[derive(Debug)]
pub struct Case {
    /// Its name, unique.
    pub name: &'static str,
    /// The module that it stands in.
    pub group: &'static str,
    /// The sentence that it proves.
    pub sentence: &'static str,
    /// The case itself.
    pub run: for<'a> fn(&'a Env) -> Pin<Box<dyn Future<Output = CaseResult> + 'a>>,
}

impl Case {
    /// Every case, by group and name.
    pub fn all() -> Vec<&'static Self> {
        let mut cases: Vec<&Self> = inventory::iter::<Self>.into_iter().collect();
        cases.sort_by_key(|case| (case.group, case.name));
        cases
    }
}

inventory::collect!(Case);

/// Runs every case on a backend, with libtest's arguments and report.
pub fn run<H: Harness>(harness: H) -> ExitCode {
    if let Some(exit) = child::append_if_asked(&harness) {
        return exit;
    }
    let arguments = Arguments::from_args();
    let harness = Arc::new(harness);
    let trials = Case::all().into_iter().map(|case| {
        let harness = Arc::clone(&harness);
        let kind = harness.name();
        Trial::ignorable_test(case.name, move || run_case(&harness, case)).with_kind(kind)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list && conclusion.num_filtered_out == 0 {
        // Not a line of libtest's: `cargo xtask test` adds these up over all backends.
        let libtest_mimic::Conclusion {
            num_passed: passed, num_failed: failed, num_ignored: excluded, ..
        } = conclusion;
        let mut out = std::io::stdout().lock();
        // Who closed the pipe does not want to know.
        let _ = writeln!(
            out,
            "conformance on {}: {} cases, {passed} passed, {failed} failed, {excluded} excluded",
            harness.name(),
            passed + failed + excluded,
        );
    }
    conclusion.exit_code()
}

fn run_case<H: Harness>(harness: &Arc<H>, case: &Case) -> Result<Completion, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let run = async {
        let env = Env::new(harness, case.name).await?;
        let result = (case.run)(&env).await;
        let finished = env.finish().await;
        result.and(finished)
    };
    let run = async {
        let late = |_| Err(anyhow::anyhow!("no end within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, run).await.unwrap_or_else(late)
    };
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run)));
    // A task that hangs must not hold up the report.
    runtime.shutdown_background();
    match result.unwrap_or_else(|panic| Err(anyhow::anyhow!(panic_message(&*panic)))) {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match error.downcast_ref::<Lacking>() {
            Some(lacking) => Ok(Completion::ignored_with(lacking)),
            None => Err(Failed::from(format!("{error:#}\n{}\nseed {SEED:#x}", case.sentence.trim()))),
        },
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without text").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_and_a_sentence_of_its_own() {
        let cases = Case::all();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.iter().all(|case| case.sentence.trim().ends_with('.')));
    }
}
