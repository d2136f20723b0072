//! Downloads of some entities.

use fieldsync::protocol::DownloadHead;
use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::wire::{changes, checkpoint, pages};
use crate::world::{Device, Failure, Told, World, after, on_both_stores};

on_both_stores!(
    a_scope_brings_its_own_entities_and_its_own_checkpoint,
    a_checkpoint_of_all_serves_for_some,
    an_entity_that_is_not_there_is_named,
);

async fn clinic<S: ServerStore>(world: &World<S>) -> Device {
    let anna = Device::new("north", "anna", 1);
    let mut operations = Vec::new();
    for number in 0..5 {
        let (client, pet) = (format!("temp_{number}_a_client"), format!("temp_{number}_a_pet"));
        operations.push(anna.create(10 + number, "client", client.clone(), json!({})));
        operations.push(anna.create(20 + number, "pet", pet, json!({"clientId": client})));
        operations.push(anna.create(30 + number, "visit", format!("temp_{number}_a_visit"), json!({})));
    }
    operations.push(anna.delete(40, "visit", "temp_1_a_visit", after(31)));
    world.upload(&anna, &operations).await;
    anna
}

fn entities(pages: &[Value]) -> Vec<String> {
    changes(pages).iter().map(|change| change["entity"].as_str().unwrap_or("?").to_owned()).collect()
}

async fn a_scope_brings_its_own_entities_and_its_own_checkpoint<S: ServerStore>(world: World<S>) -> Told {
    let anna = clinic(&world).await;
    let lines = world.try_download_of(&anna, &["visit", "client", "visit"], None).await.map_err(|fault| fault.to_string())?;
    assert_eq!(serde_json::from_str::<DownloadHead>(&lines[0])?.records, 10);
    let first = pages(&lines);
    assert_eq!(entities(&first), ["client", "visit", "client", "client", "visit", "client", "visit", "client", "visit", "visit"]);
    assert_eq!(changes(&first).last().map(|change| &change["kind"]), Some(&json!("delete")));
    assert_eq!(first.last().map(|page| &page["through"]), Some(&json!("16")));
    let held = checkpoint(&first);
    world
        .upload(&anna, &[anna.create(50, "pet", "temp_50_a_pet", json!({})), anna.create(51, "visit", "temp_51_a_visit", json!({}))])
        .await;
    let next = world.try_download_of(&anna, &["client", "visit"], Some(&held)).await.map_err(|fault| fault.to_string())?;
    assert_eq!(entities(&pages(&next)), ["visit"]);
    // For anything else it says nothing.
    for scope in [&["client"][..], &["client", "visit", "pet"], &[]] {
        let refused = world.try_download_of(&anna, scope, Some(&held)).await.err().ok_or("it is refused")?;
        assert_eq!(refused["error"]["code"], json!("invalid_checkpoint"), "{scope:?}");
    }
    assert_eq!(world.initialize(&anna, Some(&held)).await["error"]["code"], json!("invalid_checkpoint"));
    Ok(())
}

async fn a_checkpoint_of_all_serves_for_some<S: ServerStore>(world: World<S>) -> Told {
    let anna = clinic(&world).await;
    let held = checkpoint(&world.download(&anna, None, 100).await);
    world
        .upload(&anna, &[anna.create(50, "pet", "temp_50_a_pet", json!({})), anna.create(51, "visit", "temp_51_a_visit", json!({}))])
        .await;
    let some = world.try_download_of(&anna, &["pet"], Some(&held)).await.map_err(|fault| fault.to_string())?;
    assert_eq!(entities(&pages(&some)), ["pet"]);
    // The other way round the visit would be missed.
    let refused = world.try_download(&anna, Some(&checkpoint(&pages(&some))), 100).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("invalid_checkpoint"));
    assert_eq!(entities(&world.download(&anna, Some(&held), 100).await), ["pet", "visit"]);
    Ok(())
}

async fn an_entity_that_is_not_there_is_named<S: ServerStore>(world: World<S>) -> Result<(), Failure> {
    let anna = Device::new("north", "anna", 1);
    let refused = world.try_download_of(&anna, &["client", "dragon"], None).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("invalid_request"));
    assert!(refused["error"]["message"].as_str().is_some_and(|message| message.contains("'dragon'")), "{refused}");
    Ok(())
}
