//! The types of fields: what each is in JSON, and what it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What a type says of itself.
#[derive(Debug)]
struct Described {
    form: &'static str,
    words: String,
    /// The words of a closed vocabulary, each with what it means.
    vocabulary: Vec<(String, String)>,
}

/// Every type that a field may have.
#[derive(Debug, Default)]
pub(crate) struct Types {
    described: BTreeMap<String, Described>,
}

/// Types that need no description beyond what they are in JSON.
const PLAIN: [&str; 4] = ["String", "Uuid", "bool", "i64"];

const VOCABULARY: &str = "text, one of";

/// The macros in which values are declared, and what such a value is in JSON.
const SHAPES: [(&str, &str); 4] = [
    ("decimal_value!(", "decimal, as text"),
    ("uuid_id! {", "UUID, as text"),
    ("name_value!(", "text"),
    ("terms! {", VOCABULARY),
];

impl Types {
    /// Reads the values of the domain.
    pub(crate) fn read(folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut types = Self::default();
        for (name, form) in PLAIN.iter().zip(["text", "UUID, as text", "boolean", "integer"]) {
            types.add(name, form, String::new());
        }
        let limits = "What a strategy may hold and lose: `max_exposure` and `daily_loss_limit`, each an amount of \
                      quote currency; left out, it has no such limit.";
        types.add("RiskConfig", "object", limits.to_owned());
        let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::path);
        for file in files {
            types.read_text(&fs::read_to_string(file.path())?);
        }
        for (name, form) in [("Json", "anything"), ("Timestamp", "instant, as text")] {
            types.described.get_mut(name).ok_or_else(|| format!("no value is called {name}"))?.form = form;
        }
        Ok(types)
    }

    fn add(&mut self, name: &str, form: &'static str, words: String) {
        self.described.insert(name.to_owned(), Described { form, words, vocabulary: Vec::new() });
    }

    /// A declaration follows its sentence: in one of the macros, or as a struct or an enum.
    fn read_text(&mut self, text: &str) {
        let (mut within, mut current, mut words) = (None, String::new(), None::<String>);
        for line in text.lines() {
            let declared = line.trim_start();
            let indent = line.len() - declared.len();
            if let Some(sentence) = declared.strip_prefix("/// ") {
                words = Some(words.map_or(sentence.to_owned(), |before| format!("{before} {sentence}")));
                continue;
            }
            if declared.is_empty() || declared.starts_with("#[") || declared == "///" {
                continue;
            }
            if indent == 0 {
                within = SHAPES.iter().find(|(shape, _)| *shape == line).map(|(_, form)| *form);
                current.clear();
            }
            let Some(words) = words.take() else { continue };
            let name: String = declared
                .trim_start_matches("pub struct ")
                .trim_start_matches("pub enum ")
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric())
                .collect();
            match (indent, within) {
                (0, _) => {
                    let form = if declared.starts_with("pub enum ") { VOCABULARY } else { "text" };
                    self.add(&name, form, words);
                    current = name;
                }
                (4, Some(form)) => {
                    self.add(&name, form, words);
                    current = name;
                }
                (4 | 8, _) => {
                    let own = self.described.get_mut(&current).filter(|of| of.form == VOCABULARY);
                    let word = declared.split('"').nth(1).map_or(name.to_lowercase(), str::to_owned);
                    own.into_iter().for_each(|of| of.vocabulary.push((word.clone(), words.clone())));
                }
                _ => {}
            }
        }
    }

    /// A link to a type's description, which then is to be written.
    pub(crate) fn link(&self, name: &str, named: &mut BTreeSet<String>) -> Result<String, String> {
        let described = self.described.get(name).ok_or_else(|| format!("no value is called {name}"))?;
        if PLAIN.contains(&name) {
            return Ok(described.form.to_owned());
        }
        named.insert(name.to_owned());
        Ok(format!("[{name}](#{})", name.to_lowercase()))
    }

    /// The descriptions of the types that were named.
    pub(crate) fn document(&self, named: &BTreeSet<String>) -> Result<String, std::fmt::Error> {
        let mut text = String::from("## Types\n");
        for (name, Described { form, words, vocabulary }) in &self.described {
            if !named.contains(name) {
                continue;
            }
            write!(text, "\n### {name}\n\n{words} In JSON: {form}")?;
            if vocabulary.is_empty() {
                text.push_str(".\n");
                continue;
            }
            text.push_str(":\n\n| word | meaning |\n| --- | --- |\n");
            for (word, meaning) in vocabulary {
                writeln!(text, "| `{word}` | {meaning} |")?;
            }
        }
        Ok(text)
    }
}
