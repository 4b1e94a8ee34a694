//! Verification: whatever is changed behind the writer's back is found, and nothing else is.

use std::sync::Arc;

use robson_eventlog::snapshot::take;
use robson_eventlog::verify::{Report, Verification};
use robson_eventlog::{
    Append, CheckpointMove, CommandRecord, CommandStatus, Ledger, OpenError, Store, TenantId, verify,
};
use serde_json::json;

use crate::fixtures::{Log, append, appended, at, event, id, keyed, payload, whole_log};
use crate::harness::{Fault, Tampering};
use crate::tally::{Tally, TallyScopes};
use crate::{Env, case};

async fn verified(env: &Env, tenant: TenantId) -> anyhow::Result<Report> {
    let (projections, scopes) = (vec![Arc::new(Tally) as _], Some(Arc::new(TallyScopes) as _));
    let verification = Verification { tenant, projections, scopes };
    // Nothing is being rebuilt, so the place beside the tables is free.
    let (store, scratch) = (env.store(), env.store());
    Ok(verify::verify(&store, &scratch, &verification, |_| {}).await?)
}

fn command(number: u128, command_type: &str) -> CommandRecord {
    let request = payload(&json!({"of": command_type}));
    CommandRecord {
        id: id(number),
        command_type: command_type.to_owned(),
        request_hash: CommandRecord::hash_request(command_type, &request),
        status: CommandStatus::Completed,
        result: None,
        error: None,
        trace_id: None,
        issued_at: at("2026-01-15T12:00:00Z"),
        completed_at: at("2026-01-15T12:00:00Z"),
    }
}

/// Forty events on three streams, ten of them with a key, two commands, and a snapshot of two streams in the middle.
async fn sound_log(env: &Env) -> anyhow::Result<Log> {
    let ledger = env.tallying_ledger().await?;
    for n in 0..10 {
        let events = vec![event("a:1", n), keyed("keyed:1", n, &format!("k/{n}")), event("b:1", -n)];
        append(&ledger, events).await?;
        env.clock().advance(60);
        if n == 5 {
            for stream_key in ["a:1", "b:1"] {
                keep_snapshot(env, &ledger, stream_key).await?;
            }
        }
    }
    for (number, command_type) in [(0xa1, "first"), (0xa2, "second")] {
        let command = Some(command(number, command_type));
        let events = (0..5).map(|n| event("a:1", n)).collect();
        appended(ledger.append(Append { command, events, ..Append::default() }).await?)?;
    }
    Ok(ledger)
}

async fn keep_snapshot(env: &Env, ledger: &Log, stream_key: &str) -> anyhow::Result<()> {
    let scope = TallyScopes::of(stream_key);
    let now = at("2026-01-15T12:30:00Z");
    let taken = take(&*env.store(), Env::TENANT, &TallyScopes, &scope, "asked", now).await?;
    let snapshots = taken.into_iter().map(|taken| taken.snapshot).collect();
    appended(ledger.append(Append { snapshots, ..Append::default() }).await?).map(|_| ())
}

case!(
    /// Of a log that nobody touched, everything is read and nothing is told: after a reopening, and for a tenant without
    /// events too.
    async fn verify_finds_a_sound_log_sound(env: &Env) -> CaseResult {
        let ledger = sound_log(env).await?;
        ledger.close().await;
        env.reopen().await?;
        let report = verified(env, Env::TENANT).await?;
        assert_eq!(report.damages, []);
        assert!(report.is_clean() && report.skipped.is_empty(), "{report:?}");
        assert_eq!((report.events, report.dedupe_keys, report.streams), (40, 12, 3));
        assert_eq!((report.rows, report.snapshots), (4, 2));
        assert_eq!(report.head, env.store().head(Env::TENANT).await?);
        let empty = verified(env, Env::NEIGHBOUR).await?;
        assert!(empty.is_clean() && empty.events == 0, "{empty:?}");
        Ok(())
    }
);

case!(
    /// A writer that goes on while its log is verified damages nothing.
    async fn verify_beside_a_writer_tells_no_damage(env: &Env) -> CaseResult {
        let ledger = sound_log(env).await?;
        let writing = {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for n in 100..160 {
                    let events =
                        vec![event("a:1", n), keyed("keyed:1", n, &format!("k/{n}")), event("c:1", n)];
                    append(&ledger, events).await?;
                }
                anyhow::Ok(())
            })
        };
        loop {
            let is_over = writing.is_finished();
            let report = verified(env, Env::TENANT).await?;
            assert_eq!(report.damages, []);
            keep_snapshot(env, &ledger, "b:1").await?;
            if is_over {
                break;
            }
        }
        writing.await??;
        Ok(())
    }
);

