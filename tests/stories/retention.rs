//! What was kept for its time goes when there is time for it; what is open, or may be wanted by what is, stays.

use fieldsync::plan::Table;
use fieldsync::value::hash_bytes;
use serde_json::{Value, json};

use crate::conflict_store::{ids, open};
use crate::schedule::beside;
use crate::trail::verify;
use crate::world::{Device, Tab, World, tell, turns};

const DAY_MS: u64 = 86_400_000;
const DAY: i64 = 86_400_000;

/// A session, and the time after it.
async fn rest(world: &World, tab: &Tab) {
    beside(world, tab, async {
        assert!(tab.sync().await.success);
        turns(200).await;
    })
    .await;
}

/// The keys of the conflicts that are stored.
async fn kept(tab: &Tab) -> Vec<u64> {
    ids(&tab.engine.conflicts().await.expect("read"))
}

async fn purges(tab: &Tab) -> Vec<Value> {
    let rows = tab.engine.audit_query("", r#"{"event": "purged"}"#, true).await.expect("read");
    rows.as_array().into_iter().flatten().filter_map(|row| row["entries"].as_array()).flatten().cloned().collect()
}

fn stored(device: &Device, id: u64) -> String {
    let rows = device.store.dump(Table::Conflicts);
    rows.into_iter().find(|(key, _)| *key == id.into()).expect("stored").1
}

#[test]
fn a_decided_conflict_goes_after_its_time_and_the_trail_proves_which() {
    tell(async {
        let world = World::new();
        let (device, here, _, _) = open(&world, 3).await;
        let all = kept(&here).await;
        here.engine.resolve(all[0], r#"{"type": "client-wins"}"#).await.expect("resolved");
        here.engine.resolve(all[1], r#"{"type": "server-wins"}"#).await.expect("resolved");
        world.pass(300 * DAY_MS);
        here.engine.undo_conflict(all[1], None).await.expect("undone");
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all, "not before its time");
        let hashes = [all[0], all[1]].map(|id| hash_bytes(stored(&device, id).as_bytes()));
        world.pass(70 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all[1..], "what was undone later is younger, and what is open has no age");
        world.pass(300 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all[2..]);
        let told: Vec<_> = purges(&here).await.iter().map(|entry| (entry["conflict"].clone(), entry["content"].clone())).collect();
        assert_eq!(told, [(json!(all[0]), json!(hashes[0])), (json!(all[1]), json!(hashes[1]))]);
        assert_eq!(verify(&here, None).await["ok"], true);
        assert_eq!(here.engine.report()["conflictsPurged"], 2);
        let gone = here.engine.undo_conflict(all[0], None).await.expect_err("it went");
        assert_eq!(gone.code, "unknown_conflict");
        here.engine.resolve(all[2], r#"{"type": "client-wins"}"#).await.expect("what is open can be decided, however old it is");
    });
}

#[test]
fn the_log_of_sessions_keeps_its_days_and_always_the_last() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let tab = device.tab_with(json!({"retention": {"syncLogDays": 30}})).await;
        for day in 0..40 {
            tab.create("client", json!({"name": "Ann"})).await;
            assert!(tab.sync().await.success, "{day}");
            world.pass(DAY_MS);
        }
        tab.create("client", json!({"name": "Ann"})).await;
        rest(&world, &tab).await;
        let told = tab.engine.sync_log("{}").await.expect("read");
        assert_eq!((told.len(), &told[0]["id"]), (30, &json!(12)), "thirty days, today among them");
        assert_eq!(tab.engine.report()["sessionsPurged"], 11);
        world.pass(100 * DAY_MS);
        rest(&world, &tab).await;
        let told = tab.engine.sync_log("{}").await.expect("read");
        assert_eq!((told.len(), &told[0]["id"]), (1, &json!(42)), "the last is the counter of all");
        assert_eq!(purges(&tab).await, [] as [Value; 0], "no work was in them");
        assert_eq!(verify(&tab, None).await["ok"], true);
    });
}

