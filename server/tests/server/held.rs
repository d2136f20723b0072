//! What the server holds of conflicts, and who is shown it.

use fieldsync::protocol::limits;
use fieldsync_server::store::{ServerStore, prune};
use serde_json::{Value, json};

use crate::world::{Device, NOW_MS, Told, World, brief, briefs, on_both_stores, op, version};

on_both_stores!(
    a_user_is_shown_the_conflicts_of_all_his_devices_and_a_coordinator_those_of_everybody,
    a_session_begins_with_whether_others_wait,
    a_filter_leaves_out_what_it_says,
    a_list_goes_on_where_it_ended,
    large_conflicts_come_a_few_at_a_time,
    what_is_gone_is_said_to_be_gone,
    what_it_was_is_kept_as_long_as_its_tombstone,
    a_request_that_makes_no_sense_is_refused,
);

/// The names of the operations in an answer, by their numbers.
fn operations(answer: &Value) -> Vec<Value> {
    answer["conflicts"].as_array().into_iter().flatten().map(|conflict| conflict["operation"]["id"].clone()).collect()
}

/// Anna makes and changes a client, so that a change on its first version is refused.
async fn moved_on<S: ServerStore>(world: &World<S>, anna: &Device, number: u64) {
    let made = anna.create(number, "client", format!("temp_{number}_a_client"), json!({"n": 0, "m": 0}));
    let changed = anna.update(number + 1, "client", format!("temp_{number}_a_client"), json!({"/n": 1}), json!({"after": op(number)}));
    assert!(briefs(&world.upload(anna, &[made, changed]).await).iter().all(|brief| brief.starts_with("applied")));
}

async fn a_user_is_shown_the_conflicts_of_all_his_devices_and_a_coordinator_those_of_everybody<S: ServerStore>(world: World<S>) -> Told {
    let (anna, cleo) = (Device::new("north", "anna", 1), Device::new("north", "cleo", 4));
    let (phone, tablet) = (Device::new("north", "ben", 2), Device::new("north", "ben", 3));
    moved_on(&world, &anna, 1).await;
    let lost = phone.update(3, "client", 1, json!({"/n": 2}), version(1));
    let outcome = world.upload(&phone, std::slice::from_ref(&lost)).await.remove(0);
    world.clock.advance(1_000);
    world.upload(&tablet, &[tablet.delete(4, "client", 1, version(1))]).await;
    world.upload(&cleo, &[cleo.update(5, "client", 1, json!({"/n": 5}), version(1))]).await;
    world.upload(&anna, &[anna.update(6, "client", 1, json!({"/m": 1}), version(2))]).await;

    for asking in [&phone, &tablet, &Device::new("north", "ben", 5)] {
        let answer = world.conflicts(asking, json!({})).await;
        assert_eq!(operations(&answer), [op(3), op(4)], "of both his devices");
        assert_eq!(answer["next"], Value::Null);
        assert_eq!(
            answer["conflicts"][0],
            json!({"conflictId": outcome["conflictId"], "kind": "update-update", "entity": "client", "id": 1, "client": phone.client,
                "user": "ben", "operation": lost, "version": "2", "offsetMs": 0, "openedAt": NOW_MS,
                "server": {"version": "3", "data": {"n": 1, "m": 1}, "stamp": [NOW_MS + 1, 0],
                    "fieldStamps": {"m": [NOW_MS + 6, 0], "n": [NOW_MS + 2, 0]}}})
        );
        assert_eq!(
            (&answer["conflicts"][1]["kind"], &answer["conflicts"][1]["openedAt"]),
            (&json!("delete-update"), &json!(NOW_MS + 1_000))
        );
    }
    assert_eq!(operations(&world.conflicts(&anna, json!({})).await), Vec::<Value>::new(), "she met none");
    let coordinator = anna.clone().coordinating();
    assert_eq!(operations(&world.conflicts(&coordinator, json!({})).await), [op(3), op(4), op(5)]);
    let other = Device { roles: vec!["admin".to_owned(), "Coordinator".to_owned()], ..anna.clone() };
    assert_eq!(operations(&world.conflicts(&other, json!({})).await), Vec::<Value>::new(), "other roles show nothing");
    Ok(())
}

