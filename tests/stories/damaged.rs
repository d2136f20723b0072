//! One row that nobody can read stops what needs it and nothing else: the database opens, the others are saved, sent and
//! read, a person can give the damaged work up or mend, and nothing is written over it before.

use fieldsync::plan::{Row, Table};
use fieldsync::store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::raw::{change, cut, damage, whole};
use crate::repair::shared;
use crate::trail::verify;
use crate::world::{Device, Tab, World, tell};

/// Damages the one row of a table that is meant.
async fn damage_one(store: &MemoryStore, table: Table, is_meant: impl Fn(&Row) -> bool) -> Row {
    let rows: Vec<Row> = whole(store, table).await.into_iter().filter(is_meant).collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    damage(store, table, rows.clone()).await;
    rows.into_iter().next().expect("one")
}

/// Damages the operation that holds this.
async fn damage_operation(store: &MemoryStore, holds: &str) -> Row {
    damage_one(store, Table::Outbox, |row| row.text.contains(holds)).await
}

/// Damages the last row of the trail.
async fn damage_last(store: &MemoryStore) -> Row {
    let last = whole(store, Table::Audit).await.pop().expect("a row").key;
    damage_one(store, Table::Audit, |row| row.key == last).await
}

async fn damage_state(store: &MemoryStore, name: &str) {
    damage_one(store, Table::State, |row| row.key == name.into()).await;
}

/// A session, whatever state the rows are in; the codes of its errors.
async fn sync(tab: &Tab) -> Vec<String> {
    let result = tab.engine.sync(fieldsync::engine::Direction::Both, None).await;
    result.errors.into_iter().map(|error| error.code).collect()
}

async fn names(tab: &Tab) -> Vec<Value> {
    tab.all("client").await.iter().map(|record| record["name"].clone()).collect()
}

/// Ada is downloaded, and changed here since; Cleo is new here.
async fn lived(world: &World) -> (Device, Tab, Tab) {
    let (anna, here, there) = shared(world).await;
    here.update("client", "1", json!({"name": "Adele"})).await;
    here.create("client", json!({"name": "Cleo"})).await;
    (anna, here, there)
}

#[test]
fn an_operation_that_cannot_be_read_waits_for_a_person_and_everything_else_goes_on() {
    tell(async {
        let world = World::new();
        let (anna, here, there) = lived(&world).await;
        let operation = here.queue().await[0]["operationId"].clone();
        let was = damage_operation(&anna.store, "Adele").await;
        drop(here);
        for tab in [anna.tab().await, anna.tab().await] {
            let queue = tab.queue().await;
            let item = &queue[0];
            assert_eq!(
                (&item["operationId"], &item["entity"], &item["recordId"], &item["state"], &item["reason"]["code"]),
                (&operation, &json!("client"), &json!(1), &json!("parked"), &json!("damaged"))
            );
            assert_eq!(item["damaged"], cut(&was.text), "what is left of it can be looked at");
            assert_eq!(tab.warnings(), [("damaged".to_owned(), "client".to_owned())], "and it is told once");
        }
        let tab = anna.tab().await;
        // Its record changes at the server, others are saved, and all but it goes up and comes down.
        there.update("client", "1", json!({"age": 2})).await;
        assert!(there.sync().await.success);
        tab.create("client", json!({"name": "Dora"})).await;
        tab.update("client", "1", json!({"town": "Bern"})).await;
        assert_eq!(sync(&tab).await, Vec::<String>::new());
        assert!(there.sync().await.success);
        assert_eq!(names(&there).await, ["Ada", "Cleo", "Dora"]);
        let states: Vec<Value> = tab.queue().await.iter().map(|item| item["state"].clone()).collect();
        assert_eq!(states, ["parked", "blocked"], "what was written on it waits");
        assert_eq!(names(&tab).await, ["Adele", "Cleo", "Dora"], "the record is still seen as it was written");

        let id = operation.as_str().expect("a text");
        assert_eq!(tab.engine.retry(id, None).await.expect_err("nobody knows what to send").code, "integrity");
        let done = tab.engine.repair("").await.expect("repaired");
        assert_eq!((done["left"][0]["code"].clone(), done["left"][0]["table"].clone()), (json!("unreadable"), json!("outbox")));
        assert_eq!(whole(&anna.store, Table::Outbox).await[0].text, cut(&was.text), "nothing was written over it");
        let file = tab.engine.export().await.expect("exported");
        assert!(file.contains("Bern") && !file.contains(&format!(r#""id":{operation}"#)), "{file}");
        let given_up = tab.engine.discard(id, Some("damaged")).await.expect("given up");
        assert_eq!(given_up["discarded"].as_array().map(Vec::len), Some(2));
        let told = tab.engine.audit_query("", &json!({"operation": id, "event": "discarded"}).to_string(), true).await.expect("told");
        assert_eq!(told[0]["reason"], "damaged");
        assert!(tab.sync().await.success, "and all rows are in order again");
        let ada = tab.get("client", "1").await.expect("there");
        assert_eq!((&ada["name"], &ada["age"], &ada["town"]), (&json!("Ada"), &json!(2), &Value::Null));
    });
}

#[test]
fn a_group_with_a_damaged_member_waits_as_a_whole() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let create = |name: &str| json!({"kind": "create", "entity": "client", "data": {"name": name}});
        tab.engine.transaction(&json!([create("A"), create("B")]).to_string()).await.expect("saved");
        tab.create("client", json!({"name": "C"})).await;
        damage_operation(&anna.store, "\\\"A\\\"").await;
        let tab = anna.tab().await;
        assert_eq!(sync(&tab).await, Vec::<String>::new());
        assert_eq!(world.changes().await.len(), 1);
        let queue = tab.queue().await;
        let id = queue[0]["operationId"].as_str().expect("a text").to_owned();
        let states: Vec<&Value> = queue.iter().map(|item| &item["state"]).collect();
        assert_eq!(states, ["parked", "blocked"]);
        tab.engine.discard(&id, None).await.expect("given up");
        assert_eq!((tab.queue().await.len(), names(&tab).await), (0, vec![json!("C")]));
    });
}

