//! The risk gate and the month: each check that a paper account can meet is seen firing, and a spent month
//! closes everything until the next.

use robson_domain::{PositionId, Side};
use robsond::operator::{Arm, Command, Refused};

use crate::scenario::{LONG, Run, SHORT, START, Setup, calm, waiting};

/// So many times down through the stop and back to 100: each takes five seconds.
fn losers(count: u64) -> String {
    let one = |n: u64| calm(5 * n, &["100", "100", "98", "97.9", "100"]);
    (0..count).map(one).collect::<Vec<_>>().join(" ")
}

/// Loses a full trade in each of so many falls, from a second on.
async fn lose(run: &mut Run, first_second: u64, count: u64) -> Vec<PositionId> {
    let mut lost = Vec::new();
    for n in 0..count {
        run.until(first_second + 5 * n).await;
        lost.push(run.enter(LONG, "100", "98").await);
    }
    run.until(first_second + 5 * count - 1).await;
    lost
}

async fn denied(run: &mut Run, symbol: &str, side: Side, entry: &str, stop: &str) -> Vec<String> {
    let id = run.wait_on(symbol, side).await;
    let refused = run.signal(id, entry, stop).await.unwrap_err();
    assert!(matches!(refused, Refused::RiskDenied(_)), "{refused:?}");
    run.denials().await
}

#[tokio::test]
async fn a_one_way_venue_would_net_the_opposite_side() {
    let mut run = Setup::of(&calm(0, &["100", "100", "100", "98", "97.9", "98"])).open().await;
    run.until(0).await;
    let long = run.enter(LONG, "100", "98").await;
    assert_eq!(denied(&mut run, "BTCUSD", SHORT, "100", "102").await, ["duplicate_position"], "entering");
    run.until(1).await;
    let short = run.positions().await.into_iter().find(|p| p.side == SHORT).unwrap().position_id;
    assert!(run.signal(short, "100", "102").await.is_err(), "active");
    run.until(3).await;
    assert_eq!(run.position(long).await.state.to_string(), "exiting");
    assert!(run.signal(short, "98", "99").await.is_err(), "exiting");
    assert_eq!(run.denials().await, ["duplicate_position"; 3]);
    run.until(4).await;
    run.signal(short, "97.9", "99").await.unwrap();
    run.end().await;
    assert_eq!(run.position(short).await.state.to_string(), "active");
}

#[tokio::test]
async fn a_price_older_than_ninety_seconds_is_stale() {
    let feeds = [("BTCUSD", "0:100x9 60:100x9 90:100x9 91:100x9"), ("ETHUSD", "0:10x9")];
    let mut run = Setup::with_feeds(START, &feeds).open().await;
    run.until(91).await;
    assert_eq!(denied(&mut run, "ETHUSD", LONG, "10", "9.8").await, ["market_data_stale"]);
    run.end().await;
}

/// Two full losses and a third trade under way leave a little less than a full trade.
#[tokio::test]
async fn what_is_reserved_cannot_be_spent_twice() {
    let feeds = [("BTCUSD", losers(4)), ("ETHUSD", calm(0, &["10"; 20]))];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds(START, &feeds).open().await;
    lose(&mut run, 0, 2).await;
    run.until(10).await;
    run.enter(LONG, "100", "98").await;
    assert_eq!(denied(&mut run, "ETHUSD", LONG, "10", "9.8").await, ["risk_budget_insufficient"]);
    assert!(!run.risk().await.halted, "what is only reserved never halts");
    run.end().await;
}

/// With nearly all of the capital in one trade, the next is sized by what is left, or refused.
#[tokio::test]
async fn margin_that_is_used_is_not_there_for_the_next_trade() {
    let feeds = [("BTCUSD", calm(0, &["100"; 5])), ("ETHUSD", calm(0, &["10"; 5]))];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds(START, &feeds).open().await;
    run.until(0).await;
    let first = run.enter(LONG, "100", "99.8").await;
    run.until(1).await;
    assert_eq!(run.position(first).await.entry_quantity.unwrap().to_string(), "99");
    let second = run.wait_on("ETHUSD", LONG).await;
    run.signal(second, "10", "9.8").await.unwrap();
    run.until(2).await;
    let notional = run.position(second).await.exposure().unwrap();
    assert!(notional.to_string().parse::<f64>().unwrap() < 100.0, "{notional}");
    run.end().await;
}

