//! What the schema says of fields: a write is refused, an operation of a device that does not know it yet is parked, a page's
//! record is kept aside, what rules put together is left to a person; and what lies in quarantine comes back when it may.

use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

/// Everybody's entity, with what is said of its fields.
fn schema(version: u32, fields: &Value) -> Value {
    let conflicts = json!({"fields": {"stock": "counter", "dose": "function"}});
    json!({"name": "stories", "version": version, "entities": {"item": {"key": "uuid", "fields": fields, "conflicts": conflicts}}})
}

fn strict() -> Value {
    json!({"name": {"type": "string", "required": true, "maxLength": 5}, "stock": {"type": "integer", "min": 0}})
}

fn settings(version: u32, fields: &Value) -> Value {
    json!({"schema": schema(version, fields), "rules": ["item"]})
}

/// Two devices of one world; the second and the server say nothing of the fields.
async fn apart() -> (World, Tab, Tab) {
    let world = World::declaring(&schema(1, &json!({})));
    let here = world.device("anna").tab_with(settings(1, &strict())).await;
    let there = world.device("ben").tab_with(settings(1, &json!({}))).await;
    (world, here, there)
}

async fn both(here: &Tab, there: &Tab, data: Value) -> String {
    let id = there.create("item", data).await;
    assert!(there.sync().await.success && here.sync().await.success);
    id
}

async fn quarantine(tab: &Tab) -> Vec<Value> {
    tab.engine.quarantine("{}").await.expect("read")
}

