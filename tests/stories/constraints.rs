//! Two devices give two records what only one may have. The server lets the first have it; the second is asked, nothing of it
//! is lost, and whatever is decided comes to an end everywhere.

use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

/// What waits for a person here.
pub async fn open(tab: &Tab) -> Vec<Value> {
    tab.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("read")
}

pub async fn resolve(tab: &Tab, conflict: &Value, strategy: Value) -> Result<(), (&'static str, Value)> {
    let key = conflict["id"].as_u64().expect("a key");
    tab.engine.resolve(key, &strategy.to_string()).await.map_err(|error| (error.code, error.details.clone()))
}

/// Anna's owner is at the server with the email `a`; Ben's, with the same, was refused. Gives Ben's ID and the conflict.
pub async fn met(world: &World) -> (Tab, Tab, String, Value) {
    let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
    anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
    let mine = ben.create("owner", json!({"email": "a", "name": "Bo"})).await;
    assert!(anna.sync().await.success);
    let result = ben.up().await;
    assert!(result.success, "{result:?}");
    assert_eq!(result.conflicts, 1);
    let conflict = open(&ben).await.remove(0);
    (anna, ben, mine, conflict)
}

/// All devices have the same owners, and nothing waits.
pub async fn everybody_has(tabs: [&Tab; 2], owners: Value) {
    for tab in [tabs[0], tabs[1], tabs[0]] {
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
    }
    for tab in tabs {
        let all: Vec<Value> = tab.all("owner").await.iter().map(|owner| json!([owner["email"], owner["name"]])).collect();
        assert_eq!(json!(all), owners);
        assert!(tab.queue().await.is_empty() && open(tab).await.is_empty());
    }
}

