//! Orders at the venue: intending, sending, and asking about what is unknown.

use robson_domain::events::{IntentCreated, OrderSubmitted};
use robson_domain::{
    ClientOrderId, DecisionId, IntentOutcome, IntentType, Order, OrderId, OrderRole, OrderStatus, OrderType,
    Position, Quantity,
};
use robson_eventlog::Store;
use robson_venue::exchange::{Exchange, OrderLookup, OrderRequest, PlaceOutcome, Refusal};
use robson_venue::feed::Tick;

use super::{DeskError, Draft, Trader, TraderError};
use crate::metrics::{ORDERS, UNKNOWN_OUTCOMES};

/// How long an unknown outcome is left to report itself before the venue is asked.
const PROBE_AFTER_MICROS: i64 = 2_000_000;

/// A market order that a decision wants.
pub(super) struct Wanted {
    /// What it is for.
    pub(super) role: OrderRole,
    /// How much.
    pub(super) quantity: Quantity,
    /// Which attempt it is, from 1.
    pub(super) attempt: i64,
    /// What its id derives from, besides position and role.
    pub(super) cause: String,
    /// The decision behind it, where there is one.
    pub(super) decision_id: Option<DecisionId>,
}

impl<S: Store, X: Exchange> Trader<S, X> {
    /// Adds the intent and the order to a draft; nothing is sent before the draft is durable.
    pub(super) async fn intend(
        &mut self,
        draft: &mut Draft,
        position: &Position,
        wanted: Wanted,
    ) -> Result<OrderId, TraderError> {
        let (side, intent_type) = match wanted.role {
            OrderRole::Entry => (position.side.entry(), IntentType::PlaceEntry),
            OrderRole::Exit | OrderRole::Stop => (position.side.exit(), IntentType::PlaceExit),
        };
        let intent_id = self.desk.intent_id(self.now, position.position_id, wanted.role, &wanted.cause);
        let client_order_id = ClientOrderId::of(wanted.role, intent_id);
        let order_id = OrderId(intent_id.0);
        let intent = IntentCreated {
            intent_id,
            account_id: position.account_id,
            decision_id: wanted.decision_id,
            position_id: Some(position.position_id),
            order_id,
            intent_type,
            attempt: wanted.attempt,
            symbol: position.symbol.clone(),
            side,
            quantity: wanted.quantity,
            client_order_id: client_order_id.clone(),
        };
        self.desk.add(draft, intent, self.now).await?;
        let submitted = OrderSubmitted {
            order_id,
            account_id: position.account_id,
            position_id: Some(position.position_id),
            intent_id,
            client_order_id,
            symbol: position.symbol.clone(),
            side,
            order_type: OrderType::Market,
            role: wanted.role,
            quantity: wanted.quantity,
            price: None,
            stop_price: None,
            reduce_only: wanted.role != OrderRole::Entry,
        };
        self.desk.add(draft, submitted, self.now).await?;
        Ok(order_id)
    }

    /// Sends an order whose intent is durable, and records what the venue says.
    pub(super) async fn send(&mut self, order_id: OrderId) -> Result<(), TraderError> {
        let order = self.order(order_id)?;
        if !self.desk.ledger().lease_holds() {
            return Err(TraderError::LeaseLost);
        }
        let request = OrderRequest {
            client_order_id: order.client_order_id.clone(),
            symbol: order.symbol.clone(),
            side: order.side,
            quantity: order.quantity,
            reduce_only: order.reduce_only,
            order_type: order.order_type,
        };
        metrics::counter!(ORDERS, "side" => order.side.as_str()).increment(1);
        match self.exchange.place(request).await {
            PlaceOutcome::Confirmed(report) => self.record(&report).await,
            PlaceOutcome::Refused(refusal) => self.record_refusal(&order, &refusal).await,
            PlaceOutcome::Denied { reason } => {
                let refusal = Refusal { code: 0, reason, at: self.now };
                self.end_unaccepted(&order, &refusal, "denied", IntentOutcome::Skipped).await
            }
            PlaceOutcome::Unknown => {
                metrics::counter!(UNKNOWN_OUTCOMES).increment(1);
                let mut draft = self.report_draft(&order, "unknown");
                self.complete_intent(&mut draft, &order, IntentOutcome::Unknown, None).await?;
                Ok(self.desk.commit(draft).await?)
            }
        }
    }

    fn order(&self, order_id: OrderId) -> Result<Order, DeskError> {
        let order = self.desk.order(order_id).cloned();
        order.ok_or_else(|| DeskError::Broken(format!("order {order_id} is not held")))
    }

    /// Sends what was intended and may not have been sent: after a restart nothing is taken for granted, so the
    /// venue is asked first.
    pub(super) async fn send_what_is_pending(&mut self) -> Result<(), TraderError> {
        for order in self.desk.working_orders() {
            if order.status == OrderStatus::Pending {
                self.resolve(&order).await?;
            }
        }
        Ok(())
    }

    /// Asks the venue about every order that it took: what was filled or ended and was not recorded is now. One
    /// whose outcome is unknown keeps its time: it is probed when it would have been.
    pub(super) async fn ask_about_working_orders(&mut self) -> Result<(), TraderError> {
        for order in self.desk.working_orders() {
            if matches!(order.status, OrderStatus::Pending | OrderStatus::Submitted) {
                continue;
            }
            if let OrderLookup::Found(report) =
                self.exchange.order(&order.symbol, &order.client_order_id).await
            {
                self.record(&report).await?;
            }
        }
        Ok(())
    }

    /// Asks about orders whose outcome has been unknown for a while.
    pub(super) async fn probe_orders(&mut self, tick: &Tick) -> Result<(), TraderError> {
        let is_due = |order: &Order| {
            order.symbol == *tick.symbol
                && matches!(order.status, OrderStatus::Pending | OrderStatus::Submitted)
                && self.now.micros_since(order.meta.updated_at) >= PROBE_AFTER_MICROS
        };
        let due: Vec<Order> = self.desk.working_orders().into_iter().filter(is_due).collect();
        for order in due {
            self.resolve(&order).await?;
        }
        Ok(())
    }

    /// Asks by client id. What the venue proves it never took is sent again under the same id.
    async fn resolve(&mut self, order: &Order) -> Result<(), TraderError> {
        match self.exchange.order(&order.symbol, &order.client_order_id).await {
            OrderLookup::Found(report) => self.record(&report).await,
            OrderLookup::Absent => Box::pin(self.send(order.order_id)).await,
            OrderLookup::Unknown => Ok(()),
        }
    }
}
