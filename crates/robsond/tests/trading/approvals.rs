//! Approvals: an entry waits for the operator with its risk reserved, and is decided anew when it is approved.

use robson_domain::{ApprovalMode, CommandId, DecisionId, EntryMode, Money, PositionId, PositionState};
use robsond::operator::{Arm, Command, Refused};
use robsond::questions::waiting_entries;
use robsond::session::DEFAULT_TENANT;

use crate::commands::kind;
use crate::restarts::poll_then_drop;
use crate::scenario::{Run, Setup, calm, hours, waiting, zigzag};

/// A chart, then a price a second; armed at its end, so that the entry waits from the next second on.
async fn proposed(after: &[&str]) -> (Run, PositionId, DecisionId) {
    proposed_on(EntryMode::Immediate, &calm(hours(28) + 1, after)).await
}

/// Armed where the chart ends, and stopped at the tick that proposes the entry.
async fn proposed_on(entry: EntryMode, after: &str) -> (Run, PositionId, DecisionId) {
    let mut run = Setup::of(&format!("{} {after}", zigzag(112))).open().await;
    run.until(hours(28)).await;
    let id = run.arm(&Arm { entry, approval: ApprovalMode::HumanConfirmation, ..waiting() }).await;
    while run.events("DECISION_PROPOSED").await.is_empty() {
        assert!(run.session.step().await.unwrap(), "the entry is proposed");
    }
    let waiting = waiting_entries(run.databases.trader.as_ref(), DEFAULT_TENANT).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].expires_at.micros_since(waiting[0].proposed_at), 300_000_000);
    (run, id, waiting[0].decision_id)
}

async fn rejections(run: &Run) -> Vec<String> {
    run.told_by("SIGNAL_REJECTED", "reason_code").await
}

/// What is no longer waiting reserves nothing and has no stop.
async fn check_forgotten(run: &Run, id: PositionId) {
    let position = run.position(id).await;
    assert_eq!((position.planned_risk, position.technical_stop_price), (None, None));
    assert_eq!((position.entry_signal_id, position.latent_risk), (None, Money::ZERO));
    assert_eq!(run.risk().await.latent_risk, Money::ZERO);
    assert!(waiting_entries(run.databases.trader.as_ref(), DEFAULT_TENANT).await.unwrap().is_empty());
}

