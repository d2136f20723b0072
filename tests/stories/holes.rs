//! The holes of DESIGN 5.4, 5.5, 5.11 and 5.12.

use serde_json::json;

use crate::world::{Fault, World, tell};

/// 5.5: an operation that was sent and not answered is never rewritten; what comes after is another one.
#[test]
fn an_edit_after_a_lost_answer_is_a_second_operation_and_both_arrive() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        assert!(!tab.up().await.success);
        assert_eq!(world.changes().await.len(), 1, "the server did act");
        let sealed = tab.queue().await;
        assert_eq!(sealed[0]["sealed"], true);

        tab.update("client", &client, json!({"name": "Smyth"})).await;
        let queue = tab.queue().await;
        assert_eq!(queue.len(), 2, "the sealed one is left alone");
        assert_eq!(queue[0]["payload"], sealed[0]["payload"]);
        assert_eq!(queue[1]["operation"]["base"], json!({"after": queue[0]["operationId"]}));

        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await, [("client".to_owned(), "create".to_owned()), ("client".to_owned(), "update".to_owned())]);
        assert_eq!(tab.all("client").await.len(), 1);
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "Smyth");
    });
}

/// 5.11: the mapping comes by the download, before the receipt, and another device has edited on top.
#[test]
fn a_mapping_may_arrive_by_download_before_the_receipt_with_another_devices_edit_on_top() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        let client = tab.create("client", json!({"name": "Smith", "phone": "1"})).await;
        let client_id: serde_json::Value = serde_json::from_str(&client).expect("JSON");
        let pet = tab.create("pet", json!({"clientId": client_id, "name": "Rex"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        tab.up().await;

        let office = world.device("ben").tab().await;
        office.sync().await;
        world.pass(1_000);
        let real = office.all("client").await[0]["id"].to_string();
        office.update("client", &real, json!({"phone": "2"})).await;
        assert!(office.sync().await.success);

        assert!(tab.down().await.success);
        let seen = tab.all("client").await;
        assert_eq!(seen.len(), 1, "born here and changed there: one record, {seen:?}");
        assert_eq!(seen[0]["id"].to_string(), real);
        assert_eq!(tab.get("pet", &pet).await.expect("there")["clientId"].to_string(), real, "the cascade went through");
        assert_eq!(tab.queue().await.len(), 2, "both still wait for their receipts");

        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 3, "nothing was applied twice");
        assert_eq!(tab.get("client", &client).await.expect("there")["phone"], "2", "the waiting state was taken");
        assert_eq!(tab.get("client", &client).await.expect("there")["_sync"].get("state"), None);
        assert!(tab.queue().await.is_empty());
    });
}

/// 5.11: a page that was read before an upload arrives after its receipt.
#[test]
fn a_page_older_than_a_receipt_does_not_bring_the_old_state_back() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        let client = tab.create("client", json!({"name": "one"})).await;
        tab.sync().await;
        let office = world.device("ben").tab().await;
        office.sync().await;
        let real = office.all("client").await[0]["id"].to_string();
        office.update("client", &real, json!({"name": "two"})).await;
        office.sync().await;
        // Our edit conflicts, wins as the later one, and its receipt is newer than the page that comes now.
        world.pass(1_000);
        tab.update("client", &client, json!({"name": "three"})).await;
        assert!(tab.up().await.success);
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "three");
        tab.fault("download", Fault::CutAnswer);
        assert!(!tab.down().await.success);
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "three");
        assert!(tab.down().await.success);
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "three");
        assert_eq!(tab.all("client").await.len(), 1);
    });
}

/// 5.4: a second edit of the same record while the first is on its way.
#[test]
fn an_own_second_edit_during_an_upload_is_no_conflict() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "one"})).await;
        let gate = tab.hold_upload();
        let (result, ()) = futures_util::future::join(tab.up(), async {
            gate.reached().await;
            // The server has committed; we have not heard of it.
            tab.update("client", &client, json!({"name": "two"})).await;
            let queue = tab.queue().await;
            assert_eq!((queue[0]["state"].clone(), queue[1]["state"].clone()), (json!("syncing"), json!("pending")));
            gate.open();
        })
        .await;
        assert_eq!((result.synced, result.conflicts), (2, 0), "{result:?}");
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "two");
        assert!(tab.queue().await.is_empty());
        let office = world.device("ben").tab().await;
        office.sync().await;
        assert_eq!(office.all("client").await[0]["name"], "two");
    });
}

/// 5.12: what another device changed while our operation was on its way waits for the outcome.
#[test]
fn news_about_a_record_with_an_operation_under_way_wait_for_its_outcome() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "one", "phone": "1", "mail": "1"})).await;
        tab.sync().await;
        let office = world.device("ben").tab().await;
        office.sync().await;
        let real = office.all("client").await[0]["id"].to_string();

        world.pass(10);
        tab.update("client", &client, json!({"name": "two"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        tab.up().await;
        office.sync().await;
        world.pass(10);
        office.update("client", &real, json!({"phone": "2"})).await;
        office.sync().await;
        // Pulled with the first still unanswered, and a third, unsealed edit on top.
        tab.update("client", &client, json!({"mail": "2"})).await;
        tab.down().await;
        let view = tab.get("client", &client).await.expect("there");
        assert_eq!((view["name"].clone(), view["phone"].clone(), view["mail"].clone()), (json!("two"), json!("1"), json!("2")));
        assert!(tab.sync().await.success);
        let view = tab.get("client", &client).await.expect("there");
        assert_eq!((view["name"].clone(), view["phone"].clone(), view["mail"].clone()), (json!("two"), json!("2"), json!("2")));
        office.sync().await;
        let there = office.get("client", &real).await.expect("there");
        assert_eq!((there["name"].clone(), there["phone"].clone(), there["mail"].clone()), (json!("two"), json!("2"), json!("2")));
        assert_eq!(tab.engine.conflicts().await.expect("read"), Vec::<serde_json::Value>::new());
    });
}

/// A record born here that a later page changes is never shown twice.
#[test]
fn a_record_born_here_is_never_shown_twice() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "one"})).await;
        assert!(tab.up().await.success);
        let office = world.device("ben").tab().await;
        for name in ["two", "three"] {
            office.sync().await;
            let real = office.all("client").await[0]["id"].to_string();
            world.pass(10);
            office.update("client", &real, json!({"name": name})).await;
            office.sync().await;
            assert!(tab.down().await.success);
            let seen = tab.all("client").await;
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!(seen[0]["name"], name);
            assert_eq!(tab.get("client", &client).await.expect("by its temp ID")["name"], name);
        }
    });
}

/// 5.16: two senders at once; the answer that comes second finds nothing that waits for it.
#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        tab.create("client", json!({"name": "one"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        tab.up().await;
        let other = device.tab().await;
        assert_eq!(other.up().await.synced, 1);
        assert_eq!(tab.up().await.synced, 0, "the other tab has finished it");
        assert_eq!(world.changes().await.len(), 1);
        assert!(tab.queue().await.is_empty());
    });
}
