//! The binaries as processes: with no settings but the story's, heard, and never left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail, ensure};
use robson_testkit::wait_until;

/// Names the folder that holds the binaries.
const BIN_DIR: &str = "ROBSON_BIN_DIR";

/// Where a binary is: in `ROBSON_BIN_DIR`, else where cargo puts it beside the tests.
///
/// # Errors
/// It has not been built.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os(BIN_DIR) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let test = std::env::current_exe().context("find the test's own file")?;
            test.ancestors().nth(2).context("the test's file stands in target/PROFILE/deps")?.to_path_buf()
        }
    };
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "there is no `{name}` in {}: build it with `cargo build --workspace`, or set {BIN_DIR}",
        folder.display()
    );
    Ok(path)
}

/// How a program ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// It cannot be started, or says what is not text.
    pub fn to_end(command: &mut Command) -> Result<Self> {
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
        Ok(Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// What it printed, where all went well.
    ///
    /// # Errors
    /// It ended with another code than 0.
    pub fn printed(self) -> Result<String> {
        ensure!(self.code == Some(0), "it ended with {:?}:\n{}{}", self.code, self.out, self.err);
        Ok(self.out)
    }
}

/// What a story does to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks it to end.
    Terminate,
    /// Pauses it.
    Stop,
    /// Lets it go on.
    Continue,
}

/// A running server, `robsond` or another one; it is killed with this value.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    out: Heard,
    err: Heard,
}

impl Daemon {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().with_context(|| format!("start {command:?}"))?;
        let out = Heard::from(child.stdout.take().context("its output is piped")?);
        let err = Heard::from(child.stderr.take().context("its errors are piped")?);
        Ok(Self { child, out, err })
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// As the system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it has said this on standard error.
    ///
    /// # Errors
    /// It ended before, or took longer than a minute.
    pub fn wait_to_say(&mut self, words: &str) -> Result<()> {
        let has_said =
            wait_until(60, || self.err.text().contains(words) || self.ended().is_ok_and(|e| e.is_some()));
        if has_said && self.err.text().contains(words) {
            return Ok(());
        }
        bail!("it never said `{words}`:\n{}", self.err.text());
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        self.err.text()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It takes longer than `seconds_max`.
    pub fn finish(mut self, seconds_max: u32) -> Result<Ran> {
        let has_ended = wait_until(seconds_max, || self.ended().is_ok_and(|ended| ended.is_some()));
        ensure!(has_ended, "it still runs after {seconds_max} s:\n{}", self.err.text());
        let status = self.child.wait()?;
        Ok(Ran { code: status.code(), out: self.out.whole(), err: self.err.whole() })
    }

    /// Ends it at once, as a crash would; answers whether it still ran.
    ///
    /// # Errors
    /// As the system says.
    pub fn kill(mut self) -> Result<bool> {
        let still_runs = self.ended()?.is_none();
        self.child.kill()?;
        self.child.wait()?;
        Ok(still_runs)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // The shell's own `kill`, which every system has.
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status()?;
        ensure!(sent.success(), "{name} could not be sent");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes through a pipe, as it comes.
#[derive(Debug)]
struct Heard {
    text: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Heard {
    fn from(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&text);
        let listener = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, listener: Some(listener) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(listener) = self.listener.take() {
            // A listener that panicked has heard what it has heard.
            let _ = listener.join();
        }
        self.text()
    }
}
