//! The programs that are measured: built here, each absent with a reason where it cannot be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Options;
use crate::cargo::{cargo, describe, root};

/// Where a program is, or why there is none.
pub(crate) type Program = Result<PathBuf, String>;

/// All of them.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Our log and, by hand, what the database alone can do.
    pub(crate) log: Program,
    pub(crate) cqrs: Program,
    pub(crate) umadb: Program,
    pub(crate) robsond: Program,
}

const LOG: &[&str] = &["-p", "robson-store", "--bench", "log", "--all-features"];
/// With the features that the tests use, so that a quick run builds no dependency again.
const LOG_BESIDE_TESTS: &[&str] = &["--workspace", "--bench", "log"];
const PEERS: &[&str] = &["--manifest-path", "peers/Cargo.toml", "--target-dir", "target/peers", "--locked"];

/// Builds them; a quick run takes what the tests are built with, and peers only if they are there.
pub(crate) fn build(options: &Options) -> Programs {
    if options.is_quick {
        return Programs {
            log: cargo_build(LOG_BESIDE_TESTS, "log"),
            cqrs: built_before("peers/release/peer-cqrs"),
            umadb: built_before("peers/release/peer-umadb"),
            robsond: built_before("debug/robsond"),
        };
    }
    let peer = |name: &str| cargo_build(&[PEERS, &["--release", "-p", name]].concat(), name);
    let umadb = if has_protoc() {
        peer("peer-umadb")
    } else {
        Err("there is no `protoc`, which its build needs (Debian: protobuf-compiler)".to_owned())
    };
    Programs {
        log: cargo_build(&[LOG, &["--release"]].concat(), "log"),
        cqrs: peer("peer-cqrs"),
        umadb,
        robsond: cargo_build(&["--release", "-p", "robsond", "--bin", "robsond"], "robsond"),
    }
}

fn has_protoc() -> bool {
    let mut command = Command::new(std::env::var_os("PROTOC").unwrap_or_else(|| "protoc".into()));
    command.arg("--version").output().is_ok_and(|output| output.status.success())
}

fn built_before(name: &str) -> Program {
    let path = root().join("target").join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("a quick run does not build it, and {name} is not there"))
    }
}

/// Builds one program and returns where it is; a failure is told and leaves the program out.
fn cargo_build(arguments: &[&str], name: &str) -> Program {
    executable(arguments, name).map_err(|failure| {
        println!("{name}: {failure:#}");
        format!("it was not built: {failure}")
    })
}

fn executable(arguments: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.arg("build").args(arguments).arg("--message-format=json-render-diagnostics");
    println!("$ {}", describe(&command));
    let output = command.stderr(Stdio::inherit()).output().context("run cargo build")?;
    ensure!(output.status.success(), "`{}`: {}", describe(&command), output.status);
    let messages = String::from_utf8(output.stdout).context("output of cargo build")?;
    let found = messages.lines().rev().find_map(|line| artifact(line, name));
    found.context("cargo built no such program")
}

/// The executable that a line of cargo's messages tells of, if it is of this target.
fn artifact(line: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_target = message["reason"] == "compiler-artifact" && message["target"]["name"] == target;
    message["executable"].as_str().filter(|_| is_target).map(|path| Path::new(path).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_of_a_target_is_found() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"log"},"executable":"/x/log-1"}"#;
        assert_eq!(artifact(line, "log"), Some(PathBuf::from("/x/log-1")));
        assert_eq!(artifact(line, "robsond"), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#, "log"), None);
    }
}
