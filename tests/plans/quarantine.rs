//! What lies in quarantine is looked at again: in parts, never over something newer, and not while everything comes anew.

use std::rc::Rc;

use fieldsync::decide::{BeginResync, LookAtQuarantine, PageResult, Quarantined, SyncState};
use fieldsync::model::{RecordId, Version};
use fieldsync::plan::Table;
use fieldsync::schema::Schema;
use serde_json::{Value, json};

use crate::desk::{Desk, REX, applied, epoch, rex};

fn schema(version: u32, fields: &Value) -> Rc<Schema> {
    let text = json!({"name": "plans", "version": version, "entities": {"pet": {"indexes": ["name"], "fields": fields}}}).to_string();
    Rc::new(Schema::parse(&text).expect("a schema"))
}

fn pet(id: u64, version: u64, data: &Value) -> Value {
    json!({"entity": "pet", "id": id, "version": version.to_string(), "kind": "upsert", "data": data, "stamp": [1, 0]})
}

/// A desk that allows no age above 3, with Rex at version 1; his version 2 lies in quarantine.
fn desk() -> Desk {
    let mut desk = Desk::with_rex();
    desk.schema = schema(1, &json!({"age": {"type": "integer", "max": 3}}));
    let PageResult::Applied(effects) = desk.page(Some("one"), "2", vec![rex(2, json!({"name": "Max", "age": 9}))]) else {
        panic!("applied")
    };
    assert_eq!(effects.quarantined, 1);
    assert_eq!(desk.get(&REX).expect("as he was").version, Some(Version(1)));
    desk
}

/// Looks at so many after that one, and applies what it may; gives the IDs.
fn look_again(desk: &Desk, after: Option<u64>, limit: Option<u32>) -> Vec<RecordId> {
    let after = after.map(|id| ("pet".to_owned(), RecordId::Integer(i64::try_from(id).expect("small"))));
    let decision = LookAtQuarantine {
        schema: desk.schema.clone(),
        after,
        limit,
        again: true,
        validated: Rc::default(),
        now: 5,
        user: "anna".to_owned(),
    };
    desk.decide(decision).found.into_iter().map(|(_, id, _)| id).collect()
}

fn kept(desk: &Desk) -> Vec<Quarantined> {
    desk.store.dump(Table::Quarantine).iter().map(|(_, text)| serde_json::from_str(text).expect("a row")).collect()
}

fn looked_at(desk: &Desk) -> bool {
    let stored = desk.store.dump(Table::State).into_iter().find(|(key, _)| *key == "quarantine".into());
    stored.is_some_and(|(_, text)| text.trim_matches('"') == desk.schema.release)
}

#[test]
fn what_may_be_shown_by_now_is_applied_in_parts_and_the_rest_is_told_anew() {
    let mut desk = desk();
    desk.page(Some("2"), "4", vec![pet(8, 3, &json!({"age": 4})), pet(9, 4, &json!({"age": 7}))]);
    assert!(looked_at(&desk), "whoever puts something there says by what");
    desk.schema = schema(2, &json!({"age": {"type": "integer", "max": 7}}));
    assert!(!looked_at(&desk));
    assert_eq!(look_again(&desk, None, Some(2)), [REX, RecordId::Integer(8)]);
    assert!(!looked_at(&desk), "there may be more");
    assert_eq!(look_again(&desk, Some(8), Some(2)), [RecordId::Integer(9)]);
    assert!(looked_at(&desk));
    let left = kept(&desk);
    assert_eq!((left.len(), left[0].schema, left[0].at, left[0].faults[0].rule.as_str()), (1, 2, 1_700_000_000_000, "max"));
    assert_eq!(desk.get(&RecordId::Integer(9)).expect("there").version, Some(Version(4)));
    assert_eq!(desk.get(&REX).expect("as he was").version, Some(Version(1)));
}

