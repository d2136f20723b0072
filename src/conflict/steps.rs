//! The life of a conflict, step by step: found, renewed while it was open, resolved, and then perhaps its loser restored,
//! or the last step undone.
//!
//! A step that changed the record keeps two pictures of the part that the conflict is about: what it took away (`lost`)
//! and what it left (`left`). A restore writes what the resolution took away; an undo writes what the last step took away,
//! where that step's own values still stand. A picture is an action: the whole record, its absence, or some fields.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judge::top;
use super::picture::{Sides, left_by, taken_by};
use super::{Conflict, ConflictState, WHOLE};
use crate::model::{Action, OpId};
use crate::planted::{self, Bug};
use crate::schema::Schema;
use crate::value::{Change, Delta, Named, Object};

/// What happened to a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// It was found.
    Found,
    /// The server's side was replaced by a newer one. Several in a row are one step, that of the last.
    Renewed,
    /// A function of the app was asked, and left it to a person.
    Asked,
    /// It was decided.
    Resolved,
    /// What had lost was brought back.
    Restored,
    /// The step before was taken back.
    Undone,
}

/// One step in the life of a conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What happened.
    pub step: StepKind,
    /// When, ms by the device.
    pub at: u64,
    /// By whom: `rule`, or the user. Nothing where it only came to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How: of a resolution its name, of an undo what it took back, of a function why it left it: `manual` or a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
    /// The operation that met the conflict, or that did this. Nothing where none was needed.
    #[serde(default, rename = "operationId", skip_serializing_if = "Option::is_none")]
    pub operation: Option<OpId>,
    /// What it took away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Action>,
    /// What it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Action>,
    /// The fields, dotted, that an undo left alone because they were written since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

impl Step {
    /// A step of which only the time is known.
    pub fn new(step: StepKind, at: u64) -> Self {
        Self { step, at, by: None, how: None, operation: None, lost: None, left: None, kept: Vec::new() }
    }
}

impl Conflict {
    /// Begins its life. One that was stored before steps were kept gets those that its other members tell of.
    pub fn begin(&mut self) {
        if !self.steps.is_empty() {
            return;
        }
        let operation = Some(self.operation.id.clone());
        self.steps.push(Step { operation, ..Step::new(StepKind::Found, self.detected_at) });
        if let (Some(how), Some(by), Some(at)) = (self.resolution.clone(), self.resolved_by.clone(), self.resolved_at) {
            let stood = if how == "client-wins" { self.local.clone() } else { self.server.data.clone() };
            self.resolve(at, &by, &how, None, stood.as_ref(), None);
        }
    }

    /// The server's side is a newer one.
    pub fn renew(&mut self, at: u64) {
        self.steps.pop_if(|last| last.step == StepKind::Renewed);
        self.steps.push(Step::new(StepKind::Renewed, at));
    }

    /// A function of the app does not decide it: a person has to.
    pub fn leave(&mut self, at: u64, how: &str) {
        self.asks = None;
        self.steps.push(Step { by: Some("rule".to_owned()), how: Some(how.to_owned()), ..Step::new(StepKind::Asked, at) });
    }

    /// Whether it is still to be decided by a function of the app, and both sides are what they were when that was asked: the
    /// local one is this by now.
    pub fn is_as_asked(&self, asked: &Self, local: Option<&Object>) -> bool {
        self.asks.is_some() && (&self.server, local) == (&asked.server, asked.local.as_ref())
    }

    /// It is decided. `stood` is the record afterwards. A rule decides on what both sides changed; somebody, by the `schema`,
    /// on all of it: what only one side changed may be given up with the rest.
    pub fn resolve(&mut self, at: u64, by: &str, how: &str, operation: Option<OpId>, stood: Option<&Object>, schema: Option<&Schema>) {
        let (lost, left) = self.pictures(stood, how, schema);
        self.state = ConflictState::Resolved;
        self.asks = None;
        self.resolution = Some(how.to_owned());
        self.resolved_by = Some(by.to_owned());
        self.resolved_at = Some(at);
        let (by, how) = (Some(by.to_owned()), Some(how.to_owned()));
        self.steps.push(Step { by, how, operation, lost: Some(lost), left: Some(left), ..Step::new(StepKind::Resolved, at) });
    }

