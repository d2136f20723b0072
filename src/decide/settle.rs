//! The end of an operation that the server applied: once its version is durable there, nobody needs its
//! payload any more to heal a server that was restored from a backup.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, unreadable};
use super::effects::Effects;
use super::rows::{last_audit, seals};
use super::state::SyncState;
use super::work::Work;
use crate::audit::Event;
use crate::model::{Epoch, Version};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Table, WriteBatch};
use crate::schema::Schema;

/// Ends acknowledged operations that are durable.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Their client sequences.
    pub operations: Vec<u64>,
    /// The lineage that said so.
    pub epoch: Epoch,
    /// Up to here everything is durable there.
    pub durable: Version,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Settle {
    type Out = Effects;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Effects)> {
        let read = |seq: &u64| Read::Get(Table::Outbox, (*seq).into());
        db.prefetch([last_audit(), seals(), SyncState::read()]);
        db.prefetch(self.operations.iter().map(read));
        db.settle()?;
        let sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        for seq in &self.operations {
            let Some(stored) = db.one::<OutboxRow>(&read(seq))? else { continue };
            // A version means nothing in another lineage than its own.
            let durable = matches!(stored.state, State::Acknowledged { version } if version <= self.durable);
            if !durable || sync.epoch.as_ref() != Some(&self.epoch) {
                continue;
            }
            work.note(&stored.operation().map_err(unreadable)?, Event::Settled);
            work.end(*seq);
        }
        work.finish(db)
    }
}
