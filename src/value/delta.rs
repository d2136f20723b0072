//! A delta: what changed between two states of a record, field by field.
//!
//! Objects are descended into, everything else (lists too) is one value that is set whole. The paths of
//! a delta never lie inside each other, so its changes can be applied in any order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Limits, Object, Pointer};

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
#[error("'{pointer}' is no field pointer, or lies within another changed field, or deeper than any field")]
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
        let mut parts = Parts::default();
        for (pointer, value) in wire.set {
            parts.insert(Pointer(pointer), Change::Set(value));
        }
        for pointer in wire.unset {
            if parts.0.contains_key(&pointer) {
                return Err(DeltaError { pointer });
            }
            parts.insert(Pointer(pointer), Change::Unset);
        }
        let delta = Self::from(parts);
        // The limit is also one of the work here, and of the levels that applying it makes.
        let wrong = delta.changes.keys().find(|pointer| {
            let is_field = pointer.as_str().starts_with('/') && pointer.within().count() <= Limits::RECORD.depth_max;
            !is_field || delta.at_or_above(pointer).is_none_or(|(other, _)| other != *pointer)
        });
        match wrong {
            Some(pointer) => Err(DeltaError { pointer: pointer.to_string() }),
            None => Ok(delta),
        }
    }
}

/// The changes of a delta by their pointers, in whatever order they come: a tree brings them in order, and that of an object
/// is in the module anyway. A value that is set is a list of one here, what is unset is null.
#[derive(Default)]
struct Parts(Object);

impl Parts {
    fn insert(&mut self, pointer: Pointer, change: Change) {
        let part = match change {
            Change::Set(value) => Value::Array(vec![value]),
            Change::Unset => Value::Null,
        };
        self.0.insert(pointer.0, part);
    }

    fn diff(&mut self, from: &Object, to: &Object, at: Option<&Pointer>) {
        let below = |key: &str| at.map_or_else(|| Pointer::field(key), |pointer| pointer.child(key));
        for (key, value) in to {
            match (from.get(key), value) {
                (Some(old), new) if old == new => {}
                (Some(Value::Object(old)), Value::Object(new)) => self.diff(old, new, Some(&below(key))),
                _ => self.insert(below(key), Change::Set(value.clone())),
            }
        }
        for key in from.keys().filter(|key| !to.contains_key(*key)) {
            self.insert(below(key), Change::Unset);
        }
    }
}

/// The caller keeps pointers from lying inside each other.
impl FromIterator<(Pointer, Change)> for Delta {
    fn from_iter<I: IntoIterator<Item = (Pointer, Change)>>(changes: I) -> Self {
        let mut parts = Parts::default();
        changes.into_iter().for_each(|(pointer, change)| parts.insert(pointer, change));
        parts.into()
    }
}

impl From<Parts> for Delta {
    fn from(parts: Parts) -> Self {
        let mut delta = Self::default();
        for (pointer, part) in parts.0 {
            let value = if let Value::Array(mut one) = part { one.pop() } else { None };
            delta.insert(Pointer(pointer), value.map_or(Change::Unset, Change::Set));
        }
        delta
    }
}

impl Delta {
    /// What turns `from` into `to`.
    pub fn diff(from: &Object, to: &Object) -> Self {
        let mut parts = Parts::default();
        parts.diff(from, to, None);
        parts.into()
    }

    /// Brings the changes into `record`. A parent that is missing or no object becomes one.
    pub fn apply(&self, record: &mut Object) {
        for (pointer, change) in self.changes.iter() {
            apply_one(record, pointer, change);
        }
    }

    /// This delta followed by `later`, as one.
    pub fn compose(mut self, later: Self) -> Self {
        self.retain(|earlier, _| later.at_or_above(earlier).is_none());
        let mut parts = Parts::default();
        for (pointer, change) in self.changes {
            parts.insert(pointer, change);
        }
        for (pointer, change) in later.changes {
            let above = pointer.within().find(|above| parts.0.contains_key(*above));
            match above.and_then(|above| Some((above, parts.0.get_mut(above)?))) {
                Some((above, there)) => change_within(there, &Pointer(pointer.as_str()[above.len()..].to_owned()), &change),
                None => parts.insert(pointer, change),
            }
        }
        parts.into()
    }