#[test]
fn a_write_that_leaves_a_record_as_it_may_not_be_is_refused_with_every_fault() {
    tell(async {
        let (_, here, _) = apart().await;
        let error = here.engine.create("item", r#"{"name": "a long name", "stock": -1}"#).await.expect_err("refused");
        let faults = json!([{"path": "name", "rule": "maxLength"}, {"path": "stock", "rule": "min"}]);
        assert_eq!((error.code, &error.details), ("invalid_record", &json!({"entity": "item", "faults": faults, "path": "name"})));
        let id = here.create("item", json!({"name": "hay", "stock": 1})).await;
        for changes in [r#"{"set": {"stock": 1.5}}"#, r#"{"unset": ["name"]}"#, r#"{"set": {"name": null}}"#] {
            assert_eq!(here.engine.update("item", &id, changes).await.expect_err("refused").code, "invalid_record", "{changes}");
        }
        let writes =
            json!([{"kind": "create", "entity": "item", "data": {"name": "rye"}}, {"kind": "create", "entity": "item", "data": {}}]);
        let error = here.engine.transaction(&writes.to_string()).await.expect_err("refused");
        assert_eq!(
            (error.code, &error.details["write"], &error.details["faults"][0]["rule"]),
            ("invalid_record", &json!(1), &json!("required"))
        );
        assert_eq!((here.all("item").await.len(), here.queue().await.len()), (1, 1), "nothing of it is stored");
        here.update("item", &id, json!({"stock": 0, "more": true})).await;
        here.delete("item", &id).await;
    });
}

#[test]
fn what_the_server_does_not_take_is_parked_with_its_payload_and_every_fault_and_can_be_mended() {
    tell(async {
        let world = World::declaring(&schema(2, &strict()));
        let device = world.device("anna");
        let old = device.tab_with(settings(1, &json!({}))).await;
        let saved = old.engine.create("item", r#"{"name": "a long name", "stock": -1}"#).await.expect("an old release");
        let operation = saved["operationId"].as_str().expect("an operation").to_owned();
        let result = old.sync().await;
        assert_eq!((result.failed, result.success), (1, false));
        let faults = json!([{"path": "name", "rule": "maxLength"}, {"path": "stock", "rule": "min"}]);
        let settled = old.engine.synced(&operation).await.expect("told");
        assert_eq!(
            (&settled["status"], &settled["error"]["code"], &settled["error"]["path"]),
            (&json!("rejected"), &json!("invalid_record"), &json!("name"))
        );
        assert_eq!(settled["error"]["faults"], faults);
        let item = old.queue().await.remove(0);
        assert_eq!((&item["state"], &item["reason"]["faults"], &item["payload"]["stock"]), (&json!("parked"), &faults, &json!(-1)));
        old.engine.close();
        // The next release knows, and what a person makes of it is held against that before anything is sent.
        let new = device.tab_with(settings(2, &strict())).await;
        let error = new.engine.retry(&operation, Some(r#"{"set": {"name": "hay"}}"#)).await.expect_err("refused");
        assert_eq!((error.code, &error.details["faults"]), ("invalid_record", &json!([{"path": "stock", "rule": "min"}])));
        new.engine.retry(&operation, Some(r#"{"set": {"name": "hay", "stock": 0}}"#)).await.expect("mended");
        assert!(new.sync().await.success);
        assert!(new.queue().await.is_empty());
        // An update and a restored record are held against it too.
        let id = new.all("item").await[0]["id"].to_string();
        let other = world.device("ben").tab_with(settings(1, &json!({}))).await;
        assert!(other.sync().await.success);
        other.update("item", &id, json!({"stock": -2})).await;
        assert_eq!(other.sync().await.failed, 1);
        assert_eq!(other.queue().await[0]["reason"]["code"], "invalid_record");
    });
}

#[test]
fn a_record_of_a_page_that_may_not_be_is_kept_aside_and_what_was_known_of_it_stays() {
    tell(async {
        let (world, here, there) = apart().await;
        let id = both(&here, &there, json!({"name": "hay", "stock": 3})).await;
        there.update("item", &id, json!({"stock": -3})).await;
        there.create("item", json!({"name": "a long name"})).await;
        there.create("item", json!({"name": "rye"})).await;
        assert!(there.sync().await.success);
        world.pass(5);
        let result = here.sync().await;
        assert_eq!((result.success, result.quarantined, result.downloaded), (true, 2, 3));
        assert_eq!(here.get("item", &id).await.expect("as it was")["stock"], 3);
        assert_eq!(here.all("item").await.len(), 2);
        let found = quarantine(&here).await;
        let plain: Value = serde_json::from_str(&id).expect("an ID");
        let kept = found.iter().find(|kept| kept["id"] == plain).expect("listed");
        assert_eq!((&kept["entity"], &kept["faults"]), (&json!("item"), &json!([{"path": "stock", "rule": "min"}])));
        assert_eq!((&kept["version"], &kept["since"], &kept["schemaVersion"]), (&json!("2"), &json!(world.now()), &json!(1)));
        let first = here.engine.quarantine(r#"{"limit": 1}"#).await.expect("a page");
        let after = json!({"after": {"entity": "item", "id": first[0]["id"]}, "limit": 5}).to_string();
        assert_eq!([first, here.engine.quarantine(&after).await.expect("the rest")].concat(), found);
        for (wrong, path) in [(r#"{"after": 1}"#, "after"), (r#"{"limit": 0}"#, "limit"), (r#"{"entity": "item"}"#, "entity")] {
            assert_eq!(here.engine.quarantine(wrong).await.expect_err("refused").details["path"], path);
        }
        // Nothing comes a second time; what is put right, or goes, is kept aside no more.
        assert_eq!(here.sync().await.downloaded, 0);
        there.update("item", &id, json!({"stock": 4})).await;
        let long = there.all("item").await.into_iter().find(|item| item["name"] == "a long name").expect("there");
        there.delete("item", &long["id"].to_string()).await;
        assert!(there.sync().await.success && here.sync().await.success);
        assert_eq!((here.get("item", &id).await.expect("there")["stock"].clone(), quarantine(&here).await.len()), (json!(4), 0));
    });
}

#[test]
fn work_that_a_file_brings_on_a_record_that_may_not_be_shown_is_not_on_a_deleted_one() {
    tell(async {
        let (world, here, there) = apart().await;
        let id = both(&here, &there, json!({"name": "hay", "stock": -3})).await;
        assert_eq!((quarantine(&here).await.len(), here.get("item", &id).await), (1, None));
        let other = world.device("anna").tab_with(settings(1, &json!({}))).await;
        assert!(other.sync().await.success);
        other.update("item", &id, json!({"name": "oats"})).await;
        let file = other.engine.export().await.expect("written");
        here.engine.import(&file).await.expect("read");
        let shown = here.get("item", &id).await.expect("as its writer saw it");
        assert_eq!((&shown["name"], &shown["stock"]), (&json!("oats"), &json!(-3)));
        let result = here.sync().await;
        assert_eq!((result.success, result.synced, result.conflicts), (true, 1, 0), "{result:?}");
        assert!(there.sync().await.success);
        assert_eq!(there.get("item", &id).await.expect("there")["name"], "oats");
    });
}

#[test]
fn a_resync_keeps_what_was_known_of_a_record_that_it_may_not_show() {
    tell(async {
        let (world, _, there) = apart().await;
        let device = world.device("carl");
        let here = device.tab_with(settings(1, &strict())).await;
        let id = both(&here, &there, json!({"name": "hay", "stock": 3})).await;
        let pending = both(&here, &there, json!({"name": "rye", "stock": 3})).await;
        for id in [&id, &pending] {
            there.update("item", id, json!({"stock": -3})).await;
        }
        assert!(there.sync().await.success && here.sync().await.success);
        here.update("item", &pending, json!({"name": "oats"})).await;
        here.engine.close();
        // A new index: everything is downloaded anew.
        let mut indexed = settings(1, &strict());
        indexed["schema"]["entities"]["item"]["indexes"] = json!(["name"]);
        let again = device.tab_with(indexed).await;
        let result = again.down().await;
        assert_eq!((result.success, result.quarantined, result.downloaded), (true, 2, 2));
        assert_eq!(again.get("item", &id).await.expect("as it was")["stock"], 3);
        let other = again.get("item", &pending).await.expect("as it was");
        assert_eq!((&other["stock"], &other["name"]), (&json!(3), &json!("oats")));
        assert_eq!(quarantine(&again).await.len(), 2);
        there.update("item", &pending, json!({"stock": 1})).await;
        assert!(there.sync().await.success && again.sync().await.success);
        assert_eq!(again.get("item", &pending).await.expect("there")["stock"], 1);
    });
}

#[test]
fn what_lies_in_quarantine_is_looked_at_again_by_another_declaration() {
    tell(async {
        let (world, _, there) = apart().await;
        let device = world.device("carl");
        let here = device.tab_with(settings(1, &strict())).await;
        let id = both(&here, &there, json!({"name": "hay", "stock": 3})).await;
        let (edited, long) =
            (there.create("item", json!({"name": "rye"})).await, there.create("item", json!({"name": "a long name"})).await);
        assert!(there.sync().await.success && here.sync().await.success);
        for id in [&id, &edited] {
            there.update("item", id, json!({"stock": -3})).await;
        }
        assert!(there.sync().await.success && here.sync().await.success);
        assert_eq!(quarantine(&here).await.len(), 3);
        here.update("item", &edited, json!({"name": "oats"})).await;
        here.engine.close();
        // The same declaration: nobody looks.
        let same = device.tab_with(settings(1, &strict())).await;
        assert_eq!(quarantine(&same).await.len(), 3);
        same.engine.close();
        let next = device.tab_with(settings(2, &json!({"name": {"type": "string", "maxLength": 6}}))).await;
        assert_eq!(next.get("item", &id).await.expect("there")["stock"], -3);
        let other = next.get("item", &edited).await.expect("there");
        assert_eq!((&other["stock"], &other["name"], &other["_sync"]["state"]), (&json!(-3), &json!("oats"), &json!("pending")));
        let left = quarantine(&next).await;
        assert_eq!((left.len(), left[0]["id"].to_string(), &left[0]["schemaVersion"]), (1, long, &json!(2)));
        // It is all as if it had come so: the edit is sent on what it stands on.
        let result = next.sync().await;
        assert_eq!((result.success, result.conflicts), (true, 0));
        assert!(there.sync().await.success);
        assert_eq!(there.get("item", &edited).await.expect("there")["name"], "oats");
    });
}

#[test]
fn what_rules_put_together_that_may_not_be_is_left_to_a_person() {
    for by_receipt in [true, false] {
        tell(async move {
            let (_, here, there) = apart().await;
            let id = both(&here, &there, json!({"name": "hay", "stock": 5})).await;
            // Four are sold here and three there: of five.
            there.update("item", &id, json!({"stock": 2})).await;
            here.update("item", &id, json!({"stock": 1})).await;
            assert!(there.sync().await.success);
            let result = if by_receipt { here.up().await } else { here.down().await };
            assert_eq!((result.success, result.conflicts, result.quarantined), (true, 1, 0));
            let met = here.engine.conflicts().await.expect("read").remove(0);
            assert_eq!((&met["state"], &met["kind"], &met["affectedFields"]), (&json!("open"), &json!("update-update"), &json!(["stock"])));
            assert_eq!((&met["steps"][0]["how"], &met["asks"]), (&json!("invalid_record"), &Value::Null));
            // Meanwhile the local change shows: where a page brought the other's, on top of that.
            assert_eq!(here.get("item", &id).await.expect("there")["stock"], if by_receipt { 1 } else { -2 });
            let key = met["id"].as_u64().expect("a key");
            for strategy in [json!({"type": "client-wins"}), json!({"type": "merge", "mergedData": {"name": "hay", "stock": -2}})] {
                let error = here.engine.resolve(key, &strategy.to_string()).await.expect_err("refused");
                assert_eq!((error.code, &error.details["faults"][0]["path"]), ("invalid_record", &json!("stock")), "{strategy}");
                assert_eq!(here.engine.preview(key, &strategy.to_string()).await.expect_err("refused").code, "invalid_record");
            }
            here.engine.resolve(key, r#"{"type": "merge", "mergedData": {"name": "hay", "stock": 0}}"#).await.expect("resolved");
            for tab in [&here, &there] {
                assert!(tab.sync().await.success);
                assert_eq!(tab.get("item", &id).await.expect("there")["stock"], 0);
            }
        });
    }
}

#[test]
fn what_a_function_or_a_restore_would_write_is_held_against_it_too() {
    tell(async {
        let (world, here, there) = apart().await;
        let id = both(&here, &there, json!({"name": "hay", "dose": 1})).await;
        here.function("rule", "item", |_| Some(json!({"type": "merge", "mergedData": {"dose": 7}})));
        here.update("item", &id, json!({"dose": 2})).await;
        there.update("item", &id, json!({"dose": 3})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let met = here.engine.conflicts().await.expect("read").remove(0);
        assert_eq!((&met["state"], &met["steps"][1]["how"]), (&json!("open"), &json!("invalid_record")));
        assert_eq!(here.warnings(), [("invalid_record".to_owned(), "item".to_owned())]);
        here.engine.resolve(met["id"].as_u64().expect("a key"), r#"{"type": "server-wins"}"#).await.expect("resolved");
        assert!(here.sync().await.success);

        // What lost may not be brought back: by now its name would be too long.
        let device = world.device("dora");
        let loose = device.tab_with(settings(1, &json!({}))).await;
        assert!(loose.sync().await.success);
        loose.update("item", &id, json!({"name": "too long a name"})).await;
        world.pass(1_000);
        there.update("item", &id, json!({"name": "rye"})).await;
        assert!(there.sync().await.success && loose.sync().await.success);
        let lost = loose.engine.conflicts().await.expect("read").remove(0);
        assert_eq!(lost["resolvedBy"], "rule");
        loose.engine.close();
        let next = device.tab_with(settings(2, &strict())).await;
        let error = next.engine.restore_conflict(lost["id"].as_u64().expect("a key"), None).await.expect_err("refused");
        assert_eq!((error.code, &error.details["faults"][0]["rule"]), ("invalid_record", &json!("maxLength")));
    });
}

#[test]
fn a_decision_on_a_record_that_the_server_would_not_have_is_held_against_it_too() {
    tell(async {
        let mut schema = schema(1, &strict());
        schema["entities"]["item"]["unique"] = json!([["email"]]);
        let (world, settings) = (World::declaring(&schema), json!({"schema": schema}));
        let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        let id = here.create("item", json!({"name": "hay", "email": "a"})).await;
        there.create("item", json!({"name": "rye", "email": "a"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let key = here.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("a key");
        let merge = |name: &str| json!({"type": "merge", "mergedData": {"name": name, "email": "b"}}).to_string();
        let error = here.engine.resolve(key, &merge("a long name")).await.expect_err("refused");
        assert_eq!((error.code, &error.details["faults"][0]["path"]), ("invalid_record", &json!("name")));
        here.engine.resolve(key, &merge("oats")).await.expect("resolved");
        assert!(here.sync().await.success);
        assert_eq!((here.get("item", &id).await.expect("there")["name"].clone(), here.queue().await.len()), (json!("oats"), 0));
    });
}
