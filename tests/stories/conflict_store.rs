//! A person who looks through conflicts: finds them, sees what a decision would come to, decides many at once, and reads
//! the history of a record.

use fieldsync::plan::Table;
use fieldsync::store::Store;
use serde_json::{Value, json};

use crate::conflicts::shared;
use crate::raw::{damage, whole};
use crate::world::{Device, Tab, World, tell};

/// So many pets whose dose two devices changed: each is an open conflict here. Their real IDs.
pub async fn open(world: &World, count: usize) -> (Device, Tab, Tab, Vec<String>) {
    let device = world.device("anna");
    let (here, there) = (device.tab().await, world.device("ben").tab().await);
    for number in 0..count {
        here.create("pet", json!({"name": format!("pet {number}"), "dose": 1})).await;
    }
    assert!(here.sync().await.success && there.sync().await.success);
    let ids: Vec<String> = there.all("pet").await.iter().map(|pet| pet["id"].to_string()).collect();
    for id in &ids {
        here.update("pet", id, json!({"dose": 2})).await;
        there.update("pet", id, json!({"dose": 3})).await;
    }
    assert!(there.sync().await.success);
    assert_eq!(here.sync().await.conflicts, count as u64);
    (device, here, there, ids)
}

async fn find(tab: &Tab, filter: Value) -> Vec<Value> {
    tab.engine.find_conflicts(&filter.to_string()).await.expect("found")
}

pub fn ids(conflicts: &[Value]) -> Vec<u64> {
    conflicts.iter().map(|conflict| conflict["id"].as_u64().expect("a number")).collect()
}

