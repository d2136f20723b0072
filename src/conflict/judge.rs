//! The judgement, field by field: what one side changed stands; what both changed to the same value is no
//! conflict; for the rest the field's rule decides, or puts both changes together ([`super::combine`]). By default the
//! later effective stamp wins, and equal stamps leave it with the server, so that every device comes to the same end.

use serde_json::Value;

use super::combine::{Field, shown, text};
use super::detect::{is_only_metadata, is_same};
use super::groups::groups;
use super::record::WHOLE;
use crate::model::{Action, Stamp, Version};
use crate::protocol::{ConflictKind, ServerState};
use crate::schema::{ConflictRules, Rule};
use crate::value::{Change, Delta, Object, Pointer, Sorted};

/// The local side: one operation and what it was written on.
#[derive(Clone, Copy, Debug)]
pub struct Local<'l> {
    /// What the operation does.
    pub action: &'l Action,
    /// When it was written, by the server's clock.
    pub stamp: Stamp,
    /// The stamps of fields that were written at another time, by the server's clock.
    pub stamps: &'l Sorted<String, Stamp>,
    /// The version of the record that it was written on; nothing where that is not known, or is known to be another one.
    pub version: Option<Version>,
    /// The record that it was written on as the server had it; nothing if there was none.
    pub base: Option<&'l Object>,
    /// The server's present state, with what earlier operations of ours will do to it: what this one will change.
    pub on: Option<&'l Object>,
    /// The record as the local side shows it; needed to bring it back from a delete.
    pub view: Option<&'l Object>,
}

impl Local<'_> {
    pub(super) fn stamp_of(&self, field: &str) -> Stamp {
        self.stamps.get(field).copied().unwrap_or(self.stamp)
    }
    fn last_stamp(&self) -> Stamp {
        self.stamps.values().copied().fold(self.stamp, Stamp::max)
    }
}

/// Who is asked where no rule decides by itself. Of several the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// Nobody: the rules decide.
    #[default]
    Nobody,
    /// A function of the app.
    Function,
    /// A person.
    Person,
}

/// What stands after both sides met.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is left to do on top of the server's state; nothing if the server's side stands as it is.
    pub action: Option<Action>,
    /// The fields that both changed differently, dotted. Empty: no conflict, only a rebase.
    pub fields: Vec<String>,
    /// The places of these fields, of items of a list by their names; nothing where it is about the whole record.
    pub places: Vec<Pointer>,
    /// Whom a rule says to ask. `action` is then what it would be by the stamps.
    pub ask: Ask,
    /// Which rule or comparison decided, for people: `merge`, `client-wins`, `server-wins`.
    pub resolution: &'static str,
    /// What stood against what.
    pub kind: ConflictKind,
    /// Whether it comes to a record that may not be so.
    pub invalid: bool,
}

impl Verdict {
    /// Nothing stands against this action.
    pub fn unopposed(action: Action) -> Self {
        settled(Some(action), ConflictKind::UpdateUpdate)
    }
    /// What it comes to may not be, for these fields: a person decides. They are what it is about, if it was about none.
    pub fn doubt(&mut self, fields: Vec<String>) {
        (self.ask, self.invalid) = (Ask::Person, true);
        if self.fields.is_empty() {
            self.fields = fields;
        }
    }
}

/// Judges one operation against the server's present state of its record.
pub fn judge(local: Local<'_>, server: &ServerState, rules: &ConflictRules) -> Verdict {
    let moved = local.finds_moved(server, rules);
    match (local.action, &server.data) {
        (Action::Delete, None) => settled(None, ConflictKind::UpdateUpdate),
        (Action::Delete, Some(there)) => {
            if !moved || is_same(local.base, Some(there), rules) {
                return settled(Some(Action::Delete), ConflictKind::DeleteUpdate);
            }
            whole_record(Some(Action::Delete), local.last_stamp(), server, rules, ConflictKind::DeleteUpdate)
        }
        // It brings a record back that was deleted once more since.
        (Action::Create { .. }, None) => {
            whole_record(Some(local.action.clone()), local.last_stamp(), server, rules, ConflictKind::UpdateDelete)
        }
        (Action::Update { delta }, None) if is_only_metadata(delta, rules) => settled(None, ConflictKind::UpdateDelete),
        (Action::Update { .. }, None) => {
            let back = local.view.map(|view| Action::Create { data: view.clone() });
            whole_record(back, local.last_stamp(), server, rules, ConflictKind::UpdateDelete)
        }
        (Action::Create { data }, Some(there)) => {
            fields(&Delta::diff(there, data), &Delta::diff(&Object::new(), there), local, server, rules)
        }
        (Action::Update { delta }, Some(there)) => {
            let mut there = Delta::diff(local.base.unwrap_or(&Object::new()), there);
            there.retain(|pointer, _| {
                let name = top(pointer);
                moved || rules.is_metadata(&name) || rules.groups.iter().any(|group| group.contains(&name))
            });
            fields(delta, &there, local, server, rules)
        }
    }
}

