//! A resync: filled where nobody sees it, shown in one moment, and nothing unsent is touched by it.

use fieldsync::decide::{BeginResync, CheckRows, Device, Filling, Mend, PageResult, SyncState};
use fieldsync::model::{Action, Base, IdSource, RecordId, Version};
use fieldsync::outbox::State;
use fieldsync::plan::{Plan, Row, Step, Table, View, Write};
use fieldsync::store::{Durability, Store};
use futures_executor::block_on;
use serde_json::{Value, json};

use crate::desk::{Desk, REX, applied, epoch, rejected, rex};

fn begin(desk: &Desk) -> SyncState {
    let covering = SyncState::wanted(&desk.schema);
    desk.decide(BeginResync { from: desk.sync(), covering }).expect("nobody else went on")
}

fn max(version: u64) -> Value {
    json!({"entity": "pet", "id": 8, "version": version.to_string(), "kind": "upsert", "data": {"name": "Max"}, "stamp": [1, 0]})
}

fn fill(desk: &mut Desk, page: Value) {
    let from = desk.sync();
    assert!(matches!(desk.page_on(epoch(1), from, None, page), PageResult::Applied(_)));
}

/// The generations that hold anything.
fn generations(desk: &Desk) -> Vec<String> {
    let mut found: Vec<String> = desk.store.dump(Table::Base).iter().map(|(key, _)| format!("{key:?}")).collect();
    for key in &mut found {
        key.truncate(key.find("Text").expect("the entity comes second"));
    }
    found.dedup();
    found
}

#[test]
fn what_is_filled_is_not_seen_before_the_last_page_and_then_alone() {
    let mut desk = Desk::with_rex();
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "a", "changes": [max(2)]}));
    assert!(desk.get(&RecordId::Integer(8)).is_none(), "not yet");
    assert_eq!(desk.get(&REX).expect("still there").version, Some(Version(1)));
    assert_eq!(generations(&desk).len(), 2);
    assert_eq!(desk.sync().checkpoint.as_deref(), Some("one"), "the visible generation stands where it stood");

    fill(&mut desk, json!({"checkpoint": "b", "through": "2", "changes": []}));
    assert!(desk.get(&RecordId::Integer(8)).is_some());
    assert!(desk.get(&REX).is_none(), "the server has him no more");
    assert_eq!(generations(&desk).len(), 1);
    let sync = desk.sync();
    assert_eq!((sync.generation, sync.checkpoint.as_deref(), sync.through, sync.filling), (1, Some("b"), Some(Version(2)), None));
    assert_eq!(sync.covers, SyncState::wanted(&desk.schema));
}

#[test]
fn a_page_is_dropped_unless_the_whole_position_is_that_of_its_request() {
    let mut desk = Desk::with_rex();
    let before = desk.sync();
    begin(&desk);
    let filling = desk.sync();
    let everything = desk.everything();
    let page = || json!({"checkpoint": "two", "changes": [max(2)]});
    assert_eq!(desk.page_on(epoch(1), before.clone(), None, page()), PageResult::Dropped, "asked for before the resync began");
    let other = SyncState { filling: Some(Filling { generation: 2, checkpoint: None }), ..filling.clone() };
    assert_eq!(desk.page_on(epoch(1), other, None, page()), PageResult::Dropped, "of another resync");
    assert_eq!(desk.everything(), everything);
    assert!(matches!(desk.page_on(epoch(1), filling.clone(), None, page()), PageResult::Applied(_)));
    assert_eq!(desk.page_on(epoch(1), filling, None, page()), PageResult::Dropped, "a second time");
    assert_eq!(desk.decide(BeginResync { from: before, covering: Vec::new() }), None, "a resync too begins where it was decided");
}

#[test]
fn a_second_resync_takes_a_new_generation_and_leaves_nothing_of_the_first() {
    let mut desk = Desk::with_rex();
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "a", "changes": [max(2)]}));
    assert_eq!(begin(&desk).filling, Some(Filling { generation: 2, checkpoint: None }));
    assert_eq!(generations(&desk).len(), 1, "what was half filled is gone");
    fill(&mut desk, json!({"checkpoint": "c", "through": "3", "changes": [rex(3, json!({"name": "Rex"}))]}));
    assert!(desk.get(&RecordId::Integer(8)).is_none());
    assert_eq!(desk.get(&REX).expect("there").version, Some(Version(3)));
    assert_eq!(generations(&desk).len(), 1);
}

