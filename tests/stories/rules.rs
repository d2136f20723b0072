//! Two devices change one field, and its rule puts both changes together.

use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

/// Both devices have the product; each then writes its changes, the second later. The first sends, and the second meets
/// that by a receipt or by a page. Gives what both show in the end, and the conflicts of the second.
async fn met(base: Value, first: Value, second: Value, by_receipt: bool) -> (Value, Vec<Value>) {
    let world = World::new();
    let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
    there.create("product", base).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = here.all("product").await[0]["id"].to_string();
    there.update("product", &id, first).await;
    world.pass(1_000);
    here.update("product", &id, second).await;
    assert!(there.sync().await.success);
    let result = if by_receipt { here.up().await } else { here.down().await };
    assert!(result.success, "{result:?}");
    let conflicts = here.engine.conflicts().await.expect("read");
    (settled([&here, &there], &id).await, conflicts)
}

/// What both show, once both have sent and seen everything.
async fn settled(tabs: [&Tab; 2], id: &str) -> Value {
    for tab in [tabs[0], tabs[1], tabs[0]] {
        assert!(tab.sync().await.success);
    }
    let mut shown = Vec::new();
    for tab in tabs {
        let queue = tab.queue().await;
        assert!(queue.iter().all(|item| item["state"] == "acknowledged"), "{queue:?}");
        let mut record = tab.get("product", id).await.expect("there");
        record.as_object_mut().expect("a record").retain(|field, _| field != "_sync" && field != "id");
        shown.push(record);
    }
    assert_eq!(shown[0], shown[1]);
    shown.swap_remove(0)
}

#[test]
fn what_each_side_counted_counts() {
    for by_receipt in [true, false] {
        tell(async move {
            let (now, conflicts) = met(json!({"stock": 5}), json!({"stock": 3}), json!({"stock": 9}), by_receipt).await;
            assert_eq!((now, conflicts.len()), (json!({"stock": 7}), 0));
            // Nobody had counted.
            let (now, conflicts) = met(json!({}), json!({"stock": 1}), json!({"stock": 2}), by_receipt).await;
            assert_eq!((now, conflicts.len()), (json!({"stock": 3}), 0));
            // One side made a word of the number: the later stands, and the conflict tells of it.
            let (now, conflicts) = met(json!({"stock": 5}), json!({"stock": "none"}), json!({"stock": 4}), by_receipt).await;
            assert_eq!((now, conflicts.len()), (json!({"stock": 4}), 1));
            assert_eq!((&conflicts[0]["affectedFields"], &conflicts[0]["serverData"]["stock"]), (&json!(["stock"]), &json!("none")));
        });
    }
}

#[test]
fn a_chain_of_sealed_counts_is_done_once_over_what_came_between() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        there.create("product", json!({"stock": 10, "labels": ["milk"]})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        there.update("product", &id, json!({"stock": 20, "labels": ["milk", "dust"]})).await;
        assert!(there.sync().await.success);
        // Three writes, each a request of its own that is sealed before the next: none can become part of another.
        for (stock, label) in [(9, "hay"), (8, "oats"), (7, "rye")] {
            let mut labels = here.get("product", &id).await.expect("there")["labels"].clone();
            labels.as_array_mut().expect("a list").push(label.into());
            here.update("product", &id, json!({"stock": stock, "labels": labels})).await;
            here.fault("upload", Fault::LoseRequest);
            assert!(!here.up().await.success);
        }
        assert_eq!(here.queue().await.len(), 3);
        let now = settled([&here, &there], &id).await;
        assert_eq!(now, json!({"stock": 17, "labels": ["milk", "dust", "hay", "oats", "rye"]}));
    });
}

#[test]
fn what_both_put_in_is_in_and_what_one_took_out_is_out() {
    for by_receipt in [true, false] {
        tell(async move {
            let (base, first) = (json!({"labels": ["milk", "nuts"]}), json!({"labels": ["milk", "nuts", "dust"]}));
            let (now, conflicts) = met(base, first, json!({"labels": ["nuts", "hay"]}), by_receipt).await;
            assert_eq!((now, conflicts.len()), (json!({"labels": ["nuts", "dust", "hay"]}), 0));
            // Neither had a list.
            let (now, conflicts) = met(json!({}), json!({"labels": ["dust"]}), json!({"labels": ["hay"]}), by_receipt).await;
            assert_eq!((now, conflicts.len()), (json!({"labels": ["dust", "hay"]}), 0));
        });
    }
}

#[test]
fn items_merge_field_by_field_and_what_both_changed_is_told() {
    for by_receipt in [true, false] {
        tell(async move {
            let base = json!({"parts": [{"id": 1, "n": 1, "at": "left"}, {"id": 2, "n": 1}]});
            let first = json!({"parts": [{"id": 1, "n": 2, "at": "right"}, {"id": 2, "n": 1}]});
            let second = json!({"parts": [{"id": 1, "n": 3, "at": "left"}, {"id": 3, "n": 1}]});
            let (now, conflicts) = met(base, first, second, by_receipt).await;
            assert_eq!(now, json!({"parts": [{"id": 1, "n": 3, "at": "right"}, {"id": 3, "n": 1}]}));
            let told = conflicts.iter().map(|conflict| (&conflict["state"], &conflict["affectedFields"])).collect::<Vec<_>>();
            assert_eq!(told, [(&json!("resolved"), &json!(["parts.1.n"]))]);
            assert_eq!(conflicts[0]["serverData"]["parts"][0]["n"], 2, "the loser is kept");
        });
    }
}

