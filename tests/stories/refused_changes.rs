//! A change of a record that takes what another record has: it is decided in every way, from another device too, and whatever
//! becomes of the server.

use fieldsync::protocol::paths;
use serde_json::{Value, json};

use crate::constraints::{everybody_has, met, open, resolve};
use crate::world::{Fault, Tab, World, tell};

/// Both know two owners, `a` and `b`; Anna's third has `c` by then, and Ben's change of the second to the same was refused.
async fn update_met(world: &World) -> (Tab, Tab, Value) {
    let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
    anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
    anna.create("owner", json!({"email": "b", "name": "Bo"})).await;
    assert!(anna.sync().await.success && ben.sync().await.success);
    anna.create("owner", json!({"email": "c", "name": "Cy"})).await;
    assert!(anna.sync().await.success);
    ben.update("owner", "2", json!({"email": "c", "name": "Bob"})).await;
    ben.update("owner", "2", json!({"number": 9})).await;
    let result = ben.up().await;
    assert!(result.success && result.conflicts == 1, "{result:?}");
    let conflict = open(&ben).await.remove(0);
    assert_eq!((&conflict["kind"], &conflict["affectedFields"]), (&json!("constraint"), &json!(["email"])));
    assert_eq!((&conflict["serverData"]["email"], &conflict["localData"]["email"]), (&json!("b"), &json!("c")));
    assert_eq!((&conflict["baseData"]["email"], &conflict["other"]["id"]), (&json!("b"), &json!(3)));
    assert_eq!(ben.get("owner", "2").await.expect("shown")["email"], "c");
    (anna, ben, conflict)
}

#[test]
fn a_server_that_was_restored_hears_what_is_decided() {
    for strategy in [json!({"type": "server-wins"}), json!({"type": "merge", "mergedData": {"email": "d", "name": "Bo"}})] {
        for (update, from_the_beginning) in [(false, false), (false, true), (true, false), (true, true)] {
            let strategy = strategy.clone();
            tell(async move {
                let world = World::with_backups();
                let nothing = world.backup().await;
                let (anna, ben, conflict) = if update {
                    update_met(&world).await
                } else {
                    let (anna, ben, _, conflict) = met(&world).await;
                    (anna, ben, conflict)
                };
                let all = world.backup().await;
                world.restore(if from_the_beginning { &nothing } else { &all });
                for tab in [&anna, &ben, &anna, &ben] {
                    tab.sync().await;
                }
                assert_eq!(open(&ben).await.iter().map(|open| &open["id"]).collect::<Vec<_>>(), [&conflict["id"]], "it is one still");
                assert_eq!(resolve(&ben, &conflict, strategy.clone()).await, Ok(()));
                world.pass(1_000);
                for tab in [&ben, &anna, &ben] {
                    let result = tab.sync().await;
                    assert!(result.success && result.conflicts == 0, "{result:?}");
                }
                let mut shown = Vec::new();
                for tab in [&ben, &anna] {
                    let all = tab.all("owner").await;
                    let mut emails: Vec<String> = all.iter().map(|owner| owner["email"].to_string().replace('"', "")).collect();
                    emails.sort();
                    shown.push(emails.join(" "));
                }
                let expected = match (update, strategy["type"] == "server-wins") {
                    (false, true) => "a",
                    (false, false) => "a d",
                    (true, true) => "a b c",
                    (true, false) => "a c d",
                };
                assert_eq!(shown, [expected, expected], "{update} {from_the_beginning}");
            });
        }
    }
}

#[test]
fn a_change_that_was_refused_is_decided_in_every_way() {
    for (strategy, after, second) in [
        (json!({"type": "server-wins"}), 0, json!(["b", "Bo"])),
        (json!({"type": "merge", "mergedData": {"email": "d", "name": "Bob"}}), 0, json!(["d", "Bob"])),
        (json!({"type": "client-wins"}), 1, json!(["c", "Bob"])),
        (json!({"type": "last-write-wins"}), 1, json!(["c", "Bob"])),
    ] {
        for page_first in [false, true] {
            let (strategy, second) = (strategy.clone(), second.clone());
            tell(async move {
                let world = World::new();
                let (anna, ben, conflict) = update_met(&world).await;
                if page_first {
                    // Somebody changes the same record elsewhere meanwhile.
                    anna.update("owner", "2", json!({"note": "x"})).await;
                    assert!(anna.sync().await.success && ben.sync().await.success);
                    assert_eq!(open(&ben).await.len(), 1);
                }
                let mut met_again = 0;
                let mut conflict = conflict;
                loop {
                    assert_eq!(resolve(&ben, &conflict, strategy.clone()).await, Ok(()));
                    assert!(ben.sync().await.success);
                    let Some(again) = open(&ben).await.pop() else { break };
                    conflict = again;
                    met_again += 1;
                    anna.update("owner", "3", json!({"email": "e"})).await;
                    assert!(anna.sync().await.success);
                }
                assert_eq!(met_again, after, "{strategy}");
                let third = if after == 1 { json!(["e", "Cy"]) } else { json!(["c", "Cy"]) };
                everybody_has([&ben, &anna], json!([["a", "Ada"], second, third])).await;
                assert_eq!(anna.get("owner", "2").await.expect("there")["number"], json!(9), "what was written later is there");
                let held = world.ask("head", "conflicts", json!({"state": "open"})).await;
                assert_eq!(held["conflicts"], json!([]), "the server's copy is closed");
            });
        }
    }
}

