//! Running cargo, and what it says about the workspace.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo, as a person at the shell would call it.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    // `cargo run` describes this package in the environment; build scripts that watch such variables
    // would otherwise run again whenever cargo is called from here.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|p| name.starts_with(p))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let line = describe(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("run `{line}`"))?;
    ensure!(status.success(), "`{line}`: {status}");
    Ok(())
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command.output().with_context(|| format!("run `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of `{line}`"))
}

pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut words = vec![program.to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// The workspace as `cargo metadata` tells it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One package of ours.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// Without `default`.
    pub(crate) features: Vec<String>,
    pub(crate) is_binary: bool,
}

/// A dependency as a package declares it.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_ours: bool,
    pub(crate) is_for_tests: bool,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let text = read(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let value: Value = serde_json::from_str(&text).context("output of cargo metadata")?;
        let mut packages: Vec<Package> = array(&value, "packages").map(Package::from_json).collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { target: PathBuf::from(text_of(&value, "target_directory")), packages })
    }

    pub(crate) fn binaries_with_features(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_binary && !package.features.is_empty())
    }
}

impl Package {
    fn from_json(value: &Value) -> Self {
        let manifest = PathBuf::from(text_of(value, "manifest_path"));
        let features: BTreeMap<String, Value> = value["features"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Self {
            name: text_of(value, "name").to_owned(),
            folder: manifest.parent().map(Path::to_path_buf).unwrap_or_default(),
            dependencies: array(value, "dependencies").map(Dependency::from_json).collect(),
            features: features.into_keys().filter(|name| name != "default").collect(),
            is_binary: array(value, "targets").flat_map(|t| array(t, "kind")).any(|kind| kind == "bin"),
        }
    }
}

impl Dependency {
    fn from_json(value: &Value) -> Self {
        Self {
            name: text_of(value, "name").to_owned(),
            is_ours: value["path"].is_string(),
            is_for_tests: value["kind"] == "dev",
        }
    }
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
