//! The log: envelope, idempotency, the storage contract, the ledger and its subscriptions.
