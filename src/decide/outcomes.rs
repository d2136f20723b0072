//! The outcomes of an upload: versions, mappings with their cascade, conflicts and parking, all in one
//! strict transaction. An outcome applies only to an operation that still waits for one; whatever else
//! comes back, from a duplicate or from a sender that was replaced, is dropped.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, each};
use super::chain::{Fresh, Instead, Onto, in_conflict, operations, reissue, renew_view, stood_on, with, with_followers};
use super::effects::{Effects, Settled};
use super::grounds::{earlier_than, move_grounds};
use super::overlay::OverlayRow;
use super::rebase::{ServerClock, after, map_temps, rebase, record};
use super::rows::{last_audit, seals};
use super::state::SyncState;
use super::valid::doubt;
use super::work::Work;
use crate::audit::Event;
use crate::conflict::{Ask, Conflict};
use crate::model::{Action, Base, Epoch, OpId, Operation, RecordId, Version};
use crate::outbox::{Failure, OutboxRow, State};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::{ConflictKind, Outcome, ServerState};
use crate::schema::Schema;

/// One operation that was sent, and the server's word on it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its client sequence.
    pub seq: u64,
    /// Its ID.
    pub id: OpId,
    /// The ID under which its record's overlay row is kept.
    pub row: RecordId,
    /// The entity type.
    pub entity: String,
    /// What the server says.
    pub outcome: Outcome,
}

/// The answer to an upload.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// In the order of the batch.
    pub sent: Vec<Sent>,
    /// The server's lineage; nothing for a verdict of our own.
    pub epoch: Option<Epoch>,
    /// Up to here everything is durable at the server.
    pub durable: Version,
    /// Server time minus device time, ms.
    pub offset_ms: i64,
    /// Whether work of another device is in the outbox: only then, or when a receipt comes again, can a second row of
    /// the record be here; otherwise nobody looks for one.
    pub imported: bool,
    /// IDs for operations that may have to be written.
    pub fresh: Fresh,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Outcomes {
    /// Nothing if the answer belongs to another epoch than the stored one.
    type Out = Option<Effects>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch([last_audit(), seals(), SyncState::read()]);
        for sent in &self.sent {
            db.prefetch([Read::Get(Table::Outbox, sent.seq.into()), OverlayRow::read(&sent.entity, &sent.row)]);
        }
        db.settle()?;
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let first_meeting = match (&self.epoch, &sync.epoch) {
            (Some(epoch), Some(stored)) if epoch != stored => return Ok((Vec::new(), None)),
            (Some(_), None) => true,
            _ => false,
        };
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.measured(self.offset_ms);
        work.seals(db)?;
        each(&self.sent, |sent| self.one(db, &mut work, sent))?;
        if first_meeting {
            sync.epoch.clone_from(&self.epoch);
            work.write(Write::Put(Table::State, sync.row()));
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Some(effects)))
    }
}

/// The server's word that an operation is applied.
struct Receipt<'a> {
    real_id: &'a RecordId,
    /// The record's version after it.
    version: Version,
    /// The version that it is lost with, if the server is restored to an earlier one.
    rests_on: Version,
    /// It was given before, perhaps to another device.
    again: bool,
}

impl Outcomes {
    fn clock(&self) -> ServerClock {
        ServerClock { offset_ms: self.offset_ms, now: self.now }
    }

    /// The states that the answer shows of the record of one of its operations.
    fn shown(&self, of: &Sent) -> impl Iterator<Item = &ServerState> {
        self.sent.iter().filter(|sent| sent.row == of.row && sent.entity == of.entity).filter_map(|sent| match sent.outcome.original() {
            Outcome::Conflict { server, .. } => Some(server),
            _ => None,
        })
    }

