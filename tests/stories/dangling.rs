//! References that lead to nothing are found where everything was downloaded, and told apart from what nobody here can know.

use fieldsync::engine::{Direction, Wanted};
use serde_json::{Value, json};

use crate::orphans::with_client;
use crate::records::value;
use crate::world::{SCHEMA, Tab, World, tell};

/// Two devices that know a client; the one deletes it, the other writes a pet of it meanwhile, which the server refuses.
async fn parent_deleted_elsewhere(world: &World) -> (Tab, Value, String) {
    let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
    let client = there.create("client", json!({"name": "A"})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let client = there.real_id("client", &client).await;
    there.delete("client", &client.to_string()).await;
    assert!(there.sync().await.success);
    let pet = here.create("pet", json!({"name": "Rex", "clientId": client})).await;
    (here, client, pet)
}

#[test]
fn a_child_of_what_another_device_deleted_is_an_orphan_once_that_was_downloaded() {
    tell(async {
        let world = World::new();
        let (tab, client, pet) = parent_deleted_elsewhere(&world).await;
        let before = json!({"records": 1, "references": 1, "dangling": [], "more": 0, "unknown": 0, "ok": true});
        assert_eq!(tab.check().await, before, "nobody here knows yet");
        assert!(!tab.sync().await.success);
        let orphan = json!({"entity": "pet", "id": value(&pet), "path": "clientId", "target": {"entity": "client", "id": client},
            "why": "missing", "unsent": true});
        let after = json!({"records": 1, "references": 1, "dangling": [orphan], "more": 0, "unknown": 0, "ok": false});
        assert_eq!(tab.check().await, after);
        let counted = tab.engine.check_references(r#"{"limit": 0}"#).await.expect("checked");
        assert_eq!((&counted["dangling"], &counted["more"], &counted["ok"]), (&json!([]), &json!(1), &json!(false)));
    });
}

#[test]
fn what_refers_to_what_was_given_up_says_so() {
    tell(async {
        let world = World::new();
        let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let client = tab.create("client", json!({"name": "A"})).await;
        let create = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        // A decision on a conflict writes what a person chose, whatever became of it since.
        tab.engine.discard(&create, None).await.expect("given up");
        let pet = office.create("pet", json!({"name": "Rex", "dose": 1})).await;
        assert!(office.sync().await.success && tab.sync().await.success);
        let pet = office.real_id("pet", &pet).await;
        office.update("pet", &pet.to_string(), json!({"dose": 2})).await;
        tab.update("pet", &pet.to_string(), json!({"dose": 3})).await;
        assert!(office.sync().await.success && tab.sync().await.success);
        let merged = json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 3, "clientId": value(&client)}}).to_string();
        let open = tab.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("an id");
        tab.engine.resolve(open, &merged).await.expect("decided");
        let report = tab.check().await;
        assert_eq!((&report["dangling"][0]["id"], &report["dangling"][0]["why"]), (&pet, &json!("given-up")));
        assert_eq!((&report["dangling"][0]["unsent"], &report["unknown"]), (&json!(true), &json!(0)));
    });
}

#[test]
fn a_temp_id_is_sound_while_its_create_is_unsent_and_leads_nowhere_without_one() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.create("pet", json!({"clientId": value(&client)})).await;
        let unissued = tab.engine.temp_id("client").expect("an ID").to_value();
        tab.create("pet", json!({"clientId": unissued})).await;
        let report = tab.check().await;
        assert_eq!((&report["references"], report["dangling"].as_array().map(Vec::len)), (&json!(2), Some(1)));
        assert_eq!((&report["dangling"][0]["target"]["id"], &report["dangling"][0]["why"]), (&unissued, &json!("missing")));
    });
}

#[test]
fn what_was_never_downloaded_is_unknown_and_no_orphan() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("pet", json!({"clientId": 999})).await;
        let told = |report: Value| (report["ok"].clone(), report["unknown"].clone());
        assert_eq!(told(tab.check().await), (json!(true), json!(1)), "nothing was downloaded yet");
        assert_eq!(tab.end("delete", json!({})).await, json!({"resolved": [], "failed": []}));
        tab.down().await;
        assert_eq!(told(tab.check().await), (json!(false), json!(0)));
    });
}

#[test]
fn an_entity_outside_of_the_download_is_unknown() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        assert!(tab.sync().await.success);
        // The next release of the app declares an entity of which nothing was ever downloaded.
        let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        schema["version"] = json!(2);
        schema["entities"]["shelter"] = json!({});
        schema["entities"]["pet"]["references"]["shelterId"] = json!("shelter");
        let newer = anna.tab_with(json!({"schema": schema})).await;
        newer.create("pet", json!({"clientId": 999, "shelterId": 999})).await;
        let report = newer.check().await;
        assert_eq!((&report["references"], &report["unknown"]), (&json!(2), &json!(1)));
        assert_eq!(report["dangling"][0]["path"], "clientId");
        newer.down().await;
        let report = newer.check().await;
        assert_eq!((report["dangling"].as_array().map(Vec::len), &report["unknown"]), (Some(2), &json!(0)));
    });
}

#[test]
fn a_record_that_came_further_than_its_parents_is_no_orphan() {
    tell(async {
        let world = World::new();
        let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        assert!(tab.sync().await.success);
        let client = office.create("client", json!({"name": "A"})).await;
        office.create("pet", json!({"name": "Rex", "clientId": value(&client)})).await;
        assert!(office.sync().await.success);
        let pets = Wanted { entity: Some("pet".to_owned()), ..Wanted::all(Direction::Down) };
        assert!(tab.engine.sync_with(pets, None).await.success);
        let report = tab.check().await;
        assert_eq!((&report["records"], &report["unknown"], &report["ok"]), (&json!(1), &json!(1), &json!(true)));
        tab.down().await;
        let report = tab.check().await;
        assert_eq!((&report["references"], &report["unknown"], &report["ok"]), (&json!(1), &json!(0), &json!(true)));
    });
}

#[test]
fn a_store_of_many_parts_is_looked_at_as_a_whole_and_each_record_once() {
    tell(async {
        let world = World::new();
        let (tab, office, client) = with_client(&world).await;
        let pets = |count: usize, strays: usize| {
            let data = |at: usize| json!({"clientId": if at < strays { json!(999) } else { client.clone() }});
            let writes: Vec<Value> = (0..count).map(|at| json!({"kind": "create", "entity": "pet", "data": data(at)})).collect();
            Value::from(writes).to_string()
        };
        let counts = |report: &Value| {
            (report["records"].clone(), report["references"].clone(), report["dangling"].as_array().map(Vec::len), report["ok"].clone())
        };
        // More than one part of what the server has, of which one was changed here since.
        office.engine.transaction(&pets(600, 0)).await.expect("written");
        assert!(office.sync().await.success && tab.sync().await.success);
        let first = tab.all("pet").await[0]["id"].clone();
        tab.update("pet", &first.to_string(), json!({"name": "Rex"})).await;
        assert_eq!(counts(&tab.check().await), (json!(600), json!(600), Some(0), json!(true)));
        // And more than one part of what is unsent.
        tab.engine.transaction(&pets(700, 3)).await.expect("written");
        assert_eq!(counts(&tab.check().await), (json!(1300), json!(1300), Some(3), json!(false)));
    });
}
