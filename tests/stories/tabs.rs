//! Two tabs of one device.

use futures_util::future::{join, join_all, poll_immediate};
use serde_json::{Value, json};

use crate::world::{Device, Fault, SCHEMA, Tab, World, tell, turns};

#[test]
fn different_fields_in_two_tabs_both_arrive_and_one_tab_sends() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab().await, device.tab().await);
        let id = first.create("client", json!({"name": "one", "phone": "1"})).await;
        join(first.update("client", &id, json!({"name": "two"})), second.update("client", &id, json!({"phone": "2"}))).await;
        let (a, b) = join(first.sync(), second.sync()).await;
        assert!(a.success && b.success);
        assert_eq!((a.synced, b.synced), (3, 0), "one sends");
        assert_eq!(world.requests("upload"), 1);
        let office = world.device("ben").tab().await;
        office.sync().await;
        let there = office.all("client").await.remove(0);
        assert_eq!((there["name"].clone(), there["phone"].clone()), (json!("two"), json!("2")));
    });
}

#[test]
fn the_same_field_in_two_tabs_is_two_operations_of_one_device_and_the_later_stands() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab().await, device.tab().await);
        let id = first.create("client", json!({"name": "one"})).await;
        first.update("client", &id, json!({"name": "two"})).await;
        second.update("client", &id, json!({"name": "three"})).await;
        first.sync().await;
        assert_eq!(world.changes().await.len(), 3);
        assert_eq!(second.get("client", &id).await.expect("there")["name"], "three");
    });
}

#[test]
fn a_hundred_overlapping_updates_of_a_hundred_fields_are_all_in_the_record() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab().await, device.tab().await);
        let id = first.create("client", json!({})).await;
        let write = |number: usize| {
            let (tab, id) = (if number.is_multiple_of(2) { &first } else { &second }, id.clone());
            async move {
                let mut set = json!({});
                set[format!("field{number}")] = json!(number);
                tab.update("client", &id, set).await;
            }
        };
        join_all((0..100).map(write)).await;
        let record = second.get("client", &id).await.expect("there");
        assert!((0..100).all(|number| record[format!("field{number}")] == json!(number)));
        first.sync().await;
        let office = world.device("ben").tab().await;
        office.sync().await;
        let there = office.all("client").await.remove(0);
        assert!((0..100).all(|number| there[format!("field{number}")] == json!(number)));
        assert_eq!(world.changes().await.len(), 101);
    });
}

#[test]
fn the_promise_of_a_save_settles_when_another_tab_sends_it() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab().await, device.tab().await);
        let saved = first.engine.create("client", r#"{"name":"Smith"}"#).await.expect("created");
        let operation = saved["operationId"].as_str().unwrap_or_default().to_owned();
        let listening = first.engine.run();
        let waiting = async {
            let (outcome, _) = join(first.engine.synced(&operation), second.sync()).await;
            first.engine.close();
            outcome
        };
        let (_, outcome) = join(listening, waiting).await;
        assert_eq!(outcome.expect("settled")["status"], "applied");
    });
}

#[test]
fn a_tab_sends_nothing_while_another_is_sending() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (first, second) = (device.tab().await, device.tab().await);
        first.create("client", json!({"name": "one"})).await;
        let gate = first.hold_upload();
        let waiting = async {
            gate.reached().await;
            second.create("client", json!({"name": "two"})).await;
            let mut sending = Box::pin(second.sync());
            // Time enough for a whole session, if it did not wait.
            for _ in 0..200 {
                assert!(poll_immediate(&mut sending).await.is_none(), "the first has not finished");
                turns(1).await;
            }
            assert_eq!((world.requests("upload"), world.requests("download")), (1, 0));
            gate.open();
            sending.await
        };
        let (a, b) = join(first.sync(), waiting).await;
        assert!(a.success && b.success, "{a:?} {b:?}");
        assert_eq!(a.synced + b.synced, 2);
        assert_eq!(world.changes().await.len(), 2);
    });
}

/// A tab of an older release, which knows no notes, and one of the newer.
async fn two_releases(device: &Device) -> (Tab, Tab) {
    let mut older: Value = serde_json::from_str(SCHEMA).expect("JSON");
    older["entities"].as_object_mut().expect("entities").remove("note").expect("it was there");
    (device.tab_with(json!({"schema": older})).await, device.tab().await)
}

