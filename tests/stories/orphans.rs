//! References that lead to nothing are ended as the app says, without a word lost.

use fieldsync::engine::{Direction, Wanted};
use fieldsync::model::OpId;
use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::records::value;
use crate::world::{SCHEMA, Tab, World, tell};

impl Tab {
    /// What a check says of the references.
    pub async fn check(&self) -> Value {
        self.engine.check_references("").await.expect("checked")
    }
    /// Ends every orphan by a strategy.
    pub async fn end(&self, strategy: &str, options: Value) -> Value {
        self.engine.resolve_orphans(strategy, &options.to_string()).await.expect("ended")
    }
}

/// Two devices and a client that both have.
pub async fn with_client(world: &World) -> (Tab, Tab, Value) {
    let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
    let client = tab.create("client", json!({"name": "A"})).await;
    assert!(tab.sync().await.success && office.sync().await.success);
    let client = tab.real_id("client", &client).await;
    (tab, office, client)
}

#[test]
fn an_orphan_that_was_never_sent_is_given_up_and_its_payload_is_told() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let client = tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let pet = tab.create("pet", json!({"name": "Rex", "clientId": 999})).await;
        let visit = tab.create("appointment", json!({"petId": value(&pet), "clientId": tab.real_id("client", &client).await})).await;
        let operations: Vec<String> =
            tab.queue().await.iter().map(|item| item["operationId"].as_str().expect("an ID").to_owned()).collect();
        let given_up = |at: usize, entity: &str, id: &str, payload: Value| json!({"operationId": operations[at], "entity": entity, "recordId": value(id), "kind": "create", "payload": payload});
        let visited = tab.get("appointment", &visit).await.expect("there");
        let expected = json!({"failed": [], "resolved": [{"entity": "pet", "id": value(&pet), "action": "discarded", "operations": [
            given_up(0, "pet", &pet, json!({"name": "Rex", "clientId": 999})),
            given_up(1, "appointment", &visit, json!({"petId": value(&pet), "clientId": visited["clientId"]})),
        ]}]});
        assert_eq!(tab.end("delete", json!({"dryRun": true})).await, expected);
        assert_eq!((tab.queue().await.len(), tab.check().await["ok"].clone()), (2, json!(false)), "nothing was stored");
        assert_eq!(tab.end("delete", json!({"reason": "the client moved away"})).await, expected);
        assert_eq!((tab.queue().await.len(), tab.check().await["ok"].clone()), (0, json!(true)));
        let trail = anna.store.dump(Table::Audit);
        let (_, last) = trail.last().expect("a row");
        let last: Value = serde_json::from_str(last).expect("JSON");
        let kept: Vec<_> = last["entries"].as_array().expect("a list").iter().map(|entry| (&entry["event"], &entry["payload"])).collect();
        let create = |data: &Value| json!({"kind": "create", "data": data});
        let lost =
            [create(&json!({"name": "Rex", "clientId": 999})), create(&json!({"petId": value(&pet), "clientId": visited["clientId"]}))];
        let discarded = json!("discarded");
        assert_eq!((kept, &last["reason"]), (vec![(&discarded, &lost[0]), (&discarded, &lost[1])], &json!("the client moved away")));
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 1, "the client alone");
    });
}

#[test]
fn a_setting_that_wants_reasons_wants_one_for_giving_up() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"audit": {"requireReason": ["discard"]}})).await;
        tab.sync().await;
        tab.create("pet", json!({"clientId": 999})).await;
        let refused = tab.engine.resolve_orphans("delete", "").await.expect_err("no reason");
        assert_eq!((refused.code, tab.queue().await.len()), ("reason_required", 1));
        assert_eq!(tab.end("delete", json!({"dryRun": true})).await["resolved"][0]["action"], "discarded", "to look needs none");
        assert_eq!(tab.end("delete", json!({"reason": "a slip"})).await["resolved"][0]["action"], "discarded");
    });
}

