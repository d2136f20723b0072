//! What lost a conflict comes back, and what was decided is taken back: by ordinary writes, seen by everybody.

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::conflicts::shared;
use crate::records::value;
use crate::world::{Tab, World, tell};

/// Both send and fetch until nothing is left to do; what each shows of the record, without its marks.
async fn settled(tabs: [&Tab; 2], id: &str) -> [Value; 2] {
    for _ in 0..3 {
        for tab in tabs {
            let result = tab.sync().await;
            assert!(result.success, "{result:?}");
        }
    }
    let mut shown = Vec::new();
    for tab in tabs {
        assert!(tab.queue().await.is_empty(), "{:?}", tab.queue().await);
        shown.push(plain(tab.get("pet", id).await));
    }
    shown.try_into().expect("two")
}

/// A record without what belongs to FieldSync.
pub fn plain(record: Option<Value>) -> Value {
    let mut record = record.unwrap_or_default();
    if let Some(fields) = record.as_object_mut() {
        fields.remove("_sync");
        fields.remove("id");
    }
    record
}

fn both(record: Value) -> [Value; 2] {
    [record.clone(), record]
}

/// The one conflict that there is, and its key.
pub async fn only(tab: &Tab) -> (u64, Value) {
    let mut all = tab.engine.conflicts().await.expect("read");
    assert_eq!(all.len(), 1, "{all:?}");
    let conflict = all.remove(0);
    (conflict["id"].as_u64().expect("a number"), conflict)
}

fn steps(conflict: &Value) -> Vec<&str> {
    conflict["steps"].as_array().expect("steps").iter().map(|step| step["step"].as_str().expect("a name")).collect()
}

/// One edit or delete here, one there, and which of them comes later; the rule of the schema decides.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    here: Option<&'static str>,
    there: Option<&'static str>,
    here_later: bool,
    kind: &'static str,
}

const MEETINGS: [Meeting; 6] = [
    Meeting { here: Some("here"), there: Some("there"), here_later: true, kind: "update-update" },
    Meeting { here: Some("here"), there: Some("there"), here_later: false, kind: "update-update" },
    Meeting { here: Some("here"), there: None, here_later: true, kind: "update-delete" },
    Meeting { here: Some("here"), there: None, here_later: false, kind: "update-delete" },
    Meeting { here: None, there: Some("there"), here_later: true, kind: "delete-update" },
    Meeting { here: None, there: Some("there"), here_later: false, kind: "delete-update" },
];

async fn changed(tab: &Tab, id: &str, name: Option<&str>) {
    match name {
        Some(name) => {
            tab.update("pet", id, json!({"name": name})).await;
        }
        None => tab.delete("pet", id).await,
    }
}

#[test]
fn a_loser_can_be_read_and_restored_and_the_restore_undone() {
    for meeting in MEETINGS {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world, json!({"name": "Rex", "age": 1})).await;
            world.pass(1_000);
            let Meeting { here: mine, there: theirs, here_later, kind } = meeting;
            if here_later {
                changed(&there, &id, theirs).await;
                world.pass(1_000);
                changed(&here, &id, mine).await;
            } else {
                changed(&here, &id, mine).await;
                world.pass(1_000);
                changed(&there, &id, theirs).await;
            }
            assert!(there.sync().await.success);
            let record = |name: Option<&str>| name.map_or(Value::Null, |name| json!({"name": name, "age": 1}));
            let (winner, loser) = if here_later { (record(mine), record(theirs)) } else { (record(theirs), record(mine)) };
            assert_eq!(settled([&here, &there], &id).await, both(winner.clone()), "{meeting:?}");

            // The loser can be read.
            let (key, conflict) = only(&here).await;
            assert_eq!((&conflict["kind"], &conflict["state"]), (&json!(kind), &json!("resolved")));
            let kept = if here_later { &conflict["serverData"] } else { &conflict["localData"] };
            assert_eq!(plain(Some(kept.clone())), loser, "{meeting:?}");

            // It is restored, as an ordinary write.
            let answer = here.engine.restore_conflict(key, None).await.expect("restored");
            assert_eq!(answer["kept"], json!([]));
            assert_eq!(here.queue().await[0]["operationId"], answer["operationId"], "it waits to be sent as any other");
            assert_eq!(plain(here.get("pet", &id).await), loser, "it shows here at once");
            assert_eq!(settled([&here, &there], &id).await, both(loser.clone()), "restored: {meeting:?}");
            let (_, conflict) = only(&here).await;
            assert_eq!((steps(&conflict), &conflict["state"]), (vec!["found", "resolved", "restored"], &json!("resolved")));
            let twice = here.engine.restore_conflict(key, None).await.expect_err("it is back already");
            assert_eq!(twice.code, "nothing_to_restore");

            // And the restore is undone, after it was sent.
            let answer = here.engine.undo_conflict(key, None).await.expect("undone");
            assert_eq!(answer["kept"], json!([]));
            assert_eq!(settled([&here, &there], &id).await, both(winner), "undone: {meeting:?}");
            let (_, conflict) = only(&here).await;
            assert_eq!((steps(&conflict), &conflict["state"]), (vec!["found", "resolved", "restored", "undone"], &json!("resolved")));
            assert_eq!(conflict["steps"][3]["operationId"], answer["operationId"]);
            assert_eq!((&conflict["steps"][3]["by"], &conflict["steps"][3]["how"]), (&json!("anna"), &json!("restore")));
            let undone = here.engine.undo_conflict(key, None).await.expect_err("an undo is not undone");
            assert_eq!(undone.code, "nothing_to_undo");
        });
    }
}

