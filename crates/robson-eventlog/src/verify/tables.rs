//! Tables beside the log, row by row against what the log gives.
//!
//! A writer may go on meanwhile. So what seems to differ is looked at again in one snapshot of the database with
//! its head, to which the walk is taken first: what differs then is damage.

use std::collections::BTreeMap;

use super::Progress;
use super::damage::Damages;
use super::log::Walk;
use super::pages::{Pages, ROWS};
use super::rows::{difference, last_event};
use crate::log_tables::STREAM_STATE;
use crate::names::TenantId;
use crate::projection::RowKey;
use crate::store::{RowQuery, Store, StoreError};
use crate::table::{Row, Table, Value};

/// Most rows of a table that are looked at again: behind so many differences nothing is learned from more.
const DOUBTS_MAX: usize = 1_000;

/// What was compared, and which keys seem to differ.
#[derive(Debug, Default)]
struct Compared {
    rows: u64,
    doubts: Vec<Vec<Value>>,
    untold: u64,
}

impl Compared {
    fn doubt(&mut self, key: Vec<Value>) {
        if self.doubts.len() < DOUBTS_MAX { self.doubts.push(key) } else { self.untold += 1 }
    }
}

/// The version of each stream; they rest on the log alone, so they are compared whether or not its events fold.
pub(super) async fn check_streams<S: Store>(
    store: &S,
    walk: &mut Walk,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<(), StoreError> {
    let row = |stream: &str, seq: i64| Row(vec![Value::Text(stream.to_owned()), Value::Integer(seq)]);
    let given: Vec<Row> = walk.streams.iter().map(|(stream, seq)| row(stream.as_str(), *seq)).collect();
    let given: Vec<&Row> = given.iter().collect();
    let compared = compare(store, walk.tenant, &STREAM_STATE, &given, &mut walk.damages, progress).await?;
    let given = |walk: &Walk, key: &[Value]| match key {
        [Value::Text(stream)] => {
            let seq = walk.streams.get(&stream.parse().ok()?)?;
            Some(row(stream, *seq))
        }
        _ => None,
    };
    look_again(store, walk, &STREAM_STATE, compared, given, progress).await.map(|_| ())
}

/// The rows of every projection; answers how many were compared.
pub(super) async fn check_rows<S: Store>(
    store: &S,
    walk: &mut Walk,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<u64, StoreError> {
    let mut rows = 0;
    for table in walk.tables.clone() {
        if !walk.is_sound() {
            break;
        }
        let given = walk.rows.of_table(table);
        let compared = compare(store, walk.tenant, table, &given, &mut walk.damages, progress).await?;
        let given = |walk: &Walk, key: &[Value]| {
            walk.rows.peek(&RowKey { table: table.name, key: key.to_vec() }).cloned()
        };
        rows += look_again(store, walk, table, compared, given, progress).await?;
    }
    Ok(rows)
}

/// Goes through a table and what the log gives of it, both by rising key.
async fn compare<S: Store>(
    store: &S,
    tenant: TenantId,
    table: &'static Table,
    given: &[&Row],
    damages: &mut Damages,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Compared, StoreError> {
    let mut compared = Compared::default();
    let mut given = given.iter().map(|row| (row.key(table), *row)).peekable();
    let mut pages = Pages::new(tenant, table, ROWS);
    loop {
        let page = pages.next(store, damages).await?;
        if page.is_empty() {
            break;
        }
        compared.rows += page.len() as u64;
        for kept in page {
            let place = kept.key(table);
            while let Some((missing, _)) = given.next_if(|(key, _)| *key < place) {
                compared.doubt(missing);
            }
            match given.next_if(|(key, _)| *key == place) {
                Some((_, row)) if *row == kept => {}
                _ => compared.doubt(place),
            }
        }
        progress(Progress { part: table.name, done: compared.rows, total: None });
    }
    given.for_each(|(missing, _)| compared.doubt(missing));
    Ok(compared)
}

/// Looks again at what seemed to differ, at one place of the log; answers how many rows were compared.
async fn look_again<S: Store>(
    store: &S,
    walk: &mut Walk,
    table: &'static Table,
    compared: Compared,
    given: impl Fn(&Walk, &[Value]) -> Option<Row> + Send,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<u64, StoreError> {
    let Compared { rows, doubts, untold } = compared;
    if doubts.is_empty() {
        return Ok(rows);
    }
    let capture = store.capture(walk.tenant, &[(table, RowQuery::keys(doubts.clone()))]).await?;
    walk.go_to(store, capture.head, progress).await?;
    let kept: BTreeMap<_, _> = capture.rows.into_iter().flatten().map(|row| (row.key(table), row)).collect();
    for key in doubts {
        let (kept, given) = (kept.get(&key), given(walk, &key));
        if let Some(what) = difference(table, kept, given.as_ref()) {
            let place = given.as_ref().or(kept).and_then(|row| last_event(table, row));
            walk.damages.add(table.name, place, what);
        }
    }
    walk.damages.add_untold(table.name, untold);
    Ok(rows)
}
