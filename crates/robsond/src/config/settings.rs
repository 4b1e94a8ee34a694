//! The settings as values: whoever holds them need not check them again.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use robson_domain::{Asset, Fraction, Money, Price, Quantity, Symbol};
use robson_engine::sizing::RISK_MAX;
use robson_engine::{Costs, SizingRules, StopBounds, StopRules};
use robson_eventlog::TenantId;
use robson_store::DatabaseUrl;
use robson_venue::feed::{FeedSpec, Speed};
use robson_venue::paper::{FaultPlan, PaperRules};
use rust_decimal::Decimal;

use crate::snapshotter::SnapshotSettings;

use super::effective::Effective;
use super::{ConfigError, Origin, Secret};

/// Everything that the daemon is told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the daemon runs for.
    pub environment: Environment,
    /// Where and how the log is kept.
    pub database: DatabaseSettings,
    /// When snapshots are taken.
    pub snapshots: SnapshotSettings,
    /// The HTTP interface; none: it is not served.
    pub api: Option<ApiSettings>,
    /// How much a trade may lose, and how its stop is found and moved.
    pub risk: RiskSettings,
    /// The paper exchange.
    pub paper: PaperSettings,
    /// The filters of those symbols that have some of their own.
    pub symbols: BTreeMap<Symbol, SymbolFilters>,
    /// This run.
    pub run: RunSettings,
    config_hash: String,
}

/// What the daemon runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Tests.
    Test,
    /// Trying things out.
    Development,
    /// Real work: reading needs the token too.
    Production,
}

/// Where and how the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// Where.
    pub url: DatabaseUrl,
    /// Whose log; none: the only one there is.
    pub tenant: Option<TenantId>,
    /// How often a follower asks for news when nobody wakes it.
    pub poll_interval: Duration,
    /// Whether commits ring for other processes on Postgres, and whether theirs are listened for.
    pub doorbell: bool,
    /// How long the writer's lease holds without renewal.
    pub lease: Duration,
}

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// What a caller must know to change anything.
    pub token: Option<Secret>,
}

/// How much a trade may lose, and how its stop is found and moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskSettings {
    /// The part of the capital that a position risks unless it says less; at most 1 %.
    pub default_risk: Fraction,
    /// How sizes are derived.
    pub sizing: SizingRules,
    /// How stops are read from the chart.
    pub stops: StopRules,
    /// The least improvement that moves a stop.
    pub trail_min_step: Fraction,
}

/// The paper exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperSettings {
    /// The account's first deposit.
    pub capital: Money,
    /// The terms on which orders fill.
    pub rules: PaperRules,
    /// What goes wrong on purpose; only tests ask for it.
    pub faults: FaultPlan,
}

/// What a venue takes of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SymbolFilters {
    /// The grid of prices.
    pub tick: Price,
    /// The grid of quantities.
    pub step: Quantity,
    /// The smallest quantity.
    pub min_quantity: Quantity,
    /// The smallest value of an order.
    pub min_notional: Money,
}

/// This run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSettings {
    /// What is played.
    pub feeds: Vec<FeedSpec>,
    /// Which positions are armed at which feed times.
    pub plan: Option<PathBuf>,
    /// How fast it is played.
    pub speed: Speed,
    /// Whether the daemon ends with the feed.
    pub exit_at_end: bool,
    /// What ids are made from.
    pub seed: u64,
}

/// The filters of a symbol as the file has them, by name.
pub(super) type RawFilters = BTreeMap<&'static str, (String, Origin)>;

impl Settings {
    pub(super) fn parse(
        effective: &Effective,
        symbols: BTreeMap<Symbol, RawFilters>,
    ) -> Result<Self, ConfigError> {
        let given = Given(effective);
        let environment = given.required("environment")?;
        let symbols = symbols
            .iter()
            .map(|(symbol, raw)| Ok((symbol.clone(), SymbolFilters::parse(raw)?)))
            .collect::<Result<_, ConfigError>>()?;
        let risk = given.risk()?;
        Ok(Self {
            environment,
            database: given.database()?,
            snapshots: given.snapshots()?,
            api: given.api(environment)?,
            paper: given.paper(risk.sizing.costs.fee_rate)?,
            risk,
            run: RunSettings {
                feeds: given.list("run.feed")?,
                plan: given.optional("run.plan")?,
                speed: given.required("run.speed")?,
                exit_at_end: given.required("run.exit_at_end")?,
                seed: given.required("run.seed")?,
            },
            config_hash: effective.hash(&symbols),
            symbols,
        })
    }

    /// SHA-256, in hex, over the settings that trades depend on: without URLs, paths and secrets.
    pub fn config_hash(&self) -> &str {
        &self.config_hash
    }

