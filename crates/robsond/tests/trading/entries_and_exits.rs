//! Entries, stops and exits: quantities, prices and money, exactly.

use robson_domain::{EntryMode, Side, TrailingPolicy};
use robsond::operator::{Arm, Refused};

use crate::scenario::{LONG, SHORT, Setup, calm, filters, fraction, hours, waiting, zigzag};

/// Plays prices a second apart, enters by hand at the first, and tells what became of it.
async fn check(side: Side, stop: &str, prices: &[&str], expected: &str) {
    let mut run = Setup::of(&calm(0, prices)).open().await;
    run.until(0).await;
    let id = run.enter(side, "100", stop).await;
    run.end().await;
    assert_eq!(run.told(id).await, expected);
}

/// E 100, S 98: per unit 2 + 0.098 gap + 0.1 + 0.097902 fees = 2.295902; 100 / 2.295902 = 43.555...
#[tokio::test]
async fn a_long_is_sized_filled_and_stopped_out_to_the_cent() {
    let prices = ["100", "100", "99", "98", "97.9", "97"];
    let expected = "closed by trailing_stop, 43.555 at 100, stop 98, made -91.4655 for 8.6195345";
    check(LONG, "98", &prices, expected).await;
}

/// E 100, S 102: per unit 2 + 0.102 gap + 0.1 + 0.102102 fees = 2.304102; 100 / 2.304102 = 43.4008...
#[tokio::test]
async fn a_short_mirrors_it() {
    let prices = ["100", "100", "101", "102", "102.1", "103"];
    let expected = "closed by trailing_stop, 43.4 at 100, stop 102, made -91.14 for 8.77114";
    check(SHORT, "102", &prices, expected).await;
}

#[tokio::test]
async fn a_stop_follows_and_its_touch_takes_the_gain() {
    let prices = ["100", "100", "101", "105", "104", "103", "102.9"];
    let expected = "closed by trailing_stop, 43.555 at 100, stop 103, made 126.3095 for 8.8373095";
    check(LONG, "98", &prices, expected).await;
    let prices = ["100", "100", "99", "95", "96", "97", "97.1"];
    let expected = "closed by trailing_stop, 43.4 at 100, stop 97, made 125.86 for 8.55414";
    check(SHORT, "102", &prices, expected).await;
}

/// A price beyond the stop exits as its touch does, at what the market gives then.
#[tokio::test]
async fn a_gap_beyond_the_stop_fills_at_the_first_price_after_it() {
    let prices = ["100", "100", "95", "94", "100"];
    let expected = "closed by trailing_stop, 43.555 at 100, stop 98, made -261.33 for 8.44967";
    check(LONG, "98", &prices, expected).await;
}

/// The stop stands where it was decided; the price is beyond it from the first moment on.
#[tokio::test]
async fn a_fill_beyond_the_technical_stop_exits_at_once() {
    let prices = ["100", "97", "97.5", "99"];
    let expected = "closed by trailing_stop, 43.555 at 97, stop 98, made 21.7775 for 8.4714475";
    check(LONG, "98", &prices, expected).await;
    let prices = ["100", "103", "102.5", "101"];
    let expected = "closed by trailing_stop, 43.4 at 103, stop 102, made 21.7 for 8.9187";
    check(SHORT, "102", &prices, expected).await;
}

#[tokio::test]
async fn a_bad_fill_tightens_the_stop() {
    let mut run = Setup::of(&calm(0, &["100", "101", "101"])).open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.end().await;
    assert_eq!(run.told(id).await, "active, 43.555 at 101, holds 43.555, stop 99, made 0 for 4.399055");
}

