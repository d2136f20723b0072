//! Two devices and one record. The base version is the authority; what is so already is no conflict.

use fieldsync_server::store::ServerStore;
use serde_json::json;

use crate::wire::{changes, checkpoint};
use crate::world::{Device, Told, World, after, brief, briefs, on_both_stores, op, version};

on_both_stores!(
    every_kind_of_conflict_shows_the_servers_side,
    what_is_so_already_is_no_conflict,
    what_is_so_already_does_not_hide_what_else_changed,
    what_follows_a_conflict_waits_for_its_resolution,
    a_resolution_closes_the_conflict_and_an_empty_one_too,
    a_second_conflict_of_the_same_client_renews_the_first,
    each_client_has_its_own_conflict,
    a_base_from_the_future_is_a_conflict,
    a_deleted_record_is_known_as_gone_at_any_later_version,
    conflicts_over_large_records_are_told_a_few_at_a_time,
);

async fn every_kind_of_conflict_shows_the_servers_side<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "A", "phone": "1"})),
                anna.create(2, "client", "temp_2_b_client", json!({"name": "B"})),
                anna.update(3, "client", 1, json!({"/name": "A2"}), version(1)),
                anna.delete(4, "client", 2, version(2)),
            ],
        )
        .await;
    let batch = [
        ben.update(5, "client", 1, json!({"/phone": "2"}), version(1)),
        ben.delete(6, "client", 1, version(1)),
        ben.update(7, "client", 2, json!({"/name": "B2"}), version(2)),
        ben.delete(8, "client", 2, version(2)),
    ];
    let outcomes = world.upload(&ben, &batch).await;
    assert_eq!(briefs(&outcomes), ["conflict update-update", "conflict delete-update", "conflict update-delete", "applied 4"]);
    assert_eq!(
        outcomes[0]["server"],
        json!({"version": "3", "data": {"name": "A2", "phone": "1"}, "stamp": [crate::world::NOW_MS + 1, 0],
            "fieldStamps": {"name": [crate::world::NOW_MS + 3, 0]}})
    );
    assert_eq!(outcomes[2]["server"], json!({"version": "4", "stamp": [crate::world::NOW_MS + 4, 0]}));
    assert_eq!(world.status(&ben).await["sequence"], json!("4"), "nothing changed");
    Ok(())
}

async fn what_is_so_already_is_no_conflict<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "A"}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/name": "B"}), version(1))]).await;
    let outcomes = world.upload(&ben, &[ben.update(3, "client", 1, json!({"/name": "B"}), version(1))]).await;
    assert_eq!(briefs(&outcomes), ["applied 1"]);
    assert_eq!(outcomes[0]["restsOn"], "2", "it is lost if that one is");
    assert_eq!(world.status(&ben).await["sequence"], json!("2"), "it takes no sequence number");
    assert_eq!(world.status(&ben).await["openConflicts"], json!(0));
    Ok(())
}

/// The sender may not know all that the present version holds. Told that its operation was applied at an
/// older version, it still takes the rest by download, and a change on that older version is judged.
async fn what_is_so_already_does_not_hide_what_else_changed<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"name": "A", "phone": "1"}))]).await;
    let seen = checkpoint(&world.download(&ben, None, 10).await);
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/name": "B", "/phone": "2"}), version(1))]).await;
    let outcomes = world.upload(&ben, &[ben.update(3, "client", 1, json!({"/name": "B"}), version(1))]).await;
    assert_eq!(brief(&outcomes[0]), "applied 1");
    let page = changes(&world.download(&ben, Some(&seen), 10).await);
    assert_eq!((&page[0]["version"], &page[0]["data"]["phone"]), (&json!("2"), &json!("2")), "the page is newer than the receipt");
    let next = ben.update(4, "client", 1, json!({"/phone": "3"}), after(3));
    assert_eq!(brief(&world.upload(&ben, &[next]).await[0]), "conflict update-update");
    Ok(())
}

