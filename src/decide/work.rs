//! What a decision about operations changes, gathered until its end: rows of the overlay and the outbox,
//! mappings with their cascade, conflicts, and the one audit row that tells of all of it. What comes of it is in [`finish`].

mod finish;

use super::audit::below;
use super::cache::{Cache, Run, Stop, all_readable, readable, unreadable};
use super::chain::Fresh;
use super::effects::{Effects, Settled};
use super::overlay::{OverlayRow, once};
use super::rows::{BaseRow, IdRow, Seen, conflict_row, last_audit, number, row, seals};
use super::state::SyncState;
use crate::audit::{self, Entry, Event, Stored};
use crate::conflict::{Conflict, Filter, filter::of_record};
use crate::model::{IdSource, OpId, Operation, RecordId, Stamp};
use crate::outbox::{OutboxRow, Seals, State};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::Schema;
use crate::value::{Key, Object};

/// What becomes of an overlay row.
#[derive(Debug)]
struct Changed {
    key: Key,
    /// The row as it shall be; nothing if it goes.
    row: Option<OverlayRow>,
    /// Of a row that goes: the record as it looked last, which is how it looks without the row.
    left: Option<Object>,
}

/// The changes of one decision.
#[derive(Debug)]
pub(super) struct Work<'w> {
    schema: &'w Schema,
    user: &'w str,
    now: u64,
    last: Option<audit::Row>,
    stamp: Stamp,
    /// The server's time minus that of the device, if it ever answered.
    offset: Option<i64>,
    next_seq: u64,
    ids: IdSource,
    seals: Option<Seals>,
    seals_changed: bool,
    /// Outbox rows written, by sequence; the last of several counts.
    queued: Vec<(u64, OutboxRow)>,
    /// Changed overlay rows, found by their keys; `None` once dropped.
    overlay: Vec<Changed>,
    overlay_at: Seen,
    mapping: Vec<RecordId>,
    mapping_at: Seen,
    writes: WriteBatch,
    entries: Vec<Entry>,
    reason: Option<String>,
    keeps: bool,
    effects: Effects,
}

impl<'w> Work<'w> {
    /// Begins at the last audit row.
    pub(super) fn begin(db: &mut Cache, schema: &'w Schema, user: &'w str, now: u64) -> Run<Self> {
        db.prefetch([SyncState::read()]);
        let last: Option<audit::Row> = db.one(&last_audit())?;
        Self::after(db, last, schema, user, now)
    }
    /// The same for what a person wants done even behind an audit row that cannot be read: what is told then is linked to the
    /// text that stands there, so that a verification names that row, and goes on behind it.
    pub(super) fn anew(db: &mut Cache, schema: &'w Schema, user: &'w str, now: u64) -> Run<Self> {
        db.prefetch([SyncState::read()]);
        let last = match db.one(&last_audit()) {
            Err(Stop::Corrupt(_)) => {
                let row = db.rows(&last_audit())?.first().cloned();
                let stored = row.map(|row| Stored { key: number(&row.key), text: row.text }).unwrap_or_default();
                let before: Option<audit::Row> = readable(db, &below(stored.key))?;
                let stamp = before.map_or_else(Stamp::default, |before| before.stamp);
                Some(audit::Row { hash: stored.head(), ..audit::Row::after(None, stored.key, stamp, None, user, None, Vec::new()) })
            }
            known => known?,
        };
        Self::after(db, last, schema, user, now)
    }
    fn after(db: &mut Cache, last: Option<audit::Row>, schema: &'w Schema, user: &'w str, now: u64) -> Run<Self> {
        // A state that cannot be read stops who needs it, and hides only this here.
        let sync: Option<SyncState> = readable(db, &SyncState::read())?;
        let stamp = Stamp::after(last.as_ref().map(|row| row.stamp), now);
        let next_seq = last.as_ref().map_or(1, |row| row.seq + 1);
        Ok(Self {
            schema,
            user,
            now,
            last,
            stamp,
            offset: sync.filter(|sync| sync.epoch.is_some()).map(|sync| sync.offset_ms),
            next_seq,
            ids: IdSource::default(),
            seals: None,
            seals_changed: false,
            queued: Vec::new(),
            overlay: Vec::new(),
            overlay_at: Seen::default(),
            mapping: Vec::new(),
            mapping_at: Seen::default(),
            writes: Vec::new(),
            entries: Vec::new(),
            reason: None,
            keeps: false,
            effects: Effects::default(),
        })
    }
    /// The offset was measured anew, and is not stored yet.
    pub(super) fn measured(&mut self, offset_ms: i64) {
        self.offset = Some(offset_ms);
    }
    /// The stamp of this decision.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }
    /// The next client sequence.
    pub(super) fn take_seq(&mut self) -> u64 {
        let seq = self.next_seq;
        if !is(Bug::OneSequenceForTwo) {
            self.next_seq += 1;
        }
        seq
    }
    /// The next ID for an operation that this decision writes. All of them come from one source.
    pub(super) fn take_id(&mut self, fresh: &Fresh) -> OpId {
        if is(Bug::OneIdForSeveral) {
            return fresh.first();
        }
        fresh.next(&mut self.ids)
    }
    /// Reads the seals, and writes them back at the end if an operation ended.
    pub(super) fn seals(&mut self, db: &mut Cache) -> Run<&Seals> {
        if self.seals.is_none() {
            self.seals = Some(db.one(&seals())?.unwrap_or_default());
        }
        Ok(self.seals.get_or_insert_default())
    }

