//! Two devices change one record.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

/// Both devices have the record; gives its real ID.
pub async fn shared(world: &World, data: Value) -> (Tab, Tab, String) {
    let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
    here.create("pet", data).await;
    assert!(here.sync().await.success && there.sync().await.success);
    let id = there.all("pet").await[0]["id"].to_string();
    (here, there, id)
}

async fn both_see(tabs: [&Tab; 2], id: &str, field: &str, value: Value) {
    for tab in tabs {
        assert!(tab.sync().await.success);
    }
    for tab in tabs {
        assert!(tab.sync().await.success);
        assert_eq!(tab.get("pet", id).await.map(|record| record[field].clone()), Some(value.clone()), "{field}");
        assert!(tab.queue().await.is_empty());
    }
}

#[test]
fn different_fields_merge_without_a_conflict() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex", "age": 1})).await;
        here.update("pet", &id, json!({"name": "Max"})).await;
        there.update("pet", &id, json!({"age": 2})).await;
        assert!(there.sync().await.success);
        assert_eq!(here.up().await.conflicts, 0);
        both_see([&here, &there], &id, "name", json!("Max")).await;
        both_see([&here, &there], &id, "age", json!(2)).await;
    });
}

#[test]
fn the_later_write_of_one_field_stands_and_the_other_is_kept() {
    for (first, second, by_receipt) in
        [("here", "there", true), ("there", "here", true), ("here", "there", false), ("there", "here", false)]
    {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
            for writer in [first, second] {
                world.pass(1_000);
                if writer == "here" {
                    here.update("pet", &id, json!({"name": "here"})).await;
                } else {
                    there.update("pet", &id, json!({"name": "there"})).await;
                }
            }
            assert!(there.sync().await.success);
            // The receipt judges what was sent, the page what was not.
            let result = if by_receipt { here.up().await } else { here.down().await };
            assert!(result.success, "{result:?}");
            let conflicts = here.engine.conflicts().await.expect("read");
            assert_eq!(conflicts.len(), 1, "{first} {second} {by_receipt}: {conflicts:?}");
            assert_eq!(conflicts[0]["state"], "resolved");
            assert_eq!(conflicts[0]["affectedFields"], json!(["name"]));
            assert_eq!(conflicts[0]["localData"]["name"], "here", "the loser is kept, whichever it is");
            assert_eq!(conflicts[0]["serverData"]["name"], "there");
            both_see([&here, &there], &id, "name", json!(second)).await;
        });
    }
}

#[test]
fn what_follows_a_write_in_conflict_is_judged_with_it_and_never_goes_over_a_later_one() {
    tell(async {
        let world = World::new();
        let here = world.device("anna").tab_with(json!({"coalesce": false})).await;
        here.create("pet", json!({"name": "Rex", "dose": 1})).await;
        here.sync().await;
        let there = world.device("ben").tab().await;
        there.sync().await;
        for name in ["first", "second", "third"] {
            world.pass(1_000);
            let shown = here.all("pet").await.remove(0)["id"].to_string();
            here.update("pet", &shown, json!({"name": name})).await;
        }
        world.pass(1_000);
        let shown = there.all("pet").await.remove(0)["id"].to_string();
        there.update("pet", &shown, json!({"name": "later"})).await;
        assert!(there.sync().await.success);
        // All three go up in one batch; the first is in conflict, and the others stand on it.
        let result = here.sync().await;
        assert!(result.success, "{result:?}");
        assert!(here.queue().await.is_empty(), "nothing waits: {:?}", here.queue().await);
        assert!(there.sync().await.success);
        assert_eq!(there.all("pet").await.remove(0)["name"], "later", "the later write stands at the office");
        assert_eq!(here.all("pet").await.remove(0)["name"], "later", "and here");
        let kept = here.engine.conflicts().await.expect("read");
        let losers: Vec<String> = kept.iter().map(|conflict| conflict["localData"]["name"].to_string()).collect();
        assert!(losers.iter().any(|name| name.contains("third")), "what lost is kept: {losers:?}");
    });
}

#[test]
fn a_device_whose_clock_is_years_ahead_does_not_win_for_ever() {
    tell(async {
        let world = World::new();
        let mut wrong = world.device("anna");
        wrong.skew = 3 * 365 * 24 * 3_600_000;
        let (here, there) = (wrong.tab().await, world.device("ben").tab().await);
        here.create("pet", json!({"name": "Rex"})).await;
        here.sync().await;
        there.sync().await;
        let id = there.all("pet").await[0]["id"].to_string();
        here.update("pet", &id, json!({"name": "ahead"})).await;
        here.sync().await;
        world.pass(10 * 60_000);
        there.update("pet", &id, json!({"name": "right"})).await;
        both_see([&there, &here], &id, "name", json!("right")).await;
    });
}

