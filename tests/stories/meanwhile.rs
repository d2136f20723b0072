//! What is written on a record while its conflict is open: it is shown with the conflict and decided with it, as far as it is
//! about the same. The rest goes up whatever is decided.

use std::cell::RefCell;
use std::rc::Rc;

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::constraints::{met, open, resolve};
use crate::raw::{damage, whole};
use crate::records::{Shared, value};
use crate::taken_back::{only, plain};
use crate::world::{Device, Tab, World, tell};

/// A person decides on doses; the place and the day of a visit come from one side.
fn settings() -> Value {
    let rules = json!({
        "fields": {"dose": "manual", "given": "counter", "name": "manual"},
        "groups": [["place", "day"]],
        "kinds": {"update-delete": "manual", "delete-update": "manual"},
    });
    json!({"schema": {"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}}})
}

/// Two devices; the first has the open conflict that its user writes into.
struct Stage {
    world: World,
    device: Device,
    here: Tab,
    there: Tab,
    id: String,
}

impl Stage {
    /// Both change the record, or take it away; the second is at the server first.
    async fn set(mine: Option<Value>, theirs: Option<Value>) -> Self {
        let tag = json!({"name": "Rex", "dose": 1, "given": 0, "place": "a", "day": 1});
        let Shared { world, device, here, there, id } = Shared::tag(settings(), tag).await;
        for (tab, change) in [(&there, theirs), (&here, mine)] {
            world.pass(1_000);
            match change {
                Some(fields) => drop(tab.update("tag", &id, fields).await),
                None => tab.delete("tag", &id).await,
            }
            let result = tab.up().await;
            assert!(result.success, "{result:?}");
        }
        world.pass(1_000);
        let stage = Self { world, device, here, there, id };
        assert_eq!(only(&stage.here).await.1["state"], "open");
        stage
    }

    async fn write(&self, fields: Value) {
        self.world.pass(1_000);
        self.here.update("tag", &self.id, fields).await;
    }

    async fn shown(&self) -> Value {
        only(&self.here).await.1
    }

    async fn decide(&self, strategy: Value) {
        resolve(&self.here, &self.shown().await, strategy).await.expect("resolved");
    }

    /// One decision was enough: nothing waits, and both have this.
    async fn ends_with(&self, record: Value) {
        for tab in [&self.here, &self.there, &self.here] {
            let result = tab.sync().await;
            assert!(result.success && result.conflicts == 0, "{result:?}");
        }
        for tab in [&self.here, &self.there] {
            assert_eq!(plain(tab.get("tag", &self.id).await), record);
            assert!(tab.queue().await.is_empty(), "{:?}", tab.queue().await);
        }
        assert_eq!(self.shown().await["state"], "resolved");
    }

    async fn last_step(&self, wish: &str) {
        let key = self.shown().await["id"].as_u64().expect("a key");
        match wish {
            "restore" => self.here.engine.restore_conflict(key, None).await.expect("restored"),
            _ => self.here.engine.undo_conflict(key, None).await.expect("undone"),
        };
    }
}

fn doses(conflict: &Value) -> [Value; 3] {
    ["baseData", "localData", "serverData"].map(|side| conflict[side]["dose"].clone())
}

#[test]
fn another_edit_of_the_disputed_field_is_shown_and_decided_with_it() {
    for (strategy, dose) in [
        (json!({"type": "client-wins"}), 4),
        (json!({"type": "last-write-wins"}), 4),
        (json!({"type": "server-wins"}), 3),
        (json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 9, "given": 0, "place": "a", "day": 1}}), 9),
    ] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
            stage.here.conflicts_told();
            stage.write(json!({"dose": 4})).await;
            assert_eq!(stage.here.conflicts_told().len(), 1, "whoever shows it is told");
            assert_eq!(doses(&stage.shown().await), [1, 4, 3].map(Value::from));
            // A session between changes nothing of that.
            assert!(stage.here.sync().await.success);
            assert_eq!(doses(&stage.shown().await), [1, 4, 3].map(Value::from));
            stage.decide(strategy).await;
            let record = |dose: i32| json!({"name": "Rex", "dose": dose, "given": 0, "place": "a", "day": 1});
            stage.ends_with(record(dose)).await;
            assert_eq!(doses(&stage.shown().await), [1, 4, 3].map(Value::from), "both sides are kept");
            stage.last_step("restore").await;
            stage.ends_with(record(if dose == 4 { 3 } else { 4 })).await;
            stage.last_step("undo").await;
            stage.ends_with(record(dose)).await;
        });
    }
}

