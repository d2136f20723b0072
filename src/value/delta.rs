//! A delta: what changed between two states of a record, field by field.
//!
//! Objects are descended into, everything else (lists too) is one value that is set whole. The paths of
//! a delta never lie inside each other, so its changes can be applied in any order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Object, Pointer};

/// What happens to one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The field gets this value.
    Set(Value),
    /// The field goes away.
    Unset,
}

/// The changed fields by pointer. On the wire: `{"set": {"/a": 1}, "unset": ["/b"]}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Delta {
    changes: super::Sorted<Pointer, Change>,
}

/// A delta from outside that could not have come from [`Delta::diff`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{pointer}' is no field pointer, or lies within another changed field")]
pub struct DeltaError {
    /// The pointer in question.
    pub pointer: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    set: Object,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unset: Vec<String>,
}

impl From<Delta> for Wire {
    fn from(delta: Delta) -> Self {
        let mut wire = Self { set: Object::new(), unset: Vec::new() };
        for (pointer, change) in delta.changes {
            match change {
                Change::Set(value) => {
                    wire.set.insert(pointer.into(), value);
                }
                Change::Unset => wire.unset.push(pointer.into()),
            }
        }
        wire
    }
}

impl TryFrom<Wire> for Delta {
    type Error = DeltaError;
    fn try_from(wire: Wire) -> Result<Self, DeltaError> {
        let mut delta = Self::default();
        for (pointer, value) in wire.set {
            delta.take_in(pointer, Change::Set(value))?;
        }
        for pointer in wire.unset {
            delta.take_in(pointer, Change::Unset)?;
        }
        Ok(delta)
    }
}

fn overlap(a: &Pointer, b: &Pointer) -> bool {
    a.is_within(b) || b.is_within(a)
}

impl Delta {
    fn take_in(&mut self, pointer: String, change: Change) -> Result<(), DeltaError> {
        match Pointer::parse(&pointer) {
            Ok(place) if !pointer.is_empty() && !self.changes.keys().any(|other| overlap(&place, other)) => {
                self.changes.insert(place, change);
                Ok(())
            }
            _ => Err(DeltaError { pointer }),
        }
    }

    /// What turns `from` into `to`.
    pub fn diff(from: &Object, to: &Object) -> Self {
        let mut delta = Self::default();
        delta.diff_into(from, to, None);
        delta
    }

    fn diff_into(&mut self, from: &Object, to: &Object, at: Option<&Pointer>) {
        let below = |key: &str| at.map_or_else(|| Pointer::field(key), |pointer| pointer.child(key));
        for (key, value) in to {
            match (from.get(key), value) {
                (Some(old), new) if old == new => {}
                (Some(Value::Object(old)), Value::Object(new)) => self.diff_into(old, new, Some(&below(key))),
                _ => {
                    self.changes.insert(below(key), Change::Set(value.clone()));
                }
            }
        }
        for key in from.keys().filter(|key| !to.contains_key(*key)) {
            self.changes.insert(below(key), Change::Unset);
        }
    }

    /// Brings the changes into `record`. A parent that is missing or no object becomes one.
    pub fn apply(&self, record: &mut Object) {
        for (pointer, change) in self.changes.iter() {
            apply_one(record, pointer, change);
        }
    }

    /// This delta followed by `later`, as one.
    pub fn compose(mut self, later: Self) -> Self {
        for (pointer, change) in later.changes {
            let above = self.changes.iter_mut().find(|(earlier, _)| pointer.is_within(earlier) && **earlier != pointer);
            if let Some((earlier, there)) = above {
                let rest = Pointer::parse(pointer.as_str().get(earlier.as_str().len()..).unwrap_or_default());
                if !matches!(there, Change::Set(Value::Object(_))) && change != Change::Unset {
                    // What was set here is no object, or was taken away: the later change put one in its place.
                    *there = Change::Set(Value::Object(Object::new()));
                }
                if let (Change::Set(Value::Object(object)), Ok(rest)) = (there, rest) {
                    apply_one(object, &rest, &change);
                }
                continue;
            }
            self.changes.retain(|earlier, _| !earlier.is_within(&pointer));
            self.changes.insert(pointer, change);
        }
        self
    }

