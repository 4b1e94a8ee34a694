//! The flags: they win over everything else.

use std::path::PathBuf;

use super::effective::Values;
use super::setting::Setting;
use super::{ConfigError, Origin};

/// What the command line sets; the same for every subcommand.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// The configuration file [default: ./robson.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the log is kept: sqlite://FILE, postgres://USER@HOST/DATABASE or memory: [default: sqlite://robson.db]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,

    /// Whose log it is, where the database keeps several
    #[arg(long, value_name = "UUID")]
    pub tenant_id: Option<String>,

    /// Trade on the paper exchange; the default, and so far the only venue
    #[arg(long, conflicts_with = "live")]
    pub paper: bool,

    /// Trade with real money; refused in this version
    #[arg(long)]
    pub live: bool,

    /// Recorded bars or trades to play; give it once for each symbol
    #[arg(long, value_name = "[SYMBOL=]FILE")]
    pub feed: Vec<String>,

    /// Which positions to arm at which feed times
    #[arg(long, value_name = "FILE")]
    pub plan: Option<String>,

    /// How fast the feed is played: real, max, or a factor such as 60x [default: real]
    #[arg(long, value_name = "SPEED")]
    pub speed: Option<String>,

    /// End when the feed has ended, with a report
    #[arg(long)]
    pub exit_at_end: bool,

    /// What ids are made from, so that a run can be repeated [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,

    /// The paper account's first deposit, in quote currency [default: 10000]
    #[arg(long, value_name = "AMOUNT")]
    pub capital: Option<String>,

    /// Where the HTTP interface listens [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    pub api_host: Option<String>,

    /// On which port; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "PORT")]
    pub api_port: Option<String>,

    /// Serve no HTTP interface
    #[arg(long)]
    pub no_api: bool,
}

impl Flags {
    /// What they set, by key.
    pub(super) fn values(&self) -> Result<Values, ConfigError> {
        if self.live {
            let reason = "this version trades on paper only: leave it out";
            return Err(ConfigError::new(Origin::Flag("--live"), reason));
        }
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let switch = |is_set: bool, value: &str| if is_set { vec![value.to_owned()] } else { Vec::new() };
        let given: [(&'static str, &'static str, Vec<String>); 11] = [
            ("database.url", "--database", one(&self.database)),
            ("database.tenant_id", "--tenant-id", one(&self.tenant_id)),
            ("run.feed", "--feed", self.feed.clone()),
            ("run.plan", "--plan", one(&self.plan)),
            ("run.speed", "--speed", one(&self.speed)),
            ("run.exit_at_end", "--exit-at-end", switch(self.exit_at_end, "true")),
            ("run.seed", "--seed", one(&self.seed)),
            ("paper.capital", "--capital", one(&self.capital)),
            ("api.host", "--api-host", one(&self.api_host)),
            ("api.port", "--api-port", one(&self.api_port)),
            ("api.enabled", "--no-api", switch(self.no_api, "false")),
        ];
        debug_assert!(given.iter().all(|(key, ..)| Setting::of(key).is_some()));
        let set = given.into_iter().filter(|(.., texts)| !texts.is_empty());
        Ok(set.map(|(key, flag, texts)| (key, (texts, Origin::Flag(flag)))).collect())
    }
}
