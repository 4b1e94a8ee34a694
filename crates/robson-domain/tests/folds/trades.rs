//! Given some events, when one more happens, then the rows say this: a trade from its arming to its end.
//!
//! The story behind most cases: long 0.059 BTCUSD at 95,000 with a stop at 93,500, fee 0.1 %, capital 10,000.

use proptest::prelude::*;
use robson_domain::{Entities, OrderStatus, PositionState, Violation, WrongState};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::steps::{Step, active, armed, entering, exit, exit_fill, exiting, position, refused, risk, world};
use crate::world::{World, account_id, entry_order, event, exit_order, position_id};

#[test]
fn an_admitted_entry_reserves_its_planned_risk() {
    let world = world(entering());
    assert_eq!(position(&world), "entering 0 stop - latent 99.57449175");
    assert_eq!(risk(&world), "net 0 latent 99.57449175 exposure 0 drawdown 0");
    assert_eq!(world.order(entry_order()).status, OrderStatus::Pending);
    assert_eq!(world.strategy().total_signals, 1);
}

#[test]
fn a_filled_entry_reserves_the_loss_at_its_stop_with_the_exit_fee() {
    let world = world(active());
    assert_eq!(position(&world), "active 0.059 stop 93500 latent 94.0165");
    assert_eq!(risk(&world), "net -5.605 latent 94.0165 exposure 5605 drawdown 0.0005605");
    let order = world.order(entry_order());
    assert_eq!(
        (order.status, order.average_fill_price.unwrap().to_string()),
        (OrderStatus::Filled, "95000".into())
    );
    assert_eq!(world.position().favorable_extreme.unwrap().to_string(), "95000");
    assert_eq!((world.strategy().total_positions, world.strategy().open_positions), (1, 1));
}

#[test]
fn a_moved_stop_frees_budget_and_a_stop_in_profit_reserves_nothing() {
    let mut world = world(active());
    world.when("TRAILING_STOP_UPDATED", json!({"new_stop": "95000"})).unwrap();
    assert_eq!(position(&world), "active 0.059 stop 95000 latent 5.605");
    let next = json!({"previous_stop": "95000", "new_stop": "96000", "trigger_price": "97500", "favorable_extreme": "97500"});
    world.when("TRAILING_STOP_UPDATED", next).unwrap();
    assert_eq!(position(&world), "active 0.059 stop 96000 latent 0");
    assert_eq!(risk(&world), "net -5.605 latent 0 exposure 5605 drawdown 0.0005605");
    assert_eq!(world.position().unrealized_pnl.unwrap().to_string(), "147.5");
}

#[test]
fn a_stop_only_tightens_from_the_stop_in_force() {
    let mut world = world(active());
    for changes in [
        json!({"new_stop": "93500"}),
        json!({"new_stop": "93000"}),
        json!({"previous_stop": "93400"}),
        json!({"favorable_extreme": "94000"}),
    ] {
        refused(&mut world, "TRAILING_STOP_UPDATED", changes);
    }
    assert_eq!(position(&world), "active 0.059 stop 93500 latent 94.0165");
}

#[test]
fn a_closed_position_counts_and_reserves_nothing() {
    let mut world = world(exiting());
    let (event_type, fill) = exit_fill("95500", "0.059", "5.6345", "35");
    world.when(event_type, fill).unwrap();
    assert_eq!(position(&world), "exiting 0 stop 93500 latent 0");
    world.when("POSITION_CLOSED", json!({})).unwrap();
    assert_eq!(position(&world), "closed 0 stop 93500 latent 0");
    assert_eq!(risk(&world), "net 18.2605 latent 0 exposure 0 drawdown 0");
    assert_eq!(world.risk().daily_pnl.to_string(), "18.2605");
    let strategy = world.strategy();
    assert_eq!((strategy.open_positions, strategy.closed_positions, strategy.wins), (0, 1, 1));
    assert_eq!(
        (strategy.total_pnl.to_string(), strategy.win_rate.unwrap().to_string()),
        ("18.2605".into(), "1".into())
    );
    assert_eq!(world.fills(), 2);
}

