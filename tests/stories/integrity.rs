//! Rows that are not what was written: found and named, mended where something else knows what they were, and nothing
//! unsent thrown away.

use fieldsync::plan::{Row, Table, Write};
use fieldsync::store::memory::MemoryStore;
use fieldsync::value::Key;
use serde_json::{Value, json};

use crate::raw::{change, whole, write};
use crate::records::value;
use crate::world::{Device, Tab, World, tell};

impl Tab {
    /// As the client does it: part after part.
    async fn check_all(&self) -> Value {
        let (mut position, mut faults) = (json!({}), Vec::new());
        loop {
            let step = self.engine.check_integrity(&position.to_string()).await.expect("checked");
            faults.extend(step["faults"].as_array().cloned().unwrap_or_default());
            if let Value::Object(mut result) = step["result"].clone() {
                result.insert("faults".to_owned(), faults.into());
                return result.into();
            }
            position = step["position"].clone();
        }
    }
    /// The faults as `table code`.
    async fn faults(&self) -> Vec<String> {
        briefs(&self.check_all().await["faults"])
    }
    async fn repair(&self) -> Value {
        self.engine.repair("").await.expect("repaired")
    }
}

fn briefs(faults: &Value) -> Vec<String> {
    let brief = |fault: &Value| {
        let done = fault["action"].as_str().map(|action| format!(" {action}"));
        format!("{} {}{}", fault["table"].as_str().unwrap_or("?"), fault["code"].as_str().unwrap_or("?"), done.unwrap_or_default())
    };
    faults.as_array().expect("a list").iter().map(brief).collect()
}