/// The entry is still working when its stop is touched: it is cancelled first, and the exit is for what is held.
#[tokio::test]
async fn a_stop_that_is_touched_in_mid_entry_sells_what_was_bought() {
    let feed = "0:100x9 1:100x10 2:100x10 3:98x10 4:97.9x7 5:97.8x0 6:97.8x1000 7:97x1000";
    let mut run = Setup::of(feed).open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.until(2).await;
    assert_eq!(run.told(id).await, "active, 20 at 100, holds 20, stop 98, made 0 for 2");
    run.until(4).await;
    let told = "exiting by trailing_stop, 30 at 99.333333333333, holds 23, stop 98, made ";
    assert!(run.told(id).await.starts_with(told), "{}", run.told(id).await);
    run.end().await;
    let orders = ["entry buy 43.555 canceled, 30", "exit sell 30 filled, 30"];
    assert_eq!(run.orders(id).await, orders);
    let position = run.position(id).await;
    assert_eq!(position.total_fees.to_string(), "5.9147");
    assert_eq!(position.realized_pnl.get().round_dp(6).normalize().to_string(), "-45.3");
    assert_eq!(run.told_by("INTENT_CREATED", "intent_type").await, ["place_entry", "cancel", "place_exit"]);
}

/// A bar without volume fills nothing; the exit waits, and is not sent again.
#[tokio::test]
async fn an_exit_waits_for_volume() {
    let feed = "0:100x1000 1:100x1000 2:98x1000 3:97x0 4:96x0 5:95x0.0005 6:94x1000";
    let mut run = Setup::of(feed).open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.until(5).await;
    assert_eq!(run.orders(id).await[1], "exit sell 43.555 acknowledged, 0");
    run.end().await;
    let expected = "closed by trailing_stop, 43.555 at 100, stop 98, made -261.33 for 8.44967";
    assert_eq!(run.told(id).await, expected);
    assert_eq!(run.orders(id).await.len(), 2);
}

/// Nothing below the venue's smallest order can be sold: the operator is told once, and nothing is sent in a loop.
#[tokio::test]
async fn what_is_too_little_for_an_exit_is_told_and_not_tried_for_ever() {
    let prices = (3..900).map(|second| format!(" {second}:90x1000")).collect::<String>();
    let feed = format!("0:100x9 1:100x2 2:98x0{prices}");
    let setup = Setup::of(&feed).change(|settings| {
        settings.symbols.insert("BTCUSD".parse().unwrap(), filters("0.001", "5", "1"));
    });
    let mut run = setup.open().await;
    run.until(0).await;
    let id = run.enter(LONG, "100", "98").await;
    run.end().await;
    assert_eq!(run.orders(id).await, ["entry buy 43.555 canceled, 2"]);
    assert_eq!(
        run.told(id).await,
        "error by trailing_stop, 2 at 100, holds 2, stop 98, made 0 for 0.2, error 2 is held, and the venue's \
         smallest order is 5"
    );
    assert_eq!(run.told_by("OPERATOR_ALERT_RAISED", "code").await, ["exit_too_small"]);
    assert!(run.close(id).await.is_ok());
    assert_eq!(run.told_by("OPERATOR_ALERT_RAISED", "code").await.len(), 2, "the operator asked again");
}

#[tokio::test]
async fn a_span_stop_moves_by_whole_distances() {
    let prices = ["100", "100", "101.9", "102", "103.9", "105", "102", "101.5"];
    let mut run = Setup::of(&calm(0, &prices)).open().await;
    run.until(0).await;
    let id = run.arm(&Arm { trailing: TrailingPolicy::Span, ..waiting() }).await;
    run.signal(id, "100", "98").await.unwrap();
    run.end().await;
    assert_eq!(run.told_by("TRAILING_STOP_UPDATED", "new_stop").await, ["100", "102"]);
    assert_eq!(run.told_by("TRAILING_STOP_UPDATED", "completed_spans").await, ["1", "2"]);
    let expected = "closed by trailing_stop, 43.555 at 100, stop 102, made 65.3325 for 8.7763325";
    assert_eq!(run.told(id).await, expected);
}

