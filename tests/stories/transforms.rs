//! Records whose form on the wire is another than the app's: other names, other values, fields that only the server has. Dora
//! has an app of the server's own form; what she sees is what went over the wire.

use fieldsync::engine::{Direction, Wanted};
use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

/// The form of the server.
pub fn theirs() -> Value {
    json!({"name": "wire", "version": 1, "entities": {
        "customers": {"fields": {"full_name": {"type": "string", "maxLength": 10}}},
        "animals": {
            "references": {"owner_id": "customers"}, "unique": [["chip_no"]],
            "conflicts": {"default": "manual", "fields": {"visits": "counter"}},
            "fields": {"birth_date": {"type": "string"}, "source": {"required": true}}
        }
    }})
}

/// The form of the app.
pub fn ours(version: u32, born: &Value, more: &Value) -> Value {
    let mut fields = json!({
        "clientId": {"name": "owner_id"}, "chip": {"name": "chip_no"}, "born": {"name": "birth_date", "convert": born},
        "species": {"convert": {"values": {"dog": "D", "cat": "C"}}}, "status": {"default": "open"}
    });
    for (name, field) in more.as_object().into_iter().flatten() {
        fields[name] = field.clone();
    }
    let of_pet = json!({"version": version, "entity": "animals", "fields": fields, "drop": ["internal"], "constants": {"source": "app"}});
    json!({"name": "app", "version": version, "entities": {
        "client": {"transform": {"version": 1, "entity": "customers", "fields": {"name": {"name": "full_name"}}}},
        "pet": {
            "references": {"clientId": "client"}, "unique": [["chip"]], "transform": of_pet,
            "conflicts": {"default": "manual", "fields": {"visits": "counter"}}
        }
    }})
}

fn app() -> Value {
    json!({ "schema": ours(1, &json!("time"), &json!({})) })
}

pub struct Stage {
    pub world: World,
    pub anna: Tab,
    pub dora: Tab,
}

impl Stage {
    pub async fn set() -> Self {
        let world = World::declaring(&theirs());
        let anna = world.device("anna").tab_with(app()).await;
        let dora = world.device("dora").tab_with(json!({ "schema": theirs() })).await;
        Self { world, anna, dora }
    }
    /// What the server has of the only animal.
    async fn there(&self) -> Value {
        assert!(self.dora.sync().await.success);
        let mut animals = self.dora.all("animals").await;
        assert_eq!(animals.len(), 1);
        bare(animals.remove(0))
    }
}

/// A record without what FieldSync says of it.
fn bare(mut record: Value) -> Value {
    record.as_object_mut().expect("a record").remove("_sync");
    record
}

pub async fn only(tab: &Tab, entity: &str) -> Value {
    let mut all = tab.all(entity).await;
    assert_eq!(all.len(), 1);
    bare(all.remove(0))
}

#[test]
fn a_chain_goes_up_in_the_form_of_the_wire_and_comes_down_in_that_of_the_app() {
    tell(async {
        let stage = Stage::set().await;
        let ada = stage.anna.create("client", json!({"name": "Ada"})).await;
        let ada: Value = serde_json::from_str(&ada).expect("an ID");
        let rex = json!({"clientId": ada, "name": "Rex", "born": 951_825_600_007_u64, "species": "dog", "visits": 1, "note": null});
        stage.anna.create("pet", rex).await;
        let result = stage.anna.sync().await;
        assert!(result.success && result.synced == 2, "{result:?}");

        let there = stage.there().await;
        let owner = bare(stage.dora.all("customers").await.remove(0));
        assert_eq!(owner, json!({"id": owner["id"], "full_name": "Ada"}));
        let rex = json!({"id": there["id"], "owner_id": owner["id"], "name": "Rex", "birth_date": "2000-02-29T12:00:00.007Z",
            "species": "D", "visits": 1, "note": null, "source": "app"});
        assert_eq!(there, rex);

        // What the app does not see of a record stays at the server when it changes another part of it, a counter too.
        stage
            .dora
            .update("animals", &there["id"].to_string(), json!({"internal": "lame", "birth_date": "2001-01-01T00:00:00.25+01:00"}))
            .await;
        assert!(stage.dora.sync().await.success && stage.anna.sync().await.success);
        let rex = json!({"id": there["id"], "clientId": owner["id"], "name": "Rex", "born": 978_303_600_250_u64,
            "species": "dog", "visits": 1, "note": null, "status": "open"});
        assert_eq!(only(&stage.anna, "pet").await, rex);
        stage.anna.update("pet", &there["id"].to_string(), json!({"visits": 2, "species": "cat", "status": "closed"})).await;
        assert!(stage.anna.sync().await.success);
        let changed = stage.there().await;
        assert_eq!((&changed["visits"], &changed["species"], &changed["status"]), (&json!(2), &json!("C"), &json!("closed")));
        assert_eq!((&changed["internal"], &changed["birth_date"]), (&json!("lame"), &json!("2001-01-01T00:00:00.25+01:00")));

        // One entity alone is asked for by its name there.
        stage.dora.update("animals", &there["id"].to_string(), json!({"name": "Max"})).await;
        assert!(stage.dora.sync().await.success);
        let one = Wanted { entity: Some("pet".to_owned()), ..Wanted::all(Direction::Both) };
        assert!(stage.anna.engine.sync_with(one, None).await.success);
        assert_eq!(only(&stage.anna, "pet").await["name"], "Max");
        stage.anna.delete("pet", &there["id"].to_string()).await;
        assert!(stage.anna.sync().await.success && stage.dora.sync().await.success);
        assert!(stage.dora.all("animals").await.is_empty());
    });
}

