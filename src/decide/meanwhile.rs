//! What is written on a record while its conflict is open. What of it is about the same as the conflict is a part of that: the
//! conflict shows it, and whoever decides on the conflict decides on it too. The rest goes up as it is, whatever is decided.
//!
//! Nothing of this is stored before the decision. What was written meanwhile waits in the outbox, unsent, behind the operation
//! in conflict, and can be given up there like anything else that is unsent. It is put into the conflict each time that this is
//! read, and when it is decided.

use super::cache::{Cache, Run, Stop, each, readable};
use super::chain::{Queued, whole_operations};
use super::merge::{self, is_open, join};
use super::overlay::OverlayRow;
use super::rebase::{ServerClock, after, map_temps};
use super::rows::{last_audit, seals};
use super::work::Work;
use crate::audit::Event;
use crate::conflict::{Conflict, ConflictState, WHOLE};
use crate::model::{Action, Base, OpId, Operation, Version};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Table};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::schema::{ConflictRules, Schema};
use crate::value::{Change, Delta, Object, Pointer, Sorted};

/// An operation that was written meanwhile.
pub(super) struct Later {
    stored: OutboxRow,
    operation: Operation,
    /// What of it is no part of the conflict, and stays in the outbox.
    rest: Delta,
}

/// A conflict with what was written meanwhile.
pub(super) struct Meanwhile {
    /// The operations of which something is a part of it.
    pub(super) taken: Vec<Later>,
    /// The local side with all of these and of the others that may still be changed, a part of it or not: what people see.
    pub(super) shown: Option<Object>,
}

/// What is disputed: these places, the fields that come from one side with them (`groups`), and all that lies within or around
/// either; or, where it is about the whole record, everything.
struct Disputed<'d> {
    places: Vec<Pointer>,
    whole: bool,
    rules: &'d ConflictRules,
}

impl Disputed<'_> {
    /// Whatever overlaps with what is disputed is disputed, and what overlaps with that.
    fn spread(&mut self, followers: &[Queued]) {
        loop {
            let changes = followers.iter().filter_map(|(_, operation)| match &operation.action {
                Action::Update { delta } => Some(delta.changes()),
                Action::Create { .. } | Action::Delete => None,
            });
            let is_wider = |place: &&Pointer| self.holds(place) && !self.places.iter().any(|known| place.is_within(known));
            let Some(wider) = changes.flatten().map(|(place, _)| place).find(is_wider).cloned() else { return };
            self.places.push(wider);
        }
    }
    fn holds(&self, changed: &Pointer) -> bool {
        let top = |place: &Pointer| place.keys().next().map(|field| field.into_owned());
        let together = |place: &Pointer| {
            let fields = [top(place), top(changed)];
            self.rules.groups.iter().any(|group| fields.iter().flatten().all(|field| group.contains(field)))
        };
        self.whole || self.places.iter().any(|place| place.is_within(changed) || changed.is_within(place) || together(place))
    }
}

/// What follows an operation on its record and may still be changed.
fn followers(db: &mut Cache, work: &Work<'_>, row: &OverlayRow, own: &Operation) -> Run<Vec<Queued>> {
    let behind = row.ops.iter().position(|op| op.id == own.id);
    if behind.is_none_or(|at| at + 1 == row.ops.len()) {
        return Ok(Vec::new());
    }
    let pending = whole_operations(db, work, row)?;
    let mut later: Vec<Queued> = pending.into_iter().skip_while(|(_, operation)| operation.id != own.id).skip(1).collect();
    // What is parked behind it waits for a decision of its own, on what it was written on.
    let all_wait = later.iter().all(|(stored, _)| stored.state == State::Pending);
    let is_free = |(stored, operation): &Queued| {
        is_open(work, stored, operation) && !stored.is_carried() && operation.supersedes.is_none() && stored.replaces.is_empty()
    };
    let free = later.iter().take_while(|queued| all_wait && is_free(queued)).count();
    later.truncate(free);
    Ok(later)
}

