//! The local write: create, update, delete. Three puts, one transaction: the overlay row that shows it, the
//! outbox row that sends it, the audit row that proves it.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::ids::present;
use super::rows::{BaseRow, IdRow, OpRef, OverlayRow, RecordView, last_audit};
use super::state::SyncState;
use super::work::{Effects, Work};
use crate::audit::Event;
use crate::model::{Action, Base, OpId, Operation, RecordId};
use crate::outbox::OutboxRow;
use crate::plan::{Read, Table, WriteBatch};
use crate::schema::{Entity, Schema, check_references, map_references, references};
use crate::value::{Delta, FieldPath, KeyRange, Limits, Object};

/// The most IDs that a refusal names.
const DEPENDENTS_NAMED_MAX: usize = 20;

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

/// A local write.
#[derive(Clone, Debug)]
pub struct LocalWrite {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The entity type; it is in the schema.
    pub entity: String,
    /// What the app wants.
    pub intent: Intent,
    /// The operation's ID, made before.
    pub operation: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The generation of `base` as last seen, so that the record comes with the first round.
    pub generation: u64,
}

/// A write that took effect here.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The record afterwards; nothing if it was deleted.
    pub record: Option<RecordView>,
    /// The operation; nothing if the update changed nothing.
    pub operation: Option<OpId>,
    /// What to show.
    pub effects: Effects,
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
    #[error("the reference '{path}' to {entity} must be a string or an integer")]
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
    /// The record would exceed the limits of a record.
    #[error("{reason}")]
    Value {
        /// `too_large`, `too_deep` or `invalid_value`.
        code: &'static str,
        /// Why.
        reason: String,
    },
}

impl Decision for LocalWrite {
    type Out = Result<Written, WriteError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let refused = |error| Ok((Vec::new(), Err(error)));
        let Some(declared) = self.schema.entity(&self.entity) else {
            return refused(WriteError::UnknownRecord { entity: self.entity.clone(), id: self.intent_id().clone() });
        };
        let by_operation = Read::index(Table::Audit, KeyRange::only(self.operation.as_str().into()));
        let asked = self.intent_id().clone();
        db.prefetch([last_audit(), by_operation.clone(), SyncState::read(), OverlayRow::read_by_id(&self.entity, &asked)]);
        if asked.as_temp().is_some() {
            db.prefetch([IdRow::read(&self.entity, &asked)]);
        }
        if asked.as_temp().is_none() {
            db.prefetch([BaseRow::read(self.generation, &self.entity, &asked)]);
        }
        self.prefetch_references(db, declared);
        let replayed = !db.rows(&by_operation)?.is_empty();

        let id = present(db, &self.entity, &asked)?;
        let sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let generation = sync.generation;
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let overlay = work.overlay_by_id(db, &self.entity, &id)?;
        if replayed {
            // The connection died after the commit and before we were told: the write stands.
            let record = overlay.and_then(OverlayRow::into_view);
            return Ok((Vec::new(), Ok(Written { record, operation: Some(self.operation.clone()), effects: Effects::default() })));
        }
        let existing = match overlay {
            Some(row) => Some(row),
            // What the server has never named is in no base: no second round for a new record.
            None if id.as_temp().is_some() => None,
            None => db.one::<BaseRow>(&BaseRow::read(generation, &self.entity, &id))?.map(|base| self.over(base)),
        };

        let (mut row, action) = match self.action(declared, db, id, existing)? {
            Ok((row, Some(action))) => (row, action),
            Ok((row, None)) => {
                return Ok((Vec::new(), Ok(Written { record: row.into_view(), operation: None, effects: Effects::default() })));
            }
            Err(error) => return refused(error),
        };
        if let Some(error) = self.check_targets(db, declared, &work, &action)? {
            return refused(error);
        }
        let drops = self.drops(declared, &row, &action);
        if matches!(action, Action::Delete) {
            let dependents = self.dependents(db, &work, &sync, &row.id)?;
            if !dependents.is_empty() {
                return refused(WriteError::HasDependents { entity: self.entity.clone(), id: row.id, dependents });
            }
        }

        let base = match (row.ops.last(), row.version) {
            (Some(last), _) => Base::After(last.id.clone()),
            (None, Some(version)) => Base::Version(version),
            (None, None) => Base::None,
        };
        let operation = Operation {
            id: self.operation.clone(),
            seq: work.take_seq(),
            entity: self.entity.clone(),
            record: row.id.clone(),
            action,
            base,
            stamp: work.stamp(),
            author: self.user.clone(),
            stamps: std::collections::BTreeMap::new(),
            lane: None,
            group: None,
            supersedes: None,
            schema: self.schema.version,
        };
        row.view = super::rebase::after(row.view.take(), &operation.action);
        row.stamp = Some(work.stamp());
        row.ops.push(OpRef { seq: operation.seq, id: operation.id.clone() });
        work.queue(&operation, OutboxRow::new(&operation, row.key.clone(), drops, self.now));
        work.note(&operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        work.put(row.clone());
        let (batch, effects) = work.finish();
        Ok((batch, Ok(Written { record: row.into_view(), operation: Some(operation.id), effects })))
    }
}

impl LocalWrite {
    fn intent_id(&self) -> &RecordId {
        match &self.intent {
            Intent::Create { id, .. } | Intent::Update { id, .. } | Intent::Delete { id } => id,
        }
    }

    fn incoming(&self) -> Option<&Object> {
        match &self.intent {
            Intent::Create { data, .. } => Some(data),
            Intent::Update { set, .. } => Some(set),
            Intent::Delete { .. } => None,
        }
    }

