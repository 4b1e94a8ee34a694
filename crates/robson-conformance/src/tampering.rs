//! Tampering as plain SQL, which reads the same on every database; what keeps it out is the harness's to put aside.

use robson_eventlog::TenantId;

use crate::harness::Tampering;

const EVENT: &str = "event_id, stream_key, seq, event_type, payload_schema_version, payload, occurred_at, ingested_at, \
                     idempotency_key, trace_id, causation_id, command_id, workflow_id, actor_type, actor_id, prev_hash, \
                     hash";

/// Beyond every place, so that renumbered events do not meet on their way.
const AWAY: i64 = 1_000_000;

/// The statements that tamper with a tenant's tables, one after the other.
pub fn tampered_sql(tenant: TenantId, tampering: Tampering) -> Vec<String> {
    let of = format!("tenant_id = '{tenant}'");
    let event =
        |set: &str, place: i64| format!("UPDATE event_log SET {set} WHERE {of} AND log_seq = {place}");
    let moved = |set: &str, from: i64| format!("UPDATE event_log SET {set} WHERE {of} AND log_seq > {from}");
    let copy = |place: i64, to: &str| {
        format!(
            "INSERT INTO event_log (tenant_id, log_seq, {EVENT}) \
             SELECT tenant_id, {to}, {EVENT} FROM event_log WHERE {of} AND log_seq = {place}"
        )
    };
    match tampering {
        Tampering::EditPayload(place) => vec![event("payload = '{\"amount\":\"1000\"}'", place)],
        Tampering::EditTime(place) => vec![event("occurred_at = '2026-01-01T00:00:00.000000Z'", place)],
        Tampering::EditVersion(place) => vec![event("seq = seq + 1", place)],
        Tampering::DeleteEvent(place) => {
            vec![format!("DELETE FROM event_log WHERE {of} AND log_seq = {place}")]
        }
        Tampering::AddEvent(place) => {
            vec![copy(place, &format!("(SELECT max(log_seq) + 1 FROM event_log WHERE {of})"))]
        }
        Tampering::InsertEvent(place) => vec![
            moved(&format!("log_seq = log_seq + {AWAY}"), place),
            moved(&format!("log_seq = log_seq - {}", AWAY - 1), AWAY),
            copy(place, &(place + 1).to_string()),
            format!("UPDATE log_head SET log_seq = log_seq + 1 WHERE {of}"),
        ],
        Tampering::SwapEvents(a, b) => vec![
            event(&format!("log_seq = {AWAY}"), a),
            event(&format!("log_seq = {a}"), b),
            event(&format!("log_seq = {b}"), AWAY),
        ],
        Tampering::EditHead => vec![format!(
            "UPDATE log_head SET chain_hash = (SELECT hash FROM event_log WHERE {of} AND log_seq = 1) WHERE {of}"
        )],
        Tampering::EditStream => {
            vec![format!("UPDATE stream_state SET last_seq = last_seq + 1 WHERE {of} AND stream_key = 'a:1'")]
        }
        Tampering::DeleteStream => {
            vec![format!("DELETE FROM stream_state WHERE {of} AND stream_key = 'b:1'")]
        }
        Tampering::AddStream => {
            vec![format!(
                "INSERT INTO stream_state (tenant_id, stream_key, last_seq) VALUES ('{tenant}', 'x:1', 1)"
            )]
        }
        Tampering::EditKey => vec![format!(
            "UPDATE event_idempotency SET idempotency_key = 'idem_0' WHERE {of} AND dedupe_key = 'k/1'"
        )],
        Tampering::DeleteKey => {
            vec![format!("DELETE FROM event_idempotency WHERE {of} AND dedupe_key = 'k/2'")]
        }
        Tampering::AddKey => vec![format!(
            "INSERT INTO event_idempotency (tenant_id, dedupe_key, idempotency_key, event_id, log_seq) \
             SELECT tenant_id, 'x/1', idempotency_key, event_id, {AWAY} FROM event_log WHERE {of} AND log_seq = 1"
        )],
        Tampering::DeleteCommandKey => {
            vec![format!("DELETE FROM event_idempotency WHERE {of} AND dedupe_key LIKE 'cmd/%1'")]
        }
        Tampering::DeleteCommand => {
            vec![format!("DELETE FROM commands WHERE {of} AND command_type = 'second'")]
        }
        Tampering::EditRow => {
            vec![format!("UPDATE suite_tallies SET note = 'edited' WHERE {of} AND stream_key = 'a:1'")]
        }
        Tampering::DeleteRow => vec![format!("DELETE FROM suite_tallies WHERE {of} AND stream_key = 'b:1'")],
        Tampering::AddRow => vec![format!(
            "INSERT INTO suite_tallies (tenant_id, stream_key, events, total, last_log_seq, happened_at, is_even, \
             last_payload, last_hash, note, trace_id) SELECT tenant_id, 'x:1', events, total, last_log_seq, \
             happened_at, is_even, last_payload, last_hash, note, trace_id FROM suite_tallies \
             WHERE {of} AND stream_key = 'keyed:1'"
        )],
        Tampering::EditSnapshot => vec![format!(
            "UPDATE snapshots SET snapshot_payload = (SELECT snapshot_payload FROM snapshots \
             WHERE {of} AND scope_id = 'b:1') WHERE {of} AND scope_id = 'a:1'"
        )],
    }
}
