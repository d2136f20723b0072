//! A local write whose commit nobody heard of is run again, and must not write a second time.

use fieldsync::decide::Intent;
use serde_json::json;

use crate::desk::{Desk, REX, object};

#[test]
fn a_write_run_again_after_its_commit_does_not_write_again() {
    let mut desk = Desk::with_rex();
    let new = desk.temp_id();
    let intents = [
        Intent::Create { id: new.clone(), data: object(json!({"name": "Max"})) },
        Intent::Update { id: new.clone(), set: object(json!({"age": 2})), unset: Vec::new() },
        Intent::Update { id: REX, set: object(json!({"age": 2})), unset: Vec::new() },
        Intent::Delete { id: new },
        Intent::Delete { id: REX },
    ];
    for intent in intents {
        let operation = desk.op_id();
        let first = desk.local(&operation, intent.clone()).expect("written");
        assert_eq!(first.operations, [Some(operation.clone())]);
        let after = desk.everything();
        let again = desk.local(&operation, intent.clone()).expect("it stands");
        assert_eq!((&again.operations, &again.records), (&first.operations, &first.records), "{intent:?}");
        assert_eq!(desk.everything(), after, "{intent:?}");
    }
}

#[test]
fn an_update_run_again_after_others_wrote_does_not_undo_them() {
    let mut desk = Desk::with_rex();
    let operation = desk.op_id();
    let intent = Intent::Update { id: REX, set: object(json!({"name": "Max"})), unset: Vec::new() };
    desk.local(&operation, intent.clone()).expect("written");
    desk.update(&REX, json!({"name": "Moritz"}));
    let after = desk.everything();
    let again = desk.local(&operation, intent).expect("it stands");
    assert_eq!(again.records[0].as_ref().expect("there").data["name"], "Moritz");
    assert_eq!(desk.everything(), after);
}