/// A device with rows of every kind: downloaded, unsent, mapped, in conflict.
async fn lived(world: &World) -> (Device, Tab) {
    let (anna, ben) = (world.device("anna"), world.device("ben"));
    let (here, there) = (anna.tab().await, ben.tab().await);
    for name in ["A", "B", "C"] {
        there.create("client", json!({"name": name})).await;
    }
    let product = there.create("product", json!({"shelf": "a1", "n": 1.5})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let product = there.real_id("product", &product).await.to_string();
    here.create("pet", json!({"name": "Rex", "clientId": 1})).await;
    here.update("product", &product, json!({"shelf": "h"})).await;
    there.update("product", &product, json!({"shelf": "t"})).await;
    assert!(there.sync().await.success);
    here.sync().await;
    here.create("client", json!({"name": "unsent"})).await;
    here.update("client", "1", json!({"name": "changed"})).await;
    let quarantined = r#"{"version":"9","text":"{","reason":"syntax","at":1}"#.to_owned();
    let row = Row { key: Key::List(vec!["pet".into(), 9.into()]), text: quarantined, index: Vec::new() };
    write(&anna.store, vec![Write::Put(Table::Quarantine, row)]).await;
    // The row has no sum yet: give it one.
    as_of_an_earlier_release(&anna.store).await;
    assert_eq!(here.repair().await["hashed"], 2);
    assert_eq!(here.faults().await, Vec::<String>::new());
    (anna, here)
}

/// The row that says whose database it is, as a release without sums wrote it.
async fn as_of_an_earlier_release(store: &MemoryStore) {
    let device = whole(store, Table::State).await.into_iter().filter(|row| row.key == "device".into()).collect();
    change(store, Table::State, device, |row| without_sum(&row.text)).await;
}

fn without_sum(text: &str) -> String {
    let mut content: Value = serde_json::from_str(text).expect("JSON");
    for name in ["sum", "sums"] {
        content.as_object_mut().map(|content| content.remove(name));
    }
    content.to_string()
}

#[test]
fn a_flipped_bit_in_any_row_is_found_and_named() {
    tell(async {
        let world = World::new();
        let (device, tab) = lived(&world).await;
        assert_eq!(tab.faults().await, Vec::<String>::new());
        let mut flipped = 0;
        for table in Table::ALL {
            let rows = whole(&device.store, table).await;
            assert!(!rows.is_empty(), "{}", table.name());
            for row in rows.into_iter().filter(|row| row.text.starts_with('{')) {
                for at in (0..row.text.len()).step_by(23) {
                    let mut bytes = row.text.clone().into_bytes();
                    bytes[at] ^= 1 << (at % 6);
                    let Ok(text) = String::from_utf8(bytes) else { continue };
                    if serde_json::from_str::<Value>(&text).ok() == serde_json::from_str(&row.text).ok() {
                        continue;
                    }
                    change(&device.store, table, vec![row.clone()], |_| text.clone()).await;
                    let found = tab.check_all().await;
                    let named =
                        |fault: &Value| fault["table"] == table.name() && (fault["key"] == row.key.to_value() || table == Table::Audit);
                    assert!(found["faults"].as_array().is_some_and(|faults| faults.iter().any(named)), "{text}: {found}");
                    flipped += 1;
                }
                change(&device.store, table, vec![row.clone()], |row| row.text.clone()).await;
            }
        }
        assert!(flipped > 150, "{flipped}");
        assert_eq!(tab.faults().await, Vec::<String>::new(), "all is as it was");
    });
}

#[test]
fn what_a_release_without_sums_wrote_is_told_and_gets_them() {
    tell(async {
        let world = World::new();
        let (device, tab) = lived(&world).await;
        let mut rows_without = 0;
        for table in Table::ALL.into_iter().filter(|table| *table != Table::Audit) {
            let rows: Vec<Row> = whole(&device.store, table).await.into_iter().filter(|row| row.text.starts_with('{')).collect();
            rows_without += rows.len();
            change(&device.store, table, rows, |row| without_sum(&row.text)).await;
        }
        let found = tab.check_all().await;
        assert_eq!((&found["ok"], &found["checked"]["unhashed"]), (&json!(true), &json!(rows_without)), "{found}");
        let trail = whole(&device.store, Table::Audit).await.len();
        let told = tab.engine.repair(r#"{"dryRun": true}"#).await.expect("told");
        // The check wrote its two notes anew, with sums.
        assert_eq!((&told["hashed"], &told["mended"]), (&json!(rows_without - 2), &json!([])));
        assert_eq!(tab.check_all().await["checked"]["unhashed"], rows_without - 2, "a dry run changes nothing");
        assert_eq!(tab.repair().await["hashed"], rows_without - 2);
        assert_eq!(whole(&device.store, Table::Audit).await.len(), trail, "nothing was wrong with them");
        assert_eq!(tab.check_all().await["checked"]["unhashed"], 0);
        let one = whole(&device.store, Table::Base).await.swap_remove(0);
        change(&device.store, Table::Base, vec![one.clone()], |row| without_sum(&row.text)).await;
        assert_eq!(tab.faults().await, ["base hash"], "from now on every row has one");
        // One whose index entries are mended gets one with them.
        as_of_an_earlier_release(&device.store).await;
        let row = Row { text: without_sum(&one.text), index: Vec::new(), ..one };
        write(&device.store, vec![Write::Put(Table::Base, row)]).await;
        assert_eq!(briefs(&tab.repair().await["mended"]), ["base index indexed"]);
        assert_eq!(tab.faults().await, Vec::<String>::new());
    });
}

/// What an earlier release left in a browser (tests/engines/releases).
#[test]
fn what_an_earlier_release_left_is_in_order_and_many_faults_are_mended_in_one_transaction() {
    const LEFT: &str = include_str!("../engines/releases/0.1.0/browser.json");
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let left: Value = serde_json::from_str(LEFT).expect("JSON");
        let mut rows_left = 0;
        for store in left["stores"].as_array().expect("a list") {
            let table = Table::ALL.into_iter().find(|table| store["name"] == table.name()).expect("a table");
            let rows = store["rows"].as_array().expect("rows").iter().map(|row| {
                let index = row["ix"].as_array().into_iter().flatten().filter_map(Key::of).collect();
                Row { key: Key::of(&row["k"]).expect("a key"), text: row["v"].to_string(), index }
            });
            let rows: Vec<Row> = rows.collect();
            rows_left += if table == Table::Audit { 0 } else { rows.iter().filter(|row| row.text.starts_with('{')).count() };
            write(&device.store, rows.into_iter().map(|row| Write::Put(table, row)).collect()).await;
        }
        let schema = json!({"name": "clinic", "version": 1, "entities": {"client": {"indexes": ["name"]},
            "pet": {"references": {"clientId": "client"}, "conflicts": {"fields": {"dose": "manual"}}}, "visit": {"references": {"petId": "pet"}}}});
        let tab = device.tab_with(json!({"tenant": "riverside", "schema": schema})).await;
        let found = tab.check_all().await;
        // A pet of a client that was never there: the server did not take it.
        let known = ["overlay reference"];
        assert_eq!(briefs(&found["faults"]), known);
        assert!(found["checked"]["unhashed"].as_u64() >= Some(rows_left as u64 - 3), "all but what opening wrote: {found}");
        assert_eq!(
            (briefs(&tab.repair().await["left"]), tab.faults().await),
            (known.map(str::to_owned).into(), known.map(str::to_owned).into())
        );
        assert_eq!(tab.check_all().await["checked"]["unhashed"], 0);

        // All that is unsent loses its rows of the overlay at once.
        let overlay = whole(&device.store, Table::Overlay).await;
        let outbox = whole(&device.store, Table::Outbox).await.len();
        assert!(outbox >= 7);
        write(&device.store, overlay.into_iter().map(|row| Write::Delete(Table::Overlay, row.key)).collect()).await;
        let done = tab.repair().await;
        assert_eq!((briefs(&done["mended"]).len(), briefs(&done["left"])), (outbox, known.map(str::to_owned).into()), "{done}");
        // While all is downloaded anew, nobody can say what the server does not have.
        assert_eq!(tab.faults().await, Vec::<String>::new());
    });
}

