//! References inside one record: found, checked and rewritten at the paths that the schema declares, and
//! nowhere else. A `temp_…` in free text stays what it is.

use serde_json::Value;

use super::{Entity, OnDelete};
use crate::model::{Action, RecordId};
use crate::value::{Change, Delta, Object};

/// One reference held by a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The declared path.
    pub path: String,
    /// The entity it points to.
    pub entity: String,
    /// The ID it holds.
    pub id: RecordId,
}

/// A value at a declared reference path that cannot be an ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reference '{path}' must hold an ID of {entity}: a string or an integer")]
pub struct ReferenceError {
    /// The declared path.
    pub path: String,
    /// The entity it points to.
    pub entity: String,
}

/// All references of a document, in the order of their paths. `null` refers to nothing.
pub fn references(entity: &Entity, data: &Object) -> Vec<Reference> {
    let document = Value::Object(data.clone());
    let mut found = Vec::new();
    for (path, target) in entity.references.iter() {
        for value in path.values(&document) {
            if let Ok(id) = RecordId::from_value(value) {
                found.push(Reference { path: path.as_str().to_owned(), entity: target.clone(), id });
            }
        }
    }
    found
}

/// The references that an action sets: all of a create, those that an update sets something in, none of a delete.
pub fn references_set(entity: &Entity, action: &Action) -> Vec<Reference> {
    match action {
        Action::Create { data } => references(entity, data),
        Action::Update { delta } => references(entity, &fold_delta(delta)),
        Action::Delete => Vec::new(),
    }
}

/// Refuses a value at a reference path that is neither an ID nor `null`.
pub fn check_references(entity: &Entity, data: &Object) -> Result<(), ReferenceError> {
    let document = Value::Object(data.clone());
    for (path, target) in entity.references.iter() {
        // A temp ID says of what it is: one of another entity would wait for ever.
        let fits = |id: RecordId| id.as_temp().is_none_or(|temp| temp.entity() == target);
        let bad = |value: &Value| !value.is_null() && !RecordId::from_value(value).is_ok_and(fits);
        if path.values(&document).into_iter().any(bad) {
            return Err(ReferenceError { path: path.as_str().to_owned(), entity: target.clone() });
        }
    }
    Ok(())
}

/// Rewrites every reference for which `map` knows another ID. Says whether anything changed.
pub fn map_references(entity: &Entity, data: &mut Object, map: &mut dyn FnMut(&str, &RecordId) -> Option<RecordId>) -> bool {
    let mut changed = false;
    let mut document = Value::Object(std::mem::take(data));
    for (path, target) in entity.references.iter() {
        path.for_each_mut(&mut document, &mut |value| {
            if let Some(new) = RecordId::from_value(value).ok().and_then(|id| map(target, &id)) {
                *value = new.to_value();
                changed = true;
            }
        });
    }
    if let Value::Object(object) = document {
        *data = object;
    }
    changed
}

/// What becomes of a record when those that `is_gone` says of are deleted: the strictest of what is declared at the paths
/// that refer to them, where refusing is stricter than going, and going than staying. Nothing if it refers to none.
pub fn on_delete(entity: &Entity, data: &Object, is_gone: &dyn Fn(&str, &RecordId) -> bool) -> Option<OnDelete> {
    let held = references(entity, data).into_iter().filter(|held| is_gone(&held.entity, &held.id));
    let rules = held.filter_map(|held| entity.references.keys().find(|path| path.as_str() == held.path)).map(|path| entity.on_delete(path));
    let strictness = |rule: &OnDelete| match rule {
        OnDelete::Restrict => 2,
        OnDelete::Cascade => 1,
        OnDelete::SetNull => 0,
    };
    rules.max_by_key(strictness)
}

/// Sets references to nothing, of which `is_gone` says that their records are deleted.
pub fn unset_references(entity: &Entity, data: &mut Object, is_gone: &dyn Fn(&str, &RecordId) -> bool) {
    let mut document = Value::Object(std::mem::take(data));
    for (path, target) in entity.references.iter() {
        path.for_each_mut(&mut document, &mut |value| {
            if RecordId::from_value(value).is_ok_and(|id| is_gone(target, &id)) {
                *value = Value::Null;
            }
        });
    }
    if let Value::Object(object) = document {
        *data = object;
    }
}

