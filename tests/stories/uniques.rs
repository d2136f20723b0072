//! What no two records share: on one device, a write that would give two visible records the same is refused, wherever the
//! other one is, and nothing else is; and what is asked beside it where the server refuses it.

use serde_json::{Value, json};

use crate::constraints::{everybody_has, open, resolve};
use crate::world::{Tab, World, tell};

/// Why a create was refused: the code, and the fields and the ID in its details.
async fn refused(tab: &Tab, entity: &str, data: Value) -> (&'static str, Value, Value) {
    let error = tab.engine.create(entity, &data.to_string()).await.expect_err("refused");
    assert_eq!(error.details["entity"], entity);
    (error.code, error.details["fields"].clone(), error.details["id"].clone())
}

fn id(text: &str) -> Value {
    serde_json::from_str(text).expect("an ID")
}

#[test]
fn a_write_that_takes_what_a_visible_record_has_is_refused_and_stores_nothing() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let ada = tab.create("owner", json!({"email": "a", "name": "Ada"})).await;
        let bo = tab.create("owner", json!({"email": "b"})).await;
        for synced in [false, true] {
            let (ada, bo) = if synced {
                // What was written here, and what came with a page to a device that wrote nothing.
                assert!(tab.sync().await.success);
                ("1".to_owned(), "2".to_owned())
            } else {
                (ada.clone(), bo.clone())
            };
            let queued = tab.queue().await.len();
            assert_eq!(refused(&tab, "owner", json!({"email": "a"})).await, ("unique_violation", json!(["email"]), id(&ada)));
            let error = tab.engine.update("owner", &bo, r#"{"set": {"email": "a"}}"#).await.expect_err("refused");
            assert_eq!((error.code, &error.details["id"]), ("unique_violation", &id(&ada)));
            assert_eq!((tab.all("owner").await.len(), tab.queue().await.len()), (2, queued));
            // Its own values are nobody else's.
            tab.update("owner", &ada, json!({"email": "a", "name": if synced { "Ada L." } else { "Ada B." }})).await;
        }
        let other = world.device("ben").tab().await;
        assert!(tab.sync().await.success && other.sync().await.success);
        assert_eq!(refused(&other, "owner", json!({"email": "a"})).await, ("unique_violation", json!(["email"]), json!(1)));
        let error = other.engine.update("owner", "2", r#"{"set": {"email": "a"}}"#).await.expect_err("refused");
        assert_eq!((error.code, &error.details["id"]), ("unique_violation", &json!(1)));
    });
}

#[test]
fn what_was_given_up_is_free_and_what_is_empty_is_shared() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        for _ in 0..2 {
            tab.create("owner", json!({"email": null, "number": 7})).await;
            tab.create("owner", json!({"name": "nobody"})).await;
        }
        let ada = tab.create("owner", json!({"email": "a"})).await;
        tab.update("owner", &ada, json!({"email": "b"})).await;
        let second = tab.create("owner", json!({"email": "a"})).await;
        tab.delete("owner", &ada).await;
        tab.update("owner", &second, json!({"email": "b"})).await;
        assert!(tab.sync().await.success);
        let ids: Vec<Value> = tab.all("owner").await.iter().map(|record| record["id"].clone()).collect();
        let last = ids.last().expect("some").to_string();
        tab.delete("owner", &last).await;
        tab.create("owner", json!({"email": "b"})).await;
        let result = tab.sync().await;
        assert!(result.success && result.conflicts == 0, "{result:?}");
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn values_that_are_ids_are_the_same_before_and_after_the_record_has_its_own() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "north"})).await;
        let other = tab.create("client", json!({"name": "south"})).await;
        let temp = |text: &str| id(text);
        tab.create("owner", json!({"clientId": temp(&client), "number": 1})).await;
        tab.create("owner", json!({"clientId": temp(&other), "number": 1})).await;
        let fields = json!(["clientId", "number"]);
        assert_eq!(refused(&tab, "owner", json!({"clientId": temp(&client), "number": 1})).await.1, fields);
        assert!(tab.sync().await.success);
        for named in [temp(&client), json!(1)] {
            let (code, told, held) = refused(&tab, "owner", json!({"clientId": named, "number": 1.0})).await;
            assert_eq!((code, told, held), ("unique_violation", fields.clone(), json!(1)), "{named}");
        }
    });
}

#[test]
fn within_a_transaction_each_write_sees_those_before_it() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let ada = tab.create("owner", json!({"email": "a"})).await;
        let create = |email: &str| json!({"kind": "create", "entity": "owner", "data": {"email": email}});
        let two = json!([create("x"), create("y"), create("x")]);
        let error = tab.engine.transaction(&two.to_string()).await.expect_err("refused");
        assert_eq!((error.code, &error.details["write"]), ("unique_violation", &json!(2)));
        assert_eq!(tab.all("owner").await.len(), 1, "all of them or none");
        let handed = json!([{"kind": "update", "entity": "owner", "id": id(&ada), "set": {"email": "b"}}, create("a")]);
        tab.engine.transaction(&handed.to_string()).await.expect("written");
        let result = tab.sync().await;
        assert!(result.success && result.conflicts == 0, "{result:?}");
    });
}

