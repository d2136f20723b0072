//! Whether another record has the values that no two records of an entity share. No index of a database decides that: a local
//! write is refused here, and what comes with a page never is, so that two records can share values until somebody decides.

use super::cache::{Cache, Run};
use super::intent::{Place, WriteError};
use super::overlay::OverlayRow;
use super::rows::BaseRow;
use super::state::SyncState;
use super::work::Work;
use crate::model::RecordId;
use crate::plan::{Read, Table};
use crate::schema::{Entity, Holding};
use crate::value::{KeyRange, Object};

/// Whether a record that is shown holds this.
fn holds(declared: &Entity, data: Option<&Object>, holding: &Holding) -> bool {
    data.is_some_and(|data| declared.holdings(data).contains(holding))
}

impl Place<'_> {
    fn in_base(&self, sync: &SyncState, holding: &Holding) -> Read {
        if sync.is_indexed(self.entity, &holding.name) {
            let values = KeyRange::only(holding.values.as_str().into());
            BaseRow::read_index(sync.generation, self.entity, &holding.name, values)
        } else {
            Read::range(Table::Base, BaseRow::range(sync.generation, self.entity))
        }
    }

    fn in_overlay(&self, sync: &SyncState, holding: &Holding) -> Read {
        // What is unsent since before the constraint was declared has no entry of it until all is downloaded anew.
        let declared_since = !sync.is_indexed(self.entity, &holding.name) && sync.covers.iter().any(|covered| covered == self.entity);
        if declared_since { OverlayRow::read_entity(self.entity) } else { OverlayRow::read_holding(self.entity, holding) }
    }

    /// Asks for whoever may hold what a new record takes, so that it comes with the first round.
    pub(super) fn prefetch_rivals(&self, db: &mut Cache, data: &Object, generation: u64) {
        for holding in self.declared().map(|declared| declared.holdings(data)).unwrap_or_default() {
            let values = KeyRange::only(holding.values.as_str().into());
            let in_base = BaseRow::read_index(generation, self.entity, &holding.name, values);
            db.prefetch([OverlayRow::read_holding(self.entity, &holding), in_base]);
        }
    }

    /// The refusal of a write that makes of a record as it was `before` what it is `after`, if another record that is shown
    /// here holds what it takes by that.
    #[allow(clippy::too_many_arguments, reason = "the record, what is done to it, and all around both")]
    pub(super) fn rival(
        &self,
        db: &mut Cache,
        work: &Work<'_>,
        sync: &SyncState,
        own: &RecordId,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Run<Option<WriteError>> {
        let (Some(declared), Some(after)) = (self.declared(), after) else { return Ok(None) };
        let taken = declared.taken(before, after);
        for holding in &taken {
            db.prefetch([self.in_overlay(sync, holding), self.in_base(sync, holding)]);
        }
        for holding in &taken {
            if let Some(id) = self.holder(db, work, sync, own, holding)? {
                let (entity, fields) = (self.entity.to_owned(), declared.unique_fields(&holding.name));
                return Ok(Some(WriteError::UniqueViolation { entity, fields, id }));
            }
        }
        Ok(None)
    }

    /// Another record that holds this, as this decision has left it.
    fn holder(&self, db: &mut Cache, work: &Work<'_>, sync: &SyncState, own: &RecordId, holding: &Holding) -> Run<Option<RecordId>> {
        let Some(declared) = self.declared() else { return Ok(None) };
        let is_other = |row: &OverlayRow| row.entity == self.entity && row.id != *own && holds(declared, row.view.as_ref(), holding);
        if let Some(row) = work.changed_rows().find(|row| is_other(row)) {
            return Ok(Some(row.id.clone()));
        }
        for row in db.all::<OverlayRow>(&self.in_overlay(sync, holding))? {
            if let Some(row) = work.latest(row).filter(is_other) {
                return Ok(Some(row.id));
            }
        }
        let mut below: Vec<BaseRow> = db.all(&self.in_base(sync, holding))?;
        below.retain(|row| row.id != *own && holds(declared, Some(&row.data), holding));
        db.prefetch(below.iter().map(|row| OverlayRow::read_by_id(self.entity, &row.id)));
        for row in below {
            // What the overlay says of a record hides what the base says.
            if work.overlay_by_id(db, self.entity, &row.id)?.is_none() {
                return Ok(Some(row.id));
            }
        }
        Ok(None)
    }
}
