//! What happens without being asked.

use futures_util::future::{Either, select};
use serde_json::json;

use crate::world::{Fault, Tab, World, tell, turns};

/// Runs the tab's engine beside a story, and time with it.
pub async fn beside<T>(world: &World, tab: &Tab, story: impl Future<Output = T>) -> T {
    let running = std::pin::pin!(tab.engine.run());
    let both = std::pin::pin!(async {
        match select(std::pin::pin!(story), running).await {
            Either::Left((told, _)) => told,
            Either::Right(((), _)) => panic!("the engine stopped before the story was told"),
        }
    });
    world.until(both).await
}

async fn outcome(tab: &Tab, name: &str) -> serde_json::Value {
    let saved = tab.engine.create("client", &json!({"name": name}).to_string()).await.expect("created");
    tab.engine.synced(saved["operationId"].as_str().unwrap_or_default()).await.expect("settled")
}

#[test]
fn a_save_is_sent_by_itself_and_its_promise_settles() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"autoSync": true})).await;
        let settled = beside(&world, &tab, outcome(&tab, "Smith")).await;
        assert_eq!(settled["status"], "applied");
        assert_eq!(world.changes().await.len(), 1);
    });
}

#[test]
fn failures_are_retried_with_growing_waits_until_it_goes() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"autoSync": true})).await;
        for _ in 0..6 {
            tab.fault("upload", Fault::LoseRequest);
        }
        let settled = beside(&world, &tab, outcome(&tab, "Smith")).await;
        assert_eq!(settled["status"], "applied");
        assert_eq!(world.changes().await.len(), 1);
    });
}

#[test]
fn a_server_that_names_a_time_is_not_asked_before() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"autoSync": true})).await;
        tab.fault("upload", Fault::Status(429, Some(20_000)));
        let began = world.now();
        let settled = beside(&world, &tab, outcome(&tab, "Smith")).await;
        assert_eq!(settled["status"], "applied");
        assert!(world.now() - began >= 20_000);
    });
}

#[test]
fn offline_nothing_is_sent_and_back_online_it_goes_by_itself() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"autoSync": true})).await;
        tab.engine.set_offline(true);
        let id = tab.create("client", json!({"name": "Smith"})).await;
        let result = tab.sync().await;
        assert_eq!((result.success, result.errors[0].code.as_str()), (false, "network"));
        assert_eq!(tab.engine.status()["connectivity"], "offline");
        assert_eq!(world.requests("initialize") + world.requests("upload"), 0);
        let settled = beside(&world, &tab, async {
            tab.engine.set_offline(false);
            outcome(&tab, "second").await
        })
        .await;
        assert_eq!(settled["status"], "applied");
        assert!(tab.real_id("client", &id).await.is_i64());
    });
}

#[test]
fn an_abort_ends_the_session_and_the_next_goes_on() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "Smith"})).await;
        let gate = tab.hold_upload();
        let (result, ()) = futures_util::future::join(tab.sync(), async {
            gate.reached().await;
            tab.engine.abort();
        })
        .await;
        assert_eq!(result.errors[0].code, "aborted");
        assert_eq!(tab.queue().await.len(), 1, "the server acted, we did not hear of it");
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 1);
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn a_server_that_stays_silent_times_out() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"timeoutMs": 5000})).await;
        tab.create("client", json!({"name": "Smith"})).await;
        let _never_opened = tab.hold_upload();
        let result = world.until(tab.sync()).await;
        assert_eq!((result.errors[0].code.as_str(), result.errors[0].retryable), ("timeout", true));
        assert!(tab.sync().await.success);
    });
}

#[test]
fn a_clock_that_is_set_back_after_a_failure_holds_nothing_up() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab_with(json!({"autoSync": true})).await;
        tab.fault("initialize", Fault::Status(503, Some(20_000)));
        let before = world.now();
        let settled = beside(&world, &tab, async {
            // The first session fails, and names a time.
            while tab.engine.status()["lastError"].is_null() {
                turns(1).await;
            }
            device.set_clock(-3_600_000);
            outcome(&tab, "Smith").await
        })
        .await;
        assert_eq!(settled["status"], "applied");
        assert!(world.now() - before < 60_000, "{}", world.now() - before);
    });
}