/// Anna and Dora have both changed a pet that both know; Anna's change has met the server's.
async fn disputed() -> Stage {
    let stage = Stage::set().await;
    stage.anna.create("pet", json!({"name": "Rex", "born": 0, "species": "dog"})).await;
    assert!(stage.anna.sync().await.success);
    let id = stage.there().await["id"].to_string();
    stage.world.pass(1_000);
    stage.dora.update("animals", &id, json!({"birth_date": "1970-01-01T00:00:01Z", "species": "C"})).await;
    assert!(stage.dora.sync().await.success);
    stage.world.pass(1_000);
    stage.anna.update("pet", &id, json!({"born": 2_000, "name": "Max"})).await;
    assert_eq!(stage.anna.up().await.conflicts, 1);
    stage
}

#[test]
fn a_conflict_is_told_and_decided_in_the_form_of_the_app_on_every_device() {
    tell(async {
        let stage = disputed().await;
        let second = stage.world.device("anna").tab_with(app()).await;
        assert!(second.sync().await.success);
        // The second device does not know what the change was written on: all of it is concerned.
        for (tab, fields) in [(&stage.anna, json!(["born"])), (&second, json!(["born", "name"]))] {
            let conflict = tab.engine.conflicts().await.expect("read").remove(0);
            assert_eq!((&conflict["entity"], &conflict["affectedFields"]), (&json!("pet"), &fields), "{conflict}");
            assert_eq!((&conflict["localData"]["born"], &conflict["serverData"]["born"]), (&json!(2_000), &json!(1_000)));
            assert_eq!((&conflict["serverData"]["species"], &conflict["operation"]["entity"]), (&json!("cat"), &json!("pet")));
            assert_eq!(conflict["operation"]["data"], json!({"set": {"/born": 2_000, "/name": "Max"}}));
        }
        let conflict = second.engine.conflicts().await.expect("read")[0]["id"].as_u64().expect("a key");
        second.engine.resolve(conflict, r#"{"type": "client-wins"}"#).await.expect("decided");
        assert!(second.sync().await.success);
        let there = stage.there().await;
        assert_eq!(
            (&there["birth_date"], &there["name"], &there["species"]),
            (&json!("1970-01-01T00:00:02.000Z"), &json!("Max"), &json!("C"))
        );
        assert!(stage.anna.sync().await.success);
        assert_eq!(only(&stage.anna, "pet").await["born"], 2_000);
        let renewed = stage.anna.engine.conflicts().await.expect("read").remove(0);
        assert_eq!((&renewed["serverData"]["born"], &renewed["serverData"]["species"]), (&json!(2_000), &json!("cat")));
    });
}

#[test]
fn what_the_server_refuses_names_the_fields_of_the_app() {
    tell(async {
        let stage = Stage::set().await;
        stage.anna.create("client", json!({"name": "Ada Lovelace"})).await;
        let first = stage.anna.create("pet", json!({"name": "Rex", "chip": "7"})).await;
        assert_eq!(stage.anna.sync().await.failed, 1);
        let reason = &stage.anna.queue().await[0]["reason"];
        assert_eq!((&reason["path"], &reason["faults"]), (&json!("name"), &json!([{"path": "name", "rule": "maxLength"}])));
        stage.dora.create("animals", json!({"name": "Tom", "chip_no": "8", "source": "dora"})).await;
        assert!(stage.dora.sync().await.success);
        stage.anna.update("pet", &first, json!({"chip": "8"})).await;
        assert_eq!(stage.anna.up().await.conflicts, 1);
        let conflict = stage.anna.engine.conflicts().await.expect("read").remove(0);
        assert_eq!((&conflict["kind"], &conflict["affectedFields"]), (&json!("constraint"), &json!(["chip"])));
        assert_eq!((&conflict["other"]["data"]["chip"], &conflict["other"]["data"]["name"]), (&json!("8"), &json!("Tom")));
        assert_eq!(conflict["other"]["data"]["chip_no"], Value::Null);
    });
}

#[test]
fn a_value_without_a_form_is_refused_here_and_kept_aside_from_there() {
    tell(async {
        let stage = Stage::set().await;
        for (field, value) in [
            ("born", json!("yesterday")),
            ("born", json!(1e15)),
            ("species", json!("cow")),
            ("chip_no", json!("1")),
            ("source", json!(1)),
            ("internal", json!(1)),
        ] {
            let error = stage.anna.engine.create("pet", &json!({ field: value }).to_string()).await.expect_err("refused");
            assert_eq!(
                (error.code, &error.details["faults"]),
                ("invalid_record", &json!([{"path": field, "rule": "transform"}])),
                "{field}"
            );
        }
        assert!(stage.anna.queue().await.is_empty());
        stage.dora.create("animals", json!({"name": "Tom", "birth_date": "in May", "source": "dora"})).await;
        stage.dora.create("animals", json!({"name": "Rex", "source": "dora", "clientId": 1})).await;
        stage.dora.create("animals", json!({"name": "Max", "source": "dora"})).await;
        assert!(stage.dora.sync().await.success);
        assert_eq!(stage.anna.sync().await.quarantined, 2);
        assert_eq!(only(&stage.anna, "pet").await["name"], "Max");
        let aside = stage.anna.engine.quarantine("{}").await.expect("read");
        let reasons: Vec<&Value> = aside.iter().map(|row| &row["reason"]).collect();
        let of = |field: &str| json!(format!("the transform has no value for the field '{field}'"));
        assert_eq!(reasons, [&of("birth_date"), &of("clientId")]);
        // The server mends one.
        let tom = aside[0]["id"].to_string();
        stage.dora.update("animals", &tom, json!({"birth_date": "1970-01-01T00:00:05Z"})).await;
        assert!(stage.dora.sync().await.success && stage.anna.sync().await.success);
        assert_eq!(stage.anna.get("pet", &tom).await.expect("shown")["born"], 5_000);
    });
}

#[test]
fn what_was_sealed_goes_up_as_it_did_before_whatever_form_a_later_release_has() {
    // The first release of the app has a form of its own, or none yet.
    let plain = json!({"name": "app", "version": 1, "entities": {"client": {}, "pet": {}}});
    let same = json!({"name": "wire", "version": 1, "entities": {"customers": {}, "pet": {}}});
    let seconds = |version| ours(version, &json!("seconds"), &json!({}));
    let mut renamed = seconds(2);
    renamed["entities"]["pet"]["transform"]["entity"] = json!("pet");
    for (server, first, later, born) in [
        (
            json!({"name": "wire", "version": 1, "entities": {"customers": {}, "animals": {"references": {"owner_id": "customers"}}}}),
            ours(1, &json!("time"), &json!({})),
            seconds(2),
            json!("1970-01-01T00:00:02.000Z"),
        ),
        (same, plain, renamed, json!(2_000)),
    ] {
        tell(async move {
            let world = World::declaring(&server);
            let device = world.device("anna");
            let old = device.tab_with(json!({ "schema": first })).await;
            // Something came down in the old form.
            assert!(old.sync().await.success);
            old.create("pet", json!({"name": "Rex", "born": 2_000})).await;
            old.fault("upload", Fault::LoseAnswer);
            assert!(!old.up().await.success);
            old.create("pet", json!({"name": "Tom", "born": 3_000})).await;
            old.engine.close();
            let new = device.tab_with(json!({ "schema": later })).await;
            let result = new.up().await;
            assert!(result.success && result.synced == 2, "{result:?}");
            let dora = world.device("dora").tab_with(json!({ "schema": server })).await;
            assert!(dora.sync().await.success);
            let entity = if born == 2_000 { "pet" } else { "animals" };
            let there = dora.all(entity).await;
            let field = if born == 2_000 { "born" } else { "birth_date" };
            assert_eq!((there.len(), &there[0][field]), (2, &born), "once, and as it was sent first");
            // What was not sent has the form of today; where there was none before, it is the server's already.
            assert_eq!(there[1][field], if born == 2_000 { json!(3_000) } else { json!(3) });
        });
    }
}

#[test]
fn what_came_in_another_form_is_downloaded_anew() {
    tell(async {
        let world = World::declaring(&theirs());
        let dora = world.device("dora").tab_with(json!({ "schema": theirs() })).await;
        dora.create("animals", json!({"name": "Tom", "source": "7", "internal": "lame"})).await;
        assert!(dora.sync().await.success);
        let device = world.device("anna");
        let old = device.tab_with(app()).await;
        assert!(old.sync().await.success);
        let tom = only(&old, "pet").await;
        assert_eq!(tom, json!({"id": tom["id"], "name": "Tom", "status": "open"}));
        old.engine.close();
        let mut schema = ours(2, &json!("time"), &json!({"remark": {"name": "internal"}}));
        schema["entities"]["pet"]["transform"]["drop"] = json!([]);
        let new = device.tab_with(json!({ "schema": schema })).await;
        assert!(new.sync().await.success);
        assert_eq!(only(&new, "pet").await["remark"], "lame");
        new.engine.close();
        // And without any form of its own: then it is the server's.
        let plain = json!({"name": "app", "version": 3, "entities": {"pet": {}, "animals": {}}});
        let last = device.tab_with(json!({ "schema": plain })).await;
        assert!(last.sync().await.success);
        assert!(last.all("pet").await.is_empty());
        assert_eq!(only(&last, "animals").await["internal"], "lame");
    });
}

#[test]
fn unsent_work_in_a_file_goes_up_from_another_device_in_the_same_form() {
    tell(async {
        let stage = Stage::set().await;
        stage.anna.create("pet", json!({"name": "Rex", "born": 2_000})).await;
        stage.anna.fault("upload", Fault::LoseAnswer);
        assert!(!stage.anna.up().await.success);
        stage.anna.create("pet", json!({"name": "Tom", "born": 3_000})).await;
        let file = stage.anna.engine.export().await.expect("written");
        let other = stage.world.device("anna").tab_with(app()).await;
        other.engine.import(&file).await.expect("read");
        let result = other.sync().await;
        assert!(result.success && result.synced == 2, "{result:?}");
        assert!(stage.anna.sync().await.success && stage.dora.sync().await.success);
        let born: Vec<Value> = stage.dora.all("animals").await.into_iter().map(|animal| animal["birth_date"].clone()).collect();
        assert_eq!(born, ["1970-01-01T00:00:02.000Z", "1970-01-01T00:00:03.000Z"]);
        // A file that somebody changed does not get another request under a known name.
        let mut forged: Value = serde_json::from_str(&file).expect("JSON");
        let text = forged.to_string();
        assert!(text.contains("wire"), "the first was sealed, with its form");
        forged["unsent"]["operations"][0]["wire"] = json!("{}],\"operations\":[");
        let third = stage.world.device("anna").tab_with(app()).await;
        third.engine.import(&forged.to_string()).await.expect("read");
        assert!(third.sync().await.success);
    });
}

#[test]
fn a_conflict_with_a_record_that_has_no_form_here_is_parked_and_met_anew() {
    tell(async {
        let stage = Stage::set().await;
        stage.anna.create("pet", json!({"name": "Rex", "born": 0, "species": "dog"})).await;
        assert!(stage.anna.sync().await.success);
        let id = stage.there().await["id"].to_string();
        stage.dora.update("animals", &id, json!({"birth_date": "1970-01-01T00:00:01Z", "species": "X"})).await;
        assert!(stage.dora.sync().await.success);
        stage.world.pass(1_000);
        stage.anna.update("pet", &id, json!({"born": 2_000})).await;
        let result = stage.anna.up().await;
        assert_eq!((result.conflicts, result.failed), (0, 1), "nobody is shown what cannot be");
        let item = stage.anna.queue().await.remove(0);
        let reason = &item["reason"];
        assert_eq!((&item["state"], &reason["code"], &reason["path"]), (&json!("parked"), &json!("transform_failed"), &json!("species")));
        stage.dora.update("animals", &id, json!({"species": "C"})).await;
        assert!(stage.dora.sync().await.success);
        stage.anna.engine.retry(item["operationId"].as_str().expect("an ID"), None).await.expect("sent again");
        assert_eq!(stage.anna.up().await.conflicts, 1);
        let conflict = stage.anna.engine.conflicts().await.expect("read").remove(0);
        assert_eq!((&conflict["serverData"]["born"], &conflict["serverData"]["species"]), (&json!(1_000), &json!("cat")));
        let key = conflict["id"].as_u64().expect("a key");
        stage.anna.engine.resolve(key, r#"{"type": "client-wins"}"#).await.expect("decided");
        assert!(stage.anna.sync().await.success && stage.anna.queue().await.is_empty());
        assert_eq!(stage.there().await["birth_date"], "1970-01-01T00:00:02.000Z");
    });
}
