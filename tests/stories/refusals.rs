//! Bad input and bad answers: each has its code, and the queue stays as it was.

use serde_json::{Value, json};

use crate::world::{Fault, Tab, World, tell};

async fn refused(tab: &Tab, entity: &str, data: &str, code: &str) {
    let before = tab.queue().await;
    let error = tab.engine.create(entity, data).await.expect_err(code);
    assert_eq!(error.code, code, "{error:?}");
    assert_eq!(tab.queue().await, before, "nothing was queued");
}

#[test]
fn bad_records_are_refused_with_their_code_and_nothing_is_queued() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        refused(&tab, "unicorn", "{}", "unknown_entity").await;
        refused(&tab, "pet", r#"{"clientId": {"id": 1}}"#, "invalid_reference").await;
        refused(&tab, "pet", r#"{"clientId": true}"#, "invalid_reference").await;
        refused(&tab, "pet", r#"{"clientId": "temp_1_aaaaaaaaaaaaaaaa_pet"}"#, "invalid_reference").await;
        refused(&tab, "order", r#"{"lines": [{"productId": "temp_1_aaaaaaaaaaaaaaaa_order"}]}"#, "invalid_reference").await;
        refused(&tab, "pet", r#"{"weight": 9007199254740992}"#, "invalid_value").await;
        refused(&tab, "pet", r#"{"weight": NaN}"#, "invalid_value").await;
        refused(&tab, "pet", "[]", "invalid_value").await;
        refused(&tab, "pet", r#"{"id": 7}"#, "invalid_value").await;
        refused(&tab, "pet", r#"{"id": "temp_1_aaaaaaaaaaaaaaaa_client"}"#, "invalid_value").await;
        refused(&tab, "pet", &json!({"photo": "x".repeat(10 << 20)}).to_string(), "too_large").await;
        refused(&tab, "pet", &format!("{{\"a\":{}{}}}", "[".repeat(70), "]".repeat(70)), "too_deep").await;
        assert!(tab.queue().await.is_empty());
    });
}

#[test]
fn a_record_may_have_as_many_levels_in_a_transaction_or_by_an_update_as_alone() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let member = |levels: usize| {
            format!(r#"[{{"kind":"create","entity":"pet","data":{{}}}},{{"kind":"create","entity":"pet","data":{}}}]"#, nested(levels))
        };
        let pet = tab.create("pet", json!({})).await;
        for (levels, code) in [(64, None), (65, Some("too_deep"))] {
            let updated = tab.engine.update("pet", &pet, &format!(r#"{{"set":{}}}"#, nested(levels))).await;
            let written = tab.engine.transaction(&member(levels)).await;
            let place = written.as_ref().err().and_then(|error| error.details["write"].as_u64());
            assert_eq!(tab.engine.create("pet", &nested(levels)).await.err().map(|error| error.code), code);
            assert_eq!(updated.err().map(|error| error.code), code);
            assert_eq!((written.err().map(|error| error.code), place), (code, code.map(|_| 1)));
        }
    });
}

#[test]
fn bad_edits_are_refused_too() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let code = |done: Result<Value, fieldsync::engine::EngineError>| done.expect_err("refused").code;
        assert_eq!(code(tab.engine.update("client", "7", r#"{"set":{"a":1}}"#).await), "unknown_record");
        assert_eq!(code(tab.engine.delete("client", "\"nobody\"").await), "unknown_record");
        let client = tab.create("client", json!({"name": "Smith"})).await;
        let client_value: Value = serde_json::from_str(&client).expect("JSON");
        let pet = tab.create("pet", json!({"clientId": client_value})).await;
        let error = tab.engine.delete("client", &client).await.expect_err("refused");
        assert_eq!(error.code, "has_dependents");
        assert_eq!(error.details["dependents"][0]["id"].to_string(), pet);
        for malformed in [r#"{"set":7}"#, r#"{"set":[]}"#, r#"{"unset":"name"}"#, r#"{"unset":[7]}"#, r#"{"set":{"a":1},"unset":{}}"#] {
            assert_eq!(code(tab.engine.update("pet", &pet, malformed).await), "invalid_value", "{malformed}");
        }
        let stranger = r#"{"set":{"clientId":"temp_1_aaaaaaaaaaaaaaaa_pet"}}"#;
        assert_eq!(code(tab.engine.update("pet", &pet, stranger).await), "invalid_reference");
        assert_eq!(tab.queue().await.len(), 2, "nothing of it was queued");
        tab.delete("pet", &pet).await;
        tab.delete("client", &client).await;
        refused(&tab, "pet", &json!({"clientId": client_value}).to_string(), "reference_deleted").await;
        assert_eq!(code(tab.engine.update("pet", &pet, r#"{"set":{"a":1}}"#).await), "unknown_record");
        let unchanged = tab.create("client", json!({"name": "x"})).await;
        let before = tab.queue().await.len();
        assert_eq!(tab.update("client", &unchanged, json!({"name": "x"})).await["operationId"], Value::Null);
        assert_eq!(tab.queue().await.len(), before, "an update that changes nothing is no operation");
        // All of it goes up and leaves nothing behind.
        assert!(tab.sync().await.success);
        assert_eq!(tab.all("client").await.len(), 1);
    });
}

#[test]
fn bad_answers_have_their_code_and_leave_the_queue_as_it_was() {
    let cases = [
        (Fault::LoseRequest, "network", true),
        (Fault::LoseAnswer, "network", true),
        (Fault::CutAnswer, "network", true),
        (Fault::Html, "network", true),
        (Fault::Status(401, None), "auth_required", false),
        (Fault::Status(403, None), "forbidden", false),
        (Fault::Status(404, None), "upgrade_required", false),
        (Fault::Status(426, None), "upgrade_required", false),
        (Fault::Status(429, Some(7_000)), "rate_limited", true),
        (Fault::Status(500, None), "server", true),
        (Fault::Status(503, Some(1_000)), "server", true),
    ];
    for (fault, code, retryable) in cases {
        tell(async {
            let world = World::new();
            let tab = world.device("anna").tab().await;
            tab.create("client", json!({"name": "Smith"})).await;
            let before: Vec<Value> = tab.queue().await.iter().map(|item| item["payload"].clone()).collect();
            tab.fault("upload", fault);
            if code == "auth_required" {
                // The token is refreshed once.
                tab.fault("upload", fault);
            }
            let result = tab.sync().await;
            assert!(!result.success);
            assert_eq!((result.errors[0].code.as_str(), result.errors[0].retryable), (code, retryable), "{fault:?}");
            if let Fault::Status(_, retry_after) = fault {
                assert_eq!(result.errors[0].retry_after_ms, retry_after);
            }
            let after: Vec<Value> = tab.queue().await.iter().map(|item| item["payload"].clone()).collect();
            assert_eq!(after, before, "{fault:?}");
            assert_eq!(tab.queue().await[0]["state"], "failed");
            assert!(tab.sync().await.success, "and later it goes");
            assert_eq!(world.changes().await.len(), 1, "{fault:?}");
        });
    }
}

#[test]
fn a_refused_token_is_refreshed_once_and_nobody_notices() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        tab.create("client", json!({"name": "Smith"})).await;
        tab.fault("upload", Fault::Status(401, None));
        assert!(tab.sync().await.success);
    });
}

#[test]
fn a_batch_that_is_too_large_is_halved_and_a_single_operation_is_parked() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        for number in 0..4 {
            tab.create("client", json!({"name": number})).await;
        }
        tab.fault("upload", Fault::Status(413, None));
        assert!(tab.sync().await.success);
        assert_eq!(world.requests("upload"), 2);
        tab.create("client", json!({"name": "huge"})).await;
        tab.fault("upload", Fault::Status(413, None));
        assert_eq!(tab.sync().await.failed, 1);
        assert_eq!(tab.queue().await[0]["reason"]["code"], "too_large");
    });
}

#[test]
fn a_download_that_breaks_off_keeps_its_whole_pages_and_goes_on_from_there() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        for number in 0..30 {
            tab.create("client", json!({"name": number})).await;
        }
        tab.sync().await;
        let office = world.device("ben").tab_with(json!({"pageSize": 5})).await;
        office.fault("download", Fault::CutAnswer);
        let result = office.down().await;
        assert_eq!(result.errors[0].code, "network");
        let some = office.all("client").await.len();
        assert!(some > 0 && some < 30 && some % 5 == 0, "{some}");
        assert!(office.down().await.success);
        assert_eq!(office.all("client").await.len(), 30);
    });
}
