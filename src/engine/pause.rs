//! Pause and resume: stored, so that a reload and every other context of the database keep to it.

use super::events::Announcement;
use super::session::SyncError;
use super::{Engine, EngineError};
use crate::decide::{SetPaused, SyncState};
use crate::platform::Host;
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    /// Stops the session that runs, in whichever context, and starts none until [`Self::resume`]. Saving goes on.
    pub async fn pause(&self) -> Result<(), EngineError> {
        self.set_paused(true).await
    }

    /// Ends a pause, and syncs if that happens by itself here.
    pub async fn resume(&self) -> Result<(), EngineError> {
        self.set_paused(false).await
    }

    async fn set_paused(&self, paused: bool) -> Result<(), EngineError> {
        self.decide(Durability::Strict, SetPaused { paused }).await?;
        let stored = SyncState { paused, ..self.inner.state.borrow().clone() };
        self.stands(stored);
        // The others look for themselves.
        self.announce(Announcement { queue: true, ..Announcement::default() }, "local");
        Ok(())
    }

    /// Takes in where the database stands, and does at once what a pause, or its end, asks for: whoever reads
    /// the state may be the first to learn of it.
    pub(super) fn stands(&self, sync: SyncState) {
        let now = sync.paused;
        let before = self.inner.state.replace(sync).paused;
        match (before, now) {
            (false, true) => self.abort(),
            (true, false) => self.poke(),
            (true, true) | (false, false) => {}
        }
    }

    /// Whether there is a pause. Its end is looked for: another context may have brought it, unheard here.
    pub(super) async fn is_paused(&self) -> bool {
        if self.inner.state.borrow().paused {
            // A store that fails now will fail the session too, and say so there.
            let _ = self.refresh().await;
        }
        self.inner.state.borrow().paused
    }
}

impl SyncError {
    /// The user wants none.
    pub(super) fn paused() -> Self {
        Self::new("paused", "sync is paused", false)
    }
}
