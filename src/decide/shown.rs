//! What queue and conflicts show: the IDs that records have now. The operations themselves keep the temp IDs
//! that they were written with, because their bytes are sealed.

use super::ids::ResolveId;
use super::rows::IdRow;
use crate::conflict::Conflict;
use crate::model::{Action, Operation, RecordId};
use crate::schema::{Schema, fold_delta, map_references, references_set, unfold_delta};
use crate::value::Object;

/// What temp IDs became.
#[derive(Clone, Debug, Default)]
pub struct Present {
    known: Vec<(String, RecordId, IdRow)>,
}

impl Present {
    /// The read that brings what these operations need.
    pub fn wanted<'o>(operations: impl Iterator<Item = &'o Operation>, schema: &Schema) -> ResolveId {
        let mut ids: Vec<(String, RecordId)> = Vec::new();
        for operation in operations {
            ids.push((operation.entity.clone(), operation.record.clone()));
            let held = schema.entity(&operation.entity).map(|declared| references_set(declared, &operation.action)).unwrap_or_default();
            ids.extend(held.into_iter().map(|found| (found.entity, found.id)));
        }
        ids.retain(|(_, id)| id.as_temp().is_some());
        ids.sort_unstable();
        ids.dedup();
        ResolveId { ids }
    }
    /// What that read found.
    pub fn new(known: Vec<(String, RecordId, IdRow)>) -> Self {
        Self { known }
    }

    fn of(&self, entity: &str, id: &RecordId) -> Option<RecordId> {
        let at = self.known.binary_search_by(|(e, earlier, _)| (e.as_str(), earlier).cmp(&(entity, id))).ok()?;
        Some(self.known[at].2.id.clone())
    }

    fn fields(&self, schema: &Schema, entity: &str, data: &mut Object) {
        if let Some(declared) = schema.entity(entity) {
            map_references(declared, data, &mut |entity, id| self.of(entity, id));
        }
    }

    /// The operation with present IDs, for people only.
    pub fn operation(&self, schema: &Schema, operation: &Operation) -> Operation {
        let mut shown = operation.clone();
        if let Some(id) = self.of(&shown.entity, &shown.record) {
            shown.record = id;
        }
        match &mut shown.action {
            Action::Create { data } => self.fields(schema, &operation.entity, data),
            Action::Update { delta } => {
                let mut folded = fold_delta(delta);
                self.fields(schema, &operation.entity, &mut folded);
                unfold_delta(delta, folded);
            }
            Action::Delete => {}
        }
        shown
    }

    /// The conflict with present IDs, for people only.
    pub fn conflict(&self, schema: &Schema, conflict: &Conflict) -> Conflict {
        let mut shown = conflict.clone();
        if let Some(id) = self.of(&shown.entity, &shown.record) {
            shown.record = id;
        }
        shown.operation = self.operation(schema, &conflict.operation);
        for step in &mut shown.steps {
            // Both sides are told already, and with the IDs of today.
            (step.lost, step.left) = (None, None);
        }
        for data in [&mut shown.base, &mut shown.local, &mut shown.server.data].into_iter().flatten() {
            self.fields(schema, &conflict.entity, data);
        }
        shown
    }
}
