//! Several writes in one transaction: all of them take effect at the server, or none, whatever happens on the way.

use futures_util::future::join;
use serde_json::{Value, json};

use crate::records::value;
use crate::world::{Fault, Tab, World, tell};

async fn transaction(tab: &Tab, writes: Value) -> Vec<Value> {
    let saved = tab.engine.transaction(&writes.to_string()).await.expect("written");
    saved.as_array().cloned().expect("a list")
}

fn states(queue: &[Value]) -> Vec<&str> {
    queue.iter().map(|item| item["state"].as_str().unwrap_or_default()).collect()
}

#[test]
fn a_transaction_is_whole_here_and_there() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"coalesce": true})).await;
        let client = tab.engine.temp_id("client").expect("an ID").to_value();
        let pet = tab.engine.temp_id("pet").expect("an ID").to_value();
        // The child first: order within a transaction is the engine's affair.
        let saved = transaction(
            &tab,
            json!([
                {"kind": "create", "entity": "pet", "data": {"id": pet, "name": "Rex", "clientId": client}},
                {"kind": "create", "entity": "client", "data": {"id": client, "name": "A"}},
                {"kind": "update", "entity": "pet", "id": pet, "set": {"age": 3}},
            ]),
        )
        .await;
        assert_eq!((saved.len(), &saved[2]["record"]["age"]), (3, &json!(3)));
        assert_eq!(tab.queue().await.len(), 2, "the update is part of the create of its own transaction");
        tab.fault("upload", Fault::LoseAnswer);
        assert!(!tab.up().await.success);
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 2);
        let pets = tab.all("pet").await;
        assert_eq!((&pets[0]["clientId"], &pets[0]["age"]), (&tab.all("client").await[0]["id"], &json!(3)));
    });
}

#[test]
fn a_write_that_is_refused_here_takes_the_whole_transaction_back() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let writes = json!([
            {"kind": "create", "entity": "client", "data": {"name": "A"}},
            {"kind": "update", "entity": "client", "id": 77, "set": {"name": "B"}},
        ]);
        let refused = tab.engine.transaction(&writes.to_string()).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["write"]), ("unknown_record", &json!(1)));
        let huge = json!([{"kind": "create", "entity": "client", "data": {"name": "A"}}, {"kind": "create", "entity": "client", "data": {"name": "x".repeat(1 << 20)}}]);
        let refused = tab.engine.transaction(&huge.to_string()).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["write"]), ("too_large", &json!(1)));
        let foreign =
            json!([{"kind": "create", "entity": "client", "data": {"name": "A"}}, {"kind": "delete", "entity": "unheard", "id": 1}]);
        let refused = tab.engine.transaction(&foreign.to_string()).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["write"]), ("unknown_entity", &json!(1)));
        for bad in [json!([{"kind": "create", "entity": "client"}]), json!([{"kind": "swap", "entity": "client"}]), json!({}), json!([7])] {
            assert_eq!(tab.engine.transaction(&bad.to_string()).await.expect_err("refused").code, "invalid_value", "{bad}");
        }
        let many: Vec<Value> = (0..1_001).map(|n| json!({"kind": "create", "entity": "client", "data": {"name": n}})).collect();
        let refused = tab.engine.transaction(&Value::Array(many).to_string()).await.expect_err("refused");
        assert_eq!((refused.code, refused.details.get("write")), ("too_large", None), "no single write is to blame");
        assert_eq!((tab.queue().await.len(), tab.all("client").await.len()), (0, 0));
        assert_eq!(transaction(&tab, json!([])).await.len(), 0);
    });
}

#[test]
fn one_member_that_the_server_refuses_holds_all_and_an_edit_sends_all() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let free = tab.create("client", json!({"name": "on its own"})).await;
        transaction(
            &tab,
            json!([
                {"kind": "create", "entity": "client", "data": {"name": "A"}},
                {"kind": "create", "entity": "pet", "data": {"name": "Rex", "clientId": 999}},
                {"kind": "update", "entity": "client", "id": value(&free), "set": {"name": "in the group"}},
            ]),
        )
        .await;
        assert!(!tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 1, "only what is in no group");
        let queue = tab.queue().await;
        assert_eq!(states(&queue), ["blocked", "parked", "blocked"]);
        let parked = queue[1]["operationId"].as_str().expect("an ID");
        tab.engine.retry(parked, Some(&json!({"set": {"clientId": value(&free)}}).to_string())).await.expect("sent again");
        assert!(tab.sync().await.success);
        assert_eq!((tab.queue().await.len(), world.changes().await.len()), (0, 4));
        assert_eq!(tab.get("client", &free).await.expect("there")["name"], "in the group");
    });
}