#[test]
fn a_close_that_does_not_repeat_the_fills_is_refused() {
    let mut world = world(exiting());
    let (event_type, fill) = exit_fill("95500", "0.058", "5.539", "35");
    world.when(event_type, fill).unwrap();
    for changes in [json!({}), json!({"quantity": "0.058", "realized_pnl": "29", "total_fees": "11.144"})] {
        refused(&mut world, "POSITION_CLOSED", changes);
    }
    let with_dust =
        json!({"quantity": "0.058", "realized_pnl": "29", "total_fees": "11.144", "dust_quantity": "0.001"});
    world.when("POSITION_CLOSED", with_dust).unwrap();
    assert_eq!(world.position().dust_quantity.to_string(), "0.001");
    assert_eq!(world.position().current_quantity.to_string(), "0");
}

#[test]
fn a_short_gains_when_the_price_falls() {
    let short: Vec<Step> = active()
        .into_iter()
        .map(|(event_type, mut changes)| {
            let side = match event_type {
                "ORDER_SUBMITTED" | "FILL_RECEIVED" | "INTENT_CREATED" => "sell",
                _ => "short",
            };
            changes["side"] = json!(side);
            changes["stop_price"] =
                if event_type == "DECISION_PROPOSED" { json!("96500") } else { Value::Null };
            if event_type == "TECHNICAL_STOP_ANALYZED" {
                changes["stop_price"] = json!("96500");
            }
            if event_type == "POSITION_OPENED" {
                changes["technical_stop_price"] = json!("96500");
                changes["initial_stop"] = json!("96500");
            }
            (event_type, changes)
        })
        .collect();
    let mut world = world(short);
    assert_eq!(position(&world), "active 0.059 stop 96500 latent 94.1935");
    world.when("EXIT_TRIGGERED", json!({"trigger_price": "94000", "reason": "disarmed_by_user"})).unwrap();
    assert_eq!(world.position().unrealized_pnl.unwrap().to_string(), "59");
    world.when("INTENT_CREATED", exit(json!({"intent_type": "place_exit", "side": "buy"}))).unwrap();
    world.when("ORDER_SUBMITTED", exit(json!({"role": "exit", "side": "buy"}))).unwrap();
    let (event_type, mut fill) = exit_fill("94000", "0.059", "5.546", "35");
    fill["side"] = json!("buy");
    world.when(event_type, fill).unwrap();
    assert_eq!(world.position().realized_pnl.to_string(), "59");
    assert_eq!(world.position().average_exit_price().unwrap().unwrap().to_string(), "94000");
}

#[test]
fn an_entry_that_ends_unfilled_arms_the_position_again_and_frees_its_budget() {
    for (event_type, status) in
        [("ORDER_REJECTED", OrderStatus::Rejected), ("ORDER_CANCELED", OrderStatus::Expired)]
    {
        let mut world = world(entering());
        world.when(event_type, json!({})).unwrap();
        assert_eq!(position(&world), "armed 0 stop - latent 0");
        assert_eq!(world.position().technical_stop_price, None);
        assert_eq!(world.order(entry_order()).status, status);
        assert_eq!(risk(&world), "net 0 latent 0 exposure 0 drawdown 0");
        world.when("DETECTOR_STARTED", json!({})).unwrap();
    }
}

#[test]
fn a_fill_after_the_cancel_counts_and_the_order_stays_ended() {
    let mut world = world(entering());
    world.when("ORDER_CANCELED", json!({"reason": "requested"})).unwrap();
    world.when("FILL_RECEIVED", json!({"fill_quantity": "0.02", "fee": "1.9", "fee_quote": "1.9"})).unwrap();
    assert_eq!(world.order(entry_order()).status, OrderStatus::Canceled);
    assert_eq!(world.order(entry_order()).filled_quantity.to_string(), "0.02");
    assert_eq!(world.position().state, PositionState::Active);
    world.when("POSITION_OPENED", json!({"entry_quantity": "0.02"})).unwrap();
    assert_eq!(position(&world), "active 0.02 stop 93500 latent 31.87");
}

