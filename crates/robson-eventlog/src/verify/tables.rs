//! Tables beside the log, row by row against what the log gives.
//!
//! A writer may go on meanwhile. So what seems to differ is looked at again in one snapshot of the database with
//! its head, to which the walk is taken first: what differs then is damage.

use std::collections::{BTreeMap, VecDeque};

use super::Progress;
use super::log::Walk;
use super::pages::{Pages, ROWS};
use super::rows::{difference, last_event};
use crate::log_tables::STREAM_STATE;
use crate::replay::ReplayError;
use crate::store::{RowQuery, Store};
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

    /// Compares kept rows with given ones, which reach at least as far; those behind stay.
    fn merge(&mut self, table: &Table, kept: Vec<Row>, given: &mut VecDeque<Row>) {
        self.rows += kept.len() as u64;
        for kept in kept {
            let place = kept.key(table);
            while let Some(missing) = given.pop_front_if(|row| row.key(table) < place) {
                self.doubt(missing.key(table));
            }
            match given.pop_front_if(|row| row.key(table) == place) {
                Some(row) if row == kept => {}
                _ => self.doubt(place),
            }
        }
    }

    /// Nothing more is kept: what is still given is missing.
    fn end(&mut self, table: &Table, given: &mut VecDeque<Row>) {
        given.drain(..).for_each(|missing| self.doubt(missing.key(table)));
    }
}

/// The version of each stream; they rest on the log alone, so they are compared whether or not its events fold.
pub(super) async fn check_streams<S: Store, T: Store>(
    walk: &mut Walk<S, T>,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<(), ReplayError> {
    let (store, tenant) = (walk.store(), walk.tenant());
    let mut given = walk.streams.iter().map(|(stream, seq)| stream_row(stream.as_str(), *seq)).collect();
    let mut compared = Compared::default();
    let mut pages = Pages::new(tenant, &STREAM_STATE, ROWS);
    loop {
        let page = pages.next(store.as_ref(), &mut walk.damages).await?;
        if page.is_empty() {
            break;
        }
        compared.merge(&STREAM_STATE, page, &mut given);
        progress(Progress { part: STREAM_STATE.name, done: compared.rows, total: None });
    }
    compared.end(&STREAM_STATE, &mut given);
    look_again(walk, &STREAM_STATE, compared, progress).await.map(|_| ())
}

fn stream_row(stream: &str, seq: i64) -> Row {
    Row(vec![Value::Text(stream.to_owned()), Value::Integer(seq)])
}

/// The rows of every projection; answers how many were compared.
pub(super) async fn check_rows<S: Store, T: Store>(
    walk: &mut Walk<S, T>,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<u64, ReplayError> {
    let mut rows = 0;
    for table in walk.tables.clone() {
        if walk.is_sound() {
            let compared = compare(walk, table, progress).await?;
            rows += look_again(walk, table, compared, progress).await?;
        }
    }
    Ok(rows)
}

/// Goes through a table and what the log gives of it, both by rising key and by pages.
async fn compare<S: Store, T: Store>(
    walk: &mut Walk<S, T>,
    table: &'static Table,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<Compared, ReplayError> {
    let (store, tenant) = (walk.store(), walk.tenant());
    let mut compared = Compared::default();
    let mut pages = Pages::new(tenant, table, ROWS);
    let mut query = RowQuery { limit: Some(ROWS), ..RowQuery::all() };
    let (mut given, mut is_over) = (VecDeque::new(), false);
    loop {
        let page = pages.next(store.as_ref(), &mut walk.damages).await?;
        let last = page.last().map(|row| row.key(table));
        let reaches = |given: &VecDeque<Row>| {
            last.as_ref().is_some_and(|last| given.back().is_some_and(|row| row.key(table) > *last))
        };
        while !is_over && !reaches(&given) {
            if last.is_none() {
                compared.end(table, &mut given);
            }
            let more = walk.replay.rows(table, &query).await?;
            is_over = more.len() < ROWS;
            query.after = more.last().map(|row| row.key(table));
            given.extend(more);
        }
        if last.is_none() {
            compared.end(table, &mut given);
            return Ok(compared);
        }
        compared.merge(table, page, &mut given);
        progress(Progress { part: table.name, done: compared.rows, total: None });
    }
}

/// Looks again at what seemed to differ, at one place of the log; answers how many rows were compared.
async fn look_again<S: Store, T: Store>(
    walk: &mut Walk<S, T>,
    table: &'static Table,
    compared: Compared,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<u64, ReplayError> {
    let Compared { rows, doubts, untold } = compared;
    if doubts.is_empty() {
        return Ok(rows);
    }
    let capture = walk.store().capture(walk.tenant(), &[(table, RowQuery::keys(doubts.clone()))]).await?;
    walk.go_to(capture.head, progress).await?;
    let given = if *table == STREAM_STATE {
        let given = walk.streams.iter().map(|(stream, seq)| stream_row(stream.as_str(), *seq));
        given.filter(|row| doubts.contains(&row.key(table))).collect()
    } else {
        walk.replay.rows(table, &RowQuery::keys(doubts.clone())).await?
    };
    let keyed =
        |rows: Vec<Row>| rows.into_iter().map(|row| (row.key(table), row)).collect::<BTreeMap<_, _>>();
    let (kept, given) = (keyed(capture.rows.into_iter().flatten().collect()), keyed(given));
    for key in doubts {
        let (kept, given) = (kept.get(&key), given.get(&key));
        if let Some(what) = difference(table, kept, given) {
            let place = given.or(kept).and_then(|row| last_event(table, row));
            walk.damages.add(table.name, place, what);
        }
    }
    walk.damages.add_untold(table.name, untold);
    Ok(rows)
}
