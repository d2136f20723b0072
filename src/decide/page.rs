//! A downloaded page: everything in it and its checkpoint, in one transaction, and only on the position
//! that the request was built on.
//!
//! A record that the overlay does not know goes to `base` unread. A clean overlay row gives way to what is
//! as new as itself. A record with an operation under way keeps the news waiting. One whose operations were
//! never sealed is rebased and judged here. During a resync `base` means the generation that is being
//! filled ([`super::resync`]); what the app sees then is the overlay over the old one. A first download ends
//! like a resync: what it did not bring, the server has no more. A record that cannot be shown lies in quarantine
//! ([`super::quarantine`]), and what was known of it before stays.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, each, readable};
use super::chain::{operations, renew_view};
use super::effects::Effects;
use super::incoming::{Content, Incoming};
use super::overlay::{OverlayRow, once};
use super::quarantine::Quarantined;
use super::rebase::{ServerClock, rebase};
use super::rows::{BaseRow, Seen, base_row, last_audit, row, seals};
use super::state::{Filling, Scope, SyncState};
use super::work::Work;
use crate::conflict::Conflict;
use crate::model::{Epoch, Version};
use crate::outbox::State;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::schema::{Entity, Schema};
use crate::value::KeyRange;

/// A page to apply.
#[derive(Clone, Debug)]
pub struct ApplyPage {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The records, checked.
    pub changes: Rc<Vec<Incoming>>,
    /// Where the database stood when the request was built.
    pub from: SyncState,
    /// The entity that was asked for, if not all were.
    pub scope: Option<String>,
    /// The checkpoint after the page.
    pub checkpoint: String,
    /// Up to here everything is known after the page.
    pub through: Option<Version>,
    /// The server's lineage.
    pub epoch: Epoch,
    /// Server time minus device time, ms.
    pub offset_ms: i64,
    /// Whether an operation is parked, as far as is known: only then can one wait for a record that comes back.
    pub parked: bool,
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
    /// The stored position or epoch is another than the request was built on.
    Dropped,
}

impl Decision for ApplyPage {
    type Out = PageResult;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, PageResult)> {
        let overlay_rows = Read::count(Table::Overlay, KeyRange::all());
        db.prefetch([last_audit(), seals(), SyncState::read(), overlay_rows.clone(), Quarantined::count()]);
        if self.is_whole() && self.through.is_some() {
            db.prefetch([Read::range(Table::Overlay, KeyRange::all())]);
        }
        if let (Some(through), None) = (self.through, &self.scope) {
            db.prefetch([OverlayRow::read_clean(through)]);
        }
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if (!sync.stands_where(&self.from) && !is(Bug::PageUnguarded)) || sync.epoch.as_ref().is_some_and(|stored| *stored != self.epoch) {
            return Ok((Vec::new(), PageResult::Dropped));
        }
        let generation = sync.filling.as_ref().map_or(sync.generation, |filling| filling.generation);
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.measured(self.offset_ms);
        work.seals(db)?;
        let (known, rows) = self.known(db, &work, &overlay_rows)?;
        let none_aside = db.count(&Quarantined::count())? == 0;
        self.release(db, &mut work)?;

        let skipped = usize::from(is(Bug::RecordSkipped) && self.changes.len() > 1);
        let changes = each(self.changes.iter().take(self.changes.len() - skipped), |change| {
            let Some(declared) = self.schema.entity(&change.entity) else { return Ok(()) };
            let found = change.lookups().find_map(|id| known.get(&change.entity, &id)).and_then(|at| rows.get(at));
            match found {
                None => self.to_base(db, &mut work, generation, change, declared),
                Some(row) => self.to_overlay(db, &mut work, generation, change, declared, row.clone()),
            }
        });
        // What ends a download names its rows too, even if some of the page are still missing.
        let end = match self.through {
            Some(through) if self.is_whole() => self.show(db, &mut work, generation, through),
            Some(through) if self.scope.is_none() => self.drain(db, &mut work, generation, through),
            _ => Ok(()),
        };
        changes.and(end)?;
        self.await_targets(db, &mut work, &known, &rows)?;
        // Of what lay there before, nobody has looked at anything now.
        if none_aside && self.changes.iter().any(|change| matches!(change.state, Content::Refused(..))) {
            work.write(Quarantined::look(&self.schema));
        }
        self.advance(&mut sync);
        work.write(Write::Put(Table::State, sync.row()));
        let (batch, mut effects) = work.finish(db)?;
        effects.sync = Some(Box::new(sync));
        Ok((batch, PageResult::Applied(Box::new(effects))))
    }
}

