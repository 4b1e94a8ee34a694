//! Migrations come in pairs: the same number and name for both databases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Report;

const DIALECTS: [&str; 2] = ["sqlite", "postgres"];

pub(super) fn check(folder: &Path, report: &mut Report) -> Result<()> {
    let [sqlite, postgres] = DIALECTS.map(|dialect| names(&folder.join(dialect)));
    for advice in violations(&sqlite?, &postgres?) {
        report.add("migrations", advice);
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn violations(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for (only, [here, there]) in
        [(sqlite.difference(postgres), DIALECTS), (postgres.difference(sqlite), [DIALECTS[1], DIALECTS[0]])]
    {
        found.extend(only.map(|name| format!("{here}/{name} has no twin; add {there}/{name}")));
    }
    let mut numbers: BTreeMap<u32, &str> = BTreeMap::new();
    for name in sqlite {
        let number = name.strip_prefix('V').and_then(|rest| rest.strip_suffix(".sql")?.split_once("__"));
        match number.and_then(|(number, _)| number.parse().ok()) {
            None => {
                found.push(format!("{name} is no migration's name; call it V<number>__<what_it_adds>.sql"))
            }
            Some(number) => {
                if let Some(twice) = numbers.insert(number, name) {
                    found.push(format!("{twice} and {name} have the same number; renumber the newer"));
                }
            }
        }
    }
    if let Some((missing, _)) = (1..).zip(numbers.keys()).find(|(expected, number)| *expected != **number) {
        found.push(format!("number {missing} is missing; number the files from 1 without a gap"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_paired_and_numbered_without_a_gap() {
        let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let check = |sqlite: &[&str], postgres: &[&str], expected: &[&str]| {
            let found = violations(&set(sqlite), &set(postgres));
            let is_met =
                found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.contains(e));
            assert!(is_met, "{found:?}");
        };
        let both = ["V1__event_log.sql", "V2__tables.sql"];
        check(&both, &both, &[]);
        check(&both, &both[..1], &["add postgres/V2__tables.sql"]);
        check(&["V1__a.sql", "V3__b.sql"], &["V1__a.sql", "V3__b.sql"], &["number 2 is missing"]);
        check(&["V1__a.sql", "V1__b.sql"], &["V1__a.sql", "V1__b.sql"], &["same number"]);
        check(&["init.sql"], &["init.sql"], &["no migration's name"]);
    }
}
