//! Laws of the difference and of the merge, over values that nobody thought of. A law that breaks prints the seed with
//! which it is looked at again: `arbtest(law).seed(...)`.

use std::collections::BTreeSet;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use fieldsync::conflict::{Local, Verdict, judge};
use fieldsync::model::{Action, Stamp, Version};
use fieldsync::protocol::ServerState;
use fieldsync::schema::{ConflictRules, Rule};
use fieldsync::value::{Delta, Object, Sorted, canonical};
use serde_json::{Value, json};

const FIELDS: [&str; 6] = ["a", "b", "c", "d/~", "", "é"];

/// A value with few names and few numbers, so that sides meet.
fn value(u: &mut Unstructured<'_>, depth: u32) -> Result<Value> {
    Ok(match u.int_in_range(0..=if depth == 0 { 3 } else { 5 })? {
        0 => Value::Null,
        1 => Value::from(u.int_in_range(-2..=2)?),
        2 => Value::from(*u.choose(&["", "x", "temp_1_a_pet", "__proto__"])?),
        3 => Value::from(u.ratio(1, 2)?),
        4 => (0..u.int_in_range(0..=3)?).map(|_| value(u, depth - 1)).collect::<Result<Vec<_>>>()?.into(),
        _ => Value::Object(object(u, depth - 1)?),
    })
}

fn object(u: &mut Unstructured<'_>, depth: u32) -> Result<Object> {
    (0..u.int_in_range(0..=5)?).map(|_| Ok(((*u.choose(&FIELDS)?).to_owned(), value(u, depth)?))).collect()
}

/// The object with some of its top-level fields changed, only those that `may` names.
fn changed(u: &mut Unstructured<'_>, from: &Object, may: &[&str]) -> Result<Object> {
    let mut to = from.clone();
    for field in may {
        match u.int_in_range(0..=3)? {
            0 => drop(to.insert((*field).to_owned(), value(u, 2)?)),
            1 => drop(to.remove(*field)),
            _ => {}
        }
    }
    Ok(to)
}

fn at(ms: u64) -> Stamp {
    Stamp { ms, n: 0 }
}

/// What one side's change comes to over the other's state, and the record after it. The local side wrote later.
fn merged(base: &Object, local: &Object, server: &Object, rules: &ConflictRules) -> (Verdict, Object) {
    let (mut verdicts, record) = met(base, &[local], 2, server, rules);
    (verdicts.remove(0), record)
}

/// What the changes of one side, one after another, come to over the other's state and the record after them. One
/// of the sides wrote at 1, the other at 2.
fn met(base: &Object, writes: &[&Object], stamp: u64, server: &Object, rules: &ConflictRules) -> (Vec<Verdict>, Object) {
    let state = ServerState { version: Version(2), data: Some(server.clone()), stamp: at(3 - stamp), field_stamps: Sorted::new() };
    let stamps = Sorted::new();
    let (mut record, mut before, mut verdicts) = (server.clone(), base, Vec::new());
    for local in writes {
        let action = Action::Update { delta: rules.delta(before, local) };
        let side = Local {
            action: &action,
            stamp: at(stamp),
            stamps: &stamps,
            version: None,
            base: Some(base),
            on: Some(&record),
            view: Some(local),
        };
        let verdict = judge(side, &state, rules);
        if let Some(Action::Update { delta }) = &verdict.action {
            delta.apply(&mut record);
        }
        verdicts.push(verdict);
        before = local;
    }
    (verdicts, record)
}

/// Some rules; those of `merging` only where it is wanted.
fn rules(u: &mut Unstructured<'_>, merging: bool) -> Result<ConflictRules> {
    let list = [Rule::LastWriteWins, Rule::ServerWins, Rule::ClientWins, Rule::Counter, Rule::Set, Rule::List("a".to_owned()), Rule::Text];
    let choice = if merging { &list } else { &list[..3] };
    let fields = FIELDS.iter().map(|field| Ok(((*field).to_owned(), u.choose(choice)?.clone()))).collect::<Result<_>>()?;
    let groups = if !merging && u.ratio(1, 2)? { vec![vec!["a".to_owned(), "b".to_owned()]] } else { Vec::new() };
    Ok(ConflictRules { fields, groups, ..ConflictRules::default() })
}

#[test]
fn a_difference_leads_from_one_state_to_the_other() {
    arbtest(|u| {
        let (from, to) = (object(u, 3)?, object(u, 3)?);
        let delta = rules(u, true)?.delta(&from, &to);
        let mut record = from.clone();
        delta.apply(&mut record);
        assert_eq!(record, to);
        assert_eq!(delta.is_empty(), from == to);
        Ok(())
    });
}

#[test]
fn two_differences_are_one() {
    arbtest(|u| {
        let (first, second, third) = (object(u, 3)?, object(u, 3)?, object(u, 3)?);
        let mut record = first.clone();
        let rules = rules(u, true)?;
        let both = rules.delta(&first, &second).compose(rules.delta(&second, &third));
        let Some(both) = both else { return Ok(()) };
        both.apply(&mut record);
        assert_eq!(record, third);
        let wire: Value = serde_json::to_value(&both).expect("writes");
        assert_eq!(serde_json::from_value::<Delta>(wire).ok(), Some(both));
        Ok(())
    });
}

