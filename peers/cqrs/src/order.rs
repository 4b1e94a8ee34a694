//! The aggregate: an order that is submitted, with the fields of our ORDER_SUBMITTED.

use std::fmt;

use anyhow::{Context, Result};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The frozen sample of our event, so that both write payloads of the same size.
const SAMPLE: &str = include_str!("../../../crates/robson-domain/samples/ORDER_SUBMITTED.v1.json");

/// An order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    submissions: u64,
}

/// What is asked of an order: to record its submission, so many times.
#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) event: OrderSubmitted,
    pub(crate) times: u64,
}

/// That an order was submitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrderSubmitted {
    order_id: String,
    account_id: String,
    position_id: String,
    intent_id: String,
    client_order_id: String,
    symbol: String,
    side: String,
    order_type: String,
    role: String,
    quantity: String,
    reduce_only: bool,
}

impl OrderSubmitted {
    /// The event of the frozen sample.
    pub(crate) fn sample() -> Result<Self> {
        let mut sample: serde_json::Value = serde_json::from_str(SAMPLE).context("read the frozen sample")?;
        serde_json::from_value(sample["payload"].take()).context("read the sample's payload")
    }

    /// The same for another order.
    pub(crate) fn of(&self, order_id: Uuid) -> Self {
        Self {
            order_id: order_id.to_string(),
            intent_id: order_id.to_string(),
            client_order_id: format!("rbe-{}", order_id.simple()),
            ..self.clone()
        }
    }
}

impl DomainEvent for OrderSubmitted {
    fn event_type(&self) -> String {
        "ORDER_SUBMITTED".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// An order is submitted once; ours refuses the second time too.
#[derive(Debug)]
pub(crate) struct IsSubmitted;

impl fmt::Display for IsSubmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the order is submitted already")
    }
}

impl std::error::Error for IsSubmitted {}

impl Aggregate for Order {
    const TYPE: &'static str = "order";
    type Command = Submit;
    type Event = OrderSubmitted;
    type Error = IsSubmitted;
    type Services = ();

    async fn handle(&mut self, command: Submit, (): &(), sink: &EventSink<Self>) -> Result<(), IsSubmitted> {
        if self.submissions > 0 {
            return Err(IsSubmitted);
        }
        for _ in 0..command.times {
            sink.write(command.event.clone(), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, _: OrderSubmitted) {
        self.submissions += 1;
    }
}