    /// The changed fields.
    pub fn changes(&self) -> impl Iterator<Item = (&Pointer, &Change)> {
        self.changes.iter()
    }
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
    /// Adds one change; the caller keeps pointers from lying inside each other.
    pub fn insert(&mut self, pointer: Pointer, change: Change) {
        self.changes.insert(pointer, change);
    }
    /// Keeps the changes that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&Pointer, &Change) -> bool) {
        self.changes.retain(|pointer, change| keep(pointer, change));
    }
    /// The change that touches the same place as `pointer`: at it, above it or below it.
    pub fn touching(&self, pointer: &Pointer) -> Option<(&Pointer, &Change)> {
        self.changes.iter().find(|(other, _)| overlap(pointer, other))
    }
    /// Lets `rewrite` change every value that is set, together with the place it is set at.
    pub fn for_each_set_mut(&mut self, mut rewrite: impl FnMut(&Pointer, &mut Value)) {
        for (pointer, change) in self.changes.iter_mut() {
            if let Change::Set(value) = change {
                rewrite(pointer, value);
            }
        }
    }
}

fn apply_one(record: &mut Object, pointer: &Pointer, change: &Change) {
    let keys: Vec<_> = pointer.keys().collect();
    let Some((last, parents)) = keys.split_last() else { return };
    let mut object = record;
    for key in parents {
        let entry = match change {
            Change::Set(_) => object.entry(key.as_ref()).or_insert_with(|| Value::Object(Object::new())),
            Change::Unset => match object.get_mut(key.as_ref()) {
                Some(inner) => inner,
                None => return,
            },
        };
        if !entry.is_object() {
            if *change == Change::Unset {
                return;
            }
            *entry = Value::Object(Object::new());
        }
        let Value::Object(inner) = entry else { return };
        object = inner;
    }
    match change {
        Change::Set(value) => {
            object.insert(last.as_ref().to_owned(), value.clone());
        }
        Change::Unset => {
            object.remove(last.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    fn after(delta: &Delta, record: &Object) -> Value {
        let mut record = record.clone();
        delta.apply(&mut record);
        Value::Object(record)
    }

    #[test]
    fn a_diff_applied_gives_the_new_state_and_descends_into_objects_only() {
        let from = object(json!({"a": 1, "b": {"c": 1, "d": [1]}, "e": null, "f": {"x": 1}}));
        let to = object(json!({"a": 1, "b": {"c": 2, "d": [1, 2]}, "f": 3, "g": {}}));
        let delta = Delta::diff(&from, &to);
        assert_eq!(after(&delta, &from), Value::Object(to));
        let wire = serde_json::to_value(&delta).expect("serialises");
        assert_eq!(wire, json!({"set": {"/b/c": 2, "/b/d": [1, 2], "/f": 3, "/g": {}}, "unset": ["/e"]}));
        assert_eq!(serde_json::from_value::<Delta>(wire).ok(), Some(delta));
    }

    #[test]
    fn composing_is_the_same_as_applying_one_after_the_other() {
        // Every chain of three states out of a small, nasty set.
        let states: Vec<Object> = [
            json!({}),
            json!({"a": 1}),
            json!({"a": {}}),
            json!({"a": {"b": 1}}),
            json!({"a": {"b": {"c": 1}}}),
            json!({"a": {"b": 1, "d": 2}}),
            json!({"a": [1], "d": null}),
            json!({"d": {"~/": 1}}),
        ]
        .into_iter()
        .map(object)
        .collect();
        for a in &states {
            for b in &states {
                for c in &states {
                    let both = Delta::diff(a, b).compose(Delta::diff(b, c));
                    assert_eq!(after(&both, a), Value::Object(c.clone()), "{a:?} {b:?} {c:?}");
                    let wire = serde_json::to_value(&both).expect("serialises");
                    assert!(serde_json::from_value::<Delta>(wire).is_ok(), "paths never lie inside each other: {both:?}");
                }
            }
        }
    }

    #[test]
    fn a_delta_from_outside_is_checked() {
        for bad in [
            json!({"set": {"a": 1}}),
            json!({"set": {"/a": 1, "/a/b": 2}}),
            json!({"set": {"/a": 1}, "unset": ["/a"]}),
            json!({"sett": {}}),
        ] {
            assert!(serde_json::from_value::<Delta>(bad.clone()).is_err(), "{bad}");
        }
    }
}
