//! What exactly comes back of what lost: all that was given up with it, counted and told apart as it was written, and nothing
//! beside it.

use serde_json::{Value, json};

use crate::taken_back::{only, plain};
use crate::world::{Tab, World, tell};

/// A conflict over one field of a record of this entity, found here and decided by a strategy. The devices, its ID, and its key.
async fn decided(entity: &str, base: Value, here: Value, there: Value, how: Value) -> (Tab, Tab, String, u64) {
    let world = World::new();
    let (one, two) = (world.device("anna").tab().await, world.device("ben").tab().await);
    two.create(entity, base).await;
    assert!(two.sync().await.success && one.sync().await.success);
    let id = one.all(entity).await[0]["id"].to_string();
    two.update(entity, &id, there).await;
    one.update(entity, &id, here).await;
    assert!(two.sync().await.success && one.sync().await.success);
    let (key, conflict) = only(&one).await;
    if conflict["state"] == "open" {
        one.engine.resolve(key, &how.to_string()).await.expect("decided");
    }
    (one, two, id, key)
}

async fn now(tabs: [&Tab; 2], entity: &str, id: &str) -> Value {
    for tab in [tabs[0], tabs[1], tabs[0]] {
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
    }
    let [one, two] = [plain(tabs[0].get(entity, id).await), plain(tabs[1].get(entity, id).await)];
    assert_eq!(one, two);
    one
}

#[test]
fn what_a_person_gave_up_beside_what_was_disputed_comes_back_with_it() {
    let exactly = json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 7, "age": 1, "note": "mine"}});
    let cases = [
        (json!({"type": "server-wins"}), json!({"name": "Rex", "dose": 3, "age": 5, "note": ""})),
        (exactly, json!({"name": "Rex", "dose": 7, "age": 1, "note": "mine"})),
    ];
    for (how, stands) in cases {
        for undone in [true, false] {
            let (how, stands) = (how.clone(), stands.clone());
            tell(async move {
                let base = json!({"name": "Rex", "dose": 1, "age": 1, "note": ""});
                let (mine, theirs) = (json!({"dose": 2, "note": "mine"}), json!({"dose": 3, "age": 5}));
                let (here, there, id, key) = decided("pet", base, mine, theirs, how).await;
                assert_eq!(now([&here, &there], "pet", &id).await, stands);
                if undone {
                    here.engine.undo_conflict(key, None).await.expect("undone");
                } else {
                    here.engine.restore_conflict(key, None).await.expect("restored");
                }
                // What only the other side had changed was never the local side's to give back.
                assert_eq!(now([&here, &there], "pet", &id).await, json!({"name": "Rex", "dose": 2, "age": 5, "note": "mine"}));
                if !undone {
                    here.engine.undo_conflict(key, None).await.expect("undone");
                    assert_eq!(now([&here, &there], "pet", &id).await, stands);
                }
            });
        }
    }
}

#[test]
fn a_sale_that_was_given_up_counts_again_beside_the_others() {
    tell(async {
        let (mine, theirs) = (json!({"shelf": "b", "stock": 9, "labels": ["b"]}), json!({"shelf": "c", "stock": 8, "labels": ["a", "c"]}));
        let base = json!({"shelf": "a", "stock": 10, "labels": ["a"]});
        let (here, there, id, key) = decided("product", base, mine, theirs, json!({"type": "server-wins"})).await;
        assert_eq!(now([&here, &there], "product", &id).await, json!({"shelf": "c", "stock": 8, "labels": ["a", "c"]}));
        there.update("product", &id, json!({"stock": 6})).await;
        assert_eq!(now([&there, &here], "product", &id).await["stock"], 6);
        here.engine.restore_conflict(key, None).await.expect("restored");
        assert_eq!(now([&here, &there], "product", &id).await, json!({"shelf": "b", "stock": 5, "labels": ["c", "b"]}));
        here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(now([&here, &there], "product", &id).await, json!({"shelf": "c", "stock": 6, "labels": ["c", "a"]}));
    });
}