fn settled(action: Option<Action>, kind: ConflictKind) -> Verdict {
    Verdict { action, fields: Vec::new(), places: Vec::new(), ask: Ask::Nobody, resolution: "merge", kind, invalid: false }
}

/// One side deleted: there is nothing to merge, the record is one field.
fn whole_record(action: Option<Action>, stamp: Stamp, server: &ServerState, rules: &ConflictRules, kind: ConflictKind) -> Verdict {
    let name = if kind == ConflictKind::DeleteUpdate { "delete-update" } else { "update-delete" };
    let (local_wins, ask) = local_wins(rules.of_kind(name), stamp, server.last_stamp());
    Verdict {
        action: if local_wins { action } else { None },
        fields: vec![WHOLE.to_owned()],
        places: Vec::new(),
        ask,
        resolution: if local_wins { "client-wins" } else { "server-wins" },
        kind,
        invalid: false,
    }
}

/// Whether the local side wins by a rule, and who is asked.
pub(super) fn local_wins(rule: &Rule, local: Stamp, server: Stamp) -> (bool, Ask) {
    match rule {
        // What a rule cannot put together goes to the later one.
        Rule::LastWriteWins | Rule::Counter | Rule::Set | Rule::List(_) | Rule::Text => (local > server, Ask::Nobody),
        Rule::ServerWins => (false, Ask::Nobody),
        Rule::ClientWins => (true, Ask::Nobody),
        Rule::Manual => (local > server, Ask::Person),
        Rule::Function => (local > server, Ask::Function),
    }
}

/// The fields that both sides changed differently, and what is decided on them.
#[derive(Default)]
pub(super) struct Disputed {
    fields: Vec<String>,
    places: Vec<Pointer>,
    ask: Ask,
    /// Whether something of the local side does not stand.
    lost: bool,
}

impl Disputed {
    pub(super) fn settle(&mut self, places: impl IntoIterator<Item = (String, Pointer)>, (wins, asks): (bool, Ask)) {
        for (field, place) in places {
            self.fields.push(field);
            self.places.push(place);
        }
        self.ask = self.ask.max(asks);
        self.lost |= !wins;
    }
}

/// Whether the record is already as the change wants it.
fn is_so(change: &Change, record: Option<&Object>, pointer: &Pointer) -> bool {
    let now = record.and_then(|record| pointer.find(record));
    change.done_to(now).as_ref() == now
}