async fn what_follows_a_conflict_waits_for_its_resolution<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/n": 1}), version(1))]).await;
    let lost = ben.update(3, "client", 1, json!({"/n": 2}), version(1));
    let next = ben.update(4, "client", 1, json!({"/m": 1}), after(3));
    let last = ben.update(5, "client", 1, json!({"/m": 2}), after(4));
    let outcomes = world.upload(&ben, &[lost, next.clone(), last.clone()]).await;
    assert_eq!(briefs(&outcomes), ["conflict update-update".to_owned(), format!("blocked {}", op(3)), format!("blocked {}", op(4))]);
    let mut resolution = ben.update(6, "client", 1, json!({"/n": 2}), version(2));
    resolution["supersedes"] = json!(op(3));
    // On the old path they know nothing of what the resolution stands on: that must be judged first.
    let outcomes = world.upload(&ben, &[resolution, next, last]).await;
    assert_eq!(briefs(&outcomes), ["applied 3".to_owned(), "conflict update-update".to_owned(), format!("blocked {}", op(4))]);
    let mut next = ben.update(7, "client", 1, json!({"/m": 1}), after(6));
    next["supersedes"] = json!(op(4));
    let mut last = ben.update(8, "client", 1, json!({"/m": 2}), after(7));
    last["supersedes"] = json!(op(5));
    assert_eq!(briefs(&world.upload(&ben, &[next, last]).await), ["applied 4", "applied 5"]);
    Ok(())
}

async fn a_resolution_closes_the_conflict_and_an_empty_one_too<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"n": 0})),
                anna.create(2, "client", "temp_2_b_client", json!({"n": 0})),
                anna.update(3, "client", 1, json!({"/n": 1}), version(1)),
                anna.delete(4, "client", 2, version(2)),
            ],
        )
        .await;
    let outcomes = world
        .upload(&ben, &[ben.update(5, "client", 1, json!({"/n": 2}), version(1)), ben.update(6, "client", 2, json!({"/n": 2}), version(2))])
        .await;
    assert_eq!(briefs(&outcomes), ["conflict update-update", "conflict update-delete"]);
    assert_eq!(world.status(&ben).await["openConflicts"], json!(2));
    // The server's side wins: nothing is to be changed, also where it is deleted.
    let mut first = ben.update(7, "client", 1, json!({}), version(3));
    first["supersedes"] = json!(op(5));
    let mut second = ben.update(8, "client", 2, json!({}), version(4));
    second["supersedes"] = json!(op(6));
    let batch = [first, second, ben.update(9, "client", 1, json!({"/m": 1}), after(7))];
    assert_eq!(briefs(&world.upload(&ben, &batch).await), ["applied 3", "applied 4", "applied 5"]);
    let status = world.status(&ben).await;
    assert_eq!((&status["openConflicts"], &status["sequence"]), (&json!(0), &json!("5")));
    assert_eq!(briefs(&world.upload(&ben, &batch).await)[0], "duplicate applied 3");
    Ok(())
}

async fn a_second_conflict_of_the_same_client_renews_the_first<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/n": 1}), version(1))]).await;
    let first = world.upload(&ben, &[ben.update(3, "client", 1, json!({"/n": 2}), version(1))]).await;
    world.upload(&anna, &[anna.update(4, "client", 1, json!({"/n": 3}), version(2))]).await;
    let mut resolution = ben.update(5, "client", 1, json!({"/n": 2}), version(2));
    resolution["supersedes"] = json!(op(3));
    let second = world.upload(&ben, &[resolution]).await;
    assert_eq!(briefs(&second), ["conflict update-update"]);
    assert_eq!(second[0]["conflictId"], first[0]["conflictId"]);
    assert_eq!(second[0]["server"]["version"], json!("3"));
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1));
    let mut last = ben.update(6, "client", 1, json!({"/n": 2}), version(3));
    last["supersedes"] = json!(op(5));
    let reopened = ben.update(7, "client", 1, json!({"/n": 9}), version(1));
    let outcomes = world.upload(&ben, &[last, reopened]).await;
    assert_eq!(briefs(&outcomes), ["applied 4", "conflict update-update"]);
    assert_ne!(outcomes[1]["conflictId"], first[0]["conflictId"], "a closed conflict is not opened again");
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1));
    Ok(())
}

