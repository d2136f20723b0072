//! A conflict and a restore of the server: what was decided before is not asked for again, what is decided after it
//! stands on what the new lineage has.

use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

/// The office gives the pet another dose first: the tab's own is in conflict. The office, and the pet as it knows it.
async fn in_conflict(world: &World, tab: &Tab, pet: &str) -> (Tab, String) {
    let office = world.device("ben").tab().await;
    office.sync().await;
    let there = office.all("pet").await.remove(0)["id"].to_string();
    office.update("pet", &there, json!({"dose": 3})).await;
    office.sync().await;
    world.pass(1_000);
    tab.update("pet", pet, json!({"dose": 2})).await;
    assert_eq!(tab.up().await.conflicts, 1);
    (office, there)
}

async fn resolve(tab: &Tab, conflict: &Value, strategy: &str) {
    let id = conflict["id"].as_u64().expect("a number");
    tab.engine.resolve(id, &json!({"type": strategy}).to_string()).await.expect("resolved");
}

#[test]
fn a_decision_made_before_the_new_lineage_is_known_is_not_asked_for_again() {
    for (strategy, expected) in [("client-wins", 2), ("server-wins", 3), ("last-write-wins", 2)] {
        tell(async {
            let world = World::with_backups();
            let tab = world.device("anna").tab().await;
            let pet = tab.create("pet", json!({"dose": 1, "name": "Rex"})).await;
            tab.sync().await;
            let (office, there) = in_conflict(&world, &tab, &pet).await;
            let backup = world.backup().await;
            world.restore(&backup);
            // The device hears of the new lineage and not what is in it: only that its create is there, at an earlier
            // version. The server still has the state that was met.
            tab.fault("download", Fault::Status(503, None));
            tab.create("client", json!({})).await;
            assert!(!tab.sync().await.success);
            let conflict = tab.engine.conflicts().await.expect("read").remove(0);
            resolve(&tab, &conflict, strategy).await;
            let result = tab.sync().await;
            assert!(result.success, "{result:?}");
            let conflicts = tab.engine.conflicts().await.expect("read");
            assert!(conflicts.iter().all(|conflict| conflict["state"] == "resolved"), "{conflicts:?}");
            office.sync().await;
            for record in [tab.get("pet", &pet).await, office.get("pet", &there).await] {
                assert_eq!(record.expect("there")["dose"], expected, "{strategy}");
            }
        });
    }
}

#[test]
fn a_decision_made_after_the_new_lineage_is_known_stands_on_what_that_one_has() {
    for (strategy, expected) in [("client-wins", 2), ("server-wins", 1), ("last-write-wins", 2)] {
        tell(async {
            let world = World::with_backups();
            let tab = world.device("anna").tab().await;
            let pet = tab.create("pet", json!({"dose": 1, "name": "Rex"})).await;
            tab.sync().await;
            let backup = world.backup().await;
            tab.update("pet", &pet, json!({"name": "Max"})).await;
            tab.sync().await;
            in_conflict(&world, &tab, &pet).await;
            // The write of the office is lost, and its device too.
            world.restore(&backup);
            assert!(tab.sync().await.success);
            let conflict = tab.engine.conflicts().await.expect("read").remove(0);
            assert_eq!(conflict["serverData"]["dose"], 1, "{conflict}");
            resolve(&tab, &conflict, strategy).await;
            assert!(tab.sync().await.success);
            let other = world.device("ben").tab().await;
            assert!(other.sync().await.success);
            for record in [tab.get("pet", &pet).await.expect("there"), other.all("pet").await.remove(0)] {
                assert_eq!((&record["dose"], &record["name"]), (&json!(expected), &json!("Max")), "{strategy}");
            }
        });
    }
}

#[test]
fn a_create_that_is_issued_anew_after_a_restore_keeps_the_id_of_its_record() {
    tell(async {
        let world = World::with_backups();
        let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let client = tab.create("client", json!({"name": "Smith"})).await;
        assert!(tab.sync().await.success && office.sync().await.success);
        let client = tab.real_id("client", &client).await;
        let backup = world.backup().await;
        let writes = json!([
            {"kind": "update", "entity": "client", "id": client, "set": {"phone": "1"}},
            {"kind": "create", "entity": "pet", "data": {"name": "Rex", "clientId": client}},
        ]);
        tab.engine.transaction(&writes.to_string()).await.expect("written");
        assert!(tab.sync().await.success);
        let before = tab.all("pet").await.remove(0);

        world.restore(&backup);
        world.pass(1_000);
        // The office is first, so that the transaction is in conflict when it comes again.
        office.update("client", &client.to_string(), json!({"phone": "2"})).await;
        assert!(office.sync().await.success);
        assert_eq!(tab.sync().await.conflicts, 1);
        assert!(tab.sync().await.success && office.sync().await.success);
        for tab in [&tab, &office] {
            assert_eq!(tab.all("pet").await.remove(0)["id"], before["id"]);
        }
    });
}
