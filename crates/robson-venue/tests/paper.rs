//! The rules of the paper exchange, each by an example, and what holds whatever is traded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use robson_domain::{ClientOrderId, Money, OrderSide, OrderType, Quantity, Symbol, Timestamp};
use robson_venue::exchange::{Instrument, OrderLookup, OrderRequest, PlaceOutcome};
use robson_venue::feed::{Path, RunningBar, Tick};
use robson_venue::paper::{PaperEvent, PaperRules, PaperState, PlaceDecision};
use rust_decimal::Decimal;

/// An exchange under test: its state, and the log that made it.
struct Venue {
    state: PaperState,
    log: Vec<PaperEvent>,
    last: Option<Tick>,
}

fn start() -> Timestamp {
    "2020-01-01T00:00:00Z".parse().unwrap()
}

fn second(n: i64) -> Timestamp {
    start().plus_micros(n * 1_000_000)
}

fn instrument(step: &str) -> Instrument {
    let step: Quantity = step.parse().unwrap();
    let symbol: Symbol = "BTCUSD".parse().unwrap();
    Instrument {
        step,
        min_quantity: step,
        ..Instrument::with_default_filters(&symbol, &"USD".parse().unwrap())
    }
}

fn new_state() -> PaperState {
    PaperState::new(PaperRules::new("USD".parse().unwrap()), [instrument("0.001")])
}

impl Venue {
    fn funded(amount: &str) -> Self {
        let mut venue = Self { state: new_state(), log: Vec::new(), last: None };
        let deposit = venue.state.decide_deposit(amount.parse().unwrap(), start());
        venue.happens(deposit);
        venue
    }

    fn happens(&mut self, event: PaperEvent) {
        self.state.apply(&event).unwrap();
        let stored = PaperEvent::decode(event.event_type(), event.payload()).unwrap();
        assert_eq!(stored, event, "what is stored reads back");
        self.log.push(event);
    }

    fn tick(&mut self, at: i64, price: &str, volume: &str) {
        self.take(Tick {
            symbol: Arc::new("BTCUSD".parse().unwrap()),
            at: second(at),
            price: price.parse().unwrap(),
            quantity: volume.parse().unwrap(),
            side: None,
            path: None,
            bar: None,
            opens_bar: false,
            closes: None,
        });
    }

    fn take(&mut self, tick: Tick) {
        for event in self.state.decide_tick(&tick).unwrap() {
            self.happens(event);
        }
        self.last = Some(tick);
    }

    fn place(&mut self, request: &OrderRequest) -> PlaceOutcome {
        let last = self.last.as_ref();
        let (price, at) = (last.map(|tick| tick.price), last.map_or(start(), |tick| tick.at));
        match self.state.decide_place(request, price, at) {
            PlaceDecision::Answer(outcome) => outcome,
            PlaceDecision::Happens(event) => {
                self.happens(event);
                self.state.order(&request.client_order_id).unwrap().outcome()
            }
        }
    }

    fn send(&mut self, id: &str, order: &str) -> String {
        match self.place(&request(id, order)) {
            PlaceOutcome::Confirmed(report) => {
                format!("{} {}", report.exchange_order_id.unwrap(), report.status)
            }
            PlaceOutcome::Refused(refusal) => format!("{} {}", refusal.code, refusal.reason),
            other => format!("{other:?}"),
        }
    }

    /// The order's status, and its fills as `quantity@price`.
    fn order(&self, id: &str) -> String {
        match self.state.look_up(&ClientOrderId::from(id.to_owned())) {
            OrderLookup::Found(report) => {
                let fills = report.fills.iter().map(|fill| format!(" {}@{}", fill.quantity, fill.price));
                format!("{}{}", report.status, fills.collect::<String>())
            }
            OrderLookup::Absent => "absent".to_owned(),
            OrderLookup::Unknown => "unknown".to_owned(),
        }
    }

