//! The trail goes up into the tenant's chain: once, whatever is lost on the way, behind everything else, and so that a past
//! that was written anew is found.

use fieldsync::engine::Event;
use fieldsync::plan::{Row, Table, Write};
use fieldsync::protocol::paths;
use fieldsync::value::{Limits, parse};
use serde_json::{Value, json};

use crate::raw::{damage, whole, write, write_trail_anew};
use crate::world::{Device, Fault, Tab, World, tell};

/// The rows of the device's trail, as they are stored.
fn stored(device: &Device) -> Vec<Value> {
    let rows = device.store.dump(Table::Audit);
    rows.iter().map(|(_, text)| parse(text, &Limits::RECORD).expect("JSON")).collect()
}

/// What the tenant's chain has of trails, in its order.
async fn chain(world: &World) -> Vec<Value> {
    let rows = world.service().store().audit("clinic").await;
    let contents = rows.iter().map(|row| serde_json::from_str::<Value>(&row.content).expect("JSON"));
    contents.filter(|content| content.get("trail").is_some()).collect()
}

/// All rows in it.
async fn taken(world: &World) -> Vec<Value> {
    chain(world).await.iter().filter_map(|content| content["trail"]["rows"].as_array().cloned()).flatten().collect()
}

/// What was told of a trail that the server did not take.
fn told(tab: &Tab) -> Vec<(Value, Value)> {
    let mut told = Vec::new();
    while let Ok(event) = tab.events.borrow_mut().try_recv() {
        if let Event::Audit { code, reason, number } = event {
            assert_eq!(code, "audit_refused");
            told.push((reason, number));
        }
    }
    told
}

/// Verifies the trail, and holds it against what the server has of it.
pub async fn held_against(tab: &Tab) -> Value {
    let mut position = json!({"server": true});
    loop {
        position = tab.engine.audit_verify(&position.to_string()).await.expect("verified");
        if position["done"] == true {
            return position["result"].clone();
        }
    }
}

/// Somebody writes the whole trail anew, as another user, with every link in it right.
async fn forge(device: &Device) {
    write_trail_anew(&device.store, |row| row.user = "eve".to_owned()).await;
}

#[test]
fn what_the_server_does_not_have_goes_up_after_each_session_and_nothing_twice() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        for at in 0..300 {
            tab.create("client", json!({"name": at})).await;
        }
        assert!(tab.down().await.success);
        assert_eq!(world.requests(paths::AUDIT), 0, "who only fetches sends nothing");
        assert!(tab.sync().await.success);
        assert_eq!((taken(&world).await, world.requests(paths::AUDIT)), (stored(&anna), 2), "in pages");
        let order = world.requests.borrow().clone();
        assert_eq!(order.last().map(String::as_str), Some(paths::AUDIT), "everything else comes first: {order:?}");
        let again = anna.tab().await;
        assert!(tab.sync().await.success && again.sync().await.success);
        assert_eq!(world.requests(paths::AUDIT), 2, "nothing is new, also after a reload");
        again.create("client", json!({"name": "B"})).await;
        assert!(again.sync().await.success);
        assert_eq!((taken(&world).await, world.requests(paths::AUDIT)), (stored(&anna), 3));

        let last = stored(&anna).pop().expect("a row");
        let held = held_against(&again).await;
        let audit_head = world.service().store().audit("clinic").await.pop().expect("a row").hash;
        let expected = json!({"through": last["seq"], "head": last["hash"], "ok": true, "auditHead": audit_head});
        assert_eq!((&held["ok"], &held["server"]), (&json!(true), &expected));
        let report = again.engine.audit_report("{}").await.expect("a report");
        assert_eq!(report["uploaded"], json!({"number": last["seq"], "at": world.now()}));
        assert_eq!((told(&tab), told(&again)), (vec![], vec![]));
    });
}

