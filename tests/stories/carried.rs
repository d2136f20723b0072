//! Unsent work carried to another device in a file: whoever sends it, it takes effect once, and whoever holds it
//! keeps it until it is durable.

use fieldsync::engine::{Direction, Wanted};
use serde_json::{Value, json};

use crate::records::{parked, value};
use crate::world::{Fault, Tab, World, tell};

#[test]
fn unsent_work_carried_to_another_device_takes_effect_once_whoever_sends_first() {
    for first_sender in ["the new device", "the old device"] {
        tell(async move {
            let world = World::new();
            let (old, new) = (world.device("anna"), world.device("anna"));
            let (one, two) = (old.tab_with(json!({"coalesce": true})).await, new.tab().await);
            let client = one.create("client", json!({"name": "A"})).await;
            one.sync().await;
            two.sync().await;
            let pet = one.create("pet", json!({"name": "Rex", "clientId": value(&client)})).await;
            one.update("client", &client, json!({"name": "B"})).await;
            let file = one.engine.export().await.expect("written");
            one.update("pet", &pet, json!({"name": "Max"})).await;
            assert_eq!(one.queue().await.len(), 3, "what was written out is sealed: the later edit stands alone");
            if first_sender == "the old device" {
                assert!(one.sync().await.success);
                two.down().await;
            }
            let told = two.engine.import(&file).await.expect("read");
            assert_eq!(told, json!({"imported": 2, "known": 0}));
            assert_eq!(two.engine.import(&file).await.expect("read"), json!({"imported": 0, "known": 2}));
            assert_eq!(two.all("client").await[0]["name"], "B");
            assert!(two.sync().await.success, "{first_sender}");
            assert!(one.sync().await.success);
            assert!(two.sync().await.success);
            assert_eq!(world.changes().await.len(), 4, "client, pet, client's name, pet's name");
            for tab in [&one, &two] {
                let pets = tab.all("pet").await;
                assert_eq!((pets.len(), &pets[0]["name"], &tab.all("client").await[0]["name"]), (1, &json!("Max"), &json!("B")));
                assert!(tab.queue().await.is_empty());
            }
        });
    }
}

#[test]
fn carried_work_is_judged_by_what_its_writer_saw() {
    tell(async {
        let world = World::new();
        let (old, new, office) = (world.device("anna").tab().await, world.device("anna").tab().await, world.device("ben").tab().await);
        let temp = old.create("pet", json!({"name": "Rex"})).await;
        for tab in [&old, &new, &office] {
            assert!(tab.sync().await.success);
        }
        let pet = old.real_id("pet", &temp).await.to_string();
        old.update("pet", &pet, json!({"name": "Max"})).await;
        let file = old.engine.export().await.expect("written");
        world.pass(1_000);
        office.update("pet", &pet, json!({"name": "Moritz"})).await;
        assert!(office.sync().await.success && new.sync().await.success);
        new.engine.import(&file).await.expect("read");
        assert!(new.sync().await.success);
        assert_eq!(office.down().await.errors.len(), 0);
        for tab in [&new, &office] {
            assert_eq!(tab.get("pet", &pet).await.expect("there")["name"], "Moritz", "the later write stands");
        }
        let kept = new.engine.conflicts().await.expect("read").remove(0);
        assert_eq!(
            (&kept["baseData"]["name"], &kept["localData"]["name"]),
            (&json!("Rex"), &json!("Max")),
            "and the other is kept: {kept}"
        );
    });
}

#[test]
fn an_update_after_a_carried_create_names_the_version_that_this_left() {
    tell(async {
        let world = World::new();
        let (old, new) = (world.device("anna").tab().await, world.device("anna").tab().await);
        let pet = old.create("pet", json!({"name": "Rex"})).await;
        let file = old.engine.export().await.expect("written");
        new.engine.import(&file).await.expect("read");
        assert!(new.up().await.success);
        // No page has brought it yet.
        new.update("pet", &pet, json!({"age": 3})).await;
        assert!(new.up().await.success && old.sync().await.success);
        assert_eq!((old.get("pet", &pet).await.expect("there")["age"].clone(), new.queue().await.len()), (json!(3), 0));
    });
}

