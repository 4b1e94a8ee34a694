//! The configuration that is in effect, as text: what `robsond config` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use robson_domain::Symbol;
use robson_store::DatabaseUrl;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::setting::{Reveal, SETTINGS, Setting, Shape};
use super::settings::SymbolFilters;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file as it was named.
        file: PathBuf,
        /// The line, from 1; none where the file as a whole is meant.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: Some(line) } => write!(f, "{}:{line}", file.display()),
            Self::File { file, line: None } => write!(f, "{}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// By key: the texts (one, but for lists) and where they stand.
pub(super) type Values = BTreeMap<&'static str, (Vec<String>, Origin)>;

/// Every setting's value as text, and its origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Effective {
    values: Values,
    symbols: BTreeMap<Symbol, SymbolFilters>,
}

impl Effective {
    pub(super) fn defaults() -> Self {
        let given =
            |setting: &Setting| Some((setting.key, (vec![setting.default?.to_owned()], Origin::Default)));
        Self { values: SETTINGS.iter().filter_map(given).collect(), symbols: BTreeMap::new() }
    }

    /// Puts values over those that are there.
    pub(super) fn take(&mut self, values: Values) {
        self.values.extend(values);
    }

    pub(super) fn take_symbols(&mut self, symbols: &BTreeMap<Symbol, SymbolFilters>) {
        self.symbols.clone_from(symbols);
    }

    pub(super) fn get(&self, key: &str) -> Option<&(Vec<String>, Origin)> {
        self.values.get(key)
    }

    /// SHA-256 over what trades depend on: without URLs, paths, secrets and what only the host sees.
    pub(super) fn hash(&self, symbols: &BTreeMap<Symbol, SymbolFilters>) -> String {
        let mut hash = Sha256::new();
        for setting in SETTINGS.iter().filter(|setting| setting.decides) {
            for text in self.values.get(setting.key).into_iter().flat_map(|(texts, _)| texts) {
                let number = Decimal::from_str_exact(text).ok().filter(|_| setting.shape == Shape::Number);
                let text = number.map_or_else(|| text.clone(), |number| number.normalize().to_string());
                hash.update(format!("{}={text}\n", setting.key));
            }
        }
        for (symbol, filters) in symbols {
            for (name, text) in filters.texts() {
                hash.update(format!("symbols.{symbol}.{name}={text}\n"));
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As a file that could be read back, but for what is hidden; each value with its origin behind it.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = None;
        for setting in SETTINGS {
            let (in_section, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
            if section.is_some_and(|section| section != in_section) {
                out.push_str(&format!("\n[{in_section}]\n"));
            }
            section = Some(in_section);
            let variable = setting.variable.map(|name| format!(" ({name})")).unwrap_or_default();
            out.push_str(&match self.values.get(setting.key) {
                Some((texts, origin)) => {
                    let variable = if *origin == Origin::Default { variable.as_str() } else { "" };
                    format!("{name} = {}  # {origin}{variable}\n", toml_value(setting, texts))
                }
                None => format!("# {name} is not set{variable}\n"),
            });
        }
        for (symbol, filters) in &self.symbols {
            out.push_str(&format!("\n[symbols.{}]\n", quoted(symbol.as_str())));
            for (name, text) in filters.texts() {
                out.push_str(&format!("{name} = {text}\n"));
            }
        }
        out
    }

    /// As JSON: `{section: {name: {value, origin}}}`.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for setting in SETTINGS {
            let given = self.values.get(setting.key);
            let value = given.map_or(Value::Null, |(texts, _)| json_value(setting, texts));
            let entry = json!({ "value": value, "origin": given.map(|(_, origin)| origin.to_string()) });
            match setting.key.split_once('.') {
                None => root.insert(setting.key.to_owned(), entry),
                Some((section, name)) => {
                    let section = root.entry(section).or_insert_with(|| json!({}));
                    section.as_object_mut().and_then(|fields| fields.insert(name.to_owned(), entry))
                }
            };
        }
        let symbols = self.symbols.iter().map(|(symbol, filters)| {
            let texts: Map<_, _> =
                filters.texts().into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
            (symbol.to_string(), Value::Object(texts))
        });
        root.insert("symbols".to_owned(), Value::Object(symbols.collect()));
        Value::Object(root)
    }
}

/// With what is secret hidden.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_toml())
    }
}

fn shown(setting: &Setting, text: &str) -> String {
    match setting.reveal {
        Reveal::Whole => text.to_owned(),
        Reveal::Url => {
            text.parse::<DatabaseUrl>().map_or_else(|_| "(hidden)".to_owned(), |url| url.to_string())
        }
        Reveal::Nothing => "(hidden)".to_owned(),
    }
}

fn toml_value(setting: &Setting, texts: &[String]) -> String {
    match (setting.shape, texts) {
        (Shape::Number | Shape::Switch, [text]) => text.clone(),
        (Shape::List, texts) => {
            let items: Vec<String> = texts.iter().map(|text| quoted(&shown(setting, text))).collect();
            format!("[{}]", items.join(", "))
        }
        (_, texts) => quoted(&texts.iter().map(|text| shown(setting, text)).collect::<String>()),
    }
}

fn json_value(setting: &Setting, texts: &[String]) -> Value {
    match (setting.shape, texts) {
        (Shape::Switch, [text]) => json!(text == "true"),
        (Shape::List, texts) => texts.iter().map(|text| shown(setting, text)).collect(),
        (_, texts) => json!(texts.iter().map(|text| shown(setting, text)).collect::<String>()),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
