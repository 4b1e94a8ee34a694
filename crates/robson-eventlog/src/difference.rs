//! Where replayed rows and live rows are not the same: row by row, column by column.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;

use crate::names::TenantId;
use crate::replay::{Replay, ReplayError};
use crate::store::{RowQuery, Store, StoreError};
use crate::table::{Row, Table, Value};

/// How many rows of a table are compared at once.
const PAGE: usize = 1_000;

/// Rows of some tables.
pub type Selection = Vec<(&'static Table, RowQuery)>;

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static Table,
    /// The row's key.
    pub key: Vec<Value>,
    /// What differs.
    pub what: Differs,
}

/// How two rows under one key differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Differs {
    /// Only the replay has it.
    OnlyReplayed,
    /// Only the database has it.
    OnlyLive,
    /// Both have it, with other values in these columns.
    Columns(Vec<ColumnDifference>),
}

/// A column that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDifference {
    /// The column's name.
    pub column: &'static str,
    /// What the replay says.
    pub replayed: Value,
    /// What the database has.
    pub live: Value,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The place of the log that was compared.
    pub log_seq: i64,
    /// The rows that differ, by table and key.
    pub differences: Vec<Difference>,
    /// Whether there were more than were asked for.
    pub is_cut_off: bool,
}

impl Difference {
    /// The row's key as people write it.
    pub fn key_text(&self) -> String {
        let parts: Vec<String> = self.key.iter().map(plain).collect();
        parts.join("/")
    }
}

/// A value without the quotes that JSON gives it.
fn plain(value: &Value) -> String {
    match value.to_json() {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

/// One line for each column that differs, or one for a row that only one side has.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, key) = (self.table.name, self.key_text());
        match &self.what {
            Differs::OnlyReplayed => write!(f, "{table} {key}: only in the replay"),
            Differs::OnlyLive => write!(f, "{table} {key}: only in the database"),
            Differs::Columns(columns) => columns.iter().enumerate().try_for_each(
                |(index, ColumnDifference { column, replayed, live })| {
                    let line = if index == 0 { "" } else { "\n" };
                    let (live, replayed) = (live.to_json(), replayed.to_json());
                    write!(f, "{line}{table} {key}: {column} is {live}, the replay says {replayed}")
                },
            ),
        }
    }
}

/// The rows that differ; both sides are by rising key.
pub fn of_rows(table: &'static Table, replayed: &[Row], live: &[Row]) -> Vec<Difference> {
    let (mut replayed, mut live) = (replayed.iter().peekable(), live.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (replayed.peek(), live.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(replayed), Some(live)) => replayed.key(table).cmp(&live.key(table)),
        };
        let replayed = (order != Ordering::Greater).then(|| replayed.next()).flatten();
        let live = (order != Ordering::Less).then(|| live.next()).flatten();
        found.extend(of_row(table, replayed, live));
    }
}

fn of_row(table: &'static Table, replayed: Option<&Row>, live: Option<&Row>) -> Option<Difference> {
    let key = replayed.or(live)?.key(table);
    let what = match (replayed, live) {
        (Some(replayed), Some(live)) if replayed == live => return None,
        (Some(replayed), Some(live)) => {
            let cells = table.columns.iter().zip(replayed.0.iter().zip(&live.0));
            let differing = cells.filter(|(_, (replayed, live))| replayed != live);
            Differs::Columns(
                differing
                    .map(|(column, (replayed, live))| ColumnDifference {
                        column: column.name,
                        replayed: replayed.clone(),
                        live: live.clone(),
                    })
                    .collect(),
            )
        }
        (Some(_), None) => Differs::OnlyReplayed,
        (None, _) => Differs::OnlyLive,
    };
    Some(Difference { table, key, what })
}

