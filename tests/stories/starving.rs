//! What cannot go must not hold up what can.

use futures_util::future::join;
use serde_json::json;

use crate::world::{Fault, World, tell};

#[test]
fn an_operation_that_no_server_takes_is_parked_on_a_device_that_never_met_the_server_too() {
    tell(async {
        let world = World::new();
        let office = world.device("ben").tab().await;
        office.create("client", json!({"name": "Smith"})).await;
        office.sync().await;

        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "huge"})).await;
        tab.fault("upload", Fault::Status(413, None));
        let result = tab.sync().await;
        assert_eq!((result.success, result.failed), (false, 1), "{result:?}");
        let queue = tab.queue().await;
        assert_eq!((&queue[0]["state"], &queue[0]["reason"]["code"]), (&json!("parked"), &json!("too_large")));
        let result = tab.sync().await;
        assert!(result.success, "what is parked is not tried again: {result:?}");
        assert_eq!(tab.all("client").await.len(), 2, "the office's record and the parked one");
        assert_eq!(world.requests("upload"), 1, "only the office's");
    });
}

#[test]
fn a_session_goes_on_when_another_tab_saves_while_it_uploads() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab_with(json!({"batchSize": 1})).await, device.tab().await);
        for number in 0..3 {
            first.create("client", json!({"number": number})).await;
        }
        let gate = first.hold_upload();
        let (result, ()) = join(first.up(), async {
            gate.reached().await;
            second.create("client", json!({"number": 3})).await;
            gate.open();
        })
        .await;
        assert_eq!((result.success, result.synced), (true, 4), "{result:?}");
        assert!(second.queue().await.is_empty());
    });
}

#[test]
fn what_the_server_makes_wait_lets_the_rest_pass_in_the_same_session() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 2})).await;
        let office = world.device("ben").tab().await;
        office.create("client", json!({"name": "Smith"})).await;
        office.sync().await;
        // The app says what this temp ID became; the server never heard of it and waits for its create.
        let unheard = tab.engine.temp_id("client").expect("an ID");
        for _ in 0..2 {
            tab.create("pet", json!({"clientId": unheard.to_value()})).await;
        }
        tab.engine.map_temp(&unheard.to_string(), "1").await.expect("mapped");
        for number in 0..3 {
            tab.create("client", json!({"number": number})).await;
        }
        let result = tab.sync().await;
        assert_eq!(result.synced, 3, "{result:?}");
        let queue = tab.queue().await;
        assert_eq!(queue.iter().map(|item| item["entity"].clone()).collect::<Vec<_>>(), ["pet", "pet"], "what is free has gone");
        assert!(world.requests("upload") <= 6, "and nobody asked again and again: {}", world.requests("upload"));
    });
}

#[test]
fn a_delete_waits_until_nobody_refers_to_the_record_any_more() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let old = tab.create("client", json!({"name": "old"})).await;
        let pet = tab.create("pet", json!({"clientId": serde_json::from_str::<serde_json::Value>(&old).expect("JSON")})).await;
        assert!(tab.sync().await.success);
        // The pet goes to a client who is entered only later; until then the server still has it with the old one.
        let new = tab.engine.temp_id("client").expect("an ID").to_value();
        tab.update("pet", &pet, json!({"clientId": new})).await;
        tab.delete("client", &old).await;
        let result = tab.sync().await;
        assert_eq!((result.success, result.synced), (true, 0), "{result:?}");
        let queue = tab.queue().await;
        assert_eq!((&queue[0]["state"], &queue[1]["state"]), (&json!("blocked"), &json!("blocked")));
        assert_eq!(queue[1]["reason"]["waitsFor"], json!([queue[0]["operationId"]]));

        tab.create("client", json!({"id": new, "name": "new"})).await;
        assert!(tab.sync().await.success);
        assert!(tab.queue().await.is_empty());
        assert_eq!(tab.all("client").await.len(), 1);
    });
}
