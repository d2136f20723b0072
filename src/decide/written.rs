//! What a write comes to: the record as it is afterwards, and the operation that takes it to the server, with what that was
//! written on. Every check of a single record is here; what a delete does to others is in [`super::cascade`].

use super::cache::{Cache, Run};
use super::chain::operations;
use super::intent::{Place, WriteError};
use super::overlay::OverlayRow;
use super::state::SyncState;
use super::valid::refusal;
use super::work::Work;
use crate::model::{Action, Base, Kind, OpId, Operation, RecordId};
use crate::plan::{Read, Table};
use crate::value::{Delta, Object, Sorted};

/// What a write comes to: the operation without its sequence, the references that it takes away, and what it was written
/// on where that is not the base.
pub(super) struct Change {
    pub(super) operation: Operation,
    pub(super) drops: Vec<(String, RecordId)>,
    pub(super) ground: Option<Object>,
}

impl Place<'_> {
    /// Does an action to a record as it is here, under the ID of an operation and by an author; or says why it cannot be.
    pub(super) fn written(
        &self,
        db: &mut Cache,
        work: &Work<'_>,
        sync: &SyncState,
        row: &mut OverlayRow,
        action: Action,
        (id, author): (&OpId, &str),
    ) -> Run<Result<Change, WriteError>> {
        if let Some(error) = self.check_targets(db, work, &action)? {
            return Ok(Err(error));
        }
        let view = super::rebase::after(row.view.clone(), &action);
        if let Some(error) = refusal(self.schema, self.entity, &action, view.as_ref()) {
            return Ok(Err(error));
        }
        if let Some(error) = self.rival(db, work, sync, &row.id, row.view.as_ref(), view.as_ref())? {
            return Ok(Err(error));
        }
        let drops = self.drops(row, &action);
        let ground = written_on(db, work, row)?;
        let kind = action.kind();
        let operation = Operation {
            id: id.clone(),
            seq: 0,
            entity: row.entity.clone(),
            record: row.id.clone(),
            action,
            base: match (followed(db, work, row)?, row.version) {
                (Some(earlier), _) => Base::After(earlier),
                (None, Some(version)) => Base::Version(version),
                (None, None) => Base::None,
            },
            stamp: work.stamp(),
            stamps: Sorted::new(),
            author: author.to_owned(),
            lane: self.schema.entity(&row.entity).and_then(|declared| declared.lane.clone()),
            group: None,
            supersedes: None,
            first: None,
            seen: (kind == Kind::Delete && self.schema.is_followed(self.entity)).then(|| sync.through.unwrap_or_default()),
            schema: self.schema.version,
        };
        row.view = view;
        row.stamp = Some(work.stamp());
        Ok(Ok(Change { operation, drops, ground }))
    }
}

/// What the server had of a record, as far as its writer sees it now: under what was not judged yet, that is what that
/// one was written on, and not what the base has come to. Nothing where that is the base itself.
fn written_on(db: &mut Cache, work: &Work<'_>, row: &OverlayRow) -> Run<Option<Object>> {
    if !row.ops.iter().any(|op| row.is_unjudged(op)) {
        return Ok(None);
    }
    let pending = operations(db, work, row)?;
    let mut seen = row.base.clone().unwrap_or_default();
    for op in &row.ops {
        let Some(ground) = op.ground.as_ref().filter(|_| row.is_unjudged(op)) else { continue };
        let action = pending.iter().find(|(_, operation)| operation.seq == op.seq).map(|(_, operation)| &operation.action);
        let mut back = Delta::diff(&seen, ground);
        if let Some(Action::Update { delta }) = action {
            back.retain(|pointer, _| delta.touching(pointer).is_some());
        }
        back.apply(&mut seen);
    }
    Ok(Some(seen))
}

/// The operation that a new write of a record follows: the last that was written here. What came with a file is on
/// its own way, and stands before it only where there is no other.
fn followed(db: &mut Cache, work: &Work<'_>, row: &OverlayRow) -> Run<Option<OpId>> {
    // All at once: one round, however many came with files.
    db.prefetch(row.ops.iter().filter(|op| op.ground.is_some()).map(|op| Read::Get(Table::Outbox, op.seq.into())));
    for op in row.ops.iter().rev() {
        // What came with a file always has a ground, and others sometimes.
        let carried = op.ground.is_some() && work.outbox(db, op.seq)?.is_some_and(|(stored, _)| stored.is_carried());
        if !carried {
            return Ok(Some(op.id.clone()));
        }
    }
    Ok(row.ops.last().map(|op| op.id.clone()))
}
