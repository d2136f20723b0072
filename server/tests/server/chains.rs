//! Records that refer to each other, made offline and sent together, apart, or in the wrong order.

use fieldsync_server::store::ServerStore;
use serde_json::json;

use crate::wire::changes;
use crate::world::{Device, Told, World, after, brief, briefs, on_both_stores, op, version};

on_both_stores!(
    a_chain_goes_up_in_one_upload,
    a_chain_in_the_wrong_order_waits,
    a_chain_over_several_uploads_finds_its_earlier_links,
    real_ids_are_never_issued_twice,
    what_waits_is_not_remembered,
    a_restored_record_keeps_its_id,
    records_may_refer_to_themselves_and_to_each_other,
    a_temp_id_is_known_by_its_entity,
    each_key_policy_issues_its_own_ids,
);

async fn a_chain_goes_up_in_one_upload<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "Ada"})),
                anna.create(2, "pet", "temp_2_b_pet", json!({"name": "Rex", "clientId": "temp_1_a_client"})),
                anna.create(3, "visit", "temp_3_c_visit", json!({"petId": "temp_2_b_pet", "note": "temp_2_b_pet"})),
                anna.update(4, "pet", "temp_2_b_pet", json!({"/name": "Rexi"}), after(2)),
                anna.delete(5, "visit", "temp_3_c_visit", after(3)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2", "applied 3", "applied 4", "applied 5"]);
    assert_eq!(outcomes[1]["realId"], json!(1));

    let own = changes(&world.download(&anna, None, 100).await);
    assert_eq!(own.len(), 3, "a record comes once, in its last state: {own:?}");
    assert_eq!(own[0]["bornAs"], json!("temp_1_a_client"));
    assert_eq!((&own[1]["data"], &own[1]["version"]), (&json!({"name": "Rexi", "clientId": 1}), &json!("4")));
    assert_eq!((&own[2]["kind"], own[2].get("data")), (&json!("delete"), None));

    let bens = changes(&world.download(&Device::new("north", "ben", 2), None, 100).await);
    assert!(bens.iter().all(|change| change.get("bornAs").is_none()), "only who made a record is told its temp ID");
    Ok(())
}

async fn a_chain_in_the_wrong_order_waits<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let visit = anna.create(1, "visit", "temp_1_a_visit", json!({"petId": "temp_2_b_pet", "by": {"lead": "temp_3_c_vet"}}));
    let pet = anna.create(2, "pet", "temp_2_b_pet", json!({}));
    let vet = anna.create(3, "vet", "temp_3_c_vet", json!({}));
    let outcomes = world.upload(&anna, &[visit.clone(), pet, vet]).await;
    assert_eq!(briefs(&outcomes), ["blocked temp_3_c_vet temp_2_b_pet", "applied 1", "applied 2"]);
    assert_eq!(briefs(&world.upload(&anna, &[visit]).await), ["applied 3"]);
    Ok(())
}

async fn a_chain_over_several_uploads_finds_its_earlier_links<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "Ada"}))]).await;
    // Another device and another user know the same temp ID: it names the record for ever.
    let ben = Device::new("north", "ben", 2);
    let outcomes = world.upload(&ben, &[ben.create(2, "pet", "temp_2_b_pet", json!({"clientId": "temp_1_a_client"}))]).await;
    assert_eq!(briefs(&outcomes), ["applied 2"]);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.update(3, "client", "temp_1_a_client", json!({"/name": "Ada B."}), after(1)),
                anna.update(4, "client", "temp_1_a_client", json!({"/phone": "1"}), after(3)),
                anna.update(5, "client", 1, json!({"/phone": "2"}), version(3)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 3", "applied 4", "conflict update-update"]);
    assert_eq!(brief(&world.upload(&anna, &[anna.update(6, "client", 1, json!({"/phone": "2"}), after(4))]).await[0]), "applied 5");
    Ok(())
}

async fn real_ids_are_never_issued_twice<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({})),
                anna.delete(2, "client", "temp_1_a_client", after(1)),
                anna.create(3, "client", "temp_3_c_client", json!({})),
            ],
        )
        .await;
    assert_eq!(outcomes[2]["realId"], json!(2));
    let refused = anna.create(4, "client", "temp_4_d_client", json!({"id": 7}));
    let outcomes = world.upload(&anna, &[refused, anna.create(5, "client", "temp_5_e_client", json!({}))]).await;
    assert_eq!(outcomes[1]["realId"], json!(3), "{outcomes:?}");
    Ok(())
}

