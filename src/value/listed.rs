//! What happens to the items of a list, item by item, so that it can be done over what others did to the list.
//!
//! Each item has a name: the field of it that tells items apart, or, in a set, the whole item, as canonical text. By their
//! names the items make an object, and what happens to them is a delta of that. Items that come go to the end; where the
//! list is to be in another order, the change says in which.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, Delta, Object, Pointer, canonical};

/// What happens to the items of a list.
///
/// On the wire: `{"by": "id", "set": {"/7/count": 2, "/8": {"id": 8}}, "unset": ["/5"], "order": ["8", "7"]}`; without `by`
/// the list is a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct ListChange {
    /// The field that tells items apart; nothing in a set.
    by: Option<String>,
    /// What happens to the items by their names. Nothing in it is relative.
    items: Delta,
    /// The names in the order that the list gets. Empty: it keeps its own.
    order: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    set: Object,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unset: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    order: Vec<String>,
}

impl From<ListChange> for Wire {
    fn from(ListChange { by, items, order }: ListChange) -> Self {
        let (set, unset) = items.into_absolute();
        Self { by, set, unset, order }
    }
}

impl TryFrom<Wire> for ListChange {
    type Error = super::DeltaError;
    fn try_from(Wire { by, set, unset, order }: Wire) -> Result<Self, Self::Error> {
        Ok(Self { by, items: Delta::absolute(set, unset)?, order })
    }
}

impl ListChange {
    /// What makes one list another. Nothing if one of them is no list, or has items that cannot be told apart.
    pub fn between(old: Option<&Value>, new: &Value, by: Option<&str>) -> Option<Self> {
        let (was, is) = (Named::of(old, by)?, Named::of(Some(new), by)?);
        let mut change = Self { by: by.map(str::to_owned), items: Delta::diff(&was.items, &is.items), order: Vec::new() };
        if change.done_to(was).order != is.order {
            change.order = is.order;
        }
        Some(change)
    }
    /// The field that tells items apart; nothing in a set.
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }
    /// What happens to the items, by their names.
    pub fn items(&self) -> &Delta {
        &self.items
    }
    /// The same with other changes of items, and in the order of the list as it is then.
    pub fn with(&self, items: Delta, keeps_order: bool) -> Self {
        Self { by: self.by.clone(), items, order: if keeps_order { self.order.clone() } else { Vec::new() } }
    }
    /// A list of what is set, item by item: of some only a part.
    pub fn fold(&self) -> Value {
        let mut items = Object::new();
        self.items.apply(&mut items);
        items.into_iter().map(|(_, item)| item).collect()
    }
    /// Puts what [`Self::fold`] gave, with other values in the same places, back.
    pub fn unfold(&mut self, folded: &Value) {
        let mut items = Object::new();
        self.items.apply(&mut items);
        let now = items.into_iter().map(|(name, _)| name).zip(folded.as_array().into_iter().flatten().cloned()).collect();
        let now = Value::Object(now);
        self.items.for_each_mut(|pointer, change| {
            if let (Change::Set(value), Some(now)) = (change, now.pointer(pointer.as_str())) {
                value.clone_from(now);
            }
        });
    }
    /// The list after it; nothing if that is no list of such items.
    pub(super) fn applied(&self, list: Option<&Value>) -> Option<Value> {
        Some(self.done_to(Named::of(list, self.by())?).into_list())
    }
    fn done_to(&self, mut named: Named) -> Named {
        self.items.apply(&mut named.items);
        // What was changed in an item that is gone makes no item.
        let by = self.by();
        named.items.retain(|name, item| name_of(item, by).as_ref() == Some(name));
        let own: Object = named.order.iter().map(|name| (name.clone(), Value::Null)).collect();
        named.order.retain(|name| named.items.contains_key(name));
        named.order.extend(named.items.keys().filter(|name| !own.contains_key(*name)).cloned());
        if !self.order.is_empty() {
            named.order = in_order(&self.order, &named);
        }
        named
    }
    /// This one followed by `later`, as one. Nothing if they tell items apart by other fields, or if what is taken out here
    /// comes back there: it goes to the end then, which the two as one cannot say.
    pub(super) fn then(self, later: Self) -> Option<Self> {
        let come = later.come();
        let mut order = later.order;
        if order.is_empty() {
            let gone = |name: &String| {
                let place = Pointer::field(name);
                self.items.touching(&place).is_some_and(|(own, change)| *own == place && *change == Change::Unset)
            };
            if come.iter().any(gone) {
                return None;
            }
            let in_order = !self.order.is_empty();
            order = if in_order { self.order } else { self.come() };
            order.extend(come);
            // What comes goes to the end by itself, in the order of the names.
            if !in_order && order.is_sorted() {
                order.clear();
            }
        }
        let items = self.items.compose(later.items)?;
        (self.by == later.by).then_some(Self { by: self.by, items, order })
    }
    /// The names of the items that it puts in, in their order.
    fn come(&self) -> Vec<String> {
        let whole = |(pointer, change): (&Pointer, &Change)| {
            let mut keys = pointer.keys();
            let (name, None, Change::Set(_)) = (keys.next()?, keys.next(), change) else { return None };
            Some(name.into_owned())
        };
        let mut names: Vec<String> = self.items.changes().filter_map(whole).collect();
        names.sort_unstable();
        names
    }
}

