//! The command line as clap reads it. Decides nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use robson_domain::{CommandId, EntryMode, Fraction, Money, PositionState, Side, Symbol, TrailingPolicy};
use robson_eventlog::TenantId;
use rust_decimal::Decimal;

/// Arms trades, sizes them from the chart, owns every exit, and explains each step from its log.
#[derive(Debug, Parser)]
#[command(
    name = "robson",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  robson demo\n  robson arm BTCUSD --side long\n  robson status\n  robson why 1fd1e8ef"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The database: sqlite://FILE or postgres://USER@HOST/DATABASE [default: robson.toml, else sqlite://robson.db].
    #[arg(long, global = true, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database: Option<String>,
    /// The settings file [default: robson.toml, where there is one].
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whose log, where the database has several.
    #[arg(long, global = true, value_name = "UUID", env = "PROJECTION_TENANT_ID", hide_env_values = true)]
    pub tenant_id: Option<TenantId>,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the daemon listens [default: http://127.0.0.1:8080].
    #[arg(long, global = true, value_name = "URL", env = "ROBSON_DAEMON_URL", hide_env_values = true)]
    pub daemon_url: Option<String>,
    #[arg(long, hide = true, env = "ROBSON_API_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[arg(long, hide = true, env = "ROBSON_OPERATOR_ID", hide_env_values = true)]
    pub(crate) operator: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes robson.toml and makes the database.
    #[command(after_help = "Example:\n  robson init --database sqlite://robson.db")]
    Init,
    /// Trades a piece of recorded Bitcoin prices, offline, and tells what happened.
    #[command(
        after_help = "Examples:\n  robson demo\n  robson demo --database postgres://robson@localhost/robson"
    )]
    Demo,
    /// Watches a symbol for an entry.
    #[command(
        after_help = "Example:\n  robson arm BTCUSD --side long --entry confirmed_trend --capital 5000 --risk 0.5"
    )]
    Arm(Arm),
    /// Stops watching; only while nothing is held.
    #[command(after_help = "Example:\n  robson disarm 1fd1e8ef")]
    Disarm(OnePosition),
    /// Closes a position at market.
    #[command(after_help = "Example:\n  robson close 1fd1e8ef")]
    Close(OnePosition),
    /// Disarms everything and closes everything at market; without --confirm, shows what that would be.
    #[command(after_help = "Example:\n  robson panic --confirm")]
    Panic(Panic),
    /// Live positions, the month's budget, balances.
    #[command(after_help = "Examples:\n  robson status\n  robson status --watch")]
    Status(Status),
    /// Positions, ended ones included.
    #[command(after_help = "Example:\n  robson positions --state active --symbol BTCUSD")]
    Positions(Positions),
    /// Orders.
    #[command(after_help = "Example:\n  robson orders --symbol BTCUSD --json")]
    Orders(OfSymbol),
    /// Fills.
    #[command(after_help = "Example:\n  robson fills --symbol BTCUSD")]
    Fills(OfSymbol),
    /// Balances.
    #[command(after_help = "Example:\n  robson balances")]
    Balances,
    /// The log itself.
    #[command(
        subcommand,
        after_help = "Example:\n  robson events list --stream position:019b7ca9-8f2e-8e29-bb22-9fd1e8ef8295"
    )]
    Events(Events),
    /// The story of a position as a tree, from signal to exit.
    #[command(after_help = "Example:\n  robson why 1fd1e8ef --all")]
    Why(Why),
    /// Folds the whole log again, in memory.
    #[command(after_help = "Example:\n  robson replay --verify")]
    Replay(Replay),
    /// One digest per table, and one of the log; equal on every backend that holds the same.
    #[command(after_help = "Example:\n  robson digest --content --database sqlite://robson-demo.db")]
    Digest(Digest),
    /// The database's schema.
    #[command(subcommand, after_help = "Example:\n  robson db status")]
    Db(Db),
    /// Checks what a working installation needs.
    #[command(after_help = "Example:\n  robson doctor")]
    Doctor,
    /// Prints a completion script.
    #[command(
        after_help = "Example:\n  robson completions bash > ~/.local/share/bash-completion/completions/robson"
    )]
    Completions(Completions),
}

