//! What a backend gives the suite: databases, handles on them, and what can go wrong.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use robson_eventlog::{Store, Table, TenantId};

/// A backend under test.
pub trait Harness: Send + Sync + 'static {
    /// What a case works on.
    type Database: Database;

    /// The backend's name, for the report.
    fn name(&self) -> &'static str;

    /// A new, empty, migrated database that no other case sees. A missing server is an error, not a skip.
    fn fresh(&self, case: &str) -> impl Future<Output = anyhow::Result<Self::Database>> + Send;

    /// The same on a server that no other case uses, so that it can be stopped; where there is no server, the same.
    fn alone(&self, case: &str) -> impl Future<Output = anyhow::Result<Self::Database>> + Send {
        self.fresh(case)
    }

    /// Opens for writing, in a child process that is going to be killed, what [`Database::address`] names.
    fn open_at(
        &self,
        address: &str,
    ) -> impl Future<Output = anyhow::Result<<Self::Database as Database>::Store>> + Send {
        let error = anyhow::anyhow!("this harness gave the address {address}, but cannot open it");
        std::future::ready(Err(error))
    }
}

/// One case's database.
pub trait Database: Send + Sync + 'static {
    /// The backend.
    type Store: Store;

    /// Opens a handle, as another process would; others may be open.
    ///
    /// [`Access::Write`] may be refused while another writing handle is open. [`Access::Read`] never is,
    /// and such a handle refuses to write with a typed error. Lock, statement and pool timeouts are at
    /// most half a second, so that the cases which wait for them are quick.
    fn open(&self, access: Access) -> impl Future<Output = anyhow::Result<Self::Store>> + Send;

    /// Makes a table of the suite's own, from its columns.
    fn prepare(&self, table: &'static Table) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Makes something go wrong, or says why this backend cannot have it. `store` is the writing handle.
    fn inject(
        &self,
        store: &Self::Store,
        fault: Fault,
    ) -> impl Future<Output = anyhow::Result<Injected>> + Send;

    /// How a child process finds the database, or why none can.
    ///
    /// # Errors
    /// The reason, which is printed.
    fn address(&self) -> Result<String, &'static str> {
        Err("this harness gives child processes no address")
    }

    /// Removes the database; every handle was closed.
    fn remove(&self) -> impl Future<Output = anyhow::Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// What a handle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writing and reading.
    Write,
    /// Reading only.
    Read,
}

/// On which side of the commit a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing became durable.
    Before,
    /// All of it did, and the answer was lost.
    After,
}

/// What can go wrong. The first ones last until they are released, the others happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Another session has written elsewhere, holds its transaction open and does nothing. Lasts.
    IdleInTransaction,
    /// A prepared transaction of nobody is left in the database. Lasts.
    PreparedTransaction,
    /// Another session holds what a commit needs: the tenant's head, or the file's write lock. Lasts.
    WriteLock(TenantId),
    /// Every connection that the writing handle reads with is taken. Lasts.
    BusyReaders,
    /// There is no space for another commit. Lasts.
    FullDisk,
    /// The connection is lost during the writing handle's next commit.
    CutAtCommit(Cut),
    /// The process dies: nothing is closed, and the next handle finds what was durable.
    Crash,
    /// The server dies with everything that is connected to it, and is started again; only where it is the
    /// case's alone.
    RestartServer,
    /// The connections over which other processes' commits are heard of are ended.
    KillListener,
    /// The tenant's empty log goes on behind this place, which it never reached.
    MoveHead(TenantId, i64),
    /// Somebody edits an event in SQL.
    UpdateEvent(TenantId, i64),
    /// Somebody deletes an event in SQL.
    DeleteEvent(TenantId, i64),
    /// Somebody empties the log in SQL: `TRUNCATE`, or `DELETE` of every event.
    TruncateLog,
    /// Somebody changes the tenant's tables past every trigger: with plain SQL, or in place.
    Tamper(TenantId, Tampering),
}

/// What somebody changes past every trigger. Places are those of the log; the other rows are the ones that the cases
/// write: see [`crate::tampered_sql`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// An event's payload.
    EditPayload(i64),
    /// When an event happened.
    EditTime(i64),
    /// An event goes.
    DeleteEvent(i64),
    /// A copy of an event comes behind the end.
    AddEvent(i64),
    /// A copy of an event comes behind it, and what follows moves up by one, the head too.
    InsertEvent(i64),
    /// Two events change places.
    SwapEvents(i64, i64),
    /// An event's version in its stream.
    EditVersion(i64),
    /// The hash in the head.
    EditHead,
    /// The version that a stream stands at.
    EditStream,
    /// A stream's version goes.
    DeleteStream,
    /// The version of a stream comes that the log does not have.
    AddStream,
    /// The fingerprint of a dedupe key.
    EditKey,
    /// A dedupe key goes.
    DeleteKey,
    /// A dedupe key of an event comes that has none.
    AddKey,
    /// The dedupe key of a command goes.
    DeleteCommandKey,
    /// A command goes.
    DeleteCommand,
    /// A value of a row.
    EditRow,
    /// A row goes.
    DeleteRow,
    /// A row comes.
    AddRow,
    /// A snapshot gets the content of another scope's.
    EditSnapshot,
}

/// The fault's name, as the list of exclusions gives it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdleInTransaction => "idle_in_transaction",
            Self::PreparedTransaction => "prepared_transaction",
            Self::WriteLock(_) => "write_lock",
            Self::BusyReaders => "busy_readers",
            Self::FullDisk => "full_disk",
            Self::CutAtCommit(_) => "cut_at_commit",
            Self::Crash => "crash",
            Self::RestartServer => "restart_server",
            Self::KillListener => "kill_listener",
            Self::MoveHead(..) => "move_head",
            Self::UpdateEvent(..) => "update_event",
            Self::DeleteEvent(..) => "delete_event",
            Self::TruncateLog => "truncate_log",
            Self::Tamper(..) => "tamper",
        })
    }
}

type Release = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What became of a fault.
pub enum Injected {
    /// It is there, for as long as its name says.
    Done,
    /// It is there until the future has run.
    Until(Release),
    /// The database refused it, with this message.
    Refused(String),
    /// This backend cannot have it; the reason is printed.
    Impossible(&'static str),
}

impl Injected {
    /// The fault is there until the future has run.
    pub fn until(release: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Self {
        Self::Until(Box::pin(release))
    }
}

impl fmt::Debug for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Until(_) => f.write_str("Until(..)"),
            Self::Refused(message) => write!(f, "Refused({message:?})"),
            Self::Impossible(reason) => write!(f, "Impossible({reason:?})"),
        }
    }
}

/// A capability that the backend lacks: the case that needs it is excluded, with this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// What it lacks.
    pub capability: String,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.capability, self.reason)
    }
}

impl std::error::Error for Lacking {}
