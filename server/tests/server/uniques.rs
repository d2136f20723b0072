//! What no two records share: nobody takes what another record holds, nothing is refused without a word, and nothing is left
//! behind by what was taken back.

use fieldsync_server::store::ServerStore;
use fieldsync_server::store::sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::world::{Device, Folder, SCHEMA, Told, World, after, briefs, epoch, group, on_both_stores, op, version};

on_both_stores!(
    who_asks_for_what_another_holds_meets_a_conflict_that_shows_the_other,
    what_was_given_up_can_be_taken_in_the_same_batch,
    null_and_nothing_share_and_all_values_of_a_constraint_count,
    tenants_and_entities_share_nothing,
    one_member_that_takes_and_none_of_its_group_is_applied,
    members_of_a_group_that_take_the_same_are_refused,
    what_a_group_took_back_is_free,
    a_record_that_comes_back_takes_its_values_again,
    a_decision_of_the_office_takes_nothing_either,
    a_record_with_a_refused_update_keeps_its_conflict_until_another_is_applied,
);

fn owner(email: &str) -> Value {
    json!({ "email": email })
}

/// This operation in the place of another.
fn instead(mut operation: Value, of: u64) -> Value {
    operation["supersedes"] = json!(op(of));
    operation
}

async fn who_asks_for_what_another_holds_meets_a_conflict_that_shows_the_other<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "owner", "temp_1_a_owner", json!({"email": "ada@x", "name": "Ada"}))]).await;
    let made = ben.create(2, "owner", "temp_2_b_owner", owner("ada@x"));
    let outcome = world.upload(&ben, std::slice::from_ref(&made)).await.remove(0);
    assert_eq!((&outcome["status"], &outcome["kind"], &outcome["realId"]), (&json!("conflict"), &json!("constraint"), &Value::Null));
    assert_eq!(outcome["constraint"], json!({"fields": ["email"], "id": 1, "version": "1", "data": {"email": "ada@x", "name": "Ada"}}));
    // The same question has the same answer, also when it would be another today.
    world.upload(&anna, &[anna.update(3, "owner", 1, json!({"/email": "ada@y"}), version(1))]).await;
    assert_eq!(briefs(&world.upload(&ben, &[made]).await), ["duplicate conflict constraint"]);
    let again = instead(ben.create(4, "owner", "temp_2_b_owner", owner("ada@x")), 2);
    let outcome = world.upload(&ben, &[again]).await.remove(0);
    assert_eq!((&outcome["status"], &outcome["realId"]), (&json!("applied"), &json!(2)), "no number was used up");
    Ok(())
}

async fn what_was_given_up_can_be_taken_in_the_same_batch<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "owner", "temp_1_a_owner", owner("a")),
                anna.create(2, "owner", "temp_2_a_owner", owner("a")),
                anna.update(3, "owner", "temp_1_a_owner", json!({"/email": "b"}), after(1)),
                anna.create(4, "owner", "temp_4_a_owner", owner("a")),
                anna.delete(5, "owner", "temp_1_a_owner", after(3)),
                anna.create(6, "owner", "temp_6_a_owner", owner("b")),
                anna.update(7, "owner", "temp_6_a_owner", json!({"/email": "b", "/name": "Ada"}), after(6)),
            ],
        )
        .await;
    let expected = ["applied 1", "conflict constraint", "applied 2", "applied 3", "applied 4", "applied 5", "applied 6"];
    assert_eq!(briefs(&outcomes), expected);
    assert_eq!(outcomes[1]["constraint"]["id"], 1);
    Ok(())
}

async fn null_and_nothing_share_and_all_values_of_a_constraint_count<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let made = |number: u64, data: Value| anna.create(number, "owner", format!("temp_{number}_a_owner"), data);
    let outcomes = world
        .upload(
            &anna,
            &[
                made(1, json!({"email": null, "clinic": {"id": 1}})),
                made(2, json!({"email": null, "clinic": {"id": 1}, "number": null})),
                made(3, json!({"clinic": {"id": 1}, "number": 7})),
                made(4, json!({"clinic": {"id": 2}, "number": 7})),
                made(5, json!({"clinic": {"id": 1}, "number": "7"})),
                made(6, json!({"clinic": {"id": 1}, "number": 7.0})),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes)[..5], ["applied 1", "applied 2", "applied 3", "applied 4", "applied 5"]);
    assert_eq!(
        outcomes[5]["constraint"],
        json!({"fields": ["clinic.id", "number"], "id": 3, "version": "3", "data": {"clinic": {"id": 1}, "number": 7}})
    );
    Ok(())
}