#[test]
fn a_half_filled_entry_keeps_its_planned_risk_until_the_order_ends() {
    let mut world = world(entering());
    let part = |trade: &str, price: &str| json!({"fill_quantity": "0.02", "fill_price": price, "fee": "1.9", "fee_quote": "1.9", "exchange_trade_id": trade});
    world.when("FILL_RECEIVED", part("1", "95000")).unwrap();
    world.when("POSITION_OPENED", json!({"entry_quantity": "0.02"})).unwrap();
    assert_eq!(position(&world), "active 0.02 stop 93500 latent 99.57449175");
    world.when("FILL_RECEIVED", part("2", "95100")).unwrap();
    assert_eq!(world.order(entry_order()).status, OrderStatus::Partial);
    assert_eq!(world.position().entry_price.unwrap().to_string(), "95050");
    world.when("ORDER_CANCELED", json!({"filled_quantity": "0.04"})).unwrap();
    assert_eq!(world.position().state, PositionState::Active);
    // 0.04 x 1550 and 0.04 x 93500 at the rate 3.8 / 3802.
    assert_eq!(world.position().latent_risk.to_string(), "65.738032614413");
    assert_eq!(world.risk().latent_risk, world.position().latent_risk);
}

#[test]
fn an_order_that_fills_more_than_was_asked_puts_the_position_into_error() {
    let mut world = world(entering());
    world.when("FILL_RECEIVED", json!({"fill_quantity": "0.06"})).unwrap();
    assert_eq!(world.position().state, PositionState::Error);
    assert_eq!(world.position().current_quantity.to_string(), "0.06", "the fill is a fact");
    assert_eq!(world.order(entry_order()).filled_quantity.to_string(), "0.06");
}

#[test]
fn a_fill_that_contradicts_its_order_is_kept_and_moves_nothing() {
    for changes in [json!({"symbol": "ETHUSD"}), json!({"side": "sell"}), json!({"fill_quantity": "0"})] {
        let mut world = world(entering());
        world.when("FILL_RECEIVED", changes).unwrap();
        assert_eq!((world.fills(), world.position().state), (1, PositionState::Error));
        assert_eq!(world.position().current_quantity.to_string(), "0");
        assert_eq!(world.order(entry_order()).filled_quantity.to_string(), "0");
    }
}

#[test]
fn sums_beyond_the_range_of_decimals_put_the_position_into_error() {
    let mut world = world(entering());
    let huge = "79228162514264337593543950335";
    world.when("FILL_RECEIVED", json!({"fill_quantity": huge, "fill_price": huge})).unwrap();
    assert_eq!(world.position().error.as_deref(), Some("decimal arithmetic overflow"));
    assert_eq!(world.position().state, PositionState::Error);
}

#[test]
fn a_fill_after_the_end_is_a_discrepancy() {
    let mut world = world(exiting());
    world.when("FILL_RECEIVED", exit_fill("95500", "0.059", "5.6345", "35").1).unwrap();
    world.when("POSITION_CLOSED", json!({})).unwrap();
    world.when("FILL_RECEIVED", exit_fill("95500", "0.001", "0.0955", "36").1).unwrap();
    assert_eq!(world.position().state, PositionState::Closed);
    assert_eq!(world.risk().open_discrepancies, 1);
    assert_eq!(world.risk().realized_net.to_string(), "18.165", "the fee was paid");
}

#[test]
fn a_close_during_the_entry_exits_what_then_fills() {
    let mut filled = world(entering());
    filled.when("EXIT_TRIGGERED", json!({"reason": "user_panic"})).unwrap();
    assert_eq!(filled.position().state, PositionState::Entering);
    let mut unfilled = filled.clone();
    filled.when("FILL_RECEIVED", json!({})).unwrap();
    filled.when("POSITION_OPENED", json!({})).unwrap();
    assert_eq!(filled.position().state, PositionState::Exiting);
    unfilled.when("ORDER_CANCELED", json!({"reason": "requested"})).unwrap();
    assert_eq!(unfilled.position().state, PositionState::Cancelled);
    assert!(unfilled.position().closed_at.is_some());
}

