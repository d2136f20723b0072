//! All that is stored is looked over in idle time: what changed under the app's feet is told before somebody needs it.

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::alerts::{begun, over, told};
use crate::raw::{change, whole};
use crate::schedule::beside;
use crate::world::{Device, Tab, World, tell, turns};

const DAY_MS: u64 = 86_400_000;

/// A device with so many clients of somebody else.
async fn clients(world: &World, settings: Value, count: usize) -> (Device, Tab) {
    let ben = world.device("ben").tab().await;
    for at in 0..count {
        ben.create("client", json!({"name": format!("Ann {at}")})).await;
    }
    assert!(ben.sync().await.success);
    let device = world.device("anna");
    let tab = device.tab_with(settings).await;
    assert!(tab.sync().await.success);
    (device, tab)
}

/// Sessions, with so many turns after each.
async fn sessions(world: &World, tab: &Tab, rests: &[usize]) {
    beside(world, tab, async {
        for rest in rests {
            let result = tab.engine.sync(fieldsync::engine::Direction::Both, None).await;
            assert!(result.success, "{result:?}");
            turns(*rest).await;
        }
    })
    .await;
}

/// When the last check ended, how many rows it saw and how many faults.
async fn last(tab: &Tab) -> Value {
    tab.engine.audit_report("{}").await.expect("a report")["lastCheck"].clone()
}

#[test]
fn a_flipped_bit_is_told_within_a_day_and_looked_for_no_oftener() {
    tell(async {
        let world = World::new();
        let (device, tab) = clients(&world, json!({}), 3).await;
        let rows = whole(&device.store, Table::Base).await;
        change(&device.store, Table::Base, rows.clone(), |row| row.text.replace("Ann 1", "Eve 1")).await;
        sessions(&world, &tab, &[200]).await;
        assert_eq!(last(&tab).await, Value::Null, "not on the first day");
        world.pass(DAY_MS);
        sessions(&world, &tab, &[400]).await;
        let first = last(&tab).await;
        assert_eq!((&first["faults"], told(&tab)), (&json!(1), begun("integrity")));
        assert!(first["rows"].as_u64() > Some(3));
        world.pass(DAY_MS / 2);
        sessions(&world, &tab, &[200, 200]).await;
        assert_eq!((last(&tab).await, told(&tab).len()), (first, 0), "once a day");
        change(&device.store, Table::Base, rows, |row| row.text.clone()).await;
        world.pass(DAY_MS);
        sessions(&world, &tab, &[400]).await;
        assert_eq!((&last(&tab).await["faults"], told(&tab)), (&json!(0), over("integrity")));
        // A tab that is opened later knows when it was.
        tab.engine.close();
        let when = {
            let next = device.tab().await;
            sessions(&world, &next, &[200]).await;
            last(&next).await["at"].clone()
        };
        assert!(when.as_u64() < Some(world.now()));
    });
}

#[test]
fn a_session_comes_first_and_the_check_goes_on_where_it_was() {
    tell(async {
        let world = World::new();
        let (_device, tab) = clients(&world, json!({}), 300).await;
        world.pass(DAY_MS);
        // Each rest is far too short for all of it.
        sessions(&world, &tab, &[4]).await;
        assert_eq!(last(&tab).await, Value::Null, "not in one go");
        sessions(&world, &tab, &[4; 40]).await;
        assert!(last(&tab).await["rows"].as_u64() > Some(300));
    });
}

#[test]
fn who_wants_none_has_none() {
    tell(async {
        let world = World::new();
        let (_device, tab) = clients(&world, json!({"integrityCheckMs": 0}), 3).await;
        world.pass(30 * DAY_MS);
        sessions(&world, &tab, &[400]).await;
        assert_eq!(last(&tab).await, Value::Null);
    });
}