    /// The filters of a symbol.
    pub fn filters(&self, symbol: &Symbol) -> SymbolFilters {
        self.symbols.get(symbol).copied().unwrap_or_default()
    }
}

/// A bound of the stop's distance in thousandths; decisions outside 0.1 % to 10 % are refused by their event.
fn default_bound(thousandths: i64) -> Fraction {
    Fraction::new(Decimal::new(thousandths, 3)).expect("between 0 and 1")
}

impl Environment {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

impl FromStr for Environment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Test, Self::Development, Self::Production]
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not an environment: test, development or production"))
    }
}

impl Display for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tick 0.01, step and smallest quantity 0.00000001, smallest value 1.
impl Default for SymbolFilters {
    fn default() -> Self {
        let step = Quantity::new(Decimal::new(1, 8)).expect("above 0");
        Self {
            tick: Price::new(Decimal::new(1, 2)).expect("above 0"),
            step,
            min_quantity: step,
            min_notional: Money::new(Decimal::ONE).expect("any decimal is money"),
        }
    }
}

impl SymbolFilters {
    pub(super) const NAMES: [&'static str; 4] = ["tick", "step", "min_quantity", "min_notional"];

    /// By name, as text.
    pub(super) fn texts(&self) -> [(&'static str, String); 4] {
        let Self { tick, step, min_quantity, min_notional } = self;
        let [a, b, c, d] = Self::NAMES;
        [
            (a, tick.to_string()),
            (b, step.to_string()),
            (c, min_quantity.to_string()),
            (d, min_notional.to_string()),
        ]
    }

    fn parse(raw: &RawFilters) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        let step = filter(raw, "step", defaults.step, |step: &Quantity| !step.is_zero())?;
        Ok(Self {
            tick: filter(raw, "tick", defaults.tick, |_| true)?,
            step,
            min_quantity: filter(raw, "min_quantity", step, |_| true)?,
            min_notional: filter(raw, "min_notional", defaults.min_notional, |least| *least >= Money::ZERO)?,
        })
    }
}

fn filter<T: FromStr<Err: Display> + Display>(
    raw: &RawFilters,
    name: &str,
    default: T,
    is_sensible: impl Fn(&T) -> bool,
) -> Result<T, ConfigError> {
    let Some((text, origin)) = raw.get(name) else { return Ok(default) };
    let value: T =
        text.parse().map_err(|error| ConfigError::new(origin.clone(), format!("{name}: {error}")))?;
    if is_sensible(&value) {
        Ok(value)
    } else {
        Err(ConfigError::new(origin.clone(), format!("{name} {value} is too small")))
    }
}

/// Reads texts as values, and refuses them with their origin.
struct Given<'a>(&'a Effective);