    fn prefetch_references(&self, db: &mut Cache, declared: &Entity) {
        for target in self.incoming().map(|data| references(declared, data)).unwrap_or_default() {
            db.prefetch([OverlayRow::read_by_id(&target.entity, &target.id)]);
            if target.id.as_temp().is_some() {
                db.prefetch([IdRow::read(&target.entity, &target.id)]);
            }
        }
    }

    /// An overlay row over a base row.
    fn over(&self, base: BaseRow) -> OverlayRow {
        OverlayRow { version: Some(base.version), base: Some(base.data.clone()), view: Some(base.data), ..self.fresh(base.id) }
    }

    fn fresh(&self, id: RecordId) -> OverlayRow {
        OverlayRow {
            entity: self.entity.clone(),
            key: id.clone(),
            id,
            version: None,
            base: None,
            view: None,
            ops: Vec::new(),
            waiting: None,
            stamp: None,
            conflict: None,
            parked: false,
        }
    }

    /// The record, and what the intent does to it; nothing if it changes nothing.
    fn action(&self, declared: &Entity, db: &mut Cache, id: RecordId, existing: Option<OverlayRow>) -> Run<Result<Change, WriteError>> {
        let there = || {
            let row = existing.clone().filter(|row| row.view.is_some());
            row.ok_or_else(|| WriteError::UnknownRecord { entity: self.entity.clone(), id: self.intent_id().clone() })
        };
        match &self.intent {
            Intent::Create { data, .. } => {
                if existing.is_some() || id != *self.intent_id() {
                    return Ok(Err(WriteError::AlreadyExists { entity: self.entity.clone(), id }));
                }
                let mapped = self.mapped(declared, db, data)?;
                Ok(mapped.map(|data| (self.fresh(id), Some(Action::Create { data }))))
            }
            Intent::Update { set, unset, .. } => {
                let mapped = self.mapped(declared, db, set)?;
                Ok(there().and_then(|row| changed(row, mapped?, unset)))
            }
            Intent::Delete { .. } => Ok(there().map(|row| (row, Some(Action::Delete)))),
        }
    }

    /// The fields as they are stored: references checked, temp IDs that became something else replaced.
    fn mapped(&self, declared: &Entity, db: &mut Cache, data: &Object) -> Run<Result<Object, WriteError>> {
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
    fn check_targets(&self, db: &mut Cache, declared: &Entity, work: &Work<'_>, action: &Action) -> Run<Option<WriteError>> {
        let set = match action {
            Action::Create { data } => data.clone(),
            Action::Update { delta } => crate::schema::fold_delta(delta),
            Action::Delete => return Ok(None),
        };
        let targets = references(declared, &set);
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
    fn drops(&self, declared: &Entity, row: &OverlayRow, action: &Action) -> Vec<(String, RecordId)> {
        let held = row.view.as_ref().map(|view| references(declared, view)).unwrap_or_default();
        let kept = super::rebase::after(row.view.clone(), action).map(|view| references(declared, &view)).unwrap_or_default();
        let gone = held.into_iter().filter(|old| !kept.iter().any(|new| new.entity == old.entity && new.id == old.id));
        gone.map(|old| (old.entity, old.id)).collect()
    }

    /// Who visibly refers to a record, itself left out.
    fn dependents(&self, db: &mut Cache, work: &Work<'_>, sync: &SyncState, id: &RecordId) -> Run<Vec<(String, RecordId)>> {
        let paths: Vec<_> = self.schema.referring_to(&self.entity).collect();
        let in_overlay = |(from, path): &(&str, &FieldPath)| OverlayRow::read_referring(from, path.as_str(), id);
        let in_base = |(from, path): &(&str, &FieldPath)| {
            if sync.is_indexed(from, path.as_str()) {
                BaseRow::read_index(sync.generation, from, path.as_str(), KeyRange::only(id.to_key()))
            } else {
                Read::range(Table::Base, BaseRow::range(sync.generation, from))
            }
        };
        db.prefetch(paths.iter().map(in_overlay).chain(paths.iter().map(in_base)));
        let mut found: Vec<(String, RecordId)> = Vec::new();
        for place in &paths {
            for row in db.all::<OverlayRow>(&in_overlay(place))? {
                found.push((row.entity, row.id));
            }
        }
        let mut below = Vec::new();
        for place in &paths {
            let refers = |row: &BaseRow| {
                let document = serde_json::Value::Object(row.data.clone());
                place.1.values(&document).into_iter().any(|value| *value == id.to_value())
            };
            below.extend(db.all::<BaseRow>(&in_base(place))?.into_iter().filter(refers).map(|row| (place.0.to_owned(), row.id)));
        }
        db.prefetch(below.iter().map(|(entity, id)| OverlayRow::read_by_id(entity, id)));
        for (entity, id) in below {
            // What the overlay says of a record hides what the base says.
            if work.overlay_by_id(db, &entity, &id)?.is_none() {
                found.push((entity, id));
            }
        }
        found.retain(|(entity, other)| *entity != self.entity || other != id);
        found.sort_unstable();
        found.dedup();
        found.truncate(DEPENDENTS_NAMED_MAX);
        Ok(found)
    }
}

/// A record, and what is done to it.
type Change = (OverlayRow, Option<Action>);

fn changed(row: OverlayRow, set: Object, unset: &[String]) -> Result<Change, WriteError> {
    let old = row.view.clone().unwrap_or_default();
    let mut new = old.clone();
    new.extend(set);
    for field in unset {
        new.remove(field);
    }
    check_size(&new)?;
    let delta = Delta::diff(&old, &new);
    Ok((row, (!delta.is_empty()).then_some(Action::Update { delta })))
}

fn check_size(data: &Object) -> Result<(), WriteError> {
    let mut value = serde_json::Value::Object(data.clone());
    crate::value::check(&mut value, &Limits::RECORD).map_err(|error| WriteError::Value { code: error.code(), reason: error.to_string() })
}
