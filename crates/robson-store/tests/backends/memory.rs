//! Memory: a store of its own for each case, with handles on it.

use robson_conformance::{Access, Cut, Database, Fault, Harness, Injected};
use robson_eventlog::Table;
use robson_store::MemoryStore;
use robson_store::memory::FaultKind;

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
            Fault::UpdateEvent(..) | Fault::DeleteEvent(..) | Fault::TruncateLog => {
                Injected::Impossible("memory has no SQL to tamper with")
            }
            Fault::FullDisk => Injected::Impossible("memory has no disk"),
            _ => Injected::Impossible("memory has no sessions, locks or connections"),
        })
    }
}
