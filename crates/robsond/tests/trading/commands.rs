//! What the operator asks for: each command is carried out once, and answered alike ever after.

use robson_domain::events::PositionError;
use robson_domain::{PositionId, PositionState};
use robsond::operator::{Arm, Command, Refused};

use crate::scenario::{LONG, Run, SHORT, START, Setup, calm, filters, fraction, signal, waiting};

pub(crate) async fn quiet() -> Run {
    let mut run = Setup::of(&calm(0, &["100"; 30])).open().await;
    run.until(0).await;
    run
}

pub(crate) fn kind(refused: &Refused) -> &'static str {
    match refused {
        Refused::Invalid(_) => "invalid",
        Refused::NotFound(_) => "not found",
        Refused::WrongState(_) => "wrong state",
        Refused::Expired(_) => "expired",
        Refused::RiskDenied(_) => "denied",
        Refused::Mismatch(_) => "mismatch",
        Refused::NotReady(_) => "not ready",
        Refused::Unknown(_) => "unknown",
    }
}

#[tokio::test]
async fn an_arm_that_is_sent_again_is_answered_alike() {
    let mut run = quiet().await;
    let arm = Command::Arm(waiting());
    let first = run.execute_as(7, &arm).await.unwrap();
    assert_eq!(run.execute_as(7, &arm).await.unwrap(), first);
    let other = Command::Arm(Arm { side: SHORT, ..waiting() });
    assert_eq!(kind(&run.execute_as(7, &other).await.unwrap_err()), "mismatch");
    run.restart().await;
    assert_eq!(run.execute_as(7, &arm).await.unwrap(), first, "after a restart");
    run.end().await;
    assert_eq!(run.execute_as(7, &arm).await.unwrap(), first, "at the end");
    assert_eq!(run.positions().await.len(), 1);
}

#[tokio::test]
async fn an_arm_that_cannot_be_is_refused_with_its_reason() {
    let mut run = quiet().await;
    let base = waiting;
    let cases = [
        (Arm { capital: Some("0".parse().unwrap()), ..base() }, "invalid"),
        (Arm { risk: Some(fraction("0")), ..base() }, "invalid"),
        (Arm { risk: Some(fraction("0.0101")), ..base() }, "invalid"),
        (Arm { symbol: "XRPUSD".parse().unwrap(), ..base() }, "not found"),
    ];
    for (arm, expected) in cases {
        assert_eq!(kind(&run.execute(&Command::Arm(arm.clone())).await.unwrap_err()), expected, "{arm:?}");
    }
    assert!(run.positions().await.is_empty());
    run.arm(&base()).await;
    assert_eq!(kind(&run.execute(&Command::Arm(base())).await.unwrap_err()), "wrong state", "a twin");
    run.end().await;
}

#[tokio::test]
async fn nothing_is_armed_before_there_is_a_price() {
    let mut run = Setup::of(&calm(0, &["100"; 5])).open().await;
    let refused = run.execute_as(7, &Command::Arm(waiting())).await.unwrap_err();
    assert_eq!(kind(&refused), "not ready");
    run.end().await;
}

/// Brings a position into each state of its life.
async fn in_state(run: &mut Run, state: PositionState) -> PositionId {
    let id = run.wait_on("BTCUSD", LONG).await;
    let second = match state {
        PositionState::Armed => return id,
        PositionState::Entering => 0,
        PositionState::Active => 1,
        PositionState::Exiting => 2,
        _ => 3,
    };
    if state == PositionState::Cancelled {
        run.close(id).await.unwrap();
        return id;
    }
    run.signal(id, "100", "98").await.unwrap();
    run.until(second).await;
    assert_eq!(run.position(id).await.state, state);
    id
}

const STATES: [PositionState; 6] = [
    PositionState::Armed,
    PositionState::Entering,
    PositionState::Active,
    PositionState::Exiting,
    PositionState::Closed,
    PositionState::Cancelled,
];

async fn falling() -> Run {
    let mut run = Setup::of(&calm(0, &["100", "100", "98", "97.9", "97", "97"])).open().await;
    run.until(0).await;
    run
}

