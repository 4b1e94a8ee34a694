//! Tenancy: one database, many logs that do not know of each other.

use std::time::Duration;

use robson_eventlog::{
    AcquireError, Append, Batch, CheckpointMove, CommitError, EventQuery, Expected, Head, Lease, Ledger,
    OpenError, RowQuery, Snapshot, Start, Store, StoreError, Subscription,
};

use crate::fixtures::{append, appended, at, check_prefix, everything, key, keyed, places, stream};
use crate::tally::{RUNNING, TALLIES};
use crate::{Env, case};

case!(
    /// A tenant reads, receives and continues only its own: events, keys, versions, rows, checkpoints, snapshots.
    async fn tenant_isolation_read_subscribe_append(env: &Env) -> CaseResult {
        let ours = env.tallying_ledger().await?;
        let theirs = env.open_tallying(Env::NEIGHBOUR).await?;
        let mut subscription = theirs.subscribe(Start::Origin, EventQuery::all(Env::NEIGHBOUR));
        let request = Append {
            checkpoints: vec![CheckpointMove { name: "c".to_owned(), from: 0, to: 1, generation: 1 }],
            snapshots: vec![Snapshot {
                scope: "stream".to_owned(),
                scope_id: "a:1".to_owned(),
                as_of_log_seq: 1,
                created_at: at("2026-01-15T12:00:00Z"),
                snapshot_type: "asked_for".to_owned(),
                as_of_event_id: None,
                as_of_seq: 1,
                as_of_time: at("2026-01-15T12:00:00Z"),
                schema_version: 1,
                payload: vec![1],
                compression: None,
            }],
            ..Append::events(vec![keyed("a:1", 1, "k/1"), keyed("a:1", 2, "k/2")])
        };
        appended(ours.append(request).await?)?;

        let store = env.store();
        assert_eq!(everything(&store, Env::NEIGHBOUR).await?, []);
        assert_eq!(store.head(Env::NEIGHBOUR).await?.log_seq, 0);
        assert_eq!(store.lookup(Env::NEIGHBOUR, &[key("k/1")]).await?, []);
        assert_eq!(store.streams(Env::NEIGHBOUR, &[stream("a:1")]).await?, []);
        assert_eq!(store.checkpoint(Env::NEIGHBOUR, "c").await?, None);
        assert_eq!(store.snapshot(Env::NEIGHBOUR, "stream", "a:1", i64::MAX).await?, None);
        for table in [&TALLIES, &RUNNING] {
            assert_eq!(store.rows(Env::NEIGHBOUR, table, &RowQuery::all()).await?, []);
        }
        assert_eq!(subscription.poll_page().await?, None);

        let request =
            Append::events(vec![keyed("a:1", 3, "k/1")]).expecting(stream("a:1"), Expected::NoStream);
        assert_eq!(places(&appended(theirs.append(request).await?)?), [1]);
        assert_eq!(
            store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?[0].to_json(&TALLIES)["total"],
            "3"
        );
        assert_eq!(store.rows(Env::NEIGHBOUR, &TALLIES, &RowQuery::all()).await?.len(), 1);
        let received = subscription.next_page().await?;
        assert!(received.len() == 1 && received[0].tenant == Env::NEIGHBOUR);
        check_prefix(&received)?;
        let entity = EventQuery { entity_id: Some("1".to_owned()), ..EventQuery::all(Env::NEIGHBOUR) };
        assert_eq!(store.read(&entity).await?.events.len(), 1);
        Ok(())
    }
);