/// The stop, the size and the risk are those of the price at which it is approved.
#[tokio::test]
async fn an_approved_entry_is_decided_anew_and_sent() {
    let (mut run, id, decision_id) = proposed(&["100", "100", "101", "101", "101"]).await;
    assert_eq!(run.position(id).await.state, PositionState::Armed);
    let reserved = run.position(id).await.latent_risk;
    assert!(reserved > Money::ZERO);
    assert_eq!(run.risk().await.latent_risk, reserved, "its risk is reserved while it waits");
    assert!(run.events("ORDER_SUBMITTED").await.is_empty());
    run.until(hours(28) + 3).await;
    let answer = run.execute_as(7, &Command::Approve { decision_id }).await;
    assert_eq!(answer.as_ref().unwrap().positions[0].state, PositionState::Entering);
    assert_eq!(run.execute_as(7, &Command::Approve { decision_id }).await, answer, "sent again");
    let again = run.execute(&Command::Approve { decision_id }).await.unwrap_err();
    assert_eq!(kind(&again), "wrong state");
    run.restart().await;
    assert_eq!(run.execute_as(7, &Command::Approve { decision_id }).await, answer, "after a restart");
    run.end().await;
    assert_eq!(run.position(id).await.state, PositionState::Active);
    assert_eq!(run.told_by("DECISION_PROPOSED", "entry_price").await, ["100", "101"]);
    let expiries = run.events("DECISION_PROPOSED").await;
    assert_eq!(
        expiries.iter().map(|event| event["approval_expires_at"].is_null()).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(run.told_by("OPERATOR_ALERT_RAISED", "code").await, ["approval_granted"]);
    assert_eq!(run.told_by("OPERATOR_ALERT_RAISED", "subject_id").await, [decision_id.to_string()]);
    assert_eq!(run.events("TECHNICAL_STOP_ANALYZED").await.len(), 2);
}

/// Between two ticks the price has not moved: the second decision is another one all the same.
#[tokio::test]
async fn an_entry_can_be_approved_at_the_tick_that_proposed_it() {
    let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
    run.execute(&Command::Approve { decision_id }).await.unwrap();
    run.end().await;
    assert_eq!(run.position(id).await.state, PositionState::Active);
    let ids = run.told_by("DECISION_PROPOSED", "decision_id").await;
    assert_eq!(ids[0], decision_id.to_string());
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_denied_entry_is_over() {
    let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
    let answer = run.execute_as(7, &Command::Deny { decision_id }).await;
    assert_eq!(answer.as_ref().unwrap().positions[0].state, PositionState::Cancelled);
    assert_eq!(run.execute_as(7, &Command::Deny { decision_id }).await, answer);
    check_forgotten(&run, id).await;
    for command in [Command::Approve { decision_id }, Command::Deny { decision_id }] {
        assert_eq!(kind(&run.execute(&command).await.unwrap_err()), "wrong state");
    }
    run.end().await;
    assert_eq!(rejections(&run).await, ["approval_denied"]);
    let unknown = Command::Approve { decision_id: DecisionId(uuid::Uuid::nil()) };
    assert_eq!(kind(&run.execute(&unknown).await.unwrap_err()), "not found");
}

/// It falls for six quarters of an hour and rises until the averages cross.
#[tokio::test]
async fn a_confirmed_entry_that_is_denied_waits_for_a_fresh_signal() {
    let prices = [99, 98, 97, 96, 95, 95, 98, 101, 104, 104, 104, 104, 104, 104];
    let quarters =
        (112_u64..).zip(prices).map(|(quarter, price)| format!("{}:{price}x1000", quarter * 900 + 1));
    let market = quarters.collect::<Vec<_>>().join(" ");
    let (mut run, id, decision_id) = proposed_on(EntryMode::ConfirmedTrend, &market).await;
    let denied = run.execute(&Command::Deny { decision_id }).await.unwrap();
    assert_eq!(denied.positions[0].state, PositionState::Armed);
    check_forgotten(&run, id).await;
    let detectors = run.events("DETECTOR_STARTED").await;
    assert_eq!(detectors.len(), 2);
    assert_eq!(detectors[1]["params"]["attempt"], 2);
    run.restart().await;
    run.end().await;
    assert_eq!(run.position(id).await.state, PositionState::Armed);
    assert_eq!(rejections(&run).await, ["approval_denied"]);
    assert_eq!(run.strategies().await[0].total_signals, 1);
}

/// However far it came: sent again it has happened, or the restart has ended the wait.
#[tokio::test]
async fn an_approval_that_is_cut_off_and_sent_again_enters_once_or_not_at_all() {
    let (mut entered, mut ended) = (0, 0);
    for polls in 0..12 {
        let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
        let approve = Command::Approve { decision_id };
        let command_id = CommandId(uuid::Uuid::from_u128(7));
        drop(poll_then_drop(run.session.execute(command_id, "test", &approve), polls).await);
        run.restart().await;
        let answer = run.execute_as(7, &approve).await;
        run.end().await;
        let orders = run.events("ORDER_SUBMITTED").await.len();
        match answer {
            Ok(_) => {
                assert_eq!((run.position(id).await.state, orders), (PositionState::Active, 1), "{polls}");
                entered += 1;
            }
            Err(refused) => {
                assert!(matches!(refused, Refused::Expired(_)), "{refused:?} after {polls} waits");
                assert_eq!((run.position(id).await.state, orders), (PositionState::Cancelled, 0), "{polls}");
                ended += 1;
            }
        }
    }
    assert!(entered > 0 && ended > 0, "{entered} entered, {ended} ended");
}

/// 300 s by the feed's clock, and not a second sooner.
#[tokio::test]
async fn an_entry_waits_for_three_hundred_seconds() {
    let prices = ["100"; 400];
    let (mut run, id, decision_id) = proposed(&prices).await;
    run.until(hours(28) + 300).await;
    assert!(rejections(&run).await.is_empty());
    run.until(hours(28) + 301).await;
    assert_eq!(rejections(&run).await, ["approval_expired"]);
    check_forgotten(&run, id).await;
    let late = run.execute_as(7, &Command::Approve { decision_id }).await;
    assert!(matches!(late, Err(Refused::Expired(_))), "{late:?}");
    run.end().await;
    assert_eq!(run.position(id).await.state, PositionState::Cancelled);
    assert_eq!(run.execute_as(7, &Command::Approve { decision_id }).await, late);
}

#[tokio::test]
async fn a_restart_ends_the_wait() {
    let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
    run.restart().await;
    let late = run.execute(&Command::Approve { decision_id }).await;
    assert!(matches!(late, Err(Refused::Expired(_))), "{late:?}");
    check_forgotten(&run, id).await;
    run.end().await;
    assert_eq!(rejections(&run).await, ["approval_interrupted"]);
    assert_eq!(run.position(id).await.state, PositionState::Cancelled);
}

/// What the risk gate no longer admits is not entered, whoever approves it.
#[tokio::test]
async fn an_approval_does_not_override_the_risk_gate() {
    let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
    let stop = Command::Entries { enabled: false, reason: "news at noon".parse().unwrap() };
    run.execute(&stop).await.unwrap();
    let refused = run.execute_as(7, &Command::Approve { decision_id }).await;
    assert_eq!(kind(refused.as_ref().unwrap_err()), "denied");
    assert_eq!(run.denials().await, ["entries_stopped"]);
    check_forgotten(&run, id).await;
    run.restart().await;
    assert_eq!(run.execute_as(7, &Command::Approve { decision_id }).await, refused);
    run.end().await;
    assert!(run.events("ORDER_SUBMITTED").await.is_empty());
}

/// A waiting entry ends with its position, however that ends.
#[tokio::test]
async fn a_position_that_ends_waits_for_nobody() {
    for disarms in [true, false] {
        let (mut run, id, decision_id) = proposed(&["100", "100", "100"]).await;
        let command = if disarms { Command::Disarm { position_id: id } } else { Command::Panic };
        run.execute(&command).await.unwrap();
        assert_eq!(run.risk().await.latent_risk, Money::ZERO);
        assert_eq!(kind(&run.execute(&Command::Approve { decision_id }).await.unwrap_err()), "wrong state");
        run.end().await;
        assert_eq!(run.position(id).await.state, PositionState::Cancelled);
        let (begun, ended) = (run.events("DETECTOR_STARTED").await, run.events("DETECTOR_STOPPED").await);
        assert_eq!((begun.len(), ended.len()), (1, 1));
    }
}

/// What the operator enters by hand needs no second word of his.
#[tokio::test]
async fn a_signal_by_hand_is_its_own_approval() {
    let mut run = crate::commands::quiet().await;
    let id = run.arm(&Arm { approval: ApprovalMode::HumanConfirmation, ..waiting() }).await;
    run.signal(id, "100", "98").await.unwrap();
    run.end().await;
    assert_eq!(run.position(id).await.state, PositionState::Active);
}
