//! A device that has to download everything anew: nobody sees it half done, and nothing unsent is lost.

use fieldsync::model::Version;
use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::world::{Fault, SCHEMA, World, tell};

#[test]
fn a_device_that_was_away_too_long_downloads_anew_and_keeps_what_it_never_sent() {
    tell(async {
        let world = World::new();
        let office = world.device("ben").tab().await;
        let (old, kept) = (office.create("client", json!({"name": "old"})).await, office.create("client", json!({"name": "kept"})).await);
        office.sync().await;
        let tab = world.device("anna").tab().await;
        tab.sync().await;
        let real = |records: &[Value], name: &str| records.iter().find(|record| record["name"] == name).expect("there")["id"].to_string();
        let (old_id, kept_id) = (real(&tab.all("client").await, "old"), real(&tab.all("client").await, "kept"));
        office.delete("client", &old).await;
        office.update("client", &kept, json!({"phone": "1"})).await;
        office.sync().await;

        tab.update("client", &kept_id, json!({"name": "mine"})).await;
        tab.create("client", json!({"name": "unsent"})).await;
        tab.fault("download", Fault::Status(410, None));
        let result = tab.down().await;
        assert!(result.success, "{result:?}");
        assert_eq!(world.requests("upload"), 2, "the office's; nothing was sent for the sake of the download");
        assert_eq!(tab.queue().await.len(), 2);
        assert!(tab.get("client", &old_id).await.is_none());
        let record = tab.get("client", &kept_id).await.expect("there");
        assert_eq!((&record["name"], &record["phone"]), (&json!("mine"), &json!("1")));
        assert!(tab.sync().await.success);
        assert_eq!(office.sync().await.downloaded, 2);
        assert_eq!(office.all("client").await.len(), 2);
    });
}

#[test]
fn a_resync_that_breaks_off_shows_the_old_state_and_goes_on_from_where_it_was() {
    tell(async {
        let world = World::new();
        let office = world.device("ben").tab().await;
        let mut ids = Vec::new();
        for number in 0..6 {
            ids.push(office.create("client", json!({"number": number, "round": 1})).await);
        }
        office.sync().await;
        let device = world.device("anna");
        let tab = device.tab_with(json!({"pageSize": 1})).await;
        tab.sync().await;
        for id in &ids {
            office.update("client", id, json!({"round": 2})).await;
        }
        office.sync().await;

        tab.fault("download", Fault::Status(410, None));
        tab.fault("download", Fault::CutAnswer);
        let result = tab.sync().await;
        assert_eq!(result.errors[0].code, "network", "{result:?}");
        assert!((1..6).contains(&result.downloaded), "{result:?}");
        assert!(tab.all("client").await.iter().all(|record| record["round"] == 1), "nothing of it is seen");
        tab.engine.close();

        let tab = device.tab_with(json!({"pageSize": 1})).await;
        assert_eq!(tab.all("client").await.len(), 6);
        let rest = tab.sync().await;
        assert!(rest.success, "{rest:?}");
        assert_eq!(result.downloaded + rest.downloaded, 6, "no record came twice");
        assert!(tab.all("client").await.iter().all(|record| record["round"] == 2));
    });
}

#[test]
fn a_newer_app_fills_its_index_beside_what_is_shown() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let old = device.tab().await;
        for number in 0..3 {
            old.create("client", json!({"number": number, "town": "Ulm"})).await;
        }
        old.sync().await;
        old.engine.close();
        let mut schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
        schema["version"] = json!(2);
        schema["entities"]["client"]["indexes"] = json!(["name", "town"]);
        let new = device.tab_with(json!({"schema": schema, "pageSize": 1})).await;
        new.fault("download", Fault::CutAnswer);
        assert!(!new.sync().await.success);
        assert_eq!(new.engine.count("client", r#"{"where": {"town": "Ulm"}}"#).await.expect("counted"), 3);
        // The work of an older app in between spoils neither. It downloads nothing: it would leave out the new index.
        let again = device.tab().await;
        again.create("client", json!({"number": 3, "town": "Ulm"})).await;
        let result = again.sync().await;
        assert_eq!((result.synced, result.errors[0].code.as_str()), (1, "outdated"));
        for _ in 0..2 {
            assert!(new.sync().await.success);
            assert_eq!(new.engine.count("client", r#"{"where": {"town": "Ulm"}}"#).await.expect("counted"), 4);
        }
    });
}

#[test]
fn a_device_behind_a_forgotten_tombstone_learns_of_the_deletion_and_loses_no_edit() {
    tell(async {
        let world = World::new();
        let office = world.device("ben").tab().await;
        let ids = [office.create("client", json!({"name": "a"})).await, office.create("client", json!({"name": "b"})).await];
        office.sync().await;
        let tab = world.device("anna").tab().await;
        tab.sync().await;
        let known: Vec<String> = tab.all("client").await.iter().map(|record| record["id"].to_string()).collect();
        office.delete("client", &ids[0]).await;
        office.delete("client", &ids[1]).await;
        office.create("product", json!({})).await;
        office.sync().await;
        let service = world.service();
        assert_eq!(service.store().forget("clinic", Version(4)).await.expect("forgotten"), 2);

        tab.update("client", &known[1], json!({"name": "edited"})).await;
        let result = tab.sync().await;
        assert!(result.errors.is_empty(), "{result:?}");
        assert!(tab.get("client", &known[0]).await.is_none(), "it is not there for ever");
        assert_eq!(tab.all("product").await.len(), 1);
        tab.sync().await;
        let queue = tab.queue().await;
        let edited = tab.get("client", &known[1]).await;
        let kept = queue.iter().any(|item| item["state"] == "parked") && edited.is_some();
        let applied = queue.is_empty() && edited.as_ref().is_some_and(|record| record["name"] == "edited");
        assert!(kept || applied, "{queue:?} {edited:?}");
    });
}