#[test]
fn orphans_that_the_server_has_are_deleted_by_writes_that_it_gets_children_first() {
    tell(async {
        let world = World::new();
        let (tab, office, client) = with_client(&world).await;
        // Here it goes while a pet and its visit come to it elsewhere: the server keeps it, and the delete is parked.
        tab.delete("client", &client.to_string()).await;
        let pet = office.create("pet", json!({"name": "Rex", "clientId": client})).await;
        let visit = office.create("appointment", json!({"petId": value(&pet), "clientId": client})).await;
        assert!(office.sync().await.success);
        assert!(!tab.sync().await.success);
        let (pet, visit) = (office.real_id("pet", &pet).await, office.real_id("appointment", &visit).await);
        let report = tab.check().await;
        let told: Vec<_> = report["dangling"].as_array().expect("a list").iter().map(|orphan| (&orphan["id"], &orphan["why"])).collect();
        assert_eq!(told, [(&visit, &json!("deleted")), (&pet, &json!("deleted"))]);
        assert_eq!((&report["records"], &report["references"]), (&json!(2), &json!(3)), "that of the visit to its pet is sound");
        // A note of the visit is no orphan and stands in the way.
        let note = tab.create("note", json!({"appointmentId": visit})).await;
        let dry = tab.end("delete", json!({"dryRun": true})).await;
        let failed = tab.end("delete", json!({})).await;
        assert_eq!(dry, failed);
        let codes: Vec<_> = failed["failed"].as_array().expect("a list").iter().map(|one| (&one["id"], &one["error"]["code"])).collect();
        assert_eq!(
            (codes, failed["resolved"].clone()),
            (vec![(&visit, &json!("has_dependents")), (&pet, &json!("has_dependents"))], json!([]))
        );
        tab.delete("note", &note).await;
        let dry = tab.end("delete", json!({"dryRun": true})).await;
        assert_eq!(tab.all("pet").await.len(), 1, "nothing was stored");
        let done = tab.end("delete", json!({})).await;
        let ended = |entity: &str, id: &Value| json!({"entity": entity, "id": id, "action": "deleted", "operations": []});
        assert_eq!(done, json!({"failed": [], "resolved": [ended("appointment", &visit), ended("pet", &pet)]}));
        assert_eq!(dry, done);
        assert_eq!(tab.check().await["ok"], true);
        let parked = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        tab.engine.retry(&parked, None).await.expect("sent again");
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        assert!(office.sync().await.success);
        assert_eq!((office.all("client").await.len(), office.all("pet").await.len(), office.all("appointment").await.len()), (0, 0, 0));
    });
}

#[test]
fn keep_changes_nothing_and_queue_holds_back_what_is_unsent() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let pet = tab.create("pet", json!({"name": "Rex", "clientId": 999})).await;
        tab.update("pet", &pet, json!({"name": "Max"})).await;
        let before = tab.queue().await;
        let kept = json!({"entity": "pet", "id": value(&pet), "action": "kept", "operations": []});
        assert_eq!(tab.end("keep", json!({})).await, json!({"resolved": [kept], "failed": []}));
        let create = before[0]["operationId"].clone();
        let held = json!({"operationId": create, "entity": "pet", "recordId": value(&pet), "kind": "create",
            "payload": {"name": "Rex", "clientId": 999}});
        let queued = json!({"resolved": [{"entity": "pet", "id": value(&pet), "action": "queued", "operations": [held]}], "failed": []});
        assert_eq!(tab.end("queue", json!({"dryRun": true})).await, queued);
        assert_eq!(tab.queue().await, before, "nothing was stored");
        assert_eq!(tab.end("queue", json!({})).await, queued);
        assert_eq!(tab.end("queue", json!({})).await, queued, "it is there already");
        let waits = tab.queue().await;
        let why = &waits[0]["reason"];
        assert_eq!((&waits[0]["state"], &why["code"], &why["path"]), (&json!("parked"), &json!("dangling_reference"), &json!("clientId")));
        assert_eq!((&waits[1]["state"], world.requests("upload")), (&json!("blocked"), 1));
        tab.sync().await;
        assert_eq!(world.requests("upload"), 1, "it is held back");
        let edit = json!({"set": {"clientId": tab.real_id("client", &client).await}}).to_string();
        tab.engine.retry(create.as_str().expect("an ID"), Some(&edit)).await.expect("put right");
        assert!(tab.sync().await.success);
        assert_eq!((tab.all("pet").await[0]["name"].clone(), tab.check().await["ok"].clone()), (json!("Max"), json!(true)));
    });
}

