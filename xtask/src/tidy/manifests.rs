//! What a manifest may name: the direction of dependencies, settings that stand once, reasons.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{Report, read};
use crate::cargo::{Package, Workspace, root};

/// What the product is built from, lowest first.
const PRODUCT: &[&str] = &[
    "robson-domain",
    "robson-eventlog",
    "robson-engine",
    "robson-store",
    "robson-projector",
    "robson-venue",
    "robsond",
];

/// Which of our crates a crate may be built on; its tests may use any of ours.
const DIRECTION: &[(&str, &[&str])] = &[
    ("robson-domain", &[]),
    ("robson-eventlog", &[]),
    ("robson-engine", &["robson-domain"]),
    ("robson-store", &["robson-eventlog"]),
    ("robson-projector", &["robson-domain", "robson-eventlog"]),
    ("robson-cqrs", &["robson-eventlog"]),
    ("robson-conformance", &["robson-eventlog"]),
    ("robson-venue", &["robson-domain", "robson-eventlog"]),
    ("robsond", PRODUCT),
    ("robson-cli", PRODUCT),
    ("robson-testkit", PRODUCT),
    (
        "robson-stories",
        &[
            "robson-domain",
            "robson-eventlog",
            "robson-projector",
            "robson-store",
            "robson-testkit",
            "robsond",
        ],
    ),
    ("order-processing", &["robson-eventlog", "robson-store"]),
    ("xtask", &["robson-testkit", "robson-conformance"]),
];

/// Dependencies that only some crates may have: the dependency, who may, what the others do.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("sqlx", &["robson-store"], "SQL lives in robson-store; go through its `Store`"),
    ("sqlx-core", &["robson-store"], "SQL lives in robson-store; go through its `Store`"),
    ("libsqlite3-sys", &["robson-store"], "SQL lives in robson-store; go through its `Store`"),
    ("refinery", &["robson-store"], "migrations live in robson-store"),
    ("refinery-core", &["robson-store"], "migrations live in robson-store"),
    (
        "anyhow",
        &["robsond", "robson-cli", "robson-conformance", "robson-stories", "order-processing", "xtask"],
        "a library names its errors in an enum",
    ),
    (
        "clap",
        &["robsond", "robson-cli", "order-processing", "xtask"],
        "only the binaries have a command line",
    ),
];

/// Crates that are functions of their arguments, and what they therefore do not link.
const PURE: &[&str] = &["robson-domain", "robson-engine", "robson-projector"];
const IMPURE: &[&str] = &["tokio", "futures-util", "rand", "tracing", "metrics", "axum", "ureq", "sqlx"];

/// Manifest settings that stand in the root manifest alone.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// The heading in deny.toml below which `# name: reason` lines stand.
const REASONS: &str = "# Why each direct dependency is here";

pub(super) fn check(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mut used = BTreeSet::new();
    for package in &workspace.packages {
        check_direction(package, report);
        used.extend(package.dependencies.iter().map(|dependency| dependency.name.as_str()));
        let path = package.folder.strip_prefix(root()).unwrap_or(&package.folder).join("Cargo.toml");
        let manifest: Table = read(&path)?.parse().with_context(|| format!("read {}", path.display()))?;
        check_manifest(&path.display().to_string(), &manifest, report);
    }
    let manifest: Table = read(Path::new("Cargo.toml"))?.parse().context("read Cargo.toml")?;
    check_reasons(&manifest, &used, report)
}

fn check_direction(package: &Package, report: &mut Report) {
    let place = &package.name;
    let Some((_, allowed)) = DIRECTION.iter().find(|(name, _)| name == place) else {
        report.add(place, "is in no layer; add its line to DIRECTION in xtask/src/tidy/manifests.rs");
        return;
    };
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        if dependency.is_ours && !dependency.is_for_tests && !allowed.contains(&name) {
            report.add(
                place,
                format!(
                    "is built on {name}, but may be built on [{}]; move the shared part down, or define a \
                     trait here and implement it above",
                    allowed.join(", ")
                ),
            );
        }
        let reserved = RESERVED.iter().find(|(reserved, ..)| *reserved == name);
        if let Some((_, owners, instead)) =
            reserved.filter(|(_, owners, _)| !owners.contains(&place.as_str()))
            && !(dependency.is_for_tests && name == "anyhow")
        {
            report.add(place, format!("depends on {name}, reserved to {}; {instead}", owners.join(", ")));
        }
        if PURE.contains(&place.as_str()) && IMPURE.contains(&name) && !dependency.is_for_tests {
            report.add(
                place,
                format!("is pure and depends on {name}; do the effect in robsond or robson-venue"),
            );
        }
    }
}

