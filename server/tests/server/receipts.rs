//! What was answered once is answered the same for ever.

use fieldsync_server::audit::Broken;
use fieldsync_server::store::ServerStore;
use fieldsync_server::store::memory::MemoryStore;
use serde_json::json;

use crate::world::{Device, Told, World, after, briefs, followed, on_both_stores, op, version};

on_both_stores!(
    a_lost_answer_is_given_again,
    the_same_operation_twice_in_one_batch_counts_once,
    another_operation_under_the_same_id_is_refused,
    a_rejection_is_final_and_its_successor_stands_in_its_place,
    an_operation_that_cannot_be_read_gets_an_answer_of_its_own,
    an_operation_without_an_id_refuses_the_whole_request,
    the_counts_of_status_follow,
);

async fn a_lost_answer_is_given_again<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let batch = [
        anna.create(1, "client", "temp_1_a_client", json!({"name": "A"})),
        anna.update(2, "client", "temp_1_a_client", json!({"/name": "B"}), after(1)),
        anna.create(3, "pet", "temp_3_c_pet", json!({"clientId": 99})),
    ];
    let first = world.upload(&anna, &batch).await;
    assert_eq!(briefs(&first), ["applied 1", "applied 2", "rejected reference_missing"]);
    world.clock.advance(7 * 24 * 3_600_000);
    let again = world.upload(&anna, &batch).await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(again, &json!({"status": "duplicate", "original": first}));
    }
    assert_eq!(world.status(&anna).await["sequence"], json!("2"));
    Ok(())
}

async fn the_same_operation_twice_in_one_batch_counts_once<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let create = anna.create(1, "client", "temp_1_a_client", json!({}));
    let outcomes = world.upload(&anna, &[create.clone(), create]).await;
    assert_eq!(briefs(&outcomes), ["applied 1", "duplicate applied 1"]);
    assert_eq!(world.status(&anna).await["sequence"], json!("1"));
    Ok(())
}

async fn another_operation_under_the_same_id_is_refused<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let create = anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}));
    world.upload(&anna, std::slice::from_ref(&create)).await;
    let other = anna.create(1, "client", "temp_1_a_client", json!({"name": "B"}));
    let outcomes = world.upload(&anna, &[other, create]).await;
    assert_eq!(briefs(&outcomes), ["rejected operation_reused", "duplicate applied 1"], "the first receipt stays");
    // The same content in another order and spelling is the same operation.
    let respelled = json!({"head": anna.head("r"), "operations": [anna.create(2, "client", "temp_2_b_client", json!({"a": 1, "b": 2}))]});
    let text = respelled.to_string();
    world.service.upload(&anna.identity(), text.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    let text = text.replace(r#""a":1,"b":2"#, r#""b":2.0,"a":1e0"#);
    let answer = world.service.upload(&anna.identity(), text.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    assert_eq!(briefs(&[json!(answer.results[0].outcome)]), ["duplicate applied 2"]);
    Ok(())
}

async fn a_rejection_is_final_and_its_successor_stands_in_its_place<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let rejected = anna.create(1, "pet", "temp_1_a_pet", json!({"clientId": 1}));
    let follows = anna.update(2, "pet", "temp_1_a_pet", json!({"/name": "Rex"}), after(1));
    let outcomes = world.upload(&anna, &[rejected.clone(), follows.clone()]).await;
    assert_eq!(briefs(&outcomes), ["rejected reference_missing", "blocked temp_1_a_pet"]);
    world.upload(&anna, &[anna.create(3, "client", "temp_3_c_client", json!({}))]).await;
    assert_eq!(briefs(&world.upload(&anna, &[rejected]).await), ["duplicate rejected reference_missing"]);
    let mut edited = anna.create(4, "pet", "temp_1_a_pet", json!({"clientId": "temp_9_i_client"}));
    edited["supersedes"] = json!(op(1));
    let mut edited_again = anna.create(5, "pet", "temp_1_a_pet", json!({"clientId": 77}));
    edited_again["supersedes"] = json!(op(1));
    let mut third = anna.create(6, "pet", "temp_1_a_pet", json!({"clientId": 1}));
    third["supersedes"] = json!(op(5));
    let outcomes = world.upload(&anna, &[edited, edited_again, third, follows]).await;
    assert_eq!(briefs(&outcomes), ["blocked temp_9_i_client", "rejected reference_missing", "applied 2", "conflict update-update"]);
    // What followed the first one knows nothing of what the third one stands on. Written anew it goes.
    let mut again = anna.update(7, "pet", 1, json!({"/name": "Rex"}), after(6));
    again["supersedes"] = json!(op(2));
    assert_eq!(briefs(&world.upload(&anna, &[again]).await), ["applied 3"]);
    Ok(())
}

async fn an_operation_that_cannot_be_read_gets_an_answer_of_its_own<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let no_base = anna.update(1, "client", 1, json!({}), json!("none"));
    let mut bad_delta = anna.update(2, "client", 1, json!({"name": 1}), version(1));
    bad_delta["extra"] = json!(1);
    let mut half = anna.create(3, "client", "temp_3_c_client", json!({}));
    half.as_object_mut().ok_or("an object")?.remove("stamp");
    let good = anna.create(4, "client", "temp_4_d_client", json!({}));
    let batch = [no_base, bad_delta, half, good];
    let outcomes = world.upload(&anna, &batch).await;
    // The first can be read: its record is asked for first.
    let expected = ["rejected unknown_record", "rejected invalid_operation", "rejected invalid_operation", "applied 1"];
    assert_eq!(briefs(&outcomes), expected);
    assert!(briefs(&world.upload(&anna, &batch).await).iter().all(|brief| brief.starts_with("duplicate ")));
    Ok(())
}