impl Given<'_> {
    fn refusal(&self, key: &str, reason: impl Display) -> ConfigError {
        let origin = self.0.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        let reason = match origin {
            Origin::File { .. } | Origin::Default => format!("{key}: {reason}"),
            Origin::Variable(_) | Origin::Flag(_) => reason.to_string(),
        };
        ConfigError::new(origin, reason)
    }

    fn list<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Vec<T>, ConfigError> {
        let texts = self.0.get(key).map(|(texts, _)| texts.as_slice()).unwrap_or_default();
        texts.iter().map(|text| text.parse().map_err(|error| self.refusal(key, error))).collect()
    }

    fn optional<T: FromStr<Err: Display>>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        self.list(key).map(|values| values.into_iter().next())
    }

    /// A setting with a default.
    fn required<T: FromStr<Err: Display>>(&self, key: &str) -> Result<T, ConfigError> {
        self.optional(key)?.ok_or_else(|| self.refusal(key, "a value is needed"))
    }

    fn checked<T: FromStr<Err: Display> + Display>(
        &self,
        key: &str,
        is_sensible: impl Fn(&T) -> bool,
        range: &str,
    ) -> Result<T, ConfigError> {
        let value: T = self.required(key)?;
        if is_sensible(&value) {
            Ok(value)
        } else {
            Err(self.refusal(key, format!("{value} is not {range}")))
        }
    }

    /// A number of basis points as a fraction.
    fn bps(&self, key: &str) -> Result<Fraction, ConfigError> {
        let bps: Money = self.required(key)?;
        let fraction =
            bps.get().checked_div(Decimal::from(10_000)).and_then(|value| Fraction::new(value).ok());
        fraction.ok_or_else(|| self.refusal(key, format!("{bps} is not between 0 and 10000 basis points")))
    }

    fn millis(&self, key: &str, min: u64, max: u64) -> Result<Duration, ConfigError> {
        let range = format!("between {min} and {max} milliseconds");
        self.checked(key, |millis: &u64| (min..=max).contains(millis), &range).map(Duration::from_millis)
    }

    fn database(&self) -> Result<DatabaseSettings, ConfigError> {
        let url = self.required("database.url").map_err(|error| ConfigError { is_usage: true, ..error })?;
        Ok(DatabaseSettings {
            url,
            tenant: self.optional("database.tenant_id")?,
            poll_interval: self.millis("database.poll_interval_ms", 1, 60_000)?,
            doorbell: self.required("database.doorbell")?,
            lease: self.millis("database.lease_ms", 100, 600_000)?,
        })
    }

    /// 0 events or minutes: that is no reason to take one.
    fn snapshots(&self) -> Result<SnapshotSettings, ConfigError> {
        let minutes = self.checked(
            "snapshots.minutes",
            |minutes: &u64| *minutes <= 1_000_000,
            "between 0 and 1000000 minutes",
        )?;
        Ok(SnapshotSettings {
            events: Some(self.required("snapshots.events")?).filter(|events| *events > 0),
            period: Some(Duration::from_secs(minutes * 60)).filter(|period| !period.is_zero()),
            workflow_ends: self.list("snapshots.workflow_ends")?.into_iter().collect(),
        })
    }

    fn api(&self, environment: Environment) -> Result<Option<ApiSettings>, ConfigError> {
        let host: String = self.required("api.host")?;
        let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
        let host: IpAddr = host
            .parse()
            .map_err(|_| self.refusal("api.host", format!("`{host}` is not an IP address or localhost")))?;
        let port = self.required::<u16>("api.port");
        let port = port.map_err(|_| self.refusal("api.port", "a port is a whole number from 0 to 65535"))?;
        let token: Option<Secret> = self.optional("api.token")?;
        if !self.required::<bool>("api.enabled")? {
            return Ok(None);
        }
        if token.is_none() && !host.is_loopback() {
            let reason = format!("{host} can be reached from elsewhere: set a token (ROBSON_API_TOKEN)");
            return Err(ConfigError { is_usage: false, ..self.refusal("api.host", reason) });
        }
        if token.is_none() && environment == Environment::Production {
            return Err(self.refusal("environment", "production needs a token: set ROBSON_API_TOKEN"));
        }
        Ok(Some(ApiSettings { address: SocketAddr::new(host, port), token }))
    }

    fn risk(&self) -> Result<RiskSettings, ConfigError> {
        let default_risk = self.checked(
            "risk.default_risk_percent",
            |risk: &Fraction| *risk > Fraction::ZERO && risk.get() <= RISK_MAX,
            "above 0 and at most 0.01, which is 1 %",
        )?;
        let (min, max) =
            (self.required("risk.min_tech_stop_percent")?, self.required("risk.max_tech_stop_percent")?);
        if min < default_bound(1) || max > default_bound(100) {
            let range = "0.001 to 0.1, which is 0.1 % to 10 %";
            return Err(
                self.refusal("risk.max_tech_stop_percent", format!("the bounds must lie within {range}"))
            );
        }
        let bounds =
            StopBounds::new(min, max).map_err(|error| self.refusal("risk.max_tech_stop_percent", error))?;
        let lookback = self.checked(
            "risk.tech_stop_lookback",
            |candles: &usize| (20..=10_000).contains(candles),
            "between 20 and 10000 candles",
        )?;
        Ok(RiskSettings {
            default_risk,
            sizing: SizingRules {
                costs: Costs {
                    fee_rate: self.checked(
                        "risk.taker_fee_rate",
                        |fee: &Fraction| fee.get() < Decimal::ONE,
                        "below 1",
                    )?,
                    gap: self.bps("risk.stop_gap_bps")?,
                },
                headroom: self.bps("risk.margin_headroom_bps")?,
                buffer: self.bps("risk.stop_buffer_bps")?,
            },
            stops: StopRules {
                bounds,
                level_n: self.required::<NonZeroU32>("risk.tech_stop_support_n")?,
                lookback,
                tolerance: self.required("risk.tech_stop_tolerance")?,
            },
            trail_min_step: self.bps("risk.trail_min_step_bps")?,
        })
    }

    fn paper(&self, taker_fee: Fraction) -> Result<PaperSettings, ConfigError> {
        let capital =
            self.checked("paper.capital", |capital: &Money| *capital > Money::ZERO, "a capital above 0")?;
        let quote: Asset = self.required("paper.quote_asset")?;
        let latency = self.millis("paper.latency_ms", 0, 60_000)?;
        let rules = PaperRules {
            taker_fee,
            slippage: self.bps("paper.slippage_bps")?,
            latency_micros: i64::try_from(latency.as_micros()).expect("at most a minute"),
            participation: self.checked(
                "paper.participation",
                |part: &Fraction| *part > Fraction::ZERO,
                "above 0 and at most 1",
            )?,
            ..PaperRules::new(quote)
        };
        Ok(PaperSettings { capital, rules, faults: FaultPlan::NONE })
    }
}
