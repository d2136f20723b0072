//! What a row of the trail proves and shows: the record before and after, by how much the device's clock was off, and as much of
//! what was written as the settings say.

use fieldsync::audit::Row as AuditRow;
use fieldsync::plan::Table;
use fieldsync::value::hash;
use serde_json::{Value, json};

use crate::raw::write_trail_anew;
use crate::trail::{rows, verify};
use crate::trail_up::held_against;
use crate::world::{Device, Tab, World, tell};

/// The entries about an entity with this event, in their order.
async fn entries(tab: &Tab, entity: &str, event: &str) -> Vec<Value> {
    let rows = rows(tab, json!({})).await;
    let all = rows.iter().flat_map(|row| row["entries"].as_array().cloned().unwrap_or_default());
    all.filter(|entry| entry["entity"] == entity && entry["event"] == event).collect()
}

/// What an entry proves of its record.
fn proof(entry: &Value) -> [Option<&str>; 2] {
    ["before", "after"].map(|name| entry.get(name).map(|hash| hash.as_str().expect("a hash")))
}

#[test]
fn an_entry_proves_what_its_record_was_and_what_it_is_since() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"coalesce": false})).await;
        let pet = tab.create("pet", json!({"name": "Rex", "dose": 1})).await;
        tab.update("pet", &pet, json!({"dose": 2})).await;
        assert!(tab.sync().await.success);
        tab.delete("pet", &tab.real_id("pet", &pet).await.to_string()).await;
        let (first, second) = (hash(&json!({"name": "Rex", "dose": 1})), hash(&json!({"name": "Rex", "dose": 2})));
        let written = entries(&tab, "pet", "written").await;
        let proofs: Vec<_> = written.iter().map(proof).collect();
        let (first, second) = (Some(first.as_str()), Some(second.as_str()));
        assert_eq!(proofs, [[None, first], [first, second], [second, None]]);
        assert_eq!(entries(&tab, "pet", "applied").await.iter().map(proof).collect::<Vec<_>>(), [[None; 2]; 2], "it looks as it did");
        assert_eq!(verify(&tab, None).await["ok"], json!(true));
    });
}

#[test]
fn what_came_from_the_server_is_proved_too() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let tag = anna.create("product", json!({"shelf": 1, "name": "a"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        let id = anna.real_id("product", &tag).await.to_string();
        ben.update("product", &id, json!({"shelf": 2})).await;
        anna.update("product", &id, json!({"name": "b"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        let now = hash(&json!({"shelf": 2, "name": "b"}));
        let changed: Vec<Value> =
            rows(&ben, json!({})).await.iter().flat_map(|row| row["entries"].as_array().cloned().unwrap_or_default()).collect();
        let last = changed.iter().rfind(|entry| entry.get("after").is_some()).expect("a proof");
        let before = hash(&json!({"shelf": 2, "name": "a"}));
        assert_eq!(proof(last), [Some(before.as_str()), Some(now.as_str())], "both changes are in it: {changed:?}");
        // A record that lay in the base, and no operation of it anywhere.
        ben.update("product", &id, json!({"shelf": 3})).await;
        let written = entries(&ben, "product", "written").await;
        let then = hash(&json!({"shelf": 3, "name": "b"}));
        assert_eq!(proof(written.last().expect("an entry")), [Some(now.as_str()), Some(then.as_str())]);
    });
}

#[test]
fn a_row_says_by_how_much_the_clock_of_the_device_was_off() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        device.set_clock(-90_000);
        let tab = device.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        tab.create("client", json!({"name": "B"})).await;
        let told: Vec<Value> = rows(&tab, json!({})).await.iter().map(|row| row.get("offset").cloned().unwrap_or_default()).collect();
        assert_eq!(told.first(), Some(&Value::Null), "nobody knew it yet");
        assert!(told.len() >= 3 && told[1..].iter().all(|offset| *offset == 90_000), "{told:?}");
        assert_eq!(verify(&tab, None).await["ok"], json!(true));
    });
}