#[test]
fn the_second_is_asked_and_goes_on_showing_what_it_wrote() {
    tell(async {
        let world = World::new();
        let (_, ben, mine, conflict) = met(&world).await;
        assert_eq!(
            (&conflict["kind"], &conflict["conflictType"], &conflict["state"]),
            (&json!("constraint"), &json!("data"), &json!("open"))
        );
        assert_eq!(
            (&conflict["affectedFields"], &conflict["serverData"], &conflict["baseData"]),
            (&json!(["email"]), &Value::Null, &Value::Null)
        );
        assert_eq!(conflict["localData"], json!({"email": "a", "name": "Bo"}));
        assert_eq!(conflict["other"], json!({"id": 1, "data": {"email": "a", "name": "Ada"}}));
        assert_eq!(conflict.get("serverVersion"), None, "the server never had it");
        let shown = ben.get("owner", &mine).await.expect("it is shown");
        assert_eq!((&shown["name"], &shown["_sync"]["state"]), (&json!("Bo"), &json!("conflict")));
        assert_eq!(ben.queue().await[0]["state"], "conflict");
        // It is found as any other.
        let counts = ben.engine.count_conflicts("{}").await.expect("counted");
        assert_eq!((&counts["open"], &counts["byKind"]), (&json!(1), &json!({"constraint": 1})));
        assert_eq!(ben.engine.find_conflicts(r#"{"kind": "constraint"}"#).await.expect("read").len(), 1);
        // The page that brings the other is not refused: both are shown, and the question stays one.
        assert!(ben.sync().await.success);
        assert_eq!((ben.all("owner").await.len(), open(&ben).await.len()), (2, 1));
        ben.update("owner", &mine, json!({"name": "Bob"})).await;
        assert!(ben.sync().await.success);
        assert_eq!(ben.queue().await.len(), 2, "a later change waits for the decision");
    });
}

#[test]
fn for_the_server_the_record_goes_and_can_be_brought_back() {
    for entity in ["owner", "card"] {
        tell(async move {
            let world = World::new();
            let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
            let field = if entity == "owner" { "email" } else { "code" };
            let theirs = anna.create(entity, json!({field: "a", "name": "Ada"})).await;
            let mine = ben.create(entity, json!({field: "a", "name": "Bo"})).await;
            assert!(anna.sync().await.success && ben.up().await.success);
            ben.update(entity, &mine, json!({"name": "Bob"})).await;
            let conflict = open(&ben).await.remove(0);
            let key = conflict["id"].as_u64().expect("a key");
            let preview = ben.engine.preview(key, r#"{"type": "server-wins"}"#).await.expect("a preview");
            assert_eq!(preview, json!({"id": key, "record": null, "operation": null}));
            assert_eq!(resolve(&ben, &conflict, json!({"type": "server-wins"})).await, Ok(()));
            assert_eq!((ben.get(entity, &mine).await, ben.queue().await.len()), (None, 0));
            let told = ben.engine.conflict(key).await.expect("read").expect("it is kept");
            assert_eq!(
                (&told["state"], &told["resolution"], &told["resolvedBy"]),
                (&json!("resolved"), &json!("server-wins"), &json!("ben"))
            );
            assert_eq!(resolve(&ben, &conflict, json!({"type": "client-wins"})).await.expect_err("decided").0, "unknown_conflict");
            let operation = json!({"operation": conflict["operation"]["id"]}).to_string();
            let trail = ben.engine.audit_query("", &operation, true).await.expect("read");
            let told: Vec<&Value> =
                trail.as_array().expect("rows").iter().flat_map(|row| row["entries"].as_array().expect("entries")).collect();
            let told = told.into_iter().filter(|entry| entry["operation"] == conflict["operation"]["id"]).map(|entry| &entry["event"]);
            assert_eq!(told.collect::<Vec<_>>(), ["written", "conflict", "discarded"]);
            assert!(ben.sync().await.success && ben.sync().await.success);
            // What lost is kept whole; it comes back once its values are free.
            let error = ben.engine.restore_conflict(key, None).await.expect_err("still taken");
            assert_eq!((error.code, &error.details["fields"]), ("unique_violation", &json!([field])));
            let there = if entity == "owner" { "1".to_owned() } else { theirs };
            anna.update(entity, &there, json!({field: "b"})).await;
            assert!(anna.sync().await.success && ben.sync().await.success);
            ben.engine.restore_conflict(key, None).await.expect("restored");
            let result = ben.sync().await;
            assert!(result.success && result.conflicts == 0, "{result:?}");
            assert!(ben.queue().await.is_empty() && anna.sync().await.success);
            let mut names: Vec<String> = anna.all(entity).await.iter().map(|record| record["name"].to_string()).collect();
            names.sort();
            assert_eq!(names, ["\"Ada\"", "\"Bob\""], "with what was written after the refusal");
        });
    }
}

#[test]
fn nothing_is_given_up_that_something_else_needs() {
    tell(async {
        let world = World::new();
        let (anna, ben, mine, conflict) = met(&world).await;
        let id: Value = serde_json::from_str(&mine).expect("an ID");
        let card = ben.create("card", json!({"ownerId": id, "code": "x"})).await;
        let (code, details) = resolve(&ben, &conflict, json!({"type": "server-wins"})).await.expect_err("refused");
        let dependents = json!([{"entity": "card", "id": serde_json::from_str::<Value>(&card).expect("an ID")}]);
        assert_eq!((code, &details["dependents"]), ("has_dependents", &dependents));
        assert_eq!((ben.queue().await.len(), open(&ben).await.len()), (2, 1), "nothing was stored");
        // What needs it goes with it where it is kept.
        assert_eq!(resolve(&ben, &conflict, json!({"type": "merge", "mergedData": {"email": "c", "name": "Bo"}})).await, Ok(()));
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["c", "Bo"]])).await;
        assert_eq!(anna.all("card").await[0]["ownerId"], json!(2));
    });
}

