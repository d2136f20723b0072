//! The outcomes of an upload: each applies once, to the operation that waits for it, in its own epoch.

use fieldsync::decide::{Claimed, Follower, Intent, PageResult, Stands};
use fieldsync::model::{Base, RecordId, Version};
use fieldsync::outbox::State;
use fieldsync::protocol::Outcome;
use serde_json::{Value, json};

use crate::desk::{Desk, Op, REX, applied, epoch, object, rejected, rex};

#[test]
fn an_outcome_for_an_operation_that_has_one_changes_nothing() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    // Applied, but the server could still lose it: the row stays.
    desk.answer(epoch(1), 1, &[(&op, applied(&REX, 2))]).expect("it is ours");
    assert_eq!(desk.state(&op), State::Acknowledged { version: Version(2) });
    let before = desk.everything();
    for late in [rejected(), applied(&REX, 9)] {
        let effects = desk.answer(epoch(1), 9, &[(&op, late)]).expect("it is ours");
        assert_eq!((effects.settled, effects.seq), (Vec::new(), None));
        assert_eq!(desk.everything(), before);
    }
}

#[test]
fn a_parked_operation_stays_parked_whatever_a_late_sender_brings() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 0, &[(&op, rejected())]).expect("it is ours");
    let before = desk.everything();
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 2))]).expect("it is ours");
    assert!(matches!(desk.state(&op), State::Parked { .. }));
    assert_eq!(desk.everything(), before);
}

#[test]
fn an_outcome_for_another_operation_at_the_same_sequence_changes_nothing() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    let mut other = op.clone();
    other.id = desk.op_id();
    let before = desk.everything();
    desk.answer(epoch(1), 9, &[(&other, rejected())]).expect("it is ours");
    assert_eq!(desk.state(&op), State::Pending);
    assert_eq!(desk.everything(), before);
}

#[test]
fn an_outcome_of_another_epoch_is_not_applied() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    let before = desk.everything();
    assert_eq!(desk.answer(epoch(2), 9, &[(&op, applied(&REX, 2))]), None);
    assert_eq!(desk.everything(), before);
    assert!(desk.answer(epoch(1), 9, &[(&op, applied(&REX, 2))]).is_some());
    assert!(desk.outbox().is_empty());
}

#[test]
fn the_first_answer_of_a_server_fixes_the_epoch() {
    let mut desk = Desk::new();
    let (first, second) = (desk.create(json!({"name": "Rex"})), desk.create(json!({"name": "Max"})));
    desk.claim(&[&first, &second], desk.known());
    assert!(desk.answer(epoch(1), 9, &[(&first, applied(&REX, 1))]).is_some());
    assert_eq!(desk.answer(epoch(2), 9, &[(&second, applied(&RecordId::Integer(8), 2))]), None);
    assert_eq!(desk.outbox().len(), 1);
}

#[test]
fn a_waiting_state_that_is_older_than_the_receipt_is_dropped() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    // Another device's change comes while ours is on its way, and ours took effect on top of it.
    let page = desk.page(Some("one"), "two", vec![rex(2, json!({"name": "Rex", "age": 2}))]);
    assert!(matches!(page, PageResult::Applied(_)));
    assert_eq!(desk.get(&REX).expect("there").data["name"], "Max");
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 3))]).expect("it is ours");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["name"].clone()), (Some(Version(3)), json!("Max")), "the older state is not brought back");
}

#[test]
fn a_waiting_state_waits_until_every_sealed_operation_has_its_outcome() {
    let mut desk = Desk::with_rex();
    let first = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&first], desk.known());
    let second = desk.update(&REX, json!({"name": "Moritz"}));
    desk.claim(&[&second], desk.known());
    desk.page(Some("one"), "two", vec![rex(5, json!({"name": "Rex", "age": 5}))]);
    let sealed = desk.stored(&second);

    desk.answer(epoch(1), 9, &[(&first, applied(&REX, 2))]).expect("it is ours");
    assert_eq!(desk.stored(&second), sealed, "the bytes of a sealed operation never change");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["age"].clone()), (Some(Version(2)), json!(1)), "the news still wait");

    // Now nothing sealed is left, and the news are taken.
    desk.answer(epoch(1), 9, &[(&second, applied(&REX, 3))]).expect("it is ours");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["age"].clone()), (Some(Version(5)), json!(5)));
}

