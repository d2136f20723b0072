//! Several writes of one record before they are sent: one operation, the same meaning.

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::world::{Device, Tab, World, tell};

async fn open(device: &Device) -> Tab {
    device.tab_with(json!({"coalesce": true})).await
}

fn trail(device: &Device) -> Vec<String> {
    let rows = device.store.dump(Table::Audit).into_iter();
    let entries =
        rows.flat_map(|(_, text)| serde_json::from_str::<Value>(&text).expect("JSON")["entries"].as_array().cloned().unwrap_or_default());
    entries.map(|entry| entry["event"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn edits_before_the_first_sync_become_part_of_the_create_and_the_trail_keeps_them() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna"), world.device("ben"));
        let tab = open(&anna).await;
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        let saved = tab.update("pet", &pet, json!({"name": "Max", "age": 3})).await;
        tab.update("pet", &pet, json!({"age": 4})).await;
        assert_eq!(tab.queue().await.len(), 1);
        assert_eq!(trail(&anna), ["written", "amended", "written", "coalesced", "amended", "written", "coalesced"]);
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await, [("pet".to_owned(), "create".to_owned())]);
        let told = tab.engine.synced(saved["operationId"].as_str().expect("an operation")).await.expect("told");
        assert_eq!(told["status"], "applied", "whoever waits for the later save waits for the one that carries it");
        let other = open(&ben).await;
        other.sync().await;
        let seen = other.all("pet").await;
        assert_eq!((&seen[0]["name"], &seen[0]["age"]), (&json!("Max"), &json!(4)));
    });
}

#[test]
fn what_was_claimed_is_never_touched() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = open(&anna).await;
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        tab.fault("upload", crate::world::Fault::LoseAnswer);
        tab.up().await;
        tab.update("pet", &pet, json!({"name": "Max"})).await;
        tab.update("pet", &pet, json!({"name": "Moritz"})).await;
        assert_eq!(tab.queue().await.len(), 2, "the create is sealed; both edits are one");
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 2);
        assert_eq!(tab.all("pet").await[0]["name"], "Moritz");
    });
}

#[test]
fn a_record_created_and_deleted_offline_never_reaches_the_server() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = open(&anna).await;
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        tab.update("pet", &pet, json!({"name": "Max"})).await;
        let gone = tab.engine.delete("pet", &pet).await.expect("deleted");
        assert_eq!((tab.queue().await.len(), tab.all("pet").await.len()), (0, 0));
        let told = tab.engine.synced(gone["operationId"].as_str().expect("an operation")).await.expect("told");
        assert_eq!(told["status"], "discarded");
        let late = json!({"petId": serde_json::from_str::<Value>(&pet).expect("an ID")}).to_string();
        assert_eq!(tab.engine.create("appointment", &late).await.expect_err("refused").code, "reference_deleted");
        assert!(tab.sync().await.success);
        assert_eq!(tab.engine.create("appointment", &late).await.expect_err("refused").code, "reference_deleted");
        assert_eq!(world.changes().await.len(), 0);
        assert_eq!(anna.store.dump(Table::Overlay).len(), 1, "that it is gone");
    });
}

#[test]
fn a_record_that_an_operation_still_names_is_created_and_deleted_in_order() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = open(&anna).await;
        let first = tab.create("client", json!({"name": "A"})).await;
        let client: Value = serde_json::from_str(&first).expect("an ID");
        let pet = tab.create("pet", json!({"clientId": client})).await;
        tab.fault("upload", crate::world::Fault::LoseRequest);
        let note = tab.create("client", json!({"name": "B"})).await;
        let other: Value = serde_json::from_str(&note).expect("an ID");
        // Coalescing would make the pet's create depend on what was created later: it stays an operation of its own.
        tab.update("pet", &pet, json!({"clientId": other})).await;
        assert_eq!(tab.queue().await.len(), 4);
        tab.delete("client", &first).await;
        assert_eq!(tab.queue().await.len(), 5, "the pet's create names the first client");
        assert!(!tab.sync().await.success, "the request was lost");
        let result = tab.sync().await;
        assert!(result.success, "{:?}", result.operations);
        assert_eq!(tab.all("client").await.len(), 1);
        assert_eq!(tab.queue().await.len(), 0);
    });
}

#[test]
fn a_field_keeps_the_time_at_which_it_was_written() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna"), world.device("ben"));
        let (one, two) = (open(&anna).await, open(&ben).await);
        let pet = one.create("pet", json!({"name": "Rex", "age": 1, "breed": "?"})).await;
        one.sync().await;
        two.sync().await;
        let id = two.all("pet").await[0]["id"].to_string();
        one.update("pet", &pet, json!({"name": "by Anna, early"})).await;
        world.pass(10_000);
        two.update("pet", &id, json!({"name": "by Ben, later"})).await;
        two.sync().await;
        world.pass(10_000);
        // The same operation of Anna's, amended after Ben's edit: her name is still the earlier one.
        one.update("pet", &pet, json!({"age": 2})).await;
        assert_eq!(one.queue().await.len(), 1);
        assert!(one.sync().await.success);
        two.sync().await;
        for tab in [&one, &two] {
            let seen = &tab.all("pet").await[0];
            assert_eq!((&seen["name"], &seen["age"]), (&json!("by Ben, later"), &json!(2)));
        }
    });
}

#[test]
fn a_delete_that_many_unsent_records_hinder_is_refused_in_few_rounds() {
    tell(async {
        let world = World::new();
        let tab = open(&world.device("anna")).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.sync().await;
        for n in 0..12 {
            tab.create("pet", json!({"name": n, "clientId": serde_json::from_str::<Value>(&client).expect("an ID")})).await;
        }
        let refused = tab.engine.delete("client", &client).await.expect_err("refused");
        assert_eq!((refused.code, refused.details["dependents"].as_array().map(Vec::len)), ("has_dependents", Some(12)));
    });
}