#[tokio::test]
async fn a_stop_moves_by_no_less_than_the_least_step() {
    let prices = ["100", "100", "100.5", "100.9", "101", "101.9", "102.1"];
    let setup =
        Setup::of(&calm(0, &prices)).change(|settings| settings.risk.trail_min_step = fraction("0.01"));
    let mut run = setup.open().await;
    run.until(0).await;
    run.enter(LONG, "100", "98").await;
    run.end().await;
    assert_eq!(run.told_by("TRAILING_STOP_UPDATED", "new_stop").await, ["99", "100.1"]);
}

#[tokio::test]
async fn a_trade_below_the_venues_minimum_is_refused_and_nothing_is_sent() {
    for (min_quantity, min_notional) in [("44", "1"), ("0.001", "4356")] {
        let setup = Setup::of(&calm(0, &["100", "100", "100"])).change(|settings| {
            settings.symbols.insert("BTCUSD".parse().unwrap(), filters("0.001", min_quantity, min_notional));
        });
        let mut run = setup.open().await;
        run.until(0).await;
        let id = run.wait_on("BTCUSD", LONG).await;
        let refused = run.signal(id, "100", "98").await.unwrap_err();
        assert!(matches!(&refused, Refused::RiskDenied(_)), "{refused:?}");
        assert_eq!(run.told(id).await, "armed");
        run.end().await;
        assert_eq!(run.told_by("SIGNAL_REJECTED", "reason_code").await.len(), 1);
        assert!(run.events("ORDER_SUBMITTED").await.is_empty());
    }
}

/// The chart decides: the second support below is 96, the second resistance above 104.
#[tokio::test]
async fn an_immediate_entry_finds_its_stop_in_the_chart() {
    for (side, stop) in [("long", "96"), ("short", "104")] {
        let armed_at = hours(28);
        let after = calm(armed_at + 1, &["100", "100", "100"]);
        let setup = Setup::of(&format!("{} {after}", zigzag(112)));
        let line = format!("symbol = \"BTCUSD\"; side = \"{side}\"; entry = \"immediate\"");
        let mut run = setup.plan(&[(armed_at, &line)]).open().await;
        run.end().await;
        let position = run.positions().await.remove(0);
        assert_eq!(position.entry_mode, EntryMode::Immediate);
        assert_eq!(run.told_by("TECHNICAL_STOP_ANALYZED", "stop_price").await, [stop]);
        assert_eq!(position.trailing_stop_price.unwrap().to_string(), stop);
    }
}

/// The market upside down, about 100.
fn mirrored(trades: &str) -> String {
    let mirror = |trade: &str| {
        let (second, rest) = trade.split_once(':').unwrap();
        let (price, quantity) = rest.split_once('x').unwrap();
        let price = rust_decimal::Decimal::from(200) - price.parse::<rust_decimal::Decimal>().unwrap();
        format!("{second}:{price}x{quantity}")
    };
    trades.split_whitespace().map(mirror).collect::<Vec<_>>().join(" ")
}

/// Arms after 28 hours of swings; each quarter of an hour after that has the prices told, a second apart.
async fn check_confirmed(mode: EntryMode, quarters: &[&[&str]], expected: [&str; 2]) {
    let after = (112..).zip(quarters).map(|(quarter, prices)| calm(quarter * 900, prices));
    let market = format!("{} {}", zigzag(112), after.collect::<Vec<_>>().join(" "));
    for (side, market, expected) in
        [(LONG, market.clone(), expected[0]), (SHORT, mirrored(&market), expected[1])]
    {
        let line = format!("symbol = \"BTCUSD\"; side = \"{side}\"; entry = \"{mode}\"");
        let mut run = Setup::of(&market).plan(&[(hours(28), &line)]).open().await;
        run.end().await;
        let signals = run.told_by("SIGNAL_DETECTED", "price").await;
        let stops = run.told_by("TECHNICAL_STOP_ANALYZED", "stop_price").await;
        let position = run.positions().await.remove(0);
        let told = format!("{signals:?} stop {stops:?}: {}", run.told(position.position_id).await);
        assert_eq!(told, expected, "{side}");
        assert_eq!(run.told_by("DETECTOR_STARTED", "strategy").await, [mode.as_str()]);
    }
}

