//! When a session runs without being asked: after a write, when the network comes back, and from time to
//! time. One next wake is always armed while the engine is open.

use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::events::Event;
use super::session::{Direction, SyncResult};
use super::{Engine, shown};
use crate::outbox::Backoff;
use crate::platform::{Channel, Clock, Entropy, Host};
use crate::store::Store;
use crate::value::to_value;

impl<S: Store, H: Host> Engine<S, H> {
    /// Runs until the engine is closed: listens to the other contexts and, with `autoSync`, keeps this
    /// database in step with the server. The caller spawns it once.
    pub async fn run(&self) {
        let work = pin!(async { futures_util::join!(self.listen(), self.schedule()) });
        let closed = pin!(self.inner.closed.raised());
        // Whichever comes first: `close` ends both loops at their next await.
        match select(work, closed).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }

    /// Something happened that makes a session worth trying now: the network came back, the page is shown.
    pub fn poke(&self) {
        self.inner.poke.notify();
    }

    /// Behaves as if there were no network, or stops doing so.
    pub fn set_offline(&self, offline: bool) {
        self.inner.offline.set(offline);
        if offline {
            self.abort();
        } else {
            self.poke();
        }
        self.emit_status();
    }

    async fn listen(&self) {
        while let Some(message) = self.inner.host.channel().next().await {
            self.heard(&message).await;
        }
    }

    async fn schedule(&self) {
        if !self.inner.settings.auto_sync {
            return;
        }
        let backoff = Backoff { base_ms: self.inner.settings.backoff_base_ms, cap_ms: self.inner.settings.backoff_cap_ms };
        let mut failures = 0;
        let mut wait_ms = self.inner.settings.poll_ms;
        loop {
            let poked = {
                let poke = pin!(self.inner.poke.taken());
                let timer = pin!(self.inner.host.clock().sleep(wait_ms));
                matches!(select(poke, timer).await, Either::Left(_))
            };
            if self.inner.offline.get() {
                wait_ms = self.inner.settings.poll_ms;
                continue;
            }
            let result = self.sync(Direction::Both, None).await;
            let error = result.errors.first();
            wait_ms = match error {
                None if self.is_waiting() => {
                    failures += 1;
                    backoff.wait(failures, None, self.random())
                }
                None => {
                    failures = 0;
                    self.inner.settings.poll_ms
                }
                Some(error) if error.retryable => {
                    failures += 1;
                    backoff.wait(failures, error.retry_after_ms, self.random())
                }
                // Somebody has to do something first: sign in, reload, decide. Looking again is cheap.
                Some(_) => self.inner.settings.poll_ms,
            };
            if poked && error.is_some_and(|error| error.retry_after_ms.is_some()) {
                // A server that named a time is not asked again because somebody typed.
                self.inner.host.clock().sleep(wait_ms).await;
                wait_ms = 0;
            }
        }
    }

    /// Whether the last session left something that is ready: the server said "not now".
    fn is_waiting(&self) -> bool {
        !self.inner.queue.borrow().batch(1, usize::MAX).is_empty()
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.inner.host.entropy().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// The status: what a person wants to know at a glance.
    pub fn status(&self) -> Value {
        let inner = &self.inner;
        let last = inner.last_result.borrow();
        let state = match (&*last, inner.role.borrow().is_running()) {
            (_, true) => "syncing",
            (None, false) => "idle",
            (Some(result), false) if result.success => "success",
            (Some(_), false) => "error",
        };
        let connectivity = match &*last {
            _ if inner.offline.get() => "offline",
            None => "unknown",
            Some(result) if result.errors.iter().any(|error| matches!(error.code.as_str(), "network" | "timeout")) => "offline",
            Some(_) => "online",
        };
        let (conflicts, parked) = inner.queue.borrow().held();
        let last_sync = inner.last_success.get();
        json!({
            "state": state, "pending": self.pending(), "conflicts": conflicts, "parked": parked, "connectivity": connectivity,
            "lastSync": last_sync, "lastError": last.as_ref().and_then(|result| result.errors.first()).map(to_value), "offline": inner.offline.get(),
        })
    }

    pub(super) fn emit_status(&self) {
        self.emit(Event::Status { status: self.status() });
    }

    pub(super) fn remember(&self, result: &SyncResult) {
        if result.errors.is_empty() {
            self.inner.last_success.set(Some(result.started + result.duration));
        }
        self.inner.last_result.replace(Some(SyncResult { operations: Vec::new(), ..result.clone() }));
    }

    /// The outbox, each item with its state and why it waits.
    pub async fn queue(&self) -> Result<Vec<Value>, super::EngineError> {
        self.refresh().await?;
        let inner = &self.inner;
        let (queue, attempts, seals, flight) = (inner.queue.borrow(), inner.attempts.borrow(), inner.seals.borrow(), inner.flight.borrow());
        let standing = queue.standing();
        let nothing = super::Attempt::default();
        Ok(queue
            .items()
            .zip(&standing)
            .map(|((seq, item), (_, standing))| {
                let attempt = attempts.iter().find(|(known, _)| *known == seq).map_or(&nothing, |(_, attempt)| attempt);
                let aside = shown::Aside {
                    standing,
                    sealed: seals.contains(seq),
                    flying: flight.contains(seq),
                    attempts: attempt.count,
                    last: attempt.error.as_ref(),
                };
                shown::item(item, &aside)
            })
            .collect())
    }

    /// What went through this engine since it was opened.
    pub fn report(&self) -> Value {
        let (counters, totals, counts) = (self.inner.counters.get(), self.inner.totals.get(), self.inner.store.counts());
        json!({
            "requests": counters.requests, "bytesUp": counters.bytes_up, "bytesDown": counters.bytes_down,
            "operationsUp": totals.operations_up, "recordsDown": totals.records_down,
            "transactions": counts.commits, "plans": counts.plans, "reads": counts.reads, "rowsWritten": counts.writes,
        })
    }
}
