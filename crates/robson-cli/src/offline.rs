//! What needs no venue, without a daemon: the command line becomes the writer for the length of the command.

use std::ffi::OsString;

use robson_domain::CommandId;
use robsond::config::{Configuration, Flags};
use robsond::offline::OfflineError;
use robsond::operator::{Command, Done};

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
    let flags = Flags { config: settings.file.clone(), ..Flags::default() };
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let variables = std::env::vars_os().filter_map(text).collect();
    let configured = Configuration::load(&flags, &variables);
    let mut configured = configured.map_err(|error| Failure::usage(error.to_string()))?.settings;
    configured.database.url = settings.database.clone();
    configured.database.tenant = settings.tenant.or(configured.database.tenant);
    let actor = settings.operator.as_deref().unwrap_or("operator");
    let done = robsond::offline::execute(&configured, id, actor, &command).await;
    done.map_err(|error| match error {
        OfflineError::Held | OfflineError::NeedsDaemon(_) => unreachable,
        OfflineError::NoAccount => Failure::new(ExitCode::DaemonUnreachable, error.to_string()),
        OfflineError::Refused(refused) => refused.into(),
        OfflineError::Database(error) => error.into(),
        OfflineError::Desk(error) => Failure::error(error.to_string()),
    })
}
