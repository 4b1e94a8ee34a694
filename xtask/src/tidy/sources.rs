//! What source code may name.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source_text::{code_of, lines_naming};
use super::{Report, read};
use crate::cargo::{Workspace, root};

/// A word that code must not name, except in some places, and what to do instead.
struct Ban {
    words: &'static [&'static str],
    scope: Scope,
    instead: &'static str,
}

enum Scope {
    /// The sources of these packages.
    In(&'static [&'static str]),
    /// All sources, except below these paths.
    Except(&'static [&'static str]),
}

const PURE: &[&str] = &["robson-domain", "robson-engine", "robson-projector"];

const BANS: &[Ban] = &[
    Ban {
        words: &["sqlx", "rusqlite", "libsqlite3_sys"],
        // The peers are other people's stores; nothing of ours links them.
        scope: Scope::Except(&["crates/robson-store/", "peers/"]),
        instead: "SQL lives in robson-store; go through its `Store`",
    },
    Ban {
        words: &["std::env", "env::var", "env::var_os", "env::vars", "env::vars_os", "env::args"],
        scope: Scope::Except(&[
            "crates/robson-cli/src/",
            "crates/robson-testkit/src/",
            // The suite starts its own test binary again as a child, to kill it.
            "crates/robson-conformance/src/child.rs",
            "crates/robsond/src/config",
            "crates/robsond/src/main.rs",
            "peers/",
            "xtask/src/",
        ]),
        instead: "only the binaries read the environment; take the setting as an argument",
    },
    Ban {
        words: &["Utc::now", "Local::now", "SystemTime::now", "Instant::now"],
        scope: Scope::In(PURE),
        instead: "there is one clock and it is passed in; take the time as an argument",
    },
    Ban {
        words: &["async", "tokio", "std::fs", "std::net", "std::thread", "std::io", "rand"],
        scope: Scope::In(PURE),
        instead: "this crate is pure; do the effect in robsond or robson-venue and pass in its result",
    },
    Ban {
        words: &["HashMap", "HashSet"],
        scope: Scope::In(PURE),
        instead: "iteration order is part of the result; use BTreeMap or BTreeSet",
    },
    Ban {
        words: &["#[allow", "#![allow"],
        scope: Scope::Except(&[]),
        instead: "write `#[expect(.., reason = \"..\")]`, so that it goes when its cause goes",
    },
];

/// Banned in tests too.
const BANS_IN_TESTS: &[Ban] = &[Ban {
    words: &["#[ignore"],
    scope: Scope::Except(&[]),
    instead: "no test is skipped; gate a slow run by an environment variable, fix or remove a broken one",
}];

pub(super) fn check(workspace: &Workspace, files: &[PathBuf], report: &mut Report) -> Result<()> {
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = read(path)?;
        let place = path.display().to_string();
        if !text.starts_with("//!") {
            report.add(&place, "begins with no `//!` sentence that says what it is for");
        }
        let package = workspace.packages.iter().find(|p| root().join(path).starts_with(&p.folder));
        let package = package.map_or("", |package| &package.name);
        if is_product(path) {
            check_bans(BANS, package, &place, &code_of(&text), report);
        }
        check_bans(BANS_IN_TESTS, package, &place, &text_outside_strings(&text), report);
    }
    Ok(())
}

/// Attributes stand at the beginning of a line, which no string of ours does.
fn text_outside_strings(text: &str) -> String {
    text.lines()
        .map(|line| if line.trim_start().starts_with('#') { line } else { "" })
        .fold(String::new(), |text, line| text + line + "\n")
}

/// Neither a test nor a build script; these may read files and the environment.
fn is_product(path: &Path) -> bool {
    let folder = |name: &str| path.components().any(|part| part.as_os_str() == name);
    let file = |name: &str| path.ends_with(name);
    !(folder("tests") || folder("benches") || folder("examples") || file("tests.rs") || file("build.rs"))
}

fn check_bans(bans: &[Ban], package: &str, place: &str, code: &str, report: &mut Report) {
    for ban in bans {
        let applies = match ban.scope {
            Scope::In(packages) => packages.contains(&package),
            Scope::Except(paths) => !paths.iter().any(|path| place.starts_with(path)),
        };
        for word in ban.words.iter().filter(|_| applies) {
            for line in lines_naming(code, word) {
                report.add(format!("{place}:{line}"), format!("names `{word}`; {}", ban.instead));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_banned_where_the_rule_says_so() {
        let check = |package: &str, place: &str, source: &str, expected: usize| {
            let mut report = Report::default();
            check_bans(BANS, package, place, &code_of(source), &mut report);
            assert_eq!(report.0.len(), expected, "{place}: {source}: {report:?}");
        };
        check("robson-engine", "crates/robson-engine/src/lib.rs", "Utc::now()", 1);
        check("robsond", "crates/robsond/src/clock.rs", "Utc::now()", 0);
        check("robson-store", "crates/robson-store/src/lib.rs", "use sqlx::Row;", 0);
        check("robsond", "crates/robsond/src/lib.rs", "use sqlx::Row;", 1);
        check("robsond", "crates/robsond/src/http.rs", "std::env::var(\"X\")", 2);
        check("robsond", "crates/robsond/src/config/mod.rs", "std::env::var(\"X\")", 0);
        check("robson-domain", "crates/robson-domain/src/lib.rs", "pub async fn f() {}", 1);
        check("robson-domain", "crates/robson-domain/src/lib.rs", "// async, tokio and #[allow", 0);
        check("robson-domain", "crates/robson-domain/src/lib.rs", "#[allow(dead_code)] fn f() {}", 1);
    }
}
