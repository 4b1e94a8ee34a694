//! Cleans up after a process that ended without doing so itself.
//!
//! A shell waits on a pipe whose other end only this process holds. The kernel closes that end however
//! the process ends, SIGKILL included, and then the shell stops the server and removes its folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::ServerError;

pub(super) const DATA_FOLDER: &str = "data";

const SCRIPT: &str = r#"
trap '' HUP INT TERM
cd /
read -r word && [ "$word" = dismissed ] && exit 0
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
    tries=0
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -gt 100 ] && kill -KILL "$pid" 2>/dev/null
        sleep 0.1
    done
fi
rm -rf -- "$0"
"#;

#[derive(Debug)]
pub(super) struct Janitor(Child);

impl Janitor {
    pub(super) fn hire(folder: &Path) -> Result<Self, ServerError> {
        Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Whoever kills our whole group, a terminal or a CI runner, must not kill the janitor too.
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(ServerError::io("start the shell that cleans up"))
    }

    pub(super) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // Fails when the janitor is gone already, which is as good.
            let _ = pipe.write_all(b"dismissed\n");
        }
        let _ = self.0.wait();
    }
}
