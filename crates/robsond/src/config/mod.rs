//! Configuration: a file, then the environment, then flags; the later wins, and each value keeps its origin.
//!
//! Everything is parsed into values that cannot be wrong before anything starts. The process's
//! environment is handed in by the binary; nothing here reads it.

mod effective;
mod error;
mod file;
mod flags;
mod secret;
mod setting;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use effective::{Effective, Origin};
pub use error::ConfigError;
pub use flags::Flags;
pub use secret::Secret;
pub use settings::{
    ApiSettings, DatabaseSettings, Environment, PaperSettings, RiskSettings, RunSettings, Settings,
    SymbolFilters,
};

/// Where the configuration file lies unless it is named.
pub const DEFAULT_FILE: &str = "robson.toml";

/// What was configured: the values, where each came from, and what the operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// The values.
    pub settings: Settings,
    /// The same as text, with origins, for people.
    pub effective: Effective,
    /// What has no effect, one sentence each.
    pub warnings: Vec<String>,
}

impl Configuration {
    /// Reads the file that flag or variable name, else `./robson.toml` where it exists, then the variables,
    /// then the flags.
    ///
    /// # Errors
    /// The first value that cannot be used, and where it stands.
    pub fn load(flags: &Flags, variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut effective = Effective::defaults();
        let mut symbols = BTreeMap::new();
        if let Some(path) = config_file(flags, variables) {
            let file = file::read(&path)?;
            effective.take(file.values);
            symbols = file.symbols;
        }
        let (values, warnings) = setting::from_variables(variables)?;
        effective.take(values);
        effective.take(flags.values()?);
        let settings = Settings::parse(&effective, symbols)?;
        effective.take_symbols(&settings.symbols);
        Ok(Self { settings, effective, warnings })
    }
}

fn config_file(flags: &Flags, variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let named = flags.config.clone().or_else(|| variables.get("ROBSON_CONFIG").map(PathBuf::from));
    named.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()))
}

#[cfg(test)]
mod tests;
