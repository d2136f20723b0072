//! Patches as others write them: JSON Patch (RFC 6902), a list of operations that are done one after the other, all or none,
//! and JSON Merge Patch (RFC 7396), an object that is laid over another. Both say less than a [`Delta`], and a list of
//! operations more than one; what a patch makes of a record is told as the delta that leads there.

use serde_json::{Value, json};

use super::path::{Pointer, escape};
use super::{Delta, Limits, Object};

/// A patch that cannot be applied. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the patch does not fit: {reason}, at '{path}'")]
pub struct PatchError {
    /// Where: the place of the operation in the list, or the field of a merge patch.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// Bytes that one patch may copy, and levels that a document may come to: a few words could ask for gigabytes.
const LIMITS: Limits = Limits::MESSAGE;

type Done<T> = Result<T, &'static str>;

const NOTHING: &str = "nothing is there";
const INDEX: &str = "that is no place in the list";

/// Applies a JSON Patch (RFC 6902): all of it, or none.
pub fn apply_patch(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let failed = |path: String| move |reason| PatchError { path, reason };
    let list = patch.as_array().ok_or_else(|| failed(String::new())("a patch is a list of operations"))?;
    let (mut patched, mut copied) = (document.clone(), 0);
    for (at, operation) in list.iter().enumerate() {
        apply_one(&mut patched, operation, &mut copied).map_err(failed(format!("/{at}")))?;
    }
    Ok(patched)
}

fn apply_one(document: &mut Value, operation: &Value, copied: &mut usize) -> Done<()> {
    let path = pointer(operation, "path")?;
    let value = || operation.get("value").cloned().ok_or("a value is missing");
    match operation.get("op").and_then(Value::as_str).unwrap_or_default() {
        "add" => add(document, &path, value()?),
        "remove" => remove(document, &path).map(drop),
        "replace" => replace(document, &path, value()?),
        "test" if *find(document, &path)? == value()? => Ok(()),
        "test" => Err("another value is there"),
        "move" => {
            let from = pointer(operation, "from")?;
            if path != from && path.is_within(&from) {
                return Err("nothing can be moved into itself");
            }
            let moved = remove(document, &from)?;
            add(document, &path, moved)
        }
        "copy" => {
            let value = find(document, &pointer(operation, "from")?)?.clone();
            *copied += value.to_string().len();
            if *copied > LIMITS.bytes_max {
                return Err("it copies too much");
            }
            add(document, &path, value)
        }
        _ => Err("no such operation is known"),
    }
}

fn pointer(operation: &Value, name: &str) -> Done<Pointer> {
    let text = operation.get(name).and_then(Value::as_str).ok_or("a pointer is missing")?;
    let is_escaped = |part: &str| part.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    let is_pointer = (text.is_empty() || text.starts_with('/')) && is_escaped(text);
    if is_pointer { Ok(Pointer(text.to_owned())) } else { Err("a pointer begins with '/', and has '~' as '~0'") }
}

/// The place in a list: digits without a zero before them.
fn index(key: &str) -> Done<usize> {
    let is_number = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
    key.parse().ok().filter(|_| is_number).ok_or(INDEX)
}

fn find<'d>(document: &'d Value, at: &Pointer) -> Done<&'d Value> {
    at.keys().try_fold(document, |value, key| match value {
        Value::Object(fields) => fields.get(key.as_ref()).ok_or(NOTHING),
        Value::Array(items) => items.get(index(&key)?).ok_or(NOTHING),
        _ => Err(NOTHING),
    })
}

/// What holds the place, and the last key; nothing for the whole document.
fn holder<'d>(document: &'d mut Value, at: &Pointer) -> Done<Option<(&'d mut Value, String)>> {
    let mut keys: Vec<String> = at.keys().map(String::from).collect();
    let Some(last) = keys.pop() else { return Ok(None) };
    let held = keys.iter().try_fold(document, |value, key| match value {
        Value::Object(fields) => fields.get_mut(key).ok_or(NOTHING),
        Value::Array(items) => items.get_mut(index(key)?).ok_or(NOTHING),
        _ => Err(NOTHING),
    });
    Ok(Some((held?, last)))
}

/// Whether a document with this value there has no more levels than it may have.
fn fits(at: &Pointer, value: &Value) -> Done<()> {
    if at.keys().count() + super::limits::depth(value) > LIMITS.depth_max { Err("it goes too deep") } else { Ok(()) }
}