/// So that who has none to fetch asks for none.
async fn a_session_begins_with_whether_others_wait<S: ServerStore>(world: World<S>) -> Told {
    let (anna, phone, tablet) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2), Device::new("north", "ben", 3));
    moved_on(&world, &anna, 1).await;
    assert_eq!(world.initialize(&tablet, None).await["conflicts"], Value::Null);
    world.upload(&phone, &[phone.update(3, "client", 1, json!({"/n": 2}), version(1))]).await;
    assert_eq!(world.initialize(&tablet, None).await["conflicts"], json!(true));
    assert_eq!(world.initialize(&phone, None).await["conflicts"], Value::Null, "it knows its own");
    assert_eq!(world.initialize(&anna, None).await["conflicts"], Value::Null, "they are not hers");
    assert_eq!(world.initialize(&anna.clone().coordinating(), None).await["conflicts"], json!(true));
    let mut resolution = phone.update(4, "client", 1, json!({}), version(2));
    resolution["supersedes"] = json!(op(3));
    world.upload(&phone, &[resolution]).await;
    assert_eq!(world.initialize(&tablet, None).await["conflicts"], Value::Null);
    Ok(())
}

async fn a_filter_leaves_out_what_it_says<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    moved_on(&world, &anna, 1).await;
    moved_on(&world, &anna, 3).await;
    let vet = world.upload(&anna, &[anna.create(5, "vet", "temp_5_a_vet", json!({"n": 0}))]).await.remove(0)["realId"].clone();
    world.upload(&anna, &[anna.update(6, "vet", vet.clone(), json!({"/n": 1}), version(5))]).await;
    let lost = [
        ben.update(7, "client", 1, json!({"/n": 2}), version(1)),
        ben.update(8, "client", 2, json!({"/n": 2}), version(3)),
        ben.update(9, "vet", vet.clone(), json!({"/n": 2}), version(5)),
    ];
    assert!(briefs(&world.upload(&ben, &lost).await).iter().all(|brief| brief == "conflict update-update"));
    let mut resolution = ben.update(10, "client", 1, json!({}), version(2));
    resolution["supersedes"] = json!(op(7));
    assert_eq!(briefs(&world.upload(&ben, &[resolution]).await), ["applied 2"]);
    for (filter, expected) in [
        (json!({}), vec![7, 8, 9]),
        (json!({"state": "open"}), vec![8, 9]),
        (json!({"state": "closed"}), vec![7]),
        (json!({"entity": "client"}), vec![7, 8]),
        (json!({"entity": "client", "state": "open"}), vec![8]),
        (json!({"entity": "client", "record": 1}), vec![7]),
        (json!({"entity": "client", "record": "1"}), vec![]),
        (json!({"entity": "vet", "record": vet, "state": "open"}), vec![9]),
        (json!({"entity": "pet"}), vec![]),
    ] {
        let answer = world.conflicts(&ben, filter.clone()).await;
        assert_eq!(operations(&answer), expected.into_iter().map(op).collect::<Vec<_>>(), "{filter}");
    }
    let closed = world.conflicts(&ben, json!({"state": "closed"})).await;
    assert_eq!(closed["conflicts"][0]["closedBy"], json!(op(10)));
    Ok(())
}

async fn a_list_goes_on_where_it_ended<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    for number in 0..5 {
        moved_on(&world, &anna, 1 + 2 * number).await;
    }
    let lost: Vec<_> = (1..=5).map(|id| ben.update(100 + id, "client", id, json!({"/n": 9}), version(0))).collect();
    world.upload(&ben, &lost).await;
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let mut request = json!({"limit": 2});
        if let Some(after) = &after {
            request["after"] = json!(after);
        }
        let answer = world.conflicts(&ben, request).await;
        let found = operations(&answer);
        assert!((1..=2).contains(&found.len()), "{answer}");
        seen.extend(found);
        match answer["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, (101..=105).map(op).collect::<Vec<_>>());
    let exactly = world.conflicts(&ben, json!({"limit": 5})).await;
    assert_eq!((operations(&exactly).len(), &exactly["next"]), (5, &Value::Null), "nothing is left, and it says so");
    Ok(())
}