#[test]
fn update_against_delete_goes_to_the_later_one() {
    for delete_last in [true, false] {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world, json!({"name": "Rex", "age": 1})).await;
            world.pass(1_000);
            if delete_last {
                here.update("pet", &id, json!({"name": "Max"})).await;
                world.pass(1_000);
                there.delete("pet", &id).await;
            } else {
                there.delete("pet", &id).await;
                world.pass(1_000);
                here.update("pet", &id, json!({"name": "Max"})).await;
            }
            there.sync().await;
            let result = here.sync().await;
            assert!(result.success, "{result:?}");
            there.sync().await;
            let expected = if delete_last { None } else { Some(json!({"name": "Max", "age": 1})) };
            for tab in [&here, &there] {
                let seen = tab.get("pet", &id).await.map(|record| json!({"name": record["name"], "age": record["age"]}));
                assert_eq!(seen, expected, "delete last: {delete_last}");
                assert!(tab.queue().await.is_empty());
            }
            let conflicts = here.engine.conflicts().await.expect("read");
            assert_eq!((conflicts.len(), conflicts[0]["kind"].clone()), (1, json!("update-delete")));
        });
    }
}

#[test]
fn a_manual_field_waits_for_a_person_and_either_side_can_be_chosen() {
    for (strategy, expected, name) in [
        (json!({"type": "client-wins"}), 2, "Max"),
        (json!({"type": "server-wins"}), 3, "Max"),
        (json!({"type": "merge", "mergedData": {"dose": 5, "name": "Rex"}}), 5, "Rex"),
    ] {
        tell(async {
            let world = World::new();
            let (here, there, id) = shared(&world, json!({"dose": 1, "name": "Rex"})).await;
            here.update("pet", &id, json!({"dose": 2})).await;
            there.update("pet", &id, json!({"dose": 3})).await;
            there.sync().await;
            let result = here.sync().await;
            assert_eq!((result.success, result.conflicts), (true, 1));
            assert_eq!(here.get("pet", &id).await.expect("there")["_sync"]["state"], "conflict");
            assert_eq!(here.get("pet", &id).await.expect("there")["dose"], 2, "the local side stays visible");
            let conflict = here.engine.conflicts().await.expect("read").remove(0);
            assert_eq!((conflict["state"].clone(), conflict["baseData"]["dose"].clone()), (json!("open"), json!(1)));
            // What is written meanwhile and not disputed is no part of the conflict, unless somebody says all that the record is.
            here.update("pet", &id, json!({"name": "Max"})).await;
            assert_eq!(here.sync().await.synced, 0);
            assert_eq!(here.queue().await[1]["state"], "blocked");
            here.engine.resolve(conflict["id"].as_u64().unwrap_or(0), &strategy.to_string()).await.expect("resolved");
            both_see([&here, &there], &id, "dose", json!(expected)).await;
            both_see([&here, &there], &id, "name", json!(name)).await;
            let kept = here.engine.conflicts().await.expect("read").remove(0);
            assert_eq!(
                (kept["state"].clone(), kept["localData"]["dose"].clone(), kept["serverData"]["dose"].clone()),
                (json!("resolved"), json!(2), json!(3))
            );
            assert!(here.engine.resolve(kept["id"].as_u64().unwrap_or(0), r#"{"type":"server-wins"}"#).await.is_err(), "once");
        });
    }
}

#[test]
fn a_chain_behind_a_conflicting_operation_arrives_whole() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex", "age": 1, "colour": "brown"})).await;
        world.pass(1_000);
        there.update("pet", &id, json!({"name": "there"})).await;
        there.sync().await;
        world.pass(1_000);
        // Both go up in one batch: the first meets the conflict, the second stands on the first.
        here.update("pet", &id, json!({"name": "here"})).await;
        here.update("pet", &id, json!({"age": 2})).await;
        here.update("pet", &id, json!({"name": "here again"})).await;
        let result = here.sync().await;
        assert!(result.success, "{result:?}");
        both_see([&here, &there], &id, "name", json!("here again")).await;
        both_see([&here, &there], &id, "age", json!(2)).await;
        both_see([&here, &there], &id, "colour", json!("brown")).await;
    });
}

