//! What was deleted long ago is forgotten, and nobody takes what is forgotten for what is not deleted.

use fieldsync::model::{Epoch, Version};
use fieldsync_server::store::sqlite::SqliteStore;
use fieldsync_server::store::{ServerStore, prune};
use serde_json::{Value, json};

use crate::wire::{changes, checkpoint};
use crate::world::{Device, Folder, Told, World, after, briefs, epoch, on_both_stores, version};

on_both_stores!(
    a_device_that_was_away_for_too_long_starts_over,
    a_first_download_is_not_cut_short_by_what_was_forgotten_before,
    an_answer_on_its_way_breaks_off_before_it_skips_a_deletion,
    a_late_change_of_a_forgotten_record_finds_none,
    a_forgotten_id_is_not_given_again,
    what_a_conflict_is_about_stays,
    only_what_is_old_enough_goes,
);

const DAY_MS: u64 = 24 * 3_600_000;

fn photo(number: u64) -> String {
    format!("0190a1b2-0000-7000-a000-{number:012}")
}

/// Photos 1 to 6, of which 1 to 3 are deleted: versions 7 to 9.
async fn album<S: ServerStore>(world: &World<S>) -> Device {
    let anna = Device::new("north", "anna", 1);
    let mut operations: Vec<Value> = (1..=6).map(|number| anna.create(number, "photo", photo(number), json!({}))).collect();
    operations.extend((1..=3).map(|number| anna.delete(10 + number, "photo", photo(number), after(number))));
    assert!(world.upload(&anna, &operations).await.iter().all(|outcome| outcome["status"] == "applied"));
    anna
}

async fn a_device_that_was_away_for_too_long_starts_over<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    let old = checkpoint(&world.download(&anna, None, 100).await);
    world.upload(&anna, &[anna.delete(14, "photo", photo(4), after(4))]).await;
    let exact = checkpoint(&world.download(&anna, None, 100).await);
    world.upload(&anna, &[anna.create(7, "photo", photo(7), json!({}))]).await;
    assert_eq!(world.service.store().forget("north", Version(10)).await?, 4);

    assert_eq!(world.initialize(&anna, Some(&old)).await["checkpoint"], json!("resync"));
    let refused = world.try_download(&anna, Some(&old), 100).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("checkpoint_expired"));
    // Who has all that was forgotten goes on.
    assert_eq!(world.initialize(&anna, Some(&exact)).await["checkpoint"], json!("ok"));
    assert_eq!(changes(&world.download(&anna, Some(&exact), 100).await).len(), 1);
    let anew = world.download(&anna, None, 100).await;
    assert_eq!(changes(&anew).iter().map(|change| &change["id"]).collect::<Vec<_>>(), [photo(5), photo(6), photo(7)].each_ref());
    assert_eq!(anew.last().map(|page| &page["through"]), Some(&json!("11")));
    Ok(())
}

async fn a_first_download_is_not_cut_short_by_what_was_forgotten_before<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    world.service.store().forget("north", Version(9)).await?;
    // Its first pages end below what was forgotten.
    let pages = world.download(&anna, None, 1).await;
    assert_eq!((changes(&pages).len(), &pages[0]["through"]), (3, &json!(null)));
    let rest = world.download(&anna, pages[0]["checkpoint"].as_str(), 1).await;
    assert_eq!((changes(&rest).len(), rest.last().map(|page| &page["through"])), (2, Some(&json!("9"))));
    Ok(())
}

async fn an_answer_on_its_way_breaks_off_before_it_skips_a_deletion<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    let body = json!({"head": anna.head("r"), "pageRecords": 1}).to_string();
    let mut answer = world.service.download(&anna.identity(), body.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    answer.next().await?;
    // The page brings photo 4, which is deleted and forgotten while the next one is awaited.
    let page = String::from_utf8(answer.next().await?.ok_or("a page")?)?;
    assert!(page.contains(&photo(4)));
    world.upload(&anna, &[anna.delete(14, "photo", photo(4), version(4))]).await;
    world.service.store().forget("north", Version(10)).await?;
    assert!(answer.next().await.is_err(), "the client sees an answer without an end");
    let page: Value = serde_json::from_str(page.lines().nth(1).ok_or("a page has two lines")?)?;
    let refused = world.try_download(&anna, page["checkpoint"].as_str(), 1).await.err().ok_or("it is refused")?;
    assert_eq!(refused["error"]["code"], json!("checkpoint_expired"));
    Ok(())
}

async fn a_late_change_of_a_forgotten_record_finds_none<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let made = [anna.create(1, "pet", "temp_1_a_pet", json!({})), anna.delete(2, "pet", "temp_1_a_pet", after(1))];
    world.upload(&anna, &made).await;
    assert_eq!(world.service.store().forget("north", Version(2)).await?, 1);
    let late = [
        anna.update(3, "pet", 1, json!({"/name": "Rex"}), version(1)),
        anna.update(4, "pet", "temp_1_a_pet", json!({"/name": "Rex"}), after(1)),
        anna.delete(5, "pet", 1, version(1)),
        anna.restore(6, "pet", 1, json!({}), version(2)),
        anna.create(7, "pet", "temp_7_a_pet", json!({"mate": "temp_1_a_pet"})),
    ];
    let unknown = "rejected unknown_record";
    assert_eq!(briefs(&world.upload(&anna, &late).await), [unknown, unknown, unknown, unknown, "rejected reference_missing"]);
    assert_eq!(briefs(&world.upload(&anna, &made).await), ["duplicate applied 1", "duplicate applied 2"]);
    Ok(())
}

