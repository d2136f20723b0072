//! Another lineage of the server: what it may have lost is sent again, and nothing that is known of the old
//! one is mistaken for the new one.

use std::rc::Rc;

use fieldsync::decide::{ChangeEpoch, Effects, Export, Fresh, Import, Intent, PageResult, Resolution, Resolve, Settle, Unsent};
use fieldsync::model::{Base, Epoch, OpId, Operation, RecordId, Stamp, Version};
use fieldsync::outbox::State;
use fieldsync::plan::Table;
use fieldsync::protocol::{ConflictKind, Outcome, ServerState};
use fieldsync::schema::Schema;
use serde_json::{Value, json};

use crate::desk::{Desk, Op, REX, applied, epoch, object, rex};

pub(crate) fn change(desk: &Desk, from: Epoch, to: Epoch) -> Option<Effects> {
    desk.decide(ChangeEpoch { schema: desk.schema.clone(), from, epoch: to, now: 1_700_000_000_000, user: "anna".to_owned() })
}

fn settle(desk: &Desk, of: Epoch, durable: u64, ops: &[&Op]) -> Effects {
    let operations = ops.iter().map(|op| op.seq).collect();
    let schema = desk.schema.clone();
    desk.decide(Settle { schema, operations, epoch: of, durable: Version(durable), now: 1_700_000_000_000, user: "anna".to_owned() })
}

/// Sends one operation; the server applies it as this version, and could still lose it.
pub(crate) fn acknowledge(desk: &mut Desk, op: &Op, real: &RecordId, version: u64) {
    desk.claim(&[op], desk.known());
    desk.answer(epoch(1), 0, &[(op, applied(real, version))]).expect("it is ours");
    assert_eq!(desk.state(op), State::Acknowledged { version: Version(version) });
}

/// A conflict with an undated state of the server.
pub(crate) fn met(version: u64, data: Value) -> Outcome {
    let (stamp, field_stamps) = (Stamp::default(), fieldsync::value::Sorted::new());
    let server = ServerState { version: Version(version), data: Some(object(data)), stamp, field_stamps };
    Outcome::Conflict {
        conflict_id: "one".to_owned(),
        kind: ConflictKind::UpdateUpdate,
        real_id: None,
        server,
        done: false,
        constraint: None,
    }
}

/// A page of the first lineage that brings nothing new, and says that everything is here.
fn caught_up(desk: &mut Desk, through: u64) {
    let from = desk.sync();
    let page = json!({"checkpoint": format!("at {through}"), "through": through.to_string(), "changes": []});
    assert!(matches!(desk.page_on(epoch(1), from, None, page), PageResult::Applied(_)));
}

fn page(desk: &mut Desk, through: u64, changes: &[Value]) -> PageResult {
    let from = desk.sync();
    desk.page_on(epoch(2), from, None, json!({"checkpoint": "new", "through": through.to_string(), "changes": changes}))
}

#[test]
fn what_was_applied_and_not_durable_waits_again_in_its_old_bytes_and_order() {
    let mut desk = Desk::with_rex();
    let (first, second) = (desk.update(&REX, json!({"name": "Max"})), desk.update(&REX, json!({"age": 2})));
    let bytes = (desk.stored(&first).body, desk.stored(&second).body);
    acknowledge(&mut desk, &first, &REX, 2);
    acknowledge(&mut desk, &second, &REX, 3);
    // The overlay drains, then a later edit makes a row again.
    caught_up(&mut desk, 3);
    assert_eq!(desk.store.dump(Table::Overlay), []);
    let later = desk.update(&REX, json!({"name": "Moritz"}));

    let effects = change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    assert_eq!(effects.queued.len(), 2);
    assert_eq!((desk.state(&first), desk.state(&second)), (State::Pending, State::Pending));
    assert_eq!((desk.stored(&first).body, desk.stored(&second).body), bytes);
    let record = desk.get(&REX).expect("there");
    assert_eq!(record.ops.iter().map(|op| op.seq).collect::<Vec<_>>(), [first.seq, second.seq, later.seq]);
    assert_eq!((record.data["name"].clone(), record.data["age"].clone()), (json!("Moritz"), json!(2)), "the app sees what it saw");
    assert_eq!(record.version, Some(Version(0)), "any version of the new lineage is newer");
    let sync = desk.sync();
    assert_eq!((sync.epoch, sync.checkpoint, sync.through), (Some(epoch(2)), None, None));
    assert_eq!(sync.filling.map(|filling| (filling.generation, filling.checkpoint)), Some((1, None)));

    // They are sealed still, so their receipts count and a page does not judge them.
    let known = desk.known();
    desk.claim(&[&first, &second], known);
    desk.answer(epoch(2), 999, &[(&first, applied(&REX, 101)), (&second, applied(&REX, 102))]).expect("the new lineage");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["name"].clone()), (Some(Version(102)), json!("Moritz")));
}

