//! What the schema says of records beside each other, and of what they hold, at the server after each commit: no reference
//! leads to what is not there, whatever was deleted; no two records have what only one may have; no field holds what is
//! declared to be no value of it. And what goes along with a delete: only what its writer could not know, and what refers to
//! something that goes.

use fieldsync::model::{Action, Kind, OpId, Operation, RecordId, Version};
use fieldsync::protocol::Outcome;
use fieldsync::schema::{Entity, OnDelete, Schema, faults, references};
use fieldsync::value::Object;
use fieldsync_server::store::{ChangeRow, RecordKey, WriteBatch};
use serde_json::Value;

use super::silent::Past;

/// The real ID of the record that an operation of a batch is about.
fn target(batch: &WriteBatch, operation: &OpId) -> Option<RecordId> {
    let receipt = batch.receipts.iter().find(|receipt| receipt.operation == *operation)?;
    let Outcome::Applied { real_id, .. } = &receipt.outcome else { return None };
    Some(real_id.clone())
}

/// Whether a change happens to another record than the one that its operation is about: it goes along with that.
pub(super) fn goes_along(batch: &WriteBatch, change: &ChangeRow, operation: &Operation) -> bool {
    let target = target(batch, &operation.id);
    target.is_some_and(|target| change.key != RecordKey { entity: operation.entity.clone(), id: target })
}

/// Why a record must not go along with a delete, or lose its reference by it. `stood` is its version until then.
pub(super) fn along(
    schema: &Schema,
    past: &Past,
    batch: &WriteBatch,
    change: &ChangeRow,
    by: &Operation,
    stood: Version,
) -> Result<(), String> {
    let why = |what: &str| Err(format!("{:?} of {:?} at {stood} goes along with {}: {what}", change.kind, change.key, by.id));
    if by.action != Action::Delete {
        return why("it is no delete");
    }
    if by.seen.is_none_or(|seen| stood <= seen) {
        return why("its writer knew that record");
    }
    let gone = |entity: &str, id: &RecordId| {
        let is_it = |other: &&ChangeRow| other.operation == by.id && other.kind == Kind::Delete && other.key.entity == entity;
        batch.changes.iter().filter(is_it).any(|other| other.key.id == *id)
    };
    let Some((declared, before)) = schema.entity(&change.key.entity).zip(past.data(&change.key).and_then(Value::as_object)) else {
        return why("it was not there");
    };
    let rule = rules(declared, before).filter(|(_, entity, id)| gone(entity, id)).map(|(rule, ..)| rule).collect::<Vec<_>>();
    let wanted = if change.kind == Kind::Delete { OnDelete::Cascade } else { OnDelete::SetNull };
    if !rule.contains(&wanted) || rule.contains(&OnDelete::Restrict) {
        return why(&format!("by its references to what goes it is declared {rule:?}"));
    }
    Ok(())
}

/// The references of a record, each with what becomes of it when that one goes.
fn rules(declared: &Entity, data: &Object) -> impl Iterator<Item = (OnDelete, String, RecordId)> {
    references(declared, data).into_iter().filter_map(|held| {
        let path = declared.references.keys().find(|path| path.as_str() == held.path)?;
        Some((declared.on_delete(path), held.entity, held.id))
    })
}

/// Looks at every record that a batch has changed, as all stand now.
pub(super) fn look(schema: &Schema, past: &Past, batch: &WriteBatch) -> Vec<Result<(), String>> {
    let mut looked_at = Vec::new();
    for change in &batch.changes {
        let key = &change.key;
        let Some(declared) = schema.entity(&key.entity) else { continue };
        let Some(data) = past.data(key).and_then(Value::as_object) else {
            looked_at.push(left_alone(schema, past, key));
            continue;
        };
        for (_, entity, id) in rules(declared, data) {
            let there = past.data(&RecordKey { entity: entity.clone(), id: id.clone() }).is_some();
            looked_at.push(if there { Ok(()) } else { Err(format!("{key:?} refers to {entity} {id}, which is not there: {data:?}")) });
        }
        for paths in &declared.unique {
            let held = |data: &Object| paths.iter().map(|path| data.get(path.as_str()).cloned()).collect::<Option<Vec<_>>>();
            let Some(own) = held(data).filter(|own| own.iter().all(|value| !value.is_null())) else { continue };
            let is_rival = |(other, data): &(&RecordKey, &Value)| {
                other.entity == key.entity && *other != key && data.as_object().and_then(held).as_ref() == Some(&own)
            };
            let rival = past.living().find(is_rival).map(|(other, _)| other);
            looked_at.push(rival.map_or(Ok(()), |rival| Err(format!("{key:?} and {rival:?} have {own:?}, which only one may have"))));
        }
        let wrong = faults(declared, data);
        looked_at.push(if wrong.is_empty() { Ok(()) } else { Err(format!("{key:?} breaks {wrong:?}: {data:?}")) });
    }
    looked_at
}

/// Nothing that stands refers to a record that went.
fn left_alone(schema: &Schema, past: &Past, gone: &RecordKey) -> Result<(), String> {
    let refers = |(key, data): &(&RecordKey, &Value)| {
        let found = schema.entity(&key.entity).zip(data.as_object());
        found.is_some_and(|(declared, data)| rules(declared, data).any(|(_, entity, id)| entity == gone.entity && id == gone.id))
    };
    past.living().find(refers).map_or(Ok(()), |(key, data)| Err(format!("{gone:?} is gone, and {key:?} refers to it: {data}")))
}
