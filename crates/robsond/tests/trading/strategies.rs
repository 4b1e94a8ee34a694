//! Strategies: what the operator sets holds, their limits deny, and their counters follow their trades.

use robson_domain::{Money, RiskConfig, StrategyId, StrategyState};
use robsond::operator::{Arm, Command, Done, NewStrategy, Refused, StrategyUpdate};

use crate::commands::kind;
use crate::scenario::{LONG, Run, SHORT, START, Setup, calm, waiting};

fn limits(max_exposure: &str, daily_loss_limit: &str) -> RiskConfig {
    let money = |text: &str| (!text.is_empty()).then(|| text.parse::<Money>().unwrap());
    RiskConfig { max_exposure: money(max_exposure), daily_loss_limit: money(daily_loss_limit) }
}

fn breakout(risk_config: RiskConfig) -> Command {
    Command::CreateStrategy(NewStrategy {
        name: "breakout".parse().unwrap(),
        kind: "trend".parse().unwrap(),
        detector_config: None,
        risk_config,
    })
}

/// Makes a strategy that may enter.
async fn enabled(run: &mut Run, risk_config: RiskConfig) -> StrategyId {
    let strategy_id = made(run.execute(&breakout(risk_config)).await);
    run.execute(&Command::EnableStrategy { strategy_id }).await.unwrap();
    strategy_id
}

fn made(answer: Result<Done, Refused>) -> StrategyId {
    answer.unwrap().strategy.unwrap().strategy_id
}

async fn told(run: &Run, id: StrategyId) -> StrategyState {
    run.strategies().await.into_iter().find(|strategy| strategy.strategy_id == id).unwrap()
}

fn arm_of(strategy_id: StrategyId) -> Arm {
    Arm { strategy_id: Some(strategy_id), ..waiting() }
}

async fn two_markets(bitcoin: &[&str], ether: &[&str]) -> Run {
    let feeds = [("BTCUSD", calm(0, bitcoin)), ("ETHUSD", calm(0, ether))];
    let feeds: Vec<(&str, &str)> = feeds.iter().map(|(symbol, trades)| (*symbol, trades.as_str())).collect();
    let mut run = Setup::with_feeds(START, &feeds).open().await;
    run.until(0).await;
    run
}

