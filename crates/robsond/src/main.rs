//! `robsond`: reads the configuration, then trades, prints the configuration, or looks after the database.
//!
//! The environment is read here and nowhere else.

mod db;
mod signals;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use robsond::config::{ConfigError, Configuration, Flags};
use robsond::daemon::{self, DaemonError, Ended};
use robsond::schema::SchemaError;
use tracing_subscriber::EnvFilter;

use db::DbCommand;

const EXAMPLES: &str = "\
Examples:
  Trade a recorded market as fast as it goes, then print what came of it:
    robsond --paper --feed examples/data/coinbase-btcusd-1h.csv --plan examples/plans/weekly.toml \\
      --speed max --exit-at-end

  The same on Postgres, with the HTTP interface on another port:
    robsond --feed BTCUSD=bars.csv --database postgres://robson@localhost/robson --api-port 9000

  What is configured, and where each value comes from:
    robsond config

Environment:
  DATABASE_URL and ROBSON_* set what the flags do not; `robsond config` names them.
  ROBSON_LOG filters the log (info), ROBSON_LOG_FORMAT=json writes it as JSON; it goes to stderr.

Exit codes: 0 done, 1 trading had to stop, 2 usage, 78 the operator must act before it can start.";

/// The trading daemon of Robson.
#[derive(Debug, Parser)]
#[command(name = "robsond", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trade; the default
    Run(Flags),
    /// Print the configuration in effect, with the origin of each value and without secrets
    Config {
        #[command(flatten)]
        flags: Box<Flags>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look after the database's schema
    Db {
        #[command(subcommand)]
        command: DbCommand,
    },
}

/// Why the process ends with another code than 0.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Db(#[from] SchemaError),
    #[error("{name}: {reason}")]
    Logging { name: &'static str, reason: String },
    #[error("the process cannot be set up")]
    System(#[source] io::Error),
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
}

impl Failure {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Config(error) => error.exit_code(),
            Self::Daemon(error) => error.exit_code(),
            Self::Db(error) => db::exit_code(error),
            Self::Logging { .. } => 78,
            Self::System(_) | Self::Output(_) => 1,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let variables = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    match run(cli, &variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever reads stderr may be gone; the code still tells.
            let _ = writeln!(io::stderr(), "robsond: {}", chain(&failure));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli, variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    match cli.command {
        None => trade(&cli.flags, variables),
        Some(Command::Run(flags)) => trade(&flags, variables),
        Some(Command::Config { flags, json }) => {
            let effective = Configuration::load(&flags, variables)?.effective;
            print(&if json { format!("{:#}\n", effective.to_json()) } else { effective.to_toml() })
        }
        Some(Command::Db { command }) => {
            let database = Configuration::load(&command.flags(), variables)?.settings.database.url;
            print(&runtime()?.block_on(command.run(&database))?)
        }
    }
}

fn trade(flags: &Flags, variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    log_to_stderr(variables)?;
    let Configuration { settings, warnings, .. } = Configuration::load(flags, variables)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let ended = runtime()?.block_on(async {
        let shutdown = signals::shutdown().map_err(Failure::System)?;
        Ok::<_, Failure>(daemon::run(settings, shutdown).await?)
    })?;
    ended.map_or(Ok(()), |Ended { report, pace }| print(&format!("{report}\n{pace}\n")))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::System)
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::Output),
    }
}

fn log_to_stderr(variables: &BTreeMap<String, String>) -> Result<(), Failure> {
    let filter = variables.get("ROBSON_LOG").map_or("info", String::as_str);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::Logging { name: "ROBSON_LOG", reason: error.to_string() })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match variables.get("ROBSON_LOG_FORMAT").map_or("text", String::as_str) {
        "text" => log.init(),
        "json" => log.json().init(),
        other => {
            let reason = format!("`{other}` is not a format: text or json");
            return Err(Failure::Logging { name: "ROBSON_LOG_FORMAT", reason });
        }
    }
    Ok(())
}

/// An error and what lies beneath it, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}
