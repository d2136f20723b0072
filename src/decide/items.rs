//! What a user does with operations that wait: sends a parked one again, as it was or changed, or gives one up
//! together with all that depends on it. Both are acts that the audit trail tells; what the server may
//! already have is never given up.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, each, readable};
use super::chain::{Fresh, Instead, Onto, around, conflict_of, operations, reissue, renew_view, with};
use super::damaged::whole_outbox;
use super::effects::{Effects, Settled};
use super::intent::{Place, WriteError, check_size};
use super::meanwhile::{against, meanwhile};
use super::merge::join;
use super::overlay::OverlayRow;
use super::rebase::{ServerClock, after, rebase};
use super::rows::{last_audit, last_audit_of, outbox_rows, seals};
use super::state::SyncState;
use super::valid::refusal;
use super::work::Work;
use crate::audit::Event;
use crate::conflict::{Conflict, filter::DISCARDED};
use crate::model::{Action, Base, OpId, Operation};
use crate::outbox::{Item, Queue, State};
use crate::plan::{Read, Table, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::Schema;
use crate::value::{Change, Delta, Object, Pointer};

/// Why nothing was done. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The operation is not in the outbox.
    #[error("there is no such operation in the outbox")]
    Unknown,
    /// It is not parked: it goes by itself, or waits for something else.
    #[error("this operation is not parked")]
    NotParked,
    /// It may have reached the server: only its answer can end it.
    #[error("this operation may have reached the server already")]
    Sealed,
    /// It is in conflict: resolving the conflict ends it.
    #[error("this operation is in conflict: resolve the conflict")]
    InConflict,
    /// The change is not allowed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Sends a parked operation again: a new one in its place, or the same where the server has no last word on it.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The parked operation.
    pub operation: (u64, OpId),
    /// Other values for top-level fields, and fields to take away.
    pub changes: Option<(Object, Vec<String>)>,
    /// IDs for the operations that will stand in the places of it and its group.
    pub fresh: Fresh,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Retry {
    type Out = Result<Effects, ItemError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let refused = |error: ItemError| Ok((Vec::new(), Err(error)));
        let by_operation = last_audit_of(&self.fresh.first());
        db.prefetch([last_audit(), seals(), SyncState::read(), by_operation.clone(), Read::Get(Table::Outbox, self.operation.0.into())]);
        if !db.rows(&by_operation)?.is_empty() {
            // The connection died after the commit and before we were told: it stands.
            return Ok((Vec::new(), Ok(Effects::default())));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.fresh.now)?;
        work.seals(db)?;
        let Some((stored, old)) = work.outbox(db, self.operation.0)?.filter(|(_, old)| old.id == self.operation.1) else {
            return refused(ItemError::Unknown);
        };
        let State::Parked { unheard, .. } = stored.state else { return refused(ItemError::NotParked) };
        if unheard && self.changes.is_none() {
            send_again(db, &mut work, &old)?;
            let (batch, effects) = work.finish(db)?;
            return Ok((batch, Ok(effects)));
        }
        // What it will need later too, so that it all comes in few rounds: who is missing waits below.
        let _ = around(db, &work, &old);
        let Some(mut row) = work.overlay(db, &old.entity, &stored.row)? else { return refused(ItemError::Unknown) };
        let pending = operations(db, &work, &row);
        let mut by = old.clone();
        if let Some((set, unset)) = &self.changes {
            match self.changed(db, &work, &row, &old, set, unset)? {
                Ok(changed) => by = changed,
                Err(error) => return refused(error),
            }
        }
        if let (Some(_), Ok(pending)) = (&self.changes, &pending) {
            // As this one leaves the record; what follows may put it right or wrong.
            let before = pending.iter().take_while(|(_, other)| other.id != old.id);
            let left = after(with(row.base.clone(), before), &by.action);
            if let Some(error) = refusal(&self.schema, &old.entity, &by.action, left.as_ref()) {
                return refused(error.into());
            }
        }
        let sync = SyncState::look(db)?;
        let waits = {
            let (pending, sealed) = (pending?, work.seals(db)?);
            pending.iter().any(|(other, operation)| other.state == State::Pending && sealed.contains(operation.seq))
        };
        let server = if waits { None } else { row.waiting.take() };
        let has_ground = row.has_ground(old.seq);
        by.base = match (&old.base, row.version) {
            (Base::After(earlier), _) => Base::After(earlier.clone()),
            // Whether the record's later state is in the way is judged: here where that state is told of, or by the server.
            (Base::Version(version), _) if has_ground => Base::Version(*version),
            (_, Some(version)) => Base::Version(version),
            (_, None) => Base::None,
        };
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now };
        let onto = server.as_ref().map_or(Onto::AsItWas { behind: None }, Onto::Unjudged);
        let instead = Instead { old: &old, by, onto, clock };
        reissue(db, &mut work, &mut row, instead, &self.fresh)?;
        work.put(row);
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Ok(effects)))
    }
}