/// It knows what it wrote, and sends it; what it cannot store is the answer.
#[test]
fn a_tab_that_was_open_finds_out_with_its_next_session() {
    tell(async {
        let world = World::new();
        let (anna, here, there) = lived(&world).await;
        damage_operation(&anna.store, "Adele").await;
        assert_eq!(sync(&here).await, ["integrity"]);
        assert_eq!(sync(&here).await, Vec::<String>::new());
        let states: Vec<Value> = here.queue().await.iter().map(|item| item["state"].clone()).collect();
        assert_eq!(states, ["parked"]);
        assert!(there.sync().await.success);
        assert_eq!(names(&there).await, ["Adele", "Cleo"]);
    });
}

#[test]
fn a_wipe_needs_to_read_nothing() {
    tell(async {
        let world = World::new();
        let (anna, here, _) = lived(&world).await;
        damage_operation(&anna.store, "Adele").await;
        damage_last(&anna.store).await;
        damage_state(&anna.store, "sync").await;
        let refused = here.engine.wipe(false, None).await.expect_err("unsent work");
        assert_eq!((refused.code, &refused.details["unsent"]), ("unsent_work", &json!(2)));
        assert_eq!(here.engine.wipe(true, None).await.expect("wiped")["discarded"], 2);
        let tab = anna.tab().await;
        assert_eq!((tab.queue().await.len(), tab.all("client").await.len()), (0, 0));
        assert!(tab.sync().await.success);
        assert_eq!(names(&tab).await, ["Ada"]);
    });
}

