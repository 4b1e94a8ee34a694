//! `cargo xtask ci`: the tests, then what needs more time or a network.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use crate::cargo::{Package, Workspace, cargo, succeed};
use crate::steps::{Steps, Sum};
use crate::test::{check_with, run_steps};

/// Above this, every combination would take too long, and somebody has to choose.
const FEATURES_MAX: usize = 5;

pub(crate) fn run() -> Result<ExitCode> {
    let mut steps = Steps::default();
    run_steps(&mut steps, &[])?;
    let workspace = Workspace::load()?;
    steps.run("combinations", || check_combinations(&workspace).map(|()| Sum::default()));
    steps.run("deny", || check_dependencies().map(|()| Sum::default()));
    Ok(steps.finish())
}

fn check_combinations(workspace: &Workspace) -> Result<()> {
    for package in workspace.packages.iter().filter(|package| !package.features.is_empty()) {
        for features in combinations(package)? {
            check_with(&package.name, &features)?;
        }
    }
    Ok(())
}

/// Every set of features, the empty one first, as cargo takes it.
fn combinations(package: &Package) -> Result<Vec<String>> {
    let features = &package.features;
    ensure!(features.len() <= FEATURES_MAX, "{} has more than {FEATURES_MAX} features", package.name);
    let sets = 0..1_u32 << features.len();
    let chosen = |set: u32| features.iter().enumerate().filter(move |(i, _)| set >> i & 1 == 1);
    Ok(sets.map(|set| chosen(set).map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(",")).collect())
}

fn check_dependencies() -> Result<()> {
    if !cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        println!(
            "cargo-deny is not installed, so deny.toml was not checked: cargo install --locked cargo-deny"
        );
        return Ok(());
    }
    succeed(cargo().args(["deny", "--workspace", "--all-features", "check", "bans", "licenses", "sources"]))?;
    let output = cargo().args(["deny", "--workspace", "--all-features", "check", "advisories"]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("no known vulnerability, no yanked version");
    } else if errors.contains("failed to fetch") {
        println!("the advisory database cannot be reached from here, so advisories were not checked");
    } else {
        bail!("cargo deny check advisories:\n{errors}");
    }
    Ok(())
}
