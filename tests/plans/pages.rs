//! A downloaded page: only on its own checkpoint, only in its own epoch, and never back in time.

use fieldsync::decide::PageResult;
use fieldsync::model::{RecordId, Version};
use serde_json::json;

use crate::desk::{Desk, REX, applied, epoch, rex};

#[test]
fn a_change_older_than_a_receipt_is_ignored_on_a_record_with_nothing_pending() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("it is ours");
    assert!(matches!(desk.page(Some("one"), "two", vec![rex(3, json!({"name": "old", "age": 1}))]), PageResult::Applied(_)));
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["name"].clone()), (Some(Version(5)), json!("Max")));
    // The page that covers the receipt replaces what was kept for it.
    desk.page(Some("two"), "three", vec![rex(5, json!({"name": "Max", "age": 1}))]);
    assert_eq!(desk.get(&REX).expect("there").version, Some(Version(5)));
    assert_eq!(desk.store.dump(fieldsync::plan::Table::Overlay), []);
}

#[test]
fn a_change_older_than_a_receipt_is_ignored_on_a_record_with_a_pending_edit() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("it is ours");
    let edit = desk.update(&REX, json!({"name": "Moritz"}));
    let written = desk.stored(&edit);
    let PageResult::Applied(effects) = desk.page(Some("one"), "two", vec![rex(3, json!({"name": "old", "age": 1}))]) else {
        panic!("it stands on the stored checkpoint");
    };
    assert_eq!((effects.found, effects.seq), (0, None), "an old state is no conflict");
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.version, record.data["name"].clone()), (Some(Version(5)), json!("Moritz")));
    assert_eq!(desk.stored(&edit), written, "the edit still stands on what the receipt said");
}

#[test]
fn a_page_on_another_checkpoint_is_dropped_whole() {
    let mut desk = Desk::with_rex();
    let before = desk.everything();
    let stranger = json!({"entity": "pet", "id": 8, "version": "2", "kind": "upsert", "data": {"name": "Max"}, "stamp": [1, 0]});
    for from in [None, Some("other")] {
        assert_eq!(desk.page(from, "two", vec![stranger.clone()]), PageResult::Dropped);
        assert_eq!(desk.everything(), before);
    }
    assert!(matches!(desk.page(Some("one"), "two", vec![stranger]), PageResult::Applied(_)));
    assert!(desk.get(&RecordId::Integer(8)).is_some());
}

#[test]
fn a_page_of_another_epoch_is_dropped_whole() {
    let mut desk = Desk::with_rex();
    let before = desk.everything();
    assert_eq!(desk.page_of(epoch(2), Some("one"), "two", vec![rex(2, json!({"name": "other"}))]), PageResult::Dropped);
    assert_eq!(desk.everything(), before);
}

#[test]
fn a_page_of_one_entity_has_a_position_of_its_own_and_leaves_what_is_clean() {
    let mut desk = Desk::with_rex();
    let op = desk.update(&REX, json!({"name": "Max"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("it is ours");
    let before = desk.sync();
    let other = json!({"entity": "pet", "id": 8, "version": "7", "kind": "upsert", "data": {"name": "Moritz"}, "stamp": [1, 0]});
    let page = json!({"checkpoint": "pets", "through": "7", "changes": [other]});
    assert!(matches!(desk.page_on(epoch(1), before.clone(), Some("pet"), page.clone()), PageResult::Applied(_)));
    assert_eq!(desk.get(&RecordId::Integer(8)).expect("there").version, Some(Version(7)));
    assert_eq!(desk.store.dump(fieldsync::plan::Table::Overlay).len(), 1, "only the whole says what is known of everything");
    let sync = desk.sync();
    assert_eq!((sync.checkpoint.as_deref(), sync.through), (Some("one"), None));
    assert_eq!(
        (sync.goes_on_from(Some("pet")).map(String::as_str), sync.goes_on_from(None).map(String::as_str)),
        (Some("pets"), Some("one"))
    );
    assert_eq!(desk.page_on(epoch(1), before.clone(), Some("pet"), page), PageResult::Dropped, "a second time");
    assert_eq!(desk.page_on(epoch(1), before, None, json!({"checkpoint": "two", "changes": []})), PageResult::Dropped);

    // The whole has not come so far yet, then it has.
    for (through, scopes) in [(6, 1), (7, 0)] {
        let from = desk.sync();
        desk.page_on(epoch(1), from, None, json!({"checkpoint": through.to_string(), "through": through.to_string(), "changes": []}));
        assert_eq!(desk.sync().scopes.len(), scopes);
    }
    assert_eq!(desk.sync().goes_on_from(Some("pet")).map(String::as_str), Some("7"));
}

#[test]
fn an_edit_that_was_taken_back_stays_taken_back_on_a_newer_state() {
    let mut desk = Desk::with_rex();
    desk.update(&REX, json!({"name": "Max"}));
    let back = desk.update(&REX, json!({"name": "Rex"}));
    // For the server nothing of the name changed, and it has to stay so.
    desk.page(Some("one"), "two", vec![rex(2, json!({"name": "Rex", "age": 2}))]);
    let record = desk.get(&REX).expect("there");
    assert_eq!((record.data["name"].clone(), record.data["age"].clone()), (json!("Rex"), json!(2)));
    assert_eq!(desk.state(&back), fieldsync::outbox::State::Pending, "the server gets both, in their order");
}
