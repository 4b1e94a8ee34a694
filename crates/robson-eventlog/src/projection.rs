//! Projections: pure folds from events to rows. No SQL, no clock, no async.

use std::collections::BTreeMap;

use crate::batch::TableRows;
use crate::event::RecordedEvent;
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
}

/// The rows that a writer holds: loaded, known to be absent, or changed.
///
/// Changes can be taken back to a mark, so that one refused request leaves no trace in a batch.
#[derive(Debug, Default)]
pub struct Rows {
    held: BTreeMap<RowKey, Option<Row>>,
    changed: BTreeMap<RowKey, ()>,
    undo: Vec<(RowKey, Option<Row>, bool)>,
}

impl Rows {
    /// Whether the row was loaded, be it absent.
    pub fn holds(&self, key: &RowKey) -> bool {
        self.held.contains_key(key)
    }

    /// How many rows are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes note of what the store has, or does not have, under a key; a row that is held stays.
    pub fn load(&mut self, key: RowKey, row: Option<Row>) {
        self.held.entry(key).or_insert(row);
    }

    /// The row under a key.
    ///
    /// # Panics
    /// When the key was not declared by [`Projection::keys`]: the projection is wrong.
    pub fn get(&self, key: &RowKey) -> Option<&Row> {
        let held = self.held.get(key);
        held.unwrap_or_else(|| panic!("a fold read {key:?}, which its keys() did not declare")).as_ref()
    }

    /// The row under a key that may not be loaded yet; for [`Projection::keys`].
    pub fn peek(&self, key: &RowKey) -> Option<&Row> {
        self.held.get(key).and_then(Option::as_ref)
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
        let slot = self.held.get_mut(&key);
        let slot = slot.unwrap_or_else(|| panic!("a fold wrote {key:?}, which its keys() did not declare"));
        if slot.as_ref() == Some(&row) {
            return;
        }
        let before = slot.replace(row);
        let was_changed = self.changed.insert(key.clone(), ()).is_some();
        self.undo.push((key, before, was_changed));
    }

    /// A mark to come back to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back every change since the mark.
    pub fn take_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            if let Some((key, before, was_changed)) = self.undo.pop() {
                if !was_changed {
                    self.changed.remove(&key);
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
        let keys = written.iter().flat_map(|changed| {
            changed.rows.iter().map(|row| RowKey { table: changed.table.name, key: row.key(changed.table) })
        });
        let held = keys.filter_map(|key| self.held.remove_entry(&key)).collect();
        *self = Self { held, ..Self::default() };
    }

    /// The changed rows, by table in the given order and by key; the changes then count as written.
    pub fn take_changes(&mut self, tables: &[&'static Table]) -> Vec<TableRows> {
        self.undo.clear();
        let changed = std::mem::take(&mut self.changed);
        let rows_of = |table: &'static Table| {
            let keys = changed.keys().filter(|key| key.table == table.name);
            let rows: Vec<Row> = keys.filter_map(|key| self.held.get(key).cloned().flatten()).collect();
            TableRows { table, rows }
        };
        tables.iter().map(|table| rows_of(table)).filter(|change| !change.rows.is_empty()).collect()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every present row of a table, by key.
    pub fn of_table(&self, table: &Table) -> Vec<&Row> {
        self.held
            .iter()
            .filter(|(key, _)| key.table == table.name)
            .filter_map(|(_, row)| row.as_ref())
            .collect()
    }
}
