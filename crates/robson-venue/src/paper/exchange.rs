//! The paper exchange behind the port: its book, kept in a log of its own.
//!
//! The log is a second ledger and never shares a transaction with the trader's, so after a crash the
//! exchange can honestly be asked what it took. Its clock is the feed's; nothing is written for a tick that
//! changes nothing.

use std::collections::BTreeMap;

use robson_domain::{ClientOrderId, Money, Price, Symbol, Timestamp, Venue};
use robson_eventlog::{
    Actor, ActorType, Append, AppendError, EventQuery, EventType, Ledger, NewEvent, Outcome, Payload, Store,
    StoreError, StreamKey,
};
use tokio::sync::{Mutex, MutexGuard};

use super::faults::Fault;
use super::{FaultPlan, PaperEvent, PaperRefusal, PaperState, PlaceDecision};
use crate::exchange::{
    CancelOutcome, Exchange, Instrument, OrderLookup, OrderReport, OrderRequest, PlaceOutcome, Unanswered,
    VenueBalance, VenuePosition,
};
use crate::feed::Tick;

/// The paper exchange on a store.
#[derive(Debug)]
pub struct PaperExchange<S> {
    venue: Venue,
    ledger: Ledger<S>,
    faults: FaultPlan,
    book: Mutex<Book>,
}

/// The durable state and what is only remembered: the feed's clock and its last prices.
#[derive(Debug)]
struct Book {
    first: PaperState,
    state: PaperState,
    /// Set when it is unknown whether an append is durable: the log is read again before anything else.
    is_stale: bool,
    now: Option<Timestamp>,
    prices: BTreeMap<Symbol, Price>,
}

