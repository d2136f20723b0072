//! The log of sessions: every one leaves a row, also one that came to nothing, and a summary says what they come to.

use fieldsync::plan::{Row, Table, Write};
use serde_json::{Value, json};

use crate::raw::write;
use crate::world::{Tab, World, tell};

async fn log(tab: &Tab, filter: Value) -> Vec<Value> {
    tab.engine.sync_log(&filter.to_string()).await.expect("read")
}

#[test]
fn every_session_leaves_a_row_and_a_summary_says_what_they_come_to() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        tab.create("client", json!({"name": "Ann"})).await;
        tab.create("client", json!({"name": "Ben"})).await;
        assert!(tab.sync().await.success);
        tab.engine.set_offline(true);
        assert!(!tab.sync().await.success);
        tab.engine.set_offline(false);
        assert!(tab.down().await.success);

        let rows = log(&tab, json!({})).await;
        let told: Vec<_> = rows.iter().map(|row| (row["direction"].as_str(), row["status"].as_str())).collect();
        assert_eq!(
            told,
            [(Some("both"), Some("success")), (Some("both"), Some("failed")), (Some("download"), Some("success"))],
            "{rows:?}"
        );
        assert_eq!((&rows[0]["uploaded"], &rows[0]["userId"]), (&json!(2), &json!("anna")));
        assert_eq!(rows[0]["deviceId"], tab.engine.client().as_str());
        assert!(rows[0]["bytesUp"].as_u64() > rows[2]["bytesUp"].as_u64() && rows[2]["bytesDown"].as_u64() > Some(0));
        assert_eq!((&rows[1]["errorCode"], &rows[1]["bytesUp"]), (&json!("network"), &json!(0)));
        assert_eq!(log(&tab, json!({"order": "desc", "limit": 1})).await, rows[2..]);
        assert_eq!(log(&tab, json!({"status": "failed"})).await, rows[1..2]);

        let told = tab.engine.sync_summary("{}").await.expect("added up");
        assert_eq!(told["sessions"], json!({"total": 3, "success": 2, "partial": 0, "failed": 1}));
        assert_eq!(
            (&told["uploaded"], &told["errors"][0]["code"], &told["errors"][0]["open"]),
            (&json!(2), &json!("network"), &json!(false))
        );
        let refused = tab.engine.sync_log(r#"{"limit": 0}"#).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("limit")));
    });
}

#[test]
fn a_row_that_cannot_be_read_hides_no_other() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        assert!(tab.down().await.success && tab.down().await.success);
        write(&device.store, vec![Write::Put(Table::Sessions, Row { key: 1_u64.into(), text: "{".to_owned(), index: Vec::new() })]).await;
        let rows = log(&tab, json!({})).await;
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(2)));
        write(&device.store, vec![Write::Delete(Table::Sessions, 1_u64.into())]).await;
    });
}
