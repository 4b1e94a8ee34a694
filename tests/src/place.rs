//! A place to trade in: a folder and a database of its own, gone with the story.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use robson_eventlog::Store as _;
use robson_store::testing::TestDatabase;
use robson_store::{AnyStore, DatabaseUrl, OpenOptions};
use robsond::session::{DEFAULT_TENANT, beside};
use tempfile::TempDir;

use crate::program::{Daemon, Ran, program};

/// How long a condition is waited for.
const WAIT_SECONDS_MAX: u64 = 120;

/// Where the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file.
    Sqlite,
    /// A server.
    Postgres,
}

/// A folder and a database.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    url: String,
    variables: Vec<(&'static str, String)>,
    // Dropped last: whoever is still connected is then cut off.
    _database: Option<TestDatabase>,
}

impl Place {
    /// An empty one.
    ///
    /// # Errors
    /// The folder or the database cannot be made.
    pub async fn new(backend: Backend) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("robson-story-").tempdir()?;
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => {
                let server = robson_testkit::test_database_url()?;
                Some(TestDatabase::create(&server).await.map_err(anyhow::Error::from_boxed)?)
            }
        };
        let url = match &database {
            Some(database) => database.url().to_owned(),
            None => format!("sqlite://{}", folder.path().join("robson.db").display()),
        };
        Ok(Self { folder, url, variables: Vec::new(), _database: database })
    }

    /// Sets a variable for every program that runs here; the last value counts.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The database's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A file's path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program that is to run here, with no settings but this place's.
    ///
    /// # Errors
    /// It has not been built.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        command.env_clear().current_dir(self.folder()).env("DATABASE_URL", &self.url);
        command.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str()))).args(arguments);
        Ok(command)
    }

    /// Runs `robson` to its end.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn robson(&self, arguments: &[&str]) -> Result<Ran> {
        Ran::to_end(&mut self.command("robson", arguments)?)
    }

    /// Starts `robsond`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn robsond(&self, arguments: &[&str]) -> Result<Daemon> {
        Daemon::start(&mut self.command("robsond", arguments)?)
    }

    /// A handle that reads the trader's database.
    ///
    /// # Errors
    /// There is none yet, or it cannot be read.
    pub async fn reader(&self) -> Result<AnyStore> {
        let url: DatabaseUrl = self.url.parse()?;
        Ok(AnyStore::open(&url, &OpenOptions::read_only()).await?)
    }

    /// A handle that reads the paper exchange's log.
    ///
    /// # Errors
    /// There is none yet, or it cannot be read.
    pub async fn venue_reader(&self) -> Result<AnyStore> {
        let (url, options) = beside(&self.url.parse()?);
        let options = OpenOptions { access: robson_store::Access::Read, ..options };
        Ok(AnyStore::open(&url, &options).await?)
    }

    /// The place of the log's last event; 0 while there is no log.
    pub async fn head(&self) -> i64 {
        let Ok(reader) = self.reader().await else { return 0 };
        let head = reader.head(DEFAULT_TENANT).await.map_or(0, |head| head.log_seq);
        reader.close().await;
        head
    }

    /// Waits until the log has reached a place; answers where it stood then, or none where the daemon
    /// ended before.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn reach(&self, log_seq: i64, daemon: &mut Daemon) -> Result<Option<i64>> {
        let asked = async {
            let mut reader = None;
            loop {
                if daemon.ended()?.is_some() {
                    return Ok(None);
                }
                match &reader {
                    None => reader = self.reader().await.ok(),
                    Some(reader) => {
                        if let Ok(head) = reader.head(DEFAULT_TENANT).await
                            && head.log_seq >= log_seq
                        {
                            reader.close().await;
                            return Ok(Some(head.log_seq));
                        }
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(WAIT_SECONDS_MAX), asked).await {
            Ok(answer) => answer,
            Err(_) => bail!("the log did not reach {log_seq}:\n{}", daemon.said()),
        }
    }

    /// Runs `robsond` to the end of its feed.
    ///
    /// # Errors
    /// It ends with another code than 0; what it said is told.
    pub fn run_to_end(&self, arguments: &[&str]) -> Result<Ran> {
        let ran = self.robsond(arguments)?.finish(240)?;
        let printed = ran.clone().printed().context("run robsond to the end of its feed");
        printed.map(|_| ran)
    }
}
