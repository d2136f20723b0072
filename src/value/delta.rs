//! A delta: what changed between two states of a record, field by field.
//!
//! Objects are descended into, everything else (lists too) is one value that is set whole, unless it is told what is
//! done to it ([`Change`]). The paths of a delta never lie inside each other, so its changes can be applied in any order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, Limits, ListChange, Object, Pointer};

/// The changed fields by pointer. On the wire: `{"set": {"/a": 1}, "unset": ["/b"], "add": {"/c": -1}, "lists": {"/d": …}}`
/// (see [`ListChange`]).
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

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    set: Object,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unset: Vec<String>,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    add: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    lists: Object,
}

impl From<Delta> for Wire {
    fn from(delta: Delta) -> Self {
        let mut wire = Self::default();
        for (pointer, change) in delta.changes {
            match change {
                Change::Set(value) => drop(wire.set.insert(pointer.into(), value)),
                Change::Unset => wire.unset.push(pointer.into()),
                Change::Add(more) => drop(wire.add.insert(pointer.into(), more.into())),
                Change::List(change) => drop(wire.lists.insert(pointer.into(), super::to_value(&change))),
            }
        }
        wire
    }
}

impl TryFrom<Wire> for Delta {
    type Error = DeltaError;
    fn try_from(wire: Wire) -> Result<Self, DeltaError> {
        let mut parts = Parts::default();
        let wrong = |pointer: &str| DeltaError { pointer: pointer.to_owned() };
        for (pointer, value) in wire.set {
            parts.insert(Pointer(pointer), Change::Set(value));
        }
        for (pointer, more) in wire.add {
            let change = more.as_i64().map(Change::Add).ok_or_else(|| wrong(&pointer))?;
            parts.insert_new(pointer, change)?;
        }
        for (pointer, items) in wire.lists {
            let change = super::from_value_strictly::<ListChange>(&items).map(Change::List).map_err(|_| wrong(&pointer))?;
            parts.insert_new(pointer, change)?;
        }
        for pointer in wire.unset {
            parts.insert_new(pointer, Change::Unset)?;
        }
        let delta = Self::from(parts);
        // The limit is also one of the work here, and of the levels that applying it makes.
        let odd = delta.changes.keys().find(|pointer| {
            let is_field = pointer.as_str().starts_with('/') && pointer.within().count() <= Limits::RECORD.depth_max;
            !is_field || delta.at_or_above(pointer).is_none_or(|(other, _)| other != *pointer)
        });
        odd.map_or(Ok(()), |pointer| Err(wrong(pointer.as_str())))?;
        Ok(delta)
    }
}

/// The changes of a delta by their pointers, in whatever order they come: a tree brings them in order, and that of an object
/// is in the module anyway. It holds their places in the list.
#[derive(Default)]
struct Parts {
    places: Object,
    changes: Vec<Change>,
}

impl Parts {
    fn insert(&mut self, pointer: Pointer, change: Change) {
        self.places.insert(pointer.0, self.changes.len().into());
        self.changes.push(change);
    }
    fn insert_new(&mut self, pointer: String, change: Change) -> Result<(), DeltaError> {
        if self.places.contains_key(&pointer) {
            return Err(DeltaError { pointer });
        }
        self.insert(Pointer(pointer), change);
        Ok(())
    }
    fn get_mut(&mut self, pointer: &str) -> Option<&mut Change> {
        let place = place(self.places.get(pointer)?)?;
        self.changes.get_mut(place)
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

fn place(place: &Value) -> Option<usize> {
    place.as_u64().and_then(|place| usize::try_from(place).ok())
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
    fn from(Parts { places, mut changes }: Parts) -> Self {
        let mut delta = Self::default();
        for (pointer, at) in places {
            let change = place(&at).and_then(|at| changes.get_mut(at));
            if let Some(change) = change {
                delta.insert(Pointer(pointer), std::mem::replace(change, Change::Unset));
            }
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

    /// This delta followed by `later`, as one. Nothing if something is done there to a field which this delta makes a thing
    /// that it cannot be done to.
    pub fn compose(mut self, later: Self) -> Option<Self> {
        // What is done to a field goes on from what was done to it before.
        let goes_on = |earlier: &Pointer, found: (&Pointer, &Change)| found.0 == earlier && found.1.is_relative();
        self.retain(|earlier, _| later.at_or_above(earlier).is_none_or(|found| goes_on(earlier, found)));
        let mut parts = Parts::default();
        for (pointer, change) in self.changes {
            parts.insert(pointer, change);
        }
        for (pointer, change) in later.changes {
            let above = pointer.within().find(|above| parts.places.contains_key(*above));
            match above.and_then(|above| Some((above, parts.get_mut(above)?))) {
                Some((above, there)) if above == pointer.as_str() => {
                    *there = std::mem::replace(there, Change::Unset).then(change)?;
                }
                Some((above, there)) => change_within(there, &Pointer(pointer.as_str()[above.len()..].to_owned()), &change),
                None => parts.insert(pointer, change),
            }
        }
        Some(parts.into())
    }

    /// A delta that only says what fields are.
    pub(super) fn absolute(set: Object, unset: Vec<String>) -> Result<Self, DeltaError> {
        Wire { set, unset, ..Wire::default() }.try_into()
    }
    /// What is set, and what is unset.
    pub(super) fn into_absolute(self) -> (Object, Vec<String>) {
        let wire = Wire::from(self);
        (wire.set, wire.unset)
    }
    /// The changed fields.
    pub fn changes(&self) -> impl Iterator<Item = (&Pointer, &Change)> {
        self.changes.iter()
    }
    /// Whether something is done to a field, whatever that is by then.
    pub fn is_relative(&self) -> bool {
        self.changes.values().any(Change::is_relative)
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
    /// Lets `rewrite` change every change.
    pub fn for_each_mut(&mut self, mut rewrite: impl FnMut(&Pointer, &mut Change)) {
        for (pointer, change) in self.changes.iter_mut() {
            rewrite(pointer, change);
        }
    }
}

/// Brings a change into the change of what it lies in.
fn change_within(part: &mut Change, pointer: &Pointer, change: &Change) {
    if *change != Change::Unset && !matches!(part, Change::Set(Value::Object(_))) {
        // What was set here is no object, or was taken away: the later change puts one in its place.
        *part = Change::Set(Value::Object(Object::new()));
    }
    if let Change::Set(Value::Object(object)) = part {
        apply_one(object, pointer, change);
    }
}

fn apply_one(record: &mut Object, pointer: &Pointer, change: &Change) {
    let keys: Vec<_> = pointer.keys().collect();
    let Some((last, parents)) = keys.split_last() else { return };
    let mut object = record;
    for key in parents {
        let entry = match change {
            Change::Unset => match object.get_mut(key.as_ref()) {
                Some(inner) => inner,
                None => return,
            },
            Change::Set(_) | Change::Add(_) | Change::List(_) => object.entry(key.as_ref()).or_insert_with(|| Value::Object(Object::new())),
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
    change.apply(object, last);
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
                    let both = Delta::diff(a, b).compose(Delta::diff(b, c)).expect("nothing relative");
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
        assert_eq!(after(&delta.compose(back).expect("nothing relative"), &from), Value::Object(from));
        assert_eq!(MOVED.get(), 0, "and none makes room for another");
    }
}
