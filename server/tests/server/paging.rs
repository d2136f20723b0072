//! Pages: nothing skipped, nothing twice, whoever writes in between.

use std::collections::BTreeSet;

use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::wire::{changes, checkpoint, pages};
use crate::world::{Device, Told, World, brief, on_both_stores, version};

on_both_stores!(
    ten_thousand_records_come_in_pages_while_others_write,
    a_first_download_that_breaks_off_goes_on_and_says_through_at_its_end,
    an_answer_ends_where_it_said_whoever_goes_on_writing,
    a_first_download_is_not_over_before_what_moved_on_meanwhile_has_come,
    an_empty_answer_still_says_through,
    pages_are_bounded_by_bytes,
    a_checkpoint_is_checked_before_anything_is_sent,
    initialize_tells_where_the_client_stands,
);

async fn fill<S: ServerStore>(world: &World<S>, device: &Device, from: u64, to: u64) {
    let numbers: Vec<u64> = (from..=to).collect();
    for chunk in numbers.chunks(1_000) {
        let create = |number: &u64| device.create(*number, "client", format!("temp_{number}_a_client"), json!({"n": number}));
        let outcomes = world.upload(device, &chunk.iter().map(create).collect::<Vec<Value>>()).await;
        assert!(outcomes.iter().all(|outcome| outcome["status"] == "applied"));
    }
}

async fn ten_thousand_records_come_in_pages_while_others_write<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    fill(&world, &anna, 1, 10_000).await;
    let body = json!({"head": ben.head("r"), "pageRecords": 1_000}).to_string();
    let mut answer = world.service.download(&ben.identity(), body.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    let mut text = Vec::new();
    let mut writes = 0;
    while let Some(lines) = answer.next().await? {
        text.extend(lines);
        // Between two pages: a record that was sent, one that was not, and a new one.
        let (sent, unsent) = (writes * 1_000 + 1, 10_000 - writes);
        if writes < 10 {
            let update = |number: u64, id: u64| anna.update(number, "client", id, json!({"/m": number}), version(id));
            let new = anna.create(20_000 + writes, "client", format!("temp_{writes}_n_client"), json!({"n": 0}));
            let outcomes = world.upload(&anna, &[update(30_000 + writes, sent), update(40_000 + writes, unsent), new]).await;
            assert!(outcomes.iter().all(|outcome| outcome["status"] == "applied"), "{outcomes:?}");
        }
        writes += 1;
    }
    let lines: Vec<String> = String::from_utf8(text)?.lines().map(str::to_owned).collect();
    let first = pages(&lines);
    assert!(first.iter().all(|page| page["changes"].as_array().is_some_and(|changes| changes.len() <= 1_000)));
    let rest = world.download(&ben, Some(&checkpoint(&first)), 1_000).await;
    let mut seen = std::collections::BTreeMap::new();
    for change in changes(&first).into_iter().chain(changes(&rest)) {
        seen.insert(change["id"].as_u64().ok_or("an integer ID")?, change);
    }
    assert_eq!(seen.len(), 10_010, "none is skipped");
    let now = changes(&world.download(&ben, None, 5_000).await);
    assert_eq!(now.len(), 10_010);
    for change in now {
        assert_eq!(seen.get(&change["id"].as_u64().ok_or("an integer ID")?), Some(&change), "the last one seen is the present one");
    }
    Ok(())
}

async fn a_first_download_that_breaks_off_goes_on_and_says_through_at_its_end<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    fill(&world, &anna, 1, 25).await;
    let all = world.download(&ben, None, 10).await;
    let through: Vec<_> = all.iter().map(|page| page.get("through").cloned()).collect();
    assert_eq!(through, [None, None, Some(json!("25"))]);
    // The answer broke off after its first page; somebody changed a record since.
    world.upload(&anna, &[anna.update(30, "client", 20, json!({"/m": 1}), version(20))]).await;
    let rest = world.download(&ben, all[0]["checkpoint"].as_str(), 10).await;
    let through: Vec<_> = rest.iter().map(|page| page.get("through").cloned()).collect();
    assert_eq!(through, [None, Some(json!("26"))]);
    let ids: BTreeSet<_> = changes(&all[..1]).iter().chain(&changes(&rest)).map(|change| change["id"].to_string()).collect();
    assert_eq!(ids.len(), 25);
    // From now on every page says it.
    fill(&world, &anna, 31, 55).await;
    let later = world.download(&ben, Some(&checkpoint(&rest)), 10).await;
    let through: Vec<_> = later.iter().map(|page| page["through"].clone()).collect();
    assert_eq!(through, [json!("36"), json!("46"), json!("51")]);
    Ok(())
}

async fn an_answer_ends_where_it_said_whoever_goes_on_writing<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    fill(&world, &anna, 1, 25).await;
    let body = json!({"head": ben.head("r"), "pageRecords": 10}).to_string();
    let mut answer = world.service.download(&ben.identity(), body.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    let mut text = Vec::new();
    for written in 0.. {
        let Some(lines) = answer.next().await? else { break };
        text.extend(lines);
        assert!(written < 10, "each page is followed by as many new records as it holds, and the answer runs after them");
        fill(&world, &anna, 100 + written * 10, 109 + written * 10).await;
    }
    let lines: Vec<String> = String::from_utf8(text)?.lines().map(str::to_owned).collect();
    let pages = pages(&lines);
    assert_eq!(pages.iter().map(|page| page.get("through").cloned()).collect::<Vec<_>>(), [None, None, None], "more came than went");
    let rest = world.download(&ben, Some(&checkpoint(&pages)), 10).await;
    assert_eq!(rest.last().and_then(|page| page.get("through")), Some(&json!("75")));
    Ok(())
}