#[test]
fn a_refused_exit_is_tried_again_under_a_new_order() {
    let mut world = world(exiting());
    world.when("ORDER_REJECTED", json!({"order_id": exit_order()})).unwrap();
    assert_eq!(world.position().state, PositionState::Exiting);
    let again = "01970000-0000-8000-8000-0000000000c3";
    let next = |changes: Value| {
        let mut fields = exit(changes);
        fields["order_id"] = json!(again);
        fields
    };
    world.when("INTENT_CREATED", next(json!({"intent_type": "place_exit", "attempt": 2}))).unwrap();
    world.when("ORDER_SUBMITTED", next(json!({"role": "exit"}))).unwrap();
    assert_eq!(world.position().exit_order_id.unwrap().to_string(), again);
}

#[test]
fn nothing_is_entered_without_an_admitted_risk_and_a_stop() {
    let mut world = world(armed());
    assert_eq!(refused(&mut world, "INTENT_CREATED", json!({})), "no risk check has admitted the entry");
    world.when("RISK_CHECK_PASSED", json!({})).unwrap();
    assert_eq!(refused(&mut world, "INTENT_CREATED", json!({})), "the entry has no technical stop");
    refused(&mut world, "ORDER_SUBMITTED", json!({}));
}

#[test]
fn a_decision_states_its_stop_truly() {
    let mut world = world(armed());
    for (changes, reason) in [
        (json!({"stop_price": "96500"}), "stop 96500 is not on the loss side of a long entry at 95000"),
        (json!({"stop_distance": "1400"}), "1400 is not the distance from 95000 to 93500"),
        (
            json!({"stop_price": "94950", "stop_distance": "50"}),
            "a stop 50 from 95000 is nearer than 0.1 % or beyond 10 %",
        ),
        (json!({"side": "short"}), "short BTCUSD does not concern a long position in BTCUSD"),
    ] {
        assert_eq!(refused(&mut world, "DECISION_PROPOSED", changes), reason);
    }
}

#[test]
fn a_position_is_armed_once_with_capital_and_at_most_one_percent() {
    let mut world = world(armed());
    refused(&mut world, "POSITION_ARMED", json!({}));
    let other = "01970000-0000-8000-8000-0000000000b2";
    for changes in [json!({"risk_capital": "0"}), json!({"risk_pct": "0.011"}), json!({"risk_pct": "0"})] {
        let mut changes = changes;
        changes["position_id"] = json!(other);
        refused(&mut world, "POSITION_ARMED", changes);
    }
}

#[test]
fn an_illegal_step_names_the_state_and_the_event() {
    let mut world = world(active());
    assert_eq!(
        world.when("POSITION_DISARMED", json!({})),
        Err(Violation::WrongState(WrongState { state: PositionState::Active, event: "disarm" }))
    );
    assert_eq!(
        refused(&mut world, "POSITION_OPENED", json!({})),
        "open: not possible while the position is active"
    );
    refused(&mut world, "RISK_CHECK_PASSED", json!({}));
    refused(&mut world, "SIGNAL_REJECTED", json!({}));
    refused(&mut world, "DETECTOR_STARTED", json!({}));
    let missing = json!({"position_id": "01970000-0000-8000-8000-0000000000b9"});
    assert_eq!(
        refused(&mut world, "POSITION_DISARMED", missing),
        "no such position: 01970000-0000-8000-8000-0000000000b9"
    );
}

#[test]
fn a_cleared_error_resumes_what_is_held() {
    let mut held = world(active());
    held.when("POSITION_ERROR", json!({})).unwrap();
    assert_eq!(held.position().state, PositionState::Error);
    held.when("POSITION_ERROR", json!({"cleared": true})).unwrap();
    assert_eq!(position(&held), "active 0.059 stop 93500 latent 94.0165");
    let mut flat = world(armed());
    flat.when("POSITION_ERROR", json!({})).unwrap();
    flat.when("POSITION_ERROR", json!({"cleared": true})).unwrap();
    assert_eq!(flat.position().state, PositionState::Cancelled);
}