    fn position(&self) -> String {
        let shown = |p: &robson_venue::exchange::VenuePosition| {
            format!("{} {}@{}", p.side, p.quantity, p.entry_price)
        };
        self.state.positions().first().map_or_else(|| "flat".to_owned(), shown)
    }
}

/// `buy 1`, `sell 0.5 reduce`
fn request(id: &str, order: &str) -> OrderRequest {
    let mut words = order.split(' ');
    let side = words.next().unwrap().parse::<OrderSide>().unwrap();
    OrderRequest {
        client_order_id: ClientOrderId::from(id.to_owned()),
        symbol: "BTCUSD".parse().unwrap(),
        side,
        quantity: words.next().unwrap().parse().unwrap(),
        reduce_only: words.next() == Some("reduce"),
        order_type: OrderType::Market,
    }
}

#[test]
fn a_fill_costs_the_fee_and_the_slippage() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    assert_eq!(venue.send("a", "buy 1"), "1 acknowledged");
    venue.tick(1, "1000", "100");
    assert_eq!(venue.order("a"), "filled 1@1000.2");
    assert_eq!(venue.state.fees().to_string(), "1.0002");
    assert_eq!(venue.send("b", "sell 1 reduce"), "2 acknowledged");
    venue.tick(2, "1100", "100");
    assert_eq!(venue.order("b"), "filled 1@1099.78");
    assert_eq!(venue.position(), "flat");
    assert_eq!(venue.state.realized().to_string(), "99.58");
    assert_eq!(venue.state.wallet().unwrap().to_string(), "10097.48002");
    assert_eq!(venue.state.available().unwrap(), venue.state.wallet().unwrap());
}

#[test]
fn a_short_gains_when_the_price_falls() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "sell 2");
    venue.tick(1, "1000", "100");
    assert_eq!(venue.position(), "short 2@999.8");
    assert_eq!(venue.state.locked().unwrap().to_string(), "1999.6");
    venue.send("b", "buy 2 reduce");
    venue.tick(2, "900", "100");
    assert_eq!(venue.order("b"), "filled 2@900.18");
    assert_eq!(venue.state.realized().to_string(), "199.24");
}

#[test]
fn an_order_fills_only_after_the_latency_and_at_most_a_part_of_the_volume() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "buy 1");
    let mut early = venue.last.clone().unwrap();
    early.at = start().plus_micros(49_999);
    venue.take(early.clone());
    assert_eq!(venue.order("a"), "acknowledged");
    early.at = start().plus_micros(50_000);
    early.quantity = "1.6039".parse().unwrap();
    venue.take(early);
    assert_eq!(venue.order("a"), "partial 0.4@1000.2");
    venue.tick(1, "1010", "0");
    venue.tick(2, "1020", "0.003");
    assert_eq!(venue.order("a"), "partial 0.4@1000.2");
    venue.tick(3, "1030", "100");
    assert_eq!(venue.order("a"), "filled 0.4@1000.2 0.6@1030.21");
    assert_eq!(venue.position(), "long 1@1018.206");
}

#[test]
fn orders_share_a_ticks_volume_in_the_order_in_which_they_were_taken() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("b", "buy 1");
    venue.send("a", "buy 1");
    venue.tick(1, "1000", "6");
    assert_eq!((venue.order("b"), venue.order("a")), ("filled 1@1000.2".into(), "partial 0.5@1000.2".into()));
}

#[test]
fn within_a_bar_an_order_meets_the_price_on_its_way_and_over_a_gap_the_first_price_after() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "buy 1");
    let mut tick = venue.last.clone().unwrap();
    (tick.at, tick.price) = (second(1), "1100".parse().unwrap());
    let start = (second(0), "1000".parse().unwrap());
    tick.path = Path::new(start, (tick.at, tick.price), tick.quantity, "0.01".parse().unwrap());
    venue.take(tick);
    assert_eq!(venue.order("a"), "filled 1@1005.21", "a twentieth of the way, and the slippage");
    venue.send("b", "sell 1 reduce");
    venue.tick(3600, "900", "100");
    assert_eq!(venue.order("b"), "filled 1@899.82");
}

