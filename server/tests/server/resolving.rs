//! Conflicts that are decided at the server, and what becomes of decisions that cross on the way.

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::world::{Device, NOW_MS, Told, World, after, brief, briefs, followed, on_both_stores, op, version};

on_both_stores!(
    each_resolution_does_what_its_name_says,
    what_settles_itself_stays_with_the_later_stamp,
    a_clock_that_was_wrong_does_not_win_later_either,
    the_same_decision_counts_once,
    a_decision_on_an_old_version_is_stale_and_leaves_nothing_behind,
    only_the_user_and_coordinators_decide,
    a_delete_that_was_refused_is_done_or_refused_again,
    a_deleted_record_comes_back_only_as_a_whole,
    a_member_of_a_transaction_is_left_to_its_device,
    temp_ids_in_what_was_refused_are_mapped,
    a_request_that_makes_no_sense_is_refused,
);

/// A decision over a conflict, under the ID of the `number`th operation.
fn decision(number: u64, conflict: &Value, expected: u64, resolution: &str) -> Value {
    json!({"conflictId": conflict, "operation": op(number), "expectedVersion": expected.to_string(), "resolution": resolution})
}

/// What an answer says of the decision, and the record's fields.
fn said(answer: &Value) -> (String, Value) {
    assert!(answer["error"].is_null(), "{answer}");
    (brief(&answer["outcome"]), answer["record"]["data"].clone())
}

/// Anna has `{n: 1, m: 0, k: 0}` at version 2; Ben's change of `n` and `k` stands on version 1. Gives the conflict.
async fn met<S: ServerStore>(world: &World<S>, ben: &Device, stamp: Value) -> Value {
    let anna = Device::new("north", "anna", 1);
    let made = anna.create(1, "client", "temp_1_a_client", json!({"n": 0, "m": 0, "k": 0}));
    assert_eq!(
        briefs(&world.upload(&anna, &[made, anna.update(2, "client", "temp_1_a_client", json!({"/n": 1}), after(1))]).await)[1],
        "applied 2"
    );
    let mut lost = ben.update(3, "client", 1, json!({"/n": 2, "/k": 2}), version(1));
    lost["stamp"] = stamp;
    let outcome = world.upload(ben, &[lost]).await.remove(0);
    assert_eq!(brief(&outcome), "conflict update-update");
    outcome["conflictId"].clone()
}

async fn each_resolution_does_what_its_name_says<S: ServerStore>(world: World<S>) -> Told {
    // Later than the creation, earlier than Anna's change.
    let between = json!([NOW_MS + 1, 5]);
    let data = json!({"n": 7, "new": true});
    for (number, (resolution, data, outcome, record)) in [
        ("server-wins", None, "applied 2", json!({"n": 1, "m": 0, "k": 0})),
        ("client-wins", None, "applied 3", json!({"n": 2, "m": 0, "k": 2})),
        ("last-write-wins", None, "applied 3", json!({"n": 1, "m": 0, "k": 2})),
        ("merge", None, "applied 3", json!({"n": 1, "m": 0, "k": 2})),
        ("merge", Some(data.clone()), "applied 3", data),
    ]
    .into_iter()
    .enumerate()
    {
        // Each in a tenant of its own.
        let tenant = format!("tenant-{number}");
        let there = |user: &str, number| Device::new(&tenant, user, number);
        let (ben, head) = (there("ben", 2), there("head", 9).coordinating());
        let anna = there("anna", 1);
        let made = anna.create(1, "client", "temp_1_a_client", json!({"n": 0, "m": 0, "k": 0}));
        world.upload(&anna, &[made, anna.update(2, "client", "temp_1_a_client", json!({"/n": 1}), after(1))]).await;
        let mut lost = ben.update(3, "client", 1, json!({"/n": 2, "/k": 2}), version(1));
        lost["stamp"] = between.clone();
        let conflict = world.upload(&ben, &[lost]).await[0]["conflictId"].clone();
        let mut decision = decision(4, &conflict, 2, resolution);
        if let Some(data) = data {
            decision["data"] = data;
        }
        assert_eq!(said(&world.resolve(&head, &decision).await), (outcome.to_owned(), record.clone()), "{resolution}");
        assert_eq!(world.status(&ben).await["openConflicts"], json!(0), "{resolution}");
        let held = world.conflicts(&ben, json!({"state": "closed"})).await;
        assert_eq!(held["conflicts"][0]["closedBy"], json!(op(4)));
        assert_eq!(held["conflicts"][0]["server"]["data"], record);
        // What Ben's device writes on it is judged on what is there now.
        let next = ben.update(5, "client", 1, json!({"/m": 5}), version(if outcome == "applied 2" { 2 } else { 3 }));
        assert!(brief(&world.upload(&ben, &[next]).await[0]).starts_with("applied"), "{resolution}");
    }
    Ok(())
}