/// Six conflicts with about a megabyte on either side: each answer stays within what a client reads.
async fn large_conflicts_come_a_few_at_a_time<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    let text = "x".repeat(1_000_000);
    for number in 1..=6 {
        world.upload(&anna, &[anna.create(number, "client", format!("temp_{number}_a_client"), json!({"t": text}))]).await;
        world.upload(&ben, &[ben.update(100 + number, "client", number, json!({"/s": text}), version(0))]).await;
    }
    let (mut seen, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = world.conflicts(&ben, json!({"after": after})).await;
        assert!(answer.to_string().len() <= limits::BODY_BYTES_MAX, "{} bytes", answer.to_string().len());
        seen.extend(operations(&answer));
        after = answer["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, (101..=106).map(op).collect::<Vec<_>>());
    Ok(())
}

async fn what_is_gone_is_said_to_be_gone<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    moved_on(&world, &anna, 1).await;
    world.upload(&anna, &[anna.delete(3, "client", 1, version(2))]).await;
    let outcome = world.upload(&ben, &[ben.update(4, "client", 1, json!({"/n": 2}), version(1))]).await.remove(0);
    assert_eq!(brief(&outcome), "conflict update-delete");
    let gone = json!({"version": "3", "stamp": [NOW_MS + 3, 0]});
    assert_eq!(world.conflicts(&ben, json!({})).await["conflicts"][0]["server"], gone);
    // An open conflict keeps the tombstone; a closed one does not.
    world.clock.advance(1_000);
    assert_eq!(prune(world.service.store(), world.service.now_ms()).await?, 0);
    let mut resolution = ben.update(5, "client", 1, json!({}), version(3));
    resolution["supersedes"] = json!(op(4));
    world.upload(&ben, &[resolution]).await;
    assert_eq!(prune(world.service.store(), world.service.now_ms()).await?, 1);
    let held = world.conflicts(&ben, json!({})).await;
    assert_eq!(held["conflicts"][0]["closedBy"], json!(op(5)));
    assert_eq!(held["conflicts"][0]["server"], json!({"version": "3", "stamp": [0, 0]}));
    assert_eq!(held["conflicts"][0]["before"], Value::Null, "what it was goes with the tombstone");
    Ok(())
}

/// So that a change of it, which is a part of a record, can be shown and brought back as a whole one.
async fn what_it_was_is_kept_as_long_as_its_tombstone<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    moved_on(&world, &anna, 1).await;
    let before = async || world.conflicts(&ben, json!({})).await["conflicts"][0]["before"].clone();
    world.upload(&ben, &[ben.update(3, "client", 1, json!({"/n": 2}), version(1))]).await;
    assert_eq!(before().await, Value::Null, "it is there");
    world.upload(&anna, &[anna.delete(4, "client", 1, version(2))]).await;
    assert_eq!(before().await, json!({"n": 1, "m": 0}));
    world.upload(&anna, &[anna.restore(5, "client", 1, json!({"n": 7}), version(3))]).await;
    assert_eq!(before().await, Value::Null, "it is there again");
    // Changed and deleted by one request: what it was is what nobody ever stored.
    let both = [anna.update(6, "client", 1, json!({"/n": 8}), version(4)), anna.delete(7, "client", 1, json!({"after": op(6)}))];
    assert_eq!(briefs(&world.upload(&anna, &both).await), ["applied 5", "applied 6"]);
    assert_eq!(before().await, json!({"n": 8}));
    let back = [anna.restore(8, "client", 1, json!({"n": 9}), version(6)), anna.delete(9, "client", 1, json!({"after": op(8)}))];
    assert_eq!(briefs(&world.upload(&anna, &back).await), ["applied 7", "applied 8"]);
    assert_eq!(before().await, json!({"n": 9}));
    Ok(())
}

async fn a_request_that_makes_no_sense_is_refused<S: ServerStore>(world: World<S>) -> Told {
    let ben = Device::new("north", "ben", 2);
    for request in [
        json!({"limit": 0}),
        json!({"limit": 501}),
        json!({"limit": -1}),
        json!({"record": 1}),
        json!({"entity": "dragon"}),
        json!({"state": "resolved"}),
        json!({"after": "x".repeat(257)}),
    ] {
        assert_eq!(world.conflicts(&ben, request.clone()).await["error"]["code"], json!("invalid_request"), "{request}");
    }
    let largest = world.conflicts(&ben, json!({"limit": 500, "after": "x".repeat(256)})).await;
    assert_eq!(largest["conflicts"], json!([]));
    Ok(())
}
