//! The references of a record that is about to be written: of the right type, with real IDs only, to records
//! that are there.

use std::collections::BTreeMap;

use fieldsync::model::TempId;
use fieldsync::schema::{Entity, Reference, check_references, map_references, references};
use fieldsync::value::Object;

use super::{Stop, Working};
use crate::store::RecordKey;

/// Puts real IDs in the place of temp IDs. Returns the temp IDs that have none yet.
pub(super) fn name_references(
    view: &Working,
    entity: &Entity,
    data: &mut Object,
    own: Option<(&TempId, &RecordKey)>,
) -> Result<Vec<String>, Stop> {
    check_references(entity, data).map_err(|error| Stop::reject_at("invalid_reference", &error.path, error.to_string()))?;
    let mut waits_for = Vec::new();
    let mut names = BTreeMap::new();
    for reference in references(entity, data) {
        let Some(temp) = reference.id.as_temp() else { continue };
        let known = match own {
            Some((own, key)) if *own == temp => Some(key),
            _ => view.temp(&temp)?,
        };
        let points_to = known.map_or(temp.entity(), |key| &key.entity);
        if points_to != reference.entity {
            let message = format!("'{}' must name a record of {}", reference.path, reference.entity);
            return Err(Stop::reject_at("invalid_reference", &reference.path, message));
        }
        match known {
            Some(key) => {
                names.insert(reference.id, key.id.clone());
            }
            None => waits_for.push(temp.to_string()),
        }
    }
    if waits_for.is_empty() {
        map_references(entity, data, &mut |_, id| names.get(id).cloned());
    }
    Ok(waits_for)
}

/// Refuses references to records that are not there. What the record referred to before is not asked again.
/// Returns all references of the record.
pub(super) fn check_targets(
    view: &Working,
    entity: &Entity,
    key: &RecordKey,
    before: Option<&Object>,
    data: &Object,
) -> Result<Vec<Reference>, Stop> {
    let held = before.map(|before| references(entity, before)).unwrap_or_default();
    let all = references(entity, data);
    for reference in all.iter().filter(|reference| !held.contains(reference)) {
        let target = RecordKey { entity: reference.entity.clone(), id: reference.id.clone() };
        if target == *key {
            continue;
        }
        let refuse = |code: &str, why: &str| {
            let message = format!("'{}' names {} {}, which {why}", reference.path, reference.entity, reference.id);
            Err(Stop::reject_at(code, &reference.path, message))
        };
        match view.record(&target)? {
            None => return refuse("reference_missing", "is not there"),
            Some(record) if record.data.is_none() => return refuse("reference_deleted", "is deleted"),
            Some(_) => {}
        }
    }
    Ok(all)
}
