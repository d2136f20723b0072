//! Unsent work in a file: written out on one device, sent from another. What is written out is sealed, and what
//! is read in stays sealed, so that both devices send the same bytes under the same IDs: whichever comes
//! first takes effect, the other gets the same receipt.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Decision, Run, each, outdated, unreadable};
use super::damaged::whole_outbox;
use super::effects::Effects;
use super::ids::present;
use super::overlay::{OpRef, OverlayRow};
use super::quarantine::Quarantined;
use super::rebase::{after, map_temps};
use super::rows::{BaseRow, IdRow, last_audit, last_audit_of, outbox_rows, seals};
use super::shown::Present;
use super::state::SyncState;
use super::work::Work;
use crate::audit::{self, Event};
use crate::model::{Epoch, OpId, Operation, RecordId, Version};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::schema::Schema;
use crate::value::Object;

/// One operation in the file, with what its record stood on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// The operation, as it is sent.
    pub body: String,
    /// The ID under which the record's row is kept.
    pub row: RecordId,
    /// The record's present ID.
    pub id: RecordId,
    /// The server's version of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The record as the server has it at that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Object>,
    /// As in [`OpRef`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<Object>,
    /// As in [`OutboxRow`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<(String, RecordId)>,
    /// As in [`OutboxRow`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<OpId>,
    /// When it was written, ms by that device.
    pub created: u64,
    /// As in [`OutboxRow`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unsent {
    /// In their order.
    pub operations: Vec<Carried>,
    /// Entities, temp IDs that the operations name, and what those became.
    pub ids: Vec<(String, RecordId, RecordId)>,
    /// The server's lineage that the versions belong to.
    #[serde(default)]
    pub epoch: Option<Epoch>,
}

/// Writes everything unsent out.
#[derive(Clone, Debug)]
pub struct Export {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Export {
    type Out = (Unsent, Effects);

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch([last_audit(), seals(), SyncState::read(), outbox_rows()]);
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        let mut unsent: Vec<(OutboxRow, Operation)> = Vec::new();
        for (stored, operation) in whole_outbox(db)? {
            // What cannot be read is no work for another device.
            if !matches!(stored.state, State::Acknowledged { .. }) && stored.damaged.is_none() {
                unsent.push((stored, operation));
            }
        }
        let named = Present::wanted(unsent.iter().map(|(_, operation)| operation), &self.schema).ids;
        db.prefetch(unsent.iter().map(|(stored, operation)| OverlayRow::read(&operation.entity, &stored.row)));
        db.prefetch(named.iter().map(|(entity, id)| IdRow::read(entity, id)));
        db.settle()?;
        let sync = SyncState::look(db)?;
        let mut out = Unsent { epoch: sync.epoch, ..Unsent::default() };
        for (entity, id) in named {
            let now = present(db, &entity, &id)?;
            if now != id {
                out.ids.push((entity, id, now));
            }
        }
        for (stored, operation) in unsent {
            let row = work.overlay(db, &operation.entity, &stored.row)?;
            let ground = row.as_ref().and_then(|row| row.op(operation.seq)?.ground.clone());
            let (id, version, base) = row.map_or((stored.row.clone(), None, None), |row| (row.id, row.version, row.base));
            if !is(Bug::ExportUnsealed) {
                work.seal(operation.seq);
            }
            work.note(&operation, Event::Exported);
            let OutboxRow { body, row, drops, replaces, created, wire, .. } = stored;
            out.operations.push(Carried { body, row, id, version, base, ground, drops, replaces, created, wire });
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, (out, effects)))
    }
}

/// Reads unsent work of another device in.
#[derive(Clone, Debug)]
pub struct Import {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// What the file holds.
    pub unsent: Rc<Unsent>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Import {
    /// How many operations are new here, and what changed.
    type Out = (usize, Effects);

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch([last_audit(), seals(), SyncState::read()]);
        let mut operations: Vec<(&Carried, Operation)> = Vec::new();
        for carried in &self.unsent.operations {
            let operation: Operation = crate::value::from_text(&carried.body).map_err(unreadable)?;
            db.prefetch([last_audit_of(&operation.id), OverlayRow::read_by_id(&operation.entity, &carried.row)]);
            db.prefetch([OverlayRow::read_by_id(&operation.entity, &carried.id), IdRow::read(&operation.entity, &carried.id)]);
            operations.push((carried, operation));
        }
        db.prefetch(self.unsent.ids.iter().map(|(entity, id, _)| IdRow::read(entity, id)));
        db.settle()?;
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        if sync.epoch.is_none() {
            // The next answer of the server tells whether that is still its lineage.
            sync.epoch.clone_from(&self.unsent.epoch);
            work.write(Write::Put(Table::State, sync.row()));
        }
        // All at once, so that the number of rounds does not grow with the file.
        for (carried, operation) in &operations {
            let id = present(db, &operation.entity, &carried.id)?;
            db.prefetch([BaseRow::read(sync.generation, &operation.entity, &id), OverlayRow::read_by_id(&operation.entity, &id)]);
            db.prefetch([Quarantined::read(&operation.entity, &id)]);
        }
        let named = Present::wanted(operations.iter().map(|(_, operation)| operation), &self.schema).ids;
        db.prefetch(named.iter().map(|(entity, id)| IdRow::read(entity, id)));
        db.prefetch(self.unsent.ids.iter().flat_map(|(entity, id, _)| work.referring(entity, id)));
        db.settle()?;
        for (entity, id, now) in &self.unsent.ids {
            if db.rows(&IdRow::read(entity, id))?.is_empty() {
                work.map(db, entity, id, now)?;
            }
        }
        let mut new = 0;
        each(operations, |(carried, operation)| {
            new += usize::from(self.one(db, &mut work, &sync, carried, operation)?);
            Ok(())
        })?;
        let (batch, effects) = work.finish(db)?;
        Ok((batch, (new, effects)))
    }
}

