//! The command line as clap reads it. Decides nothing.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use robson_domain::{
    AccountId, ApprovalMode, CommandId, EntryMode, Fraction, Json, Money, PositionState, Side, Symbol,
    TrailingPolicy,
};
use robson_eventlog::{StreamKey, TenantId, Timestamp};
use robsond::operator::Words;
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
    /// Clears a position's error: what is held is watched again, what holds nothing ends.
    #[command(after_help = "Example:\n  robson clear 1fd1e8ef")]
    Clear(OnePosition),
    /// Disarms everything and closes everything at market; without --confirm, shows what that would be.
    #[command(after_help = "Example:\n  robson panic --confirm")]
    Panic(Panic),
    /// As panic, and no entries until the next UTC month; without --confirm, shows how the month stands.
    #[command(after_help = "Example:\n  robson halt --confirm --reason \"the strategy is broken\"")]
    Halt(Halt),
    /// Stops entries, or lets them go on; exits always go on.
    #[command(subcommand, after_help = "Example:\n  robson entries stop --reason \"news at noon\"")]
    Entries(Entries),
    /// Admits an entry that waits for the operator; `robson status` lists them.
    #[command(after_help = "Example:\n  robson approve 8ef2e9bb")]
    Approve(OneDecision),
    /// Refuses an entry that waits for the operator.
    #[command(after_help = "Example:\n  robson deny 8ef2e9bb")]
    Deny(OneDecision),
    /// Strategies: what positions count for, and their own limits.
    #[command(subcommand, after_help = "Example:\n  robson strategies list")]
    Strategies(Strategies),
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
    /// Folds the log again: shows what it comes to, compares it with the tables, or rebuilds them.
    #[command(
        after_help = "Examples:\n  robson replay --verify\n  robson replay --at 2026-01-02T03:04:05Z --table positions_current\n  robson replay --rebuild"
    )]
    Replay(Replay),
    /// Checks that the log is the one that was written, and that everything beside it follows from it.
    ///
    /// Exits with 0 where nothing is wrong, with 1 where something is (the first damaged log_seq is named), and with 2
    /// where the database cannot be read.
    #[command(after_help = "Example:\n  robson verify --json")]
    Verify,
    /// What accounts, strategies and positions had come to, kept so that a replay can begin there.
    #[command(subcommand, after_help = "Example:\n  robson snapshot list")]
    Snapshot(Snapshot),
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
    /// What the entry waits for: immediate, confirmed_trend, confirmed_reversal or confirmed_key_level.
    #[arg(long, default_value = "confirmed_trend", value_name = "MODE")]
    pub entry: EntryMode,
    /// Who admits the entry: automatic (the risk gate alone) or human_confirmation.
    #[arg(long, default_value = "automatic", value_name = "MODE")]
    pub approval: ApprovalMode,
    /// The strategy that it counts for: its name, or its id [default: the operator's own].
    #[arg(long)]
    pub strategy: Option<String>,
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