#[test]
fn a_record_newer_than_the_old_generation_never_goes_back_while_the_next_is_filled() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("it is ours");
    begin(&desk);
    for (page, version, name) in [(3, 5, "Max"), (6, 6, "Moritz")] {
        let data = json!({"name": if page == 3 { "old" } else { "Moritz" }});
        fill(&mut desk, json!({"checkpoint": page.to_string(), "changes": [rex(page, data)]}));
        let record = desk.get(&REX).expect("there");
        assert_eq!((record.version, record.data["name"].clone()), (Some(Version(version)), json!(name)));
    }
    fill(&mut desk, json!({"checkpoint": "end", "through": "6", "changes": []}));
    assert_eq!(desk.store.dump(Table::Overlay), [], "the new generation has it");
    assert_eq!(desk.get(&REX).expect("there").data["name"], "Moritz");
}

#[test]
fn a_receipt_newer_than_the_download_outlives_the_change_of_generations() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    begin(&desk);
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 9))]).expect("it is ours");
    let edit = desk.update(&REX, json!({"age": 3}));
    fill(&mut desk, json!({"checkpoint": "end", "through": "8", "changes": []}));
    let record = desk.get(&REX).expect("he changed after the pages were read, and comes later");
    assert_eq!((record.data["name"].clone(), record.data["age"].clone()), (json!("Max"), json!(3)));
    assert_eq!(desk.stored(&edit).operation().expect("readable").base, Base::Version(Version(9)));
}

#[test]
fn an_edit_of_a_record_that_the_server_has_no_more_brings_it_back_or_waits_for_its_receipt() {
    let mut desk = Desk::with_rex();
    let unsent = desk.update(&REX, json!({"name": "Max"}));
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "end", "through": "8", "changes": []}));
    let operation = desk.stored(&unsent).operation().expect("readable");
    let Action::Create { data } = operation.action else { panic!("{operation:?}") };
    assert_eq!((data["name"].clone(), data["age"].clone(), operation.base), (json!("Max"), json!(1), Base::Version(Version(8))));
    assert_eq!(desk.get(&REX).expect("it is not lost").data["name"], "Max");

    let mut desk = Desk::with_rex();
    let sent = desk.update(&REX, json!({"name": "Max"}));
    let sealed = desk.stored(&sent);
    desk.claim(&[&sent], desk.known());
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "end", "through": "8", "changes": []}));
    assert_eq!(desk.stored(&sent), sealed, "the bytes of a sealed operation never change");
    assert_eq!(desk.get(&REX).expect("it may have arrived").data["name"], "Max");
    // It came first, and then somebody deleted the record.
    desk.answer(epoch(1), 9, &[(&sent, applied(&REX, 7))]).expect("it is ours");
    assert!(desk.get(&REX).is_none());
    assert!(desk.outbox().is_empty());
}

#[test]
fn a_record_brought_back_from_a_deletion_is_not_judged_by_that_once_more_at_the_end_of_a_resync() {
    let mut desk = Desk::with_rex();
    let edit = desk.update(&REX, json!({"dose": 2}));
    // It was deleted before that, so that the record comes back: a new create, which stands on the deletion.
    let gone = json!({"entity": "pet", "id": 7, "version": "6", "kind": "delete", "stamp": [1, 0]});
    assert!(matches!(desk.page(Some("one"), "two", vec![gone]), PageResult::Applied(_)));
    let stood = desk.stored(&edit).operation().expect("readable");
    assert_eq!((matches!(stood.action, Action::Create { .. }), &stood.base), (true, &Base::Version(Version(6))));
    let found = desk.store.dump(Table::Conflicts).len();
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "end", "through": "8", "changes": []}));
    assert_eq!(desk.stored(&edit).operation().expect("readable"), stood, "no page says that there was another deletion");
    assert_eq!(desk.store.dump(Table::Conflicts).len(), found);
    assert_eq!(desk.get(&REX).expect("it is seen").data["dose"], 2);
}

#[test]
fn an_edit_of_what_the_next_generation_has_newer_already_is_judged_by_that_at_its_end() {
    let mut desk = Desk::with_rex();
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "a", "changes": [rex(5, json!({"name": "Rex", "age": 2}))]}));
    // What is seen, and edited, is the old generation.
    let edit = desk.update(&REX, json!({"name": "Max"}));
    assert_eq!(desk.stored(&edit).operation().expect("readable").base, Base::Version(Version(1)));
    fill(&mut desk, json!({"checkpoint": "b", "through": "6", "changes": []}));
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.data["name"].clone(), record.data["age"].clone(), record.version), (json!("Max"), json!(2), Some(Version(5))));
    assert_eq!(desk.stored(&edit).operation().expect("readable").base, Base::Version(Version(5)));
}

