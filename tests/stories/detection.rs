//! By what a device finds that the server's side moved, and what settles itself: each on both paths, the answer to an upload
//! and a page of the download.

use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

/// A new device of a user, under these rules.
async fn device(world: &World, user: &str, rules: &Value) -> Tab {
    let schema = json!({"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}});
    world.device(user).tab_with(json!({"schema": schema})).await
}

/// Two devices with a record that both have, under these rules; gives its ID.
async fn two(world: &World, rules: Value, data: Value) -> (Tab, Tab, String) {
    let (here, there) = (device(world, "anna", &rules).await, device(world, "ben", &rules).await);
    there.create("tag", data).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = here.all("tag").await[0]["id"].to_string();
    world.pass(1_000);
    (here, there, id)
}

/// The server's side comes here, by the answer to an upload or by a page, and all is sent. Gives the conflicts of here and
/// the record as everybody has it.
async fn meet(here: &Tab, there: &Tab, id: &str, by_receipt: bool) -> (Vec<Value>, Value) {
    assert!(there.sync().await.success);
    let result = if by_receipt { here.up().await } else { here.down().await };
    assert!(result.success, "{result:?}");
    let conflicts = here.engine.conflicts().await.expect("read");
    for tab in [here, there, here] {
        assert!(tab.sync().await.success);
    }
    let (mine, theirs) = (here.get("tag", id).await.unwrap_or_default(), there.get("tag", id).await.unwrap_or_default());
    assert_eq!((&mine["name"], &mine["at"], &mine["note"]), (&theirs["name"], &theirs["at"], &theirs["note"]));
    assert_eq!(here.queue().await.len() + there.queue().await.len(), 0);
    (conflicts, mine)
}

#[test]
fn by_a_timestamp_alone_a_change_that_left_it_is_written_over_without_a_word() {
    for by_receipt in [true, false] {
        tell(async move {
            let world = World::new();
            let rules = json!({"detect": [{"timestamp": "at"}], "default": "manual"});
            let first = json!({"name": "Rex", "note": "", "at": "2026-01-01T08:00:00Z"});
            let (here, there, id) = two(&world, rules, first).await;
            here.update("tag", &id, json!({"name": "Max"})).await;
            world.pass(1_000);
            // The later one of both, of another field too, by somebody whose program does not set the time.
            there.update("tag", &id, json!({"name": "Ben", "note": "lame"})).await;
            let (conflicts, record) = meet(&here, &there, &id, by_receipt).await;
            assert_eq!(conflicts.len(), 0, "{conflicts:?}");
            assert_eq!((&record["name"], &record["note"]), (&json!("Max"), &json!("lame")), "only the same field is written over");
        });
    }
}

#[test]
fn by_a_timestamp_a_later_time_in_another_zone_is_a_move_and_an_earlier_one_is_none() {
    for (at, found) in [("2026-01-01T10:00:00+01:00", true), ("2026-01-01T08:30:00+01:00", false)] {
        for by_receipt in [true, false] {
            tell(async move {
                let world = World::new();
                let rules = json!({"detect": [{"timestamp": "at"}], "default": "server-wins"});
                let (here, there, id) = two(&world, rules, json!({"name": "Rex", "at": "2026-01-01T08:00:00Z"})).await;
                here.update("tag", &id, json!({"name": "Max"})).await;
                there.update("tag", &id, json!({"name": "Ben", "at": at})).await;
                let (conflicts, record) = meet(&here, &there, &id, by_receipt).await;
                assert_eq!((conflicts.len(), &record["name"]), (usize::from(found), &json!(if found { "Ben" } else { "Max" })), "{at}");
                assert!(conflicts.iter().all(|conflict| conflict["conflictType"] == "timestamp"));
            });
        }
    }
}

#[test]
fn by_the_content_a_change_that_was_taken_back_is_no_move() {
    for detect in [json!(["hash"]), json!(["version"]), json!(["version", "hash"])] {
        for by_receipt in [true, false] {
            let detect = detect.clone();
            tell(async move {
                let world = World::new();
                let rules = json!({"detect": detect, "default": "manual"});
                let (here, there, id) = two(&world, rules, json!({"name": "Rex", "note": ""})).await;
                here.delete("tag", &id).await;
                there.update("tag", &id, json!({"note": "lame"})).await;
                assert!(there.sync().await.success);
                there.update("tag", &id, json!({"note": ""})).await;
                let (conflicts, record) = meet(&here, &there, &id, by_receipt).await;
                assert_eq!((conflicts.len(), record), (0, Value::Null), "it is deleted, as it was seen");
            });
        }
    }
}

#[test]
fn a_conflict_says_by_what_it_was_found() {
    for (detect, found_by) in
        [(json!(["hash"]), "data"), (json!([{"timestamp": "at"}, "hash"]), "timestamp"), (json!(["hash", "version"]), "version")]
    {
        for by_receipt in [true, false] {
            let detect = detect.clone();
            tell(async move {
                let world = World::new();
                let (here, there, id) = two(&world, json!({"detect": detect}), json!({"name": "Rex", "at": 1})).await;
                here.update("tag", &id, json!({"name": "Max"})).await;
                there.update("tag", &id, json!({"name": "Ben", "at": 2})).await;
                let (conflicts, _) = meet(&here, &there, &id, by_receipt).await;
                assert_eq!(conflicts.iter().map(|conflict| &conflict["conflictType"]).collect::<Vec<_>>(), [&json!(found_by)]);
            });
        }
    }
}

#[test]
fn what_settles_itself_goes_to_the_later_stamp_and_asks_nobody() {
    for (by_receipt, later_here) in [(true, true), (true, false), (false, true), (false, false)] {
        tell(async move {
            let world = World::new();
            let rules = json!({"default": "manual", "metadata": ["at", "by"]});
            let (here, there, id) = two(&world, rules, json!({"name": "Rex", "note": "", "at": 0, "by": "eva"})).await;
            for local in [!later_here, later_here] {
                world.pass(1_000);
                let (tab, fields) = if local {
                    (&here, json!({"name": "Max", "at": world.now(), "by": "anna"}))
                } else {
                    (&there, json!({"note": "lame", "at": world.now(), "by": "ben"}))
                };
                tab.update("tag", &id, fields).await;
            }
            let last = world.now();
            let (conflicts, record) = meet(&here, &there, &id, by_receipt).await;
            assert_eq!(conflicts.len(), 0, "{conflicts:?}");
            assert_eq!((&record["name"], &record["note"]), (&json!("Max"), &json!("lame")));
            let who = if later_here { "anna" } else { "ben" };
            assert_eq!((&record["at"], &record["by"]), (&json!(last), &json!(who)));
        });
    }
}

#[test]
fn beside_a_real_conflict_what_settles_itself_is_not_told_of() {
    for by_receipt in [true, false] {
        tell(async move {
            let world = World::new();
            let rules = json!({"default": "manual", "metadata": ["at"]});
            let (here, there, id) = two(&world, rules.clone(), json!({"name": "Rex", "at": 0})).await;
            here.update("tag", &id, json!({"name": "Max", "at": 1})).await;
            world.pass(1_000);
            there.update("tag", &id, json!({"name": "Ben", "at": 2})).await;
            assert!(there.sync().await.success);
            let result = if by_receipt { here.up().await } else { here.down().await };
            assert!(result.success, "{result:?}");
            let conflict = here.engine.conflicts().await.expect("read").remove(0);
            assert_eq!((&conflict["state"], &conflict["affectedFields"]), (&json!("open"), &json!(["name"])));
            if by_receipt {
                // The server keeps it, and the user's other device says the same of it.
                let other = device(&world, "anna", &rules).await;
                assert!(other.sync().await.success);
                let held = other.engine.conflicts().await.expect("read").remove(0);
                assert_eq!((&held["origin"], &held["affectedFields"]), (&json!("server"), &json!(["name"])));
            }
            here.engine.resolve(conflict["id"].as_u64().expect("a key"), r#"{"type": "client-wins"}"#).await.expect("resolved");
            for tab in [&here, &there] {
                assert!(tab.sync().await.success);
                let record = tab.get("tag", &id).await.expect("there");
                assert_eq!((&record["name"], &record["at"]), (&json!("Max"), &json!(2)), "the later stamp has the time");
            }
        });
    }
}
