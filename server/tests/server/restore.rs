//! A server that comes back from a backup: another epoch, and no number that anybody can have met.

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::wire::{changes, checkpoint};
use crate::world::{Device, Restorable, Told, World, after, brief, briefs, on_both_stores, op, version};

on_both_stores!(
    what_came_after_the_backup_is_gone_and_its_numbers_are_not_issued_again,
    the_same_backup_restored_twice_leads_to_other_numbers,
    receipts_that_survived_answer_as_ever,
    a_checkpoint_of_another_epoch_says_so,
    a_create_gets_its_former_id_again_if_it_is_free,
    nobody_chooses_an_id_by_calling_it_former,
    the_watermark_is_what_the_last_backup_holds,
    by_default_all_that_is_committed_is_durable,
);

fn client(device: &Device, number: u64) -> Value {
    device.create(number, "client", format!("temp_{number}_a_client"), json!({"name": number}))
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
}

async fn what_came_after_the_backup_is_gone_and_its_numbers_are_not_issued_again<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[client(&anna, 1)]).await;
    let backup = world.back_up().await?;
    // A record, an entity and a tenant that the backup does not know.
    let south = Device::new("south", "sam", 2);
    world.upload(&anna, &[client(&anna, 2), anna.create(3, "visit", "temp_3_a_visit", json!({}))]).await;
    world.upload(&south, &[client(&south, 4)]).await;

    let restored = world.restored(&backup, 1).await?;
    assert_ne!(restored.service.store().epoch(), world.service.store().epoch());
    let there = changes(&restored.download(&anna, None, 100).await);
    assert_eq!(there.iter().map(|change| &change["id"]).collect::<Vec<_>>(), [&json!(1)], "{there:?}");
    let outcomes = restored.upload(&anna, &[client(&anna, 5), anna.create(6, "visit", "temp_6_a_visit", json!({}))]).await;
    let others = restored.upload(&south, &[client(&south, 7)]).await;
    for outcome in outcomes.iter().chain(&others) {
        for issued in [&outcome["realId"], &outcome["version"]] {
            assert!((1 << 32..1 << 53).contains(&number(issued)), "{outcome}");
        }
    }
    assert_eq!(number(&outcomes[1]["version"]), number(&outcomes[0]["version"]) + 1);
    let after = changes(&restored.download(&anna, None, 100).await);
    assert_eq!(after.iter().map(|change| &change["id"]).collect::<Vec<_>>(), [&json!(1), &outcomes[0]["realId"], &outcomes[1]["realId"]]);
    Ok(())
}

async fn the_same_backup_restored_twice_leads_to_other_numbers<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    let backup = world.back_up().await?;
    world.clock.advance(60_000);
    let first = world.restored(&backup, 1).await?.upload(&anna, &[client(&anna, 1)]).await;
    world.clock.advance(60_000);
    let second = world.restored(&backup, 2).await?.upload(&anna, &[client(&anna, 2)]).await;
    assert!(number(&second[0]["realId"]) > number(&first[0]["realId"]) + 100_000);
    assert!(number(&second[0]["version"]) > number(&first[0]["version"]) + 100_000);
    Ok(())
}

async fn receipts_that_survived_answer_as_ever<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    let kept = [client(&anna, 1), anna.create(2, "pet", "temp_2_a_pet", json!({"clientId": 99}))];
    world.upload(&anna, &kept).await;
    let backup = world.back_up().await?;
    let lost = anna.update(3, "client", "temp_1_a_client", json!({"/name": "B"}), after(1));
    assert_eq!(briefs(&world.upload(&anna, std::slice::from_ref(&lost)).await), ["applied 2"]);
    let restored = world.restored(&backup, 1).await?;
    assert_eq!(briefs(&restored.upload(&anna, &kept).await), ["duplicate applied 1", "duplicate rejected reference_missing"]);
    let again = restored.upload(&anna, &[lost]).await;
    assert!(again[0]["status"] == "applied" && number(&again[0]["version"]) > 1 << 32, "{again:?}");
    // Written on a version that was lost, and is no version of anything any more.
    let stale = anna.update(4, "client", 1, json!({"/name": "C"}), version(2));
    assert_eq!(brief(&restored.upload(&anna, &[stale]).await[0]), "conflict update-update");
    Ok(())
}

async fn a_checkpoint_of_another_epoch_says_so<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let mut anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[client(&anna, 1)]).await;
    let held = checkpoint(&world.download(&anna, None, 100).await);
    let backup = world.back_up().await?;
    let restored = world.restored(&backup, 1).await?;
    assert_eq!(restored.initialize(&anna, Some(&held)).await["checkpoint"], json!("epochChanged"));
    let refused = restored.try_download(&anna, Some(&held), 100).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("epoch_changed"));
    anna.epoch = Some(world.service.store().epoch().to_string());
    let refused = restored.try_upload(&anna, &[client(&anna, 2)]).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("epoch_changed"));
    // And the checkpoints of the new one go on.
    anna.epoch = None;
    let held = checkpoint(&restored.download(&anna, None, 100).await);
    restored.upload(&anna, &[client(&anna, 3)]).await;
    assert_eq!(changes(&restored.download(&anna, Some(&held), 100).await).len(), 1);
    Ok(())
}

