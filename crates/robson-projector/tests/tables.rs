//! Tables agree with their migrations, and every row is an entity and comes back as the same row.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use robson_eventlog::{Column, ColumnKind, Payload, Row, Table, Value};
use robson_projector::{
    BadRow, TABLES, balances_current, fills, log_time, orders_current, positions_current, risk_state_current,
    strategy_state_current,
};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

/// A column as a migration writes it: name, and type with its constraints.
type Written = (String, String);

/// The columns and the primary key of every table that a migration creates.
fn created(dialect: &str) -> Vec<(String, Vec<Written>, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(dialect);
    let mut texts: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    texts.sort();
    let text: String = texts.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut tables = Vec::new();
    for statement in text.split("CREATE TABLE ").skip(1) {
        // A partition, made by a function of the log's migration, lists no columns.
        let Some((name, rest)) = statement.split_once(" (\n") else { continue };
        let mut columns = Vec::new();
        let mut key = String::new();
        for line in rest.lines().map(|line| line.trim().trim_end_matches(',')) {
            if line.starts_with(')') {
                break;
            } else if let Some(columns) = line.strip_prefix("PRIMARY KEY ") {
                columns.trim_matches(['(', ')']).clone_into(&mut key);
            } else if let Some((name, kind)) = line.split_once(' ') {
                columns.push((name.to_owned(), kind.split_whitespace().collect::<Vec<_>>().join(" ")));
            }
        }
        tables.push((name.to_owned(), columns, key));
    }
    tables
}

fn in_sqlite(column: &Column) -> String {
    match column.kind {
        ColumnKind::Integer | ColumnKind::Boolean => "INTEGER".to_owned(),
        ColumnKind::Bytes => "BLOB".to_owned(),
        ColumnKind::Text
        | ColumnKind::Uuid
        | ColumnKind::Decimal
        | ColumnKind::Timestamp
        | ColumnKind::Json => "TEXT".to_owned(),
    }
}

fn in_postgres(column: &Column) -> String {
    let kind = match column.kind {
        ColumnKind::Text => "text COLLATE \"C\"",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Integer => "bigint",
        ColumnKind::Decimal => "numeric",
        ColumnKind::Timestamp => "timestamptz",
        ColumnKind::Boolean => "boolean",
        ColumnKind::Json => "jsonb",
        ColumnKind::Bytes => "bytea",
    };
    kind.to_owned()
}

fn check_migrations(dialect: &str, kind_in: fn(&Column) -> String) {
    let created = created(dialect);
    for table in TABLES {
        let found = created.iter().find(|(name, ..)| name == table.name);
        let (_, columns, key) = found.unwrap_or_else(|| panic!("{dialect} has no table {}", table.name));
        let tenant = Column::required("tenant_id", ColumnKind::Uuid);
        let expected: Vec<Written> = [&tenant]
            .into_iter()
            .chain(table.columns)
            .map(|column| {
                let not_null = if column.nullable { "" } else { " NOT NULL" };
                let check = match (dialect, column.kind) {
                    ("sqlite", ColumnKind::Boolean) => format!(" CHECK ({} IN (0, 1))", column.name),
                    _ => String::new(),
                };
                (column.name.to_owned(), format!("{}{not_null}{check}", kind_in(column)))
            })
            .collect();
        assert_eq!(*columns, expected, "{dialect} {}", table.name);
        let expected_key: Vec<_> =
            ["tenant_id"].into_iter().chain(table.key().iter().map(|c| c.name)).collect();
        assert_eq!(*key, expected_key.join(", "), "{dialect} {}", table.name);
    }
}

#[test]
fn sqlite_has_every_column_of_every_table() {
    check_migrations("sqlite", in_sqlite);
}

#[test]
fn postgres_has_every_column_of_every_table() {
    check_migrations("postgres", in_postgres);
}

#[test]
fn a_cell_that_no_entity_wrote_is_refused_by_name() {
    let columns = balances_current::TABLE.columns.len();
    let refused = balances_current::entity(&Row(vec![Value::Null; columns])).unwrap_err();
    assert_eq!(refused.to_string(), "balances_current.account_id holds Null: not an id");
}

