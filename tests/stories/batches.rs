//! How much goes up at once, and one operation that breaks whatever it goes up with.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

async fn clients(tab: &Tab, count: usize) {
    for number in 0..count {
        tab.create("client", json!({"number": number})).await;
    }
}

/// The first item of the queue: its state, the code of its last error, how often it was tried.
async fn first(tab: &Tab) -> (String, Value, u64) {
    let item = tab.queue().await.remove(0);
    (item["state"].as_str().unwrap_or_default().to_owned(), item["reason"]["code"].clone(), item["attempts"].as_u64().unwrap_or_default())
}

#[test]
fn a_thousand_operations_go_in_five_uploads_at_default_settings() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        clients(&tab, 1_000).await;
        let result = tab.up().await;
        assert_eq!((result.success, result.synced, world.requests("upload")), (true, 1_000, 5));
    });
}

#[test]
fn a_slow_round_and_one_that_never_ends_are_followed_by_smaller_ones() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 4})).await;
        clients(&tab, 10).await;
        let gate = tab.hold_upload();
        let (result, ()) = join(tab.up(), async {
            gate.reached().await;
            world.pass(11_000);
            gate.open();
        })
        .await;
        assert_eq!((result.synced, world.requests("upload")), (10, 3), "4, 2 and 4");

        clients(&tab, 4).await;
        let gate = tab.hold_upload();
        let (result, ()) = join(tab.up(), async {
            gate.reached().await;
            world.pass(30_000);
        })
        .await;
        assert_eq!(result.errors[0].code, "timeout");
        assert_eq!((tab.up().await.synced, world.requests("upload")), (4, 6), "one in vain, then 2 and 2");
    });
}

#[test]
fn an_operation_over_which_the_server_breaks_down_ends_alone_and_behind_everything_else() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 16, "backoffCapMs": 1_000})).await;
        let poisoned = tab.create("client", json!({"name": "poison"})).await;
        let dependent = tab.create("pet", json!({"clientId": serde_json::from_str::<Value>(&poisoned).expect("JSON")})).await;
        clients(&tab, 14).await;
        tab.poison(Some(("poison", 500)));
        // 16, 8, 4, 2, alone, alone: each ends its session, because the server may be down.
        for _ in 0..6 {
            assert_eq!(tab.sync().await.errors[0].code, "server");
        }
        assert_eq!(world.requests("upload"), 6);
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        assert_eq!((result.synced, tab.queue().await.len()), (14, 2), "only what depends on it waits");
        let tried = first(&tab).await.2;

        // Others are not held up by it, nor is it tried with each of them.
        for _ in 0..3 {
            clients(&tab, 1).await;
            assert!(tab.sync().await.success);
        }
        assert_eq!((tab.queue().await.len(), world.changes().await.len()), (2, 17));
        assert!(first(&tab).await.2 <= tried + 1);
        world.pass(1_001);
        let before = first(&tab).await.2;
        assert!(tab.sync().await.success);
        assert_eq!(first(&tab).await.2, before + 1, "from time to time");

        world.pass(1_001);
        tab.poison(None);
        assert_eq!(tab.sync().await.synced, 2, "the server was mended");
        assert!(tab.queue().await.is_empty());
        assert!(tab.get("pet", &dependent).await.expect("there")["clientId"].is_i64());
    });
}

#[test]
fn an_upload_that_is_refused_whole_is_halved_until_the_one_operation_is_parked() {
    for status in [400, 415, 422] {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab_with(json!({"batchSize": 8})).await;
            clients(&tab, 5).await;
            tab.create("client", json!({"name": "poison"})).await;
            clients(&tab, 2).await;
            tab.poison(Some(("poison", status)));
            let mut sessions = 0;
            while !tab.sync().await.errors.is_empty() {
                sessions += 1;
                assert!(sessions < 10, "it goes round in circles");
            }
            assert_eq!((world.changes().await.len(), tab.queue().await.len()), (7, 1));
            let (state, code, _) = first(&tab).await;
            assert_eq!((state.as_str(), code), ("parked", json!("invalid_request")));
            let uploads = world.requests("upload");
            assert!(tab.sync().await.success);
            assert_eq!(world.requests("upload"), uploads, "what is parked is not tried again");
        });
    }
}

#[test]
fn a_refusal_that_is_not_the_servers_parks_nothing() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 1})).await;
        clients(&tab, 1).await;
        tab.fault("upload", Fault::Foreign(400));
        let result = tab.sync().await;
        assert_eq!((result.errors[0].code.as_str(), result.errors[0].retryable), ("network", true));
        assert_eq!(first(&tab).await.0, "failed");
        assert!(tab.sync().await.success);
    });
}

#[test]
fn a_group_that_the_server_takes_in_no_upload_is_parked_as_a_whole() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let writes = json!([{"entity": "client", "kind": "create", "data": {"name": "a"}}, {"entity": "client", "kind": "create", "data": {"name": "b"}}]);
        tab.engine.transaction(&writes.to_string()).await.expect("saved");
        tab.fault("upload", Fault::Status(413, None));
        let result = tab.sync().await;
        assert_eq!((result.failed, result.errors.len()), (2, 0), "{result:?}");
        assert!(tab.queue().await.iter().all(|item| item["state"] == "parked" && item["reason"]["code"] == "too_large"));
    });
}