#[test]
fn what_it_is_not_about_goes_up_whatever_is_decided() {
    tell(async {
        let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
        stage.write(json!({"dose": 4, "weight": 7})).await;
        stage.here.update("tag", &stage.id, json!({"weight": 8})).await;
        let conflict = stage.shown().await;
        assert_eq!(
            (&conflict["localData"]["weight"], &conflict["affectedFields"]),
            (&json!(8), &json!(["dose"])),
            "the local side is the record as it is here"
        );
        stage.decide(json!({"type": "server-wins"})).await;
        assert_eq!(stage.here.get("tag", &stage.id).await.expect("there")["weight"], 8);
        stage.ends_with(json!({"name": "Rex", "dose": 3, "given": 0, "place": "a", "day": 1, "weight": 8})).await;
    });
}

#[test]
fn an_edit_of_another_field_that_the_server_changed_too_becomes_disputed() {
    for (strategy, name) in [("server-wins", "Moritz"), ("client-wins", "Max")] {
        for given in [None, Some(2)] {
            tell(async {
                let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3, "name": "Moritz"}))).await;
                assert_eq!(stage.shown().await["affectedFields"], json!(["dose"]));
                stage.write(given.map_or_else(|| json!({"name": "Max"}), |given| json!({"name": "Max", "given": given}))).await;
                assert_eq!(stage.shown().await["affectedFields"], json!(["dose", "name"]), "also where it counted with it");
                stage.decide(json!({"type": strategy})).await;
                let dose = if strategy == "server-wins" { 3 } else { 2 };
                stage.ends_with(json!({"name": name, "dose": dose, "given": given.unwrap_or(0), "place": "a", "day": 1})).await;
            });
        }
    }
}

#[test]
fn fields_that_come_from_one_side_come_from_it_with_what_was_written_meanwhile() {
    for given in [None, Some(2)] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2, "place": "b"})), Some(json!({"dose": 3, "place": "c"}))).await;
            stage.write(given.map_or_else(|| json!({"day": 2}), |given| json!({"day": 2, "given": given}))).await;
            stage.decide(json!({"type": "server-wins"})).await;
            let given = given.unwrap_or(0);
            stage.ends_with(json!({"name": "Rex", "dose": 3, "given": given, "place": "c", "day": 1})).await;
            stage.last_step("restore").await;
            stage.ends_with(json!({"name": "Rex", "dose": 2, "given": given, "place": "b", "day": 2})).await;
        });
    }
}

#[test]
fn a_count_stands_beside_what_is_decided() {
    for strategy in ["server-wins", "client-wins"] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2, "given": 1})), Some(json!({"dose": 3, "given": 10}))).await;
            stage.write(json!({"given": 3})).await;
            stage.decide(json!({"type": strategy})).await;
            // Two more were given meanwhile; the one before is a part of what was decided on.
            let (dose, given) = if strategy == "server-wins" { (3, 12) } else { (2, 13) };
            stage.ends_with(json!({"name": "Rex", "dose": dose, "given": given, "place": "a", "day": 1})).await;
        });
    }
}

#[test]
fn who_says_what_the_record_is_says_it_of_all_that_was_written() {
    for (merged, ends) in [
        // As it is shown, with another dose: a count in it is not counted once more.
        (json!({"name": "Rex", "dose": 9, "given": 4, "place": "a", "day": 1, "weight": 7}), None),
        // What was seen and corrected, and what was seen and left out.
        (json!({"name": "Rex", "dose": 9, "given": 2, "place": "a", "day": 1, "weight": 99}), None),
        (json!({"name": "Rex", "dose": 9, "given": 4, "place": "a", "day": 1}), None),
        (Value::Null, Some(json!({"name": "Rex", "dose": 3, "given": 4, "place": "a", "day": 1, "weight": 7}))),
    ] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
            stage.write(json!({"given": 4, "weight": 7})).await;
            let strategy = if ends.is_some() { json!({"type": "server-wins"}) } else { json!({"type": "merge", "mergedData": merged}) };
            stage.decide(strategy).await;
            stage.ends_with(ends.unwrap_or(merged)).await;
        });
    }
}

