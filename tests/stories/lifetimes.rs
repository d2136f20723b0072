//! Pages come and go at any moment: opened with work left over, aborted, closed, opened by a newer app.

use futures_util::future::{join, poll_immediate};
use serde_json::{Value, json};

use crate::world::{SCHEMA, World, tell, turns};

/// More turns than a session takes: an abort at every one of them.
const TURNS: usize = 80;

#[test]
fn a_page_opened_with_unsent_work_knows_how_much_at_once() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        device.tab().await.create("client", json!({"name": "left over"})).await;
        let tab = device.tab().await;
        assert_eq!(tab.engine.status()["pending"], 1);
        for number in 0..3 {
            tab.create("client", json!({"number": number})).await;
        }
        assert_eq!(tab.engine.status()["pending"], 4);
        tab.sync().await;
        assert_eq!(tab.engine.status()["pending"], 0);
    });
}

#[test]
fn a_save_in_a_page_opened_with_unsent_work_settles_when_another_tab_sends_it() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let second = device.tab().await;
        second.create("client", json!({"name": "left over"})).await;
        let first = device.tab().await;
        let saved = first.engine.create("client", r#"{"name":"Smith"}"#).await.expect("created");
        let operation = saved["operationId"].as_str().unwrap_or_default().to_owned();
        let waiting = async {
            let (outcome, result) = join(first.engine.synced(&operation), second.sync()).await;
            assert_eq!(result.synced, 2);
            first.engine.close();
            outcome
        };
        let ((), outcome) = join(first.engine.run(), waiting).await;
        assert_eq!(outcome.expect("settled")["status"], "applied");
    });
}

#[test]
fn an_abort_at_any_moment_changes_no_list_key() {
    for turn in 0..TURNS {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab().await;
            let id = tab.create("client", json!({"name": "Smith"})).await;
            join(tab.sync(), async {
                turns(turn).await;
                tab.engine.abort();
            })
            .await;
            for _ in 0..3 {
                let record = tab.get("client", &id).await.expect("there");
                assert_eq!(record["_sync"]["key"].to_string(), id, "aborted at turn {turn}: {record}");
                assert!(tab.sync().await.success);
            }
        });
    }
}

#[test]
fn an_abort_at_any_moment_loses_nothing_and_doubles_nothing() {
    for turn in 0..TURNS {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab_with(json!({"batchSize": 2})).await;
            let client = tab.create("client", json!({"name": "Smith"})).await;
            let client_value: Value = serde_json::from_str(&client).expect("JSON");
            let mut operations = Vec::new();
            for number in 0..4 {
                let data = json!({"clientId": client_value, "number": number}).to_string();
                let saved = tab.engine.create("pet", &data).await.expect("created");
                operations.push(saved["operationId"].as_str().unwrap_or_default().to_owned());
            }
            join(tab.sync(), async {
                turns(turn).await;
                tab.engine.abort();
            })
            .await;
            let left = tab.queue().await.len();
            assert_eq!(tab.engine.status()["pending"], json!(left), "aborted at turn {turn}");
            let result = tab.sync().await;
            assert!(result.success, "aborted at turn {turn}: {result:?}");
            assert!(tab.queue().await.is_empty());
            assert_eq!(world.changes().await.len(), 5, "aborted at turn {turn}: each exactly once");
            let real = tab.real_id("client", &client).await;
            let pets = tab.all("pet").await;
            assert_eq!(pets.len(), 4);
            assert!(pets.iter().all(|pet| pet["clientId"] == real), "aborted at turn {turn}: {pets:?}");
            for operation in &operations {
                let settled = poll_immediate(tab.engine.synced(operation)).await.expect("nobody waits for what has ended");
                assert_eq!(settled.expect("settled")["status"], "applied", "aborted at turn {turn}");
            }
        });
    }
}

#[test]
fn closing_ends_the_session_that_runs_and_the_one_that_waits_for_it() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "Smith"})).await;
        let gate = tab.hold_upload();
        let closing = async {
            gate.reached().await;
            join(tab.sync(), async {
                turns(3).await;
                tab.engine.close();
            })
            .await
            .0
        };
        let (running, waiting) = join(tab.sync(), closing).await;
        assert!(matches!(running.errors[0].code.as_str(), "aborted" | "closed"), "{running:?}");
        assert_eq!(waiting.errors[0].code, "closed", "{waiting:?}");
        assert_eq!(tab.sync().await.errors[0].code, "closed");
        assert_eq!(tab.engine.create("client", "{}").await.expect_err("closed").code, "closed");
    });
}

#[test]
fn closing_a_page_that_syncs_by_itself_leaves_nobody_waiting() {
    for turn in 0..TURNS {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab_with(json!({"autoSync": true})).await;
            let saved = tab.engine.create("client", r#"{"name":"Smith"}"#).await.expect("created");
            let operation = saved["operationId"].as_str().unwrap_or_default().to_owned();
            let asked = async {
                turns(2).await;
                tab.sync().await
            };
            let closing = async {
                turns(turn).await;
                tab.engine.close();
            };
            let ((), settled, result, ()) = futures_util::join!(tab.engine.run(), tab.engine.synced(&operation), asked, closing);
            assert!(result.success || matches!(result.errors[0].code.as_str(), "aborted" | "closed"), "{turn}: {result:?}");
            assert!(settled.is_ok() || settled.as_ref().is_err_and(|error| error.code == "closed"), "{turn}: {settled:?}");
            assert_eq!(tab.sync().await.errors[0].code, "closed", "{turn}");
        });
    }
}

#[test]
fn an_index_declared_by_a_newer_app_finds_what_an_older_one_saved() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let old = device.tab().await;
        old.create("client", json!({"name": "Smith", "town": "Ulm"})).await;
        old.sync().await;
        old.sync().await;
        old.create("client", json!({"name": "Jones", "town": "Ulm"})).await;
        old.engine.close();

        let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        schema["version"] = json!(2);
        schema["entities"]["client"]["indexes"] = json!(["name", "town"]);
        let new = device.tab_with(json!({"schema": schema})).await;
        // Before the first session it looks through all records, after it the index covers them.
        for _ in 0..3 {
            for (query, count) in [(json!({"where": {"town": "Ulm"}}), 2), (json!({"where": {"name": "Smith"}}), 1)] {
                assert_eq!(new.engine.query("client", &query.to_string()).await.expect("found").len(), count, "{query}");
                assert_eq!(new.engine.count("client", &query.to_string()).await.expect("counted"), count, "{query}");
            }
            assert!(new.sync().await.success);
        }
    });
}
