//! What waits for idle time: after a session that went well, what was kept for long enough goes, part by part.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::{Engine, EngineError};
use crate::decide::{Purge, Retention};
use crate::platform::Host;
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    /// Runs until the engine is closed.
    pub(super) async fn idle(&self) {
        while let Either::Left(_) = select(pin!(self.inner.rest.taken()), pin!(self.inner.closed.raised())).await {
            // A store that fails now fails the next call too, and that one is told.
            if self.is_purge_due() {
                let _ = self.purge().await;
            }
            let _ = self.look_over().await;
        }
    }

    /// Whether anything can go, and the last purge was some hours ago.
    pub(super) fn is_purge_due(&self) -> bool {
        self.inner.settings.retention != Retention::default() && Purge::is_due(self.inner.purged_at.get(), self.now())
    }

    /// Purges what was kept for long enough. Stopped by a session or a fault it begins anew after the next session.
    async fn purge(&self) -> Result<(), EngineError> {
        let (inner, now, retention) = (&self.inner, self.now(), self.inner.settings.retention);
        let (schema, user) = (inner.settings.schema.clone(), inner.settings.user.clone());
        let mut purge = Purge { schema, retention, at: None, name: self.op_id(), now, server_now: inner.server_now.get(), user };
        loop {
            let done = self.decide(Durability::Relaxed, purge.clone()).await?;
            if done.sessions + done.conflicts > 0 {
                self.absorb(&done.effects, "sync");
            }
            let mut totals = inner.totals.get();
            totals.sessions_purged += done.sessions;
            totals.conflicts_purged += done.conflicts;
            inner.totals.set(totals);
            if done.next.is_none() {
                inner.purged_at.set(done.at);
                return Ok(());
            }
            if inner.role.borrow().is_running() {
                return Ok(());
            }
            purge.at = done.next;
        }
    }
}