    /// Whether any of a record's operations was claimed for sending.
    pub(super) fn has_sealed(&mut self, db: &mut Cache, row: &OverlayRow) -> Run<bool> {
        let seals = self.seals(db)?;
        Ok(row.ops.iter().any(|op| seals.contains(op.seq)))
    }
    /// The seals, if they were read.
    pub(super) fn known_seals(&self) -> Option<&Seals> {
        self.seals.as_ref()
    }
    /// Whoever waits for an operation waits for another from now on.
    pub(super) fn supersede_watch(&mut self, old: &OpId, by: &OpId) {
        self.effects.superseded.push((old.clone(), by.clone()));
    }

    /// An overlay row by its own key, with the changes made so far.
    pub(super) fn overlay(&self, db: &mut Cache, entity: &str, key: &RecordId) -> Run<Option<OverlayRow>> {
        match self.changed(entity, key) {
            Some(changed) => Ok(changed.row.clone()),
            None => db.one(&OverlayRow::read(entity, key)),
        }
    }
    /// An overlay row by any ID of its record, with the changes made so far.
    pub(super) fn overlay_by_id(&self, db: &mut Cache, entity: &str, id: &RecordId) -> Run<Option<OverlayRow>> {
        if let Some(changed) = self.changed(entity, id) {
            return Ok(changed.row.clone());
        }
        let stored: Option<OverlayRow> = db.one(&OverlayRow::read_by_id(entity, id))?;
        let changed = stored.as_ref().and_then(|row| self.changed(&row.entity, &row.key));
        Ok(changed.map_or(stored.clone(), |changed| changed.row.clone()))
    }
    /// A row that was read, as this decision has changed it since.
    pub(super) fn latest(&self, read: OverlayRow) -> Option<OverlayRow> {
        self.changed(&read.entity, &read.key).map_or(Some(read), |changed| changed.row.clone())
    }
    /// The overlay rows changed so far.
    pub(super) fn changed_rows(&self) -> impl Iterator<Item = &OverlayRow> {
        self.overlay.iter().filter_map(|changed| changed.row.as_ref())
    }
    /// An outbox row, with the changes made so far, and the operation in it.
    pub(super) fn outbox(&self, db: &mut Cache, seq: u64) -> Run<Option<(OutboxRow, Operation)>> {
        let read = |row: OutboxRow| {
            let operation = row.operation().map_err(unreadable)?;
            Ok((row, operation))
        };
        if self.has_ended(seq) {
            return Ok(None);
        }
        if let Some((_, row)) = self.queued.iter().rev().find(|(known, _)| *known == seq) {
            return read(row.clone()).map(Some);
        }
        db.one::<OutboxRow>(&Read::Get(Table::Outbox, seq.into()))?.map(read).transpose()
    }
    fn changed(&self, entity: &str, key: &RecordId) -> Option<&Changed> {
        self.overlay_at.get(entity, key).map(|at| &self.overlay[at])
    }
    fn change(&mut self, entity: &str, key: &RecordId, row: Option<OverlayRow>) {
        match self.overlay_at.get(entity, key) {
            Some(at) => self.overlay[at].row = row,
            None => {
                self.overlay_at.put(entity, key, self.overlay.len());
                self.overlay.push(Changed { key: OverlayRow::key_of(entity, key), row, left: None });
            }
        }
    }
    /// Writes an overlay row.
    pub(super) fn put(&mut self, row: OverlayRow) {
        self.touch(&row.entity, &row.id);
        // Its open conflict is shown with what was written since.
        self.effects.conflicts.extend(row.conflict.filter(|open| !self.effects.conflicts.contains(open)));
        let (entity, key) = (row.entity.clone(), row.key.clone());
        self.change(&entity, &key, Some(row));
    }
    /// Writes an overlay row that looks as it did: only its index entries may be others.
    pub(super) fn reindex(&mut self, row: OverlayRow) {
        let (entity, key) = (row.entity.clone(), row.key.clone());
        self.change(&entity, &key, Some(row));
    }
    /// Takes an overlay row away.
    pub(super) fn drop_overlay(&mut self, row: &OverlayRow) {
        self.change(&row.entity, &row.key, None);
        if let Some(at) = self.overlay_at.get(&row.entity, &row.key) {
            self.overlay[at].left.clone_from(&row.view);
        }
    }
    /// Notes that a record looks different now.
    pub(super) fn touch(&mut self, entity: &str, id: &RecordId) {
        self.effects.changed.push((entity.to_owned(), id.clone()));
    }
    /// Moves a clean overlay row to the base. One without a version only goes: the base has what there is.
    pub(super) fn move_to_base(&mut self, generation: u64, row: &OverlayRow) {
        self.drop_overlay(row);
        if row.version.is_none() {
            return;
        }
        match (&row.base, row.version, self.schema.entity(&row.entity)) {
            (Some(data), Some(version), Some(declared)) => {
                let row = BaseRow { id: row.id.clone(), version, data: data.clone() }.row(generation, &row.entity, declared);
                self.write(Write::Put(Table::Base, row));
            }
            _ => self.write(Write::Delete(Table::Base, BaseRow::key(generation, &row.entity, &row.id))),
        }
    }

