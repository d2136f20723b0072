//! Rows that are not what was written: found, named and counted, in whatever table they are and whichever release wrote them.
//! What becomes of them is told in [`crate::repair`].

use fieldsync::plan::{Row, Table, Write};
use fieldsync::store::memory::MemoryStore;
use fieldsync::value::Key;
use serde_json::{Value, json};

use crate::raw::{change, damage, whole, write};
use crate::records::value;
use crate::world::{Device, Tab, World, tell};

impl Tab {
    /// As the client does it: part after part.
    pub async fn check_all(&self) -> Value {
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
    pub async fn faults(&self) -> Vec<String> {
        briefs(&self.check_all().await["faults"])
    }
    pub async fn repair(&self) -> Value {
        self.engine.repair("").await.expect("repaired")
    }
}

/// Faults as `table code`, and what was done where something was.
pub fn briefs(faults: &Value) -> Vec<String> {
    let brief = |fault: &Value| {
        let done = fault["action"].as_str().map(|action| format!(" {action}"));
        format!("{} {}{}", fault["table"].as_str().unwrap_or("?"), fault["code"].as_str().unwrap_or("?"), done.unwrap_or_default())
    };
    faults.as_array().expect("a list").iter().map(brief).collect()
}

/// A device with rows of every kind: downloaded, unsent, mapped, in conflict.
pub async fn lived(world: &World) -> (Device, Tab) {
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
                    let named = |fault: &Value| fault["table"] == table.name() && fault["key"] == row.key.to_value();
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
        // While all is downloaded anew, nobody can say what the server does not have.
        assert_eq!((briefs(&done["mended"]).len(), &done["left"], &done["resync"]), (outbox, &json!([]), &json!(true)), "{done}");
        assert_eq!(tab.faults().await, Vec::<String>::new());
    });
}

/// Another name in the rows of a table that hold this one.
pub async fn break_name(store: &MemoryStore, table: Table, name: &str) {
    let rows = whole(store, table).await.into_iter().filter(|row| row.text.contains(name)).collect();
    change(store, table, rows, |row| row.text.replace(name, "XXX")).await;
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

#[test]
#[should_panic(expected = "the rows are in order after every session")]
fn what_every_session_is_held_to_goes_on_behind_a_long_table() {
    tell(async {
        let world = World::new();
        let (anna, office) = (world.device("anna"), world.device("ben").tab().await);
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "Ada"})).await;
        let writes: Vec<Value> = (0..160).map(|at| json!({"kind": "create", "entity": "pet", "data": {"dose": at}})).collect();
        office.engine.transaction(&Value::from(writes).to_string()).await.expect("written");
        assert!(office.sync().await.success && tab.sync().await.success);
        let rows = whole(&anna.store, Table::Ids).await;
        damage(&anna.store, Table::Ids, rows).await;
        tab.sync().await;
    });
}
