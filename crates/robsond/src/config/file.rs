//! The configuration file: TOML whose every key is known, else refused with file and line.

use std::collections::BTreeMap;
use std::path::Path;

use robson_domain::Symbol;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::effective::Values;
use super::setting::{SETTINGS, Setting, Shape};
use super::settings::{RawFilters, SymbolFilters};
use super::{ConfigError, Origin};

/// What a file says.
pub(super) struct File {
    pub(super) values: Values,
    pub(super) symbols: BTreeMap<Symbol, RawFilters>,
}

pub(super) fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "the file may not be read".to_owned(),
            std::io::ErrorKind::InvalidData => "the text is not UTF-8".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        };
        ConfigError::new(Origin::File { file: path.to_owned(), line: None }, reason)
    })?;
    Source { path, text: &text }.parse()
}

/// The text that spans point into.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn origin(&self, start: usize) -> Origin {
        let before = self.text.as_bytes().get(..start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').fold(1, |line, _| line + 1);
        Origin::File { file: self.path.to_owned(), line: Some(line) }
    }

    fn refusal(&self, start: usize, reason: impl Into<String>) -> ConfigError {
        ConfigError::new(self.origin(start), reason)
    }

    fn parse(&self) -> Result<File, ConfigError> {
        let root = DeTable::parse(self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            self.refusal(start, format!("this is not TOML: {}", error.message().replace('\n', ", ")))
        })?;
        let mut file = File { values: Values::new(), symbols: BTreeMap::new() };
        for (name, value) in root.get_ref() {
            let section = name.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(table) if section == "symbols" => file.symbols = self.symbols(table)?,
                DeValue::Table(table) => {
                    for (name, value) in table {
                        self.take(&mut file.values, &format!("{section}.{}", name.get_ref()), name, value)?;
                    }
                }
                _ => self.take(&mut file.values, section, name, value)?,
            }
        }
        Ok(file)
    }

    fn take(
        &self,
        values: &mut Values,
        key: &str,
        name: &Spanned<impl Sized>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let start = name.span().start;
        let setting = Setting::of(key).ok_or_else(|| self.refusal(start, unknown_key(key)))?;
        let texts = match (setting.shape, value.get_ref()) {
            (Shape::List, DeValue::Array(items)) => {
                items.iter().map(|item| self.scalar(key, Shape::Text, item)).collect::<Result<_, _>>()?
            }
            (Shape::List, _) => return Err(self.refusal(start, format!("{key} is a list of texts"))),
            (shape, _) => vec![self.scalar(key, shape, value)?],
        };
        values.insert(setting.key, (texts, self.origin(start)));
        Ok(())
    }

    /// The value's text; numbers keep the digits that were written.
    fn scalar(&self, key: &str, shape: Shape, value: &Spanned<DeValue<'_>>) -> Result<String, ConfigError> {
        match (shape, value.get_ref()) {
            (Shape::Text | Shape::Number, DeValue::String(text)) => Ok(text.to_string()),
            (Shape::Number, DeValue::Integer(integer)) if integer.radix() == 10 => {
                Ok(integer.as_str().to_owned())
            }
            (Shape::Number, DeValue::Float(float)) => Ok(float.as_str().to_owned()),
            (Shape::Switch, DeValue::Boolean(yes)) => Ok(yes.to_string()),
            (shape, other) => {
                let wanted = match shape {
                    Shape::Text | Shape::List => "a text",
                    Shape::Number => "a decimal number",
                    Shape::Switch => "true or false",
                };
                let found = match other {
                    DeValue::Table(_) => "table",
                    other => other.type_str(),
                };
                let reason = format!("{key} is {wanted}, not a value of the type {found}");
                Err(self.refusal(value.span().start, reason))
            }
        }
    }

    fn symbols(&self, table: &DeTable<'_>) -> Result<BTreeMap<Symbol, RawFilters>, ConfigError> {
        let mut symbols = BTreeMap::new();
        for (name, value) in table {
            let start = name.span().start;
            let text = name.get_ref().as_ref();
            let symbol: Symbol =
                text.parse().map_err(|error| self.refusal(start, format!("symbols: {error}")))?;
            let DeValue::Table(filters) = value.get_ref() else {
                return Err(self.refusal(start, format!("write this as [symbols.{symbol}]")));
            };
            let mut raw = RawFilters::new();
            for (name, value) in filters {
                let key = name.get_ref().as_ref();
                let start = name.span().start;
                let Some(known) = SymbolFilters::NAMES.iter().find(|known| **known == key) else {
                    let names = SymbolFilters::NAMES.join(", ");
                    let reason = format!("`{key}` is unknown: [symbols.{symbol}] takes {names}");
                    return Err(self.refusal(start, reason));
                };
                let text = self.scalar(&format!("symbols.{symbol}.{key}"), Shape::Number, value)?;
                raw.insert(known, (text, self.origin(start)));
            }
            symbols.insert(symbol, raw);
        }
        Ok(symbols)
    }
}

fn unknown_key(key: &str) -> String {
    let section = key.split_once('.').map(|(section, _)| section);
    let in_section = |setting: &&Setting| {
        section.is_some_and(|section| {
            setting.key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let known: Vec<&str> = SETTINGS
        .iter()
        .filter(in_section)
        .filter_map(|setting| setting.key.split_once('.').map(|(_, name)| name))
        .collect();
    if let (Some(section), false) = (section, known.is_empty()) {
        format!("`{key}` is unknown: [{section}] takes {}", known.join(", "))
    } else {
        format!(
            "`{key}` is unknown: there are environment, [database], [api], [risk], [paper], [run] and [symbols.X]"
        )
    }
}
