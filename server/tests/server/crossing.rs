//! Two resolve one conflict: the device that met it, and somebody else. The second is told, nothing is applied twice,
//! and nothing is lost.

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::world::{Device, Told, World, brief, briefs, on_both_stores, op, version};

on_both_stores!(
    a_device_that_decides_later_is_judged_on_what_was_decided,
    who_decides_after_the_device_is_told,
    another_device_of_the_user_closes_the_conflict,
    others_write_over_it_and_close_nothing,
    what_the_device_wrote_meanwhile_stays_open,
    closing_anothers_conflict_leaves_ones_own,
    a_decision_that_had_to_be_made_anew_closes_the_first_conflict_too,
);

/// A change of the client, in the place of an operation that was refused.
fn instead(device: &Device, number: u64, set: Value, base: u64, of: u64) -> Value {
    let mut operation = device.update(number, "client", 1, set, version(base));
    operation["supersedes"] = json!(op(of));
    operation
}

/// The client stands at `{n: 1}`, version 2. Ben's `{n: 2}` on version 1 is refused. Gives the conflict.
async fn met<S: ServerStore>(world: &World<S>, ben: &Device) -> Value {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/n": 1}), version(1))]).await;
    world.upload(ben, &[ben.update(3, "client", 1, json!({"/n": 2}), version(1))]).await[0]["conflictId"].clone()
}

async fn open<S: ServerStore>(world: &World<S>, device: &Device) -> Vec<Value> {
    let held = world.conflicts(device, json!({"state": "open"})).await;
    held["conflicts"].as_array().into_iter().flatten().map(|conflict| conflict["conflictId"].clone()).collect()
}

async fn a_device_that_decides_later_is_judged_on_what_was_decided<S: ServerStore>(world: World<S>) -> Told {
    let (ben, head) = (Device::new("north", "ben", 2), Device::new("north", "head", 9).coordinating());
    let conflict = met(&world, &ben).await;
    let decision = json!({"conflictId": conflict, "operation": op(4), "expectedVersion": "2", "resolution": "client-wins"});
    assert_eq!(brief(&world.resolve(&head, &decision).await["outcome"]), "applied 3");
    // It wants nothing more, or the same: that is so, and no second change of the record.
    let same = [instead(&ben, 5, json!({}), 2, 3), instead(&ben, 6, json!({"/n": 2}), 2, 3)];
    assert_eq!(briefs(&world.upload(&ben, &same).await), ["applied 2", "applied 2"]);
    assert_eq!((world.status(&ben).await["sequence"].clone(), open(&world, &ben).await.len()), (json!("3"), 0));
    // It wants something else: it learns what was decided, and its own side is kept.
    let other = world.upload(&ben, &[instead(&ben, 7, json!({"/n": 7}), 2, 3)]).await.remove(0);
    assert_eq!((brief(&other).as_str(), &other["server"]["version"]), ("conflict update-update", &json!("3")));
    assert_ne!(other["conflictId"], conflict, "a conflict that was closed stays closed");
    assert_eq!(open(&world, &ben).await, [other["conflictId"].clone()]);
    assert_eq!(briefs(&world.upload(&ben, &[instead(&ben, 8, json!({"/n": 7}), 3, 7)]).await), ["applied 4"]);
    Ok(())
}

async fn who_decides_after_the_device_is_told<S: ServerStore>(world: World<S>) -> Told {
    let (ben, head) = (Device::new("north", "ben", 2), Device::new("north", "head", 9).coordinating());
    let conflict = met(&world, &ben).await;
    assert_eq!(briefs(&world.upload(&ben, &[instead(&ben, 4, json!({"/n": 4}), 2, 3)]).await), ["applied 3"]);
    let decision = json!({"conflictId": conflict, "operation": op(5), "expectedVersion": "2", "resolution": "server-wins"});
    let answer = world.resolve(&head, &decision).await;
    assert_eq!(answer["outcome"], json!({"status": "closed", "closedBy": op(4)}));
    assert_eq!((&answer["record"]["version"], &answer["record"]["data"]), (&json!("3"), &json!({"n": 4})));
    Ok(())
}