#[test]
fn another_device_of_the_user_sees_a_refused_change_and_decides_it() {
    tell(async {
        let world = World::new();
        let (anna, ben, conflict) = update_met(&world).await;
        let second = world.device("ben").tab().await;
        assert!(second.sync().await.success);
        let held = open(&second).await.remove(0);
        assert_eq!((&held["kind"], &held["origin"], &held["localData"]["email"]), (&json!("constraint"), &json!("server"), &json!("c")));
        assert_eq!(held["conflictId"], conflict["conflictId"]);
        let (code, details) = resolve(&second, &held, json!({"type": "client-wins"})).await.expect_err("it is taken");
        assert_eq!((code, &details["id"]), ("unique_violation", &json!(3)));
        assert_eq!(resolve(&second, &held, json!({"type": "merge", "mergedData": {"email": "d", "name": "Bob"}})).await, Ok(()));
        assert!(second.sync().await.success && anna.sync().await.success);
        assert_eq!(anna.get("owner", "2").await.expect("there")["email"], "d");
        // The device that met it decides on what it learns by then.
        assert!(ben.sync().await.success);
        let own = open(&ben).await.remove(0);
        assert_eq!(own["serverData"]["email"], "d");
        assert_eq!(resolve(&ben, &own, json!({"type": "server-wins"})).await, Ok(()));
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["d", "Bob"], ["c", "Cy"]])).await;
    });
}

#[test]
fn a_record_that_was_deleted_and_may_not_come_back_yet_is_kept_whole() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        anna.delete("owner", "1").await;
        anna.create("owner", json!({"email": "a", "name": "Cy"})).await;
        assert!(anna.sync().await.success);
        world.pass(1_000);
        // The later change brings the record back, and its email is another's by now.
        ben.update("owner", "1", json!({"name": "Bo"})).await;
        for _ in 0..2 {
            assert!(ben.sync().await.success);
        }
        let conflict = open(&ben).await.remove(0);
        assert_eq!((&conflict["kind"], &conflict["serverData"], &conflict["other"]["id"]), (&json!("constraint"), &Value::Null, &json!(2)));
        assert_eq!(resolve(&ben, &conflict, json!({"type": "server-wins"})).await, Ok(()));
        assert!(ben.sync().await.success);
        assert_eq!(ben.get("owner", "1").await, None);
        anna.update("owner", "2", json!({"email": "b"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        let key = conflict["id"].as_u64().expect("a key");
        ben.engine.restore_conflict(key, None).await.expect("restored");
        everybody_has([&ben, &anna], json!([["a", "Bo"], ["b", "Cy"]])).await;
        ben.engine.undo_conflict(key, None).await.expect("undone");
        everybody_has([&ben, &anna], json!([["b", "Cy"]])).await;
    });
}

/// What is left of the change is nothing, and that is in conflict again, whatever stands in its place.
#[test]
fn a_server_that_finds_the_same_in_conflict_for_ever_does_not_keep_a_session_going() {
    tell(async {
        let schema = json!({"name": "stories", "version": 1, "entities": {"client": {"conflicts": {"metadata": ["at"]}}, "pet": {}}});
        let world = World::declaring(&schema);
        let tab = world.device("anna").tab_with(json!({"schema": schema})).await;
        tab.create("client", json!({"name": "Ada", "at": 1})).await;
        assert!(tab.sync().await.success);
        tab.update("client", "1", json!({"at": 2})).await;
        let before = world.requests(paths::UPLOAD);
        for _ in 0..50 {
            tab.fault(paths::UPLOAD, Fault::AllGone);
        }
        assert!(tab.up().await.errors.is_empty());
        assert_eq!(world.requests(paths::UPLOAD) - before, 20, "it has its turn in another session");
        let queue = tab.queue().await;
        assert_eq!((queue.len(), &queue[0]["state"], &queue[0]["reason"]["code"]), (1, &json!("failed"), &json!("deferred")));
        assert_eq!(tab.engine.status()["pending"], 1);
    });
}