#[test]
fn the_rest_of_a_split_step_fills_at_the_price_on_its_way() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    let mut tick = venue.last.clone().unwrap();
    (tick.at, tick.price) = (second(10), "1100".parse().unwrap());
    let start = (second(0), "1000".parse().unwrap());
    tick.path = Path::new(start, (tick.at, tick.price), tick.quantity, "0.01".parse().unwrap());
    let (first, rest) = tick.split_at(second(5)).unwrap();
    venue.take(first);
    venue.send("a", "buy 1");
    venue.take(rest);
    assert_eq!(venue.order("a"), "filled 1@1050.72", "1050.50 and the slippage");
}

/// A tick of the bar that opened at `opened_at` and has so much volume.
fn in_bar(at: i64, opened_at: i64, volume: &str) -> Tick {
    Tick {
        symbol: Arc::new("BTCUSD".parse().unwrap()),
        at: second(at),
        price: "1000".parse().unwrap(),
        quantity: Quantity::ZERO,
        side: None,
        path: None,
        bar: Some(RunningBar { opened_at: second(opened_at), volume: volume.parse().unwrap() }),
        opens_bar: at == opened_at,
        closes: None,
    }
}

#[test]
fn orders_take_at_most_a_part_of_a_bar_from_its_first_step_on() {
    let mut venue = Venue::funded("10000");
    venue.take(in_bar(0, 0, "4"));
    venue.send("a", "buy 0.75");
    venue.send("b", "buy 1");
    venue.take(in_bar(1, 0, "4"));
    assert_eq!(
        (venue.order("a"), venue.order("b")),
        ("filled 0.75@1000.2".into(), "partial 0.25@1000.2".into())
    );
    venue.take(in_bar(59, 0, "4"));
    assert_eq!(venue.order("b"), "partial 0.25@1000.2", "the bar has no more");
    venue.take(in_bar(60, 60, "2"));
    assert_eq!(venue.order("b"), "partial 0.25@1000.2 0.5@1000.2", "the next bar has");
    venue.take(in_bar(61, 60, "2"));
    assert_eq!(venue.order("b"), "partial 0.25@1000.2 0.5@1000.2");
}

#[test]
fn a_restart_within_a_bar_brings_no_volume_back() {
    let mut venue = Venue::funded("10000");
    venue.take(in_bar(0, 0, "4"));
    venue.send("a", "buy 0.9");
    venue.take(in_bar(1, 0, "4"));
    let mut replayed = new_state();
    for event in &venue.log {
        replayed.apply(event).unwrap();
    }
    venue.state = replayed;
    venue.send("b", "buy 1");
    venue.take(in_bar(2, 0, "4"));
    assert_eq!(venue.order("b"), "partial 0.1@1000.2");
}

#[test]
fn an_order_that_breaks_a_filter_is_refused() {
    let mut venue = Venue::funded("10000");
    assert_eq!(venue.send("early", "buy 1"), "-1013 Market has no price yet.");
    venue.tick(0, "1000", "100");
    assert_eq!(venue.send("step", "buy 1.0005"), "-1013 Filter failure: LOT_SIZE");
    assert_eq!(venue.send("zero", "buy 0"), "-1013 Filter failure: LOT_SIZE");
    venue.tick(1, "999", "100");
    assert_eq!(venue.send("small", "buy 0.001"), "-1013 Filter failure: NOTIONAL");
    assert_eq!(venue.send("large", "buy 10"), "-2019 Margin is insufficient.");
    assert_eq!(venue.send("huge", "buy 79228162514264337593543950335"), "-2019 Margin is insufficient.");
    let unknown = OrderRequest { symbol: "ETHUSD".parse().unwrap(), ..request("unknown", "buy 1") };
    assert!(matches!(venue.place(&unknown), PlaceOutcome::Refused(refusal) if refusal.code == -1121));
    let limit = OrderRequest { order_type: OrderType::Limit, ..request("limit", "buy 1") };
    assert!(matches!(venue.place(&limit), PlaceOutcome::Refused(refusal) if refusal.code == -1116));
    assert_eq!(venue.order("large"), "rejected");
    assert_eq!(venue.order("never"), "absent");
}

