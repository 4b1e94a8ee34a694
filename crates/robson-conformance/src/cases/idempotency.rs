//! Idempotency and fills: the same thing twice is one thing, and a different thing under its key is told.

use robson_eventlog::command::COMMANDS;
use robson_eventlog::{
    Append, AppendError, CommandRecord, CommandStatus, EventReceipt, NewEvent, Outcome, RowQuery, Store,
};
use serde_json::json;

use crate::fixtures::{
    Log, append, appended, at, event, fill, id, key, keyed, payload, places, refused, whole_log,
};
use crate::harness::{Cut, Fault};
use crate::{Env, case};

/// Appends events of which all were appended before, and answers the first ones.
async fn duplicate(ledger: &Log, events: Vec<NewEvent>) -> anyhow::Result<Vec<EventReceipt>> {
    match ledger.append(Append::events(events)).await? {
        Outcome::Duplicate { first } => Ok(first),
        other => anyhow::bail!("expected a duplicate, the ledger answered {other:?}"),
    }
}

/// How one event ends whose dedupe key was used for something else.
async fn mismatch(ledger: &Log, event: NewEvent) -> anyhow::Result<()> {
    let expected = event.dedupe_key.clone();
    match ledger.append(Append::events(vec![event])).await? {
        Outcome::Mismatch { key } if Some(&key) == expected.as_ref() => Ok(()),
        other => anyhow::bail!("expected a mismatch, the ledger answered {other:?}"),
    }
}

case!(
    /// The same key with the same content answers with the first event and appends nothing.
    async fn same_event_id_same_body_returns_original_position(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 9)]).await?;
        let first = append(&ledger, vec![keyed("a:1", 1, "cmd/1"), keyed("a:1", 2, "cmd/2")]).await?;
        env.clock().advance(3_600);
        let again = duplicate(&ledger, vec![keyed("a:1", 1, "cmd/1"), keyed("a:1", 2, "cmd/2")]).await?;
        let stored: Vec<_> = first.events.iter().map(|r| EventReceipt { is_new: false, ..*r }).collect();
        assert_eq!(again, stored);
        // Times and actors differ between two deliveries of the same thing.
        let mut later = keyed("a:1", 1, "cmd/1");
        later.occurred_at = at("2026-01-16T00:00:00Z");
        later.payload = payload(&json!({"amount": "1", "sent_at": "2026-01-16T00:00:00Z", "actor_id": "x"}));
        assert_eq!(duplicate(&ledger, vec![later]).await?, stored[..1]);
        assert_eq!(whole_log(&env.store()).await?.len(), 3);
        Ok(())
    }
);

case!(
    /// The same key with other content is a mismatch and appends nothing: other payload, stream or type.
    async fn same_event_id_different_body_is_mismatch_error(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![keyed("a:1", 1, "cmd/1")]).await?;
        mismatch(&ledger, keyed("a:1", 2, "cmd/1")).await?;
        mismatch(&ledger, keyed("a:2", 1, "cmd/1")).await?;
        let other_type = NewEvent { event_type: "OTHER".parse()?, ..keyed("a:1", 1, "cmd/1") };
        mismatch(&ledger, other_type).await?;
        let together = Append::events(vec![event("b:1", 1), keyed("a:1", 2, "cmd/1")]);
        assert!(matches!(ledger.append(together).await?, Outcome::Mismatch { .. }));
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);

case!(
    /// Within one append the second event of a key answers with the first; other content is a mismatch there too.
    async fn duplicate_inside_one_batch(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let twice = vec![keyed("a:1", 1, "cmd/1"), event("a:1", 5), keyed("a:1", 1, "cmd/1")];
        let receipts = append(&ledger, twice).await?;
        assert_eq!(places(&receipts), [1, 2, 1]);
        assert_eq!(
            receipts.events.iter().map(|receipt| receipt.is_new).collect::<Vec<_>>(),
            [true, true, false]
        );
        mismatch(&ledger, keyed("a:1", 3, "cmd/1")).await?;
        let unlike = Append::events(vec![keyed("a:1", 1, "cmd/2"), keyed("a:1", 2, "cmd/2")]);
        assert_eq!(ledger.append(unlike).await?, Outcome::Mismatch { key: key("cmd/2") });
        // Some known, some new: the new ones are appended, the known ones keep their places.
        let mixed = append(&ledger, vec![keyed("a:1", 1, "cmd/1"), keyed("a:1", 2, "cmd/3")]).await?;
        assert_eq!(places(&mixed), [1, 3]);
        assert_eq!(whole_log(&env.store()).await?.len(), 3);
        Ok(())
    }
);