fn add(document: &mut Value, at: &Pointer, value: Value) -> Done<()> {
    fits(at, &value)?;
    match holder(document, at)? {
        None => *document = value,
        Some((Value::Object(fields), key)) => drop(fields.insert(key, value)),
        Some((Value::Array(items), key)) => {
            let place = if key == "-" { items.len() } else { index(&key)? };
            if place > items.len() {
                return Err(INDEX);
            }
            items.insert(place, value);
        }
        Some(_) => return Err(NOTHING),
    }
    Ok(())
}

fn remove(document: &mut Value, at: &Pointer) -> Done<Value> {
    match holder(document, at)? {
        None => Ok(document.take()),
        Some((Value::Object(fields), key)) => fields.remove(&key).ok_or(NOTHING),
        Some((Value::Array(items), key)) => {
            let place = index(&key)?;
            if place < items.len() { Ok(items.remove(place)) } else { Err(NOTHING) }
        }
        Some(_) => Err(NOTHING),
    }
}

fn replace(document: &mut Value, at: &Pointer, value: Value) -> Done<()> {
    find(document, at)?;
    fits(at, &value)?;
    match holder(document, at)? {
        // In a list it keeps its place.
        Some((Value::Array(items), key)) => drop(std::mem::replace(&mut items[index(&key)?], value)),
        _ => return add(document, at, value),
    }
    Ok(())
}

/// A JSON Patch that makes the one of the other. Lists are compared item by item between what they begin and end with alike.
pub fn create_patch(from: &Value, to: &Value) -> Value {
    let mut patch = Vec::new();
    compare(from, to, "", &mut patch);
    patch.into()
}

fn compare(from: &Value, to: &Value, at: &str, patch: &mut Vec<Value>) {
    match (from, to) {
        _ if from == to => {}
        (Value::Object(from), Value::Object(to)) => {
            for (key, old) in from {
                let path = [at, "/", &escape(key)].concat();
                match to.get(key) {
                    Some(new) => compare(old, new, &path, patch),
                    None => patch.push(json!({"op": "remove", "path": path})),
                }
            }
            for (key, new) in to.iter().filter(|(key, _)| !from.contains_key(*key)) {
                let path = [at, "/", &escape(key)].concat();
                patch.push(json!({"op": "add", "path": path, "value": new}));
            }
        }
        (Value::Array(from), Value::Array(to)) => {
            let head = from.iter().zip(to).take_while(|(old, new)| old == new).count();
            let (old, new) = (&from[head..], &to[head..]);
            let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
            let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
            let both = old.len().min(new.len());
            for place in 0..both {
                compare(&old[place], &new[place], &format!("{at}/{}", head + place), patch);
            }
            for place in (both..old.len()).rev() {
                patch.push(json!({"op": "remove", "path": format!("{at}/{}", head + place)}));
            }
            for (place, value) in new.iter().enumerate().skip(both) {
                patch.push(json!({"op": "add", "path": format!("{at}/{}", head + place), "value": value}));
            }
        }
        _ => patch.push(json!({"op": "replace", "path": at, "value": to})),
    }
}

/// Lays a JSON Merge Patch (RFC 7396) over a document: a null takes away.
pub fn apply_merge_patch(document: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut fields = document.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            let patched = apply_merge_patch(fields.get(key).unwrap_or(&Value::Null), value);
            fields.insert(key.clone(), patched);
        }
    }
    Value::Object(fields)
}

/// A JSON Merge Patch that makes the one of the other. There is none that sets a field to null.
pub fn create_merge_patch(from: &Value, to: &Value) -> Result<Value, PatchError> {
    match to {
        Value::Object(to) => over(from.as_object(), to, "").map(Value::Object),
        _ => Ok(to.clone()),
    }
}

fn over(from: Option<&Object>, to: &Object, at: &str) -> Result<Object, PatchError> {
    let nothing = Object::new();
    let from = from.unwrap_or(&nothing);
    let mut patch = Object::new();
    for (key, new) in to {
        let (old, path) = (from.get(key), [at, "/", &escape(key)].concat());
        let value = match new {
            _ if old == Some(new) => continue,
            Value::Null => return Err(PatchError { path, reason: "a merge patch cannot set null" }),
            Value::Object(new) => over(old.and_then(Value::as_object), new, &path)?.into(),
            new => new.clone(),
        };
        patch.insert(key.clone(), value);
    }
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Ok(patch)
}

