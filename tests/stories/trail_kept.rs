//! The trail is kept for its time: then its oldest rows go, and what is left is proved as before. What is unfinished, what a
//! sink or the server has not, and what is not in order stays.

use fieldsync::plan::Table;
use fieldsync::protocol::paths;
use serde_json::{Value, json};

use crate::raw::{change, whole};
use crate::records::parked;
use crate::schedule::beside;
use crate::trail::{rows, verify};
use crate::world::{Device, Fault, Tab, World, tell, turns};

const DAY_MS: u64 = 86_400_000;

/// A session, and the time after it.
async fn rest(world: &World, tab: &Tab) {
    beside(world, tab, async {
        assert!(tab.sync().await.success);
        turns(500).await;
    })
    .await;
}

/// Writes that are a month old now, all of them sent.
async fn month(world: &World, tab: &Tab, writes: usize) {
    for at in 0..writes {
        tab.create("client", json!({"name": at})).await;
    }
    assert!(tab.sync().await.success);
    world.pass(31 * DAY_MS);
}

fn numbers(device: &Device) -> Vec<u64> {
    let rows = device.store.dump(Table::Audit);
    rows.iter().filter_map(|(_, text)| serde_json::from_str::<Value>(text).ok()?["seq"].as_u64()).collect()
}

fn keeping(more: Value) -> Value {
    let mut settings = json!({"retention": {"auditDays": 30}});
    settings.as_object_mut().into_iter().for_each(|settings| settings.extend(more.as_object().cloned().unwrap_or_default()));
    settings
}

#[test]
fn old_rows_go_and_what_is_left_is_proved_from_where_they_ended() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab_with(keeping(json!({}))).await;
        let beside = anna.tab_with(keeping(json!({"autoSync": false}))).await;
        month(&world, &tab, 300).await;
        assert!(verify(&tab, None).await["ok"] == true && beside.down().await.success);
        let before = rows(&tab, json!({"limit": 1000})).await;
        assert!(before.len() > 300);
        tab.create("client", json!({"name": "new"})).await;
        rest(&world, &tab).await;

        let (last, left) = (before.last().expect("a row"), rows(&tab, json!({"limit": 1000})).await);
        let purges: Vec<&Value> =
            left.iter().flat_map(|row| row["entries"].as_array().expect("entries")).filter(|entry| entry["event"] == "purged").collect();
        assert_eq!(purges.len(), 2, "a page in each transaction: {left:?}");
        for purge in &purges {
            assert_eq!((&purge["entity"], purge.get("conflict")), (&json!("audit"), None));
            let gone = before.iter().find(|row| row["number"] == purge["record"]).expect("it was there");
            assert_eq!(purge["content"], gone["hash"], "the trail proves which row was the last that went");
        }
        assert_eq!((&purges[1]["record"], &left[0]["previous"]), (&last["number"], &last["number"]));
        let proved = verify(&tab, None).await;
        assert_eq!((&proved["ok"], &proved["begins"], &proved["rows"]), (&json!(true), &last["number"], &json!(left.len())));
        let report = tab.engine.audit_report("{}").await.expect("a report");
        assert_eq!((&report["chain"]["begins"], &report["breaches"]), (&last["number"], &json!([])));
        assert_eq!(tab.engine.report()["auditPurged"], json!(before.len()));

        // What tells of it goes up, and the server lacks nothing.
        assert!(tab.sync().await.success);
        let chain = world.service().store().audit("clinic").await;
        assert!(chain.iter().all(|row| !row.content.contains("\"begins\"")));
        let server = tab.engine.audit_verify(r#"{"server": true}"#).await.expect("verified")["result"]["server"].clone();
        assert_eq!((&server["ok"], server["through"].as_u64().as_ref()), (&json!(true), numbers(&anna).last()));
        // A tab that has not looked since then finds the queue as it is.
        beside.create("client", json!({"name": "beside"})).await;
        assert!(beside.sync().await.success);
        assert_eq!((beside.queue().await.len(), beside.all("client").await.len()), (0, 302));
        assert_eq!(verify(&beside, None).await["ok"], true);

        // It goes no further than what is old, and a row more than what goes would be no gain.
        let before = numbers(&anna);
        world.pass(DAY_MS);
        rest(&world, &tab).await;
        assert_eq!(numbers(&anna)[..before.len()], before);
    });
}