/// The low at 98 is touched at 98.2 and left upwards; the second level below is 96.
#[tokio::test]
async fn a_bounce_from_a_level_enters_on_the_candle_that_confirms_it() {
    let quarters: [&[&str]; 4] = [&["100"], &["98.2"], &["98.5", "99.5"], &["99.6", "99.6", "99.6"]];
    let expected = [
        r#"["99.6"] stop ["96"]: active, 25.697 at 99.6, holds 25.697, stop 96, made 0 for 2.5594212"#,
        r#"["100.4"] stop ["104"]: active, 25.585 at 100.4, holds 25.585, stop 104, made 0 for 2.568734"#,
    ];
    check_confirmed(EntryMode::ConfirmedKeyLevel, &quarters, expected).await;
}

/// Three closes fall to 95; a hammer down to 92 follows. No level lies below it: 1.5 x 27 / 14 is the distance.
#[tokio::test]
async fn a_reversal_enters_on_the_candle_that_turns_the_fall() {
    let quarters: [&[&str]; 5] =
        [&["97"], &["96"], &["95"], &["95", "92", "94.5"], &["94.6", "94.6", "94.6"]];
    let expected = [
        r#"["94.6"] stop ["91.7"]: active, 31.467 at 94.6, holds 31.467, stop 91.7, made 0 for 2.9767782"#,
        r#"["105.4"] stop ["108.3"]: active, 31.035 at 105.4, holds 31.035, stop 108.3, made 0 for 3.271089"#,
    ];
    check_confirmed(EntryMode::ConfirmedReversal, &quarters, expected).await;
}

/// Where the chart is too short there is no stop, so there is no entry; the only try is over.
#[tokio::test]
async fn an_immediate_entry_without_a_chart_is_disarmed() {
    let setup = Setup::of(&calm(0, &["100", "100", "100", "100"]));
    let mut run =
        setup.plan(&[(1, "symbol = \"BTCUSD\"; side = \"long\"; entry = \"immediate\"")]).open().await;
    run.end().await;
    assert_eq!(run.positions().await[0].state.to_string(), "cancelled");
    assert_eq!(run.events("POSITION_DISARMED").await.len(), 1);
    assert_eq!(run.events("DETECTOR_STARTED").await.len(), run.events("DETECTOR_STOPPED").await.len());
}

/// From the 20th to the 40th minute of the second hour the price falls by 2 a minute. What is bought as it
/// begins to fall is sold at its stop at 99, not a minute later at 98.
#[tokio::test]
async fn a_stop_is_met_within_the_step_that_filled_the_entry() {
    let mut run = Setup::of("0|100|100|100|100|60000 1|100|100|60|60|60000 2|60|60|60|60|60000").open().await;
    run.until(hours(1) + 20 * 60).await;
    let id = run.enter(LONG, "100", "99").await;
    run.end().await;
    let told = run.told(id).await;
    assert_eq!(told, "closed by trailing_stop, 77.047 at 100, stop 99, made -77.047 for 15.332353");
}

/// The bar opens beyond the stop: no stop is met there, and the exit takes what the market gives.
#[tokio::test]
async fn a_bar_that_opens_beyond_the_stop_is_left_at_its_price() {
    let bars = "0|100|100|100|100|60000 1|100|100|100|100|60000 2|90|90|90|90|0 3|89|89|89|89|60000";
    let mut run = Setup::of(bars).open().await;
    run.until(hours(1)).await;
    let id = run.enter(LONG, "100", "98").await;
    run.end().await;
    let told = run.told(id).await;
    assert_eq!(told, "closed by trailing_stop, 43.555 at 100, stop 98, made -479.105 for 8.231895");
}
