//! Unsent work that refers to what a download says is deleted: it is not sent to be refused, waits where the app sees it, and
//! goes by itself once the record is back.

use serde_json::{Value, json};

use crate::records::value;
use crate::world::{Fault, SCHEMA, Tab, World, tell};

fn schema_of(rule: &str) -> Value {
    let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    schema["entities"]["client"]["conflicts"] = json!({"default": rule});
    schema
}

/// Two devices that have a client; what becomes of a client on both sides is decided so.
async fn with_client(rule: &str) -> (World, Tab, Tab, Value) {
    let schema = schema_of(rule);
    let (world, settings) = (World::declaring(&schema), json!({"schema": schema}));
    let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
    let client = here.create("client", json!({"name": "A"})).await;
    assert!(here.sync().await.success && there.sync().await.success);
    let client = here.real_id("client", &client).await;
    (world, here, there, client)
}

/// Deletes the client over there, and has this device learn of it without sending anything.
async fn deleted_there(here: &Tab, there: &Tab, client: &Value) {
    there.delete("client", &client.to_string()).await;
    assert!(there.sync().await.success);
    here.down().await;
}

/// What waits, as `create pet parked`.
async fn waiting(tab: &Tab) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tab.queue().await.iter().map(|item| format!("{} {} {}", word(&item["kind"]), word(&item["entity"]), word(&item["state"]))).collect()
}

#[test]
fn a_child_of_what_is_known_to_be_gone_is_not_sent_and_says_why_it_waits() {
    tell(async {
        // Once with a queue that is longer than the page, and once with a shorter one.
        for others in [0, 3] {
            let (world, here, there, client) = with_client("manual").await;
            let pet = here.create("pet", json!({"name": "Rex", "clientId": client})).await;
            here.create("appointment", json!({"petId": value(&pet)})).await;
            for _ in 0..others {
                here.create("tag", json!({})).await;
            }
            let sent = world.requests("upload");
            deleted_there(&here, &there, &client).await;
            let before = world.requests("upload") - sent;
            assert_eq!(waiting(&here).await[..2], ["create pet parked", "create appointment blocked"]);
            let why = here.queue().await[0]["reason"].clone();
            assert_eq!((&why["code"], &why["path"]), (&json!("dangling_reference"), &json!("clientId")));
            let orphan = here.check().await["dangling"][0].clone();
            assert_eq!((&orphan["id"], &orphan["target"]["id"], &orphan["unsent"]), (&value(&pet), &client, &json!(true)));
            here.sync().await;
            let now = world.requests("upload") - sent;
            assert_eq!((now - before, waiting(&here).await.len()), (usize::from(others > 0), 2), "the others go, these do not");
            assert_eq!(here.all("pet").await.len(), 1, "it is still shown");
            // The app ends it as any orphan.
            let ended = here.end("delete", json!({})).await;
            assert_eq!((&ended["resolved"][0]["action"], waiting(&here).await.len()), (&json!("discarded"), 0), "{ended}");
        }
    });
}

#[test]
fn it_goes_by_itself_once_another_device_has_brought_the_record_back() {
    tell(async {
        for others in [0, 3] {
            let (world, here, there, client) = with_client("client-wins").await;
            let carl = world.device("carl").tab_with(json!({"schema": schema_of("client-wins")})).await;
            assert!(carl.sync().await.success);
            carl.update("client", &client.to_string(), json!({"name": "C"})).await;
            here.create("pet", json!({"name": "Rex", "clientId": client})).await;
            for _ in 0..others {
                here.create("tag", json!({})).await;
            }
            deleted_there(&here, &there, &client).await;
            assert_eq!(waiting(&here).await[0], "create pet parked");
            carl.sync().await;
            assert!(carl.sync().await.success, "its edit stands against the delete");
            here.down().await;
            assert_eq!(waiting(&here).await[0], "create pet pending", "the client is there again");
            assert!(here.sync().await.success && there.sync().await.success);
            assert_eq!((waiting(&here).await.len(), there.all("pet").await[0]["clientId"].clone()), (0, client));
            assert_eq!(here.check().await["ok"], true);
        }
    });
}