/// The words that a text column of a closed vocabulary may hold; none for free text.
fn words(table: &Table, column: &str) -> &'static [&'static str] {
    match (table.name, column) {
        ("positions_current", "side") => &["long", "short"],
        (_, "side") => &["buy", "sell"],
        (_, "role") => &["entry", "exit", "stop"],
        (_, "order_type") => &["market", "limit", "stop_loss", "stop_loss_limit"],
        (_, "status") => &["pending", "acknowledged", "partial", "filled", "expired"],
        (_, "state") => &["armed", "entering", "active", "exiting", "closed", "cancelled", "error"],
        (_, "entry_mode") => &["immediate", "confirmed_trend"],
        (_, "approval_mode") => &["automatic", "human_confirmation"],
        (_, "trailing_policy") => &["continuous", "span"],
        (_, "exit_reason") => &["trailing_stop", "user_panic", "monthly_halt"],
        (_, "scope") => &["account", "01970000-0000-8000-8000-0000000000d1"],
        (_, "period") => &["2017-07", "2026-12"],
        (_, "symbol" | "venue" | "asset" | "fee_asset") => &["BTCUSD", "paper", "USD", "ÅÄ"],
        _ => &[],
    }
}

/// Decimals that every kind of value takes: above 0, up to 1.
fn decimals() -> impl Strategy<Value = Decimal> {
    (1_i64..=1_000_000_000_000).prop_map(|mantissa| Decimal::new(mantissa, 12))
}

fn json_of(column: &str) -> BoxedStrategy<serde_json::Value> {
    match column {
        "exchange_trade_ids" => {
            prop::collection::vec("[0-9a-z]{0,8}", 0..4).prop_map(|ids| json!(ids)).boxed()
        }
        "risk_config" => select(vec![json!({}), json!({"max_exposure": "1.5"})]).boxed(),
        _ => "[a-z]{0,8}".prop_map(|text| json!({"n": 1, "nested": [text, {"x": null}]})).boxed(),
    }
}

fn cell(table: &'static Table, column: &Column) -> BoxedStrategy<Value> {
    let known = words(table, column.name);
    let value = match column.kind {
        ColumnKind::Text if known.is_empty() => "\\PC{0,20}".prop_map(Value::Text).boxed(),
        ColumnKind::Text => select(known).prop_map(|word| Value::Text(word.to_owned())).boxed(),
        ColumnKind::Uuid => any::<u128>().prop_map(|id| Value::Uuid(Uuid::from_u128(id))).boxed(),
        ColumnKind::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        ColumnKind::Decimal => decimals().prop_map(Value::decimal).boxed(),
        ColumnKind::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ColumnKind::Timestamp => (0_i64..4_000_000_000_000_000)
            .prop_map(|us| {
                Value::Timestamp(log_time(robson_domain::Timestamp::from_unix_micros(us).unwrap()))
            })
            .boxed(),
        ColumnKind::Json => {
            json_of(column.name).prop_map(|json| Value::Json(Payload::new(&json).unwrap())).boxed()
        }
        ColumnKind::Bytes => unreachable!("no table of the trader holds bytes"),
    };
    if column.nullable { prop_oneof![1 => Just(Value::Null), 3 => value].boxed() } else { value }
}

fn rows(table: &'static Table) -> impl Strategy<Value = Row> {
    table.columns.iter().map(|column| cell(table, column)).collect::<Vec<_>>().prop_map(Row)
}

/// Reads a row as an entity and writes it again.
fn there_and_back<E>(
    table: &Table,
    row: &Row,
    entity: fn(&Row) -> Result<E, BadRow>,
    write: fn(&E) -> Row,
) -> Result<(), TestCaseError> {
    let read = entity(row).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let written = write(&read);
    prop_assert_eq!(&written, row);
    prop_assert_eq!(table.misfit(&written), None);
    Ok(())
}

macro_rules! round_trips {
    ($($module:ident,)+) => {
        proptest! {
            $(
                #[test]
                fn $module(row in rows(&self::$module::TABLE)) {
                    there_and_back(&self::$module::TABLE, &row, self::$module::entity, self::$module::row)?;
                }
            )+
        }
    };
}

mod every_row_comes_back_from_its_entity {
    use super::*;

    round_trips! {
        orders_current,
        fills,
        positions_current,
        balances_current,
        risk_state_current,
        strategy_state_current,
    }
}