    /// The changed fields.
    pub fn changes(&self) -> impl Iterator<Item = (&Pointer, &Change)> {
        self.changes.iter()
    }
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
    /// Adds one change; the caller keeps pointers from lying inside each other, and brings many in the order of their text.
    pub fn insert(&mut self, pointer: Pointer, change: Change) {
        self.changes.insert(pointer, change);
    }
    /// Keeps the changes that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&Pointer, &Change) -> bool) {
        self.changes.retain(|pointer, change| keep(pointer, change));
    }
    /// The change that touches the same place as `pointer`: at it, above it or below it.
    pub fn touching(&self, pointer: &Pointer) -> Option<(&Pointer, &Change)> {
        // Between a pointer and what lies below it, others stand that begin alike: `/a`, `/a!`, `/a/b`.
        let below = || self.changes.first_from([pointer.as_str(), "/"].concat().as_str());
        self.at_or_above(pointer).or_else(|| below().filter(|(other, _)| other.is_within(pointer)))
    }
    fn at_or_above(&self, pointer: &Pointer) -> Option<(&Pointer, &Change)> {
        pointer.within().find_map(|text| self.changes.first_from(text).filter(|(other, _)| other.as_str() == text))
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

/// Brings a change into the part of what it lies in.
fn change_within(part: &mut Value, pointer: &Pointer, change: &Change) {
    if *change != Change::Unset && !part.get(0).is_some_and(Value::is_object) {
        // What was set here is no object, or was taken away: the later change puts one in its place.
        *part = Value::Array(vec![Value::Object(Object::new())]);
    }
    if let Some(Value::Object(object)) = part.get_mut(0) {
        apply_one(object, pointer, change);
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
    use super::super::sorted::tests::MOVED;
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
            json!({"a": {"b": {"c": 2, "d": 1}, "b!": 1}, "a!": {"b": 2}, "a-": 3}),
            json!({"a!": 1, "a": {"b": 2, "b!": {"c": 1}}}),
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
            json!({"unset": ["/a", "/a"]}),
            json!({"unset": [""]}),
            // In the order of text, these stand between a pointer and what lies within it.
            json!({"set": {"/a": 1, "/a!": 2, "/a-b": 3, "/a.": 4, "/a/b": 5}}),
            json!({"set": {"/a/b/c": 1, "/a/b!": 2}, "unset": ["/a/b", "/a!"]}),
            json!({"set": {"/": 1, "//": 2}}),
            // Deeper than any record: applying it would end no server's stack well.
            json!({"set": {"/a".repeat(65): 1}}),
            json!({"unset": ["/".repeat(500_000)]}),
            json!({"sett": {}}),
        ] {
            assert!(serde_json::from_value::<Delta>(bad.clone()).is_err(), "{bad}");
        }
        for good in [
            json!({"set": {"/a!": 1, "/a-b": 2, "/a/b": 3}, "unset": ["/a ", "/a/b!", "/a/c", "/ab"]}),
            json!({"set": {"/": 1}, "unset": ["/a/"]}),
            json!({"set": {"/a".repeat(64): 1}}),
        ] {
            let delta: Delta = serde_json::from_value(good.clone()).expect("a delta");
            assert_eq!(serde_json::to_value(&delta).expect("serialises"), good);
        }
    }

    #[test]
    fn what_touches_a_place_is_at_it_above_it_or_below_it() {
        let names = ["a", "a!", "a-b", "a/", "b"];
        let places: Vec<Pointer> = names
            .iter()
            .flat_map(|top| names.iter().map(|inner| Pointer::field(top).child(inner)).chain([Pointer::field(top)]))
            .flat_map(|place| [place.child("a"), place])
            .collect();
        // A few at a time of those that do not lie inside each other.
        for from in 0..places.len() {
            let mut delta = Delta::default();
            for place in places.iter().cycle().skip(from).step_by(from % 7 + 1).take(20) {
                if delta.changes().all(|(other, _)| !other.is_within(place) && !place.is_within(other)) {
                    delta.insert(place.clone(), Change::Unset);
                }
            }
            for place in &places {
                let touches = |other: &Pointer| other.is_within(place) || place.is_within(other);
                let found = delta.touching(place).map(|(other, _)| other);
                assert_eq!(found.is_some(), delta.changes().any(|(other, _)| touches(other)), "{place} {delta:?}");
                assert!(found.is_none_or(touches));
            }
        }
    }

    #[test]
    fn a_delta_of_very_many_fields_is_no_work_of_its_square() {
        // Compared each with each, the fields would take more than a minute each time (as a server is built, ten seconds).
        let names = |kind: &str| (0..30_000).map(|n| (format!("{kind}{n:05}"), Value::from(n))).collect::<Object>();
        let (from, to) = (object(json!({"m": names("b"), "m!": 1})), object(json!({"m": names("a"), "m!": 2})));
        MOVED.set(0);
        let delta = Delta::diff(&from, &to);
        let read = Delta::try_from(Wire::from(delta.clone())).expect("it came from a diff");
        assert!(read == delta && delta.changes().count() == 60_001);
        assert!(delta.changes().all(|(pointer, _)| read.touching(pointer).is_some()));
        let back = Delta::diff(&to, &from);
        assert_eq!(after(&delta.compose(back), &from), Value::Object(from));
        assert_eq!(MOVED.get(), 0, "and none makes room for another");
    }
}