impl<S: Store, T: Store> Replay<S, T> {
    /// Compares what was folded with the live rows of the log's own database: the rows that differ, but for
    /// those that only differ because appending goes on meanwhile.
    ///
    /// # Errors
    /// As [`Replay::fold_up_to`]: rows that seem to differ are looked at again at the place of the log to
    /// which the live ones belong.
    pub async fn compare(
        &mut self,
        selection: &Selection,
        differences_max: usize,
    ) -> Result<Comparison, ReplayError> {
        let (mut differences, mut is_cut_off) = (Vec::new(), false);
        for (table, query) in selection {
            let mut query = query.clone();
            loop {
                let suspects = self.suspects(table, &query).await?;
                let last = suspects.last().cloned();
                let is_last_page = suspects.len() < PAGE;
                if !suspects.is_empty() {
                    differences.extend(self.look_again(table, suspects).await?);
                }
                is_cut_off |= differences.len() > differences_max;
                if is_last_page || is_cut_off {
                    break;
                }
                query.after = last;
            }
        }
        differences.truncate(differences_max);
        Ok(Comparison { log_seq: self.log_seq(), differences, is_cut_off })
    }

    /// Compares rows at one place: live rows and their place in one snapshot of the database, then the replay
    /// goes to the same place.
    async fn look_again(
        &mut self,
        table: &'static Table,
        keys: Vec<Vec<Value>>,
    ) -> Result<Vec<Difference>, ReplayError> {
        let selection = [(table, RowQuery::keys(keys))];
        let live = self.source().capture(self.tenant(), &selection).await?;
        self.fold_up_to(live.head.log_seq, |_| ControlFlow::Continue(())).await?;
        let replayed = self.rows(table, &selection[0].1).await?;
        Ok(of_rows(table, &replayed, live.rows.first().map(Vec::as_slice).unwrap_or_default()))
    }

    /// The first keys of rows that are not the same on both sides as they are read.
    async fn suspects(&self, table: &'static Table, query: &RowQuery) -> Result<Vec<Vec<Value>>, StoreError> {
        let (source, target) = (self.source().as_ref(), self.target().as_ref());
        let mut replayed = Pages::new(table, query);
        let mut live = Pages::new(table, query);
        let mut keys = Vec::new();
        while keys.len() < PAGE {
            replayed.fill_shadow(target, self.tenant()).await?;
            live.fill_live(source, self.tenant()).await?;
            let order = match (replayed.rows.front(), live.rows.front()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(replayed), Some(live)) => replayed.key(table).cmp(&live.key(table)),
            };
            let one = (order != Ordering::Greater).then(|| replayed.rows.pop_front()).flatten();
            let other = (order != Ordering::Less).then(|| live.rows.pop_front()).flatten();
            if one != other
                && let Some(row) = one.or(other)
            {
                keys.push(row.key(table));
            }
        }
        Ok(keys)
    }
}

/// Rows that are read page by page.
struct Pages {
    table: &'static Table,
    query: RowQuery,
    rows: VecDeque<Row>,
    is_over: bool,
}

impl Pages {
    fn new(table: &'static Table, query: &RowQuery) -> Self {
        let query = RowQuery { limit: Some(PAGE), ..query.clone() };
        Self { table, query, rows: VecDeque::new(), is_over: false }
    }

    fn wants_more(&self) -> bool {
        self.rows.is_empty() && !self.is_over
    }

    fn take(&mut self, rows: Vec<Row>) {
        self.is_over = rows.len() < PAGE;
        self.query.after = rows.last().map(|row| row.key(self.table)).or_else(|| self.query.after.take());
        self.rows = rows.into();
    }

    async fn fill_live<S: Store>(&mut self, store: &S, tenant: TenantId) -> Result<(), StoreError> {
        if self.wants_more() {
            self.take(store.rows(tenant, self.table, &self.query).await?);
        }
        Ok(())
    }

    async fn fill_shadow<S: Store>(&mut self, store: &S, tenant: TenantId) -> Result<(), StoreError> {
        if self.wants_more() {
            self.take(store.shadow_rows(tenant, self.table, &self.query).await?);
        }
        Ok(())
    }
}