    /// The reads of the overlay rows that refer to a record by this ID.
    pub(super) fn referring(&self, entity: &str, id: &RecordId) -> Vec<Read> {
        if id.as_temp().is_some() {
            return vec![OverlayRow::read_naming(id)];
        }
        self.schema.referring_to(entity).map(|(from, path)| OverlayRow::read_referring(from, path.as_str(), id)).collect()
    }

    /// Learns that a record has another ID now: stores it, and rewrites every overlay row that refers to it.
    pub(super) fn map(&mut self, db: &mut Cache, entity: &str, earlier: &RecordId, real: &RecordId) -> Run<()> {
        let referring = self.referring(entity, earlier);
        db.prefetch(referring.iter().cloned());
        let mut rows: Vec<OverlayRow> = Vec::new();
        for read in &referring {
            rows.extend(db.all::<OverlayRow>(read)?);
        }
        let rows = if is(Bug::CascadeLeftOut) { Vec::new() } else { once(rows) };
        for found in rows {
            let now = self.changed(&found.entity, &found.key).map(|changed| changed.row.clone()).unwrap_or(Some(found));
            if let Some(row) = now {
                self.put(row);
            }
        }
        if earlier.as_temp().is_none() {
            // A restored server can give a record another ID.
            self.map_conflicts(db, entity, earlier, real)?;
        }
        let created = earlier.as_temp().map_or(0, |temp| temp.issued_ms());
        let stored = row(IdRow::key(entity, earlier), &IdRow { id: real.clone(), created, synced: self.now });
        if !is(Bug::MappingForgotten) {
            self.write(Write::Put(Table::Ids, stored));
        }
        self.mapping_at.put(entity, earlier, self.mapping.len());
        self.mapping.push(real.clone());
        self.effects.mapped.push((entity.to_owned(), earlier.clone(), real.clone()));
        Ok(())
    }

    /// The conflicts of a record are found by its new ID too. Under a temp ID it has some only if the server refused to create
    /// it at first.
    pub(super) fn map_conflicts(&mut self, db: &mut Cache, entity: &str, earlier: &RecordId, real: &RecordId) -> Run<()> {
        let met = Read::index(Table::Conflicts, Filter::default().range(&of_record(entity, earlier), None));
        for mut conflict in all_readable::<Conflict>(db, &met)? {
            conflict.record = real.clone();
            self.conflict(&conflict);
        }
        Ok(())
    }

