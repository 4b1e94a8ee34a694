//! The unprivileged user that the server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::ServerError;

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Owner {
    /// Somebody else, if we are root; nobody, if we are not.
    pub(super) fn needed() -> Result<Option<Self>, ServerError> {
        if id(&["-u"]) != Some(0) {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(user), Some(group)) = (id(&["-u", name]), id(&["-g", name])) {
                return Ok(Some(Self { user, group }));
            }
        }
        Err(ServerError::Failed {
            step: "choosing an unprivileged user",
            status: "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`".into(),
            log: "run as another user, or make one of these two".into(),
        })
    }

    pub(super) fn give(&self, path: &Path) -> Result<(), ServerError> {
        chown(path, Some(self.user), Some(self.group))
            .map_err(ServerError::io("hand a file to the server's user"))
    }
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
