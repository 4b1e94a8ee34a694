//! What of the trader's tables a snapshot covers: an account with all it has, a strategy with its positions and
//! their orders, a position with its orders.
//!
//! A fill is read once, when it is folded, and no fold reads its row again; so fills are in the account's
//! snapshot only.

use robson_domain::RiskScope;
use robson_eventlog::snapshot::{Part, Scope, Scopes};
use robson_eventlog::{RecordedEvent, Row, RowKey, RowQuery, Table, Value};

use crate::{TABLES, orders_current, positions_current, risk_state_current, strategy_state_current};

/// The version of the trader's folds: raise it whenever a fold makes other rows of the same events, or a table's
/// columns change.
pub const FOLD_VERSION: i64 = 1;

const ACCOUNT: &str = "account";
const STRATEGY: &str = "strategy";
const POSITION: &str = "position";
const KINDS: [&str; 3] = [ACCOUNT, STRATEGY, POSITION];

/// The scopes of the trader's tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraderScopes;

/// The column that names a scope of a kind, in tables and in payloads alike.
const fn column_of(kind: &str) -> &'static str {
    match kind.as_bytes() {
        b"account" => "account_id",
        b"strategy" => "strategy_id",
        _ => "position_id",
    }
}

fn own(table: &'static Table, query: RowQuery) -> Part {
    Part { table, query, is_context: false }
}

fn context(table: &'static Table, key: Vec<Value>) -> Part {
    Part { table, query: RowQuery::keys(vec![key]), is_context: true }
}

/// Where the risk of an account stands, or of one strategy in it.
fn risk_key(account: Value, strategy: Option<&Value>) -> Vec<Value> {
    let scope = match strategy {
        Some(Value::Uuid(id)) => id.to_string(),
        _ => RiskScope::Account.to_string(),
    };
    vec![account, Value::Text(scope)]
}

impl Scopes for TraderScopes {
    fn fold_version(&self) -> i64 {
        FOLD_VERSION
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn anchor(&self, scope: &Scope) -> Option<RowKey> {
        let table = match scope.kind {
            STRATEGY => &strategy_state_current::TABLE,
            POSITION => &positions_current::TABLE,
            _ => return None,
        };
        Some(RowKey { table: table.name, key: vec![Value::Uuid(scope.id.parse().ok()?)] })
    }

    fn parts(&self, scope: &Scope, anchor: Option<&Row>) -> Vec<Part> {
        let Ok(id) = scope.id.parse().map(Value::Uuid) else { return Vec::new() };
        let anchored = |table: &Table, column| {
            anchor.and_then(|row| row.get(table, column)).filter(|value| **value != Value::Null).cloned()
        };
        let mine = |table, column| own(table, RowQuery::filter(column, id.clone()));
        match scope.kind {
            ACCOUNT => TABLES.iter().map(|table| mine(table, column_of(ACCOUNT))).collect(),
            STRATEGY => {
                let strategies = &strategy_state_current::TABLE;
                let mut parts = vec![
                    own(strategies, RowQuery::keys(vec![vec![id.clone()]])),
                    mine(&positions_current::TABLE, column_of(STRATEGY)),
                ];
                if let Some(account) = anchored(strategies, column_of(ACCOUNT)) {
                    let orders = RowQuery::filter(column_of(ACCOUNT), account.clone());
                    let risk = RowQuery::keys(vec![risk_key(account.clone(), Some(&id))]);
                    parts.push(own(&orders_current::TABLE, orders));
                    parts.push(own(&risk_state_current::TABLE, risk));
                    parts.push(context(&risk_state_current::TABLE, risk_key(account, None)));
                }
                parts
            }
            _ => {
                let positions = &positions_current::TABLE;
                let mut parts = vec![
                    own(positions, RowQuery::keys(vec![vec![id.clone()]])),
                    mine(&orders_current::TABLE, column_of(POSITION)),
                ];
                let strategy = anchored(positions, column_of(STRATEGY));
                if let Some(account) = anchored(positions, column_of(ACCOUNT)) {
                    let risks = strategy.iter().map(|strategy| risk_key(account.clone(), Some(strategy)));
                    for key in risks.chain([risk_key(account.clone(), None)]) {
                        parts.push(context(&risk_state_current::TABLE, key));
                    }
                }
                parts.extend(strategy.map(|id| context(&strategy_state_current::TABLE, vec![id])));
                parts
            }
        }
    }

    fn owners(&self, table: &Table, row: &Row, find: &dyn Fn(&RowKey) -> Option<Row>) -> Vec<Scope> {
        let id_in = |table: &Table, row: &Row, kind| match row.get(table, column_of(kind)) {
            Some(Value::Uuid(id)) => Some(*id),
            _ => None,
        };
        let of_position = || {
            let id = id_in(table, row, POSITION)?;
            let position =
                find(&RowKey { table: positions_current::TABLE.name, key: vec![Value::Uuid(id)] })?;
            id_in(&positions_current::TABLE, &position, STRATEGY)
        };
        let id = |kind| match kind {
            STRATEGY if *table == risk_state_current::TABLE => match row.get(table, "scope") {
                Some(Value::Text(scope)) => scope.parse().ok(),
                _ => None,
            },
            // An order does not say for which strategy it is; its position does.
            STRATEGY if table.column_index(column_of(STRATEGY)).is_none() => of_position(),
            kind => id_in(table, row, kind),
        };
        let scope = |kind: &&'static str| Some(Scope { kind, id: id(*kind)?.to_string() });
        KINDS.iter().filter_map(scope).collect()
    }

    fn names(&self, event: &RecordedEvent) -> Vec<Scope> {
        let payload = event.payload.value();
        let of_stream = |kind: &str| event.stream.as_str().strip_prefix(kind)?.strip_prefix(':');
        let id = |kind| payload.get(column_of(kind)).and_then(|id| id.as_str()).or_else(|| of_stream(kind));
        KINDS.iter().filter_map(|kind| Some(Scope { kind, id: id(kind)?.to_owned() })).collect()
    }
}
