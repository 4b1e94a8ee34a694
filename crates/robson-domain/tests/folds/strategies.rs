//! Strategies: their settings, their own limits and the risk state that those are measured by.

use proptest::prelude::*;
use robson_domain::{Money, RiskState};
use serde_json::json;

use crate::steps::{active, entering, exit_fill, exiting, refused, world};
use crate::world::{World, event};

fn created() -> World {
    world(vec![("RISK_LIMIT_EXCEEDED", json!({})), ("STRATEGY_CREATED", json!({}))])
}

fn limits(risk: &RiskState) -> String {
    let text = |limit: Option<Money>| limit.map_or("-".to_owned(), |limit| limit.to_string());
    format!("exposure {} daily loss {}", text(risk.max_exposure), text(risk.daily_loss_limit))
}

fn sums(risk: &RiskState) -> String {
    format!(
        "base {} net {} day {} latent {} exposure {}",
        risk.capital_base, risk.realized_net, risk.daily_pnl, risk.latent_risk, risk.total_exposure
    )
}

#[test]
fn a_disabled_strategy_says_since_when_and_why_until_it_is_enabled_again() {
    let mut world = created();
    world.when("STRATEGY_ENABLED", json!({})).unwrap();
    world.fold_at("2026-01-03T00:00:00Z", &event("STRATEGY_DISABLED", json!({}))).unwrap();
    world.fold_at("2026-01-04T00:00:00Z", &event("STRATEGY_DISABLED", json!({"reason": "still"}))).unwrap();
    let strategy = world.strategy();
    assert!(!strategy.is_enabled);
    assert_eq!(strategy.disabled_at.unwrap().to_string(), "2026-01-03T00:00:00.000000Z");
    assert_eq!(strategy.disabled_reason.as_deref(), Some("still"));
    world.when("STRATEGY_ENABLED", json!({})).unwrap();
    assert!(world.strategy().is_enabled && world.strategy().disabled_at.is_none());
    assert_eq!(
        refused(&mut World::default(), "STRATEGY_DISABLED", json!({})),
        "no such strategy: 01970000-0000-8000-8000-0000000000d1"
    );
}

#[test]
fn settings_change_version_by_version() {
    let mut world = created();
    for (version, before) in [(1, 1), (3, 1), (i64::MAX, 1)] {
        assert_eq!(
            refused(&mut world, "STRATEGY_CONFIG_UPDATED", json!({"config_version": version})),
            format!("version {version} of the settings does not follow {before}")
        );
    }
    world.when("STRATEGY_CONFIG_UPDATED", json!({"risk_config": null})).unwrap();
    let strategy = world.strategy();
    assert_eq!(strategy.config_version, 2);
    assert_eq!(strategy.detector_config.as_ref().unwrap().to_string(), r#"{"fast":12,"slow":26}"#);
    assert_eq!(limits(world.strategy_risk()), "exposure 20000 daily loss 200", "left out: as before");
    let free = json!({"detector_config": null, "risk_config": {}, "config_version": 3});
    world.when("STRATEGY_CONFIG_UPDATED", free).unwrap();
    assert_eq!(limits(world.strategy_risk()), "exposure - daily loss -");
    assert!(world.strategy().detector_config.is_some());
}

#[test]
fn limits_stand_in_the_risk_state_of_the_strategy_alone() {
    let mut world = created();
    assert_eq!(limits(world.strategy_risk()), "exposure 20000 daily loss 200");
    assert_eq!(limits(world.risk()), "exposure - daily loss -");
    world.when("STRATEGY_ENABLED", json!({})).unwrap();
    assert_eq!(limits(world.strategy_risk()), "exposure - daily loss -", "enabling replaces the settings");
    let below = json!({"risk_config": {"daily_loss_limit": "-1"}, "config_version": 3});
    assert_eq!(
        refused(&mut world, "STRATEGY_CONFIG_UPDATED", below),
        "-1 cannot be a limit: it is below zero"
    );
    let other = json!({"account_id": "01970000-0000-8000-8000-0000000000a2"});
    refused(&mut world, "STRATEGY_ENABLED", other);
}

#[test]
fn what_a_strategy_holds_counts_in_its_risk_state_as_in_the_accounts() {
    let mut world = world(active());
    let expected = "base 10000 net -5.605 day -5.605 latent 94.0165 exposure 5605";
    assert_eq!(sums(world.strategy_risk()), expected);
    assert_eq!(sums(world.risk()), expected);
    world.when("STRATEGY_CONFIG_UPDATED", json!({"config_version": 3})).unwrap();
    assert_eq!(sums(world.strategy_risk()), expected, "a limit that comes later finds true sums");
}

#[test]
fn a_strategy_follows_its_account_into_a_month() {
    let mut world = world(exiting());
    world.when("RISK_LIMIT_EXCEEDED", json!({"period": "2026-02", "capital_base": "9900"})).unwrap();
    let (event_type, mut fill) = exit_fill("94000", "0.059", "5.546", "35");
    fill["filled_at"] = json!("2026-02-01T00:00:01Z");
    world.fold_at("2026-02-01T00:00:01Z", &event(event_type, fill)).unwrap();
    assert_eq!(sums(world.strategy_risk()), "base 9900 net -64.546 day -64.546 latent 0 exposure 0");
    assert_eq!(sums(world.risk()), sums(world.strategy_risk()));
    assert_eq!(world.strategy_risk().period.to_string(), "2026-02");
}

#[test]
fn a_denial_marks_the_strategy_when_its_own_limit_failed() {
    let mut world = created();
    world.when("RISK_CHECK_FAILED", json!({})).unwrap();
    assert!(world.risk().is_violated && !world.strategy_risk().is_violated);
    let own = json!([{"check": "daily_loss", "limit": "200", "actual": "210"}]);
    world.when("RISK_CHECK_FAILED", json!({"failed_checks": own})).unwrap();
    assert!(world.risk().is_violated && world.strategy_risk().is_violated);
    let admitted = entering().into_iter().skip(2).collect::<Vec<_>>();
    let world = world.given(&admitted);
    assert!(!world.risk().is_violated && !world.strategy_risk().is_violated);
}

proptest! {
    /// Whatever is updated in whichever order, the version counts the changes that were made.
    #[test]
    fn the_version_counts_the_changes(versions in prop::collection::vec(1_i64..12, 1..30)) {
        let mut world = created();
        let mut made = 1;
        for version in versions {
            let update = world.when("STRATEGY_CONFIG_UPDATED", json!({"config_version": version}));
            prop_assert_eq!(update.is_ok(), version == made + 1);
            made += i64::from(update.is_ok());
            prop_assert_eq!(world.strategy().config_version, made);
        }
    }
}
