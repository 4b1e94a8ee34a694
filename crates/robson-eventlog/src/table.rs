//! Tables as values: which columns there are, and rows as lists of values. Knows no SQL.

use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::payload::Payload;
use crate::time::Timestamp;

/// What a column holds; each backend has one type for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text, ordered bytewise.
    Text,
    /// A UUID.
    Uuid,
    /// A 64-bit integer.
    Integer,
    /// An exact, normalized decimal.
    Decimal,
    /// An instant with microseconds.
    Timestamp,
    /// True or false.
    Boolean,
    /// Canonical JSON.
    Json,
    /// Bytes.
    Bytes,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name in SQL and in JSON.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be absent.
    pub nullable: bool,
}

impl Column {
    /// A column that is always there.
    pub const fn required(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind, nullable: false }
    }

    /// A column that may be absent.
    pub const fn optional(name: &'static str, kind: ColumnKind) -> Self {
        Self { name, kind, nullable: true }
    }
}

/// A table that can be rebuilt from the log. `tenant_id` leads its key and is not among its columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, the key's first.
    pub columns: &'static [Column],
    /// How many of the columns are the key.
    pub key_columns: usize,
}

impl Table {
    /// The columns of the key.
    pub fn key(&self) -> &'static [Column] {
        &self.columns[..self.key_columns]
    }

    /// Where a column stands.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Why a row does not fit the table, or nothing.
    pub fn misfit(&self, row: &Row) -> Option<String> {
        if row.0.len() != self.columns.len() {
            return Some(format!(
                "{} has {} columns, the row {}",
                self.name,
                self.columns.len(),
                row.0.len()
            ));
        }
        self.columns.iter().zip(&row.0).find_map(|(column, value)| {
            let fits = value.kind().map_or(column.nullable, |kind| kind == column.kind);
            (!fits || !value.is_portable())
                .then(|| format!("{}.{} cannot hold {value:?}", self.name, column.name))
        })
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Absent.
    Null,
    /// Text without NUL.
    Text(String),
    /// A UUID.
    Uuid(Uuid),
    /// A 64-bit integer.
    Integer(i64),
    /// A normalized decimal; make it with [`Value::decimal`].
    Decimal(Decimal),
    /// An instant.
    Timestamp(Timestamp),
    /// True or false.
    Boolean(bool),
    /// Canonical JSON.
    Json(Payload),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// A decimal in its one form: no trailing zeros, no negative zero.
    pub fn decimal(value: Decimal) -> Self {
        Self::Decimal(value.normalize())
    }

    /// What kind of column holds the value; nothing for `Null`.
    pub const fn kind(&self) -> Option<ColumnKind> {
        match self {
            Self::Null => None,
            Self::Text(_) => Some(ColumnKind::Text),
            Self::Uuid(_) => Some(ColumnKind::Uuid),
            Self::Integer(_) => Some(ColumnKind::Integer),
            Self::Decimal(_) => Some(ColumnKind::Decimal),
            Self::Timestamp(_) => Some(ColumnKind::Timestamp),
            Self::Boolean(_) => Some(ColumnKind::Boolean),
            Self::Json(_) => Some(ColumnKind::Json),
            Self::Bytes(_) => Some(ColumnKind::Bytes),
        }
    }

    /// Whether every backend keeps the value and gives it back the same: text without NUL, normalized decimals.
    pub fn is_portable(&self) -> bool {
        match self {
            Self::Text(text) => !text.contains('\0'),
            Self::Decimal(decimal) => decimal.normalize().serialize() == decimal.serialize(),
            _ => true,
        }
    }

    /// The value in JSON: decimals, instants and ids as text, bytes as hex.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Text(text) => json!(text),
            Self::Uuid(id) => json!(id.to_string()),
            Self::Integer(integer) => json!(integer),
            Self::Decimal(decimal) => json!(decimal.to_string()),
            Self::Timestamp(at) => json!(at.to_string()),
            Self::Boolean(yes) => json!(yes),
            Self::Json(payload) => payload.value(),
            Self::Bytes(bytes) => json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        }
    }
}

/// A row: one value for each column of its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The values of the key.
    pub fn key(&self, table: &Table) -> Vec<Value> {
        self.0[..table.key_columns].to_vec()
    }

    /// The value of a column, where the table has it.
    pub fn get(&self, table: &Table, column: &str) -> Option<&Value> {
        table.column_index(column).and_then(|index| self.0.get(index))
    }

    /// The row as a JSON object.
    pub fn to_json(&self, table: &Table) -> serde_json::Value {
        let fields = table.columns.iter().zip(&self.0);
        fields.map(|(column, value)| (column.name.to_owned(), value.to_json())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NAMED: Table = Table {
        name: "named",
        key_columns: 1,
        columns: &[
            Column::required("name", ColumnKind::Text),
            Column::optional("amount", ColumnKind::Decimal),
        ],
    };

    #[test]
    fn what_one_backend_would_keep_and_another_refuse_does_not_fit() {
        let row = |name: &str, amount| Row(vec![Value::Text(name.to_owned()), amount]);
        let amount = |text: &str| Value::Decimal(text.parse().unwrap());
        assert_eq!(NAMED.misfit(&row("a", Value::Null)), None);
        assert_eq!(NAMED.misfit(&row("a", amount("1.1"))), None);
        assert!(NAMED.misfit(&row("a\0", Value::Null)).is_some());
        assert!(NAMED.misfit(&row("a", amount("1.10"))).is_some());
        let mut negative_zero = Decimal::ZERO;
        negative_zero.set_sign_negative(true);
        assert!(NAMED.misfit(&row("a", Value::Decimal(negative_zero))).is_some());
        assert_eq!(NAMED.misfit(&row("a", Value::decimal(negative_zero))), None);
        assert!(NAMED.misfit(&row("a", Value::Text("1.1".to_owned()))).is_some());
        assert!(NAMED.misfit(&Row(vec![Value::Text("a".to_owned())])).is_some());
    }
}