    /// What a restore brings back; nothing while it is open, when it was brought back already, or after an undo of the
    /// resolution.
    pub fn lost(&self) -> Option<&Action> {
        let last = self.steps.last()?.step;
        let is_lost = last == StepKind::Resolved || last == StepKind::Undone && self.state == ConflictState::Resolved;
        let resolved = self.steps.iter().rev().find(|step| is_lost && step.step == StepKind::Resolved)?;
        // Of a record that nobody here ever saw, and that is gone, nothing is known that could come back.
        resolved.lost.as_ref().filter(|_| resolved.lost != resolved.left)
    }

    /// The step that an undo takes back; nothing if the last one is none that was taken.
    pub fn last_taken(&self) -> Option<&Step> {
        self.steps.last().filter(|last| matches!(last.step, StepKind::Resolved | StepKind::Restored))
    }

    /// Whether it is about the record as a whole: one side deleted it, or would not have it.
    fn is_whole(&self) -> bool {
        self.is_of_new() || self.server.data.is_none() || self.operation.action == Action::Delete
    }

    /// Two pictures of the part that a decision was about: what it took away, and what it left.
    fn pictures(&self, stood: Option<&Object>, how: &str, schema: Option<&Schema>) -> (Action, Action) {
        let (local, server) = (self.local.as_ref(), self.server.data.as_ref());
        let Some(there) = server.filter(|_| !self.is_whole()) else {
            let whole = |data: Option<&Object>| data.map_or(Action::Delete, |data| Action::Create { data: data.clone() });
            let local_stands = stood == local || stood != server && how == "client-wins";
            return (whole(if local_stands == planted::is(Bug::WinnerKept) { local } else { server }), whole(stood));
        };
        let changed = match &self.operation.action {
            Action::Update { delta } => delta.clone(),
            Action::Create { data } => Delta::diff(there, data),
            Action::Delete => Delta::default(),
        };
        let mut places = self.places.clone();
        if places.is_empty() {
            // Those of a constraint, and of what was found before places were kept, are known by name only.
            let named = changed.changes().map(|(place, _)| place).filter(|place| self.fields.contains(&place.dotted()));
            places.extend(named.cloned());
        }
        let none = Object::new();
        let records = [self.base.as_ref(), local, server, stood].map(|record| record.unwrap_or(&none));
        let (mut lost, mut left) = Sides { records, all: schema.is_some() }.pictures(&changed, &places);
        if let Some(declared) = schema.and_then(|schema| schema.entity(&self.entity)) {
            for delta in [&mut lost, &mut left] {
                delta.retain(|place, _| !declared.conflicts.is_metadata(&top(place)));
            }
        }
        (Action::Update { delta: lost }, Action::Update { delta: left })
    }
}

/// Whether a field is as a change wants it, or such a change is nothing that could be seen there.
fn is_so(change: &Change, now: Option<&Value>) -> bool {
    change.fits(now) && change.done_to(now).as_ref() == now
}

/// A record that shall be as a picture shows, and what that takes away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Back {
    /// What is to be done; nothing if it is so already.
    pub action: Option<Action>,
    /// A picture of what that takes away.
    pub lost: Option<Action>,
    /// A picture of what that leaves.
    pub left: Option<Action>,
    /// The fields, dotted, that stay as they are because they were written since; `*` is the whole record.
    pub kept: Vec<String>,
}

/// Brings back what a picture shows, over whatever stands now. Nothing where fields shall come back to a record that is
/// gone.
pub fn restore(lost: &Action, record: Option<&Object>) -> Option<Back> {
    let whole = |record: Option<&Object>| record.map_or(Action::Delete, |data| Action::Create { data: data.clone() });
    let fields = |mut delta: Delta, record: &Object| {
        // What is no such list or count any more stays as it is.
        delta.retain(|place, change| change.fits(place.find(record)));
        let picture = |of: fn(&Change, Option<&Value>) -> Change| {
            let places = delta.changes().map(|(place, change)| (place.clone(), of(change, place.find(record))));
            Some(Action::Update { delta: places.collect() })
        };
        let (lost, left) = (picture(taken_by), picture(|change, now| left_by(change, change.done_to(now).as_ref())));
        delta.retain(|place, change| !is_so(change, place.find(record)));
        let action = (!delta.is_empty()).then_some(Action::Update { delta });
        Back { action, lost, left, kept: Vec::new() }
    };
    match (lost, record) {
        (Action::Update { .. }, None) => None,
        (Action::Update { delta }, Some(record)) => Some(fields(delta.clone(), record)),
        (Action::Create { data }, Some(record)) => {
            // It is here, brought back by somebody else: what that one added stays.
            let mut delta = Delta::diff(record, data);
            delta.retain(|_, change| matches!(change, Change::Set(_)));
            Some(fields(delta, record))
        }
        (Action::Create { .. } | Action::Delete, record) => {
            let action = (whole(record) != *lost).then(|| lost.clone());
            Some(Back { action, lost: Some(whole(record)), left: Some(lost.clone()), kept: Vec::new() })
        }
    }
}

