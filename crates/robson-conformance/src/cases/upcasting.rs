//! Upcasting: what was written in an old revision is read as the newest, and what is newer is never skipped.

use std::sync::Arc;

use robson_eventlog::replay::fold_all;
use robson_eventlog::{Append, AppendError, NewEvent, ReplayError, RowQuery, Store, UpcastError, Value};
use serde_json::json;

use crate::erased::SharedStore;
use crate::fixtures::{RawWriter, append, event, typed, whole_log};
use crate::tally::{PRICED, RUNNING, TALLIES, Tally, UPCASTERS};
use crate::{Env, case};

/// The same fact as each revision has it: three pieces at 1.25.
fn priced(revision: i64) -> NewEvent {
    let payload = match revision {
        1 => json!({"cents": 125, "pieces": 3}),
        2 => json!({"each": "1.25", "pieces": 3}),
        _ => json!({"amount": "3.75", "note": "3 pieces"}),
    };
    NewEvent { schema_version: revision, ..typed(&format!("priced:{revision}"), PRICED, payload) }
}

/// The totals and notes of the streams, in the order of their keys.
async fn tallies(store: &SharedStore) -> anyhow::Result<Vec<(Option<Value>, Option<Value>)>> {
    let rows = store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
    let told = |column: &str, row: &robson_eventlog::Row| row.get(&TALLIES, column).cloned();
    Ok(rows.iter().map(|row| (told("total", row), told("note", row))).collect())
}

case!(
    /// An event of revision 1 is read and folded as revision 3; the log keeps it as it was written, and its hash.
    async fn v1_event_read_as_v3(env: &Env) -> CaseResult {
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![priced(1), priced(2), priced(3)]).await?;
        let store = env.reopen().await?;
        let log = whole_log(&store).await?;
        for (recorded, revision) in log.iter().zip(1..) {
            let written = priced(revision);
            assert_eq!((recorded.schema_version, &recorded.payload), (revision, &written.payload));
            assert_eq!(UPCASTERS.payload(recorded)?, priced(3).payload.value());
        }
        let told = tallies(&store).await?;
        let total = Value::decimal("3.75".parse()?);
        let expected = (Some(total), Some(Value::Text("3 pieces".to_owned())));
        assert_eq!(told, vec![expected; 3], "the rows that the append made");
        let replayed = fold_all(&*store, Env::TENANT, vec![Arc::new(Tally)], 3, drop).await?;
        let live = store.rows(Env::TENANT, &TALLIES, &RowQuery::all()).await?;
        assert_eq!(replayed.of_table(&TALLIES), live.iter().collect::<Vec<_>>());
        Ok(())
    }
);

case!(
    /// The steps run one after the other from the revision that was written, each once; what a step cannot take
    /// names the step.
    async fn upcaster_chain_order(env: &Env) -> CaseResult {
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let forms = [
            // Only the first step reads `cents`, and only the second `each`: another order could read none.
            (1, json!({"cents": 125, "pieces": 3, "each": "9"}), Ok("3.75")),
            (2, json!({"cents": 125, "pieces": 3, "each": "9"}), Ok("27")),
            (3, json!({"amount": "5", "cents": 125, "pieces": 3, "each": "9"}), Ok("5")),
            (1, json!({"each": "9", "pieces": 3}), Err("PRICED revision 1 as 2: no `cents`")),
            (1, json!({"cents": 125}), Err("PRICED revision 2 as 3: no `each`, or no `pieces`")),
            (0, json!({"cents": 125, "pieces": 3}), Err("PRICED has no revision 0")),
        ];
        let events = forms.clone().map(|(revision, payload, _)| NewEvent {
            schema_version: revision,
            ..typed("priced:1", PRICED, payload)
        });
        let batch = raw.batch(&events, "2026-01-15T12:00:00Z");
        raw.commit(&batch).await?;
        for (recorded, (revision, _, expected)) in whole_log(&env.store()).await?.iter().zip(forms) {
            let found = UPCASTERS.payload(recorded).map_err(|error| error.to_string());
            let amount = found.map(|payload| payload["amount"].as_str().unwrap_or_default().to_owned());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(amount, expected, "revision {revision}");
        }
        Ok(())
    }
);

case!(
    /// A revision that this program does not know stops the fold, in the append and in a replay; it is never
    /// passed over, and nothing after it is folded.
    async fn unknown_newer_schema_version_is_error_not_skip(env: &Env) -> CaseResult {
        let newer = || NewEvent { schema_version: 4, ..priced(3) };
        let ledger = env.tallying_ledger().await?;
        append(&ledger, vec![priced(1)]).await?;
        let refused = ledger.append(Append::events(vec![event("other:1", 1), newer()])).await;
        let reason = "PRICED revision 4 is newer than the known 3";
        assert!(matches!(&refused, Err(AppendError::Broken(what)) if what.contains(reason)), "{refused:?}");
        assert_eq!(whole_log(&env.store()).await?.len(), 1, "nothing of the request is durable");
        ledger.close().await;

        // As a newer program leaves it behind: in the log, between events that this one knows.
        let mut raw = RawWriter::acquire(env.store(), Env::TENANT).await?;
        let batch = raw.batch(&[newer(), event("other:1", 1)], "2026-01-15T12:00:01Z");
        raw.commit(&batch).await?;
        let store = env.reopen().await?;
        let log = whole_log(&store).await?;
        let unknown = UpcastError::Newer { event_type: PRICED.to_owned(), revision: 4, newest: 3 };
        assert_eq!(UPCASTERS.payload(&log[1]), Err(unknown));
        let replayed = fold_all(&*store, Env::TENANT, vec![Arc::new(Tally)], 3, drop).await;
        assert!(matches!(&replayed, Err(ReplayError::Fold { log_seq: 2, .. })), "{replayed:?}");
        let running = store.rows(Env::TENANT, &RUNNING, &RowQuery::all()).await?;
        assert_eq!(running[0].get(&RUNNING, "last_log_seq"), Some(&Value::Integer(1)));
        Ok(())
    }
);