#[test]
fn a_merge_writes_exactly_what_was_decided_unless_that_is_somebody_elses() {
    for downloaded in [false, true] {
        tell(async move {
            let world = World::new();
            let (anna, ben, mine, conflict) = met(&world).await;
            if downloaded {
                assert!(ben.sync().await.success);
            }
            ben.update("owner", &mine, json!({"number": 5})).await;
            let merge = |email: &str| json!({"type": "merge", "mergedData": {"email": email, "name": "Bo B."}});
            let (code, details) = resolve(&ben, &conflict, merge("a")).await.expect_err("still taken");
            assert_eq!((code, details), ("unique_violation", json!({"entity": "owner", "fields": ["email"], "id": 1})));
            assert_eq!(open(&ben).await.len(), 1);
            let key = conflict["id"].as_u64().expect("a key");
            let preview = ben.engine.preview(key, &merge("c").to_string()).await.expect("a preview");
            assert_eq!(preview["operation"]["data"], json!({"email": "c", "name": "Bo B."}));
            assert_eq!(preview["record"], json!({"email": "c", "name": "Bo B."}), "what was written before is decided on too");
            assert_eq!(resolve(&ben, &conflict, merge("c")).await, Ok(()));
            everybody_has([&ben, &anna], json!([["a", "Ada"], ["c", "Bo B."]])).await;
            assert_eq!(anna.all("owner").await[1]["number"], Value::Null);
            let kept = ben.engine.conflict(key).await.expect("read").expect("it is kept");
            assert_eq!(kept["localData"]["number"], 5, "and is kept with what lost");
            // The conflict was met under the first ID of the record, and is found by every other.
            for id in [mine, "2".to_owned()] {
                let of_record = format!(r#"{{"entity": "owner", "record": {id}}}"#);
                let found = ben.engine.find_conflicts(&of_record).await.expect("read");
                assert_eq!((found.len(), &found[0]["recordId"]), (1, &json!(2)), "{id}");
            }
        });
    }
}

#[test]
fn a_merge_may_keep_the_values_once_it_is_known_here_that_the_other_is_gone() {
    for restored in [false, true] {
        tell(async move {
            let world = if restored { World::with_backups() } else { World::new() };
            let (anna, ben, _, conflict) = met(&world).await;
            let merge = json!({"type": "merge", "mergedData": {"email": "a", "name": "Bo B."}});
            anna.delete("owner", "1").await;
            assert!(anna.sync().await.success);
            assert_eq!(resolve(&ben, &conflict, merge.clone()).await.expect_err("not known yet").0, "unique_violation");
            if restored {
                // A server that counts anew, and never had the other.
                world.restore(&World::with_backups().backup().await);
                ben.sync().await;
            }
            assert!(ben.sync().await.success);
            assert_eq!(resolve(&ben, &conflict, merge).await, Ok(()));
            let result = ben.sync().await;
            assert!(result.success && result.conflicts == 0 && ben.queue().await.iter().all(|item| item["state"] == "acknowledged"));
            assert_eq!(ben.all("owner").await[0]["name"], "Bo B.");
        });
    }
}

#[test]
fn the_local_values_are_sent_again_and_stand_once_the_other_has_changed() {
    for strategy in ["client-wins", "last-write-wins", "merge"] {
        tell(async move {
            let world = World::new();
            let (anna, ben, _, conflict) = met(&world).await;
            assert_eq!(resolve(&ben, &conflict, json!({"type": strategy})).await, Ok(()));
            let result = ben.sync().await;
            assert!(result.success && result.conflicts == 1, "the same again: {result:?}");
            let again = open(&ben).await.remove(0);
            assert_eq!((&again["kind"], &again["other"]["id"]), (&json!("constraint"), &json!(1)));
            anna.update("owner", "1", json!({"email": "b"})).await;
            assert!(anna.sync().await.success);
            assert_eq!(resolve(&ben, &again, json!({"type": strategy})).await, Ok(()));
            everybody_has([&ben, &anna], json!([["b", "Ada"], ["a", "Bo"]])).await;
        });
    }
}

#[test]
fn a_page_that_names_the_record_before_the_answer_leaves_the_conflict_where_it_is_found() {
    tell(async {
        let world = World::new();
        let (anna, ben, mine, conflict) = met(&world).await;
        assert_eq!(resolve(&ben, &conflict, json!({"type": "merge", "mergedData": {"email": "c", "name": "Bo"}})).await, Ok(()));
        ben.fault("upload", Fault::LoseAnswer);
        assert!(!ben.up().await.success && ben.down().await.success);
        assert_eq!(ben.get("owner", &mine).await.expect("there")["id"], json!(2), "the page named it");
        let found = ben.engine.find_conflicts(r#"{"entity": "owner", "record": 2}"#).await.expect("read");
        assert_eq!(found.len(), 1);
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["c", "Bo"]])).await;
        assert_eq!(ben.engine.find_conflicts(r#"{"entity": "owner", "record": 2}"#).await.expect("read").len(), 1);
    });
}

#[test]
fn what_went_up_behind_a_refused_create_follows_it_wherever_that_goes() {
    for (strategy, owners) in [
        (json!({"type": "server-wins"}), json!([["a", "Ada"]])),
        (json!({"type": "merge", "mergedData": {"email": "c", "name": "Bo"}}), json!([["a", "Ada"], ["c", "Bob"]])),
        (json!({"type": "client-wins"}), json!([["x", "Ada"], ["a", "Bob"]])),
    ] {
        tell(async move {
            let world = World::new();
            let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
            anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
            assert!(anna.sync().await.success);
            let mine = ben.create("owner", json!({"email": "a", "name": "Bo"})).await;
            for (name, number) in [("Bo B.", 1), ("Bob", 2)] {
                ben.update("owner", &mine, json!({"name": name, "number": number})).await;
            }
            let result = ben.sync().await;
            assert!(result.success && result.conflicts == 1, "{result:?}");
            ben.update("owner", &mine, json!({"note": "unsent"})).await;
            for round in 0..2 {
                let Some(conflict) = open(&ben).await.pop() else { break };
                assert_eq!(ben.get("owner", &mine).await.expect("shown")["name"], "Bob", "round {round}");
                assert_eq!(resolve(&ben, &conflict, strategy.clone()).await, Ok(()));
                assert!(ben.sync().await.success);
                if round == 0 && strategy["type"] == "client-wins" {
                    anna.update("owner", "1", json!({"email": "x"})).await;
                    assert!(anna.sync().await.success);
                }
            }
            everybody_has([&ben, &anna], owners.clone()).await;
            if let Some(second) = anna.get("owner", "2").await {
                assert_eq!((&second["number"], &second["note"]), (&json!(2), &json!("unsent")));
            }
            let told = ben.engine.conflicts().await.expect("read");
            assert!(told.iter().all(|conflict| conflict["kind"] == "constraint"), "nothing else was met: {told:?}");
        });
    }
}

#[test]
fn what_a_page_brings_is_never_refused_and_nothing_here_is_lost() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
        let mine = ben.create("owner", json!({"email": "a", "name": "Bo"})).await;
        assert!(anna.sync().await.success);
        let result = ben.down().await;
        assert!(result.success, "{result:?}");
        // Both are here, what was written here is unsent as it was, and nobody is asked before the server has spoken.
        assert_eq!((ben.all("owner").await.len(), open(&ben).await.len()), (2, 0));
        let waiting = ben.queue().await.remove(0);
        assert_eq!((&waiting["state"], &waiting["payload"]["email"]), (&json!("pending"), &json!("a")));
        // It can be mended before it is sent.
        ben.update("owner", &mine, json!({"email": "b"})).await;
        let result = ben.up().await;
        assert!(result.success, "{result:?}");
        let asked = open(&ben).await;
        assert_eq!((asked.len(), result.conflicts), (1, 1), "the first write was a write of its own");
        assert_eq!(resolve(&ben, &asked[0], json!({"type": "merge", "mergedData": {"email": "b", "name": "Bo"}})).await, Ok(()));
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["b", "Bo"]])).await;
    });
}

