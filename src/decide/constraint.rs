//! A conflict over a constraint: another record at the server has the values that an operation of here wanted. It waits for a
//! person, whatever the rules of the entity say, and the record goes on showing the local value.
//!
//! It ends like any other, by an operation in the place of the refused one. Only a record that the server refused to create
//! has nothing there that could stand: it is created anew, or given up as in [`super::items`].

use super::cache::{Cache, Run};
use super::chain::{Instead, Onto, reissue};
use super::intent::{Place, WriteError};
use super::items::{give_up, whole_queue};
use super::meanwhile::{Later, absorb, tell_ended};
use super::outcomes::{Outcomes, ask};
use super::overlay::OverlayRow;
use super::rebase::{ServerClock, after, map_temps, record};
use super::resolve::{Resolution, Resolve, ResolveError};
use super::rows::{BaseRow, IdRow};
use super::state::SyncState;
use super::valid::refusal;
use super::work::Work;
use crate::conflict::{Ask, Conflict, FoundBy, Verdict};
use crate::model::{Action, Base, Operation, RecordId};
use crate::outbox::OutboxRow;
use crate::protocol::{Broken, ConflictKind, ServerState};
use crate::value::Sorted;

impl Outcomes {
    /// The server refused an operation for the sake of another record.
    #[allow(clippy::too_many_arguments, reason = "the operation, its rows and the server's side")]
    pub(super) fn constrained(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        mut row: OverlayRow,
        stored: &OutboxRow,
        operation: &Operation,
        name: &str,
        (server, broken): (&ServerState, Option<&Broken>),
    ) -> Run<()> {
        if self.waits_behind(db, work, &mut row, stored, operation)? {
            work.put(row);
            return Ok(());
        }
        let mut ground = row.ground_of(operation.seq);
        map_temps(db, work, &row.entity, &mut ground)?;
        let local = after(ground.clone(), &operation.action);
        let fields = broken.map(|broken| broken.fields.clone()).unwrap_or_default();
        let verdict = Verdict { fields, ask: Ask::Person, kind: ConflictKind::Constraint, ..Verdict::unopposed(Action::nothing()) };
        let found = record(work, &row, operation, &ground, &local, server, &verdict, None);
        let other = broken.cloned().map(Box::new);
        let conflict = Conflict { conflict_id: name.to_owned(), found_by: FoundBy::Data, other, ..found };
        ask(work, row, stored, operation, &conflict);
        Ok(())
    }
}

impl Resolve {
    /// The refusal of a merge whose fields another record has, as far as that is known here.
    pub(super) fn breaks(&self, db: &mut Cache, work: &Work<'_>, conflict: &Conflict) -> Run<Option<WriteError>> {
        let place = Place { schema: &self.schema, entity: &conflict.entity };
        let declared = place.declared().filter(|declared| !declared.unique.is_empty());
        let (Resolution::Merge(Some(exactly)), Some(declared)) = (&self.resolution, declared) else { return Ok(None) };
        let sync = SyncState::look(db)?;
        // All that is looked at here and later, so that it comes in few rounds: who is missing waits below.
        db.prefetch([IdRow::read(&conflict.entity, &conflict.record)]);
        if let Some(other) = &conflict.other {
            let in_base = BaseRow::read(sync.generation, &conflict.entity, &other.id);
            db.prefetch([OverlayRow::read_by_id(&conflict.entity, &other.id), in_base]);
        }
        let mut merged = Some(exactly.clone());
        map_temps(db, work, &conflict.entity, &mut merged)?;
        let before = conflict.server.data.as_ref();
        let own = super::ids::present(db, &conflict.entity, &conflict.record)?;
        let rival = place.rival(db, work, &sync, &own, before, merged.as_ref())?;
        // One that was not downloaded yet is known by what the server said of it.
        let other = conflict.other.as_ref().filter(|_| rival.is_none());
        let Some((id, there)) = other.and_then(|other| Some((&other.id, other.data.as_ref()?))) else { return Ok(rival) };
        let through = sync.through_of(&conflict.entity);
        let is_past = conflict.other.as_ref().and_then(|other| other.version).is_some_and(|version| through >= Some(version));
        if is_past || place.existing(db, work, id, sync.generation)?.is_some() {
            return Ok(None);
        }
        let theirs = declared.holdings(there);
        let taken = declared.taken(before, merged.as_ref().unwrap_or(exactly));
        let shared = taken.iter().find(|holding| theirs.contains(holding));
        Ok(shared.map(|holding| WriteError::UniqueViolation {
            entity: conflict.entity.clone(),
            fields: declared.unique_fields(&holding.name),
            id: id.clone(),
        }))
    }

