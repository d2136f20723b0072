//! The outbox in memory: what this context knows of the stored one, kept true by what it does itself and,
//! where other contexts acted, by what the audit trail says since.

use super::events::{Announcement, Event, by_entity};
use super::functions::Matter;
use super::{Engine, EngineError};
use crate::audit;
use crate::decide::{Effects, Load, Loaded, ResolveId, Settled, SyncState};
use crate::outbox::{Failure, Item, Queue, State};
use crate::platform::{Channel, Host};
use crate::store::Store;
use crate::value::to_text;

/// A record in the map of list keys.
pub(super) fn key_of(entity: &str, id: &crate::model::RecordId) -> String {
    format!("{entity}/{}", id.to_value())
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Takes in what a decision of this context changed, and tells everybody.
    pub(super) fn absorb(&self, effects: &Effects, source: &'static str) {
        let inner = &self.inner;
        if effects.seq.is_some() && inner.known.get() == Some(effects.after_seq) {
            let mut queue = inner.queue.borrow_mut();
            for seq in &effects.ended {
                queue.remove(*seq);
            }
            for row in &effects.queued {
                // What we wrote ourselves a moment ago can be read.
                let _ = queue.insert(row.clone(), &inner.settings.schema);
            }
            inner.known.set(effects.seq);
        }
        for seq in &effects.ended {
            inner.seals.borrow_mut().remove(*seq);
            inner.attempts.borrow_mut().retain(|(known, _)| known != seq);
        }
        {
            let mut watches = inner.watches.borrow_mut();
            for (old, by) in &effects.superseded {
                watches.supersede(old, by);
            }
            for (id, settled) in &effects.settled {
                watches.settle(id, settled);
            }
        }
        self.learn_mappings(&effects.mapped);
        // Nothing to tell: the connection died after the commit, and the second run found it done. Who listens looks.
        let unclear = effects.seq.is_none() && effects.changed.is_empty() && effects.sync.is_none();
        let announcement = Announcement {
            changed: by_entity(&effects.changed),
            mapped: effects.mapped.clone(),
            conflicts: effects.conflicts.clone(),
            queue: effects.seq.is_some() || unclear,
            sender: None,
        };
        if announcement != Announcement::default() {
            self.announce(announcement, source);
        }
    }

    /// Tells the other contexts, and whoever listens here.
    pub(super) fn announce(&self, announcement: Announcement, source: &'static str) {
        self.inner.host.channel().announce(&to_text(&announcement));
        self.tell(announcement, source);
    }

    /// Earlier IDs became others: list keys stay what they were, the queue shows the present ones.
    fn learn_mappings(&self, mapped: &[(String, crate::model::RecordId, crate::model::RecordId)]) {
        let mut keys = self.inner.keys.borrow_mut();
        let mut queue = self.inner.queue.borrow_mut();
        for (entity, earlier, present) in mapped {
            let first = keys.get(&key_of(entity, earlier)).cloned().unwrap_or_else(|| earlier.to_value());
            keys.insert(key_of(entity, present), first);
            queue.map(entity, earlier, present);
        }
    }

    fn tell(&self, announcement: Announcement, source: &'static str) {
        for (entity, ids) in announcement.changed {
            self.emit(Event::Change { entity, ids, source });
        }
        for id in announcement.conflicts {
            self.emit(Event::Conflict { id });
        }
        if announcement.queue {
            self.emit(Event::Queue);
            self.emit_status();
        }
    }

    /// Another context did something.
    pub(super) async fn heard(&self, message: &str) {
        // What does not read as an announcement was not sent by this version: look for ourselves.
        let look = |_| Announcement { queue: true, ..Announcement::default() };
        let announcement: Announcement = crate::value::from_text(message).unwrap_or_else(look);
        if let Some(word) = announcement.sender {
            self.heard_of_sender(word);
        }
        self.learn_mappings(&announcement.mapped);
        if announcement.queue {
            // A store that fails now will fail the next call too, and say so there.
            let _ = self.refresh().await;
        }
        self.tell(announcement, "elsewhere");
    }

    /// Looks for what nobody told: a tab can die between its commit and its word.
    pub(super) async fn notice(&self) {
        let known = self.inner.known.get();
        // A store that fails now is asked again.
        let _ = self.refresh().await;
        if known != self.inner.known.get() {
            self.tell(Announcement { queue: true, ..Announcement::default() }, "elsewhere");
        }
    }

    /// Brings the picture of the outbox up to date with the stored one.
    pub(super) async fn refresh(&self) -> Result<(), EngineError> {
        let inner = &self.inner;
        // What could not be read may be gone, or somebody with a copy put it back.
        let whole = inner.queue.borrow().items().any(|(_, item)| item.row.damaged.is_some());
        let loaded = self.look(Load { known: inner.known.get(), whole }).await?;
        self.take_in(&loaded);
        let unknown = inner.queue.borrow().unknown_temps(&inner.seals.borrow());
        if !unknown.is_empty() {
            let found = self.look(ResolveId { ids: unknown }).await?;
            let mut queue = inner.queue.borrow_mut();
            for (entity, earlier, row) in found {
                queue.map(&entity, &earlier, &row.id);
            }
        }
        Ok(())
    }

    fn take_in(&self, loaded: &Loaded) {
        let inner = &self.inner;
        // The offset is what this context measured last; the rest is what is stored.
        let measured = inner.state.borrow().offset_ms;
        let offset_ms = if inner.initialised.get() { measured } else { loaded.sync.offset_ms };
        self.stands(SyncState { offset_ms, ..loaded.sync.clone() });
        if inner.known.get().is_some_and(|known| loaded.last_seq < known) {
            // Something was absorbed while this was being read.
            return;
        }
        if let (true, Some(table)) = (inner.stops.replace(loaded.stops) != loaded.stops, loaded.stops) {
            self.warn("damaged", Matter { entity: table, ..Matter::default() });
        }
        let mut queue = inner.queue.borrow_mut();
        let is_damaged = |(_, item): &(u64, &Item)| item.row.damaged.is_some();
        let told: Vec<u64> = queue.items().filter(is_damaged).map(|(seq, _)| seq).collect();
        if loaded.whole {
            queue.clear();
        }
        for (row, operation) in &loaded.rows {
            if row.damaged.is_some() && !told.contains(&operation.seq) {
                self.warn("damaged", Matter { entity: &operation.entity, record: Some(&operation.record), ..Matter::default() });
            }
            queue.put(row.clone(), operation.clone(), &inner.settings.schema);
        }
        inner.seals.replace(loaded.seals.clone());
        inner.known.set(Some(loaded.last_seq));
        self.settle_from(&queue, &loaded.trail);
    }

    /// Tells who waits for operations that another context brought to their end.
    fn settle_from(&self, queue: &Queue, trail: &[audit::Row]) {
        let mut watches = self.inner.watches.borrow_mut();
        for entry in trail.iter().flat_map(|row| &row.entries) {
            match &entry.event {
                audit::Event::Applied { version } => watches.settle(&entry.operation, &Settled::Applied { version: *version }),
                audit::Event::Conflict { conflict } => watches.settle(&entry.operation, &Settled::Conflict { conflict: *conflict }),
                audit::Event::Superseded { by } => watches.supersede(&entry.operation, by),
                audit::Event::Coalesced { by: Some(by), .. } => watches.supersede(&entry.operation, by),
                audit::Event::Coalesced { by: None, version: Some(version) } => {
                    watches.settle(&entry.operation, &Settled::Applied { version: *version });
                }
                audit::Event::Coalesced { by: None, version: None } | audit::Event::Discarded => {
                    watches.settle(&entry.operation, &Settled::Discarded);
                }
                audit::Event::Parked { code } => {
                    let found = queue.items().find(|(_, item)| item.operation.id == entry.operation);
                    let failure = match found.map(|(_, item)| &item.row.state) {
                        Some(State::Parked { failure, .. }) => failure.clone(),
                        _ => Failure { code: code.clone(), message: String::new(), path: None, faults: Vec::new() },
                    };
                    watches.settle(&entry.operation, &Settled::Rejected(failure));
                }
                audit::Event::Written { .. }
                | audit::Event::Rebased { .. }
                | audit::Event::Amended { .. }
                | audit::Event::Imported { .. }
                | audit::Event::Settled
                | audit::Event::Returned
                | audit::Event::Blocked
                | audit::Event::Restored { .. }
                | audit::Event::Undone { .. }
                | audit::Event::Resolved { .. }
                | audit::Event::Exported
                | audit::Event::Purged { .. }
                | audit::Event::Repaired { .. } => {}
            }
        }
    }

    /// How many operations wait to be applied.
    pub(super) fn pending(&self) -> u64 {
        self.inner.queue.borrow().pending().try_into().unwrap_or(u64::MAX)
    }
}
