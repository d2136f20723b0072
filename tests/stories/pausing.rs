//! A pause is the user's: it holds in every tab and over a reload, and saving goes on.

use futures_util::future::{Either, join, select};
use serde_json::json;

use crate::world::{Fault, Tab, World, tell, turns};

async fn paused(tab: &Tab) -> bool {
    let result = tab.sync().await;
    result.errors.len() == 1 && result.errors[0].code == "paused" && !result.errors[0].retryable
}

#[test]
fn a_pause_holds_over_a_reload_and_in_every_tab_until_somebody_ends_it() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (tab, other) = (device.tab().await, device.tab().await);
        tab.create("client", json!({"name": "Smith"})).await;
        tab.engine.pause().await.expect("stored");
        assert!(paused(&tab).await);
        assert!(paused(&other).await, "it did not hear of it, and looks");
        tab.create("client", json!({"name": "Jones"})).await;
        let status = tab.engine.status();
        assert_eq!((&status["paused"], &status["reason"], &status["pending"]), (&json!(true), &json!("paused"), &json!(2)));
        tab.engine.close();

        let again = device.tab().await;
        assert_eq!(again.engine.status()["paused"], true, "known at once");
        assert!(paused(&again).await);
        assert_eq!(world.requests.borrow().len(), 0);
        // Whoever ends it ends it for all, also for a tab that does not hear of it.
        other.engine.resume().await.expect("stored");
        assert_eq!(again.sync().await.synced, 2);
        assert_eq!((&again.engine.status()["paused"], &again.engine.status()["reason"]), (&json!(false), &json!(null)));
    });
}

#[test]
fn a_pause_in_one_tab_stops_the_session_of_another_and_its_end_sets_it_going() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab_with(json!({"autoSync": true})).await, device.tab().await);
        let gate = first.hold_upload();
        first.create("client", json!({"name": "Smith"})).await;
        let story = async {
            gate.reached().await;
            second.engine.pause().await.expect("stored");
            while first.engine.status()["state"] == "syncing" {
                turns(1).await;
            }
            assert_eq!(first.engine.status()["lastError"]["code"], "aborted");
            let before = world.requests.borrow().len();
            first.create("client", json!({"name": "Jones"})).await;
            let until = world.now() + 300_000;
            while world.now() < until {
                world.pass(1_000);
                turns(20).await;
            }
            assert_eq!(world.requests.borrow().len(), before, "neither a write nor time starts one");
            second.engine.resume().await.expect("stored");
            while !first.queue().await.is_empty() {
                turns(1).await;
            }
        };
        let running = std::pin::pin!(join(first.engine.run(), second.engine.run()));
        let Either::Left(((), _)) = select(std::pin::pin!(story), running).await else { panic!("the engines stopped") };
        assert_eq!(world.changes().await.len(), 2, "each exactly once");
    });
}

#[test]
fn a_token_of_somebody_else_and_none_at_all_are_said_and_end_by_themselves() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "Smith"})).await;
        tab.fault("initialize", Fault::Mismatch);
        assert_eq!(tab.sync().await.errors[0].code, "identity_mismatch");
        assert_eq!(tab.engine.status()["reason"], "wrong_user");
        for _ in 0..2 {
            tab.fault("initialize", Fault::Status(401, None));
        }
        assert_eq!(tab.sync().await.errors[0].code, "auth_required");
        assert_eq!(tab.engine.status()["reason"], "auth_required");
        assert_eq!(tab.queue().await.len(), 1, "nothing is parked for it");
        assert!(tab.sync().await.success);
        assert_eq!(tab.engine.status()["reason"], json!(null));
    });
}