#[test]
fn of_a_refused_change_all_comes_back_once_the_value_is_free() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
        anna.create("owner", json!({"email": "b", "name": "Bo"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        anna.update("owner", "1", json!({"email": "z"})).await;
        ben.update("owner", "2", json!({"email": "z", "name": "Bob", "phone": 7})).await;
        assert!(anna.sync().await.success);
        ben.sync().await;
        let (key, conflict) = only(&ben).await;
        assert_eq!((&conflict["kind"], &conflict["affectedFields"]), (&json!("constraint"), &json!(["email"])));
        ben.engine.resolve(key, r#"{"type": "server-wins"}"#).await.expect("decided");
        anna.update("owner", "1", json!({"email": "y"})).await;
        assert_eq!(now([&anna, &ben], "owner", "2").await, json!({"email": "b", "name": "Bo"}));
        assert!(ben.sync().await.success);
        ben.engine.restore_conflict(key, None).await.expect("restored");
        assert_eq!(now([&ben, &anna], "owner", "2").await, json!({"email": "z", "name": "Bob", "phone": 7}));
        ben.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(now([&ben, &anna], "owner", "2").await, json!({"email": "b", "name": "Bo"}));
    });
}

#[test]
fn a_count_in_an_item_comes_back_and_leaves_other_items_alone() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        there.create("product", json!({"parts": [{"id": "a", "n": 1}, {"id": "b", "n": 1}]})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        there.update("product", &id, json!({"parts": [{"id": "a", "n": 2}, {"id": "b", "n": 2}]})).await;
        assert!(there.sync().await.success);
        world.pass(1_000);
        here.update("product", &id, json!({"parts": [{"id": "a", "n": 3}, {"id": "b", "n": 3}, {"id": "c", "n": 3}]})).await;
        let merged = json!({"parts": [{"id": "a", "n": 3}, {"id": "b", "n": 3}, {"id": "c", "n": 3}]});
        assert_eq!(now([&here, &there], "product", &id).await, merged);
        let mut parts = merged["parts"].as_array().cloned().expect("a list");
        parts.push(json!({"id": "d", "n": 9}));
        there.update("product", &id, json!({"parts": parts})).await;
        assert_eq!(now([&there, &here], "product", &id).await, json!({"parts": parts}));
        let (key, conflict) = only(&here).await;
        assert_eq!(conflict["affectedFields"], json!(["parts.a.n", "parts.b.n"]));
        here.engine.restore_conflict(key, None).await.expect("restored");
        let counts =
            |a: u64, b: u64| json!({"parts": [{"id": "a", "n": a}, {"id": "b", "n": b}, {"id": "c", "n": 3}, {"id": "d", "n": 9}]});
        assert_eq!(now([&here, &there], "product", &id).await, counts(2, 2));
        // An undo knows the items apart as well.
        there.update("product", &id, counts(5, 2)).await;
        assert_eq!(now([&there, &here], "product", &id).await, counts(5, 2));
        let undone = here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(undone["kept"], json!(["parts.a.n"]));
        assert_eq!(now([&here, &there], "product", &id).await, counts(5, 3));
    });
}

#[test]
fn fields_are_told_apart_whatever_their_names() {
    let cases = [
        (json!({"a": 1, "a.b": 1}), json!({"a": 2, "a.b": 2}), json!({"a.b": 3}), "a.b", json!({"a": 2, "a.b": 3})),
        (json!({"a.b": 1, "a": {"b": 1}}), json!({"a.b": 2, "a": {"b": 2}}), json!({"a.b": 3}), "a.b", json!({"a.b": 3, "a": {"b": 2}})),
        (json!({"*": 1, "x": 1}), json!({"*": 2, "x": 2}), json!({"*": 3, "y": 3}), "*", json!({"*": 3, "x": 2, "y": 3})),
    ];
    for (base, mine, theirs, field, merged) in cases {
        tell(async move {
            let world = World::new();
            let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
            there.create("client", base).await;
            assert!(there.sync().await.success && here.sync().await.success);
            here.update("client", "1", mine.clone()).await;
            world.pass(1_000);
            there.update("client", "1", theirs).await;
            assert!(there.sync().await.success);
            assert_eq!(now([&here, &there], "client", "1").await, merged);
            let (key, conflict) = only(&here).await;
            assert_eq!(conflict["affectedFields"], json!([field]));
            // Somebody writes the field whose name is alike: it is no part of the conflict.
            let mut later = merged.clone();
            for name in ["a", "x"].into_iter().filter(|name| merged.get(*name).is_some()) {
                later[name] = json!(9);
            }
            there.update("client", "1", later.clone()).await;
            assert_eq!(now([&there, &here], "client", "1").await, later);
            here.engine.restore_conflict(key, None).await.expect("restored");
            later[field] = mine[field].clone();
            assert_eq!(now([&here, &there], "client", "1").await, later);
        });
    }
}
