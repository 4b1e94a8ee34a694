//! Two rows that should be one, and what is between them.

use crate::table::{Row, Table, Value};

/// How a kept row differs from the one that the log gives; nothing where they are equal, or both absent.
pub(super) fn difference(table: &Table, kept: Option<&Row>, given: Option<&Row>) -> Option<String> {
    match (kept, given) {
        (None, None) => None,
        (Some(kept), None) => {
            Some(format!("{} is not what the log gives, which gives no such row", name(table, kept)))
        }
        (None, Some(given)) => Some(format!("{} is missing", name(table, given))),
        (Some(kept), Some(given)) => {
            let values = table.columns.iter().zip(kept.0.iter().zip(&given.0));
            let differing: Vec<String> = values
                .filter(|(_, (kept, given))| kept != given)
                .map(|(column, (kept, given))| {
                    format!("{} is {}, the log gives {}", column.name, kept.to_json(), given.to_json())
                })
                .collect();
            (!differing.is_empty()).then(|| format!("{}: {}", name(table, given), differing.join("; ")))
        }
    }
}

/// Which row: its table and key.
pub(super) fn name(table: &Table, row: &Row) -> String {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => other.to_json().to_string().trim_matches('"').to_owned(),
    };
    let key: Vec<String> = row.0.iter().take(table.key_columns).map(text).collect();
    format!("{} {}", table.name, key.join(" "))
}

/// The last event that changed a row, where the row says it.
pub(super) fn last_event(table: &Table, row: &Row) -> Option<i64> {
    match row.get(table, "last_log_seq") {
        Some(Value::Integer(log_seq)) => Some(*log_seq),
        _ => None,
    }
}
