//! The references of a record that is about to be written: of the right type, with real IDs only, to records
//! that are there.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::model::TempId;
use fieldsync::schema::{Entity, Reference, check_references, map_references, references};
use fieldsync::value::Object;

use super::{Stop, Working};
use crate::store::{RecordKey, Wanted};

/// Puts real IDs in the place of temp IDs. Returns the temp IDs that have none yet.
pub(super) fn name_references(
    view: &Working,
    entity: &Entity,
    data: &mut Object,
    own: Option<(&TempId, &RecordKey)>,
) -> Result<Vec<String>, Stop> {
    check_references(entity, data).map_err(|error| Stop::reject_at("invalid_reference", &error.path, error.to_string()))?;
    let temps: Vec<_> = references(entity, data).into_iter().filter_map(|held| Some((held.id.as_temp()?, held))).collect();
    let own_id = own.map(|(temp, _)| temp);
    ask_for_all(temps.iter().map(|(temp, _)| temp).filter(|temp| Some(*temp) != own_id), |temp, wanted| {
        if view.temp(temp).is_err() {
            wanted.temps.insert(temp.clone());
        }
    })?;
    let mut waits_for = Vec::new();
    let mut names = BTreeMap::new();
    for (temp, reference) in temps {
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
    let mut seen = BTreeSet::new();
    waits_for.retain(|temp| seen.insert(temp.clone()));
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
    let held: BTreeSet<_> = before.map(|before| references(entity, before)).unwrap_or_default().into_iter().collect();
    let all = references(entity, data);
    let target = |reference: &Reference| RecordKey { entity: reference.entity.clone(), id: reference.id.clone() };
    let new: Vec<_> = all.iter().filter(|reference| !held.contains(reference)).map(|held| (held, target(held))).collect();
    let others = || new.iter().filter(|(_, target)| target != key);
    ask_for_all(others(), |(_, target), wanted| {
        if view.record(target).is_err() {
            wanted.records.insert(target.clone());
        }
    })?;
    for (reference, target) in others() {
        let refuse = |code: &str, why: &str| {
            let message = format!("'{}' names {} {}, which {why}", reference.path, reference.entity, reference.id);
            Err(Stop::reject_at(code, &reference.path, message))
        };
        match view.record(target)? {
            None if view.promised.contains_key(target) => {}
            None => return refuse("reference_missing", "is not there"),
            Some(record) if record.data.is_none() => return refuse("reference_deleted", "is deleted"),
            Some(_) => {}
        }
    }
    Ok(all)
}

/// Asks for everything that is missing at once: a record may hold thousands of references.
pub(super) fn ask_for_all<T>(items: impl Iterator<Item = T>, note_missing: impl Fn(T, &mut Wanted)) -> Result<(), Stop> {
    let mut wanted = Wanted::default();
    for item in items {
        note_missing(item, &mut wanted);
    }
    if wanted.is_empty() { Ok(()) } else { Err(Stop::missing(wanted)) }
}
