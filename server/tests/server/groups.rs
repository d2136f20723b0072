//! What was written in one `transaction`: all of it, or none.

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::wire::changes;
use crate::world::{Device, Told, World, after, brief, briefs, group, on_both_stores, op, version};

on_both_stores!(
    a_group_takes_effect_as_a_whole,
    a_member_that_found_it_so_rests_on_what_the_others_changed,
    members_refer_to_each_other_in_any_order_and_in_a_circle,
    one_conflict_and_the_others_wait_for_it,
    one_rejection_and_the_others_wait_for_it,
    what_a_group_waits_for_all_of_it_waits_for,
    a_group_that_is_taken_back_leaves_nothing,
    a_part_is_not_taken_for_the_whole,
    an_operation_that_cannot_be_read_holds_its_group_back,
    a_member_sent_twice_counts_once,
    a_conflict_with_what_was_taken_back_is_none,
    a_conflict_that_a_member_would_have_closed_stays_the_only_one,
    what_follows_a_group_finds_it,
    each_field_has_the_stamp_it_was_written_at,
    a_page_does_not_end_within_a_group,
);

async fn a_group_takes_effect_as_a_whole<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let family = group(vec![
        anna.create(1, "client", "temp_1_a_client", json!({"name": "Ada"})),
        anna.create(2, "pet", "temp_2_a_pet", json!({"clientId": "temp_1_a_client"})),
        anna.update(3, "client", "temp_1_a_client", json!({"/name": "Ada B."}), after(1)),
        anna.create(4, "photo", "0190a1b2-0000-7000-8000-00000000abcd", json!({"petId": "temp_2_a_pet"})),
    ]);
    assert_eq!(briefs(&world.upload(&anna, &family).await), ["applied 1", "applied 2", "applied 3", "applied 4"]);
    let again = world.upload(&anna, &family).await;
    assert_eq!(briefs(&again), ["duplicate applied 1", "duplicate applied 2", "duplicate applied 3", "duplicate applied 4"]);
    let there = changes(&world.download(&anna, None, 100).await);
    assert_eq!((&there[0]["bornAs"], &there[0]["data"]["clientId"]), (&json!("temp_2_a_pet"), &json!(1)));
    assert_eq!((&there[1]["data"]["name"], &there[2]["data"]["petId"]), (&json!("Ada B."), &json!(1)));
    Ok(())
}

async fn a_member_that_found_it_so_rests_on_what_the_others_changed<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}))]).await;
    let members = group(vec![
        anna.update(2, "client", 1, json!({"/name": "A"}), version(1)),
        anna.create(3, "pet", "temp_3_a_pet", json!({})),
        anna.create(4, "pet", "temp_4_a_pet", json!({})),
    ]);
    let outcomes = world.upload(&anna, &members).await;
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2", "applied 3"]);
    let rests: Vec<&Value> = outcomes.iter().map(|outcome| &outcome["restsOn"]).collect();
    assert_eq!(rests, [&json!("2"), &Value::Null, &Value::Null], "they are lost together");
    assert_eq!(world.upload(&anna, &members).await[0]["original"]["restsOn"], "2", "the receipt says so too");
    Ok(())
}

async fn members_refer_to_each_other_in_any_order_and_in_a_circle<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &group(vec![
                anna.create(1, "visit", "temp_1_a_visit", json!({"petId": "temp_2_a_pet", "by": {"lead": "temp_4_a_vet"}})),
                anna.create(2, "pet", "temp_2_a_pet", json!({"mate": "temp_3_a_pet"})),
                anna.create(3, "pet", "temp_3_a_pet", json!({"mate": "temp_2_a_pet"})),
                anna.create(4, "vet", "temp_4_a_vet", json!({})),
            ]),
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2", "applied 3", "applied 4"]);
    let there = changes(&world.download(&anna, None, 100).await);
    assert_eq!((&there[1]["data"]["mate"], &there[2]["data"]["mate"]), (&there[2]["id"], &there[1]["id"]));
    assert_eq!(there[0]["data"]["by"]["lead"], outcomes[3]["realId"]);
    // A record that the group makes and takes away again is none to refer to.
    let outcomes = world
        .upload(
            &anna,
            &group(vec![
                anna.create(5, "pet", "temp_5_a_pet", json!({})),
                anna.delete(6, "pet", "temp_5_a_pet", after(5)),
                anna.create(7, "visit", "temp_7_a_visit", json!({"petId": "temp_5_a_pet"})),
            ]),
        )
        .await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(7)), format!("blocked {}", op(7)), "rejected reference_deleted".to_owned()]);
    Ok(())
}

