//! Another lineage of the server: it was restored to an earlier time. One transaction makes this database ready to heal
//! it. What the server had applied, but could still lose, waits to be sent again, in its old bytes and the order in which
//! the server had applied it; every version that is known here is older than any of the new lineage; and a resync fills
//! the next generation once everything is sent. What the server had until then stays the base: what comes back is held
//! against that.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, each, readable};
use super::chain::{Queued, with};
use super::damaged::whole_outbox;
use super::effects::Effects;
use super::ids::present;
use super::overlay::{OpRef, OverlayRow};
use super::rebase::map_temps;
use super::rows::{BaseRow, IdRow, last_audit, outbox_rows, seals};
use super::state::SyncState;
use super::work::Work;
use crate::audit::Event;
use crate::conflict::Conflict;
use crate::model::{Action, Base, Epoch, Operation, RecordId, Version};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::Schema;
use crate::value::KeyRange;

/// Goes over to another lineage.
#[derive(Clone, Debug)]
pub struct ChangeEpoch {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The lineage that the request named.
    pub from: Epoch,
    /// The one that the answer named.
    pub epoch: Epoch,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for ChangeEpoch {
    /// Nothing if the stored lineage is another than the request's: somebody else went over, or back.
    type Out = Option<Effects>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let overlay = Read::range(Table::Overlay, KeyRange::all());
        db.prefetch([last_audit(), seals(), SyncState::read(), overlay.clone(), outbox_rows()]);
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if sync.epoch.as_ref() != Some(&self.from) {
            return Ok((Vec::new(), None));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        let operations = whole_outbox(db)?;
        let mut rows: Vec<OverlayRow> = db.all(&overlay)?;
        for row in &mut rows {
            row.version = row.version.and(Some(Version::LOST));
            row.waiting = None;
            row.ops.iter_mut().for_each(|op| op.based = false);
        }
        // The server's side of an open conflict is of the old lineage too.
        let open: Vec<Read> = rows.iter().filter_map(|row| row.conflict).map(|id| Read::Get(Table::Conflicts, id.into())).collect();
        db.prefetch(open.iter().cloned());
        let mut again = vec![false; rows.len()];
        let returning = |stored: &OutboxRow| acknowledged(stored).is_some() && !is(Bug::NotSentAgain);
        let returned: Vec<(OutboxRow, Operation)> = operations.iter().filter(|(stored, _)| returning(stored)).cloned().collect();
        // By the name that the operation has for its record: the key of its row can be a temp ID of another device.
        for (_, operation) in &returned {
            db.prefetch([IdRow::read(&operation.entity, &operation.record)]);
        }
        db.settle()?;
        for read in &open {
            if let Some(mut conflict) = readable::<Conflict>(db, read)? {
                conflict.server.version = Version::LOST;
                if let Some(other) = &mut conflict.other {
                    other.version = Some(Version::LOST);
                }
                work.conflict(&conflict);
            }
        }
        for (_, operation) in &returned {
            let id = present(db, &operation.entity, &operation.record)?;
            db.prefetch([BaseRow::read(sync.generation, &operation.entity, &id)]);
        }
        db.settle()?;
        for (stored, operation) in returned {
            let id = present(db, &operation.entity, &operation.record)?;
            let known = rows.iter().position(|row| row.entity == operation.entity && (row.key == stored.row || row.id == id));
            let at = match known {
                Some(at) => at,
                None => {
                    let base: Option<BaseRow> = db.one(&BaseRow::read(sync.generation, &operation.entity, &id))?;
                    rows.push(over_base(&operation.entity, &stored.row, id, base));
                    again.push(true);
                    rows.len() - 1
                }
            };
            again[at] = true;
            // In the order in which the server had applied them, which need not be that of their sequences; and under
            // everything that it had not. Whoever rests on a version that another left came after that one and before
            // all that left a later one. Of two that rest on the same, one found that it was so already, so that both
            // orders leave the same: a member of a group rests at the earliest on what the group left first. What wanted
            // nothing may stand anywhere.
            let version = acknowledged(&stored);
            let ops = &mut rows[at].ops;
            let above = |op: &OpRef| {
                find(&operations, op).is_none_or(|(stored, other)| {
                    acknowledged(stored).is_none() || acknowledged(stored) > version || other.base == Base::After(operation.id.clone())
                })
            };
            let place = ops.iter().position(above).unwrap_or(ops.len());
            ops.insert(place, OpRef::to(&operation));
            work.note(&operation, Event::Returned);
            work.queue(&operation, OutboxRow { row: rows[at].key.clone(), ..stored.with(State::Pending) });
        }
        each(rows.into_iter().zip(again), |(mut row, again)| {
            if again {
                rebuild(db, &work, &mut row, &operations)?;
            }
            work.put(row);
            Ok(())
        })?;
        for write in sync.refill() {
            work.write(write);
        }
        sync.epoch = Some(self.epoch.clone());
        if !is(Bug::CheckpointOverEpochs) {
            (sync.checkpoint, sync.through) = (None, None);
        } else {
            sync.filling = None;
        }
        sync.covering = Some(SyncState::wanted(&self.schema));
        work.write(Write::Put(Table::State, sync.row()));
        let (batch, mut effects) = work.finish(db)?;
        effects.sync = Some(Box::new(sync));
        Ok((batch, Some(effects)))
    }
}

/// The operation that a row of the overlay names, of all in the order of their sequences.
fn find<'o>(operations: &'o [(OutboxRow, Operation)], op: &OpRef) -> Option<&'o (OutboxRow, Operation)> {
    operations.binary_search_by_key(&op.seq, |(_, operation)| operation.seq).ok().map(|at| &operations[at])
}

/// The version that an operation rests on.
fn acknowledged(stored: &OutboxRow) -> Option<Version> {
    match stored.state {
        State::Acknowledged { version } => Some(version),
        _ => None,
    }
}

/// An overlay row over what `base` has of a record: nothing, if it was deleted.
fn over_base(entity: &str, key: &RecordId, id: RecordId, base: Option<BaseRow>) -> OverlayRow {
    let data = base.map(|base| base.data);
    OverlayRow { id, version: Some(Version::LOST), base: data.clone(), view: data, ..OverlayRow::fresh(entity, key.clone()) }
}

/// The view of a record with all its operations on top again. What is created again, the server never had.
fn rebuild(db: &mut Cache, work: &Work<'_>, row: &mut OverlayRow, operations: &[(OutboxRow, Operation)]) -> Run<()> {
    let own: Vec<&Queued> = row.ops.iter().filter_map(|op| find(operations, op)).collect();
    let known = row.base.clone();
    if own.first().is_some_and(|(stored, first)| matches!(first.action, Action::Create { .. }) && acknowledged(stored).is_some()) {
        (row.base, row.version) = (None, None);
    }
    row.view = with(row.base.clone(), own.iter().copied());
    for op in &mut row.ops {
        let Some((stored, _)) = find(operations, op) else { continue };
        // What came with a file keeps what it was written on, this time too; and so does what was written on what returns.
        if acknowledged(stored).is_none() {
            op.ground.get_or_insert_with(|| known.clone().unwrap_or_default());
        } else if stored.is_carried() {
            op.ground = Some(row.base.clone().unwrap_or_default());
        }
    }
    map_temps(db, work, &row.entity, &mut row.view)
}
