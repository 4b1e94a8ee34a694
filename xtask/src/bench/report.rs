//! What came of a run: tables on the terminal, JSON, charts, and the generated part of the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::figures::{FIGURES, Figure, thousands};
use super::machine::Machine;
use super::measurement::{Key, Results};
use super::plan::{APPEND, BATCHES, READING};
use super::{Backend, Bench, chart};
use crate::cargo::root;

const DOCUMENT: &str = "docs/benchmarks.md";
const DOCUMENT_CHART: &str = "docs/benchmarks.svg";
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --write-docs` -->";
const END: &str = "<!-- end -->";

/// Prints the tables and writes the files.
pub(super) fn publish(bench: &Bench, folder: &Path) -> Result<()> {
    let text = text(bench);
    println!("\n{text}");
    let json = serde_json::to_string_pretty(&json(bench)).context("write JSON")?;
    let write =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("write {}", path.display()));
    write(&folder.join("bench.json"), &json)?;
    let chart = chart::append_rates(&bench.results, &bench.options.backends)?;
    write(&folder.join("append.svg"), &chart)?;
    println!("{}", folder.join("bench.json").display());
    println!("{}", folder.join("append.svg").display());
    if bench.options.writes_docs {
        let document = root().join(DOCUMENT);
        let old = fs::read_to_string(&document).with_context(|| format!("read {DOCUMENT}"))?;
        let text = format!("![Durable appends per second](benchmarks.svg)\n\n{text}\n{}", bounds());
        write(&document, &with_generated(&old, &text)?)?;
        write(&root().join(DOCUMENT_CHART), &chart)?;
        println!("{DOCUMENT}\n{DOCUMENT_CHART}");
    }
    Ok(())
}

fn text(bench: &Bench) -> String {
    let Machine { cores, processor, memory_mib, kernel, commit, syncs_per_second } = &bench.machine;
    let rounds = bench.options.rounds;
    let mut text = format!(
        "Commit {commit}, {kernel}, {cores} x {processor}, {} GiB. The disk does {} durable writes of 16 KiB \
         in a second, one after the other. Medians over {rounds} rounds; a long log has {} events.\n",
        memory_mib.div_ceil(1024),
        thousands(*syncs_per_second),
        thousands_of(bench.options.log_events),
    );
    for backend in &bench.options.backends {
        text += &format!("\n### {}\n\n", backend.title());
        for settings in settings(&bench.results, *backend) {
            text += &format!("{settings}\n");
        }
        text += &format!("\n{}", figures(bench, *backend));
        let rates = rates(&bench.results, *backend);
        if !rates.is_empty() {
            text += &format!(
                "\n{}",
                table(&["work", "callers", "subject", "events/s", "p50", "p99", "least..most"], &rates)
            );
        }
    }
    text
}

fn thousands_of(number: u64) -> String {
    u32::try_from(number).map_or_else(|_| number.to_string(), |number| thousands(f64::from(number)))
}

/// What the subjects read back of their durable settings, each text once.
fn settings(results: &Results, backend: Backend) -> Vec<String> {
    let mut subjects: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, rounds) in results.rounds.iter().filter(|(key, _)| key.backend == backend && key.work == APPEND)
    {
        let text = rounds.iter().find_map(|round| round.extra.get("settings")?.as_str());
        if let Some(text) = text {
            subjects.entry(text).or_default().insert(&key.subject);
        }
    }
    let line = |(text, subjects): (&str, BTreeSet<&str>)| {
        format!("- {}: {text}", subjects.into_iter().collect::<Vec<_>>().join(", "))
    };
    subjects.into_iter().map(line).collect()
}

fn wanted(bench: &Bench, backend: Backend) -> impl Iterator<Item = &'static Figure> {
    let options = bench.options.clone();
    FIGURES.iter().filter(move |figure| figure.backends.contains(&backend) && options.wants(figure.name))
}

fn figures(bench: &Bench, backend: Backend) -> String {
    let rows: Vec<Vec<String>> = wanted(bench, backend)
        .map(|figure| {
            let goals = [figure.goal(figure.must), figure.goal(figure.aim)];
            let [must, aim] = goals;
            match (figure.read)(&bench.results, backend) {
                Ok(reading) => {
                    let verdict = figure.verdict(reading.value).word().to_owned();
                    let value = figure.unit.write(reading.value);
                    vec![figure.name.to_owned(), value, must, aim, verdict, reading.ours, reading.beside]
                }
                Err(reason) => {
                    let reason = format!("not measured: {reason}");
                    vec![
                        figure.name.to_owned(),
                        reason,
                        must,
                        aim,
                        String::new(),
                        String::new(),
                        String::new(),
                    ]
                }
            }
        })
        .collect();
    table(&["figure", "measured", "must", "aim", "reached", "ours", "beside it"], &rows)
}

/// What bounds each figure.
fn bounds() -> String {
    let lines = FIGURES.iter().map(|figure| format!("- {}: {}.\n", figure.name, figure.bound));
    format!("### What bounds them\n\n{}", lines.collect::<String>())
}

/// The absolute numbers behind the figures.
fn rates(results: &Results, backend: Backend) -> Vec<Vec<String>> {
    let works = [APPEND, BATCHES, READING];
    let keys = |work: &'static str| {
        results.rounds.iter().filter(move |(key, _)| key.backend == backend && key.work == work)
    };
    let row = |(key, rounds): (&Key, &Vec<super::measurement::Measurement>)| {
        let micros = |micros: Result<f64, String>| {
            micros.map_or_else(|_| String::new(), |micros| format!("{} µs", thousands(micros)))
        };
        let rate = results.median(key, |round| Some(round.rate())).unwrap_or_default();
        let least = rounds.iter().map(|round| round.rate()).fold(f64::INFINITY, f64::min);
        let most = rounds.iter().map(|round| round.rate()).fold(0.0, f64::max);
        vec![
            key.work.clone(),
            key.callers.to_string(),
            key.subject.clone(),
            thousands(rate),
            micros(results.median(key, |round| round.p50_us)),
            micros(results.median(key, |round| round.p99_us)),
            format!("{}..{}", thousands(least), thousands(most)),
        ]
    };
    works.into_iter().flat_map(|work| keys(work).map(row)).collect()
}

/// A Markdown table whose columns stand below each other on a terminal too.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width_of = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain([head[index].chars().count(), 3]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let line = |cells: Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let rule =
        format!("|{}\n", widths.iter().map(|width| format!(" {} |", "-".repeat(*width))).collect::<String>());
    let head = line(head.iter().map(ToString::to_string).collect());
    rows.iter().fold(head + &rule, |text, row| text + &line(row.clone()))
}

fn json(bench: &Bench) -> Value {
    let figures = bench.options.backends.iter().flat_map(|backend| {
        wanted(bench, *backend).map(|figure| {
            let (value, reason) = match (figure.read)(&bench.results, *backend) {
                Ok(reading) => (Some(reading.value), None),
                Err(reason) => (None, Some(reason)),
            };
            json!({
                "table": backend.name(),
                "figure": figure.name,
                "value": value,
                "unit": format!("{:?}", figure.unit).to_lowercase(),
                "must": figure.must,
                "aim": figure.aim,
                "reached": value.map(|value| figure.verdict(value).word()),
                "not_measured": reason,
                "bound_by": figure.bound,
            })
        })
    });
    json!({
        "machine": bench.machine.to_json(),
        "rounds": bench.options.rounds,
        "log_events": bench.options.log_events,
        "seconds": bench.watch.elapsed().as_secs_f64(),
        "figures": figures.collect::<Vec<_>>(),
        "measurements": bench.results.to_json(),
    })
}

/// A document with what stands between the two marks replaced.
fn with_generated(document: &str, text: &str) -> Result<String> {
    let (before, rest) =
        document.split_once(BEGIN).with_context(|| format!("{DOCUMENT} has no `{BEGIN}`"))?;
    let (_, after) =
        rest.split_once(END).with_context(|| format!("{DOCUMENT} has no `{END}` behind that"))?;
    Ok(format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generated_part_of_a_document_changes() {
        let document = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nMore.\n");
        let new = with_generated(&document, "new").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n{END}\n\nMore.\n"));
        assert_eq!(with_generated(&new, "new").unwrap(), new);
        assert!(with_generated("# Title\n", "new").is_err());
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["long name".to_owned(), "1".to_owned()]];
        assert_eq!(
            table(&["a", "b"], &rows),
            "| a         | b   |\n| --------- | --- |\n| long name | 1   |\n"
        );
    }

    #[test]
    fn the_document_has_a_part_to_write() {
        let document = fs::read_to_string(root().join(DOCUMENT)).unwrap();
        assert!(with_generated(&document, "x").is_ok());
        for figure in FIGURES {
            assert!(!figure.bound.is_empty() && !figure.rests_on.is_empty(), "{}", figure.name);
        }
    }
}