#[test]
fn a_row_shows_as_much_of_what_was_written_as_the_settings_say() {
    tell(async {
        let world = World::new();
        let audit = json!({"content": {"*": "fields", "client": "payload", "tag": "hash"}});
        let tab = world.device("anna").tab_with(json!({"audit": audit, "coalesce": false})).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.update("client", &client, json!({"name": "B"})).await;
        let pet = tab.create("pet", json!({"name": "Rex", "owner": {"phone": 1}})).await;
        tab.update("pet", &pet, json!({"owner": {"phone": 2}})).await;
        tab.delete("pet", &pet).await;
        tab.create("tag", json!({"name": "x"})).await;
        let shown = |entries: Vec<Value>| -> Vec<Value> {
            assert!(entries.iter().all(|entry| entry["content"].is_string()), "the proof is there in any case");
            entries.iter().map(|entry| json!([entry.get("fields"), entry.get("payload")])).collect()
        };
        let delta = json!({"kind": "update", "delta": {"set": {"/name": "B"}}});
        let data = json!({"kind": "create", "data": {"name": "A"}});
        assert_eq!(shown(entries(&tab, "client", "written").await), [json!([null, data]), json!([null, delta])]);
        let fields = [json!([["name", "owner"], null]), json!([["owner.phone"], null]), json!([null, null])];
        assert_eq!(shown(entries(&tab, "pet", "written").await), fields);
        assert_eq!(shown(entries(&tab, "tag", "written").await), [json!([null, null])]);
        let table = tab.engine.audit_query("csv", "{}", true).await.expect("a table");
        assert!(table["text"].as_str().is_some_and(|text| text.contains("\"\"/name\"\":\"\"B\"\"")), "an export shows what the row does");
        assert_eq!(verify(&tab, None).await["ok"], json!(true));
    });
}

#[test]
fn no_value_that_the_trail_showed_outlives_a_wipe() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let settings = json!({"audit": {"content": {"*": "payload"}, "upload": false}});
        let tab = device.tab_with(settings.clone()).await;
        tab.create("client", json!({"name": "canary"})).await;
        assert!(tab.sync().await.success);
        tab.create("client", json!({"name": "canary"})).await;
        let shown = device.store.dump(Table::Audit).iter().filter(|(_, text)| text.contains("canary")).count();
        assert_eq!(shown, 2);
        tab.engine.wipe(true, None).await.expect("wiped");
        let left = device.store.dump(Table::Audit);
        assert!(left.len() == 1 && !left[0].1.contains("canary"), "{left:?}");
        let tab = device.tab_with(settings).await;
        assert_eq!(verify(&tab, None).await["ok"], json!(true));
    });
}

/// The trail as an earlier release wrote it: without the offset and what is proved of records.
async fn as_earlier(device: &Device) {
    let forget = |row: &mut AuditRow| {
        row.offset = None;
        for entry in &mut row.entries {
            (entry.before, entry.after) = (None, None);
        }
    };
    write_trail_anew(&device.store, forget).await;
}

#[test]
fn rows_of_an_earlier_release_and_of_this_one_are_one_trail_here_and_at_the_server() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab_with(json!({"autoSync": false})).await;
        tab.create("client", json!({"name": "A"})).await;
        as_earlier(&device).await;
        tab.engine.close();
        let tab = device.tab().await;
        tab.create("client", json!({"name": "B"})).await;
        let told: Vec<bool> = rows(&tab, json!({})).await.iter().map(|row| row["entries"][0].get("after").is_some()).collect();
        assert_eq!(told, [false, true]);
        assert!(tab.sync().await.success);
        let held = held_against(&tab).await;
        assert_eq!((&held["ok"], &held["server"]["ok"]), (&json!(true), &json!(true)), "{held}");
    });
}