#[test]
fn a_new_month_zeroes_its_sums_and_keeps_what_is_reserved() {
    let mut world = world(active());
    world.when("RISK_LIMIT_EXCEEDED", json!({"action": "halt", "reason": "by hand"})).unwrap();
    assert!(world.risk().halted && world.risk().is_violated);
    world.when("RISK_LIMIT_EXCEEDED", json!({})).unwrap();
    assert!(world.risk().halted, "the same month never ends a halt");
    refused(&mut world, "RISK_LIMIT_EXCEEDED", json!({"period": "2025-12"}));
    world.when("RISK_LIMIT_EXCEEDED", json!({"period": "2026-02", "capital_base": "9900"})).unwrap();
    assert_eq!(risk(&world), "net 0 latent 94.0165 exposure 5605 drawdown 0");
    assert!(!world.risk().halted && !world.risk().is_violated);
    assert_eq!(world.risk().capital_base.to_string(), "9900");
}

#[test]
fn stopped_entries_resume_within_the_month_and_a_halt_bars_them() {
    let mut world = world(armed());
    world.when("RISK_LIMIT_EXCEEDED", json!({"action": "stop_entries"})).unwrap();
    assert_eq!(refused(&mut world, "RISK_CHECK_PASSED", json!({})), "entries are stopped");
    world.when("RISK_LIMIT_EXCEEDED", json!({})).unwrap();
    world.when("RISK_CHECK_PASSED", json!({})).unwrap();
    world.when("RISK_LIMIT_EXCEEDED", json!({"action": "halt"})).unwrap();
    assert_eq!(refused(&mut world, "RISK_CHECK_PASSED", json!({})), "trading is halted");
}

#[test]
fn a_fill_counts_in_the_month_and_on_the_day_it_happened() {
    let mut world = world(entering());
    let late = event("FILL_RECEIVED", json!({"filled_at": "2025-12-31T23:59:59Z"}));
    world.fold_at("2026-01-02T03:04:06Z", &late).unwrap();
    assert_eq!(risk(&world), "net 0 latent 99.57449175 exposure 5605 drawdown 0");
    assert_eq!(world.risk().daily_pnl.to_string(), "0");
    world.when("POSITION_OPENED", json!({})).unwrap();
    let denied = event("RISK_CHECK_FAILED", json!({}));
    world.fold_at("2026-01-03T00:00:00Z", &denied).unwrap();
    assert!(world.risk().is_violated);
    assert_eq!(world.risk().daily_pnl.to_string(), "0");
}

#[test]
fn an_older_balance_sample_changes_nothing() {
    let mut world = World::default();
    world.when("BALANCE_SAMPLED", json!({})).unwrap();
    let older = json!({"free": "1", "locked": "0", "total": "1", "sampled_at": "2026-01-01T00:00:00Z"});
    world.when("BALANCE_SAMPLED", older).unwrap();
    assert_eq!(world.balance().total.to_string(), "10000");
    assert_eq!(
        refused(&mut world, "BALANCE_SAMPLED", json!({"free": "1"})),
        "free 1 and locked 5605 are not 10000"
    );
}

#[test]
fn an_unknown_outcome_leaves_the_order_submitted() {
    let mut world = world(entering());
    world.when("INTENT_COMPLETED", json!({})).unwrap();
    assert_eq!(world.order(entry_order()).status, OrderStatus::Submitted);
    world.when("ORDER_ACKED", json!({})).unwrap();
    world.when("INTENT_COMPLETED", json!({})).unwrap();
    assert_eq!(world.order(entry_order()).status, OrderStatus::Acknowledged);
    assert_eq!(world.order(entry_order()).exchange_order_id.as_deref(), Some("12"));
}

#[test]
fn a_row_knows_the_event_that_changed_it_last() {
    let mut world = world(entering());
    let before = world.position().meta.clone();
    world.fold_at("2026-01-02T03:05:00Z", &event("ORDER_ACKED", json!({}))).unwrap();
    assert_eq!(world.position().meta, before, "an acknowledged entry does not concern the position's row");
    let order = &world.order(entry_order()).meta;
    assert_eq!(order.updated_at.to_string(), "2026-01-02T03:05:00.000000Z");
    assert_eq!(order.last_log_seq, before.last_log_seq + 2);
}

