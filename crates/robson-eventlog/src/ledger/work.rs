//! Requests that go into one batch, and who waits for each of them.

use tokio::sync::{mpsc, oneshot};

use super::{Append, AppendError, AtRest, BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, Message, Outcome, Reply};

/// What the writer was asked to do once everything before it is durable.
#[derive(Debug)]
pub(super) enum Then {
    /// Stop: every handle is gone.
    Leave,
    /// Write nothing for a while.
    Rest(oneshot::Sender<AtRest>),
    /// Give the lease up and stop.
    Close(oneshot::Sender<()>),
}

/// Requests in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Work {
    requests: Vec<Append>,
    replies: Vec<Reply>,
    bytes: usize,
}

impl Work {
    pub(super) fn requests(&self) -> &[Append] {
        &self.requests
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether nothing more goes into the batch.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= BATCH_REQUESTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Takes what is queued, up to one batch, and never waits for more; tells what comes behind it.
    pub(super) fn drain(
        &mut self,
        first: Option<Message>,
        queue: &mut mpsc::Receiver<Message>,
    ) -> Option<Then> {
        let Some(first) = first else { return Some(Then::Leave) };
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Pause(rest) => return Some(Then::Rest(rest)),
                Message::Close(done) => return Some(Then::Close(done)),
                Message::Append(request, reply) => {
                    self.bytes +=
                        request.events.iter().map(|event| event.payload.as_str().len()).sum::<usize>();
                    self.requests.push(*request);
                    self.replies.push(reply);
                }
            }
            next = if self.is_full() { None } else { queue.try_recv().ok() };
        }
        None
    }

    /// Tells everybody how it ended.
    pub(super) fn answer(self, outcomes: Vec<Outcome>) {
        for (reply, outcome) in self.replies.into_iter().zip(outcomes) {
            count(&outcome);
            // A caller that went away does not need its answer.
            let _ = reply.send(Ok(outcome));
        }
    }

    /// Tells everybody why it did not end.
    pub(super) fn fail(self, error: &AppendError) {
        for reply in self.replies {
            let _ = reply.send(Err(error.clone()));
        }
    }
}

fn count(outcome: &Outcome) {
    let name = match outcome {
        Outcome::Appended(appended) => {
            let new = appended.events.iter().filter(|receipt| receipt.is_new).count();
            metrics::counter!("eventlog_events_total").increment(new as u64);
            return;
        }
        Outcome::Duplicate { .. } => "eventlog_duplicates_total",
        Outcome::Mismatch { .. } => "eventlog_mismatches_total",
        Outcome::Conflict { .. } => "eventlog_conflicts_total",
        Outcome::CheckpointMoved { .. } | Outcome::CheckpointAhead { .. } => {
            "eventlog_checkpoint_conflicts_total"
        }
        Outcome::Refused { .. } => "eventlog_refusals_total",
    };
    metrics::counter!(name).increment(1);
}
