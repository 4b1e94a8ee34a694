//! A restart changes nothing: a run that is cut off anywhere and taken up again comes to what an unbroken
//! run comes to.

use std::collections::BTreeMap;
use std::future::Future;
use std::task::Poll;

use robson_domain::{Order, PositionId};
use robson_venue::paper::FaultPlan;
use robsond::operator::{Command, NewStrategy};

use crate::scenario::{Run, START, Setup, fraction, signal};

/// A market of its own for each seed: quarter-hours first, so that there is a chart, then trades at odd
/// times, some of them far apart, many of them too thin to fill an order.
fn market(seed: u64, middle: u64, quarters: u64, trades: u64) -> String {
    let mut chance = Chance(seed);
    let mut price = middle * 100;
    let mut feed = String::new();
    let mut add = |second: u64, price: u64, quantity: u64| {
        feed += &format!(
            "{second}:{}.{:02}x{}.{:03} ",
            price / 100,
            price % 100,
            quantity / 1000,
            quantity % 1000
        );
    };
    let mut wander = |chance: &mut Chance, by: u64| {
        let step = middle * by / 100;
        price = (price + chance.below(2 * step + 1) - step).clamp(middle * 80, middle * 120);
        price
    };
    for quarter in 0..quarters {
        add(quarter * 900, wander(&mut chance, 200), 1_000_000);
    }
    let mut second = quarters * 900;
    for _ in 0..trades {
        second += 1 + if chance.below(4) == 0 { chance.below(900) } else { chance.below(3) };
        let quantity = if chance.below(3) == 0 { 0 } else { chance.below(60_000) };
        add(second, wander(&mut chance, 80), quantity);
    }
    // What is still unknown then is known at the end.
    for _ in 0..10 {
        second += 10;
        add(second, wander(&mut chance, 1), 1_000_000);
    }
    feed
}

/// Numbers from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

const QUARTERS: u64 = 102;
const TRADES: u64 = 70;
const SEEDS: [u64; 2] = [1, 2];

fn setup(seed: u64, faults: &FaultPlan) -> Setup {
    let bitcoin = market(seed, 100, QUARTERS, TRADES);
    let ether = market(seed + 1_000, 10, QUARTERS, TRADES);
    let setup = Setup::with_feeds(START, &[("BTCUSD", &bitcoin), ("ETHUSD", &ether)]);
    let mut lines = Vec::new();
    for n in 0..8 {
        for (symbol, side, entry) in [
            ("BTCUSD", "long", "immediate"),
            ("BTCUSD", "short", "immediate"),
            ("ETHUSD", "long", "confirmed_trend"),
            ("ETHUSD", "short", "immediate"),
        ] {
            let trailing = if n % 2 == 0 { "continuous" } else { "span" };
            let line = format!(
                "symbol = \"{symbol}\"; side = \"{side}\"; entry = \"{entry}\"; trailing = \"{trailing}\""
            );
            lines.push((QUARTERS * 900 - 1_800 + n * 1_800, line));
        }
    }
    let lines: Vec<(u64, &str)> = lines.iter().map(|(second, line)| (*second, line.as_str())).collect();
    let faults = faults.clone();
    setup.plan(&lines).change(|settings| settings.paper.faults = faults)
}

/// What the operator asks for once the clock has passed a second.
struct Asked {
    second: u64,
    command: Command,
}

/// Where a run is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Never.
    Never,
    /// Between two ticks.
    After(u64),
    /// Within a tick, after it has waited so many times.
    Within(u64, u32),
    /// Within each command, after it has waited so many times.
    Commands(u32),
}

/// Plays a run to its end, with one cut.
async fn play(seed: u64, faults: &FaultPlan, asked: &[Asked], cut: Cut) -> (Vec<String>, Run, u64) {
    let mut run = setup(seed, faults).open().await;
    let (mut ticks, mut answered, mut cut_command) = (0, 0, None);
    loop {
        while let Some(next) = asked.get(answered) {
            if run.session.now() < run.setup.at(next.second) {
                break;
            }
            if let Cut::Commands(polls) = cut
                && cut_command != Some(answered)
            {
                cut_command = Some(answered);
                let id = robson_domain::CommandId(uuid::Uuid::from_u128(answered as u128 + 1));
                drop(poll_then_drop(run.session.execute(id, "test", &next.command), polls).await);
                run.restart().await;
                continue;
            }
            drop(run.execute_as(answered as u128 + 1, &next.command).await);
            answered += 1;
        }
        ticks += 1;
        match cut {
            Cut::After(at) if at == ticks => run.restart().await,
            Cut::Within(at, polls) if at == ticks => {
                drop(poll_then_drop(run.session.step(), polls).await);
                run.restart().await;
            }
            _ => {}
        }
        if !run.session.step().await.unwrap() {
            break;
        }
    }
    run.check_books().await;
    (run.content().await, run, ticks)
}

pub async fn poll_then_drop<T>(future: impl Future<Output = T>, mut polls: u32) -> Option<T> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A venue without fault, one that loses what is said, and one that refuses.
///
/// Not both at once: whoever asks again after a restart may learn of a refusal sooner than one who waits for
/// an answer that was lost, and tries again sooner.
fn venues(seed: u64) -> [FaultPlan; 3] {
    let rate = fraction("0.3");
    let loses =
        FaultPlan { seed, lost_request: rate, lost_reply: rate, duplicate_report: rate, ..FaultPlan::NONE };
    let refuses =
        FaultPlan { seed, lost_request: rate, refusal: rate, duplicate_report: rate, ..FaultPlan::NONE };
    [FaultPlan::NONE, loses, refuses]
}