case!(
    /// Two equal appends that wait for the same commit are one: the second is answered with the first's places.
    async fn duplicate_of_a_neighbour_in_the_same_commit(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut twins = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let ledger = ledger.clone();
            twins.spawn(async move { ledger.append(Append::events(vec![keyed("a:1", 1, "cmd/1")])).await });
        }
        let (mut first, mut again) = (0, 0);
        while let Some(outcome) = twins.join_next().await {
            match outcome?? {
                Outcome::Appended(_) => first += 1,
                Outcome::Duplicate { first } if first[0].log_seq == 1 => again += 1,
                other => anyhow::bail!("{other:?}"),
            }
        }
        assert_eq!((first, again), (1, 19));
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);

case!(
    /// When a commit's answer is lost the ledger finds out how it ended: nothing is lost, nothing comes twice.
    async fn retry_after_unknown_commit_outcome_is_safe(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let mut expected = 0;
        for (cut, name) in [(Cut::After, "after"), (Cut::Before, "before"), (Cut::After, "again")] {
            env.store().cut_next_commit(cut);
            // Events with and without a key: the head tells about both.
            let receipts = append(&ledger, vec![event("a:1", 1), keyed("a:1", 2, name)]).await?;
            assert_eq!(places(&receipts), [expected + 1, expected + 2]);
            expected += 2;
            assert_eq!(places(&append(&ledger, vec![event("a:1", 3)]).await?), [expected + 1]);
            expected += 1;
            assert_eq!(duplicate(&ledger, vec![keyed("a:1", 2, name)]).await?[0].log_seq, expected - 1);
        }
        assert!(ledger.lease_holds());
        assert_eq!(whole_log(&env.store()).await?.len(), 9);
        Ok(())
    }
);

case!(
    /// The same when the connection itself is lost during the commit, on either side of it.
    async fn retry_after_connection_cut_at_commit_is_safe(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        for (cut, place) in [(Cut::Before, 2), (Cut::After, 3)] {
            env.inject(Fault::CutAtCommit(cut)).await?;
            let name = format!("cut/{place}");
            assert_eq!(places(&append(&ledger, vec![keyed("a:1", 2, &name)]).await?), [place]);
            assert_eq!(duplicate(&ledger, vec![keyed("a:1", 2, &name)]).await?[0].log_seq, place);
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 3);
        Ok(())
    }
);

case!(
    /// When somebody else took the log over while an outcome was unknown the writer stops, and the keys tell.
    async fn unknown_outcome_then_takeover_is_fenced_and_keys_tell(env: &Env) -> CaseResult {
        let old = env.ledger().await?;
        append(&old, vec![keyed("a:1", 1, "cmd/1")]).await?;
        let new = env.ledger().await?;
        append(&new, vec![keyed("a:1", 2, "cmd/2")]).await?;
        env.store().cut_next_commit(Cut::Before);
        let error = old.append(Append::events(vec![keyed("a:1", 3, "cmd/3")])).await;
        assert_eq!(error, Err(AppendError::Fenced));
        let hits = env.store().lookup(Env::TENANT, &[key("cmd/1"), key("cmd/2"), key("cmd/3")]).await?;
        let mut taken: Vec<_> = hits.iter().map(|hit| hit.key.as_str()).collect();
        taken.sort_unstable();
        assert_eq!(taken, ["cmd/1", "cmd/2"]);
        Ok(())
    }
);

case!(
    /// What was appended before a restart is a duplicate after it, and a mismatch stays one.
    async fn idempotency_survives_restart(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let first =
            append(&ledger, vec![keyed("a:1", 1, "cmd/1"), fill("kraken", "1", "77", "95000", "ws")]).await?;
        ledger.close().await;
        env.reopen().await?;
        let ledger = env.ledger().await?;
        let again =
            duplicate(&ledger, vec![keyed("a:1", 1, "cmd/1"), fill("kraken", "1", "77", "95000", "rest")])
                .await?;
        assert_eq!(
            again.iter().map(|r| r.event_id).collect::<Vec<_>>(),
            first.events.iter().map(|r| r.event_id).collect::<Vec<_>>()
        );
        mismatch(&ledger, keyed("a:1", 2, "cmd/1")).await?;
        mismatch(&ledger, fill("kraken", "1", "77", "95001", "ws")).await?;
        Ok(())
    }
);

