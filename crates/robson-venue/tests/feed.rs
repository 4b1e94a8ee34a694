//! What a recorded file plays as, and the sentence with which an unusable one is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use robson_domain::{Quantity, Symbol, Timestamp};
use robson_venue::feed::{FeedSource, Path as TickPath, Playback, RecordedFeed, RowKind, Tick};
use rust_decimal::Decimal;

const BARS: &str = "open_time,open,high,low,close,volume\n";
const TRADES: &str = "time,price,quantity,side,trade_id\n";

fn source(symbol: &str, file: &Path) -> FeedSource {
    FeedSource { symbol: symbol.parse().unwrap(), file: file.to_owned(), tick_size: "0.01".parse().unwrap() }
}

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data").join(name)
}

fn write(texts: &[&str]) -> (tempfile::TempDir, Vec<FeedSource>) {
    let folder = tempfile::tempdir().unwrap();
    let sources = texts.iter().enumerate().map(|(i, text)| {
        let file = folder.path().join(format!("{i}.csv"));
        std::fs::write(&file, text).unwrap();
        source(&format!("S{i}"), &file)
    });
    let sources = sources.collect();
    (folder, sources)
}

fn feed_of(texts: &[&str]) -> RecordedFeed {
    let (_folder, sources) = write(texts);
    RecordedFeed::open(&sources).unwrap()
}

