//! Retention and tampering: months, and a log that nobody rewrites.

use robson_eventlog::{EventQuery, Store};

use crate::fixtures::{RawWriter, append, at, event, keyed, whole_log};
use crate::harness::Fault;
use crate::{Env, case};

case!(
    /// One batch may cross the end of a month, and months far in the past or far ahead need no preparation.
    async fn append_across_partition_boundary_in_one_batch(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let months = [
            "1999-12-31T23:59:59.999999Z",
            "2000-01-01T00:00:00.000000Z",
            "2024-02-29T23:59:59.999999Z",
            "2024-03-01T00:00:00.000000Z",
            "2026-01-31T23:59:59.999999Z",
            "2026-02-01T00:00:00.000000Z",
            "2026-02-01T00:00:00.000001Z",
            "2031-07-15T12:00:00.000000Z",
            "2099-12-31T23:59:59.999999Z",
        ];
        let events: Vec<_> = (0..9).map(|n| keyed("a:1", n, &format!("k/{n}"))).collect();
        let batch = raw.batch_over_time(events.iter().zip(months.map(at)));
        raw.commit(&batch).await?;
        let log = whole_log(&env.store()).await?;
        assert_eq!(log, batch.events);
        let backward = EventQuery {
            direction: robson_eventlog::Direction::Backward,
            limit: 4,
            ..EventQuery::all(Env::TENANT)
        };
        let last: Vec<i64> =
            env.store().read(&backward).await?.events.iter().map(|event| event.log_seq).collect();
        assert_eq!(last, [9, 8, 7, 6]);
        Ok(())
    }
);

case!(
    /// A clock that runs on over many months needs nothing from the outside to go on appending.
    async fn missing_future_partition_is_prevented_or_clear_error(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        for month in 1..=12 {
            env.clock().set(at(&format!("2027-{month:02}-28T23:59:59.999999Z")));
            append(&ledger, vec![event("a:1", month)]).await?;
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 12);
        Ok(())
    }
);

case!(
    /// The database itself refuses to change, delete or empty the log, whoever asks.
    async fn update_and_delete_of_events_refused_by_the_database(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("a:1", 2)]).await?;
        let before = whole_log(&env.store()).await?;
        for fault in
            [Fault::UpdateEvent(Env::TENANT, 1), Fault::DeleteEvent(Env::TENANT, 2), Fault::TruncateLog]
        {
            let refusal = env.inject(fault).await?;
            assert!(refusal.is_some_and(|message| !message.is_empty()), "{fault} was let through");
            assert_eq!(whole_log(&env.store()).await?, before, "{fault}");
        }
        append(&ledger, vec![event("a:1", 3)]).await?;
        Ok(())
    }
);

case!(
    /// The hashes link every event to the one before it: an event that is edited or left out does not fit.
    async fn hash_chain_detects_edited_or_missing_event(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, (0..10).map(|n| event("a:1", n)).collect()).await?;
        let log = whole_log(&env.store()).await?;
        let mut edited = log.clone();
        edited[4].payload = log[5].payload.clone();
        assert!(crate::fixtures::check_prefix(&edited).is_err());
        let mut shifted = log.clone();
        shifted[4].occurred_at = at("2026-01-15T12:00:00.000001Z");
        assert!(crate::fixtures::check_prefix(&shifted).is_err());
        let mut swapped = log.clone();
        swapped.remove(9);
        assert_ne!(
            swapped.last().map(|last| last.hash),
            Some(env.store().head(Env::TENANT).await?.chain_hash)
        );
        Ok(())
    }
);