/// Why the paper exchange did not take something in.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// Its log did not take an event; what is durable is read again before the next answer.
    #[error("the paper exchange's log took nothing")]
    Append(#[source] AppendError),
    /// Its log could not be read.
    #[error("the paper exchange's log could not be read")]
    Read(#[source] StoreError),
    /// Its log holds what this exchange never wrote, or a price no longer fits: halt.
    #[error("the paper exchange's log is damaged: {0}")]
    Damaged(String),
}

impl<S: Store> PaperExchange<S> {
    /// Takes up the book where the ledger's log left it; `first` is the exchange on its first day.
    ///
    /// # Errors
    /// `Read`, or `Damaged` where the log is not that of such an exchange.
    pub async fn open(ledger: Ledger<S>, first: PaperState, faults: FaultPlan) -> Result<Self, PaperError> {
        let state = replay(&ledger, first.clone()).await?;
        let book = Book { first, state, is_stale: false, now: None, prices: BTreeMap::new() };
        let venue = "paper".parse().expect("a venue's name");
        Ok(Self { venue, ledger, faults, book: Mutex::new(book) })
    }

    /// Deposits the opening capital; an account that has had one keeps what it has.
    ///
    /// # Errors
    /// `PaperError`.
    pub async fn fund_once(&self, amount: Money, at: Timestamp) -> Result<(), PaperError> {
        let mut book = self.current().await?;
        if book.state.deposits() > Money::ZERO {
            return Ok(());
        }
        let deposit = book.state.decide_deposit(amount, at);
        self.commit(&mut book, vec![deposit]).await
    }

    /// Takes a tick in and answers with the orders that it filled or ended.
    ///
    /// A tick at or before the cursor was taken in before: it changes nothing, and the answer is the first one.
    ///
    /// What is only remembered, the feed's clock and its last prices, comes back after a restart when the last
    /// ticks before it are taken in again, as [`Playback::last_ticks`](crate::feed::Playback::last_ticks) gives
    /// them, oldest first: they write nothing, since what they did is in the book.
    ///
    /// # Errors
    /// `PaperError`.
    pub async fn on_tick(&self, tick: &Tick) -> Result<Vec<OrderReport>, PaperError> {
        let mut book = self.current().await?;
        book.now = book.now.max(Some(tick.at));
        match book.prices.get_mut(&*tick.symbol) {
            Some(price) => *price = tick.price,
            None => drop(book.prices.insert((*tick.symbol).clone(), tick.price)),
        }
        if Some(tick.at) > book.state.cursor() {
            if !book.state.has_working(&tick.symbol) {
                return Ok(Vec::new());
            }
            let events =
                book.state.decide_tick(tick).map_err(|error| PaperError::Damaged(error.to_string()))?;
            if events.is_empty() {
                return Ok(Vec::new());
            }
            self.commit(&mut book, events).await?;
        }
        let mut reports = book.state.traded_at(tick.at);
        let twice =
            |report: &&OrderReport| self.faults.strikes(Fault::DuplicateReport, &report.client_order_id);
        let again: Vec<OrderReport> = reports.iter().filter(twice).cloned().collect();
        reports.extend(again);
        Ok(reports)
    }

    /// The first time from now on at which an order becomes fillable, and its symbol: a tick that runs past it
    /// is to be split there, so that the trader learns of the fill before the price runs on.
    pub async fn next_fillable(&self) -> Option<(Symbol, Timestamp)> {
        let book = self.book.lock().await;
        book.state.first_fillable(book.now)
    }

    /// The time of the last event in its log: where a restart resumes, at the earliest.
    pub async fn cursor(&self) -> Option<Timestamp> {
        self.book.lock().await.state.cursor()
    }

    /// The book as it stands.
    pub async fn state(&self) -> PaperState {
        self.book.lock().await.state.clone()
    }

    /// Gives up the log.
    pub async fn close(&self) {
        self.ledger.close().await;
    }

    async fn current(&self) -> Result<MutexGuard<'_, Book>, PaperError> {
        let mut book = self.book.lock().await;
        if book.is_stale {
            book.state = replay(&self.ledger, book.first.clone()).await?;
            book.is_stale = false;
        }
        Ok(book)
    }

    /// Makes events durable, then takes them into the book.
    async fn commit(&self, book: &mut Book, events: Vec<PaperEvent>) -> Result<(), PaperError> {
        let new_events = events.iter().map(new_event).collect::<Result<_, _>>()?;
        // An answer that never comes, as when the caller is dropped, leaves the book stale as well.
        book.is_stale = true;
        let outcome = self.ledger.append(Append::events(new_events)).await.map_err(PaperError::Append)?;
        if !matches!(outcome, Outcome::Appended(_)) {
            return Err(PaperError::Damaged(format!("the log answered {outcome:?}")));
        }
        for event in &events {
            book.state.apply(event).map_err(|fault| PaperError::Damaged(fault.to_string()))?;
        }
        book.is_stale = false;
        Ok(())
    }

    async fn try_place(&self, request: &OrderRequest) -> Result<PlaceOutcome, PaperError> {
        let mut book = self.current().await?;
        let Some(now) = book.now.max(book.state.cursor()) else {
            return Ok(PlaceOutcome::Denied { reason: "the feed has not begun".to_owned() });
        };
        let id = &request.client_order_id;
        if self.faults.loses_request(id, now) {
            return Ok(PlaceOutcome::Unknown);
        }
        let last_price = book.prices.get(&request.symbol).copied();
        let event = match book.state.decide_place(request, last_price, now) {
            PlaceDecision::Answer(outcome) => return Ok(outcome),
            PlaceDecision::Happens(_) if self.faults.strikes(Fault::Refusal, id) => {
                book.state.decide_refusal(request, PaperRefusal::OnDemand, now)
            }
            PlaceDecision::Happens(event) => event,
        };
        self.commit(&mut book, vec![event]).await?;
        if self.faults.strikes(Fault::LostReply, id) {
            return Ok(PlaceOutcome::Unknown);
        }
        Ok(book.state.order(id).map_or(PlaceOutcome::Unknown, super::PaperOrder::outcome))
    }

    async fn try_cancel(&self, id: &ClientOrderId) -> Result<CancelOutcome, PaperError> {
        let mut book = self.current().await?;
        let now = book.now.max(book.state.cursor());
        let Some(event) = now.and_then(|now| book.state.decide_cancel(id, now)) else {
            return Ok(CancelOutcome::NotWorking);
        };
        self.commit(&mut book, vec![event]).await?;
        let report = book.state.order(id).map(super::PaperOrder::report);
        Ok(report.map_or(CancelOutcome::Unknown, |report| CancelOutcome::Canceled(Box::new(report))))
    }
}