#[test]
fn a_sent_operation_reads_at_most_two_rows() {
    const OPERATIONS: usize = 50;
    /// The last audit row, the seals, where the database stands: for the claim and for the outcomes.
    const ONCE: usize = 6;
    let mut desk = Desk::new();
    let creates: Vec<_> = (0..OPERATIONS).map(|number| desk.create(json!({"number": number}))).collect();
    let mut version = 0;
    for round in ["create", "update"] {
        let ops = if round == "create" {
            creates.clone()
        } else {
            creates.iter().map(|op| desk.update(&op.row, json!({"round": round}))).collect()
        };
        let known = desk.known();
        let before = desk.rows_read.get();
        desk.claim(&ops.iter().collect::<Vec<_>>(), known);
        let answers: Vec<_> = ops
            .iter()
            .zip(1..)
            .map(|(op, number)| {
                version += 1;
                (op, applied(&RecordId::Integer(number), version))
            })
            .collect();
        let effects = desk.answer(epoch(1), version, &answers).expect("it is ours");
        assert_eq!(effects.settled.len(), OPERATIONS);
        let read = desk.rows_read.get() - before;
        assert!(read <= 2 * OPERATIONS + ONCE, "{round}: {read} rows");
        assert!(read >= OPERATIONS, "{round}: {read} rows: they are counted");
    }
}

#[test]
fn what_rests_on_a_later_version_is_kept_until_that_one_is_durable() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    // Somebody else had written the same: it is so in version 5, of which this device knows nothing yet.
    let Outcome::Applied { real_id, version, stamp, .. } = applied(&REX, 1) else { panic!("it was applied") };
    let outcome = Outcome::Applied { real_id, version, stamp, rests_on: Some(Version(5)) };
    desk.answer(epoch(1), 3, &[(&op, outcome)]).expect("it is ours");
    assert_eq!(desk.state(&op), State::Acknowledged { version: Version(5) });
    assert_eq!(desk.get(&REX).expect("there").version, Some(Version(1)));
}

#[test]
fn what_follows_an_operation_that_ended_here_stands_on_what_that_left_whatever_is_parked() {
    let mut desk = Desk::with_rex();
    let (refused, first) = (desk.update(&REX, json!({"name": "Max"})), desk.update(&REX, json!({"dose": 1})));
    let second = desk.update(&REX, json!({"note": "calm"}));
    desk.claim(&[&refused, &first, &second], desk.known());
    let stands = |desk: &Desk| desk.decide(Stands { wanted: vec![behind(&second, &first)], held: vec![refused.seq] });
    desk.answer(epoch(1), 0, &[(&refused, rejected())]).expect("it is ours");
    assert_eq!(stands(&desk), [], "the first is still to be sent");
    // A server that was restored since can know it under another name, and not that it is the same.
    desk.answer(epoch(1), 9, &[(&first, applied(&REX, 2))]).expect("it is ours");
    assert_eq!(stands(&desk), [(second.id.clone(), Version(2))]);
}

#[test]
fn what_follows_an_operation_that_ended_stands_on_nothing_if_the_record_had_moved_on_unseen() {
    let mut desk = Desk::with_rex();
    let (first, second) = (desk.update(&REX, json!({"name": "Max"})), desk.update(&REX, json!({"name": "Moritz"})));
    let stands = |desk: &Desk| desk.decide(Stands { wanted: vec![behind(&second, &first)], held: Vec::new() });
    // Another device has named him too; nobody here knows when, so that the server has to judge both.
    let mut undated = rex(5, json!({"name": "Rolf", "age": 5}));
    undated["stamp"] = json!([0, 0]);
    desk.page(Some("one"), "two", vec![undated]);
    desk.claim(&[&first], desk.known());
    desk.answer(epoch(1), 9, &[(&first, applied(&REX, 6))]).expect("it is ours");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["age"].clone()), (Some(Version(6)), json!(5)));
    // Named as the one that it stands on, version 6 would let it go over what it never saw.
    assert_eq!(stands(&desk), [(second.id.clone(), Version::LOST)]);
}

/// An operation of the pet that follows another.
fn behind(later: &Op, earlier: &Op) -> Follower {
    Follower { operation: later.id.clone(), earlier: earlier.id.clone(), entity: "pet".to_owned(), row: later.row.clone() }
}

#[test]
fn a_write_over_one_that_was_not_judged_yet_was_written_on_what_that_one_was_written_on() {
    let mut desk = Desk::with_rex();
    desk.update(&REX, json!({"name": "Max"}));
    // Nobody here knows when the other device wrote it, so that the name waits to be judged; the new one is not shown.
    let mut undated = rex(5, json!({"name": "Rolf", "age": 5}));
    undated["stamp"] = json!([0, 0]);
    desk.page(Some("one"), "two", vec![undated]);
    assert_eq!(desk.get(&REX).expect("there").data, object(json!({"name": "Max", "age": 5})));
    desk.update(&REX, json!({"name": "Moritz", "age": 6}));
    let second = desk.get(&REX).expect("there").ops.pop().expect("it waits");
    assert_eq!(second.ground, Some(object(json!({"name": "Rex", "age": 5}))), "of the name its writer saw nothing new");
}

