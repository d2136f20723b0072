//! Sessions of a part: one entity, or some operations, with what they need; and several callers of one session.

use fieldsync::engine::{Cancel, Direction, SyncResult, Wanted};
use futures_util::future::join;
use futures_util::join;
use serde_json::{Value, json};

use crate::records::value;
use crate::world::{Tab, World, tell, turns};

fn entity(direction: Direction, name: &str) -> Wanted {
    Wanted { entity: Some(name.to_owned()), ..Wanted::all(direction) }
}

async fn run(tab: &Tab, wanted: Wanted) -> SyncResult {
    tab.engine.sync_with(wanted, None).await
}

#[test]
fn one_entity_goes_with_what_it_needs_and_tells_what_became_of_each() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        let pet = tab.create("pet", json!({"clientId": value(&client)})).await;
        tab.create("client", json!({"name": "nobody's"})).await;
        tab.create("appointment", json!({"petId": value(&pet)})).await;

        let result = run(&tab, entity(Direction::Up, "pet")).await;
        assert!(result.success, "{result:?}");
        assert_eq!(world.changes().await, [("client".to_owned(), "create".to_owned()), ("pet".to_owned(), "create".to_owned())]);
        assert_eq!(tab.queue().await.len(), 2, "the others stay");
        assert_eq!(result.entity_type.as_deref(), Some("pet"));
        let ids: Vec<(Value, Value)> = result.results.iter().map(|done| (done["offlineId"].clone(), done["serverId"].clone())).collect();
        assert_eq!(ids, [(value(&client), json!(1)), (value(&pet), json!(1))]);
        assert!(result.results.iter().all(|done| done["status"] == "success"));
        let mapped: Vec<&Value> = result.id_mappings.iter().map(|mapping| &mapping["tempId"]).collect();
        assert_eq!(mapped, [&value(&client), &value(&pet)]);
        assert_eq!(result.id_mappings[0]["entityType"], "client");
        assert!(result.id_mappings[0]["createdAt"].as_u64() <= result.id_mappings[0]["syncedAt"].as_u64());

        let unknown = run(&tab, entity(Direction::Both, "dragon")).await;
        assert_eq!(unknown.errors[0].code, "unknown_entity");
    });
}

#[test]
fn named_operations_go_with_what_they_need_and_nothing_else() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        tab.create("client", json!({"name": "Jones"})).await;
        let saved = tab.engine.create("pet", &json!({"clientId": value(&client)}).to_string()).await.expect("created");
        let operation = tab.queue().await.pop().expect("queued")["operationId"].clone();
        assert_eq!(operation, saved["operationId"]);
        let operations = vec![serde_json::from_value(operation).expect("an operation's ID")];
        let result = run(&tab, Wanted { operations, ..Wanted::all(Direction::Up) }).await;
        assert_eq!((result.success, result.synced, result.results.len()), (true, 2, 2), "{result:?}");
        assert_eq!(tab.all("client").await.iter().filter(|client| client["id"].is_i64()).count(), 1);
        assert_eq!((tab.queue().await.len(), world.requests("download")), (1, 0));
    });
}

#[test]
fn callers_who_want_different_parts_share_a_session_of_the_whole() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        for name in ["client", "product", "tag"] {
            tab.create(name, json!({"name": name})).await;
        }
        let (first, second, third) = join!(
            run(&tab, entity(Direction::Up, "client")),
            run(&tab, entity(Direction::Up, "product")),
            run(&tab, entity(Direction::Up, "tag"))
        );
        assert_eq!((first.synced, second.synced, third.synced), (1, 2, 2));
        assert_eq!((second.entity_type, third.direction), (None, Direction::Up));
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn who_gives_up_ends_only_its_own_wait_while_others_share_the_session() {
    for aborting in 0..3 {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab().await;
            let ahead = tab.hold_upload();
            tab.create("client", json!({"name": "first"})).await;
            let cancels: Vec<Cancel> = (0..3).map(|_| Cancel::default()).collect();
            let share = |number: usize| tab.engine.sync_with(Wanted::all(Direction::Both), Some(cancels[number].clone()));
            // One session runs, three callers share the next; its driver is the first of them.
            let story = async {
                ahead.reached().await;
                tab.create("product", json!({"name": "second"})).await;
                let giving_up = async {
                    turns(2).await;
                    let gate = tab.hold_upload();
                    // The first session's answer was taken before: this gate holds the second's.
                    ahead.open();
                    gate.reached().await;
                    cancels[aborting].cancel();
                    turns(5).await;
                    gate.open();
                };
                let (a, b, c, ()) = join!(share(0), share(1), share(2), giving_up);
                [a, b, c]
            };
            let (first, shared) = join(run(&tab, entity(Direction::Up, "client")), story).await;
            assert!(first.success);
            for (number, result) in shared.iter().enumerate() {
                if number == aborting && number == 0 {
                    assert_eq!(result.errors[0].code, "aborted");
                } else if number != aborting {
                    assert_eq!((result.success, result.synced), (true, 1), "{number} of {aborting}: {result:?}");
                }
            }
            assert!(tab.queue().await.is_empty());
            assert_eq!(tab.engine.status()["state"], "success");
            assert!(tab.sync().await.success, "the role is free");
        });
    }
}

#[test]
fn a_session_that_nobody_wants_any_more_stops() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "Smith"})).await;
        let (gate, cancel) = (tab.hold_upload(), Cancel::default());
        let (result, ()) = join(tab.engine.sync_with(Wanted::all(Direction::Both), Some(cancel.clone())), async {
            gate.reached().await;
            cancel.cancel();
        })
        .await;
        assert_eq!(result.errors[0].code, "aborted");
        assert_eq!(tab.queue().await.len(), 1, "the answer was not waited for");
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 1);
    });
}

#[test]
fn the_records_of_one_entity_come_alone_and_the_rest_later() {
    tell(async {
        let world = World::new();
        let office = world.device("ben").tab().await;
        let (client, product) = (office.create("client", json!({"round": 1})).await, office.create("product", json!({"round": 1})).await);
        office.sync().await;
        let tab = world.device("anna").tab().await;
        let result = run(&tab, entity(Direction::Down, "product")).await;
        assert_eq!((result.success, result.downloaded), (true, 2), "the first time everything comes: {result:?}");

        for (name, id) in [("client", &client), ("product", &product)] {
            office.update(name, id, json!({"round": 2})).await;
        }
        office.sync().await;
        for downloaded in [1, 0] {
            let result = run(&tab, entity(Direction::Both, "product")).await;
            assert_eq!((result.success, result.downloaded), (true, downloaded), "{result:?}");
            assert_eq!((&tab.all("client").await[0]["round"], &tab.all("product").await[0]["round"]), (&json!(1), &json!(2)));
        }
        assert!(tab.sync().await.success);
        assert_eq!((&tab.all("client").await[0]["round"], &tab.all("product").await[0]["round"]), (&json!(2), &json!(2)));
        office.update("product", &product, json!({"round": 3})).await;
        office.sync().await;
        assert_eq!(run(&tab, entity(Direction::Down, "product")).await.downloaded, 1, "from where the whole stands now");
    });
}
