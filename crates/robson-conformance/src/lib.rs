//! The storage contract as executable cases; depends on no backend.
//!
//! A backend brings a [`Harness`] and a test binary without libtest's own harness:
//!
//! ```text
//! fn main() -> std::process::ExitCode {
//!     robson_conformance::run(MyHarness::new())
//! }
//! ```
//!
//! Writing a case registers it: [`case!`](macro@case) around a function whose doc comment is the sentence
//! of the contract that it proves. Each case has its own database and its own runtime; nothing sleeps,
//! the clock and the seed are fixed. What a backend cannot have is printed with its reason and counted
//! as ignored, nothing else is left out.

mod cases;
mod child;
mod clock;
mod env;
mod erased;
mod fixtures;
mod harness;
mod runner;
mod tally;
mod tampering;
mod telemetry;

pub use clock::TestClock;
pub use env::Env;
pub use erased::SharedStore;
pub use harness::{Access, Cut, Database, Fault, Harness, Injected, Lacking, Tampering};
pub use runner::{Case, CaseResult, run};
pub use tally::{RUNNING, SAMPLES, TALLIES, Tally};
pub use tampering::tampered_sql;

#[doc(hidden)]
pub use inventory;

/// Writes a case and registers it: an `async fn` over [`Env`] with a doc comment.
#[macro_export]
macro_rules! case {
    ($(#[doc = $sentence:literal])+ async fn $name:ident($env:ident: &Env) -> CaseResult $body:block) => {
        $(#[doc = $sentence])+
        async fn $name($env: &$crate::Env) -> $crate::CaseResult $body

        $crate::inventory::submit! {
            $crate::Case {
                name: stringify!($name),
                group: module_path!(),
                sentence: concat!($($sentence),+),
                run: |env| Box::pin($name(env)),
            }
        }
    };
}
