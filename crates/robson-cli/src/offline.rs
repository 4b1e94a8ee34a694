//! What needs no venue, without a daemon: the command line becomes the writer for the length of the command.

use std::ffi::OsString;

use robson_domain::CommandId;
use robson_eventlog::ParkedEvent;
use robsond::config::{Configuration, Flags};
use robsond::offline::OfflineError;
use robsond::operator::{Command, Done};
use robsond::parked::Decision;

use crate::failure::{ExitCode, Failure};
use crate::settings::Settings;

/// Writes the command's events, while nobody else writes.
///
/// # Errors
/// `unreachable` where a daemon holds the log after all, or where only a daemon can do it.
pub async fn execute(
    settings: &Settings,
    id: CommandId,
    command: Command,
    unreachable: Failure,
) -> Result<Done, Failure> {
    let configured = configured(settings)?;
    let done = robsond::offline::execute(&configured, id, actor(settings), &command).await;
    done.map_err(|error| failure(error, unreachable))
}

/// Takes down what was decided about a parked event, while nobody else writes.
///
/// # Errors
/// `unreachable` where a daemon holds the log after all.
pub async fn decide_parked(
    settings: &Settings,
    id: CommandId,
    decision: &Decision,
    unreachable: Failure,
) -> Result<ParkedEvent, Failure> {
    let configured = configured(settings)?;
    let decided = robsond::offline::decide_parked(&configured, id, actor(settings), decision).await;
    decided.map_err(|error| failure(error, unreachable))
}

fn actor(settings: &Settings) -> &str {
    settings.operator.as_deref().unwrap_or("operator")
}

/// The daemon's settings, for the database and the tenant that the command line works on.
fn configured(settings: &Settings) -> Result<robsond::config::Settings, Failure> {
    let flags = Flags { config: settings.file.clone(), ..Flags::default() };
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables = std::env::vars_os().filter_map(text).collect();
    let configured = Configuration::load(&flags, &variables);
    let mut configured = configured.map_err(|error| Failure::usage(error.to_string()))?.settings;
    configured.database.url = settings.database.clone();
    configured.database.tenant = settings.tenant.or(configured.database.tenant);
    Ok(configured)
}

fn failure(error: OfflineError, unreachable: Failure) -> Failure {
    match error {
        OfflineError::Held | OfflineError::NeedsDaemon(_) => unreachable,
        OfflineError::NoAccount => Failure::new(ExitCode::DaemonUnreachable, error.to_string()),
        OfflineError::Refused(refused) => refused.into(),
        OfflineError::Database(error) => error.into(),
        OfflineError::Desk(error) => Failure::error(error.to_string()),
    }
}
