//! What was tried and how often, and the operations over which the server breaks down. A batch that fails is
//! halved from session to session until the one that breaks it goes alone. If that fails twice, it is suspect:
//! it waits behind everything else, goes alone from time to time, and its failure ends nothing.

use super::session::SyncError;
use super::{Attempt, Engine};
use crate::outbox::{Backoff, Hold};
use crate::platform::{Entropy, Host};
use crate::store::Store;

/// So often the server may break down over a single operation before it is suspect.
const ALONE_MAX: u32 = 2;

impl<S: Store, H: Host> Engine<S, H> {
    /// Notes that these were sent, and what came instead of a final answer.
    pub(super) fn failed(&self, batch: &[u64], error: &SyncError, alone: bool) {
        let settings = &self.inner.settings;
        let backoff = Backoff { base_ms: settings.backoff_base_ms, cap_ms: settings.backoff_cap_ms };
        let rest = Hold { since: self.now(), wait_ms: backoff.wait(u32::MAX, error.retry_after_ms, self.random()) };
        let mut attempts = self.inner.attempts.borrow_mut();
        for seq in batch {
            let at = attempts.iter().position(|(known, _)| known == seq).unwrap_or_else(|| {
                attempts.push((*seq, Attempt::default()));
                attempts.len() - 1
            });
            let (_, attempt) = &mut attempts[at];
            attempt.count += 1;
            attempt.error = Some((error.code.clone(), error.message.clone()));
            if alone && error.code == "server" {
                (attempt.alone, attempt.rest) = (attempt.alone + 1, rest);
            }
        }
    }

    /// Whether the server broke down over this operation alone too often.
    pub(super) fn is_suspect(&self, seq: u64) -> bool {
        self.inner.attempts.borrow().iter().any(|(known, attempt)| *known == seq && attempt.alone >= ALONE_MAX)
    }

    /// The suspects, and what waits for them.
    pub(super) fn aside(&self) -> Vec<u64> {
        let suspect = |(seq, attempt): &(u64, Attempt)| (attempt.alone >= ALONE_MAX).then_some(*seq);
        let mut aside: Vec<u64> = self.inner.attempts.borrow().iter().filter_map(suspect).collect();
        let behind = self.inner.queue.borrow().behind(&aside);
        aside.extend(behind);
        aside
    }

    /// The suspect to try next, with what must go with it: of those whose time has come the least often tried.
    pub(super) fn next_suspect(&self, without: &[u64]) -> Vec<u64> {
        let now = self.now();
        let attempts = self.inner.attempts.borrow();
        let is_due = |(seq, attempt): &&(u64, Attempt)| attempt.alone >= ALONE_MAX && attempt.rest.left(now) == 0 && !without.contains(seq);
        let mut due: Vec<&(u64, Attempt)> = attempts.iter().filter(is_due).collect();
        let queue = self.inner.queue.borrow();
        while let Some(least) = (0..due.len()).min_by_key(|at| (due[*at].1.alone, due[*at].0)) {
            let unit = queue.unit(due.swap_remove(least).0);
            let others: Vec<u64> = queue.items().map(|(other, _)| other).filter(|other| !unit.contains(other)).collect();
            let batch = queue.batch(1, usize::MAX, &others);
            // One that waits for another suspect cannot go, and must not stand in the way of that.
            if !batch.is_empty() {
                return batch;
            }
        }
        Vec::new()
    }

    pub(super) fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.inner.host.entropy().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
