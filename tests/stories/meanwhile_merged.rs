//! What is written while a conflict is open over what could have been put together: an item of a list, where what is done to the
//! list stands beside the decision as it does beside what others do to it; a text that both sides together make too long.

use serde_json::{Value, json};

use crate::taken_back::{only, plain};
use crate::world::{Tab, World, tell};

/// Two devices, with this declaration of a tag.
async fn both(mut tag: Value) -> (World, Tab, Tab) {
    tag["key"] = json!("uuid");
    let settings = json!({"schema": {"name": "stories", "version": 1, "entities": {"tag": tag}}});
    let world = World::new();
    let (one, two) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
    (world, one, two)
}

fn lines(x: i32, y: i32) -> Value {
    json!([{"id": "x", "count": x}, {"id": "y", "count": y}])
}

#[test]
fn a_field_is_decided_with_what_was_written_on_it_together_with_an_item_of_a_list() {
    for (strategy, dose) in [("server-wins", 3), ("client-wins", 6)] {
        tell(async move {
            let rules = json!({"fields": {"dose": "manual", "lines": {"list": "id"}}});
            let (world, here, there) = both(json!({"conflicts": rules})).await;
            there.create("tag", json!({"dose": 2, "lines": lines(1, 1)})).await;
            assert!(there.sync().await.success && here.sync().await.success);
            let id = here.all("tag").await[0]["id"].to_string();
            for (tab, set) in [(&there, json!({"dose": 3, "lines": lines(5, 1)})), (&here, json!({"dose": 4, "lines": lines(7, 1)}))] {
                world.pass(1_000);
                tab.update("tag", &id, set).await;
                assert!(tab.up().await.success);
            }
            world.pass(1_000);
            here.update("tag", &id, json!({"dose": 6, "lines": lines(9, 2)})).await;
            let (key, conflict) = only(&here).await;
            assert_eq!((&conflict["state"], &conflict["localData"]["dose"]), (&json!("open"), &json!(6)));
            here.engine.resolve(key, &json!({"type": strategy}).to_string()).await.expect("decided");
            for tab in [&here, &there, &here] {
                assert!(tab.sync().await.success);
            }
            for tab in [&here, &there] {
                assert_eq!(plain(tab.get("tag", &id).await), json!({"dose": dose, "lines": lines(9, 2)}), "{strategy}");
                assert!(tab.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("read").is_empty() && tab.queue().await.is_empty());
            }
        });
    }
}

#[test]
fn an_edit_of_what_the_rules_could_not_put_together_is_decided_with_it() {
    let (there, short) = ("a\nx\nb\ny\nc12345678901234567890\n", "a1\nx\nb\ny\nc\n");
    for (strategy, ends, back) in [
        ("server-wins", there, Some(short)),
        // What is written again fits together with the other side by now.
        ("client-wins", "a1\nx\nb\ny\nc12345678901234567890\n", None),
    ] {
        tell(async move {
            let (world, one, two) = both(json!({
                "conflicts": {"fields": {"story": "text"}},
                "fields": {"story": {"type": "string", "maxLength": 40}},
            }))
            .await;
            two.create("tag", json!({"story": "a\nx\nb\ny\nc\n"})).await;
            assert!(two.sync().await.success && one.sync().await.success);
            let id = one.all("tag").await[0]["id"].to_string();
            for (tab, story) in [(&two, there), (&one, "a12345678901234567890\nx\nb\ny\nc\n")] {
                world.pass(1_000);
                tab.update("tag", &id, json!({"story": story})).await;
                assert!(tab.up().await.success);
            }
            world.pass(1_000);
            assert_eq!(only(&one).await.1["affectedFields"], json!(["story"]));
            one.update("tag", &id, json!({"story": short})).await;
            let (key, conflict) = only(&one).await;
            assert_eq!((&conflict["affectedFields"], &conflict["localData"]["story"]), (&json!(["story"]), &json!(short)));
            one.engine.resolve(key, &json!({"type": strategy}).to_string()).await.expect("decided");
            for expected in [Some(ends), back].into_iter().flatten() {
                if expected != ends {
                    one.engine.restore_conflict(key, None).await.expect("restored");
                }
                for tab in [&one, &two, &one] {
                    assert!(tab.sync().await.success);
                }
                for tab in [&one, &two] {
                    assert_eq!(plain(tab.get("tag", &id).await)["story"], expected, "{strategy}");
                }
            }
            assert_eq!(only(&one).await.1["state"], "resolved");
        });
    }
}
