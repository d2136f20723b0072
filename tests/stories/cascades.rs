//! A delete and what refers to the record: it stands in the way, goes too, or refers to nothing, as it is declared; here
//! without a network, and at the server what only the server knows.

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::records::value;
use crate::world::{Tab, World, tell};

/// A farm with stalls, cows in them, and papers of the cows.
fn schema(of_animals: &Value) -> Value {
    json!({"name": "farms", "version": 1, "entities": {
        "farm": {},
        "stall": {"references": {"farmId": "farm"}, "onDelete": {"farmId": "cascade"}, "conflicts": {"default": "manual"}},
        "cow": {"references": {"stallId": "stall", "dam": "cow", "grazes[].farmId": "farm"}, "onDelete": of_animals},
        "paper": {"references": {"cowId": "cow"}}
    }})
}

fn followed() -> Value {
    schema(&json!({"stallId": "cascade", "dam": "set-null", "grazes[].farmId": "set-null"}))
}

/// Two devices over one server with this schema.
async fn two(schema: &Value, more: &Value) -> (World, Tab, Tab) {
    let world = World::declaring(schema);
    let mut settings = json!({"schema": schema});
    for (key, value) in more.as_object().into_iter().flatten() {
        settings[key] = value.clone();
    }
    let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
    (world, here, there)
}

async fn all_in_sync(tabs: [&Tab; 3]) {
    for tab in tabs {
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
    }
}

/// The records of both, as JSON, by entity.
async fn seen(tab: &Tab) -> Value {
    let mut all = json!({});
    for entity in ["farm", "stall", "cow", "paper"] {
        let mut records = tab.all(entity).await;
        for record in &mut records {
            record.as_object_mut().expect("a record").remove("_sync");
        }
        all[entity] = records.into();
    }
    all
}

/// A farm with a stall and a cow in it, and a calf of that cow elsewhere; as both have it.
async fn settled(here: &Tab, there: &Tab) -> [String; 4] {
    let farm = here.create("farm", json!({"name": "Linden"})).await;
    let stall = here.create("stall", json!({"farmId": value(&farm)})).await;
    let cow = here.create("cow", json!({"stallId": value(&stall), "name": "Elsa"})).await;
    let calf = here.create("cow", json!({"dam": value(&cow), "name": "Ida", "grazes": [{"farmId": value(&farm), "ha": 2}]})).await;
    all_in_sync([here, there, here]).await;
    let mut real = Vec::new();
    for (entity, id) in [("farm", farm), ("stall", stall), ("cow", cow), ("cow", calf)] {
        real.push(here.real_id(entity, &id).await.to_string());
    }
    real.try_into().expect("four")
}

#[test]
fn a_delete_takes_along_what_is_declared_without_a_network_and_everybody_sees_the_same() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let [farm, ..] = settled(&here, &there).await;
        here.delete("farm", &farm).await;
        let left = json!({"farm": [], "stall": [], "paper": [],
            "cow": [{"id": 2, "dam": null, "name": "Ida", "grazes": [{"farmId": null, "ha": 2}]}]});
        assert_eq!(seen(&here).await, left, "before anybody was asked");
        let queue = here.queue().await;
        let told: Vec<String> = queue.iter().map(|item| format!("{} {} {}", item["kind"], item["entity"], item["recordId"])).collect();
        let expected = [r#""update" "cow" 2"#, r#""delete" "cow" 1"#, r#""delete" "stall" 1"#, r#""delete" "farm" 1"#];
        assert_eq!(told, expected, "each is told, and those that nobody refers to any more go first");
        all_in_sync([&here, &there, &here]).await;
        assert_eq!((seen(&here).await, seen(&there).await), (left.clone(), left));
        assert!(here.queue().await.is_empty());
        assert_eq!(here.engine.check_references("").await.expect("checked")["ok"], true);
    });
}

#[test]
fn what_nobody_has_seen_goes_without_a_trace_at_the_server() {
    tell(async {
        let (world, here, _there) = two(&followed(), &json!({"coalesce": true})).await;
        let farm = here.create("farm", json!({})).await;
        let stall = here.create("stall", json!({"farmId": value(&farm)})).await;
        here.create("cow", json!({"stallId": value(&stall)})).await;
        here.delete("farm", &farm).await;
        assert!(here.queue().await.is_empty(), "{:?}", here.queue().await);
        assert!(here.sync().await.success);
        assert!(world.changes().await.is_empty());
    });
}