#[test]
fn a_record_created_in_the_lost_part_is_created_again_and_keeps_every_id() {
    let mut desk = Desk::with_rex();
    let create = desk.create(json!({"name": "Max"}));
    acknowledge(&mut desk, &create, &RecordId::Integer(8), 2);
    caught_up(&mut desk, 2);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    for id in [&create.row, &RecordId::Integer(8)] {
        let record = desk.get(id).expect("by every ID");
        assert_eq!((record.version, record.ops.len()), (None, 1), "this server never had it");
    }
    // The resync comes to its end without it: it is still to be created.
    assert!(matches!(page(&mut desk, 100, &[rex(50, json!({"name": "Rex"}))]), PageResult::Applied(_)));
    assert_eq!(desk.get(&create.row).expect("there").data["name"], "Max");
    desk.claim(&[&create], desk.known());
    desk.answer(epoch(2), 999, &[(&create, applied(&RecordId::Integer(8), 101))]).expect("the new lineage");
    assert!(desk.outbox().is_empty());
    assert_eq!(desk.get(&create.row).expect("there").version, Some(Version(101)));
}

#[test]
fn a_deletion_in_the_lost_part_is_made_again() {
    let mut desk = Desk::with_rex();
    let delete = desk.write(Intent::Delete { id: REX });
    acknowledge(&mut desk, &delete, &REX, 2);
    caught_up(&mut desk, 2);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    assert_eq!(desk.state(&delete), State::Pending);
    assert!(matches!(page(&mut desk, 100, &[rex(50, json!({"name": "Rex"}))]), PageResult::Applied(_)));
    assert!(desk.get(&REX).is_none(), "what was deleted here is not brought back by the restored server");
}

#[test]
fn what_the_new_lineage_does_not_have_goes_with_the_old_generation() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("durable at once");
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    assert!(desk.get(&REX).is_some(), "until the server has said what it has");
    assert!(matches!(page(&mut desk, 3, &[]), PageResult::Applied(_)));
    assert!(desk.get(&REX).is_none());
    assert_eq!((desk.store.dump(Table::Overlay), desk.store.dump(Table::Base)), (Vec::new(), Vec::new()));
}

#[test]
fn a_resync_that_was_under_way_begins_again_in_the_new_lineage() {
    let mut desk = Desk::with_rex();
    let covering = fieldsync::decide::SyncState::wanted(&desk.schema);
    desk.decide(fieldsync::decide::BeginResync { from: desk.sync(), covering }).expect("begun");
    let from = desk.sync();
    desk.page_on(epoch(1), from, None, json!({"checkpoint": "half", "changes": [rex(9, json!({"name": "half"}))]}));
    let stale = desk.sync();
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    assert_eq!(desk.sync().filling.map(|filling| (filling.generation, filling.checkpoint)), Some((2, None)));
    let before = desk.everything();
    assert_eq!(desk.page_on(epoch(1), stale, None, json!({"checkpoint": "late", "changes": []})), PageResult::Dropped);
    assert_eq!(desk.everything(), before);
    assert_eq!(desk.store.dump(Table::Base).len(), 1, "what was half filled is gone");
}

