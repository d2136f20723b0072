//! Whether the server's side of a record moved since the state that a local change was written on. The rules of the entity
//! name the signs: it moved if all of them say so, and a sign that cannot tell says so. Where it did not move, nothing stands
//! against the local change.

use serde_json::Value;

use super::Local;
use super::judge::top;
use crate::model::Version;
use crate::protocol::ServerState;
use crate::schema::{ConflictRules, Detect};
use crate::value::{Delta, Object, instant};

impl Local<'_> {
    /// Whether the server's side moved since.
    pub(super) fn finds_moved(&self, server: &ServerState, rules: &ConflictRules) -> bool {
        let there = server.data.as_ref();
        rules.detect.iter().all(|sign| match sign {
            // A version of a lineage that was lost is none.
            Detect::Version => self.version.is_none_or(|version| version == Version::LOST || version != server.version),
            Detect::Hash => !is_same(self.base, there, rules),
            Detect::Timestamp(field) => {
                let [then, now] = [self.base, there].map(|record| record.and_then(|record| record.get(field)));
                then.zip(now).is_none_or(|(then, now)| is_later(now, then))
            }
        })
    }
}

/// Whether both are there and differ at most in what settles itself.
pub(super) fn is_same(base: Option<&Object>, there: Option<&Object>, rules: &ConflictRules) -> bool {
    base.zip(there).is_some_and(|(base, there)| is_only_metadata(&Delta::diff(base, there), rules))
}

/// Whether it changes at most what settles itself.
pub(super) fn is_only_metadata(delta: &Delta, rules: &ConflictRules) -> bool {
    delta.changes().all(|(pointer, _)| rules.is_metadata(&top(pointer)))
}

