//! What a delete that takes others along meets: records that came to it at the server, changes of others, and their unsent work.

use serde_json::{Value, json};

use crate::cascades::{all_in_sync, followed, seen, settled, two};
use crate::records::value;
use crate::world::{Tab, World, tell};

#[test]
fn what_came_to_it_elsewhere_goes_along_at_the_server() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let [farm, ..] = settled(&here, &there).await;
        here.delete("farm", &farm).await;
        // Nobody here knows of this stall, its cow, and of a cow that grazes there.
        let stall = there.create("stall", json!({"farmId": value(&farm)})).await;
        there.create("cow", json!({"stallId": value(&stall), "name": "Ute"})).await;
        there.create("cow", json!({"name": "Gerda", "grazes": [{"farmId": value(&farm)}]})).await;
        all_in_sync([&there, &here, &there]).await;
        all_in_sync([&here, &there, &here]).await;
        let names: Vec<Value> = there.all("cow").await.iter().map(|cow| cow["name"].clone()).collect();
        assert_eq!(names, ["Ida", "Gerda"]);
        assert_eq!((seen(&here).await, &seen(&there).await["stall"]), (seen(&there).await, &json!([])));
        assert_eq!(there.engine.check_references("").await.expect("checked")["ok"], true);
    });
}

/// The one deletes the farm while the other writes on its stall; then the first meets that.
async fn at_odds() -> (World, Tab, Tab, String, Value) {
    let (world, here, there) = two(&followed(), &json!({})).await;
    let [farm, stall, ..] = settled(&here, &there).await;
    world.pass(1_000);
    here.delete("farm", &farm).await;
    there.update("stall", &stall, json!({"name": "north"})).await;
    assert!(there.sync().await.success);
    let result = here.sync().await;
    assert_eq!(result.conflicts, 1, "{result:?}");
    let conflict = here.engine.conflicts().await.expect("read").remove(0);
    assert_eq!((&conflict["kind"], &conflict["operation"]["entity"]), (&json!("delete-update"), &json!("stall")));
    let found = seen(&there).await;
    assert_eq!(
        (found["farm"].as_array().map(Vec::len), found["stall"].as_array().map(Vec::len)),
        (Some(1), Some(1)),
        "nothing went in parts"
    );
    (world, here, there, farm, conflict)
}

#[test]
fn what_somebody_changed_meanwhile_is_asked_for_and_goes_if_that_is_the_decision() {
    tell(async {
        let (_world, here, there, _, conflict) = at_odds().await;
        here.engine.resolve(conflict["id"].as_u64().expect("a key"), r#"{"type":"client-wins"}"#).await.expect("resolved");
        all_in_sync([&here, &there, &here]).await;
        assert_eq!((seen(&here).await, &seen(&there).await["farm"]), (seen(&there).await, &json!([])));
    });
}

#[test]
fn what_is_kept_by_a_decision_keeps_what_it_refers_to() {
    tell(async {
        let (_world, here, there, farm, conflict) = at_odds().await;
        here.engine.resolve(conflict["id"].as_u64().expect("a key"), r#"{"type":"server-wins"}"#).await.expect("resolved");
        here.sync().await;
        assert!(there.sync().await.success);
        let kept = seen(&there).await;
        assert_eq!(
            (&kept["stall"][0]["name"], &kept["farm"][0]["id"]),
            (&json!("north"), &value(&farm)),
            "what was decided stands: {kept}"
        );
        let parked: Vec<Value> = here.queue().await.into_iter().filter(|item| item["state"] == "parked").collect();
        assert_eq!(
            (parked.len(), &parked[0]["entity"], &parked[0]["reason"]["code"]),
            (1, &json!("farm"), &json!("has_dependents")),
            "{parked:?}"
        );
    });
}

#[test]
fn what_another_device_wrote_for_it_and_had_not_sent_is_not_lost() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let [farm, stall, ..] = settled(&here, &there).await;
        there.create("cow", json!({"stallId": value(&stall), "name": "Ute"})).await;
        here.delete("farm", &farm).await;
        assert!(here.sync().await.success);
        assert!(!there.sync().await.success);
        let queue = there.queue().await;
        assert_eq!((queue.len(), &queue[0]["state"], &queue[0]["reason"]["code"]), (1, &json!("parked"), &json!("reference_deleted")));
        assert_eq!(there.all("cow").await.iter().filter(|cow| cow["name"] == "Ute").count(), 1, "it is still shown");
    });
}

#[test]
fn a_restored_delete_takes_no_more_along_than_one_request_holds() {
    tell(async {
        let (world, here, there) = two(&followed(), &json!({})).await;
        let [farm, ..] = settled(&here, &there).await;
        let other = there.create("farm", json!({"name": "Buchen"})).await;
        all_in_sync([&there, &here, &there]).await;
        let other = there.real_id("farm", &other).await;
        here.delete("farm", &other.to_string()).await;
        world.pass(1_000);
        there.update("farm", &other.to_string(), json!({"name": "Birken"})).await;
        all_in_sync([&there, &here, &there]).await;
        let lost = here.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("a key");
        let stalls: Vec<Value> = (0..1_000).map(|_| json!({"kind": "create", "entity": "stall", "data": {"farmId": other}})).collect();
        here.engine.transaction(&Value::from(stalls).to_string()).await.expect("written");
        let refused = here.engine.restore_conflict(lost).await.expect_err("a thousand and the farm itself");
        assert_eq!((refused.code, here.queue().await.len()), ("too_large", 1_000));
        let one = here.all("stall").await.pop().expect("there")["id"].to_string();
        here.delete("stall", &one).await;
        here.engine.restore_conflict(lost).await.expect("a thousand");
        assert_eq!((here.all("stall").await.len(), here.all("farm").await[0]["id"].to_string()), (1, farm));
    });
}