#[test]
fn of_a_transaction_none_is_applied_and_it_is_decided_as_a_whole() {
    for server_wins in [false, true] {
        tell(async move {
            let world = World::new();
            let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
            anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
            let client = ben.create("client", json!({"name": "first"})).await;
            assert!(anna.sync().await.success && ben.up().await.success);
            let client: Value = serde_json::from_str(&ben.get("client", &client).await.expect("there")["id"].to_string()).expect("an ID");
            let writes = json!([
                {"kind": "update", "entity": "client", "id": client, "set": {"name": "second"}},
                {"kind": "create", "entity": "owner", "data": {"email": "a", "name": "Bo", "clientId": client}},
                {"kind": "create", "entity": "card", "data": {"code": "x"}},
            ]);
            ben.engine.transaction(&writes.to_string()).await.expect("written");
            let result = ben.sync().await;
            assert!(result.success, "{result:?}");
            assert!(anna.sync().await.success);
            assert_eq!((anna.all("owner").await.len(), anna.all("card").await.len()), (1, 0));
            assert_eq!(anna.all("client").await[0]["name"], "first", "none of it");
            let conflict = open(&ben).await.remove(0);
            if server_wins {
                assert_eq!(resolve(&ben, &conflict, json!({"type": "server-wins"})).await, Ok(()));
                assert_eq!(ben.all("client").await[0]["name"], "first", "it is given up as a whole, as it was written");
            } else {
                assert_eq!(resolve(&ben, &conflict, json!({"type": "merge", "mergedData": {"email": "b", "name": "Bo"}})).await, Ok(()));
            }
            let expected = if server_wins { json!([["a", "Ada"]]) } else { json!([["a", "Ada"], ["b", "Bo"]]) };
            everybody_has([&ben, &anna], expected).await;
            assert_eq!(anna.all("card").await.len(), usize::from(!server_wins));
            assert_eq!(anna.all("client").await[0]["name"], if server_wins { "first" } else { "second" });
        });
    }
}

