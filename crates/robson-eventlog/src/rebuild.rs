//! Rebuilding tables from the log beside the live ones, and switching over once they have caught up.

use crate::batch::TableRows;
use crate::names::TenantId;
use crate::store::Checkpoint;
use crate::table::Table;

/// The next generation of some tables: whose, which, and by which folds.
///
/// While it is filled, the checkpoint `<table>__next` of each table says up to which place and under which
/// number; once it is live, the checkpoint under the table's own name does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Whose tables.
    pub tenant: TenantId,
    /// Which tables; all of them move together.
    pub tables: Vec<&'static Table>,
    /// The version of the folds that fill it. What other folds left half done is not gone on with.
    pub number: i64,
}

impl Generation {
    /// What a table's next generation and its checkpoint are called.
    pub fn shadow_name(table: &Table) -> String {
        format!("{}__next", table.name)
    }

    /// The place at which all tables of this generation stand, given what was found under their shadows'
    /// names; nothing where they do not stand at one.
    pub fn common_place(&self, stands: &[Checkpoint]) -> Option<i64> {
        let first = stands.first()?;
        let is_common = stands.len() == self.tables.len()
            && stands.iter().all(|stand| stand == first && stand.generation == self.number);
        is_common.then_some(first.log_seq)
    }

    /// Why rows cannot be put into this generation, or nothing; every backend refuses them as `Broken`.
    pub fn flaw(&self, rows: &[TableRows]) -> Option<String> {
        rows.iter().find_map(|changed| {
            if !self.tables.contains(&changed.table) {
                return Some(format!("{} is not being rebuilt", changed.table.name));
            }
            changed.rows.iter().find_map(|row| changed.table.misfit(row))
        })
    }
}
