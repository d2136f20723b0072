//! A downloaded page: everything in it and its checkpoint, in one transaction, and only on the checkpoint
//! that the request was built on.
//!
//! A record that the overlay does not know goes to `base` unread. A clean overlay row gives way to what is
//! as new as itself. A record with an operation under way keeps the news waiting. One whose operations were
//! never sealed is rebased and judged here.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::value::RawValue;

use super::cache::{Cache, Decision, Run, Stop};
use super::rebase::{ServerClock, operations, rebase};
use super::rows::{BaseRow, OverlayRow, Seen, base_row, last_audit, once, row, seals};
use super::state::SyncState;
use super::work::{Effects, Work};
use crate::conflict::Conflict;
use crate::model::{Epoch, RecordId, Stamp, TempId, Version};
use crate::outbox::State;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::protocol::{ChangeKind, RawPage, ServerState};
use crate::schema::{Entity, Schema};
use crate::value::{KeyRange, Limits, Object, parse};

/// One record of a page, checked.
#[derive(Clone, Debug)]
pub struct Incoming {
    entity: String,
    id: RecordId,
    version: Version,
    state: Content,
    stamp: Stamp,
    field_stamps: BTreeMap<String, Stamp>,
    born_as: Option<TempId>,
}

#[derive(Clone, Debug)]
enum Content {
    There(Box<RawValue>, Object),
    Deleted,
    /// It cannot be read: the text as it came, and why.
    Unreadable(String, String),
}

impl Incoming {
    fn server(&self) -> Option<ServerState> {
        let data = match &self.state {
            Content::There(_, data) => Some(data.clone()),
            Content::Deleted => None,
            Content::Unreadable(..) => return None,
        };
        Some(ServerState { version: self.version, data, stamp: self.stamp, field_stamps: self.field_stamps.clone() })
    }
}

/// A page to apply.
#[derive(Clone, Debug)]
pub struct ApplyPage {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The records, checked.
    pub changes: Rc<Vec<Incoming>>,
    /// The checkpoint that was stored when the request was built.
    pub from: Option<String>,
    /// Whether this is the first page of a download from the beginning.
    pub begins: bool,
    /// The checkpoint after the page.
    pub checkpoint: String,
    /// Up to here everything is known after the page.
    pub through: Option<Version>,
    /// The server's lineage.
    pub epoch: Epoch,
    /// Up to here everything is durable at the server.
    pub durable: Version,
    /// Server time minus device time, ms.
    pub offset_ms: i64,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

/// What became of a page.
#[derive(Clone, Debug, PartialEq)]
pub enum PageResult {
    /// It is stored.
    Applied(Box<Effects>),
    /// The stored checkpoint or epoch is another than the request was built on.
    Dropped,
}

impl ApplyPage {
    /// Checks the records of a page: an entity that the schema does not know is none of ours, fields that
    /// break the rules of a value go into quarantine.
    pub fn check(page: &RawPage<'_>, schema: &Schema) -> Vec<Incoming> {
        let known = page.changes.iter().filter(|change| schema.entity(&change.entity).is_some());
        known
            .map(|change| {
                let state = match (change.kind, change.data) {
                    (ChangeKind::Delete, _) => Content::Deleted,
                    (ChangeKind::Upsert, None) => Content::Unreadable(String::new(), "no fields".to_owned()),
                    (ChangeKind::Upsert, Some(raw)) => match parse(raw.get(), &Limits::RECORD) {
                        Ok(serde_json::Value::Object(data)) => Content::There(raw.to_owned(), data),
                        Ok(_) => Content::Unreadable(raw.get().to_owned(), "not an object".to_owned()),
                        Err(error) => Content::Unreadable(raw.get().to_owned(), error.to_string()),
                    },
                };
                Incoming {
                    entity: change.entity.clone(),
                    id: change.id.clone(),
                    version: change.version,
                    state,
                    stamp: change.stamp,
                    field_stamps: change.field_stamps.clone(),
                    born_as: change.born_as.clone(),
                }
            })
            .collect()
    }

