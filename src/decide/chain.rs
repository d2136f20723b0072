//! A record's unfinished operations, the groups that they belong to, and new operations in the place of old
//! ones. An operation that ended in conflict or was parked is never changed: another one supersedes it, and
//! if it is a member of a group, the whole group is issued anew, because none of it took effect; and so is what follows
//! it on the same record and was sent, because that was written on a state that is no more.

use super::cache::{Cache, Run, Stop, readable};
use super::damaged::{queued, stand_in};
use super::overlay::{OpRef, OverlayRow};
use super::rebase::{ServerClock, after, map_temps, rebase};
use super::work::Work;
use crate::conflict::Conflict;
use crate::model::{Action, Base, Group, IdSource, OpId, Operation};
use crate::outbox::{OutboxRow, Seals, State};
use crate::plan::{Read, Table};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::protocol::limits::OPERATIONS_MAX;
use crate::schema::ConflictRules;
use crate::value::{KeyRange, Object, Pointer, hash_bytes};

/// Where a decision takes the IDs of operations that it has to write.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Now, ms by the device.
    pub now: u64,
    /// Random bytes for this decision alone.
    pub random: [u8; IdSource::ENTROPY_BYTES],
}

impl Fresh {
    /// Of a decision that has an operation to write, and may have to write more: their IDs follow from its own.
    pub(super) fn after(operation: &OpId, now: u64) -> Self {
        let mut random = [0; IdSource::ENTROPY_BYTES];
        let hash = hash_bytes(operation.as_str().as_bytes());
        let digits = hash.as_str().bytes().map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        digits.flatten().enumerate().take(2 * random.len()).for_each(|(at, digit)| random[at / 2] = random[at / 2] << 4 | digit);
        Self { now, random }
    }
    /// The first ID that the decision takes, whenever it is run again.
    pub(super) fn first(&self) -> OpId {
        self.next(&mut IdSource::default())
    }
    /// The next one, from the one source of the decision.
    pub(super) fn next(&self, source: &mut IdSource) -> OpId {
        source.op_id(self.now, self.random)
    }
}

/// The stored rows of a record's operations, with the changes made so far.
pub(super) fn whole_operations(db: &mut Cache, work: &Work<'_>, row: &OverlayRow) -> Run<Vec<Queued>> {
    db.prefetch(row.ops.iter().map(|op| Read::Get(Table::Outbox, op.seq.into())));
    let mut found = Vec::new();
    for op in &row.ops {
        found.extend(match work.outbox(db, op.seq) {
            Err(Stop::Corrupt(_)) => Some(stand_in(row, op)),
            known => known?,
        });
    }
    Ok(found)
}

/// The same as far as they are to be done over the base: one that it holds already does nothing more.
pub(super) fn operations(db: &mut Cache, work: &Work<'_>, row: &OverlayRow) -> Run<Vec<Queued>> {
    let mut found = whole_operations(db, work, row)?;
    for (_, operation) in &mut found {
        if row.has_based(operation.seq) {
            operation.action = Action::nothing();
        }
    }
    Ok(found)
}

/// The one among a record's operations that waits for a person's decision.
pub(super) fn in_conflict(operations: &[Queued]) -> Option<&OpId> {
    operations.iter().find(|(stored, _)| matches!(stored.state, State::Conflict { .. })).map(|(_, operation)| &operation.id)
}

/// A state with operations on top of it.
pub(super) fn with<'q>(state: Option<Object>, operations: impl IntoIterator<Item = &'q Queued>) -> Option<Object> {
    operations.into_iter().fold(state, |state, (_, operation)| after(state, &operation.action))
}

/// Puts a record's operations on top of its base anew.
pub(super) fn renew_view(db: &mut Cache, work: &Work<'_>, row: &mut OverlayRow) -> Run<()> {
    row.view = with(row.base.clone(), &operations(db, work, row)?);
    map_temps(db, work, &row.entity, &mut row.view)
}

/// What an operation will stand on: the server's state, with what the record's operations before it will do to it.
pub(super) fn stood_on(
    db: &mut Cache,
    work: &Work<'_>,
    row: &OverlayRow,
    operation: &Operation,
    server: &ServerState,
) -> Run<Option<Object>> {
    let pending = operations(db, work, row)?;
    let before = pending.iter().take_while(|(_, other)| other.id != operation.id);
    Ok(with(server.data.clone(), before))
}