/// Numbers as numbers, texts as times where both are such. Of anything else, whatever differs is later.
fn is_later(now: &Value, then: &Value) -> bool {
    if let (Some(now), Some(then)) = (now.as_f64(), then.as_f64()) {
        return now > then;
    }
    let at = |value: &'_ Value| value.as_str().and_then(instant).map(|(seconds, fraction)| (seconds, fraction.to_owned()));
    match (at(now), at(then)) {
        (Some(now), Some(then)) => now > then,
        _ => now != then,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, Verdict, judge};
    use super::*;
    use crate::model::{Action, Stamp};
    use crate::protocol::ConflictKind;
    use crate::value::Sorted;
    use serde_json::json;

    fn object(value: &Value) -> Object {
        value.as_object().cloned().expect("an object")
    }
    fn rules(detect: &[Detect]) -> ConflictRules {
        ConflictRules { detect: detect.to_vec(), metadata: vec!["at".to_owned(), "by".to_owned()], ..ConflictRules::default() }
    }
    /// The server has this at version 2, written at 5; the local side stands on version `on`.
    fn met(
        rules: &ConflictRules,
        on: Option<Version>,
        base: &Value,
        action: &Action,
        stamp: u64,
        there: Option<&Value>,
    ) -> (bool, Verdict) {
        let field_stamps = Sorted::new();
        let server = ServerState { version: Version(2), data: there.map(object), stamp: Stamp { ms: 5, n: 0 }, field_stamps };
        let (base, stamps) = (object(base), Sorted::new());
        let mut view = base.clone();
        if let Action::Update { delta } = action {
            delta.apply(&mut view);
        }
        let stamp = Stamp { ms: stamp, n: 0 };
        let on = Local { action, stamp, stamps: &stamps, version: on, base: Some(&base), on: server.data.as_ref(), view: Some(&view) };
        (on.finds_moved(&server, rules), judge(on, &server, rules))
    }
    fn update(from: &Value, to: &Value) -> Action {
        Action::Update { delta: Delta::diff(&object(from), &object(to)) }
    }
    fn timestamp(field: &str) -> Detect {
        Detect::Timestamp(field.to_owned())
    }

    #[test]
    fn what_belongs_together_comes_from_one_side_also_where_the_other_did_not_move() {
        let mut rules = rules(&[timestamp("time")]);
        rules.groups = vec![vec!["price".to_owned(), "currency".to_owned()]];
        let base = json!({"price": 1, "currency": "CHF", "time": 5, "note": ""});
        let there = json!({"price": 2, "currency": "EUR", "time": 5, "note": "x"});
        for (local, left) in [
            (json!({"price": 3, "currency": "CHF", "time": 5, "note": ""}), json!({"price": 3, "currency": "CHF"})),
            (json!({"price": 1, "currency": "CHF", "time": 5, "note": "y"}), json!({"note": "y"})),
        ] {
            let (moved, verdict) = met(&rules, Some(Version(1)), &base, &update(&base, &local), 1, Some(&there));
            let done = Action::Update { delta: Delta::diff(&Object::new(), &object(&left)) };
            assert_eq!((moved, verdict.fields.len(), verdict.ask, verdict.action), (false, 0, Ask::Nobody, Some(done)), "{local}");
        }
    }

    #[test]
    fn every_sign_tells_of_its_own() {
        let base = json!({"a": 1, "at": 1, "time": 5});
        let moved = |detect: &[Detect], on, there: Value| met(&rules(detect), on, &base, &Action::Delete, 1, Some(&there)).0;
        let other = json!({"a": 2, "at": 1, "time": 5});
        assert!(moved(&[Detect::Version], Some(Version(1)), base.clone()));
        assert!(!moved(&[Detect::Version], Some(Version(2)), other.clone()));
        assert!(moved(&[Detect::Hash], Some(Version(2)), other.clone()));
        assert!(
            !moved(&[Detect::Hash], Some(Version(1)), json!({"a": 1, "at": 9, "by": "ben", "time": 5})),
            "what settles itself is no content"
        );
        assert!(moved(&[timestamp("time")], Some(Version(2)), json!({"a": 1, "time": 6})));
        assert!(!moved(&[timestamp("time")], Some(Version(1)), json!({"a": 2, "time": 4})));
        // All have to say so.
        let all = [Detect::Version, Detect::Hash, timestamp("time")];
        assert!(moved(&all, Some(Version(1)), json!({"a": 2, "time": 6})));
        for (on, there) in [(2, json!({"a": 2, "time": 6})), (1, json!({"a": 1, "at": 2, "time": 5})), (1, other.clone())] {
            assert!(!moved(&all, Some(Version(on)), there));
        }
    }

    #[test]
    fn a_sign_that_cannot_tell_says_that_it_moved() {
        let base = json!({"a": 1});
        let moved = |detect: Detect, on, there: Option<&Value>| met(&rules(&[detect]), on, &base, &Action::Delete, 1, there).0;
        assert!(moved(Detect::Version, None, Some(&base)));
        assert!(moved(Detect::Hash, None, None));
        assert!(moved(timestamp("time"), None, Some(&base)), "it is in neither");
        assert!(moved(timestamp("time"), None, Some(&json!({"a": 1, "time": 1}))), "it is not in the one");
        assert!(moved(timestamp("a"), None, None), "the record is gone");
    }

    #[test]
    fn numbers_and_times_have_an_order_and_the_rest_only_differs() {
        for (then, now, later) in [
            (json!(9), json!(10), true),
            (json!(10), json!(9.5), false),
            (json!("2026-01-01T10:00:00+02:00"), json!("2026-01-01T09:00:00Z"), true),
            (json!("2026-01-01T10:00:00Z"), json!("2026-01-01T11:00:00+02:00"), false),
            (json!("2026-01-01T10:00:00Z"), json!("yesterday"), true),
            (json!("b"), json!("a"), true),
            (json!("a"), json!("a"), false),
            (json!(null), json!(0), true),
        ] {
            assert_eq!(is_later(&now, &then), later, "{then} {now}");
        }
    }

    #[test]
    fn where_the_other_side_did_not_move_the_change_is_done_as_it_is() {
        let (base, there) = (json!({"a": 1, "b": 1, "time": 1}), json!({"a": 3, "b": 3, "time": 1}));
        let action = update(&base, &json!({"a": 2, "b": 1, "time": 1}));
        let rules = rules(&[timestamp("time")]);
        let (moved, verdict) = met(&rules, None, &base, &action, 1, Some(&there));
        assert_eq!((moved, verdict.fields.len(), verdict.action), (false, 0, Some(action.clone())), "though it is the earlier one");
        let (_, verdict) = met(&rules, None, &base, &Action::Delete, 1, Some(&there));
        assert_eq!((verdict.fields.len(), verdict.action), (0, Some(Action::Delete)));
        let (moved, verdict) = met(&rules, None, &base, &action, 1, Some(&json!({"a": 3, "b": 1, "time": 2})));
        assert_eq!((moved, verdict.fields, verdict.action), (true, vec!["a".to_owned()], None));
    }

    #[test]
    fn what_settles_itself_goes_to_the_later_stamp_and_is_no_conflict() {
        let base = json!({"a": 1, "at": 1});
        let mine = json!({"a": 1, "at": 2});
        let rules = ConflictRules { default: crate::schema::Rule::Manual, ..rules(&[Detect::Version, Detect::Hash]) };
        let action = update(&base, &mine);
        for (stamp, left) in [(9, Some(action.clone())), (1, None)] {
            let (moved, verdict) = met(&rules, Some(Version(1)), &base, &action, stamp, Some(&json!({"a": 1, "at": 3})));
            assert_eq!((moved, verdict.fields.len(), verdict.ask, verdict.action), (false, 0, Ask::Nobody, left));
        }
        // A real difference beside it is told without it.
        let both = update(&base, &json!({"a": 2, "at": 2}));
        let by_server = ConflictRules { default: crate::schema::Rule::ServerWins, ..rules.clone() };
        let (_, verdict) = met(&by_server, Some(Version(1)), &base, &both, 9, Some(&json!({"a": 3, "at": 3})));
        assert_eq!((verdict.fields, verdict.resolution, verdict.action), (vec!["a".to_owned()], "server-wins", Some(action.clone())));
        // Nor does it stand against a delete, or bring a deleted record back.
        let (_, verdict) = met(&rules, Some(Version(1)), &base, &Action::Delete, 1, Some(&json!({"a": 1, "at": 3})));
        assert_eq!((verdict.fields.len(), verdict.action), (0, Some(Action::Delete)));
        let (_, verdict) = met(&rules, Some(Version(1)), &base, &action, 9, None);
        assert_eq!((verdict.fields.len(), verdict.action, verdict.kind), (0, None, ConflictKind::UpdateDelete));
    }
}
