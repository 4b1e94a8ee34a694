//! What the repository says of itself: decisions, the map, the changelog, and nothing outside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Report, read};
use crate::cargo::{Workspace, root};

const ADR_FOLDER: &str = "docs/adr";
const ADR_SECTIONS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];
const CHANGES: [&str; 4] = ["**added:** ", "**changed:** ", "**fixed:** ", "**breaking:** "];

/// Paths of somebody's machine; each half alone is harmless, so that this file passes its own rule.
const MACHINE_PATHS: [[&str; 2]; 4] = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"]];

pub(super) fn check(workspace: &Workspace, files: &[PathBuf], report: &mut Report) -> Result<()> {
    check_decisions(report)?;
    let packages: BTreeSet<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    check_map(&read(Path::new("ARCHITECTURE.md"))?, &packages, report);
    check_changelog(&read(Path::new("CHANGELOG.md"))?, report);
    for path in files {
        for (number, line) in (1..).zip(read(path)?.lines()) {
            if let Some(machine_path) = machine_path(line) {
                let advice = format!("names `{machine_path}`; a reader has no such path, say what is meant");
                report.add(format!("{}:{number}", path.display()), advice);
            }
        }
    }
    Ok(())
}

fn check_decisions(report: &mut Report) -> Result<()> {
    let mut numbers: BTreeMap<u32, String> = BTreeMap::new();
    for entry in fs::read_dir(root().join(ADR_FOLDER)).with_context(|| format!("list {ADR_FOLDER}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let place = format!("{ADR_FOLDER}/{name}");
        let number = name.split_once('-').filter(|(digits, _)| digits.len() == 4 && name.ends_with(".md"));
        let Some(number) = number.and_then(|(digits, _)| digits.parse().ok()) else {
            report.add(place, "is no decision's name; call it NNNN-title.md");
            continue;
        };
        let text = read(Path::new(&place))?;
        for section in ADR_SECTIONS.iter().filter(|section| !text.lines().any(|line| line == **section)) {
            report.add(&place, format!("has no `{section}`; a decision has {}", ADR_SECTIONS.join(", ")));
        }
        if let Some(twice) = numbers.insert(number, name) {
            report.add(place, format!("has the number of {twice}; renumber the newer"));
        }
    }
    if let Some((missing, _)) = (1..).zip(numbers.keys()).find(|(expected, number)| expected != *number) {
        report.add(
            ADR_FOLDER,
            format!("number {missing:04} is missing; a decision is superseded, never removed"),
        );
    }
    Ok(())
}

/// The table under `## Map` has one row for each package, its name in backticks.
fn check_map(text: &str, packages: &BTreeSet<&str>, report: &mut Report) {
    let section =
        text.lines().skip_while(|line| *line != "## Map").skip(1).take_while(|l| !l.starts_with("## "));
    let named: BTreeSet<&str> =
        section.filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    for missing in packages.difference(&named) {
        report.add("ARCHITECTURE.md", format!("has no row for {missing} under `## Map`; add it"));
    }
    for gone in named.difference(packages) {
        report.add("ARCHITECTURE.md", format!("maps {gone}, which is not in the workspace; remove its row"));
    }
}

fn check_changelog(text: &str, report: &mut Report) {
    for (number, line) in (1..).zip(text.lines()) {
        let Some(entry) = line.strip_prefix("- ") else { continue };
        if !CHANGES.iter().any(|change| entry.starts_with(change)) {
            report.add(format!("CHANGELOG.md:{number}"), format!("begins with none of {}", CHANGES.join("")));
        }
    }
}

/// A path counts where it begins; inside a longer path or a URL it is something else.
fn machine_path(line: &str) -> Option<String> {
    MACHINE_PATHS.iter().map(|halves| halves.concat()).find(|path| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "_-./}".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(check: impl FnOnce(&mut Report)) -> Vec<String> {
        let mut report = Report::default();
        check(&mut report);
        report.0.into_iter().map(|violation| violation.advice).collect()
    }

    #[test]
    fn the_map_names_exactly_the_packages() {
        let text = "# A\n## Map\n| crate | does |\n| `a` | x |\n| `c` | x |\n## Rules\n| `d` | x |\n";
        let found = advice(|report| check_map(text, &BTreeSet::from(["a", "b"]), report));
        assert!(
            found.len() == 2 && found[0].contains("no row for b") && found[1].contains("maps c"),
            "{found:?}"
        );
    }

    #[test]
    fn a_change_says_of_what_kind_it_is() {
        let text = "# Changelog\n\n## [Unreleased]\n\n- **added:** a thing\n- Improve it\n";
        assert_eq!(advice(|report| check_changelog(text, report)).len(), 1);
    }

    #[test]
    fn paths_of_a_machine_are_found_and_parts_of_others_are_not() {
        let [work, _, home, _] = MACHINE_PATHS.map(|halves| halves.concat());
        assert!(machine_path(&format!("see {work}main")).is_some());
        assert!(machine_path(&format!("`{home}me/x`")).is_some());
        assert!(machine_path(&format!("https://example.org{work}x")).is_none());
        assert!(machine_path(&format!("a/b{home}x")).is_none());
    }
}
