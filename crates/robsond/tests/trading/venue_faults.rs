//! A venue that refuses, loses and repeats: nothing is bought or sold twice, and no exit is given up.

use robson_domain::Timestamp;
use robson_venue::paper::FaultPlan;

use crate::scenario::{LONG, Run, Setup, fraction};

/// Prices that fall through the stop at 98 and stay there.
fn falling(seconds: u64) -> String {
    let after = (3..seconds).map(|second| format!(" {second}:97.9x1000")).collect::<String>();
    format!("0:100x1000 1:100x1000 2:98x1000{after}")
}

async fn enter_with(faults: FaultPlan) -> (Run, robson_domain::PositionId) {
    let setup = Setup::of(&falling(200)).change(|settings| settings.paper.faults = faults);
    let mut run = setup.open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    (run, id)
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_and_the_fill_counts_once() {
    let faults = FaultPlan { lost_reply: fraction("1"), ..FaultPlan::NONE };
    let (mut run, id) = enter_with(faults).await;
    assert_eq!(run.told(id).await, "entering");
    assert_eq!(run.orders(id).await, ["entry buy 43.555 submitted, 0"]);
    run.end().await;
    let expected = "closed by trailing_stop, 43.555 at 100, stop 98, made -91.4655 for 8.6195345";
    assert_eq!(run.told(id).await, expected);
    let outcomes = run.told_by("INTENT_COMPLETED", "outcome").await;
    assert_eq!(outcomes, ["unknown", "success", "unknown", "success"]);
}

/// The venue proves that it has no such order, so it is sent again under its id, two seconds later.
#[tokio::test]
async fn a_lost_order_is_sent_again_under_its_id() {
    let faults = FaultPlan { lost_request: fraction("1"), ..FaultPlan::NONE };
    let (mut run, id) = enter_with(faults).await;
    assert_eq!(run.told(id).await, "entering");
    run.until(1).await;
    assert_eq!(run.orders(id).await, ["entry buy 43.555 submitted, 0"]);
    run.setup.settings.paper.faults = FaultPlan::NONE;
    run.restart().await;
    assert_eq!(run.orders(id).await, ["entry buy 43.555 submitted, 0"], "it is not sent before its time");
    run.end().await;
    assert_eq!(run.position(id).await.state.to_string(), "closed");
    let orders = run.orders(id).await;
    assert_eq!(orders, ["entry buy 43.555 filled, 43.555", "exit sell 43.555 filled, 43.555"]);
}

/// An immediate try is over; a waiting one stays armed with a new detector after five seconds.
#[tokio::test]
async fn a_refused_entry_releases_its_risk_and_waits_for_a_fresh_signal() {
    let faults = FaultPlan { refusal: fraction("1"), ..FaultPlan::NONE };
    let (mut run, id) = enter_with(faults).await;
    assert_eq!(run.told(id).await, "armed");
    assert_eq!(run.orders(id).await, ["entry buy 43.555 rejected, 0"]);
    assert_eq!(run.risk().await.latent_risk.to_string(), "0");
    let params = run.events("DETECTOR_STARTED").await;
    let start = run.setup.start;
    assert_eq!(params[1]["params"]["not_before"], start.plus_micros(5_000_000).to_string());
    assert_eq!(params[1]["params"]["attempt"], 2);
    assert!(run.signal(id, "100", "98").await.is_ok(), "the operator may try again");
    run.end().await;
    assert_eq!(run.told(id).await, "armed");
    let pauses: Vec<_> = run.events("DETECTOR_STARTED").await;
    assert_eq!(pauses[2]["params"]["not_before"], start.plus_micros(10_000_000).to_string());
}

/// 1 s, 2 s, 4 s ... and the third refusal tells the operator. Found by trying seeds: the entry is taken and
/// the first four exits are not.
#[tokio::test]
async fn a_refused_exit_is_tried_again_ever_later_and_the_third_refusal_alarms() {
    let mut seen = 0;
    for seed in 0..400 {
        let faults = FaultPlan { seed, refusal: fraction("0.7"), ..FaultPlan::NONE };
        let (mut run, id) = enter_with(faults).await;
        run.end().await;
        let orders = run.orders(id).await;
        let refused =
            orders.iter().filter(|told| told.starts_with("exit") && told.contains("rejected")).count();
        if refused < 4 {
            continue;
        }
        seen += 1;
        let codes = run.told_by("OPERATOR_ALERT_RAISED", "code").await;
        assert_eq!(codes, ["exit_refused"], "seed {seed}");
        let sent = sent_at(&run).await;
        let pauses: Vec<i64> =
            sent.windows(2).map(|pair| pair[1].micros_since(pair[0]) / 1_000_000).collect();
        assert_eq!(pauses[..4], [1, 2, 4, 8], "seed {seed}");
        if seen == 3 {
            return;
        }
    }
    panic!("no seed refuses four exits");
}

/// When the exits were sent, oldest first.
async fn sent_at(run: &Run) -> Vec<Timestamp> {
    let orders = run.all_orders().await;
    let exits = orders.iter().filter(|order| order.role == robson_domain::OrderRole::Exit);
    exits.map(|order| order.meta.created_at).collect()
}

#[tokio::test]
async fn whatever_the_venue_loses_or_repeats_the_books_agree() {
    for seed in 0..40 {
        let faults = FaultPlan {
            seed,
            lost_request: fraction("0.3"),
            lost_reply: fraction("0.3"),
            refusal: fraction("0.3"),
            duplicate_report: fraction("0.5"),
        };
        let (mut run, id) = enter_with(faults).await;
        run.end().await;
        let state = run.position(id).await.state.to_string();
        assert!(["armed", "closed"].contains(&state.as_str()), "seed {seed}: {}", run.told(id).await);
    }
}