#[test]
fn both_are_named_in_the_audit_trail_with_the_conflict() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (here, there) = (device.tab().await, world.device("ben").tab().await);
        here.create("pet", json!({"name": "Rex"})).await;
        assert!(here.sync().await.success && there.sync().await.success);
        let id = there.all("pet").await[0]["id"].to_string();
        here.update("pet", &id, json!({"name": "here"})).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "there"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let (key, _) = only(&here).await;
        let restored = here.engine.restore_conflict(key, None).await.expect("restored");
        let undone = here.engine.undo_conflict(key, None).await.expect("undone");
        let trail = device.store.dump(Table::Audit);
        let entries = |event: &str| -> Vec<Value> {
            let rows = trail.iter().map(|(_, text)| serde_json::from_str::<Value>(text).expect("JSON"));
            rows.flat_map(|row| row["entries"].as_array().cloned().unwrap_or_default()).filter(|entry| entry["event"] == event).collect()
        };
        for (event, answer) in [("restored", restored), ("undone", undone)] {
            let [entry] = &entries(event)[..] else { panic!("one {event}: {trail:?}") };
            assert_eq!((&entry["conflict"], &entry["operation"]), (&json!(key), &answer["operationId"]));
        }
    });
}

#[test]
fn a_resolution_is_undone_whether_it_was_sent_or_not() {
    for (strategy, undone_dose, sent) in [
        (json!({"type": "client-wins"}), 3, true),
        (json!({"type": "client-wins"}), 3, false),
        (json!({"type": "server-wins"}), 2, true),
        (json!({"type": "server-wins"}), 2, false),
        (json!({"type": "merge", "mergedData": {"dose": 5, "name": "Rex"}}), 2, true),
    ] {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world, json!({"dose": 1, "name": "Rex"})).await;
            here.update("pet", &id, json!({"dose": 2})).await;
            there.update("pet", &id, json!({"dose": 3})).await;
            there.sync().await;
            here.sync().await;
            let (key, conflict) = only(&here).await;
            assert_eq!(steps(&conflict), ["found"]);
            for (refused, code) in [
                (here.engine.undo_conflict(key, None).await, "nothing_to_undo"),
                (here.engine.restore_conflict(key, None).await, "nothing_to_restore"),
            ] {
                assert_eq!(refused.expect_err("it is open").code, code);
            }
            world.pass(1_000);
            here.engine.resolve(key, &strategy.to_string()).await.expect("resolved");
            if sent {
                settled([&here, &there], &id).await;
            }
            world.pass(1_000);
            let answer = here.engine.undo_conflict(key, None).await.expect("undone");
            assert_eq!(answer["kept"], json!([]));
            let expected = json!({"dose": undone_dose, "name": "Rex"});
            assert_eq!(settled([&here, &there], &id).await, both(expected), "{strategy}, sent: {sent}");
            let (_, conflict) = only(&here).await;
            assert_eq!((steps(&conflict), &conflict["state"]), (vec!["found", "resolved", "undone"], &json!("undone")));
            assert_eq!(conflict["steps"][2]["how"], "resolution");
            assert_eq!(here.engine.undo_conflict(key, None).await.expect_err("once").code, "nothing_to_undo");
            assert_eq!(here.engine.restore_conflict(key, None).await.expect_err("it is back").code, "nothing_to_restore");
        });
    }
}