#[test]
fn what_was_sent_and_not_answered_is_deleted_behind_its_create() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({"coalesce": true})).await;
        let farm = here.create("farm", json!({})).await;
        here.create("stall", json!({"farmId": value(&farm)})).await;
        here.fault("upload", crate::world::Fault::LoseAnswer);
        assert!(!here.sync().await.success);
        here.delete("farm", &farm).await;
        assert_eq!(seen(&here).await["stall"], json!([]));
        all_in_sync([&here, &there, &here]).await;
        assert_eq!((seen(&here).await, &seen(&there).await["farm"]), (seen(&there).await, &json!([])));
    });
}

#[test]
fn one_that_stands_in_the_way_keeps_everything() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let [farm, _, cow, _] = settled(&here, &there).await;
        let paper = here.create("paper", json!({"cowId": value(&cow)})).await;
        let before = (seen(&here).await, here.queue().await.len());
        let error = here.engine.delete("farm", &farm).await.expect_err("refused");
        assert_eq!((error.code, &error.details["dependents"]), ("has_dependents", &json!([{"entity": "paper", "id": value(&paper)}])));
        assert_eq!((seen(&here).await, here.queue().await.len()), before, "nothing was stored");
    });
}

#[test]
fn a_transaction_may_name_what_goes_along_too() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let [farm, stall, cow, _] = settled(&here, &there).await;
        let delete = |entity: &str, id: &str| format!(r#"{{"kind":"delete","entity":"{entity}","id":{id}}}"#);
        let both = [delete("farm", &farm), delete("stall", &stall), delete("cow", &cow)].join(",");
        here.engine.transaction(&format!("[{both}]")).await.expect("written");
        assert_eq!(here.queue().await.len(), 4);
        all_in_sync([&here, &there, &here]).await;
        assert_eq!(seen(&there).await["stall"], json!([]));
        let again = here.engine.delete("stall", &stall).await.expect_err("it is gone");
        assert_eq!(again.code, "unknown_record");
    });
}

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
fn a_circle_of_records_goes_as_one() {
    tell(async {
        let (_world, here, there) = two(&schema(&json!({"dam": "cascade"})), &json!({})).await;
        let (one, two) = (here.engine.temp_id("cow").expect("an ID"), here.engine.temp_id("cow").expect("an ID"));
        let create = |id: &Value, dam: &Value| json!({"kind": "create", "entity": "cow", "data": {"id": id, "dam": dam}});
        let (one, two) = (json!(one), json!(two));
        here.engine.transaction(&json!([create(&one, &two), create(&two, &one)]).to_string()).await.expect("written");
        all_in_sync([&here, &there, &here]).await;
        assert_eq!(there.all("cow").await.len(), 2);
        let id = here.all("cow").await[0]["id"].to_string();
        here.delete("cow", &id).await;
        assert_eq!(here.queue().await.len(), 2);
        all_in_sync([&here, &there, &here]).await;
        assert_eq!((seen(&here).await, &seen(&there).await["cow"]), (seen(&there).await, &json!([])));
    });
}

#[test]
fn more_than_a_transaction_holds_is_refused_with_nothing_stored() {
    tell(async {
        let (_world, here, _there) = two(&followed(), &json!({"coalesce": true})).await;
        let farm = here.create("farm", json!({})).await;
        for _ in 0..=1_000 {
            here.create("stall", json!({"farmId": value(&farm)})).await;
        }
        let rows = here.engine.count("stall", "{}").await.expect("counted");
        let error = here.engine.delete("farm", &farm).await.expect_err("refused");
        assert_eq!((error.code, here.engine.count("stall", "{}").await.expect("counted")), ("too_large", rows));
    });
}

#[test]
fn the_trail_tells_of_each_record_that_went() {
    tell(async {
        let schema = followed();
        let world = World::declaring(&schema);
        let device = world.device("anna");
        let here = device.tab_with(json!({"schema": schema})).await;
        let there = world.device("ben").tab_with(json!({"schema": schema})).await;
        let [farm, ..] = settled(&here, &there).await;
        here.delete("farm", &farm).await;
        let trail = device.store.dump(Table::Audit);
        let (_, last) = trail.last().expect("a row");
        let row: Value = serde_json::from_str(last).expect("JSON");
        let told: Vec<String> = row["entries"].as_array().expect("a list").iter().map(|entry| entry["entity"].to_string()).collect();
        assert_eq!(told, [r#""cow""#, r#""cow""#, r#""stall""#, r#""farm""#]);
    });
}
