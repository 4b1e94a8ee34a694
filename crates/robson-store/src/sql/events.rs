//! Events and heads as rows, and back.

use robson_eventlog::{
    Actor, ChainHash, Fingerprint, Head, Page, RecordedEvent, Row, StoreError, TenantId, Timestamp, Trace,
    Value,
};

/// The events behind the head and the stream's version, which every row repeats; nothing where no row is.
pub(crate) fn page(tenant: TenantId, rows: Vec<Row>) -> Result<Option<Page>, StoreError> {
    let count = rows.len();
    let mut page = None;
    for row in rows {
        let mut read = Reader::new("event_log", row);
        let (head, stream_version) = (read.integer()?, read.integer_optional()?);
        let page =
            page.get_or_insert_with(|| Page { events: Vec::with_capacity(count), head, stream_version });
        if let Some(log_seq) = read.integer_optional()? {
            page.events.push(event_of(tenant, log_seq, read)?);
        }
    }
    Ok(page)
}

fn event_of(tenant: TenantId, log_seq: i64, mut read: Reader) -> Result<RecordedEvent, StoreError> {
    Ok(RecordedEvent {
        log_seq,
        event_id: read.parsed()?,
        tenant,
        stream: read.parsed()?,
        seq: read.integer()?,
        event_type: read.parsed()?,
        schema_version: read.integer()?,
        payload: match read.next() {
            Value::Json(payload) => payload,
            other => return Err(read.misfit(&other)),
        },
        occurred_at: read.timestamp()?,
        ingested_at: read.timestamp()?,
        idempotency_key: Fingerprint::from_stored(read.text()?),
        trace: Trace {
            trace_id: read.uuid()?,
            causation_id: read.parsed_optional()?,
            command_id: read.uuid()?,
            workflow_id: read.uuid()?,
        },
        actor: Actor { actor_type: read.parsed()?, id: read.text_optional()? },
        prev_hash: read.hash()?,
        hash: read.hash()?,
    })
}

/// The epoch, and where the log ends.
pub(crate) fn epoch_and_head(row: Row) -> Result<(i64, Head), StoreError> {
    let mut read = Reader::new("log_head", row);
    let epoch = read.integer()?;
    let head = Head { log_seq: read.integer()?, chain_hash: read.hash()?, ingested_at: read.timestamp()? };
    Ok((epoch, head))
}

/// Reads a row's values one after the other; what does not fit is `Broken`, since the table's types forbid it.
struct Reader {
    table: &'static str,
    values: std::vec::IntoIter<Value>,
}

impl Reader {
    fn new(table: &'static str, row: Row) -> Self {
        Self { table, values: row.0.into_iter() }
    }

    fn next(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Null)
    }

    fn misfit(&self, value: &Value) -> StoreError {
        StoreError::Broken(format!("{} holds {value:?} in the wrong place", self.table))
    }

    fn integer(&mut self) -> Result<i64, StoreError> {
        match self.next() {
            Value::Integer(integer) => Ok(integer),
            other => Err(self.misfit(&other)),
        }
    }

    fn integer_optional(&mut self) -> Result<Option<i64>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Integer(integer) => Ok(Some(integer)),
            other => Err(self.misfit(&other)),
        }
    }

    fn text(&mut self) -> Result<String, StoreError> {
        match self.next() {
            Value::Text(text) => Ok(text),
            other => Err(self.misfit(&other)),
        }
    }

    fn text_optional(&mut self) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(self.misfit(&other)),
        }
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, StoreError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.misfit(&Value::Text(text)))
    }

    fn parsed_optional<T: std::str::FromStr>(&mut self) -> Result<Option<T>, StoreError> {
        let text = self.text_optional()?;
        text.map(|text| text.parse().map_err(|_| self.misfit(&Value::Text(text)))).transpose()
    }

    fn timestamp(&mut self) -> Result<Timestamp, StoreError> {
        match self.next() {
            Value::Timestamp(at) => Ok(at),
            other => Err(self.misfit(&other)),
        }
    }

    fn uuid(&mut self) -> Result<Option<uuid::Uuid>, StoreError> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Uuid(id) => Ok(Some(id)),
            other => Err(self.misfit(&other)),
        }
    }

    fn hash(&mut self) -> Result<ChainHash, StoreError> {
        match self.next() {
            Value::Bytes(bytes) => {
                ChainHash::from_slice(&bytes).ok_or_else(|| self.misfit(&Value::Bytes(bytes)))
            }
            other => Err(self.misfit(&other)),
        }
    }
}