/// A list by the names of its items.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The names in the order of the list.
    pub order: Vec<String>,
    /// The items by their names.
    pub items: Object,
}

impl Named {
    /// Nothing where this is no list, or an item has no name or that of another. What is not there is an empty list.
    pub fn of(list: Option<&Value>, by: Option<&str>) -> Option<Self> {
        let mut named = Self { order: Vec::new(), items: Object::new() };
        for item in list.map_or(Some(&Vec::new()), Value::as_array)? {
            let name = name_of(item, by)?;
            named.order.push(name.clone());
            if named.items.insert(name, item.clone()).is_some() {
                return None;
            }
        }
        Some(named)
    }
    /// The names of those that the other has too, in the order here.
    pub fn shared(&self, other: &Self) -> Vec<&String> {
        self.order.iter().filter(|name| other.items.contains_key(*name)).collect()
    }
    fn into_list(mut self) -> Value {
        self.order.iter().filter_map(|name| self.items.remove(name)).collect()
    }
}

fn name_of(item: &Value, by: Option<&str>) -> Option<String> {
    by.map_or(Some(item), |by| item.as_object()?.get(by)).map(canonical)
}

/// The names of what is there in the order of `first`, and what that does not name behind what it follows there.
fn in_order(first: &[String], named: &Named) -> Vec<String> {
    let places: Object = first.iter().zip(1_u64..).map(|(name, place)| (name.clone(), place.into())).collect();
    // What follows each place, and the beginning.
    let mut behind: Vec<Vec<&String>> = vec![Vec::new(); first.len() + 1];
    let mut last = 0;
    for name in &named.order {
        match places.get(name).and_then(Value::as_u64).and_then(|place| usize::try_from(place).ok()) {
            Some(place) => last = place,
            None => behind[last].push(name),
        }
    }
    let mut order = Vec::new();
    let mut left = named.items.clone();
    for (own, others) in std::iter::once(None).chain(first.iter().map(Some)).zip(behind) {
        let all = own.into_iter().chain(others);
        order.extend(all.filter(|name| left.remove(*name).is_some()).cloned());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn between(old: &Value, new: &Value, by: Option<&str>) -> ListChange {
        ListChange::between(Some(old), new, by).expect("lists of items that can be told apart")
    }

    #[test]
    fn what_comes_goes_and_changes_does_so_in_another_list_too() {
        let change = between(&json!(["milk", "nuts"]), &json!(["nuts", "hay"]), None);
        assert_eq!(serde_json::to_value(&change).ok(), Some(json!({"set": {"/\"hay\"": "hay"}, "unset": ["/\"milk\""]})));
        assert_eq!(change.applied(Some(&json!(["dust", "milk", "nuts"]))), Some(json!(["dust", "nuts", "hay"])));
        assert_eq!(change.applied(Some(&json!(["hay"]))), Some(json!(["hay"])), "twice is once");
        assert_eq!(change.applied(None), Some(json!(["hay"])));

        let (old, new) = (json!([{"id": 1, "n": 1, "at": "x"}, {"id": 2}]), json!([{"id": 1, "n": 2, "at": "x"}, {"id": 3}]));
        let change = between(&old, &new, Some("id"));
        let wire = json!({"by": "id", "set": {"/1/n": 2, "/3": {"id": 3}}, "unset": ["/2"]});
        assert_eq!(serde_json::to_value(&change).ok(), Some(wire.clone()));
        assert_eq!(serde_json::from_value::<ListChange>(wire).ok(), Some(change.clone()));
        let other = json!([{"id": 4}, {"id": 1, "n": 1, "at": "y"}, {"id": 2}]);
        assert_eq!(change.applied(Some(&other)), Some(json!([{"id": 4}, {"id": 1, "n": 2, "at": "y"}, {"id": 3}])));
        // What was changed in an item that is gone makes no item.
        assert_eq!(change.applied(Some(&json!([{"id": 2}]))), Some(json!([{"id": 3}])));
    }

    #[test]
    fn what_is_written_is_what_is_read_in_its_order() {
        for (old, new) in [
            (json!(["a", "b", "c"]), json!(["c", "a", "b"])),
            (json!(["a"]), json!(["z", "a", "y"])),
            (json!([]), json!(["z", "y", "a"])),
            (json!(["a", "b"]), json!([])),
        ] {
            let change = between(&old, &new, None);
            assert_eq!(change.applied(Some(&old)), Some(new.clone()), "{old} {new}");
        }
        let moved = between(&json!(["a", "b", "c"]), &json!(["c", "a", "b"]), None);
        assert_eq!(moved.applied(Some(&json!(["x", "a", "y", "b", "c"]))), Some(json!(["x", "c", "a", "y", "b"])));
    }

    #[test]
    fn lists_whose_items_cannot_be_told_apart_have_no_such_change() {
        for (odd, by) in [
            (json!([1]), Some("id")),
            (json!([{"n": 1}]), Some("id")),
            (json!([{"id": 1}, {"id": 1}]), Some("id")),
            (json!("x"), None),
            (json!(null), None),
            (json!(["a", "a"]), None),
        ] {
            assert_eq!(ListChange::between(Some(&json!([])), &odd, by), None, "{odd}");
            assert_eq!(ListChange::between(Some(&odd), &json!([]), by), None, "{odd}");
            assert!(!Change::List(between(&json!([]), &json!([]), by)).fits(Some(&odd)), "{odd}");
        }
    }

    #[test]
    fn one_after_the_other_is_both_at_once() {
        let states = [
            json!([]),
            json!(["a", "b", "c"]),
            json!(["c", "a", "b"]),
            json!(["b", "z"]),
            json!(["z", "y", "b", "a"]),
            json!(["a", "b", "c", "d", "e"]),
            json!(["a", "b", "c", "y"]),
            json!(["a", "b", "c", "y", "x"]),
            json!(["a", "b", "c", "y", "x", "w"]),
        ];
        let mut said = states.len().pow(3);
        for a in &states {
            for b in &states {
                for c in &states {
                    let Some(both) = between(a, b, None).then(between(b, c, None)) else {
                        said -= 1;
                        continue;
                    };
                    assert_eq!(both.applied(Some(a)).as_ref(), Some(c), "{a} {b} {c}");
                }
            }
        }
        assert!(said > 100, "{said}");
        let by = |field| ListChange::between(None, &json!([]), Some(field)).expect("a list");
        assert_eq!(by("a").then(by("b")), None);
    }
}