#[tokio::test]
async fn only_an_armed_position_can_be_disarmed() {
    for state in STATES {
        let mut run = falling().await;
        let position_id = in_state(&mut run, state).await;
        let answer = run.execute_as(7, &Command::Disarm { position_id }).await;
        match state {
            PositionState::Armed => {
                assert_eq!(answer.as_ref().unwrap().positions[0].state, PositionState::Cancelled);
            }
            _ => assert_eq!(kind(answer.as_ref().unwrap_err()), "wrong state", "{state}"),
        }
        run.restart().await;
        assert_eq!(run.execute_as(7, &Command::Disarm { position_id }).await, answer, "{state}");
        run.end().await;
    }
    let mut run = falling().await;
    let unknown = Command::Disarm { position_id: PositionId(uuid::Uuid::nil()) };
    assert_eq!(kind(&run.execute(&unknown).await.unwrap_err()), "not found");
}

#[tokio::test]
async fn a_live_position_can_be_closed_in_every_state() {
    let cases = [
        (PositionState::Armed, PositionState::Cancelled, "cancelled"),
        (PositionState::Entering, PositionState::Entering, "cancelled by disarmed_by_user"),
        (
            PositionState::Active,
            PositionState::Exiting,
            "closed by disarmed_by_user, 43.555 at 100, stop 98, made -87.11 for 8.62389",
        ),
        (
            PositionState::Exiting,
            PositionState::Exiting,
            "closed by trailing_stop, 43.555 at 100, stop 98, made -91.4655 for 8.6195345",
        ),
    ];
    for (state, at_once, at_end) in cases {
        let mut run = falling().await;
        let id = in_state(&mut run, state).await;
        let close = Command::Close { position_id: id };
        let answer = run.execute_as(7, &close).await;
        assert_eq!(answer.as_ref().unwrap().positions[0].state, at_once, "{state}");
        assert_eq!(run.execute_as(7, &close).await, answer, "{state}: sent again");
        run.restart().await;
        assert_eq!(run.execute_as(7, &close).await, answer, "{state}: after a restart");
        run.end().await;
        assert_eq!(run.execute_as(7, &close).await, answer, "{state}: at the end");
        assert_eq!(run.told(id).await, at_end, "{state}");
    }
    for state in [PositionState::Closed, PositionState::Cancelled] {
        let mut run = falling().await;
        let id = in_state(&mut run, state).await;
        assert_eq!(run.close(id).await.unwrap().positions[0].state, state, "what has ended stays as it is");
    }
}

/// What is held and cannot be sold is in error; cleared, it is watched as before, and a new touch is a new exit.
#[tokio::test]
async fn clearing_an_error_watches_what_is_held_again() {
    let feed = "0:100x9 1:100x2 2:98x0 3:90x1000 4:99x1000 5:99.5x1000 6:97x1000 7:97x1000";
    let setup = Setup::of(feed).change(|settings| {
        settings.symbols.insert("BTCUSD".parse().unwrap(), filters("0.001", "5", "1"));
    });
    let mut run = setup.open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    let clear = Command::Clear { position_id: id };
    assert_eq!(kind(&run.execute(&clear).await.unwrap_err()), "wrong state", "entering");
    run.until(4).await;
    assert_eq!(run.position(id).await.state, PositionState::Error);
    let disarm = Command::Disarm { position_id: id };
    assert_eq!(kind(&run.execute(&disarm).await.unwrap_err()), "wrong state", "it holds something");
    let answer = run.execute_as(7, &clear).await;
    assert_eq!(answer.as_ref().unwrap().positions[0].state, PositionState::Active);
    run.restart().await;
    assert_eq!(run.execute_as(7, &clear).await, answer);
    run.until(5).await;
    assert_eq!(run.told(id).await, "active, 2 at 100, holds 2, stop 98, made 0 for 0.2");
    assert_eq!(kind(&run.execute(&clear).await.unwrap_err()), "wrong state", "there is nothing to clear");
    run.end().await;
    assert_eq!(run.told_by("POSITION_ERROR", "cleared").await, ["false", "true", "false"]);
    assert_eq!(run.position(id).await.state, PositionState::Error, "what is left is still too little");
}

