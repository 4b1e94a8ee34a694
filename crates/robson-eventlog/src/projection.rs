//! Projections: pure folds from events to rows. No SQL, no clock, no async.

use crate::batch::TableRows;
use crate::event::RecordedEvent;
use crate::recent::Recent;
use crate::table::{Row, Table, Value};

/// One row of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The table's name.
    pub table: &'static str,
    /// The values of the key, without the tenant.
    pub key: Vec<Value>,
}

/// How a fold ends when it does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The event is a decision that breaks a rule: it is not appended, its caller decides again.
    #[error("{0}")]
    Refused(String),
    /// The log and the fold do not fit each other: halt.
    #[error("the fold is broken: {0}")]
    Broken(String),
}

/// What a list of tables makes of events. The same code runs inside the append, in catch-up and in replay.
pub trait Projection: Send + Sync + std::fmt::Debug {
    /// The tables that it writes.
    fn tables(&self) -> &[&'static Table];

    /// The rows that the event touches, as far as they can be told from the rows that are loaded.
    ///
    /// Called again after what it named was loaded, until it names nothing new.
    ///
    /// # Errors
    /// `Broken` when the event cannot be read.
    fn keys(&self, event: &RecordedEvent, rows: &Rows) -> Result<Vec<RowKey>, FoldError>;

    /// Changes the rows that the event touches.
    ///
    /// # Errors
    /// `Refused` or `Broken`; the caller then takes back what the fold changed.
    fn fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<(), FoldError>;

    /// Folds an event whose rows are all held; else changes nothing and answers those that are not, as far
    /// as they can be told.
    ///
    /// # Errors
    /// As [`Projection::fold`].
    fn try_fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<Vec<RowKey>, FoldError> {
        let keys = self.keys(event, rows)?;
        let missing: Vec<RowKey> = keys.into_iter().filter(|key| !rows.holds(key)).collect();
        if missing.is_empty() {
            self.fold(event, rows)?;
        }
        Ok(missing)
    }

    /// Whether whoever appends such an event gives it a dedupe key, so that one without is damage.
    fn is_deduplicated(&self, _event: &RecordedEvent) -> bool {
        false
    }

    /// The event as the projection reads it, for a caller that asks for its keys and folds it: overridden
    /// where reading takes long. The event's place, id, version and hashes may not be known yet.
    ///
    /// # Errors
    /// `Refused` or `Broken`, as the fold would answer.
    fn read(&self, event: &RecordedEvent) -> Result<Box<dyn Reading + '_>, FoldError> {
        Ok(Box::new(Unread { projection: self, event: event.clone() }))
    }
}

/// An event that was read once, for its keys and its fold.
pub trait Reading: Send + Sync + std::fmt::Debug {
    /// As [`Projection::keys`].
    ///
    /// # Errors
    /// As [`Projection::keys`].
    fn keys(&self, rows: &Rows) -> Result<Vec<RowKey>, FoldError>;

    /// As [`Projection::try_fold`], of the event with its place.
    ///
    /// # Errors
    /// As [`Projection::fold`].
    fn try_fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<Vec<RowKey>, FoldError>;
}

/// An event that is read whenever it is asked.
#[derive(Debug)]
struct Unread<'a, P: ?Sized> {
    projection: &'a P,
    event: RecordedEvent,
}

impl<P: Projection + ?Sized> Reading for Unread<'_, P> {
    fn keys(&self, rows: &Rows) -> Result<Vec<RowKey>, FoldError> {
        self.projection.keys(&self.event, rows)
    }

    fn try_fold(&self, event: &RecordedEvent, rows: &mut Rows) -> Result<Vec<RowKey>, FoldError> {
        self.projection.try_fold(event, rows)
    }
}

/// The rows that a writer holds: loaded, known to be absent, or changed.
///
/// Changes can be taken back to a mark, so that one refused request leaves no trace in a batch.
#[derive(Debug, Default)]
pub struct Rows {
    held: Recent<RowKey, Held>,
    changed: Vec<RowKey>,
    undo: Vec<(RowKey, Held)>,
}

/// A row, or that there is none.
#[derive(Debug)]
struct Held {
    row: Option<Row>,
    is_changed: bool,
}