/// The part of a document that a delta sets, so that its references can be found and rewritten like those
/// of a record: `{"set": {"/owner/id": 7}}` becomes `{"owner": {"id": 7}}`. Of a list come the items that are set something in.
pub fn fold_delta(delta: &Delta) -> Object {
    let mut object = Object::new();
    let mut set = Delta::default();
    for (pointer, change) in delta.changes() {
        match change {
            Change::Set(_) => set.insert(pointer.clone(), change.clone()),
            Change::List(items) => set.insert(pointer.clone(), Change::Set(items.fold())),
            Change::Unset | Change::Add(_) => {}
        }
    }
    set.apply(&mut object);
    object
}

/// Puts what [`fold_delta`] gave, with other references, back into the delta.
pub fn unfold_delta(delta: &mut Delta, folded: Object) {
    let document = Value::Object(folded);
    delta.for_each_mut(|pointer, change| {
        let Some(now) = document.pointer(pointer.as_str()) else { return };
        match change {
            Change::Set(value) => value.clone_from(now),
            Change::List(items) => items.unfold(now),
            Change::Unset | Change::Add(_) => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order() -> Entity {
        serde_json::from_value(json!({"references": {"buyer.id": "client", "lines[].productId": "product", "parent": "order"}}))
            .expect("an entity")
    }

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn references_are_found_checked_and_rewritten_where_declared() {
        let mut data = object(json!({"buyer": {"id": "temp_1_a_client"}, "parent": null, "note": "temp_1_a_client",
            "lines": [{"productId": 1}, {"productId": 2}]}));
        let found = references(&order(), &data);
        assert_eq!(
            found.iter().map(|r| (r.entity.as_str(), r.id.to_string())).collect::<Vec<_>>(),
            [("client", "temp_1_a_client".to_owned()), ("product", "1".to_owned()), ("product", "2".to_owned())]
        );
        assert!(check_references(&order(), &data).is_ok());
        let changed = map_references(&order(), &mut data, &mut |entity, id| {
            (entity == "client" && id.as_temp().is_some()).then_some(RecordId::Integer(42))
        });
        assert!(changed);
        assert_eq!(data["buyer"]["id"], json!(42));
        assert_eq!(data["note"], json!("temp_1_a_client"));
    }

    #[test]
    fn a_reference_of_a_wrong_type_names_its_path() {
        for bad in [json!(true), json!({}), json!([1]), json!(1.5), json!("")] {
            let error = check_references(&order(), &object(json!({"lines": [{"productId": bad}]}))).expect_err("refused");
            assert_eq!(error.path, "lines[].productId");
        }
    }

    #[test]
    fn a_delta_folds_into_what_it_sets() {
        let delta: Delta = serde_json::from_value(json!({"set": {"/buyer/id": 7, "/parent": 8}, "unset": ["/lines"]})).expect("a delta");
        assert_eq!(references(&order(), &fold_delta(&delta)).len(), 2);
    }

    #[test]
    fn references_in_changed_items_are_found_and_rewritten() {
        let lines = |first: u32, second: u32| {
            json!({"set": {"/buyer/id": 7}, "lists": {"/lines": {"by": "id",
                "set": {"/\"a\"/productId": first, "/\"b\"": {"id": "b", "productId": second}, "/\"b2\"/n": 1}, "unset": ["/\"c\""]}}})
        };
        let mut delta: Delta = serde_json::from_value(lines(1, 2)).expect("a delta");
        let mut folded = fold_delta(&delta);
        assert_eq!(references(&order(), &folded).len(), 3);
        assert!(map_references(&order(), &mut folded, &mut |entity, id| {
            (entity == "product").then(|| RecordId::Integer(id.to_value().as_i64().expect("an integer") + 10))
        }));
        unfold_delta(&mut delta, folded);
        assert_eq!(serde_json::to_value(&delta).expect("writes"), lines(11, 12));
    }
}
