//! An account in cents: an aggregate that notices when an event is applied twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, Query, View};
use serde::{Deserialize, Serialize};

/// A deposit that the view cannot show.
pub(crate) const UNVIEWABLE: i64 = 666;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) is_open: bool,
    pub(crate) cents: i64,
    pub(crate) events: i64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Open,
    /// So many cents, so many times.
    Deposit(i64, i64),
    Withdraw(i64),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened,
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Opened => "Opened",
            Self::Deposited { .. } => "Deposited",
            Self::Withdrawn { .. } => "Withdrawn",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        if matches!(self, Self::Deposited { .. }) { "1.2.0" } else { "1" }.to_owned()
    }
}

#[derive(Debug)]
pub(crate) struct Refused(&'static str);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = Command;
    type Event = AccountEvent;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        match command {
            Command::Open if self.is_open => return Err(Refused("it is open")),
            Command::Open => sink.write(AccountEvent::Opened, self).await,
            Command::Deposit(cents, times) => {
                for _ in 0..times {
                    sink.write(AccountEvent::Deposited { cents }, self).await;
                }
            }
            Command::Withdraw(cents) if cents > self.cents => return Err(Refused("it holds less")),
            Command::Withdraw(cents) => sink.write(AccountEvent::Withdrawn { cents }, self).await,
            Command::Nothing => {}
        }
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        self.events += 1;
        match event {
            AccountEvent::Opened => self.is_open = true,
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AccountView {
    pub(crate) cents: i64,
    pub(crate) changes: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
}

impl View<Account> for AccountView {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        self.changes += 1;
        match event.payload {
            AccountEvent::Opened => {}
            AccountEvent::Deposited { cents } => {
                self.cents += cents;
                self.rate = (cents == UNVIEWABLE).then_some(6.66);
            }
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

/// Counts what it is told.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Arc<AtomicUsize>);

impl Query<Account> for Told {
    fn dispatch<'a, 'b, 'c, 'd>(
        &'a self,
        _aggregate_id: &'b str,
        events: &'c [EventEnvelope<Account>],
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'd>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.0.fetch_add(events.len(), Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}
