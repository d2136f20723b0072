//! What somebody should look at is told once when it begins, once when it is over, and not anew after a reload.

use std::collections::BTreeMap;

use fieldsync::engine::{Direction, Event, Wanted};
use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::conflict_store::open;
use crate::raw::{change, whole};
use crate::records::parked;
use crate::schedule::beside;
use crate::world::{Fault, Tab, World, tell, turns};

const DAY_MS: u64 = 86_400_000;

/// The alerts that were told since this was asked last: code, and whether it is over.
pub fn told(tab: &Tab) -> Vec<(String, bool)> {
    let mut told = Vec::new();
    while let Ok(event) = tab.events.borrow_mut().try_recv() {
        if let Event::Alert { code, over, .. } = event {
            told.push((code, over));
        }
    }
    told
}

pub fn begun(code: &str) -> Vec<(String, bool)> {
    vec![(code.to_owned(), false)]
}

pub fn over(code: &str) -> Vec<(String, bool)> {
    vec![(code.to_owned(), true)]
}

const NOTHING: [(String, bool); 0] = [];

/// What holds: value by code.
async fn held(tab: &Tab) -> BTreeMap<String, f64> {
    let alerts = tab.engine.alerts().await.expect("judged");
    alerts.iter().filter_map(|alert| Some((alert["code"].as_str()?.to_owned(), alert["value"].as_f64()?))).collect()
}

fn only(code: &str, value: f64) -> BTreeMap<String, f64> {
    BTreeMap::from([(code.to_owned(), value)])
}

#[test]
fn failed_sessions_in_a_row_are_told_once_until_one_goes_well() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        tab.engine.set_offline(true);
        for _ in 0..2 {
            assert!(!tab.sync().await.success);
        }
        assert_eq!(told(&tab), NOTHING);
        let since = world.now();
        for _ in 0..3 {
            assert!(!tab.sync().await.success);
            world.pass(1_000);
        }
        assert_eq!(told(&tab), begun("sessions_failed"));
        let alert = &tab.engine.alerts().await.expect("judged")[0];
        assert_eq!((&alert["since"], alert["limit"].as_f64(), held(&tab).await), (&json!(since), Some(3.0), only("sessions_failed", 5.0)));
        // After a reload it holds, and is not news.
        let again = device.tab().await;
        again.engine.set_offline(true);
        assert!(!again.sync().await.success);
        assert_eq!((told(&again).len(), held(&again).await), (0, only("sessions_failed", 6.0)));
        again.engine.set_offline(false);
        assert!(again.sync().await.success);
        assert_eq!((told(&again), held(&again).await), (over("sessions_failed"), BTreeMap::new()));
        // The other tab hears of it when it looks.
        tab.engine.set_offline(false);
        assert!(tab.sync().await.success);
        assert_eq!(told(&tab), over("sessions_failed"));
    });
}

#[test]
fn a_page_that_is_not_as_it_was_hashed_is_told_with_its_place_until_it_comes_whole() {
    tell(async {
        let world = World::new();
        let (ben, tab) = (world.device("ben").tab().await, world.device("anna").tab().await);
        ben.create("pet", json!({"name": "Rex"})).await;
        assert!(ben.sync().await.success && tab.sync().await.success);
        ben.create("pet", json!({"name": "Max"})).await;
        assert!(ben.sync().await.success);
        for entity in [None, Some("pet")] {
            tab.fault(fieldsync::protocol::paths::DOWNLOAD, Fault::Garble);
            let failed = tab.engine.sync_with(Wanted { entity: entity.map(str::to_owned), ..Wanted::all(Direction::Down) }, None).await;
            let [error] = &failed.errors[..] else { panic!("{:?}", failed.errors) };
            let details = error.details.clone().unwrap_or_default();
            assert_eq!((error.code.as_str(), &details["entity"], details["checkpoint"].is_string()), ("garbled", &json!(entity), true));
            let news = if entity.is_none() { begun("integrity") } else { Vec::new() };
            assert_eq!((told(&tab), held(&tab).await), (news, only("integrity", 1.0)));
        }
        let summary = tab.engine.sync_summary("{}").await.expect("added up");
        let errors: Vec<_> =
            summary["errors"].as_array().expect("a list").iter().map(|error| (&error["code"], error.get("entity"))).collect();
        assert_eq!(errors, [(&json!("garbled"), None), (&json!("garbled"), Some(&json!("pet")))], "of all, and of one entity");
        assert!(tab.sync().await.success);
        assert_eq!((told(&tab), held(&tab).await), (over("integrity"), BTreeMap::new()));
    });
}

