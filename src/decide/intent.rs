//! What the app wants of one record, checked against what is stored: the record it is about, the action that it
//! comes to, the references that it may hold, and who refers to what shall go.

use std::rc::Rc;

use super::cache::{Cache, Run};
use super::ids::present;
use super::overlay::OverlayRow;
use super::rows::{BaseRow, IdRow, Seen};
use super::state::SyncState;
use super::work::Work;
use crate::model::{Action, RecordId};
use crate::plan::{Read, Table};
use crate::relations::Named;
use crate::schema::{Entity, Fault, OnDelete, Reference, Schema, check_references, map_references, on_delete, references, references_set};
use crate::value::{Delta, FieldPath, KeyRange, Limits, Object};

/// What the app wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    /// A new record.
    Create {
        /// A temp ID or a client-issued ID that is free.
        id: RecordId,
        /// The fields, checked against [`Limits::RECORD`].
        data: Object,
    },
    /// Other values for some fields.
    Update {
        /// Any ID the record has or had.
        id: RecordId,
        /// Top-level fields and their new values.
        set: Object,
        /// Top-level fields to take away.
        unset: Vec<String>,
    },
    /// The record goes.
    Delete {
        /// Any ID the record has or had.
        id: RecordId,
    },
}

impl Intent {
    /// The ID by which the app names the record.
    pub fn id(&self) -> &RecordId {
        match self {
            Self::Create { id, .. } | Self::Update { id, .. } | Self::Delete { id } => id,
        }
    }
    fn fields(&self) -> Option<&Object> {
        match self {
            Self::Create { data, .. } => Some(data),
            Self::Update { set, .. } => Some(set),
            Self::Delete { .. } => None,
        }
    }
}

/// Why a write was refused. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// No such record, or it is deleted.
    #[error("there is no {entity} '{id}'")]
    UnknownRecord {
        /// The entity type.
        entity: String,
        /// The ID.
        id: RecordId,
    },
    /// The ID is taken.
    #[error("there is already a {entity} '{id}'")]
    AlreadyExists {
        /// The entity type.
        entity: String,
        /// The ID.
        id: RecordId,
    },
    /// A value at a reference path that is no ID.
    #[error("the reference '{path}' must be the ID of a {entity}: a string or an integer, and no temp ID of another entity")]
    InvalidReference {
        /// The path.
        path: String,
        /// The entity it should point to.
        entity: String,
    },
    /// The record referred to is deleted.
    #[error("'{path}' refers to the {entity} '{id}', which is deleted")]
    ReferenceDeleted {
        /// The path.
        path: String,
        /// The entity.
        entity: String,
        /// The ID.
        id: RecordId,
    },
    /// Others refer to the record.
    #[error("the {entity} '{id}' cannot be deleted: other records refer to it")]
    HasDependents {
        /// The entity type.
        entity: String,
        /// The ID.
        id: RecordId,
        /// Who: entity and ID, the first twenty.
        dependents: Vec<(String, RecordId)>,
    },
    /// Another record has the values that no two may share.
    #[error("another {entity}, '{id}', has these values of {}", fields.join(", "))]
    UniqueViolation {
        /// The entity type.
        entity: String,
        /// The paths of the constraint.
        fields: Vec<String>,
        /// The other record.
        id: RecordId,
    },
    /// The record would not be as the schema declares it, or a function of the app refuses it.
    #[error("the {entity} is refused: {}", told(faults))]
    Invalid {
        /// The entity type.
        entity: String,
        /// What is wrong with it.
        faults: Vec<Fault>,
    },
    /// More levels of records go along than one transaction can find: those that it found, so that the next one asks for what
    /// refers to them at once, and finds more.
    #[error("more levels of records go along than can be found at once: delete in parts")]
    Deeper {
        /// They, and what stays and refers to them.
        found: Vec<Named>,
    },
    /// It would come to another record than the one that a function of the app was asked about.
    #[error("the record changed while the app's functions looked at it")]
    Unsettled,
    /// The record would exceed the limits of a record, or a transaction those of one upload.
    #[error("{reason}")]
    Value {
        /// `too_large`, `too_deep` or `invalid_value`.
        code: &'static str,
        /// Why.
        reason: String,
    },
}

impl WriteError {
    /// Whether another try that knows of what this one found gets further: then that is among what goes along.
    pub fn goes_deeper(&self, along: &mut Rc<Vec<Named>>) -> bool {
        let Self::Deeper { found } = self else { return false };
        Rc::make_mut(along).extend(found.iter().cloned());
        true
    }
}

