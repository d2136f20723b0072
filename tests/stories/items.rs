//! What a person does with a queue that does not move by itself: sends again, changes, gives up, carries to
//! another device, empties.

use fieldsync::engine::{Direction, Wanted};
use fieldsync::plan::Table;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

fn value(id: &str) -> Value {
    serde_json::from_str(id).expect("an ID")
}

/// A pet of a client that the server does not have, and an appointment of that pet: the pet is parked, the
/// appointment waits for it.
async fn parked(tab: &Tab) -> (String, String, String) {
    let pet = tab.create("pet", json!({"name": "Rex", "clientId": 999})).await;
    let appointment = tab.create("appointment", json!({"petId": value(&pet)})).await;
    assert!(!tab.sync().await.success);
    let queue = tab.queue().await;
    assert_eq!(
        (&queue[0]["state"], &queue[0]["reason"]["code"], &queue[1]["state"]),
        (&json!("parked"), &json!("reference_missing"), &json!("blocked"))
    );
    (pet, appointment, queue[0]["operationId"].as_str().expect("an ID").to_owned())
}

#[test]
fn a_parked_operation_is_edited_and_goes_with_all_that_waited_for_it() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let (pet, appointment, operation) = parked(&tab).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.engine.retry(&operation, Some(&json!({"set": {"clientId": value(&client)}}).to_string())).await.expect("sent again");
        let shown = tab.get("pet", &pet).await.expect("there");
        assert_eq!((&shown["clientId"], &shown["_sync"]["state"]), (&value(&client), &json!("pending")));
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        let (pet, appointment) = (tab.get("pet", &pet).await.expect("there"), tab.get("appointment", &appointment).await.expect("there"));
        assert_eq!(appointment["petId"], pet["id"]);
        assert_eq!((tab.queue().await.len(), world.changes().await.len()), (0, 3));
        let refused = tab.engine.retry(&operation, None).await.expect_err("it has ended");
        assert_eq!(refused.code, "unknown_operation");
    });
}

#[test]
fn a_retry_as_it_was_meets_the_same_refusal_and_keeps_its_payload() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let (_, _, operation) = parked(&tab).await;
        tab.engine.retry(&operation, None).await.expect("sent again");
        assert!(!tab.sync().await.success);
        let queue = tab.queue().await;
        let parked = queue.iter().find(|item| item["state"] == "parked").expect("parked again");
        assert_eq!((&parked["payload"]["name"], &parked["operation"]["supersedes"]), (&json!("Rex"), &json!(operation)));
        let other = queue.iter().find(|item| item["state"] == "blocked").expect("still waits");
        let id = other["operationId"].as_str().expect("an ID");
        assert_eq!(tab.engine.retry(id, None).await.expect_err("it is not parked").code, "not_parked");
    });
}

#[test]
fn a_discarded_operation_takes_what_depends_on_it_along_and_nothing_else() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let (pet, appointment, operation) = parked(&tab).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        let given_up = tab.engine.discard(&operation).await.expect("given up");
        assert_eq!(given_up["discarded"].as_array().map(Vec::len), Some(2));
        assert_eq!((tab.get("pet", &pet).await, tab.get("appointment", &appointment).await), (None, None));
        assert!(tab.get("client", &client).await.is_some());
        assert!(tab.sync().await.success);
        let trail = anna.store.dump(Table::Audit).into_iter().filter(|(_, text)| text.contains("discarded")).count();
        assert_eq!((trail, tab.queue().await.len(), anna.store.dump(Table::Overlay).len()), (1, 0, 0));
    });
}

#[test]
fn what_may_have_reached_the_server_is_not_given_up() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        tab.up().await;
        let operation = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        assert_eq!(tab.engine.discard(&operation).await.expect_err("refused").code, "sealed");
        tab.update("client", &client, json!({"name": "B"})).await;
        let later = tab.queue().await[1]["operationId"].as_str().expect("an ID").to_owned();
        tab.engine.discard(&later).await.expect("was never claimed");
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "A");
        assert!(tab.sync().await.success);
    });
}

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
        let pet = old.get("pet", &temp).await.expect("there")["id"].to_string();
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
fn a_database_with_unsent_work_is_not_emptied_unless_the_user_insists_and_the_trail_says_so() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "sent"})).await;
        tab.sync().await;
        tab.create("client", json!({"name": "unsent"})).await;
        let refused = tab.engine.wipe(false).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["unsent"]), ("unsent_work", &json!(1)));
        assert_eq!(tab.all("client").await.len(), 2);
        let operation = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        let (wiped, settled) = join(tab.engine.wipe(true), tab.engine.synced(&operation)).await;
        assert_eq!(wiped.expect("emptied"), json!({"discarded": 1}));
        assert_eq!(settled.expect("settled"), json!({"status": "discarded"}));
        for table in [Table::Base, Table::Overlay, Table::Outbox, Table::Ids, Table::Conflicts, Table::Sessions] {
            assert_eq!(anna.store.dump(table).len(), 0, "{table:?}");
        }
        let trail = anna.store.dump(Table::Audit);
        assert_eq!((trail.len(), trail[0].1.contains("discarded"), anna.store.dump(Table::State).len()), (1, true, 1));
        let again = anna.tab().await;
        assert!(again.sync().await.success);
        assert_eq!(again.all("client").await.len(), 1, "what the server has comes back");
    });
}

#[test]
fn what_was_given_up_here_comes_again_with_a_file() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let (tab, other) = (anna.tab().await, world.device("anna").tab().await);
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        other.engine.import(&tab.engine.export().await.expect("written")).await.expect("read");
        assert_eq!(tab.engine.wipe(true).await.expect("emptied"), json!({"discarded": 1}));
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

        let (_, _, operation) = parked(&again).await;
        let file = again.engine.export().await.expect("written");
        again.engine.discard(&operation).await.expect("given up");
        assert_eq!(again.engine.import(&file).await.expect("read"), json!({"imported": 2, "known": 0}));
        assert!(!again.sync().await.success);
        let states: Vec<Value> = again.queue().await.iter().map(|item| item["state"].clone()).collect();
        assert_eq!(states, ["parked", "blocked"], "the server says again what it said");

        // What was sent again under another name and given up then was given up too.
        again.engine.retry(&operation, None).await.expect("written anew");
        let queue = again.queue().await;
        let anew = queue.iter().find(|item| item["entity"] == "pet").expect("the pet")["operationId"].as_str().expect("an ID").to_owned();
        assert_ne!(anew, operation);
        again.engine.discard(&anew).await.expect("given up");
        assert!(again.queue().await.is_empty());
        assert_eq!(again.engine.import(&file).await.expect("read"), json!({"imported": 2, "known": 0}));
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
        let pet = old.get("pet", &temp).await.expect("there")["id"].to_string();
        let stays = new.update("pet", &pet, json!({"age": 3})).await["operationId"].clone();
        let carried = old.update("pet", &pet, json!({"name": "Max"})).await["operationId"].clone();
        new.engine.import(&old.engine.export().await.expect("written")).await.expect("read");
        let operations = vec![serde_json::from_value(carried).expect("an operation's ID")];
        let sent = new.engine.sync_with(Wanted { operations, ..Wanted::all(Direction::Up) }, None).await;
        assert_eq!((sent.synced, new.queue().await.len()), (1, 1), "{sent:?}");
        assert_eq!(new.get("pet", &pet).await.expect("there")["age"], 3);
        new.engine.discard(stays.as_str().expect("an ID")).await.expect("discarded");
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
        let client = old.get("client", &temp).await.expect("there")["id"].clone();
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
