//! References point to records that are there, and a record that is pointed to cannot go.

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::world::{Device, Told, World, after, brief, briefs, on_both_stores, version};

on_both_stores!(
    a_reference_needs_its_record,
    nested_and_listed_references_count_like_any_other,
    a_value_that_is_no_id_is_refused_with_its_path,
    nothing_is_deleted_that_a_live_record_refers_to,
    restrict_sees_what_the_same_batch_did,
    more_dependents_than_a_batch_can_touch_still_restrict,
);

async fn a_reference_needs_its_record<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({})),
                anna.create(2, "client", "temp_2_b_client", json!({})),
                anna.delete(3, "client", 2, version(2)),
                anna.create(4, "pet", "temp_4_d_pet", json!({"clientId": 1, "mate": null})),
                anna.create(5, "pet", "temp_5_e_pet", json!({"clientId": 2})),
                anna.create(6, "pet", "temp_6_f_pet", json!({"clientId": 3})),
                anna.create(7, "pet", "temp_7_g_pet", json!({"clientId": "1"})),
                anna.update(8, "pet", 1, json!({"/clientId": 2}), version(4)),
                anna.update(9, "pet", 1, json!({"/mate": 1, "/name": "Rex"}), version(4)),
            ],
        )
        .await;
    let expected = [
        "applied 1",
        "applied 2",
        "applied 3",
        "applied 4",
        "rejected reference_deleted",
        "rejected reference_missing",
        "rejected reference_missing",
        "rejected reference_deleted",
        "applied 5",
    ];
    assert_eq!(briefs(&outcomes), expected, "7 and \"7\" are two IDs");
    assert_eq!(outcomes[4]["error"]["path"], json!("clientId"));
    Ok(())
}

async fn nested_and_listed_references_count_like_any_other<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let visit =
        json!({"petId": null, "by": {"lead": "temp_1_a_vet"}, "attendees": [{"vetId": "temp_1_a_vet"}, {"vetId": "temp_1_a_vet"}, {}]});
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "vet", "temp_1_a_vet", json!({})),
                anna.create(2, "visit", "temp_2_b_visit", visit),
                anna.delete(3, "vet", "temp_1_a_vet", after(1)),
                anna.update(4, "visit", 1, json!({"/attendees": []}), version(2)),
                anna.delete(5, "vet", "temp_1_a_vet", after(1)),
                anna.update(6, "visit", 1, json!({"/by/lead": null}), version(3)),
                anna.delete(7, "vet", "temp_1_a_vet", after(1)),
            ],
        )
        .await;
    let expected = ["applied 1", "applied 2", "rejected has_dependents", "applied 3", "rejected has_dependents", "applied 4", "applied 5"];
    assert_eq!(briefs(&outcomes), expected);
    Ok(())
}

async fn a_value_that_is_no_id_is_refused_with_its_path<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    for (number, bad) in (1..).zip([json!(true), json!({}), json!([1]), json!(1.5), json!("")]) {
        let outcomes = world.upload(&anna, &[anna.create(number, "visit", "temp_1_a_visit", json!({"attendees": [{"vetId": bad}]}))]).await;
        assert_eq!(briefs(&outcomes), ["rejected invalid_reference"]);
        assert_eq!(outcomes[0]["error"]["path"], json!("attendees[].vetId"));
    }
    Ok(())
}

async fn nothing_is_deleted_that_a_live_record_refers_to<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({}))]).await;
    world.upload(&ben, &[ben.create(2, "pet", "temp_2_b_pet", json!({"clientId": 1}))]).await;
    let refused = world.upload(&anna, &[anna.delete(3, "client", 1, version(1))]).await;
    assert_eq!(briefs(&refused), ["rejected has_dependents"]);
    assert_eq!(refused[0]["error"]["message"], json!("pet 1 refers to it"));
    world.upload(&ben, &[ben.delete(4, "pet", 1, version(2))]).await;
    assert_eq!(briefs(&world.upload(&anna, &[anna.delete(5, "client", 1, version(1))]).await), ["applied 4"]);
    let restored = ben.restore(6, "pet", 1, json!({"clientId": 1}), version(3));
    assert_eq!(briefs(&world.upload(&ben, &[restored]).await), ["rejected reference_deleted"]);
    Ok(())
}

async fn restrict_sees_what_the_same_batch_did<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({})),
                anna.create(2, "client", "temp_2_b_client", json!({})),
                anna.create(3, "pet", "temp_3_c_pet", json!({"clientId": 1})),
            ],
        )
        .await;
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.update(4, "pet", 1, json!({"/clientId": 2}), version(3)),
                anna.delete(5, "client", 1, version(1)),
                anna.delete(6, "client", 2, version(2)),
                anna.create(7, "pet", "temp_7_g_pet", json!({"clientId": 1})),
                anna.delete(8, "pet", 1, after(4)),
                anna.delete(9, "client", 2, version(2)),
            ],
        )
        .await;
    let expected = ["applied 4", "applied 5", "rejected has_dependents", "rejected reference_deleted", "applied 6", "applied 7"];
    assert_eq!(briefs(&outcomes), expected);
    Ok(())
}

async fn more_dependents_than_a_batch_can_touch_still_restrict<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({}))]).await;
    let pets: Vec<Value> =
        (2..=1_001).map(|number| anna.create(number, "pet", format!("temp_{number}_a_pet"), json!({"clientId": 1}))).collect();
    assert!(briefs(&world.upload(&anna, &pets).await).iter().all(|brief| brief.starts_with("applied")));
    world.upload(&anna, &[anna.create(1_002, "pet", "temp_1002_a_pet", json!({"clientId": 1}))]).await;
    // 999 of 1,001 pets go in the batch that wants to delete their client.
    let mut batch: Vec<Value> = (1..=999).map(|pet| anna.delete(2_000 + pet, "pet", pet, version(pet + 1))).collect();
    batch.push(anna.delete(3_000, "client", 1, version(1)));
    let outcomes = world.upload(&anna, &batch).await;
    assert_eq!(outcomes.last().map(brief).as_deref(), Some("rejected has_dependents"));
    let rest = [
        anna.delete(3_001, "pet", 1_000, version(1_001)),
        anna.delete(3_002, "pet", 1_001, version(1_002)),
        anna.delete(3_003, "client", 1, version(1)),
    ];
    assert!(briefs(&world.upload(&anna, &rest).await).iter().all(|brief| brief.starts_with("applied")));
    Ok(())
}