/// An operation as late, where it writes fields that come from one side, as the last write of them that follows it: all of
/// them stand together, or none.
pub(super) fn with_followers(pending: &[Queued], operation: &Operation, rules: &ConflictRules) -> Operation {
    let mut late = operation.clone();
    let later = pending.iter().skip_while(|(_, other)| other.id != operation.id).skip(1);
    for (_, other) in later.filter(|(stored, _)| stored.state == State::Pending && !stored.is_carried()) {
        for group in &rules.groups {
            let written = |by: &Operation| -> Vec<String> {
                let Action::Update { delta } = &by.action else { return Vec::new() };
                group.iter().filter(|field| delta.touching(&Pointer::field(field)).is_some()).cloned().collect()
            };
            let stamp = |by: &Operation, field: &String| by.stamps.get(field).copied().unwrap_or(by.stamp);
            let Some(last) = written(other).iter().map(|field| stamp(other, field)).max() else { continue };
            for field in written(operation) {
                let latest = stamp(&late, &field).max(last);
                late.stamps.insert(field, latest);
            }
        }
    }
    late
}

/// The members of an operation's group, itself among them, in their order.
pub(super) fn members(db: &mut Cache, work: &Work<'_>, operation: &Operation) -> Run<Vec<Queued>> {
    let Some(group) = &operation.group else { return Ok(work.outbox(db, operation.seq)?.into_iter().collect()) };
    // They were written in one transaction: their sequences stand next to each other.
    let reach = u64::try_from(group.of).unwrap_or(u64::MAX);
    let (first, last) = (operation.seq.saturating_sub(reach), operation.seq.saturating_add(reach));
    let near = Read::range(Table::Outbox, KeyRange { lower: Some((first.into(), false)), upper: Some((last.into(), false)) });
    let mut seqs: Vec<u64> = Vec::new();
    for (_, other) in queued(db, &near)? {
        if other.group.as_ref().is_some_and(|other| other.id == group.id) {
            seqs.push(other.seq);
        }
    }
    db.prefetch(seqs.iter().map(|seq| Read::Get(Table::Outbox, (*seq).into())));
    let mut found = Vec::new();
    for seq in seqs {
        found.extend(work.outbox(db, seq)?);
    }
    Ok(found)
}

/// What an operation shall become.
pub(super) struct Instead<'i> {
    /// The operation that ended.
    pub(super) old: &'i Operation,
    /// What stands in its place: without ID, sequence and group, which are given here.
    pub(super) by: Operation,
    /// What its record, with all that is pending on it, stands on then.
    pub(super) onto: Onto<'i>,
    /// The server's clock.
    pub(super) clock: ServerClock,
}

/// What a record stands on, once one of its operations is issued anew.
#[derive(Clone, Copy)]
pub(super) enum Onto<'i> {
    /// What it stood on: the server meets the new operation, after the decision on the one that it is `behind`, if any.
    AsItWas { behind: Option<&'i OpId> },
    /// This state of the server, by which the new operation was judged.
    Judged(&'i ServerState),
    /// This state of the server, by which all that is pending is judged now.
    Unjudged(&'i ServerState),
}

/// An outbox row and the operation in it.
pub(super) type Queued = (OutboxRow, Operation);

/// Reads the conflict in which an operation is.
pub(super) fn conflict_of(state: &State) -> Option<Read> {
    match state {
        State::Conflict { conflict } => Some(Read::Get(Table::Conflicts, (*conflict).into())),
        State::Pending | State::Acknowledged { .. } | State::Parked { .. } => None,
    }
}

/// What [`reissue`] reads of an operation's group, all together: the members, and the overlay rows of their records.
pub(super) fn around(db: &mut Cache, work: &Work<'_>, old: &Operation) -> Run<(Vec<Queued>, Vec<OverlayRow>)> {
    let members = members(db, work, old)?;
    db.prefetch(members.iter().map(|(stored, member)| OverlayRow::read(&member.entity, &stored.row)));
    db.prefetch(members.iter().filter_map(|(stored, _)| conflict_of(&stored.state)));
    let mut others: Vec<OverlayRow> = Vec::new();
    for (stored, member) in &members {
        if !others.iter().any(|other| other.key == stored.row && other.entity == member.entity) {
            others.extend(work.overlay(db, &member.entity, &stored.row)?);
        }
    }
    db.prefetch(others.iter().flat_map(|other| &other.ops).map(|op| Read::Get(Table::Outbox, op.seq.into())));
    Ok((members, others))
}

/// What stands in the place of an operation now.
fn replaced<'n>(new: &'n [(&Operation, Operation)], operation: &OpId) -> Option<&'n Operation> {
    new.iter().find(|(other, _)| other.id == *operation).map(|(_, by)| by)
}

