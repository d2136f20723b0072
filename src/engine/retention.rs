//! What waits for idle time: after a session that went well, what was kept for long enough goes, part by part.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::{Engine, EngineError};
use crate::decide::{Purge, PurgeTrail, Retention};
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
                if self.purge_trail().await? {
                    inner.purged_at.set(done.at);
                }
                return Ok(());
            }
            if inner.role.borrow().is_running() {
                return Ok(());
            }
            purge.at = done.next;
        }
    }

    /// The same for the trail. Whether it came to its end: a session goes first.
    async fn purge_trail(&self) -> Result<bool, EngineError> {
        let (inner, now) = (&self.inner, self.now());
        let Some(kept) = inner.settings.retention.audit else { return Ok(true) };
        let before = now.min(inner.server_now.get()).saturating_sub(kept);
        while !inner.role.borrow().is_running() {
            let (schema, user) = (inner.settings.schema.clone(), inner.settings.user.clone());
            let decision = PurgeTrail { schema, before, uploaded: inner.settings.audit_upload, name: self.op_id(), now, user };
            let (gone, effects) = self.decide(Durability::Relaxed, decision).await?;
            if gone == 0 {
                return Ok(true);
            }
            self.absorb(&effects, "sync");
            let mut totals = inner.totals.get();
            totals.audit_purged += gone;
            inner.totals.set(totals);
        }
        Ok(false)
    }
}