#[test]
fn what_is_lost_on_the_way_comes_again_and_no_session_fails_by_it() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let faults = [
            Fault::LoseRequest,
            Fault::LoseAnswer,
            Fault::CutAnswer,
            Fault::Html,
            Fault::Status(503, Some(5_000)),
            Fault::Status(500, None),
            Fault::Foreign(404),
            Fault::Mismatch,
        ];
        for fault in faults {
            tab.create("client", json!({"name": "A"})).await;
            tab.fault(paths::AUDIT, fault);
            let result = tab.sync().await;
            assert!(result.success && result.synced == 1, "{fault:?}: {result:?}");
        }
        let again = anna.tab().await;
        assert!(again.sync().await.success, "whatever the next tab knows of it");
        assert_eq!(taken(&world).await, stored(&anna), "each row once");
        assert_eq!((told(&tab), told(&again)), (vec![], vec![]));
        // One that never comes holds the sender up no longer than any other.
        tab.create("client", json!({"name": "B"})).await;
        tab.fault(paths::AUDIT, Fault::Stall);
        assert!(world.until(tab.sync()).await.success);
        assert!(tab.sync().await.success);
        assert_eq!((taken(&world).await, told(&tab)), (stored(&anna), vec![]));
        // What is refused as a whole would be refused again.
        let through = stored(&anna).pop().expect("a row")["seq"].clone();
        for _ in 0..2 {
            tab.create("client", json!({"name": "C"})).await;
            tab.fault(paths::AUDIT, Fault::Status(413, None));
            assert!(tab.sync().await.success);
        }
        assert_eq!(told(&tab), [(json!("too_large"), through)], "once");
        assert!(again.sync().await.success);
        assert_eq!(taken(&world).await, stored(&anna), "whoever opens it anew sends it");
    });
}

#[test]
fn a_server_or_an_app_that_does_not_want_it_is_sent_nothing() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"audit": {"upload": false}})).await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        assert_eq!((world.requests(paths::AUDIT), taken(&world).await.len()), (0, 0));
        let nothing = json!({"through": 0, "head": "0".repeat(64), "ok": true});
        let mut server = held_against(&tab).await["server"].clone();
        assert!(server.as_object_mut().and_then(|server| server.remove("auditHead")).is_some());
        assert_eq!(server, nothing, "nothing of it is there, and nothing of it is wrong");
        tab.engine.set_offline(true);
        let held = held_against(&tab).await;
        assert_eq!(
            (&held["ok"], &held["server"]["ok"], &held["server"]["error"]["code"]),
            (&json!(true), &json!(false), &json!("network"))
        );
    });
}

#[test]
fn a_past_that_was_written_anew_is_found_and_told_and_work_goes_on() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let before = taken(&world).await;
        forge(&anna).await;
        let held = held_against(&tab).await;
        assert_eq!((&held["ok"], &held["server"]["ok"]), (&json!(true), &json!(false)), "no check on the device alone finds it");

        tab.create("client", json!({"name": "B"})).await;
        for _ in 0..2 {
            assert!(tab.sync().await.success);
        }
        let next = before.last().expect("a row")["seq"].as_u64().expect("a number") + 1;
        assert_eq!(told(&tab), [(json!("fork"), json!(next))], "once");
        assert_eq!((tab.queue().await.len(), world.changes().await.len()), (0, 2), "no operation waits for it");
        assert_eq!(taken(&world).await, before, "nothing of it is taken");
        let chain = chain(&world).await;
        let refused = chain.last().expect("a row");
        assert_eq!((&refused["refused"], &refused["trail"]["reason"]), (&json!("audit_refused"), &json!("fork")));
        assert_eq!((&refused["client"], &refused["user"]), (&json!(tab.engine.client()), &json!("anna")));
        // After a reload it is told again.
        let again = anna.tab().await;
        assert!(again.sync().await.success);
        assert_eq!(told(&again), [(json!("fork"), json!(next))]);
        let report = anna.tab().await.engine.compliance_report("{}").await.expect("a report");
        assert_eq!((&report["refused"]["reason"], &report["refused"]["number"]), (&json!("fork"), &json!(next)), "stored: {report}");
        assert_eq!(report["breaches"], json!(["upload"]));
    });
}