async fn a_create_gets_its_former_id_again_if_it_is_free<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    let backup = world.back_up().await?;
    let vet = anna.create(2, "vet", "temp_2_a_vet", json!({}));
    let before = world.upload(&anna, &[client(&anna, 1), vet.clone()]).await;
    let pet = anna.create(3, "pet", "temp_3_a_pet", json!({"clientId": "temp_1_a_client"}));

    let restored = world.restored(&backup, 1).await?;
    let former = json!([{"operation": op(1), "id": before[0]["realId"]}, {"operation": op(2), "id": before[1]["realId"]}]);
    let again = restored.upload_again(&anna, &[client(&anna, 1), vet, pet], &former).await;
    assert_eq!([&again[0]["realId"], &again[1]["realId"]], [&before[0]["realId"], &before[1]["realId"]]);
    assert_eq!(changes(&restored.download(&anna, None, 100).await)[2]["data"]["clientId"], json!(1));
    // Another device's create had the same number in a third lineage: who comes second gets another.
    let ben = Device::new("north", "ben", 2);
    let former = json!([{"operation": op(11), "id": 1}]);
    let other = restored.upload_again(&ben, &[client(&ben, 11)], &former).await;
    assert!(number(&other[0]["realId"]) > 1 << 32, "{other:?}");
    // Sent again, it is what it was.
    let former = json!([{"operation": op(1), "id": 1}]);
    let repeated = restored.upload_again(&anna, &[client(&anna, 1)], &former).await;
    assert_eq!((&repeated[0]["status"], &repeated[0]["original"]["realId"]), (&json!("duplicate"), &json!(1)));
    Ok(())
}

async fn nobody_chooses_an_id_by_calling_it_former<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    let wish = |id: Value, number: u64| json!([{"operation": op(number), "id": id}]);
    // A server that was never restored has lost none.
    let outcomes = world.upload_again(&anna, &[client(&anna, 1)], &wish(json!(7), 1)).await;
    assert_eq!(outcomes[0]["realId"], json!(1));
    let vet = anna.create(2, "vet", "temp_2_a_vet", json!({}));
    let uuid = "0190a1b2-0000-7000-8000-00000000abcd";
    let outcomes = world.upload_again(&anna, &[vet], &wish(json!(uuid), 2)).await;
    assert_ne!(outcomes[0]["realId"], json!(uuid));

    let backup = world.back_up().await?;
    let restored = world.restored(&backup, 1).await?;
    let next = number(&restored.upload(&anna, &[client(&anna, 3)]).await[0]["realId"]);
    for (at, wished) in [json!(next + 1), json!(0), json!(-1), json!("7"), json!(uuid)].into_iter().enumerate() {
        let number = 10 + u64::try_from(at)?;
        let outcomes = restored.upload_again(&anna, &[client(&anna, number)], &wish(wished.clone(), number)).await;
        assert_eq!(outcomes[0]["realId"], json!(next + 1 + u64::try_from(at)?), "wished for {wished}");
    }
    let vet = anna.create(20, "vet", "temp_20_a_vet", json!({}));
    let outcomes = restored.upload_again(&anna, &[vet], &wish(json!("chief"), 20)).await;
    assert_ne!(outcomes[0]["realId"], json!("chief"));
    Ok(())
}

async fn the_watermark_is_what_the_last_backup_holds<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let world = world.promising_backups()?;
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[client(&anna, 1), client(&anna, 2)]).await;
    assert_eq!(world.status(&anna).await["reply"]["durable"], json!("0"));
    let backup = world.back_up().await?;
    world.upload(&anna, &[client(&anna, 3)]).await;
    let status = world.status(&anna).await;
    assert_eq!((&status["reply"]["durable"], &status["sequence"]), (&json!("2"), &json!("3")));
    assert_eq!(world.initialize(&anna, None).await["reply"]["durable"], json!("2"));

    let restored = world.restored(&backup, 1).await?.promising_backups()?;
    assert_eq!(restored.status(&anna).await["reply"]["durable"], json!("2"), "what came from the backup is in it");
    let outcome = restored.upload(&anna, &[client(&anna, 4)]).await;
    assert_eq!(restored.status(&anna).await["reply"]["durable"], json!("2"));
    restored.back_up().await?;
    assert_eq!(restored.status(&anna).await["reply"]["durable"], outcome[0]["version"]);
    Ok(())
}

async fn by_default_all_that_is_committed_is_durable<S: ServerStore>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    world.back_up().await?;
    world.upload(&anna, &[client(&anna, 1)]).await;
    assert_eq!(world.status(&anna).await["reply"]["durable"], json!("1"));
    Ok(())
}