#[test]
fn behind_a_row_of_the_trail_that_cannot_be_read_a_repair_goes_on_and_a_verification_names_it() {
    tell(async {
        let world = World::new();
        let (anna, here, there) = lived(&world).await;
        let row = damage_last(&anna.store).await;
        let number = row.key.to_value();
        let refused = here.engine.create("client", r#"{"name": "Dora"}"#).await.expect_err("no line can follow");
        assert_eq!(refused.code, "integrity");
        let tab = anna.tab().await;
        assert_eq!((names(&tab).await, tab.queue().await.len()), (vec![json!("Adele"), json!("Cleo")], 2), "reading goes on");
        let before = world.requests("upload");
        assert_eq!((sync(&tab).await, world.requests("upload")), (vec!["integrity".to_owned()], before), "nothing is sent half");
        assert_eq!(tab.warnings(), [("damaged".to_owned(), "audit".to_owned())]);

        let done = tab.engine.repair("").await.expect("repaired");
        assert_eq!((&done["mended"][0]["key"], &done["mended"][0]["action"]), (&number, &json!("continued")), "{done}");
        tab.create("client", json!({"name": "Dora"})).await;
        assert_eq!(sync(&tab).await, Vec::<String>::new());
        assert!(there.sync().await.success);
        assert_eq!(names(&there).await, ["Adele", "Cleo", "Dora"]);
        let text = whole(&anna.store, Table::Audit).await.into_iter().find(|kept| kept.key == row.key).map(|row| row.text);
        assert_eq!(text.as_deref(), Some(cut(&row.text)), "the row stays as it was found");
        let found = verify(&tab, None).await;
        assert_eq!(found["firstBad"], json!({"number": number, "reason": "unreadable"}), "it is not made good");
        let behind = verify(&tab, number.as_u64().map(|number| number + 1)).await;
        assert_eq!(behind["ok"], true, "{behind}");
        // Whoever changes what is left of it changes what the next row is linked to.
        change(&anna.store, Table::Audit, vec![row.clone()], |_| "{".to_owned()).await;
        assert_eq!(verify(&tab, number.as_u64().map(|number| number + 1)).await["ok"], false);
    });
}

#[test]
fn a_lost_note_of_the_download_is_made_anew_by_a_repair_that_keeps_what_is_unsent() {
    for name in ["sync", "seals"] {
        tell(async {
            let world = World::new();
            let (anna, here, there) = lived(&world).await;
            if name == "seals" {
                here.fault(fieldsync::protocol::paths::UPLOAD, crate::world::Fault::LoseAnswer);
                here.up().await;
            }
            damage_state(&anna.store, name).await;
            let tab = anna.tab().await;
            assert_eq!(names(&tab).await, ["Adele", "Cleo"], "reading goes on");
            if name == "sync" {
                tab.create("client", json!({"name": "Dora"})).await;
                tab.update("client", "1", json!({"town": "Bern"})).await;
            }
            assert_eq!(sync(&tab).await, ["integrity"]);
            let done = tab.engine.repair("").await.expect("repaired");
            let mended = done["mended"].as_array().expect("a list");
            let key = mended.iter().find(|fault| fault["key"] == name).expect("mended");
            assert_eq!((&key["action"], &done["resync"]), (&json!("renewed"), &json!(name == "sync")), "{done}");
            there.update("client", "1", json!({"age": 2})).await;
            assert!(there.sync().await.success);
            assert!(tab.sync().await.success);
            assert!(there.sync().await.success);
            let expected = if name == "sync" { vec!["Adele", "Cleo", "Dora"] } else { vec!["Adele", "Cleo"] };
            assert_eq!(names(&there).await, expected);
            assert_eq!(names(&tab).await, expected);
            assert_eq!(tab.get("client", "1").await.expect("there")["age"], 2);
            assert_eq!((tab.queue().await.len(), world.changes().await.len()), (0, expected.len() + if name == "sync" { 3 } else { 2 }));
        });
    }
}

#[test]
fn a_database_that_lost_its_name_is_opened_and_gets_one_by_a_repair() {
    tell(async {
        let world = World::new();
        let (anna, here, there) = lived(&world).await;
        drop(here);
        damage_state(&anna.store, "device").await;
        let tab = anna.tab().await;
        assert_eq!(names(&tab).await, ["Adele", "Cleo"]);
        assert_eq!(sync(&tab).await, Vec::<String>::new());
        assert!(there.sync().await.success);
        assert_eq!(names(&there).await, ["Adele", "Cleo"]);
        let done = tab.engine.repair("").await.expect("repaired");
        assert_eq!((&done["mended"][0]["key"], &done["mended"][0]["action"]), (&json!("device"), &json!("renewed")), "{done}");
        let client = tab.engine.client().clone();
        assert_eq!(anna.tab().await.engine.client(), &client);
        assert!(tab.sync().await.success, "and all rows are in order");
    });
}

#[test]
fn a_repair_that_has_mended_says_so_whatever_this_tab_knew_before() {
    tell(async {
        let world = World::new();
        let (anna, here, there) = lived(&world).await;
        damage_operation(&anna.store, "Adele").await;
        // The position is another by now, and this tab has not heard of it.
        let other = anna.store.reopen();
        there.create("client", json!({"name": "Eva"})).await;
        assert!(there.sync().await.success);
        let sync: Vec<Row> = whole(&other, Table::State).await.into_iter().filter(|row| row.key == "sync".into()).collect();
        change(&other, Table::State, sync, |row| row.text.replace("\"generation\":0", "\"generation\":0,\"schema\":1,\"held\":true")).await;
        let base = whole(&anna.store, Table::Base).await;
        change(&anna.store, Table::Base, base, |row| row.text.replace("Ada", "XXX")).await;
        let done = here.engine.repair("").await.expect("repaired");
        assert_eq!(done["resync"], true, "{done}");
        assert!(done["mended"].as_array().is_some_and(|list| list.iter().any(|fault| fault["table"] == "base")), "{done}");
    });
}
