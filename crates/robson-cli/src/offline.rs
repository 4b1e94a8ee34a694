//! `arm` and `disarm` without a daemon: the command line becomes the writer for the length of the command.

use robson_domain::CommandId;
use robsond::operator::{Command, Done};

use crate::failure::Failure;
use crate::settings::Settings;

/// Writes the command's events, while nobody else writes.
///
/// # Errors
/// The reason for which no daemon answered, as long as this build cannot write without one.
pub async fn execute(
    settings: &Settings,
    id: CommandId,
    command: Command,
    unreachable: Failure,
) -> Result<Done, Failure> {
    let _ = (settings, id, command);
    std::future::ready(()).await;
    Err(unreachable)
}