async fn another_device_of_the_user_closes_the_conflict<S: ServerStore>(world: World<S>) -> Told {
    let (ben, tablet) = (Device::new("north", "ben", 2), Device::new("north", "ben", 3));
    met(&world, &ben).await;
    assert_eq!(briefs(&world.upload(&tablet, &[instead(&tablet, 4, json!({"/n": 4}), 2, 3)]).await), ["applied 3"]);
    assert_eq!(open(&world, &ben).await, Vec::<Value>::new());
    // The first device, which has not heard of it, comes second.
    assert_eq!(briefs(&world.upload(&ben, &[instead(&ben, 5, json!({"/n": 5}), 2, 3)]).await), ["conflict update-update"]);
    Ok(())
}

async fn others_write_over_it_and_close_nothing<S: ServerStore>(world: World<S>) -> Told {
    let (ben, cleo) = (Device::new("north", "ben", 2), Device::new("north", "cleo", 4));
    let conflict = met(&world, &ben).await;
    assert_eq!(briefs(&world.upload(&cleo, &[instead(&cleo, 4, json!({"/n": 4}), 2, 3)]).await), ["applied 3"]);
    assert_eq!(open(&world, &ben).await, std::slice::from_ref(&conflict), "it is not hers");
    let head = Device::new("north", "head", 9).coordinating();
    assert_eq!(briefs(&world.upload(&head, &[instead(&head, 5, json!({}), 3, 3)]).await), ["applied 3"]);
    assert_eq!(open(&world, &ben).await, Vec::<Value>::new());
    Ok(())
}

async fn what_the_device_wrote_meanwhile_stays_open<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben, tablet) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2), Device::new("north", "ben", 3));
    let conflict = met(&world, &ben).await;
    world.upload(&anna, &[anna.update(4, "client", 1, json!({"/n": 4}), version(2))]).await;
    let renewed = world.upload(&ben, &[instead(&ben, 5, json!({"/n": 5}), 2, 3)]).await.remove(0);
    assert_eq!(renewed["conflictId"], conflict);
    // The tablet only knows of the first operation that met it.
    assert_eq!(briefs(&world.upload(&tablet, &[instead(&tablet, 6, json!({"/n": 6}), 3, 3)]).await), ["applied 4"]);
    assert_eq!(open(&world, &ben).await, std::slice::from_ref(&conflict));
    assert_eq!(world.conflicts(&ben, json!({})).await["conflicts"][0]["operation"]["id"], json!(op(5)));
    assert_eq!(briefs(&world.upload(&tablet, &[instead(&tablet, 7, json!({}), 4, 5)]).await), ["applied 4"]);
    assert_eq!(open(&world, &ben).await, Vec::<Value>::new());
    Ok(())
}

/// The coordinator's own device has an open conflict over the same record.
async fn closing_anothers_conflict_leaves_ones_own<S: ServerStore>(world: World<S>) -> Told {
    let (ben, head) = (Device::new("north", "ben", 2), Device::new("north", "head", 9).coordinating());
    let bens = met(&world, &ben).await;
    let own = world.upload(&head, &[head.update(4, "client", 1, json!({"/n": 4}), version(1))]).await[0]["conflictId"].clone();
    let batch = [instead(&head, 5, json!({}), 2, 3), head.update(6, "client", 1, json!({"/n": 6}), version(1))];
    let outcomes = world.upload(&head, &batch).await;
    assert_eq!(briefs(&outcomes), ["applied 2", "conflict update-update"]);
    assert_eq!(outcomes[1]["conflictId"], own, "renewed, not opened anew");
    assert_ne!(own, bens);
    assert_eq!(open(&world, &head).await, [own]);
    Ok(())
}

/// The tablet decides on an old version, and meets a conflict of its own.
async fn a_decision_that_had_to_be_made_anew_closes_the_first_conflict_too<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben, tablet) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2), Device::new("north", "ben", 3));
    let bens = met(&world, &ben).await;
    world.upload(&anna, &[anna.update(4, "client", 1, json!({"/n": 4}), version(2))]).await;
    let own = world.upload(&tablet, &[instead(&tablet, 5, json!({"/n": 5}), 2, 3)]).await.remove(0);
    assert_eq!(open(&world, &ben).await, [bens, own["conflictId"].clone()]);
    assert_eq!(briefs(&world.upload(&tablet, &[instead(&tablet, 6, json!({"/n": 5}), 3, 5)]).await), ["applied 4"]);
    assert_eq!(open(&world, &ben).await, Vec::<Value>::new());
    Ok(())
}