async fn one_conflict_and_the_others_wait_for_it<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/name": "B"}), version(1))]).await;
    let written = group(vec![
        anna.create(3, "pet", "temp_3_a_pet", json!({"clientId": 1})),
        anna.update(4, "client", 1, json!({"/name": "C"}), version(1)),
        anna.create(5, "pet", "temp_5_a_pet", json!({"clientId": 1})),
    ]);
    let waits = format!("blocked {}", op(4));
    let outcomes = world.upload(&anna, &written).await;
    assert_eq!(briefs(&outcomes), [waits.clone(), "conflict update-update".to_owned(), waits.clone()]);
    assert_eq!(outcomes[1]["server"]["data"]["name"], json!("B"));
    assert_eq!(world.status(&anna).await["openConflicts"], json!(1));
    // The answer of the one is final; the others have none, however often they come.
    let again = world.upload(&anna, &written).await;
    assert_eq!(briefs(&again), [waits.clone(), "duplicate conflict update-update".to_owned(), waits]);
    assert_eq!(changes(&world.download(&anna, None, 100).await).len(), 1, "no pet");
    // Written anew as a whole, all of it takes effect.
    let mut anew = group(vec![
        anna.create(6, "pet", "temp_3_a_pet", json!({"clientId": 1})),
        anna.update(7, "client", 1, json!({"/name": "C"}), version(2)),
        anna.create(8, "pet", "temp_5_a_pet", json!({"clientId": 1})),
    ]);
    for (operation, earlier) in anew.iter_mut().zip(3..) {
        operation["supersedes"] = json!(op(earlier));
    }
    assert_eq!(briefs(&world.upload(&anna, &anew).await), ["applied 3", "applied 4", "applied 5"]);
    assert_eq!(world.status(&anna).await["openConflicts"], json!(0));
    Ok(())
}

async fn one_rejection_and_the_others_wait_for_it<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let written =
        group(vec![anna.create(1, "client", "temp_1_a_client", json!({})), anna.create(2, "pet", "temp_2_a_pet", json!({"clientId": 99}))]);
    let outcomes = world.upload(&anna, &written).await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(2)), "rejected reference_missing".to_owned()]);
    assert_eq!(world.status(&anna).await["receipts"], json!(1));
    let again = world.upload(&anna, &written).await;
    assert_eq!(briefs(&again), [format!("blocked {}", op(2)), "duplicate rejected reference_missing".to_owned()]);
    Ok(())
}

async fn what_a_group_waits_for_all_of_it_waits_for<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let owner = anna.create(1, "client", "temp_1_a_client", json!({}));
    let written = group(vec![
        anna.create(2, "pet", "temp_2_a_pet", json!({})),
        anna.create(3, "pet", "temp_3_a_pet", json!({"clientId": "temp_1_a_client", "mate": "temp_2_a_pet"})),
    ]);
    let outcomes = world.upload(&anna, &written).await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(3)), "blocked temp_1_a_client".to_owned()]);
    assert_eq!(world.status(&anna).await["receipts"], json!(0));
    // It is decided where its last member stands: what came between counts.
    let outcomes = world.upload(&anna, &[written[0].clone(), owner, written[1].clone()]).await;
    assert_eq!(briefs(&outcomes), ["applied 2", "applied 1", "applied 3"]);
    Ok(())
}

