//! What a snapshot holds: rows by table as canonical JSON, compressed with zstd under a checksum.
//!
//! A row is a list of values in the order of the table's columns, whose names stand beside, so that a snapshot
//! can be read by eye and not be misread after a column came or went.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Snapshot;
use crate::batch::TableRows;
use crate::payload::Payload;
use crate::table::{ColumnKind, Row, Table, Value};

/// How content is compressed.
pub(super) const ZSTD: &str = "zstd";
const LEVEL: i32 = 3;
/// Most bytes that a snapshot may grow to when it is read: what is larger was not written by us.
const BYTES_MAX: u64 = 4 << 30;

/// Why a snapshot is left aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// Another version of the folds made it.
    #[error("it is of fold version {version}, this program folds version {current}")]
    OtherFold {
        /// Its version.
        version: i64,
        /// The program's.
        current: i64,
    },
    /// Its content is not what was written.
    #[error("it is corrupt: {0}")]
    Corrupt(String),
    /// It contains events that the log does not have.
    #[error("it contains the log up to {as_of}, which ends at {head}")]
    Ahead {
        /// The last event that it contains.
        as_of: i64,
        /// The last event of the log.
        head: i64,
    },
    /// The event at its place is another one than it says.
    #[error("event {as_of} of the log is not the one that it ends with")]
    OtherLog {
        /// Its place.
        as_of: i64,
    },
}

/// The rows of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// What the scope has.
    pub own: Vec<TableRows>,
    /// What its fold reads besides.
    pub context: Vec<TableRows>,
}

impl Content {
    /// How many rows the scope has.
    pub fn len(&self) -> usize {
        self.own.iter().map(|of| of.rows.len()).sum()
    }

    /// Whether the scope has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content as a snapshot keeps it.
    ///
    /// # Errors
    /// As the compressor says, which has no reason to.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut text = String::new();
        text.push_str("{\"context\":");
        write_tables(&mut text, &self.context);
        text.push_str(",\"own\":");
        write_tables(&mut text, &self.own);
        text.push('}');
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        std::io::Write::write_all(&mut encoder, text.as_bytes())?;
        encoder.finish()
    }

    /// Reads what a snapshot keeps.
    ///
    /// # Errors
    /// Why it cannot be trusted.
    pub fn decode(
        snapshot: &Snapshot,
        tables: &[&'static Table],
        fold_version: i64,
    ) -> Result<Self, BadSnapshot> {
        if snapshot.schema_version != fold_version {
            let version = snapshot.schema_version;
            return Err(BadSnapshot::OtherFold { version, current: fold_version });
        }
        let corrupt = |error: &dyn fmt::Display| BadSnapshot::Corrupt(error.to_string());
        let text = match snapshot.compression.as_deref() {
            None => snapshot.payload.clone(),
            Some(ZSTD) => decompress(&snapshot.payload).map_err(|error| corrupt(&error))?,
            Some(other) => return Err(BadSnapshot::Corrupt(format!("nobody knows the compression {other}"))),
        };
        let mut json = serde_json::Deserializer::from_slice(&text);
        let content = ContentSeed { tables }.deserialize(&mut json).map_err(|error| corrupt(&error))?;
        json.end().map_err(|error| corrupt(&error))?;
        Ok(content)
    }
}

fn decompress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut limited = std::io::Read::take(zstd::stream::Decoder::new(bytes)?, BYTES_MAX);
    std::io::Read::read_to_end(&mut limited, &mut text)?;
    Ok(text)
}

fn write_tables(text: &mut String, tables: &[TableRows]) {
    text.push('[');
    for (index, of) in tables.iter().enumerate() {
        text.push_str(if index == 0 { "{\"columns\":[" } else { ",{\"columns\":[" });
        for (index, column) in of.table.columns.iter().enumerate() {
            text.push_str(if index == 0 { "\"" } else { ",\"" });
            text.push_str(column.name);
            text.push('"');
        }
        text.push_str("],\"rows\":[");
        for (index, row) in of.rows.iter().enumerate() {
            text.push_str(if index == 0 { "[" } else { ",[" });
            for (index, value) in row.0.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, value);
            }
            text.push(']');
        }
        text.push_str("],\"table\":\"");
        text.push_str(of.table.name);
        text.push_str("\"}");
    }
    text.push(']');
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        // Canonical already, and not worth taking apart.
        Value::Json(payload) => text.push_str(payload.as_str()),
        // What needs no escape.
        Value::Uuid(id) => drop(write!(text, "\"{id}\"")),
        Value::Decimal(decimal) => drop(write!(text, "\"{decimal}\"")),
        Value::Timestamp(at) => drop(write!(text, "\"{at}\"")),
        Value::Null | Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Bytes(_) => {
            text.push_str(&value.to_json().to_string());
        }
    }
}