/// An operation and its group as they are: the server may have them from an earlier request, and knows them by their
/// names. Others in their places would be judged on what they did themselves, and want nothing.
fn send_again(db: &mut Cache, work: &mut Work<'_>, old: &Operation) -> Run<()> {
    let (members, rows) = around(db, work, old)?;
    for (stored, member) in members {
        if matches!(stored.state, State::Parked { unheard: true, .. }) {
            work.note(&member, Event::Returned);
            work.queue(&member, stored.with(State::Pending));
        }
    }
    each(rows, |mut row| {
        row.parked = operations(db, work, &row)?.iter().any(|(stored, _)| matches!(stored.state, State::Parked { .. }));
        work.put(row);
        Ok(())
    })
}

impl Retry {
    fn changed(
        &self,
        db: &mut Cache,
        work: &Work<'_>,
        row: &OverlayRow,
        old: &Operation,
        set: &Object,
        unset: &[String],
    ) -> Run<Result<Operation, ItemError>> {
        let place = Place { schema: &self.schema, entity: &old.entity };
        let set = match place.mapped(db, set)? {
            Ok(set) => set,
            Err(error) => return Ok(Err(error.into())),
        };
        let set = set.into_iter().map(|(field, value)| (Pointer::field(&field), Change::Set(value)));
        let delta: Delta = set.chain(unset.iter().map(|field| (Pointer::field(field), Change::Unset))).collect();
        if old.action == Action::Delete {
            return Ok(Err(ItemError::NotParked));
        }
        // What is not named was written when it was.
        let later = Operation { action: Action::Update { delta }, stamp: work.stamp(), schema: self.schema.version, ..old.clone() };
        let Some(by) = join(old, &later) else {
            let reason = "with these values the operation is too large".to_owned();
            return Ok(Err(WriteError::Value { code: "too_large", reason }.into()));
        };
        if let Action::Create { data } = &by.action
            && let Err(error) = check_size(data)
        {
            return Ok(Err(error.into()));
        }
        if let Some(error) = place.check_targets(db, work, &by.action)? {
            return Ok(Err(error.into()));
        }
        let sync = SyncState::look(db)?;
        let shown = after(row.view.clone(), &later.action);
        let refused = place.rival(db, work, &sync, &row.id, row.view.as_ref(), shown.as_ref())?;
        Ok(refused.map_or(Ok(by), |error| Err(error.into())))
    }
}

