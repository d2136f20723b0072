//! What is measured while a client is open, in memory alone: its last batches, what its sessions come to, and from time to
//! time how much waits.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::Engine;
use super::session::SyncResult;
use crate::metrics::Summary;
use crate::platform::Host;
use crate::store::Store;

/// So many batches are kept.
const BATCHES_MAX: usize = 100;
/// So many samples are kept: an hour of them.
const SAMPLES_MAX: usize = 60;
/// The time between two samples, ms.
const SAMPLE_MS: u64 = 60_000;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Measures {
    batches: VecDeque<Value>,
    samples: VecDeque<Value>,
    sampled: u64,
    sessions: Summary,
}

impl Measures {
    /// A session has ended.
    pub(super) fn ended(&mut self, session: &Value) {
        if let Some(session) = session.as_object() {
            self.sessions.add(session);
        }
    }
}

/// Adds to a list of at most so many.
fn keep(list: &mut VecDeque<Value>, most: usize, value: Value) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(value);
}

impl<S: Store, H: Host> Engine<S, H> {
    /// The measures of this client since it was opened.
    pub fn metrics(&self) -> Value {
        let queue = self.waiting_now();
        let measures = self.inner.measures.borrow();
        json!({"queue": queue, "sessions": measures.sessions.told(), "batches": measures.batches, "samples": measures.samples})
    }

    /// A batch went up and its outcomes are stored. It was begun, sent and answered at these times; so many operations, bytes
    /// and conflicts.
    pub(super) fn measured(
        &self,
        result: &mut SyncResult,
        [begun, sent, answered]: [u64; 3],
        (operations, bytes, conflicts): (usize, u64, usize),
    ) {
        let span = |from: u64, to: u64| to.saturating_sub(from);
        let (build, send, apply) = (span(begun, sent), span(sent, answered), span(answered, self.now()));
        for (sum, more) in result.batches.iter_mut().zip([1, build, send, apply]) {
            *sum += more;
        }
        let batch = json!({
            "at": begun, "operations": operations, "bytesUp": bytes, "conflicts": conflicts, "build": build, "send": send, "apply": apply,
        });
        keep(&mut self.inner.measures.borrow_mut().batches, BATCHES_MAX, batch);
    }

    /// How much waits, if the last sample is old enough.
    pub(super) fn sample(&self) {
        let now = self.now();
        let left = self.inner.measures.borrow().sampled.saturating_sub(now);
        // More than that is left where the clock was set back.
        if left == 0 || left > SAMPLE_MS {
            let sample = self.waiting_now();
            let mut measures = self.inner.measures.borrow_mut();
            measures.sampled = now + SAMPLE_MS;
            keep(&mut measures.samples, SAMPLES_MAX, sample);
        }
    }

    fn waiting_now(&self) -> Value {
        let (conflicts, parked) = self.inner.queue.borrow().held();
        let [oldest_parked, oldest_pending] = self.oldest();
        json!({
            "at": self.now(), "pending": self.pending(), "conflicts": conflicts, "parked": parked, "oldestPending": oldest_pending,
            "oldestParked": oldest_parked,
        })
    }
}
