//! `cargo xtask codegen`: files that are made from the code, committed, and compared.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use crate::cargo::{Workspace, cargo, read, succeed};

/// A file, and the example that prints it.
const GENERATED: [(&str, &str); 1] = [("docs/events.md", "events-document")];

/// Writes every generated file anew.
pub(crate) fn write() -> Result<ExitCode> {
    for (file, example) in GENERATED {
        fs::write(file, printed_by(example)?).with_context(|| format!("write {file}"))?;
        println!("{file}");
    }
    Ok(ExitCode::SUCCESS)
}

/// That every generated file is what the code makes of it now.
pub(crate) fn compare() -> Result<()> {
    for (file, example) in GENERATED {
        let committed = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
        let made = printed_by(example)?;
        let line = (1..).zip(committed.lines().zip(made.lines())).find(|(_, (old, new))| old != new);
        let line = line.map_or(1 + committed.lines().count().min(made.lines().count()), |(line, _)| line);
        ensure!(
            committed == made,
            "{file}:{line} is not what the code makes of it; run `cargo xtask codegen`"
        );
        println!("{file} is as the code makes it");
    }
    Ok(())
}

/// What an example prints; built with the features of the whole workspace, as the tests are.
fn printed_by(example: &str) -> Result<String> {
    succeed(cargo().args(["build", "--quiet", "--workspace", "--example", example]))?;
    let program = Workspace::load()?.target.join("debug/examples").join(example);
    read(&mut Command::new(program))
}