#[test]
fn many_are_decided_at_once() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for email in ["a", "b", "c"] {
            anna.create("owner", json!({"email": email, "name": "Ada"})).await;
            ben.create("owner", json!({"email": email, "name": "Bo"})).await;
        }
        assert!(anna.sync().await.success && ben.sync().await.success);
        let ended = ben.engine.resolve_many(r#"{"type": "server-wins"}"#, r#"{"kind": "constraint"}"#, false).await.expect("ended");
        assert_eq!((ended["resolved"].as_array().map(Vec::len), &ended["failed"]), (Some(3), &json!([])));
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["b", "Ada"], ["c", "Ada"]])).await;
    });
}

#[test]
fn no_merge_takes_what_another_record_has_whatever_it_decides() {
    tell(async {
        let mut schema: Value = serde_json::from_str(crate::world::SCHEMA).expect("a schema");
        schema["entities"]["owner"]["conflicts"] = json!({"fields": {"name": "manual"}});
        let world = World::declaring(&schema);
        let settings = json!({"schema": schema});
        let (anna, ben) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
        anna.create("owner", json!({"email": "b", "name": "Bo"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        anna.update("owner", "2", json!({"name": "Bob"})).await;
        ben.update("owner", "2", json!({"name": "Bobo"})).await;
        assert!(anna.sync().await.success && ben.sync().await.success);
        let conflict = open(&ben).await.remove(0);
        assert_eq!(conflict["kind"], "update-update");
        let merge = |email: &str| json!({"type": "merge", "mergedData": {"email": email, "name": "B."}});
        let (code, details) = resolve(&ben, &conflict, merge("a")).await.expect_err("somebody else's");
        assert_eq!((code, details), ("unique_violation", json!({"entity": "owner", "fields": ["email"], "id": 1})));
        assert_eq!(open(&ben).await.len(), 1, "it is open still");
        assert_eq!(resolve(&ben, &conflict, merge("c")).await, Ok(()));
        everybody_has([&ben, &anna], json!([["a", "Ada"], ["c", "B."]])).await;
    });
}

#[test]
fn giving_a_refused_record_up_wants_the_reason_that_discarding_wants() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna").tab().await;
        let ben = world.device("ben").tab_with(json!({"audit": {"requireReason": ["discard"]}})).await;
        anna.create("owner", json!({"email": "a", "name": "Ada"})).await;
        ben.create("owner", json!({"email": "a", "name": "Bo"})).await;
        assert!(anna.sync().await.success && ben.up().await.success);
        let conflict = open(&ben).await.remove(0);
        let refused = resolve(&ben, &conflict, json!({"type": "server-wins"})).await.expect_err("no reason");
        assert_eq!((refused.0, &refused.1["path"], ben.queue().await.len()), ("reason_required", &json!("reason"), 1));
        let many = ben.engine.resolve_many(r#"{"type": "server-wins"}"#, "{}", false).await.expect("told");
        assert_eq!((&many["resolved"], &many["failed"][0]["error"]["code"]), (&json!([]), &json!("reason_required")));
        let dry = ben.engine.resolve_many(r#"{"type": "server-wins"}"#, "{}", true).await.expect("told");
        assert_eq!(dry["resolved"], json!([conflict["id"]]), "where nothing is decided, nobody is asked why");
        assert_eq!(resolve(&ben, &conflict, json!({"type": "server-wins", "reason": "a double"})).await, Ok(()));
        let told = ben.engine.audit_query("", r#"{"event": "discarded"}"#, true).await.expect("told");
        assert_eq!((&told[0]["reason"], ben.queue().await.len()), (&json!("a double"), 0));
    });
}