#[test]
fn what_takes_a_value_is_not_sent_before_what_gave_it_up() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"coalesce": true})).await;
        let bo = tab.create("owner", json!({"email": "b"})).await;
        let ada = tab.create("owner", json!({"email": "a"})).await;
        // As a part of the first write it would ask for what the second still has.
        tab.update("owner", &ada, json!({"email": "c"})).await;
        tab.update("owner", &bo, json!({"email": "a"})).await;
        tab.update("owner", &bo, json!({"name": "Bo"})).await;
        assert_eq!(tab.queue().await.len(), 4, "what takes nothing is part of the one before");
        let result = tab.sync().await;
        assert!(result.success && result.conflicts == 0, "{result:?}");
    });
}

#[test]
fn a_constraint_that_is_declared_later_holds_before_its_index_is_there() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let entity =
            |unique: Value| json!({"schema": {"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "unique": unique}}}});
        let before = device.tab_with(entity(json!([]))).await;
        for name in ["x", "x", "y"] {
            before.create("tag", json!({"name": name})).await;
        }
        assert!(before.sync().await.success && before.sync().await.success);
        let later = device.tab_with(entity(json!([["name"]]))).await;
        let records = later.all("tag").await;
        let named = |name: &str| records.iter().find(|record| record["name"] == name).expect("there")["id"].to_string();
        assert_eq!(refused(&later, "tag", json!({"name": "y"})).await.0, "unique_violation");
        // Two that share it already can be changed otherwise.
        later.update("tag", &named("x"), json!({"note": "one of two"})).await;
        assert!(later.sync().await.success);
        assert_eq!(refused(&later, "tag", json!({"name": "y"})).await.2, id(&named("y")), "by the index now");
    });
}

#[test]
fn a_parked_operation_is_not_edited_into_what_another_record_has() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("owner", json!({"email": "a"})).await;
        // The server does not know the client: it refuses the owner.
        tab.create("owner", json!({"email": "b", "clientId": 99})).await;
        tab.sync().await;
        let parked = tab.queue().await.remove(0);
        let operation = parked["operationId"].as_str().expect("an ID").to_owned();
        let edit = |email: &str| json!({"set": {"email": email, "clientId": null}}).to_string();
        let error = tab.engine.retry(&operation, Some(&edit("a"))).await.expect_err("refused");
        assert_eq!((error.code, &error.details["id"]), ("unique_violation", &json!(1)));
        tab.engine.retry(&operation, Some(&edit("c"))).await.expect("edited");
        assert!(tab.sync().await.success);
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn a_constraint_that_is_declared_later_holds_for_what_is_unsent_since_before() {
    for downloaded in [false, true] {
        tell(async move {
            let world = World::new();
            let device = world.device("anna");
            let entity = |unique: Value| json!({"schema": {"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "unique": unique}}}});
            let before = device.tab_with(entity(json!([]))).await;
            let sent = before.create("tag", json!({"name": "w"})).await;
            assert!(before.sync().await.success && before.sync().await.success);
            before.create("tag", json!({"name": "x"})).await;
            before.update("tag", &sent, json!({"name": "y"})).await;
            before.engine.close();
            let later = device.tab_with(entity(json!([["name"]]))).await;
            if downloaded {
                assert!(later.down().await.success);
            }
            for name in ["x", "y"] {
                assert_eq!(refused(&later, "tag", json!({ "name": name })).await.0, "unique_violation", "{name} {downloaded}");
            }
            later.create("tag", json!({"name": "w"})).await;
            assert!(later.sync().await.success && later.queue().await.is_empty());
        });
    }
}

#[test]
fn what_both_sides_changed_besides_is_asked_with_the_value_that_only_one_may_have() {
    for (strategy, name) in [("server-wins", "Srv"), ("client-wins", "Here")] {
        for first in [true, false] {
            tell(async move {
                let world = World::new();
                let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
                anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
                anna.create("owner", json!({"email": "b", "name": "Bo"})).await;
                assert!(anna.sync().await.success && ben.sync().await.success);
                anna.update("owner", "1", json!({"email": "z"})).await;
                ben.update("owner", "2", json!({"email": "z"})).await;
                assert!(anna.sync().await.success && ben.sync().await.success);
                let writes = [(&ben, "Here"), (&anna, "Srv")];
                for at in if first { [0, 1] } else { [1, 0] } {
                    world.pass(1_000);
                    let (tab, name) = writes[at];
                    tab.update("owner", "2", json!({"name": name})).await;
                    assert!(tab.sync().await.success);
                }
                assert!(ben.sync().await.success);
                let conflict = open(&ben).await.remove(0);
                assert_eq!((&conflict["kind"], &conflict["affectedFields"]), (&json!("constraint"), &json!(["email", "name"])));
                // The other one lets it go: it can be had now.
                anna.update("owner", "1", json!({"email": "y"})).await;
                assert!(anna.sync().await.success);
                resolve(&ben, &conflict, json!({"type": strategy})).await.expect("one decision");
                let email = if name == "Here" { "z" } else { "b" };
                everybody_has([&ben, &anna], json!([["y", "Ada"], [email, name]])).await;
                let key = conflict["id"].as_u64().expect("a key");
                ben.engine.restore_conflict(key, None).await.expect("both come back");
                let (email, name) = if name == "Here" { ("b", "Srv") } else { ("z", "Here") };
                everybody_has([&ben, &anna], json!([["y", "Ada"], [email, name]])).await;
            });
        }
    }
}
