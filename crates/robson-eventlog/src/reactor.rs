//! Reactors: what shall happen because something happened, once.
//!
//! A reactor is handed each event and answers with what is to be appended; that and the checkpoint commit
//! together. What it does outside the log it does at least once, under an id that follows from its name
//! and the event, so that whoever is asked twice can tell.

use std::future::Future;
use std::pin::pin;

use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use uuid::{Builder, Uuid};

use crate::consumer::{Consumer, ConsumerError, ConsumerOptions, ConsumerStatus, Delivery, Failure};
use crate::event::RecordedEvent;
use crate::ledger::{Append, AppendError, Ledger, Outcome};
use crate::names::DedupeKey;
use crate::store::Store;

/// How often a reaction is computed anew because its streams had moved.
const CONFLICTS_MAX: u32 = 100;

/// What a reactor is handed.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The event.
    pub event: &'a RecordedEvent,
    /// The id of whatever is done about it: the same at each delivery, and it begins with the event's time.
    pub command_id: Uuid,
}

/// Why there is no reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReactError {
    /// The event's type is not known: the consumer's policy for unknown types says what becomes of it.
    #[error("the event type is unknown")]
    Unknown,
    /// The event cannot be dealt with, however often it is tried: the policy for poison says what becomes of it.
    #[error("{0}")]
    Poison(String),
    /// Something that is needed does not answer: it is tried again until it does.
    #[error("{0}")]
    Unavailable(String),
}

/// Decides what happens because of an event.
///
/// # Contract
/// An event may be handed in more than once, and again after an answer of its own was lost: then the
/// answer must be the same. Events of the answer that have no dedupe key get one from the input's command
/// id, and the input as their cause.
pub trait Reactor: Send + 'static {
    /// The name under which its checkpoint stands.
    fn name(&self) -> &str;

    /// What is to be appended because of an event; an empty request where nothing is.
    fn react(&mut self, input: Input<'_>) -> impl Future<Output = Result<Append, ReactError>> + Send;
}

/// The id of what a reactor does about an event: a UUIDv8 of the event's time and a hash of both names.
pub fn command_id(reactor: &str, event: &RecordedEvent) -> Uuid {
    let mut hash = Sha256::new();
    for part in ["reaction", &event.tenant.to_string(), reactor, &event.event_id.to_string()] {
        hash.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let millis = u64::try_from(event.occurred_at.unix_millis()).unwrap_or(0);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&hash.finalize()[..10]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

impl<S: Store> Consumer<S> {
    /// Lets a reactor deal with one event after the other, until told to stop; then makes durable how far
    /// it has come.
    ///
    /// # Errors
    /// See [`ConsumerError`]; its status says the same.
    pub async fn run<R: Reactor>(
        &mut self,
        reactor: &mut R,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ConsumerError> {
        let mut stop = pin!(stop);
        loop {
            let delivery = tokio::select! {
                biased;
                () = &mut stop => break,
                delivery = self.next() => delivery?,
            };
            let dealt_with = self.deal_with(reactor, &delivery).await;
            self.check(dealt_with).await?;
        }
        let flushed = self.flush().await;
        self.check(flushed).await
    }

    /// One event, from delivery to commit.
    #[tracing::instrument(
        level = "debug", name = "react", skip_all,
        fields(consumer = self.name(), log_seq = delivery.event.log_seq, event_type = %delivery.event.event_type)
    )]
    async fn deal_with<R: Reactor>(
        &mut self,
        reactor: &mut R,
        delivery: &Delivery,
    ) -> Result<(), AppendError> {
        let event = &delivery.event;
        let input = Input { event, command_id: self.command_id(event) };
        let mut conflicts = 0;
        let failure = loop {
            let effects = match reactor.react(input).await {
                Ok(effects) => completed(effects, input),
                Err(ReactError::Unavailable(reason)) => {
                    // Delivered again: it may have been decided otherwise meanwhile.
                    self.pause(reason).await;
                    return Ok(());
                }
                Err(ReactError::Unknown) => break Failure::Unknown,
                Err(ReactError::Poison(reason)) => break Failure::Poison(reason),
            };
            match self.acknowledge(effects).await? {
                Outcome::Conflict { .. } if conflicts < CONFLICTS_MAX => conflicts += 1,
                Outcome::Conflict { stream, .. } => {
                    break Failure::Poison(format!("its reaction keeps conflicting on {stream}"));
                }
                Outcome::Refused { reason } => {
                    break Failure::Poison(format!("its reaction is refused: {reason}"));
                }
                Outcome::Mismatch { key } => {
                    break Failure::Poison(format!("its reaction is another one than before ({key})"));
                }
                _ => return Ok(()),
            }
        };
        self.fail(&failure).await.map(|_| ())
    }

    /// An unknown outcome is asked for again with the next delivery; everything else ends the consumer.
    async fn check(&mut self, done: Result<(), AppendError>) -> Result<(), ConsumerError> {
        match done {
            Ok(()) => Ok(()),
            Err(AppendError::Unavailable(reason)) => {
                self.pause(reason).await;
                Ok(())
            }
            Err(AppendError::Fenced) => Err(self.end(ConsumerError::Fenced)),
            Err(AppendError::Closed) => Err(self.end(ConsumerError::Closed)),
            Err(AppendError::Broken(what)) => Err(self.end(ConsumerError::Broken(what))),
        }
    }
}

/// Effects that say what they are effects of.
fn completed(mut effects: Append, input: Input<'_>) -> Append {
    let Input { event: cause, command_id } = input;
    for (index, event) in effects.events.iter_mut().enumerate() {
        if event.dedupe_key.is_none() {
            event.dedupe_key = DedupeKey::new(format!("{command_id}/{index}")).ok();
        }
        let trace = &mut event.trace;
        trace.command_id = trace.command_id.or(Some(command_id));
        trace.trace_id = trace.trace_id.or(cause.trace.trace_id);
        trace.workflow_id = trace.workflow_id.or(cause.trace.workflow_id);
        if event.caused_by.is_none() {
            trace.causation_id = trace.causation_id.or(Some(cause.event_id));
        }
    }
    effects
}

/// A reactor at work in a task of its own.
#[derive(Debug)]
pub struct RunningReactor {
    status: watch::Receiver<ConsumerStatus>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningReactor {
    /// Where it stands, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<ConsumerStatus> {
        self.status.clone()
    }

    /// Ends it where it is, as a crash would.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Lets it end the event that it deals with, and makes durable how far it has come.
    pub async fn stop(self) {
        // It may have ended by itself, and its status says why.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a reactor broke");
        }
    }
}

impl<S: Store> Ledger<S> {
    /// Lets a reactor follow the log in a task of its own, for as long as this process is the writer.
    pub fn react<R: Reactor>(&self, mut reactor: R, options: ConsumerOptions) -> RunningReactor {
        let mut consumer = Consumer::new(self, reactor.name(), options);
        let status = consumer.status();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stop = async {
                // Dropping the handle stops it too.
                let _ = stopped.await;
            };
            if let Err(error) = consumer.run(&mut reactor, stop).await {
                tracing::error!(%error, consumer = consumer.name(), "a consumer has ended");
            }
        });
        RunningReactor { status, stop, task }
    }
}
