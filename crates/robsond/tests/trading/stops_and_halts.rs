//! The operator bars entries, for a while or for the month: exits go on, and nothing undoes a halt but the calendar.

use robson_domain::PositionState;
use robsond::operator::{Command, Refused};

use crate::commands::kind;
use crate::scenario::{LONG, Run, SHORT, Setup, calm, waiting};

fn halt() -> Command {
    Command::Halt { reason: "the strategy is broken".parse().unwrap() }
}

fn entries(enabled: bool) -> Command {
    Command::Entries { enabled, reason: "news at noon".parse().unwrap() }
}

async fn actions(run: &Run) -> Vec<String> {
    run.told_by("RISK_LIMIT_EXCEEDED", "action").await
}

#[tokio::test]
async fn a_halt_by_hand_closes_everything_and_lasts_until_the_next_month() {
    let later = 22 * 24 * 3_600;
    let feeds = [
        ("BTCUSD", format!("{} {}", calm(0, &["100"; 9]), calm(later, &["100"; 3]))),
        ("ETHUSD", format!("{} {}", calm(0, &["10"; 9]), calm(later, &["10"; 3]))),
    ];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds("2024-01-10T00:00:00Z", &feeds).open().await;
    run.until(0).await;
    let held = run.enter(LONG, "100", "98").await;
    run.until(2).await;
    let armed = run.wait_on("ETHUSD", SHORT).await;
    let answer = run.execute_as(7, &halt()).await;
    let done = answer.clone().unwrap();
    assert_eq!(done.positions.len(), 2);
    assert!(done.account.unwrap().halted);
    assert_eq!(run.execute_as(7, &halt()).await, answer, "sent again");
    run.restart().await;
    assert_eq!(run.execute_as(7, &halt()).await, answer, "after a restart");
    run.until(5).await;
    let expected = "closed by monthly_halt, 43.555 at 100, stop 98, made 0 for 8.711";
    assert_eq!(run.told(held).await, expected);
    assert_eq!(run.position(armed).await.state, PositionState::Cancelled);
    assert_eq!(kind(&run.execute(&Command::Arm(waiting())).await.unwrap_err()), "not ready");
    run.execute(&entries(true)).await.unwrap();
    assert!(run.risk().await.halted, "resuming entries is no reset");
    assert!(run.execute(&halt()).await.unwrap().positions.is_empty(), "a second halt finds nothing to do");
    run.until(later).await;
    assert!(!run.risk().await.halted);
    run.enter(LONG, "100", "98").await;
    run.end().await;
    assert_eq!(actions(&run).await, ["cleared", "halt", "cleared"]);
    assert_eq!(run.told_by("RISK_LIMIT_EXCEEDED", "limit").await, ["operator"; 3]);
    assert_eq!(run.told_by("RISK_LIMIT_EXCEEDED", "reason").await[1], "the strategy is broken");
    assert_eq!(run.told_by("OPERATOR_ALERT_RAISED", "code").await, ["monthly_halt"]);
}

#[tokio::test]
async fn a_halt_cancels_an_entry_on_its_way() {
    let mut run = Setup::of("0:100x9 1:100x10 2:100x0 3:99x1000 4:99x1000").open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.until(2).await;
    run.execute(&halt()).await.unwrap();
    run.end().await;
    assert_eq!(run.orders(id).await, ["entry buy 43.555 canceled, 10", "exit sell 10 filled, 10"]);
    assert_eq!(run.told(id).await, "closed by monthly_halt, 10 at 100, stop 98, made -10 for 1.99");
}

/// What is held is still sold at its stop; what is armed does not enter.
#[tokio::test]
async fn stopped_entries_bar_entries_and_nothing_else() {
    let feeds = [
        ("BTCUSD", calm(0, &["100", "100", "100", "98", "97.9", "98", "98"])),
        ("ETHUSD", calm(0, &["10"; 9])),
    ];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds(crate::scenario::START, &feeds).open().await;
    run.until(0).await;
    let held = run.enter(LONG, "100", "98").await;
    let armed = run.wait_on("ETHUSD", LONG).await;
    run.until(1).await;
    let answer = run.execute_as(7, &entries(false)).await;
    assert!(answer.as_ref().unwrap().account.unwrap().entries_stopped);
    run.restart().await;
    assert_eq!(run.execute_as(7, &entries(false)).await, answer);
    assert!(run.risk().await.entries_stopped, "it outlives a restart");
    let refused = run.signal(armed, "10", "9.8").await.unwrap_err();
    assert!(matches!(refused, Refused::RiskDenied(_)), "{refused:?}");
    assert_eq!(run.denials().await, ["entries_stopped"]);
    assert_eq!(kind(&run.execute(&Command::Arm(waiting())).await.unwrap_err()), "not ready");
    run.execute(&entries(false)).await.unwrap();
    run.until(5).await;
    assert_eq!(run.position(held).await.state, PositionState::Closed, "exits go on");
    run.execute(&entries(true)).await.unwrap();
    run.signal(armed, "10", "9.8").await.unwrap();
    run.execute(&entries(true)).await.unwrap();
    run.end().await;
    assert_eq!(run.position(armed).await.state, PositionState::Active);
    assert_eq!(actions(&run).await, ["cleared", "stop_entries", "cleared"], "a repeat changes nothing");
}

#[tokio::test]
async fn neither_is_decided_before_a_month_is_open() {
    let mut run = Setup::of(&calm(0, &["100"; 3])).open().await;
    for command in [halt(), entries(false)] {
        assert_eq!(kind(&run.execute(&command).await.unwrap_err()), "not ready");
    }
    run.end().await;
}
