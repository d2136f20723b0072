//! The server's lineage and its watermark: going over to another epoch, and letting go what is durable.

use super::Engine;
use super::session::SyncError;
use crate::decide::{ChangeEpoch, Settle};
use crate::model::Epoch;
use crate::outbox::{Item, State};
use crate::platform::Host;
use crate::protocol::{Reply, RequestHead};
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    /// An answer of another lineage than its request's is not applied. One of the same may be late: whoever
    /// stores it compares with what is stored then.
    pub(super) fn epoch(asked: &RequestHead, reply: &Reply) -> Result<(), SyncError> {
        match &asked.epoch {
            Some(known) if *known != reply.epoch => Err(SyncError::epoch_changed(Some(known), &reply.epoch)),
            _ => Ok(()),
        }
    }

    /// Goes over to another lineage of the server, unless another context did.
    pub(super) async fn change_epoch(&self, from: &Epoch, to: &Epoch) -> Result<(), SyncError> {
        let decision = ChangeEpoch {
            schema: self.inner.settings.schema.clone(),
            from: from.clone(),
            epoch: to.clone(),
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        if let Some(effects) = self.decide(Durability::Strict, decision).await? {
            self.absorb(&effects, "sync");
        }
        Ok(())
    }

    /// Ends what the server has applied and can lose no more.
    pub(super) async fn settle(&self, reply: &Reply) -> Result<(), SyncError> {
        self.inner.server_now.set(reply.server_time);
        let durable = |item: &Item| matches!(item.row.state, State::Acknowledged { version } if version <= reply.durable);
        let operations: Vec<u64> = self.inner.queue.borrow().items().filter(|(_, item)| durable(item)).map(|(seq, _)| seq).collect();
        if operations.is_empty() {
            return Ok(());
        }
        let decision = Settle {
            schema: self.inner.settings.schema.clone(),
            operations,
            epoch: reply.epoch.clone(),
            durable: reply.durable,
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        let effects = self.decide(Durability::Strict, decision).await?;
        self.absorb(&effects, "sync");
        Ok(())
    }
}