async fn break_name(store: &MemoryStore, table: Table, name: &str) {
    let rows = whole(store, table).await.into_iter().filter(|row| row.text.contains(name)).collect();
    change(store, table, rows, |row| row.text.replace(name, "XXX")).await;
}

#[test]
fn a_damaged_record_is_dropped_and_downloaded_anew_and_what_is_unsent_stays() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna"), world.device("ben"));
        let (here, there) = (anna.tab().await, ben.tab().await);
        for name in ["Ada", "Bea"] {
            there.create("client", json!({"name": name})).await;
        }
        assert!(there.sync().await.success && here.sync().await.success);
        let unsent = here.create("client", json!({"name": "Cleo"})).await;
        break_name(&anna.store, Table::Base, "Ada").await;

        let fault = json!({"code": "hash", "table": "base", "entity": "client", "id": 1, "key": [0, "client", 1],
            "message": "the row is not what was written here"});
        let found = here.check_all().await;
        assert_eq!((&found["faults"], &found["found"], &found["truncated"]), (&json!([fault]), &json!(1), &json!(false)));
        let dry = here.engine.repair(r#"{"dryRun": true}"#).await.expect("told");
        assert_eq!((briefs(&dry["mended"]), &dry["resync"]), (vec!["base hash dropped".to_owned()], &json!(true)));
        assert_eq!(here.get("client", "1").await.map(|record| record["name"].clone()), Some(json!("XXX")), "nothing was done");

        let done = here.repair().await;
        assert_eq!(
            (briefs(&done["mended"]), &done["left"], &done["resync"]),
            (vec!["base hash dropped".to_owned()], &json!([]), &json!(true))
        );
        assert_eq!((here.get("client", "1").await, here.faults().await), (None, Vec::new()));
        let row = here.engine.audit_query("", r#"{"event": "repaired"}"#, true).await.expect("told");
        let entry = &row[0]["entries"][0];
        assert_eq!((&entry["entity"], &entry["record"], &entry["code"]), (&json!("client"), &json!(1), &json!("base/hash/dropped")));
        assert!(here.sync().await.success);
        assert_eq!(here.get("client", "1").await.map(|record| record["name"].clone()), Some(json!("Ada")));
        assert!(here.real_id("client", &unsent).await.is_i64(), "and the unsent record is at the server");
        assert_eq!(here.faults().await, Vec::<String>::new());
    });
}

#[test]
fn an_overlay_row_is_made_anew_from_the_outbox_and_the_base() {
    for table in [Table::Overlay, Table::Outbox] {
        tell(async {
            let world = World::new();
            let (anna, ben) = (world.device("anna"), world.device("ben"));
            let (here, there) = (anna.tab().await, ben.tab().await);
            there.create("client", json!({"name": "Ada", "age": 1})).await;
            assert!(there.sync().await.success && here.sync().await.success);
            here.update("client", "1", json!({"name": "Bea"})).await;
            here.update("client", "1", json!({"age": 2})).await;
            let new = here.create("client", json!({"name": "Cleo"})).await;
            if table == Table::Overlay {
                // Broken off in the middle.
                let rows = whole(&anna.store, Table::Overlay).await;
                change(&anna.store, Table::Overlay, rows, |row| row.text[..row.text.len() / 2].to_owned()).await;
                assert_eq!(
                    here.faults().await,
                    ["overlay unreadable", "overlay unreadable", "outbox queue", "outbox queue", "outbox queue"]
                );
                assert_eq!(here.get_error("client", "1").await, "integrity");
            } else {
                // Gone.
                let rows = whole(&anna.store, Table::Overlay).await;
                write(&anna.store, rows.into_iter().map(|row| Write::Delete(Table::Overlay, row.key)).collect()).await;
                assert_eq!(here.faults().await, ["outbox queue", "outbox queue", "outbox queue"]);
                assert_eq!(here.get("client", &new).await, None);
            }
            let done = here.repair().await;
            assert_eq!((&done["left"], &done["resync"]), (&json!([]), &json!(true)), "{done}");
            assert!(briefs(&done["mended"]).iter().all(|fault| fault.ends_with("rebuilt")), "{done}");
            let ada = here.get("client", "1").await.expect("there");
            assert_eq!((&ada["name"], &ada["age"], &ada["_sync"]["state"]), (&json!("Bea"), &json!(2), &json!("pending")));
            assert_eq!(here.get("client", &new).await.map(|record| record["name"].clone()), Some(json!("Cleo")));
            assert_eq!(here.faults().await, Vec::<String>::new());
            assert!(here.sync().await.success && there.sync().await.success);
            let names: Vec<Value> = there.all("client").await.iter().map(|record| record["name"].clone()).collect();
            assert_eq!(names, [json!("Bea"), json!("Cleo")]);
        });
    }
}