/// Gives an operation up, and all that depends on it.
#[derive(Clone, Debug)]
pub struct Discard {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The operation.
    pub operation: (u64, OpId),
    /// Whether the trail keeps what is given up: nothing else has it from then on, and nobody has looked at it one by one.
    pub keeps: bool,
    /// Why, where the person said so.
    pub reason: Option<String>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

/// The outbox as a queue, in which what depends on what can be seen.
pub(super) fn whole_queue(db: &mut Cache, schema: &Schema) -> Run<Queue> {
    let mut queue = Queue::default();
    for (row, operation) in whole_outbox(db)? {
        queue.put(row, operation, schema);
    }
    Ok(queue)
}

impl Decision for Discard {
    /// The operations that were given up, and what changed.
    type Out = Result<(Vec<OpId>, Effects), ItemError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let refused = |error: ItemError| Ok((Vec::new(), Err(error)));
        db.prefetch([last_audit(), seals(), SyncState::read(), outbox_rows()]);
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.because(self.reason.as_deref());
        work.keep(self.keeps);
        let sealed = work.seals(db)?.contains(self.operation.0);
        let queue = whole_queue(db, &self.schema)?;
        let Some(root) = queue.get(self.operation.0).filter(|item| item.operation.id == self.operation.1) else {
            return refused(ItemError::Unknown);
        };
        match root.row.state {
            State::Pending if sealed => return refused(ItemError::Sealed),
            State::Acknowledged { .. } => return refused(ItemError::Sealed),
            // Nobody can resolve a conflict that cannot be read.
            State::Conflict { conflict } => {
                if readable::<Conflict>(db, &Read::Get(Table::Conflicts, conflict.into()))?.is_some() {
                    return refused(ItemError::InConflict);
                }
            }
            State::Pending | State::Parked { .. } => {}
        }
        // What depends on a refused operation can never take effect, sealed or not.
        let given_up = if is(Bug::DependentsLeft) { vec![self.operation.0] } else { queue.dependents(self.operation.0) };
        let items: Vec<_> = given_up.iter().filter_map(|seq| queue.get(*seq)).collect();
        let sync = SyncState::look(db)?;
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.now };
        give_up(db, &mut work, &items, &self.user, clock, None)?;
        let ids = items.iter().map(|item| item.operation.id.clone()).collect();
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Ok((ids, effects))))
    }
}

/// Takes operations out of the outbox and off their records. The conflicts in which they are end with them, but for the
/// one that is `decided` already.
pub(super) fn give_up(
    db: &mut Cache,
    work: &mut Work<'_>,
    items: &[&Item],
    user: &str,
    clock: ServerClock,
    decided: Option<u64>,
) -> Run<()> {
    db.prefetch(items.iter().map(|item| OverlayRow::read(&item.operation.entity, &item.row.row)));
    db.prefetch(items.iter().filter_map(|item| conflict_of(&item.row.state)));
    db.settle()?;
    let mut rows: Vec<OverlayRow> = Vec::new();
    for item in items {
        if !rows.iter().any(|row| row.entity == item.operation.entity && row.key == item.row.row) {
            rows.extend(work.overlay(db, &item.operation.entity, &item.row.row)?);
        }
    }
    db.prefetch(rows.iter().flat_map(|row| &row.ops).map(|op| Read::Get(Table::Outbox, op.seq.into())));
    for item in items {
        if let Some(read) = conflict_of(&item.row.state)
            && let Some(mut conflict) = readable::<Conflict>(db, &read)?.filter(|conflict| decided != Some(conflict.id))
        {
            let (stood, met) = (conflict.server.data.clone(), conflict.operation.clone());
            // What was written on it meanwhile goes with it, and is kept with it.
            if let Some(row) = rows.iter().find(|row| row.conflict == Some(conflict.id)) {
                let server = against(row, &conflict);
                meanwhile(db, work, row, &mut conflict, (&server, true))?;
            }
            conflict.resolve(clock.now, user, DISCARDED, None, stood.as_ref(), Some(work.schema()));
            conflict.operation = met;
            work.conflict(&conflict);
        }
        work.end(item.operation.seq);
        work.note_all(&item.row, &item.operation, &Event::Discarded);
        work.settle(&item.operation.id, Settled::Discarded);
    }
    each(rows, |row| without(db, work, row, clock))
}

/// A record without the operations that ended.
fn without(db: &mut Cache, work: &mut Work<'_>, mut row: OverlayRow, clock: ServerClock) -> Run<()> {
    let pending = operations(db, work, &row)?;
    row.ops.retain(|op| pending.iter().any(|(_, operation)| operation.id == op.id));
    row.parked = pending.iter().any(|(stored, _)| matches!(stored.state, State::Parked { .. }));
    row.conflict = row.conflict.filter(|open| pending.iter().any(|(stored, _)| stored.state == State::Conflict { conflict: *open }));
    let held = {
        let sealed = work.seals(db)?;
        pending.iter().any(|(stored, operation)| stored.state != State::Pending || sealed.contains(operation.seq))
    };
    match row.waiting.take() {
        Some(server) if !held => rebase(db, work, &mut row, &server, clock, pending, &[])?,
        waiting => {
            row.waiting = waiting;
            renew_view(db, work, &mut row)?;
        }
    }
    work.put(row);
    Ok(())
}