async fn tenants_and_entities_share_nothing<S: ServerStore>(world: World<S>) -> Told {
    let (north, south) = (Device::new("north", "anna", 1), Device::new("south", "ben", 2));
    let both = [north.create(1, "owner", "temp_1_a_owner", owner("a")), north.create(2, "client", "temp_2_a_client", owner("a"))];
    assert_eq!(briefs(&world.upload(&north, &both).await), ["applied 1", "applied 2"]);
    assert_eq!(briefs(&world.upload(&south, &[south.create(3, "owner", "temp_3_b_owner", owner("a"))]).await), ["applied 1"]);
    Ok(())
}

async fn one_member_that_takes_and_none_of_its_group_is_applied<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "owner", "temp_1_a_owner", owner("a"))]).await;
    let family = |from: u64| {
        vec![
            ben.create(from, "client", "temp_2_b_client", json!({"name": "Ben"})),
            ben.create(from + 1, "owner", "temp_3_b_owner", owner("a")),
            ben.create(from + 2, "pet", "temp_4_b_pet", json!({"clientId": "temp_2_b_client"})),
        ]
    };
    let outcomes = world.upload(&ben, &group(family(2))).await;
    assert_eq!(briefs(&outcomes), [&format!("blocked {}", op(3)), "conflict constraint", &format!("blocked {}", op(3))]);
    assert_eq!(outcomes[1]["constraint"]["id"], 1);
    world.upload(&anna, &[anna.update(9, "owner", 1, json!({"/email": "b"}), version(1))]).await;
    let again = family(12).into_iter().zip(2..).map(|(member, before)| instead(member, before)).collect();
    assert_eq!(briefs(&world.upload(&ben, &group(again)).await), ["applied 3", "applied 4", "applied 5"]);
    Ok(())
}

async fn members_of_a_group_that_take_the_same_are_refused<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let two = group(vec![anna.create(1, "owner", "temp_1_a_owner", owner("a")), anna.create(2, "owner", "temp_2_a_owner", owner("a"))]);
    // There is no record that it could be in conflict with.
    assert_eq!(briefs(&world.upload(&anna, &two).await), [&format!("blocked {}", op(2)), "rejected invalid_operation"]);
    Ok(())
}

async fn what_a_group_took_back_is_free<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "owner", "temp_1_a_owner", owner("a"))]).await;
    let broken = group(vec![
        anna.create(2, "owner", "temp_2_a_owner", owner("b")),
        anna.update(3, "owner", 1, json!({"/email": "c"}), version(1)),
        anna.create(4, "pet", "temp_4_a_pet", json!({"clientId": 99})),
    ]);
    let mut batch = broken;
    batch.push(anna.create(5, "owner", "temp_5_a_owner", owner("b")));
    batch.push(anna.create(6, "owner", "temp_6_a_owner", owner("a")));
    batch.push(anna.create(7, "owner", "temp_7_a_owner", owner("c")));
    let outcomes = world.upload(&anna, &batch).await;
    assert_eq!(briefs(&outcomes)[2..], ["rejected reference_missing", "applied 2", "conflict constraint", "applied 3"]);
    Ok(())
}

async fn a_record_that_comes_back_takes_its_values_again<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let first = [anna.create(1, "owner", "temp_1_a_owner", owner("a")), anna.delete(2, "owner", "temp_1_a_owner", after(1))];
    world.upload(&anna, &first).await;
    let outcomes = world
        .upload(&anna, &[anna.create(3, "owner", "temp_3_a_owner", owner("a")), anna.restore(4, "owner", 1, owner("a"), version(2))])
        .await;
    assert_eq!(briefs(&outcomes), ["applied 3", "conflict constraint"]);
    assert_eq!((&outcomes[1]["realId"], &outcomes[1]["server"]["data"]), (&json!(1), &Value::Null), "it stays deleted");
    Ok(())
}