case!(
    /// One row of the log that is edited, deleted, inserted, or that changes places with another: each is found, and the
    /// first damaged place is named.
    async fn verify_names_the_first_edited_deleted_inserted_or_reordered_event(env: &Env) -> CaseResult {
        sound_log(env).await?.close().await;
        // Each lies before what was done already, so it must be the first that is named.
        for (tampering, first, what) in [
            (Tampering::AddEvent(3), 41, "behind the head"),
            (Tampering::DeleteEvent(40), 40, "is missing"),
            (Tampering::EditTime(38), 38, "does not have its hash"),
            (Tampering::SwapEvents(35, 36), 35, "follows another event"),
            (Tampering::SwapEvents(31, 34), 31, "follows another event"),
            (Tampering::DeleteEvent(29), 29, "is missing"),
            (Tampering::EditVersion(26), 26, "it is version"),
            (Tampering::InsertEvent(22), 23, "follows another event"),
            (Tampering::EditPayload(20), 20, "does not have its hash"),
            (Tampering::DeleteEvent(18), 18, "is missing"),
            (Tampering::EditTime(1), 1, "does not have its hash"),
            (Tampering::DeleteEvent(1), 1, "is missing"),
        ] {
            env.inject(Fault::Tamper(Env::TENANT, tampering)).await?;
            let report = verified(env, Env::TENANT).await?;
            assert_eq!(report.first_damaged(), Some(first), "{tampering:?}: {:?}", report.damages);
            let told = report.damages.iter().filter(|damage| damage.log_seq == Some(first));
            let told: Vec<&str> = told.map(|damage| damage.what.as_str()).collect();
            assert!(told.iter().any(|told| told.contains(what)), "{tampering:?}: {told:?}");
        }
        assert!(verified(env, Env::NEIGHBOUR).await?.is_clean());
        Ok(())
    }
);

case!(
    /// A row beside the log that is edited, deleted or added, whichever table it is in: each is found, and nothing else is.
    async fn verify_finds_rows_that_do_not_follow_from_the_log(env: &Env) -> CaseResult {
        sound_log(env).await?.close().await;
        let mut before = 0;
        for (tampering, part, what) in [
            (Tampering::EditStream, "stream_state", "last_seq is 21, the log gives 20"),
            (Tampering::DeleteStream, "stream_state", "b:1 is missing"),
            (Tampering::AddStream, "stream_state", "x:1 is not what the log gives"),
            (Tampering::EditKey, "event_idempotency", "another event or fingerprint"),
            (Tampering::DeleteKey, "event_idempotency", "its dedupe key is missing"),
            (Tampering::AddKey, "event_idempotency", "x/1 names an event behind the end"),
            (Tampering::DeleteCommandKey, "commands", "0000000000a1 is missing"),
            (Tampering::DeleteCommand, "commands", "0000000000a2 is missing"),
            (Tampering::EditRow, "suite_tallies", "a:1: note is \"edited\", the log gives null"),
            (Tampering::DeleteRow, "suite_tallies", "b:1 is missing"),
            (Tampering::AddRow, "suite_tallies", "x:1 is not what the log gives"),
            (Tampering::EditSnapshot, "snapshots", "tally a:1 at 18: suite_tallies a:1 is missing"),
            (Tampering::EditHead, "event_log", "is not the event that the head names"),
        ] {
            env.inject(Fault::Tamper(Env::TENANT, tampering)).await?;
            let report = verified(env, Env::TENANT).await?;
            let told: Vec<String> = report.damages.iter().map(ToString::to_string).collect();
            let is_told =
                report.damages.iter().any(|damage| damage.part == part && damage.what.contains(what));
            assert!(is_told, "{tampering:?}: {told:?}");
            if tampering != Tampering::EditHead {
                assert_eq!(report.damages_total, before + 1, "{tampering:?}: {told:?}");
                before = report.damages_total;
            }
        }
        assert!(verified(env, Env::NEIGHBOUR).await?.is_clean());
        Ok(())
    }
);

case!(
    /// A ledger that is opened checks what was written since the verified mark, and refuses a log that is damaged there;
    /// what lies before the mark is for the verification.
    async fn a_damaged_tail_is_refused_at_the_start(env: &Env) -> CaseResult {
        let ledger = sound_log(env).await?;
        let mark = CheckpointMove { name: verify::MARK.to_owned(), from: 0, to: 20, generation: 0 };
        appended(ledger.append(Append { checkpoints: vec![mark], ..Append::default() }).await?)?;
        ledger.close().await;
        env.inject(Fault::Tamper(Env::TENANT, Tampering::EditTime(5))).await?;
        let ledger = env.open_tallying(Env::TENANT).await?;
        append(&ledger, vec![event("a:1", 1)]).await?;
        ledger.close().await;
        assert_eq!(verified(env, Env::TENANT).await?.first_damaged(), Some(5));
        for (tampering, what) in [
            (Tampering::DeleteStream, "b:1 stands at 0, its last event at 10"),
            (Tampering::EditTime(30), "log_seq 30"),
            (Tampering::DeleteEvent(25), "an event before it is missing"),
        ] {
            env.inject(Fault::Tamper(Env::TENANT, tampering)).await?;
            match Ledger::open(env.store(), env.options(Env::TENANT)).await {
                Err(OpenError::Damaged(why)) => assert!(why.contains(what), "{tampering:?}: {why}"),
                other => anyhow::bail!("{tampering:?}: {other:?}"),
            }
        }
        assert!(whole_log(&env.store()).await.is_err());
        Ok(())
    }
);
