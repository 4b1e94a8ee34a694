//! The operator's command line.
//!
//! Reads the database directly, sends commands to the running daemon over HTTP, and decides nothing about
//! trading itself.

pub mod args;
pub mod chart;
pub mod commands;
pub mod daemon;
pub mod db;
pub mod demo;
pub mod digest;
pub mod doctor;
pub mod events;
pub mod failure;
pub mod init;
pub mod offline;
mod parked;
pub mod positions;
pub mod printer;
pub mod replay;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod story;
pub mod strategies;
pub mod tables;
pub mod verify;
pub mod why;

use clap::CommandFactory as _;

use args::{Cli, Command, Db, Events, Strategies};
use db::Database;
use failure::Failure;
use printer::Printer;
use robson_eventlog::Verdict;
use robsond::schema::Schema;
use settings::Settings;

/// Does what the command line asks for.
///
/// # Errors
/// One sentence, and the exit code.
pub async fn run(cli: Cli, printer: &mut Printer) -> Result<(), Failure> {
    let named = cli.global.database.clone();
    if let Command::Completions(args) = &cli.command {
        let mut script = Vec::new();
        clap_complete::generate(args.shell, &mut Cli::command(), "robson", &mut script);
        return Ok(printer.line(String::from_utf8_lossy(&script).trim_end())?);
    }
    if let Command::Demo = &cli.command {
        return demo::run(named.as_deref(), printer).await;
    }
    let settings = Settings::gather(&cli.global)?;
    match cli.command {
        Command::Init => init::run(&settings, named.as_deref(), printer).await,
        Command::Arm(args) => commands::run_arm(&settings, args, printer).await,
        Command::Disarm(args) => commands::run_disarm(&settings, args, printer).await,
        Command::Close(args) => commands::run_close(&settings, args, printer).await,
        Command::Clear(args) => commands::run_clear(&settings, args, printer).await,
        Command::Panic(args) => commands::run_panic(&settings, args, printer).await,
        Command::Halt(args) => commands::run_halt(&settings, args, printer).await,
        Command::Entries(args) => commands::run_entries(&settings, args, printer).await,
        Command::Approve(args) => commands::run_decision(&settings, args, true, printer).await,
        Command::Deny(args) => commands::run_decision(&settings, args, false, printer).await,
        Command::Strategies(args) if !matches!(args, Strategies::List) => {
            strategies::run(&settings, args, printer).await
        }
        Command::Replay(args) if args.engine_diff => replay::run_engine_diff(&settings, &args, printer).await,
        Command::Replay(args) if args.rebuild => replay::run_rebuild(&settings, printer).await,
        Command::Verify => {
            let db = Database::read(&settings).await.map_err(verify::unreadable)?;
            verify::run(&db, printer).await
        }
        Command::Snapshot(args::Snapshot::Take(args)) => snapshot::run_take(&settings, &args, printer).await,
        Command::Events(Events::Retry(args)) => {
            parked::decide(&settings, Verdict::Retry, args, printer).await
        }
        Command::Events(Events::Skip(args)) => parked::decide(&settings, Verdict::Skip, args, printer).await,
        Command::Doctor => doctor::run(&settings, printer).await,
        Command::Db(Db::Init) => db::run_schema(Schema::init(&settings.database), printer).await,
        Command::Db(Db::Migrate) => db::run_schema(Schema::migrate(&settings.database), printer).await,
        Command::Db(Db::Status) => db::run_schema(Schema::status(&settings.database), printer).await,
        Command::Db(Db::Backup(args)) => db::run_backup(&settings.database, &args.file, printer).await,
        reading => read(&Database::read(&settings).await?, reading, printer).await,
    }
}

/// The commands that only read the database.
///
/// # Errors
/// One sentence, and the exit code; `Usage` for a command that does more than read.
pub async fn read(db: &Database, command: Command, printer: &mut Printer) -> Result<(), Failure> {
    match command {
        Command::Status(args) => status::run(db, &args, printer).await,
        Command::Positions(args) => tables::run_positions(db, &args, printer).await,
        Command::Orders(args) => tables::run_orders(db, &args, printer).await,
        Command::Fills(args) => tables::run_fills(db, &args, printer).await,
        Command::Strategies(Strategies::List) => strategies::list(db, printer).await,
        Command::Balances => tables::run_balances(db, printer).await,
        Command::Events(args) => events::run(db, args, printer).await,
        Command::Why(args) => why::run(db, &args, printer).await,
        Command::Replay(args) => replay::run(db, &args, printer).await,
        Command::Digest(args) => digest::run(db, &args, printer).await,
        Command::Verify => verify::run(db, printer).await,
        Command::Snapshot(args::Snapshot::List(args)) => snapshot::run_list(db, &args, printer).await,
        other => Err(Failure::usage(format!("{other:?} does not read the database"))),
    }
}