/// The device is an hour ahead, and had measured that when it sent. The server still knows when the conflict is decided.
async fn what_settles_itself_stays_with_the_later_stamp<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben, head) =
        (Device::new("north", "anna", 1), Device::new("north", "ben", 2), Device::new("north", "head", 9).coordinating());
    let made = anna.create(1, "owner", "temp_1_a_owner", json!({"name": "Ada", "at": 0}));
    world.upload(&anna, &[made, anna.update(5, "owner", "temp_1_a_owner", json!({"/name": "Ada A.", "/at": 5}), after(1))]).await;
    let met = world.upload(&ben, &[ben.update(3, "owner", 1, json!({"/name": "Ada B.", "/at": 3}), version(1))]).await.remove(0);
    let ended = world.resolve(&head, &decision(7, &met["conflictId"], 2, "client-wins")).await;
    assert_eq!(said(&ended), ("applied 3".to_owned(), json!({"name": "Ada B.", "at": 5})));
    Ok(())
}

async fn a_clock_that_was_wrong_does_not_win_later_either<S: ServerStore>(world: World<S>) -> Told {
    const HOUR_MS: u64 = 3_600_000;
    let ahead = Device { offset_ms: -(HOUR_MS as i64), ..Device::new("north", "ben", 2) };
    let conflict = met(&world, &ahead, json!([NOW_MS + HOUR_MS + 1, 5])).await;
    let answer = world.resolve(&Device::new("north", "ben", 7), &decision(4, &conflict, 2, "last-write-wins")).await;
    assert_eq!(said(&answer), ("applied 3".to_owned(), json!({"n": 1, "m": 0, "k": 2})));
    Ok(())
}

async fn the_same_decision_counts_once<S: ServerStore>(world: World<S>) -> Told {
    let ben = Device::new("north", "ben", 2);
    let conflict = met(&world, &ben, json!([NOW_MS + 3, 0])).await;
    let mine = decision(4, &conflict, 2, "client-wins");
    let first = world.resolve(&ben, &mine).await;
    assert_eq!(said(&first).0, "applied 3");
    let head = world.status(&ben).await;
    let again = world.resolve(&ben, &mine).await;
    assert_eq!((said(&again).0.as_str(), &again["outcome"]["original"]), ("duplicate applied 3", &first["outcome"]));
    assert_eq!(again["record"], first["record"]);
    let other = decision(4, &conflict, 3, "server-wins");
    assert_eq!(said(&world.resolve(&ben, &other).await).0, "rejected operation_reused");
    let upload = ben.update(4, "client", 1, json!({"/n": 9}), version(3));
    assert_eq!(brief(&world.upload(&ben, &[upload]).await[0]), "rejected operation_reused");
    // Another decision comes too late, and is told by whom it was taken.
    let late = world.resolve(&ben, &decision(5, &conflict, 3, "client-wins")).await;
    assert_eq!(late["outcome"], json!({"status": "closed", "closedBy": op(4)}));
    assert_eq!(late["record"]["version"], json!("3"));
    let after = world.status(&ben).await;
    assert_eq!((&after["sequence"], &after["auditHead"]), (&head["sequence"], &head["auditHead"]), "none of them left anything");
    Ok(())
}

async fn a_decision_on_an_old_version_is_stale_and_leaves_nothing_behind<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    let conflict = met(&world, &ben, json!([NOW_MS + 3, 0])).await;
    world.upload(&anna, &[anna.update(6, "client", 1, json!({"/m": 6}), version(2))]).await;
    let stale = world.resolve(&ben, &decision(4, &conflict, 2, "client-wins")).await;
    assert_eq!((&stale["outcome"], &stale["record"]["version"]), (&json!({"status": "stale"}), &json!("3")));
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1));
    // The ID was not used up.
    let answer = world.resolve(&ben, &decision(4, &conflict, 3, "client-wins")).await;
    assert_eq!(said(&answer), ("applied 4".to_owned(), json!({"n": 2, "m": 6, "k": 2})));
    Ok(())
}

