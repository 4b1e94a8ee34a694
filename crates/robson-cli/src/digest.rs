//! `digest`: one line per table, and one for the log.

use robson_eventlog::Table;
use robson_eventlog::command::COMMANDS;
use robson_eventlog::digest::{self, Digest, Scope};
use robson_projector::TABLES;
use serde_json::{Map, json};

use crate::args;
use crate::db::Database;
use crate::failure::Failure;
use crate::printer::{Align, Cell, Listing, Printer};

/// `digest [--content]`.
///
/// # Errors
/// As the store says.
pub async fn run(db: &Database, args: &args::Digest, printer: &mut Printer) -> Result<(), Failure> {
    let digests = read(db, if args.content { Scope::Content } else { Scope::Everything }).await?;
    if printer.is_json {
        let one = |digest: &Digest| json!({ "rows": digest.rows, "sha256": digest.to_string() });
        let all: Map<_, _> = digests.iter().map(|(name, digest)| ((*name).to_owned(), one(digest))).collect();
        return Ok(printer.json(&all.into(), false)?);
    }
    let cells =
        |(name, digest): &(&str, Digest)| vec![Cell::of(name), Cell::of(digest.rows), Cell::of(digest)];
    let listing = Listing {
        columns: vec![("TABLE", Align::Left), ("ROWS", Align::Right), ("SHA-256", Align::Left)],
        rows: digests.iter().map(cells).collect(),
        when_empty: "nothing",
    };
    Ok(printer.table(&listing)?)
}

/// The log's digest, unless only the content is asked for, and every table's.
///
/// # Errors
/// As the store says.
pub async fn read(db: &Database, scope: Scope) -> Result<Vec<(&'static str, Digest)>, Failure> {
    let tenant = db.used_tenant()?;
    let store = db.store().as_ref();
    let mut digests = Vec::new();
    if scope == Scope::Everything {
        digests.push(("event_log", digest::of_log(store, tenant).await?));
    }
    let commands: &'static Table = &COMMANDS;
    for table in TABLES.iter().copied().chain([commands]) {
        digests.push((table.name, digest::of_table(store, tenant, table, scope).await?));
    }
    Ok(digests)
}
