//! The binary from outside: what it says and how it exits when it cannot start, and what it prints.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the binary in a folder of its own, with these variables and no other settings.
fn robsond(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_robsond"));
    command.current_dir(folder).env_remove("DATABASE_URL");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROBSON_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).args(arguments).output().unwrap()
}

fn refused(variables: &[(&str, &str)], arguments: &[&str], code: i32, sentence: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("corrupt.db"), "this is not a database, however long it may be")
        .unwrap();
    std::fs::write(folder.path().join("bad.toml"), "[api]\nprot = 1\n").unwrap();
    let before = files(folder.path());
    let output = robsond(folder.path(), variables, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), stderr.as_str()),
        (Some(code), format!("robsond: {sentence}\n").as_str())
    );
    assert_eq!(files(folder.path()), before, "nothing is made or left behind");
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_cannot_start_says_so_in_one_sentence_and_leaves_nothing() {
    refused(
        &[],
        &["--database", "mysql://h/d"],
        2,
        "--database: unknown database URL `mysql://`: use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:",
    );
    refused(&[], &["--capital", "0"], 2, "--capital: 0 is not a capital above 0");
    refused(&[], &["--live"], 2, "--live: this version trades on paper only: leave it out");
    refused(
        &[("ROBSON_API_PROT", "1")],
        &[],
        78,
        "ROBSON_API_PROT: there is no such setting: correct the name, or unset it",
    );
    refused(
        &[("ROBSON_LOG_FORMAT", "xml")],
        &[],
        78,
        "ROBSON_LOG_FORMAT: `xml` is not a format: text or json",
    );
    refused(
        &[],
        &["--config", "bad.toml"],
        78,
        "bad.toml:2: `api.prot` is unknown: [api] takes enabled, host, port, token",
    );
    refused(
        &[],
        &["--api-host", "0.0.0.0"],
        78,
        "--api-host: 0.0.0.0 can be reached from elsewhere: set a token (ROBSON_API_TOKEN)",
    );
    refused(&[], &["--feed", "none.csv"], 78, "none.csv: there is no such file");
    refused(
        &[],
        &["db", "status", "--database", "memory"],
        2,
        "--database: unknown database URL `memory`: use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:",
    );
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_that_is_missing_or_damaged_is_told_apart() {
    let missing = "there is no database at sqlite://none.db: create it with `robson db init`";
    refused(&[], &["db", "status", "--database", "sqlite://none.db"], 1, missing);
    refused(&[], &["db", "migrate", "--database", "sqlite://none.db"], 1, missing);
    refused(
        &[],
        &["db", "status", "--database", "sqlite://corrupt.db"],
        1,
        "the file sqlite://corrupt.db is not a sound SQLite database (file is not a database): restore it from a backup",
    );
}

#[cfg(feature = "sqlite")]
#[test]
fn a_database_is_made_once_and_its_version_printed() {
    let folder = tempfile::tempdir().unwrap();
    let url = ["--database", "sqlite://new.db", "--json"];
    let version = |verb: &str| {
        let output = robsond(folder.path(), &[], &[&["db", verb][..], &url].concat());
        assert!(output.status.success(), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["database_version"], report["program_version"]);
        report["database_version"].as_i64().unwrap()
    };
    let made = version("init");
    assert_eq!((version("migrate"), version("status")), (made, made));
}

#[test]
fn the_configuration_is_printed_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("robson.toml"), "[api]\nport = 9\n").unwrap();
    let output = robsond(folder.path(), &[("ROBSON_API_TOKEN", "hunter2")], &["config", "--seed", "7"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in [
        "port = 9  # robson.toml:2",
        "token = \"(hidden)\"  # ROBSON_API_TOKEN",
        "seed = 7  # --seed",
        "lease_ms = 10000  # default (ROBSON_LEASE_MS)",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} in\n{printed}");
    }
    let output = robsond(folder.path(), &[("ROBSON_API_TOKEN", "hunter2")], &["config", "--json"]);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["api"]["port"], serde_json::json!({ "value": "9", "origin": "robson.toml:2" }));
    assert!(!printed.to_string().contains("hunter2"));
}