async fn a_decision_of_the_office_takes_nothing_either<S: ServerStore>(world: World<S>) -> Told {
    let (anna, head) = (Device::new("north", "anna", 1), Device::new("north", "head", 9).coordinating());
    let made = [anna.create(1, "owner", "temp_1_a_owner", owner("a")), anna.create(2, "owner", "temp_2_a_owner", owner("b"))];
    world.upload(&anna, &made).await;
    let met = world.upload(&anna, &[anna.update(3, "owner", 2, json!({"/email": "a"}), version(2))]).await.remove(0);
    let decision = |number: u64, how: &str| json!({"conflictId": met["conflictId"], "operation": op(number), "expectedVersion": "2", "resolution": how});
    let refused = world.resolve(&head, &decision(10, "client-wins")).await;
    assert_eq!((&refused["outcome"]["error"]["code"], &refused["outcome"]["error"]["path"]), (&json!("unique_violation"), &json!("email")));
    let open = world.conflicts(&head, json!({"state": "open"})).await;
    assert_eq!((&open["conflicts"][0]["kind"], open["conflicts"].as_array().map(Vec::len)), (&json!("constraint"), Some(1)));
    let ended = world.resolve(&head, &decision(11, "server-wins")).await;
    assert_eq!(ended["outcome"]["status"], "applied");
    assert_eq!(world.conflicts(&head, json!({"state": "open"})).await["conflicts"], json!([]));
    Ok(())
}

async fn a_record_with_a_refused_update_keeps_its_conflict_until_another_is_applied<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let made = [anna.create(1, "owner", "temp_1_a_owner", owner("a")), anna.create(2, "owner", "temp_2_a_owner", owner("b"))];
    world.upload(&anna, &made).await;
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.update(3, "owner", 2, json!({"/email": "a", "/name": "Bo"}), version(2)),
                anna.update(4, "owner", 2, json!({"/note": "x"}), after(3)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["conflict constraint", &format!("blocked {}", op(3))]);
    assert_eq!((&outcomes[0]["realId"], &outcomes[0]["server"]["data"]), (&json!(2), &owner("b")));
    assert_eq!(world.status(&anna).await["openConflicts"], json!(1));
    let again = instead(anna.update(5, "owner", 2, json!({"/email": "c", "/name": "Bo"}), version(2)), 3);
    assert_eq!(briefs(&world.upload(&anna, &[again]).await), ["applied 3"]);
    assert_eq!(world.status(&anna).await["openConflicts"], json!(0));
    Ok(())
}

#[tokio::test]
async fn records_from_before_a_constraint_can_be_changed_and_their_values_are_held() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("a.sqlite");
    let store = SqliteStore::open(&file, epoch()?).await?;
    let world = World::over(store, None)?;
    let anna = Device::new("north", "anna", 1);
    // To the server that wrote them clients were nothing but clients.
    let made = [
        anna.create(1, "client", "temp_1_a_client", owner("a")),
        anna.create(2, "client", "temp_2_a_client", owner("a")),
        anna.create(3, "client", "temp_3_a_client", owner("b")),
    ];
    assert_eq!(briefs(&world.upload(&anna, &made).await), ["applied 1", "applied 2", "applied 3"]);
    world.service.store().close().await;
    let schema = fieldsync::schema::Schema::parse(&SCHEMA.replace(r#""client": {}"#, r#""client": {"unique": [["email"]]}"#))?;
    for _ in 0..2 {
        let store = SqliteStore::open(&file, epoch()?).await?;
        store.hold(&schema).await?;
        store.close().await;
    }
    let world = World::serving(SqliteStore::open(&file, epoch()?).await?, schema)?;
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.update(4, "client", 1, json!({"/name": "Ada"}), version(1)),
                anna.update(5, "client", 3, json!({"/email": "a"}), version(3)),
                anna.update(6, "client", 1, json!({"/email": "c"}), after(4)),
                anna.create(7, "client", "temp_7_a_client", owner("b")),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 4", "conflict constraint", "applied 5", "conflict constraint"]);
    Ok(())
}
