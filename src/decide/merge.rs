//! Coalescing: a write becomes part of the record's last operation, if that was never claimed and the result
//! means the same. The server then sees one operation; the audit trail keeps both.

use super::cache::{Cache, Run};
use super::chain::{Queued, operations};
use super::damaged::queued;
use super::overlay::OverlayRow;
use super::work::Work;
use crate::model::{Action, Operation, RecordId};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Table};
use crate::planted::{Bug, is};
use crate::protocol::limits::OPERATION_BYTES_MAX;
use crate::schema::{Schema, references, references_set};
use crate::value::{Delta, KeyRange, Object, Sorted};

/// So many operations are looked through for one that names a record which shall go without a trace.
const OTHERS_MAX: u32 = 300;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It is an operation of its own.
    Not,
    /// It is part of an earlier one.
    Joined,
    /// It and the earlier ones have annulled each other.
    Annulled,
}

impl Merged {
    /// Whether the write is an operation of its own.
    pub(super) fn is_new(self) -> bool {
        self == Self::Not
    }
}

/// Whether an operation of the outbox may still be changed.
pub(super) fn is_open(work: &Work<'_>, stored: &OutboxRow, operation: &Operation) -> bool {
    // Not `is_carried`: what stands in the place of carried work was made here, and whoever else has the work has not that.
    let sealed = stored.is_imported() || work.known_seals().is_none_or(|seals| seals.contains(operation.seq));
    let sealed = sealed && !is(Bug::MergedIntoSealed);
    stored.state == State::Pending && !sealed && operation.group.is_none()
}

/// Whether the write refers to a record whose create comes after the operation `seq`, or is not there: as part
/// of that operation it would pull it back in the order.
pub(super) fn needs_later(db: &mut Cache, work: &Work<'_>, schema: &Schema, operation: &Operation, seq: u64) -> Run<bool> {
    for (entity, id) in mentioned(schema, operation) {
        if id.as_temp().is_none() || (entity == operation.entity && id == operation.record) {
            continue;
        }
        match work.overlay_by_id(db, &entity, &id)? {
            Some(row) if row.version.is_some() || row.ops.first().is_some_and(|first| first.seq < seq) => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// The records that an operation refers to.
fn mentioned(schema: &Schema, operation: &Operation) -> Vec<(String, RecordId)> {
    let found = schema.entity(&operation.entity).map(|declared| references_set(declared, &operation.action)).unwrap_or_default();
    found.into_iter().map(|reference| (reference.entity, reference.id)).collect()
}

/// Both as one, under the name of the earlier; nothing if that cannot be.
pub(super) fn join(target: &Operation, later: &Operation) -> Option<Operation> {
    let Action::Update { delta } = &later.action else { return None };
    // What stands in another's place may turn out to be done already, from elsewhere: its counts are left out then, and
    // theirs alone.
    if target.supersedes.is_some() && delta.is_relative() {
        return None;
    }
    let (action, stamp, earlier) = match &target.action {
        Action::Create { data } => {
            let mut data = data.clone();
            delta.apply(&mut data);
            // The record's own stamp is that of its creation; what was written later has its own.
            (Action::Create { data }, target.stamp, &Delta::default())
        }
        Action::Update { delta: earlier } => {
            let both = if is(Bug::MergedOver) { delta.clone() } else { earlier.clone().compose(delta.clone())? };
            (Action::Update { delta: both }, later.stamp, earlier)
        }
        Action::Delete => return None,
    };
    // In the order of their names, and whether they were written later.
    let mut fields = Object::new();
    for field in target.stamps.keys().cloned().chain(tops(earlier)) {
        fields.insert(field, false.into());
    }
    for field in tops(delta) {
        fields.insert(field, true.into());
    }
    let mut stamps = Sorted::new();
    for (field, is_later) in fields {
        let at = if is_later == true { later.stamp } else { target.stamp_of(&field) };
        if at != stamp {
            stamps.insert(field, at);
        }
    }
    let joined = Operation { action, stamp, stamps, schema: later.schema, ..target.clone() };
    (crate::value::to_text(&joined).len() <= OPERATION_BYTES_MAX).then_some(joined)
}

fn tops(delta: &Delta) -> impl Iterator<Item = String> {
    delta.changes().filter_map(|(pointer, _)| pointer.keys().next().map(|field| field.into_owned()))
}

/// The references that both together took away from the record.
pub(super) fn drops(
    schema: &Schema,
    stored: &OutboxRow,
    later: &[(String, RecordId)],
    view: Option<&Object>,
    entity: &str,
) -> Vec<(String, RecordId)> {
    let held = schema.entity(entity).zip(view).map(|(declared, view)| references(declared, view)).unwrap_or_default();
    let mut drops = stored.drops.clone();
    drops.extend(later.iter().filter(|drop| !stored.drops.contains(drop)).cloned());
    drops.retain(|(entity, id)| !held.iter().any(|reference| reference.entity == *entity && reference.id == *id));
    drops
}

/// The operations of a record that the server never heard of and that no other operation names; nothing if
/// there is more to it.
pub(super) fn annullable(db: &mut Cache, work: &Work<'_>, schema: &Schema, row: &OverlayRow) -> Run<Option<Vec<Queued>>> {
    if row.version.is_some() {
        return Ok(None);
    }
    let pending = operations(db, work, row)?;
    // Others may refer to what was created after them, so all of the outbox counts, if it is not too long.
    let all = Read::Range { table: Table::Outbox, by_index: false, range: KeyRange::all(), limit: Some(OTHERS_MAX + 1), reverse: false };
    let others = queued(db, &all)?;
    let names = |operation: &Operation, stored: &OutboxRow| {
        let is = |(entity, id): &(String, RecordId)| *entity == row.entity && (*id == row.id || *id == row.key);
        mentioned(schema, operation).iter().any(is) || stored.drops.iter().any(is)
    };
    let own = |operation: &Operation| row.ops.iter().any(|op| op.id == operation.id);
    let unnamed =
        others.iter().all(|(stored, other)| stored.damaged.is_none() && (own(other) || work.has_ended(other.seq) || !names(other, stored)));
    let unnamed = unnamed || is(Bug::AnnulledThoughNamed);
    let few = u32::try_from(others.len()).is_ok_and(|count| count <= OTHERS_MAX);
    let open = pending.iter().all(|(stored, operation)| is_open(work, stored, operation));
    Ok((unnamed && few && open).then_some(pending))
}
