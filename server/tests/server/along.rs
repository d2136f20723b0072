//! What a delete takes along that its writer did not know: it goes too, or refers to nothing. What the writer knew stands
//! in the way, unless it comes with the delete.

use fieldsync::schema::Schema;
use fieldsync_server::seams::Clock as _;
use fieldsync_server::store::ServerStore;
use fieldsync_server::store::memory::MemoryStore;
use serde_json::{Value, json};

use crate::wire::changes;
use crate::world::{Device, SCHEMA, Told, World, after, briefs, epoch, group, on_both_stores, version};

on_both_stores!(
    what_its_writer_did_not_know_goes_along_whole,
    what_stays_refers_to_nothing_and_keeps_the_rest,
    what_its_writer_knew_stands_in_the_way,
    who_does_not_say_what_he_knew_takes_nothing_along,
    what_is_refused_further_down_keeps_everything,
    a_circle_goes_as_a_group_and_not_in_parts,
    what_a_group_has_deleted_and_brought_back_stands_in_the_way_again,
    what_the_same_batch_brought_goes_along,
    a_thousand_go_along_and_no_more,
    what_stays_without_its_reference_counts_too,
);

/// A farm (1), a stall on it (2) and two cows in the stall (3, 4), of which the one is the other's dam; and a third
/// cow of that dam, in no stall (5), that grazes on two farms.
async fn farm<S: ServerStore>(world: &World<S>) -> Device {
    let ben = Device::new("north", "ben", 2);
    let outcomes = world
        .upload(
            &ben,
            &[
                ben.create(1, "farm", "temp_1_a_farm", json!({})),
                ben.create(2, "stall", "temp_2_a_stall", json!({"farmId": 1})),
                ben.create(3, "cow", "temp_3_a_cow", json!({"stallId": 1, "name": "Elsa"})),
                ben.create(4, "cow", "temp_4_a_cow", json!({"stallId": 1, "dam": 1})),
                ben.create(
                    5,
                    "cow",
                    "temp_5_a_cow",
                    json!({"dam": 1, "name": "Ida", "grazes": [{"farmId": 1, "ha": 2}, {"farmId": null}]}),
                ),
            ],
        )
        .await;
    assert!(briefs(&outcomes).iter().all(|brief| brief.starts_with("applied")), "{outcomes:?}");
    ben
}

/// What is left, as `cow 3: {…}`.
async fn left<S: ServerStore>(world: &World<S>, device: &Device) -> Vec<String> {
    let found = changes(&world.download(device, None, 100).await);
    found
        .iter()
        .filter(|change| !change["data"].is_null())
        .map(|change| format!("{} {}: {}", change["entity"].as_str().unwrap_or_default(), change["id"], change["data"]))
        .collect()
}