async fn an_operation_without_an_id_refuses_the_whole_request<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    for bad in [json!({}), json!(7), json!({"id": "x"}), json!([]), json!({"id": op(1).to_uppercase()})] {
        let good = anna.create(1, "client", "temp_1_a_client", json!({}));
        let fault = world.try_upload(&anna, &[good, bad]).await.expect_err("refused");
        assert_eq!(fault["error"]["code"], json!("invalid_request"));
        assert_eq!(fault["error"]["requestId"], json!("upload"));
    }
    assert_eq!(world.status(&anna).await["sequence"], json!("0"), "nothing of it was applied");
    Ok(())
}

async fn the_counts_of_status_follow<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    let before = world.status(&anna).await["auditHead"].clone();
    world
        .upload(&ben, &[ben.update(2, "client", 1, json!({"/n": 1}), version(1)), ben.update(3, "client", 1, json!({"/n": 2}), version(1))])
        .await;
    let status = world.status(&ben).await;
    assert_eq!((&status["receipts"], &status["openConflicts"], &status["sequence"]), (&json!(2), &json!(1), &json!("2")));
    assert_ne!(status["auditHead"], before);
    assert_eq!(world.status(&anna).await["receipts"], json!(1));
    Ok(())
}

#[tokio::test]
async fn the_audit_chain_tells_of_every_upload_and_shows_tampering() -> Told {
    let world: World<MemoryStore> = World::memory()?;
    let anna = Device::new("north", "anna", 1);
    for number in 1..=4 {
        world.upload(&anna, &[anna.create(number, "client", format!("temp_{number}_a_client"), json!({"secret": "x"}))]).await;
    }
    // A repeated answer changes nothing, so there is nothing to tell.
    world.upload(&anna, &[anna.create(4, "client", "temp_4_a_client", json!({"secret": "x"}))]).await;
    let rows = world.service.store().audit("north").await;
    assert_eq!(rows.len(), 4);
    assert_eq!(followed(&rows), Ok(()));
    assert!(rows.iter().all(|row| !row.content.contains("secret")), "the trail holds no fields");
    let mut changed = rows.clone();
    changed[1].content = changed[1].content.replace("anna", "evie");
    assert_eq!(followed(&changed), Err(Broken::Changed(2)));
    let mut dropped = rows;
    dropped.remove(2);
    assert_eq!(followed(&dropped), Err(Broken::Missing(3)));
    Ok(())
}