/// Whether it is meant, and why.
#[derive(Debug, Args)]
pub struct Halt {
    /// Does it.
    #[arg(long)]
    pub confirm: bool,
    /// Why, for the log.
    #[arg(long, default_value = "halted by the operator", value_name = "TEXT")]
    pub reason: Words,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// What becomes of entries.
#[derive(Debug, Subcommand)]
pub enum Entries {
    /// Nothing is opened until entries resume.
    #[command(after_help = "Example:\n  robson entries stop --reason \"news at noon\"")]
    Stop(Because),
    /// Entries go on.
    #[command(after_help = "Example:\n  robson entries resume --reason \"the news are out\"")]
    Resume(Because),
}

/// Why.
#[derive(Debug, Args)]
pub struct Because {
    /// Why, for the log.
    #[arg(long, default_value = "decided by the operator", value_name = "TEXT")]
    pub reason: Words,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// An entry that waits for the operator.
#[derive(Debug, Args)]
pub struct OneDecision {
    /// The decision's id or its position's, or as much of its beginning or end as no other has.
    #[arg(value_name = "DECISION")]
    pub decision: String,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// What to do with strategies.
#[derive(Debug, Subcommand)]
pub enum Strategies {
    /// What there is, and what it came to.
    #[command(after_help = "Example:\n  robson strategies list --json")]
    List,
    /// Makes one; it may not enter before it is enabled.
    #[command(
        after_help = "Example:\n  robson strategies create breakout --max-exposure 5000 --daily-loss-limit 150"
    )]
    Create(CreateStrategy),
    /// Lets one enter.
    #[command(after_help = "Example:\n  robson strategies enable breakout")]
    Enable(OneStrategy),
    /// Keeps one from entering; what it holds goes on.
    #[command(after_help = "Example:\n  robson strategies disable breakout --reason \"under review\"")]
    Disable(DisableStrategy),
    /// Changes one's settings; what is not named stays.
    #[command(after_help = "Example:\n  robson strategies update breakout --max-exposure 2500")]
    Update(UpdateStrategy),
}

/// A strategy to be.
#[derive(Debug, Args)]
pub struct CreateStrategy {
    /// Its name.
    pub name: Words,
    /// Its kind.
    #[arg(long = "type", default_value = "operator", value_name = "KIND")]
    pub kind: Words,
    /// The largest notional that it may hold [default: no limit of its own].
    #[arg(long, value_parser = limit, value_name = "AMOUNT")]
    pub max_exposure: Option<Money>,
    /// The loss of a UTC day from which it enters no more [default: no limit of its own].
    #[arg(long, value_parser = limit, value_name = "AMOUNT")]
    pub daily_loss_limit: Option<Money>,
    /// What its detectors are set to, as JSON without fractions.
    #[arg(long, value_parser = json, value_name = "JSON")]
    pub detector_config: Option<Json>,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// A strategy.
#[derive(Debug, Args)]
pub struct OneStrategy {
    /// Its name, or its id.
    pub strategy: String,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// A strategy that may enter no more.
#[derive(Debug, Args)]
pub struct DisableStrategy {
    /// Its name, or its id.
    pub strategy: String,
    /// Why, for the log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Words>,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// What changes about a strategy.
#[derive(Debug, Args)]
pub struct UpdateStrategy {
    /// Its name, or its id.
    pub strategy: String,
    /// The largest notional that it may hold; `none`: no limit of its own.
    #[arg(long, value_parser = Limit::parse, value_name = "AMOUNT")]
    pub max_exposure: Option<Limit>,
    /// The loss of a UTC day from which it enters no more; `none`: no limit of its own.
    #[arg(long, value_parser = Limit::parse, value_name = "AMOUNT")]
    pub daily_loss_limit: Option<Limit>,
    /// What its detectors are set to, as JSON without fractions.
    #[arg(long, value_parser = json, value_name = "JSON")]
    pub detector_config: Option<Json>,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
}

/// A limit that is set, or lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<Money>);

impl Limit {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self(None)) } else { limit(text).map(|limit| Self(Some(limit))) }
    }
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
    /// Those that hold a text, or belong to a trace or a position.
    #[command(
        after_help = "Examples:\n  robson events search trailing_stop --limit 5\n  robson events search --position-id 1fd1e8ef --query stop"
    )]
    Search(Search),
    /// The newest.
    #[command(after_help = "Example:\n  robson events tail --limit 20 --follow")]
    Tail(Tail),
    /// Those that a consumer could not deal with, and that wait for a decision.
    #[command(after_help = "Example:\n  robson events parked --consumer alarms")]
    Parked(Parked),
    /// Lets a consumer try a parked event again.
    #[command(after_help = "Example:\n  robson events retry 1201 --reason 'the daemon was upgraded'")]
    Retry(DecideParked),
    /// Lets a consumer pass over a parked event for good.
    #[command(
        after_help = "Example:\n  robson events skip 01KE7EV9EEAFR8DZX0WNE5QGA1 --consumer alarms --reason 'a trial'"
    )]
    Skip(DecideParked),
}