impl Import {
    /// Takes one operation in, unless it was here already. What was discarded or annulled here, or went with a wipe,
    /// comes again: other work in the file may follow it.
    fn one(&self, db: &mut Cache, work: &mut Work<'_>, sync: &SyncState, carried: &Carried, mut operation: Operation) -> Run<bool> {
        let trail: Option<audit::Row> = db.one(&last_audit_of(&operation.id))?;
        let last = trail.and_then(|row| row.entries.into_iter().rfind(|entry| entry.operation == operation.id));
        if last.is_some_and(|entry| !entry.event.is_given_up()) {
            return Ok(false);
        }
        if self.schema.entity(&operation.entity).is_none() {
            return Err(outdated(Table::Outbox, &operation.entity));
        }
        // The other device need not know yet what the record became.
        let id = present(db, &operation.entity, &carried.id)?;
        let mut row = match work.overlay_by_id(db, &operation.entity, &id)? {
            Some(row) => row,
            None => match work.overlay_by_id(db, &operation.entity, &carried.row)? {
                Some(row) => row,
                None => {
                    let base = db.one::<BaseRow>(&BaseRow::read(sync.generation, &operation.entity, &id))?;
                    let is_aside = !db.rows(&Quarantined::read(&operation.entity, &id))?.is_empty();
                    // A version of another lineage is none of this one.
                    let version = carried.version.map(|version| if sync.epoch == self.unsent.epoch { version } else { Version::LOST });
                    as_written(carried, &operation.entity, id, version, (base, is_aside), sync)
                }
            },
        };
        if row.ops.iter().any(|op| op.id == operation.id) {
            // Another of its names was given up since.
            return Ok(false);
        }
        operation.seq = work.take_seq();
        row.view = after(row.view.take(), &operation.action);
        map_temps(db, work, &operation.entity, &mut row.view)?;
        row.stamp = Some(operation.stamp);
        let ground = carried.ground.clone().or_else(|| Some(carried.base.clone().unwrap_or_default()));
        row.ops.push(OpRef { ground, ..OpRef::to(&operation) });
        let Carried { body, drops, replaces, created, wire, .. } = carried.clone();
        // It goes up as it is: what is no operation, or another, does not.
        let is_it = |text: &String| crate::value::from_text::<Operation>(text).is_ok_and(|form| form.id == operation.id);
        let here = (!is(Bug::ImportedAsOwn)).then_some(operation.seq);
        let stored = OutboxRow {
            body,
            state: State::Pending,
            row: row.key.clone(),
            drops,
            created,
            replaces,
            waits_for: Vec::new(),
            here,
            behind: None,
            replaces_carried: false,
            wire: wire.filter(is_it),
            damaged: None,
        };
        work.note(&operation, Event::Imported { content: crate::value::hash_bytes(stored.body.as_bytes()) });
        work.queue(&operation, stored);
        work.seal(operation.seq);
        work.put(row);
        Ok(true)
    }
}

/// The record as the operation was written on it. What this device knows beyond that is shown, but waits for the
/// outcome as if it had come meanwhile: only so is the operation judged by what its writer saw.
fn as_written(
    carried: &Carried,
    entity: &str,
    id: RecordId,
    version: Option<Version>,
    (base, is_aside): (Option<BaseRow>, bool),
    sync: &SyncState,
) -> OverlayRow {
    let key = if base.is_some() { id.clone() } else { carried.row.clone() };
    let here = match base {
        Some(base) => Some(base.state(sync)),
        // What the server has of it may not be shown here: then it is as its writer saw it.
        None if is_aside => None,
        // Everything up to `through` is here, and this record is not: it was deleted.
        None => sync.through_of(entity).filter(|_| version.is_some()).map(|through| ServerState::plain(through, None)),
    };
    let newer = here.filter(|state| version < Some(state.version));
    OverlayRow {
        id,
        version,
        base: carried.base.clone(),
        view: newer.as_ref().map_or_else(|| carried.base.clone(), |state| state.data.clone()),
        waiting: newer,
        ..OverlayRow::fresh(entity, key)
    }
}
