//! The list of settings: a new one is a line here and a field in [`super::Settings`].

use std::collections::BTreeMap;

use super::effective::Values;
use super::{ConfigError, Origin};

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text in quotes.
    Text,
    /// A decimal or an integer, as a number or in quotes.
    Number,
    /// `true` or `false`.
    Switch,
    /// Several texts.
    List,
}

/// How much of a value may be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reveal {
    /// All of it.
    Whole,
    /// All but a password in it.
    Url,
    /// Nothing.
    Nothing,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Its section and name in the file; only `environment` stands outside a section.
    pub(super) key: &'static str,
    /// Its variable.
    pub(super) variable: Option<&'static str>,
    /// Its value where none is given.
    pub(super) default: Option<&'static str>,
    /// How it is written.
    pub(super) shape: Shape,
    /// How much of it is printed.
    pub(super) reveal: Reveal,
    /// Whether trades depend on it: such settings are what the configuration's hash covers.
    pub(super) decides: bool,
}

impl Setting {
    const fn new(key: &'static str, shape: Shape) -> Self {
        Self { key, variable: None, default: None, shape, reveal: Reveal::Whole, decides: false }
    }

    const fn text(key: &'static str) -> Self {
        Self::new(key, Shape::Text)
    }

    const fn number(key: &'static str, default: &'static str) -> Self {
        Self::new(key, Shape::Number).or(default)
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn from(self, variable: &'static str) -> Self {
        Self { variable: Some(variable), ..self }
    }

    const fn deciding(self) -> Self {
        Self { decides: true, ..self }
    }

    const fn revealing(self, reveal: Reveal) -> Self {
        Self { reveal, ..self }
    }

    pub(super) fn of(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// Every setting, in the order in which they are printed.
pub(super) static SETTINGS: &[Setting] = &[
    Setting::text("environment").from("ROBSON_ENV").or("development").deciding(),
    Setting::text("database.url").from("DATABASE_URL").or("sqlite://robson.db").revealing(Reveal::Url),
    Setting::text("database.tenant_id").from("PROJECTION_TENANT_ID"),
    Setting::number("database.poll_interval_ms", "100").from("PROJECTION_POLL_INTERVAL_MS"),
    Setting::new("database.doorbell", Shape::Switch).from("ROBSON_DATABASE_DOORBELL").or("false"),
    Setting::number("database.lease_ms", "10000").from("ROBSON_LEASE_MS"),
    Setting::number("snapshots.events", "100").from("ROBSON_SNAPSHOT_EVENTS"),
    Setting::number("snapshots.minutes", "60").from("ROBSON_SNAPSHOT_MINUTES"),
    Setting::new("snapshots.workflow_ends", Shape::List).or("POSITION_CLOSED"),
    Setting::new("api.enabled", Shape::Switch).or("true"),
    Setting::text("api.host").from("ROBSON_API_HOST").or("127.0.0.1"),
    Setting::number("api.port", "8080").from("ROBSON_API_PORT"),
    Setting::text("api.token").from("ROBSON_API_TOKEN").revealing(Reveal::Nothing),
    Setting::number("risk.default_risk_percent", "0.01").from("ROBSON_DEFAULT_RISK_PERCENT").deciding(),
    Setting::number("risk.taker_fee_rate", "0.001").from("ROBSON_TAKER_FEE_RATE").deciding(),
    Setting::number("risk.stop_gap_bps", "10").from("ROBSON_STOP_GAP_BPS").deciding(),
    Setting::number("risk.stop_buffer_bps", "0").from("ROBSON_STOP_BUFFER_BPS").deciding(),
    Setting::number("risk.margin_headroom_bps", "100").from("ROBSON_MARGIN_HEADROOM_BPS").deciding(),
    Setting::number("risk.min_tech_stop_percent", "0.001").from("ROBSON_MIN_TECH_STOP_PERCENT").deciding(),
    Setting::number("risk.max_tech_stop_percent", "0.1").from("ROBSON_MAX_TECH_STOP_PERCENT").deciding(),
    Setting::number("risk.tech_stop_support_n", "2").from("ROBSON_TECH_STOP_SUPPORT_N").deciding(),
    Setting::number("risk.tech_stop_lookback", "100").from("ROBSON_TECH_STOP_LOOKBACK").deciding(),
    Setting::number("risk.tech_stop_tolerance", "0.005").from("ROBSON_TECH_STOP_TOLERANCE").deciding(),
    Setting::number("risk.trail_min_step_bps", "1").from("ROBSON_TRAIL_MIN_STEP_BPS").deciding(),
    Setting::number("paper.capital", "10000").from("ROBSON_PAPER_CAPITAL").deciding(),
    Setting::text("paper.quote_asset").from("ROBSON_PAPER_QUOTE_ASSET").or("USD").deciding(),
    Setting::number("paper.slippage_bps", "2").from("ROBSON_PAPER_SLIPPAGE_BPS").deciding(),
    Setting::number("paper.latency_ms", "50").from("ROBSON_PAPER_LATENCY_MS").deciding(),
    Setting::number("paper.participation", "0.25").from("ROBSON_PAPER_PARTICIPATION").deciding(),
    Setting::new("run.feed", Shape::List),
    Setting::text("run.plan"),
    Setting::text("run.speed").or("real"),
    Setting::new("run.exit_at_end", Shape::Switch).or("false"),
    Setting::number("run.seed", "0").from("ROBSON_SEED").deciding(),
];

/// Variables that others read: the binary's logging, the command line, the tests.
const FOREIGN_VARIABLES: &[&str] = &[
    "ROBSON_BIN_DIR",
    "ROBSON_CONFIG",
    "ROBSON_DAEMON_URL",
    "ROBSON_LOG",
    "ROBSON_LOG_FORMAT",
    "ROBSON_OPERATOR_ID",
];

/// What the variables set, and warnings; an unknown `ROBSON_*` is refused, because it may be a misspelt limit.
pub(super) fn from_variables(
    variables: &BTreeMap<String, String>,
) -> Result<(Values, Vec<String>), ConfigError> {
    let mut values = Values::new();
    let mut warnings = Vec::new();
    for (name, text) in variables {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable == Some(name)) {
            values.insert(setting.key, (vec![text.clone()], Origin::Variable(name.clone())));
        } else if name == "PROJECTION_STREAM_KEY" {
            warnings.push("PROJECTION_STREAM_KEY has no effect: the whole log is followed".to_owned());
        } else if name.starts_with("ROBSON_") && !is_foreign(name) {
            let reason = "there is no such setting: correct the name, or unset it";
            return Err(ConfigError::new(Origin::Variable(name.clone()), reason));
        }
    }
    Ok((values, warnings))
}

fn is_foreign(name: &str) -> bool {
    name.starts_with("ROBSON_TEST_") || FOREIGN_VARIABLES.contains(&name)
}
