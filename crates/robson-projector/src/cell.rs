//! Cells: how a value of the domain stands in a column.

use std::fmt::Display;
use std::str::FromStr;

use robson_domain::{
    AccountId, Amount, ApprovalMode, Asset, ClientOrderId, EntryMode, ExitReason, FillId, Fraction, IntentId,
    Json, Money, Month, OrderId, OrderRole, OrderSide, OrderStatus, OrderType, PositionId, PositionState,
    Price, Quantity, RiskConfig, RiskScope, Side, SignalId, StrategyId, Symbol, Timestamp, TrailingPolicy,
    Venue,
};
use robson_eventlog::{ColumnKind, Payload, Value};

use crate::envelope::{log_time, time_of};

/// A cell that no value of its type could have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCell(pub String);

/// A value of the domain that stands in one column.
///
/// # Contract
/// What `write` gives, `read` takes back as an equal value.
pub trait Cell: Sized {
    /// What the column holds.
    const KIND: ColumnKind;
    /// Whether the value may be absent.
    const NULLABLE: bool = false;

    /// The value as the column holds it.
    fn write(&self) -> Value;

    /// Takes the value back.
    ///
    /// # Errors
    /// `BadCell` when the cell holds something else.
    fn read(value: &Value) -> Result<Self, BadCell>;
}

fn bad<T>(value: &Value, why: impl Display) -> Result<T, BadCell> {
    Err(BadCell(format!("{value:?}: {why}")))
}

impl<T: Cell> Cell for Option<T> {
    const KIND: ColumnKind = T::KIND;
    const NULLABLE: bool = true;

    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::write)
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        if *value == Value::Null { Ok(None) } else { T::read(value).map(Some) }
    }
}

impl Cell for i64 {
    const KIND: ColumnKind = ColumnKind::Integer;

    fn write(&self) -> Value {
        Value::Integer(*self)
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        match value {
            Value::Integer(integer) => Ok(*integer),
            other => bad(other, "not an integer"),
        }
    }
}

impl Cell for bool {
    const KIND: ColumnKind = ColumnKind::Boolean;

    fn write(&self) -> Value {
        Value::Boolean(*self)
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        match value {
            Value::Boolean(yes) => Ok(*yes),
            other => bad(other, "not a boolean"),
        }
    }
}

impl Cell for Timestamp {
    const KIND: ColumnKind = ColumnKind::Timestamp;

    fn write(&self) -> Value {
        Value::Timestamp(log_time(*self))
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        match value {
            Value::Timestamp(at) => Ok(time_of(*at)),
            other => bad(other, "not an instant"),
        }
    }
}

fn write_json(json: &serde_json::Value) -> Value {
    Value::Json(Payload::new(json).expect("an entity holds only what came from a canonical payload"))
}

fn read_json<T>(
    value: &Value,
    read: impl FnOnce(serde_json::Value) -> Result<T, String>,
) -> Result<T, BadCell> {
    match value {
        Value::Json(payload) => read(payload.value()).or_else(|why| bad(value, why)),
        other => bad(other, "not JSON"),
    }
}

impl Cell for Json {
    const KIND: ColumnKind = ColumnKind::Json;

    fn write(&self) -> Value {
        write_json(self.get())
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        read_json(value, |json| Self::new(json).map_err(|e| e.to_string()))
    }
}

macro_rules! structured_cells {
    ($($name:ty),+) => {$(
        impl Cell for $name {
            const KIND: ColumnKind = ColumnKind::Json;

            fn write(&self) -> Value {
                write_json(&serde_json::to_value(self).expect("text keys, no floats"))
            }

            fn read(value: &Value) -> Result<Self, BadCell> {
                read_json(value, |json| serde_json::from_value(json).map_err(|e| e.to_string()))
            }
        }
    )+};
}

structured_cells!(Vec<String>, RiskConfig);

macro_rules! id_cells {
    ($($name:ident),+) => {$(
        impl Cell for $name {
            const KIND: ColumnKind = ColumnKind::Uuid;

            fn write(&self) -> Value {
                Value::Uuid(self.0)
            }

            fn read(value: &Value) -> Result<Self, BadCell> {
                match value {
                    Value::Uuid(id) => Ok(Self(*id)),
                    other => bad(other, "not an id"),
                }
            }
        }
    )+};
}

id_cells!(AccountId, FillId, IntentId, OrderId, PositionId, SignalId, StrategyId);

macro_rules! decimal_cells {
    ($($name:ident),+) => {$(
        impl Cell for $name {
            const KIND: ColumnKind = ColumnKind::Decimal;

            fn write(&self) -> Value {
                Value::decimal(self.get())
            }

            fn read(value: &Value) -> Result<Self, BadCell> {
                match value {
                    Value::Decimal(decimal) => Self::new(*decimal).or_else(|e| bad(value, e)),
                    other => bad(other, "not a decimal"),
                }
            }
        }
    )+};
}

decimal_cells!(Amount, Fraction, Money, Price, Quantity);

fn read_text<T: FromStr<Err: Display>>(value: &Value) -> Result<T, BadCell> {
    match value {
        Value::Text(text) => text.parse().or_else(|e| bad(value, e)),
        other => bad(other, "not text"),
    }
}

macro_rules! text_cells {
    ($($name:ident),+) => {$(
        impl Cell for $name {
            const KIND: ColumnKind = ColumnKind::Text;

            fn write(&self) -> Value {
                Value::Text(self.to_string())
            }

            fn read(value: &Value) -> Result<Self, BadCell> {
                read_text(value)
            }
        }
    )+};
}

text_cells!(
    ApprovalMode,
    Asset,
    EntryMode,
    ExitReason,
    Month,
    OrderRole,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionState,
    RiskScope,
    Side,
    String,
    Symbol,
    TrailingPolicy,
    Venue
);

impl Cell for ClientOrderId {
    const KIND: ColumnKind = ColumnKind::Text;

    fn write(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn read(value: &Value) -> Result<Self, BadCell> {
        String::read(value).map(Self::from)
    }
}
