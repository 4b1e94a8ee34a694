//! The trader's tables: which row an event changes, and how an entity becomes a row.
//!
//! Joins the domain and the log: knows no SQL, no clock and no async. A table is one file here plus its
//! pair of migrations and its line in the list below.
#![deny(clippy::disallowed_types, clippy::float_arithmetic)]

mod cell;
mod envelope;
mod projection;
mod scopes;
mod table;

use robson_domain::{Entity, EntityKey};
use robson_eventlog::{Row, RowKey, Table};

use table::Key;

pub use cell::{BadCell, Cell};
pub use envelope::{InvalidEvent, UnreadableEvent, event_of, log_time, new_event, time_of};
pub use projection::TraderTables;
pub use scopes::{FOLD_VERSION, TraderScopes};
pub use table::BadRow;

macro_rules! tables {
    ($($(#[$doc:meta])* $module:ident: $entity:ident,)+) => {
        $($(#[$doc])* pub mod $module;)+

        /// Every table of the trader.
        pub static TABLES: &[&Table] = &[$(&$module::TABLE),+];

        /// Where an entity stands.
        pub fn row_key(key: &EntityKey) -> RowKey {
            match key {
                $(EntityKey::$entity(key) => RowKey { table: $module::TABLE.name, key: key.cells() },)+
            }
        }

        /// The table that keeps an entity.
        pub fn table_of(key: &EntityKey) -> &'static Table {
            match key {
                $(EntityKey::$entity(_) => &$module::TABLE,)+
            }
        }

        fn put_row(entity: &Entity) -> (&'static Table, Row) {
            match entity {
                $(Entity::$entity(entity) => (&$module::TABLE, $module::row(entity)),)+
            }
        }

        /// The entity that a row keeps.
        ///
        /// # Errors
        /// `BadRow` when the row does not fit the table.
        pub fn read_row(key: &EntityKey, row: &Row) -> Result<Entity, BadRow> {
            match key {
                $(EntityKey::$entity(_) => $module::entity(row).map(Entity::$entity),)+
            }
        }
    };
}

tables! {
    /// Orders as they stand.
    orders_current: Order,
    /// Every fill.
    fills: Fill,
    /// Positions as they stand, ended ones included.
    positions_current: Position,
    /// The latest sample of each balance.
    balances_current: Balance,
    /// The month's budget of each account, and what each strategy has taken from it.
    risk_state_current: RiskState,
    /// Strategies and what they came to.
    strategy_state_current: StrategyState,
}
