//! Scopes: what a snapshot covers, and which events belong to it. Says nothing of when one is taken.

use std::fmt;

use crate::event::RecordedEvent;
use crate::projection::RowKey;
use crate::store::RowQuery;
use crate::table::{Row, Table};

/// One thing that snapshots are taken of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// What kind of thing, such as `account`.
    pub kind: &'static str,
    /// Which one.
    pub id: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// Rows that a snapshot holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The table.
    pub table: &'static Table,
    /// Which of its rows.
    pub query: RowQuery,
    /// Whether they are only what the scope's fold reads besides its own rows: they are kept so that the fold
    /// can go on, and are not what the snapshot is of.
    pub is_context: bool,
}

/// What there is to take snapshots of, said once beside the folds.
///
/// # Contract
/// An event that changes a row of a scope touches a row that the scope has already, or is one that
/// [`Scopes::names`] gives the scope for. Its fold reads rows of the scope and of its context only. The scopes
/// of a row never change.
pub trait Scopes: Send + Sync + fmt::Debug {
    /// The version of the folds: it grows whenever a fold makes other rows of the same events, or a table
    /// changes. A snapshot of another version is left aside.
    fn fold_version(&self) -> i64;

    /// The kinds of scopes, the widest first.
    fn kinds(&self) -> &'static [&'static str];

    /// The row without which the parts of a scope cannot be told, if there is one; it is of the scope.
    fn anchor(&self, scope: &Scope) -> Option<RowKey>;

    /// What finds every row of a scope, and perhaps others, and what its fold reads besides.
    fn parts(&self, scope: &Scope, anchor: Option<&Row>) -> Vec<Part>;

    /// The scopes that a row is of; `find` has the other rows that are at hand.
    fn owners(&self, table: &Table, row: &Row, find: &dyn Fn(&RowKey) -> Option<Row>) -> Vec<Scope>;

    /// The scopes that an event names in its stream or payload.
    fn names(&self, event: &RecordedEvent) -> Vec<Scope>;

    /// A scope of a kind that there is.
    fn scope(&self, kind: &str, id: &str) -> Option<Scope> {
        let kind = self.kinds().iter().find(|known| **known == kind)?;
        Some(Scope { kind, id: id.to_owned() })
    }
}