struct ContentSeed<'a> {
    tables: &'a [&'static Table],
}

impl<'de> DeserializeSeed<'de> for ContentSeed<'_> {
    type Value = Content;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ContentSeed<'_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the content of a snapshot")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut content = Content::default();
        while let Some(key) = map.next_key::<String>()? {
            let tables = map.next_value_seed(TablesSeed { tables: self.tables })?;
            match key.as_str() {
                "own" => content.own = tables,
                "context" => content.context = tables,
                other => return Err(A::Error::custom(format!("nothing is called {other} in it"))),
            }
        }
        Ok(content)
    }
}

struct TablesSeed<'a> {
    tables: &'a [&'static Table],
}

impl<'de> DeserializeSeed<'de> for TablesSeed<'_> {
    type Value = Vec<TableRows>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TablesSeed<'_> {
    type Value = Vec<TableRows>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows by table")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut tables = Vec::new();
        while let Some(rows) = seq.next_element_seed(TableSeed { tables: self.tables })? {
            tables.push(rows);
        }
        Ok(tables)
    }
}

struct TableSeed<'a> {
    tables: &'a [&'static Table],
}

impl<'de> DeserializeSeed<'de> for TableSeed<'_> {
    type Value = TableRows;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TableRows, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TableSeed<'_> {
    type Value = TableRows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows of a table")
    }

    /// The columns come first and tell which table it is: no two tables have the same.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TableRows, A::Error> {
        let mut candidates: Vec<&'static Table> = self.tables.to_vec();
        let mut rows = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "columns" => {
                    let names: Vec<String> = map.next_value()?;
                    candidates.retain(|table| table.columns.iter().map(|column| column.name).eq(&names));
                }
                "rows" => {
                    let table =
                        candidates.first().ok_or_else(|| A::Error::custom("no table has its columns"))?;
                    rows = Some(map.next_value_seed(RowsSeed { table })?);
                }
                "table" => {
                    let name: String = map.next_value()?;
                    candidates.retain(|table| table.name == name);
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match (candidates.first(), rows) {
            (Some(table), Some(rows)) => Ok(TableRows { table, rows }),
            _ => Err(A::Error::custom("it holds no rows of a table that there is")),
        }
    }
}

struct RowsSeed {
    table: &'static Table,
}

impl<'de> DeserializeSeed<'de> for RowsSeed {
    type Value = Vec<Row>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Row>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed {
    type Value = Vec<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Row>, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = seq.next_element_seed(RowSeed { table: self.table })? {
            if let Some(misfit) = self.table.misfit(&row) {
                return Err(A::Error::custom(misfit));
            }
            // Rows are looked up by their order.
            let columns = self.table.key_columns;
            if rows.last().is_some_and(|last: &Row| last.0[..columns] >= row.0[..columns]) {
                return Err(A::Error::custom(format!("the rows of {} are out of order", self.table.name)));
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

struct RowSeed {
    table: &'static Table,
}

impl<'de> DeserializeSeed<'de> for RowSeed {
    type Value = Row;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowSeed {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {}", self.table.name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Row, A::Error> {
        let mut values = Vec::with_capacity(self.table.columns.len());
        for column in self.table.columns {
            let missing = || A::Error::custom(format!("a row of {} ends early", self.table.name));
            values.push(seq.next_element_seed(ValueSeed(column.kind))?.ok_or_else(missing)?);
        }
        Ok(Row(values))
    }
}

/// A value of a column of a kind.
struct ValueSeed(ColumnKind);

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0 != ColumnKind::Json {
            return deserializer.deserialize_any(self);
        }
        let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(Value::Null);
        }
        Payload::new(&value).map(Value::Json).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of kind {:?}", self.0)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, yes: bool) -> Result<Value, E> {
        Ok(Value::Boolean(yes))
    }

    fn visit_i64<E: serde::de::Error>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<Value, E> {
        i64::try_from(integer).map(Value::Integer).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(match self.0 {
            ColumnKind::Uuid => Value::Uuid(text.parse().map_err(E::custom)?),
            ColumnKind::Decimal => Value::Decimal(text.parse().map_err(E::custom)?),
            ColumnKind::Timestamp => Value::Timestamp(text.parse().map_err(E::custom)?),
            ColumnKind::Bytes => {
                Value::Bytes(bytes(text).ok_or_else(|| E::custom("bytes that are not hex"))?)
            }
            _ => Value::Text(text.to_owned()),
        })
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        if self.0 == ColumnKind::Text { Ok(Value::Text(text)) } else { self.visit_str(&text) }
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
