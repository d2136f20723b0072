//! Every kind of conflict that a rule decides, by every rule that decides on a whole field or record and every sign, found by a
//! receipt and by a page, with either side later: the engine on two devices and the server between them, against a resolver of a
//! few lines. A constraint is decided by a person alone (`constraints`), and what rules put together is in `rules`. What comes of it is the table in docs/conflicts.md;
//! `FIELDSYNC_WRITE_TABLE=1` writes it there.

use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

const DOC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/conflicts.md");
const KINDS: [(&str, bool, bool); 3] = [("update-update", true, true), ("update-delete", true, false), ("delete-update", false, true)];
const RULES: [&str; 5] = ["last-write-wins", "server-wins", "client-wins", "manual", "function"];

/// By what it is told that the server's side moved. `at` settles itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// As it is without a word.
    Default,
    Version,
    Hash,
    Timestamp,
    /// By the same field, which the other side leaves as it is.
    Untouched,
}

impl Sign {
    fn detect(self) -> Value {
        match self {
            Self::Default => json!(["version", "hash"]),
            Self::Version => json!(["version"]),
            Self::Hash => json!(["hash"]),
            Self::Timestamp | Self::Untouched => json!([{"timestamp": "at"}]),
        }
    }
    fn conflict_type(self) -> &'static str {
        match self {
            Self::Default | Self::Version => "version",
            Self::Hash => "data",
            Self::Timestamp | Self::Untouched => "timestamp",
        }
    }
}

/// What must come of it: whose side stands.
fn expected(kind: &str, rule: &str, local_is_later: bool, sign: Sign) -> &'static str {
    match rule {
        // A record that is gone has no field that could tell.
        _ if sign == Sign::Untouched && kind != "update-delete" => "local, and nobody is told",
        "server-wins" => "server",
        "client-wins" => "local",
        "manual" => "a person decides",
        "function" => "what it says",
        _ if local_is_later => "local",
        _ => "server",
    }
}

async fn device(world: &World, user: &'static str, rule: &str, sign: Sign, says: &'static str) -> Tab {
    // For fields the entity's default, for a deleted record the rule of its kind: the other is another each time.
    let other = if rule == "manual" { "server-wins" } else { "manual" };
    let mut rules = json!({"default": other, "fields": {"name": rule}, "kinds": {"update-delete": rule, "delete-update": rule}});
    rules["metadata"] = json!(["at"]);
    if sign != Sign::Default {
        rules["detect"] = sign.detect();
    }
    let schema = json!({"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}});
    let is_asked = [rule, other].contains(&"function");
    let tab = world.device(user).tab_with(json!({"schema": schema, "rules": if is_asked { vec!["tag"] } else { Vec::new() }})).await;
    tab.function("rule", "tag", move |_| Some(json!(says)));
    tab
}

/// The one changes or deletes the record, by its name.
async fn write(tab: &Tab, id: &str, changes: bool, name: &str, at: Option<u64>) {
    if changes {
        let fields = at.map_or_else(|| json!({"name": name}), |at| json!({"name": name, "at": at}));
        tab.update("tag", id, fields).await;
    } else {
        tab.delete("tag", id).await;
    }
}

/// What comes of one meeting.
async fn met(kind: (&str, bool, bool), rule: &str, local_is_later: bool, by_receipt: bool, sign: Sign) -> &'static str {
    let world = World::new();
    // A function says another thing than the times do.
    let says = if local_is_later { "server-wins" } else { "client-wins" };
    let (here, there) = (device(&world, "anna", rule, sign, says).await, device(&world, "ben", rule, sign, says).await);
    there.create("tag", json!({"name": "old", "at": world.now()})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = here.all("tag").await[0]["id"].to_string();
    for local in if local_is_later { [false, true] } else { [true, false] } {
        world.pass(1_000);
        if local {
            write(&here, &id, kind.1, "local", Some(world.now())).await;
        } else {
            write(&there, &id, kind.2, "server", (sign != Sign::Untouched).then(|| world.now())).await;
        }
    }
    assert!(there.sync().await.success);
    let result = if by_receipt { here.up().await } else { here.down().await };
    assert!(result.success, "{result:?}");
    let conflicts = here.engine.conflicts().await.expect("read");
    let side = |data: &Value| data.get("name").and_then(Value::as_str).map(str::to_owned);
    if sign == Sign::Untouched && conflicts.is_empty() {
        for tab in [&here, &there, &here] {
            assert!(tab.sync().await.success);
            assert_eq!(tab.queue().await.len(), 0);
        }
        assert_eq!(side(&there.get("tag", &id).await.unwrap_or_default()), kind.1.then(|| "local".to_owned()));
        return "local, and nobody is told";
    }
    let [conflict] = conflicts.as_slice() else { panic!("one conflict: {conflicts:?}") };
    assert_eq!((&conflict["kind"], &conflict["conflictType"]), (&json!(kind.0), &json!(sign.conflict_type())));
    let fields = if kind.0 == "update-update" { "name" } else { "*" };
    assert_eq!(conflict["affectedFields"], json!([fields]), "what settles itself is none of them");
    // Both sides can be read, whatever stands.
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
    if rule == "function" {
        assert_eq!(conflict["resolvedBy"], "rule");
        let said = if local_is_later { kind.2.then(|| "server".to_owned()) } else { kind.1.then(|| "local".to_owned()) };
        assert_eq!(stands, said);
        return "what it says";
    }
    let is_local = stands == kind.1.then(|| "local".to_owned());
    if is_local { "local" } else { "server" }
}

#[test]
fn every_kind_by_every_rule_and_sign_comes_to_what_the_table_says() {
    let mut table = String::from(
        "| kind | rule | the local side wrote later | the local side wrote earlier | by `timestamp`, and the other side left that field |\n|---|---|---|---|---|\n",
    );
    for kind in KINDS {
        for rule in RULES {
            let mut cells = Vec::new();
            for later in [true, false] {
                for sign in [Sign::Default, Sign::Version, Sign::Hash, Sign::Timestamp, Sign::Untouched] {
                    for by_receipt in [true, false] {
                        tell(async move {
                            let came = met(kind, rule, later, by_receipt, sign).await;
                            let cell = format!("{kind:?} by {rule} and {sign:?}, local later: {later}, by a receipt: {by_receipt}");
                            assert_eq!(came, expected(kind.0, rule, later, sign), "{cell}");
                        });
                    }
                }
                cells.push(expected(kind.0, rule, later, Sign::Default));
            }
            let untouched = match expected(kind.0, rule, true, Sign::Untouched) {
                told if told == cells[0] => "the same: a record that is gone tells nothing",
                told => told,
            };
            table += &format!("| `{}` | `{rule}` | {} | {} | {untouched} |\n", kind.0, cells[0], cells[1]);
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
