//! What the app reads: overlay over base, in one transaction, so that a record is never seen twice nor
//! missed while it moves from one to the other.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::ids::present;
use super::overlay::{OverlayRow, RecordView, once};
use super::rows::{BaseRow, IdRow, Seen};
use super::state::SyncState;
use crate::model::RecordId;
use crate::plan::{Read, Table, WriteBatch};
use crate::query::{Condition, Query};
use crate::schema::Schema;
use crate::value::KeyRange;

/// One record, by any ID it has or had.
#[derive(Clone, Debug)]
pub struct GetRecord {
    /// The entity type.
    pub entity: String,
    /// The ID.
    pub id: RecordId,
    /// The generation of `base` as last seen, so that the record comes with the first round.
    pub generation: u64,
}

impl Decision for GetRecord {
    type Out = Option<RecordView>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch([
            SyncState::read(),
            OverlayRow::read_by_id(&self.entity, &self.id),
            BaseRow::read(self.generation, &self.entity, &self.id),
        ]);
        let id = present(db, &self.entity, &self.id)?;
        if let Some(row) = db.one::<OverlayRow>(&OverlayRow::read_by_id(&self.entity, &id))? {
            return Ok((Vec::new(), row.into_view()));
        }
        let generation = SyncState::look(db)?.generation;
        let base: Option<BaseRow> = db.one(&BaseRow::read(generation, &self.entity, &id))?;
        Ok((Vec::new(), base.map(RecordView::from)))
    }
}

/// The records that a query means, in its order.
#[derive(Clone, Debug)]
pub struct QueryRecords {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The entity type.
    pub entity: String,
    /// What is asked.
    pub query: Query,
    /// The generation of `base` as last seen.
    pub generation: u64,
}

impl QueryRecords {
    fn found(&self, db: &mut Cache) -> Run<Vec<RecordView>> {
        let query = self.mapped(db)?;
        let in_overlay = OverlayRow::read_entity(&self.entity);
        let declared = self.schema.entity(&self.entity);
        // An index that not every row has its entries in would hide the others: then the rows are looked through.
        let in_base = |sync: Option<&SyncState>| {
            let generation = sync.map_or(self.generation, |sync| sync.generation);
            let usable = |path: &str| {
                declared.is_some_and(|entity| entity.is_indexed(path)) && sync.is_none_or(|sync| sync.is_indexed(&self.entity, path))
            };
            match query.by_index(usable) {
                Some((_, range)) if range.is_empty() => None,
                Some((path, range)) => Some(BaseRow::read_index(generation, &self.entity, path.as_str(), range)),
                None => Some(Read::range(Table::Base, BaseRow::range(generation, &self.entity))),
            }
        };
        db.prefetch([SyncState::read(), in_overlay.clone()].into_iter().chain(in_base(None)));
        let sync = SyncState::look(db)?;
        let over = once(db.all(&in_overlay)?);
        let mut hidden = Seen::default();
        for row in &over {
            hidden.insert(&self.entity, &row.id);
        }
        let mut found: Vec<RecordView> = Vec::new();
        if let Some(read) = in_base(Some(&sync)) {
            let below: Vec<BaseRow> = db.all(&read)?;
            // A list field has one index entry per item: the same record may come more than once, and is hidden then.
            let visible = below.into_iter().filter(|row| hidden.insert(&self.entity, &row.id) && query.matches(&row.id, &row.data));
            found.extend(visible.map(RecordView::from));
        }
        found.extend(over.into_iter().filter_map(OverlayRow::into_view).filter(|record| query.matches(&record.id, &record.data)));
        query.arrange(&mut found, |record| (&record.id, &record.data));
        Ok(found)
    }

    /// The query with temp IDs replaced, in `id` and at declared references, by what they became.
    fn mapped(&self, db: &mut Cache) -> Run<Query> {
        let mut query = self.query.clone();
        let mut temps = Vec::new();
        self.for_each_id(&mut query, &mut |entity, value| {
            if let Ok(id) = RecordId::from_value(value)
                && id.as_temp().is_some()
            {
                temps.push((entity.to_owned(), id));
            }
            Ok(())
        })?;
        // All at once: one round, however many there are.
        db.prefetch(temps.iter().map(|(entity, id)| IdRow::read(entity, id)));
        self.for_each_id(&mut query, &mut |entity, value| {
            if let Ok(id) = RecordId::from_value(value) {
                *value = present(db, entity, &id)?.to_value();
            }
            Ok(())
        })?;
        Ok(query)
    }

    fn for_each_id(&self, query: &mut Query, with: &mut dyn FnMut(&str, &mut serde_json::Value) -> Run<()>) -> Run<()> {
        for (path, condition) in &mut query.conditions {
            let target = if path.as_str() == "id" {
                Some(self.entity.as_str())
            } else {
                self.schema.entity(&self.entity).and_then(|entity| entity.references.get(path)).map(String::as_str)
            };
            let values: &mut [serde_json::Value] = match condition {
                Condition::Eq(value) => std::slice::from_mut(value),
                Condition::In(values) => values,
                Condition::Range(_) | Condition::Prefix(_) => &mut [],
            };
            let Some(entity) = target else { continue };
            for value in values {
                with(entity, value)?;
            }
        }
        Ok(())
    }
}

impl Decision for QueryRecords {
    type Out = Vec<RecordView>;
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        Ok((Vec::new(), self.found(db)?))
    }
}

/// How many records a query means, whatever its slice.
#[derive(Clone, Debug)]
pub struct CountRecords(pub QueryRecords);

impl Decision for CountRecords {
    type Out = usize;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, usize)> {
        let QueryRecords { entity, query, generation, .. } = &self.0;
        if !query.conditions.is_empty() {
            let whole = QueryRecords { query: Query { conditions: query.conditions.clone(), ..Query::default() }, ..self.0.clone() };
            return Ok((Vec::new(), whole.found(db)?.len()));
        }
        let in_overlay = OverlayRow::read_entity(entity);
        db.prefetch([SyncState::read(), in_overlay.clone(), Read::count(Table::Base, BaseRow::range(*generation, entity))]);
        let generation = SyncState::look(db)?.generation;
        let below = db.count(&Read::count(Table::Base, BaseRow::range(generation, entity)))?;
        let over = once(db.all(&in_overlay)?);
        let hides = |row: &OverlayRow| Read::count(Table::Base, KeyRange::only(BaseRow::key(generation, entity, &row.id)));
        db.prefetch(over.iter().map(hides));
        let mut hidden = 0;
        for row in &over {
            hidden += db.count(&hides(row))?;
        }
        let shown = over.iter().filter(|row| row.view.is_some()).count();
        Ok((Vec::new(), usize::try_from(below.saturating_sub(hidden)).unwrap_or(usize::MAX).saturating_add(shown)))
    }
}