    fn one(&self, db: &mut Cache, work: &mut Work<'_>, sent: &Sent) -> Run<()> {
        let Some((stored, operation)) = work.outbox(db, sent.seq)? else { return Ok(()) };
        if !is(Bug::OutcomeUnguarded) && (stored.state != State::Pending || operation.id != sent.id) {
            return Ok(());
        }
        let Some(row) = work.overlay(db, &sent.entity, &sent.row)? else { return Ok(()) };
        match sent.outcome.original() {
            Outcome::Applied { real_id, version, rests_on, .. } => {
                let rests_on = rests_on.filter(|_| !is(Bug::RestsOnIgnored)).unwrap_or(*version);
                let again = matches!(sent.outcome, Outcome::Duplicate { .. });
                self.applied(db, work, row, &stored, &operation, Receipt { real_id, version: *version, rests_on, again })
            }
            Outcome::Conflict { conflict_id, kind, real_id, server, done, constraint } => {
                // What follows is judged with this one, so that its own answer finds another in its place.
                let server = self.shown(sent).max_by_key(|state| state.version).unwrap_or(server);
                let row = match real_id {
                    Some(real_id) => work.learn_id(db, row, real_id, server.version)?,
                    None => row,
                };
                if *kind == ConflictKind::Constraint {
                    return self.constrained(db, work, row, &stored, &operation, conflict_id, (server, constraint.as_deref()));
                }
                let left = if *done { without_relative(operation) } else { operation };
                self.conflict(db, work, row, &stored, left, conflict_id, server)
            }
            Outcome::Rejected { .. } if is(Bug::RejectedRetried) => Ok(()),
            Outcome::Rejected { error } => {
                let failure = Failure {
                    code: error.code.clone(),
                    message: error.message.clone(),
                    path: error.path.clone(),
                    faults: error.faults.clone(),
                };
                // Without an answer, there is no lineage either.
                park(work, row, stored, &operation, failure, self.epoch.is_none());
                Ok(())
            }
            Outcome::Blocked { waits_for } => {
                if *waits_for != stored.waits_for {
                    work.note(&operation, Event::Blocked);
                    work.queue(&operation, OutboxRow { waits_for: waits_for.clone(), ..stored });
                }
                Ok(())
            }
            Outcome::Deferred { .. } | Outcome::Duplicate { .. } => Ok(()),
        }
    }

    fn applied(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        mut row: OverlayRow,
        stored: &OutboxRow,
        operation: &Operation,
        Receipt { real_id, version, rests_on, again }: Receipt<'_>,
    ) -> Run<()> {
        let sync = SyncState::look(db)?;
        let through = sync.through_of(&row.entity);
        if row.id != *real_id && row.id.as_temp().is_some() && operation.supersedes.is_some() {
            work.map_conflicts(db, &row.entity, &row.id, real_id)?;
        }
        if self.imported || again {
            row = work.learn_id(db, row, real_id, version)?;
        } else if row.id != *real_id {
            row = work.map_all(db, row, real_id)?;
        }
        // The server applied what it stands on too, even if the word on that is still on its way.
        let pending = operations(db, work, &row)?;
        let earlier = earlier_than(&pending, operation);
        move_grounds(&mut row, &pending, &earlier, stored, operation);
        row.ops.retain(|op| op.seq != operation.seq);
        // The record may stand on a later state already: an imported operation was written on a state that this
        // device need not have, and after a restore of the server old receipts come once more. Then that state
        // counts alone.
        let known = row.version.is_some_and(|known| known > version) || (stored.is_imported() && through >= Some(version));
        if known {
            renew_view(db, work, &mut row)?;
        } else {
            // A page may have told of this very state, or of a newer one below it: what stands here can be another lineage's.
            let told = row.waiting.take_if(|state| !stored.is_imported() && state.version <= version);
            let mut base = match told {
                Some(state) if state.version == version => state.data,
                told => after(with(told.map_or_else(|| row.base.take(), |state| state.data), earlier.iter().copied()), &operation.action),
            };
            map_temps(db, work, &row.entity, &mut base)?;
            row.base = base;
            for op in row.ops.iter_mut().filter(|op| earlier.iter().any(|(_, other)| other.seq == op.seq)) {
                op.based = true;
            }
            if is(Bug::EditsDropped) {
                row.ops.iter().for_each(|op| work.end(op.seq));
                row.ops.clear();
                row.view.clone_from(&row.base);
            }
            // What was written on a state that is not here leaves a version that does not fit this one: another device
            // wrote it, or another device sent the create that is parked here.
            let fits = match (stored.is_imported(), &operation.base) {
                (false, _) => row.version.is_some() || row.base.is_some() || !matches!(operation.action, Action::Update { .. }),
                (true, Base::None) => row.version.is_none(),
                (true, Base::Version(base)) => row.version == Some(*base),
                (true, Base::After(_)) => false,
            };
            if fits && !is(Bug::VersionKept) {
                row.version = Some(version);
            }
        }
        // What waits is news no more. The result of an imported operation can be less than what it left at the server.
        let past =
            |state: &mut ServerState| if stored.is_imported() { Some(state.version) < row.version } else { state.version <= version };
        row.waiting.take_if(past);
        self.settle_waiting(db, work, &mut row)?;
        work.note(operation, Event::Applied { version });
        work.settle(&operation.id, Settled::Applied { version });
        if rests_on <= self.durable || is(Bug::SettledEarly) {
            work.end(operation.seq);
        } else {
            work.queue(operation, stored.clone().with(State::Acknowledged { version: rests_on }));
        }
        work.put(row);
        Ok(())
    }