fn fields(changed: &Delta, there: &Delta, local: Local<'_>, server: &ServerState, rules: &ConflictRules) -> Verdict {
    let data = server.data.as_ref();
    let (mut left, mut disputed) = (Delta::default(), Disputed::default());
    let grouped = groups(changed, there, local, server, rules, &mut left, &mut disputed);
    for (pointer, change) in changed.changes() {
        let name = top(pointer);
        if grouped.contains(&name) {
            continue;
        }
        let (rule, both) = (rules.of(&name), there.touching(pointer).is_some());
        let verdict = local_wins(rule, local.stamp_of(&name), server.stamp_of(&name));
        let [base, server, on, view] = [local.base, data, local.on, local.view].map(|record| pointer.find(record?));
        let field = Field { base, server, on, view };
        if rules.is_metadata(&name) && both && !verdict.0 && !is_so(change, data, pointer) {
            continue;
        }
        let mut change = change.clone();
        if field.takes(&change) {
            if let Change::List(items) = &change
                && both
            {
                let (items, paths) = field.items(items, verdict.0);
                if !paths.is_empty() {
                    let named = |path: Pointer| (format!("{}.{}", pointer.dotted(), shown(&path)), pointer.below(&path));
                    disputed.settle(paths.into_iter().map(named), verdict);
                }
                change = Change::List(items);
            }
            if !is_so(&change, local.on, pointer) {
                left.insert(pointer.clone(), change);
            }
            continue;
        }
        if change.is_relative() {
            // The other side made another thing of the field: what the local side made of it stands against that.
            let value = field.view.cloned().or_else(|| change.done_to(field.base));
            change = value.map_or(Change::Unset, Change::Set);
        }
        // What both sides want is no conflict, and still to be done if an earlier operation of ours wants otherwise.
        if is_so(&change, data, pointer) {
            if !is_so(&change, local.on, pointer) {
                left.insert(pointer.clone(), change);
            }
            continue;
        }
        if both && !rules.is_metadata(&name) {
            let lines = (*rule == Rule::Text).then(|| merged_text(field, &change)).flatten();
            if let Some(lines) = lines {
                left.insert(pointer.clone(), Change::Set(lines));
                continue;
            }
            disputed.settle([(pointer.dotted(), pointer.clone())], verdict);
            if !verdict.0 {
                continue;
            }
        }
        left.insert(pointer.clone(), change);
    }
    let resolution = match (disputed.fields.is_empty(), disputed.lost, is_only_metadata(&left, rules)) {
        (false, false, _) => "client-wins",
        (false, true, true) => "server-wins",
        _ => "merge",
    };
    Verdict {
        action: (!left.is_empty()).then_some(Action::Update { delta: left }),
        fields: disputed.fields,
        places: disputed.places,
        ask: disputed.ask,
        resolution,
        kind: ConflictKind::UpdateUpdate,
        invalid: false,
    }
}

fn merged_text(field: Field<'_>, change: &Change) -> Option<Value> {
    let Change::Set(ours) = change else { return None };
    text(field.base?, ours, field.server?)
}