#[test]
fn texts_merge_line_by_line_and_else_the_later_stands() {
    for by_receipt in [true, false] {
        tell(async move {
            let text = |lines: [&str; 3]| json!({"story": lines.join("\n")});
            let base = text(["lame", "left front", "see again"]);
            let first = text(["very lame", "left front", "see again"]);
            let (now, conflicts) = met(base.clone(), first.clone(), text(["lame", "left front", "in May"]), by_receipt).await;
            assert_eq!((now, conflicts.len()), (text(["very lame", "left front", "in May"]), 0));
            let later = text(["not lame", "left front", "see again"]);
            let (now, conflicts) = met(base, first, later.clone(), by_receipt).await;
            assert_eq!((now, conflicts.len(), &conflicts[0]["affectedFields"]), (later, 1, &json!(["story"])));
        });
    }
}

#[test]
fn fields_that_belong_together_come_from_one_side() {
    for by_receipt in [true, false] {
        tell(async move {
            let base = json!({"price": 1, "currency": "EUR", "name": "Hay"});
            let first = json!({"price": 2, "currency": "SEK", "name": "Straw"});
            let (now, conflicts) = met(base, first, json!({"price": 3}), by_receipt).await;
            assert_eq!(now, json!({"price": 3, "currency": "EUR", "name": "Straw"}));
            assert_eq!(conflicts.len(), 1);
            assert_eq!(conflicts[0]["affectedFields"], json!(["price", "currency"]));
        });
    }
}

#[test]
fn what_a_restored_server_lost_of_a_list_comes_back_beside_what_came_since() {
    tell(async {
        let world = World::with_backups();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        there.create("product", json!({"labels": ["milk"]})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        let backup = world.backup().await;
        here.update("product", &id, json!({"labels": ["milk", "hay"]})).await;
        assert!(here.sync().await.success);
        here.update("product", &id, json!({"labels": ["milk", "hay", "oats"]})).await;

        world.restore(&backup);
        there.update("product", &id, json!({"labels": ["milk", "dust"]})).await;
        assert!(there.sync().await.success);
        let now = settled([&here, &there], &id).await;
        let mut labels: Vec<&str> = now["labels"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        labels.sort_unstable();
        assert_eq!(labels, ["dust", "hay", "milk", "oats"]);
    });
}

#[test]
fn what_was_carried_to_another_device_and_met_a_conflict_on_both_counts_once() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        there.create("product", json!({"stock": 10, "name": "Hay"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        here.update("product", &id, json!({"stock": 8})).await;
        let file = here.engine.export().await.expect("a file");
        // Somebody else writes: whoever sends the carried work meets a conflict, and writes it anew.
        there.update("product", &id, json!({"name": "Straw"})).await;
        assert!(there.sync().await.success);
        let other = world.device("anna").tab().await;
        assert!(other.sync().await.success);
        other.engine.import(&file).await.expect("taken in");
        assert!(other.sync().await.success);
        here.update("product", &id, json!({"stock": 7})).await;
        let now = settled([&here, &other], &id).await;
        assert_eq!(now, json!({"stock": 7, "name": "Straw"}));
        assert!(there.sync().await.success);
        assert_eq!(there.get("product", &id).await.expect("there")["stock"], 7);
    });
}

#[test]
fn a_count_is_no_part_of_one_that_may_have_been_done_elsewhere() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab_with(json!({"coalesce": true})).await, world.device("ben").tab().await);
        there.create("product", json!({"stock": 10, "shelf": "a"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        here.update("product", &id, json!({"stock": 8, "shelf": "b"})).await;
        there.update("product", &id, json!({"shelf": "c"})).await;
        assert!(there.sync().await.success && here.up().await.success);
        let conflicts = here.engine.conflicts().await.expect("read");
        let key = conflicts[0]["id"].as_u64().expect("a key");
        here.engine.resolve(key, r#"{"type": "client-wins"}"#).await.expect("resolved");
        // Two writes that both count, of which the first stands in the place of what met the conflict.
        here.update("product", &id, json!({"stock": 7})).await;
        here.update("product", &id, json!({"stock": 5, "shelf": "d"})).await;
        assert_eq!(here.queue().await.len(), 2, "the second and the third are one");
        assert_eq!(settled([&here, &there], &id).await, json!({"stock": 5, "shelf": "d"}));
    });
}

#[test]
fn what_lost_in_a_list_or_a_group_comes_back_and_that_is_undone() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let base = json!({"parts": [{"id": 1, "n": 1}], "price": 1, "currency": "EUR"});
        there.create("product", base).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        there.update("product", &id, json!({"parts": [{"id": 1, "n": 2}, {"id": 2, "n": 2}], "price": 2, "currency": "SEK"})).await;
        world.pass(1_000);
        here.update("product", &id, json!({"parts": [{"id": 1, "n": 3}, {"id": 3, "n": 3}], "price": 3})).await;
        assert!(there.sync().await.success);
        let merged = json!({"parts": [{"id": 1, "n": 3}, {"id": 2, "n": 2}, {"id": 3, "n": 3}], "price": 3, "currency": "EUR"});
        assert_eq!(settled([&here, &there], &id).await, merged);
        let conflict = here.engine.conflicts().await.expect("read").remove(0);
        assert_eq!(
            (&conflict["affectedFields"], &conflict["resolution"]),
            (&json!(["price", "currency", "parts.1.n"]), &json!("client-wins"))
        );
        let key = conflict["id"].as_u64().expect("a key");

        here.engine.restore_conflict(key, None).await.expect("restored");
        // Of the list only what both had changed: what either put in is nobody's loss.
        let lost = json!({"parts": [{"id": 1, "n": 2}, {"id": 2, "n": 2}, {"id": 3, "n": 3}], "price": 2, "currency": "SEK"});
        assert_eq!(settled([&here, &there], &id).await, lost);
        here.engine.undo_conflict(key, None).await.expect("undone");
        assert_eq!(settled([&here, &there], &id).await, merged);
    });
}