impl Rows {
    /// Whether the row was loaded, be it absent.
    pub fn holds(&self, key: &RowKey) -> bool {
        self.held.get(key).is_some()
    }

    /// As [`Rows::holds`]; the row counts as used, so that [`Rows::age`] keeps it.
    pub fn touch(&mut self, key: &RowKey) -> bool {
        self.held.touch(key).is_some()
    }

    /// How many rows are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes note of what the store has, or does not have, under a key; a row that is held stays.
    pub fn load(&mut self, key: RowKey, row: Option<Row>) {
        if self.held.touch(&key).is_none() {
            self.held.insert(key, Held { row, is_changed: false });
        }
    }

    /// The row under a key.
    ///
    /// # Panics
    /// When the key was not declared by [`Projection::keys`]: the projection is wrong.
    pub fn get(&self, key: &RowKey) -> Option<&Row> {
        let held = self.held.get(key);
        let held = held.unwrap_or_else(|| panic!("a fold read {key:?}, which its keys() did not declare"));
        held.row.as_ref()
    }

    /// The row under a key that may not be loaded yet; for [`Projection::keys`].
    pub fn peek(&self, key: &RowKey) -> Option<&Row> {
        self.held.get(key).and_then(|held| held.row.as_ref())
    }

    /// Puts a row in place.
    ///
    /// # Panics
    /// When the key was not declared, or the row does not fit its table: the projection is wrong.
    pub fn put(&mut self, table: &'static Table, row: Row) {
        if let Some(misfit) = table.misfit(&row) {
            panic!("a fold wrote a row that does not fit: {misfit}");
        }
        let key = RowKey { table: table.name, key: row.key(table) };
        let held = self.held.touch(&key);
        let held = held.unwrap_or_else(|| panic!("a fold wrote {key:?}, which its keys() did not declare"));
        if held.row.as_ref() == Some(&row) {
            return;
        }
        let before = std::mem::replace(held, Held { row: Some(row), is_changed: true });
        if !before.is_changed {
            self.changed.push(key.clone());
        }
        self.undo.push((key, before));
    }

    /// A mark to come back to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back every change since the mark.
    pub fn take_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            if let Some((key, before)) = self.undo.pop() {
                if !before.is_changed {
                    // Changes are taken back in reverse, so it is the last one.
                    self.changed.pop();
                }
                self.held.insert(key, before);
            }
        }
    }

    /// Gives up taking back what was changed so far.
    pub fn keep_changes(&mut self) {
        self.undo.clear();
    }

    /// Forgets every row but those that a write is under way for.
    pub fn keep_only(&mut self, written: &[TableRows]) {
        let mut held = Recent::default();
        for changed in written {
            for row in &changed.rows {
                let key = RowKey { table: changed.table.name, key: row.key(changed.table) };
                if let Some((key, row)) = self.held.remove_entry(&key) {
                    held.insert(key, row);
                }
            }
        }
        *self = Self { held, ..Self::default() };
    }

    /// The changed rows, by table in the given order and by key; the changes then count as written.
    pub fn take_changes(&mut self, tables: &[&'static Table]) -> Vec<TableRows> {
        self.undo.clear();
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        for key in &changed {
            if let Some(held) = self.held.touch(key) {
                held.is_changed = false;
            }
        }
        let rows_of = |table: &'static Table| {
            let keys = changed.iter().filter(|key| key.table == table.name);
            TableRows { table, rows: keys.filter_map(|key| self.peek(key).cloned()).collect() }
        };
        tables.iter().map(|table| rows_of(table)).filter(|change| !change.rows.is_empty()).collect()
    }

    /// Forgets rows that were not used for long, once about `limit` are held; whatever was used since the
    /// last time stays. Nothing may be changed and not yet taken.
    pub fn age(&mut self, limit: usize) {
        self.held.age(limit / 2);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every present row of a table, by key.
    pub fn of_table(&self, table: &Table) -> Vec<&Row> {
        let of_table = self.held.iter().filter(|(key, _)| key.table == table.name);
        let mut rows: Vec<(&RowKey, &Row)> =
            of_table.filter_map(|(key, held)| Some((key, held.row.as_ref()?))).collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}