#[test]
fn a_refused_trail_is_an_alert_and_a_breach_until_the_server_takes_it() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let alerts = async |tab: &Tab| -> Vec<Value> {
            tab.engine.alerts().await.expect("judged").iter().map(|alert| alert["code"].clone()).collect()
        };
        tab.create("client", json!({"name": "A"})).await;
        tab.fault(paths::AUDIT, Fault::Status(413, None));
        let at = world.now();
        assert!(tab.sync().await.success);
        assert_eq!(alerts(&tab).await, ["audit_refused"]);
        let report = tab.engine.compliance_report("{}").await.expect("a report");
        assert_eq!(report["refused"], json!({"reason": "too_large", "number": 0, "at": at}));
        assert_eq!(report["breaches"], json!(["upload"]));
        tab.engine.close();
        let again = anna.tab().await;
        assert_eq!(alerts(&again).await, ["compliance", "audit_refused"], "they hold over a reload");
        assert!(again.sync().await.success);
        assert_eq!(alerts(&again).await, ["compliance"], "until the next report");
        let report = again.engine.compliance_report("{}").await.expect("a report");
        assert_eq!((&report["refused"], &report["breaches"]), (&Value::Null, &json!([])));
        assert_eq!(alerts(&again).await, Vec::<Value>::new());
    });
}

#[test]
fn a_device_that_lost_the_end_of_its_trail_is_found() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        let profile: Vec<(Table, Vec<Row>)> = copied(&anna).await;
        assert!(tab.sync().await.success);
        drop(tab);
        world.pass(60_000);
        // Its profile is brought back from a copy of before.
        let old = world.device("anna");
        for (table, rows) in profile {
            write(&old.store, rows.into_iter().map(|row| Write::Put(table, row)).collect()).await;
        }
        let tab = old.tab().await;
        assert!(tab.sync().await.success, "its work is applied once");
        assert_eq!((told(&tab).len(), world.changes().await.len()), (1, 1));
    });
}

async fn copied(device: &Device) -> Vec<(Table, Vec<Row>)> {
    let mut all = Vec::new();
    for table in Table::ALL {
        all.push((table, whole(&device.store, table).await));
    }
    all
}

#[test]
fn a_wipe_before_all_went_up_is_a_gap_that_the_chain_tells() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let through = stored(&anna).pop().expect("a row")["seq"].clone();
        tab.create("client", json!({"name": "B"})).await;
        tab.engine.wipe(true, Some("the tablet goes back")).await.expect("emptied");
        let again = anna.tab().await;
        assert!(again.sync().await.success);
        let chain = chain(&world).await;
        let last = &chain.last().expect("a row")["trail"];
        assert_eq!((&last["after"], &last["rows"][0]["reason"]), (&through, &json!("the tablet goes back")));
        assert_eq!(last["begins"], last["rows"][0]["previous"], "the row of the write went before it was sent");
        assert_eq!((told(&again), &held_against(&again).await["server"]["ok"]), (vec![], &json!(true)));

        // Where all had gone up there is none.
        again.engine.wipe(true, None).await.expect("emptied");
        let again = anna.tab().await;
        again.create("client", json!({"name": "C"})).await;
        assert!(again.sync().await.success);
        let chain = self::chain(&world).await;
        assert_eq!((chain.last().expect("a row")["trail"].get("begins"), told(&again)), (None, vec![]));
        assert_eq!(taken(&world).await.last(), stored(&anna).last());
    });
}