/// Writes of one device, one after another, that are not one: each is sealed by a request that is lost, or is a member of one
/// transaction, and the other side's write is the first, between them or the last.
async fn chain(apart: bool, by_receipt: bool, theirs_at: usize, theirs: Value) -> Value {
    let world = World::new();
    let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
    there.create("product", json!({"price": 1, "currency": "EUR"})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = here.all("product").await[0]["id"].clone();
    let writes = [json!({"price": 3}), json!({"currency": "USD"})];
    for at in 0..=writes.len() {
        world.pass(1_000);
        if at == theirs_at {
            there.update("product", &id.to_string(), theirs.clone()).await;
            world.pass(1_000);
        }
        if let Some(write) = writes.get(at).filter(|_| apart) {
            here.update("product", &id.to_string(), write.clone()).await;
            if at == 0 && by_receipt {
                here.fault("upload", Fault::LoseRequest);
                assert!(!here.up().await.success);
            }
        }
    }
    if !apart {
        let member = |set: &Value| json!({"kind": "update", "entity": "product", "id": id, "set": set});
        let members: Value = writes.iter().map(member).collect();
        here.engine.transaction(&members.to_string()).await.expect("written");
    }
    assert!(there.sync().await.success);
    let result = if by_receipt { here.up().await } else { here.down().await };
    assert!(result.success, "{result:?}");
    settled([&here, &there], &id.to_string()).await
}

#[test]
fn two_writes_of_fields_that_belong_together_stand_together_or_not_at_all() {
    for by_receipt in [true, false] {
        for apart in [true, false] {
            let theirs = [json!({"price": 2}), json!({"price": 2, "currency": "SEK"}), json!({"price": 3, "currency": "SEK"})];
            for (at, theirs) in [0, 1, 2].into_iter().flat_map(|at| theirs.iter().map(move |theirs| (at, theirs.clone()))) {
                tell(async move {
                    // A transaction is written last; of two writes the later one counts.
                    let ours = !apart || at < 2;
                    let mut stands = json!({"price": 1, "currency": "EUR"});
                    let side = if ours { json!({"price": 3, "currency": "USD"}) } else { theirs.clone() };
                    stands.as_object_mut().expect("a record").extend(side.as_object().cloned().expect("fields"));
                    let came = chain(apart, by_receipt, at, theirs.clone()).await;
                    assert_eq!(came, stands, "apart: {apart}, by a receipt: {by_receipt}, {theirs} at {at}");
                });
            }
        }
    }
}

#[test]
fn what_is_put_into_a_list_in_several_steps_is_sent_in_their_order() {
    tell(async {
        let world = World::new();
        let settings = json!({"coalesce": true});
        let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        there.create("product", json!({"parts": [{"id": 5}], "labels": ["m"]})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("product").await[0]["id"].to_string();
        let (mut parts, mut labels) = (vec![json!({"id": 5})], vec!["m"]);
        for (part, label) in [(9, "z"), (10, "b"), (11, "y")] {
            parts.push(json!({"id": part}));
            labels.push(label);
            here.update("product", &id, json!({"parts": parts, "labels": labels})).await;
        }
        assert_eq!(here.queue().await.len(), 1);
        there.update("product", &id, json!({"parts": [{"id": 5}, {"id": 7}]})).await;
        assert!(there.sync().await.success);
        parts.insert(1, json!({"id": 7}));
        assert_eq!(settled([&here, &there], &id).await, json!({"parts": parts, "labels": labels}));
    });
}
