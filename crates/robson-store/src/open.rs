//! Opening a database: the URL, the options, and what can go wrong, one clear sentence each.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the log is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// `memory:`: in this process, gone with it.
    Memory,
    /// `sqlite://robson.db`: a file.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`: a server.
    Postgres(String),
}

/// Without the password, so that the URL can be printed.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres://".to_owned() };
    // Connection parameters may carry a password too.
    let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
    match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}@{host}")
        }
        None => format!("{scheme}://{rest}"),
    }
}

impl FromStr for DatabaseUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        if text == "memory:" || text == "memory://" {
            return Ok(Self::Memory);
        }
        match text.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some((scheme, _)) => Err(OpenError::BadUrl(format!("{scheme}://"))),
            None => Err(OpenError::BadUrl(text.split(':').next().unwrap_or_default().to_owned())),
        }
    }
}

/// What the handle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Writing: the database is made and migrated where needed, and on SQLite the file is locked.
    #[default]
    Write,
    /// Reading only: nothing is made, migrated or locked.
    Read,
}

/// How a database is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// What the handle is for.
    pub access: Access,
    /// The schema within a Postgres database; none: the connection's own.
    pub schema: Option<String>,
    /// How long a write waits for a lock that another session holds.
    pub lock_timeout: Duration,
    /// How long one statement may take (Postgres only).
    pub statement_timeout: Duration,
    /// How long a read waits for a connection.
    pub pool_timeout: Duration,
    /// Most connections that read at once.
    pub readers_max: u32,
    /// Where migrating stops, for tests of single migrations; none: at the newest version.
    #[doc(hidden)]
    pub migrate_to: Option<i32>,
    /// Whether a commit rings for other processes, and whether theirs are listened for (Postgres only):
    /// `NOTIFY` lets the commits of a whole cluster through one at a time, so it is off unless asked for.
    pub doorbell: bool,
}

/// For writing, with waits of 5 s, statements of 30 s, 4 readers and no doorbell.
impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            access: Access::Write,
            schema: None,
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            pool_timeout: Duration::from_secs(5),
            readers_max: 4,
            migrate_to: None,
            doorbell: false,
        }
    }
}

impl OpenOptions {
    /// For reading only.
    pub fn read_only() -> Self {
        Self { access: Access::Read, ..Self::default() }
    }
}

/// Why a database did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL names no backend.
    #[error("unknown database URL `{0}`: use sqlite://FILE, postgres://USER@HOST/DATABASE or memory:")]
    BadUrl(String),
    /// The URL names a backend that was left out of this build.
    #[error("this build has no {0} backend: build it with the feature `{0}`")]
    BackendMissing(&'static str),
    /// Nobody answers.
    #[error("the database {url} cannot be reached: {reason}")]
    Unreachable {
        /// Where, without the password.
        url: String,
        /// Why.
        reason: String,
    },
    /// User or password are wrong.
    #[error("the database {url} refuses the user or the password")]
    Refused {
        /// Where, without the password.
        url: String,
    },
    /// There is no such file or database.
    #[error("there is no database at {url}: create it with {remedy}")]
    Missing {
        /// Where.
        url: String,
        /// What makes it.
        remedy: &'static str,
    },
    /// The file, its directory or the schema cannot be written.
    #[error(
        "the database {url} is read-only: check the permissions of the file and its directory, or of the user"
    )]
    ReadOnly {
        /// Where.
        url: String,
    },
    /// The file is not a database, or is damaged.
    #[error("the file {url} is not a sound SQLite database ({reason}): restore it from a backup")]
    Corrupt {
        /// Where.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program wrote it.
    #[error(
        "the database has version {database}, newer than the {program} that this program knows: upgrade the program"
    )]
    Newer {
        /// The database's version.
        database: i32,
        /// The newest version that the program knows.
        program: i32,
    },
    /// It is older, and the handle may not migrate it.
    #[error("the database has version {database}, this program needs {program}: run `robson db migrate`")]
    Older {
        /// The database's version.
        database: i32,
        /// The version that the program needs.
        program: i32,
    },
    /// Another process writes it.
    #[error("the database {url} is in use by another process, which holds {lock}: stop it first")]
    Locked {
        /// Where.
        url: String,
        /// The lock file.
        lock: String,
    },
    /// The database does not do what durability needs.
    #[error("the database cannot be trusted with the log: {0}")]
    Unfit(String),
    /// A migration failed; the schema is as before.
    #[error("the database could not be migrated, and is as it was: {0}")]
    Migration(String),
}

/// Why there is no backup. What was begun of it is gone again.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backend is not a file: its server has tools of its own.
    #[error("only a SQLite file is copied; PostgreSQL is copied by `pg_dump`")]
    NotAFile,
    /// There is a file already: name another, a backup overwrites nothing.
    #[error("{} exists already: name a file that does not", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be written", .0.display())]
    Unwritable(PathBuf, #[source] std::io::Error),
    /// The database could not be read, or the disk is full.
    #[error("the database could not be copied: {0}")]
    Copy(String),
    /// The copy is not sound: look at the disk, and at the database itself.
    #[error("the copy is not sound: {0}")]
    Unsound(String),
}