#[test]
fn a_deletion_made_here_has_nothing_left_to_do_when_the_record_is_gone() {
    let mut desk = Desk::with_rex();
    let delete = desk.write(fieldsync::decide::Intent::Delete { id: REX });
    assert_eq!(desk.state(&delete), State::Pending);
    begin(&desk);
    fill(&mut desk, json!({"checkpoint": "end", "through": "8", "changes": []}));
    assert!(desk.outbox().is_empty());
    assert_eq!(desk.store.dump(Table::Overlay), []);
    assert!(desk.get(&REX).is_none());
}

#[test]
fn what_a_first_download_did_not_bring_the_server_has_no_more() {
    let mut desk = Desk::new();
    // Created here and applied; then somebody else deleted both, and the server forgot that they ever were.
    let (clean, edited) = (desk.create(json!({"name": "Rex"})), desk.create(json!({"name": "Max"})));
    desk.claim(&[&clean, &edited], desk.known());
    desk.answer(epoch(1), 9, &[(&clean, applied(&REX, 1)), (&edited, applied(&RecordId::Integer(8), 2))]).expect("they are ours");
    let edit = desk.update(&RecordId::Integer(8), json!({"age": 3}));
    desk.claim(&[&edit], desk.known());
    let other = json!({"entity": "pet", "id": 9, "version": "5", "kind": "upsert", "data": {"name": "Moritz"}, "stamp": [1, 0]});
    fill(&mut desk, json!({"checkpoint": "end", "through": "7", "changes": [other]}));
    assert!(desk.get(&REX).is_none(), "nothing of him is left");
    assert!(desk.get(&RecordId::Integer(9)).is_some());
    assert_eq!(desk.get(&RecordId::Integer(8)).expect("it may have arrived").data["age"], 3);
    desk.answer(epoch(1), 9, &[(&edit, rejected())]).expect("it is ours");
    let row: Value = serde_json::from_str(&desk.store.dump(Table::Overlay)[0].1).expect("JSON");
    assert_eq!((&row["waiting"]["version"], &row["waiting"]["data"]), (&json!("7"), &Value::Null), "gone at the end of the download");
}

#[test]
fn what_a_first_download_brings_under_an_edit_stays() {
    let mut desk = Desk::new();
    let create = desk.create(json!({"name": "Rex"}));
    desk.claim(&[&create], desk.known());
    desk.answer(epoch(1), 9, &[(&create, applied(&REX, 1))]).expect("it is ours");
    let edit = desk.update(&REX, json!({"age": 3}));
    fill(&mut desk, json!({"checkpoint": "one", "changes": [rex(1, json!({"name": "Rex"}))]}));
    fill(&mut desk, json!({"checkpoint": "end", "through": "7", "changes": []}));
    assert_eq!(desk.state(&edit), State::Pending);
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["age"].clone()), (Some(Version(1)), json!(3)));
}

#[derive(Clone)]
struct Raw(Write);
impl Plan for Raw {
    type Out = ();
    fn step(&mut self, _: &View) -> Step<()> {
        Step::Done(vec![self.0.clone()], ())
    }
}

/// A tab can die between two transactions: then nobody would know that something is missing.
#[test]
fn what_a_repair_takes_away_is_noted_as_missing_in_the_same_transaction() {
    let mut desk = Desk::with_rex();
    let (key, _) = desk.store.dump(Table::Base).remove(0);
    let broken = Row { key, text: "{".to_owned(), index: Vec::new() };
    block_on(desk.store.transact(Durability::Strict, Raw(Write::Put(Table::Base, broken)))).expect("written");
    let client = IdSource::default().client_id(1, [1; 10]);
    let (tenant, user) = ("t".to_owned(), "anna".to_owned());
    let device = Device { client, tenant, user: user.clone(), created: 1, layout: Device::LAYOUT, sums: true };
    for dry in [true, false] {
        let mend = Some(Mend { dry, name: desk.op_id(), now: 1, user: user.clone(), device: device.clone() });
        let part = desk.decide(CheckRows { schema: desk.schema.clone(), table: Table::Base, after: None, mend });
        assert!(part.resync && part.faults.len() == 1);
        assert_eq!(desk.sync().filling, (!dry).then_some(Filling { generation: 1, checkpoint: None }));
        assert_eq!(desk.store.dump(Table::Base).len(), usize::from(dry));
    }
}
