//! What the schema says of fields: whoever sends, a record that would not be so is refused with every fault, and nothing of it
//! is stored.

use fieldsync_server::http::Settings;
use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::port::Port;
use crate::world::{Device, Told, World, brief, briefs, on_both_stores, op, version};

on_both_stores!(a_record_is_as_it_is_declared_or_it_is_refused, a_decision_at_the_server_is_held_against_it_too);

#[tokio::test]
async fn over_http_the_faults_are_part_of_the_outcome() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let bowl = anna.create(1, "bowl", "0190a1b2-0000-7000-8000-000000000001", json!({"size": 9, "owner": {"name": "Ada"}}));
    let answer = port.ask(&anna, "upload", json!({"operations": [bowl]})).await?;
    let outcome = answer.json()["results"][0]["outcome"].clone();
    assert_eq!((answer.status, brief(&outcome)), (200, refused()));
    let error = json!({"code": "invalid_record", "path": "size", "faults": [{"path": "size", "rule": "max"}],
        "message": "the bowl would not be as the schema declares it: 'size' (max)"});
    assert_eq!(outcome["error"], error);
    assert_eq!(world.status(&anna).await["sequence"], json!("0"), "nothing of it is stored");
    Ok(())
}

async fn a_record_is_as_it_is_declared_or_it_is_refused<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let bowl = |number, data: Value| anna.create(number, "bowl", format!("0190a1b2-0000-7000-8000-00000000{number:04}"), data);
    let id = "0190a1b2-0000-7000-8000-000000000001";
    let outcomes = world
        .upload(
            &anna,
            &[
                bowl(1, json!({"size": 3, "owner": {"name": "Ada"}})),
                bowl(2, json!({"size": "3", "owner": {"name": ""}})),
                bowl(3, json!({"owner": {"name": "Ada"}})),
                anna.update(4, "bowl", id, json!({"/size": 9}), version(1)),
                anna.update(5, "bowl", id, json!({"/owner/name": null}), version(1)),
                anna.update(6, "bowl", id, json!({"/size": 9}), version(0)),
                anna.update(7, "bowl", id, json!({"/size": 8}), version(1)),
            ],
        )
        .await;
    let expected = ["applied 1", &refused(), &refused(), &refused(), &refused(), "conflict update-update", "applied 2"];
    assert_eq!(briefs(&outcomes), expected);
    let faults = json!([{"path": "owner.name", "rule": "minLength"}, {"path": "size", "rule": "type"}]);
    assert_eq!((&outcomes[1]["error"]["faults"], &outcomes[1]["error"]["path"]), (&faults, &json!("owner.name")));
    let rules: Vec<&Value> = outcomes[2..5].iter().map(|outcome| &outcome["error"]["faults"][0]["rule"]).collect();
    assert_eq!(rules, [&json!("required"), &json!("max"), &json!("required")]);
    assert_eq!(outcomes[0]["error"]["faults"], Value::Null);
    let again = world.upload(&anna, &[bowl(2, json!({"size": "3", "owner": {"name": ""}}))]).await;
    assert_eq!(again[0]["original"]["error"]["faults"], faults, "the same for ever");
    Ok(())
}

async fn a_decision_at_the_server_is_held_against_it_too<S: ServerStore>(world: World<S>) -> Told {
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    let id = "0190a1b2-0000-7000-8000-000000000001";
    let data = json!({"size": 1, "owner": {"name": "Ada"}});
    world.upload(&anna, &[anna.create(1, "bowl", id, data)]).await;
    world.upload(&ben, &[ben.update(11, "bowl", id, json!({"/size": 2}), version(1))]).await;
    let met = world.upload(&anna, &[anna.update(2, "bowl", id, json!({"/size": 3}), version(1))]).await;
    let mut decision = json!({"conflictId": met[0]["conflictId"], "operation": op(8), "expectedVersion": "2", "resolution": "merge",
        "data": {"size": 9, "owner": {"name": "Ada"}}});
    let said = world.resolve(&anna, &decision).await;
    assert_eq!((brief(&said["outcome"]), &said["outcome"]["error"]["faults"][0]["rule"]), (refused(), &json!("max")));
    decision["operation"] = json!(op(9));
    decision["data"]["size"] = json!(4);
    assert_eq!(brief(&world.resolve(&anna, &decision).await["outcome"]), "applied 3");
    Ok(())
}

fn refused() -> String {
    "rejected invalid_record".to_owned()
}