#[test]
fn conflicts_are_found_by_what_they_are_about() {
    tell(async {
        let world = World::new();
        let (_, here, _, pets) = open(&world, 3).await;
        let all = here.engine.conflicts().await.expect("read");
        here.engine.resolve(ids(&all)[1], r#"{"type": "server-wins"}"#).await.expect("resolved");
        assert_eq!(ids(&find(&here, json!({"state": "open"})).await), [ids(&all)[0], ids(&all)[2]]);
        assert_eq!(ids(&find(&here, json!({"resolvedBy": "anna"})).await), [ids(&all)[1]]);
        assert_eq!(ids(&find(&here, json!({"order": "desc", "limit": 2})).await), [ids(&all)[2], ids(&all)[1]]);
        let pet: Value = serde_json::from_str(&pets[2]).expect("an ID");
        let of_pet = find(&here, json!({"entity": "pet", "record": pet})).await;
        assert_eq!(ids(&of_pet), [ids(&all)[2]]);
        assert_eq!(here.engine.conflict(ids(&all)[2]).await.expect("read").as_ref(), of_pet.first());
        assert_eq!(here.engine.conflict(7_777).await.expect("read"), None);
        for (filter, path) in [(json!({"state": "done"}), "state"), (json!({"entity": "pett"}), "entity"), (json!([]), "")] {
            let refused = here.engine.find_conflicts(&filter.to_string()).await.expect_err("refused");
            assert_eq!((refused.code, refused.details["path"].as_str().unwrap_or_default()), ("invalid_value", path));
        }
    });
}

#[test]
fn an_operation_is_judged_without_reading_other_conflicts() {
    tell(async {
        let world = World::new();
        let (device, here, _, pets) = open(&world, 60).await;
        let all = here.engine.conflicts().await.expect("read");
        let operation = all[41]["operation"]["id"].as_str().expect("an ID");
        let before = device.store.touched();
        assert_eq!(here.engine.detect(operation).await.expect("judged").as_ref(), all.get(41));
        let rows = device.store.touched() - before;
        assert!(rows < 10, "its conflict and its record, not {rows}");
        assert_eq!(here.engine.detect("unknown").await.expect("judged"), None);
        here.engine.resolve(ids(&all)[41], r#"{"type": "client-wins"}"#).await.expect("resolved");
        assert_eq!(here.engine.detect(operation).await.expect("judged"), None, "what was decided is in no conflict");
        here.update("pet", &pets[41], json!({"name": "Max"})).await;
        let later = here.queue().await.pop().expect("queued");
        assert_eq!(here.engine.detect(later["operationId"].as_str().expect("an ID")).await.expect("judged"), None, "it met none");
    });
}

#[test]
fn a_page_of_a_filter_costs_what_is_on_it() {
    tell(async {
        let world = World::new();
        let (device, here, _, _) = open(&world, 130).await;
        let all = ids(&here.engine.conflicts().await.expect("read"));
        here.engine.resolve(all[60], r#"{"type": "client-wins"}"#).await.expect("resolved");
        for (filter, expected, rows_max) in [
            // Most of what is in either list is meant.
            (json!({"entity": "pet", "state": "open", "limit": 50}), all[..50].to_vec(), 160),
            (json!({"entity": "pet", "state": "open", "limit": 50, "after": all[99]}), all[100..].to_vec(), 160),
            // One list is short.
            (json!({"entity": "pet", "state": "resolved", "limit": 50}), vec![all[60]], 60),
            (json!({"kind": "update-update", "resolvedBy": "anna", "limit": 50, "order": "desc"}), vec![all[60]], 60),
        ] {
            let before = (device.store.touched(), device.store.counts().reads);
            assert_eq!(ids(&find(&here, filter.clone()).await), expected, "{filter}");
            let rows = device.store.touched() - before.0;
            assert!(rows <= rows_max, "{filter}: {rows} rows were read or counted");
            assert_eq!(device.store.counts().reads - before.1, 2, "{filter}: one for the conflicts, one for what is shown of them");
        }
    });
}

#[test]
fn a_record_is_found_by_the_temp_id_that_it_was_made_with() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let temp = here.create("pet", json!({"name": "Rex", "dose": 1})).await;
        assert!(here.sync().await.success && there.sync().await.success);
        here.update("pet", &temp, json!({"dose": 2})).await;
        there.update("pet", &there.all("pet").await[0]["id"].to_string(), json!({"dose": 3})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let temp: Value = serde_json::from_str(&temp).expect("an ID");
        let found = find(&here, json!({"entity": "pet", "record": temp})).await;
        assert_eq!(found.len(), 1);
        assert!(found[0]["recordId"].is_i64(), "by its earlier ID, shown with its present one");
        assert_eq!(find(&here, json!({"record": temp})).await, found, "a temp ID says of which entity it is");
    });
}

#[test]
fn counts_tell_of_each_sort() {
    tell(async {
        let world = World::new();
        let (_, here, _, _) = open(&world, 4).await;
        let all = here.engine.conflicts().await.expect("read");
        here.engine.resolve(ids(&all)[0], r#"{"type": "server-wins"}"#).await.expect("resolved");
        here.engine.resolve(ids(&all)[1], r#"{"type": "client-wins"}"#).await.expect("resolved");
        here.engine.undo_conflict(ids(&all)[1], None).await.expect("undone");
        let expected = json!({
            "total": 4, "open": 2, "resolved": 1, "undone": 1, "byKind": {"update-update": 4}, "byEntity": {"pet": 4},
            "byResolution": {"server-wins": 1, "client-wins": 1}, "oldestOpen": all[2]["detectedAt"],
        });
        assert_eq!(here.engine.count_conflicts("{}").await.expect("counted"), expected);
        // Where no list of entries serves, the conflicts are looked at, and the answer is the same.
        assert_eq!(here.engine.count_conflicts(r#"{"entity": "pet"}"#).await.expect("counted"), expected);
        let none = here.engine.count_conflicts(r#"{"entity": "client"}"#).await.expect("counted");
        assert_eq!((&none["total"], &none["byKind"], &none["oldestOpen"]), (&json!(0), &json!({}), &Value::Null));
        let refused = here.engine.count_conflicts(r#"{"limit": 1}"#).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("limit")));
    });
}

#[test]
fn a_preview_is_what_then_happens_and_stores_nothing() {
    for strategy in [
        json!({"type": "client-wins"}),
        json!({"type": "server-wins"}),
        json!({"type": "last-write-wins"}),
        json!({"type": "merge", "mergedData": {"name": "Max", "dose": 9}}),
    ] {
        tell(async {
            let world = World::new();
            let (device, here, _, pets) = open(&world, 1).await;
            let key = ids(&here.engine.conflicts().await.expect("read"))[0];
            let stored = || Table::ALL.map(|table| device.store.dump(table));
            let before = stored();
            let preview = here.engine.preview(key, &strategy.to_string()).await.expect("a preview");
            assert!(stored() == before, "nothing is stored");
            here.engine.resolve(key, &strategy.to_string()).await.expect("resolved");
            let mut record = here.get("pet", &pets[0]).await.expect("there");
            record.as_object_mut().map(|fields| (fields.remove("id"), fields.remove("_sync")));
            assert_eq!(preview["record"], record, "{strategy}");
            let sent = here.queue().await.remove(0);
            assert_eq!(
                (&preview["operation"]["kind"], &preview["operation"]["data"], &preview["operation"]["recordId"]),
                (&sent["kind"], &sent["payload"], &sent["recordId"]),
                "{strategy}"
            );
            assert_eq!(here.engine.preview(key, &strategy.to_string()).await.expect_err("it is decided").code, "unknown_conflict");
        });
    }
}

#[test]
fn many_are_decided_in_bounded_transactions() {
    tell(async {
        let world = World::new();
        let (device, here, there, pets) = open(&world, 130).await;
        let all = ids(&here.engine.conflicts().await.expect("read"));
        let dry = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", true).await.expect("shown");
        assert_eq!((dry["resolved"].as_array().map(Vec::len), dry["previews"].as_array().map(Vec::len)), (Some(100), Some(100)));
        assert_eq!(dry["previews"][0]["record"], json!({"name": "pet 0", "dose": 2}));
        assert_eq!(find(&here, json!({"state": "open"})).await.len(), 130, "nothing was decided");

        let (commits, reads) = (device.store.counts().commits, device.store.counts().reads);
        let part = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect("decided");
        assert_eq!(part["resolved"], json!(all[..100]));
        assert_eq!((&part["failed"], &part["after"]), (&json!([]), &json!(all[99])));
        assert_eq!(device.store.counts().commits - commits, 1, "a hundred in one transaction");
        assert_eq!(device.store.counts().reads - reads, 1, "after one look for them");
        let rest =
            here.engine.resolve_many(r#"{"type": "client-wins"}"#, &json!({"after": all[99]}).to_string(), false).await.expect("decided");
        assert_eq!(rest["resolved"], json!(all[100..]));
        assert!(here.sync().await.success && there.sync().await.success);
        for pet in pets {
            assert_eq!(there.get("pet", &pet).await.expect("there")["dose"], 2);
        }
        let none = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect("nothing to do");
        assert_eq!((&none["resolved"], &none["after"]), (&json!([]), &Value::Null));
        let refused = here.engine.resolve_many(r#"{"type": "client-wins"}"#, r#"{"state": "resolved"}"#, false).await;
        assert_eq!(refused.expect_err("refused").details["path"], "state");
    });
}

#[test]
fn many_are_decided_for_a_reason_that_the_trail_keeps_of_each() {
    tell(async {
        let world = World::new();
        let (device, _, _, _) = open(&world, 2).await;
        let here = device.tab_with(json!({"audit": {"requireReason": ["resolve"]}})).await;
        let refused = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect_err("why?");
        assert_eq!((refused.code, find(&here, json!({"state": "open"})).await.len()), ("reason_required", 2));
        let why = r#"{"type": "client-wins", "reason": "the vet said so"}"#;
        let done = here.engine.resolve_many(why, "{}", false).await.expect("decided");
        assert_eq!(done["resolved"].as_array().map(Vec::len), Some(2));
        for conflict in here.engine.conflicts().await.expect("read") {
            let about = json!({"operation": conflict["operation"]["id"], "event": "superseded"}).to_string();
            let told = here.engine.audit_query("", &about, true).await.expect("told");
            assert_eq!(told[0]["reason"], "the vet said so");
        }
    });
}

#[test]
fn conflicts_of_one_group_are_decided_one_after_another() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for name in ["a", "b"] {
            here.create("pet", json!({"name": name, "dose": 1})).await;
        }
        assert!(here.sync().await.success && there.sync().await.success);
        let pets: Vec<Value> = there.all("pet").await.iter().map(|pet| pet["id"].clone()).collect();
        for pet in &pets {
            there.update("pet", &pet.to_string(), json!({"dose": 3})).await;
        }
        assert!(there.sync().await.success);
        let writes: Vec<Value> =
            pets.iter().map(|pet| json!({"kind": "update", "entity": "pet", "id": pet, "set": {"dose": 2}, "unset": []})).collect();
        here.engine.transaction(&Value::Array(writes).to_string()).await.expect("written");
        // The page judges both members before either was sent.
        assert!(here.down().await.success);
        assert_eq!(find(&here, json!({"state": "open"})).await.len(), 2);
        let done = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect("decided");
        assert_eq!((done["resolved"].as_array().map(Vec::len), &done["failed"]), (Some(2), &json!([])));
        assert!(here.sync().await.success && there.sync().await.success);
        assert!(here.queue().await.is_empty());
        for pet in &pets {
            assert_eq!(there.get("pet", &pet.to_string()).await.expect("there")["dose"], 2, "both took effect");
        }
    });
}

#[test]
fn what_cannot_be_decided_so_is_told_of_each_and_the_others_are_decided() {
    tell(async {
        let world = World::new();
        let (first, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for name in ["Rex", "Max"] {
            ben.create("pet", json!({"name": name, "dose": 1})).await;
        }
        assert!(ben.sync().await.success && first.sync().await.success);
        for id in ["1", "2"] {
            ben.update("pet", id, json!({"dose": 3})).await;
        }
        assert!(ben.sync().await.success);
        first.update("pet", "1", json!({"dose": 2})).await;
        let writes =
            json!([{"kind": "update", "entity": "pet", "id": 2, "set": {"dose": 2}}, {"kind": "create", "entity": "client", "data": {}}]);
        first.engine.transaction(&writes.to_string()).await.expect("written");
        assert_eq!(first.up().await.conflicts, 2);
        // Another device has only one of the two writes of the transaction.
        let second = world.device("anna").tab().await;
        assert!(second.sync().await.success);
        let done = second.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect("an answer");
        assert_eq!(done["resolved"].as_array().map(Vec::len), Some(1));
        let failed = &done["failed"][0];
        assert_eq!(failed["error"]["code"], "in_transaction");
        let left = find(&second, json!({"state": "open"})).await;
        assert_eq!((left.len(), &left[0]["recordId"], &left[0]["id"]), (1, &json!(2), &failed["id"]), "it is open still");
    });
}

#[test]
fn the_content_of_one_record_is_not_written_into_many() {
    tell(async {
        let world = World::new();
        let (_, here, _, ids) = open(&world, 2).await;
        for how in ["merge", "manual"] {
            for dry in [true, false] {
                let strategy = json!({"type": how, "mergedData": {"name": "Rex", "dose": 9}}).to_string();
                let refused = here.engine.resolve_many(&strategy, "{}", dry).await.expect_err("refused");
                assert_eq!((refused.code, &refused.details), ("invalid_value", &json!({"path": "mergedData"})));
            }
        }
        assert_eq!(find(&here, json!({"state": "open"})).await.len(), ids.len());
        let merged = here.engine.resolve_many(r#"{"type": "merge"}"#, "{}", false).await.expect("without it");
        assert_eq!(merged["resolved"].as_array().map(Vec::len), Some(ids.len()));
    });
}

#[test]
fn the_history_of_a_record_tells_every_step() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex", "dose": 1})).await;
        let found_at = world.now();
        here.update("pet", &id, json!({"dose": 2})).await;
        there.update("pet", &id, json!({"dose": 3})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        for dose in [4, 5] {
            world.pass(1_000);
            there.update("pet", &id, json!({"dose": dose})).await;
            assert!(there.sync().await.success && here.sync().await.success);
        }
        let renewed_at = world.now();
        world.pass(1_000);
        let key = ids(&here.engine.conflicts().await.expect("read"))[0];
        here.engine.resolve(key, r#"{"type": "client-wins"}"#).await.expect("resolved");
        let by = here.queue().await[0]["operationId"].clone();
        let record: Value = serde_json::from_str(&id).expect("an ID");
        let history = find(&here, json!({"entity": "pet", "record": record})).await;
        let steps = &history[0]["steps"];
        assert_eq!((&steps[0]["step"], &steps[0]["at"]), (&json!("found"), &json!(found_at)));
        assert!(steps[0]["operationId"].is_string());
        assert_eq!(steps[1], json!({"step": "renewed", "at": renewed_at}), "twice in a row is one step");
        assert_eq!(steps[2], json!({"step": "resolved", "at": world.now(), "by": "anna", "how": "client-wins", "operationId": by}));
        assert_eq!(steps.as_array().map(Vec::len), Some(3));
    });
}

#[test]
fn a_conflict_that_cannot_be_read_hides_no_other() {
    tell(async {
        let world = World::new();
        let (device, here, there, pets) = open(&world, 3).await;
        let all = here.engine.conflicts().await.expect("read");
        let first = whole(&device.store, Table::Conflicts).await.remove(0);
        damage(&device.store, Table::Conflicts, vec![first]).await;
        assert_eq!(ids(&here.engine.conflicts().await.expect("read")), ids(&all)[1..]);
        let by = |filter: Value| find(&here, filter);
        assert_eq!(ids(&by(json!({"limit": 1})).await), ids(&all)[1..2]);
        assert_eq!(ids(&by(json!({"state": "open", "entity": "pet", "limit": 2})).await), ids(&all)[1..]);
        assert_eq!(ids(&by(json!({"order": "desc", "limit": 3})).await), [ids(&all)[2], ids(&all)[1]]);
        for filter in ["{}", r#"{"state": "open"}"#] {
            let counts = here.engine.count_conflicts(filter).await.expect("counted");
            assert_eq!((&counts["open"], &counts["oldestOpen"]), (&json!(2), &all[1]["detectedAt"]), "{filter}");
        }
        let step = here.engine.check_integrity(r#"{"phase": 5}"#).await.expect("checked");
        assert_eq!((&step["faults"][0]["code"], &step["faults"][0]["key"]), (&json!("unreadable"), &all[0]["id"]));
        // News of its record come, and the others are decided.
        there.update("pet", &pets[0], json!({"dose": 4})).await;
        assert!(there.sync().await.success);
        let result = here.engine.sync(fieldsync::engine::Direction::Both, None).await;
        assert_eq!((result.success, result.errors), (true, Vec::new()));
        let done = here.engine.resolve_many(r#"{"type": "server-wins"}"#, "{}", false).await.expect("resolved");
        assert_eq!(done["resolved"], json!(ids(&all)[1..]));
        // What waits for it can be given up: nobody can decide it.
        let queue = here.queue().await;
        let waits = queue.iter().find(|item| item["state"] == "conflict").expect("in conflict");
        here.engine.discard(waits["operationId"].as_str().expect("a text"), None).await.expect("given up");
        here.engine.sync(fieldsync::engine::Direction::Both, None).await;
        assert_eq!(here.get("pet", &pets[0]).await.expect("there")["dose"], 4);
        assert_eq!(here.queue().await.len(), 0);
    });
}