impl<S: Store> Exchange for PaperExchange<S> {
    fn venue(&self) -> &Venue {
        &self.venue
    }

    async fn instrument(&self, symbol: &Symbol) -> Option<Instrument> {
        self.book.lock().await.state.instrument(symbol).cloned()
    }

    async fn place(&self, request: OrderRequest) -> PlaceOutcome {
        // Whether the log took the order is not known then, and only the log can tell.
        self.try_place(&request).await.unwrap_or(PlaceOutcome::Unknown)
    }

    async fn order(&self, symbol: &Symbol, id: &ClientOrderId) -> OrderLookup {
        let Ok(book) = self.current().await else { return OrderLookup::Unknown };
        match book.state.look_up(id) {
            OrderLookup::Found(report) if report.symbol != *symbol => OrderLookup::Absent,
            answer => answer,
        }
    }

    async fn cancel(&self, _symbol: &Symbol, id: &ClientOrderId) -> CancelOutcome {
        self.try_cancel(id).await.unwrap_or(CancelOutcome::Unknown)
    }

    async fn balances(&self) -> Result<Vec<VenueBalance>, Unanswered> {
        let book = self.current().await.map_err(|error| Unanswered(error.to_string()))?;
        let now = book.now.max(book.state.cursor());
        let now = now.ok_or_else(|| Unanswered("the feed has not begun".to_owned()))?;
        book.state.balances(now).map_err(|error| Unanswered(error.to_string()))
    }

    async fn positions(&self) -> Result<Vec<VenuePosition>, Unanswered> {
        let book = self.current().await.map_err(|error| Unanswered(error.to_string()))?;
        Ok(book.state.positions())
    }
}

fn new_event(event: &PaperEvent) -> Result<NewEvent, PaperError> {
    let damaged = |error: &dyn std::fmt::Display| PaperError::Damaged(error.to_string());
    let stream = StreamKey::new(event.stream()).map_err(|error| damaged(&error))?;
    let event_type = EventType::new(event.event_type()).map_err(|error| damaged(&error))?;
    let payload = Payload::new(&event.payload()).map_err(|error| damaged(&error))?;
    let at = event
        .at()
        .to_datetime()
        .try_into()
        .map_err(|error: robson_eventlog::InvalidTimestamp| damaged(&error))?;
    Ok(NewEvent { actor: Actor::of(ActorType::Exchange), ..NewEvent::new(stream, event_type, payload, at) })
}

/// The book that a log leads to.
async fn replay<S: Store>(ledger: &Ledger<S>, mut state: PaperState) -> Result<PaperState, PaperError> {
    let mut query =
        EventQuery { stream_prefix: Some("paper:".to_owned()), ..EventQuery::all(ledger.tenant()) };
    loop {
        let page = ledger.store().read(&query).await.map_err(PaperError::Read)?;
        for recorded in &page.events {
            PaperEvent::decode(recorded.event_type.as_str(), recorded.payload.value())
                .map_err(|error| error.to_string())
                .and_then(|event| state.apply(&event).map_err(|fault| fault.to_string()))
                .map_err(|reason| PaperError::Damaged(format!("event {}: {reason}", recorded.log_seq)))?;
        }
        match page.events.last() {
            Some(last) if page.events.len() == query.limit => query.after = last.log_seq,
            _ => return Ok(state),
        }
    }
}
