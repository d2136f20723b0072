//! A conflict that another device met over a record that is deleted: a device that never saw the record is shown it whole, as
//! the refused change would have it, and brings it back.

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::held::{Stage, conflicts, open, resolve};
use crate::raw;
use crate::world::{Tab, tell};

/// Ben deletes what Anna's first device has changed.
async fn deleted() -> Stage {
    let stage = Stage::set().await;
    stage.ben.delete("pet", &stage.id).await;
    assert!(stage.ben.sync().await.success);
    stage
}

/// The record as both show it, when everything has gone round.
async fn shown(stage: &Stage, second: &Tab) -> Value {
    let mut all = Vec::new();
    for tab in [second, &stage.ben] {
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        let mut pet = tab.get("pet", &stage.id).await.unwrap_or_default();
        pet.as_object_mut().into_iter().for_each(|pet| pet.retain(|field, _| field != "_sync" && field != "id"));
        all.push(pet);
    }
    assert_eq!(all[0], all[1]);
    all.remove(0)
}

fn whole(dose: u64) -> Value {
    json!({"name": "Rex", "dose": dose, "age": 4})
}

#[test]
fn who_never_saw_the_record_is_shown_it_whole_and_decides() {
    let exactly = json!({"type": "merge", "mergedData": {"name": "Rex"}});
    for (strategy, stands, lost) in [
        (json!({"type": "server-wins"}), Value::Null, whole(2)),
        (json!({"type": "client-wins"}), whole(2), Value::Null),
        // The deletion is the later one.
        (json!({"type": "last-write-wins"}), Value::Null, whole(2)),
        (exactly, json!({"name": "Rex"}), whole(2)),
    ] {
        tell(async move {
            let stage = deleted().await;
            let second = stage.second().await;
            let held = open(&second).await.remove(0);
            assert_eq!((&held["baseData"], &held["serverData"]), (&Value::Null, &Value::Null));
            assert_eq!((&held["localData"], &held["affectedFields"]), (&whole(2), &json!(["*"])));
            let key = held["id"].as_u64().expect("a key");
            let preview = second.engine.preview(key, &strategy.to_string()).await.expect("shown");
            assert_eq!(preview["record"], stands, "{strategy}");
            resolve(&second, &held, &strategy).await.expect("resolved");
            assert_eq!(shown(&stage, &second).await, stands, "{strategy}");
            assert_eq!((second.queue().await.len(), stage.held().await), (0, 0), "{strategy}");
            assert_eq!(conflicts(&second).await[0]["localData"], whole(2), "the loser can be read");
            let back = second.engine.restore_conflict(key, None).await.expect("restored");
            assert_ne!(back["operationId"], Value::Null, "{strategy}");
            assert_eq!(shown(&stage, &second).await, lost, "{strategy}");
            second.engine.undo_conflict(key, None).await.expect("undone");
            assert_eq!(shown(&stage, &second).await, stands, "{strategy}");
        });
    }
}

#[test]
fn who_deletes_it_here_meanwhile_can_have_it_back() {
    for (how, stands, lost) in [("server-wins", Value::Null, whole(2)), ("client-wins", whole(2), Value::Null)] {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.second().await;
            second.delete("pet", &stage.id).await;
            let held = open(&second).await.remove(0);
            assert_eq!((&held["localData"], &held["serverData"]), (&whole(2), &Value::Null));
            resolve(&second, &held, &json!({"type": how})).await.expect("resolved");
            assert_eq!((shown(&stage, &second).await, stage.held().await), (stands, 0), "{how}");
            second.engine.restore_conflict(held["id"].as_u64().expect("a key"), None).await.expect("restored");
            assert_eq!(shown(&stage, &second).await, lost, "{how}");
        });
    }
}

/// As a server tells of it that keeps nothing of what it deletes.
#[test]
fn where_nobody_knows_the_record_nothing_is_made_up() {
    tell(async {
        let stage = deleted().await;
        let device = stage.world.device("anna");
        let second = device.tab().await;
        assert!(second.sync().await.success);
        let rows = raw::whole(&device.store, Table::Conflicts).await;
        raw::change(&device.store, Table::Conflicts, rows, |row| {
            let mut conflict: Value = serde_json::from_str(&row.text).expect("a conflict");
            conflict["local"] = Value::Null;
            conflict.to_string()
        })
        .await;
        let held = open(&second).await.remove(0);
        assert_eq!((&held["localData"], &held["serverData"]), (&Value::Null, &Value::Null));
        let refused = resolve(&second, &held, &json!({"type": "client-wins"})).await.expect_err("only a part is known");
        assert_eq!(refused.code, "unknown_record");
        resolve(&second, &held, &json!({"type": "server-wins"})).await.expect("resolved");
        assert_eq!((shown(&stage, &second).await, stage.held().await), (Value::Null, 0));
        let key = held["id"].as_u64().expect("a key");
        let nothing = second.engine.restore_conflict(key, None).await.expect_err("nothing is known that lost");
        assert_eq!(nothing.code, "nothing_to_restore");
    });
}