/// An error that holds nothing ends, be it cleared or disarmed, and its detector with it.
#[tokio::test]
async fn clearing_an_error_that_holds_nothing_ends_the_position() {
    for is_cleared in [true, false] {
        let mut run = quiet().await;
        let id = run.wait_on("BTCUSD", LONG).await;
        let error = "the books do not add up".to_owned();
        run.record(PositionError { position_id: id, error, recoverable: false, cleared: false }).await;
        assert_eq!(run.told(id).await, "error, error the books do not add up");
        assert_eq!(run.close(id).await.unwrap().positions[0].state, PositionState::Error);
        let command =
            if is_cleared { Command::Clear { position_id: id } } else { Command::Disarm { position_id: id } };
        assert_eq!(run.execute(&command).await.unwrap().positions[0].state, PositionState::Cancelled);
        run.wait_on("BTCUSD", LONG).await;
        run.end().await;
        let (begun, ended) = (run.events("DETECTOR_STARTED").await, run.events("DETECTOR_STOPPED").await);
        assert_eq!((begun.len(), ended.len()), (2, 1));
        assert_eq!(begun[0]["detector_id"], ended[0]["detector_id"]);
    }
    let mut run = quiet().await;
    let unknown = Command::Clear { position_id: PositionId(uuid::Uuid::nil()) };
    assert_eq!(kind(&run.execute(&unknown).await.unwrap_err()), "not found");
}

/// Half of the entry is bought when it is closed: the rest is cancelled and the half is sold.
#[tokio::test]
async fn a_close_in_mid_entry_sells_what_was_bought() {
    let mut run = Setup::of("0:100x9 1:100x10 2:100x0 3:99x1000 4:99x1000").open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.until(2).await;
    run.close(id).await.unwrap();
    run.end().await;
    assert_eq!(run.orders(id).await, ["entry buy 43.555 canceled, 10", "exit sell 10 filled, 10"]);
    assert_eq!(run.told(id).await, "closed by disarmed_by_user, 10 at 100, stop 98, made -10 for 1.99");
}

#[tokio::test]
async fn a_panic_ends_everything_and_sells_what_is_held() {
    let feeds = [("BTCUSD", calm(0, &["100"; 9])), ("ETHUSD", calm(0, &["10"; 9]))];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds(START, &feeds).open().await;
    run.until(0).await;
    let bitcoin = run.enter(LONG, "100", "98").await;
    run.until(2).await;
    let ether = run.wait_on("ETHUSD", SHORT).await;
    run.signal(ether, "10", "10.2").await.unwrap();
    let armed = run.wait_on("ETHUSD", LONG).await;
    let answer = run.execute_as(7, &Command::Panic).await;
    assert_eq!(answer.as_ref().unwrap().positions.len(), 3);
    run.restart().await;
    assert_eq!(run.execute_as(7, &Command::Panic).await, answer);
    run.end().await;
    let expected = "closed by user_panic, 43.555 at 100, stop 98, made 0 for 8.711";
    assert_eq!(run.told(bitcoin).await, expected);
    assert_eq!(run.told(ether).await, "cancelled by user_panic");
    assert_eq!(run.told(armed).await, "cancelled");
    let again = run.execute_as(8, &Command::Panic).await.unwrap();
    assert!(again.positions.is_empty(), "there is nothing left to close");
}

#[tokio::test]
async fn a_signal_by_hand_is_checked_like_a_detectors() {
    let mut run = quiet().await;
    let id = run.wait_on("BTCUSD", LONG).await;
    for (entry, stop) in [("100", "102"), ("100", "100"), ("100", "99.95"), ("100", "89")] {
        let refused = run.signal(id, entry, stop).await.unwrap_err();
        assert_eq!(kind(&refused), "invalid", "{entry} {stop}");
    }
    assert!(run.events("SIGNAL_DETECTED").await.is_empty());
    let answer = run.execute_as(7, &signal(id, "100", "98")).await;
    assert_eq!(answer.as_ref().unwrap().positions[0].state, PositionState::Entering);
    assert_eq!(run.execute_as(7, &signal(id, "100", "98")).await, answer);
    run.restart().await;
    assert_eq!(run.execute_as(7, &signal(id, "100", "98")).await, answer);
    run.until(3).await;
    assert_eq!(kind(&run.signal(id, "100", "98").await.unwrap_err()), "wrong state");
    let unknown = PositionId(uuid::Uuid::nil());
    assert_eq!(kind(&run.signal(unknown, "100", "98").await.unwrap_err()), "not found");
    run.end().await;
    assert_eq!(run.told(id).await, "active, 43.555 at 100, holds 43.555, stop 98, made 0 for 4.3555");
}