    /// A newer state of the server waited for the outcome: now the rest can be judged, unless another
    /// sealed operation still waits.
    fn settle_waiting(&self, db: &mut Cache, work: &mut Work<'_>, row: &mut OverlayRow) -> Run<()> {
        if work.has_sealed(db, row)? {
            return Ok(());
        }
        let Some(state) = row.waiting.take() else { return Ok(()) };
        let pending = operations(db, work, row)?;
        rebase(db, work, row, &state, self.clock(), pending, &[])
    }

    /// One decision is asked for at a time: an operation in conflict waits for the one that is asked for already, if any, and
    /// is judged by what that leaves.
    pub(super) fn waits_behind(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        row: &mut OverlayRow,
        stored: &OutboxRow,
        operation: &Operation,
    ) -> Run<bool> {
        let pending = if row.conflict.is_some() { operations(db, work, row)? } else { Vec::new() };
        let Some(first) = in_conflict(&pending) else { return Ok(false) };
        // Carried work has seen nothing of the first: it only waits, and is met by what that leaves.
        let (base, behind) = if stored.is_carried() { (operation.base.clone(), Some(first)) } else { (Base::After(first.clone()), None) };
        let by = Operation { base, ..operation.clone() };
        let instead = Instead { old: operation, by, onto: Onto::AsItWas { behind }, clock: self.clock() };
        reissue(db, work, row, instead, &self.fresh)?;
        Ok(true)
    }