async fn a_group_that_is_taken_back_leaves_nothing<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({})),
                anna.create(2, "client", "temp_2_a_client", json!({})),
                anna.create(3, "pet", "temp_3_a_pet", json!({"clientId": 1})),
            ],
        )
        .await;
    let mut batch = group(vec![
        anna.update(10, "pet", 1, json!({"/clientId": 2}), version(3)),
        anna.delete(11, "client", 1, version(1)),
        anna.create(12, "pet", "temp_12_a_pet", json!({})),
        anna.create(13, "pet", "temp_13_a_pet", json!({"clientId": 99})),
    ]);
    batch.extend([
        // What refers to what, names, numbers and versions are as if the group had never come.
        anna.delete(20, "client", 1, version(1)),
        anna.delete(21, "client", 2, version(2)),
        anna.create(22, "visit", "temp_22_a_visit", json!({"petId": "temp_12_a_pet"})),
        anna.create(23, "pet", "temp_23_a_pet", json!({"clientId": 1})),
        anna.update(24, "pet", 1, json!({"/name": "Rex"}), version(3)),
    ]);
    let outcomes = world.upload(&anna, &batch).await;
    let waits = format!("blocked {}", op(13));
    assert_eq!(briefs(&outcomes[..4]), [waits.clone(), waits.clone(), waits, "rejected reference_missing".to_owned()]);
    assert_eq!(briefs(&outcomes[4..]), ["rejected has_dependents", "applied 4", "blocked temp_12_a_pet", "applied 5", "applied 6"]);
    assert_eq!(outcomes[7]["realId"], json!(2), "the number went back");
    let there = changes(&world.download(&anna, None, 100).await);
    assert_eq!(there.iter().filter(|change| change["kind"] == "delete").count(), 1);
    assert_eq!(there.last().map(|pet| &pet["data"]), Some(&json!({"clientId": 1, "name": "Rex"})));
    Ok(())
}

async fn a_part_is_not_taken_for_the_whole<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let whole = |from: u64| {
        group(vec![
            anna.create(from, "client", format!("temp_{from}_a_client"), json!({})),
            anna.create(from + 1, "client", format!("temp_{from}_b_client"), json!({})),
        ])
    };
    let outcomes = world.upload(&anna, &whole(1)[..1]).await;
    assert_eq!((brief(&outcomes[0]), &outcomes[0]["error"]["path"]), ("rejected invalid_operation".to_owned(), &json!("group")));
    // More than it says, and members that say different things, are no group either.
    let mut many = whole(3);
    many.push(anna.create(5, "client", "temp_5_a_client", json!({})));
    many[2]["group"] = many[0]["group"].clone();
    assert_eq!(briefs(&world.upload(&anna, &many).await), ["rejected invalid_operation"; 3]);
    let mut at_odds = whole(6);
    at_odds[1]["group"]["of"] = json!(3);
    assert_eq!(briefs(&world.upload(&anna, &at_odds).await), ["rejected invalid_operation"; 2]);
    assert_eq!(changes(&world.download(&anna, None, 100).await).len(), 0);
    // What was answered as a whole is answered in parts as it was.
    let done = whole(8);
    world.upload(&anna, &done).await;
    assert_eq!(briefs(&world.upload(&anna, &done[1..]).await), ["duplicate applied 2"]);
    Ok(())
}

async fn an_operation_that_cannot_be_read_holds_its_group_back<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let mut written =
        group(vec![anna.create(1, "client", "temp_1_a_client", json!({})), anna.create(2, "client", "temp_2_a_client", json!({}))]);
    written[1]["action"] = json!({"kind": "burn"});
    let outcomes = world.upload(&anna, &written).await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(2)), "rejected invalid_operation".to_owned()]);
    Ok(())
}

async fn a_member_sent_twice_counts_once<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let mut written =
        group(vec![anna.create(1, "client", "temp_1_a_client", json!({})), anna.create(2, "client", "temp_2_a_client", json!({}))]);
    written.push(written[0].clone());
    assert_eq!(briefs(&world.upload(&anna, &written).await), ["applied 1", "applied 2", "applied 1"]);
    assert_eq!(world.status(&anna).await["sequence"], json!("2"));
    let mut other = written[0].clone();
    other["action"]["data"]["name"] = json!("other");
    written[2] = other;
    let outcomes = world.upload(&anna, &written).await;
    assert_eq!(briefs(&outcomes), ["duplicate applied 1", "duplicate applied 2", "rejected operation_reused"]);
    Ok(())
}

async fn a_conflict_with_what_was_taken_back_is_none<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}))]).await;
    let outcomes = world
        .upload(
            &anna,
            &group(vec![
                anna.update(2, "client", 1, json!({"/name": "B"}), version(1)),
                anna.update(3, "client", 1, json!({"/name": "C"}), version(1)),
            ]),
        )
        .await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(3)), "rejected invalid_operation".to_owned()]);
    assert_eq!(world.status(&anna).await["openConflicts"], json!(0), "nobody was shown a version that does not exist");
    Ok(())
}