#[tokio::test]
async fn a_strategy_is_made_enabled_changed_and_disabled_once_each() {
    let mut run = crate::commands::quiet().await;
    let create = breakout(limits("5000", ""));
    let answer = run.execute_as(7, &create).await;
    let id = made(answer.clone());
    assert_eq!(run.execute_as(7, &create).await, answer, "sent again");
    run.restart().await;
    assert_eq!(run.execute_as(7, &create).await, answer, "after a restart");
    assert_eq!(kind(&run.execute(&create).await.unwrap_err()), "wrong state", "the name is taken");
    let strategy = told(&run, id).await;
    assert!(!strategy.is_enabled);
    assert_eq!((strategy.config_version, strategy.strategy_type.as_str()), (1, "trend"));
    assert_eq!(
        kind(&run.execute(&Command::Arm(arm_of(id))).await.unwrap_err()),
        "wrong state",
        "not enabled"
    );

    for _ in 0..2 {
        run.execute(&Command::EnableStrategy { strategy_id: id }).await.unwrap();
    }
    let update = |risk_config, detector_config| {
        Command::UpdateStrategy(StrategyUpdate { strategy_id: id, detector_config, risk_config })
    };
    let fast = serde_json::from_str(r#"{"fast":9}"#).unwrap();
    run.execute(&update(None, Some(fast))).await.unwrap();
    assert_eq!(told(&run, id).await.risk_config, limits("5000", ""), "what is left out stays");
    run.execute(&update(Some(limits("", "100")), None)).await.unwrap();
    let strategy = told(&run, id).await;
    assert_eq!((strategy.config_version, strategy.risk_config), (3, limits("", "100")));
    assert_eq!(strategy.detector_config.unwrap().to_string(), r#"{"fast":9}"#);

    let reason = Some("under review".parse().unwrap());
    for _ in 0..2 {
        let disable = Command::DisableStrategy { strategy_id: id, reason: Clone::clone(&reason) };
        run.execute(&disable).await.unwrap();
    }
    assert_eq!(told(&run, id).await.disabled_reason.as_deref(), Some("under review"));
    for (event_type, count) in [
        ("STRATEGY_CREATED", 2),
        ("STRATEGY_ENABLED", 2),
        ("STRATEGY_CONFIG_UPDATED", 2),
        ("STRATEGY_DISABLED", 1),
    ] {
        assert_eq!(run.events(event_type).await.len(), count, "{event_type}, the operator's own included");
    }
    run.end().await;
}

#[tokio::test]
async fn what_makes_no_strategy_is_refused() {
    let mut run = crate::commands::quiet().await;
    let unknown = StrategyId(uuid::Uuid::nil());
    let update = StrategyUpdate { strategy_id: unknown, detector_config: None, risk_config: None };
    for (command, expected) in [
        (breakout(limits("0", "")), "invalid"),
        (breakout(limits("", "-1")), "invalid"),
        (Command::EnableStrategy { strategy_id: unknown }, "not found"),
        (Command::DisableStrategy { strategy_id: unknown, reason: None }, "not found"),
        (Command::UpdateStrategy(update.clone()), "invalid"),
        (
            Command::UpdateStrategy(StrategyUpdate { risk_config: Some(limits("", "")), ..update }),
            "not found",
        ),
        (Command::Arm(arm_of(unknown)), "not found"),
    ] {
        assert_eq!(kind(&run.execute(&command).await.unwrap_err()), expected, "{command:?}");
    }
    assert_eq!(run.strategies().await.len(), 1, "the operator's own");
    run.end().await;
}

/// What the strategy holds and what it is buying count; what others hold does not.
#[tokio::test]
async fn a_strategy_holds_no_more_than_its_limit() {
    let mut run = two_markets(&["100"; 9], &["10"; 9]).await;
    let id = enabled(&mut run, limits("4500", "")).await;
    let first = run.arm(&arm_of(id)).await;
    let other = run.arm(&Arm { symbol: "ETHUSD".parse().unwrap(), ..arm_of(id) }).await;
    run.signal(first, "100", "98").await.unwrap();
    assert!(run.signal(other, "10", "9.8").await.is_err(), "what is being bought counts");
    run.until(2).await;
    assert!(run.signal(other, "10", "9.8").await.is_err(), "what is held counts");
    assert_eq!(run.denials().await, ["max_exposure"; 2]);
    let failed = run.events("RISK_CHECK_FAILED").await.remove(1);
    assert_eq!(failed["strategy_id"], serde_json::json!(id));
    assert_eq!(failed["failed_checks"][0]["limit"], "4500");
    let mine = run.arm(&Arm { symbol: "ETHUSD".parse().unwrap(), side: SHORT, ..waiting() }).await;
    run.signal(mine, "10", "10.2").await.unwrap();
    run.close(first).await.unwrap();
    run.until(4).await;
    run.close(mine).await.unwrap();
    run.until(6).await;
    run.signal(other, "10", "9.8").await.unwrap();
    run.end().await;
    let passed = run.events("RISK_CHECK_PASSED").await;
    let names = |n: usize| passed[n]["checks_performed"].to_string();
    assert!(names(0).contains("max_exposure") && !names(0).contains("daily_loss"), "{}", names(0));
    assert!(!names(1).contains("max_exposure"), "the operator's own strategy sets none");
}

/// A day's loss bars the strategy for the rest of the UTC day; another strategy is not concerned.
#[tokio::test]
async fn a_strategy_that_lost_its_days_limit_enters_no_more_that_day() {
    let next_day = 24 * 3_600;
    let feed =
        format!("{} {}", calm(0, &["100", "100", "98", "97.9", "100", "100"]), calm(next_day, &["100"; 3]));
    let mut run = Setup::of(&feed).open().await;
    run.until(0).await;
    let id = enabled(&mut run, limits("", "90")).await;
    let lost = run.arm(&arm_of(id)).await;
    run.signal(lost, "100", "98").await.unwrap();
    run.until(4).await;
    assert_eq!(run.position(lost).await.net_pnl().unwrap().to_string(), "-100.0850345");
    let again = run.arm(&arm_of(id)).await;
    assert!(run.signal(again, "100", "98").await.is_err());
    assert_eq!(run.denials().await, ["daily_loss"]);
    let failed = run.events("RISK_CHECK_FAILED").await.remove(0);
    assert_eq!(failed["failed_checks"][0]["actual"], "100.0850345");
    let mine = run.wait_on("BTCUSD", SHORT).await;
    run.signal(mine, "100", "102").await.unwrap();
    run.close(mine).await.unwrap();
    run.until(next_day).await;
    run.signal(again, "100", "98").await.unwrap();
    run.end().await;
    let strategy = told(&run, id).await;
    assert_eq!((strategy.total_signals, strategy.total_positions, strategy.open_positions), (3, 2, 1));
    assert_eq!((strategy.closed_positions, strategy.wins), (1, 0));
    assert_eq!(strategy.total_pnl.to_string(), "-100.0850345");
}

/// A gain and a loss: half are won, and the sums are net of fees.
#[tokio::test]
async fn a_strategys_counters_follow_its_trades() {
    let mut run = Setup::of(&calm(0, &["100", "100", "110", "108", "108", "100", "100", "98", "97.9", "98"]))
        .open()
        .await;
    run.until(0).await;
    let id = enabled(&mut run, limits("", "")).await;
    for second in [0, 5] {
        run.until(second).await;
        let position = run.arm(&arm_of(id)).await;
        run.signal(position, "100", "98").await.unwrap();
    }
    run.end().await;
    let strategy = told(&run, id).await;
    let counts = [strategy.total_signals, strategy.total_positions, strategy.open_positions];
    assert_eq!((counts, strategy.closed_positions, strategy.wins), ([2, 2, 0], 2, 1));
    assert_eq!(strategy.win_rate.unwrap().to_string(), "0.5");
    let positions = run.positions().await;
    let net = positions.iter().map(|position| position.net_pnl().unwrap());
    let net = net.fold(Money::ZERO, |sum, net| sum.plus(net).unwrap());
    assert_eq!(strategy.total_pnl, net);
    let own =
        run.strategies().await.into_iter().find(|strategy| strategy.strategy_name == "operator").unwrap();
    assert_eq!((own.total_signals, own.total_positions), (0, 0));
}

/// What is armed does not enter while its strategy may not; what is held goes on.
#[tokio::test]
async fn a_disabled_strategy_enters_no_more_and_keeps_what_it_holds() {
    let mut run = two_markets(&["100", "100", "98", "97.9", "98"], &["10"; 6]).await;
    let id = enabled(&mut run, limits("", "")).await;
    let held = run.arm(&arm_of(id)).await;
    let armed = run.arm(&Arm { symbol: "ETHUSD".parse().unwrap(), ..arm_of(id) }).await;
    run.signal(held, "100", "98").await.unwrap();
    run.until(1).await;
    run.execute(&Command::DisableStrategy { strategy_id: id, reason: None }).await.unwrap();
    assert!(run.signal(armed, "10", "9.8").await.is_err());
    assert_eq!(run.told_by("SIGNAL_REJECTED", "reason_code").await, ["strategy_disabled"]);
    run.until(4).await;
    assert_eq!(run.position(held).await.exit_reason.unwrap().to_string(), "trailing_stop");
    run.execute(&Command::EnableStrategy { strategy_id: id }).await.unwrap();
    run.signal(armed, "10", "9.8").await.unwrap();
    run.end().await;
    assert_eq!(run.position(armed).await.state.to_string(), "active");
    assert_eq!(run.position(armed).await.side, LONG);
}