async fn what_waits_is_not_remembered<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let update = anna.update(2, "client", "temp_1_a_client", json!({"/name": "B"}), after(1));
    for _ in 0..2 {
        assert_eq!(briefs(&world.upload(&anna, std::slice::from_ref(&update)).await), ["blocked temp_1_a_client"]);
    }
    assert_eq!(world.status(&anna).await["receipts"], json!(0));
    let create = anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}));
    assert_eq!(briefs(&world.upload(&anna, &[create, update]).await), ["applied 1", "applied 2"]);
    // Its record is there, but not the operation that it follows.
    let orphan = anna.update(9, "client", 1, json!({"/name": "C"}), after(8));
    assert_eq!(briefs(&world.upload(&anna, &[orphan]).await), [format!("blocked {}", op(8))]);
    Ok(())
}

async fn a_restored_record_keeps_its_id<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "A"})),
                anna.delete(2, "client", 1, version(1)),
                anna.restore(3, "client", 1, json!({"name": "B"}), version(1)),
                anna.restore(4, "client", 1, json!({"name": "B"}), version(2)),
                anna.restore(5, "client", "temp_1_a_client", json!({"name": "C"}), after(4)),
                anna.create(6, "client", "temp_1_a_client", json!({"name": "D"})),
                anna.restore(7, "client", 99, json!({}), version(1)),
            ],
        )
        .await;
    let expected = [
        "applied 1",
        "applied 2",
        "conflict update-delete",
        "applied 3",
        "conflict update-update",
        "rejected already_exists",
        "rejected unknown_record",
    ];
    assert_eq!(briefs(&outcomes), expected);
    let page = changes(&world.download(&anna, None, 10).await);
    assert_eq!((&page[0]["data"], &page[0]["bornAs"]), (&json!({"name": "B"}), &json!("temp_1_a_client")));
    Ok(())
}

async fn records_may_refer_to_themselves_and_to_each_other<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "pet", "temp_1_a_pet", json!({"mate": "temp_1_a_pet"})),
                anna.create(2, "pet", "temp_2_b_pet", json!({"mate": "temp_1_a_pet"})),
                anna.update(3, "pet", "temp_1_a_pet", json!({"/mate": "temp_2_b_pet"}), after(1)),
                anna.delete(4, "pet", "temp_1_a_pet", after(3)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2", "applied 3", "rejected has_dependents"]);
    let page = changes(&world.download(&anna, None, 10).await);
    assert_eq!(page.iter().map(|change| &change["data"]["mate"]).collect::<Vec<_>>(), [&json!(1), &json!(2)]);
    Ok(())
}

async fn a_temp_id_is_known_by_its_entity<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_pet", json!({})),
                anna.create(2, "client", "temp_2_b_client", json!({})),
                anna.create(3, "pet", "temp_3_c_pet", json!({"mate": "temp_2_b_client"})),
                anna.create(4, "pet", "temp_4_d_pet", json!({"mate": "temp_9_z_client"})),
            ],
        )
        .await;
    let expected = ["rejected invalid_operation", "applied 1", "rejected invalid_reference", "rejected invalid_reference"];
    assert_eq!(briefs(&outcomes), expected);
    assert_eq!(outcomes[2]["error"]["path"], json!("mate"));
    Ok(())
}

async fn each_key_policy_issues_its_own_ids<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let uuid = "0190a1b2-0000-7000-a000-000000000007";
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({})),
                anna.create(2, "vet", "temp_2_b_vet", json!({})),
                anna.create(3, "photo", uuid, json!({})),
                anna.create(4, "photo", uuid, json!({})),
                anna.create(5, "photo", "not-a-uuid", json!({})),
                anna.create(6, "photo", uuid.to_uppercase(), json!({})),
                anna.create(7, "client", 7, json!({})),
                anna.create(8, "vet", "chosen-here", json!({})),
            ],
        )
        .await;
    let expected = [
        "applied 1",
        "applied 2",
        "applied 3",
        "rejected already_exists",
        "rejected invalid_value",
        "rejected invalid_value",
        "rejected invalid_operation",
        "rejected invalid_operation",
    ];
    assert_eq!(briefs(&outcomes), expected);
    assert_eq!(outcomes[0]["realId"], json!(1));
    assert_eq!(outcomes[1]["realId"].as_str().map(str::len), Some(36));
    assert_eq!(outcomes[2]["realId"], json!(uuid));
    Ok(())
}
