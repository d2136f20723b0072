//! A delete and what refers to the record: it stands in the way, goes too, or refers to nothing, as it is declared. Here
//! without a network; what it meets at the server is in [`crate::followed`].

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

/// With every rule that follows.
pub fn followed() -> Value {
    schema(&json!({"stallId": "cascade", "dam": "set-null", "grazes[].farmId": "set-null"}))
}

/// Two devices over one server with this schema.
pub async fn two(schema: &Value, more: &Value) -> (World, Tab, Tab) {
    let world = World::declaring(schema);
    let mut settings = json!({"schema": schema});
    for (key, value) in more.as_object().into_iter().flatten() {
        settings[key] = value.clone();
    }
    let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
    (world, here, there)
}

/// A session of each, which succeeds.
pub async fn all_in_sync(tabs: [&Tab; 3]) {
    for tab in tabs {
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
    }
}

/// All records that a tab sees, by entity.
pub async fn seen(tab: &Tab) -> Value {
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
pub async fn settled(here: &Tab, there: &Tab) -> [String; 4] {
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
fn one_that_may_not_be_as_it_is_stands_in_the_way_of_what_it_would_let_go() {
    tell(async {
        let schema = followed();
        let world = World::declaring(&schema);
        let device = world.device("anna");
        let here = device.tab_with(json!({"schema": schema})).await;
        let dam = here.create("cow", json!({"name": "Elsa"})).await;
        let calf = here.create("cow", json!({"name": "Ida", "dam": value(&dam)})).await;
        // The next release of the app declares what was not so before.
        let mut newer = schema.clone();
        newer["version"] = json!(2);
        newer["entities"]["cow"]["fields"] = json!({"weight": {"required": true}});
        let tab = device.tab_with(json!({"schema": newer})).await;
        let error = tab.engine.delete("cow", &dam).await.expect_err("refused");
        let dependents = json!([{"entity": "cow", "id": value(&calf)}]);
        assert_eq!((error.code, &error.details["dependents"], tab.queue().await.len()), ("has_dependents", &dependents, 2));
        tab.update("cow", &calf, json!({"weight": 40})).await;
        tab.delete("cow", &dam).await;
        assert_eq!(tab.get("cow", &calf).await.expect("there")["dam"], Value::Null);
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
fn a_transaction_may_name_what_goes_along_by_an_earlier_id() {
    tell(async {
        let (_world, here, there) = two(&followed(), &json!({})).await;
        let farm = here.create("farm", json!({})).await;
        let stall = here.create("stall", json!({"farmId": value(&farm)})).await;
        all_in_sync([&here, &there, &here]).await;
        let delete = |entity: &str, id: &str| json!({"kind": "delete", "entity": entity, "id": value(id)});
        here.engine.transaction(&json!([delete("farm", &farm), delete("stall", &stall)]).to_string()).await.expect("written");
        assert_eq!(here.queue().await.len(), 2);
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

/// Folders in folders, which all go with the outermost.
fn folders() -> Value {
    json!({"name": "files", "version": 1, "entities": {"folder": {"references": {"in": "folder"}, "onDelete": {"in": "cascade"}}}})
}

#[test]
fn however_many_go_along_with_unsent_changes_they_are_read_together() {
    tell(async {
        let (_world, here, there) = two(&folders(), &json!({})).await;
        let top = here.create("folder", json!({"name": "all"})).await;
        let mut within = Vec::new();
        for number in 0..6 {
            within.push(here.create("folder", json!({"in": value(&top), "number": number})).await);
        }
        all_in_sync([&here, &there, &here]).await;
        for id in &within {
            here.update("folder", id, json!({"set": {"name": "changed"}})).await;
        }
        for number in 6..12 {
            here.create("folder", json!({"in": value(&top), "number": number})).await;
        }
        here.delete("folder", &top).await;
        all_in_sync([&here, &there, &here]).await;
        assert_eq!((here.all("folder").await, there.all("folder").await), (Vec::new(), Vec::new()));
    });
}

/// A chain of folders, each in the one before, as both devices have it.
async fn chain(here: &Tab, there: &Tab, depth: usize) -> Vec<String> {
    let mut tree = vec![here.create("folder", json!({"name": "root"})).await];
    for _ in 0..depth {
        let within = here.create("folder", json!({"in": value(tree.last().expect("the root"))})).await;
        tree.push(within);
    }
    all_in_sync([here, there, here]).await;
    tree
}

#[test]
fn a_tree_goes_with_its_root_however_deep_it_is() {
    tell(async {
        for (depth, changed) in [(1, true), (3, true), (4, false), (4, true), (7, false), (8, true), (25, false), (25, true)] {
            let (_world, here, there) = two(&folders(), &json!({})).await;
            let tree = chain(&here, &there, depth).await;
            // Some lie in the base alone, some in the overlay too, and some are unsent.
            for id in tree.iter().skip(1).filter(|_| changed) {
                here.update("folder", id, json!({"name": "changed"})).await;
                here.create("folder", json!({"in": value(id)})).await;
            }
            here.delete("folder", &tree[0]).await;
            assert_eq!(here.all("folder").await, Vec::<Value>::new(), "{depth} levels, at once and without a network");
            all_in_sync([&here, &there, &here]).await;
            assert_eq!((here.queue().await.len(), there.all("folder").await), (0, Vec::new()), "{depth} levels");
        }
    });
}

#[test]
fn what_stands_in_the_way_far_below_keeps_the_whole_tree() {
    tell(async {
        let mut schema = folders();
        schema["entities"]["paper"] = json!({"references": {"in": "folder"}});
        let (_world, here, there) = two(&schema, &json!({})).await;
        let tree = chain(&here, &there, 11).await;
        let paper = here.create("paper", json!({"in": value(&tree[11])})).await;
        let refused = here.engine.delete("folder", &tree[0]).await.expect_err("it is in use");
        assert_eq!((refused.code, &refused.details["dependents"]), ("has_dependents", &json!([{"entity": "paper", "id": value(&paper)}])));
        assert_eq!((here.all("folder").await.len(), here.queue().await.len()), (12, 1), "nothing was stored");
    });
}

#[test]
fn one_transaction_takes_several_deep_trees_along_and_no_more_than_a_thousand_records() {
    tell(async {
        let (_world, here, there) = two(&folders(), &json!({})).await;
        let (first, second) = (chain(&here, &there, 9).await, chain(&here, &there, 6).await);
        let gone = |tree: &[String]| json!({"kind": "delete", "entity": "folder", "id": value(&tree[0])});
        here.engine.transaction(&json!([gone(&first), gone(&second)]).to_string()).await.expect("both");
        assert_eq!((here.all("folder").await.len(), here.queue().await.len()), (0, 17));
        all_in_sync([&here, &there, &here]).await;
        assert_eq!(there.all("folder").await.len(), 0);
        // Six levels, the last of them a thousand wide.
        let tree = chain(&here, &there, 5).await;
        let leaf = json!({"kind": "create", "entity": "folder", "data": {"in": value(&tree[5])}});
        here.engine.transaction(&Value::Array(vec![leaf; 1_000]).to_string()).await.expect("a thousand");
        let refused = here.engine.delete("folder", &tree[0]).await.expect_err("too many");
        assert_eq!((refused.code, here.all("folder").await.len()), ("too_large", 1_006));
    });
}

/// Puts a chain of folders into one; nothing of it was sent.
async fn fill(tab: &Tab, root: &str, depth: usize) {
    let mut last = root.to_owned();
    for _ in 0..depth {
        last = tab.create("folder", json!({"in": value(&last)})).await;
    }
}

#[test]
fn a_deep_tree_goes_where_functions_are_asked_and_where_a_lost_delete_is_restored() {
    tell(async {
        let (world, here, there) = two(&folders(), &json!({"validators": ["folder"]})).await;
        for tab in [&here, &there] {
            tab.function("validator", "folder", |_| Some(json!(null)));
        }
        let tree = chain(&here, &there, 9).await;
        here.delete("folder", &tree[0]).await;
        assert_eq!(here.all("folder").await.len(), 0);
        all_in_sync([&here, &there, &here]).await;
        // A delete that a later edit of the other side went over.
        let root = chain(&here, &there, 0).await.remove(0);
        let real = here.real_id("folder", &root).await.to_string();
        here.delete("folder", &root).await;
        world.pass(1_000);
        there.update("folder", &real, json!({"name": "kept"})).await;
        all_in_sync([&there, &here, &there]).await;
        assert_eq!((here.all("folder").await.len(), there.all("folder").await.len()), (1, 1));
        fill(&here, &root, 7).await;
        let met = here.engine.conflicts().await.expect("read");
        let key = met[0]["id"].as_u64().expect("a key");
        here.engine.restore_conflict(key, None).await.expect("restored");
        assert_eq!(here.all("folder").await.len(), 0);
        all_in_sync([&here, &there, &here]).await;
        assert_eq!(there.all("folder").await.len(), 0);
    });
}

#[test]
fn a_deep_tree_goes_with_an_orphan() {
    tell(async {
        let mut schema = folders();
        schema["entities"]["folder"]["references"]["owner"] = json!("client");
        schema["entities"]["client"] = json!({});
        let (_world, here, there) = two(&schema, &json!({})).await;
        let client = here.create("client", json!({})).await;
        all_in_sync([&here, &there, &here]).await;
        let client = here.real_id("client", &client).await;
        here.delete("client", &client.to_string()).await;
        let root = there.create("folder", json!({"owner": client})).await;
        fill(&there, &root, 7).await;
        assert!(there.sync().await.success);
        here.sync().await;
        let dry = here.end("delete", json!({"dryRun": true})).await;
        let ended = here.end("delete", json!({})).await;
        assert_eq!((&ended["failed"], here.all("folder").await.len()), (&json!([]), 0), "{ended}");
        assert_eq!(dry, ended);
    });
}