#[test]
fn queue_tells_what_it_cannot_hold_back() {
    tell(async {
        let world = World::new();
        let (tab, office, client) = with_client(&world).await;
        office.create("pet", json!({"name": "Rex", "clientId": client})).await;
        assert!(office.sync().await.success);
        tab.delete("client", &client.to_string()).await;
        tab.sync().await;
        let told = tab.end("queue", json!({})).await;
        assert_eq!((&told["resolved"], &told["failed"][0]["error"]["code"]), (&json!([]), &json!("not_queued")));
        let sent = tab.create("pet", json!({"clientId": 999})).await;
        tab.fault("upload", crate::world::Fault::LoseAnswer);
        tab.up().await;
        let told = tab.end("queue", json!({})).await;
        let sealed = told["failed"].as_array().expect("a list").iter().find(|one| one["id"] == value(&sent)).expect("told");
        assert_eq!(sealed["error"]["code"], "sealed");
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_its_name() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        for (strategy, options, path) in [
            ("drop", "", "strategy"),
            ("delete", r#"{"dryRun": 1}"#, "dryRun"),
            ("delete", r#"{"dryrun": true}"#, "dryrun"),
            ("delete", r#"{"reason": 1}"#, "reason"),
        ] {
            let refused = tab.engine.resolve_orphans(strategy, options).await.expect_err("refused");
            assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!(path)));
        }
        let refused = tab.engine.check_references(r#"{"limit": -1}"#).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("limit")));
    });
}

#[test]
fn what_is_written_under_an_id_of_before_is_held_back_too() {
    tell(async {
        let world = World::new();
        let (tab, office) = (world.device("anna").tab().await, world.device("ben").tab().await);
        let client = tab.create("client", json!({"name": "A"})).await;
        let pet = tab.create("pet", json!({"clientId": value(&client)})).await;
        // The client goes alone: the pet still has its temp ID, and is deleted over there.
        let create = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        let wanted = Wanted { operations: vec![OpId::parse(&create).expect("an ID")], ..Wanted::all(Direction::Up) };
        assert!(tab.engine.sync_with(wanted, None).await.success && office.sync().await.success);
        let real = tab.real_id("client", &client).await;
        office.delete("client", &real.to_string()).await;
        assert!(office.sync().await.success);
        tab.down().await;
        let report = tab.check().await;
        assert_eq!((&report["dangling"][0]["id"], &report["dangling"][0]["target"]["id"]), (&value(&pet), &real));
        let told = tab.end("queue", json!({})).await;
        assert_eq!(
            (&told["resolved"][0]["action"], &told["resolved"][0]["operations"][0]["payload"]["clientId"]),
            (&json!("queued"), &real)
        );
    });
}

#[test]
fn a_dry_run_knows_of_more_dependents_than_a_refusal_names() {
    tell(async {
        let world = World::new();
        let (tab, office, client) = with_client(&world).await;
        tab.delete("client", &client.to_string()).await;
        let pet = office.create("pet", json!({"name": "Rex", "clientId": client})).await;
        for _ in 0..21 {
            office.create("appointment", json!({"petId": value(&pet), "clientId": client})).await;
        }
        assert!(office.sync().await.success);
        // The last one is no orphan.
        office.create("appointment", json!({"petId": office.real_id("pet", &pet).await})).await;
        assert!(office.sync().await.success);
        tab.sync().await;
        let dry = tab.end("delete", json!({"dryRun": true})).await;
        let done = tab.end("delete", json!({})).await;
        assert_eq!(dry, done);
    });
}

#[test]
fn a_dry_run_knows_what_goes_along() {
    tell(async {
        let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        let note = json!({"references": {"appointmentId": "appointment", "petId": "pet", "clientId": "client"},
            "onDelete": {"appointmentId": "cascade"}});
        schema["entities"]["note"] = note;
        let world = World::declaring(&schema);
        let settings = json!({"schema": schema});
        let (tab, office) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        let client = office.create("client", json!({"name": "A"})).await;
        assert!(office.sync().await.success && tab.sync().await.success);
        let client = office.real_id("client", &client).await;
        tab.delete("client", &client.to_string()).await;
        let pet = value(&office.create("pet", json!({"clientId": client})).await);
        let visit = value(&office.create("appointment", json!({"clientId": client})).await);
        // One note is an orphan too. The other is none, and stands in the way of the pet until it goes with the visit.
        office.create("note", json!({"appointmentId": visit, "clientId": client})).await;
        office.create("note", json!({"appointmentId": visit, "petId": pet})).await;
        assert!(office.sync().await.success);
        tab.sync().await;
        let dry = tab.end("delete", json!({"dryRun": true})).await;
        assert_eq!(tab.all("note").await.len(), 2, "nothing was stored");
        let done = tab.end("delete", json!({})).await;
        assert_eq!(dry, done);
        let ended: Vec<_> = done["resolved"].as_array().expect("a list").iter().map(|one| (&one["entity"], &one["action"])).collect();
        let (visit, note, pet, deleted) = (json!("appointment"), json!("note"), json!("pet"), json!("deleted"));
        assert_eq!((ended, &done["failed"]), (vec![(&visit, &deleted), (&note, &deleted), (&pet, &deleted)], &json!([])));
        assert_eq!(tab.all("note").await.len(), 0);
    });
}

/// The values that the trail of a tab has of what was given up: of each entry its event, payload and fields.
async fn kept(tab: &Tab) -> Vec<Value> {
    let rows = tab.engine.audit_query("", r#"{"order": "desc"}"#, true).await.expect("read");
    let rows = rows.as_array().expect("a list");
    let entries = rows.iter().flat_map(|row| row["entries"].as_array().cloned().unwrap_or_default());
    let given_up = |entry: &Value| entry["event"] == "discarded" || entry["event"] == "coalesced";
    entries.filter(given_up).map(|entry| json!([entry["entity"], entry["payload"]["data"], entry["fields"]])).collect()
}

#[test]
fn what_the_settings_say_of_an_entity_holds_for_what_is_given_up_too() {
    tell(async {
        for (said, expected) in [
            (json!({}), json!(["pet", {"name": "Rex", "clientId": 999}, null])),
            (json!({"*": "payload"}), json!(["pet", {"name": "Rex", "clientId": 999}, null])),
            (json!({"*": "payload", "pet": "hash"}), json!(["pet", null, null])),
            (json!({"pet": "fields"}), json!(["pet", null, ["clientId", "name"]])),
        ] {
            let world = World::new();
            let tab = world.device("anna").tab_with(json!({"audit": {"content": said}})).await;
            tab.sync().await;
            tab.create("pet", json!({"name": "Rex", "clientId": 999})).await;
            tab.end("delete", json!({})).await;
            assert_eq!(kept(&tab).await, [expected], "{said}");
            // What a person gives up by its name was looked at.
            tab.create("tag", json!({"name": "red"})).await;
            let create = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
            tab.engine.discard(&create, None).await.expect("given up");
            assert_eq!(kept(&tab).await[0], json!(["tag", null, null]));
        }
    });
}

#[test]
fn what_goes_along_with_an_orphan_and_was_never_sent_is_kept_in_the_trail() {
    tell(async {
        let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        schema["entities"]["note"]["references"]["petId"] = json!("pet");
        schema["entities"]["note"]["onDelete"] = json!({"petId": "cascade"});
        let world = World::declaring(&schema);
        let settings = json!({"schema": schema, "coalesce": true});
        let (tab, office) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        let client = office.create("client", json!({"name": "A"})).await;
        assert!(office.sync().await.success && tab.sync().await.success);
        let client = office.real_id("client", &client).await;
        tab.delete("client", &client.to_string()).await;
        let pet = office.create("pet", json!({"clientId": client})).await;
        assert!(office.sync().await.success);
        tab.sync().await;
        let pet = office.real_id("pet", &pet).await;
        tab.create("note", json!({"petId": pet, "text": "bites"})).await;
        let ended = tab.end("delete", json!({})).await;
        assert_eq!((&ended["resolved"][0]["action"], tab.all("note").await.len()), (&json!("deleted"), 0), "{ended}");
        let told = kept(&tab).await;
        assert!(told.contains(&json!(["note", {"petId": pet, "text": "bites"}, null])), "{told:?}");
    });
}

#[test]
fn more_than_a_row_of_the_trail_can_keep_is_given_up_in_parts() {
    tell(async {
        let tab = World::new().device("anna").tab().await;
        tab.sync().await;
        let pet = tab.create("pet", json!({"clientId": 999})).await;
        for _ in 0..4 {
            tab.create("appointment", json!({"petId": value(&pet), "text": "x".repeat(900 << 10)})).await;
        }
        for options in [json!({"dryRun": true}), json!({})] {
            let told = tab.end("delete", options).await;
            assert_eq!((&told["failed"][0]["error"]["code"], tab.queue().await.len()), (&json!("too_large"), 5));
        }
        let last = tab.queue().await[4]["operationId"].as_str().expect("an ID").to_owned();
        tab.engine.discard(&last, None).await.expect("given up");
        assert_eq!((&tab.end("delete", json!({})).await["failed"], tab.queue().await.len()), (&json!([]), 0));
        assert!(tab.sync().await.success, "the server takes that row");
    });
}
