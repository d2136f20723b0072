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

/// What waits, as `delete stall pending`.
async fn waiting(tab: &Tab) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tab.queue().await.iter().map(|item| format!("{} {} {}", word(&item["kind"]), word(&item["entity"]), word(&item["state"]))).collect()
}

/// The stall stays by a decision, so the farm cannot go: its delete is parked.
async fn kept() -> (World, Tab, Tab, String, String) {
    let (world, here, there, _, conflict) = at_odds().await;
    here.engine.resolve(conflict["id"].as_u64().expect("a key"), r#"{"type":"server-wins"}"#).await.expect("resolved");
    assert!(!here.sync().await.success);
    let queue = here.queue().await;
    let parked = queue.iter().find(|item| item["state"] == "parked").expect("parked");
    (world, here, there, conflict["recordId"].to_string(), parked["operationId"].as_str().expect("an ID").to_owned())
}

/// Both have nothing of the farm, and nobody waits for anything.
async fn all_gone(here: &Tab, there: &Tab) {
    all_in_sync([here, there, here]).await;
    assert_eq!((waiting(here).await, seen(here).await), (Vec::new(), seen(there).await));
    let left = json!({"farm": [], "stall": [], "paper": [],
        "cow": [{"id": 2, "dam": null, "name": "Ida", "grazes": [{"farmId": null, "ha": 2}]}]});
    assert_eq!(seen(here).await, left);
}

/// The conflicts that the server has and that nothing closed.
async fn open_there(world: &World) -> usize {
    let all = world.ask("cleo", fieldsync::protocol::paths::CONFLICTS, json!({})).await;
    all["conflicts"].as_array().expect("a list").iter().filter(|conflict| conflict["closedBy"].is_null()).count()
}

#[test]
fn what_was_kept_and_deleted_since_goes_with_the_delete_that_is_sent_again() {
    for change in ["nothing", "an update", "a cow that came to it"] {
        tell(async {
            let (world, here, there, stall, parked) = kept().await;
            match change {
                "an update" => drop(here.update("stall", &stall, json!({"name": "south"})).await),
                "a cow that came to it" => {
                    there.create("cow", json!({"stallId": value(&stall), "name": "Ute"})).await;
                    assert!(there.sync().await.success && here.down().await.success);
                }
                _ => {}
            }
            here.delete("stall", &stall).await;
            here.engine.retry(&parked, None).await.expect("sent again");
            assert!(waiting(&here).await.iter().all(|item| item.ends_with("pending")), "{change}: {:?}", waiting(&here).await);
            all_gone(&here, &there).await;
            assert_eq!(open_there(&world).await, 0, "{change}");
        });
    }
}

#[test]
fn what_was_kept_and_refers_to_another_since_lets_the_delete_go_that_is_sent_again() {
    tell(async {
        let (world, here, there, stall, parked) = kept().await;
        let other = value(&here.create("farm", json!({"name": "Buchen"})).await);
        here.update("stall", &stall, json!({"farmId": other})).await;
        here.update("stall", &stall, json!({"name": "south"})).await;
        here.engine.retry(&parked, None).await.expect("sent again");
        all_in_sync([&here, &there, &here]).await;
        let left = seen(&here).await;
        assert_eq!((waiting(&here).await, &left), (Vec::new(), &seen(&there).await));
        let farms: Vec<&Value> = left["farm"].as_array().expect("a list").iter().map(|farm| &farm["name"]).collect();
        assert_eq!((farms, &left["stall"][0]["name"]), (vec![&json!("Buchen")], &json!("south")), "{left}");
        assert_eq!(open_there(&world).await, 0);
    });
}

#[test]
fn a_delete_that_was_given_up_and_is_written_again_takes_along_what_was_kept() {
    tell(async {
        let (_world, here, there, stall, parked) = kept().await;
        here.engine.discard(&parked, None).await.expect("given up");
        assert_eq!(waiting(&here).await, [] as [String; 0]);
        let back = seen(&here).await;
        assert_eq!((&back["stall"][0]["name"], back["cow"].as_array().map(Vec::len)), (&json!("north"), Some(2)), "{back}");
        assert!(here.sync().await.success);
        let farm = here.get("stall", &stall).await.expect("there")["farmId"].to_string();
        here.delete("farm", &farm).await;
        all_gone(&here, &there).await;
    });
}

#[test]
fn what_came_to_it_before_the_decision_goes_along_with_it() {
    tell(async {
        let (world, here, there, _, conflict) = at_odds().await;
        there.create("cow", json!({"stallId": conflict["recordId"], "name": "Ute"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        here.engine.resolve(conflict["id"].as_u64().expect("a key"), r#"{"type":"client-wins"}"#).await.expect("resolved");
        all_gone(&here, &there).await;
        assert_eq!(open_there(&world).await, 0);
    });
}

/// Somebody writes on the cow, and the farm is deleted elsewhere, with that cow. Gives what the writer has then.
async fn edited(later: bool) -> (Tab, Tab, Value) {
    let (world, here, there) = two(&followed(), &json!({})).await;
    let [farm, _, cow, _] = settled(&here, &there).await;
    if later {
        here.delete("farm", &farm).await;
        world.pass(1_000);
    }
    there.update("cow", &cow, json!({"name": "Else"})).await;
    world.pass(1_000);
    if !later {
        here.delete("farm", &farm).await;
    }
    assert!(here.sync().await.success);
    there.sync().await;
    let conflict = there.engine.conflicts().await.expect("read").remove(0);
    assert_eq!((&conflict["kind"], &conflict["localData"]["name"]), (&json!("update-delete"), &json!("Else")), "{conflict}");
    (here, there, conflict)
}

#[test]
fn an_earlier_edit_of_what_went_along_loses_and_is_kept() {
    tell(async {
        let (here, there, conflict) = edited(false).await;
        assert_eq!(conflict["resolution"], "server-wins");
        all_in_sync([&there, &here, &there]).await;
        assert_eq!((seen(&there).await, waiting(&there).await), (seen(&here).await, Vec::new()));
    });
}

#[test]
fn a_later_edit_of_what_went_along_wins_and_waits_for_a_stall_that_is_there() {
    tell(async {
        let (here, there, conflict) = edited(true).await;
        assert_eq!(conflict["resolution"], "client-wins");
        let parked = there.queue().await.remove(0);
        assert_eq!((&parked["state"], &parked["reason"]["code"]), (&json!("parked"), &json!("reference_deleted")), "{parked}");
        let other = there.create("stall", json!({})).await;
        let edit = json!({"set": {"stallId": value(&other)}}).to_string();
        there.engine.retry(parked["operationId"].as_str().expect("an ID"), Some(&edit)).await.expect("put right");
        all_in_sync([&there, &here, &there]).await;
        assert_eq!((seen(&there).await, waiting(&there).await), (seen(&here).await, Vec::new()));
        assert_eq!(seen(&here).await["cow"][0]["name"], "Else");
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
        let refused = here.engine.restore_conflict(lost, None).await.expect_err("a thousand and the farm itself");
        assert_eq!((refused.code, here.queue().await.len()), ("too_large", 1_000));
        let one = here.all("stall").await.pop().expect("there")["id"].to_string();
        here.delete("stall", &one).await;
        here.engine.restore_conflict(lost, None).await.expect("a thousand");
        assert_eq!((here.all("stall").await.len(), here.all("farm").await[0]["id"].to_string()), (1, farm));
    });
}
