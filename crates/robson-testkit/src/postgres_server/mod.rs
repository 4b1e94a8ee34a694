//! A private PostgreSQL server: a folder of its own, a free port on loopback, gone when it is dropped.
//!
//! It uses the server binaries of the machine and, where there are none, installs them with the system's
//! package manager. It never touches a server that already runs. Unix only.

mod binaries;
mod error;
mod janitor;
mod owner;

use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use binaries::Binaries;
pub use error::ServerError;
use janitor::Janitor;
use owner::Owner;

use crate::wait_until;

/// The variable that names a PostgreSQL server for the tests to use instead of a private one.
pub const TEST_DATABASE_URL: &str = "ROBSON_TEST_DATABASE_URL";

const USER: &str = "robson";
const START_SECONDS_MAX: u32 = 60;
const STOP_SECONDS_MAX: u32 = 20;
/// A free port can be taken by somebody else between finding it and using it.
const PORT_TRIES: usize = 5;
/// `sun_path` holds 104 bytes on macOS, and the socket's file name needs some of them.
const SOCKET_FOLDER_BYTES_MAX: usize = 80;

/// What a server promises when the machine (not the server) loses power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A commit is on disk when it is acknowledged, as in production: for measurements.
    Durable,
    /// Nothing is forced to disk: for tests. A crash of the server alone still loses nothing.
    Fast,
}

/// What a machine without a server is set up with: one line for each package manager that is known.
#[must_use]
pub fn install_commands() -> Vec<String> {
    binaries::install_commands()
}

/// A running PostgreSQL server that belongs to this process alone.
///
/// Dropping it stops the server and removes its folder. If the process ends without a drop, by a signal
/// or by SIGKILL, a small shell process that waits for exactly this does the same.
pub struct PrivateServer {
    binaries: Binaries,
    owner: Option<Owner>,
    durability: Durability,
    password: String,
    port: u16,
    process: Option<Child>,
    // Declared last: the janitor is dismissed and the folder removed after the server has stopped.
    janitor: Janitor,
    folder: TempDir,
}

impl PrivateServer {
    /// Starts a server for tests: [`Durability::Fast`].
    ///
    /// # Errors
    /// See [`PrivateServer::start_with`].
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(Durability::Fast)
    }

    /// Starts a server and returns once it accepts connections.
    ///
    /// # Errors
    /// `Missing` when there are no server binaries and installing them failed, `Failed` when the server
    /// does not come up (with the end of its log), `Io` when its folder cannot be made.
    pub fn start_with(durability: Durability) -> Result<Self, ServerError> {
        let binaries = Binaries::find_or_install()?;
        let owner = Owner::needed()?;
        let folder = make_folder(owner.as_ref())?;
        let janitor = Janitor::hire(folder.path())?;
        let mut server = Self {
            binaries,
            owner,
            durability,
            password: random_hex(),
            port: 0,
            process: None,
            janitor,
            folder,
        };
        server.initialize()?;
        let mut tries_left = PORT_TRIES;
        loop {
            server.port = free_port()?;
            server.write_settings()?;
            tries_left -= 1;
            match server.launch() {
                Err(failure) if tries_left > 0 && failure.is_taken_port() => {}
                outcome => return outcome.map(|()| server),
            }
        }
    }

    /// The URL of `database` on this server, for a superuser; `postgres` exists from the start.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@{}:{}/{database}", self.password, Ipv4Addr::LOCALHOST, self.port)
    }

    /// The folder of the server's programs, `psql` and `pg_dump` among them.
    #[must_use]
    pub fn programs(&self) -> &Path {
        self.binaries.folder()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that holds the data, the log and the Unix socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process id of the server; `None` while it is stopped.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Stops the server if it runs and starts it again, with the same data on the same port.
    ///
    /// # Errors
    /// `Failed` when the server does not come up again.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.stop();
        self.launch()
    }

    /// Stops the server without a checkpoint and cuts its connections, as a crash would; the next
    /// [`PrivateServer::restart`] recovers from the write-ahead log.
    pub fn stop_immediately(&mut self) {
        self.end_with("QUIT");
    }

    /// Stops the server in good order: open transactions are rolled back, a checkpoint is written.
    pub fn stop(&mut self) {
        self.end_with("INT");
    }

    fn initialize(&self) -> Result<(), ServerError> {
        let password_file = self.folder.path().join("password");
        fs::write(&password_file, &self.password).map_err(ServerError::io("write the password file"))?;
        if let Some(owner) = &self.owner {
            owner.give(&password_file)?;
        }
        let mut command = self.command("initdb");
        command
            .arg("--pgdata")
            .arg(self.data_path())
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", USER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]);
        let output = command.output().map_err(ServerError::io("run initdb"))?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(ServerError::Failed { step: "initdb", status: output.status.to_string(), log });
        }
        fs::remove_file(&password_file).map_err(ServerError::io("remove the password file"))
    }

    fn write_settings(&self) -> Result<(), ServerError> {
        let socket_folder = self.folder.path().to_string_lossy();
        // Without a socket folder the server listens on loopback alone.
        let socket_folder =
            if socket_folder.len() > SOCKET_FOLDER_BYTES_MAX { "" } else { socket_folder.as_ref() };
        let forced = match self.durability {
            Durability::Durable => "on",
            Durability::Fast => "off",
        };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\n\
             port = {}\n\
             unix_socket_directories = '{socket_folder}'\n\
             max_connections = 200\n\
             max_prepared_transactions = 10\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             logging_collector = off\n\
             fsync = {forced}\n\
             full_page_writes = {forced}\n",
            self.port
        );
        fs::write(self.data_path().join("postgresql.conf"), settings)
            .map_err(ServerError::io("write postgresql.conf"))
    }

    fn launch(&mut self) -> Result<(), ServerError> {
        let log = File::options()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(self.log_path())
            .map_err(ServerError::io("open the server's log"))?;
        let errors = log.try_clone().map_err(ServerError::io("open the server's log"))?;
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.data_path())
            .stdout(log)
            .stderr(errors)
            // Ctrl-C at the terminal is for the tests; the server ends when they have ended.
            .process_group(0)
            .spawn()
            .map_err(ServerError::io("start postgres"))?;
        let id = child.id();
        self.process = Some(child);
        let mut ended = None;
        let settled = wait_until(START_SECONDS_MAX, || {
            ended = self.exit_status();
            ended.is_some() || self.is_ready(id)
        });
        if settled && ended.is_none() {
            return Ok(());
        }
        let status = ended.map_or_else(
            || format!("not ready after {START_SECONDS_MAX} seconds"),
            |status: ExitStatus| status.to_string(),
        );
        self.stop_immediately();
        Err(ServerError::Failed { step: "postgres", status, log: self.log_tail() })
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().ok().flatten();
        if status.is_some() {
            self.process = None;
        }
        status
    }

    /// The server writes its process id into the first line of this file and its state into the eighth.
    fn is_ready(&self, id: u32) -> bool {
        let Ok(file) = fs::read_to_string(self.data_path().join("postmaster.pid")) else { return false };
        let mut lines = file.lines();
        lines.next().is_some_and(|line| line.trim() == id.to_string())
            && lines.nth(6).is_some_and(|line| line.trim() == "ready")
    }

    fn end_with(&mut self, signal: &str) {
        let Some(id) = self.process_id() else { return };
        for signal in [signal, "QUIT", "KILL"] {
            send_signal(signal, id);
            if wait_until(STOP_SECONDS_MAX, || self.exit_status().is_some()) {
                return;
            }
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.path(program));
        // Settings of a client must not steer the server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some(owner) = &self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }

    fn data_path(&self) -> PathBuf {
        self.folder.path().join(janitor::DATA_FOLDER)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        self.stop();
        self.janitor.dismiss();
    }
}