    /// Ends the conflict of a record that the server refused to create.
    pub(super) fn unborn(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        mut conflict: Conflict,
        (met, taken): (Operation, Vec<Later>),
    ) -> Run<Result<bool, ResolveError>> {
        let unknown = |id| Ok(Err(ResolveError::Unknown(id)));
        let Some((stored, _)) = work.outbox(db, conflict.operation.seq)? else { return unknown(conflict.id) };
        let data = match (&self.resolution, &conflict.operation.action) {
            (Resolution::ServerWins, _) if !self.gives_up => return Ok(Err(ResolveError::NoReason)),
            (Resolution::ServerWins, _) => return self.never_born(db, work, conflict, met),
            (Resolution::Merge(Some(exactly)), _) => exactly.clone(),
            (_, Action::Create { data }) => data.clone(),
            (_, Action::Update { .. } | Action::Delete) => return unknown(conflict.id),
        };
        let action = Action::Create { data: data.clone() };
        if let Some(error) = refusal(&self.schema, &conflict.entity, &action, Some(&data)) {
            return Ok(Err(error.into()));
        }
        let Some(mut row) = work.overlay(db, &conflict.entity, &stored.row)? else { return unknown(conflict.id) };
        let sync = SyncState::look(db)?;
        let by = Operation { action, base: Base::None, stamp: work.stamp(), stamps: Sorted::new(), ..conflict.operation.clone() };
        row.conflict = None;
        let gone = absorb(db, work, &mut row, &stored, &conflict, taken)?;
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now };
        let instead = Instead { old: &conflict.operation, by, onto: Onto::AsItWas { behind: None }, clock };
        reissue(db, work, &mut row, instead, &self.fresh)?;
        work.put(row);
        let by = work.in_place_of(&conflict.operation.id);
        tell_ended(work, &gone, by.as_ref());
        conflict.resolve(self.fresh.now, &self.user, self.resolution.name(), by, Some(&data), Some(&self.schema));
        conflict.operation = met;
        work.conflict(&conflict);
        Ok(Ok(true))
    }

    /// Whether this very decision gave the record up: the connection died after the commit, and no operation tells of it.
    pub(super) fn gave_up(&self, conflict: &Conflict) -> bool {
        let is_this = conflict.resolved_at == Some(self.fresh.now) && conflict.resolution.as_deref() == Some(self.resolution.name());
        is_this && conflict.is_of_new() && self.resolution == Resolution::ServerWins
    }

    /// Gives the record up, with the transaction that it is part of. Refused while anything else that is unsent needs it.
    fn never_born(&self, db: &mut Cache, work: &mut Work<'_>, mut conflict: Conflict, met: Operation) -> Run<Result<bool, ResolveError>> {
        let queue = whole_queue(db, &self.schema)?;
        let own = &conflict.operation;
        let given_up = queue.dependents(own.seq);
        let items: Vec<_> = given_up.iter().filter_map(|seq| queue.get(*seq)).collect();
        let goes = |other: &Operation| {
            let together = own.group.as_ref().is_some_and(|group| other.group.as_ref().is_some_and(|other| other.id == group.id));
            together || other.entity == own.entity && other.record == own.record
        };
        let others = items.iter().filter(|item| !goes(&item.operation));
        let dependents: Vec<(String, RecordId)> =
            others.map(|item| (item.operation.entity.clone(), item.operation.record.clone())).collect();
        if !dependents.is_empty() {
            let (entity, id) = (conflict.entity.clone(), conflict.record.clone());
            return Ok(Err(WriteError::HasDependents { entity, id, dependents }.into()));
        }
        let sync = SyncState::look(db)?;
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now };
        give_up(db, work, &items, &self.user, clock, Some(conflict.id))?;
        conflict.resolve(self.fresh.now, &self.user, self.resolution.name(), None, None, Some(&self.schema));
        conflict.operation = met;
        work.conflict(&conflict);
        Ok(Ok(true))
    }
}
