//! Doorbells: hints that a log may have grown, so that whoever follows it need not ask all the time.
//!
//! A ring promises nothing and a missing ring costs nothing but the next poll: what there is to read is
//! always read from the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::names::TenantId;

/// The doorbells of a store, one per tenant that somebody listens for.
#[derive(Debug, Default)]
pub struct Bells(Mutex<BTreeMap<TenantId, watch::Sender<i64>>>);

impl Bells {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<TenantId, watch::Sender<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a tenant: the receiver changes with each ring.
    pub fn listen(&self, tenant: TenantId) -> watch::Receiver<i64> {
        self.locked().entry(tenant).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Rings for a tenant whose log ends at `log_seq` now; wakes nobody where nobody listens.
    pub fn ring(&self, tenant: TenantId, log_seq: i64) {
        if let Some(bell) = self.locked().get(&tenant) {
            bell.send_replace(log_seq);
        }
    }

    /// Rings for everybody: rings may have been missed.
    pub fn ring_all(&self) {
        self.locked().values().for_each(|bell| bell.send_modify(|_| {}));
    }

    /// The tenants that somebody has listened for.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.locked().keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_ring_wakes_its_tenant_and_ring_all_wakes_everybody() {
        let (ours, theirs) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let bells = Bells::default();
        bells.ring(ours, 1);
        let (mut one, mut other) = (bells.listen(ours), bells.listen(theirs));
        bells.ring(ours, 2);
        assert!(one.has_changed().unwrap() && !other.has_changed().unwrap());
        assert_eq!(*one.borrow_and_update(), 2);
        bells.ring_all();
        assert!(one.has_changed().unwrap() && other.has_changed().unwrap());
        other.mark_unchanged();
        assert_eq!(bells.tenants(), [ours, theirs]);
    }
}
