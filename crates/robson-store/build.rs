//! The migrations are embedded by a macro, which cargo does not see reading them.

#![expect(clippy::print_stdout, reason = "this is how a build script talks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