/// Both as one, under the name of the earlier; nothing if that cannot be. What is done to a count or a list, whatever it is by
/// then, stays apart, for it stands beside what others do; but not where the decision is on the `whole` record.
fn joined(own: &Operation, later: &Operation, whole: bool) -> Option<Operation> {
    match &later.action {
        // A record that the server never had is given up, not deleted.
        Action::Delete => (own.base != Base::None).then(|| {
            let stamps = Sorted::new();
            Operation { action: Action::Delete, stamp: later.stamp, stamps, schema: later.schema, ..own.clone() }
        }),
        Action::Update { delta } if whole || !delta.is_relative() => {
            // `join` keeps counts apart from what stands in another's place, because that may turn out to be done already. This
            // here is only decided on, and never sent: what is sent is made of the decision.
            let own = Operation { supersedes: None, ..own.clone() };
            join(&own, later)
        }
        Action::Create { .. } | Action::Update { .. } => None,
    }
}

/// Puts into a conflict what was written on its record meanwhile, against this state of the server. Its operation is then all
/// that is decided on; that is not to be stored. Where somebody says what the record is `exactly`, all that waits is decided on.
/// The seals were read before.
pub(super) fn meanwhile(
    db: &mut Cache,
    work: &Work<'_>,
    row: &OverlayRow,
    conflict: &mut Conflict,
    (server, exactly): (&ServerState, bool),
) -> Run<Meanwhile> {
    let followers = followers(db, work, row, &conflict.operation)?;
    let Some(declared) = work.schema().entity(&conflict.entity).filter(|_| !followers.is_empty()) else {
        return Ok(Meanwhile { taken: Vec::new(), shown: conflict.local.clone() });
    };
    let (mut all, mut local) = (conflict.operation.clone(), conflict.local.clone());
    for (_, operation) in &followers {
        local = after(local, &operation.action);
        let mut part = operation.clone();
        if let Action::Update { delta } = &mut part.action {
            delta.retain(|_, change| !change.is_relative());
        }
        all = joined(&all, &part, false).unwrap_or(all);
    }
    map_temps(db, work, &conflict.entity, &mut local)?;
    let mut disputed = Disputed { places: conflict.places.clone(), whole: false, rules: &declared.conflicts };
    // Those of a constraint, and those of which what the rules made of both sides may not be, are known by name only.
    let by_name = conflict.places.is_empty();
    if by_name {
        disputed.places.extend(conflict.fields.iter().filter_map(|field| field.split('.').next()).map(Pointer::field));
    }
    if !conflict.is_of_new() {
        // Only what both sides changed is asked, and that is the same by every clock.
        let clock = ServerClock { offset_ms: 0, now: 0 };
        let verdict = clock.judge(&all, conflict.base.as_ref(), server.data.as_ref(), local.as_ref(), server, disputed.rules);
        disputed.places.extend(verdict.places.iter().filter(|place| !conflict.places.contains(place)).cloned());
        let known = conflict.fields.len();
        if by_name {
            conflict.fields.extend(verdict.fields.into_iter().filter(|field| !conflict.fields.contains(field)).collect::<Vec<_>>());
            if conflict.fields.len() > known {
                conflict.places.clone_from(&disputed.places);
            }
        } else if disputed.places.len() > conflict.places.len() || verdict.fields.iter().any(|field| field == WHOLE) {
            conflict.fields = verdict.fields;
            conflict.places = verdict.places;
        }
    }
    disputed.whole = conflict.fields.iter().any(|field| field == WHOLE) || all.action == Action::Delete || exactly;
    disputed.spread(&followers);
    let mut taken = Vec::new();
    for (stored, operation) in followers {
        let (mut part, mut rest) = (operation.clone(), Delta::default());
        if let Action::Update { delta } = &mut part.action {
            rest.clone_from(delta);
            let is_part = |place: &Pointer, change: &Change| disputed.holds(place) && (disputed.whole || !change.is_relative());
            rest.retain(|place, change| !is_part(place, change));
            delta.retain(is_part);
            if delta.is_empty() {
                continue;
            }
        }
        // What cannot be told with it, and all behind that, is met by the server after the decision.
        let Some(both) = joined(&conflict.operation, &part, disputed.whole) else { break };
        conflict.operation = both;
        if !is(Bug::MeanwhileForgotten) {
            conflict.local = after(conflict.local.take(), &part.action);
        }
        taken.push(Later { stored, operation, rest });
    }
    map_temps(db, work, &conflict.entity, &mut conflict.local)?;
    Ok(Meanwhile { taken, shown: local })
}