/// What a device has not been sent at the end, it takes for gone.
async fn a_first_download_is_not_over_before_what_moved_on_meanwhile_has_come<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    fill(&world, &anna, 1, 3).await;
    let body = json!({"head": ben.head("r"), "pageRecords": 1}).to_string();
    let mut answer = world.service.download(&ben.identity(), body.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    let mut text = [answer.next().await?.ok_or("a head")?, answer.next().await?.ok_or("a page")?].concat();
    let change = |number, id| anna.update(number, "client", id, json!({"/m": 1}), version(id));
    world.upload(&anna, &[change(10, 3), change(11, 2)]).await;
    while let Some(lines) = answer.next().await? {
        text.extend(lines);
    }
    let lines: Vec<String> = String::from_utf8(text)?.lines().map(str::to_owned).collect();
    let first = pages(&lines);
    assert!(first.iter().all(|page| page.get("through").is_none()), "client 2 has not come yet: {first:?}");
    let rest = world.download(&ben, Some(&checkpoint(&first)), 1).await;
    assert_eq!(rest.last().map(|page| &page["through"]), Some(&json!("5")));
    assert_eq!(changes(&rest).last().map(|change| &change["id"]), Some(&json!(2)));
    Ok(())
}

async fn an_empty_answer_still_says_through<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let empty = world.download(&anna, None, 10).await;
    assert_eq!((empty.len(), &empty[0]["through"], &empty[0]["changes"]), (1, &json!("0"), &json!([])));
    fill(&world, &anna, 1, 3).await;
    let some = world.download(&anna, Some(&checkpoint(&empty)), 3).await;
    assert_eq!((some.len(), &some[0]["through"]), (1, &json!("3")), "a page that holds all there is, is the last");
    let none = world.download(&anna, Some(&checkpoint(&some)), 3).await;
    assert_eq!((none.len(), &none[0]["through"], &none[0]["changes"]), (1, &json!("3"), &json!([])));
    Ok(())
}

async fn pages_are_bounded_by_bytes<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let text = "x".repeat(900 << 10);
    for number in 1..=6 {
        let outcomes = world.upload(&anna, &[anna.create(number, "client", format!("temp_{number}_a_client"), json!({"t": text}))]).await;
        assert_eq!(brief(&outcomes[0]), format!("applied {number}"));
    }
    let counts: Vec<_> = world.download(&anna, None, 5_000).await.iter().map(|page| page["changes"].as_array().map(Vec::len)).collect();
    assert_eq!(counts, [Some(4), Some(2)]);
    let counts: Vec<_> = world.download(&anna, None, 0).await.iter().map(|page| page["changes"].as_array().map(Vec::len)).collect();
    assert_eq!(counts, [Some(1); 6], "a page has at least one record");
    Ok(())
}

async fn a_checkpoint_is_checked_before_anything_is_sent<S: ServerStore>(world: World<S>) -> Told {
    let (anna, other) = (Device::new("north", "anna", 1), Device::new("south", "anna", 1));
    fill(&world, &anna, 1, 3).await;
    let token = checkpoint(&world.download(&anna, None, 10).await);
    for (device, token, code) in [
        (&anna, "nonsense", "invalid_checkpoint"),
        (&other, token.as_str(), "invalid_checkpoint"),
        (&anna, &format!("B{}", &token[1..]), "invalid_checkpoint"),
    ] {
        let fault = world.try_download(device, Some(token), 10).await.expect_err("refused");
        assert_eq!(fault["error"]["code"], json!(code));
        assert_eq!(world.initialize(device, Some(token)).await["error"]["code"], json!(code));
    }
    // A database that has lost its last records: what the client saw is not in it.
    let empty = World::memory()?;
    let fault = empty.try_download(&anna, Some(&token), 10).await.expect_err("refused");
    assert_eq!(fault["error"]["code"], json!("epoch_changed"));
    Ok(())
}

async fn initialize_tells_where_the_client_stands<S: ServerStore>(world: World<S>) -> Told {
    let mut anna = Device::new("north", "anna", 1);
    let first = world.initialize(&anna, None).await;
    assert_eq!((&first["checkpoint"], &first["schema"], &first["limits"]["operationsMax"]), (&json!("none"), &json!(3), &json!(1_000)));
    fill(&world, &anna, 1, 3).await;
    let token = checkpoint(&world.download(&anna, None, 10).await);
    anna.epoch = first["reply"]["epoch"].as_str().map(str::to_owned);
    let again = world.initialize(&anna, Some(&token)).await;
    assert_eq!((&again["checkpoint"], &again["reply"]["durable"]), (&json!("ok"), &json!("3")));
    anna.epoch = Some("0190a1b2-0000-7000-8000-0000000000ff".to_owned());
    assert_eq!(world.initialize(&anna, Some(&token)).await["checkpoint"], json!("epochChanged"));
    for fault in [
        world.try_upload(&anna, &[anna.create(9, "client", "temp_9_a_client", json!({}))]).await.expect_err("refused"),
        world.try_download(&anna, Some(&token), 10).await.expect_err("refused"),
    ] {
        assert_eq!(fault["error"]["code"], json!("epoch_changed"));
        assert_eq!(fault["error"]["details"]["epoch"], first["reply"]["epoch"]);
    }
    Ok(())
}