#[test]
fn nothing_newer_is_gone_over() {
    // By a receipt, in the overlay; and by whatever means, in the base.
    let mut desk = desk();
    let op = desk.update(&REX, json!({"name": "Moritz"}));
    desk.claim(&[&op], desk.known());
    desk.answer(epoch(1), 9, &[(&op, applied(&REX, 5))]).expect("it is ours");
    let row = desk.store.dump(Table::Quarantine);
    desk.schema = schema(2, &json!({}));
    look_again(&desk, None, None);
    let rex = desk.get(&REX).expect("there");
    assert_eq!((rex.version, rex.data["name"].clone(), desk.store.dump(Table::Quarantine).len()), (Some(Version(5)), json!("Moritz"), 0));

    let mut desk = self::desk();
    assert_eq!(desk.store.dump(Table::Quarantine), row);
    desk.page(Some("2"), "3", vec![pet(7, 3, &json!({"age": 1}))]);
    assert_eq!(kept(&desk), [], "what comes later frees it");
}

#[test]
fn an_edit_that_was_never_sent_is_judged_on_what_comes_back() {
    let mut desk = desk();
    desk.update(&REX, json!({"name": "Moritz"}));
    desk.schema = schema(2, &json!({}));
    look_again(&desk, None, None);
    let rex = desk.get(&REX).expect("there");
    // Both had named him: the edit is the later one, and the other name is kept.
    assert_eq!((rex.version, rex.data["age"].clone(), rex.data["name"].clone()), (Some(Version(2)), json!(9), json!("Moritz")));
    assert_eq!(desk.store.dump(Table::Conflicts).len(), 1);
}

#[test]
fn a_resync_empties_it_and_while_it_lasts_nobody_looks() {
    let mut desk = desk();
    let from = desk.sync();
    desk.decide(BeginResync { from, covering: SyncState::wanted(&desk.schema) }).expect("begun");
    assert_eq!(kept(&desk), []);
    let from = desk.sync();
    let page = json!({"checkpoint": "a", "changes": [rex(2, json!({"name": "Max", "age": 9}))]});
    assert!(matches!(desk.page_on(epoch(1), from, None, page), PageResult::Applied(_)));
    desk.schema = schema(2, &json!({}));
    assert!(look_again(&desk, None, None).is_empty());
    assert_eq!((kept(&desk).len(), looked_at(&desk)), (1, false));
    let from = desk.sync();
    desk.page_on(epoch(1), from, None, json!({"checkpoint": "b", "through": "9", "changes": []}));
    let shown = |desk: &Desk| {
        let generation = desk.sync().generation;
        desk.decide(fieldsync::decide::GetRecord { entity: "pet".to_owned(), id: REX, generation }).map(|rex| rex.data["age"].clone())
    };
    assert_eq!(shown(&desk), Some(json!(1)), "he is as he was");
    assert_eq!(look_again(&desk, None, None), [REX]);
    assert_eq!(shown(&desk), Some(json!(9)));
}

#[test]
fn an_older_release_leaves_it() {
    let mut desk = desk();
    let sync = SyncState { schema: 3, ..desk.sync() };
    desk.page_on(epoch(1), desk.sync(), None, json!({"checkpoint": "3", "changes": []}));
    desk.schema = schema(3, &json!({"age": {"type": "integer", "max": 3}}));
    desk.page_on(epoch(1), desk.sync(), None, json!({"checkpoint": "4", "changes": []}));
    assert_eq!(desk.sync().schema, sync.schema);
    desk.schema = schema(2, &json!({}));
    assert!(look_again(&desk, None, None).is_empty());
    assert_eq!(kept(&desk).len(), 1);
}

#[test]
fn a_small_page_frees_its_own_of_many() {
    let mut desk = desk();
    desk.page(Some("2"), "4", vec![pet(8, 3, &json!({"age": 4})), pet(9, 4, &json!({"age": 7}))]);
    assert_eq!(kept(&desk).len(), 3);
    let gone = json!({"entity": "pet", "id": 9, "version": "6", "kind": "delete", "stamp": [1, 0]});
    desk.page(Some("4"), "6", vec![pet(8, 5, &json!({"age": 1})), gone]);
    let left = desk.store.dump(Table::Quarantine);
    assert_eq!(left.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), [["pet".into(), REX.to_key()].into()]);
    // Still not as it may be: the newer state lies there now.
    desk.page(Some("6"), "7", vec![rex(7, json!({"name": "Max", "age": 8}))]);
    assert_eq!(kept(&desk).iter().map(|kept| kept.version).collect::<Vec<_>>(), [Version(7)]);
    assert_eq!(desk.get(&REX).expect("as he was").version, Some(Version(1)));
}
