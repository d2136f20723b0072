//! What was not judged yet when its record moved on is judged later by what it was written on, so that nobody's change
//! is gone over unseen.

use fieldsync::protocol::paths;
use serde_json::{Value, json};

use crate::conflicts::shared as shared_as;
use crate::records::value;
use crate::world::{Tab, World, tell};

/// Both devices have a pet; gives its real ID.
async fn shared(world: &World) -> (Tab, Tab, Value) {
    let (here, there, id) = shared_as(world, json!({"name": "Rex", "age": 1, "dose": 1})).await;
    (here, there, value(&id))
}

async fn transaction(tab: &Tab, writes: Value) {
    tab.engine.transaction(&writes.to_string()).await.expect("written");
}

/// Both come to this record, and nothing is left to send.
async fn both_have(tabs: [&Tab; 2], fields: Value) {
    for tab in [tabs[0], tabs[1], tabs[0]] {
        assert!(tab.sync().await.success, "{:?}", tab.queue().await);
    }
    for tab in tabs {
        let record = tab.all("pet").await.remove(0);
        for (field, value) in fields.as_object().expect("fields") {
            assert_eq!(record[field], *value, "{field}");
        }
        assert!(tab.queue().await.is_empty());
    }
}

async fn told(tab: &Tab) -> Vec<Value> {
    let conflicts = tab.engine.conflicts().await.expect("read");
    conflicts.iter().flat_map(|conflict| conflict["affectedFields"].as_array().cloned().expect("a list")).collect()
}

/// The person decides for what was written here.
async fn decide_for_own(here: &Tab) {
    let open = here.engine.conflicts().await.expect("read").remove(0);
    here.engine.resolve(open["id"].as_u64().expect("a key"), r#"{"type":"client-wins"}"#).await.expect("decided");
}

#[test]
fn a_transaction_that_writes_a_record_twice_is_judged_in_both_writes() {
    for other in [json!({"name": "Tom", "age": 9}), json!({"age": 9})] {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world).await;
            let update = |set: Value| json!({"kind": "update", "entity": "pet", "id": id, "set": set});
            transaction(&here, json!([update(json!({"name": "Max"})), update(json!({"age": 2}))])).await;
            world.pass(1_000);
            there.update("pet", &id.to_string(), other.clone()).await;
            assert!(there.sync().await.success);
            here.up().await;
            let name = other.get("name").cloned().unwrap_or(json!("Max"));
            both_have([&here, &there], json!({"name": name, "age": 9})).await;
            assert!(told(&here).await.contains(&json!("age")), "what lost is kept: {:?}", told(&here).await);
        });
    }
}

#[test]
fn what_was_sent_behind_a_conflict_is_judged_by_what_it_was_written_on() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world).await;
        here.update("pet", &id.to_string(), json!({"name": "Max"})).await;
        let update = json!({"kind": "update", "entity": "pet", "id": id, "set": {"age": 2}});
        transaction(&here, json!([update, {"kind": "create", "entity": "client", "data": {"name": "Ada"}}])).await;
        world.pass(1_000);
        there.update("pet", &id.to_string(), json!({"name": "Tom", "age": 9})).await;
        assert!(there.sync().await.success);
        here.up().await;
        both_have([&here, &there], json!({"name": "Tom", "age": 9})).await;
        assert_eq!(told(&here).await, ["name", "age"]);
    });
}

#[test]
fn what_waited_behind_an_open_conflict_is_judged_with_the_decision() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world).await;
        here.update("pet", &id.to_string(), json!({"dose": 2})).await;
        // Of a transaction: no part of it is decided with the conflict.
        let update = json!({"kind": "update", "entity": "pet", "id": id, "set": {"name": "Max"}});
        transaction(&here, json!([update, {"kind": "create", "entity": "client", "data": {"name": "Ada"}}])).await;
        world.pass(1_000);
        there.update("pet", &id.to_string(), json!({"dose": 3, "name": "Tom"})).await;
        assert!(there.sync().await.success && here.down().await.errors.is_empty());
        decide_for_own(&here).await;
        both_have([&here, &there], json!({"dose": 2, "name": "Tom"})).await;
        assert_eq!(told(&here).await, ["dose", "name"]);
    });
}

#[test]
fn what_was_parked_while_its_record_moved_on_goes_over_nobody_unseen() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world).await;
        here.update("pet", &id.to_string(), json!({"name": "Max", "clientId": 4_711})).await;
        assert!(!here.up().await.success);
        world.pass(1_000);
        there.update("pet", &id.to_string(), json!({"name": "Tom", "age": 9})).await;
        assert!(there.sync().await.success && here.down().await.errors.is_empty());
        world.pass(1_000);
        let parked = here.queue().await.remove(0);
        assert_eq!(parked["state"], "parked");
        let operation = parked["operationId"].as_str().expect("an ID");
        here.engine.retry(operation, Some(r#"{"set":{"clientId":null},"unset":[]}"#)).await.expect("sent again");
        both_have([&here, &there], json!({"name": "Tom", "age": 9, "clientId": null})).await;
        assert_eq!(told(&here).await, ["name"], "what was put right is the other field");
    });
}