/// What was written on an operation is written on what stands in the place of that one.
fn replaced_base(new: &[(&Operation, Operation)], base: &Base) -> Option<Base> {
    replaced(new, base.follows()?).map(|by| Base::After(by.id.clone()))
}

/// Lets what follows on the records of a group be a member of it where the group is issued anew, if it takes references away
/// and nothing of it was sent: behind the group it could wait for that while that waits for it, because a record goes only
/// after what refers to it. With it comes what was written together with it. Gives the IDs of the new members.
fn joining(
    db: &mut Cache,
    work: &Work<'_>,
    old: &Operation,
    sealed: &Seals,
    members: &mut Vec<Queued>,
    rows: &mut Vec<OverlayRow>,
) -> Run<Vec<OpId>> {
    let is_open = |(stored, other): &Queued| stored.state == State::Pending && !stored.is_imported() && !sealed.contains(other.seq);
    let (mut more, mut around_more): (Vec<Queued>, Vec<OverlayRow>) = Default::default();
    for row in rows.iter() {
        let pending = whole_operations(db, work, row)?;
        let is_member = |(_, operation): &Queued| members.iter().any(|(_, member)| member.id == operation.id);
        let after = pending.iter().rposition(is_member).map_or(0, |at| at + 1);
        if pending[after..].iter().all(|(stored, _)| stored.drops.is_empty()) {
            continue;
        }
        for (_, operation) in &pending[after..] {
            let (found, others) = around(db, work, operation)?;
            more.extend(found);
            around_more.extend(others);
        }
    }
    more.sort_by_key(|(_, operation)| operation.seq);
    more.dedup_by_key(|(_, operation)| operation.seq);
    if !more.iter().all(is_open) || members.len() + more.len() > OPERATIONS_MAX {
        return Ok(Vec::new());
    }
    let joined = more.iter().map(|(_, operation)| operation.id.clone()).collect();
    // Before what may wait for it, and behind what it follows.
    let is_followed = |(stored, member): &Queued| {
        member.id != old.id && more.iter().any(|(other, operation)| other.row == stored.row && operation.entity == member.entity)
    };
    let last = members.iter().rposition(is_followed).map_or(0, |at| at + 1);
    let own = members.iter().position(|(_, member)| member.id == old.id && member.action == Action::Delete);
    let at = own.map_or(members.len(), |own| own.max(last));
    members.splice(at..at, more);
    for other in around_more {
        if !rows.iter().any(|row| row.is(&other)) {
            rows.push(other);
        }
    }
    Ok(joined)
}

