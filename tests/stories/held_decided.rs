//! The decision on a conflict that another device met: what it comes to is shown before, what was written here and is unsent
//! is a part of it, the trail tells of it, and what it overwrites comes back.

use serde_json::{Value, json};

use crate::held::{Stage, conflicts, open, resolve};
use crate::trail::verify;
use crate::world::{Tab, World, tell};

const STRATEGIES: [&str; 4] = ["client-wins", "server-wins", "last-write-wins", "merge"];

fn key(conflict: &Value) -> u64 {
    conflict["id"].as_u64().expect("a key")
}

#[test]
fn what_the_decision_comes_to_is_shown_before() {
    for (strategy, dose) in STRATEGIES.into_iter().zip([2, 3, 2, 2]) {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.second().await;
            second.update("pet", &stage.id, json!({"age": 5})).await;
            let held = open(&second).await.remove(0);
            let how = json!({"type": strategy});
            let shown = second.engine.preview(key(&held), &how.to_string()).await.expect("shown");
            let record = json!({"name": "Rex", "dose": dose, "age": 5});
            assert_eq!((&shown["id"], &shown["record"]), (&held["id"], &record), "{strategy}");
            let sent = if dose == 2 { json!({"set": {"/dose": 2}}) } else { json!({}) };
            assert_eq!((&shown["operation"]["kind"], &shown["operation"]["data"]), (&json!("update"), &sent), "{strategy}");
            let many = second.engine.resolve_many(&how.to_string(), "{}", true).await.expect("looked at");
            assert_eq!((&many["resolved"], &many["previews"]), (&json!([held["id"]]), &json!([shown])), "each has one");
            assert_eq!(open(&second).await.len(), 1, "nothing is stored");
            resolve(&second, &held, &how).await.expect("resolved");
            let mut there = second.get("pet", &stage.id).await.expect("there");
            there.as_object_mut().expect("a record").retain(|field, _| field != "_sync" && field != "id");
            assert_eq!(there, record, "{strategy}: as was shown");
        });
    }
}

#[test]
fn the_apps_functions_are_asked_about_it() {
    for strategy in ["client-wins", "merge"] {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.world.device("anna").tab_with(json!({"validators": ["pet"]})).await;
            second.function("validator", "pet", |record| {
                let bad = record["dose"] == 2;
                Some(if bad { json!([{"path": "dose", "message": "no such dose"}]) } else { json!(null) })
            });
            assert!(second.sync().await.success);
            let held = open(&second).await.remove(0);
            let how = json!({"type": strategy}).to_string();
            assert_eq!(second.engine.preview(key(&held), &how).await.expect_err("refused").code, "invalid_record");
            let many = second.engine.resolve_many(&how, "{}", false).await.expect("looked at");
            assert_eq!((&many["resolved"], &many["failed"][0]["error"]["code"]), (&json!([]), &json!("invalid_record")));
            let refused = resolve(&second, &held, &json!({"type": strategy})).await.expect_err("refused");
            assert_eq!((refused.code, &refused.details["path"]), ("invalid_record", &json!("dose")));
            assert_eq!((open(&second).await.len(), second.queue().await.len(), stage.dose(&second).await), (1, 0, json!(3)));
            let exactly = json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 5, "age": 4}});
            resolve(&second, &held, &exactly).await.expect("nothing against it");
            assert!(second.sync().await.success);
            assert_eq!((stage.dose(&second).await, stage.held().await), (json!(5), 0));
        });
    }
}

/// The doses that two tabs show, when everything has gone round.
async fn doses(stage: &Stage, second: &Tab) -> (Value, Value) {
    for tab in [second, &stage.ben] {
        assert!(tab.sync().await.success);
    }
    (stage.dose(second).await, stage.dose(&stage.ben).await)
}