    /// Writes an outbox row.
    pub(super) fn queue(&mut self, operation: &Operation, row: OutboxRow) {
        self.queued.push((operation.seq, row));
    }
    /// Takes an operation out of the outbox.
    pub(super) fn end(&mut self, seq: u64) {
        if let Some(seals) = &mut self.seals {
            self.seals_changed |= seals.remove(seq);
        }
        self.queued.retain(|(known, _)| *known != seq);
        self.effects.ended.push(seq);
    }
    /// Whether this decision took an operation out of the outbox.
    pub(super) fn has_ended(&self, seq: u64) -> bool {
        self.effects.ended.contains(&seq)
    }
    /// Seals an operation. The seals were read before.
    pub(super) fn seal(&mut self, seq: u64) {
        if let Some(seals) = &mut self.seals {
            self.seals_changed |= seals.insert(seq);
        }
    }
    /// Puts a new operation in the place of one that ended. What that waited for, it waits for.
    pub(super) fn supersede(&mut self, old: &OutboxRow, operation: &Operation, by: &Operation, state: State) {
        self.end(operation.seq);
        let mut row = old.instead(by);
        row.state = state;
        row.replaces = old.names(operation).filter(|other| by.supersedes.as_ref() != Some(other)).cloned().collect();
        self.queue(by, row);
        self.note(operation, Event::Superseded { by: by.id.clone() });
        self.note(by, Event::Written { kind: by.action.kind(), content: by.fingerprint() });
        self.effects.superseded.push((operation.id.clone(), by.id.clone()));
    }
    /// The operation that stands in the place of another since this decision.
    pub(super) fn in_place_of(&self, old: &OpId) -> Option<OpId> {
        self.effects.superseded.iter().rev().find(|(other, _)| other == old).map(|(_, by)| by.clone())
    }
    /// The same with its row. Those that were written last are looked at first: they are read from their text.
    pub(super) fn queued_in_place_of(&self, old: &OpId) -> Option<(OutboxRow, Operation)> {
        let by = self.in_place_of(old)?;
        let mut queued = self.queued.iter().rev().filter_map(|(_, row)| Some((row.clone(), row.operation().ok()?)));
        queued.find(|(_, operation)| operation.id == by)
    }
    /// Stores a conflict that was found just now.
    pub(super) fn found(&mut self, conflict: &Conflict) {
        self.effects.found += 1;
        self.conflict(conflict);
    }
    /// Stores a conflict.
    pub(super) fn conflict(&mut self, conflict: &Conflict) {
        self.write(Write::Put(Table::Conflicts, conflict_row(conflict)));
        self.effects.conflicts.extend(Some(conflict.id).filter(|id| !self.effects.conflicts.contains(id)));
    }
    /// Takes a conflict away.
    pub(super) fn forget(&mut self, conflict: u64) {
        self.write(Write::Delete(Table::Conflicts, conflict.into()));
        self.effects.conflicts.push(conflict);
    }
    /// Adds a line to the audit row.
    pub(super) fn note(&mut self, operation: &Operation, event: Event) {
        self.tell(&operation.id, &operation.entity, &operation.record, event);
        let declared = self.schema.entity(&operation.entity);
        if let Some((entry, declared)) = self.entries.last_mut().zip(declared) {
            entry.show(&operation.action, declared.content, self.keeps);
        }
    }
    /// Adds a line about a record, under the name of an operation that need not be there.
    pub(super) fn tell(&mut self, operation: &OpId, entity: &str, record: &RecordId, event: Event) {
        self.entries.push(Entry::new(operation.clone(), entity, record.clone(), event));
    }
    /// Says why a person does this: it stands in the audit row, also where that has no line.
    pub(super) fn because(&mut self, reason: Option<&str>) {
        self.reason = reason.map(str::to_owned);
    }
    /// Whether the trail keeps what is given up.
    pub(super) fn keep(&mut self, keeps: bool) {
        self.keeps = keeps;
    }
    /// Adds a line for every name that an operation ever had: a file can bring it again under each.
    pub(super) fn note_all(&mut self, stored: &OutboxRow, operation: &Operation, event: &Event) {
        for id in stored.names(operation) {
            self.note(&Operation { id: id.clone(), ..operation.clone() }, event.clone());
        }
    }
    /// Notes how an operation ended.
    pub(super) fn settle(&mut self, operation: &OpId, settled: Settled) {
        self.effects.settled.push((operation.clone(), settled));
    }
    /// Any other write.
    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }
    /// Counts a record that could not be read.
    pub(super) fn quarantined(&mut self) {
        self.effects.quarantined += 1;
    }
    /// Now, ms by the device.
    pub(super) fn now(&self) -> u64 {
        self.now
    }
    /// The app's schema.
    pub(super) fn schema(&self) -> &'w Schema {
        self.schema
    }
}