#[test]
fn a_server_from_a_backup_is_given_the_trail_again() {
    tell(async {
        let world = World::with_backups();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let backup = world.backup().await;
        tab.create("client", json!({"name": "B"})).await;
        assert!(tab.sync().await.success);
        world.restore(&backup);
        tab.create("client", json!({"name": "C"})).await;
        assert!(tab.sync().await.success);
        assert_eq!((taken(&world).await, told(&tab)), (stored(&anna), vec![]));
    });
}

#[test]
fn a_row_that_cannot_be_read_ends_what_goes_up_and_is_told() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "A"})).await;
        tab.create("client", json!({"name": "B"})).await;
        tab.create("client", json!({"name": "C"})).await;
        let second = vec![whole(&anna.store, Table::Audit).await.remove(1)];
        damage(&anna.store, Table::Audit, second).await;
        let result = tab.engine.sync(fieldsync::engine::Direction::Both, None).await;
        assert!(result.success && result.synced == 3, "{result:?}");
        assert_eq!((told(&tab), taken(&world).await.len()), (vec![(json!("broken"), json!(2))], 1));
    });
}

/// A session, after which not every row is in order.
async fn synced(tab: &Tab) -> bool {
    tab.engine.sync(fieldsync::engine::Direction::Both, None).await.success
}

/// What a repair did about rows of the trail: row and action.
async fn repaired(tab: &Tab) -> Vec<(Value, Value)> {
    let done = tab.engine.repair("{}").await.expect("repaired");
    let mended = done["mended"].as_array().expect("a list").iter().filter(|fault| fault["table"] == "audit");
    mended.map(|fault| (fault["key"].clone(), fault["action"].clone())).collect()
}

#[test]
fn behind_a_row_that_cannot_be_read_the_trail_goes_up_once_a_repair_has_told_the_gap() {
    // In the middle the row behind was linked to what nobody knows any more; at the end the repair itself goes on behind it.
    for (damaged, rows, action, from) in [(&[1][..], 4, "passed", 3), (&[1, 2][..], 5, "passed", 4), (&[3][..], 4, "continued", 4)] {
        tell(async move {
            let world = World::new();
            let anna = world.device("anna");
            let tab = anna.tab_with(json!({"autoSync": false})).await;
            for at in 0..rows {
                tab.create("client", json!({"name": at})).await;
            }
            let all = whole(&anna.store, Table::Audit).await;
            let bad: Vec<Row> = damaged.iter().map(|at| all[*at].clone()).collect();
            damage(&anna.store, Table::Audit, bad.clone()).await;
            let _ = synced(&tab).await;
            let done = repaired(&tab).await;
            assert!(done.len() == damaged.len() && done.iter().all(|(_, by)| by == action), "{done:?}");
            assert!(synced(&tab).await);
            let first = damaged[0] as u64 + 1;
            let provable = || -> Vec<Value> {
                let rows = anna.store.dump(Table::Audit);
                let readable = rows.iter().filter_map(|(_, text)| parse(text, &Limits::RECORD).ok());
                readable.filter(|row| row["seq"].as_u64().is_some_and(|seq| seq < first || seq > from)).collect()
            };
            let up = taken(&world).await;
            assert_eq!(up, provable(), "all before it and all behind it, whole");
            let told: Vec<Value> = chain(&world).await.iter().filter_map(|row| row["trail"].get("begins").cloned()).collect();
            assert_eq!(told, [json!(from)], "the chain says where it goes on");
            assert!(up.iter().any(|row| row["entries"][0]["code"] == json!(["audit/unreadable/", action].concat())), "and why: {up:?}");
            let held = held_against(&tab).await;
            assert_eq!((&held["ok"], &held["server"]["ok"]), (&json!(false), &json!(true)), "the row is named as before");
            assert_eq!(held["firstBad"], json!({"number": first, "reason": "unreadable"}));
            assert_eq!(repaired(&tab).await, [], "once");
            tab.create("client", json!({"name": "later"})).await;
            assert!(synced(&tab).await);
            assert_eq!(taken(&world).await, provable());
        });
    }
}