async fn what_its_writer_did_not_know_goes_along_whole<S: ServerStore>(world: World<S>) -> Told {
    let (ben, anna) = (farm(&world).await, Device::new("north", "anna", 1));
    let known = crate::wire::checkpoint(&world.download(&ben, None, 100).await);
    // Two cows and the stall go, and the third cow loses its dam and a meadow: four changes before that of the farm.
    let outcomes = world.upload(&anna, &[anna.delete_seeing(1, 6, "farm", 1, version(1))]).await;
    assert_eq!(briefs(&outcomes), ["applied 10"]);
    let pages = world.download(&ben, Some(&known), 2).await;
    assert_eq!(pages.iter().filter(|page| !page["changes"].is_null()).count(), 1, "whoever downloads it gets it in one page");
    let told: Vec<String> = changes(&pages)
        .iter()
        .map(|change| format!("{} {} {}", change["entity"].as_str().unwrap_or_default(), change["id"], change["data"]))
        .collect();
    assert_eq!(
        told,
        [
            r#"cow 3 {"dam":null,"grazes":[{"farmId":null,"ha":2},{"farmId":null}],"name":"Ida"}"#,
            "cow 2 null",
            "cow 1 null",
            "stall 1 null",
            "farm 1 null"
        ]
    );
    assert_eq!(left(&world, &ben).await, [r#"cow 3: {"dam":null,"grazes":[{"farmId":null,"ha":2},{"farmId":null}],"name":"Ida"}"#]);
    assert_eq!(briefs(&world.upload(&anna, &[anna.delete_seeing(1, 6, "farm", 1, version(1))]).await), ["duplicate applied 10"]);
    Ok(())
}

async fn what_stays_refers_to_nothing_and_keeps_the_rest<S: ServerStore>(world: World<S>) -> Told {
    let (ben, anna) = (farm(&world).await, Device::new("north", "anna", 1));
    let outcomes = world.upload(&anna, &[anna.delete_seeing(3, 6, "cow", 1, version(3))]).await;
    assert_eq!(briefs(&outcomes), ["applied 8"]);
    assert_eq!(
        left(&world, &ben).await,
        [
            "farm 1: {}",
            r#"stall 1: {"farmId":1}"#,
            r#"cow 2: {"dam":null,"stallId":1}"#,
            r#"cow 3: {"dam":null,"grazes":[{"farmId":1,"ha":2},{"farmId":null}],"name":"Ida"}"#
        ]
    );
    // Whoever wrote on them before meets it like any other change.
    assert_eq!(
        briefs(&world.upload(&ben, &[ben.update(7, "cow", 2, json!({"/name": "Ute"}), version(4))]).await),
        ["conflict update-update"]
    );
    Ok(())
}

async fn what_its_writer_knew_stands_in_the_way<S: ServerStore>(world: World<S>) -> Told {
    let (ben, anna) = (farm(&world).await, Device::new("north", "anna", 1));
    let outcomes = world.upload(&anna, &[anna.delete_seeing(2, 6, "farm", 1, version(1))]).await;
    assert_eq!(briefs(&outcomes), ["rejected has_dependents"]);
    assert_eq!(outcomes[0]["error"]["message"], json!("stall 1 refers to it"));
    // With the stall and its cows in the same group, what is newer goes along.
    let all = group(vec![
        anna.delete_seeing(3, 7, "cow", 1, version(3)),
        anna.delete_seeing(3, 8, "stall", 1, version(2)),
        anna.delete_seeing(3, 9, "farm", 1, version(1)),
    ]);
    assert_eq!(briefs(&world.upload(&anna, &all).await), ["applied 8", "applied 10", "applied 12"]);
    assert_eq!(left(&world, &ben).await.len(), 1);
    Ok(())
}

async fn who_does_not_say_what_he_knew_takes_nothing_along<S: ServerStore>(world: World<S>) -> Told {
    let (ben, anna) = (farm(&world).await, Device::new("north", "anna", 1));
    assert_eq!(briefs(&world.upload(&anna, &[anna.delete(6, "farm", 1, version(1))]).await), ["rejected has_dependents"]);
    assert_eq!(left(&world, &ben).await.len(), 5);
    Ok(())
}

async fn what_is_refused_further_down_keeps_everything<S: ServerStore>(world: World<S>) -> Told {
    let (ben, anna) = (farm(&world).await, Device::new("north", "anna", 1));
    world.upload(&ben, &[ben.create(6, "paper", "temp_6_a_paper", json!({"cowId": 2}))]).await;
    let outcomes = world.upload(&anna, &[anna.delete_seeing(1, 7, "farm", 1, version(1))]).await;
    assert_eq!(outcomes[0]["error"]["message"], json!("paper 1 refers to it"));
    assert_eq!(left(&world, &ben).await.len(), 6);
    Ok(())
}

/// Two stalls that stand beside each other.
async fn neighbours<S: ServerStore>(world: &World<S>, anna: &Device) {
    let pair = group(vec![
        anna.create(1, "stall", "temp_1_a_stall", json!({"beside": "temp_2_a_stall"})),
        anna.create(2, "stall", "temp_2_a_stall", json!({"beside": "temp_1_a_stall"})),
    ]);
    assert_eq!(briefs(&world.upload(anna, &pair).await), ["applied 1", "applied 2"]);
}

async fn a_circle_goes_as_a_group_and_not_in_parts<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    neighbours(&world, &anna).await;
    let both = |number: u64, second: u64| {
        group(vec![anna.delete_seeing(2, number, "stall", 2, version(second)), anna.delete_seeing(2, number + 1, "stall", 1, version(1))])
    };
    assert_eq!(briefs(&world.upload(&anna, &both(3, 1)).await)[0], "conflict delete-update");
    assert_eq!(
        briefs(&world.upload(&anna, &[anna.delete_seeing(2, 5, "stall", 1, version(1))]).await),
        ["rejected has_dependents"],
        "what the group wanted to delete is there"
    );
    assert_eq!(briefs(&world.upload(&anna, &both(6, 2)).await), ["applied 3", "applied 4"]);
    Ok(())
}

async fn what_a_group_has_deleted_and_brought_back_stands_in_the_way_again<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    neighbours(&world, &anna).await;
    let back = group(vec![
        anna.delete_seeing(2, 3, "stall", 2, version(2)),
        anna.restore(4, "stall", 2, json!({"beside": 1}), after(3)),
        anna.delete_seeing(2, 5, "stall", 1, version(1)),
    ]);
    let outcomes = world.upload(&anna, &back).await;
    // The one that came back is newer than all that the writer had seen, so it goes along; nothing refers to what is gone.
    assert_eq!(briefs(&outcomes), ["applied 3", "applied 4", "applied 6"]);
    assert_eq!(left(&world, &anna).await, [] as [String; 0]);
    Ok(())
}

async fn what_the_same_batch_brought_goes_along<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "farm", "temp_1_a_farm", json!({})),
                anna.create(2, "stall", "temp_2_a_stall", json!({"farmId": "temp_1_a_farm"})),
                anna.delete_seeing(0, 3, "farm", "temp_1_a_farm", after(1)),
                anna.update(4, "stall", 1, json!({"/name": "north"}), version(2)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2", "applied 4", "conflict update-delete"]);
    Ok(())
}