/// Puts a new operation in the place of one that ended, and new ones in the places of the rest of its group and
/// of what was sent behind it.
pub(super) fn reissue(db: &mut Cache, work: &mut Work<'_>, row: &mut OverlayRow, instead: Instead<'_>, fresh: &Fresh) -> Run<()> {
    let Instead { old, by, onto, clock } = instead;
    let sealed = work.seals(db)?.clone();
    let (mut members, mut others) = around(db, work, old)?;
    let joined = if old.group.is_some() { joining(db, work, old, &sealed, &mut members, &mut others)? } else { Vec::new() };
    // Whole, whether the base holds them or not: what stands in their places must do all that they were to do.
    let pending = whole_operations(db, work, row)?;
    let mut followed: Vec<OpId> = Vec::new();
    for other in others.iter().filter(|other| !other.is(row)).chain([&*row]) {
        for (_, operation) in operations(db, work, other)?.into_iter().filter(|(_, operation)| !joined.contains(&operation.id)) {
            followed.extend(operation.base.follows().cloned());
        }
    }
    let issued: Vec<(OpId, u64)> = members.iter().map(|_| (work.take_id(fresh), work.take_seq())).collect();
    let group =
        issued.first().filter(|_| old.group.is_some() && !is(Bug::GroupBroken)).map(|(id, _)| Group { id: id.clone(), of: members.len() });
    let mut new: Vec<(&Operation, Operation)> = Vec::new();
    for ((stored, member), (id, seq)) in members.iter().zip(issued) {
        let mut like = if member.id == old.id { by.clone() } else { member.clone() };
        // Two writes of one record in a group: the later one follows, whatever it is decided on.
        let before = members.iter().take_while(|(_, other)| other.id != member.id);
        if let Some((_, earlier)) = before.filter(|(other, earlier)| other.row == stored.row && earlier.entity == member.entity).last() {
            like.base = Base::After(earlier.id.clone());
        }
        if let Some(base) = replaced_base(&new, &like.base) {
            like.base = base;
        }
        // What was decided on is known: if it stays, it stands in the way of what it would have followed.
        if let Onto::Judged(server) | Onto::Unjudged(server) = onto {
            like.seen = like.seen.map(|seen| seen.max(server.version));
        }
        // The server remembers an operation by its receipt: behind one that has none, and that nothing follows, it
        // must find the one before.
        let told = sealed.contains(member.seq) && (member.id == old.id || stored.state != State::Pending) || followed.contains(&member.id);
        let known = member.supersedes.as_ref().filter(|_| !told).unwrap_or(&member.id);
        let by = Operation { id, seq, group: group.clone(), ..like }.in_place_of(member, known.clone());
        if member.id == old.id {
            let behind = if let Onto::AsItWas { behind } = onto { behind.cloned() } else { None };
            work.supersede(&OutboxRow { behind, ..stored.clone() }, member, &by, State::Pending);
        } else {
            // What waits for a decision of its own goes on waiting under its new name.
            work.supersede(stored, member, &by, stored.state.clone());
            if let Some(read) = conflict_of(&stored.state)
                && let Some(mut conflict) = readable::<Conflict>(db, &read)?
            {
                conflict.operation = by.clone();
                work.conflict(&conflict);
            }
        }
        new.push((member, by));
    }
    // What follows on the same record and went out was written on a state that is no more: it stands anew as well,
    // and is judged like the first. A member of another group does not: the server finds it in conflict by itself.
    let later = pending.iter().skip_while(|(_, operation)| operation.id != old.id).skip(1);
    for (stored, operation) in later {
        let sent = stored.state == State::Pending && sealed.contains(operation.seq) && operation.group.is_none();
        if !sent || is(Bug::FollowersUnjudged) {
            continue;
        }
        let Some(base) = replaced_base(&new, &operation.base) else { continue };
        let (id, seq) = (work.take_id(fresh), work.take_seq());
        let by = Operation { id, seq, base, ..operation.clone() }.in_place_of(operation, operation.id.clone());
        work.supersede(stored, operation, &by, State::Pending);
        new.push((operation, by));
    }
    let reference = |op: OpRef| match replaced(&new, &op.id) {
        Some(by) => OpRef { ground: op.ground, ..OpRef::to(by) },
        None => op,
    };
    for mut other in others.into_iter().filter(|other| !other.is(row)) {
        other.ops = other.ops.into_iter().map(reference).collect();
        work.put(other);
    }
    row.ops = std::mem::take(&mut row.ops).into_iter().map(reference).collect();
    let (mut kept, mut chain, mut parked) = (Vec::new(), Vec::new(), false);
    for (stored, operation) in &pending {
        match replaced(&new, &operation.id) {
            Some(by) => {
                if matches!(onto, Onto::Judged(_)) && operation.id == old.id || operation.group.is_some() && is(Bug::MembersUnjudged) {
                    kept.push((by.seq, &operation.action));
                }
                chain.extend(work.outbox(db, by.seq)?);
            }
            None => {
                parked |= matches!(stored.state, State::Parked { .. });
                if sealed.contains(operation.seq) {
                    kept.push((operation.seq, &operation.action));
                }
                let action = if row.has_based(operation.seq) { Action::nothing() } else { operation.action.clone() };
                chain.push((stored.clone(), Operation { action, ..operation.clone() }));
            }
        }
    }
    row.parked = parked;
    match onto {
        Onto::AsItWas { .. } => renew_view(db, work, row),
        Onto::Unjudged(server) => rebase(db, work, row, server, clock, chain, &kept),
        Onto::Judged(server) => {
            let is_by = |op: &OpRef| replaced(&new, &old.id).is_some_and(|by| by.id == op.id);
            let has_ground = row.ops.iter().any(|op| is_by(op) && op.ground.is_some());
            rebase(db, work, row, server, clock, chain, &kept)?;
            for op in row.ops.iter_mut().filter(|op| is_by(op)) {
                op.ground = has_ground.then(|| server.data.clone().unwrap_or_default());
            }
            Ok(())
        }
    }
}