case!(
    /// Streams of the same name in two tenants have versions, places and writers of their own.
    async fn same_stream_id_two_tenants_independent(env: &Env) -> CaseResult {
        let (ours, theirs) = (env.ledger().await?, env.ledger_of(Env::NEIGHBOUR).await?);
        for n in 1..=5 {
            assert_eq!(places(&append(&ours, vec![keyed("a:1", n, &format!("k/{n}"))]).await?), [n]);
            if n % 2 == 1 {
                let receipts = append(&theirs, vec![keyed("a:1", -n, &format!("k/{n}"))]).await?;
                assert_eq!((places(&receipts)[0], receipts.streams[0].last_seq), ((n + 1) / 2, (n + 1) / 2));
            }
        }
        for (tenant, count) in [(Env::TENANT, 5), (Env::NEIGHBOUR, 3)] {
            let log = everything(&env.store(), tenant).await?;
            assert_eq!(log.len(), count);
            check_prefix(&log)?;
        }
        // Taking one log over leaves the other's writer alone.
        let again = env.ledger().await?;
        assert!(again.epoch() > ours.epoch());
        append(&theirs, vec![keyed("a:1", 9, "k/9")]).await?;
        Ok(())
    }
);

case!(
    /// A tenant that nobody registered is a typed error that names it; registering twice changes nothing.
    async fn unregistered_tenant_is_typed_error_not_partition_error(env: &Env) -> CaseResult {
        let store = env.store();
        let is_unknown = |error: &StoreError| matches!(error, StoreError::UnknownTenant(tenant) if *tenant == Env::STRANGER);
        let opened = Ledger::open(env.store(), env.options(Env::STRANGER)).await;
        assert!(
            matches!(&opened, Err(OpenError::Acquire(AcquireError::Store(error))) if is_unknown(error)),
            "{opened:?}"
        );
        assert!(store.head(Env::STRANGER).await.is_err_and(|error| is_unknown(&error)));
        let read = store.read(&EventQuery::all(Env::STRANGER)).await;
        assert!(read.is_err_and(|error| is_unknown(&error)));
        let query = EventQuery { limit: 0, ..EventQuery::stream(Env::STRANGER, stream("a:1")) };
        assert!(store.read(&query).await.is_err_and(|error| is_unknown(&error)));
        let mut subscription = Subscription::new(env.store(), Start::Now, EventQuery::all(Env::STRANGER));
        assert!(subscription.poll_page().await.is_err_and(|error| is_unknown(&error)));

        let ledger = env.ledger().await?;
        append(&ledger, vec![keyed("a:1", 1, "k/1")]).await?;
        store.register(Env::STRANGER).await?;
        store.register(Env::STRANGER).await?;
        store.register(Env::TENANT).await?;
        append(&ledger, vec![keyed("a:1", 1, "k/2")]).await?;
        let theirs = env.ledger_of(Env::STRANGER).await?;
        assert_eq!(places(&append(&theirs, vec![keyed("a:1", 1, "k/1")]).await?), [1]);
        assert_eq!(store.tenants().await?, [Env::TENANT, Env::NEIGHBOUR, Env::STRANGER]);
        Ok(())
    }
);

case!(
    /// A tenant that nobody registered has no rows, keys, streams, checkpoints or snapshots, and nobody may write it.
    async fn unregistered_tenant_has_nothing(env: &Env) -> CaseResult {
        env.prepare(&TALLIES).await?;
        let store = env.store();
        assert_eq!(store.rows(Env::STRANGER, &TALLIES, &RowQuery::all()).await?, []);
        assert_eq!(store.lookup(Env::STRANGER, &[key("k/1")]).await?, []);
        assert_eq!(store.streams(Env::STRANGER, &[stream("a:1")]).await?, []);
        assert_eq!(store.checkpoint(Env::STRANGER, "c").await?, None);
        assert_eq!(store.snapshot(Env::STRANGER, "stream", "a:1", i64::MAX).await?, None);
        let writer = "suite".parse()?;
        let lease = Lease { tenant: Env::STRANGER, writer, epoch: 0, head: Head::EMPTY };
        let ttl = Duration::from_secs(10);
        let batch = Batch::empty(Env::STRANGER, lease.epoch, lease.head);
        let refusals = [
            store.renew(&lease, ttl).await,
            store.release(&lease).await,
            store.commit(&batch).await.map(|_| ()),
        ];
        assert!(refusals.iter().all(|refusal| matches!(refusal, Err(CommitError::Fenced))), "{refusals:?}");
        Ok(())
    }
);
