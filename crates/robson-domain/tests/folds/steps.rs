//! How far a trade has come, as the events that lead there, and what its rows say in one line.

use serde_json::{Value, json};

use crate::world::{World, exit_order};

pub(crate) type Step = (&'static str, Value);

pub(crate) fn armed() -> Vec<Step> {
    vec![
        ("RISK_LIMIT_EXCEEDED", json!({})),
        ("STRATEGY_CREATED", json!({})),
        ("STRATEGY_ENABLED", json!({})),
        ("POSITION_ARMED", json!({})),
        ("DETECTOR_STARTED", json!({})),
    ]
}

pub(crate) fn entering() -> Vec<Step> {
    let mut steps = armed();
    steps.extend([
        ("SIGNAL_DETECTED", json!({})),
        ("DETECTOR_STOPPED", json!({})),
        ("TECHNICAL_STOP_ANALYZED", json!({})),
        ("RISK_CHECK_PASSED", json!({})),
        ("DECISION_PROPOSED", json!({})),
        ("INTENT_CREATED", json!({})),
        ("ORDER_SUBMITTED", json!({})),
    ]);
    steps
}

pub(crate) fn active() -> Vec<Step> {
    let mut steps = entering();
    steps.extend([("ORDER_ACKED", json!({})), ("FILL_RECEIVED", json!({})), ("POSITION_OPENED", json!({}))]);
    steps
}

pub(crate) fn exiting() -> Vec<Step> {
    let mut steps = active();
    steps.extend([
        ("EXIT_TRIGGERED", json!({})),
        ("INTENT_CREATED", exit(json!({"intent_type": "place_exit", "decision_id": null}))),
        ("ORDER_SUBMITTED", exit(json!({"role": "exit", "reduce_only": true}))),
    ]);
    steps
}

/// The fields that make a sample concern the exit order.
pub(crate) fn exit(changes: Value) -> Value {
    let mut fields = json!({
        "order_id": exit_order(), "intent_id": exit_order(), "side": "sell", "client_order_id": "rbx",
        "exchange_order_id": "13", "exchange_trade_id": "35",
    });
    fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    fields
}

pub(crate) fn exit_fill(price: &str, quantity: &str, fee: &str, trade: &str) -> Step {
    let fill = json!({
        "fill_price": price, "fill_quantity": quantity, "fee": fee, "fee_quote": fee, "exchange_trade_id": trade
    });
    ("FILL_RECEIVED", exit(fill))
}

pub(crate) fn world(steps: Vec<Step>) -> World {
    World::default().given(&steps)
}

pub(crate) fn refused(world: &mut World, event_type: &str, changes: Value) -> String {
    world.when(event_type, changes).expect_err("a refusal").to_string()
}

pub(crate) fn position(world: &World) -> String {
    let p = world.position();
    let stop = p.trailing_stop_price.map_or("-".to_owned(), |s| s.to_string());
    format!("{} {} stop {stop} latent {}", p.state, p.current_quantity, p.latent_risk)
}

pub(crate) fn risk(world: &World) -> String {
    let r = world.risk();
    format!(
        "net {} latent {} exposure {} drawdown {}",
        r.realized_net, r.latent_risk, r.total_exposure, r.drawdown
    )
}