#[test]
fn an_unchanged_side_gives_the_other() {
    arbtest(|u| {
        let (base, other) = (object(u, 3)?, object(u, 3)?);
        let rules = rules(u, true)?;
        let (verdict, record) = merged(&base, &other, &base, &rules);
        assert_eq!((verdict.fields, record), (Vec::<String>::new(), other.clone()));
        let (verdict, record) = merged(&base, &base, &other, &rules);
        assert_eq!((verdict.fields, verdict.action, record), (Vec::<String>::new(), None, other));
        Ok(())
    });
}

#[test]
fn the_same_change_on_both_sides_is_that_change() {
    arbtest(|u| {
        let (base, both) = (object(u, 3)?, object(u, 3)?);
        let mut rules = rules(u, true)?;
        // Of a count, the same change is one change more.
        rules.fields.retain(|_, rule| *rule != Rule::Counter);
        let (verdict, record) = merged(&base, &both, &both, &rules);
        assert_eq!((verdict.fields, record), (Vec::<String>::new(), both));
        Ok(())
    });
}

#[test]
fn changes_of_different_fields_are_both_there_whoever_comes_first() {
    arbtest(|u| {
        let base = object(u, 3)?;
        let rules = rules(u, true)?;
        let here = changed(u, &base, &FIELDS[..3])?;
        let there = changed(u, &base, &FIELDS[3..])?;
        let (first, second) = (merged(&base, &here, &there, &rules), merged(&base, &there, &here, &rules));
        assert_eq!((first.0.fields, second.0.fields), (Vec::<String>::new(), Vec::new()));
        assert_eq!(first.1, second.1);
        Ok(())
    });
}

#[test]
fn nothing_moves_but_what_was_changed_here_and_a_group_comes_from_one_side() {
    arbtest(|u| {
        let (base, here, there) = (object(u, 3)?, object(u, 3)?, object(u, 3)?);
        let merging = u.ratio(1, 2)?;
        let rules = rules(u, merging)?;
        let (verdict, record) = merged(&base, &here, &there, &rules);
        let changed = rules.delta(&base, &here);
        let touched = |field: &str| base.get(field) != here.get(field);
        let grouped = |field: &str| rules.groups.iter().flatten().any(|other| other == field);
        // Nor within a field does anything else move.
        for (place, change) in Delta::diff(&there, &record).changes() {
            let top = place.keys().next().unwrap_or_default();
            assert!(changed.touching(place).is_some() || grouped(&top), "{change:?} of {place} by {verdict:?}");
        }
        for group in rules.groups.iter().filter(|group| group.iter().any(|field| touched(field))) {
            let from = |side: &Object| group.iter().all(|field| record.get(field) == side.get(field));
            assert!(from(&here) || from(&there), "{group:?} of {record:?}");
        }
        Ok(())
    });
}

/// A record with a count, a set and a list of items.
fn counted(u: &mut Unstructured<'_>) -> Result<Object> {
    let names = |u: &mut Unstructured<'_>| -> Result<BTreeSet<u8>> { (0..u.int_in_range(0..=4)?).map(|_| u.int_in_range(0..=5)).collect() };
    let (set, items) = (names(u)?, names(u)?);
    let items: Value = items.into_iter().map(|id| json!({"a": id})).collect();
    let record = json!({"a": u.int_in_range(-3..=3)?, "b": set.into_iter().collect::<Vec<u8>>(), "c": items});
    Ok(record.as_object().cloned().unwrap_or_default())
}

fn counting() -> ConflictRules {
    let fields = [("a", Rule::Counter), ("b", Rule::Set), ("c", Rule::List("a".to_owned()))];
    let fields = fields.map(|(field, rule)| (field.to_owned(), rule)).into();
    ConflictRules { fields, ..ConflictRules::default() }
}

/// What a record holds, whatever the order of its lists.
fn told(record: &Object) -> (Value, Vec<BTreeSet<String>>) {
    let list = |field: &str| record[field].as_array().into_iter().flatten().map(canonical).collect();
    (record["a"].clone(), vec![list("b"), list("c")])
}

#[test]
fn counts_sets_and_items_come_to_the_same_whoever_is_here() {
    arbtest(|u| {
        let (base, here, there) = (counted(u)?, counted(u)?, counted(u)?);
        let rules = counting();
        let (first, second) = (merged(&base, &here, &there, &rules), merged(&base, &there, &here, &rules));
        assert_eq!((first.0.fields, second.0.fields), (Vec::<String>::new(), Vec::new()));
        assert_eq!(told(&first.1), told(&second.1));
        let sum = |side: &Object| side["a"].as_i64().unwrap_or_default();
        assert_eq!(sum(&first.1), sum(&here) + sum(&there) - sum(&base));
        Ok(())
    });
}

