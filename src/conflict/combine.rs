//! Both sides' changes of one field put together, where its rule can: a count and items of a list are done over what the
//! other side did, and texts merge line by line.
//!
//! Whatever a rule cannot put together (another type than it expects, overlapping lines) it leaves to the stamps.

use serde_json::Value;

use crate::value::{Change, Delta, ListChange, Named, Object, Pointer};

/// Texts with more lines are one value: comparing them takes time that grows with lines times changes.
const LINES_MAX: usize = 5_000;

/// One field. Nothing where it is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'f> {
    /// What both sides started from.
    pub(super) base: Option<&'f Value>,
    pub(super) server: Option<&'f Value>,
    /// The server's, with what earlier operations of ours will do to it.
    pub(super) on: Option<&'f Value>,
    /// As the local side shows it.
    pub(super) view: Option<&'f Value>,
}

impl Field<'_> {
    /// Whether this is a relative change, and can be done over what the server has. Where the other side took the whole field
    /// away, or made another thing of it, it cannot.
    pub(super) fn takes(self, change: &Change) -> bool {
        change.is_relative() && change.fits(self.server) && (self.server.is_some() || self.base.is_none())
    }

    /// What of the local side's change of items stands over the server's list, and where both changed the same of an item
    /// differently, within the field. The later side has that.
    pub(super) fn items(self, change: &ListChange, local_is_later: bool) -> (ListChange, Vec<Pointer>) {
        let named = |list| Named::of(list, change.by()).unwrap_or_else(|| Named { order: Vec::new(), items: Object::new() });
        let (base, server) = (named(self.base), named(self.server));
        let theirs = Delta::diff(&base.items, &server.items);
        let on = named(self.on).items;
        let mut ours = named(self.view).items;
        change.items().apply(&mut ours);
        let (mut items, mut disputed) = (Delta::default(), Vec::new());
        for (pointer, own) in change.items().changes() {
            let Some(name) = pointer.keys().next() else { continue };
            let (here, there) = (ours.get(name.as_ref()), server.items.get(name.as_ref()));
            let is_within = pointer.keys().nth(1).is_some();
            // Both coming to the same is no opposition; nor is it one that what is put in here is not there yet, whatever is
            // known of a server that was restored.
            let opposed = theirs.touching(pointer).filter(|(place, other)| *place != pointer || *other != own);
            let opposed = opposed.filter(|_| there.is_some() || is_within && !on.contains_key(name.as_ref()) || *own == Change::Unset);
            if opposed.is_none() {
                items.insert(pointer.clone(), own.clone());
                continue;
            }
            match (here, there) {
                // Both put it in: field by field.
                (Some(Value::Object(here)), Some(Value::Object(there))) if !is_within => {
                    for (inner, change) in Delta::diff(there, here).changes() {
                        let of_both = matches!(change, Change::Set(_)) && inner.find(there).is_some();
                        if of_both {
                            disputed.push(pointer.below(inner));
                        }
                        if matches!(change, Change::Set(_)) && (local_is_later || !of_both) {
                            items.insert(pointer.below(inner), change.clone());
                        }
                    }
                }
                // The other side took it away: what was changed here brings the whole of it back.
                (Some(here), None) => {
                    disputed.push(Pointer::field(&name));
                    if local_is_later {
                        items.insert(Pointer::field(&name), Change::Set(here.clone()));
                    }
                }
                _ => {
                    disputed.push(pointer.clone());
                    if local_is_later {
                        items.insert(pointer.clone(), own.clone());
                    }
                }
            }
        }
        disputed.dedup();
        // Whoever moved items has the order; if both did, the server.
        let keeps_order = server.shared(&base) == base.shared(&server);
        (change.with(items, keeps_order), disputed)
    }
}

/// A place in a list, by the item's name, as people write it.
pub(super) fn shown(place: &Pointer) -> String {
    place.dotted().replacen('"', "", 2)
}