/// A gap takes the month beyond 4 %: what is held is closed, what is armed is disarmed, and nothing is armed
/// until the next month, which opens with what is left.
#[tokio::test]
async fn a_spent_month_closes_everything_until_the_next() {
    let later = 22 * 24 * 3_600;
    let bitcoin =
        format!("{} {}", calm(0, &["100", "100", "100", "91", "90", "90", "90"]), calm(later, &["100"; 3]));
    let ether = format!("{} {}", calm(0, &["10"; 12]), calm(later, &["10", "10"]));
    let setup = Setup::with_feeds("2024-01-10T00:00:00Z", &[("BTCUSD", &bitcoin), ("ETHUSD", &ether)]);
    let mut run = setup.open().await;
    run.until(0).await;
    let lost = run.enter(LONG, "100", "98").await;
    let small = Arm { symbol: "ETHUSD".parse().unwrap(), capital: Some("100".parse().unwrap()), ..waiting() };
    let held = run.arm(&small).await;
    run.signal(held, "10", "9.8").await.unwrap();
    let armed = run.wait_on("ETHUSD", SHORT).await;
    run.until(3).await;
    assert!(!run.risk().await.halted, "a loss that is not realized does not halt");
    run.until(4).await;
    assert!(run.risk().await.halted);
    assert_eq!(run.risk().await.capital_base.to_string(), "10000");
    assert_eq!(run.told(armed).await, "cancelled");
    let refused = run.execute(&Command::Arm(waiting())).await.unwrap_err();
    assert!(matches!(&refused, Refused::NotReady(_)), "{refused:?}");
    run.restart().await;
    run.until(8).await;
    assert!(run.risk().await.halted, "a halt outlives a restart");
    assert_eq!(run.told(held).await, "closed by monthly_halt, 4.355 at 10, stop 9.8, made 0 for 0.0871");
    assert_eq!(run.position(lost).await.exit_reason.unwrap().to_string(), "trailing_stop");
    run.until(later).await;
    let risk = run.risk().await;
    assert_eq!((risk.halted, risk.period.to_string().as_str()), (false, "2024-02"));
    assert_eq!(risk.realized_net.to_string(), "0");
    assert_eq!(risk.capital_base.to_string(), "9556.08745");
    run.enter(LONG, "100", "98").await;
    run.end().await;
    assert_eq!(run.told_by("RISK_LIMIT_EXCEEDED", "action").await, ["cleared", "halt", "cleared"]);
}

/// The new base is the wallet less what the open position may still lose and 1 % for the armed one.
#[tokio::test]
async fn a_month_that_turns_over_an_open_position_carries_its_risk() {
    let feeds = [("BTCUSD", calm(0, &["100"; 30])), ("ETHUSD", calm(0, &["10"; 30]))];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds("2024-01-31T23:59:50Z", &feeds).open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.wait_on("ETHUSD", LONG).await;
    run.until(9).await;
    let latent = run.position(id).await.latent_risk;
    assert_eq!(latent, run.risk().await.latent_risk);
    run.end().await;
    let base = run.risk().await.capital_base;
    let wallet: robson_domain::Money = "9995.6445".parse().unwrap();
    let armed: robson_domain::Money = "100".parse().unwrap();
    assert_eq!(base, wallet.minus(latent).unwrap().minus(armed).unwrap());
    assert_eq!(run.position(id).await.state.to_string(), "active");
    assert_eq!(run.risk().await.latent_risk, latent, "what is held stays reserved");
}

/// A gain is not risked in the month in which it was made.
#[tokio::test]
async fn the_base_does_not_grow_within_a_month() {
    let mut run = Setup::of(&calm(0, &["100", "100", "110", "108", "100", "100", "100"])).open().await;
    run.until(0).await;
    let first = run.enter(LONG, "100", "98").await;
    run.until(5).await;
    assert_eq!(run.position(first).await.state.to_string(), "closed");
    let second = run.enter(LONG, "100", "98").await;
    run.end().await;
    let quantities = [run.position(first).await.entry_quantity, run.position(second).await.entry_quantity];
    assert_eq!(quantities[0], quantities[1]);
    assert_eq!(run.risk().await.capital_base.to_string(), "10000");
}

/// 5 s, doubling to 15 min.
#[tokio::test]
async fn a_confirmed_entry_that_is_denied_looks_again_later_and_later() {
    let mut run = Setup::of(&calm(0, &["100"; 40])).open().await;
    run.until(0).await;
    run.enter(LONG, "100", "98").await;
    let short = run.wait_on("BTCUSD", SHORT).await;
    let mut pauses = Vec::new();
    for second in 1..10 {
        run.until(second).await;
        run.signal(short, "100", "102").await.unwrap_err();
        let started = run.events("DETECTOR_STARTED").await.pop().unwrap();
        let not_before: robson_domain::Timestamp =
            started["params"]["not_before"].as_str().unwrap().parse().unwrap();
        pauses.push(not_before.micros_since(run.session.now()) / 1_000_000);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 900]);
    run.end().await;
}
