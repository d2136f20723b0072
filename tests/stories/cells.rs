//! Every kind of conflict by every rule, found by a receipt and by a page, with either side later: the engine on two devices
//! and the server between them, against a resolver of a few lines. What comes of it is the table in docs/conflicts.md;
//! `FIELDSYNC_WRITE_TABLE=1` writes it there.

use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conflicts.md");
const KINDS: [(&str, bool, bool); 3] = [("update-update", true, true), ("update-delete", true, false), ("delete-update", false, true)];
const RULES: [&str; 4] = ["last-write-wins", "server-wins", "client-wins", "manual"];

/// What must come of it: whose side stands.
fn expected(rule: &str, local_is_later: bool) -> &'static str {
    match rule {
        "server-wins" => "server",
        "client-wins" => "local",
        "manual" => "a person decides",
        _ if local_is_later => "local",
        _ => "server",
    }
}

async fn device(world: &World, user: &'static str, rule: &str) -> Tab {
    // For fields the entity's default, for a deleted record the rule of its kind: the other is another each time.
    let other = if rule == "manual" { "server-wins" } else { "manual" };
    let rules = json!({"default": other, "fields": {"name": rule}, "kinds": {"update-delete": rule, "delete-update": rule}});
    let schema = json!({"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}});
    world.device(user).tab_with(json!({"schema": schema})).await
}

/// The one changes or deletes the record, by its name.
async fn write(tab: &Tab, id: &str, changes: bool, name: &str) {
    if changes {
        tab.update("tag", id, json!({"name": name})).await;
    } else {
        tab.delete("tag", id).await;
    }
}

/// What comes of one meeting.
async fn met(kind: (&str, bool, bool), rule: &str, local_is_later: bool, by_receipt: bool) -> &'static str {
    let world = World::new();
    let (here, there) = (device(&world, "anna", rule).await, device(&world, "ben", rule).await);
    there.create("tag", json!({"name": "old"})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = here.all("tag").await[0]["id"].to_string();
    for local in if local_is_later { [false, true] } else { [true, false] } {
        world.pass(1_000);
        if local {
            write(&here, &id, kind.1, "local").await;
        } else {
            write(&there, &id, kind.2, "server").await;
        }
    }
    assert!(there.sync().await.success);
    let result = if by_receipt { here.up().await } else { here.down().await };
    assert!(result.success, "{result:?}");
    let conflicts = here.engine.conflicts().await.expect("read");
    let [conflict] = conflicts.as_slice() else { panic!("one conflict: {conflicts:?}") };
    assert_eq!(conflict["kind"], kind.0);
    // Both sides can be read, whatever stands.
    let side = |data: &Value| data.get("name").and_then(Value::as_str).map(str::to_owned);
    assert_eq!(side(&conflict["localData"]), kind.1.then(|| "local".to_owned()));
    assert_eq!(side(&conflict["serverData"]), kind.2.then(|| "server".to_owned()));
    for tab in [&here, &there, &here] {
        assert!(tab.sync().await.success);
    }
    let stands = side(&there.get("tag", &id).await.unwrap_or_default());
    if conflict["state"] == "open" {
        assert_eq!(stands, kind.2.then(|| "server".to_owned()), "nothing is sent before somebody decides");
        return "a person decides";
    }
    assert!(here.queue().await.is_empty() && there.queue().await.is_empty());
    assert_eq!(side(&here.get("tag", &id).await.unwrap_or_default()), stands, "both show the same");
    let is_local = stands == kind.1.then(|| "local".to_owned());
    if is_local { "local" } else { "server" }
}

#[test]
fn every_kind_by_every_rule_comes_to_what_the_table_says() {
    let mut table = String::from("| kind | rule | the local side wrote later | the local side wrote earlier |\n|---|---|---|---|\n");
    for kind in KINDS {
        for rule in RULES {
            let mut cells = Vec::new();
            for later in [true, false] {
                for by_receipt in [true, false] {
                    tell(async move {
                        let came = met(kind, rule, later, by_receipt).await;
                        assert_eq!(came, expected(rule, later), "{kind:?} by {rule}, local later: {later}, by a receipt: {by_receipt}");
                    });
                }
                cells.push(expected(rule, later));
            }
            table += &format!("| `{}` | `{rule}` | {} | {} |\n", kind.0, cells[0], cells[1]);
        }
    }
    let doc = std::fs::read_to_string(DOC).expect("docs/conflicts.md");
    let (before, rest) = doc.split_once("<!-- cells -->\n").expect("the place of the table");
    let (there, after) = rest.split_once("<!-- /cells -->\n").expect("its end");
    if std::env::var_os("FIELDSYNC_WRITE_TABLE").is_some() {
        let doc = format!("{before}<!-- cells -->\n{table}<!-- /cells -->\n{after}");
        std::fs::write(DOC, doc).expect("written");
    } else {
        assert_eq!(there, table, "FIELDSYNC_WRITE_TABLE=1 writes it anew");
    }
}