case!(
    /// A fill is known by venue, account and trade id: the second delivery is the first event.
    async fn fill_dedupe_by_venue_account_exec_id(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let first = append(&ledger, vec![fill("kraken", "1", "77", "95000", "ws")]).await?;
        let again = duplicate(&ledger, vec![fill("kraken", "1", "77", "95000", "ws")]).await?;
        assert_eq!(again[0].event_id, first.events[0].event_id);
        append(&ledger, vec![fill("kraken", "1", "78", "95000", "ws")]).await?;
        mismatch(&ledger, fill("kraken", "1", "77", "95000.5", "ws")).await?;
        assert_eq!(whole_log(&env.store()).await?.len(), 2);
        Ok(())
    }
);

case!(
    /// The same trade id at two venues is two fills.
    async fn same_exec_id_on_two_venues_is_two_fills(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        for venue in ["kraken", "binance", "Kraken"] {
            append(&ledger, vec![fill(venue, "1", "77", "95000", "ws")]).await?;
        }
        assert_eq!(whole_log(&env.store()).await?.len(), 3);
        Ok(())
    }
);

case!(
    /// The same trade id on two accounts of a venue is two fills.
    async fn same_exec_id_on_two_accounts_is_two_fills(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let fills = ["1", "2"].map(|account| fill("kraken", account, "77", "95000", "ws"));
        assert_eq!(places(&append(&ledger, fills.to_vec()).await?), [1, 2]);
        Ok(())
    }
);

case!(
    /// The same trade id in two tenants is two fills.
    async fn same_exec_id_in_two_tenants_is_two_fills(env: &Env) -> CaseResult {
        for tenant in [Env::TENANT, Env::NEIGHBOUR] {
            let ledger = env.ledger_of(tenant).await?;
            let first = append(&ledger, vec![fill("kraken", "1", "77", "95000", "ws")]).await?;
            assert_eq!(places(&first), [1]);
            assert_eq!(duplicate(&ledger, vec![fill("kraken", "1", "77", "95000", "ws")]).await?.len(), 1);
        }
        Ok(())
    }
);

case!(
    /// A fill that arrives over two channels, which describe it differently and under other commands, is one event.
    async fn fill_replayed_from_rest_and_ws_once(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let mut by_socket = fill("kraken", "1", "77", "95000", "ws");
        by_socket.trace.command_id = Some(id(1));
        let mut by_rest = fill("kraken", "1", "77", "95000", "rest");
        by_rest.trace.command_id = Some(id(2));
        let first = append(&ledger, vec![by_socket]).await?;
        assert_eq!(duplicate(&ledger, vec![by_rest]).await?[0].event_id, first.events[0].event_id);
        let log = whole_log(&env.store()).await?;
        assert_eq!((log.len(), log[0].payload.value()["channel"].as_str()), (1, Some("ws")));
        Ok(())
    }
);

case!(
    /// A venue's correction or bust of a trade has a key of its own: it is a new event, not a duplicate.
    async fn fill_correction_and_bust_are_new_events_not_duplicates(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![fill("kraken", "1", "77", "95000", "ws")]).await?;
        for (name, kind) in [("77/corrected/1", "FILL_CORRECTED"), ("77/busted", "FILL_BUSTED")] {
            let told = NewEvent { event_type: kind.parse()?, ..fill("kraken", "1", name, "95000", "ws") };
            append(&ledger, vec![told.clone()]).await?;
            duplicate(&ledger, vec![told]).await?;
        }
        let log = whole_log(&env.store()).await?;
        let types: Vec<_> = log.iter().map(|event| event.event_type.as_str()).collect();
        assert_eq!(types, ["FILL_RECEIVED", "FILL_CORRECTED", "FILL_BUSTED"]);
        Ok(())
    }
);

case!(
    /// A key is taken exactly when its event is in the log: not after a refusal, not after a commit that was cut before.
    async fn dedupe_and_event_commit_atomically(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let together = Append::events(vec![keyed("a:1", 1, "cmd/1"), refused("a:1")]);
        assert!(matches!(ledger.append(together).await?, Outcome::Refused { .. }));
        assert_eq!(env.store().lookup(Env::TENANT, &[key("cmd/1")]).await?, []);
        for (cut, n) in [(Cut::Before, 2), (Cut::After, 3)] {
            env.store().cut_next_commit(cut);
            append(&ledger, vec![keyed("a:1", 1, &format!("cmd/{n}"))]).await?;
        }
        append(&ledger, vec![keyed("a:1", 1, "cmd/1")]).await?;
        let log = whole_log(&env.store()).await?;
        let hits = env.store().lookup(Env::TENANT, &[key("cmd/1"), key("cmd/2"), key("cmd/3")]).await?;
        assert_eq!((log.len(), hits.len()), (3, 3));
        for hit in hits {
            let (event_id, log_seq) = hit.event.ok_or_else(|| anyhow::anyhow!("{hit:?} has no event"))?;
            let recorded = log.iter().find(|event| event.log_seq == log_seq);
            assert_eq!(recorded.map(|event| event.event_id), Some(event_id));
            assert_eq!(recorded.map(|event| &event.idempotency_key), Some(&hit.fingerprint));
        }
        Ok(())
    }
);

