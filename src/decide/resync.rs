//! A resync: everything is downloaded anew into the next generation of `base`, unseen, and one transaction
//! makes it the visible one. It lives as long as [`super::SyncState::filling`] says; if it dies half way, the
//! next session goes on from its own checkpoint. Unsent work is not touched by it. A first
//! download ends the same way, without a generation to drop.

use super::cache::{Cache, Decision, Run, each};
use super::overlay::OverlayRow;
use super::page::ApplyPage;
use super::rows::BaseRow;
use super::state::{Filling, SyncState};
use super::work::Work;
use crate::model::Version;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::value::KeyRange;

/// Begins a resync, in the place of one that is under way.
#[derive(Clone, Debug)]
pub struct BeginResync {
    /// Where the database stood when the need was seen.
    pub from: SyncState,
    /// What the new generation will cover.
    pub covering: Vec<String>,
}

impl Decision for BeginResync {
    /// Where the database stands now; nothing if another context went on before.
    type Out = Option<SyncState>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if !sync.stands_where(&self.from) {
            return Ok((Vec::new(), None));
        }
        let mut batch = sync.refill();
        sync.covering = Some(self.covering.clone());
        batch.push(Write::Put(Table::State, sync.row()));
        Ok((batch, Some(sync)))
    }
}

impl SyncState {
    /// Lets a resync begin at a generation that was never used, and takes away what an earlier one left half filled.
    pub(super) fn refill(&mut self) -> WriteBatch {
        let before = self.filling.take();
        let last = before.as_ref().map_or(self.generation, |filling| filling.generation);
        self.filling = Some(Filling { generation: last + 1, checkpoint: None });
        self.scopes.clear();
        // Everything comes anew, and what of that cannot be shown comes to lie there again.
        let quarantine = Write::DeleteRange(Table::Quarantine, KeyRange::all());
        before.into_iter().map(|filling| drop_generation(filling.generation)).chain([quarantine]).collect()
    }
}

fn drop_generation(generation: u64) -> Write {
    Write::DeleteRange(Table::Base, KeyRange::within(vec![generation.into()]))
}

impl ApplyPage {
    /// The last page of a first download or a resync: what was filled is what is seen from now on, and what no page
    /// brought is gone.
    pub(super) fn show(&self, db: &mut Cache, work: &mut Work<'_>, generation: u64, through: Version) -> Run<()> {
        let overlay = Read::range(Table::Overlay, KeyRange::all());
        db.prefetch([overlay.clone(), OverlayRow::read_clean(through)]);
        let in_base = |row: &OverlayRow| BaseRow::read(generation, &row.entity, &row.id);
        let brought = self.brought();
        // Dirty rows of records that the server once had, deleted or not, if nothing newer than this download is known
        // of them.
        let mut dirty: Vec<OverlayRow> = db.all(&overlay)?;
        dirty.retain(|row| {
            let known = row.version.is_some_and(|version| version <= through);
            known && self.schema.entity(&row.entity).is_some() && !row.is_clean() && !brought.contains(&row.entity, &row.id)
        });
        db.prefetch(dirty.iter().map(in_base));
        each(dirty, |stored| {
            let state = match db.one::<BaseRow>(&in_base(&stored))? {
                // The server has it no more, and no page says since when.
                None => ServerState::plain(through, None),
                // It was written after an earlier page had brought it anew, on what was to be seen then.
                Some(base) if stored.version < Some(base.version) => ServerState::plain(base.version, Some(base.data)),
                Some(_) => return Ok(()),
            };
            let mut row = work.latest(stored.clone()).unwrap_or(stored);
            self.news(db, work, &mut row, state)?;
            if row.is_clean() || is(Bug::ResyncOverEdits) {
                row.ops.iter().for_each(|op| work.end(op.seq));
                work.drop_overlay(&row);
            } else {
                work.put(row);
            }
            Ok(())
        })?;
        // Deleted, not moved: whatever they stood for is in the new generation, or the server has it no more.
        let clean: Vec<OverlayRow> = db.all(&OverlayRow::read_clean(through))?;
        let clean = if is(Bug::GoneKept) { Vec::new() } else { clean };
        for row in clean.into_iter().filter(|row| self.schema.entity(&row.entity).is_some()) {
            work.touch(&row.entity, &row.id);
            work.drop_overlay(&row);
        }
        // What was written before something was declared has its entries from now on, as all that was filled.
        if SyncState::wanted(&self.schema).iter().any(|wanted| !self.from.covers.contains(wanted)) {
            for row in db.all::<OverlayRow>(&overlay)? {
                if let Some(row) = work.latest(row).filter(|row| self.schema.entity(&row.entity).is_some()) {
                    work.reindex(row);
                }
            }
        }
        if self.is_filling() {
            work.write(drop_generation(self.from.generation));
        }
        Ok(())
    }
}
