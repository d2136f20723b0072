//! What a new record is called: first by its temp ID, then by the server's, and for ever by both.

use futures_util::future::join;
use serde_json::json;

use crate::records::value;
use crate::world::{Fault, World, tell};

#[test]
fn an_order_of_twelve_new_products_is_sent_whole_in_one_batch_or_in_many() {
    for batch in [100, 4] {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab_with(json!({"batchSize": batch})).await;
            let mut lines = Vec::new();
            for number in 0..12 {
                lines.push(json!({"productId": value(&tab.create("product", json!({"number": number})).await)}));
            }
            let order = tab.create("order", json!({"lines": lines})).await;
            let result = tab.sync().await;
            assert!(result.success, "{batch}: {result:?}");
            assert_eq!(result.synced, 13);

            let office = world.device("ben").tab().await;
            office.sync().await;
            for (tab, order) in [(&tab, order), (&office, office.all("order").await[0]["id"].to_string())] {
                let order = tab.get("order", &order).await.expect("there");
                for number in 0..12 {
                    let product = &order["lines"][number]["productId"];
                    assert!(product.is_i64(), "{product}");
                    assert_eq!(tab.get("product", &product.to_string()).await.expect("there")["number"], json!(number));
                }
            }
        });
    }
}

#[test]
fn a_query_by_twelve_temp_ids_finds_the_records_before_and_after_they_are_sent() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let mut ids = Vec::new();
        for number in 0..12 {
            ids.push(value(&tab.create("product", json!({"number": number})).await));
        }
        let query = json!({"where": {"id": {"in": ids}}}).to_string();
        assert_eq!(tab.engine.query("product", &query).await.expect("found").len(), 12);
        assert!(tab.sync().await.success);
        let found = tab.engine.query("product", &query).await.expect("found");
        assert_eq!(found.len(), 12);
        assert!(found.iter().all(|product| product["id"].is_i64()));
    });
}

#[test]
fn the_queue_calls_every_record_by_its_present_id() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab_with(json!({"batchSize": 1})).await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        tab.create("pet", json!({"clientId": value(&client)})).await;
        tab.update("client", &client, json!({"name": "Smyth"})).await;
        let gate = tab.hold_upload();
        join(tab.up(), async {
            gate.reached().await;
            tab.fault("upload", Fault::LoseRequest);
            gate.open();
        })
        .await;
        let real = tab.real_id("client", &client).await;
        assert!(real.is_i64());
        let queue = tab.queue().await;
        assert_eq!(queue.len(), 2, "{queue:?}");
        for item in queue {
            if item["entity"] == "client" {
                assert_eq!((&item["recordId"], &item["operation"]["recordId"]), (&real, &real));
            } else {
                assert_eq!((&item["payload"]["clientId"], &item["operation"]["data"]["clientId"]), (&real, &real));
            }
        }
        // What is shown is not what is sent: the stored operations are as they were written.
        assert!(tab.sync().await.success);
        assert_eq!(world.changes().await.len(), 3);
    });
}

#[test]
fn a_conflict_calls_every_record_by_its_present_id() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        here.create("pet", json!({"dose": 1})).await;
        here.sync().await;
        there.sync().await;
        let pet = there.all("pet").await[0]["id"].to_string();
        there.update("pet", &pet, json!({"dose": 3})).await;
        there.sync().await;

        let client = here.create("client", json!({"name": "Smith"})).await;
        here.update("pet", &pet, json!({"dose": 2, "clientId": value(&client)})).await;
        assert_eq!(here.down().await.conflicts, 1);
        assert_eq!(here.engine.conflicts().await.expect("read")[0]["localData"]["clientId"], value(&client));
        assert!(here.up().await.success);

        let real = here.real_id("client", &client).await;
        assert!(real.is_i64());
        let conflict = here.engine.conflicts().await.expect("read").remove(0);
        assert_eq!(conflict["localData"]["clientId"], real);
        assert_eq!(conflict["operation"]["data"]["set"]["/clientId"], real, "{conflict}");
        assert_eq!(conflict["recordId"].to_string(), pet);
    });
}

#[test]
fn the_app_cannot_name_a_record_whose_create_is_on_its_way() {
    tell(async {
        let world = World::new();
        let (tab, other) = (world.device("anna").tab().await, world.device("ben").tab().await);
        for number in 0..3 {
            other.create("client", json!({"number": number})).await;
        }
        other.sync().await;
        let client = tab.create("client", json!({"name": "Smith"})).await;
        let pet = tab.create("pet", json!({"clientId": value(&client)})).await;
        let temp = value(&client).as_str().expect("text").to_owned();
        let refused = tab.engine.map_temp(&temp, "77").await.expect_err("the server will name it");
        assert_eq!(refused.code, "unfinished");

        assert!(tab.sync().await.success);
        let real = tab.real_id("client", &client).await;
        assert_eq!(tab.get("pet", &pet).await.expect("there")["clientId"], real);
        assert_eq!(tab.all("client").await.len(), 4, "it is one record, and nobody else's");
        tab.engine.map_temp(&temp, &real.to_string()).await.expect("that is what it became");
        assert_eq!(tab.engine.map_temp(&temp, "77").await.expect_err("it is another").code, "mapping_conflict");
    });
}

#[test]
fn a_record_that_the_app_named_is_found_by_every_id_it_had() {
    tell(async {
        let world = World::new();
        let (tab, other) = (world.device("anna").tab().await, world.device("ben").tab().await);
        other.create("client", json!({"name": "Smith"})).await;
        other.sync().await;
        tab.sync().await;
        let real = tab.all("client").await[0]["id"].clone();
        // The app learned elsewhere what a temp ID became that was never a record here.
        let temp = tab.engine.temp_id("client").expect("an ID");
        let pet = tab.create("pet", json!({"clientId": temp.to_value()})).await;
        tab.engine.map_temp(&temp.to_string(), &real.to_string()).await.expect("mapped");
        assert_eq!(tab.get("pet", &pet).await.expect("there")["clientId"], real);
        for id in [temp.to_value(), real.clone()] {
            assert_eq!(tab.get("client", &id.to_string()).await.expect("found")["name"], "Smith");
        }
        tab.update("client", &temp.to_value().to_string(), json!({"name": "Smyth"})).await;
        assert_eq!(tab.get("client", &real.to_string()).await.expect("found")["name"], "Smyth");
    });
}