fn refused(text: impl AsRef<[u8]>, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("feed.csv");
    std::fs::write(&file, text).unwrap();
    let error = RecordedFeed::open(&[source("S", &file)]).unwrap_err().to_string();
    let shown = error.strip_prefix(&format!("{}/", folder.path().display())).unwrap();
    assert_eq!(shown, expected);
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_malformed_bar_is_refused_with_file_line_and_reason() {
    let good = "2020-01-01T00:00:00Z,10,12,9,11,5\n";
    let bar = |row: &str, expected: &str| refused(format!("{BARS}{good}{row}\n"), expected);
    bar(
        "2020-01-01T00:00:00Z,10,12,9,11,5",
        "feed.csv:3: open_time 2020-01-01T00:00:00Z does not come after 2020-01-01T00:00:00.000000Z, that of the row before",
    );
    bar("2020-01-01T01:00:00Z,10,8,9,11,5", "feed.csv:3: high 8 is below low 9");
    bar("2020-01-01T01:00:00Z,13,12,9,11,5", "feed.csv:3: open 13 is outside low 9 to high 12");
    bar("2020-01-01T01:00:00Z,10,12,9,8.99,5", "feed.csv:3: close 8.99 is outside low 9 to high 12");
    bar("2020-01-01T01:00:00Z,abc,12,9,11,5", "feed.csv:3: open `abc` is not a number");
    bar("2020-01-01T01:00:00Z,10,NaN,9,11,5", "feed.csv:3: high `NaN` is not a number");
    bar("2020-01-01T01:00:00Z,10,12,,11,5", "feed.csv:3: low is missing");
    bar("2020-01-01T01:00:00Z,10,12,0,11,5", "feed.csv:3: low 0 is not above 0");
    bar("2020-01-01T01:00:00Z,10,12,-9,11,5", "feed.csv:3: low -9 is not above 0");
    bar("2020-01-01T01:00:00Z,10,12,0.001,11,5", "feed.csv:3: low 0.001 does not fit the tick size 0.01");
    bar(
        "2020-01-01T01:00:00Z,10,99999999999999999999999999,9,11,5",
        "feed.csv:3: high 99999999999999999999999999 does not fit the tick size 0.01",
    );
    bar("2020-01-01T01:00:00Z,10,12,9,11,-5", "feed.csv:3: volume -5 is below 0");
    bar("2020-01-01T01:00:00Z,10,12,9,11,1e16", "feed.csv:3: volume 1e16 is above 1000000000000000");
    bar("2020-01-01T01:00:00Z,10,12,9,11", "feed.csv:3: the row has 5 fields, not the 6 of the header");
    bar("2020-01-01T01:00:00Z,10,12,9,11,5,6", "feed.csv:3: the row has 7 fields, not the 6 of the header");
    bar(
        "2020-01-01 01:00,10,12,9,11,5",
        "feed.csv:3: open_time `2020-01-01 01:00` is not an ISO 8601 time such as 2017-07-01T11:00:00Z",
    );
    bar(
        "1577836800,10,12,9,11,5",
        "feed.csv:3: open_time `1577836800` is not an ISO 8601 time such as 2017-07-01T11:00:00Z",
    );
}

#[test]
fn a_malformed_trade_is_refused_with_file_line_and_reason() {
    let good = "2020-01-01T00:00:01Z,10,1,buy,1\n";
    let trade = |row: &str, expected: &str| refused(format!("{TRADES}{good}{row}\n"), expected);
    trade(
        "2020-01-01T00:00:00Z,10,1,buy,2",
        "feed.csv:3: time 2020-01-01T00:00:00Z comes before 2020-01-01T00:00:01.000000Z, that of the row before",
    );
    trade("2020-01-01T00:00:01Z,10,1,long,2", "feed.csv:3: side `long` is neither buy nor sell");
    trade("2020-01-01T00:00:01Z,10,1,sell,", "feed.csv:3: trade_id is missing");
    trade("2020-01-01T00:00:01Z,0,1,sell,2", "feed.csv:3: price 0 is not above 0");
    trade("2020-01-01T00:00:01Z,10,-1,sell,2", "feed.csv:3: quantity -1 is below 0");
}

#[test]
fn a_file_that_is_no_feed_is_refused() {
    refused("", "feed.csv:1: the file is empty");
    refused("\n \n", "feed.csv:1: the file is empty");
    refused(BARS, "feed.csv:1: there is no row below the header");
    refused("open_time,open,high,low,volume\n", "feed.csv:1: column `close` is missing");
    refused("open,high,low,close,volume\n1,1,1,1,1\n", "feed.csv:1: column `open_time` is missing");
    refused("time,price,quantity,side\n", "feed.csv:1: column `trade_id` is missing");
    refused(
        "open_time,high,open,low,close,volume\n",
        "feed.csv:1: the header must be exactly `open_time,open,high,low,close,volume`",
    );
    refused(
        "2020-01-01T00:00:00Z,10,12,9,11,5\n",
        "feed.csv:1: the header is neither `open_time,open,high,low,close,volume` nor `time,price,quantity,side,trade_id`",
    );
    let mut bytes = format!("{BARS}2020-01-01T00:00:00Z,10,12,9,11,").into_bytes();
    bytes.push(0xff);
    refused(bytes, "feed.csv:2: the text is not UTF-8");
}

#[test]
fn a_file_that_cannot_be_read_is_refused() {
    let error = RecordedFeed::open(&[source("S", Path::new("no/such.csv"))]).unwrap_err();
    assert_eq!(error.to_string(), "no/such.csv: there is no such file");
    let twice = [source("S", &bundled("coinbase-btcusd-1h.csv")), source("S", Path::new("other.csv"))];
    let error = RecordedFeed::open(&twice).unwrap_err();
    assert_eq!(error.to_string(), "other.csv: symbol S is fed by another file already");
}

#[test]
fn blank_lines_count_as_lines_and_carriage_returns_do_not_matter() {
    refused(format!("{BARS}\n\n2020-01-01T00:00:00Z,x,12,9,11,5\n"), "feed.csv:4: open `x` is not a number");
    refused(
        format!("{BARS}2020-01-01T00:00:00Z,10,12,9,11,5\r\n\r\nx\r\n"),
        "feed.csv:4: the row has 1 field, not the 6 of the header",
    );
    let text = format!("\u{feff}{}2020-01-01T00:00:00Z,10,12,9,11,6\r\n\r\n", BARS.replace('\n', "\r\n"));
    assert_eq!(feed_of(&[&text]).play().count(), 60);
}

#[test]
fn a_bar_plays_as_sixty_steps_over_its_nearer_extreme() {
    let feed = feed_of(&[&format!(
        "{BARS}2020-01-01T00:00:00Z,100,104,98,101,6\n2020-01-01T01:00:00Z,101,101.5,90,95,0\n"
    )]);
    let ticks: Vec<Tick> = feed.play().collect();
    let shown = |i: usize| format!("{} {} {}", ticks[i].at, ticks[i].price, ticks[i].quantity);
    assert_eq!(ticks.len(), 120);
    assert_eq!(shown(0), "2020-01-01T00:00:00.000000Z 100 0.1");
    assert_eq!(shown(10), "2020-01-01T00:10:00.000000Z 99 0.1");
    assert_eq!(shown(20), "2020-01-01T00:20:00.000000Z 98 0.1");
    assert_eq!(shown(40), "2020-01-01T00:40:00.000000Z 104 0.1");
    assert_eq!(shown(41), "2020-01-01T00:41:00.000000Z 103.84 0.1");
    assert_eq!(shown(59), "2020-01-01T00:59:00.000000Z 101 0.1");
    assert_eq!(shown(80), "2020-01-01T01:20:00.000000Z 101.5 0");
    let closing: Vec<usize> = (0..120).filter(|i| ticks[*i].closes.is_some()).collect();
    let opening: Vec<usize> = (0..120).filter(|i| ticks[*i].opens_bar).collect();
    assert_eq!((closing, opening), (vec![59, 119], vec![0, 60]));
    assert_eq!(ticks[59].closes.unwrap().close_time, at("2020-01-01T01:00:00Z"));
    assert_eq!(ticks[60].path, None);
    let path = ticks[61].path.unwrap();
    assert_eq!((path.begins_at(), path.price_at(path.begins_at())), (ticks[60].at, ticks[60].price));
    assert_eq!(ticks[61].bar.unwrap().opened_at, ticks[60].at);
}

#[test]
fn a_bars_length_is_the_most_common_gap_and_never_reaches_into_the_next_bar() {
    let feed = feed_of(&[&format!(
        "{BARS}2020-01-01T00:00:00Z,1,1,1,1,1\n2020-01-01T01:00:00Z,1,1,1,1,1\n2020-01-01T05:00:00Z,1,1,1,1,1\n\
         2020-01-01T06:00:00Z,1,1,1,1,1\n2020-01-01T06:30:00Z,1,1,1,1,1\n"
    )]);
    let spans: Vec<i64> = feed
        .play()
        .filter_map(|tick| tick.closes)
        .map(|bar| bar.close_time.micros_since(bar.open_time) / 60_000_000)
        .collect();
    assert_eq!(spans, [60, 60, 60, 30, 60]);
    assert_eq!(feed.summaries()[0].bar_micros, Some(3_600_000_000));
}

#[test]
fn equal_instants_are_told_apart_by_a_microsecond() {
    let trades = "2020-01-01T00:00:00Z,10,1,buy,1\n2020-01-01T00:00:00Z,11,1,sell,2\n2020-01-01T00:00:00.000001Z,12,1,sell,3\n";
    let feed = feed_of(&[&format!("{TRADES}{trades}"), &format!("{TRADES}2020-01-01T00:00:00Z,5,1,buy,1\n")]);
    let shown: Vec<String> =
        feed.play().map(|t| format!("{} {} {}", t.at.unix_micros() % 1000, t.symbol, t.price)).collect();
    assert_eq!(shown, ["0 S0 10", "1 S0 11", "2 S1 5", "3 S0 12"]);
}

#[test]
fn a_resumed_feed_continues_as_the_first_run_did() {
    let hours = |i: usize| format!("2020-01-01T{i:02}:00:00Z,10,12,9,11,6\n");
    let bars: String = (0..4).map(hours).collect();
    let feed = feed_of(&[&format!("{BARS}{bars}"), &format!("{BARS}{bars}")]);
    let whole: Vec<Tick> = feed.play().collect();
    assert!(whole.windows(2).all(|pair| pair[0].at < pair[1].at));
    for (i, tick) in whole.iter().enumerate() {
        let resumed = feed.resume_at(tick.at);
        let seen = whole[..i].iter().filter(|t| t.symbol == tick.symbol && t.closes.is_some()).count();
        assert_eq!(resumed.closed_bars(&tick.symbol, 100).len(), seen);
        assert_eq!(resumed.next_at(), Some(tick.at));
        assert!(resumed.eq(whole[i..].iter().cloned()));
    }
    assert_eq!(feed.resume_at(at("2020-01-02T00:00:00Z")).next(), None);
}

#[test]
fn within_a_step_a_feed_resumes_with_the_split_that_was_made_there() {
    let feed = feed_of(&[&format!(
        "{BARS}2020-01-01T00:00:00Z,100,104,98,101,6\n2020-01-01T01:00:00Z,101,101,101,101,6\n"
    )]);
    let shown = |playback: &mut Playback| {
        let tick = playback.next().unwrap();
        format!("{} {} {}", tick.at, tick.price, tick.quantity)
    };
    let mut resumed = feed.resume_at(at("2020-01-01T00:05:15Z"));
    assert_eq!(resumed.next_at(), Some(at("2020-01-01T00:05:15Z")));
    assert_eq!(shown(&mut resumed), "2020-01-01T00:05:15.000000Z 99.48 0.025");
    assert_eq!(shown(&mut resumed), "2020-01-01T00:06:00.000000Z 99.4 0.075");
    assert_eq!(shown(&mut resumed), "2020-01-01T00:07:00.000000Z 99.3 0.1");
    for before_a_jump in ["2019-12-31T23:59:30Z", "2020-01-01T00:59:30Z"] {
        assert!(feed.resume_at(at(before_a_jump)).next().unwrap().opens_bar);
    }
}

#[test]
fn a_stop_between_two_steps_is_met_where_it_lies() {
    let feed = feed_of(&[&format!("{BARS}2020-01-01T00:00:00Z,100,104,98,101,6\n")]);
    let stop = "98.95".parse().unwrap();
    let mut is_armed = true;
    let mut playback = feed.play();
    let mut seen = Vec::new();
    while let Some(tick) = playback.next_or_split(|tick| tick.reaches(stop, true).filter(|_| is_armed)) {
        is_armed &= tick.price > stop;
        seen.push(tick);
    }
    assert_eq!(seen.len(), 61);
    assert_eq!(
        (seen[11].at, seen[11].price),
        (at("2020-01-01T00:00:10.450001Z"), stop),
        "before, 98.955 and more round to 98.96"
    );
    assert_eq!(seen[12].at, at("2020-01-01T00:00:11Z"));
    let sum = seen.iter().try_fold(Quantity::ZERO, |sum, tick| sum.plus(tick.quantity)).unwrap();
    assert_eq!(sum.to_string(), "6");
}

#[test]
fn the_last_ticks_before_an_instant_are_at_hand() {
    let bar = format!("{BARS}2020-01-01T00:00:00Z,10,12,9,11,6\n");
    let trades = format!("{TRADES}2020-01-01T00:00:00Z,5,1,buy,1\n2020-01-01T00:00:00Z,6,1,buy,2\n");
    let feed = feed_of(&[&trades, &bar, &format!("{TRADES}2020-01-02T00:00:00Z,7,1,buy,1\n")]);
    let whole: Vec<Tick> = feed.play().collect();
    assert!(feed.play().last_ticks().is_empty());
    for (i, tick) in whole.iter().enumerate() {
        let mut expected: Vec<Tick> = Vec::new();
        for earlier in &whole[..i] {
            expected.retain(|tick| tick.symbol != earlier.symbol);
            expected.push(earlier.clone());
        }
        assert_eq!(feed.resume_at(tick.at).last_ticks(), expected);
    }
}

#[test]
fn bars_before_an_instant_warm_up_an_average() {
    let feed = feed_of(&[&format!(
        "{BARS}2020-01-01T00:00:00Z,1,1,1,1,1\n2020-01-01T01:00:00Z,2,2,2,2,1\n2020-01-01T02:00:00Z,3,3,3,3,1\n"
    )]);
    let symbol: Symbol = "S0".parse().unwrap();
    let closes = |limit| -> Vec<String> {
        feed.resume_at(at("2020-01-01T02:10:00Z"))
            .closed_bars(&symbol, limit)
            .iter()
            .map(|b| b.close.to_string())
            .collect()
    };
    assert_eq!(closes(100), ["1", "2"]);
    assert_eq!(closes(1), ["2"]);
}

#[test]
fn the_bundled_files_play() {
    let check = |name: &str, kind, rows, ticks| {
        let feed = RecordedFeed::open(&[source("S", &bundled(name))]).unwrap();
        let summary = &feed.summaries()[0];
        assert_eq!((summary.kind, summary.rows, summary.sha256.len()), (kind, rows, 64));
        let mut last = None;
        let mut count = 0_usize;
        for tick in feed.play() {
            assert!(last < Some(tick.at));
            last = Some(tick.at);
            count += 1;
        }
        assert_eq!(count, ticks);
    };
    check("coinbase-btcusd-1h.csv", RowKind::Bars, 20_111, 1_206_660);
    check("kraken-xbtusdt-1m.csv", RowKind::Bars, 721, 43_260);
    check("kraken-xbtusdt-trades.csv", RowKind::Trades, 1_000, 1_000);
}

fn cents(value: i64) -> Decimal {
    Decimal::new(value, 2)
}

fn micros(n: i64) -> Timestamp {
    at("2020-01-01T00:00:00Z").plus_micros(n)
}

/// A tick at the end of a step that begins at 0.
fn step(from: i64, to: i64, length: i64, volume: Decimal) -> Tick {
    let price = |ticks| cents(ticks).to_string().parse().unwrap();
    let quantity = Quantity::new(volume).unwrap();
    let path = TickPath::new((micros(0), price(from)), (micros(length), price(to)), quantity, price(1));
    Tick {
        symbol: std::sync::Arc::new("S".parse().unwrap()),
        at: micros(length),
        price: price(to),
        quantity,
        side: None,
        path,
        bar: None,
        opens_bar: false,
        closes: None,
    }
}

/// Bars of 600 microseconds, so that steps, splits and bumped ticks of two files often meet.
fn short_bars(offset: i64, closes: &[i64]) -> String {
    let row = |(i, pair): (usize, &[i64])| {
        let (open, close) = (pair[0], pair[1]);
        let at = micros(offset + 600 * i64::try_from(i).unwrap());
        let (high, low) = (open.max(close) + 7, open.min(close) - 5);
        format!("{at},{},{},{},{},6\n", cents(open), cents(high), cents(low), cents(close))
    };
    format!("{BARS}{}", closes.windows(2).enumerate().map(row).collect::<String>())
}

/// Plays on, splitting at the given instants of each file.
fn play_split(mut playback: Playback, splits: &[(usize, i64)]) -> impl Iterator<Item = Tick> {
    let wanted = move |tick: &Tick| {
        let of_symbol = splits.iter().filter(|(source, _)| tick.symbol.as_str() == format!("S{source}"));
        of_symbol.map(|(_, at)| micros(*at)).filter(|at| tick.split_at(*at).is_some()).min()
    };
    std::iter::from_fn(move || playback.next_or_split(wanted))
}

proptest! {
    #[test]
    fn a_bars_steps_stay_within_it_and_add_up(
        low in 1_i64..1_000_000_000,
        range in 0_i64..100_000_000,
        open in 0_i64..=1_000,
        close in 0_i64..=1_000,
        volume in 0_i64..1_000_000_000_000_000,
        scale in 0_u32..14,
    ) {
        let within = |part: i64| low + range * part / 1_000;
        let (low, high, open, close) = (cents(low), cents(low + range), cents(within(open)), cents(within(close)));
        let volume = Decimal::new(volume, scale);
        let feed = feed_of(&[&format!("{BARS}2020-01-01T00:00:00Z,{open},{high},{low},{close},{volume}\n")]);
        let ticks: Vec<Tick> = feed.play().collect();
        prop_assert_eq!(ticks.len(), 60);
        prop_assert!(ticks.iter().all(|t| (low..=high).contains(&t.price.get())));
        prop_assert_eq!(ticks[0].price.get(), open);
        prop_assert_eq!(ticks[59].price.get(), close);
        prop_assert!(ticks.iter().any(|t| t.price.get() == low) && ticks.iter().any(|t| t.price.get() == high));
        let sum = ticks.iter().try_fold(Quantity::ZERO, |sum, t| sum.plus(t.quantity)).unwrap();
        prop_assert_eq!(sum.get(), volume.trunc_with_scale(12).normalize());
    }

    #[test]
    fn a_level_is_reached_at_the_first_microsecond(
        from in 1_i64..60, to in 1_i64..60, length in 1_i64..200, begin in 0_i64..200, level in 1_i64..1200,
        falling in any::<bool>(),
    ) {
        let whole = step(from, to, length, Decimal::ONE);
        let tick = whole.split_at(micros(begin)).map_or(whole, |(_, rest)| rest);
        let path = tick.path.unwrap();
        let level = Decimal::new(level, 3).to_string().parse().unwrap();
        let has_reached = |n: &i64| {
            let price = path.price_at(micros(*n));
            if falling { price <= level } else { price >= level }
        };
        let first = path.begins_at().micros_since(micros(0)) + 1;
        let expected = (first..length).find(has_reached).map(micros);
        prop_assert_eq!(tick.reaches(level, falling), expected);
        if let Some(reached) = expected {
            prop_assert_eq!(tick.split_at(reached).unwrap().0.reaches(level, falling), None);
        }
    }

    #[test]
    fn a_split_is_the_same_however_often_the_step_was_split_before(
        from in 1_i64..1_000_000, to in 1_i64..1_000_000, length in 1_i64..100_000_000_000,
        volume in 0_i64..i64::MAX, scale in 0_u32..13,
        cuts in prop::collection::btree_set(0_i64..100_000_000_000, 0..8),
    ) {
        let whole = step(from, to, length, Decimal::new(volume, scale));
        let mut rest = whole.clone();
        let mut sum = Quantity::ZERO;
        for cut in cuts {
            let direct = whole.split_at(micros(cut));
            let stepwise = rest.split_at(micros(cut));
            prop_assert_eq!(direct.is_some(), stepwise.is_some());
            prop_assert_eq!(direct.is_some(), 0 < cut && cut < length);
            let (Some(direct), Some(stepwise)) = (direct, stepwise) else { continue };
            prop_assert_eq!(direct.0.price, stepwise.0.price);
            prop_assert_eq!(&direct.1, &stepwise.1);
            sum = sum.plus(stepwise.0.quantity).unwrap();
            rest = stepwise.1;
        }
        prop_assert_eq!(sum.plus(rest.quantity).unwrap(), whole.quantity);
        prop_assert_eq!((rest.at, rest.price), (whole.at, whole.price));
    }

    #[test]
    fn a_feed_resumed_at_a_split_continues_as_the_player_that_split_there(
        closes in prop::collection::vec(100_i64..200, 3..5),
        splits in prop::collection::vec((Just(0_usize), 0_i64..2_500), 0..30),
    ) {
        let feed = feed_of(&[&short_bars(0, &closes)]);
        let whole: Vec<Tick> = feed.play().collect();
        let seen: Vec<Tick> = play_split(feed.play(), &splits).collect();
        let is_split = |tick: &Tick| whole.iter().all(|whole| whole.at != tick.at);
        for (i, tick) in seen.iter().enumerate().filter(|(i, tick)| i % 17 == 0 || is_split(tick)) {
            let resumed = feed.resume_at(tick.at);
            let closed = seen[..i].iter().filter_map(|tick| tick.closes).collect::<Vec<_>>();
            prop_assert_eq!(resumed.closed_bars(&tick.symbol, 100), closed);
            let again: Vec<Tick> = play_split(resumed, &splits).take(100).collect();
            prop_assert_eq!((again[0].at, again[0].price), (tick.at, tick.price));
            prop_assert_eq!(again[0].closes, tick.closes);
            prop_assert_eq!(&again[1..], &seen[i + 1..i + again.len()]);
            prop_assert!(again.len() == 100 || i + again.len() == seen.len());
        }
    }

    #[test]
    fn splits_of_several_symbols_share_one_clock_and_move_no_whole_tick(
        closes in prop::collection::vec(100_i64..200, 3..5),
        offset in 0_i64..700,
        splits in prop::collection::vec((0_usize..2, 0_i64..2_500), 0..30),
    ) {
        let feed = feed_of(&[&short_bars(0, &closes), &short_bars(offset, &closes)]);
        let whole: Vec<Tick> = feed.play().collect();
        let seen: Vec<Tick> = play_split(feed.play(), &splits).collect();
        prop_assert!(seen.windows(2).all(|pair| pair[0].at < pair[1].at));
        let key = |tick: &Tick| (tick.at, tick.symbol.clone(), tick.price, tick.closes, tick.bar);
        let keys = |ticks: &[Tick]| ticks.iter().map(key).collect::<Vec<_>>();
        let unsplit: Vec<_> = keys(&seen).into_iter().filter(|k| whole.iter().any(|t| t.at == k.0)).collect();
        prop_assert!(unsplit == keys(&whole));
        let is_split = |tick: &Tick| whole.iter().all(|whole| whole.at != tick.at);
        for (i, tick) in seen.iter().enumerate().filter(|(i, tick)| i % 17 == 0 || is_split(tick)) {
            let again: Vec<Tick> = play_split(feed.resume_at(tick.at), &splits).take(100).collect();
            prop_assert!(again.len() == 100 || i + again.len() == seen.len());
            prop_assert!(keys(&again) == keys(&seen[i..i + again.len()]), "resumed at {}", tick.at);
        }
    }
}