impl fmt::Debug for PrivateServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateServer")
            .field("binaries", &self.binaries)
            .field("port", &self.port)
            .field("folder", &self.folder.path())
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// The URL of a database on the server that tests use: `ROBSON_TEST_DATABASE_URL`, else a private server
/// that lives as long as this process.
///
/// Its user may create and drop databases.
///
/// # Errors
/// When no private server can be started; a test that gets this fails, it never skips.
#[expect(clippy::disallowed_methods, reason = "this is where tests read their environment")]
pub fn test_database_url() -> Result<String, &'static ServerError> {
    static SERVER: OnceLock<Result<PrivateServer, ServerError>> = OnceLock::new();
    match std::env::var(TEST_DATABASE_URL) {
        Ok(url) if !url.is_empty() => Ok(url),
        _ => SERVER.get_or_init(PrivateServer::start).as_ref().map(|server| server.url("postgres")),
    }
}

fn make_folder(owner: Option<&Owner>) -> Result<TempDir, ServerError> {
    let parent = match owner {
        None => std::env::temp_dir(),
        // Another user has to get through every folder above.
        Some(_) => [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()]
            .into_iter()
            .find(|path| is_traversable(path))
            .unwrap_or_else(std::env::temp_dir),
    };
    let folder = tempfile::Builder::new()
        .prefix("robson-postgres-")
        .tempdir_in(parent)
        .map_err(ServerError::io("make a temporary folder"))?;
    if let Some(owner) = owner {
        owner.give(folder.path())?;
    }
    Ok(folder)
}

fn is_traversable(path: &Path) -> bool {
    path.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 1 == 1))
}

fn free_port() -> Result<u16, ServerError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(ServerError::io("find a free port on 127.0.0.1"))
}

/// The standard library seeds its hash keys from the operating system's random source.
fn random_hex() -> String {
    (0..2).map(|_| format!("{:016x}", RandomState::new().build_hasher().finish())).collect()
}

/// Through the shell's built-in: there is no safe call for it, and a bare system may lack the program.
fn send_signal(signal: &str, process_id: u32) {
    // An error means that the process is gone, which is what the caller then sees.
    let _ = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", signal, &process_id.to_string()])
        .stderr(Stdio::null())
        .status();
}