#[test]
fn giving_up_one_member_gives_up_the_group() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        transaction(
            &tab,
            json!([
                {"kind": "create", "entity": "client", "data": {"name": "A"}},
                {"kind": "create", "entity": "pet", "data": {"name": "Rex", "clientId": 999}},
            ]),
        )
        .await;
        assert!(!tab.sync().await.success);
        let parked = tab.queue().await[1]["operationId"].as_str().expect("an ID").to_owned();
        tab.engine.discard(&parked, None).await.expect("given up");
        assert_eq!((tab.queue().await.len(), tab.all("client").await.len(), tab.all("pet").await.len()), (0, 0, 0));
        assert!(tab.sync().await.success);
    });
}

/// Two devices that know one pet and one client.
async fn two_devices(world: &World) -> (Tab, Tab, String, String) {
    let (one, two) = (world.device("anna").tab().await, world.device("ben").tab().await);
    let pet = one.create("pet", json!({"name": "Rex", "dose": 1})).await;
    let client = one.create("client", json!({"name": "A"})).await;
    one.sync().await;
    two.sync().await;
    (one, two, pet, client)
}

#[test]
fn a_member_in_conflict_by_rule_takes_the_group_along_at_once() {
    tell(async {
        let world = World::new();
        let (one, two, pet, client) = two_devices(&world).await;
        let id = two.all("pet").await[0]["id"].to_string();
        two.update("pet", &id, json!({"name": "by Ben"})).await;
        two.sync().await;
        world.pass(1_000);
        let group = json!([
            {"kind": "update", "entity": "client", "id": value(&client), "set": {"name": "with it"}},
            {"kind": "update", "entity": "pet", "id": value(&pet), "set": {"name": "by Anna, later"}},
        ]);
        transaction(&one, group).await;
        let result = one.up().await;
        assert_eq!((result.conflicts, result.failed), (1, 0), "{result:?}");
        assert!(one.sync().await.success);
        two.sync().await;
        assert_eq!((one.queue().await.len(), world.changes().await.len()), (0, 5));
        assert_eq!((&two.all("pet").await[0]["name"], &two.all("client").await[0]["name"]), (&json!("by Anna, later"), &json!("with it")));
    });
}

#[test]
fn what_follows_a_blocked_member_finds_the_one_that_was_issued_in_its_place() {
    tell(async {
        let world = World::new();
        let (one, two, pet, _) = two_devices(&world).await;
        let id = two.all("pet").await[0]["id"].to_string();
        two.update("pet", &id, json!({"name": "by Ben"})).await;
        two.sync().await;
        world.pass(1_000);
        let client = one.engine.temp_id("client").expect("an ID").to_value();
        let group = json!([
            {"kind": "create", "entity": "client", "data": {"id": client, "name": "new"}},
            {"kind": "update", "entity": "pet", "id": value(&pet), "set": {"name": "by Anna, later"}},
        ]);
        transaction(&one, group).await;
        // Sealed in the same batch: it says for ever that it follows the create, of which the server keeps no receipt.
        one.update("client", &client.to_string(), json!({"name": "renamed"})).await;
        let result = one.sync().await;
        assert_eq!((result.conflicts, result.failed), (1, 0), "{result:?}");
        one.sync().await;
        two.sync().await;
        assert_eq!(one.queue().await, Vec::<Value>::new());
        let names: Vec<Value> = two.all("client").await.iter().map(|client| client["name"].clone()).collect();
        assert!(names.contains(&json!("renamed")), "{names:?}");
    });
}