fn check_manifest(place: &str, manifest: &Table, report: &mut Report) {
    if !is_inherited(manifest.get("lints")) {
        report.add(place, "has lints of its own; write `[lints]` and `workspace = true`");
    }
    for key in INHERITED {
        if !is_inherited(manifest.get("package").and_then(|package| package.get(key))) {
            report.add(place, format!("sets {key} itself; write `{key}.workspace = true`"));
        }
    }
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for table in targets.filter_map(Value::as_table).chain([manifest]) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                if !is_inherited(Some(value)) {
                    let advice =
                        format!("sets the version of {name} itself; write `{name}.workspace = true`");
                    report.add(place, advice);
                }
            }
        }
    }
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

/// Each dependency has a reason, and each reason and each version a dependency.
fn check_reasons(manifest: &Table, used: &BTreeSet<&str>, report: &mut Report) -> Result<()> {
    let versions = manifest.get("workspace").and_then(|w| w.get("dependencies")).and_then(Value::as_table);
    let external = |value: &Value| value.get("path").is_none();
    let versions: BTreeSet<&str> =
        versions.into_iter().flatten().filter(|(_, v)| external(v)).map(|(name, _)| name.as_str()).collect();

    let text = read(Path::new("deny.toml"))?;
    let block =
        text.lines().skip_while(|line| *line != REASONS).skip(1).take_while(|line| line.starts_with('#'));
    let reasons: BTreeSet<&str> = block
        .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
        .filter(|(name, reason)| !name.contains(' ') && !reason.trim().is_empty())
        .map(|(name, _)| name)
        .collect();

    for name in versions.difference(&reasons) {
        report.add("deny.toml", format!("gives no reason for {name}; below `{REASONS}` add `# {name}: ...`"));
    }
    for name in reasons.difference(&versions) {
        report.add("deny.toml", format!("gives a reason for {name}, which nobody uses; remove the line"));
    }
    for name in versions.difference(used) {
        report.add("Cargo.toml", format!("sets a version of {name}, which no crate uses; remove the line"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Dependency;

    fn advice_for(package: &str, dependency: &str, is_ours: bool, is_for_tests: bool) -> usize {
        let dependency = Dependency { name: dependency.to_owned(), is_ours, is_for_tests };
        let package = Package {
            name: package.to_owned(),
            folder: "".into(),
            dependencies: vec![dependency],
            features: vec![],
            is_binary: false,
        };
        let mut report = Report::default();
        check_direction(&package, &mut report);
        report.0.len()
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(advice_for("robson-engine", "robson-domain", true, false), 0);
        assert_eq!(advice_for("robson-domain", "robson-engine", true, false), 1);
        assert_eq!(advice_for("robson-domain", "robson-testkit", true, true), 0);
        assert_eq!(advice_for("robson-new", "robson-domain", true, false), 1);
    }

    #[test]
    fn only_the_store_depends_on_sqlx() {
        assert_eq!(advice_for("robson-store", "sqlx", false, false), 0);
        assert_eq!(advice_for("robsond", "sqlx", false, true), 1);
    }

    #[test]
    fn a_pure_crate_links_no_runtime() {
        assert_eq!(advice_for("robson-engine", "tokio", false, false), 1);
        assert_eq!(advice_for("robson-engine", "rust_decimal", false, false), 0);
    }

    #[test]
    fn settings_are_inherited() {
        let check = |text: &str| {
            let mut report = Report::default();
            check_manifest("x", &text.parse().unwrap(), &mut report);
            report.0.len()
        };
        let package = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = \
                       true\nlicense.workspace = true\npublish.workspace = true\n";
        assert_eq!(
            check(&format!("{package}[lints]\nworkspace = true\n[dependencies]\na.workspace = true\n")),
            0
        );
        assert_eq!(check(package), 1);
        assert_eq!(check(&format!("{package}[lints]\nworkspace = true\n[dev-dependencies]\na = \"1\"\n")), 1);
    }
}
