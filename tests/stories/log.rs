//! The log of sessions: every one leaves a row, also one that came to nothing, and a summary says what they come to.

use fieldsync::plan::{Row, Table, Write};
use serde_json::{Value, json};

use crate::raw::write;
use crate::schedule::beside;
use crate::world::{Tab, World, tell, turns};

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
fn what_a_batch_took_is_told_of_it_of_its_session_and_of_all() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSizeMax": 50})).await;
        for _ in 0..120 {
            tab.create("client", json!({"name": "Ann"})).await;
        }
        let written = world.now();
        world.pass(5_000);
        let waiting = tab.engine.metrics();
        assert_eq!((&waiting["queue"]["pending"], &waiting["queue"]["oldestPending"]), (&json!(120), &json!(written)));
        let gate = tab.hold_upload();
        let (result, ()) = futures_util::join!(tab.sync(), async {
            gate.reached().await;
            world.pass(700);
            gate.open();
        });
        assert!(result.success);
        tab.engine.set_offline(true);
        assert!(!tab.sync().await.success);
        let told = tab.engine.metrics();
        let of = |name: &str| told["batches"].as_array().into_iter().flatten().map(|batch| batch[name].clone()).collect::<Vec<_>>();
        assert_eq!((of("operations"), of("send")), (vec![json!(50), json!(50), json!(20)], vec![json!(700), json!(0), json!(0)]), "{told}");
        assert!(of("bytesUp").iter().all(|bytes| bytes.as_u64() > Some(1_000)));
        assert_eq!((&told["sessions"]["successRate"], &told["sessions"]["uploaded"]), (&json!(0.5), &json!(120)));
        assert_eq!((&told["queue"]["pending"], &told["queue"]["oldestPending"]), (&json!(0), &Value::Null));
        let rows = log(&tab, json!({})).await;
        assert_eq!((&rows[0]["batches"], &rows[0]["send"], &rows[0]["apply"]), (&json!(3), &json!(700), &json!(0)));
        let summary = tab.engine.sync_summary("{}").await.expect("added up");
        assert_eq!((&summary["batches"], &summary["send"]), (&json!(3), &json!(700)));
    });
}

#[test]
fn how_much_waits_is_sampled_once_a_minute_for_an_hour() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"pollMs": 10_000})).await;
        tab.create("client", json!({"name": "Ann"})).await;
        let from = world.now();
        beside(&world, &tab, async {
            while world.now() < from + 90 * 60_000 {
                turns(100).await;
            }
        })
        .await;
        let told = tab.engine.metrics();
        let times: Vec<u64> = told["samples"].as_array().into_iter().flatten().filter_map(|sample| sample["at"].as_u64()).collect();
        assert_eq!((times.len(), &told["samples"][0]["pending"]), (60, &json!(1)));
        assert!(times.windows(2).all(|pair| (60_000..75_000).contains(&(pair[1] - pair[0]))), "{times:?}");
    });
}

#[test]
fn a_row_that_cannot_be_read_hides_no_other() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        assert!(tab.down().await.success);
        tab.create("client", json!({"name": "Ann"})).await;
        assert!(tab.sync().await.success);
        write(&device.store, vec![Write::Put(Table::Sessions, Row { key: 1_u64.into(), text: "{".to_owned(), index: Vec::new() })]).await;
        let rows = log(&tab, json!({})).await;
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(2)));
        write(&device.store, vec![Write::Delete(Table::Sessions, 1_u64.into())]).await;
    });
}

#[test]
fn a_tab_that_only_looks_leaves_one_row_and_not_one_for_each_look() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        for _ in 0..600 {
            world.pass(30_000);
            assert!(tab.sync().await.success);
        }
        tab.engine.set_offline(true);
        for _ in 0..131 {
            world.pass(30_000);
            assert!(!tab.sync().await.success);
        }
        tab.engine.set_offline(false);
        let rows = log(&tab, json!({})).await;
        let told: Vec<_> = rows.iter().map(|row| (&row["count"], &row["status"])).collect();
        assert_eq!(told, [(&json!(600), &json!("success")), (&json!(131), &json!("failed"))]);
        assert_eq!((&rows[0]["last"], &rows[1]["timestamp"]), (&json!(world.now() - 131 * 30_000), &json!(world.now() - 130 * 30_000)));
        let summary = async |filter: &str| tab.engine.sync_summary(filter).await;
        assert_eq!(summary("{}").await.expect("added up")["sessions"]["total"], 731);
        tab.create("client", json!({"name": "Ann"})).await;
        assert!(tab.sync().await.success);
        let failed = summary(r#"{"status": "failed"}"#).await.expect("added up");
        assert_eq!((&failed["errors"][0]["count"], &failed["errors"][0]["open"]), (&json!(131), &json!(false)));
        for (filter, path) in [(r#"{"order": "desc"}"#, "order"), (r#"{"limit": 1}"#, "limit"), (r#"{"after": 1}"#, "after")] {
            let refused = summary(filter).await.expect_err("refused");
            assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!(path)));
        }
    });
}

#[test]
fn conflicts_that_a_page_told_of_are_no_share_of_what_was_sent() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for _ in 0..3 {
            here.create("pet", json!({"name": "Rex", "dose": 1})).await;
        }
        assert!(here.sync().await.success && there.sync().await.success);
        for (id, dose) in [("1", 2), ("2", 3), ("3", 4)] {
            there.update("pet", id, json!({"dose": dose})).await;
        }
        assert!(there.sync().await.success);
        world.pass(1_000);
        let since = world.now();
        for id in ["1", "2", "3"] {
            here.update("pet", id, json!({"dose": 9})).await;
        }
        let found = here.down().await.conflicts;
        here.create("client", json!({"name": "Ann"})).await;
        assert!(here.up().await.success);
        let told = here.engine.sync_summary(&json!({"since": since}).to_string()).await.expect("added up");
        assert_eq!((found, &told["conflicts"], &told["operations"], &told["conflictRate"]), (3, &json!(3), &json!(1), &json!(0.0)));
    });
}