#[test]
fn a_decision_on_the_second_write_of_a_transaction_follows_the_first() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world).await;
        let update = |set: Value| json!({"kind": "update", "entity": "pet", "id": id, "set": set});
        transaction(&here, json!([update(json!({"name": "Max"})), update(json!({"dose": 2}))])).await;
        there.update("pet", &id.to_string(), json!({"dose": 3})).await;
        assert!(there.sync().await.success && here.down().await.errors.is_empty());
        decide_for_own(&here).await;
        both_have([&here, &there], json!({"name": "Max", "dose": 2})).await;
    });
}

#[test]
fn what_came_with_a_file_is_judged_by_what_it_was_written_on_whatever_was_written_here() {
    tell(async {
        let world = World::new();
        let (here, _, id) = shared(&world).await;
        let other = world.device("anna").tab().await;
        assert!(other.sync().await.success);
        other.update("pet", &id.to_string(), json!({"name": "Max"})).await;
        let file = other.engine.export().await.expect("written");
        world.pass(1_000);
        here.update("pet", &id.to_string(), json!({"name": "Tom"})).await;
        assert!(here.up().await.success);
        here.engine.import(&file).await.expect("read");
        both_have([&here, &other], json!({"name": "Tom"})).await;
        assert_eq!(told(&here).await, ["name"]);
    });
}

#[test]
fn a_write_here_follows_the_last_one_here_whatever_came_with_a_file_between() {
    tell(async {
        let world = World::new();
        let (here, _, id) = shared(&world).await;
        let other = world.device("anna").tab().await;
        assert!(other.sync().await.success);
        other.update("pet", &id.to_string(), json!({"dose": 5})).await;
        let file = other.engine.export().await.expect("written");
        world.pass(1_000);
        here.update("pet", &id.to_string(), json!({"name": "Max"})).await;
        here.update("pet", &id.to_string(), json!({"age": 7})).await;
        here.engine.import(&file).await.expect("read");
        world.pass(1_000);
        here.update("pet", &id.to_string(), json!({"age": 9})).await;
        let queue = here.queue().await;
        let own: Vec<&Value> = queue.iter().filter(|item| item["payload"]["set"].get("/age").is_some()).collect();
        assert_eq!(own[1]["operation"]["base"]["after"], own[0]["operationId"], "{queue:?}");
        assert!(other.up().await.success);
        both_have([&here, &other], json!({"name": "Max", "age": 9, "dose": 5})).await;
    });
}

#[test]
fn a_decision_on_the_third_write_of_a_transaction_follows_the_first_whatever_has_the_same_id_between() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world).await;
        here.create("client", json!({"name": "Ada"})).await;
        assert!(here.sync().await.success && there.sync().await.success);
        assert_eq!(here.all("client").await[0]["id"], id, "each entity counts for itself");
        let update = |entity: &str, set: Value| json!({"kind": "update", "entity": entity, "id": id, "set": set});
        let writes = [update("pet", json!({"name": "Max"})), update("client", json!({"name": "Eva"})), update("pet", json!({"dose": 2}))];
        transaction(&here, json!(writes)).await;
        there.update("pet", &id.to_string(), json!({"dose": 3})).await;
        assert!(there.sync().await.success && here.down().await.errors.is_empty());
        decide_for_own(&here).await;
        both_have([&here, &there], json!({"name": "Max", "dose": 2})).await;
    });
}

#[test]
fn what_stands_in_the_place_of_carried_work_goes_over_nothing_of_here_unseen() {
    tell(async {
        let world = World::new();
        let (here, _, id) = shared(&world).await;
        let (there, id) = (world.device("anna").tab().await, id.to_string());
        assert!(there.sync().await.success);
        here.update("pet", &id, json!({"dose": 2})).await;
        let file = here.engine.export().await.expect("written");
        there.update("pet", &id, json!({"name": "Tom"})).await;
        assert!(there.sync().await.success);
        there.engine.import(&file).await.expect("read");
        there.update("pet", &id, json!({"age": 7})).await;
        let back = there.engine.export().await.expect("written");
        world.pass(1_000);
        here.update("pet", &id, json!({"age": 8})).await;
        assert_eq!(here.engine.import(&back).await.expect("read"), json!({"imported": 1, "known": 1}));
        assert!(there.sync().await.success);
        // Here the older age stands behind the later one, and both find another state at the server.
        both_have([&here, &there], json!({"name": "Tom", "dose": 2, "age": 8})).await;
        assert!(told(&here).await.contains(&json!("age")), "and the other is kept");
    });
}