#[test]
fn working_orders_and_positions_hold_margin() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    assert_eq!(venue.send("a", "buy 6"), "1 acknowledged");
    assert_eq!(venue.state.available().unwrap().to_string(), "4000");
    assert_eq!(venue.send("b", "buy 4"), "-2019 Margin is insufficient.");
    venue.tick(1, "1000", "100");
    assert_eq!(venue.state.available().unwrap().to_string(), "3992.7988");
    assert_eq!(venue.send("c", "buy 4"), "-2019 Margin is insufficient.");
    assert_eq!(venue.send("d", "sell 9"), "2 acknowledged", "it closes 6 and opens 3");
    venue.tick(2, "1000", "100");
    assert_eq!(venue.position(), "short 3@999.8");
}

#[test]
fn an_order_that_may_only_reduce_never_turns_a_position() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    assert_eq!(venue.send("flat", "sell 1 reduce"), "-2022 ReduceOnly Order is rejected.");
    venue.send("a", "buy 1");
    venue.tick(1, "1000", "100");
    assert_eq!(venue.send("same side", "buy 1 reduce"), "-2022 ReduceOnly Order is rejected.");
    assert_eq!(venue.send("clipped", "sell 5 reduce"), "2 acknowledged");
    assert_eq!(venue.send("none left", "sell 1 reduce"), "-2022 ReduceOnly Order is rejected.");
    venue.tick(2, "1000", "100");
    assert_eq!((venue.order("clipped"), venue.position()), ("filled 1@999.8".into(), "flat".into()));

    venue.send("b", "buy 1");
    venue.tick(3, "1000", "100");
    venue.send("plain", "sell 0.4");
    venue.send("rest", "sell 1 reduce");
    venue.tick(4, "1000", "100");
    assert_eq!((venue.order("rest"), venue.position()), ("expired 0.6@999.8".into(), "flat".into()));
}

#[test]
fn a_small_exit_needs_no_minimum_value() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "buy 0.001");
    venue.tick(1, "500", "100");
    assert_eq!(venue.send("b", "sell 0.001 reduce"), "2 acknowledged");
}

#[test]
fn a_client_id_is_unique_for_good() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    assert_eq!(venue.send("a", "buy 1"), "1 acknowledged");
    assert_eq!(venue.send("a", "buy 1"), "1 acknowledged");
    assert_eq!(venue.send("a", "buy 2"), "-2010 Duplicate order sent.");
    venue.tick(1, "1000", "100");
    assert_eq!(venue.send("a", "buy 1"), "1 filled", "sent again after the fill it is no second order");
    assert_eq!(venue.send("b", "buy 100"), "-2019 Margin is insufficient.");
    venue.tick(2, "1", "100");
    assert_eq!(venue.send("b", "buy 100"), "-2019 Margin is insufficient.", "a refused id is spent");
    assert_eq!(venue.log.len(), 4);
}

#[test]
fn a_cancel_ends_what_still_works() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "buy 1");
    venue.tick(1, "1000", "2");
    let id = ClientOrderId::from("a".to_owned());
    let canceled = venue.state.decide_cancel(&id, second(1)).unwrap();
    venue.happens(canceled);
    assert_eq!(venue.order("a"), "canceled 0.5@1000.2");
    assert_eq!(venue.state.decide_cancel(&id, second(2)), None);
    venue.tick(2, "1000", "100");
    assert_eq!(venue.position(), "long 0.5@1000.2");
    assert!(
        venue.state.apply(&PaperEvent::PaperOrderCanceled { client_order_id: id, at: second(3) }).is_err()
    );
}