impl ApplyPage {
    /// The overlay rows of the page's records, by every ID they may be known by; and of those that refer to them.
    fn known(&self, db: &mut Cache, work: &Work<'_>, overlay_rows: &Read) -> Run<(Seen, Vec<OverlayRow>)> {
        let rows: Vec<OverlayRow> = match db.count(overlay_rows)? {
            0 => Vec::new(),
            few if usize::try_from(few).is_ok_and(|few| few <= self.changes.len()) => {
                db.all(&Read::range(Table::Overlay, KeyRange::all()))?
            }
            _ => {
                let own = self.changes.iter().flat_map(|change| change.lookups().map(|id| OverlayRow::read_by_id(&change.entity, &id)));
                let reads: Vec<Read> = own.chain(self.awaiting(work)).collect();
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

    /// What lay in quarantine of records that come so that they can be shown, or are deleted, lies there no more.
    fn release(&self, db: &mut Cache, work: &mut Work<'_>) -> Run<()> {
        let count = db.count(&Quarantined::count())?;
        if count == 0 {
            return Ok(());
        }
        let mut freed = Seen::default();
        for change in self.changes.iter().filter(|change| !matches!(change.state, Content::Refused(..))) {
            freed.insert(&change.entity, &change.id);
        }
        let few = usize::try_from(count).is_ok_and(|few| few <= self.changes.len());
        let reads: Vec<Read> = if few {
            vec![Read::range(Table::Quarantine, KeyRange::all())]
        } else {
            self.changes.iter().map(|change| Quarantined::read(&change.entity, &change.id)).collect()
        };
        db.prefetch(reads.iter().cloned());
        db.settle()?;
        for read in &reads {
            for row in db.rows(read)? {
                if Quarantined::named(&row.key).is_some_and(|(entity, id)| freed.contains(&entity, &id)) {
                    work.write(Write::Delete(Table::Quarantine, row.key.clone()));
                }
            }
        }
        Ok(())
    }

    /// Where the database stands after the page.
    fn advance(&self, sync: &mut SyncState) {
        let wanted = SyncState::wanted(&self.schema);
        let checkpoint = Some(self.checkpoint.clone());
        sync.epoch = Some(self.epoch.clone());
        sync.offset_ms = self.offset_ms;
        sync.schema = self.schema.version;
        // Rows written now have no entry in an index that is declared no more.
        if let Some(covering) = &mut sync.covering {
            covering.retain(|covered| wanted.contains(covered));
        }
        if !self.is_filling() {
            sync.covers.retain(|covered| wanted.contains(covered));
        }
        if let (Some(entity), false) = (&self.scope, is(Bug::ScopeMovesAll)) {
            let before = sync.scopes.iter().position(|scope| scope.entity == *entity).map(|at| sync.scopes.remove(at));
            let through = self.through.or(before.and_then(|scope| scope.through));
            sync.scopes.push(Scope { entity: entity.clone(), checkpoint: self.checkpoint.clone(), through });
            return;
        }
        match (sync.filling.take(), self.through) {
            (Some(filling), None) => {
                sync.filling = Some(Filling { checkpoint, ..filling });
                return;
            }
            (Some(filling), Some(_)) => sync.generation = filling.generation,
            (None, _) if sync.checkpoint.is_none() => sync.covering = Some(wanted),
            (None, _) => {}
        }
        sync.checkpoint = checkpoint;
        sync.through = self.through.or(sync.through);
        if self.through.is_some() {
            if let Some(covered) = sync.covering.take() {
                sync.covers = covered;
            }
            sync.scopes.retain(|scope| scope.through > self.through);
        }
    }

    /// Whether the page belongs to a resync.
    pub(super) fn is_filling(&self) -> bool {
        self.from.filling.is_some()
    }

    /// Whether the page belongs to a download of everything there is, the first one or a resync: what has not come
    /// at its end, the server has no more.
    fn is_whole(&self) -> bool {
        self.is_filling() || (self.scope.is_none() && self.from.through.is_none())
    }

    pub(super) fn to_base(&self, db: &mut Cache, work: &mut Work<'_>, generation: u64, change: &Incoming, declared: &Entity) -> Run<()> {
        match &change.state {
            Content::There(text, data, sum) => {
                let stored = base_row(generation, &change.entity, declared, &change.id, change.version, text, data, sum);
                work.write(Write::Put(Table::Base, stored));
            }
            Content::Deleted => work.write(Write::Delete(Table::Base, BaseRow::key(generation, &change.entity, &change.id))),
            Content::Refused(..) => {
                // In a resync what was known of it before is in the old generation alone.
                if self.is_filling()
                    && let Some(base) = db.one::<BaseRow>(&BaseRow::read(self.from.generation, &change.entity, &change.id))?
                {
                    let state = base.clone().state(&self.from);
                    let before = BaseRow { version: state.version, ..base };
                    work.write(Write::Put(Table::Base, before.row(generation, &change.entity, declared)));
                }
                self.set_aside(work, change);
                return Ok(());
            }
        }
        if !self.is_filling() {
            work.touch(&change.entity, &change.id);
        }
        Ok(())
    }

    /// Puts a record that cannot be shown into quarantine.
    fn set_aside(&self, work: &mut Work<'_>, change: &Incoming) {
        if let Some(refused) = change.refused(self.now, &self.schema) {
            work.write(Write::Put(Table::Quarantine, row(Quarantined::key(&change.entity, &change.id), &refused)));
            work.quarantined();
        }
    }

    pub(super) fn to_overlay(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        generation: u64,
        change: &Incoming,
        declared: &Entity,
        mut row: OverlayRow,
    ) -> Run<()> {
        let Some(server) = change.server() else {
            // At the end of a whole download only what it has filled is left under the overlay.
            if let (true, Some(version), Some(data)) = (self.is_whole(), row.version, &row.base) {
                let kept = BaseRow { id: row.id.clone(), version, data: data.clone() };
                work.write(Write::Put(Table::Base, kept.row(generation, &row.entity, declared)));
                // What is declared since it was written has its entries from now on.
                work.reindex(row);
            }
            self.set_aside(work, change);
            return Ok(());
        };
        if row.id != change.id {
            // Born here, and the mapping comes by this way first.
            if row.id.as_temp().is_some() {
                work.map_conflicts(db, &row.entity, &row.id, &change.id)?;
            }
            row = work.map_all(db, row, &change.id)?;
            work.join(db, &mut row)?;
            work.put(row.clone());
        }
        if self.is_whole() {
            // It misses nothing, whatever lies over it.
            self.to_base(db, work, generation, change, declared)?;
        }
        if row.version.is_some_and(|known| known > server.version) && !is(Bug::OlderPageApplied) {
            return Ok(());
        }
        if is(Bug::PageOverEdits) {
            row.ops.iter().for_each(|op| work.end(op.seq));
            row.ops.clear();
        }
        if row.is_clean() {
            row.version = Some(server.version);
            row.base.clone_from(&server.data);
            row.view = server.data;
        } else if row.version == Some(server.version) {
            if let Some(conflict) = row.conflict {
                renew(db, work, conflict, &server)?;
            }
            if row.base == server.data {
                return Ok(());
            }
            // It was put together here, on what another lineage had.
            row.base = server.data;
            renew_view(db, work, &mut row)?;
        } else {
            self.news(db, work, &mut row, server)?;
        }
        if !row.is_clean() {
            work.put(row);
            return Ok(());
        }
        work.touch(&row.entity, &row.id);
        if self.is_filling() && self.through.is_none() {
            // The old generation is still the one to be seen: the row hides what it has of this record.
            work.put(row);
            return Ok(());
        }
        work.drop_overlay(&row);
        if self.is_whole() { Ok(()) } else { self.to_base(db, work, generation, change, declared) }
    }

    /// A newer state of the server for a record with operations: they are judged again, or it waits for them.
    pub(super) fn news(&self, db: &mut Cache, work: &mut Work<'_>, row: &mut OverlayRow, server: ServerState) -> Run<()> {
        let sealed = work.has_sealed(db, row)?;
        let pending = operations(db, work, row)?;
        let held = pending.iter().any(|(stored, _)| stored.state != State::Pending);
        if sealed || held {
            if let Some(conflict) = row.conflict {
                renew(db, work, conflict, &server)?;
            }
            if !is(Bug::NewsForgotten) {
                row.meet([server]);
            }
            return Ok(());
        }
        rebase(db, work, row, &server, ServerClock { offset_ms: self.offset_ms, now: self.now }, pending, &[])
    }

    /// Clean overlay rows that the client now has by other means move to the base.
    fn drain(&self, db: &mut Cache, work: &mut Work<'_>, generation: u64, through: Version) -> Run<()> {
        let clean: Vec<OverlayRow> = db.all(&OverlayRow::read_clean(through))?;
        // Whatever this page brought of them is as new or newer, and stands already.
        let brought = self.brought();
        for row in clean {
            // What only a newer release knows waits for that one.
            if self.schema.entity(&row.entity).is_some() && !brought.contains(&row.entity, &row.id) {
                work.move_to_base(generation, &row);
            }
        }
        Ok(())
    }

    /// The records of the page.
    pub(super) fn brought(&self) -> Seen {
        let mut brought = Seen::default();
        for change in self.changes.iter() {
            brought.insert(&change.entity, &change.id);
        }
        brought
    }
}

/// At most one open conflict per record: whoever comes second renews its server side, if that is older. After a
/// restore it is, even where the record has got its version of the new lineage by a receipt already.
fn renew(db: &mut Cache, work: &mut Work<'_>, conflict: u64, server: &ServerState) -> Run<()> {
    // One that cannot be read stays as it is.
    let found = readable::<Conflict>(db, &Read::Get(Table::Conflicts, conflict.into()))?;
    if let Some(mut conflict) = found.filter(|conflict| conflict.server.version < server.version) {
        conflict.server = server.clone();
        conflict.renew(work.now());
        work.conflict(&conflict);
    }
    Ok(())
}
