//! What comes back after a restore of the server is held against what the server had before: nothing that nobody wrote is
//! shown or sent, and nothing of others is gone over in silence.

use fieldsync::decide::{Discard, Intent, PageResult};
use fieldsync::model::{Action, Stamp, Version};
use fieldsync::plan::Table;
use fieldsync::protocol::{ConflictKind, Outcome, ServerState};
use fieldsync::value::Sorted;
use serde_json::{Value, json};

use crate::desk::{Desk, Op, REX, applied, epoch, object, rejected, rex};
use crate::epochs::{acknowledge, change, met};

fn give_up(desk: &Desk, op: &Op) {
    desk.decide(Discard {
        schema: desk.schema.clone(),
        operation: (op.seq, op.id.clone()),
        keeps: false,
        reason: None,
        now: 1_700_000_000_000,
        user: "anna".to_owned(),
    })
    .expect("given up");
}

/// Two changes that the server had applied and lost with its first lineage, sent again.
fn two_came_back() -> (Desk, Op, Op) {
    let mut desk = Desk::with_rex();
    let (name, age) = (desk.update(&REX, json!({"name": "Max"})), desk.update(&REX, json!({"age": 2})));
    acknowledge(&mut desk, &name, &REX, 2);
    acknowledge(&mut desk, &age, &REX, 3);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    desk.claim(&[&name, &age], desk.known());
    (desk, name, age)
}

/// The server takes the one this time, not the other, and that is given up.
fn one_was_given_up() -> Desk {
    let (mut desk, name, age) = two_came_back();
    desk.answer(epoch(2), 999, &[(&name, applied(&REX, 101)), (&age, rejected())]).expect("the new lineage");
    give_up(&desk, &age);
    desk
}

#[test]
fn what_a_restore_took_back_is_not_shown_as_null() {
    let desk = one_was_given_up();
    assert_eq!(desk.get(&REX).expect("there").data["age"], json!(2), "what the server had, until it is heard");
}

#[test]
fn what_a_restore_took_back_is_not_sent_as_null() {
    let (mut desk, name, age) = two_came_back();
    let gone = ServerState { version: Version(101), data: None, stamp: Stamp { ms: 1, n: 0 }, field_stamps: Sorted::new() };
    let deleted = Outcome::Conflict {
        conflict_id: "one".to_owned(),
        kind: ConflictKind::UpdateDelete,
        real_id: None,
        server: gone,
        done: false,
        constraint: None,
    };
    // The server refuses the one, and finds the record deleted for the other.
    desk.answer(epoch(2), 999, &[(&age, rejected()), (&name, deleted)]).expect("the new lineage");
    let back = desk.outbox().into_iter().find_map(|(_, operation)| match operation.action {
        Action::Create { data } => Some(data),
        Action::Update { .. } | Action::Delete => None,
    });
    assert_eq!(back.expect("the later write brings it back")["age"], json!(2), "nobody ever wrote null");
}

#[test]
fn what_another_put_above_a_nested_field_stays_over_a_restore() {
    let mut desk = Desk::new();
    assert!(matches!(desk.page(None, "one", vec![rex(1, json!({"owner": {"name": "Mill"}}))]), PageResult::Applied(_)));
    let op = desk.write(Intent::Update { id: REX, set: object(json!({"owner": {"name": "Hill"}})), unset: Vec::new() });
    acknowledge(&mut desk, &op, &REX, 2);
    // Somebody else has made a text of it since.
    assert!(matches!(desk.page(Some("one"), "two", vec![rex(3, json!({"owner": "gone"}))]), PageResult::Applied(_)));
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(2), 999, &[(&op, rejected())]).expect("the new lineage");
    give_up(&desk, &op);
    let record = desk.get(&REX).expect("there");
    assert_eq!(record.data["owner"], json!("gone"), "{:?}", record.data);
}

/// Whether somebody had it and emptied it, or nobody ever did, is not to be seen any more: it is told, and goes by the rule.
#[test]
fn a_first_value_that_a_restore_took_back_stands_by_the_rule_and_is_told_of() {
    let mut desk = Desk::with_rex();
    let note = desk.update(&REX, json!({"note": "calm"}));
    acknowledge(&mut desk, &note, &REX, 2);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    desk.claim(&[&note], desk.known());
    // Another device has changed the name in the new lineage.
    desk.answer(epoch(2), 999, &[(&note, met(101, json!({"name": "Max", "age": 1})))]).expect("the new lineage");
    assert_eq!(desk.get(&REX).expect("there").data["note"], json!("calm"));
    let [told] = &desk.store.dump(Table::Conflicts)[..] else { panic!("it is told") };
    let told: Value = serde_json::from_str(&told.1).expect("JSON");
    assert_eq!((&told["fields"], &told["resolvedBy"]), (&json!(["note"]), &json!("rule")));
}

#[test]
fn a_field_can_be_emptied_after_a_restore_took_it_back() {
    let mut desk = one_was_given_up();
    // The server has age 1. The person wants it empty.
    let id = desk.op_id();
    let written = desk.local(&id, Intent::Update { id: REX, set: object(json!({"age": null})), unset: Vec::new() });
    assert!(written.is_ok());
    assert_eq!(desk.outbox().len(), 1, "what a person writes is queued");
}

#[test]
fn after_a_restore_a_later_null_of_somebody_else_is_not_gone_over_in_silence() {
    let mut desk = Desk::with_rex();
    let age = desk.update(&REX, json!({"age": 2}));
    acknowledge(&mut desk, &age, &REX, 2);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    desk.claim(&[&age], desk.known());
    let stamp = Stamp { ms: 1_700_000_000_000 + 60_000, n: 0 };
    let server =
        ServerState { version: Version(101), data: Some(object(json!({"name": "Rex", "age": null}))), stamp, field_stamps: Sorted::new() };
    let met = Outcome::Conflict {
        conflict_id: "one".to_owned(),
        kind: ConflictKind::UpdateUpdate,
        real_id: None,
        server,
        done: false,
        constraint: None,
    };
    desk.answer(epoch(2), 999, &[(&age, met)]).expect("the new lineage");
    let view = desk.get(&REX).expect("there");
    assert_eq!(
        (view.data["age"].clone(), desk.store.dump(Table::Conflicts).len()),
        (Value::Null, 1),
        "the later write stands, and the other is kept"
    );
}