#[test]
fn a_tab_of_an_older_release_leaves_what_it_does_not_know_to_the_newer_one() {
    tell(async {
        let world = World::new();
        let (old, new) = two_releases(&world.device("anna")).await;
        old.create("client", json!({"name": "Weber"})).await;
        new.create("note", json!({"name": "a first one"})).await;
        let result = old.sync().await;
        assert!(result.success, "{:?}", result.errors);
        assert_eq!(result.synced, 1, "the client goes, the note stays");
        assert_eq!(new.queue().await.len(), 1);
        assert_eq!(new.sync().await.synced, 1);
        let note = new.all("note").await.remove(0);
        assert_eq!(note["name"], "a first one");
        assert!(!note["id"].to_string().contains("temp_"), "it has its real ID");
    });
}

#[test]
fn a_tab_of_an_older_release_touches_nothing_that_only_the_newer_one_can_write() {
    tell(async {
        let world = World::new();
        let (old, new) = two_releases(&world.device("anna")).await;
        let visit = old.create("appointment", json!({"name": "a first one"})).await;
        let gate = old.hold_upload();
        let (sent, ()) = join(old.sync(), async {
            gate.reached().await;
            new.create("note", json!({"appointmentId": serde_json::from_str::<Value>(&visit).expect("JSON")})).await;
            gate.open();
        })
        .await;
        // The appointment's real ID belongs into the note too.
        assert_eq!(sent.errors.first().map(|error| error.code.as_str()), Some("outdated"), "{sent:?}");
        let operation = new.queue().await.remove(1)["operationId"].as_str().expect("an ID").to_owned();
        let refused = old.engine.discard(&operation, None).await.expect_err("it cannot write the note");
        assert_eq!(refused.code, "outdated");
        // Nor does it take a file for known in which there is more than it can keep.
        let file = new.engine.export().await.expect("written");
        let mut older: Value = serde_json::from_str(SCHEMA).expect("JSON");
        older["entities"].as_object_mut().expect("entities").remove("note").expect("it was there");
        let elsewhere = world.device("anna").tab_with(json!({"schema": older})).await;
        assert_eq!(elsewhere.engine.import(&file).await.expect_err("it cannot keep the note").code, "outdated");
        assert!(elsewhere.queue().await.is_empty());
        assert_eq!(new.queue().await.len(), 2);
        assert!(new.sync().await.success);
        let note = new.all("note").await.remove(0);
        assert_eq!(note["appointmentId"], new.all("appointment").await[0]["id"]);
    });
}

#[test]
fn where_a_newer_release_downloads_an_older_one_leaves_that_to_it() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (old, _) = two_releases(&device).await;
        let next: Value = serde_json::from_str::<Value>(SCHEMA)
            .map(|mut schema| {
                schema["version"] = json!(2);
                schema
            })
            .expect("JSON");
        let new = device.tab_with(json!({"schema": next})).await;
        let other = world.device("ben").tab().await;
        other.create("note", json!({"name": "a first one"})).await;
        assert!(other.sync().await.success);
        assert!(old.sync().await.success, "it was there first");
        assert!(new.sync().await.success);
        assert_eq!(new.all("note").await.len(), 1, "what the older one had skipped was fetched");

        other.create("note", json!({"name": "a second one"})).await;
        other.create("client", json!({"name": "Weber"})).await;
        assert!(other.sync().await.success);
        old.create("client", json!({"name": "Huber"})).await;
        let result = old.sync().await;
        assert_eq!(result.synced, 1, "its own work goes up");
        assert_eq!(result.errors.first().map(|error| error.code.as_str()), Some("outdated"));
        assert!(new.sync().await.success);
        assert_eq!(new.all("note").await.len(), 2, "nothing was skipped");
        assert_eq!(old.all("client").await.len(), 2, "the older one sees what the newer one fetched");
    });
}

#[test]
fn what_only_the_newer_release_knows_is_not_taken_for_gone_where_the_older_one_downloaded() {
    tell(async {
        let world = World::new();
        let (old, new) = two_releases(&world.device("anna")).await;
        assert!(old.sync().await.success);
        let note = new.create("note", json!({"name": "a first one"})).await;
        new.fault("upload", Fault::LoseAnswer);
        assert!(!new.sync().await.success);
        // The older one goes on, past the version that the note has at the server.
        old.create("client", json!({"name": "Weber"})).await;
        assert!(old.sync().await.success);
        assert!(new.up().await.success);
        assert_eq!(new.get("note", &note).await.expect("it was applied")["name"], "a first one");
    });
}