#[test]
fn carried_work_goes_on_waiting_for_a_decision_whose_operation_got_another_name() {
    for carried_first in [false, true] {
        tell(carried_waits(carried_first));
    }
}

/// Whether the person decides on the record of the carried work first.
async fn carried_waits(carried_first: bool) {
    let world = World::new();
    let (here, office, _) = shared(&world).await;
    here.create("pet", json!({"name": "Max", "dose": 1})).await;
    let there = world.device("anna").tab().await;
    for tab in [&here, &office, &there] {
        assert!(tab.sync().await.success);
    }
    let pets = here.all("pet").await;
    let (rex, max) = (pets[0]["id"].clone(), pets[1]["id"].clone());
    there.update("pet", &rex.to_string(), json!({"dose": 5})).await;
    let file = there.engine.export().await.expect("written");
    for pet in [&rex, &max] {
        office.update("pet", &pet.to_string(), json!({"dose": 3})).await;
    }
    assert!(office.sync().await.success);
    world.pass(1_000);
    let writes = json!([
        {"kind": "update", "entity": "pet", "id": rex, "set": {"dose": 2}},
        {"kind": "update", "entity": "pet", "id": max, "set": {"dose": 2}},
    ]);
    transaction(&here, writes).await;
    assert!(here.down().await.success);
    here.engine.import(&file).await.expect("read");
    assert!(here.sync().await.success);
    let open = |conflicts: Vec<Value>| conflicts.into_iter().filter(|conflict| conflict["state"] == "open").collect::<Vec<_>>();
    let conflicts = open(here.engine.conflicts().await.expect("read"));
    assert_eq!(conflicts.len(), 2, "one for each record of the transaction: {conflicts:?}");
    let of = |record: &Value| conflicts.iter().find(|conflict| conflict["recordId"] == *record).expect("it is in conflict")["id"].as_u64();
    let decide = async |record: &Value| {
        let id = of(record).expect("a number");
        here.engine.resolve(id, r#"{"type": "client-wins"}"#).await.expect("resolved");
    };
    // No decision can go before the other: both stand in one transaction.
    let (first, last) = if carried_first { (&rex, &max) } else { (&max, &rex) };
    decide(first).await;
    // But for the trail, which holds that it was decided.
    let asked = || world.requests.borrow().iter().filter(|path| *path != paths::AUDIT).count();
    let before = asked();
    assert!(here.up().await.success);
    assert_eq!(asked(), before, "nothing can go: {:?}", here.queue().await);
    decide(last).await;
    assert!(here.sync().await.success);
    let conflicts = open(here.engine.conflicts().await.expect("read"));
    assert_eq!(conflicts.len(), 1, "what was carried meets what the decision left: {conflicts:?}");
    assert_eq!((&conflicts[0]["localData"]["dose"], &conflicts[0]["serverData"]["dose"]), (&json!(5), &json!(2)));
}

#[test]
fn own_work_is_not_in_conflict_because_a_file_brought_an_older_receipt() {
    tell(async {
        let world = World::new();
        let (here, office, id) = shared(&world).await;
        let (there, id) = (world.device("anna").tab().await, id.to_string());
        assert!(there.sync().await.success);
        // Another device of the same person writes, exports, and then sends by itself after all.
        there.update("pet", &id, json!({"name": "Max"})).await;
        let file = there.engine.export().await.expect("written");
        assert!(there.sync().await.success);
        assert!(office.sync().await.success);
        office.update("pet", &id, json!({"age": 2})).await;
        assert!(office.sync().await.success);
        // This one has seen all of it, and writes on it; the server refuses that for now.
        assert!(here.sync().await.success);
        world.pass(1_000);
        here.update("pet", &id, json!({"dose": 2})).await;
        here.poison(Some(("/dose", 400)));
        here.up().await;
        assert_eq!(here.queue().await[0]["state"], "parked", "{:?}", here.queue().await);
        here.poison(None);
        assert_eq!(here.engine.import(&file).await.expect("read"), json!({"imported": 1, "known": 0}));
        assert!(here.up().await.success);
        // Somebody else changes another field.
        office.update("pet", &id, json!({"age": 3})).await;
        assert!(office.sync().await.success);
        let operation = here.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        here.engine.retry(&operation, None).await.expect("sent again");
        here.sync().await;
        let conflicts = here.engine.conflicts().await.expect("read");
        assert!(conflicts.is_empty(), "nobody else changed the dose: {conflicts:?}");
        both_have([&here, &office], json!({"name": "Max", "age": 3, "dose": 2})).await;
    });
}