/// Takes a step back that took `lost` away and left `left`: what was written since stays as it is.
pub fn undo(lost: &Action, left: &Action, record: Option<&Object>) -> Back {
    let mut back = Back::default();
    match (lost, left, record) {
        (Action::Update { delta: lost }, Action::Update { delta: left }, Some(record)) => {
            let change = undone(lost, left, record, &mut back.kept);
            back.action = (!change.is_empty()).then_some(Action::Update { delta: change });
        }
        (_, Action::Update { delta: left }, _) => back.kept.extend(left.changes().map(|(place, _)| place.dotted())),
        (_, Action::Create { data: left }, Some(record)) if left == record => {
            back.action = match lost {
                Action::Create { data } => Some(Action::Update { delta: Delta::diff(record, data) }),
                lost => Some(lost.clone()),
            };
        }
        (_, Action::Delete, None) => back.action = (*lost != Action::Delete).then(|| lost.clone()),
        (_, Action::Create { .. } | Action::Delete, _) => back.kept.push(WHOLE.to_owned()),
    }
    back
}

/// What was `lost`, where what was `left` for it still stands. The rest is kept.
fn undone(lost: &Delta, left: &Delta, record: &Object, kept: &mut Vec<String>) -> Delta {
    let mut change = Delta::default();
    for (place, then) in left.changes() {
        let now = place.find(record);
        let before = lost.changes().find(|(other, _)| *other == place).map(|(_, before)| before);
        if let (Some(Change::List(before)), Change::List(then)) = (before, then)
            && let Some(list) = Named::of(now, then.by())
        {
            let mut within = Vec::new();
            let items = undone(before.items(), then.items(), &list.items, &mut within);
            kept.extend(within.into_iter().map(|item| format!("{}.{}", place.dotted(), item.replacen('"', "", 2))));
            if !items.is_empty() {
                change.insert(place.clone(), Change::List(before.with(items, false)));
            }
            continue;
        }
        match before.filter(|_| is_so(then, now) || planted::is(Bug::UndoneOver)) {
            Some(before) if before == then => {}
            Some(before) => change.insert(place.clone(), before.clone()),
            None => kept.push(place.dotted()),
        }
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }
    fn fields(set: Value) -> Action {
        Action::Update { delta: Delta::diff(&Object::new(), &object(set)) }
    }
    fn whole(data: Value) -> Action {
        Action::Create { data: object(data) }
    }

    /// A conflict over `fields` of an update from `base` to `local`, or of a delete, with the server's side.
    fn conflict(base: Value, local: Option<Value>, server: Option<Value>, fields: &[&str]) -> Conflict {
        let action = match &local {
            Some(local) => Action::Update { delta: Delta::diff(&object(base.clone()), &object(local.clone())) },
            None => Action::Delete,
        };
        let text = json!({
            "id": 1, "conflictId": "c", "kind": "update-update", "entity": "pet", "record": 7,
            "operation": {"id": "0190a1b2-0000-7000-8000-000000000001", "seq": 1, "entity": "pet", "record": 7, "action": action,
                "base": {"version": "1"}, "stamp": [1, 0], "author": "anna", "schema": 1},
            "base": base, "local": local, "server": {"version": "2", "data": server, "stamp": [1, 0]},
            "fields": fields, "detectedAt": 1, "state": "open",
        });
        serde_json::from_value(text).expect("a conflict")
    }

    #[test]
    fn the_loser_of_a_field_is_the_local_side_unless_that_stands() {
        let base = json!({"a": {"x": 1}, "b": 1, "c": 1});
        let local = json!({"a": {"x": 2}, "b": 2, "c": 2});
        let server = json!({"a": {"x": 3}, "c": 1});
        let mut met = conflict(base, Some(local), Some(server), &["a.x", "b"]);
        met.begin();
        assert_eq!(met.lost(), None, "nothing is lost while it is open");
        // The local side won one field, the server's the other; what only one side changed is no part of it.
        met.resolve(2, "rule", "merge", None, Some(&object(json!({"a": {"x": 2}, "c": 2}))), None);
        let Some(Action::Update { delta }) = met.lost() else { panic!("fields are lost") };
        let lost: Vec<_> = delta.changes().map(|(place, change)| (place.as_str(), change.clone())).collect();
        assert_eq!(lost, [("/a/x", Change::Set(json!(3))), ("/b", Change::Set(json!(2)))]);
        let Some(Action::Update { delta }) = &met.steps[1].left else { panic!("fields are left") };
        let left: Vec<_> = delta.changes().map(|(place, change)| (place.as_str(), change.clone())).collect();
        assert_eq!(left, [("/a/x", Change::Set(json!(2))), ("/b", Change::Unset)]);
    }

    #[test]
    fn a_whole_record_loses_to_its_absence_and_the_other_way_round() {
        let (base, other) = (json!({"a": 1}), json!({"a": 2}));
        for (local, server, stood, lost) in [
            (Some(other.clone()), None, None, whole(other.clone())),
            (Some(other.clone()), None, Some(other.clone()), Action::Delete),
            (None, Some(other.clone()), None, whole(other.clone())),
            (None, Some(other.clone()), Some(other.clone()), Action::Delete),
        ] {
            let mut met = conflict(base.clone(), local, server, &["*"]);
            met.resolve(2, "rule", "server-wins", None, stood.map(object).as_ref(), None);
            assert_eq!(met.lost(), Some(&lost));
        }
    }

    #[test]
    fn what_is_restored_can_be_undone_where_it_still_stands() {
        let now = object(json!({"a": 1, "b": 1, "c": 1}));
        let back = restore(&fields(json!({"a": 2, "b": 2})), Some(&now)).expect("it is here");
        let after = |record: &Object, action: Option<Action>| {
            let mut record = record.clone();
            if let Some(Action::Update { delta }) = action {
                delta.apply(&mut record);
            }
            Value::Object(record)
        };
        let restored = after(&now, back.action);
        assert_eq!(restored, json!({"a": 2, "b": 2, "c": 1}));
        let (lost, left) = (back.lost.expect("lost"), back.left.expect("left"));
        let undone = undo(&lost, &left, Some(&object(restored)));
        assert_eq!(
            (after(&object(json!({"a": 2, "b": 2, "c": 5})), undone.action), undone.kept.len()),
            (json!({"a": 1, "b": 1, "c": 5}), 0)
        );
        let undone = undo(&lost, &left, Some(&object(json!({"a": 9, "b": 2}))));
        assert_eq!((after(&object(json!({"a": 9, "b": 2})), undone.action), undone.kept), (json!({"a": 9, "b": 1}), vec!["a".to_owned()]));
        let undone = undo(&lost, &left, None);
        assert_eq!((undone.action, undone.kept), (None, vec!["a".to_owned(), "b".to_owned()]), "a record that is gone stays gone");
    }

    #[test]
    fn a_restore_of_what_is_so_already_does_nothing() {
        let now = object(json!({"a": 1}));
        assert_eq!(restore(&fields(json!({"a": 1})), Some(&now)).map(|back| back.action), Some(None));
        assert_eq!(restore(&Action::Delete, None).map(|back| back.action), Some(None));
        assert_eq!(restore(&whole(json!({"a": 1})), Some(&now)).map(|back| back.action), Some(None));
        assert_eq!(restore(&fields(json!({"a": 1})), None), None, "fields do not come back to a record that is gone");
    }

    #[test]
    fn a_whole_record_comes_back_over_one_that_is_here_and_leaves_what_others_added() {
        let now = object(json!({"a": 1, "new": 1}));
        let back = restore(&whole(json!({"a": 2, "b": 2})), Some(&now)).expect("it is here");
        assert_eq!(back.action, Some(fields(json!({"a": 2, "b": 2}))));
    }

    #[test]
    fn a_whole_record_is_taken_back_only_as_it_was_left() {
        let data = json!({"a": 1});
        assert_eq!(undo(&Action::Delete, &whole(data.clone()), Some(&object(data.clone()))).action, Some(Action::Delete));
        assert_eq!(undo(&Action::Delete, &whole(data.clone()), Some(&object(json!({"a": 2})))).kept, ["*"]);
        assert_eq!(undo(&whole(data.clone()), &Action::Delete, None).action, Some(whole(data.clone())));
        assert_eq!(undo(&whole(data.clone()), &Action::Delete, Some(&object(data))).kept, ["*"]);
    }
}