impl Tab {
    async fn get_error(&self, entity: &str, id: &str) -> &'static str {
        self.engine.get(entity, id).await.expect_err("refused").code
    }
}

#[test]
fn an_operation_that_the_trail_proves_is_kept_and_another_is_told_and_left() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "Ada"})).await;
        let rows = whole(&anna.store, Table::Outbox).await;
        change(&anna.store, Table::Outbox, rows.clone(), |row| row.text.replace("\"created\":1", "\"created\":2")).await;
        let done = tab.repair().await;
        assert_eq!((briefs(&done["mended"]), &done["left"]), (vec!["outbox hash proven".to_owned()], &json!([])));
        assert_eq!(tab.faults().await, Vec::<String>::new());

        break_name(&anna.store, Table::Outbox, "Ada").await;
        let done = tab.repair().await;
        assert_eq!((&done["mended"], briefs(&done["left"])), (&json!([]), vec!["outbox hash".to_owned()]));
        assert_eq!(done["left"][0]["reason"], "it is kept as it is, because it may be unsent work");
        assert_eq!(whole(&anna.store, Table::Outbox).await.len(), 1);
    });
}

/// The overlay knew a newer state of the server than the base: it comes again, although the checkpoint is past it.
#[test]
fn what_only_the_lost_row_knew_of_the_server_is_downloaded_again() {
    tell(async {
        let world = World::new();
        let (anna, ben) = (world.device("anna"), world.device("ben"));
        let (here, there) = (anna.tab().await, ben.tab().await);
        there.create("client", json!({"name": "Ada", "age": 1})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        here.update("client", "1", json!({"name": "Bea"})).await;
        there.update("client", "1", json!({"age": 2})).await;
        assert!(there.sync().await.success && here.down().await.success);
        let rows = whole(&anna.store, Table::Overlay).await;
        write(&anna.store, rows.into_iter().map(|row| Write::Delete(Table::Overlay, row.key)).collect()).await;
        assert_eq!(here.repair().await["resync"], true);
        assert!(here.sync().await.success && there.sync().await.success);
        for tab in [&here, &there] {
            let client = tab.get("client", "1").await.expect("there");
            assert_eq!((&client["name"], &client["age"]), (&json!("Bea"), &json!(2)));
        }
        assert_eq!(here.faults().await, Vec::<String>::new());
    });
}

#[test]
fn a_clean_overlay_row_comes_from_the_server_again() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let id = tab.create("client", json!({"name": "Ada"})).await;
        assert!(tab.up().await.success);
        break_name(&anna.store, Table::Overlay, "Ada").await;
        let done = tab.repair().await;
        assert_eq!((briefs(&done["mended"]), &done["resync"]), (vec!["overlay hash dropped".to_owned()], &json!(true)));
        assert!(tab.sync().await.success);
        assert_eq!(tab.get("client", &id).await.map(|record| record["name"].clone()), Some(json!("Ada")));
    });
}

