//! No loser is lost, and none takes others' work with it when it comes back.
//!
//! A conflict that is decided keeps of each field the side that does not stand. A restore makes the record's fields as
//! that side had them, and no other; an undo gives back what the last step took away where that step's own values still
//! stand, and leaves alone what was written since. Both are looked at in the commit that writes them, against the record
//! as it was until then.

use fieldsync::audit::{Event, Row as AuditRow};
use fieldsync::conflict::{Conflict, Step, StepKind};
use fieldsync::model::Action;
use fieldsync::plan::{Table, Write};
use fieldsync::value::{Change, Delta, Key, Named, Object, Pointer};
use serde_json::Value;

/// A look at a stored row as it was before the commit.
type Text<'t> = &'t dyn Fn(Table, &Key) -> Option<Value>;

/// Everything about conflicts in a commit: what holds, and what does not.
pub(crate) fn look(batch: &[Write], generation: u64, text: Text<'_>) -> Vec<Result<(), String>> {
    let rows = |wanted: Table| {
        batch.iter().filter_map(move |write| match write {
            Write::Put(table, row) if *table == wanted => Some(row),
            _ => None,
        })
    };
    let conflicts: Vec<Conflict> = rows(Table::Conflicts).filter_map(|row| serde_json::from_str(&row.text).ok()).collect();
    let mut looked_at: Vec<_> = conflicts.iter().filter_map(kept).collect();
    let audit: Option<AuditRow> = rows(Table::Audit).find_map(|row| serde_json::from_str(&row.text).ok());
    for entry in audit.iter().flat_map(|audit| &audit.entries) {
        let (Event::Restored { conflict } | Event::Undone { conflict }) = &entry.event else { continue };
        let before: Option<Conflict> = text(Table::Conflicts, &(*conflict).into()).and_then(|row| serde_json::from_value(row).ok());
        let Some(before) = before else { continue };
        let of_record = |row: &Value| row["entity"] == before.entity.as_str() && (row["id"] == entry.record.to_value());
        let written = rows(Table::Overlay).filter_map(|row| Some((&row.key, serde_json::from_str::<Value>(&row.text).ok()?)));
        let Some((key, after)) = written.into_iter().find(|(_, row)| of_record(row)) else { continue };
        let base = || text(Table::Base, &[generation.into(), before.entity.as_str().into(), entry.record.to_key()].into());
        let was = text(Table::Overlay, key).map(|row| row["view"].clone()).or_else(|| Some(base()?["data"].clone())).unwrap_or_default();
        let (was, is) = (was.as_object(), after["view"].as_object());
        looked_at.push(match &entry.event {
            Event::Restored { .. } => restored(&before, was, is),
            _ => undone(&before, was, is),
        });
    }
    looked_at
}

/// Of each field that both had changed the side that does not stand is kept: the local one, or the server's where the local
/// one stands. Nothing where a conflict was not decided just now.
fn kept(conflict: &Conflict) -> Option<Result<(), String>> {
    let last = conflict.steps.last().filter(|last| last.step == StepKind::Resolved)?;
    let (Some(Action::Update { delta: lost }), Some(Action::Update { delta: left })) = (&last.lost, &last.left) else { return None };
    for (place, lost) in lost.changes() {
        let Some((_, stands)) = left.changes().find(|(other, _)| *other == place) else {
            return Some(Err(format!("conflict {} keeps {lost:?} of {}, and does not say what stands", conflict.id, place.dotted())));
        };
        let (mut local, server) = (at(conflict.local.as_ref(), place), at(conflict.server.data.as_ref(), place));
        if let Action::Update { delta } = &conflict.operation.action
            && let Some((_, own @ Change::Add(_))) = delta.changes().find(|(other, _)| *other == place)
            && !conflict.places.contains(place)
        {
            // What the local side counted stands beside what the other counted, unless the other made no count of it.
            let there = conflict.server.data.as_ref().and_then(|data| place.find(data));
            local = own.done_to(there).map_or(Change::Unset, Change::Set);
        }
        let other = if *stands == local { &server } else { &local };
        // Where neither side stands as it was, such as merged items, either of them is what lost.
        if lost != other && (*stands == local || *stands == server) {
            return Some(Err(format!("conflict {} keeps {lost:?} of {}, where {stands:?} stands", conflict.id, place.dotted())));
        }
    }
    Some(Ok(()))
}

/// A restore writes what lost, and nothing else.
fn restored(conflict: &Conflict, was: Option<&Object>, is: Option<&Object>) -> Result<(), String> {
    let resolved = conflict.steps.iter().rev().find(|step| step.step == StepKind::Resolved);
    let Some(lost) = resolved.and_then(|step| step.lost.as_ref()) else {
        return Err(format!("conflict {} is restored and had lost nothing", conflict.id));
    };
    match lost {
        Action::Update { delta: lost } => becomes(conflict, "restore", was, is, lost),
        // The whole record comes back; what others have put into it meanwhile stays.
        Action::Create { data } => {
            let has = is.is_some_and(|is| data.iter().all(|(field, value)| holds(is.get(field), value)));
            has.then_some(()).ok_or_else(|| format!("conflict {} brings back {is:?} for {data:?}", conflict.id))
        }
        Action::Delete => is.is_none().then_some(()).ok_or_else(|| format!("conflict {} deletes, and {is:?} stands", conflict.id)),
    }
}