impl Delta {
    /// What a JSON Patch makes of a record, as a delta.
    pub fn from_patch(record: &Object, patch: &Value) -> Result<Self, PatchError> {
        match apply_patch(&Value::Object(record.clone()), patch)? {
            Value::Object(patched) => Ok(Self::diff(record, &patched)),
            _ => Err(PatchError { path: String::new(), reason: "a record stays an object" }),
        }
    }
    /// What the delta makes of a record, as a JSON Patch.
    pub fn to_patch(&self, record: &Object) -> Value {
        let mut changed = record.clone();
        self.apply(&mut changed);
        create_patch(&Value::Object(record.clone()), &Value::Object(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_words_cannot_ask_for_gigabytes_or_for_levels_without_end() {
        let copy = |from: &str, path: &str| json!({"op": "copy", "from": from, "path": path});
        let wide: Vec<Value> = (0..64).map(|at| copy("", &format!("/{at}"))).collect();
        let error = apply_patch(&json!({"a": "x".repeat(100)}), &wide.into()).expect_err("too much");
        assert!(["it copies too much", "it goes too deep"].contains(&error.reason), "{error}");
        let deep: Vec<Value> =
            (0..80).map(|_| json!({"op": "add", "path": "/a", "value": {"a": {}}})).chain((0..80).map(|_| copy("", "/a"))).collect();
        assert_eq!(apply_patch(&json!({}), &deep.into()).expect_err("too deep").reason, "it goes too deep");
        for (document, path) in [(json!([0]), "/0"), (json!({"a": 0}), "/a")] {
            let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
            let replace = |levels: usize| json!([{"op": "replace", "path": path, "value": nested(levels)}]);
            assert!(apply_patch(&document, &replace(LIMITS.depth_max - 1)).is_ok(), "{path}");
            assert_eq!(apply_patch(&document, &replace(LIMITS.depth_max)).expect_err("too deep").reason, "it goes too deep", "{path}");
        }
    }

    #[test]
    fn a_patch_that_fails_in_the_middle_says_where_and_changes_nothing() {
        let document = json!({"a": [1, 2]});
        let patch = json!([{"op": "remove", "path": "/a/0"}, {"op": "test", "path": "/a/0", "value": 1}]);
        let error = apply_patch(&document, &patch).expect_err("no fit");
        assert_eq!((error.path.as_str(), error.reason), ("/1", "another value is there"));
        for (patch, path) in [
            (json!({}), ""),
            (json!([{"op": "move", "from": "/a", "path": "/a/0"}]), "/0"),
            (json!([{"path": "/a~2", "op": "remove"}]), "/0"),
        ] {
            assert_eq!(apply_patch(&document, &patch).expect_err("no patch").path, path, "{patch}");
        }
    }

    #[test]
    fn what_a_merge_patch_cannot_say_is_refused_with_its_place() {
        let error = create_merge_patch(&json!({"a": {"b": 1}}), &json!({"a": {"b": null}})).expect_err("a null");
        assert_eq!(error.path, "/a/b");
        assert_eq!(create_merge_patch(&json!({"a": null, "b": 1}), &json!({"a": null})), Ok(json!({"b": null})));
        assert_eq!(create_merge_patch(&json!({}), &json!({"l": [null, {"n": null}]})), Ok(json!({"l": [null, {"n": null}]})));
    }

    #[test]
    fn a_delta_and_a_patch_say_the_same() {
        let record = json!({"a": {"b": 1, "c": 2}, "n": 1, "l": [1, 2, 3]});
        let record = record.as_object().expect("an object");
        let delta: Delta =
            super::super::from_value(&json!({"set": {"/a/b": 5, "/new/in": 1}, "unset": ["/a/c"], "add": {"/n": 2}})).expect("a delta");
        let patch = delta.to_patch(record);
        assert_eq!(
            patch,
            json!([
                {"op": "replace", "path": "/a/b", "value": 5}, {"op": "remove", "path": "/a/c"}, {"op": "replace", "path": "/n", "value": 3},
                {"op": "add", "path": "/new", "value": {"in": 1}}
            ])
        );
        let back = Delta::from_patch(record, &patch).expect("it fits");
        let mut patched = record.clone();
        back.apply(&mut patched);
        assert_eq!(Value::Object(patched), apply_patch(&Value::Object(record.clone()), &patch).expect("it fits"));
        assert_eq!(
            Delta::from_patch(record, &json!([{"op": "remove", "path": ""}])).expect_err("no record").reason,
            "a record stays an object"
        );
    }
}
