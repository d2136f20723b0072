//! The server is lost and comes back from a backup: the devices heal it, each with what it knows to be lost.

use fieldsync::model::Version;
use fieldsync_server::store::ServerStore;
use serde_json::json;

use crate::records::value;
use crate::world::{Fault, World, tell, turns};

#[test]
fn what_the_server_lost_goes_up_again_and_every_record_keeps_its_id() {
    tell(async {
        let world = World::with_backups();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        assert!(tab.sync().await.success);
        let backup = world.backup().await;

        tab.update("client", &client, json!({"name": "Smythe"})).await;
        let pet = tab.create("pet", json!({"clientId": value(&client), "name": "Rex"})).await;
        assert!(tab.sync().await.success);
        tab.update("pet", &pet, json!({"name": "Max"})).await;
        assert!(tab.sync().await.success);
        tab.sync().await;
        let before = (tab.get("client", &client).await.expect("there"), tab.get("pet", &pet).await.expect("there"));
        tab.create("client", json!({"name": "never sent"})).await;
        assert_eq!(tab.queue().await.len(), 4, "what is not in a backup is kept");

        world.restore(&backup);
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        assert_eq!(result.conflicts, 0, "{result:?}");
        let after = (tab.get("client", &client).await.expect("there"), tab.get("pet", &pet).await.expect("there"));
        for (then, now) in [(&before.0, &after.0), (&before.1, &after.1)] {
            assert_eq!((&then["id"], &then["name"]), (&now["id"], &now["name"]));
        }
        // Another device sees what this one saw.
        let office = world.device("ben").tab().await;
        office.sync().await;
        assert_eq!(office.all("client").await.len(), 2);
        assert_eq!(office.all("pet").await[0]["name"], "Max");
        assert_eq!(office.all("pet").await[0]["clientId"], after.0["id"]);
        // The next backup holds it, and the device lets it go.
        world.backup().await;
        assert!(tab.sync().await.success);
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn two_devices_heal_a_server_between_them_whoever_comes_first() {
    for order in [[0, 1], [1, 0]] {
        tell(async {
            let world = World::with_backups();
            let tabs = [world.device("anna").tab().await, world.device("ben").tab().await];
            let client = tabs[0].create("client", json!({"name": "Smith", "phone": "1"})).await;
            let backup = world.backup().await;
            assert!(tabs[0].sync().await.success);
            assert!(tabs[1].sync().await.success);
            // The second changes later what the first created; both are lost.
            world.pass(1_000);
            let there = tabs[1].all("client").await.remove(0)["id"].to_string();
            tabs[1].update("client", &there, json!({"phone": "2"})).await;
            assert!(tabs[1].sync().await.success);
            tabs[0].sync().await;
            world.restore(&backup);
            for _ in 0..3 {
                for at in order {
                    tabs[at].sync().await;
                }
            }
            let (here, there) = (tabs[0].get("client", &client).await, tabs[1].all("client").await);
            let here = here.expect("it came back");
            assert_eq!((&here["name"], there.len()), (&json!("Smith"), 1));
            assert_eq!(here["id"], there[0]["id"]);
            if order == [0, 1] {
                assert_eq!((&here["phone"], &there[0]["phone"]), (&json!("2"), &json!("2")));
            } else {
                // It came before the record that it changes: kept, and shown with its reason.
                let queue = tabs[1].queue().await;
                assert!(here["phone"] == "2" || queue.iter().any(|item| item["state"] == "parked"), "{here} {queue:?}");
            }
        });
    }
}

#[test]
fn a_device_that_dies_at_any_moment_of_the_change_loses_nothing() {
    for turn in 0..120 {
        tell(async {
            let world = World::with_backups();
            let device = world.device("anna");
            let tab = device.tab().await;
            let kept = tab.create("client", json!({"name": "kept"})).await;
            tab.sync().await;
            let backup = world.backup().await;
            tab.update("client", &kept, json!({"name": "changed"})).await;
            let lost = tab.create("pet", json!({"clientId": value(&kept)})).await;
            tab.sync().await;
            tab.sync().await;
            world.restore(&backup);
            {
                let mut dying = Box::pin(tab.sync());
                for _ in 0..turn {
                    if futures_util::future::poll_immediate(&mut dying).await.is_some() {
                        break;
                    }
                    turns(1).await;
                }
            }
            // Its promises are dropped with it, and so are its locks.
            drop(tab);
            let tab = device.tab().await;
            let result = tab.sync().await;
            assert!(result.success, "died at turn {turn}: {result:?}");
            assert_eq!(tab.get("client", &kept).await.expect("there")["name"], "changed", "died at turn {turn}");
            assert!(tab.get("pet", &lost).await.is_some(), "died at turn {turn}");
            let office = world.device("ben").tab().await;
            office.sync().await;
            assert_eq!((office.all("client").await.len(), office.all("pet").await.len()), (1, 1), "died at turn {turn}");
        });
    }
}

#[test]
fn a_refusal_of_the_old_epoch_and_a_lost_answer_delay_the_change_only() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Status(503, None)] {
        for path in ["initialize", "upload", "download"] {
            tell(async {
                let world = World::with_backups();
                let tab = world.device("anna").tab().await;
                tab.sync().await;
                let backup = world.backup().await;
                tab.create("client", json!({"name": "Smith"})).await;
                tab.sync().await;
                // The session is initialised, so that the refusal is the first to tell.
                tab.create("client", json!({"name": "Jones"})).await;
                world.restore(&backup);
                tab.fault(path, fault);
                for _ in 0..3 {
                    tab.sync().await;
                }
                let result = tab.sync().await;
                assert!(result.success, "{path} {fault:?}: {result:?}");
                let office = world.device("ben").tab().await;
                office.sync().await;
                assert_eq!(office.all("client").await.len(), 2, "{path} {fault:?}");
            });
        }
    }
}

#[test]
fn what_was_deleted_before_a_restore_is_known_as_gone_in_the_new_lineage() {
    tell(async {
        let world = World::with_backups();
        let office = world.device("ben").tab().await;
        let there = office.create("appointment", json!({"name": "morning"})).await;
        office.sync().await;
        let tab = world.device("anna").tab().await;
        tab.sync().await;
        let known = tab.all("appointment").await.remove(0)["id"].to_string();
        office.delete("appointment", &there).await;
        office.sync().await;
        // Anna's later edit brings it back, on the version at which it was deleted, but waits for a pet that is parked.
        let pet = tab.create("pet", json!({"clientId": 999})).await;
        tab.up().await;
        world.pass(1_000);
        tab.update("appointment", &known, json!({"petId": value(&pet)})).await;
        tab.down().await;
        let before = tab.get("appointment", &known).await.expect("brought back");
        assert_eq!((&before["name"], &before["_sync"]["state"]), (&json!("morning"), &json!("pending")));
        // Nothing at the server tells of it any more.
        let service = world.service();
        assert_eq!(service.store().forget("clinic", Version(9)).await.expect("forgotten"), 1);
        world.restore(&world.backup().await);
        office.create("product", json!({})).await;
        office.sync().await;

        tab.sync().await;
        let after = tab.get("appointment", &known).await.expect("still brought back");
        assert_eq!(after["name"], "morning");
        // As anything that a resync does not bring: gone up to where the new lineage is seen.
        let version = after["_sync"]["version"].as_str().and_then(|text| text.parse::<u64>().ok());
        assert!(version.is_some_and(|version| version > 0), "{after}");
    });
}

#[test]
fn what_somebody_else_had_fulfilled_goes_up_again_when_that_is_lost() {
    tell(async {
        let world = World::with_backups();
        let (vet, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let client = vet.create("client", json!({"name": "Smith"})).await;
        assert!(vet.sync().await.success && office.sync().await.success);
        let client = vet.real_id("client", &client).await.to_string();
        let backup = world.backup().await;
        // Both write the same. The office is first; the vet is told that it is so, on a version that the backup holds.
        office.update("client", &client, json!({"phone": "1"})).await;
        assert!(office.sync().await.success);
        vet.update("client", &client, json!({"phone": "1"})).await;
        assert!(vet.sync().await.success);
        assert_eq!(world.changes().await.len(), 2, "the office's change fulfilled the vet's wish");
        assert_eq!(vet.queue().await.len(), 1, "the office's change is not in a backup");

        // The server comes back without it, and the office, its device lost, does not.
        drop(office);
        world.restore(&backup);
        assert!(vet.sync().await.success);
        assert_eq!(world.changes().await.len(), 2, "the vet's change is there in its place");
        let other = world.device("ben").tab().await;
        assert!(other.sync().await.success);
        for tab in [&vet, &other] {
            assert_eq!(tab.get("client", &client).await.expect("there")["phone"], "1");
        }
        world.backup().await;
        assert!(vet.sync().await.success);
        assert!(vet.queue().await.is_empty());
    });
}

#[test]
fn a_transaction_of_which_a_part_was_so_already_goes_up_again_as_a_whole() {
    tell(async {
        let world = World::with_backups();
        let (vet, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let client = vet.create("client", json!({"name": "Smith"})).await;
        assert!(vet.sync().await.success && office.sync().await.success);
        let client = vet.real_id("client", &client).await;
        office.update("client", &client.to_string(), json!({"phone": "1"})).await;
        assert!(office.sync().await.success);
        let backup = world.backup().await;
        // The office has written the first part of it, which the backup holds; the second is lost.
        let writes = json!([
            {"kind": "update", "entity": "client", "id": client, "set": {"phone": "1"}},
            {"kind": "create", "entity": "pet", "data": {"name": "Rex", "clientId": client}},
        ]);
        vet.engine.transaction(&writes.to_string()).await.expect("written");
        assert!(vet.sync().await.success);
        world.restore(&backup);

        assert!(vet.sync().await.success);
        assert!(vet.queue().await.iter().all(|item| item["state"] == "acknowledged"), "nothing of it is refused");
        assert!(office.sync().await.success);
        assert_eq!(office.all("pet").await[0]["name"], "Rex");
        world.backup().await;
        assert!(vet.sync().await.success);
        assert!(vet.queue().await.is_empty());
    });
}