#[test]
fn an_undo_leaves_alone_what_was_written_since_and_says_so() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex", "colour": "brown"})).await;
        here.update("pet", &id, json!({"name": "here", "colour": "black"})).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "there", "colour": "white"})).await;
        assert!(there.sync().await.success);
        settled([&here, &there], &id).await;
        let (key, _) = only(&here).await;
        here.engine.restore_conflict(key, None).await.expect("restored");
        assert_eq!(settled([&here, &there], &id).await, both(json!({"name": "here", "colour": "black"})));
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "later"})).await;
        settled([&there, &here], &id).await;
        let answer = here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(answer["kept"], json!(["name"]));
        assert_eq!(settled([&here, &there], &id).await, both(json!({"name": "later", "colour": "white"})));
        let (_, conflict) = only(&here).await;
        assert_eq!(conflict["steps"][3]["kept"], json!(["name"]));
    });
}

#[test]
fn a_record_that_came_back_and_was_written_since_is_not_deleted_by_an_undo() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
        here.update("pet", &id, json!({"name": "here"})).await;
        world.pass(1_000);
        there.delete("pet", &id).await;
        assert!(there.sync().await.success);
        settled([&here, &there], &id).await;
        let (key, _) = only(&here).await;
        here.engine.restore_conflict(key, None).await.expect("restored");
        settled([&here, &there], &id).await;
        there.update("pet", &id, json!({"age": 2})).await;
        settled([&there, &here], &id).await;
        let answer = here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!((&answer["kept"], &answer["operationId"]), (&json!(["*"]), &Value::Null));
        assert_eq!(settled([&here, &there], &id).await, both(json!({"name": "here", "age": 2})));
    });
}

#[test]
fn a_restore_is_judged_as_any_write() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
        here.update("pet", &id, json!({"name": "here"})).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "there"})).await;
        assert!(there.sync().await.success);
        settled([&here, &there], &id).await;
        let (key, _) = only(&here).await;
        here.engine.restore_conflict(key, None).await.expect("restored");
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "later"})).await;
        assert!(there.sync().await.success);
        assert_eq!(settled([&here, &there], &id).await, both(json!({"name": "later"})), "the later write stands");
        assert_eq!(here.engine.conflicts().await.expect("read").len(), 2, "and the restore that lost is a conflict of its own");
    });
}

#[test]
fn a_record_that_others_need_is_not_deleted_by_a_restore() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
        here.delete("pet", &id).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "there"})).await;
        assert!(there.sync().await.success);
        settled([&here, &there], &id).await;
        let pet: Value = serde_json::from_str(&id).expect("an ID");
        here.create("appointment", json!({"petId": pet})).await;
        let (key, before) = only(&here).await;
        assert_eq!(here.engine.restore_conflict(key, None).await.expect_err("refused").code, "has_dependents");
        assert_eq!(only(&here).await.1, before, "and nothing was stored");
        assert_eq!(here.engine.undo_conflict(99, None).await.expect_err("refused").code, "unknown_conflict");
    });
}

#[test]
fn what_comes_back_refers_to_records_by_the_ids_that_they_have_now() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
        let other = there.create("client", json!({"name": "other"})).await;
        let owner = here.create("client", json!({"name": "owner"})).await;
        here.update("pet", &id, json!({"clientId": value(&owner)})).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"clientId": value(&other)})).await;
        assert!(there.sync().await.success);
        // The page is judged before the owner has an ID of the server.
        assert!(here.down().await.success);
        let (key, _) = only(&here).await;
        let [_, shown] = settled([&there, &here], &id).await;
        assert_eq!(shown["clientId"], here.real_id("client", &other_id(&here, "other").await).await);
        here.engine.restore_conflict(key, None).await.expect("restored");
        let [shown, _] = settled([&here, &there], &id).await;
        let owner = here.real_id("client", &owner).await;
        assert_eq!(shown["clientId"], owner);
        let answer = here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(answer["kept"], json!([]), "nobody wrote it since");
        let [shown, _] = settled([&here, &there], &id).await;
        assert!(shown["clientId"] != owner);
    });
}

async fn other_id(tab: &Tab, name: &str) -> String {
    let all = tab.all("client").await;
    all.iter().find(|client| client["name"] == name).expect("there")["id"].to_string()
}