#[test]
fn only_the_lineage_that_the_request_named_can_be_left() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    acknowledge(&mut desk, &op, &REX, 2);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    let before = desk.everything();
    // An answer that was long on its way, to another context's request.
    assert_eq!(change(&desk, epoch(1), epoch(3)), None);
    assert_eq!(change(&desk, epoch(3), epoch(1)), None);
    assert_eq!(desk.everything(), before);
}

#[test]
fn an_operation_settles_when_its_version_is_durable_in_its_own_lineage() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    let unsent = desk.update(&REX, json!({"name": "Moritz"}));
    acknowledge(&mut desk, &op, &REX, 5);
    let before = desk.everything();
    for (of, durable) in [(1, 4), (2, 9)] {
        assert_eq!(settle(&desk, epoch(of), durable, &[&op, &unsent]).ended, Vec::<u64>::new());
        assert_eq!(desk.everything(), before);
    }
    assert_eq!(settle(&desk, epoch(1), 5, &[&op, &unsent]).ended, [op.seq]);
    assert_eq!(desk.outbox().len(), 1, "what was never sent stays");
    let trail = desk.store.dump(Table::Audit).pop().expect("a row").1;
    assert!(trail.contains("settled"), "{trail}");
    assert_eq!(settle(&desk, epoch(1), 5, &[&op]).ended, Vec::<u64>::new(), "once");
}

#[test]
fn what_waits_again_stands_in_the_order_in_which_the_server_had_applied_it() {
    let mut desk = Desk::with_rex();
    let (first, second) = (desk.update(&REX, json!({"name": "Max"})), desk.update(&REX, json!({"age": 2})));
    desk.claim(&[&first], desk.known());
    desk.answer(epoch(1), 0, &[(&first, met(2, json!({"name": "Rex", "age": 1, "tail": true})))]).expect("it is ours");
    // Another operation stands in the place of the first: later written, and still before the second.
    let (stored, operation) = desk.outbox().pop().expect("it is the last");
    let instead = Op { seq: operation.seq, id: operation.id, row: stored.row };
    assert!(instead.seq > second.seq);
    acknowledge(&mut desk, &instead, &REX, 3);
    acknowledge(&mut desk, &second, &REX, 4);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    let record = desk.get(&REX).expect("there");
    assert_eq!(record.ops.iter().map(|op| op.seq).collect::<Vec<_>>(), [instead.seq, second.seq]);
}

#[test]
fn what_the_base_holds_already_does_not_count_twice_when_later_receipts_come_first() {
    let mut desk = Desk::with_rex();
    let ops = ["Max", "Moritz"].map(|name| desk.update(&REX, json!({"name": name})));
    let last = desk.update(&REX, json!({"age": 2}));
    for (op, version) in [(&ops[0], 2), (&ops[1], 3), (&last, 4)] {
        acknowledge(&mut desk, op, &REX, version);
    }
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    // The backup has the first two; the receipt of the very first comes last.
    let known = desk.known();
    desk.claim(&[&ops[0], &ops[1], &last], known);
    desk.answer(epoch(2), 999, &[(&ops[1], applied(&REX, 3))]).expect("the new lineage");
    desk.answer(epoch(2), 999, &[(&last, applied(&REX, 101))]).expect("the new lineage");
    let row: Value = serde_json::from_str(&desk.store.dump(Table::Overlay)[0].1).expect("JSON");
    assert_eq!((&row["version"], &row["base"]["name"], &row["base"]["age"]), (&json!("101"), &json!("Moritz"), &json!(2)));
    desk.answer(epoch(2), 999, &[(&ops[0], applied(&REX, 2))]).expect("the new lineage");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.data["name"].clone(), record.data["age"].clone()), (json!("Moritz"), json!(2)));
}

