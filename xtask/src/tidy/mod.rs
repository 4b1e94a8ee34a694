//! The rules that no compiler checks: what ARCHITECTURE.md states as absences, and what keeps the
//! repository's paperwork true.
//!
//! Rules are data where they can be. A violation says what to do about it.

mod documents;
mod manifests;
mod migrations;
mod source_text;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::{Workspace, root};

/// One broken rule: where, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    place: String,
    advice: String,
}

/// The violations found so far.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Violation>);

impl Report {
    fn add(&mut self, place: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Violation { place: place.into(), advice: advice.into() });
    }
}

pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let files = files(root())?;
    let mut report = Report::default();
    manifests::check(&workspace, &mut report)?;
    sources::check(&workspace, &files, &mut report)?;
    migrations::check(&root().join("migrations"), &mut report)?;
    documents::check(&workspace, &files, &mut report)?;
    report.0.sort();
    report.0.dedup();
    for Violation { place, advice } in &report.0 {
        println!("{place}: {advice}");
    }
    match report.0.len() {
        0 => {
            println!("tidy: {} packages, {} files", workspace.packages.len(), files.len());
            Ok(())
        }
        1 => bail!("tidy: 1 violation"),
        n => bail!("tidy: {n} violations"),
    }
}

/// The text files of the repository, relative to its root, in order.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];
    const EXTENSIONS: [&str; 9] = ["rs", "toml", "md", "sql", "sh", "yml", "yaml", "json", "snap"];
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if folder.ends_with(".ci")
                || path.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.contains(&e))
            {
                found.push(path.strip_prefix(root).unwrap_or(&path).to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String> {
    let path = root().join(path);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}