#[test]
fn where_a_rule_of_here_brings_it_back_the_child_simply_goes_behind() {
    tell(async {
        let (_world, here, there, client) = with_client("client-wins").await;
        here.update("client", &client.to_string(), json!({"name": "B"})).await;
        here.create("pet", json!({"clientId": client})).await;
        deleted_there(&here, &there, &client).await;
        assert_eq!(waiting(&here).await, ["create client pending", "create pet pending"]);
        assert!(here.sync().await.success && there.sync().await.success);
        assert_eq!((waiting(&here).await.len(), there.all("client").await.len(), there.all("pet").await.len()), (0, 1, 1));
    });
}

#[test]
fn where_a_person_brings_it_back_the_child_goes_once_it_is_back() {
    tell(async {
        let (_world, here, there, client) = with_client("manual").await;
        here.update("client", &client.to_string(), json!({"name": "B"})).await;
        here.create("pet", json!({"clientId": client})).await;
        deleted_there(&here, &there, &client).await;
        assert_eq!(waiting(&here).await, ["update client conflict", "create pet parked"]);
        let open = here.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("an id");
        here.engine.resolve(open, r#"{"type":"client-wins"}"#).await.expect("decided");
        here.sync().await;
        assert!(here.sync().await.success && there.sync().await.success);
        assert_eq!((waiting(&here).await.len(), there.all("client").await.len(), there.all("pet").await.len()), (0, 1, 1));
    });
}

#[test]
fn where_a_person_lets_it_go_the_child_waits_for_its_own_decision() {
    tell(async {
        let (_world, here, there, client) = with_client("manual").await;
        here.update("client", &client.to_string(), json!({"name": "B"})).await;
        here.create("pet", json!({"clientId": client})).await;
        deleted_there(&here, &there, &client).await;
        let open = here.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("an id");
        here.engine.resolve(open, r#"{"type":"server-wins"}"#).await.expect("decided");
        here.sync().await;
        assert_eq!(waiting(&here).await, ["create pet parked"]);
        let parked = here.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        here.engine.retry(&parked, Some(r#"{"set":{"clientId":null}}"#)).await.expect("put right");
        assert!(here.sync().await.success && there.sync().await.success);
        assert_eq!(there.all("pet").await.len(), 1);
    });
}

#[test]
fn what_may_have_reached_the_server_is_sent_again_as_it_is() {
    tell(async {
        let (_world, here, there, client) = with_client("manual").await;
        here.create("pet", json!({"clientId": client})).await;
        here.fault("upload", Fault::LoseRequest);
        here.up().await;
        deleted_there(&here, &there, &client).await;
        assert_eq!(waiting(&here).await, ["create pet failed"], "nobody here knows whether the server has it");
        here.sync().await;
        let why = here.queue().await[0]["reason"].clone();
        assert_eq!((&why["code"], &why["path"]), (&json!("reference_deleted"), &json!("clientId")), "the server says");
    });
}

#[test]
fn a_transaction_waits_as_a_whole() {
    tell(async {
        let (world, here, there, client) = with_client("manual").await;
        let pet = json!({"kind": "create", "entity": "pet", "data": {"clientId": client}});
        let tag = json!({"kind": "create", "entity": "tag", "data": {}});
        here.engine.transaction(&json!([tag, pet]).to_string()).await.expect("both");
        let sent = world.requests("upload");
        deleted_there(&here, &there, &client).await;
        assert_eq!(waiting(&here).await, ["create tag blocked", "create pet parked"]);
        here.sync().await;
        assert_eq!((world.requests("upload") - sent, waiting(&here).await.len()), (1, 2), "the one of the other device alone");
    });
}

#[test]
fn what_was_referred_to_before_and_is_not_any_more_holds_nothing_back() {
    tell(async {
        let (_world, here, there, client) = with_client("manual").await;
        let other = here.create("client", json!({"name": "B"})).await;
        let pet = here.create("pet", json!({"clientId": client})).await;
        here.update("pet", &pet, json!({"clientId": value(&other)})).await;
        deleted_there(&here, &there, &client).await;
        assert!(!waiting(&here).await.iter().any(|item| item.ends_with("parked")));
    });
}
