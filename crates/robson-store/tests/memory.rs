//! The storage contract on the memory store, the oracle.

#[path = "backends/memory.rs"]
mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    robson_conformance::run(memory::Memory)
}
