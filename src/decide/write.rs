//! The local write: creates, updates and deletes, one or several in one transaction. Three puts for each: the
//! overlay row that shows it, the outbox row that sends it, the audit row that proves it.
//!
//! Several are a group: all of them take effect at the server, or none. A write to a record whose last
//! operation was never claimed becomes part of that operation ([`super::merge`]); what was claimed is never
//! touched.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, Stop};
use super::cascade::{Following, following};
use super::chain::Fresh;
use super::effects::{Effects, Settled};
use super::intent::{Intent, Place, WriteError, too_many};
use super::merge::{self, Merged};
use super::overlay::{OpRef, OverlayRow, RecordView};
use super::rows::{last_audit, last_audit_of, seals};
use super::state::SyncState;
use super::work::Work;
use super::written::Change;
use crate::audit::Event;
use crate::model::{Action, Group, OpId, Operation};
use crate::outbox::OutboxRow;
use crate::plan::WriteBatch;
use crate::protocol::limits::{BATCH_BYTES_MAX, OPERATIONS_MAX};
use crate::relations::Named;
use crate::schema::Schema;
use crate::value::Object;

/// One thing that the app wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The entity type; it is in the schema.
    pub entity: String,
    /// What the app wants.
    pub intent: Intent,
    /// The operation's ID, made before.
    pub operation: OpId,
}

/// Local writes, all of them or none.
#[derive(Clone, Debug)]
pub struct LocalWrite {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// What the app wants, in its order. The first one's ID names the group, if there are several.
    pub wanted: Vec<Wanted>,
    /// Whether a write may become part of an earlier one that was not claimed yet.
    pub coalesce: bool,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The generation of `base` as last seen, so that the record comes with the first round.
    pub generation: u64,
    /// Whether nothing shall be stored: only what the records would be is asked.
    pub dry: bool,
    /// What they would be when functions of the app were asked about them: it takes effect only if that is so still.
    pub asked: Option<Rc<Vec<Option<Object>>>>,
    /// Records that count as gone, where nothing is stored and what was to go before is still here.
    pub ended: Rc<Vec<Named>>,
}

/// Writes that took effect here.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The records afterwards, as they were wanted; nothing where one was deleted.
    pub records: Vec<Option<RecordView>>,
    /// The operations; nothing where an update changed nothing.
    pub operations: Vec<Option<OpId>>,
    /// What to show.
    pub effects: Effects,
}

/// An operation of this decision, not yet in the outbox.
pub(super) struct New {
    operation: Operation,
    row: OutboxRow,
}

impl Decision for LocalWrite {
    /// A refusal names the place of the write that caused it, where one did.
    type Out = Result<Written, (Option<usize>, WriteError)>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let by_operation = self.wanted.first().map(|first| last_audit_of(&first.operation));
        db.prefetch([last_audit(), SyncState::read(), seals()]);
        db.prefetch(by_operation.clone());
        for wanted in &self.wanted {
            self.place(wanted).prefetch(db, &wanted.intent, self.generation);
        }
        db.settle()?;
        let replayed = by_operation.is_some_and(|read| db.rows(&read).is_ok_and(|rows| !rows.is_empty()));
        let sync = SyncState::look(db)?;
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        if replayed {
            return self.replayed(db, &work);
        }
        let (mut records, mut operations, mut new) = (Vec::new(), Vec::new(), Vec::new());
        let mut missing = false;
        for (at, wanted) in self.wanted.iter().enumerate() {
            match self.one(db, &mut work, &sync, wanted, &mut new) {
                Ok(Ok((record, operation))) => {
                    records.push(record);
                    operations.push(operation);
                }
                // With rows missing before it, nobody knows yet whether it is really refused.
                Ok(Err(_)) if missing => {}
                Ok(Err(error)) => return Ok((Vec::new(), Err((Some(at), error)))),
                // Let the others name their rows too, so that they all come in one round.
                Err(Stop::Wait) => missing = true,
                Err(corrupt @ Stop::Corrupt(_)) => return Err(corrupt),
            }
        }
        if missing {
            return Err(Stop::Wait);
        }
        let would_be = || records.iter().map(|record: &Option<RecordView>| record.as_ref().map(|record| &record.data));
        if self.asked.as_ref().is_some_and(|asked| !would_be().eq(asked.iter().map(Option::as_ref))) {
            return Ok((Vec::new(), Err((None, WriteError::Unsettled))));
        }
        let bytes: usize = new.iter().map(|new: &New| new.row.body.len()).sum();
        if new.len() > 1 && (new.len() > OPERATIONS_MAX || bytes > BATCH_BYTES_MAX) {
            return Ok((Vec::new(), Err((None, too_many()))));
        }
        if self.dry {
            return Ok((Vec::new(), Ok(Written { records, operations, effects: Effects::default() })));
        }
        enqueue(&mut work, new);
        let (batch, effects) = work.finish()?;
        Ok((batch, Ok(Written { records, operations, effects })))
    }
}