async fn a_conflict_that_a_member_would_have_closed_stays_the_only_one<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "A"})),
                anna.update(2, "client", "temp_1_a_client", json!({"/name": "B"}), after(1)),
            ],
        )
        .await;
    let first = world.upload(&anna, &[anna.update(3, "client", 1, json!({"/name": "C"}), version(1))]).await;
    let mut closing = anna.update(4, "client", 1, json!({}), version(2));
    closing["supersedes"] = json!(op(3));
    let outcomes = world.upload(&anna, &group(vec![closing, anna.delete(5, "client", 1, version(1))])).await;
    assert_eq!(briefs(&outcomes), [format!("blocked {}", op(5)), "conflict delete-update".to_owned()]);
    assert_eq!(outcomes[1]["conflictId"], first[0]["conflictId"]);
    assert_eq!(world.status(&anna).await["openConflicts"], json!(1));
    Ok(())
}

async fn what_follows_a_group_finds_it<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let mut batch = group(vec![
        anna.create(1, "client", "temp_1_a_client", json!({})),
        anna.create(2, "pet", "temp_2_a_pet", json!({"clientId": "temp_1_a_client"})),
    ]);
    batch.push(anna.update(3, "pet", "temp_2_a_pet", json!({"/name": "Rex"}), after(2)));
    batch.push(anna.delete(4, "client", "temp_1_a_client", after(1)));
    batch.extend(group(vec![
        anna.create(5, "pet", "temp_5_a_pet", json!({"mate": "temp_2_a_pet"})),
        anna.delete(6, "pet", "temp_5_a_pet", after(5)),
    ]));
    let outcomes = world.upload(&anna, &batch).await;
    let expected = ["applied 1", "applied 2", "applied 3", "rejected has_dependents", "applied 4", "applied 5"];
    assert_eq!(briefs(&outcomes), expected);
    Ok(())
}

async fn each_field_has_the_stamp_it_was_written_at<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let now = crate::world::NOW_MS;
    let mut create = anna.create(1, "client", "temp_1_a_client", json!({"name": "A", "phone": "1"}));
    create["stamp"] = json!([now - 100, 0]);
    create["stamps"] = json!({"name": [now - 900, 3], "gone": [now - 800, 0]});
    let mut update = anna.update(2, "client", "temp_1_a_client", json!({"/phone": "2", "/note": "x", "/home/city": "Linden"}), after(1));
    update["stamp"] = json!([now + 3_600_000, 7]);
    update["stamps"] = json!({"phone": [now - 50, 1], "note": [now + 7_200_000, 9], "name": [now - 1, 0]});
    assert_eq!(briefs(&world.upload(&anna, &[create, update]).await), ["applied 1", "applied 2"]);
    let record = changes(&world.download(&anna, None, 100).await).remove(0);
    let latest = json!([now + 300_000, 0]);
    assert_eq!(record["stamp"], json!([now - 100, 0]));
    let expected = json!({"name": [now - 900, 3], "phone": [now - 50, 1], "note": latest, "home": latest});
    assert_eq!(record["fieldStamps"], expected, "effective, clamped each, and of the fields that it wrote only");
    Ok(())
}

async fn a_page_does_not_end_within_a_group<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let create = |number: u64| anna.create(number, "client", format!("temp_{number}_a_client"), json!({"n": number}));
    for batch in [vec![create(1)], group((2..=5).map(create).collect()), vec![create(6)], group((7..=8).map(create).collect())] {
        world.upload(&anna, &batch).await;
    }
    for (records, expected) in [
        (1, vec![vec![1], vec![2, 3, 4, 5], vec![6], vec![7, 8]]),
        (3, vec![vec![1], vec![2, 3, 4, 5], vec![6, 7, 8]]),
        (6, vec![vec![1, 2, 3, 4, 5, 6], vec![7, 8]]),
        (8, vec![vec![1, 2, 3, 4, 5, 6, 7, 8]]),
    ] {
        let pages = world.download(&anna, None, records).await;
        let ids =
            |page: &Value| -> Vec<u64> { page["changes"].as_array().into_iter().flatten().filter_map(|row| row["id"].as_u64()).collect() };
        let told: Vec<Vec<u64>> = pages.iter().map(ids).collect();
        assert_eq!(told, expected, "{records} records to a page");
        assert_eq!(pages.last().map(|page| &page["through"]), Some(&json!("8")));
    }
    // A member that was changed since comes with that change, and holds no page up.
    world.upload(&anna, &[anna.update(9, "client", 5, json!({"/n": 0}), version(5))]).await;
    let pages = world.download(&anna, None, 4).await;
    assert_eq!(pages.iter().map(|page| page["changes"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>(), [4, 4]);
    Ok(())
}
