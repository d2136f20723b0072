//! The decision on a conflict that another device met: what it comes to is shown before.

use serde_json::{Value, json};

use crate::held::{Stage, open, resolve};
use crate::world::tell;

const STRATEGIES: [&str; 4] = ["client-wins", "server-wins", "last-write-wins", "merge"];

fn key(conflict: &Value) -> u64 {
    conflict["id"].as_u64().expect("a key")
}

#[test]
fn what_the_decision_comes_to_is_shown_before() {
    for (strategy, dose) in STRATEGIES.into_iter().zip([2, 3, 2, 2]) {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.second().await;
            second.update("pet", &stage.id, json!({"age": 5})).await;
            let held = open(&second).await.remove(0);
            let how = json!({"type": strategy});
            let shown = second.engine.preview(key(&held), &how.to_string()).await.expect("shown");
            let record = json!({"name": "Rex", "dose": dose, "age": 5});
            assert_eq!((&shown["id"], &shown["record"]), (&held["id"], &record), "{strategy}");
            let sent = if dose == 2 { json!({"set": {"/dose": 2}}) } else { json!({}) };
            assert_eq!((&shown["operation"]["kind"], &shown["operation"]["data"]), (&json!("update"), &sent), "{strategy}");
            let many = second.engine.resolve_many(&how.to_string(), "{}", true).await.expect("looked at");
            assert_eq!((&many["resolved"], &many["previews"]), (&json!([held["id"]]), &json!([shown])), "each has one");
            assert_eq!(open(&second).await.len(), 1, "nothing is stored");
            resolve(&second, &held, &how).await.expect("resolved");
            let mut there = second.get("pet", &stage.id).await.expect("there");
            there.as_object_mut().expect("a record").retain(|field, _| field != "_sync" && field != "id");
            assert_eq!(there, record, "{strategy}: as was shown");
        });
    }
}

#[test]
fn the_apps_functions_are_asked_about_it() {
    for strategy in ["client-wins", "merge"] {
        tell(async move {
            let stage = Stage::set().await;
            let second = stage.world.device("anna").tab_with(json!({"validators": ["pet"]})).await;
            second.function("validator", "pet", |record| {
                let bad = record["dose"] == 2;
                Some(if bad { json!([{"path": "dose", "message": "no such dose"}]) } else { json!(null) })
            });
            assert!(second.sync().await.success);
            let held = open(&second).await.remove(0);
            let how = json!({"type": strategy}).to_string();
            assert_eq!(second.engine.preview(key(&held), &how).await.expect_err("refused").code, "invalid_record");
            let many = second.engine.resolve_many(&how, "{}", false).await.expect("looked at");
            assert_eq!((&many["resolved"], &many["failed"][0]["error"]["code"]), (&json!([]), &json!("invalid_record")));
            let refused = resolve(&second, &held, &json!({"type": strategy})).await.expect_err("refused");
            assert_eq!((refused.code, &refused.details["path"]), ("invalid_record", &json!("dose")));
            assert_eq!((open(&second).await.len(), second.queue().await.len(), stage.dose(&second).await), (1, 0, json!(3)));
            let exactly = json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 5, "age": 4}});
            resolve(&second, &held, &exactly).await.expect("nothing against it");
            assert!(second.sync().await.success);
            assert_eq!((stage.dose(&second).await, stage.held().await), (json!(5), 0));
        });
    }
}