#[test]
fn a_tick_up_to_the_cursor_was_taken_in_before() {
    let mut venue = Venue::funded("10000");
    venue.tick(0, "1000", "100");
    venue.send("a", "buy 1");
    venue.tick(1, "1000", "2");
    assert_eq!((venue.state.cursor(), venue.log.len()), (Some(second(1)), 3));
    venue.tick(1, "1000", "2");
    assert_eq!(venue.log.len(), 3);
    assert_eq!(venue.state.traded_at(second(1)).len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Tick { price: i64, volume: i64 },
    Send { buy: bool, quantity: i64, reduce_only: bool },
    Cancel { nth: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (50_000_i64..200_000, 0_i64..40_000).prop_map(|(price, volume)| Step::Tick { price, volume }),
        3 => (any::<bool>(), 0_i64..9_000, any::<bool>())
            .prop_map(|(buy, quantity, reduce_only)| Step::Send { buy, quantity, reduce_only }),
        1 => (0_usize..40).prop_map(|nth| Step::Cancel { nth }),
    ]
}

proptest! {
    #[test]
    fn whatever_is_traded_the_books_agree(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut venue = Venue::funded("10000");
        for (i, step) in steps.into_iter().enumerate() {
            let before = venue.position();
            match step {
                Step::Tick { price, volume } => {
                    let (price, volume) = (Decimal::new(price, 2), Decimal::new(volume, 3));
                    venue.tick(i64::try_from(i).unwrap() + 1, &price.to_string(), &volume.to_string());
                }
                Step::Send { buy, quantity, reduce_only } => {
                    let (side, reduce) = (if buy { "buy" } else { "sell" }, if reduce_only { " reduce" } else { "" });
                    venue.send(&format!("o{i}"), &format!("{side} {}{reduce}", Decimal::new(quantity, 3)));
                    prop_assert_eq!(venue.position(), before);
                }
                Step::Cancel { nth } => {
                    let id = ClientOrderId::from(format!("o{nth}"));
                    let at = venue.last.as_ref().map_or(start(), |tick| tick.at);
                    if let Some(event) = venue.state.decide_cancel(&id, at) {
                        venue.happens(event);
                    }
                }
            }
        }
        let mut replayed = new_state();
        for event in &venue.log {
            replayed.apply(event).unwrap();
        }
        prop_assert_eq!(&replayed, &venue.state);

        let mut held = Decimal::ZERO;
        let mut cash = Decimal::ZERO;
        let mut fees = Decimal::ZERO;
        for i in 0..80 {
            let Some(order) = venue.state.order(&ClientOrderId::from(format!("o{i}"))) else { continue };
            let report = order.report();
            let filled = report.fills.iter().try_fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity)).unwrap();
            prop_assert_eq!(filled, report.filled);
            prop_assert!(filled <= report.quantity);
            for fill in &report.fills {
                let sign = if report.side == OrderSide::Buy { Decimal::ONE } else { Decimal::NEGATIVE_ONE };
                held += sign * fill.quantity.get();
                cash -= sign * fill.quantity.get() * fill.price.get();
                fees += fill.fee.get();
            }
        }
        let position = venue.state.positions().into_iter().next();
        let signed = position.map_or(Decimal::ZERO, |p| match p.side {
            robson_domain::Side::Long => p.quantity.get(),
            robson_domain::Side::Short => -p.quantity.get(),
        });
        prop_assert_eq!(signed, held);
        prop_assert_eq!(venue.state.fees().get(), fees.normalize());
        let wallet = venue.state.wallet().unwrap();
        let added_up = venue.state.deposits().plus(venue.state.realized()).unwrap().minus(venue.state.fees()).unwrap();
        prop_assert_eq!(wallet, added_up);
        if held.is_zero() {
            prop_assert_eq!(venue.state.realized(), Money::new(cash).unwrap());
        }
    }
}