#[test]
fn what_the_server_refuses_is_parked_and_only_its_dependents_wait() {
    tell(async {
        let world = World::new();
        let (here, there, id) = shared(&world, json!({"name": "Rex"})).await;
        // Here the pet is still there, at the server it is not.
        there.delete("pet", &id).await;
        there.sync().await;
        let id_value: Value = serde_json::from_str(&id).expect("JSON");
        let appointment = here.create("appointment", json!({"petId": id_value})).await;
        let appointment_value: Value = serde_json::from_str(&appointment).expect("JSON");
        here.create("note", json!({"appointmentId": appointment_value})).await;
        let free = here.create("client", json!({"name": "Smith"})).await;
        let result = here.up().await;
        assert_eq!((result.success, result.synced, result.failed), (false, 1, 1), "{result:?}");
        let queue = here.queue().await;
        assert_eq!((queue[0]["state"].clone(), queue[0]["reason"]["code"].clone()), (json!("parked"), json!("reference_deleted")));
        assert_eq!(queue[1]["state"], "blocked");
        assert_eq!(queue.len(), 2);
        assert_eq!(here.get("appointment", &appointment).await.expect("kept")["_sync"]["state"], "parked");
        assert!(here.real_id("client", &free).await.is_i64());
    });
}

/// A pet that another device has deleted, with an edit of ours on it that is later.
async fn deleted_there_and_edited_here(world: &World) -> (Tab, Tab, String) {
    let (here, there, id) = shared(world, json!({"name": "Rex", "age": 1})).await;
    there.delete("pet", &id).await;
    there.sync().await;
    world.pass(1_000);
    here.update("pet", &id, json!({"name": "Max"})).await;
    (here, there, id)
}

#[test]
fn a_record_that_both_devices_deleted_in_the_end_is_deleted() {
    for by_receipt in [true, false] {
        tell(async {
            let world = World::new();
            let (here, there, id) = deleted_there_and_edited_here(&world).await;
            if by_receipt {
                let gate = here.hold_upload();
                join(here.sync(), async {
                    gate.reached().await;
                    here.delete("pet", &id).await;
                    gate.open();
                })
                .await;
            } else {
                here.delete("pet", &id).await;
                here.down().await;
            }
            for tab in [&here, &there] {
                assert!(tab.sync().await.success);
            }
            for tab in [&here, &there] {
                assert_eq!(tab.get("pet", &id).await, None, "by receipt: {by_receipt}");
                assert!(tab.queue().await.is_empty());
            }
        });
    }
}

#[test]
fn two_edits_against_one_delete_are_one_conflict() {
    for by_receipt in [true, false] {
        tell(async {
            let world = World::new();
            let (here, there, id) = deleted_there_and_edited_here(&world).await;
            if by_receipt {
                let gate = here.hold_upload();
                join(here.sync(), async {
                    gate.reached().await;
                    here.update("pet", &id, json!({"age": 2})).await;
                    gate.open();
                })
                .await;
            } else {
                here.update("pet", &id, json!({"age": 2})).await;
                here.down().await;
            }
            both_see([&here, &there], &id, "name", json!("Max")).await;
            both_see([&here, &there], &id, "age", json!(2)).await;
            let conflicts = here.engine.conflicts().await.expect("read");
            assert_eq!(conflicts.len(), 1, "by receipt: {by_receipt}: {conflicts:?}");
        });
    }
}

#[test]
fn several_conflicts_in_one_batch_are_several_operations() {
    tell(async {
        let world = World::new();
        let (one, two) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let mut pets = Vec::new();
        for name in ["a", "b", "c"] {
            pets.push(one.create("pet", json!({"name": name})).await);
        }
        one.sync().await;
        two.sync().await;
        for pet in two.all("pet").await {
            two.update("pet", &pet["id"].to_string(), json!({"name": "by Ben"})).await;
        }
        two.sync().await;
        world.pass(1_000);
        for (pet, name) in pets.iter().zip(["x", "y", "z"]) {
            one.update("pet", pet, json!({"name": name})).await;
        }
        let result = one.up().await;
        assert_eq!((result.conflicts, result.failed), (3, 0), "{result:?}");
        assert!(one.sync().await.success);
        two.sync().await;
        let mut names: Vec<String> = two.all("pet").await.iter().map(|pet| pet["name"].to_string()).collect();
        names.sort_unstable();
        assert_eq!(names, ["\"x\"", "\"y\"", "\"z\""]);
    });
}
