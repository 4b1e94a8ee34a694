//! The book of the paper exchange: what it decides, and how its events change it. Pure.

use std::collections::BTreeMap;

use robson_domain::{
    Amount, ClientOrderId, Money, OrderSide, OrderStatus, OrderType, Overflow, Price, Quantity, Symbol,
    Timestamp,
};
use rust_decimal::Decimal;

use super::{PaperEvent, PaperOrder, PaperPosition, PaperRefusal, PaperRules};
use crate::exchange::{
    Instrument, OrderLookup, OrderReport, OrderRequest, PlaceOutcome, VenueBalance, VenueFill, VenuePosition,
};
use crate::feed::Tick;

/// Account, orders and positions; a fold over [`PaperEvent`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperState {
    rules: PaperRules,
    instruments: BTreeMap<Symbol, Instrument>,
    deposits: Money,
    realized: Money,
    fees: Money,
    orders: BTreeMap<ClientOrderId, PaperOrder>,
    working: BTreeMap<i64, ClientOrderId>,
    positions: BTreeMap<Symbol, PaperPosition>,
    last_order_id: i64,
    last_trade_id: i64,
    cursor: Option<Timestamp>,
}

/// What becomes of an order that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceDecision {
    /// The id is known: nothing happens.
    Answer(PlaceOutcome),
    /// This happens; then the order's [`PaperOrder::outcome`] is the answer.
    Happens(PaperEvent),
}

/// An event that the state cannot take: the log is not this exchange's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaperFault {
    /// An order is named that is not there, or that has ended.
    #[error("the order {0} is not working")]
    NotWorking(ClientOrderId),
    /// An order is there already.
    #[error("the order {0} is there already")]
    AlreadyThere(ClientOrderId),
    /// More was filled than was asked for.
    #[error("the order {0} was overfilled")]
    Overfilled(ClientOrderId),
    /// An amount no longer fits.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

impl PaperState {
    /// An exchange on its first day.
    pub fn new(rules: PaperRules, instruments: impl IntoIterator<Item = Instrument>) -> Self {
        Self {
            rules,
            instruments: instruments.into_iter().map(|i| (i.symbol.clone(), i)).collect(),
            deposits: Money::ZERO,
            realized: Money::ZERO,
            fees: Money::ZERO,
            orders: BTreeMap::new(),
            working: BTreeMap::new(),
            positions: BTreeMap::new(),
            last_order_id: 0,
            last_trade_id: 0,
            cursor: None,
        }
    }

    /// The time of the last event: ticks up to it have been taken in.
    pub const fn cursor(&self) -> Option<Timestamp> {
        self.cursor
    }

    /// What came in, so far.
    pub const fn deposits(&self) -> Money {
        self.deposits
    }

    /// What closed parts of positions made, before fees.
    pub const fn realized(&self) -> Money {
        self.realized
    }

    /// What fills cost.
    pub const fn fees(&self) -> Money {
        self.fees
    }

    /// The instrument of a symbol.
    pub fn instrument(&self, symbol: &Symbol) -> Option<&Instrument> {
        self.instruments.get(symbol)
    }

    /// An order by the trader's id.
    pub fn order(&self, id: &ClientOrderId) -> Option<&PaperOrder> {
        self.orders.get(id)
    }

    /// An order by the trader's id; a read is proof at once.
    pub fn look_up(&self, id: &ClientOrderId) -> OrderLookup {
        self.orders.get(id).map_or(OrderLookup::Absent, |order| OrderLookup::Found(Box::new(order.report())))
    }

    /// The orders that a tick filled or ended, in the order in which they were taken.
    pub fn traded_at(&self, at: Timestamp) -> Vec<OrderReport> {
        let is_filled = |order: &PaperOrder| order.fills.last().is_some_and(|fill| fill.at == at);
        let is_expired = |order: &PaperOrder| order.status == OrderStatus::Expired && order.changed_at == at;
        let mut traded: Vec<&PaperOrder> =
            self.orders.values().filter(|o| is_filled(o) || is_expired(o)).collect();
        traded.sort_by_key(|order| order.exchange_order_id);
        traded.into_iter().map(PaperOrder::report).collect()
    }