/// What others did in between is neither lost nor done twice, whether the two writes go as one or one after the other.
#[test]
fn a_write_upon_a_write_is_done_once_over_what_others_did() {
    arbtest(|u| {
        let (base, first, second, there) = (counted(u)?, counted(u)?, counted(u)?, counted(u)?);
        let rules = counting();
        let (a, b) = (rules.delta(&base, &first), rules.delta(&first, &second));
        let (mut apart, mut at_once) = (there.clone(), there.clone());
        a.apply(&mut apart);
        b.apply(&mut apart);
        match a.clone().compose(b.clone()) {
            Some(both) => both.apply(&mut at_once),
            None => at_once.clone_from(&apart),
        }
        assert_eq!(told(&apart).0, told(&at_once).0);
        let sum = |side: &Object| side["a"].as_i64().unwrap_or_default();
        assert_eq!(sum(&apart), sum(&there) + sum(&second) - sum(&base));
        // What somebody else put in is there, unless the device took out one of the same name itself.
        for list in 0..2 {
            let (theirs, ours) = (&told(&there).1[list], [&told(&base).1[list], &told(&first).1[list], &told(&second).1[list]]);
            for item in theirs.iter().filter(|item| ours.iter().all(|own| !own.contains(*item))) {
                assert!(told(&apart).1[list].contains(item) && told(&at_once).1[list].contains(item), "{item}");
            }
        }
        Ok(())
    });
}

/// A few of a few, in any order.
fn some(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for _ in 0..u.int_in_range(0..=5)? {
        let next = u.int_in_range(0..=5)?;
        if !all.contains(&next) {
            all.push(next);
        }
    }
    Ok(all)
}

/// A record with something for each rule but the one for texts, whose lines are not changed one by one.
fn shop(u: &mut Unstructured<'_>) -> Result<Object> {
    let mut items = Vec::new();
    for id in some(u)? {
        items.push(json!({"id": id, "n": u.int_in_range(0..=2)?, "at": {"x": u.int_in_range(0..=1)?}}));
    }
    let mut few = || u.int_in_range(0..=2);
    let record = json!({"stock": few()?, "price": few()?, "currency": few()?, "note": few()?, "labels": some(u)?, "parts": items});
    Ok(record.as_object().cloned().unwrap_or_default())
}

fn trading() -> ConflictRules {
    let fields = [("stock", Rule::Counter), ("labels", Rule::Set), ("parts", Rule::List("id".to_owned()))];
    let fields = fields.map(|(field, rule)| (field.to_owned(), rule)).into();
    ConflictRules { fields, groups: vec![vec!["price".to_owned(), "currency".to_owned()]], ..ConflictRules::default() }
}

/// What a record holds, whatever the order of its lists.
fn held(record: &Object) -> Vec<(String, BTreeSet<String>)> {
    let items = |value: &Value| value.as_array().map_or_else(|| [canonical(value)].into(), |list| list.iter().map(canonical).collect());
    record.iter().map(|(field, value)| (field.clone(), items(value))).collect()
}

#[test]
fn two_differences_of_lists_are_one_with_the_order_of_both() {
    arbtest(|u| {
        let (mut record, second, third) = (shop(u)?, shop(u)?, shop(u)?);
        let rules = trading();
        let Some(both) = rules.delta(&record, &second).compose(rules.delta(&second, &third)) else { return Ok(()) };
        both.apply(&mut record);
        assert_eq!(record, third);
        Ok(())
    });
}

#[test]
fn the_later_side_has_what_both_changed_whoever_meets_it() {
    arbtest(|u| {
        let (base, later, earlier) = (shop(u)?, shop(u)?, shop(u)?);
        let rules = trading();
        let (here, there) = (met(&base, &[&later], 2, &earlier, &rules), met(&base, &[&earlier], 1, &later, &rules));
        assert_eq!(held(&here.1), held(&there.1));
        let named = |verdicts: &[Verdict]| verdicts.iter().flat_map(|verdict| verdict.fields.clone()).collect::<BTreeSet<_>>();
        assert_eq!(named(&here.0).is_empty(), named(&there.0).is_empty());
        Ok(())
    });
}

/// Whether a device's writes of different fields are one operation or two depends on when it had a network, and on nothing
/// that people see. Fields that belong together may be written by both.
#[test]
fn two_writes_come_to_what_one_write_of_both_comes_to() {
    arbtest(|u| {
        let (base, there, other) = (shop(u)?, shop(u)?, shop(u)?);
        let (mut first, mut second) = (base.clone(), base.clone());
        for (field, value) in &other {
            let at = u.int_in_range(0..=2)?;
            if at == 0 {
                first.insert(field.clone(), value.clone());
            }
            if at < 2 {
                second.insert(field.clone(), value.clone());
            }
        }
        let (rules, stamp) = (trading(), u.int_in_range(1..=2)?);
        let (one, two) = (met(&base, &[&second], stamp, &there, &rules), met(&base, &[&first, &second], stamp, &there, &rules));
        assert_eq!(two.1, one.1, "{:?} {:?}", one.0, two.0);
        Ok(())
    });
}