#[test]
fn what_the_server_says_of_a_version_is_what_that_version_is() {
    for page_first in [false, true] {
        let mut desk = Desk::with_rex();
        let first = desk.update(&REX, json!({"name": "Max"}));
        acknowledge(&mut desk, &first, &REX, 2);
        let second = desk.update(&REX, json!({"age": 2}));
        acknowledge(&mut desk, &second, &REX, 3);
        caught_up(&mut desk, 3);
        change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
        desk.claim(&[&first, &second], desk.known());
        // The first one waits at this server; what was known of the record held it already.
        let told = [rex(101, json!({"name": "Rex", "age": 2}))];
        if page_first {
            assert!(matches!(page(&mut desk, 101, &told), PageResult::Applied(_)));
        }
        desk.answer(epoch(2), 999, &[(&second, applied(&REX, 101))]).expect("the new lineage");
        if !page_first {
            assert!(matches!(page(&mut desk, 101, &told), PageResult::Applied(_)));
        }
        let row: Value = serde_json::from_str(&desk.store.dump(Table::Overlay)[0].1).expect("JSON");
        assert_eq!((&row["version"], &row["base"]), (&json!("101"), &json!({"name": "Rex", "age": 2})), "page first: {page_first}");
        let record = desk.get(&REX).expect("there");
        assert_eq!((record.data["name"].clone(), record.ops.len()), (json!("Max"), 1), "it is still to come");
    }
}

#[test]
fn what_the_old_lineage_had_comes_back_over_no_work_that_was_carried() {
    let uuid: RecordId = serde_json::from_value(json!("019bc0ab-462b-762d-9bc6-cd40333dbfa2")).expect("an ID");
    let told = json!({"entity": "pet", "id": uuid.to_value(), "version": "2", "kind": "upsert", "data": {"name": "Max"}, "stamp": [1, 0]});
    let mut away = Desk::new();
    let create = away.write(Intent::Create { id: uuid.clone(), data: object(json!({"name": "Max"})) });
    away.claim(&[&create], away.known());
    away.update(&uuid, json!({"name": "Moritz"}));
    let (schema, user) = (away.schema.clone(), "anna".to_owned());
    let (unsent, _) = away.decide(Export { schema: schema.clone(), now: 1_700_000_000_000, user: user.clone() });

    // The create reached the server before, in a lineage that is lost.
    let mut desk = Desk::with_rex();
    assert!(matches!(desk.page(Some("one"), "two", vec![told]), PageResult::Applied(_)));
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    let (new, _) = desk.decide(Import { schema, unsent: Rc::new(unsent), now: 1_700_000_000_000, user });
    assert_eq!(new, 2);
    let ops: Vec<Op> =
        desk.outbox().into_iter().map(|(stored, operation)| Op { seq: operation.seq, id: operation.id, row: stored.row }).collect();
    desk.claim(&[&ops[0], &ops[1]], desk.known());
    desk.answer(epoch(2), 999, &[(&ops[0], applied(&uuid, 101))]).expect("the new lineage");
    desk.answer(epoch(2), 999, &[(&ops[1], applied(&uuid, 102))]).expect("the new lineage");
    let record = desk.get(&uuid).expect("there");
    assert_eq!((record.version, record.data["name"].clone(), record.ops.len()), (Some(Version(101)), json!("Moritz"), 0));
}

#[test]
fn what_came_with_a_file_and_waits_again_is_still_not_what_a_write_of_here_follows() {
    let mut away = Desk::with_rex();
    // Another device: no operation of its own is called what one of here is.
    away.op_id();
    away.op_id();
    away.update(&REX, json!({"age": 9}));
    let (schema, user) = (away.schema.clone(), "anna".to_owned());
    let (unsent, _) = away.decide(Export { schema: schema.clone(), now: 1_700_000_000_000, user: user.clone() });

    let mut desk = Desk::with_rex();
    let own = desk.update(&REX, json!({"name": "Max"}));
    acknowledge(&mut desk, &own, &REX, 2);
    let (new, _) = desk.decide(Import { schema, unsent: Rc::new(unsent), now: 1_700_000_000_000, user });
    assert_eq!(new, 1);
    let (stored, operation) = desk.outbox().pop().expect("it came");
    acknowledge(&mut desk, &Op { seq: operation.seq, id: operation.id, row: stored.row }, &REX, 3);
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    let later = desk.update(&REX, json!({"note": "calm"}));
    let (_, operation) = desk.outbox().into_iter().find(|(_, operation)| operation.id == later.id).expect("it waits");
    assert_eq!(operation.base, Base::After(own.id));
}

