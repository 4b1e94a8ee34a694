//! What a run came to: its trades, its digests, and what the venue saw.

use anyhow::{Context as _, Result};
use robson_eventlog::command::COMMANDS;
use robson_eventlog::digest::{Scope, of_table, row_json};
use robson_eventlog::{EventQuery, RecordedEvent, RowQuery, Store};
use robson_projector::{TABLES, fills, orders_current, positions_current};
use robson_store::AnyStore;
use robsond::session::{DEFAULT_TENANT, Databases};
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
    /// Reads it, and asks `robson` for the digests.
    ///
    /// # Errors
    /// Something cannot be read.
    pub async fn of(place: &Place) -> Result<Self> {
        let (trader, venue) = (place.reader().await?, place.venue_reader().await?);
        let digests = place.robson(&["digest", "--content", "--json"])?.printed()?;
        let digests = serde_json::from_str(&digests).context("the digests are JSON")?;
        let outcome = Self::read(&trader, &venue, digests).await;
        trader.close().await;
        venue.close().await;
        outcome
    }

    /// Reads it from the databases of a session in this process.
    ///
    /// # Errors
    /// Something cannot be read.
    pub async fn within(databases: &Databases) -> Result<Self> {
        let mut digests = serde_json::Map::new();
        for table in TABLES.iter().copied().chain([&COMMANDS]) {
            let digest = of_table(databases.trader.as_ref(), DEFAULT_TENANT, table, Scope::Content).await?;
            digests.insert(table.name.to_owned(), digest.to_string().into());
        }
        Self::read(&databases.trader, &databases.paper, digests.into()).await
    }

    async fn read(trader: &AnyStore, venue: &AnyStore, digests: Value) -> Result<Self> {
        let mut trades = Vec::new();
        for table in [&positions_current::TABLE, &orders_current::TABLE, &fills::TABLE] {
            let rows = trader.rows(DEFAULT_TENANT, table, &RowQuery::all()).await?;
            trades.extend(
                rows.iter().map(|row| format!("{} {}", table.name, row_json(table, row, Scope::Content))),
            );
        }
        let events = trader.head(DEFAULT_TENANT).await?.log_seq;
        let seen = events_of(venue).await?;
        let venue =
            seen.iter().map(|event| format!("{} {}", event.event_type, event.payload.as_str())).collect();
        Ok(Self { trades, venue, digests, events })
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

async fn events_of(store: &AnyStore) -> Result<Vec<RecordedEvent>> {
    let mut query = EventQuery::all(DEFAULT_TENANT);
    let mut events = Vec::new();
    loop {
        let page = store.read(&query).await?;
        let is_last = page.events.len() < query.limit;
        query.after = page.events.last().map_or(query.after, |last| last.log_seq);
        events.extend(page.events);
        if is_last {
            return Ok(events);
        }
    }
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
