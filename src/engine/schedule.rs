//! When a session runs without being asked: after a write, when the network comes back, and from time to
//! time. One next wake is always armed while the engine is open.

use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::events::Event;
use super::session::{Direction, SyncResult};
use super::{Engine, shown};
use crate::decide::Present;
use crate::outbox::{Backoff, Hold};
use crate::planted::{Bug, is};
use crate::platform::{Channel, Clock, Host};
use crate::store::Store;
use crate::value::to_value;

/// Why the scheduler looks up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    ByWrite,
    ByReconnect,
    ByTime,
    Closed,
}

/// A planted bug waits so long.
const FOR_EVER_MS: u64 = 1 << 40;

impl<S: Store, H: Host> Engine<S, H> {
    /// Runs until the engine is closed: listens to the other contexts and, with `autoSync`, keeps this
    /// database in step with the server. The caller spawns it once. A session under way at the close stops
    /// at its next wait for something outside, and tells its end.
    pub async fn run(&self) {
        futures_util::join!(self.listen(), self.schedule(), self.idle());
    }

    /// Something happened that makes a session worth trying now: the network came back, the page is shown.
    pub fn poke(&self) {
        self.inner.reconnect.notify();
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
        loop {
            let message = match select(pin!(self.inner.host.channel().next()), pin!(self.inner.closed.raised())).await {
                Either::Left((Some(message), _)) => message,
                Either::Left((None, _)) | Either::Right(_) => return,
            };
            self.heard(&message).await;
        }
    }

    async fn schedule(&self) {
        let settings = &self.inner.settings;
        let backoff = Backoff { base_ms: settings.backoff_base_ms, cap_ms: settings.backoff_cap_ms };
        let (mut failures, mut wait_ms) = (0, settings.poll_ms);
        // So long nothing is sent, whoever writes; if it is firm, not after a reconnect either.
        let (mut hold, mut firm) = (Hold::default(), false);
        loop {
            let woken = self.woken(wait_ms).await;
            self.sample();
            let left = hold.left(self.now());
            let early = left > 0;
            let too_early = early && (woken == Woken::ByWrite || (woken == Woken::ByReconnect && firm));
            if woken == Woken::Closed {
                return;
            }
            if too_early || !settings.auto_sync || self.inner.offline.get() || self.is_paused().await {
                if woken == Woken::ByTime {
                    self.notice().await;
                    self.watch().await;
                }
                wait_ms = if early { left } else { settings.poll_ms };
                continue;
            }
            let result = self.sync(Direction::Both, None).await;
            let error = result.errors.first();
            let failed = match error {
                Some(error) => error.retryable,
                // The server said "not now" to something.
                None => self.is_waiting(),
            };
            if failed {
                failures += 1;
                let named = error.and_then(|error| error.retry_after_ms);
                wait_ms = if is(Bug::NeverRetried) { FOR_EVER_MS } else { backoff.wait(failures, named, self.random()) };
                (hold, firm) = (Hold { since: self.now(), wait_ms }, named.is_some());
            } else {
                // In order, or somebody has to do something first: sign in, reload, decide. Looking again is cheap.
                (failures, wait_ms, hold) = (0, settings.poll_ms, Hold::default());
            }
        }
    }

    async fn woken(&self, wait_ms: u64) -> Woken {
        let inner = &self.inner;
        let (write, reconnect) = (pin!(inner.poke.taken()), pin!(inner.reconnect.taken()));
        let (timer, closed) = (pin!(inner.host.clock().sleep(wait_ms)), pin!(inner.closed.raised()));
        match select(select(write, reconnect), select(timer, closed)).await {
            Either::Left((Either::Left(_), _)) => Woken::ByWrite,
            Either::Left((Either::Right(_), _)) => Woken::ByReconnect,
            Either::Right((Either::Left(_), _)) => Woken::ByTime,
            Either::Right((Either::Right(_), _)) => Woken::Closed,
        }
    }

    /// Whether the last session left something that is ready: the server said "not now".
    fn is_waiting(&self) -> bool {
        // A suspect has a time of its own.
        let without = self.aside();
        !self.inner.queue.borrow().batch(1, usize::MAX, &without).is_empty()
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
        let paused = inner.state.borrow().paused;
        let failed = |code: &str| last.as_ref().is_some_and(|result| result.errors.iter().any(|error| error.code == code));
        // Nothing goes until somebody does something; nothing is parked for it.
        let reason = match () {
            () if paused => Some("paused"),
            () if failed("identity_mismatch") => Some("wrong_user"),
            () if failed("auth_required") => Some("auth_required"),
            () => None,
        };
        let (conflicts, parked) = inner.queue.borrow().held();
        let last_sync = inner.last_success.get();
        json!({
            "state": state, "pending": self.pending(), "conflicts": conflicts, "parked": parked, "connectivity": connectivity,
            "lastSync": last_sync, "lastError": last.as_ref().and_then(|result| result.errors.first()).map(to_value), "offline": inner.offline.get(),
            "paused": paused, "reason": reason,
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
        let schema = &inner.settings.schema;
        let wanted = Present::wanted(inner.queue.borrow().items().map(|(_, item)| &item.operation), schema);
        let present = Present::new(self.look(wanted).await?);
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
                shown::item(item, &present.operation(schema, &item.operation), &aside)
            })
            .collect())
    }

    /// What went through this engine since it was opened.
    pub fn report(&self) -> Value {
        let (counters, totals, counts) = (self.inner.counters.get(), self.inner.totals.get(), self.inner.store.counts());
        json!({
            "requests": counters.requests, "bytesUp": counters.bytes_up, "bytesDown": counters.bytes_down,
            "operationsUp": totals.operations_up, "recordsDown": totals.records_down,
            "sessionsPurged": totals.sessions_purged, "conflictsPurged": totals.conflicts_purged, "auditPurged": totals.audit_purged,
            "transactions": counts.commits, "plans": counts.plans, "reads": counts.reads, "rowsWritten": counts.writes,
        })
    }
}
