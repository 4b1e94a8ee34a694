//! The one connection that writes: who has it, and when it is trusted again.

use std::future::Future;

use robson_eventlog::{Column, CommitError, Row, StoreError};
use sqlx::{Connection as _, Pool};
use tokio::sync::{Mutex, MutexGuard};

use super::database::{self, SqlDatabase};
use super::statement::Statement;
use crate::open::Access;

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Writer<DB: SqlDatabase> {
    access: Access,
    slot: Mutex<Slot<DB>>,
}

#[derive(Debug)]
pub(crate) struct Slot<DB: SqlDatabase> {
    /// Away while it is in use; whoever does not bring it back in order loses it.
    pub(crate) connection: Option<DB::Connection>,
    is_closed: bool,
}

impl<DB: SqlDatabase> Writer<DB> {
    /// A writer; without a connection, it makes one when it is used.
    pub(crate) fn new(access: Access, connection: Option<DB::Connection>) -> Self {
        Self { access, slot: Mutex::new(Slot { connection, is_closed: false }) }
    }

    /// Waits until nobody uses the connection.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, Slot<DB>> {
        self.slot.lock().await
    }

    /// The connection, made anew where it was lost.
    pub(crate) async fn session(
        &self,
        connect: impl Future<Output = Result<DB::Connection, StoreError>> + Send,
    ) -> Result<Session<'_, DB>, StoreError> {
        let mut slot = self.lock().await;
        if slot.is_closed {
            return Err(StoreError::Closed);
        }
        if self.access == Access::Read {
            return Err(StoreError::Unavailable("the handle was opened for reading only".into()));
        }
        let connection = match slot.connection.take() {
            Some(connection) => connection,
            None => connect.await?,
        };
        Ok(Session { slot, connection })
    }

    /// Waits for what is under way and lets go of every connection.
    pub(crate) async fn close(&self, readers: &Pool<DB>) {
        let connection = {
            let mut slot = self.lock().await;
            slot.is_closed = true;
            slot.connection.take()
        };
        readers.close().await;
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the connection did not close cleanly; the log is safe");
        }
    }
}

/// The connection in use. Dropping it drops the connection, which rolls back what was open: so a future
/// that is dropped midway leaves nothing behind, and no connection is trusted after an error.
pub(crate) struct Session<'a, DB: SqlDatabase> {
    slot: MutexGuard<'a, Slot<DB>>,
    pub(crate) connection: DB::Connection,
}

impl<DB: SqlDatabase> Session<'_, DB> {
    /// Keeps the connection for the next use; no transaction is open.
    pub(crate) fn keep(mut self) {
        self.slot.connection = Some(self.connection);
    }

    /// Runs one statement and answers how many rows it changed.
    pub(crate) async fn execute(mut self, statement: Statement<'_>) -> Result<u64, sqlx::Error> {
        let changed = DB::execute(&mut self.connection, statement).await?;
        self.keep();
        Ok(changed)
    }

    /// Runs one statement beside the log.
    pub(crate) async fn run(self, statement: Statement<'_>) -> Result<(), StoreError> {
        let done = self.execute(statement).await;
        done.map(|_| ()).map_err(|error| database::store_error::<DB>(&error))
    }

    /// Runs one statement and reads its rows.
    pub(crate) async fn fetch(
        mut self,
        statement: Statement<'_>,
        columns: &[Column],
    ) -> Result<Vec<Row>, StoreError> {
        let failed = |error: sqlx::Error| database::store_error::<DB>(&error);
        let answer = DB::fetch(&mut self.connection, statement).await.map_err(failed)?;
        self.keep();
        database::rows::<DB>(&answer, columns).map_err(failed)
    }
}

/// A session that was not given: nothing was written.
pub(crate) fn unavailable(error: StoreError) -> CommitError {
    CommitError::Unavailable(Box::new(error))
}