#[test]
fn fees_in_the_base_asset_shrink_what_is_held() {
    let mut world = world(entering());
    let fill = json!({"fee": "0.000059", "fee_asset": "BTC", "fee_quote": "5.605"});
    world.when("FILL_RECEIVED", fill).unwrap();
    assert_eq!(world.position().current_quantity.to_string(), "0.058941");
    assert_eq!(world.position().entry_quantity.unwrap().to_string(), "0.059");
}

#[test]
#[should_panic(expected = "undeclared key")]
fn reading_a_row_that_was_not_loaded_is_a_bug() {
    Entities::new().position(position_id());
}

#[test]
fn every_event_declares_what_it_touches_even_when_nothing_exists() {
    let mut empty = World::default();
    for (event_type, _) in robson_domain::Event::TYPES {
        let _refused_or_not = empty.clone().when(event_type, json!({}));
    }
    empty.when("ORDER_ACKED", json!({})).unwrap();
    empty.when("FILL_RECEIVED", json!({})).unwrap();
    assert_eq!(empty.fills(), 1, "a fill of an order that we do not know is kept");
    assert_eq!(account_id().to_string().len(), 36);
}

/// Fills in thousandths and cents: a quantity and a price each.
fn fills() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((1_i64..5_000, 9_000_000_i64..10_000_000), 1..12)
}

proptest! {
    /// However the venue splits an entry and an exit, quantities, fees and results add up exactly.
    #[test]
    fn quantities_add_up_in_any_split(entries in fills(), cuts in prop::collection::vec(1_i64..400, 1..12)) {
        let total: i64 = entries.iter().map(|(quantity, _)| quantity).sum();
        let asked = Decimal::new(total, 3).to_string();
        let mut steps = entering();
        steps.last_mut().unwrap().1 = json!({"quantity": asked});
        let mut world = world(steps);
        for (n, (quantity, price)) in entries.iter().enumerate() {
            world.when("FILL_RECEIVED", json!({
                "fill_quantity": Decimal::new(*quantity, 3).to_string(), "fill_price": Decimal::new(*price, 2).to_string(),
                "fee": "0.1", "fee_quote": "0.1", "exchange_trade_id": n.to_string(),
            })).unwrap();
        }
        let order = world.order(entry_order());
        prop_assert_eq!(order.status, OrderStatus::Filled);
        prop_assert_eq!(order.exchange_trade_ids.len(), entries.len());
        prop_assert_eq!(world.position().current_quantity.get(), Decimal::new(total, 3));
        prop_assert_eq!(world.position().total_fees.get(), Decimal::new(i64::try_from(entries.len()).unwrap(), 1));
        let average = world.position().entry_price.unwrap().get();
        let cost: Decimal = entries.iter().map(|(q, p)| Decimal::new(*q, 3) * Decimal::new(*p, 2)).sum();
        prop_assert!((average * Decimal::new(total, 3) - cost).abs() < Decimal::new(1, 6));

        world.when("EXIT_TRIGGERED", json!({})).unwrap();
        world.when("INTENT_CREATED", exit(json!({"intent_type": "place_exit"}))).unwrap();
        world.when("ORDER_SUBMITTED", exit(json!({"role": "exit", "quantity": asked}))).unwrap();
        let mut left = total;
        for (n, cut) in cuts.iter().chain([&i64::MAX]).enumerate() {
            let quantity = left.min(*cut);
            if quantity == 0 {
                break;
            }
            left -= quantity;
            let trade = format!("9{n}");
            world.when("FILL_RECEIVED", exit_fill("95000", &Decimal::new(quantity, 3).to_string(), "0.2", &trade).1).unwrap();
            prop_assert_eq!(world.position().current_quantity.get(), Decimal::new(left, 3));
        }
        let position = world.position();
        prop_assert_eq!(position.state, PositionState::Exiting);
        let gross = Decimal::from(95_000) * Decimal::new(total, 3) - cost;
        prop_assert!((position.realized_pnl.get() - gross).abs() < Decimal::new(1, 6));
        prop_assert_eq!(world.risk().realized_net.get(), position.realized_pnl.get() - position.total_fees.get());
        prop_assert_eq!(world.risk().total_exposure.get(), Decimal::ZERO);
    }
}