async fn only_the_user_and_coordinators_decide<S: ServerStore>(world: World<S>) -> Told {
    let ben = Device::new("north", "ben", 2);
    let conflict = met(&world, &ben, json!([NOW_MS + 3, 0])).await;
    for (device, code) in [
        (Device::new("north", "anna", 1), "forbidden"),
        (Device::new("north", "cleo", 4), "forbidden"),
        (Device::new("south", "ben", 2), "unknown_conflict"),
        (Device::new("south", "head", 9).coordinating(), "unknown_conflict"),
    ] {
        let answer = world.resolve(&device, &decision(4, &conflict, 2, "client-wins")).await;
        assert_eq!(answer["error"]["code"], json!(code), "{device:?}");
    }
    assert_eq!(world.resolve(&ben, &decision(4, &json!("none"), 2, "client-wins")).await["error"]["code"], json!("unknown_conflict"));
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1));
    let tablet = Device::new("north", "ben", 3);
    assert_eq!(said(&world.resolve(&tablet, &decision(4, &conflict, 2, "client-wins")).await).0, "applied 3");
    assert_eq!(world.status(&ben).await["openConflicts"], json!(0));
    Ok(())
}

async fn a_delete_that_was_refused_is_done_or_refused_again<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/n": 1}), version(1))]).await;
    world.upload(&anna, &[anna.create(3, "pet", "temp_3_a_pet", json!({"clientId": 1}))]).await;
    let conflict = world.upload(&ben, &[ben.delete(4, "client", 1, version(1))]).await[0]["conflictId"].clone();
    let refused = world.resolve(&ben, &decision(5, &conflict, 2, "client-wins")).await;
    assert_eq!(said(&refused), ("rejected has_dependents".to_owned(), json!({"n": 1})));
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1), "what is rejected closes nothing");
    world.upload(&anna, &[anna.delete(6, "pet", 1, version(3))]).await;
    assert_eq!(said(&world.resolve(&ben, &decision(5, &conflict, 2, "client-wins")).await).0, "duplicate rejected has_dependents");
    let done = world.resolve(&ben, &decision(7, &conflict, 2, "client-wins")).await;
    assert_eq!(said(&done), ("applied 5".to_owned(), Value::Null));
    Ok(())
}

async fn a_deleted_record_comes_back_only_as_a_whole<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world
        .upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0, "m": 0})), anna.delete(2, "client", 1, version(1))])
        .await;
    let conflict = world.upload(&ben, &[ben.update(3, "client", 1, json!({"/n": 2}), version(1))]).await[0]["conflictId"].clone();
    for (number, resolution) in [(4, "client-wins"), (5, "last-write-wins")] {
        let answer = world.resolve(&ben, &decision(number, &conflict, 2, resolution)).await;
        assert_eq!(said(&answer), ("rejected invalid_operation".to_owned(), Value::Null), "{resolution}: it has only a part of it");
        assert_eq!(answer["outcome"]["error"]["path"], json!("resolution"));
    }
    let mut whole = decision(6, &conflict, 2, "merge");
    whole["data"] = json!({"n": 2, "m": 0});
    assert_eq!(said(&world.resolve(&ben, &whole).await), ("applied 3".to_owned(), json!({"n": 2, "m": 0})));
    Ok(())
}