#[test]
fn lost_index_entries_are_made_anew() {
    tell(async {
        let world = World::new();
        let (device, tab) = lived(&world).await;
        let tables = [Table::Base, Table::Overlay, Table::Audit, Table::Conflicts];
        let mut lost = 0;
        for table in tables {
            let rows: Vec<Row> = whole(&device.store, table).await.into_iter().filter(|row| !row.index.is_empty()).collect();
            lost += rows.len();
            write(&device.store, rows.into_iter().map(|row| Write::Put(table, Row { index: Vec::new(), ..row })).collect()).await;
        }
        // Those of the trail are needed to tell that it knows of an operation.
        let found = tab.faults().await;
        assert_eq!(found.iter().filter(|fault| fault.ends_with(" index")).count(), lost, "{found:?}");
        let by_name = r#"{"where": {"name": "B"}}"#;
        assert_eq!(tab.engine.query("client", by_name).await.expect("read"), Vec::<Value>::new());
        let done = tab.repair().await;
        assert_eq!(briefs(&done["mended"]).iter().filter(|fault| fault.ends_with(" index indexed")).count(), lost, "{done}");
        assert_eq!(tab.engine.query("client", by_name).await.expect("read").len(), 1);
        assert_eq!(tab.faults().await, Vec::<String>::new());
    });
}

#[test]
fn what_nothing_else_knows_is_left_and_told() {
    tell(async {
        let world = World::new();
        let (device, tab) = lived(&world).await;
        let ids = whole(&device.store, Table::Ids).await;
        let Key::List(items) = ids[0].key.clone() else { panic!("a list") };
        change(&device.store, Table::Ids, vec![ids[0].clone()], |_| {
            json!({"id": items[1].to_value(), "created": 1, "synced": 1}).to_string()
        })
        .await;
        let conflicts = whole(&device.store, Table::Conflicts).await;
        write(&device.store, conflicts.into_iter().map(|row| Write::Delete(Table::Conflicts, row.key)).collect()).await;
        break_name(&device.store, Table::Audit, "superseded").await;
        break_name(&device.store, Table::Sessions, "finished").await;
        let outbox = whole(&device.store, Table::Outbox).await.len();
        let done = tab.repair().await;
        let left = briefs(&done["left"]);
        for fault in ["ids hash", "overlay conflict", "outbox conflict"] {
            assert!(left.contains(&fault.to_owned()), "{left:?} {fault}");
        }
        assert_eq!(whole(&device.store, Table::Outbox).await.len(), outbox);
    });
}

#[test]
fn the_report_tells_the_last_check_and_a_bad_one_is_a_breach() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "Ada"})).await;
        assert!(tab.sync().await.success);
        let report = async || tab.engine.audit_report("{}").await.expect("reported");
        assert_eq!(report().await["lastCheck"], Value::Null);
        let found = tab.check_all().await;
        let told = json!({"at": world.now(), "rows": rows_of(&found), "faults": 0});
        assert_eq!((&report().await["lastCheck"], &report().await["breaches"]), (&told, &json!([])));
        break_name(&anna.store, Table::Base, "Ada").await;
        assert_eq!(tab.faults().await, ["base hash"]);
        let report = report().await;
        assert_eq!((&report["lastCheck"]["faults"], &report["breaches"]), (&json!(1), &json!(["integrity"])));
    });
}

/// The rows of all tables.
fn rows_of(found: &Value) -> u64 {
    Table::ALL.iter().filter_map(|table| found["checked"][table.name()].as_u64()).sum()
}

#[test]
fn a_thousand_faults_are_listed_and_all_are_counted() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let row = |id: u64| Row { key: Key::List(vec![0.into(), "client".into(), id.into()]), text: "{".to_owned(), index: Vec::new() };
        write(&anna.store, (0..1_003).map(|id| Write::Put(Table::Base, row(id))).collect()).await;
        let found = tab.check_all().await;
        assert_eq!((&found["found"], &found["truncated"], &found["checked"]["base"]), (&json!(1_003), &json!(true), &json!(1_003)));
        assert_eq!(found["faults"].as_array().map(Vec::len), Some(1_000));
        let done = tab.repair().await;
        assert_eq!((done["mended"].as_array().map(Vec::len), &done["truncated"]), (Some(1_000), &json!(true)));
        assert_eq!(tab.faults().await, Vec::<String>::new(), "all are mended");
    });
}

#[test]
fn a_wish_that_makes_no_sense_is_refused() {
    tell(async {
        let tab = World::new().device("anna").tab().await;
        for (text, path) in [(r#"{"dryRun": 1}"#, "dryRun"), (r#"{"dryrun": true}"#, "dryrun"), ("[]", "options")] {
            let error = tab.engine.repair(text).await.expect_err("refused");
            assert_eq!((error.code, &error.details["path"]), ("invalid_value", &value(&format!("\"{path}\""))));
        }
        assert_eq!(tab.engine.check_integrity(r#"{"phase": "x"}"#).await.expect_err("refused").code, "invalid_value");
    });
}
