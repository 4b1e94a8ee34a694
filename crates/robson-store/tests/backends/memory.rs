//! Memory: a store of its own for each case, with handles on it.

use robson_conformance::{Access, Cut, Database, Fault, Harness, Injected, Tampering};
use robson_eventlog::{DedupeHit, Payload, RecordedEvent, Row, Table, Value};
use robson_store::MemoryStore;
use robson_store::memory::{FaultKind, Tampered};

pub(crate) struct Memory;

impl Harness for Memory {
    type Database = MemoryDatabase;

    fn name(&self) -> &'static str {
        "memory"
    }

    async fn fresh(&self, _case: &str) -> anyhow::Result<MemoryDatabase> {
        Ok(MemoryDatabase(MemoryStore::new()))
    }
}

pub(crate) struct MemoryDatabase(MemoryStore);

impl Database for MemoryDatabase {
    type Store = MemoryStore;

    async fn open(&self, access: Access) -> anyhow::Result<MemoryStore> {
        Ok(self.0.handle(match access {
            Access::Write => robson_store::open::Access::Write,
            Access::Read => robson_store::open::Access::Read,
        }))
    }

    async fn prepare(&self, _table: &'static Table) -> anyhow::Result<()> {
        Ok(())
    }

    fn address(&self) -> Result<String, &'static str> {
        Err("memory ends with its process")
    }

    async fn inject(&self, store: &MemoryStore, fault: Fault) -> anyhow::Result<Injected> {
        Ok(match fault {
            Fault::CutAtCommit(Cut::Before) => {
                store.fail_next_commit(FaultKind::BeforeCommit);
                Injected::Done
            }
            Fault::CutAtCommit(Cut::After) => {
                store.fail_next_commit(FaultKind::AfterCommit);
                Injected::Done
            }
            Fault::MoveHead(tenant, log_seq) => {
                store.move_head(tenant, log_seq);
                Injected::Done
            }
            Fault::Crash => Injected::Done,
            Fault::Tamper(tenant, tampering) => {
                store.tamper(tenant, |all| tamper(all, tampering));
                Injected::Done
            }
            Fault::UpdateEvent(..) | Fault::DeleteEvent(..) | Fault::TruncateLog => {
                Injected::Impossible("memory has no SQL to tamper with")
            }
            Fault::RestartServer => Injected::Impossible("memory is this process, there is no server"),
            Fault::KillListener => {
                Injected::Impossible("memory rings within its process, over no connection")
            }
            Fault::FullDisk => Injected::Impossible("memory has no disk"),
            _ => Injected::Impossible("memory has no sessions, locks or connections"),
        })
    }
}

/// Does in place what the statements of the databases do.
fn tamper(all: Tampered<'_>, tampering: Tampering) {
    let Tampered { head, events, taken, streams, tables } = all;
    let text = |text: &str| Value::Text(text.to_owned());
    let mut edited = |place: i64, edit: &dyn Fn(&mut RecordedEvent)| {
        if let Some(event) = events.get_mut(&place) {
            edit(event);
        }
    };
    const TALLIES: &str = "suite_tallies";
    match tampering {
        Tampering::EditPayload(place) => {
            edited(place, &|event| {
                event.payload = Payload::parse(r#"{"amount":"1000"}"#).expect("a payload")
            });
        }
        Tampering::EditTime(place) => {
            edited(place, &|event| event.occurred_at = "2026-01-01T00:00:00Z".parse().expect("an instant"));
        }
        Tampering::EditVersion(place) => edited(place, &|event| event.seq += 1),
        Tampering::DeleteEvent(place) => drop(events.remove(&place)),
        Tampering::AddEvent(place) => {
            let last = events.keys().last().copied().unwrap_or(0);
            let copy = RecordedEvent { log_seq: last + 1, ..events[&place].clone() };
            events.insert(last + 1, copy);
        }
        Tampering::InsertEvent(place) => {
            let copy = RecordedEvent { log_seq: place + 1, ..events[&place].clone() };
            for mut event in events.split_off(&(place + 1)).into_values() {
                event.log_seq += 1;
                events.insert(event.log_seq, event);
            }
            events.insert(place + 1, copy);
            head.log_seq += 1;
        }
        Tampering::SwapEvents(a, b) => {
            let (first, second) = (events[&a].clone(), events[&b].clone());
            events.insert(a, RecordedEvent { log_seq: a, ..second });
            events.insert(b, RecordedEvent { log_seq: b, ..first });
        }
        Tampering::EditHead => head.chain_hash = events[&1].hash,
        Tampering::EditStream => *streams.get_mut(&stream("a:1")).expect("a stream") += 1,
        Tampering::DeleteStream => drop(streams.remove(&stream("b:1"))),
        Tampering::AddStream => drop(streams.insert(stream("x:1"), 1)),
        Tampering::EditKey => {
            let hit = taken.get_mut(&key("k/1")).expect("a key");
            hit.fingerprint = robson_eventlog::Fingerprint::from_stored("idem_0".to_owned());
        }
        Tampering::DeleteKey => drop(taken.remove(&key("k/2"))),
        Tampering::AddKey => {
            let (key, first) = (key("x/1"), &events[&1]);
            let (fingerprint, event) = (first.idempotency_key.clone(), Some((first.event_id, 1_000_000)));
            taken.insert(key.clone(), DedupeHit { key, fingerprint, event });
        }
        Tampering::DeleteCommandKey => {
            taken.retain(|key, _| !(key.as_str().starts_with("cmd/") && key.as_str().ends_with('1')));
        }
        Tampering::DeleteCommand => {
            let commands = tables.get_mut("commands").expect("commands");
            commands.retain(|_, row| row.0[1] != text("second"));
        }
        Tampering::EditRow => {
            let row = tables.get_mut(TALLIES).expect("tallies").get_mut(&vec![text("a:1")]).expect("a row");
            row.0[8] = text("edited");
        }
        Tampering::DeleteRow => drop(tables.get_mut(TALLIES).expect("tallies").remove(&vec![text("b:1")])),
        Tampering::AddRow => {
            let tallies = tables.get_mut(TALLIES).expect("tallies");
            let Row(mut row) = tallies[&vec![text("keyed:1")]].clone();
            row[0] = text("x:1");
            tallies.insert(vec![text("x:1")], Row(row));
        }
        Tampering::EditSnapshot => {
            let snapshots = tables.get_mut("snapshots").expect("snapshots");
            let of = |id: &str, row: &Row| row.0[1] == text(id);
            let other = snapshots.values().find(|row| of("b:1", row)).expect("a snapshot").0[9].clone();
            let kept = snapshots.values_mut().find(|row| of("a:1", row)).expect("a snapshot");
            kept.0[9] = other;
        }
    }
}

fn stream(name: &str) -> robson_eventlog::StreamKey {
    name.parse().expect("a stream key")
}

fn key(text: &str) -> robson_eventlog::DedupeKey {
    text.parse().expect("a dedupe key")
}