/// Two changes of one transaction: the server has only the one that it refused.
async fn a_member_of_a_transaction_is_left_to_its_device<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    let made = |number: u64| anna.create(number, "client", format!("temp_{number}_a_client"), json!({"n": 0}));
    world.upload(&anna, &[made(1), made(2)]).await;
    world.upload(&anna, &[anna.update(3, "client", 1, json!({"/n": 1}), version(1))]).await;
    let group = |number: u64, base: u64, other: u64| {
        let mut members = [
            ben.update(number, "client", 1, json!({"/n": 2}), version(base)),
            ben.update(number + 1, "client", 2, json!({"/n": 2}), version(2)),
        ];
        for (at, member) in members.iter_mut().enumerate() {
            member["group"] = json!({"id": op(number), "of": 2});
            if other > 0 {
                member["supersedes"] = json!(op(other + at as u64));
            }
        }
        members
    };
    let outcomes = world.upload(&ben, &group(4, 1, 0)).await;
    assert_eq!(briefs(&outcomes), ["conflict update-update".to_owned(), format!("blocked {}", op(4))]);
    let conflict = outcomes[0]["conflictId"].clone();
    let part = world.resolve(&ben, &decision(6, &conflict, 3, "client-wins")).await;
    assert_eq!(said(&part), ("rejected invalid_operation".to_owned(), json!({"n": 1})));
    assert_eq!(said(&world.resolve(&ben, &decision(7, &conflict, 3, "server-wins")).await).0, "applied 3");
    // The device still has all of it, and sends it anew.
    assert_eq!(briefs(&world.upload(&ben, &group(8, 3, 4)).await), ["applied 4", "applied 5"]);
    Ok(())
}

async fn temp_ids_in_what_was_refused_are_mapped<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world
        .upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({})), anna.create(2, "pet", "temp_2_a_pet", json!({"n": 0}))])
        .await;
    world.upload(&anna, &[anna.update(3, "pet", 1, json!({"/n": 1}), version(2))]).await;
    let lost = ben.update(4, "pet", 1, json!({"/clientId": "temp_5_b_client"}), version(2));
    let outcomes = world.upload(&ben, &[ben.create(5, "client", "temp_5_b_client", json!({})), lost]).await;
    assert_eq!(briefs(&outcomes), ["applied 4", "conflict update-update"]);
    let answer = world.resolve(&ben, &decision(6, &outcomes[1]["conflictId"], 3, "client-wins")).await;
    assert_eq!(said(&answer), ("applied 5".to_owned(), json!({"n": 1, "clientId": 2})));
    Ok(())
}

#[tokio::test]
async fn the_audit_chain_says_who_decided_what_and_why() -> Told {
    let world = World::memory()?;
    let ben = Device::new("north", "ben", 2);
    let conflict = met(&world, &ben, json!([NOW_MS + 3, 0])).await;
    let mut decided = decision(4, &conflict, 2, "client-wins");
    decided["reason"] = json!("he asked for it");
    world.resolve(&Device::new("north", "head", 9).coordinating(), &decided).await;
    let rows = world.service.store().audit("north").await;
    let last: Value = serde_json::from_str(&rows.last().ok_or("a row")?.content)?;
    assert_eq!(
        (&last["user"], &last["entries"][0]["operation"], &last["entries"][0]["version"]),
        (&json!("head"), &json!(op(4)), &json!("3"))
    );
    assert_eq!(last["decision"], json!({"conflict": conflict, "resolution": "client-wins", "reason": "he asked for it"}));
    assert_eq!(followed(&rows), Ok(()));
    let change = world.service.store().changes("north").await.pop().ok_or("a change")?;
    assert_eq!((change.user.as_str(), change.operation.to_string()), ("head", op(4)));
    Ok(())
}

async fn a_request_that_makes_no_sense_is_refused<S: ServerStore>(world: World<S>) -> Told {
    let ben = Device::new("north", "ben", 2);
    let conflict = met(&world, &ben, json!([NOW_MS + 3, 0])).await;
    for (field, value) in [
        ("resolution", json!("manual")),
        ("data", json!({"n": 1})),
        ("operation", json!("4")),
        ("expectedVersion", json!(2)),
        ("reason", json!("x".repeat(1_025))),
        ("conflictId", json!("x".repeat(257))),
    ] {
        let mut request = decision(4, &conflict, 2, "client-wins");
        request[field] = value;
        assert_eq!(world.resolve(&ben, &request).await["error"]["code"], json!("invalid_request"), "{field}");
    }
    let mut merge = decision(4, &conflict, 2, "merge");
    merge["data"] = json!({"n": 1, "_sync": {}});
    assert_eq!(said(&world.resolve(&ben, &merge).await).0, "rejected invalid_value");
    let mut foreign = ben.clone();
    foreign.epoch = Some("0190a1b2-0000-7000-8000-0000000000e9".to_owned());
    let answer = world.resolve(&foreign, &decision(5, &conflict, 2, "client-wins")).await;
    assert_eq!(answer["error"]["code"], json!("epoch_changed"), "versions mean nothing across a restore");
    Ok(())
}