#[test]
fn many_conflicts_among_the_last_hundred_operations_are_one() {
    tell(async {
        let world = World::new();
        let (_, here, _, _) = open(&world, 10).await;
        assert_eq!(told(&here), NOTHING, "ten of a hundred are not over ten percent");
        let (_, here, there, pets) = open(&World::new(), 11).await;
        assert_eq!((told(&here), held(&here).await), (begun("conflict_rate"), only("conflict_rate", 0.11)));
        for _ in 0..120 {
            here.create("client", json!({"name": "Ann"})).await;
        }
        assert!(here.sync().await.success);
        assert_eq!((told(&here), held(&here).await), (over("conflict_rate"), BTreeMap::new()));
        drop((there, pets));
    });
}

#[test]
fn what_is_parked_or_unsent_for_a_day_is_told_without_any_session() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab_with(json!({"alerts": {"sessionsFailed": false, "pendingMs": 3_600_000}})).await;
        let (_, _, refused) = parked(&tab).await;
        tab.engine.pause().await.expect("paused");
        tab.create("client", json!({"name": "Ann"})).await;
        let look = async |ms: u64| {
            world.pass(ms);
            beside(&world, &tab, turns(1_500)).await;
            told(&tab)
        };
        assert_eq!(look(1_000).await, NOTHING);
        assert_eq!(look(3_600_000).await, begun("pending"));
        assert_eq!(look(DAY_MS).await, begun("parked"));
        assert_eq!(look(DAY_MS).await, NOTHING, "once");
        let again = device.tab().await;
        assert_eq!(held(&again).await.keys().collect::<Vec<_>>(), ["parked", "pending"]);
        assert_eq!(told(&again), NOTHING);
        tab.engine.resume().await.expect("resumed");
        tab.sync().await;
        assert_eq!(told(&tab), NOTHING, "what waits for what is parked waits still");
        tab.engine.discard(&refused, None).await.expect("given up");
        assert!(tab.sync().await.success);
        assert_eq!(told(&tab), [over("parked"), over("pending")].concat());
    });
}

#[test]
fn a_fault_of_the_rows_holds_until_a_check_finds_none() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab().await;
        tab.create("client", json!({"name": "Ann"})).await;
        assert!(tab.sync().await.success && tab.down().await.success);
        let check = async || {
            let mut position = json!({});
            loop {
                let step = tab.engine.check_integrity(&position.to_string()).await.expect("checked");
                if !step["result"].is_null() {
                    return step["result"]["found"].clone();
                }
                position = step["position"].clone();
            }
        };
        let rows = whole(&device.store, Table::Base).await;
        change(&device.store, Table::Base, rows.clone(), |row| row.text.replace("Ann", "Eve")).await;
        assert_eq!(check().await, 1);
        assert_eq!((held(&tab).await, told(&tab)), (only("integrity", 1.0), begun("integrity")));
        let report = tab.engine.compliance_report("{}").await.expect("a report");
        assert_eq!((&report["breaches"], told(&tab)), (&json!(["integrity"]), begun("compliance")));
        change(&device.store, Table::Base, rows, |row| row.text.clone()).await;
        assert_eq!(check().await, 0);
        assert!(tab.sync().await.success);
        assert_eq!(told(&tab), over("integrity"), "the report has to be asked again");
        let report = tab.engine.compliance_report("{}").await.expect("a report");
        assert_eq!((&report["breaches"], told(&tab)), (&json!([] as [Value; 0]), over("compliance")));
    });
}

#[test]
fn the_storage_is_told_of_at_two_limits() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        assert!(tab.sync().await.success);
        for (used, expected) in [
            ("799", vec![]),
            ("800", begun("storage_high")),
            ("949", vec![]),
            ("950", begun("storage_critical")),
            ("no number", vec![]),
            ("10", [over("storage_high"), over("storage_critical")].concat()),
        ] {
            tab.engine.storage(used, "1000");
            tab.engine.alerts().await.expect("judged");
            assert_eq!(told(&tab), expected, "{used}");
        }
    });
}