#[test]
fn a_delete_is_a_part_of_it() {
    for (strategy, stays) in [("server-wins", true), ("client-wins", false)] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
            stage.write(json!({"given": 3, "weight": 7})).await;
            stage.here.delete("tag", &stage.id).await;
            assert_eq!(stage.shown().await["localData"], Value::Null);
            stage.decide(json!({"type": strategy})).await;
            let there = json!({"name": "Rex", "dose": 3, "given": 0, "place": "a", "day": 1});
            stage.ends_with(if stays { there.clone() } else { Value::Null }).await;
            stage.last_step("undo").await;
            for tab in [&stage.here, &stage.there] {
                assert!(tab.sync().await.success);
                assert_eq!(plain(tab.get("tag", &stage.id).await), if stays { Value::Null } else { there.clone() });
            }
        });
    }
}

#[test]
fn an_edit_of_what_somebody_deleted_is_a_part_of_it() {
    for (strategy, comes_back) in [("server-wins", false), ("client-wins", true)] {
        tell(async {
            let stage = Stage::set(Some(json!({"dose": 2})), None).await;
            stage.write(json!({"given": 3})).await;
            stage.write(json!({"weight": 7})).await;
            stage.decide(json!({"type": strategy})).await;
            let mine = json!({"name": "Rex", "dose": 2, "given": 3, "place": "a", "day": 1, "weight": 7});
            stage.ends_with(if comes_back { mine.clone() } else { Value::Null }).await;
            if !comes_back {
                stage.last_step("restore").await;
                stage.ends_with(mine).await;
            }
        });
    }
}

#[test]
fn a_record_that_the_server_would_not_have_is_what_was_decided_and_not_what_was_written_before() {
    tell(async {
        let world = World::new();
        let (anna, ben, mine, _) = met(&world).await;
        ben.update("owner", &mine, json!({"email": "b", "name": "Bob"})).await;
        let conflict = open(&ben).await.remove(0);
        assert_eq!(conflict["localData"], json!({"email": "b", "name": "Bob"}));
        resolve(&ben, &conflict, json!({"type": "merge", "mergedData": {"email": "c", "name": "Bob"}})).await.expect("resolved");
        for tab in [&ben, &anna] {
            assert!(tab.sync().await.success);
            let mut all: Vec<String> = tab.all("owner").await.iter().map(|owner| owner["email"].to_string()).collect();
            all.sort();
            assert_eq!(all, ["\"a\"", "\"c\""]);
            assert!(tab.queue().await.is_empty());
        }
    });
}

#[test]
fn what_was_written_meanwhile_can_be_given_up_until_the_decision() {
    tell(async {
        let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
        stage.write(json!({"dose": 4})).await;
        let later = stage.here.queue().await[1].clone();
        assert_eq!(later["state"], "blocked");
        let id = later["operationId"].as_str().expect("an ID").to_owned();
        stage.here.engine.discard(&id, None).await.expect("given up");
        assert_eq!(doses(&stage.shown().await), [1, 2, 3].map(Value::from), "as if it had not been written");
        stage.write(json!({"dose": 5})).await;
        stage.decide(json!({"type": "client-wins"})).await;
        let queue = stage.here.queue().await;
        assert_eq!((queue.len(), &queue[0]["payload"]), (1, &json!({"set": {"/dose": 5}})), "{queue:?}");
        stage.ends_with(json!({"name": "Rex", "dose": 5, "given": 0, "place": "a", "day": 1})).await;
    });
}

