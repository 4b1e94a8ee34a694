//! What a run came to: its trades, its digests, and what the venue saw.

use anyhow::{Context as _, Result};
use robson_eventlog::digest::{Scope, row_json};
use robson_eventlog::{EventQuery, RowQuery, Store, Table};
use robson_projector::{fills, orders_current, positions_current};
use robson_store::AnyStore;
use robsond::session::DEFAULT_TENANT;
use serde_json::Value;

use crate::place::Place;

/// What a run came to; equal however often it was interrupted.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Positions, orders and fills, one line of JSON for each, without what a restart shifts.
    pub trades: Vec<String>,
    /// What the venue took and did, in its order.
    pub venue: Vec<String>,
    /// `robson digest --content`.
    pub digests: Value,
    /// Events in the trader's log.
    pub events: i64,
}

impl Outcome {
    /// Reads it.
    ///
    /// # Errors
    /// Something cannot be read.
    pub async fn of(place: &Place) -> Result<Self> {
        let reader = place.reader().await?;
        let mut trades = Vec::new();
        for table in [&positions_current::TABLE, &orders_current::TABLE, &fills::TABLE] {
            trades.extend(rows(&reader, table).await?);
        }
        let events = reader.head(DEFAULT_TENANT).await?.log_seq;
        reader.close().await;
        let digests = place.robson(&["digest", "--content", "--json"])?.printed()?;
        let digests = serde_json::from_str(&digests).context("the digests are JSON")?;
        Ok(Self { trades, venue: venue(place).await?, digests, events })
    }

    /// Requires that another run came to the same; tells the first differences.
    ///
    /// # Panics
    /// It did not.
    pub fn require_same(&self, other: &Self) {
        require_same_lines("trades", &self.trades, &other.trades);
        require_same_lines("venue's log", &self.venue, &other.venue);
        assert_eq!(self.digests, other.digests, "the digests of the content differ");
    }
}

async fn rows(reader: &AnyStore, table: &'static Table) -> Result<Vec<String>> {
    let rows = reader.rows(DEFAULT_TENANT, table, &RowQuery::all()).await?;
    Ok(rows.iter().map(|row| format!("{} {}", table.name, row_json(table, row, Scope::Content))).collect())
}

async fn venue(place: &Place) -> Result<Vec<String>> {
    let reader = place.venue_reader().await?;
    let mut query = EventQuery::all(DEFAULT_TENANT);
    let mut lines = Vec::new();
    loop {
        let page = reader.read(&query).await?;
        lines.extend(
            page.events.iter().map(|event| format!("{} {}", event.event_type, event.payload.as_str())),
        );
        match page.events.last() {
            Some(last) if page.events.len() == query.limit => query.after = last.log_seq,
            _ => break,
        }
    }
    reader.close().await;
    Ok(lines)
}

fn require_same_lines(what: &str, expected: &[String], actual: &[String]) {
    let lost = expected.iter().filter(|line| !actual.contains(line)).map(|line| format!("- {line}"));
    let added = actual.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
    let differences: Vec<String> = lost.chain(added).take(12).collect();
    assert!(
        expected == actual,
        "the {what} differ, {} lines against {}:\n{}",
        expected.len(),
        actual.len(),
        differences.join("\n")
    );
}
