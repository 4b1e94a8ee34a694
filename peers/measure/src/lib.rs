//! The loop and the line of JSON that the peers share with Robson's own benchmark.
//!
//! One text for both. Its package is not depended upon, because this lock file would then have to follow
//! everything that the test kit depends on.

#[path = "../../../crates/robson-testkit/src/measure.rs"]
mod measure;

pub use measure::{Round, Task, Took, measure, timed};