async fn each_client_has_its_own_conflict<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben, cleo) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2), Device::new("north", "cleo", 3));
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    world.upload(&anna, &[anna.update(2, "client", 1, json!({"/n": 1}), version(1))]).await;
    let bens = world.upload(&ben, &[ben.update(3, "client", 1, json!({"/n": 2}), version(1))]).await;
    let cleos = world.upload(&cleo, &[cleo.update(4, "client", 1, json!({"/n": 3}), version(1))]).await;
    assert_ne!(bens[0]["conflictId"], cleos[0]["conflictId"]);
    let mut resolution = ben.update(5, "client", 1, json!({}), version(2));
    resolution["supersedes"] = json!(op(3));
    world.upload(&ben, &[resolution]).await;
    assert_eq!(world.status(&ben).await["openConflicts"], json!(1), "the other one stays open");
    Ok(())
}

async fn a_base_from_the_future_is_a_conflict<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0}))]).await;
    let outcomes = world
        .upload(
            &anna,
            &[anna.update(2, "client", 1, json!({"/n": 0}), version(9)), anna.update(3, "client", 1, json!({"/n": 1}), version(9))],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["conflict update-update", "conflict update-update"]);
    Ok(())
}

/// A full download names no tombstones: who made one knows the record as gone at the version of the download.
async fn a_deleted_record_is_known_as_gone_at_any_later_version<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({"n": 0})), anna.delete(2, "client", 1, version(1))]).await;
    world.upload(&anna, &[anna.create(3, "client", "temp_3_a_client", json!({}))]).await;
    let early = [anna.update(4, "client", 1, json!({}), version(1)), anna.update(5, "client", 1, json!({}), version(4))];
    assert_eq!(briefs(&world.upload(&anna, &early).await), ["applied 1", "conflict update-delete"], "version 4 is yet to come");
    let back = anna.restore(7, "client", 1, json!({"n": 1}), version(3));
    let outcomes = world.upload(&anna, &[anna.update(6, "client", 1, json!({}), version(3)), back]).await;
    assert_eq!(briefs(&outcomes), ["applied 2", "applied 4"]);
    Ok(())
}

/// Twelve conflicts of about a megabyte each: the answer stops showing them, what is left comes again.
async fn conflicts_over_large_records_are_told_a_few_at_a_time<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    let text = "x".repeat(1_000_000);
    for number in 1..=12 {
        world.upload(&anna, &[anna.create(number, "client", format!("temp_{number}_a_client"), json!({"t": text}))]).await;
    }
    let stale: Vec<_> = (1..=12).map(|id| ben.update(100 + id, "client", id, json!({"/n": 1}), version(0))).collect();
    let mut follows = ben.update(200, "client", 12, json!({"/n": 2}), after(112));
    follows["stamp"] = json!([1, 0]);
    let batch: Vec<_> = stale.into_iter().chain([follows]).collect();
    let first = briefs(&world.upload(&ben, &batch).await);
    assert_eq!(first.iter().filter(|brief| *brief == "conflict update-update").count(), 9, "{first:?}");
    assert!(first[9..].iter().all(|brief| brief == "deferred"), "{first:?}");
    assert_eq!(world.status(&ben).await["receipts"], json!(9), "what is deferred is not remembered");
    let rest = briefs(&world.upload(&ben, &batch[9..]).await);
    assert_eq!(rest, ["conflict update-update", "conflict update-update", "conflict update-update", &format!("blocked {}", op(112))]);
    Ok(())
}