    /// Whether an order of a symbol is working.
    pub fn has_working(&self, symbol: &Symbol) -> bool {
        self.working_orders(symbol).next().is_some()
    }

    /// The first time after `now` at which a working order becomes fillable, and its symbol.
    pub(super) fn first_fillable(&self, now: Option<Timestamp>) -> Option<(Symbol, Timestamp)> {
        let working = self.working.values().filter_map(|id| self.orders.get(id));
        let next =
            working.filter(|order| Some(order.fillable_at) > now).min_by_key(|order| order.fillable_at)?;
        Some((next.symbol.clone(), next.fillable_at))
    }

    fn working_orders<'a>(&'a self, symbol: &'a Symbol) -> impl Iterator<Item = &'a PaperOrder> {
        self.working
            .values()
            .filter_map(|id| self.orders.get(id))
            .filter(move |order| order.symbol == *symbol)
    }

    /// Deposits, plus what was realized, minus fees.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn wallet(&self) -> Result<Money, Overflow> {
        self.deposits.plus(self.realized)?.minus(self.fees)
    }

    /// What positions were worth at entry, and working orders at acceptance.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn locked(&self) -> Result<Money, Overflow> {
        let mut locked = Decimal::ZERO;
        for position in self.positions.values() {
            locked = locked.checked_add(position.entry_value).ok_or(Overflow)?;
        }
        for order in self.working.values().filter_map(|id| self.orders.get(id)) {
            if let Some(price) = order.reserved_price {
                locked = locked.checked_add(order.remaining().at(price)?.get()).ok_or(Overflow)?;
            }
        }
        Ok(money(locked))
    }

    /// What new positions may be worth; below zero when losses and fees have eaten into what is locked.
    ///
    /// It is told as it is, also as a balance's `free`: whoever sizes an order by it must expect less than
    /// nothing.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn available(&self) -> Result<Money, Overflow> {
        self.wallet()?.minus(self.locked()?)
    }

    /// The account as the trader is told.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn balances(&self, at: Timestamp) -> Result<Vec<VenueBalance>, Overflow> {
        let amount = |money: Money| Amount::new(money.get()).map_err(|_| Overflow);
        Ok(vec![VenueBalance {
            asset: self.rules.quote.clone(),
            free: amount(self.available()?)?,
            locked: amount(self.locked()?)?,
            total: amount(self.wallet()?)?,
            at,
        }])
    }

    /// The open positions as the trader is told.
    pub fn positions(&self) -> Vec<VenuePosition> {
        self.positions.iter().filter_map(|(symbol, position)| position.report(symbol)).collect()
    }

    /// The deposit of quote currency.
    pub fn decide_deposit(&self, amount: Money, at: Timestamp) -> PaperEvent {
        PaperEvent::PaperDeposited { asset: self.rules.quote.clone(), amount, at }
    }

    /// What becomes of an order that arrives at `at`, when the symbol last traded at `last_price`.
    pub fn decide_place(
        &self,
        request: &OrderRequest,
        last_price: Option<Price>,
        at: Timestamp,
    ) -> PlaceDecision {
        if let Some(known) = self.orders.get(&request.client_order_id) {
            let is_same = known.is_from(request);
            let duplicate = || PlaceOutcome::Refused(PaperRefusal::DuplicateId.at(at));
            return PlaceDecision::Answer(if is_same { known.outcome() } else { duplicate() });
        }
        if request.order_type != OrderType::Market {
            return PlaceDecision::Answer(PlaceOutcome::Refused(PaperRefusal::OrderType.at(at)));
        }
        PlaceDecision::Happens(match self.check(request, last_price) {
            Ok(accepted) => PaperEvent::PaperOrderAccepted {
                client_order_id: request.client_order_id.clone(),
                exchange_order_id: self.last_order_id + 1,
                symbol: request.symbol.clone(),
                side: request.side,
                requested: request.quantity,
                quantity: accepted.quantity,
                reduce_only: request.reduce_only,
                reserved_price: accepted.reserved_price,
                fillable_at: at.plus_micros(self.rules.latency_micros),
                at,
            },
            Err(refusal) => self.decide_refusal(request, refusal, at),
        })
    }

    /// The refusal of an order, whatever it is.
    pub fn decide_refusal(&self, request: &OrderRequest, refusal: PaperRefusal, at: Timestamp) -> PaperEvent {
        PaperEvent::PaperOrderRefused {
            client_order_id: request.client_order_id.clone(),
            symbol: request.symbol.clone(),
            side: request.side,
            requested: request.quantity,
            reduce_only: request.reduce_only,
            refusal: refusal.at(at),
        }
    }

    fn check(&self, request: &OrderRequest, last_price: Option<Price>) -> Result<Accepted, PaperRefusal> {
        let instrument = self.instruments.get(&request.symbol).ok_or(PaperRefusal::UnknownSymbol)?;
        let on_step = request.quantity.floor_to(instrument.step) == request.quantity;
        if !on_step || request.quantity.is_zero() || request.quantity < instrument.min_quantity {
            return Err(PaperRefusal::LotSize);
        }
        let reducible = self.reducible(&request.symbol, request.side);
        if request.reduce_only {
            let quantity =
                Quantity::new(reducible).map_err(|_| PaperRefusal::ReduceOnly)?.min(request.quantity);
            if quantity.is_zero() {
                return Err(PaperRefusal::ReduceOnly);
            }
            return Ok(Accepted { quantity, reserved_price: None });
        }
        let price = last_price.ok_or(PaperRefusal::NoPrice)?;
        let notional = request.quantity.at(price).map_err(|_| PaperRefusal::Margin)?;
        if notional < instrument.min_notional {
            return Err(PaperRefusal::Notional);
        }
        let opening = request.quantity.get().checked_sub(reducible).ok_or(PaperRefusal::Margin)?;
        let opening = Quantity::new(opening.max(Decimal::ZERO)).map_err(|_| PaperRefusal::Margin)?;
        let cost = self.cost_of(opening, price).map_err(|_| PaperRefusal::Margin)?;
        if cost > self.available().map_err(|_| PaperRefusal::Margin)? {
            return Err(PaperRefusal::Margin);
        }
        Ok(Accepted { quantity: request.quantity, reserved_price: Some(price) })
    }

    /// What a side could still close, beyond what working orders are closing already.
    fn reducible(&self, symbol: &Symbol, side: OrderSide) -> Decimal {
        let held = self.positions.get(symbol).map_or(Decimal::ZERO, |position| position.reducible_by(side));
        let closing = self.working_orders(symbol).filter(|order| order.side == side && order.reduce_only);
        let closing =
            closing.map(|order| order.remaining().get()).try_fold(Decimal::ZERO, Decimal::checked_add);
        closing.and_then(|closing| held.checked_sub(closing)).unwrap_or_default().max(Decimal::ZERO)
    }

    /// The value of a quantity at the worst price that it fills at now, and its fee.
    fn cost_of(&self, quantity: Quantity, price: Price) -> Result<Money, Overflow> {
        let value = quantity.at(price)?;
        let value = value.plus(value.part(self.rules.slippage)?)?;
        value.plus(value.part(self.rules.taker_fee)?)
    }

    /// What a tick does: it fills working orders of its symbol, the first taken first.
    ///
    /// A tick up to the cursor has been taken in before and does nothing.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn decide_tick(&self, tick: &Tick) -> Result<Vec<PaperEvent>, Overflow> {
        let mut events = Vec::new();
        let Some(instrument) = self.instruments.get(&*tick.symbol).filter(|_| self.cursor < Some(tick.at))
        else {
            return Ok(events);
        };
        let mut volume = self.volume_left(tick)?;
        let mut position = self.positions.get(&*tick.symbol).copied().unwrap_or_default();
        let mut trade_id = self.last_trade_id;
        for order in self.working_orders(&tick.symbol).filter(|order| order.fillable_at <= tick.at) {
            let room = if order.reduce_only { position.reducible_by(order.side) } else { Decimal::MAX };
            let wanted = order.remaining().get().min(room);
            let quantity = Quantity::new(wanted.min(volume)).map_err(|_| Overflow)?.floor_to(instrument.step);
            if !quantity.is_zero() {
                let price = self.fill_price(order, tick, instrument)?;
                let fee = quantity.at(price)?.part(self.rules.taker_fee)?;
                trade_id += 1;
                position.take(order.side, price, quantity)?;
                volume = volume.checked_sub(quantity.get()).ok_or(Overflow)?;
                events.push(PaperEvent::PaperFilled {
                    client_order_id: order.client_order_id.clone(),
                    exchange_trade_id: trade_id,
                    price,
                    quantity,
                    fee: Amount::new(fee.get()).map_err(|_| Overflow)?,
                    at: tick.at,
                });
            }
            let is_filled = quantity == order.remaining();
            if !is_filled && order.reduce_only && position.reducible_by(order.side).is_zero() {
                let client_order_id = order.client_order_id.clone();
                events.push(PaperEvent::PaperOrderExpired { client_order_id, at: tick.at });
            }
        }
        Ok(events)
    }

    /// What our orders may still take: of a recorded trade, their part; of a bar, their part of the whole
    /// bar, from its first step on, less what they have taken since it opened.
    ///
    /// That is asked of the fills, so a restart within a bar changes nothing.
    fn volume_left(&self, tick: &Tick) -> Result<Decimal, Overflow> {
        let volume = tick.bar.map_or(tick.quantity, |bar| bar.volume);
        let part = volume.get().checked_mul(self.rules.participation.get()).ok_or(Overflow)?;
        let Some(bar) = tick.bar else { return Ok(part) };
        let of_symbol = self.orders.values().filter(|order| order.symbol == *tick.symbol);
        let taken = of_symbol
            .filter(|order| order.changed_at >= bar.opened_at)
            .flat_map(|order| order.fills.iter().rev().take_while(|fill| fill.at >= bar.opened_at))
            .map(|fill| fill.quantity.get())
            .try_fold(Decimal::ZERO, Decimal::checked_add);
        let left = part.checked_sub(taken.ok_or(Overflow)?).ok_or(Overflow)?;
        Ok(left.max(Decimal::ZERO))
    }

    /// The market's price for an order on a tick, worse by the slippage.
    ///
    /// Within a bar the price runs straight from step to step, so an order that becomes fillable on the way
    /// meets it there. Over a gap there is no way, and it meets the first price after.
    fn fill_price(
        &self,
        order: &PaperOrder,
        tick: &Tick,
        instrument: &Instrument,
    ) -> Result<Price, Overflow> {
        let became_fillable = |start: Timestamp| order.fillable_at > start || order.accepted_at >= start;
        let price = match tick.path.filter(|path| became_fillable(path.begins_at())) {
            Some(path) => path.price_at(order.fillable_at).get(),
            None => tick.price.get(),
        };
        let slip = price.checked_mul(self.rules.slippage.get()).ok_or(Overflow)?;
        let worse = match order.side {
            OrderSide::Buy => price.checked_add(slip),
            OrderSide::Sell => price.checked_sub(slip),
        };
        let worse = Price::new(worse.ok_or(Overflow)?).map_err(|_| Overflow)?;
        let on_grid = match order.side {
            OrderSide::Buy => worse.ceil_to(instrument.tick_size),
            OrderSide::Sell => worse.floor_to(instrument.tick_size),
        };
        Ok(on_grid.unwrap_or(instrument.tick_size))
    }

    /// What a cancel does; nothing where the order is not working.
    pub fn decide_cancel(&self, id: &ClientOrderId, at: Timestamp) -> Option<PaperEvent> {
        let working = self.orders.get(id).filter(|order| order.is_working())?;
        Some(PaperEvent::PaperOrderCanceled { client_order_id: working.client_order_id.clone(), at })
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// `PaperFault` where the event does not follow from this state; the state is then unchanged.
    pub fn apply(&mut self, event: &PaperEvent) -> Result<(), PaperFault> {
        match event {
            PaperEvent::PaperDeposited { amount, .. } => self.deposits = self.deposits.plus(*amount)?,
            PaperEvent::PaperOrderAccepted {
                client_order_id,
                exchange_order_id,
                symbol,
                side,
                requested,
                quantity,
                reduce_only,
                reserved_price,
                fillable_at,
                at,
            } => {
                self.insert(PaperOrder {
                    client_order_id: client_order_id.clone(),
                    exchange_order_id: Some(*exchange_order_id),
                    symbol: symbol.clone(),
                    side: *side,
                    requested: *requested,
                    quantity: *quantity,
                    reduce_only: *reduce_only,
                    reserved_price: *reserved_price,
                    fillable_at: *fillable_at,
                    accepted_at: *at,
                    changed_at: *at,
                    status: OrderStatus::Acknowledged,
                    filled: Quantity::ZERO,
                    fills: Vec::new(),
                    refusal: None,
                })?;
                self.working.insert(*exchange_order_id, client_order_id.clone());
                self.last_order_id = *exchange_order_id;
            }
            PaperEvent::PaperOrderRefused {
                client_order_id,
                symbol,
                side,
                requested,
                reduce_only,
                refusal,
            } => {
                self.insert(PaperOrder {
                    client_order_id: client_order_id.clone(),
                    exchange_order_id: None,
                    symbol: symbol.clone(),
                    side: *side,
                    requested: *requested,
                    quantity: *requested,
                    reduce_only: *reduce_only,
                    reserved_price: None,
                    fillable_at: refusal.at,
                    accepted_at: refusal.at,
                    changed_at: refusal.at,
                    status: OrderStatus::Rejected,
                    filled: Quantity::ZERO,
                    fills: Vec::new(),
                    refusal: Some(refusal.clone()),
                })?;
            }
            PaperEvent::PaperFilled { client_order_id, exchange_trade_id, price, quantity, fee, at } => {
                let fill = VenueFill {
                    exchange_trade_id: exchange_trade_id.to_string(),
                    price: *price,
                    quantity: *quantity,
                    fee: *fee,
                    fee_asset: self.rules.quote.clone(),
                    is_maker: false,
                    at: *at,
                };
                self.fill(client_order_id, fill)?;
                self.last_trade_id = *exchange_trade_id;
            }
            PaperEvent::PaperOrderCanceled { client_order_id, at } => {
                self.end(client_order_id, OrderStatus::Canceled, *at)?;
            }
            PaperEvent::PaperOrderExpired { client_order_id, at } => {
                self.end(client_order_id, OrderStatus::Expired, *at)?;
            }
        }
        self.cursor = self.cursor.max(Some(event.at()));
        Ok(())
    }

    fn insert(&mut self, order: PaperOrder) -> Result<(), PaperFault> {
        if self.orders.contains_key(&order.client_order_id) {
            return Err(PaperFault::AlreadyThere(order.client_order_id));
        }
        self.orders.insert(order.client_order_id.clone(), order);
        Ok(())
    }

    fn fill(&mut self, id: &ClientOrderId, fill: VenueFill) -> Result<(), PaperFault> {
        let not_working = || PaperFault::NotWorking(id.clone());
        let order = self.orders.get_mut(id).filter(|order| order.is_working()).ok_or_else(not_working)?;
        let filled = order.filled.plus(fill.quantity)?;
        if filled > order.quantity {
            return Err(PaperFault::Overfilled(id.clone()));
        }
        let mut position = self.positions.get(&order.symbol).copied().unwrap_or_default();
        let gain = position.take(order.side, fill.price, fill.quantity)?;
        let realized = self.realized.plus(money(gain))?;
        self.fees = self.fees.plus(money(fill.fee.get()))?;
        self.realized = realized;
        self.positions.insert(order.symbol.clone(), position);
        order.filled = filled;
        order.changed_at = fill.at;
        order.status = if filled == order.quantity { OrderStatus::Filled } else { OrderStatus::Partial };
        order.fills.push(fill);
        if order.status.is_final() {
            self.working.retain(|_, working| working != id);
        }
        Ok(())
    }

    fn end(&mut self, id: &ClientOrderId, status: OrderStatus, at: Timestamp) -> Result<(), PaperFault> {
        let not_working = || PaperFault::NotWorking(id.clone());
        let order = self.orders.get_mut(id).filter(|order| order.is_working()).ok_or_else(not_working)?;
        order.status = status;
        order.changed_at = at;
        self.working.retain(|_, working| working != id);
        Ok(())
    }
}

/// An order that passed every check.
struct Accepted {
    quantity: Quantity,
    reserved_price: Option<Price>,
}

fn money(value: Decimal) -> Money {
    Money::new(value).expect("every decimal is an amount of money")
}
