//! `--feed [SYMBOL=]FILE`: which file is played as which symbol.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use robson_domain::{Price, Symbol};

/// A recorded file, and the symbol that it is played as where one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSpec {
    /// The symbol that was named.
    pub symbol: Option<Symbol>,
    /// The file.
    pub file: PathBuf,
}

/// A recorded file whose symbol and tick size are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSource {
    /// The symbol that the file is played as.
    pub symbol: Symbol,
    /// The file.
    pub file: PathBuf,
    /// The price grid that recorded prices are rounded to.
    pub tick_size: Price,
}

/// Why a text names no feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFeedSpec {
    /// No file is named.
    #[error("`{0}` names no file: give [SYMBOL=]FILE")]
    NoFile(String),
    /// No symbol was named, and the file's stem is none.
    #[error("the name of {} cannot serve as a symbol: give SYMBOL=FILE", .0.display())]
    NoSymbol(PathBuf),
}

impl FeedSpec {
    /// The symbol: the one that was named, else the plan's only one, else the file's stem.
    ///
    /// # Errors
    /// `NoSymbol` where the stem is not a symbol.
    pub fn symbol_or(&self, only_in_plan: Option<&Symbol>) -> Result<Symbol, InvalidFeedSpec> {
        if let Some(symbol) = self.symbol.as_ref().or(only_in_plan) {
            return Ok(symbol.clone());
        }
        let stem = self.file.file_stem().and_then(|stem| stem.to_str());
        stem.and_then(|stem| stem.parse().ok()).ok_or_else(|| InvalidFeedSpec::NoSymbol(self.file.clone()))
    }
}

impl FromStr for FeedSpec {
    type Err = InvalidFeedSpec;

    /// A text before the first `=` that is no symbol belongs to the path: `data/a=b.csv` is a file.
    fn from_str(text: &str) -> Result<Self, InvalidFeedSpec> {
        let named = text.split_once('=').and_then(|(symbol, file)| Some((symbol.parse().ok()?, file)));
        let (symbol, file) = named.map_or((None, text), |(symbol, file)| (Some(symbol), file));
        if file.is_empty() {
            return Err(InvalidFeedSpec::NoFile(text.to_owned()));
        }
        Ok(Self { symbol, file: PathBuf::from(file) })
    }
}

impl fmt::Display for FeedSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(symbol) = &self.symbol {
            write!(f, "{symbol}=")?;
        }
        write!(f, "{}", self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, only_in_plan: Option<&str>, expected: &str) {
        let only: Option<Symbol> = only_in_plan.map(|text| text.parse().unwrap());
        let actual = match text.parse::<FeedSpec>() {
            Ok(spec) => match spec.symbol_or(only.as_ref()) {
                Ok(symbol) => format!("{symbol} from {}", spec.file.display()),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn the_symbol_is_the_named_one_then_the_plans_then_the_stem() {
        check("BTCUSD=data/a.csv", Some("ETHUSD"), "BTCUSD from data/a.csv");
        check("data/a.csv", Some("ETHUSD"), "ETHUSD from data/a.csv");
        check("data/btc-1h.csv", None, "btc-1h from data/btc-1h.csv");
        check("data/a=b.csv", Some("ETHUSD"), "ETHUSD from data/a=b.csv");
        check(
            "data/my bars.csv",
            None,
            "the name of data/my bars.csv cannot serve as a symbol: give SYMBOL=FILE",
        );
        check("BTCUSD=", None, "`BTCUSD=` names no file: give [SYMBOL=]FILE");
        check("", None, "`` names no file: give [SYMBOL=]FILE");
    }
}