#[test]
fn a_file_of_somebody_else_or_of_nobody_is_refused() {
    tell(async {
        let world = World::new();
        let one = world.device("anna").tab().await;
        one.create("client", json!({"name": "A"})).await;
        let file = one.engine.export().await.expect("written");
        let other = world.device("ben").tab().await;
        assert_eq!(other.engine.import(&file).await.expect_err("refused").code, "identity_mismatch");
        let mine = world.device("anna").tab().await;
        let forged = file.replace("\\\"author\\\":\\\"anna\\\"", "\\\"author\\\":\\\"eve\\\"");
        assert_ne!(forged, file);
        for bad in [forged.as_str(), "{}", "[", r#"{"fieldsync":2}"#] {
            let code = mine.engine.import(bad).await.expect_err("refused").code;
            assert!(matches!(code, "invalid_file" | "invalid_value"), "{code}");
        }
        assert!(mine.queue().await.is_empty());
    });
}

#[test]
fn what_was_wiped_here_comes_again_with_a_file() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let (tab, other) = (anna.tab().await, world.device("anna").tab().await);
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        other.engine.import(&tab.engine.export().await.expect("written")).await.expect("read");
        assert_eq!(tab.engine.wipe(true, None).await.expect("emptied"), json!({"discarded": 1}));
        other.update("pet", &pet, json!({"name": "Max"})).await;
        let file = other.engine.export().await.expect("written");
        let again = anna.tab().await;
        assert_eq!(again.engine.import(&file).await.expect("read"), json!({"imported": 2, "known": 0}), "what follows it needs it");
        assert_eq!(again.engine.import(&file).await.expect("read"), json!({"imported": 0, "known": 2}));
        assert!(again.sync().await.success && other.sync().await.success);
        for tab in [&again, &other] {
            let pets = tab.all("pet").await;
            assert_eq!((pets.len(), &pets[0]["name"], tab.queue().await.len()), (1, &json!("Max"), 0));
        }
    });
}

/// Work that the server refuses is written out, given up, and read again: the file, and the refused operation.
async fn refused_and_read_again(tab: &Tab) -> (String, String) {
    let (_, _, operation) = parked(tab).await;
    let file = tab.engine.export().await.expect("written");
    tab.engine.discard(&operation, None).await.expect("given up");
    assert!(tab.queue().await.is_empty());
    assert_eq!(tab.engine.import(&file).await.expect("read"), json!({"imported": 2, "known": 0}));
    assert!(!tab.sync().await.success);
    (file, operation)
}

#[test]
fn what_was_refused_and_given_up_here_comes_again_with_a_file() {
    tell(async {
        let tab = World::new().device("anna").tab().await;
        refused_and_read_again(&tab).await;
        let states: Vec<Value> = tab.queue().await.iter().map(|item| item["state"].clone()).collect();
        assert_eq!(states, ["parked", "blocked"], "the server says again what it said");
    });
}

#[test]
fn however_often_it_was_sent_again_it_is_known_and_given_up_under_its_first_name_too() {
    tell(async {
        let tab = World::new().device("anna").tab().await;
        let (file, mut anew) = refused_and_read_again(&tab).await;
        for _ in 0..10 {
            tab.engine.retry(&anew, None).await.expect("written anew");
            let queue = tab.queue().await;
            let pet = queue.iter().find(|item| item["entity"] == "pet").expect("the pet");
            assert_ne!(pet["operationId"], anew);
            anew = pet["operationId"].as_str().expect("an ID").to_owned();
            assert!(!tab.sync().await.success);
        }
        assert_eq!(tab.engine.import(&file).await.expect("read"), json!({"imported": 0, "known": 2}));
        tab.engine.discard(&anew, None).await.expect("given up");
        assert!(tab.queue().await.is_empty());
        assert_eq!(tab.engine.import(&file).await.expect("read"), json!({"imported": 2, "known": 0}));
    });
}