fn told(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| format!("'{}' ({})", fault.path, fault.message.as_ref().unwrap_or(&fault.rule)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// An entity of the schema.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) schema: &'p Schema,
    pub(super) entity: &'p str,
}

impl<'p> Place<'p> {
    pub(super) fn declared(&self) -> Option<&'p Entity> {
        self.schema.entity(self.entity)
    }
    fn references(&self, data: &Object) -> Vec<Reference> {
        self.declared().map(|declared| references(declared, data)).unwrap_or_default()
    }

    /// Asks for what the intent will most likely need, so that it comes with the first round.
    pub(super) fn prefetch(&self, db: &mut Cache, intent: &Intent, generation: u64) {
        let asked = intent.id();
        db.prefetch([OverlayRow::read_by_id(self.entity, asked)]);
        if asked.as_temp().is_some() {
            db.prefetch([IdRow::read(self.entity, asked)]);
        } else {
            db.prefetch([BaseRow::read(generation, self.entity, asked)]);
        }
        if let Intent::Create { data, .. } = intent {
            self.prefetch_rivals(db, data, generation);
        }
        for target in intent.fields().map(|data| self.references(data)).unwrap_or_default() {
            db.prefetch([OverlayRow::read_by_id(&target.entity, &target.id)]);
            if target.id.as_temp().is_some() {
                db.prefetch([IdRow::read(&target.entity, &target.id)]);
            }
        }
    }

    /// The record as it is here.
    pub(super) fn existing(&self, db: &mut Cache, work: &Work<'_>, id: &RecordId, generation: u64) -> Run<Option<OverlayRow>> {
        if let Some(row) = work.overlay_by_id(db, self.entity, id)? {
            return Ok(Some(row));
        }
        // What the server has never named is in no base: no second round for a new record.
        if id.as_temp().is_some() {
            return Ok(None);
        }
        let sync = SyncState::look(db)?;
        let base = db.one::<BaseRow>(&BaseRow::read(generation, self.entity, id))?;
        Ok(base.map(|base| OverlayRow::over(self.entity, base, &sync)))
    }

    /// The record, and what the intent does to it; nothing if it changes nothing.
    pub(super) fn action(
        &self,
        db: &mut Cache,
        work: &Work<'_>,
        intent: &Intent,
        generation: u64,
    ) -> Run<Result<(OverlayRow, Option<Action>), WriteError>> {
        let id = present(db, self.entity, intent.id())?;
        let existing = self.existing(db, work, &id, generation)?;
        let there = || {
            let row = existing.clone().filter(|row| row.view.is_some());
            row.ok_or_else(|| WriteError::UnknownRecord { entity: self.entity.to_owned(), id: intent.id().clone() })
        };
        match intent {
            Intent::Create { data, .. } => {
                if existing.is_some() || id != *intent.id() {
                    return Ok(Err(WriteError::AlreadyExists { entity: self.entity.to_owned(), id }));
                }
                let mapped = self.mapped(db, data)?;
                Ok(mapped.map(|data| (OverlayRow::fresh(self.entity, id), Some(Action::Create { data }))))
            }
            Intent::Update { set, unset, .. } => {
                let mapped = self.mapped(db, set)?;
                Ok(there().and_then(|row| self.changed(row, mapped?, unset)))
            }
            Intent::Delete { .. } => Ok(there().map(|row| (row, Some(Action::Delete)))),
        }
    }

    fn changed(&self, row: OverlayRow, set: Object, unset: &[String]) -> Result<(OverlayRow, Option<Action>), WriteError> {
        let old = row.view.clone().unwrap_or_default();
        let mut new = old.clone();
        new.extend(set);
        for field in unset {
            new.remove(field);
        }
        check_size(&new)?;
        // Told as the entity's rules want it: what is done to a count or a list can be done over what others do.
        let delta = self.declared().map_or_else(|| Delta::diff(&old, &new), |entity| entity.conflicts.delta(&old, &new));
        Ok((row, (!delta.is_empty()).then_some(Action::Update { delta })))
    }

    /// The fields as they are stored: references checked, temp IDs that became something else replaced.
    pub(super) fn mapped(&self, db: &mut Cache, data: &Object) -> Run<Result<Object, WriteError>> {
        let Some(declared) = self.declared() else { return Ok(Ok(data.clone())) };
        if let Err(error) = check_references(declared, data) {
            return Ok(Err(WriteError::InvalidReference { path: error.path, entity: error.entity }));
        }
        let mut mapping = Vec::new();
        for target in references(declared, data) {
            let now = present(db, &target.entity, &target.id)?;
            if now != target.id {
                mapping.push((target, now));
            }
        }
        let mut data = data.clone();
        map_references(declared, &mut data, &mut |entity, id| {
            mapping.iter().find(|(target, _)| target.entity == entity && target.id == *id).map(|(_, now)| now.clone())
        });
        Ok(Ok(data))
    }

    /// A reference to a record that is deleted here is refused; one to a record that is not here is allowed.
    pub(super) fn check_targets(&self, db: &mut Cache, work: &Work<'_>, action: &Action) -> Run<Option<WriteError>> {
        let targets = self.declared().map(|declared| references_set(declared, action)).unwrap_or_default();
        db.prefetch(targets.iter().map(|target| OverlayRow::read_by_id(&target.entity, &target.id)));
        for target in targets {
            let deleted = work.overlay_by_id(db, &target.entity, &target.id)?.is_some_and(|row| row.view.is_none());
            if deleted {
                return Ok(Some(WriteError::ReferenceDeleted { path: target.path, entity: target.entity, id: target.id }));
            }
        }
        Ok(None)
    }

    /// References that the record held before and not any more.
    pub(super) fn drops(&self, row: &OverlayRow, action: &Action) -> Vec<(String, RecordId)> {
        let held = row.view.as_ref().map(|view| self.references(view)).unwrap_or_default();
        let kept = super::rebase::after(row.view.clone(), action).map(|view| self.references(&view)).unwrap_or_default();
        let gone = held.into_iter().filter(|old| !kept.iter().any(|new| new.entity == old.entity && new.id == old.id));
        gone.map(|old| (old.entity, old.id)).collect()
    }

    /// Asks for the rows in which the records that refer to one are found.
    pub(super) fn prefetch_referring(&self, db: &mut Cache, sync: &SyncState, id: &RecordId) {
        for (from, path) in self.schema.referring_to(self.entity) {
            db.prefetch([OverlayRow::read_referring(from, path.as_str(), id), read_below(sync, from, path, id)]);
        }
    }

    /// The records that visibly refer to one, itself left out. Of those that go along with it the same is asked already: it
    /// comes in the round in which these are known.
    pub(super) fn referring(&self, db: &mut Cache, work: &Work<'_>, sync: &SyncState, id: &RecordId) -> Run<Vec<OverlayRow>> {
        let paths: Vec<_> = self.schema.referring_to(self.entity).collect();
        let in_overlay = |(from, path): &(&str, &FieldPath)| OverlayRow::read_referring(from, path.as_str(), id);
        let in_base = |(from, path): &(&str, &FieldPath)| read_below(sync, from, path, id);
        self.prefetch_referring(db, sync, id);
        let mut found: Vec<OverlayRow> = Vec::new();
        let refers_now = |row: &OverlayRow| {
            let document = serde_json::Value::Object(row.view.clone().unwrap_or_default());
            let here = paths.iter().filter(|(from, _)| *from == row.entity);
            here.into_iter().any(|(_, path)| path.values(&document).into_iter().any(|value| *value == id.to_value()))
        };
        for place in &paths {
            for row in db.all::<OverlayRow>(&in_overlay(place))? {
                found.extend(work.latest(row).filter(refers_now));
            }
        }
        found.extend(work.changed_rows().filter(|row| refers_now(row)).cloned());
        let mut below = Vec::new();
        for place in &paths {
            let refers = |row: &BaseRow| {
                let document = serde_json::Value::Object(row.data.clone());
                place.1.values(&document).into_iter().any(|value| *value == id.to_value())
            };
            below.extend(db.all::<BaseRow>(&in_base(place))?.into_iter().filter(refers).map(|row| (place.0, row)));
        }
        db.prefetch(below.iter().map(|(entity, row)| OverlayRow::read_by_id(entity, &row.id)));
        let here = found.iter().filter_map(|row| Some((row.entity.as_str(), &row.id, row.view.as_ref()?)));
        for (entity, row, data) in here.chain(below.iter().map(|(entity, row)| (*entity, &row.id, &row.data))) {
            let rule = self
                .schema
                .entity(entity)
                .and_then(|declared| on_delete(declared, data, &|target, held| target == self.entity && held == id));
            if rule == Some(OnDelete::Cascade) {
                Place { schema: self.schema, entity }.prefetch_referring(db, sync, row);
            }
        }
        for (entity, row) in below {
            // What the overlay says of a record hides what the base says.
            if work.overlay_by_id(db, entity, &row.id)?.is_none() {
                found.push(OverlayRow::over(entity, row, sync));
            }
        }
        let mut seen = Seen::default();
        seen.insert(self.entity, id);
        found.retain(|row| seen.insert(&row.entity, &row.id));
        Ok(found)
    }
}

/// The rows of `base` in which whoever refers to a record at this path is found.
fn read_below(sync: &SyncState, from: &str, path: &FieldPath, id: &RecordId) -> Read {
    if sync.is_indexed(from, path.as_str()) {
        BaseRow::read_index(sync.generation, from, path.as_str(), KeyRange::only(id.to_key()))
    } else {
        Read::range(Table::Base, BaseRow::range(sync.generation, from))
    }
}

/// A transaction that would not go up in one piece.
pub(super) fn too_many() -> WriteError {
    WriteError::Value { code: "too_large", reason: "a transaction holds at most 1,000 operations and 1 MiB".to_owned() }
}

pub(super) fn check_size(data: &Object) -> Result<(), WriteError> {
    let mut value = serde_json::Value::Object(data.clone());
    crate::value::check(&mut value, &Limits::RECORD).map_err(|error| WriteError::Value { code: error.code(), reason: error.to_string() })
}
