//! What a repair makes of rows that are not in order: anew from what else is stored, or from the server; and what it leaves
//! because nothing else knows it.

use fieldsync::plan::{Row, Table, Write};
use fieldsync::value::Key;
use serde_json::{Value, json};

use crate::integrity::{break_name, briefs, lived};
use crate::raw::{change, damage, whole, write};
use crate::world::{Device, Tab, World, tell};

/// Two devices with one client: the first device, and a tab of each.
pub async fn shared(world: &World) -> (Device, Tab, Tab) {
    let (anna, ben) = (world.device("anna"), world.device("ben"));
    let (here, there) = (anna.tab().await, ben.tab().await);
    there.create("client", json!({"name": "Ada", "age": 1})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    (anna, here, there)
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
    for is_there in [true, false] {
        tell(async {
            let (anna, here, there) = shared(&World::new()).await;
            here.update("client", "1", json!({"name": "Bea"})).await;
            here.update("client", "1", json!({"age": 2})).await;
            let new = here.create("client", json!({"name": "Cleo"})).await;
            if is_there {
                let rows = whole(&anna.store, Table::Overlay).await;
                damage(&anna.store, Table::Overlay, rows).await;
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
        let (anna, here, there) = shared(&World::new()).await;
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
fn a_dry_run_stores_nothing_neither_a_repair_nor_how_far_it_looked() {
    tell(async {
        let (anna, here, _there) = shared(&World::new()).await;
        here.update("client", "1", json!({"name": "Bea"})).await;
        let stored = || Table::ALL.map(|table| anna.store.dump(table));
        let before = stored();
        here.engine.repair(r#"{"dryRun": true}"#).await.expect("told");
        assert_eq!(stored(), before);
    });
}
