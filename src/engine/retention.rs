//! What waits for idle time: after a session that went well, what was kept for long enough goes, part by part.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::{Engine, EngineError};
use crate::audit::Kept;
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

    /// What is past its time by the settings and still there, where nothing else keeps it. The server need not
    /// have said lately what time it is.
    pub(super) async fn kept(&self) -> Result<Kept, EngineError> {
        let server_now = self.now().saturating_add_signed(self.inner.state.borrow().offset_ms);
        let over = self.decide(Durability::Relaxed, self.purge_of(server_now, true)).await?;
        let audit = match self.trail_purge_of(server_now, true) {
            Some(purge) => self.decide(Durability::Relaxed, purge).await?.0,
            None => 0,
        };
        Ok(Kept { at: over.at.max(self.inner.device.created), sync_log: over.sessions, conflicts: over.conflicts, audit })
    }

    fn purge_of(&self, server_now: u64, dry: bool) -> Purge {
        let settings = &self.inner.settings;
        let (schema, retention, user) = (settings.schema.clone(), settings.retention, settings.user.clone());
        Purge { schema, retention, at: None, name: self.op_id(), now: self.now(), server_now, user, dry }
    }

    /// The same of the trail, if that is not kept for ever.
    fn trail_purge_of(&self, server_now: u64, dry: bool) -> Option<PurgeTrail> {
        let (settings, now) = (&self.inner.settings, self.now());
        let before = now.min(server_now).saturating_sub(settings.retention.audit?);
        let (schema, user, uploaded) = (settings.schema.clone(), settings.user.clone(), settings.audit_upload);
        Some(PurgeTrail { schema, before, uploaded, name: self.op_id(), now, user, dry })
    }

    /// Whether anything can go, and the last purge was some hours ago.
    pub(super) fn is_purge_due(&self) -> bool {
        self.inner.settings.retention != Retention::default() && Purge::is_due(self.inner.purged_at.get(), self.now())
    }

    /// Purges what was kept for long enough. Stopped by a session or a fault it begins anew after the next session.
    async fn purge(&self) -> Result<(), EngineError> {
        let inner = &self.inner;
        let mut purge = self.purge_of(inner.server_now.get(), false);
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
        let inner = &self.inner;
        while !inner.role.borrow().is_running() {
            let Some(purge) = self.trail_purge_of(inner.server_now.get(), false) else { return Ok(true) };
            let (gone, effects) = self.decide(Durability::Relaxed, purge).await?;
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