/// Which parked events.
#[derive(Debug, Args)]
pub struct Parked {
    /// Only of this consumer.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Those that were decided about too.
    #[arg(long)]
    pub all: bool,
}

/// What is decided about which parked event.
#[derive(Debug, Args)]
pub struct DecideParked {
    /// The event's id, or its place in the log.
    #[arg(value_name = "EVENT")]
    pub event: String,
    /// The consumer that could not deal with it, where there are several.
    #[arg(long, value_name = "NAME")]
    pub consumer: Option<String>,
    /// Why; it is recorded.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// What makes a retry the same command.
    #[command(flatten)]
    pub retry: Retry,
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
    /// The text; the same as --query.
    #[arg(conflicts_with = "query")]
    pub text: Option<String>,
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
#[derive(Debug, Default, Args)]
pub struct Replay {
    /// Compares every table with the rows of the database; exits with 1 where they differ.
    #[arg(long, conflicts_with = "at")]
    pub verify: bool,
    /// Makes the tables anew from the log, beside the live ones, and switches over; no daemon may run.
    #[arg(long, conflicts_with_all = ["verify", "at", "table", "stream", "account_id", "from_snapshot"])]
    pub rebuild: bool,
    /// As it was then: an instant such as 2026-01-02T03:04:05Z, or a place in the log.
    #[arg(long, value_name = "TIME|LOG_SEQ")]
    pub at: Option<At>,
    /// Only this table; without --verify, shows its rows.
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Only the rows that events of this stream touched, such as `position:ID`.
    #[arg(long, value_name = "KEY", conflicts_with = "account_id")]
    pub stream: Option<StreamKey>,
    /// Only this account's rows.
    #[arg(long, value_name = "UUID")]
    pub account_id: Option<AccountId>,
    /// Begins at the newest snapshots that can be trusted instead of the log's first event.
    #[arg(long)]
    pub from_snapshot: bool,
    /// Decides the recorded signals once more, by this program's engine, and lists what would differ.
    #[arg(long, conflicts_with_all = ["verify", "rebuild", "at", "table", "stream", "account_id", "from_snapshot"])]
    pub engine_diff: bool,
    /// With --engine-diff: recorded prices, so that stops and entries are compared too.
    #[arg(long, value_name = "[SYMBOL=]FILE", requires = "engine_diff")]
    pub feed: Vec<String>,
}

/// A moment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Right after the event at this place.
    Place(i64),
    /// Right after the last event that was appended by then.
    Time(Timestamp),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(log_seq) if log_seq >= 0 => Ok(Self::Place(log_seq)),
            _ => text.parse().map(Self::Time).map_err(|_| {
                format!("`{text}` is neither a place in the log nor an instant such as 2026-01-02T03:04:05Z")
            }),
        }
    }
}

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Takes one now, while no daemon runs; a running one takes them by itself.
    #[command(after_help = "Example:\n  robson snapshot take")]
    Take(SnapshotTake),
    /// Lists them, newest first.
    #[command(after_help = "Example:\n  robson snapshot list --limit 5")]
    List(SnapshotList),
}

/// Of what; nothing named: of every account.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct SnapshotTake {
    /// Of this account.
    #[arg(long)]
    pub account_id: Option<uuid::Uuid>,
    /// Of this strategy.
    #[arg(long)]
    pub strategy_id: Option<uuid::Uuid>,
    /// Of this position.
    #[arg(long)]
    pub position_id: Option<uuid::Uuid>,
}

/// Which snapshots.
#[derive(Debug, Args)]
pub struct SnapshotList {
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
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
    /// Copies a SQLite database that may be in use to a new file, and checks the copy.
    #[command(after_help = "Example:\n  robson db backup robson-2026-01-31.db")]
    Backup(Backup),
}

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

fn limit(text: &str) -> Result<Money, String> {
    let money: Money = text.parse().map_err(|error: robson_domain::InvalidAmount| error.to_string())?;
    if money > Money::ZERO { Ok(money) } else { Err("a limit is above 0".to_owned()) }
}

fn json(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
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

/// `db backup`.
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// The new file; an existing one is not overwritten.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