#[test]
fn a_write_that_sees_more_than_the_unsent_one_before_it_does_not_become_part_of_that() {
    let mut desk = Desk::with_rex();
    desk.coalesce = true;
    desk.update(&REX, json!({"name": "Max"}));
    let mut undated = rex(5, json!({"name": "Rolf", "age": 5}));
    undated["stamp"] = json!([0, 0]);
    desk.page(Some("one"), "two", vec![undated]);
    // Who writes now is shown an age of 5. On the ground of the first write that would look as if both had changed it.
    desk.update(&REX, json!({"age": 6}));
    let ops = desk.get(&REX).expect("there").ops;
    let grounds: Vec<_> = ops.iter().map(|op| op.ground.clone().map(Value::Object)).collect();
    assert_eq!(grounds, [Some(json!({"name": "Rex", "age": 1})), Some(json!({"name": "Rex", "age": 5}))]);
    let third = desk.op_id();
    desk.local(&third, Intent::Update { id: REX, set: object(json!({"age": 7})), unset: Vec::new() }).expect("written");
    assert_eq!(desk.get(&REX).expect("there").ops, ops, "who sees the same joins the second");
}

#[test]
fn a_page_that_takes_an_operation_from_behind_a_judged_one_tells_so_in_the_audit_trail() {
    let mut desk = Desk::with_rex();
    let before = [desk.update(&REX, json!({"age": 2})), desk.update(&REX, json!({"colour": "red"}))];
    let last = desk.update(&REX, json!({"age": 3}));
    let known = desk.known();
    // The age waits for the server's judgement, the colour does not.
    let mut undated = rex(5, json!({"name": "Rex", "age": 5}));
    undated["stamp"] = json!([0, 0]);
    let PageResult::Applied(effects) = desk.page(Some("one"), "two", vec![undated]) else { panic!("it follows") };
    let sent = desk.stored(&last).operation().expect("it can be read");
    assert_eq!(sent.base, Base::Version(Version::LOST), "behind the colour the server would take it for judged");
    // Every context that has the old one in memory looks again, this one too.
    assert_eq!((effects.after_seq, effects.seq), (known, Some(known + 1)));
    assert_eq!(desk.claim(&[&before[0], &before[1], &last], known), Claimed::Stale);
}

#[test]
fn an_older_receipt_of_imported_work_leaves_the_ground_of_own_work() {
    let mut there = Desk::with_rex();
    // The IDs of two devices differ.
    for _ in 0..5 {
        there.op_id();
    }
    there.update(&REX, json!({"note": "from a file"}));
    let (unsent, _) =
        there.decide(fieldsync::decide::Export { schema: there.schema.clone(), now: 1_700_000_000_000, user: "anna".to_owned() });

    let mut desk = Desk::with_rex();
    assert!(matches!(
        desk.page(Some("one"), "two", vec![rex(9, json!({"name": "Rex", "age": 1, "note": "from a file"}))]),
        PageResult::Applied(_)
    ));
    let own = desk.update(&REX, json!({"age": 2}));
    desk.claim(&[&own], desk.known());
    desk.answer(epoch(1), 0, &[(&own, rejected())]).expect("it is ours");
    desk.decide(fieldsync::decide::Import {
        schema: desk.schema.clone(),
        unsent: std::rc::Rc::new(unsent),
        now: 1_700_000_000_000,
        user: "anna".to_owned(),
    });
    let (stored, operation) = desk.outbox().pop().expect("imported");
    let imported = crate::desk::Op { seq: operation.seq, id: operation.id.clone(), row: stored.row };
    // The other device has sent it long ago: the receipt comes again.
    let again = Outcome::Duplicate { original: Box::new(applied(&REX, 5)) };
    desk.answer(epoch(1), 0, &[(&imported, again)]).expect("it is ours");
    let view = desk.get(&REX).expect("there");
    let op = view.ops.iter().find(|op| op.id == own.id).expect("parked");
    assert_eq!(
        op.ground.as_ref().map(|ground| ground["age"].clone()),
        Some(json!(1)),
        "version 9, on which it was written, has age 1: {:?}",
        view.ops
    );
}