/// What to watch for.
#[derive(Debug, Args)]
pub struct Arm {
    /// What to trade, as its venue spells it.
    pub symbol: Symbol,
    /// long or short.
    #[arg(long)]
    pub side: Side,
    /// What the entry waits for: immediate or confirmed_trend.
    #[arg(long, default_value = "confirmed_trend", value_name = "MODE")]
    pub entry: EntryMode,
    /// How the stop follows the price: continuous or span.
    #[arg(long, default_value = "continuous", value_name = "POLICY")]
    pub trailing: TrailingPolicy,
    /// A capital to risk from, at most the account's base [default: the base].
    #[arg(long, value_parser = capital, value_name = "AMOUNT")]
    pub capital: Option<Money>,
    /// The percent of it to risk, above 0 and at most 1 [default: what the daemon is set to].
    #[arg(long, value_parser = percent, value_name = "PERCENT")]
    pub risk: Option<Fraction>,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// What makes a retry the same command.
#[derive(Debug, Clone, Args)]
pub struct Retry {
    /// The id of a command whose outcome is unknown, to ask for the same again [default: a new one].
    #[arg(long, value_name = "UUID")]
    pub command_id: Option<CommandId>,
}

/// A position.
#[derive(Debug, Args)]
pub struct OnePosition {
    /// Its id, or as much of its beginning or end as no other has.
    #[arg(value_name = "POSITION")]
    pub position: String,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// Whether it is meant.
#[derive(Debug, Args)]
pub struct Panic {
    /// Does it.
    #[arg(long)]
    pub confirm: bool,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// How long to look.
#[derive(Debug, Args)]
pub struct Status {
    /// Looks again every two seconds, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
}

/// Which positions.
#[derive(Debug, Args)]
pub struct Positions {
    /// Only in this state: armed, entering, active, exiting, closed, cancelled or error.
    #[arg(long)]
    pub state: Option<PositionState>,
    /// Only of this symbol.
    #[arg(long)]
    pub symbol: Option<Symbol>,
}

/// Of which symbol.
#[derive(Debug, Args)]
pub struct OfSymbol {
    /// Only of this symbol.
    #[arg(long)]
    pub symbol: Option<Symbol>,
}

/// What to see of the log.
#[derive(Debug, Subcommand)]
pub enum Events {
    /// From a place on, oldest first.
    #[command(after_help = "Example:\n  robson events list --type FILL_RECEIVED --after 100 --limit 20")]
    List(EventFilter),
    /// Those that hold a text.
    #[command(after_help = "Example:\n  robson events search trailing_stop --limit 5")]
    Search(Search),
    /// The newest.
    #[command(after_help = "Example:\n  robson events tail --limit 20 --follow")]
    Tail(Tail),
}

/// Which events.
#[derive(Debug, Clone, Default, Args)]
pub struct EventFilter {
    /// Only of this stream, such as position:019b7ca9-8f2e-8e29-bb22-9fd1e8ef8295.
    #[arg(long)]
    pub stream: Option<String>,
    /// Only of this type, such as FILL_RECEIVED; several by repeating it.
    #[arg(long = "type", value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only of this trace: one operator action, or one tick.
    #[arg(long, value_name = "UUID")]
    pub trace_id: Option<uuid::Uuid>,
    /// Only of this position: its stream, its orders', and what names it.
    #[arg(long, value_name = "POSITION")]
    pub position_id: Option<String>,
    /// Only those whose stream, type or payload holds this text.
    #[arg(long, value_name = "TEXT")]
    pub query: Option<String>,
    /// Only behind this place in the log.
    #[arg(long, value_name = "LOG_SEQ", default_value_t = 0)]
    pub after: i64,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// What to look for.
#[derive(Debug, Args)]
pub struct Search {
    /// The text.
    pub text: String,
    /// Which events.
    #[command(flatten)]
    pub filter: EventFilter,
}

/// How to follow the log.
#[derive(Debug, Args)]
pub struct Tail {
    /// Waits for more, until Ctrl-C.
    #[arg(long, short)]
    pub follow: bool,
    /// Which events.
    #[command(flatten)]
    pub filter: EventFilter,
}

/// Which story.
#[derive(Debug, Args)]
pub struct Why {
    /// The position's id, or as much of its beginning or end as no other has.
    #[arg(value_name = "POSITION")]
    pub position: String,
    /// Shows each move of the stop.
    #[arg(long)]
    pub all: bool,
}

/// What to do with the replay.
#[derive(Debug, Args)]
pub struct Replay {
    /// Compares every table with the rows of the database; exits with 1 where they differ.
    #[arg(long)]
    pub verify: bool,
}

/// What is part of the digest.
#[derive(Debug, Args)]
pub struct Digest {
    /// Leaves out the log, and what a restart shifts in the tables.
    #[arg(long)]
    pub content: bool,
}

/// What to do with the schema.
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Makes the database.
    #[command(after_help = "Example:\n  robson db init --database sqlite://robson.db")]
    Init,
    /// Brings the schema up to date.
    #[command(after_help = "Example:\n  robson db migrate")]
    Migrate,
    /// Says where the schema stands, and changes nothing.
    #[command(after_help = "Example:\n  robson db status --json")]
    Status,
}

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

fn capital(text: &str) -> Result<Money, String> {
    let money: Money = text.parse().map_err(|error: robson_domain::InvalidAmount| error.to_string())?;
    if money > Money::ZERO { Ok(money) } else { Err("a capital to risk from is above 0".to_owned()) }
}

fn percent(text: &str) -> Result<Fraction, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let money: Money = number.parse().map_err(|error: robson_domain::InvalidAmount| error.to_string())?;
    let percent = money.get();
    if percent <= Decimal::ZERO || percent > Decimal::ONE {
        return Err(format!(
            "{percent} % is not above 0 and at most 1: the rule is 1 %, and may only be lowered"
        ));
    }
    let fraction = percent.checked_div(Decimal::ONE_HUNDRED).unwrap_or_default();
    Fraction::new(fraction).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("robson "), "{} has no example", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn risk_is_a_percent_that_may_only_be_lowered() {
        assert_eq!(percent("0.5").unwrap().to_string(), "0.005");
        assert_eq!(percent("1 %").unwrap().to_string(), "0.01");
        for refused in ["0", "-1", "1.1", "x", ""] {
            assert!(percent(refused).is_err(), "{refused}");
        }
        assert!(capital("0").is_err() && capital("-1").is_err() && capital("5000").is_ok());
    }
}