    /// The ID by which the overlay may know a record: the one it was born with here, or its real one.
    fn lookups(change: &Incoming) -> impl Iterator<Item = RecordId> {
        change.born_as.clone().map(RecordId::from).into_iter().chain([change.id.clone()])
    }
}

impl Decision for ApplyPage {
    type Out = PageResult;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, PageResult)> {
        let overlay_rows = Read::Count(Table::Overlay, KeyRange::all());
        db.prefetch([last_audit(), seals(), SyncState::read(), overlay_rows.clone()]);
        if let Some(through) = self.through {
            db.prefetch([OverlayRow::read_clean(through)]);
        }
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if sync.checkpoint != self.from || sync.epoch.as_ref().is_some_and(|stored| *stored != self.epoch) {
            return Ok((Vec::new(), PageResult::Dropped));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        let (known, rows) = self.known(db, &overlay_rows)?;

        let mut missing = false;
        for change in self.changes.iter() {
            let Some(declared) = self.schema.entity(&change.entity) else { continue };
            let found = Self::lookups(change).find_map(|id| known.get(&change.entity, &id)).and_then(|at| rows.get(at));
            let done = match found {
                None => self.to_base(&mut work, sync.generation, change, declared),
                Some(row) => self.to_overlay(db, &mut work, sync.generation, change, declared, row.clone()),
            };
            match done {
                Ok(()) => {}
                Err(Stop::Wait) => missing = true,
                Err(corrupt @ Stop::Corrupt(_)) => return Err(corrupt),
            }
        }
        if missing {
            return Err(Stop::Wait);
        }
        self.drain(db, &mut work, sync.generation)?;
        let wanted = SyncState::wanted(&self.schema);
        if self.begins {
            sync.covering = Some(wanted.clone());
        }
        if self.through.is_some()
            && let Some(covered) = sync.covering.take()
        {
            sync.covers = covered;
        }
        // Rows written now have no entry in an index that is declared no more.
        sync.covers.retain(|covered| wanted.contains(covered));
        sync.checkpoint = Some(self.checkpoint.clone());
        sync.through = self.through.or(sync.through);
        sync.epoch = Some(self.epoch.clone());
        sync.offset_ms = self.offset_ms;
        work.write(Write::Put(Table::State, sync.row()));
        let (batch, effects) = work.finish();
        Ok((batch, PageResult::Applied(Box::new(effects))))
    }
}

impl ApplyPage {
    /// The overlay rows of the page's records, by every ID they may be known by.
    fn known(&self, db: &mut Cache, overlay_rows: &Read) -> Run<(Seen, Vec<OverlayRow>)> {
        let rows: Vec<OverlayRow> = match db.count(overlay_rows)? {
            0 => Vec::new(),
            few if usize::try_from(few).is_ok_and(|few| few <= self.changes.len()) => {
                db.all(&Read::range(Table::Overlay, KeyRange::all()))?
            }
            _ => {
                let reads: Vec<Read> = self
                    .changes
                    .iter()
                    .flat_map(|change| Self::lookups(change).map(|id| OverlayRow::read_by_id(&change.entity, &id)))
                    .collect();
                db.prefetch(reads.iter().cloned());
                db.settle()?;
                let mut rows = Vec::new();
                for read in &reads {
                    rows.extend(db.all::<OverlayRow>(read)?);
                }
                rows
            }
        };
        let (mut known, rows) = (Seen::default(), once(rows));
        for (at, row) in rows.iter().enumerate() {
            known.put(&row.entity, &row.key, at);
            known.put(&row.entity, &row.id, at);
        }
        Ok((known, rows))
    }

    fn to_base(&self, work: &mut Work<'_>, generation: u64, change: &Incoming, declared: &Entity) -> Run<()> {
        match &change.state {
            Content::There(text, data) => {
                let stored = base_row(generation, &change.entity, declared, &change.id, change.version, text, data);
                work.write(Write::Put(Table::Base, stored));
            }
            Content::Deleted => work.write(Write::Delete(Table::Base, BaseRow::key(generation, &change.entity, &change.id))),
            Content::Unreadable(text, reason) => {
                let content = serde_json::json!({"version": change.version, "text": text, "reason": reason, "at": self.now});
                let key = [change.entity.as_str().into(), change.id.to_key()].into();
                work.write(Write::Put(Table::Quarantine, row(key, &content)));
                work.quarantined();
                return Ok(());
            }
        }
        work.touch(&change.entity, &change.id);
        Ok(())
    }

    fn to_overlay(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        generation: u64,
        change: &Incoming,
        declared: &Entity,
        mut row: OverlayRow,
    ) -> Run<()> {
        let Some(server) = change.server() else { return self.to_base(work, generation, change, declared) };
        if row.id != change.id {
            // Born here, and the mapping comes by this way first.
            work.map_all(db, &row, &change.id)?;
            row = work.overlay(db, &row.entity, &row.key)?.unwrap_or(row);
            row.id = change.id.clone();
            work.put(row.clone());
        }
        if row.version.is_some_and(|known| known > server.version) {
            return Ok(());
        }
        if row.is_clean() {
            work.drop_overlay(&row);
            return self.to_base(work, generation, change, declared);
        }
        if row.version == Some(server.version) {
            return Ok(());
        }
        let sealed = {
            let seals = work.seals(db)?;
            row.ops.iter().any(|op| seals.contains(op.seq))
        };
        let pending = operations(db, &row)?;
        let held = pending.iter().any(|(stored, _)| stored.state != State::Pending);
        if sealed || held {
            if let Some(conflict) = row.conflict {
                renew(db, work, conflict, &server)?;
            }
            if row.waiting.as_ref().is_none_or(|known| known.version < server.version) {
                row.waiting = Some(server);
            }
            work.put(row);
            return Ok(());
        }
        let clock = ServerClock { offset_ms: self.offset_ms, now: self.now };
        rebase(db, work, &mut row, &server, clock, pending, &[])?;
        if row.is_clean() {
            work.touch(&row.entity, &row.id);
            work.drop_overlay(&row);
            return self.to_base(work, generation, change, declared);
        }
        work.put(row);
        Ok(())
    }

    /// Clean overlay rows that the client now has by other means move to the base.
    fn drain(&self, db: &mut Cache, work: &mut Work<'_>, generation: u64) -> Run<()> {
        let Some(through) = self.through else { return Ok(()) };
        let clean: Vec<OverlayRow> = db.all(&OverlayRow::read_clean(through))?;
        // Whatever this page brought of them is as new or newer, and stands already.
        let mut brought = Seen::default();
        for change in self.changes.iter() {
            brought.insert(&change.entity, &change.id);
        }
        for row in clean {
            if !brought.contains(&row.entity, &row.id) {
                work.move_to_base(generation, &row);
            }
        }
        Ok(())
    }
}

/// At most one open conflict per record: whoever comes second renews its server side.
fn renew(db: &mut Cache, work: &mut Work<'_>, conflict: u64, server: &ServerState) -> Run<()> {
    if let Some(mut conflict) = db.one::<Conflict>(&Read::Get(Table::Conflicts, conflict.into()))? {
        conflict.server = server.clone();
        work.conflict(&conflict);
    }
    Ok(())
}
