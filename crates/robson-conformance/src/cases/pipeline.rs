//! The pipeline: a batch that is computed on top of one that is not durable yet, and what it was guessed from.

use robson_eventlog::{Append, Expected, Outcome, RowQuery, Store, Value};

use crate::fixtures::{append, appended, event, keyed, places, refused, stream, whole_log};
use crate::harness::Cut;
use crate::tally::RUNNING;
use crate::{Env, case};

/// More batches than a ledger looks everything up for, and more new streams than make it guess the next.
const ENOUGH_TO_GUESS: i64 = 140;

/// What the one row of all events says, against the log.
async fn assert_tables_follow_the_log(env: &Env) -> anyhow::Result<()> {
    let log = whole_log(&env.store()).await?;
    let rows = env.store().rows(Env::TENANT, &RUNNING, &RowQuery::all()).await?;
    let count = i64::try_from(log.len())?;
    assert_eq!(rows[0].0[1..], [Value::Integer(count), Value::Integer(count)]);
    Ok(())
}

case!(
    /// What was computed on top of a commit that is lost, or whose answer is, is computed again: each request
    /// has the one answer that it would have had alone, in the order in which they came.
    async fn what_is_computed_on_a_commit_follows_it_or_is_computed_again(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        for (round, cut) in (0..).zip([None, Some(Cut::Before), Some(Cut::After), None]) {
            let (a, b, key) = (format!("a:{round}"), format!("b:{round}"), format!("key/{round}"));
            let before = env.store().head(Env::TENANT).await?.log_seq;
            let mut held = env.store().hold_next_commit();
            let first = ledger.append(Append::events(vec![keyed(&a, 1, &key)]));
            let behind = async {
                held.arrived().await;
                let mut reads = env.store().row_reads();
                reads.mark_unchanged();
                let exact = Append::events(vec![event(&a, 2), event(&b, 3)])
                    .expecting(stream(&a), Expected::Exact(1));
                tokio::join!(
                    ledger.append(exact),
                    ledger.append(Append::events(vec![event(&b, 4), refused(&b)])),
                    ledger.append(Append::events(vec![keyed(&a, 1, &key)])),
                    ledger
                        .append(Append::events(vec![event(&b, 5)]).expecting(stream(&a), Expected::Exact(1))),
                    ledger.append(Append::events(vec![event(&b, 6)])),
                    async {
                        // Rows are read for what follows while the commit is held.
                        reads.changed().await.map_err(anyhow::Error::from)?;
                        held.let_go(cut);
                        anyhow::Ok(())
                    },
                )
            };
            let (first, (exact, refused, again, conflicting, last, read)) = tokio::join!(first, behind);
            read?;
            let first = appended(first?)?;
            assert_eq!(places(&first), [before + 1], "{cut:?}");
            assert_eq!(places(&appended(exact?)?), [before + 2, before + 3], "{cut:?}");
            assert!(matches!(refused?, Outcome::Refused { .. }), "{cut:?}");
            let Outcome::Duplicate { first: same } = again? else {
                anyhow::bail!("{cut:?}: not a duplicate")
            };
            assert_eq!(
                (same[0].event_id, same[0].log_seq),
                (first.events[0].event_id, before + 1),
                "{cut:?}"
            );
            assert!(matches!(conflicting?, Outcome::Conflict { actual: 2, .. }), "{cut:?}");
            assert_eq!(places(&appended(last?)?), [before + 4], "{cut:?}");
            assert_tables_follow_the_log(env).await?;
        }
        Ok(())
    }
);

case!(
    /// A key that the ledger no longer looks up is a duplicate all the same, whatever else would refuse the
    /// request, and what was in the same batch is appended.
    async fn a_key_that_is_not_looked_up_is_a_duplicate_all_the_same(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        let first = append(&ledger, vec![keyed("a:1", 1, "early")]).await?;
        for n in 0..ENOUGH_TO_GUESS {
            append(&ledger, vec![keyed(&format!("b:{n}"), 1, &format!("later/{n}"))]).await?;
        }
        let again = Append::events(vec![keyed("a:1", 1, "early")]);
        let (alone, beside) =
            tokio::join!(ledger.append(again.clone()), ledger.append(Append::events(vec![event("c:1", 1)])),);
        let Outcome::Duplicate { first: same } = alone? else { anyhow::bail!("not a duplicate") };
        assert_eq!(same[0].event_id, first.events[0].event_id);
        assert_eq!(places(&appended(beside?)?), [ENOUGH_TO_GUESS + 2]);
        for n in 0..ENOUGH_TO_GUESS {
            append(&ledger, vec![event(&format!("d:{n}"), 1)]).await?;
        }
        // A conflict says so only of a request that is new.
        let expecting = again.expecting(stream("a:1"), Expected::NoStream);
        assert!(matches!(ledger.append(expecting).await?, Outcome::Duplicate { .. }));
        let other = Append::events(vec![keyed("a:1", 2, "early")]);
        assert!(matches!(ledger.append(other).await?, Outcome::Mismatch { .. }));
        assert_tables_follow_the_log(env).await
    }
);

case!(
    /// A stream that a ledger takes for new, because those before it were, goes on where it stands.
    async fn a_stream_that_is_taken_for_new_goes_on_where_it_stands(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![event("a:1", 1), event("a:1", 2), event("a:2", 3)]).await?;
        ledger.close().await;
        let ledger = env.open_tallying(Env::TENANT).await?;
        for n in 0..ENOUGH_TO_GUESS {
            append(&ledger, vec![event(&format!("b:{n}"), 1)]).await?;
        }
        let next = append(&ledger, vec![event("a:1", 4)]).await?;
        assert_eq!((places(&next), next.streams[0].last_seq), (vec![ENOUGH_TO_GUESS + 4], 3));
        for n in 0..ENOUGH_TO_GUESS {
            append(&ledger, vec![event(&format!("c:{n}"), 1)]).await?;
        }
        let expecting = Append::events(vec![event("a:2", 5)]).expecting(stream("a:2"), Expected::NoStream);
        assert!(matches!(ledger.append(expecting).await?, Outcome::Conflict { actual: 1, .. }));
        assert_tables_follow_the_log(env).await
    }
);