fn compare(expected: &[String], actual: &[String], what: &str) {
    for (expected, actual) in expected.iter().zip(actual) {
        assert_eq!(expected, actual, "{what}");
    }
    assert_eq!(expected.len(), actual.len(), "{what}");
}

/// The runs do what there is to do; otherwise they would prove nothing.
#[tokio::test]
async fn the_markets_of_these_runs_are_eventful() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for seed in SEEDS {
        for faults in venues(seed) {
            let (_, run, _) = play(seed, &faults, &[], Cut::Never).await;
            for event_type in
                ["POSITION_CLOSED", "TRAILING_STOP_UPDATED", "RISK_CHECK_FAILED", "ORDER_REJECTED"]
            {
                *seen.entry(event_type.to_owned()).or_default() += run.events(event_type).await.len();
            }
            for outcome in run.told_by("INTENT_COMPLETED", "outcome").await {
                *seen.entry(outcome).or_default() += 1;
            }
            for intent in run.told_by("INTENT_CREATED", "intent_type").await {
                *seen.entry(intent).or_default() += 1;
            }
            let filled_in_parts = |order: &&Order| order.exchange_trade_ids.len() > 1;
            *seen.entry("in parts".to_owned()).or_default() +=
                run.all_orders().await.iter().filter(filled_in_parts).count();
        }
    }
    for what in [
        "POSITION_CLOSED",
        "TRAILING_STOP_UPDATED",
        "RISK_CHECK_FAILED",
        "ORDER_REJECTED",
        "unknown",
        "failed",
        "cancel",
        "in parts",
    ] {
        assert!(seen.get(what).is_some_and(|count| *count > 1), "{what}: {seen:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_cut_between_any_two_ticks_comes_to_the_same() {
    for seed in SEEDS {
        for faults in venues(seed) {
            let (expected, _, ticks) = play(seed, &faults, &[], Cut::Never).await;
            for at in (1..=ticks).filter(|at| *at > 2 * QUARTERS - 20 || at % 40 == 1).step_by(2) {
                let (actual, ..) = play(seed, &faults, &[], Cut::After(at)).await;
                compare(&expected, &actual, &format!("seed {seed}, {faults:?}, cut before tick {at}"));
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_is_cut_within_a_tick_comes_to_the_same() {
    for seed in SEEDS {
        for faults in venues(seed) {
            let (expected, _, ticks) = play(seed, &faults, &[], Cut::Never).await;
            for at in (1..=ticks).filter(|at| *at > 2 * QUARTERS - 20) {
                let polls = [0, 1, 2, 3, 5, 8][usize::try_from(at + seed).unwrap() % 6];
                let (actual, ..) = play(seed, &faults, &[], Cut::Within(at, polls)).await;
                compare(
                    &expected,
                    &actual,
                    &format!("seed {seed}, {faults:?}, cut in tick {at} after {polls} waits"),
                );
            }
        }
    }
}

/// Commands to positions of the plan, whose ids are the same in every run.
async fn commands(seed: u64, faults: &FaultPlan) -> Vec<Asked> {
    let (_, run, _) = play(seed, faults, &[], Cut::Never).await;
    let mut asked = Vec::new();
    let mut second = QUARTERS * 900 + 5;
    for position in run.positions().await {
        let position_id: PositionId = position.position_id;
        let price = position.entry_price.map_or("100".to_owned(), |price| price.to_string());
        asked.push(Asked { second, command: signal(position_id, &price, "99") });
        asked.push(Asked { second: second + 600, command: Command::Close { position_id } });
        asked.push(Asked { second: second + 700, command: Command::Disarm { position_id } });
        second += 1_000;
    }
    let words = || "news at noon".parse().unwrap();
    for (second, enabled) in [(1_200, false), (1_300, true)] {
        let command = Command::Entries { enabled, reason: words() };
        asked.push(Asked { second: QUARTERS * 900 + second, command });
    }
    let limits =
        robson_domain::RiskConfig { max_exposure: Some("1000".parse().unwrap()), ..Default::default() };
    let strategy = NewStrategy { name: words(), kind: words(), detector_config: None, risk_config: limits };
    asked.push(Asked { second: QUARTERS * 900 + 1_250, command: Command::CreateStrategy(strategy) });
    asked.push(Asked { second: QUARTERS * 900 + 4_000, command: Command::Panic });
    asked.push(Asked { second: QUARTERS * 900 + 5_000, command: Command::Halt { reason: words() } });
    // What is sent after a feed has ended stays as it was left.
    asked.retain(|asked| asked.second <= QUARTERS * 900 + 5_000);
    asked.sort_by_key(|asked| asked.second);
    asked
}

#[tokio::test]
async fn a_command_that_is_cut_off_and_sent_again_comes_to_the_same() {
    for seed in SEEDS {
        for faults in venues(seed) {
            let asked = commands(seed, &faults).await;
            let (expected, ..) = play(seed, &faults, &asked, Cut::Never).await;
            for polls in 0..12 {
                let (actual, ..) = play(seed, &faults, &asked, Cut::Commands(polls)).await;
                compare(&expected, &actual, &format!("seed {seed}, {faults:?}, cut after {polls} waits"));
            }
        }
    }
}