#[test]
fn what_was_carried_here_and_came_by_a_page_before_its_receipt_stays() {
    tell(async {
        let world = World::new();
        let (one, two) = (world.device("anna").tab().await, world.device("anna").tab().await);
        two.sync().await;
        one.create("tag", json!({"name": "urgent"})).await;
        let file = one.engine.export().await.expect("written");
        two.engine.import(&file).await.expect("read");
        two.fault("upload", Fault::LoseAnswer);
        assert!(!two.sync().await.success);
        assert!(two.down().await.success);
        assert!(two.sync().await.success);
        assert_eq!(two.all("tag").await.len(), 1);
        assert!(two.queue().await.is_empty());
    });
}

#[test]
fn what_was_carried_here_does_not_take_along_what_this_device_has_not_sent() {
    tell(async {
        let world = World::new();
        let (old, new) = (world.device("anna").tab().await, world.device("anna").tab().await);
        let temp = old.create("pet", json!({"name": "Rex"})).await;
        assert!(old.sync().await.success && new.sync().await.success);
        let pet = old.real_id("pet", &temp).await.to_string();
        let stays = new.update("pet", &pet, json!({"age": 3})).await["operationId"].clone();
        let carried = old.update("pet", &pet, json!({"name": "Max"})).await["operationId"].clone();
        new.engine.import(&old.engine.export().await.expect("written")).await.expect("read");
        let operations = vec![serde_json::from_value(carried).expect("an operation's ID")];
        let sent = new.engine.sync_with(Wanted { operations, ..Wanted::all(Direction::Up) }, None).await;
        assert_eq!((sent.synced, new.queue().await.len()), (1, 1), "{sent:?}");
        assert_eq!(new.get("pet", &pet).await.expect("there")["age"], 3);
        new.engine.discard(stays.as_str().expect("an ID"), None).await.expect("discarded");
        assert_eq!(new.get("pet", &pet).await.expect("there")["age"], json!(null), "the server never had it");
    });
}

#[test]
fn a_carried_create_is_one_record_although_only_a_conflict_tells_its_id() {
    tell(async {
        let world = World::new();
        let (old, new, office) = (world.device("anna").tab().await, world.device("anna").tab().await, world.device("ben").tab().await);
        let temp = old.create("client", json!({"name": "Smith"})).await;
        for tab in [&old, &office] {
            assert!(tab.sync().await.success);
        }
        let client = old.real_id("client", &temp).await;
        let writes = json!([
            {"kind": "update", "entity": "client", "id": client, "set": {"phone": "1"}},
            {"kind": "create", "entity": "pet", "data": {"name": "Rex"}},
        ]);
        let saved = old.engine.transaction(&writes.to_string()).await.expect("written");
        old.update("pet", &saved[1]["record"]["id"].to_string(), json!({"name": "Max"})).await;
        let file = old.engine.export().await.expect("written");
        world.pass(1_000);
        office.update("client", &client.to_string(), json!({"phone": "2"})).await;
        assert!(office.sync().await.success);
        // The transaction is in conflict and goes again, under other names; so does what follows it.
        new.engine.import(&file).await.expect("read");
        assert!(new.sync().await.success && new.sync().await.success && new.queue().await.is_empty());
        // All that the first device hears is that its operations were in conflict.
        old.poison(Some(("\"supersedes\"", 503)));
        assert!(!old.sync().await.success);
        assert!(old.down().await.success);
        assert_eq!(old.all("pet").await.len(), 1);
        old.poison(None);
        assert!(old.sync().await.success && old.queue().await.is_empty());
        for tab in [&old, &new] {
            let pets = tab.all("pet").await;
            assert_eq!((pets.len(), &pets[0]["name"]), (1, &json!("Max")));
        }
    });
}