#[test]
fn the_report_says_what_is_past_its_time_and_not_what_something_else_keeps() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab_with(keeping(json!({}))).await;
        let made = world.now();
        month(&world, &tab, 20).await;
        let all = numbers(&anna);
        let report = tab.engine.audit_report("{}").await.expect("a report");
        let kept = json!({"at": made, "syncLog": 0, "conflicts": 0, "audit": all.len() - 1});
        assert_eq!((&report["retention"], &report["breaches"]), (&kept, &json!(["retention"])), "no idle time since");
        assert_eq!(numbers(&anna), all, "a report takes nothing away");
        let later = json!({"retentionMs": 32 * DAY_MS}).to_string();
        assert_eq!(tab.engine.audit_report(&later).await.expect("a report")["breaches"], json!([]));
        assert_eq!(tab.engine.audit_taken("siem", "1").await, Ok(1));
        let held = tab.engine.audit_report("{}").await.expect("a report");
        assert_eq!((&held["retention"]["audit"], &held["breaches"]), (&json!(0), &json!([])), "a sink has not taken it");
        assert_eq!(tab.engine.audit_taken("siem", &all[19].to_string()).await, Ok(all[19]));
        rest(&world, &tab).await;
        let report = tab.engine.audit_report("{}").await.expect("a report");
        assert_eq!((&report["retention"]["audit"], &report["breaches"]), (&json!(0), &json!([])));
        assert!(report["retention"]["at"].as_u64() > Some(made));
    });
}

#[test]
fn what_has_no_other_place_yet_stays() {
    tell(async {
        let world = World::new();
        // Not at the server: it does not take the trail.
        let anna = world.device("anna");
        let tab = anna.tab_with(keeping(json!({}))).await;
        for _ in 0..2 {
            tab.fault(paths::AUDIT, Fault::Status(500, None));
        }
        month(&world, &tab, 20).await;
        let before = numbers(&anna);
        rest(&world, &tab).await;
        assert_eq!(numbers(&anna)[..before.len()], before, "the server has none of it");
        // By now it has all of it; a sink of the app has not.
        assert_eq!(tab.engine.audit_taken("siem", &before[11].to_string()).await, Ok(before[11]));
        assert!(tab.sync().await.success);
        world.pass(DAY_MS);
        rest(&world, &tab).await;
        assert_eq!(numbers(&anna)[0], before[12]);
        assert_eq!(verify(&tab, None).await["begins"], before[11]);

        // Who sends it nowhere keeps nothing for that.
        let ben = world.device("ben");
        let tab = ben.tab_with(keeping(json!({"audit": {"upload": false}}))).await;
        month(&world, &tab, 20).await;
        tab.create("client", json!({"name": "new"})).await;
        rest(&world, &tab).await;
        assert_eq!(rows(&tab, json!({"until": world.now() - 30 * DAY_MS})).await.len(), 0);
        assert_eq!(verify(&tab, None).await["ok"], true);
        let forever = world.device("carl").tab_with(json!({"retention": {"auditDays": false}})).await;
        month(&world, &forever, 20).await;
        world.pass(10_000 * DAY_MS);
        rest(&world, &forever).await;
        assert_eq!(verify(&forever, None).await.get("begins"), None);
    });
}

#[test]
fn what_is_unfinished_keeps_every_row_that_tells_of_it_and_a_trace_stays_where_it_is() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab_with(keeping(json!({}))).await;
        month(&world, &tab, 12).await;
        let (_, _, operation) = parked(&tab).await;
        let about = rows(&tab, json!({"operation": operation})).await;
        month(&world, &tab, 20).await;
        rest(&world, &tab).await;
        assert!(numbers(&anna)[0] > 12, "what was before it went");
        assert_eq!(rows(&tab, json!({"operation": operation})).await, about);
        assert_eq!(tab.engine.audit_report("{}").await.expect("a report")["terminal"]["missing"], json!([]));
        tab.engine.discard(&operation, None).await.expect("given up");
        let forged = whole(&anna.store, Table::Audit).await;
        let at = 11;
        change(&anna.store, Table::Audit, vec![forged[at].clone()], |row| row.text.replace("anna", "eve")).await;
        world.pass(DAY_MS);
        rest(&world, &tab).await;
        let kept = numbers(&anna);
        assert_eq!(forged[at].key, kept[0].into(), "it goes no further than the row that is not in order");
        let found = verify(&tab, None).await;
        assert_eq!((&found["ok"], &found["firstBad"]), (&json!(false), &json!({"number": kept[0], "reason": "changed"})));
    });
}