case!(
    /// An event without a key is never deduplicated: two equal samples are two events.
    async fn events_without_a_key_are_never_deduplicated(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("a:1", 1)]).await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        let log = whole_log(&env.store()).await?;
        assert_eq!(log.len(), 3);
        assert_eq!(log[0].idempotency_key, log[2].idempotency_key);
        Ok(())
    }
);

case!(
    /// A command is done once: the same request again is a duplicate with its stored result, another is a mismatch.
    async fn command_twice_is_one_and_another_request_is_mismatch(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let command = |request: i64| CommandRecord {
            id: id(9),
            command_type: "arm".to_owned(),
            request_hash: CommandRecord::hash_request("arm", &payload(&json!({"capital": request}))),
            status: CommandStatus::Completed,
            result: Some(payload(&json!({"position": "p1"}))),
            error: None,
            trace_id: Some(id(8)),
            issued_at: at("2026-01-15T12:00:00Z"),
            completed_at: at("2026-01-15T12:00:00.000001Z"),
        };
        let request =
            |capital| Append { command: Some(command(capital)), ..Append::events(vec![event("a:1", 1)]) };
        appended(ledger.append(request(100)).await?)?;
        assert_eq!(ledger.append(request(100)).await?, Outcome::Duplicate { first: Vec::new() });
        assert!(matches!(ledger.append(request(200)).await?, Outcome::Mismatch { .. }));
        let by_id = RowQuery::keys(vec![vec![robson_eventlog::Value::Uuid(id(9))]]);
        let rows = env.store().rows(Env::TENANT, &COMMANDS, &by_id).await?;
        let stored: Vec<_> = rows.into_iter().filter_map(CommandRecord::from_row).collect();
        assert_eq!(stored, [command(100)]);
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        // A command that was refused leaves its answer without an event.
        let refusal = CommandRecord {
            id: id(10),
            status: CommandStatus::Failed,
            result: None,
            error: Some("capital is zero".to_owned()),
            ..command(0)
        };
        let refused = Append { command: Some(refusal.clone()), ..Append::default() };
        appended(ledger.append(refused.clone()).await?)?;
        assert_eq!(ledger.append(refused).await?, Outcome::Duplicate { first: Vec::new() });
        let rows = env.store().rows(Env::TENANT, &COMMANDS, &RowQuery::all()).await?;
        assert_eq!(
            rows.into_iter().filter_map(CommandRecord::from_row).collect::<Vec<_>>(),
            [command(100), refusal]
        );
        Ok(())
    }
);

case!(
    /// A new command whose events were all appended before is recorded all the same, and its retry finds it.
    async fn command_with_known_events_is_recorded(env: &Env) -> CaseResult {
        let ledger = env.ledger().await?;
        let first = append(&ledger, vec![keyed("a:1", 1, "k/1")]).await?;
        let command = CommandRecord {
            id: id(11),
            command_type: "arm".to_owned(),
            request_hash: CommandRecord::hash_request("arm", &payload(&json!({}))),
            status: CommandStatus::Completed,
            result: None,
            error: None,
            trace_id: None,
            issued_at: at("2026-01-15T12:00:00Z"),
            completed_at: at("2026-01-15T12:00:00Z"),
        };
        let request =
            Append { command: Some(command.clone()), ..Append::events(vec![keyed("a:1", 1, "k/1")]) };
        let again = appended(ledger.append(request.clone()).await?)?;
        assert_eq!(again.events, [EventReceipt { is_new: false, ..first.events[0] }]);
        assert_eq!(ledger.append(request).await?, Outcome::Duplicate { first: Vec::new() });
        let rows = env.store().rows(Env::TENANT, &COMMANDS, &RowQuery::all()).await?;
        assert_eq!(rows.into_iter().filter_map(CommandRecord::from_row).collect::<Vec<_>>(), [command]);
        assert_eq!(whole_log(&env.store()).await?.len(), 1);
        Ok(())
    }
);