#[test]
fn behind_a_row_that_the_server_has_and_nobody_can_read_here_the_trail_goes_up_again() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab_with(json!({"autoSync": false})).await;
        for at in 0..3 {
            tab.create("client", json!({"name": at})).await;
        }
        assert!(synced(&tab).await);
        let all = whole(&anna.store, Table::Audit).await;
        let last = all.last().cloned().expect("a row");
        let there = taken(&world).await;
        assert_eq!(there.len(), all.len(), "the server has it as it was");
        damage(&anna.store, Table::Audit, vec![last.clone()]).await;
        let done = repaired(&tab).await;
        assert!(matches!(&done[..], [(_, by)] if by == "continued"), "{done:?}");
        let asked = world.requests(paths::AUDIT);
        assert!(synced(&tab).await);
        assert_eq!((taken(&world).await, world.requests(paths::AUDIT)), (there.clone(), asked), "nothing that it could take");
        tab.create("client", json!({"name": "later"})).await;
        assert!(synced(&tab).await);
        tab.create("client", json!({"name": "last"})).await;
        assert!(synced(&tab).await);
        let begins: Vec<Value> = chain(&world).await.iter().filter_map(|row| row["trail"].get("begins").cloned()).collect();
        assert_eq!(begins, [json!(all.len() + 1)], "a gap, which is told: the row of the repair is linked to what nobody can read");
        assert_eq!(taken(&world).await.len(), there.len() + stored_behind(&anna, all.len() as u64 + 1));
        assert_eq!(told(&tab), [], "and no fork");
        assert_eq!(held_against(&tab).await["server"]["ok"], true);
    });
}

/// How many rows a device has behind one.
fn stored_behind(device: &Device, number: u64) -> usize {
    let rows = device.store.dump(Table::Audit);
    let readable = rows.iter().filter_map(|(_, text)| parse(text, &Limits::RECORD).ok());
    readable.filter(|row| row["seq"].as_u64().is_some_and(|seq| seq > number)).count()
}

#[test]
fn a_note_of_how_far_it_went_up_that_cannot_be_read_is_asked_for_again() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab_with(json!({"autoSync": false})).await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        let is_note = |row: &Row| row.key == "auditUploaded".into();
        let notes = || async { whole(&anna.store, Table::State).await.into_iter().filter(is_note).collect::<Vec<_>>() };
        let note = notes().await;
        damage(&anna.store, Table::State, note.clone()).await;
        let done = tab.engine.repair("{}").await.expect("repaired");
        let told = &done["mended"][0];
        assert_eq!(
            (&told["table"], &told["key"], &told["action"]),
            (&json!("state"), &json!("auditUploaded"), &json!("dropped")),
            "{done}"
        );
        assert!(notes().await.is_empty());
        let again = anna.tab().await;
        again.create("client", json!({"name": "B"})).await;
        assert!(again.sync().await.success);
        assert_eq!((notes().await.len(), taken(&world).await), (1, stored(&anna)), "nothing twice");
    });
}

#[test]
fn to_ask_what_the_server_has_is_no_word_on_what_it_refused() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"autoSync": false})).await;
        tab.create("client", json!({"name": "A"})).await;
        assert!(tab.sync().await.success);
        tab.create("client", json!({"name": "B"})).await;
        tab.fault(paths::AUDIT, Fault::Status(413, None));
        assert!(tab.sync().await.success);
        let refused = async || tab.engine.compliance_report("{}").await.expect("a report")["refused"]["reason"].clone();
        assert_eq!(refused().await, "too_large");
        let mut position = json!({"server": true});
        while position["done"] != true {
            position = tab.engine.audit_verify(&position.to_string()).await.expect("verified");
        }
        assert_eq!((position["result"]["server"]["ok"].clone(), refused().await), (json!(true), json!("too_large")));
    });
}
