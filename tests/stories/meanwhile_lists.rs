//! What is written while a conflict over an item of a list is open: the disputed fields are decided with all that was written on
//! them; what is done to the list stands beside that, as it does beside what others do to it.

use serde_json::{Value, json};

use crate::taken_back::{only, plain};
use crate::world::{World, tell};

fn lines(x: i32, y: i32) -> Value {
    json!([{"id": "x", "count": x}, {"id": "y", "count": y}])
}

#[test]
fn a_field_is_decided_with_what_was_written_on_it_together_with_an_item_of_a_list() {
    for (strategy, dose) in [("server-wins", 3), ("client-wins", 6)] {
        tell(async move {
            let rules = json!({"fields": {"dose": "manual", "lines": {"list": "id"}}});
            let settings = json!({"schema": {"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}}});
            let world = World::new();
            let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
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