async fn a_thousand_go_along_and_no_more<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "farm", "temp_1_a_farm", json!({}))]).await;
    let stalls: Vec<Value> =
        (2..=1_001).map(|number| anna.create(number, "stall", format!("temp_{number}_a_stall"), json!({"farmId": 1}))).collect();
    world.upload(&anna, &stalls).await;
    world.upload(&anna, &[anna.create(1_002, "stall", "temp_1002_a_stall", json!({"farmId": 1}))]).await;
    let delete = |number: u64| anna.delete_seeing(1, number, "farm", 1, version(1));
    // It does not look at so many: who of them was known to the writer it cannot say.
    for seen in [1, 9_000] {
        let refused = world.upload(&anna, &[anna.delete_seeing(seen, 3_000 + seen, "farm", 1, version(1))]).await;
        assert_eq!(briefs(&refused), ["rejected too_large"]);
        assert_eq!(refused[0]["error"]["message"], json!("more than 1,000 records refer to it, or to what would go with it"));
    }
    world.upload(&anna, &[anna.delete(2_001, "stall", 1, version(2))]).await;
    assert_eq!(briefs(&world.upload(&anna, &[delete(2_002)]).await), ["applied 2004"]);
    assert_eq!(left(&world, &anna).await, [] as [String; 0]);
    Ok(())
}

#[tokio::test]
async fn the_audit_chain_names_what_went_along() -> Told {
    let world = World::memory()?;
    farm(&world).await;
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.delete_seeing(1, 6, "farm", 1, version(1))]).await;
    let rows = world.service.store().audit("north").await;
    let row: Value = serde_json::from_str(&rows[1].content)?;
    let along: Vec<String> = row["along"]
        .as_array()
        .ok_or("a list")?
        .iter()
        .map(|change| format!("{} {} {} {}", change["kind"], change["entity"], change["record"], change["version"]))
        .collect();
    let expected = [r#""update" "cow" 3 "6""#, r#""delete" "cow" 2 "7""#, r#""delete" "cow" 1 "8""#, r#""delete" "stall" 1 "9""#];
    assert_eq!(along, expected);
    assert_eq!(row["entries"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn what_would_stay_but_is_not_as_it_is_declared_stands_in_the_way() -> Told {
    let first = World::memory()?;
    farm(&first).await;
    let backup = first.service.store().snapshot().await;
    let anna = Device::new("north", "anna", 1);
    // The third cow, Ida, stays and loses its dam; a later declaration has longer or shorter names.
    for (longest, brief) in [(2, "rejected has_dependents"), (3, "applied ")] {
        let rules =
            format!(r#""fields": {{"name": {{"type": "string", "maxLength": {longest}}}}}, "onDelete": {{"stallId": "cascade", "dam""#);
        let schema = Schema::parse(&SCHEMA.replace(r#""onDelete": {"stallId": "cascade", "dam""#, &rules))?;
        let world = World::serving(MemoryStore::restore(&backup, epoch()?, first.clock.now_ms()), schema)?;
        let outcomes = world.upload(&anna, &[anna.delete_seeing(1, 6, "farm", 1, version(1))]).await;
        assert!(briefs(&outcomes)[0].starts_with(brief), "{outcomes:?}");
        if longest == 2 {
            assert_eq!(outcomes[0]["error"]["message"], json!("cow 3 refers to it"));
            assert_eq!(left(&world, &anna).await.len(), 5, "nothing is gone");
        }
    }
    Ok(())
}

async fn what_stays_without_its_reference_counts_too<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let first = [anna.create(1, "farm", "temp_1_a_farm", json!({})), anna.create(2, "stall", "temp_2_a_stall", json!({"farmId": 1}))];
    world.upload(&anna, &first).await;
    // Half of them graze on the farm, and the other half stand in its stall: two levels, each within the bound.
    let cow = |number: u64| {
        let refers = if number.is_multiple_of(2) { json!({"grazes": [{"farmId": 1}]}) } else { json!({"stallId": 1}) };
        anna.create(number, "cow", format!("temp_{number}_a_cow"), refers)
    };
    let cows: Vec<Value> = (3..=1_002).map(cow).collect();
    world.upload(&anna, &cows).await;
    let refused = world.upload(&anna, &[anna.delete_seeing(1, 2_001, "farm", 1, version(1))]).await;
    assert_eq!(briefs(&refused), ["rejected too_large"], "a stall and a thousand cows");
    world.upload(&anna, &[anna.delete(2_002, "cow", 1, version(3))]).await;
    assert_eq!(briefs(&world.upload(&anna, &[anna.delete_seeing(1, 2_003, "farm", 1, version(1))]).await), ["applied 2004"]);
    assert_eq!(left(&world, &anna).await.len(), 500, "those that grazed elsewhere from then on");
    Ok(())
}
