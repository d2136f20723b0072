//! What goes along with a delete: records that refer to the one that goes, and of which its writer could not know. Their
//! references are declared to be followed, so they go too, or refer to nothing from then on. What the writer knew came
//! with the delete, in its group; where it did not, it was decided that it stays, and it stands in the way.

use std::collections::BTreeSet;

use fieldsync::model::{Kind, Operation, RecordId};
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::limits::OPERATIONS_MAX;
use fieldsync::schema::{OnDelete, faults, on_delete, references, unset_references};
use fieldsync::value::Sorted;

use super::judge::Write;
use super::references::ask_for_all;
use super::{Context, Stop, Working};
use crate::store::{Record, RecordKey};

/// The changes that go along with the delete of a record: versions are given by who asks. Or why it cannot be deleted.
pub(super) fn along(view: &Working, context: &Context<'_>, operation: &Operation, key: &RecordKey) -> Result<Vec<Write>, Stop> {
    let mut goes: BTreeSet<RecordKey> = [key.clone()].into();
    if is(Bug::ServerAlongLeft) {
        return Ok(Vec::new());
    }
    let (mut gone, mut cleared): (Vec<&Record>, Vec<&Record>) = (Vec::new(), Vec::new());
    // Each counts once, whatever becomes of it, and however many of those that go it refers to.
    let mut referring: BTreeSet<&RecordKey> = BTreeSet::new();
    let mut level = vec![key.clone()];
    while !level.is_empty() {
        ask_for_all(level.iter(), |target, wanted| {
            if view.dependents(target).is_err() {
                wanted.dependents.insert(target.clone());
            }
        })?;
        let mut next = Vec::new();
        let mut found = Vec::new();
        for target in &level {
            found.extend(view.dependents(target)?.into_iter().map(|from| (target, from)));
        }
        referring.extend(found.iter().map(|(_, from)| *from));
        if referring.len() > OPERATIONS_MAX && context.schema.is_followed(&key.entity) {
            return Err(Stop::reject("too_large", "more than 1,000 records refer to it, or to what would go with it"));
        }
        // Without a rule, that there is one is enough.
        if let Some((_, from)) = found.first().filter(|_| operation.seen.is_none()) {
            return Err(in_the_way(from));
        }
        ask_for_all(found.iter(), |(_, from), wanted| {
            if view.record(from).is_err() {
                wanted.records.insert((*from).clone());
            }
        })?;
        for (target, from) in found {
            let Some(record) = view.record(from)? else { continue };
            let Some((declared, data)) = context.schema.entity(&from.entity).zip(record.data.as_ref()) else { continue };
            let is_target = |entity: &str, id: &RecordId| target.entity == entity && target.id == *id;
            let is_unknown = operation.seen.is_some_and(|seen| record.version > seen);
            match on_delete(declared, data, &is_target) {
                _ if goes.contains(from) => {}
                Some(OnDelete::Cascade) if is_unknown => {
                    goes.insert(from.clone());
                    next.push(from.clone());
                    gone.push(record);
                }
                Some(OnDelete::SetNull) if is_unknown => cleared.push(record),
                Some(_) => return Err(in_the_way(from)),
                None => {}
            }
        }
        level = next;
    }
    let mut seen = BTreeSet::new();
    cleared.retain(|record| !goes.contains(&record.key) && seen.insert(&record.key));
    let is_gone = |entity: &str, id: &RecordId| goes.contains(&RecordKey { entity: entity.to_owned(), id: id.clone() });
    let mut writes = Vec::new();
    for record in cleared {
        writes.push(clear(context, operation, record, &is_gone)?);
    }
    writes.extend(gone.into_iter().rev().map(|record| end(context, operation, record)));
    Ok(writes)
}

fn in_the_way(from: &RecordKey) -> Stop {
    Stop::reject("has_dependents", format!("{} {} refers to it", from.entity, from.id))
}

/// The record without its references to what goes. One that would not be as it is declared, because it is not already, stands in
/// the way after all, as on a device.
fn clear(context: &Context<'_>, operation: &Operation, before: &Record, is_gone: &dyn Fn(&str, &RecordId) -> bool) -> Result<Write, Stop> {
    let mut record = before.clone();
    let Some((declared, data)) = context.schema.entity(&before.key.entity).zip(record.data.as_mut()) else {
        return Ok(Write::of(record, Kind::Update));
    };
    unset_references(declared, data, is_gone);
    if !faults(declared, data).is_empty() {
        return Err(in_the_way(&before.key));
    }
    let stood = before.data.as_ref();
    for (field, _) in data.iter().filter(|(field, value)| stood.and_then(|stood| stood.get(*field)) != Some(*value)) {
        let there = before.field_stamps.get(field).copied().unwrap_or(before.stamp);
        record.field_stamps.extend([(field.clone(), context.effective(operation.stamp).max(there))]);
    }
    let references = references(declared, data);
    Ok(Write { references, ..Write::of(record, Kind::Update) })
}

/// The record as it is no more.
fn end(context: &Context<'_>, operation: &Operation, before: &Record) -> Write {
    let stamp = context.effective(operation.stamp).max(before.state().last_stamp());
    let until_now = before.data.clone();
    Write::of(Record { data: None, before: until_now, stamp, field_stamps: Sorted::new(), ..before.clone() }, Kind::Delete)
}
