//! What one write of the app does: to its record, to those that a delete takes along, and to the outbox. A write to a record
//! whose last operation was never claimed becomes part of that operation ([`super::merge`]); what was claimed is never touched.

use super::cache::{Cache, Run, Stop};
use super::cascade::{Following, following};
use super::chain::Fresh;
use super::effects::Settled;
use super::ids::present;
use super::intent::{Intent, Place, WriteError};
use super::merge::{self, Merged};
use super::overlay::{OpRef, OverlayRow, RecordView};
use super::state::SyncState;
use super::work::Work;
use super::write::{LocalWrite, Wanted};
use super::written::Change;
use crate::audit::Event;
use crate::model::{Action, Group, OpId, Operation, RecordId};
use crate::outbox::OutboxRow;
use crate::protocol::limits::{BATCH_BYTES_MAX, OPERATIONS_MAX};
use crate::value::Object;

/// What became of one write: the record, and the operation if there is one.
pub(super) type Done = (Option<RecordView>, Option<OpId>);

/// An operation of this decision, not yet in the outbox.
struct New {
    operation: Operation,
    row: OutboxRow,
}

/// Writes that are being done, one after another: each sees those before it.
pub(super) struct Writing<'d, 'w> {
    write: &'d LocalWrite,
    db: &'d mut Cache,
    work: &'d mut Work<'w>,
    sync: &'d SyncState,
    new: Vec<New>,
}

impl<'d, 'w> Writing<'d, 'w> {
    /// Nothing is done yet.
    pub(super) fn of(write: &'d LocalWrite, db: &'d mut Cache, work: &'d mut Work<'w>, sync: &'d SyncState) -> Self {
        Self { write, db, work, sync, new: Vec::new() }
    }

    /// Whether one request can hold what is new: a group goes up as a whole.
    pub(super) fn fits(&self) -> bool {
        let bytes: usize = self.new.iter().map(|new| new.row.body.len()).sum();
        self.new.len() <= 1 || self.new.len() <= OPERATIONS_MAX && bytes <= BATCH_BYTES_MAX
    }

