//! The main job: a chain of new records, entered without a network.

use serde_json::json;

use crate::world::{World, tell};

#[test]
fn a_chain_goes_up_in_one_request_and_a_second_device_reads_it_with_real_ids() {
    tell(async {
        let world = World::new();
        let field = world.device("anna");
        let tab = field.tab().await;
        // Written backwards: a reference may point to what does not exist yet.
        let client = tab.engine.temp_id("client").expect("an ID").to_value();
        let pet = tab.engine.temp_id("pet").expect("an ID").to_value();
        let appointment = tab.engine.temp_id("appointment").expect("an ID").to_value();
        let note = tab.create("note", json!({"appointmentId": appointment, "text": "calm"})).await;
        assert_eq!(tab.queue().await[0]["reason"]["code"], "waits_for_record");
        tab.create("appointment", json!({"id": appointment, "petId": pet, "clientId": client})).await;
        tab.create("pet", json!({"id": pet, "clientId": client, "name": "Rex"})).await;
        tab.create("client", json!({"id": client, "name": "Smith"})).await;
        let key_before = tab.get("note", &note).await.expect("there")["_sync"]["key"].clone();

        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        assert_eq!((result.synced, result.failed, result.conflicts), (4, 0, 0));
        assert_eq!(world.requests("upload"), 1);
        let order: Vec<String> = world.changes().await.into_iter().map(|(entity, _)| entity).collect();
        assert_eq!(order, ["client", "pet", "appointment", "note"]);

        let here = tab.get("note", &note).await.expect("the temp ID still opens it");
        assert!(here["id"].is_i64());
        assert_eq!(here["_sync"]["key"], key_before, "the list key did not change");
        assert!(tab.queue().await.is_empty());

        let office = world.device("ben").tab().await;
        assert!(office.sync().await.success);
        let there = office.all("appointment").await.remove(0);
        assert_eq!(there["petId"], office.all("pet").await[0]["id"]);
        assert_eq!(there["clientId"], office.all("client").await[0]["id"]);
        assert!(there["clientId"].is_i64(), "no temp ID reaches another device: {there}");
        assert_eq!(office.all("note").await[0]["appointmentId"], there["id"]);

        // A reload forgets the list keys, not the IDs.
        let again = field.tab().await;
        assert_eq!(again.real_id("note", &note).await, here["id"]);
    });
}

#[test]
fn after_everything_is_downloaded_the_overlay_is_empty_again() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        tab.sync().await;
        tab.update("client", &client, json!({"name": "Smyth"})).await;
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        tab.sync().await;
        tab.delete("pet", &pet).await;
        tab.sync().await;
        tab.sync().await;
        assert_eq!(device.store.dump(fieldsync::plan::Table::Overlay), []);
        assert_eq!(device.store.dump(fieldsync::plan::Table::Outbox), []);
        assert_eq!(tab.all("client").await.len(), 1);
        assert_eq!(tab.all("pet").await.len(), 0);
        assert_eq!(tab.engine.count("client", "{}").await.expect("counted"), 1);
    });
}

#[test]
fn a_save_is_three_puts() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "first"})).await;
        let before = tab.engine.report()["rowsWritten"].as_u64();
        tab.create("client", json!({"name": "second"})).await;
        assert_eq!(tab.engine.report()["rowsWritten"].as_u64(), before.map(|rows| rows + 3));
    });
}

#[test]
fn a_thousand_operations_in_batches_of_fifty_survive_a_lost_answer_each_exactly_once() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 50})).await;
        for number in 0..500 {
            let client = tab.create("client", json!({"name": format!("client {number}")})).await;
            let client: serde_json::Value = serde_json::from_str(&client).expect("JSON");
            tab.create("pet", json!({"clientId": client, "name": format!("pet {number}")})).await;
        }
        for _ in 0..9 {
            tab.fault("upload", crate::world::Fault::LoseAnswer);
            let result = tab.up().await;
            assert_eq!(result.errors[0].code, "network");
        }
        assert!(tab.sync().await.success);
        let changes = world.changes().await;
        assert_eq!(changes.len(), 1000, "each exactly once");
        assert_eq!(changes.iter().filter(|(entity, _)| entity == "client").count(), 500);
        assert_eq!(tab.all("pet").await.len(), 500);
        assert!(tab.all("pet").await.iter().all(|pet| pet["clientId"].is_i64()));
    });
}