/// Puts new operations into the outbox: several are a group.
pub(super) fn enqueue(work: &mut Work<'_>, new: Vec<New>) {
    let group = new.first().filter(|_| new.len() > 1).map(|first| Group { id: first.operation.id.clone(), of: new.len() });
    for New { mut operation, row } in new {
        operation.group.clone_from(&group);
        let row = OutboxRow::new(&operation, row.row, row.drops, row.created);
        work.note(&operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        work.queue(&operation, row);
    }
}

/// What became of one write: the record, and the operation if there is one.
pub(super) type Done = (Option<RecordView>, Option<OpId>);

impl LocalWrite {
    fn place<'p>(&'p self, wanted: &'p Wanted) -> Place<'p> {
        Place { schema: &self.schema, entity: &wanted.entity }
    }

    /// The connection died after the commit and before we were told: the writes stand.
    fn replayed(&self, db: &mut Cache, work: &Work<'_>) -> Run<(WriteBatch, <Self as Decision>::Out)> {
        let mut records = Vec::new();
        for wanted in &self.wanted {
            let id = super::ids::present(db, &wanted.entity, wanted.intent.id())?;
            records.push(work.overlay_by_id(db, &wanted.entity, &id)?.and_then(OverlayRow::into_view));
        }
        let operations = self.wanted.iter().map(|wanted| Some(wanted.operation.clone())).collect();
        Ok((Vec::new(), Ok(Written { records, operations, effects: Effects::default() })))
    }

    fn one(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        sync: &SyncState,
        wanted: &Wanted,
        new: &mut Vec<New>,
    ) -> Run<Result<Done, WriteError>> {
        let place = self.place(wanted);
        match place.action(db, work, &wanted.intent, sync.generation)? {
            Ok((row, Some(action))) => self.act(db, work, sync, &wanted.operation, row, action, new),
            Ok((row, None)) => Ok(Ok((row.into_view(), None))),
            Err(error) => Ok(self.went_along(wanted, new).ok_or(error)),
        }
    }

    /// What another delete of the same transaction has taken along, a delete of its own finds gone as it wants it.
    fn went_along(&self, wanted: &Wanted, new: &[New]) -> Option<Done> {
        let is_own = |id: &OpId| self.wanted.iter().any(|wanted| wanted.operation == *id);
        let Intent::Delete { id } = &wanted.intent else { return None };
        let takes = |operation: &&Operation| {
            operation.action == Action::Delete && operation.entity == wanted.entity && operation.record == *id && !is_own(&operation.id)
        };
        let by = new.iter().map(|new| &new.operation).find(takes)?;
        Some((None, Some(by.id.clone())))
    }

    /// Does something to a record, as it is here, with all that a write is checked for. A delete takes along what is
    /// declared to go with it.
    #[allow(clippy::too_many_arguments, reason = "the record, what is done to it, and all around both")]
    pub(super) fn act(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        sync: &SyncState,
        id: &OpId,
        row: OverlayRow,
        action: Action,
        new: &mut Vec<New>,
    ) -> Run<Result<Done, WriteError>> {
        let mut grouped = self.wanted.len() > 1;
        if action == Action::Delete {
            let place = Place { schema: &self.schema, entity: &row.entity };
            let Following { cleared, gone } = match following(db, work, sync, place, &row.id, &self.ended)? {
                Ok(following) => following,
                Err(error) => return Ok(Err(error)),
            };
            grouped |= !(cleared.is_empty() && gone.is_empty());
            let clear = |(row, data): (OverlayRow, Object)| {
                let before = row.view.clone().unwrap_or_default();
                let delta = self.schema.entity(&row.entity).map(|declared| declared.conflicts.delta(&before, &data));
                (row, Action::Update { delta: delta.unwrap_or_default() })
            };
            let others = cleared.into_iter().map(clear).chain(gone.into_iter().map(|row| (row, Action::Delete)));
            let fresh = Fresh::after(id, self.now);
            for (other, action) in others {
                let id = work.take_id(&fresh);
                if let Err(error) = self.change(db, work, sync, &id, other, action, grouped, new)? {
                    return Ok(Err(error));
                }
            }
        }
        self.change(db, work, sync, id, row, action, grouped, new)
    }

    /// Does something to one record alone.
    #[allow(clippy::too_many_arguments, reason = "the record, what is done to it, and all around both")]
    fn change(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        sync: &SyncState,
        id: &OpId,
        mut row: OverlayRow,
        action: Action,
        grouped: bool,
        new: &mut Vec<New>,
    ) -> Run<Result<Done, WriteError>> {
        let entity = row.entity.clone();
        let place = Place { schema: &self.schema, entity: &entity };
        let before = row.view.clone();
        let written = match place.written(db, work, sync, &mut row, action, (id, &self.user))? {
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
        let may_join = self.coalesce && !takes && (!sees_more || operation.action == Action::Delete);
        if may_join && !self.merge(db, work, &mut row, &operation, &drops, grouped, new)?.is_new() {
            return Ok(Ok((row.into_view(), Some(id))));
        }
        operation.seq = work.take_seq();
        row.ops.push(OpRef { ground, ..OpRef::to(&operation) });
        let stored = OutboxRow::new(&operation, row.key.clone(), drops, self.now);
        new.push(New { operation, row: stored });
        work.put(row.clone());
        Ok(Ok((row.into_view(), Some(id))))
    }

    /// Makes the write part of the record's last operation, if that may be.
    #[allow(clippy::too_many_arguments, reason = "the write, and all around it")]
    fn merge(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        row: &mut OverlayRow,
        operation: &Operation,
        drops: &[(String, crate::model::RecordId)],
        grouped: bool,
        new: &mut [New],
    ) -> Run<Merged> {
        let Some(last) = row.ops.last().cloned() else { return Ok(Merged::Not) };
        let own = new.iter().position(|new| new.operation.id == last.id);
        let target = match own {
            Some(at) => Some((new[at].row.clone(), new[at].operation.clone())),
            // A delete that stands for itself may annul a create that nobody has seen, whatever else goes with it.
            None if grouped && (self.wanted.len() > 1 || operation.action != Action::Delete) => None,
            // What cannot be read stays as it is.
            None => match work.outbox(db, last.seq) {
                Err(Stop::Corrupt(_)) => None,
                known => known?,
            },
        };
        let Some((stored, target)) = target else { return Ok(Merged::Not) };
        if own.is_none() && !merge::is_open(work, &stored, &target) {
            return Ok(Merged::Not);
        }
        if operation.action == Action::Delete {
            return if own.is_none() { self.annul(db, work, row, operation) } else { Ok(Merged::Not) };
        }
        if merge::needs_later(db, work, &self.schema, operation, target.seq)? {
            return Ok(Merged::Not);
        }
        let Some(joined) = merge::join(&target, operation) else { return Ok(Merged::Not) };
        let drops = merge::drops(&self.schema, &stored, drops, row.view.as_ref(), &target.entity);
        let amended = OutboxRow { drops, ..stored.instead(&joined) };
        match own {
            Some(at) => new[at] = New { operation: joined.clone(), row: amended },
            None => {
                work.queue(&joined, amended);
                work.note(&joined, Event::Amended { content: joined.fingerprint() });
            }
        }
        work.note(operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        work.note(operation, Event::Coalesced { by: Some(joined.id.clone()), version: None });
        work.supersede_watch(&operation.id, &joined.id);
        work.put(row.clone());
        Ok(Merged::Joined)
    }

    /// A record that was created here and never claimed goes without a trace at the server.
    fn annul(&self, db: &mut Cache, work: &mut Work<'_>, row: &mut OverlayRow, operation: &Operation) -> Run<Merged> {
        let Some(pending) = merge::annullable(db, work, &self.schema, row)? else { return Ok(Merged::Not) };
        for (stored, old) in &pending {
            work.end(old.seq);
            work.note_all(stored, old, &Event::annulled());
            work.settle(&old.id, Settled::Discarded);
        }
        work.note(operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        work.note(operation, Event::annulled());
        work.settle(&operation.id, Settled::Discarded);
        row.ops.clear();
        work.put(row.clone());
        Ok(Merged::Annulled)
    }
}
