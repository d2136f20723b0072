//! Creates that refer to each other in a circle, when nothing else is left to go: one of them is made the first, or a person
//! is asked.

use super::Engine;
use super::session::{SyncError, SyncResult};
use crate::decide::OpenCircle;
use crate::platform::Host;
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    /// Deals with one of those that refer to each other in a circle: it goes without its references first, if it may, and
    /// is parked if none of them may. Says whether there was one.
    pub(super) async fn open_circle(&self, result: &mut SyncResult) -> Result<bool, SyncError> {
        let settings = &self.inner.settings;
        let circle = self.inner.queue.borrow().circle(&settings.schema, &self.inner.seals.borrow());
        let Some(circle) = circle else { return Ok(false) };
        if !circle.opens {
            let message = format!("Records refer to each other in a circle: {}.", circle.paths.join(", "));
            let path = circle.paths.first().cloned();
            self.park(&self.going(&[circle.seq]), "dependency_cycle", &message, path, result).await?;
            return Ok(true);
        }
        let (schema, user) = (settings.schema.clone(), settings.user.clone());
        let decision = OpenCircle { schema, circle, operation: self.op_id(), now: self.now(), user };
        let Some(effects) = self.decide(Durability::Strict, decision).await? else {
            // Another tab did something to it: the next session has another picture.
            self.refresh().await?;
            return Ok(false);
        };
        self.absorb(&effects, "local");
        Ok(true)
    }
}