#[test]
fn a_conflict_stays_as_long_as_anything_of_its_record_is_unsent() {
    tell(async {
        let world = World::new();
        let (_, here, _, pets) = open(&world, 1).await;
        let all = kept(&here).await;
        here.engine.resolve(all[0], r#"{"type": "client-wins"}"#).await.expect("resolved");
        world.pass(400 * DAY_MS);
        let down = async || {
            beside(&world, &here, async {
                assert!(here.down().await.success);
                turns(200).await;
            })
            .await;
        };
        down().await;
        assert_eq!(kept(&here).await, all, "what was decided is not at the server yet");
        assert!(here.up().await.success);
        here.update("pet", &pets[0], json!({"name": "Max"})).await;
        world.pass(DAY_MS);
        down().await;
        assert_eq!(kept(&here).await, all);
        assert!(here.up().await.success);
        world.pass(DAY_MS);
        down().await;
        assert_eq!(kept(&here).await, [] as [u64; 0]);
    });
}

#[test]
fn it_goes_in_parts_and_not_again_for_some_hours() {
    tell(async {
        let world = World::new();
        let (device, here, _, _) = open(&world, 230).await;
        let all = kept(&here).await;
        for _ in 0..3 {
            here.engine.resolve_many(r#"{"type": "server-wins"}"#, "{}", false).await.expect("resolved");
        }
        assert!(here.sync().await.success);
        world.pass(366 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, [] as [u64; 0]);
        let rows = here.engine.audit_query("", r#"{"event": "purged"}"#, true).await.expect("read");
        // Rows of the trail are old by then, too, and go behind them.
        let entries = rows.as_array().into_iter().flatten().filter_map(|row| row["entries"].as_array());
        let parts: Vec<_> = entries.filter(|entries| entries[0]["conflict"].is_number()).map(Vec::len).collect();
        assert_eq!((parts, all.len()), (vec![100, 100, 30], 230));
        let note = || device.store.dump(Table::State).into_iter().find(|(key, _)| *key == "purged".into());
        for (hours, again) in [(1, false), (6, true)] {
            // Another tab knows of it too.
            let (other, before) = (device.tab().await, note());
            world.pass(hours * 3_600_000);
            rest(&world, &other).await;
            assert_eq!(note() != before, again, "after {hours} h: {before:?}");
        }
    });
}

#[test]
fn a_wrong_clock_purges_nothing_early_and_keeps_nothing_for_ever() {
    tell(async {
        let world = World::new();
        let (device, here, there, pets) = open(&world, 2).await;
        let all = kept(&here).await;
        here.engine.resolve(all[0], r#"{"type": "server-wins"}"#).await.expect("resolved");
        device.set_clock(9_000 * DAY);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all, "by the server it is of today, whatever the clock of the device says");
        here.engine.resolve(all[1], r#"{"type": "server-wins"}"#).await.expect("resolved");
        here.update("pet", &pets[0], json!({"dose": 4})).await;
        there.update("pet", &pets[0], json!({"dose": 5})).await;
        assert!(there.sync().await.success);
        rest(&world, &here).await;
        let all = kept(&here).await;
        here.engine.resolve(all[2], r#"{"type": "server-wins"}"#).await.expect("resolved");
        let ahead = here.engine.sync_log("{}").await.expect("read").len();
        device.set_clock(-9_000 * DAY);
        world.pass(DAY_MS);
        rest(&world, &here).await;
        world.pass(364 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all[1..], "the age of a stamp of the future counts from when it was seen");
        let told = here.engine.sync_log("{}").await.expect("read");
        assert!(told.len() < ahead, "a session is as old as the one after it: {told:?}");
        world.pass(2 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, all[1..2], "one with such a stamp was seen on the first day, one only when it was old otherwise");
        world.pass(366 * DAY_MS);
        rest(&world, &here).await;
        assert_eq!(kept(&here).await, [] as [u64; 0]);
    });
}

#[test]
fn what_shall_be_kept_for_ever_is() {
    tell(async {
        let world = World::new();
        let (device, first, _, _) = open(&world, 1).await;
        let all = kept(&first).await;
        first.engine.resolve(all[0], r#"{"type": "server-wins"}"#).await.expect("resolved");
        assert!(first.sync().await.success);
        let before = first.engine.sync_log("{}").await.expect("read").len();
        let tab = device.tab_with(json!({"retention": {"syncLogDays": false, "conflictsDays": false}})).await;
        world.pass(30_000 * DAY_MS);
        rest(&world, &tab).await;
        assert_eq!((kept(&tab).await, tab.engine.sync_log("{}").await.expect("read").len()), (all, before + 1));
    });
}