#[test]
fn what_refers_to_a_record_that_the_server_lost_names_it_until_its_device_brings_it_back() {
    tell(async {
        let world = World::with_backups();
        let (old, new) = (world.device("anna").tab().await, world.device("anna").tab().await);
        let backup = world.backup().await;
        let client = old.create("client", json!({"name": "Smith"})).await;
        old.create("pet", json!({"name": "Rex", "clientId": value(&client)})).await;
        // Both are sealed together; the server takes the client alone.
        old.poison(Some(("Rex", 500)));
        for _ in 0..2 {
            assert_eq!(old.sync().await.errors[0].code, "server");
        }
        old.poison(None);
        assert_eq!(old.queue().await.iter().filter(|item| item["state"] == "acknowledged").count(), 1);
        let file = old.engine.export().await.expect("written");
        world.restore(&backup);

        new.engine.import(&file).await.expect("read");
        assert!(new.sync().await.success);
        let queue = new.queue().await;
        let found: Vec<_> = queue.iter().map(|item| (&item["state"], &item["reason"]["code"], &item["reason"]["waitsFor"][0])).collect();
        assert_eq!(found, [(&json!("blocked"), &json!("waits_for_record"), &value(&client))]);
        // It is asked for again: the device that created the record may come back.
        old.sync().await;
        old.sync().await;
        assert!(new.sync().await.success);
        assert!(new.queue().await.iter().all(|item| item["state"] == "acknowledged"));
        assert_eq!(new.all("pet").await[0]["clientId"], new.all("client").await[0]["id"]);
    });
}

#[test]
fn carried_work_is_kept_until_it_is_durable_by_the_device_that_sent_it() {
    tell(async {
        let world = World::with_backups();
        let (old, new) = (world.device("anna").tab().await, world.device("anna").tab().await);
        let pet = old.create("pet", json!({"name": "Rex"})).await;
        assert!(old.sync().await.success && new.sync().await.success);
        let backup = world.backup().await;
        old.update("pet", &pet, json!({"name": "Max"})).await;
        new.engine.import(&old.engine.export().await.expect("written")).await.expect("read");
        assert!(new.sync().await.success);
        assert_eq!(new.queue().await.iter().map(|item| &item["state"]).collect::<Vec<_>>(), ["acknowledged"]);

        // The first device is never seen again, and the server loses what it had.
        world.restore(&backup);
        assert!(new.sync().await.success);
        let office = world.device("ben").tab().await;
        assert!(office.sync().await.success);
        assert_eq!(office.all("pet").await[0]["name"], "Max");
        world.backup().await;
        assert!(new.sync().await.success);
        assert!(new.queue().await.is_empty());
    });
}

#[test]
fn work_that_is_carried_over_a_restore_is_decided_once() {
    // Known to the other device already, or not; in its old lineage, or gone over.
    for (met, over) in [(false, false), (true, false), (true, true)] {
        tell(async move {
            let world = World::with_backups();
            let (old, new) = (world.device("anna").tab().await, world.device("anna").tab().await);
            let temp = old.create("pet", json!({"name": "Rex"})).await;
            assert!(old.sync().await.success);
            let backup = world.backup().await;
            let pet = old.real_id("pet", &temp).await.to_string();
            old.update("pet", &pet, json!({"name": "Max"})).await;
            assert!(old.sync().await.success);
            old.update("pet", &pet, json!({"name": "Moritz"})).await;
            let file = old.engine.export().await.expect("written");
            if met && !over {
                assert!(new.sync().await.success);
            }
            world.restore(&backup);
            if over {
                assert!(new.sync().await.success);
            }
            new.engine.import(&file).await.expect("read");
            for _ in 0..2 {
                let result = new.sync().await;
                assert!(result.success, "{met} {over}: {result:?}");
            }
            assert_eq!(new.queue().await.len(), 1, "{met} {over}: what is not in a backup is kept");
            assert_eq!(new.get("pet", &pet).await.expect("there")["name"], "Moritz", "{met} {over}");
            let changes = world.changes().await;
            assert_eq!(changes.iter().filter(|(entity, _)| entity == "pet").count(), 2, "{met} {over}: {changes:?}");
        });
    }
}