async fn a_forgotten_id_is_not_given_again<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    world.upload(&anna, &[anna.create(30, "pet", "temp_30_a_pet", json!({})), anna.delete(31, "pet", "temp_30_a_pet", after(30))]).await;
    world.service.store().forget("north", Version(99)).await?;
    let anew = [
        anna.create(40, "photo", photo(1), json!({})),
        anna.create(41, "pet", "temp_30_a_pet", json!({})),
        anna.create(42, "pet", "temp_42_a_pet", json!({})),
    ];
    let outcomes = world.upload(&anna, &anew).await;
    assert_eq!(briefs(&outcomes), ["rejected already_exists", "rejected already_exists", "applied 12"]);
    assert_eq!(outcomes[2]["realId"], json!(2));
    let mut member = anna.create(43, "photo", photo(2), json!({}));
    member["group"] = json!({"id": member["id"], "of": 1});
    assert_eq!(briefs(&world.upload(&anna, &[member]).await), ["rejected already_exists"]);
    Ok(())
}

async fn what_a_conflict_is_about_stays<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    let open = world.upload(&anna, &[anna.update(20, "photo", photo(2), json!({"/n": 1}), version(2))]).await;
    assert_eq!(briefs(&open), ["conflict update-delete"]);
    assert_eq!(world.service.store().forget("north", Version(9)).await?, 2);
    let mut back = anna.restore(21, "photo", photo(2), json!({"n": 1}), version(8));
    back["supersedes"] = anna.update(20, "photo", photo(2), json!({}), version(2))["id"].clone();
    assert_eq!(briefs(&world.upload(&anna, &[back]).await), ["applied 10"]);
    assert_eq!(world.status(&anna).await["openConflicts"], json!(0));
    Ok(())
}

async fn only_what_is_old_enough_goes<S: ServerStore>(world: World<S>) -> Told {
    let anna = album(&world).await;
    let start = world.service.now_ms();
    world.clock.advance(10 * DAY_MS);
    world.upload(&anna, &[anna.delete(14, "photo", photo(4), after(4))]).await;
    let sam = Device::new("south", "sam", 2);
    world.upload(&sam, &[sam.create(20, "photo", photo(1), json!({})), sam.delete(21, "photo", photo(1), after(20))]).await;
    assert_eq!(prune(world.service.store(), start).await?, 0);
    assert_eq!(prune(world.service.store(), start + 10 * DAY_MS).await?, 3);
    assert_eq!(changes(&world.download(&anna, None, 100).await).len(), 3, "two photos and one tombstone");
    assert_eq!(prune(world.service.store(), start + 11 * DAY_MS).await?, 2, "of both tenants");
    assert_eq!(changes(&world.download(&sam, None, 100).await).len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_database_of_the_first_layout_grows() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("a.sqlite");
    let store = SqliteStore::open(&file, epoch()?).await?;
    let world = World::over(store, None)?;
    let anna = Device::new("north", "anna", 1);
    let made = [anna.create(1, "pet", "temp_1_a_pet", json!({})), anna.delete(2, "pet", "temp_1_a_pet", after(1))];
    world.upload(&anna, &made).await;
    world.service.store().close().await;
    // As it was written before there were backups and pruning.
    let raw = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await?;
    let earlier =
        "DROP TABLE marks; DROP TABLE pruned; DELETE FROM meta WHERE name = 'issued'; UPDATE meta SET value = '1' WHERE name = 'layout';
        CREATE TABLE old (tenant TEXT NOT NULL, temp TEXT NOT NULL, entity TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant, temp),
            FOREIGN KEY (tenant, entity, id) REFERENCES records (tenant, entity, id)) STRICT, WITHOUT ROWID;
        INSERT INTO old SELECT * FROM temp_ids; DROP TABLE temp_ids; ALTER TABLE old RENAME TO temp_ids;";
    sqlx::raw_sql(earlier).execute(&raw).await?;
    raw.close().await;
    for _ in 0..2 {
        let store = SqliteStore::open(&file, Epoch::parse("0190a1b2-0000-7000-8000-0000000000e1")?).await?;
        assert_eq!(store.epoch(), &epoch()?);
        store.close().await;
    }
    let world = World::over(SqliteStore::open(&file, epoch()?).await?, None)?;
    assert_eq!(world.service.store().forget("north", Version(2)).await?, 1, "no temp ID holds the tombstone back");
    assert_eq!(briefs(&world.upload(&anna, &made).await), ["duplicate applied 1", "duplicate applied 2"]);
    Ok(())
}
