//! Decisions about IDs: what an earlier ID became, what a record's rows become when its real ID is learnt, and a
//! mapping that the app brings itself.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::chain::{operations, renew_view};
use super::effects::Effects;
use super::overlay::OverlayRow;
use super::rows::{BaseRow, IdRow, last_audit};
use super::state::SyncState;
use super::work::Work;
use crate::model::{RecordId, TempId, Version};
use crate::outbox::OutboxRow;
use crate::plan::WriteBatch;
use crate::protocol::ServerState;
use crate::schema::Schema;

/// The present ID of a record, by any ID it had.
pub(super) fn present(db: &mut Cache, entity: &str, id: &RecordId) -> Run<RecordId> {
    if id.as_temp().is_none() {
        return Ok(id.clone());
    }
    Ok(db.one::<IdRow>(&IdRow::read(entity, id))?.map_or_else(|| id.clone(), |row| row.id))
}

impl Work<'_> {
    /// Learns the real ID of an overlay row's record: every ID it had here leads there. The cascade may come by this
    /// very record, for it can refer to itself.
    pub(super) fn map_all(&mut self, db: &mut Cache, row: OverlayRow, real: &RecordId) -> Run<OverlayRow> {
        db.prefetch(self.referring(&row.entity, &row.id));
        db.prefetch(self.referring(&row.entity, &row.key));
        self.map(db, &row.entity, &row.id, real)?;
        if row.key != row.id && row.key != *real {
            self.map(db, &row.entity, &row.key, real)?;
        }
        let latest = self.latest(row.clone()).unwrap_or(row);
        Ok(OverlayRow { id: real.clone(), ..latest })
    }

    /// Work of another device may have brought the record under its real ID before anybody here knew that it is this
    /// one: the two rows become one. Whether there were two.
    pub(super) fn join(&mut self, db: &mut Cache, row: &mut OverlayRow) -> Run<bool> {
        let Some(twin) = self.overlay_by_id(db, &row.entity, &row.id)?.filter(|twin| twin.key != row.key) else { return Ok(false) };
        // All of both in one round: who is missing waits below.
        let _ = operations(db, self, row);
        for (stored, operation) in operations(db, self, &twin)? {
            self.queue(&operation, OutboxRow { row: row.key.clone(), ..stored });
        }
        let known = twin.version.map(|version| ServerState::plain(version, twin.base.clone()));
        row.meet(known.into_iter().chain(twin.waiting.clone()));
        // Each in its order, and those of both as they were written: an app that knew both IDs wrote to one record.
        let mut from = 0;
        for their in &twin.ops {
            from += row.ops[from..].iter().position(|our| our.seq > their.seq).unwrap_or(row.ops.len() - from);
            row.ops.insert(from, their.clone());
            from += 1;
        }
        row.conflict = row.conflict.or(twin.conflict);
        row.parked |= twin.parked;
        self.drop_overlay(&twin);
        renew_view(db, self, row)?;
        Ok(true)
    }

    /// Learns a record's real ID with an answer at `version` of the record, where another device may have sent it too:
    /// work of that device, and pages, can have told of the record under that ID since.
    pub(super) fn learn_id(&mut self, db: &mut Cache, row: OverlayRow, real: &RecordId, version: Version) -> Run<OverlayRow> {
        if row.id == *real {
            return Ok(row);
        }
        let mut row = self.map_all(db, row, real)?;
        if self.join(db, &mut row)? {
            // All that was known of it.
            return Ok(row);
        }
        let sync = SyncState::look(db)?;
        let base: Option<BaseRow> = db.one(&BaseRow::read(sync.generation, &row.entity, real))?;
        let through = sync.through_of(&row.entity).filter(|through| *through >= version);
        row.meet(base.map(|base| base.state(&sync)).or_else(|| through.map(|through| ServerState::plain(through, None))));
        Ok(row)
    }
}

/// What temp IDs became; those that became nothing yet are left out.
#[derive(Clone, Debug)]
pub struct ResolveId {
    /// Entity and temp ID.
    pub ids: Vec<(String, RecordId)>,
}

impl Decision for ResolveId {
    type Out = Vec<(String, RecordId, IdRow)>;
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch(self.ids.iter().map(|(entity, id)| IdRow::read(entity, id)));
        let mut found = Vec::new();
        for (entity, id) in &self.ids {
            if let Some(row) = db.one::<IdRow>(&IdRow::read(entity, id))? {
                found.push((entity.clone(), id.clone(), row));
            }
        }
        Ok((Vec::new(), found))
    }
}

/// A mapping that the app learned elsewhere: the whole cascade in one transaction.
#[derive(Clone, Debug)]
pub struct MapId {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The temp ID.
    pub temp: TempId,
    /// What it became.
    pub real: RecordId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

/// What became of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapping {
    /// It is stored, or was already.
    Stored(Box<Effects>),
    /// The temp ID is mapped to another real ID.
    Taken(RecordId),
    /// The create of the record is still on its way: the server's answer will name it.
    Unfinished,
}

impl Decision for MapId {
    type Out = Mapping;
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Mapping)> {
        let entity = self.temp.entity();
        let temp = RecordId::from(self.temp.clone());
        db.prefetch([last_audit(), SyncState::read(), IdRow::read(entity, &temp)]);
        if let Some(known) = db.one::<IdRow>(&IdRow::read(entity, &temp))? {
            let answer = if known.id == self.real { Mapping::Stored(Box::default()) } else { Mapping::Taken(known.id) };
            return Ok((Vec::new(), answer));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let row = work.overlay_by_id(db, entity, &temp)?;
        if row.as_ref().is_some_and(|row| row.version.is_none()) {
            return Ok((Vec::new(), Mapping::Unfinished));
        }
        work.map(db, entity, &temp, &self.real)?;
        if let Some(mut row) = row {
            row.id = self.real.clone();
            work.put(row);
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Mapping::Stored(Box::new(effects))))
    }
}
