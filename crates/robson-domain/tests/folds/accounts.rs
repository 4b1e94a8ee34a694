//! Accounts: what differs from the venue, and money that moves without a trade.

use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::steps::{active, refused, risk, world};
use crate::world::{World, account_id, event};

fn funds(kind: &str, amount: &str) -> Value {
    json!({"kind": kind, "amount": amount})
}

fn month() -> World {
    world(vec![("RISK_LIMIT_EXCEEDED", json!({}))])
}

fn base_and_net(world: &World) -> String {
    format!(
        "base {} net {} drawdown {}",
        world.risk().capital_base,
        world.risk().realized_net,
        world.risk().drawdown
    )
}

#[test]
fn discrepancies_are_open_until_a_reconciliation_says_how_many_are_left() {
    let mut world = month();
    for _ in 0..3 {
        world.when("EXCHANGE_POSITION_DISCREPANCY_DETECTED", json!({})).unwrap();
    }
    assert_eq!(world.risk().open_discrepancies, 3);
    world.when("RECONCILIATION_COMPLETED", json!({"discrepancies": 1})).unwrap();
    assert_eq!(world.risk().open_discrepancies, 1);
    world.when("RECONCILIATION_COMPLETED", json!({})).unwrap();
    assert_eq!(world.risk().open_discrepancies, 0);
    for changes in [json!({"discrepancies": -1}), json!({"checked": -1}), json!({"duration_ms": -1})] {
        assert_eq!(refused(&mut world, "RECONCILIATION_COMPLETED", changes), "-1 cannot be counted");
    }
    let equal = json!({"exchange_qty": "0.059"});
    refused(&mut world, "EXCHANGE_POSITION_DISCREPANCY_DETECTED", equal);
}

#[test]
fn what_holding_costs_is_the_months_and_what_is_taken_out_lowers_its_base() {
    for (kind, amount, expected) in [
        ("funding_fee", "-0.5", "base 10000 net -0.5 drawdown 0.00005"),
        ("funding_fee", "0.5", "base 10000 net 0.5 drawdown 0"),
        ("interest", "2", "base 10000 net -2 drawdown 0.0002"),
        ("interest", "-2", "base 10000 net -2 drawdown 0.0002"),
        ("transfer_out", "300", "base 9700 net 0 drawdown 0"),
        ("transfer_out", "-300", "base 9700 net 0 drawdown 0"),
        ("transfer_out", "10001", "base 0 net 0 drawdown 0"),
        ("transfer_in", "5000", "base 10000 net 0 drawdown 0"),
        ("borrow", "100", "base 10000 net 0 drawdown 0"),
        ("repay", "100", "base 10000 net 0 drawdown 0"),
    ] {
        let mut world = month();
        world.when("MARGIN_FUNDS_MOVED", funds(kind, amount)).unwrap();
        assert_eq!(base_and_net(&world), expected, "{kind} {amount}");
    }
}

#[test]
fn money_that_moved_in_another_month_is_in_that_months_sums() {
    let mut world = month();
    for (kind, amount) in [("funding_fee", "-1"), ("transfer_out", "300")] {
        world.fold_at("2025-12-31T23:59:59Z", &event("MARGIN_FUNDS_MOVED", funds(kind, amount))).unwrap();
    }
    assert_eq!(base_and_net(&world), "base 10000 net 0 drawdown 0");
}

#[test]
fn another_asset_counts_by_its_value_in_quote_currency() {
    let mut world = month();
    let fee = json!({"kind": "interest", "asset": "BTC", "amount": "0.0001", "amount_quote": "9.5"});
    world.when("MARGIN_FUNDS_MOVED", fee).unwrap();
    assert_eq!(base_and_net(&world), "base 10000 net -9.5 drawdown 0.00095");
}

#[test]
fn money_whose_sum_cannot_be_written_down_is_kept_and_left_for_somebody_to_look_at() {
    let mut world = month();
    let huge = funds("funding_fee", "-79228162514264337593543950335");
    world.when("MARGIN_FUNDS_MOVED", huge.clone()).unwrap();
    let before = risk(&world);
    world.when("MARGIN_FUNDS_MOVED", huge).unwrap();
    assert_eq!((risk(&world), world.risk().open_discrepancies), (before, 1));
}

#[test]
fn moved_money_is_known_by_account_and_the_venues_id() {
    let moved = event("MARGIN_FUNDS_MOVED", json!({"exchange_tx_id": "42"}));
    let key = format!("funds/{}/00000000000000000042", account_id());
    assert_eq!(moved.natural_key(), Some(key));
    assert_eq!(
        moved.fingerprint_payload(),
        Some(json!({"kind": "funding_fee", "asset": "USD", "amount": "-0.5605"})),
        "another channel may leave the symbol out"
    );
}

#[test]
fn what_is_only_to_be_known_changes_no_row() {
    let told = [
        "CONNECTOR_DISCONNECTED",
        "CONNECTOR_RATE_LIMITED",
        "CREDENTIALS_ROTATED",
        "MARGIN_LIQUIDATION_DETECTED",
        "MARGIN_SAFETY_VIOLATED",
        "MARGIN_SETTINGS_VERIFIED",
    ];
    let mut world = world(active());
    let (risk, position) = (world.risk().clone(), world.position().clone());
    for event_type in told {
        world.when(event_type, json!({})).unwrap();
    }
    assert_eq!((world.risk(), world.position()), (&risk, &position));
}

proptest! {
    /// In whatever order money comes and goes, the base never grows within its month and never falls below
    /// zero, and the month's result is the sum of what holding cost.
    #[test]
    fn the_base_never_grows_within_its_month(
        moves in prop::collection::vec((0..5_usize, -2_000_000_i64..2_000_000), 1..20)
    ) {
        let kinds = ["funding_fee", "interest", "transfer_out", "transfer_in", "borrow"];
        let mut world = month();
        let mut net = Decimal::ZERO;
        for (kind, cents) in moves {
            let amount = Decimal::new(cents, 2);
            let base = world.risk().capital_base;
            world.when("MARGIN_FUNDS_MOVED", funds(kinds[kind], &amount.to_string())).unwrap();
            net += match kind {
                0 => amount,
                1 => -amount.abs(),
                _ => Decimal::ZERO,
            };
            prop_assert!(world.risk().capital_base <= base);
            prop_assert!(world.risk().capital_base.get() >= Decimal::ZERO);
            prop_assert_eq!(world.risk().realized_net.get(), net);
        }
    }
}