#[test]
fn names_in_a_file_that_go_round_in_a_circle_lead_nowhere() {
    let (mut unsent, mut ops, user) = (Unsent::default(), Vec::new(), "anna".to_owned());
    let schema = Desk::new().schema;
    for (place, set) in [json!({"age": 9}), json!({"name": "Max"}), json!({"tail": true})].into_iter().enumerate() {
        let mut away = Desk::with_rex();
        (0..place).for_each(|_| drop(away.op_id()));
        ops.push(away.update(&REX, set));
        let (of_one, _) = away.decide(Export { schema: schema.clone(), now: 1_700_000_000_000, user: user.clone() });
        unsent.operations.extend(of_one.operations);
        unsent.epoch = of_one.epoch;
    }
    unsent.operations[1].replaces = vec![ops[2].id.clone()];
    unsent.operations[2].replaces = vec![ops[1].id.clone()];

    let mut desk = Desk::with_rex();
    let (new, _) = desk.decide(Import { schema, unsent: Rc::new(unsent), now: 1_700_000_000_000, user });
    assert_eq!(new, 3);
    let id: OpId = serde_json::from_value(json!("018bcfe5-6800-7303-8303-030303030399")).expect("an ID");
    desk.local(&id, Intent::Update { id: REX, set: object(json!({"note": "calm"})), unset: Vec::new() }).expect("written");
    desk.answer(epoch(1), 0, &[(&ops[0], met(2, json!({"name": "Rex", "age": 2})))]).expect("it came with the file");
    let outbox: Vec<Operation> = desk.outbox().into_iter().map(|(_, operation)| operation).collect();
    assert_eq!(outbox.iter().filter(|operation| operation.supersedes.as_ref() == Some(&ops[0].id)).count(), 1);
    let own = outbox.into_iter().find(|operation| operation.id == id).expect("it waits");
    assert!(ops[1..].iter().any(|op| own.base == Base::After(op.id.clone())), "{:?}", own.base);
}

#[test]
fn a_decision_stands_on_no_version_of_the_old_lineage() {
    let mut desk = Desk::with_rex();
    let schema =
        r#"{"name": "plans", "version": 1, "entities": {"pet": {"indexes": ["name"], "conflicts": {"fields": {"name": "manual"}}}}}"#;
    desk.schema = Rc::new(Schema::parse(schema).expect("a schema"));
    let op = desk.update(&REX, json!({"name": "Max"}));
    // Never sent: it is judged by what a page tells.
    assert!(matches!(desk.page(Some("one"), "two", vec![rex(82, json!({"name": "Moritz", "age": 1}))]), PageResult::Applied(_)));
    let State::Conflict { conflict } = desk.state(&op) else { panic!("a person decides") };
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    let resolution = Resolution::ClientWins;
    let fresh = Fresh { now: 1_700_000_000_000, random: [7; 10] };
    let resolve = Resolve {
        schema: desk.schema.clone(),
        conflicts: vec![conflict],
        resolution,
        dry: false,
        reason: None,
        gives_up: true,
        shown: None,
        asked: None,
        fresh,
        user: "anna".to_owned(),
    };
    assert!(desk.decide(resolve).refused.is_empty(), "it is open");
    let (_, instead) = desk.outbox().pop().expect("it stands in its place");
    assert_eq!(instead.base, Base::Version(Version(0)));
    assert_eq!(desk.get(&REX).expect("there").version, Some(Version(0)), "any version of the new lineage is newer");
    let row: Value = serde_json::from_str(&desk.store.dump(Table::Conflicts)[0].1).expect("JSON");
    assert_eq!(row["server"]["version"], "0");
}