pub(super) fn top(pointer: &Pointer) -> String {
    pointer.keys().next().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Version;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }
    fn at(ms: u64) -> Stamp {
        Stamp { ms, n: 0 }
    }
    fn server(data: Option<Value>, stamp: u64, fields: &[(&str, u64)]) -> ServerState {
        let field_stamps = fields.iter().map(|(name, ms)| ((*name).to_owned(), at(*ms))).collect();
        ServerState { version: Version(9), data: data.map(object), stamp: at(stamp), field_stamps }
    }
    fn update(from: &Value, to: Value) -> Action {
        Action::Update { delta: Delta::diff(&object(from.clone()), &object(to)) }
    }
    fn verdict(action: &Action, stamp: u64, base: &Value, server: &ServerState) -> Verdict {
        let base = object(base.clone());
        let mut view = base.clone();
        if let Action::Update { delta } = action {
            delta.apply(&mut view);
        }
        judge(
            Local {
                action,
                stamp: at(stamp),
                stamps: &Sorted::new(),
                version: None,
                base: Some(&base),
                on: server.data.as_ref(),
                view: Some(&view),
            },
            server,
            &ConflictRules::default(),
        )
    }

    #[test]
    fn disjoint_fields_merge_without_a_conflict() {
        let base = json!({"a": 1, "b": 1, "c": {"x": 1, "y": 1}});
        let action = update(&base, json!({"a": 2, "b": 1, "c": {"x": 2, "y": 1}}));
        let verdict = verdict(&action, 5, &base, &server(Some(json!({"a": 1, "b": 2, "c": {"x": 1, "y": 2}})), 1, &[("b", 9), ("c", 9)]));
        assert_eq!((verdict.action, verdict.fields.len()), (Some(action), 0));
    }

    #[test]
    fn the_same_field_goes_to_the_later_stamp_of_that_field() {
        let base = json!({"a": 1, "b": 1});
        let action = update(&base, json!({"a": 2, "b": 1}));
        // `b` changed there after our edit; that must not count against `a`.
        let there = server(Some(json!({"a": 3, "b": 3})), 1, &[("a", 4), ("b", 9)]);
        let later = verdict(&action, 5, &base, &there);
        assert_eq!((later.action, later.fields, later.resolution), (Some(action.clone()), vec!["a".to_owned()], "client-wins"));
        let earlier = verdict(&action, 3, &base, &there);
        assert_eq!((earlier.action, earlier.resolution), (None, "server-wins"));
        let equal = verdict(&action, 4, &base, &there);
        assert_eq!(equal.resolution, "server-wins");
    }

    #[test]
    fn a_field_is_judged_by_the_time_at_which_it_was_written() {
        let base = object(json!({"a": 1, "b": 1}));
        let action = Action::Update { delta: Delta::diff(&base, &object(json!({"a": 2, "b": 2}))) };
        let there = server(Some(json!({"a": 3, "b": 3})), 1, &[("a", 4), ("b", 4)]);
        // `a` was written before the other side changed it, `b` after.
        let stamps = [("a".to_owned(), at(3))].into();
        let local =
            Local { action: &action, stamp: at(5), stamps: &stamps, version: None, base: Some(&base), on: there.data.as_ref(), view: None };
        let verdict = judge(local, &there, &ConflictRules::default());
        let expected = Action::Update { delta: Delta::diff(&base, &object(json!({"a": 1, "b": 2}))) };
        assert_eq!((verdict.action, verdict.fields.len(), verdict.resolution), (Some(expected), 2, "merge"));
    }

    #[test]
    fn the_same_change_on_both_sides_is_no_conflict() {
        let base = json!({"a": 1});
        let both = verdict(&update(&base, json!({"a": 2})), 5, &base, &server(Some(json!({"a": 2})), 9, &[]));
        assert_eq!((both.action, both.fields.len()), (None, 0));
        assert_eq!(verdict(&Action::Delete, 5, &base, &server(None, 9, &[])).fields.len(), 0);
        // Only the version moved: the delete stands.
        assert_eq!(verdict(&Action::Delete, 5, &base, &server(Some(base.clone()), 9, &[])).action, Some(Action::Delete));
    }

    #[test]
    fn update_against_delete_goes_to_the_later_and_brings_back_the_whole_record() {
        let base = json!({"a": 1, "b": 1});
        let action = update(&base, json!({"a": 2, "b": 1}));
        let back = verdict(&action, 5, &base, &server(None, 4, &[]));
        assert_eq!(back.action, Some(Action::Create { data: object(json!({"a": 2, "b": 1})) }));
        assert_eq!(back.kind, ConflictKind::UpdateDelete);
        assert_eq!(verdict(&action, 3, &base, &server(None, 4, &[])).action, None);
        let again = back.action.expect("brought back");
        assert_eq!(verdict(&again, 5, &base, &server(None, 4, &[])).action, Some(again.clone()));
        let deleted_again = verdict(&again, 5, &base, &server(None, 6, &[]));
        assert_eq!((deleted_again.action, deleted_again.fields), (None, vec!["*".to_owned()]));
        let changed = server(Some(json!({"a": 7})), 1, &[("a", 4)]);
        assert_eq!(verdict(&Action::Delete, 5, &base, &changed).action, Some(Action::Delete));
        assert_eq!(verdict(&Action::Delete, 3, &base, &changed).action, None);
    }

    #[test]
    fn a_manual_field_asks_a_person_one_for_a_function_that_and_others_nobody() {
        let base = object(json!({"dose": 1, "note": ""}));
        let action = Action::Update { delta: Delta::diff(&base, &object(json!({"dose": 2, "note": "x"}))) };
        let local = Local { action: &action, stamp: at(5), stamps: &Sorted::new(), version: None, base: Some(&base), on: None, view: None };
        let asked = |fields: &[(&str, Rule)], there: Value| {
            let fields = fields.iter().map(|(field, rule)| ((*field).to_owned(), rule.clone())).collect();
            judge(local, &server(Some(there), 1, &[("dose", 4), ("note", 4)]), &ConflictRules { fields, ..ConflictRules::default() }).ask
        };
        let rules = [("dose", Rule::Manual), ("note", Rule::Function)];
        assert_eq!(asked(&rules[..1], json!({"dose": 3, "note": ""})), Ask::Person);
        assert_eq!(asked(&rules[..1], json!({"dose": 1, "note": "y"})), Ask::Nobody);
        assert_eq!(asked(&rules[1..], json!({"dose": 3, "note": "y"})), Ask::Function);
        assert_eq!(asked(&rules, json!({"dose": 3, "note": "y"})), Ask::Person, "both: a person");
    }
}