    #[allow(clippy::too_many_arguments, reason = "the operation, its rows and the server's side")]
    fn conflict(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        mut row: OverlayRow,
        stored: &OutboxRow,
        operation: Operation,
        conflict_id: &str,
        server: &ServerState,
    ) -> Run<()> {
        // A newer state counts here if it is known when it was written; else once this is judged.
        let (server, later) = match row.waiting.take().filter(|state| state.version > server.version) {
            Some(state) if state.is_dated() => (state, None),
            later => (server.clone(), later),
        };
        let stands_newer = row.stands_newer(&server);
        let server = row.newest(server);
        if self.waits_behind(db, work, &mut row, stored, &operation)? {
            row.waiting = Some(later.unwrap_or(server));
            work.put(row);
            return Ok(());
        }
        let mut ground = row.ground_of(operation.seq);
        map_temps(db, work, &row.entity, &mut ground)?;
        // Those before it in its transaction did not take effect either.
        let pending = operations(db, work, &row)?;
        let local = after(with(ground.clone(), earlier_than(&pending, &operation)), &operation.action);
        let rules = work.schema().entity(&row.entity).map(|entity| entity.conflicts.clone()).unwrap_or_default();
        let on = stood_on(db, work, &row, &operation, &server)?;
        let late = with_followers(&pending, &operation, &rules);
        let mut verdict = self.clock().judge(&late, ground.as_ref(), on.as_ref(), local.as_ref(), &server, &rules);
        doubt(work.schema(), &row.entity, &mut verdict, on.as_ref(), local.as_ref());
        if stands_newer && !verdict.fields.is_empty() {
            // The record stands on what another operation of here left, and of that nobody here knows when the server counts
            // it. The server does, and meets this one with it.
            row.waiting = later;
            let onto = Onto::AsItWas { behind: None };
            let instead = Instead { old: &operation, by: operation.clone(), onto, clock: self.clock() };
            reissue(db, work, &mut row, instead, &self.fresh)?;
            work.put(row);
            return Ok(());
        }
        let named = |conflict: Conflict| Conflict { conflict_id: conflict_id.to_owned(), ..conflict };
        if verdict.ask != Ask::Nobody {
            let server = later.unwrap_or(server);
            let conflict = named(record(work, &row, &operation, &ground, &local, &server, &verdict, None));
            row.waiting = Some(server);
            ask(work, row, stored, &operation, &conflict);
            return Ok(());
        }
        if !verdict.fields.is_empty() && !is(Bug::LoserDropped) {
            let conflict = named(record(work, &row, &operation, &ground, &local, &server, &verdict, Some("rule")));
            work.found(&conflict);
        }
        // The server's copy of the conflict closes with an operation in any case, if need be an empty one.
        let action = verdict.action.unwrap_or_else(Action::nothing);
        let by = Operation { action, base: Base::Version(server.version), ..operation.clone() };
        let instead = Instead { old: &operation, by, onto: Onto::Judged(&server), clock: self.clock() };
        reissue(db, work, &mut row, instead, &self.fresh)?;
        row.waiting = later;
        self.settle_waiting(db, work, &mut row)?;
        work.put(row);
        Ok(())
    }
}

/// An operation waits from now on for the decision of a person, or of a function of the app.
pub(super) fn ask(work: &mut Work<'_>, mut row: OverlayRow, stored: &OutboxRow, operation: &Operation, conflict: &Conflict) {
    row.conflict = Some(conflict.id);
    work.found(conflict);
    work.queue(operation, stored.clone().with(State::Conflict { conflict: conflict.id }));
    work.note(operation, Event::Conflict { conflict: conflict.id });
    work.settle(&operation.id, Settled::Conflict { conflict: conflict.id });
    work.put(row);
}

/// What is left of an operation whose counts and items the server has already: what says what fields are.
fn without_relative(mut operation: Operation) -> Operation {
    if let Action::Update { delta } = &mut operation.action {
        delta.retain(|_, change| !change.is_relative());
    }
    operation
}

/// An operation that can never be applied as it is waits for a person.
pub(super) fn park(work: &mut Work<'_>, mut row: OverlayRow, stored: OutboxRow, operation: &Operation, failure: Failure, unheard: bool) {
    if is(Bug::RejectedDeleted) {
        row.ops.retain(|op| op.seq != operation.seq);
        row.view.clone_from(&row.base);
        work.note(operation, Event::Parked { code: failure.code.clone() });
        work.end(operation.seq);
        work.put(row);
        return;
    }
    row.parked = true;
    work.note(operation, Event::Parked { code: failure.code.clone() });
    work.settle(&operation.id, Settled::Rejected(failure.clone()));
    work.queue(operation, stored.with(State::Parked { failure, unheard }));
    work.put(row);
}
