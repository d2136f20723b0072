//! Fields whose form on the wire functions of the app make: asked together, held to their examples, and whatever they do.

use std::cell::Cell;
use std::rc::Rc;

use fieldsync::engine::Settings;
use serde_json::{Value, json};

use crate::parts::AppFunctions;
use crate::transforms::{Stage, only, ours, theirs};
use crate::world::{World, tell};

/// With a field that goes through functions: here a text, there an object around it.
fn with_functions() -> Value {
    json!({"schema": ours(1, &json!("time"), &json!({"remark": {"convert": {"function": ["good", ["a", "b"]]}}})), "transforms": ["pet.remark"],
        "ruleTimeoutMs": 1_000})
}

/// They work as long as this is so; counts how often they are asked.
fn around(functions: &AppFunctions, works: Rc<Cell<bool>>, asked: Rc<Cell<usize>>) {
    functions.function("transform", "pet", move |about| {
        asked.set(asked.get() + 1);
        let one = |question: &Value| match (question[0].as_str(), about["to"].as_str(), &question[1]) {
            (Some("remark"), Some("wire"), value) if works.get() => json!([{ "text": value }]),
            (Some("remark"), Some("local"), value) if works.get() && value["text"] != json!(null) => json!([value["text"]]),
            _ => json!(null),
        };
        Some(about["values"].as_array().expect("values").iter().map(one).collect())
    });
}

#[test]
fn functions_turn_what_no_declaration_can() {
    tell(async {
        let stage = Stage::set().await;
        let (works, asked) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
        let ben = stage.world.device("ben").tab_of(with_functions(), |functions| around(functions, works.clone(), asked.clone())).await;
        assert_eq!(asked.replace(0), 4, "the examples, there and back again");
        for at in 0..20 {
            ben.create("pet", json!({"name": at.to_string(), "remark": if at % 2 == 0 { json!("good") } else { json!(["bad", at]) }}))
                .await;
        }
        assert_eq!(asked.replace(0), 20, "each write asks whether it has a form");
        assert!(ben.up().await.success);
        assert_eq!(asked.replace(0), 1, "a batch is one question");
        assert!(stage.dora.sync().await.success);
        let there = stage.dora.all("animals").await;
        assert_eq!((&there[0]["remark"], &there[1]["remark"]), (&json!({"text": "good"}), &json!({"text": ["bad", 1]})));
        stage.dora.create("animals", json!({"name": "Tom", "remark": {"words": 1}, "source": "dora"})).await;
        assert!(stage.dora.sync().await.success);
        let result = ben.sync().await;
        assert_eq!((result.quarantined, asked.replace(0)), (1, 1), "a page is one question, and one bad value is one record's");
        assert_eq!(ben.all("pet").await.len(), 20);
        assert_eq!(ben.warnings(), [("transform_failed".to_owned(), "pet".to_owned())]);

        works.set(false);
        let error = ben.engine.create("pet", r#"{"remark": "x"}"#).await.expect_err("refused");
        assert_eq!((error.code, &error.details), ("transform_failed", &json!({"entity": "pet", "path": "remark"})));
        ben.create("pet", json!({"name": "plain"})).await;
        assert!(ben.up().await.success, "what it has no part in goes");
        let error = ben.engine.create("pet", r#"{"remark": {"a": 1}}"#).await.expect_err("refused");
        assert_eq!(error.code, "invalid_record", "changes within an object could not be told");
    });
}

#[test]
fn an_operation_whose_function_breaks_later_is_parked_and_goes_when_it_works_again() {
    tell(async {
        let stage = Stage::set().await;
        let (works, asked) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
        let ben = stage.world.device("ben").tab_of(with_functions(), |functions| around(functions, works.clone(), asked)).await;
        let group = json!([{"kind": "create", "entity": "pet", "data": {"name": "Rex", "remark": "good"}},
            {"kind": "create", "entity": "client", "data": {"name": "Ada"}}]);
        ben.engine.transaction(&group.to_string()).await.expect("written");
        ben.create("client", json!({"name": "Bob"})).await;
        works.set(false);
        let result = ben.up().await;
        assert_eq!((result.synced, result.failed), (1, 2), "{result:?}");
        let queue = ben.queue().await;
        let told: Vec<(&Value, &Value)> = queue.iter().map(|item| (&item["state"], &item["reason"]["code"])).collect();
        assert_eq!(told, [(&json!("parked"), &json!("transform_failed")); 2]);
        assert_eq!(queue[0]["reason"]["path"], "remark");
        works.set(true);
        for item in &queue {
            // Both are of one group: the first brings the other along.
            let _ = ben.engine.retry(item["operationId"].as_str().unwrap_or_else(|| panic!("an ID: {item}")), None).await;
        }
        assert!(ben.up().await.success && stage.dora.sync().await.success);
        assert_eq!(only(&stage.dora, "animals").await["remark"], json!({"text": "good"}));
        assert!(ben.queue().await.is_empty());
    });
}

#[test]
fn functions_are_held_to_their_examples_when_the_app_opens() {
    for (given, code) in [(json!([]), "bad_setting"), (json!(["pet.remark", "pet.name"]), "bad_setting")] {
        let mut all = with_functions();
        all["transforms"] = given;
        for (name, value) in [("tenant", "clinic"), ("user", "anna"), ("baseUrl", "/sync")] {
            all[name] = json!(value);
        }
        let error = Settings::parse(&all.to_string()).expect_err("refused");
        assert_eq!(error.code, code);
        assert!(error.details["path"].as_str().expect("a path").starts_with("transforms.pet."));
    }
    tell(async {
        let world = World::declaring(&theirs());
        let device = world.device("anna");
        for says in [json!([["good"], [["a", "b"]]]), json!([null, null]), json!([]), json!(true)] {
            let bring = |functions: &AppFunctions| functions.function("transform", "pet", move |_| Some(says.clone()));
            let error = device.try_tab_of(with_functions(), bring).await.err().expect("refused");
            assert_eq!((error.code, &error.details["path"]), ("bad_setting", &json!("transforms.pet.remark")));
        }
    });
}