    /// Puts what is new into the outbox: several operations are a group.
    pub(super) fn enqueue(self) {
        let Self { work, new, .. } = self;
        let group = new.first().filter(|_| new.len() > 1).map(|first| Group { id: first.operation.id.clone(), of: new.len() });
        for New { mut operation, row } in new {
            operation.group.clone_from(&group);
            let row = OutboxRow::new(&operation, row.row, row.drops, row.created);
            work.note(&operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
            work.queue(&operation, row);
        }
    }

    /// Does what the app wants of a record, by whichever ID.
    pub(super) fn one(&mut self, wanted: &Wanted) -> Run<Result<Done, WriteError>> {
        let place = self.write.place(wanted);
        match place.action(self.db, self.work, &wanted.intent, self.sync.generation)? {
            Ok((row, Some(action))) => self.act(&wanted.operation, row, action),
            Ok((row, None)) => Ok(Ok((row.into_view(), None))),
            Err(error) => Ok(self.went_along(wanted)?.ok_or(error)),
        }
    }

    /// What another delete of the same transaction has taken along, a delete of its own finds gone as it wants it.
    fn went_along(&mut self, wanted: &Wanted) -> Run<Option<Done>> {
        let Intent::Delete { id } = &wanted.intent else { return Ok(None) };
        let id = present(self.db, &wanted.entity, id)?;
        let is_own = |id: &OpId| self.write.wanted.iter().any(|wanted| wanted.operation == *id);
        let takes = |operation: &&Operation| {
            operation.action == Action::Delete && operation.entity == wanted.entity && operation.record == id && !is_own(&operation.id)
        };
        let by = self.new.iter().map(|new| &new.operation).find(takes);
        Ok(by.map(|by| (None, Some(by.id.clone()))))
    }

    /// Does something to a record, as it is here, with all that a write is checked for. A delete takes along what is
    /// declared to go with it.
    pub(super) fn act(&mut self, id: &OpId, row: OverlayRow, action: Action) -> Run<Result<Done, WriteError>> {
        let mut grouped = self.write.wanted.len() > 1;
        if action == Action::Delete {
            let place = Place { schema: &self.write.schema, entity: &row.entity };
            let Following { cleared, gone } =
                match following(self.db, self.work, self.sync, place, &row.id, (&self.write.ended, &self.write.along))? {
                    Ok(following) => following,
                    Err(error) => return Ok(Err(error)),
                };
            grouped |= !(cleared.is_empty() && gone.is_empty());
            let schema = &self.write.schema;
            let clear = |(row, data): (OverlayRow, Object)| {
                let before = row.view.clone().unwrap_or_default();
                let delta = schema.entity(&row.entity).map(|declared| declared.conflicts.delta(&before, &data));
                (row, Action::Update { delta: delta.unwrap_or_default() })
            };
            let others = cleared.into_iter().map(clear).chain(gone.into_iter().map(|row| (row, Action::Delete)));
            let fresh = Fresh::after(id, self.write.now);
            let mut missing = false;
            for (other, action) in others {
                let (follower, own) = ((other.entity.clone(), other.id.clone()), self.work.take_id(&fresh));
                match self.change(&own, other, action, grouped) {
                    // All that go name their rows, so that those come in one round, however many they are.
                    Err(Stop::Wait) => missing = true,
                    changed => {
                        if changed?.is_err() && !missing {
                            // One that cannot be changed so, because it is not as it may be already, stands in the way after all.
                            let dependents = vec![follower];
                            return Ok(Err(WriteError::HasDependents { entity: row.entity, id: row.id, dependents }));
                        }
                    }
                }
            }
            if missing {
                self.change(id, row, action, grouped)?.ok();
                return Err(Stop::Wait);
            }
        }
        self.change(id, row, action, grouped)
    }

    /// Does something to one record alone.
    fn change(&mut self, id: &OpId, mut row: OverlayRow, action: Action, grouped: bool) -> Run<Result<Done, WriteError>> {
        let entity = row.entity.clone();
        let place = Place { schema: &self.write.schema, entity: &entity };
        let before = row.view.clone();
        let written = match place.written(self.db, self.work, self.sync, &mut row, action, (id, &self.write.user))? {
            Ok(written) => written,
            Err(error) => return Ok(Err(error)),
        };
        let Change { mut operation, drops, ground } = written;
        let id = operation.id.clone();
        let declared = place.declared().zip(row.view.as_ref());
        let takes = declared.is_some_and(|(declared, view)| !declared.taken(before.as_ref(), view).is_empty());
        // An operation is judged on one ground, and who writes now may see more than who wrote the one before.
        let sees_more = ground.is_some() && row.ops.last().is_some_and(|last| last.ground != ground);
        // As part of an earlier one it could ask for what somebody else gave up after that.
        let may_join = self.write.coalesce && !takes && (!sees_more || operation.action == Action::Delete);
        if may_join && !self.merge(&mut row, &operation, &drops, grouped)?.is_new() {
            return Ok(Ok((row.into_view(), Some(id))));
        }
        operation.seq = self.work.take_seq();
        row.ops.push(OpRef { ground, ..OpRef::to(&operation) });
        let stored = OutboxRow::new(&operation, row.key.clone(), drops, self.write.now);
        self.new.push(New { operation, row: stored });
        self.work.put(row.clone());
        Ok(Ok((row.into_view(), Some(id))))
    }

    /// Makes the write part of the record's last operation, if that may be.
    fn merge(&mut self, row: &mut OverlayRow, operation: &Operation, drops: &[(String, RecordId)], grouped: bool) -> Run<Merged> {
        let Some(last) = row.ops.last().cloned() else { return Ok(Merged::Not) };
        let own = self.new.iter().position(|new| new.operation.id == last.id);
        let target = match own {
            Some(at) => Some((self.new[at].row.clone(), self.new[at].operation.clone())),
            // A delete that stands for itself may annul a create that nobody has seen, whatever else goes with it.
            None if grouped && (self.write.wanted.len() > 1 || operation.action != Action::Delete) => None,
            // What cannot be read stays as it is.
            None => match self.work.outbox(self.db, last.seq) {
                Err(Stop::Corrupt(_)) => None,
                known => known?,
            },
        };
        let Some((stored, target)) = target else { return Ok(Merged::Not) };
        if own.is_none() && !merge::is_open(self.work, &stored, &target) {
            return Ok(Merged::Not);
        }
        if operation.action == Action::Delete {
            return if own.is_none() { self.annul(row, operation) } else { Ok(Merged::Not) };
        }
        if merge::needs_later(self.db, self.work, &self.write.schema, operation, target.seq)? {
            return Ok(Merged::Not);
        }
        let Some(joined) = merge::join(&target, operation) else { return Ok(Merged::Not) };
        let drops = merge::drops(&self.write.schema, &stored, drops, row.view.as_ref(), &target.entity);
        let amended = OutboxRow { drops, ..stored.instead(&joined) };
        match own {
            Some(at) => self.new[at] = New { operation: joined.clone(), row: amended },
            None => {
                self.work.queue(&joined, amended);
                self.work.note(&joined, Event::Amended { content: joined.fingerprint() });
            }
        }
        self.work.note(operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        self.work.note(operation, Event::Coalesced { by: Some(joined.id.clone()), version: None });
        self.work.supersede_watch(&operation.id, &joined.id);
        self.work.put(row.clone());
        Ok(Merged::Joined)
    }

    /// A record that was created here and never claimed goes without a trace at the server.
    fn annul(&mut self, row: &mut OverlayRow, operation: &Operation) -> Run<Merged> {
        let Some(pending) = merge::annullable(self.db, self.work, &self.write.schema, row)? else { return Ok(Merged::Not) };
        for (stored, old) in &pending {
            self.work.end(old.seq);
            self.work.note_all(stored, old, &Event::annulled());
            self.work.settle(&old.id, Settled::Discarded);
        }
        self.work.note(operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        self.work.note(operation, Event::annulled());
        self.work.settle(&operation.id, Settled::Discarded);
        row.ops.clear();
        self.work.put(row.clone());
        Ok(Merged::Annulled)
    }
}