/// The state of the server that a conflict is decided against. A newer one may wait; and another operation of ours may have been
/// applied since: what it left is the server's state now. But a state of a lineage that was lost stands: nobody knows what of the
/// new one is older, and it is what was decided on.
pub(super) fn against(row: &OverlayRow, conflict: &Conflict) -> ServerState {
    let waiting = row.waiting.clone().filter(|state| state.version >= conflict.server.version);
    let server = waiting.unwrap_or_else(|| conflict.server.clone());
    if server.version == Version::LOST { server } else { row.newest(server) }
}

/// Shows open conflicts of this device with what was written meanwhile.
pub(super) fn shown_with(db: &mut Cache, schema: &Schema, found: &mut [Conflict]) -> Run<()> {
    let is_own = |conflict: &&mut Conflict| conflict.met_at_offset_ms.is_none() && conflict.state == ConflictState::Open;
    let over = |conflict: &Conflict| OverlayRow::read_by_id(&conflict.entity, &conflict.record);
    let mut open: Vec<(&mut Conflict, OverlayRow)> = Vec::new();
    db.prefetch(found.iter_mut().filter(is_own).map(|conflict| over(conflict)));
    for conflict in found.iter_mut().filter(is_own) {
        // Where that cannot be read, the conflict is shown as it was found.
        let row: Option<OverlayRow> = readable(db, &over(conflict))?;
        let is_followed = |row: &OverlayRow| row.ops.last().is_some_and(|last| last.id != conflict.operation.id);
        if let Some(row) = row.filter(is_followed) {
            db.prefetch(row.ops.iter().map(|op| Read::Get(Table::Outbox, op.seq.into())));
            open.push((conflict, row));
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    db.prefetch([last_audit(), seals()]);
    let mut work = Work::anew(db, schema, "", 0)?;
    match work.seals(db) {
        // Nobody knows then what is free.
        Err(Stop::Corrupt(_)) => return Ok(()),
        known => known.map(drop)?,
    }
    each(open, |(conflict, row)| {
        let (server, met) = (against(&row, conflict), conflict.operation.clone());
        conflict.local = meanwhile(db, &work, &row, conflict, (&server, false))?.shown;
        conflict.operation = met;
        Ok(())
    })
}

/// Takes what is a part of a conflict out of the outbox, right before the conflict's operation is issued anew: an operation that
/// is wholly a part of it ends, of another one the rest stays. Gives those that ended.
pub(super) fn absorb(
    db: &mut Cache,
    work: &mut Work<'_>,
    row: &mut OverlayRow,
    own: &OutboxRow,
    conflict: &Conflict,
    taken: Vec<Later>,
) -> Run<Vec<Queued>> {
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let schema = work.schema();
    let mut drops = own.drops.clone();
    let mut gone = Vec::new();
    for Later { stored, operation, rest } in taken {
        drops = merge::drops(schema, &OutboxRow { drops, ..own.clone() }, &stored.drops, row.view.as_ref(), &conflict.entity);
        if rest.is_empty() {
            row.ops.retain(|op| op.id != operation.id);
            work.end(operation.seq);
            gone.push((stored, operation));
            continue;
        }
        let mut left = Operation { action: Action::Update { delta: rest }, ..operation };
        left.stamps.retain(|field, _| matches!(&left.action, Action::Update { delta } if delta.touching(&Pointer::field(field)).is_some()));
        work.note(&left, Event::Amended { content: left.fingerprint() });
        work.queue(&left, stored.instead(&left));
    }
    work.queue(&conflict.operation, OutboxRow { drops, ..own.instead(&conflict.operation) });
    // What followed one that ended follows what that one followed.
    for (stored, mut operation) in whole_operations(db, work, row)? {
        let mut leads = operation.base.clone();
        while let Some((_, past)) = gone.iter().find(|(_, past): &&Queued| leads.follows() == Some(&past.id)) {
            leads = past.base.clone();
        }
        if operation.base != leads {
            operation.base = leads;
            work.queue(&operation, stored.instead(&operation));
        }
    }
    work.reindex(row.clone());
    Ok(gone)
}

/// Tells what became of those that ended: they are in what stands in the place of the operation in conflict.
pub(super) fn tell_ended(work: &mut Work<'_>, gone: &[Queued], by: Option<&OpId>) {
    for (stored, operation) in gone {
        work.note_all(stored, operation, &Event::Coalesced { by: by.cloned(), version: None });
        if let Some(by) = by {
            work.supersede_watch(&operation.id, by);
        }
    }
}