#[test]
fn a_member_that_a_person_has_to_decide_holds_the_group_until_then() {
    tell(async {
        let world = World::new();
        for sealed in [true, false] {
            let (one, two, pet, client) = two_devices(&world).await;
            let id = one.real_id("pet", &pet).await.to_string();
            two.sync().await;
            two.update("pet", &id, json!({"dose": if sealed { 5 } else { 6 }})).await;
            two.sync().await;
            world.pass(1_000);
            let group = json!([
                {"kind": "update", "entity": "client", "id": value(&client), "set": {"name": "with it"}},
                {"kind": "update", "entity": "pet", "id": value(&pet), "set": {"dose": 9}},
            ]);
            transaction(&one, group).await;
            // Sealed: the receipt says conflict. Unsealed: the page does.
            let before = world.changes().await.len();
            if sealed {
                drop(one.sync().await)
            } else {
                drop(one.down().await)
            }
            one.sync().await;
            assert_eq!(states(&one.queue().await), ["blocked", "conflict"], "sealed: {sealed}");
            assert_eq!(world.changes().await.len(), before, "nothing of the group is there");
            let open = one.engine.conflicts().await.expect("read");
            let open = open.iter().find(|conflict| conflict["state"] == "open").expect("one is open");
            one.engine.resolve(open["id"].as_u64().expect("a number"), r#"{"type": "client-wins"}"#).await.expect("resolved");
            let result = one.sync().await;
            assert!(result.success, "{result:?}");
            two.sync().await;
            assert_eq!((one.queue().await.len(), world.changes().await.len()), (0, before + 2));
            assert_eq!(two.get("pet", &id).await.expect("there")["dose"], 9);
        }
    });
}

#[test]
fn a_member_that_a_page_leaves_without_effect_stays_in_its_group() {
    tell(async {
        let world = World::new();
        let (one, two, pet, client) = two_devices(&world).await;
        let group = json!([
            {"kind": "update", "entity": "client", "id": value(&client), "set": {"name": "with it"}},
            {"kind": "update", "entity": "pet", "id": value(&pet), "set": {"name": "the same"}},
        ]);
        transaction(&one, group).await;
        let id = two.all("pet").await[0]["id"].to_string();
        two.update("pet", &id, json!({"name": "the same"})).await;
        two.sync().await;
        assert!(one.down().await.success);
        assert_eq!(one.queue().await.len(), 2);
        let result = one.sync().await;
        assert!(result.success, "{result:?}");
        assert_eq!((one.queue().await.len(), world.changes().await.len()), (0, 4), "the pet changed once");
    });
}

#[test]
fn a_transaction_over_many_records_reads_them_together() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"coalesce": true})).await;
        let mut writes = Vec::new();
        for n in 0..30 {
            let client = tab.create("client", json!({"name": n})).await;
            let pet = tab.create("pet", json!({"clientId": value(&client)})).await;
            writes.push(json!({"kind": "update", "entity": "client", "id": value(&client), "set": {"name": -n}}));
            writes.push(json!({"kind": "update", "entity": "pet", "id": value(&pet), "set": {"clientId": value(&client), "age": n}}));
        }
        tab.sync().await;
        // By their temp IDs, which became others: every one of them takes several rounds of reading.
        let saved = transaction(&tab, Value::Array(writes)).await;
        assert_eq!(saved.len(), 60);
        assert!(tab.sync().await.success);
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn a_decision_within_a_transaction_over_many_records_reads_them_together() {
    tell(async {
        let world = World::new();
        let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for n in 0..40 {
            tab.create("pet", json!({"name": n, "dose": 1})).await;
        }
        assert!(tab.sync().await.success && office.sync().await.success);
        let pets: Vec<Value> = tab.all("pet").await.into_iter().map(|pet| pet["id"].clone()).collect();
        office.update("pet", &pets[0].to_string(), json!({"dose": 3})).await;
        assert!(office.sync().await.success);
        world.pass(1_000);
        let writes = pets.iter().map(|pet| json!({"kind": "update", "entity": "pet", "id": pet, "set": {"dose": 2}}));
        transaction(&tab, writes.collect()).await;
        assert!(tab.sync().await.success);
        // The decision issues all of its members anew.
        let conflict = tab.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("a number");
        tab.engine.resolve(conflict, r#"{"type": "client-wins"}"#).await.expect("resolved");
        assert!(tab.sync().await.success && office.sync().await.success);
        assert!(office.all("pet").await.iter().all(|pet| pet["dose"] == 2));
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn a_transaction_with_two_writes_of_one_record_meets_one_conflict_after_another() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        assert!(tab.sync().await.success);
        let client = tab.real_id("client", &client).await;
        // Three others wrote before, and send it one after another while the answers are on their way.
        let mut others = Vec::new();
        for (user, phone) in [("ben", "2"), ("carl", "3"), ("dora", "4")] {
            let other = world.device(user).tab().await;
            assert!(other.sync().await.success);
            world.pass(1_000);
            other.update("client", &client.to_string(), json!({"phone": phone})).await;
            others.push(other);
        }
        world.pass(1_000);
        let writes = json!([
            {"kind": "update", "entity": "client", "id": client, "set": {"phone": "1"}},
            {"kind": "create", "entity": "pet", "data": {"name": "Rex", "clientId": client}},
            {"kind": "update", "entity": "client", "id": client, "set": {"name": "Smythe"}},
        ]);
        transaction(&tab, writes).await;
        assert!(others[0].sync().await.success);
        let mut gate = tab.hold_upload();
        let (result, ()) = join(tab.up(), async {
            for other in &others[1..] {
                gate.reached().await;
                assert!(other.sync().await.success);
                let next = tab.hold_upload();
                std::mem::replace(&mut gate, next).open();
            }
            gate.reached().await;
            gate.open();
        })
        .await;
        assert_eq!((result.success, result.failed), (true, 0), "{:?}", result.results);
        assert!(tab.sync().await.success && others[0].sync().await.success);
        for tab in [&tab, &others[0]] {
            let found = tab.all("client").await.remove(0);
            assert_eq!((&found["phone"], &found["name"], tab.all("pet").await.len()), (&json!("1"), &json!("Smythe"), 1));
        }
    });
}