/// An undo gives back only what still stands as the step left it.
fn undone(conflict: &Conflict, was: Option<&Object>, is: Option<&Object>) -> Result<(), String> {
    let Some(Step { lost: Some(lost), left: Some(left), .. }) = conflict.steps.last() else {
        return Err(format!("conflict {} is undone, and its last step took nothing", conflict.id));
    };
    match (lost, left) {
        (Action::Update { delta: lost }, Action::Update { delta: left }) => {
            let mut still = Delta::default();
            for (place, before) in lost.changes() {
                let Some((_, left)) = left.changes().find(|(other, _)| *other == place) else { continue };
                if let Some(before) = standing(before, left, was.and_then(|was| place.find(was))) {
                    still.insert(place.clone(), before);
                }
            }
            becomes(conflict, "undo", was, is, &still)
        }
        (_, Action::Create { data }) => {
            let same = was.is_some_and(|was| data.iter().all(|(field, value)| renamed(value) || was.get(field) == Some(value)));
            same.then_some(()).ok_or_else(|| format!("conflict {}: {was:?} is undone, which is not what was left", conflict.id))
        }
        (_, Action::Delete) => was.is_none().then_some(()).ok_or_else(|| format!("conflict {}: {was:?} was written since", conflict.id)),
        (_, Action::Update { .. }) => Ok(()),
    }
}

/// What was lost, where what was left for it stands still: of a list item by item.
fn standing(lost: &Change, left: &Change, was: Option<&Value>) -> Option<Change> {
    if let (Change::List(lost), Change::List(left)) = (lost, left)
        && let Some(list) = Named::of(was, left.by())
    {
        let mut items = lost.items().clone();
        let left_at = |place: &Pointer| left.items().changes().find(|(other, _)| *other == place).map(|(_, left)| left);
        items.retain(|place, _| left_at(place).is_some_and(|left| *left == at(Some(&list.items), place) || may_be_renamed(left)));
        return (!items.is_empty()).then(|| Change::List(lost.with(items, false)));
    }
    let stands = left.fits(was) && left.done_to(was).as_ref() == was || may_be_renamed(left);
    stands.then(|| lost.clone())
}

/// The record becomes what these changes make of it.
fn becomes(conflict: &Conflict, what: &str, was: Option<&Object>, is: Option<&Object>, changes: &Delta) -> Result<(), String> {
    let mut wanted = was.cloned().unwrap_or_default();
    changes.apply(&mut wanted);
    for (place, now) in Delta::diff(&wanted, is.unwrap_or(&Object::new())).changes() {
        if !may_be_renamed(now) {
            return Err(format!("the {what} of conflict {} leaves {now:?} in {} for {wanted:?}", conflict.id, place.dotted()));
        }
    }
    Ok(())
}

/// What makes a place as a record has it.
fn at(record: Option<&Object>, place: &Pointer) -> Change {
    record.and_then(|record| place.find(record)).map_or(Change::Unset, |value| Change::Set(value.clone()))
}

/// Whether all of a value stands there, beside whatever others have put into it.
fn holds(is: Option<&Value>, value: &Value) -> bool {
    match (is, value) {
        (Some(Value::Object(is)), Value::Object(value)) => value.iter().all(|(key, value)| holds(is.get(key), value)),
        (is, value) => renamed(value) || is == Some(value),
    }
}

/// Whether it names a record by an ID that may be another by now.
fn may_be_renamed(change: &Change) -> bool {
    matches!(change, Change::Set(value) if renamed(value))
}

fn renamed(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.to_string().contains("temp_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A conflict about two fields, of which these changes stand.
    fn decided(left: Value) -> Conflict {
        let operation = json!({"id": "0190a1b2-0000-7000-8000-000000000001", "seq": 1, "entity": "pet", "record": 1,
            "action": {"kind": "update", "delta": {"set": {"/a": 1, "/b": 1}}}, "base": {"version": "1"}, "stamp": [1, 0], "author": "anna",
            "schema": 1});
        let lost = json!({"kind": "update", "delta": {"set": {"/a": 1, "/b": 1}}});
        let left = json!({"kind": "update", "delta": {"set": left}});
        let conflict = json!({"id": 1, "conflictId": "c", "kind": "update-update", "entity": "pet", "record": 1, "operation": operation,
            "base": {}, "local": {"a": 1, "b": 1}, "server": {"version": "2", "data": {"a": 2, "b": 2}, "stamp": [1, 0]},
            "fields": ["a", "b"], "detectedAt": 1, "state": "resolved", "steps": [{"step": "resolved", "at": 1,
                "lost": lost, "left": left}]});
        serde_json::from_value(conflict).expect("a conflict")
    }

    #[test]
    fn a_record_that_comes_back_stands_beside_what_others_put_into_it() {
        let lost = json!({"notes": {"text": "here"}, "phone": ["1"]});
        let mut conflict = decided(json!({}));
        conflict.steps[0].lost = Some(Action::Create { data: lost.as_object().cloned().expect("an object") });
        let back = |is: Value| restored(&conflict, None, is.as_object());
        assert_eq!(back(json!({"notes": {"text": "here", "n": 4}, "phone": ["1"], "name": "there"})), Ok(()));
        for less in [json!({"notes": {"n": 4}, "phone": ["1"]}), json!({"notes": {"text": "here"}, "phone": ["1", "2"]}), json!({})] {
            assert!(back(less.clone()).is_err(), "{less}");
        }
    }

    #[test]
    fn of_each_field_it_is_said_what_stands() {
        assert_eq!(kept(&decided(json!({"/a": 2, "/b": 2}))), Some(Ok(())));
        for unsaid in [json!({"/a": 2}), json!({"/b": 2}), json!({"/a": 2, "/b": 1})] {
            assert!(matches!(kept(&decided(unsaid.clone())), Some(Err(_))), "{unsaid}");
        }
    }
}