#[test]
fn a_preview_shows_it_and_stores_nothing() {
    tell(async {
        let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
        stage.write(json!({"dose": 4, "weight": 7})).await;
        let before = stage.here.queue().await;
        let shown = stage.here.engine.preview(stage.shown().await["id"].as_u64().expect("a key"), r#"{"type": "client-wins"}"#).await;
        let shown = shown.expect("previewed");
        assert_eq!((&shown["record"]["dose"], &shown["record"]["weight"]), (&json!(4), &json!(7)), "{shown}");
        assert_eq!(stage.here.queue().await, before);
    });
}

#[test]
fn a_function_that_was_asked_before_the_edit_is_asked_again() {
    tell(async {
        let rules = json!({"fields": {"dose": "function"}});
        let settings = json!({
            "schema": {"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}},
            "rules": ["tag"], "ruleTimeoutMs": 1_000,
        });
        let Shared { world, here, there, id, .. } = Shared::tag(settings, json!({"dose": 1})).await;
        for (tab, dose) in [(&there, 3), (&here, 2)] {
            world.pass(1_000);
            tab.update("tag", &id, json!({"dose": dose})).await;
        }
        assert!(there.sync().await.success);
        let asked: Rc<RefCell<Vec<Value>>> = Rc::default();
        let (heard, writer, of) = (asked.clone(), here.engine.clone(), id.clone());
        here.late_function("rule", "tag", move |conflict| {
            let first = heard.borrow().is_empty();
            heard.borrow_mut().push(conflict["localData"]["dose"].clone());
            let (writer, of) = (writer.clone(), of.clone());
            Box::pin(async move {
                if first {
                    writer.update("tag", &of, r#"{"set": {"dose": 4}}"#).await.expect("written while it thinks");
                }
                Some(json!("client-wins").to_string())
            })
        });
        let result = here.sync().await;
        assert!(result.success, "{result:?}");
        assert_eq!(*asked.borrow(), [2, 4].map(Value::from), "it decides on what it was shown");
        for tab in [&here, &there] {
            assert!(tab.sync().await.success);
            assert_eq!((tab.get("tag", &id).await.expect("there")["dose"].clone(), tab.queue().await.len()), (json!(4), 0));
        }
    });
}

#[test]
fn a_row_that_cannot_be_read_hides_no_conflict() {
    for table in [Table::Audit, Table::Overlay] {
        tell(async move {
            let stage = Stage::set(Some(json!({"dose": 2})), Some(json!({"dose": 3}))).await;
            stage.write(json!({"dose": 4})).await;
            let last = whole(&stage.device.store, table).await.pop().expect("a row");
            damage(&stage.device.store, table, vec![last]).await;
            let found = stage.here.engine.find_conflicts("{}").await.expect("read");
            // Nobody can read then what was written meanwhile, where that is told.
            let dose = if table == Table::Overlay { 2 } else { 4 };
            assert_eq!(found.iter().map(doses).collect::<Vec<_>>(), [[1, dose, 3].map(Value::from)]);
        });
    }
}

#[test]
fn a_conflict_in_a_transaction_is_decided_in_few_rounds_whatever_waits_behind_its_members() {
    for merged in [false, true] {
        tell(async move {
            let rules = json!({"fields": {"dose": "manual"}});
            let tag = json!({"key": "uuid", "references": {"clientId": "client"}, "unique": [["code"]], "conflicts": rules});
            let settings = json!({"schema": {"name": "stories", "version": 1, "entities": {"client": {}, "tag": tag}}});
            let world = World::new();
            let (here, there) = (world.device("anna").tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
            let client = value(&there.create("client", json!({"name": "Ada"})).await);
            for name in ["a", "b", "c"] {
                there.create("tag", json!({"name": name, "dose": 1, "code": name, "clientId": client})).await;
            }
            assert!(there.sync().await.success && here.sync().await.success);
            let all = here.all("tag").await;
            let id = |name: &str| all.iter().find(|tag| tag["name"] == name).expect("it came")["id"].clone();
            let update = |name: &str, set: Value| json!({"kind": "update", "entity": "tag", "id": id(name), "set": set});
            there.update("tag", &id("a").to_string(), json!({"dose": 3})).await;
            assert!(there.up().await.success);
            let write = async |writes: Value| here.engine.transaction(&writes.to_string()).await.expect("written");
            write(json!([update("a", json!({"dose": 2})), update("b", json!({"weight": 1}))])).await;
            assert_eq!(here.up().await.conflicts, 1);
            world.pass(1_000);
            here.update("tag", &id("a").to_string(), json!({"dose": 4, "weight": 2})).await;
            write(json!([update("b", json!({"clientId": null})), update("c", json!({"weight": 1}))])).await;
            let conflict = only(&here).await.1;
            let mut data = conflict["localData"].clone();
            data["code"] = json!("z");
            let strategy = if merged { json!({"type": "merge", "mergedData": data}) } else { json!({"type": "client-wins"}) };
            resolve(&here, &conflict, strategy).await.expect("resolved");
            for _ in 0..2 {
                assert!(here.sync().await.success && there.sync().await.success);
            }
            assert!(here.queue().await.is_empty());
            let shown = there.get("tag", &id("a").to_string()).await.expect("there");
            assert_eq!((&shown["dose"], &shown["weight"]), (&json!(4), &json!(2)));
        });
    }
}
