//! The shape that all tables of the trader share: columns, key, row and entity from one declaration.

use robson_domain::{OrderId, PositionId, StrategyId};
use robson_eventlog::{Column, FoldError, Row, Table, Value};

use crate::cell::{BadCell, Cell};

/// A row that does not hold an entity of its table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}.{column} holds {cell}")]
pub struct BadRow {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What is wrong with its cell.
    pub cell: BadCell,
}

impl From<BadRow> for FoldError {
    fn from(row: BadRow) -> Self {
        Self::Broken(row.to_string())
    }
}

/// Reads a row's cells in the order of the columns.
pub(crate) struct Cells<'a> {
    table: &'static Table,
    row: &'a Row,
    next: usize,
}

impl<'a> Cells<'a> {
    pub(crate) const fn of(table: &'static Table, row: &'a Row) -> Self {
        Self { table, row, next: 0 }
    }

    pub(crate) fn next<T: Cell>(&mut self) -> Result<T, BadRow> {
        let value = self.row.0.get(self.next).unwrap_or(&Value::Null);
        let column = self.table.columns.get(self.next).map_or("", |column| column.name);
        self.next += 1;
        T::read(value).map_err(|cell| BadRow { table: self.table.name, column, cell })
    }
}

/// Where an entity stands in its table.
pub(crate) trait Key {
    /// The values of the key's columns.
    fn cells(&self) -> Vec<Value>;
}

impl Key for OrderId {
    fn cells(&self) -> Vec<Value> {
        vec![self.write()]
    }
}

impl Key for PositionId {
    fn cells(&self) -> Vec<Value> {
        vec![self.write()]
    }
}

impl Key for StrategyId {
    fn cells(&self) -> Vec<Value> {
        vec![self.write()]
    }
}

/// A column for values of a type.
pub(crate) const fn column<T: Cell>(name: &'static str) -> Column {
    Column { name, kind: T::KIND, nullable: T::NULLABLE }
}

/// Declares a table of entities: one line for each column with its type, in the order of the columns.
///
/// In brackets stand columns that the entity keeps in a struct of its own: a key of several columns
/// before the others, where the row stands in the log after them.
macro_rules! table {
    ($table:literal holds $entity:ident, keyed by $key_columns:literal;
        $([$key:ident: $key_type:ident { $($part:ident: $part_type:ty,)+ }])?
        $($field:ident: $type:ty,)+
        $([$meta:ident: $meta_type:ident { $($mark:ident: $mark_type:ty,)+ }])?
    ) => {
        /// Its name and columns.
        pub static TABLE: robson_eventlog::Table = robson_eventlog::Table {
            name: $table,
            key_columns: $key_columns,
            columns: &[
                $($(crate::table::column::<$part_type>(stringify!($part)),)+)?
                $(crate::table::column::<$type>(stringify!($field)),)+
                $($(crate::table::column::<$mark_type>(stringify!($mark)),)+)?
            ],
        };

        $(impl crate::table::Key for $key_type {
            fn cells(&self) -> Vec<robson_eventlog::Value> {
                vec![$(crate::Cell::write(&self.$part)),+]
            }
        })?

        /// The row of an entity.
        pub fn row(entity: &$entity) -> robson_eventlog::Row {
            robson_eventlog::Row(vec![
                $($(crate::Cell::write(&entity.$key.$part),)+)?
                $(crate::Cell::write(&entity.$field),)+
                $($(crate::Cell::write(&entity.$meta.$mark),)+)?
            ])
        }

        /// The entity of a row.
        ///
        /// # Errors
        /// `BadRow` when a cell holds what no entity could have written.
        pub fn entity(row: &robson_eventlog::Row) -> Result<$entity, crate::BadRow> {
            let mut cells = crate::table::Cells::of(&TABLE, row);
            // A struct's fields are evaluated in the order in which they are written: the columns' order.
            Ok($entity {
                $($key: $key_type { $($part: cells.next()?,)+ },)?
                $($field: cells.next()?,)+
                $($meta: $meta_type { $($mark: cells.next()?,)+ },)?
            })
        }
    };
}
pub(crate) use table;