/// What was written on the record here stands against what the other device wanted, sent or not: it is shown as what is there,
/// it wins or loses as such, and whoever loses comes back.
#[test]
fn what_was_written_here_is_the_servers_side_of_it() {
    for sent in [false, true] {
        for (strategy, stands, lost) in [("client-wins", 2, 9), ("server-wins", 9, 2), ("last-write-wins", 9, 2), ("merge", 9, 2)] {
            tell(async move {
                let stage = Stage::set().await;
                let second = stage.second().await;
                stage.world.pass(1_000);
                second.update("pet", &stage.id, json!({"dose": 9})).await;
                if sent {
                    assert!(second.sync().await.success);
                }
                let name = format!("{strategy}, sent: {sent}");
                let held = open(&second).await.remove(0);
                assert_eq!((&held["localData"]["dose"], &held["serverData"]["dose"]), (&json!(2), &json!(9)), "{name}");
                let how = json!({"type": strategy});
                let shown = second.engine.preview(key(&held), &how.to_string()).await.expect("shown");
                assert_eq!(shown["record"]["dose"], stands, "{name}");
                resolve(&second, &held, &how).await.expect("resolved");
                assert_eq!(doses(&stage, &second).await, (json!(stands), json!(stands)), "{name}");
                let ended = conflicts(&second).await.remove(0);
                assert_eq!((&ended["localData"]["dose"], &ended["serverData"]["dose"]), (&json!(2), &json!(9)), "{name}: both are kept");
                second.engine.restore_conflict(key(&held), None).await.expect("restored");
                assert_eq!(doses(&stage, &second).await, (json!(lost), json!(lost)), "{name}");
                second.engine.undo_conflict(key(&held), None).await.expect("undone");
                assert_eq!(doses(&stage, &second).await, (json!(stands), json!(stands)), "{name}");
            });
        }
    }
}

/// By the stamps of each field: what was written here before the other device wrote is the earlier one, though it is sent later.
#[test]
fn what_was_written_here_before_loses_to_the_later_write() {
    for strategy in ["last-write-wins", "merge"] {
        tell(async move {
            let world = World::new();
            let (first, second, ben) =
                (world.device("anna").tab().await, world.device("anna").tab().await, world.device("ben").tab().await);
            first.create("pet", json!({"name": "Rex", "dose": 1})).await;
            assert!(first.sync().await.success && ben.sync().await.success);
            let id = ben.all("pet").await[0]["id"].to_string();
            ben.update("pet", &id, json!({"dose": 3, "name": "Tom"})).await;
            assert!(ben.sync().await.success && second.sync().await.success);
            second.update("pet", &id, json!({"dose": 9})).await;
            world.pass(1_000);
            first.update("pet", &id, json!({"dose": 2, "name": "Moritz"})).await;
            assert_eq!(first.up().await.conflicts, 1);
            world.pass(1_000);
            second.update("pet", &id, json!({"name": "Max"})).await;
            assert_eq!(second.engine.fetch_conflicts().await["open"], 1);
            let held = open(&second).await.remove(0);
            let shown = ["name", "dose"].map(|field| (held["localData"][field].clone(), held["serverData"][field].clone()));
            assert_eq!(shown, [(json!("Moritz"), json!("Max")), (json!(2), json!(9))]);
            resolve(&second, &held, &json!({"type": strategy})).await.expect("resolved");
            let there = second.get("pet", &id).await.expect("there");
            assert_eq!((&there["dose"], &there["name"]), (&json!(2), &json!("Max")), "{strategy}");
        });
    }
}

/// The words of the trail about the last operation in the queue.
async fn told(tab: &Tab) -> Vec<Value> {
    let operation = tab.queue().await.pop().expect("it waits")["operationId"].clone();
    let rows = tab.engine.audit_query("", "{}", true).await.expect("read");
    let entries = rows.as_array().expect("rows").iter().flat_map(|row| row["entries"].as_array().expect("entries").clone());
    entries.filter(|entry| entry["operation"] == operation).collect()
}

#[test]
fn the_trail_tells_who_decided_what_and_how() {
    for strategy in STRATEGIES {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.second().await;
            let held = open(&second).await.remove(0);
            resolve(&second, &held, &json!({"type": strategy})).await.expect("resolved");
            let entries = told(&second).await;
            let events: Vec<&Value> = entries.iter().map(|entry| &entry["event"]).collect();
            assert_eq!(events, ["written", "resolved"]);
            assert_eq!((&entries[1]["conflict"], &entries[1]["code"]), (&held["id"], &json!(strategy)));
            assert_eq!((&entries[1]["entity"], entries[1]["record"].to_string()), (&json!("pet"), stage.id.clone()));
            assert_eq!(verify(&second, None).await["firstBad"], Value::Null);
            let found = second.engine.audit_query("", r#"{"event": "resolved"}"#, true).await.expect("found");
            assert_eq!(found.as_array().map(Vec::len), Some(1));
        });
    }
}