/// Both sides' lines, where they changed different ones.
pub(super) fn text(base: &Value, local: &Value, server: &Value) -> Option<Value> {
    let (base, local, server) = (base.as_str()?, local.as_str()?, server.as_str()?);
    if [base, local, server].iter().any(|side| side.lines().nth(LINES_MAX).is_some()) {
        return None;
    }
    diffy::merge(base, local, server).ok().map(Value::String)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What stands after both sides changed the list, and what both changed differently.
    fn merged(base: &Value, local: &Value, server: &Value, local_is_later: bool) -> (Value, Vec<String>) {
        let change = ListChange::between(Some(base), local, Some("id")).expect("lists of items");
        let field = Field { base: Some(base), server: Some(server), on: Some(server), view: Some(local) };
        let (items, disputed) = field.items(&change, local_is_later);
        (Change::List(items).done_to(Some(server)).expect("a list"), disputed.iter().map(shown).collect())
    }

    #[test]
    fn lists_merge_item_by_item_and_field_by_field() {
        let base = json!([{"id": 1, "n": 1, "at": "x"}, {"id": 2, "n": 1}, {"id": 3, "n": 1}]);
        let local = json!([{"id": 1, "n": 2, "at": "x"}, {"id": 3, "n": 1}, {"id": 4, "n": 1}]);
        let server = json!([{"id": 1, "n": 1, "at": "y"}, {"id": 2, "n": 1}, {"id": 5, "n": 1}]);
        // 2 was taken away here and 3 there; 4 came here and 5 there.
        let both = json!([{"id": 1, "n": 2, "at": "y"}, {"id": 5, "n": 1}, {"id": 4, "n": 1}]);
        assert_eq!(merged(&base, &local, &server, true), (both.clone(), Vec::new()));
        assert_eq!(merged(&base, &local, &server, false), (both, Vec::new()));
    }

    #[test]
    fn of_an_item_that_both_changed_the_later_has_what_is_disputed() {
        let base = json!([{"id": 1, "n": 1}, {"id": 2, "n": 1}, {"id": 3, "n": 1}]);
        let local = json!([{"id": 1, "n": 2}, {"id": 2, "n": 2}, {"id": "a", "n": 1, "x": 1}]);
        let server = json!([{"id": 1, "n": 3}, {"id": 3, "n": 3}, {"id": "a", "n": 2, "y": 1}]);
        let told = ["a.n", "1.n", "2", "3"].map(str::to_owned).to_vec();
        let later = json!([{"id": 1, "n": 2}, {"id": "a", "n": 1, "x": 1, "y": 1}, {"id": 2, "n": 2}]);
        assert_eq!(merged(&base, &local, &server, true), (later, told.clone()));
        let earlier = json!([{"id": 1, "n": 3}, {"id": 3, "n": 3}, {"id": "a", "n": 2, "x": 1, "y": 1}]);
        assert_eq!(merged(&base, &local, &server, false), (earlier, told));
    }

    #[test]
    fn whoever_moved_items_has_the_order_and_if_both_did_the_server() {
        let list = |ids: [u64; 3]| ids.map(|id| json!({ "id": id })).into_iter().collect::<Value>();
        let [base, moved, other] = [list([1, 2, 3]), list([3, 1, 2]), list([2, 1, 3])];
        assert_eq!(merged(&base, &moved, &base, true).0, moved);
        assert_eq!(merged(&base, &base, &moved, true).0, moved);
        assert_eq!(merged(&base, &moved, &other, true).0, other);
    }

    #[test]
    fn texts_merge_line_by_line_and_are_one_value_where_lines_are_disputed() {
        let base = json!("lame\nleft front\nsee again");
        let local = json!("very lame\nleft front\nsee again");
        let server = json!("lame\nleft front\nsee again in May");
        assert_eq!(text(&base, &local, &server), Some(json!("very lame\nleft front\nsee again in May")));
        assert_eq!(text(&base, &local, &json!("not lame\nleft front\nsee again")), None);
        let long = Value::from("x\n".repeat(LINES_MAX + 1));
        assert_eq!(text(&base, &long, &server), None);
    }
}
