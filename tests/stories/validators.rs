//! A function of the app looks at records: at what a write would leave, and at what comes down; however it fails, and
//! whatever happens while it looks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::parts::AppFunctions;
use crate::world::{Tab, World, tell};

fn settings(version: u32) -> Value {
    let fields = json!({"name": {"type": "string"}});
    let schema = json!({"name": "stories", "version": version, "entities": {"tag": {"key": "uuid", "fields": fields}, "client": {}}});
    json!({"schema": schema, "validators": ["tag"], "ruleTimeoutMs": 1_000})
}

async fn tab(world: &World, user: &str) -> Tab {
    world.device(user).tab_with(settings(1)).await
}

/// Allows no name that begins with `x`. Gives what it was shown.
fn no_x(tab: &Tab) -> Rc<RefCell<Vec<Value>>> {
    let seen: Rc<RefCell<Vec<Value>>> = Rc::default();
    let shown = seen.clone();
    tab.function("validator", "tag", move |record| {
        let bad = record["name"].as_str().is_some_and(|name| name.starts_with('x'));
        shown.borrow_mut().push(record);
        Some(if bad { json!([{"path": "name", "message": "no x"}]) } else { json!(null) })
    });
    seen
}

#[test]
fn what_a_write_would_leave_is_shown_before_it_is_stored() {
    tell(async {
        let here = tab(&World::new(), "anna").await;
        let seen = no_x(&here);
        let error = here.engine.create("tag", r#"{"name": "xa"}"#).await.expect_err("refused");
        let faults = json!([{"path": "name", "rule": "validator", "message": "no x"}]);
        assert_eq!((error.code, &error.details), ("invalid_record", &json!({"entity": "tag", "faults": faults, "path": "name"})));
        let id = here.create("tag", json!({"name": "a", "size": 1})).await;
        here.update("tag", &id, json!({"name": "b"})).await;
        let plain: Value = serde_json::from_str(&id).expect("an ID");
        assert_eq!(seen.take().last(), Some(&json!({"id": plain, "name": "b", "size": 1})), "as it would be, whole");
        // What the declaration refuses it is not asked about; nor about deletes, or what is none of its entity.
        assert_eq!(here.engine.update("tag", &id, r#"{"set": {"name": 1}}"#).await.expect_err("refused").code, "invalid_record");
        let writes =
            json!([{"kind": "create", "entity": "client", "data": {"name": "x"}}, {"kind": "delete", "entity": "tag", "id": plain}]);
        here.engine.transaction(&writes.to_string()).await.expect("written");
        assert!(seen.take().is_empty());
        let writes =
            json!([{"kind": "create", "entity": "tag", "data": {"name": "c"}}, {"kind": "create", "entity": "tag", "data": {"name": "x"}}]);
        let error = here.engine.transaction(&writes.to_string()).await.expect_err("refused");
        assert_eq!((error.code, &error.details["write"]), ("invalid_record", &json!(1)));
        assert_eq!((here.all("tag").await.len(), here.warnings().len()), (0, 0), "all or nothing");
    });
}

#[test]
fn a_broken_function_refuses_a_write_and_says_so() {
    for (answer, why) in
        [(None, "validator_failed"), (Some(json!(true)), "validator_invalid"), (Some(json!([{"path": 1}])), "validator_invalid")]
    {
        tell(async move {
            let here = tab(&World::new(), "anna").await;
            here.function("validator", "tag", move |_| answer.clone());
            let error = here.engine.create("tag", "{}").await.expect_err("refused");
            assert_eq!((error.code, &error.details), ("validator_failed", &json!({"entity": "tag", "reason": why})));
            assert_eq!((here.warnings(), here.queue().await.len()), (vec![(why.to_owned(), "tag".to_owned())], 0));
        });
    }
    tell(async {
        let world = World::new();
        let here = tab(&world, "anna").await;
        here.late_function("validator", "tag", |_| Box::pin(std::future::pending()));
        let error = world.until(here.engine.create("tag", "{}")).await.expect_err("refused");
        assert_eq!((error.code, &error.details["reason"]), ("validator_failed", &json!("validator_late")));
        let clock = world.clone();
        here.function("validator", "tag", move |_| {
            clock.pass(1_001);
            Some(json!([]))
        });
        here.create("tag", json!({})).await;
        let told: Vec<String> = here.warnings().into_iter().map(|(code, _)| code).collect();
        assert_eq!(told, ["validator_late", "validator_slow"]);
    });
}

/// Whatever the function is shown, somebody has changed the record before it answers; as often as it is told to.
async fn overtaken(times: usize) -> (usize, Result<Value, &'static str>, Value) {
    let world = World::new();
    let device = world.device("anna");
    let (here, other) = (device.tab_with(settings(1)).await, device.tab_with(json!({"schema": settings(1)["schema"]})).await);
    let id = other.create("tag", json!({"name": "a", "n": 0})).await;
    let asked: Rc<Cell<usize>> = Rc::default();
    let (engine, key, count) = (other.engine.clone(), id.clone(), asked.clone());
    here.late_function("validator", "tag", move |_| {
        count.set(count.get() + 1);
        let (engine, key, n) = (engine.clone(), key.clone(), count.get());
        Box::pin(async move {
            if n <= times {
                engine.update("tag", &key, &json!({"set": {"n": n}}).to_string()).await.expect("updated");
            }
            Some("null".to_owned())
        })
    });
    let done = here.engine.update("tag", &id, r#"{"set": {"name": "b"}}"#).await.map_err(|error| error.code);
    (asked.get(), done, here.get("tag", &id).await.expect("there"))
}

#[test]
fn a_write_takes_effect_only_on_what_was_shown() {
    tell(async {
        let (asked, done, now) = overtaken(1).await;
        assert_eq!((asked, done.is_ok(), &now["name"], &now["n"]), (2, true, &json!("b"), &json!(1)));
        let (asked, done, now) = overtaken(9).await;
        assert_eq!((asked, done.err(), &now["name"], &now["n"]), (3, Some("validator_unsettled"), &json!("a"), &json!(3)));
    });
}

#[test]
fn what_comes_down_is_shown_first_and_what_it_refuses_is_kept_aside() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (here, there) = (device.tab_with(settings(1)).await, tab(&world, "ben").await);
        there.function("validator", "tag", |_| Some(json!(null)));
        let id = there.create("tag", json!({"name": "a"})).await;
        no_x(&here);
        assert!(there.sync().await.success && here.sync().await.success);
        there.update("tag", &id, json!({"name": "xa"})).await;
        there.create("tag", json!({"name": "b"})).await;
        assert!(there.sync().await.success);
        let result = here.sync().await;
        assert_eq!((result.success, result.quarantined, result.downloaded), (true, 1, 2));
        assert_eq!((here.get("tag", &id).await.expect("as it was")["name"].clone(), here.all("tag").await.len()), (json!("a"), 2));
        let kept = here.engine.quarantine("{}").await.expect("read").remove(0);
        assert_eq!(kept["faults"], json!([{"path": "name", "rule": "validator", "message": "no x"}]));
        here.engine.close();

        // Another declaration: who has no function leaves it, who has one asks it again.
        let mut without = settings(2);
        without["validators"] = json!([]);
        let worker = device.tab_with(without).await;
        assert_eq!(worker.engine.quarantine("{}").await.expect("read").len(), 1);
        worker.engine.close();
        let still = json!([{"path": "name", "message": "still not"}]);
        // The worker has not looked for good, and a function that fails changes nothing.
        for (version, says, message) in [(2, Some(still), "still not"), (3, None, "still not"), (4, Some(json!(null)), "")] {
            let next = device.tab_of(settings(version), |app| app.function("validator", "tag", move |_| says.clone())).await;
            let found = next.engine.quarantine("{}").await.expect("read");
            let told: Vec<&Value> = found.iter().map(|kept| &kept["faults"][0]["message"]).collect();
            assert_eq!(told, if message.is_empty() { Vec::new() } else { vec![message] });
            let shown = next.get("tag", &id).await.expect("there");
            assert_eq!(shown["name"], if message.is_empty() { "xa" } else { "a" });
            next.engine.close();
        }
    });
}

#[test]
fn a_broken_function_takes_what_comes_down() {
    tell(async {
        let world = World::new();
        let (here, there) = (tab(&world, "anna").await, world.device("ben").tab_with(json!({"schema": settings(1)["schema"]})).await);
        for name in ["a", "b", "c"] {
            there.create("tag", json!({"name": name})).await;
        }
        assert!(there.sync().await.success);
        here.late_function("validator", "tag", |_| Box::pin(std::future::pending()));
        let result = world.until(here.sync()).await;
        assert_eq!((result.success, result.quarantined, here.all("tag").await.len()), (true, 0, 3));
        assert_eq!(here.warnings(), [("validator_late".to_owned(), "tag".to_owned())], "once for a page");
        there.create("tag", json!({"name": "d"})).await;
        there.create("tag", json!({"name": "e"})).await;
        assert!(there.sync().await.success);
        here.function("validator", "tag", |_| None);
        assert!(here.sync().await.success);
        assert_eq!((here.all("tag").await.len(), here.warnings().len()), (5, 2));
    });
}

#[test]
fn a_page_in_a_context_without_the_function_leaves_the_others_to_be_looked_at() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (here, there) = (device.tab_with(settings(1)).await, world.device("ben").tab().await);
        no_x(&here);
        let id = there.create("tag", json!({"name": "x"})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        here.engine.close();
        // The next release begins in a worker, which keeps aside what the declaration does not allow.
        let mut without = settings(2);
        without["validators"] = json!([]);
        let worker = device.tab_with(without).await;
        there.create("tag", json!({"name": 5})).await;
        assert!(there.sync().await.success && worker.sync().await.success);
        assert_eq!(worker.engine.quarantine("{}").await.expect("read").len(), 2);
        worker.engine.close();
        let next = device.tab_of(settings(2), |app| app.function("validator", "tag", |_| Some(json!(null)))).await;
        assert_eq!(next.engine.quarantine("{}").await.expect("read").len(), 1);
        assert_eq!(next.get("tag", &id).await.expect("there")["name"], "x");
    });
}

#[test]
fn opening_waits_once_for_a_function_that_is_late() {
    tell(async {
        let world = World::new();
        let device = world.device("anna");
        let (here, there) = (device.tab_with(settings(1)).await, world.device("ben").tab().await);
        no_x(&here);
        for _ in 0..5 {
            there.create("tag", json!({"name": "x"})).await;
        }
        assert!(there.sync().await.success && here.sync().await.success);
        here.engine.close();
        let before = world.now();
        let late = |app: &AppFunctions| app.late_function("validator", "tag", |_| Box::pin(std::future::pending()));
        let next = world.until(device.tab_of(settings(2), late)).await;
        assert!(world.now() - before < 2_000, "{} ms", world.now() - before);
        assert_eq!(next.engine.quarantine("{}").await.expect("read").len(), 5, "who does not say changes nothing");
        assert_eq!(next.warnings(), [("validator_late".to_owned(), "tag".to_owned())]);
    });
}
