//! A function of the app decides conflicts, or leaves them to a person: whoever calls it, however it fails, and whoever dies
//! in the middle.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fieldsync::engine::{Cancel, Direction, EngineError};
use serde_json::{Value, json};

use crate::records::Shared;
use crate::world::{Device, Tab, World, tell, turns};

/// The rule of `dose` is a function, that of `name` a person.
fn settings() -> Value {
    let rules = json!({"fields": {"dose": "function", "name": "manual"}, "kinds": {"update-delete": "function"}});
    let schema = json!({"name": "stories", "version": 1, "entities": {"tag": {"key": "uuid", "conflicts": rules}}});
    json!({"schema": schema, "rules": ["tag"], "ruleTimeoutMs": 1_000})
}

/// Two devices: the first has changed what the second has sent a change of.
struct Stage {
    world: World,
    device: Device,
    here: Tab,
    there: Tab,
    id: String,
}

impl Stage {
    async fn set() -> Self {
        let Shared { world, device, here, there, id } = Shared::tag(settings(), json!({"name": "Rex", "dose": 1})).await;
        here.update("tag", &id, json!({"dose": 2})).await;
        there.update("tag", &id, json!({"dose": 3})).await;
        assert!(there.sync().await.success);
        Self { world, device, here, there, id }
    }

    /// The conflict of the first device.
    async fn met(&self) -> Value {
        let mut conflicts = self.here.engine.conflicts().await.expect("read");
        assert_eq!(conflicts.len(), 1, "{conflicts:?}");
        conflicts.remove(0)
    }

    /// What both and the server have in the end.
    async fn ends_with(&self, dose: Value) {
        for tab in [&self.here, &self.there] {
            assert!(tab.sync().await.success);
            assert_eq!(tab.get("tag", &self.id).await.expect("there")["dose"], dose);
            assert_eq!(tab.queue().await.iter().filter(|item| item["state"] != "acknowledged").count(), 0);
        }
    }
}

/// The steps of a conflict: what, by whom, how.
fn steps(conflict: &Value) -> Vec<String> {
    let word = |step: &Value, member: &str| step[member].as_str().unwrap_or("-").to_owned();
    let steps = conflict["steps"].as_array().into_iter().flatten();
    steps.map(|step| format!("{} {} {}", word(step, "step"), word(step, "by"), word(step, "how"))).collect()
}

#[test]
fn a_function_decides_what_a_receipt_or_a_page_finds_and_it_goes_in_the_same_session() {
    for direction in [Direction::Up, Direction::Both, Direction::Down] {
        for (answer, dose) in [
            (json!("client-wins"), 2),
            (json!({"type": "server-wins"}), 3),
            (json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 2.5}}), 0),
        ] {
            tell(async move {
                let stage = Stage::set().await;
                let asked: Rc<RefCell<Vec<Value>>> = Rc::default();
                let heard = asked.clone();
                let said = answer.clone();
                stage.here.function("rule", "tag", move |conflict| {
                    heard.borrow_mut().push(conflict);
                    Some(said.clone())
                });
                assert!(stage.here.engine.sync(direction, None).await.success);
                let asked = asked.take();
                let [shown] = asked.as_slice() else { panic!("asked once: {asked:?}") };
                assert_eq!((&shown["localData"]["dose"], &shown["serverData"]["dose"]), (&json!(2), &json!(3)));
                assert_eq!(
                    (&shown["asks"], &shown["state"], &shown["affectedFields"]),
                    (&json!("function"), &json!("open"), &json!(["dose"]))
                );
                let met = stage.met().await;
                let how = answer["type"].as_str().or(answer.as_str()).expect("a name");
                assert_eq!((&met["state"], &met["resolvedBy"], &met["resolution"]), (&json!("resolved"), &json!("rule"), &json!(how)));
                assert_eq!(steps(&met), ["found - -".to_owned(), format!("resolved rule {how}")]);
                assert_eq!(met["asks"], Value::Null);
                if direction != Direction::Down {
                    assert!(stage.here.queue().await.is_empty(), "it is sent");
                }
                let dose = if dose == 0 { json!(2.5) } else { json!(dose) };
                stage.ends_with(dose).await;
                assert!(stage.here.warnings().is_empty());
            });
        }
    }
}

#[test]
fn what_a_function_does_not_decide_is_a_persons_and_says_why() {
    let cases: [(Option<Value>, &str); 7] = [
        (Some(json!("manual")), "manual"),
        (Some(json!({"type": "manual"})), "manual"),
        (None, "rule_failed"),
        (Some(json!("theirs")), "rule_invalid"),
        (Some(json!({"type": "client-wins", "mergedData": {}})), "rule_invalid"),
        (Some(json!({"type": "merge", "mergedData": null})), "rule_invalid"),
        (Some(json!(true)), "rule_invalid"),
    ];
    for (answer, why) in cases {
        tell(async move {
            let stage = Stage::set().await;
            let asked: Rc<Cell<usize>> = Rc::default();
            let counted = asked.clone();
            stage.here.function("rule", "tag", move |_| {
                counted.set(counted.get() + 1);
                answer.clone()
            });
            for _ in 0..2 {
                assert!(stage.here.sync().await.success);
            }
            assert_eq!(asked.get(), 1, "once is enough");
            let met = stage.met().await;
            assert_eq!(steps(&met), ["found - -".to_owned(), format!("asked rule {why}")]);
            assert_eq!((&met["state"], &met["asks"]), (&json!("open"), &Value::Null));
            assert_eq!(stage.here.get("tag", &stage.id).await.expect("there")["dose"], 2, "meanwhile the local value shows");
            let told: Vec<_> = (why != "manual").then(|| (why.to_owned(), "tag".to_owned())).into_iter().collect();
            assert_eq!(stage.here.warnings(), told);
            stage.here.engine.resolve(met["id"].as_u64().expect("a key"), r#"{"type": "server-wins"}"#).await.expect("a person decides");
            stage.ends_with(json!(3)).await;
        });
    }
}

#[test]
fn a_late_function_is_waited_for_no_longer_and_a_slow_one_is_told() {
    tell(async {
        let stage = Stage::set().await;
        stage.here.late_function("rule", "tag", |_| Box::pin(std::future::pending()));
        assert!(stage.world.until(stage.here.sync()).await.success);
        assert_eq!(steps(&stage.met().await)[1..], ["asked rule rule_late"]);
        assert_eq!(stage.here.warnings(), [("rule_late".to_owned(), "tag".to_owned())]);
    });
    tell(async {
        let stage = Stage::set().await;
        let world = stage.world.clone();
        // It does not give way: nobody can stop it, and its answer counts.
        stage.here.function("rule", "tag", move |_| {
            world.pass(1_001);
            Some(json!("client-wins"))
        });
        assert!(stage.here.sync().await.success);
        assert_eq!(stage.met().await["resolvedBy"], "rule");
        assert_eq!(stage.here.warnings(), [("rule_slow".to_owned(), "tag".to_owned())]);
    });
}

#[test]
fn who_has_no_function_leaves_it_and_who_dies_in_the_middle_is_followed() {
    tell(async {
        let stage = Stage::set().await;
        let without = {
            let mut without = settings();
            without["rules"] = json!([]);
            stage.device.tab_with(without).await
        };
        assert!(without.sync().await.success);
        assert_eq!((&stage.met().await["asks"], stage.met().await["steps"].as_array().map(Vec::len)), (&json!("function"), Some(1)));
        // Its tab is closed while the function thinks: the session ends, the mark stays.
        let cancel = Cancel::default();
        stage.here.late_function("rule", "tag", |_| Box::pin(std::future::pending()));
        let session = stage.here.engine.sync(Direction::Both, Some(cancel.clone()));
        let (result, ()) = futures_util::join!(session, async {
            turns(200).await;
            cancel.cancel();
        });
        assert_eq!(result.errors[0].code, "aborted");
        assert_eq!(stage.met().await["asks"], "function");
        stage.here.engine.close();
        // The next one asks at its start, also where there is no network.
        let next = stage.device.tab_with(settings()).await;
        next.function("rule", "tag", |_| Some(json!("client-wins")));
        next.fault("initialize", crate::world::Fault::LoseRequest);
        assert!(!next.sync().await.success);
        let met = next.engine.conflicts().await.expect("read").remove(0);
        assert_eq!((&met["state"], &met["resolvedBy"]), (&json!("resolved"), &json!("rule")));
    });
}

#[test]
fn a_function_by_which_every_tab_dies_is_asked_three_times() {
    tell(async {
        let stage = Stage::set().await;
        let asked: Rc<Cell<usize>> = Rc::default();
        let counted = asked.clone();
        stage.here.late_function("rule", "tag", move |_| {
            counted.set(counted.get() + 1);
            Box::pin(std::future::pending())
        });
        for _ in 0..5 {
            let cancel = Cancel::default();
            let session = stage.here.engine.sync(Direction::Both, Some(cancel.clone()));
            let _ = futures_util::join!(session, async {
                turns(200).await;
                cancel.cancel();
            });
        }
        assert_eq!((asked.get(), steps(&stage.met().await)[1..].to_vec()), (3, vec!["asked rule rule_unsettled".to_owned()]));
        assert_eq!(stage.here.warnings(), [("rule_unsettled".to_owned(), "tag".to_owned())]);
    });
}

#[test]
fn a_field_for_a_person_makes_it_a_persons_and_a_person_may_be_first() {
    tell(async {
        let stage = Stage::set().await;
        let key = |conflict: &Value| conflict["id"].as_u64().expect("a key");
        let engine = stage.here.engine.clone();
        stage.here.late_function("rule", "tag", move |conflict| {
            let engine = engine.clone();
            Box::pin(async move {
                engine.resolve(key(&conflict), r#"{"type": "server-wins"}"#).await.expect("it is open");
                Some(json!("client-wins").to_string())
            })
        });
        assert!(stage.here.sync().await.success);
        assert_eq!((&stage.met().await["resolvedBy"], stage.here.warnings().len()), (&json!("anna"), 0));
        stage.ends_with(json!(3)).await;

        stage.here.function("rule", "tag", |_| panic!("nobody asks it"));
        stage.here.update("tag", &stage.id, json!({"name": "Max", "dose": 5})).await;
        stage.there.update("tag", &stage.id, json!({"name": "Moritz", "dose": 4})).await;
        assert!(stage.there.sync().await.success && stage.here.sync().await.success);
        let open = stage.here.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("read");
        assert_eq!((open.len(), &open[0]["asks"]), (1, &Value::Null));
    });
}

#[test]
fn a_function_decides_over_a_deleted_record_and_what_it_may_not_write_is_refused() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab_with(settings()).await, world.device("ben").tab_with(settings()).await);
        there.create("tag", json!({"name": "Rex", "dose": 1})).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("tag").await[0]["id"].to_string();
        here.update("tag", &id, json!({"dose": 2})).await;
        there.delete("tag", &id).await;
        assert!(there.sync().await.success);
        here.function("rule", "tag", |conflict| {
            let gone = conflict["kind"] == "update-delete" && conflict["serverData"].is_null();
            gone.then(|| json!("client-wins"))
        });
        assert!(here.sync().await.success && there.sync().await.success);
        assert_eq!(there.get("tag", &id).await.expect("it is back")["dose"], 2);
        let unknown: EngineError = here.engine.resolve(1, r#"{"type": "server-wins"}"#).await.expect_err("it is decided");
        assert_eq!(unknown.code, "unknown_conflict");
    });
}

#[test]
fn conflicts_behind_a_function_that_does_not_answer_are_not_counted_as_asked_about() {
    tell(async {
        let world = World::new();
        let (here, there) = (world.device("anna").tab_with(settings()).await, world.device("ben").tab_with(settings()).await);
        for name in ["A", "B", "C"] {
            there.create("tag", json!({"name": name, "dose": 1})).await;
        }
        assert!(there.sync().await.success && here.sync().await.success);
        for tag in here.all("tag").await {
            let id = tag["id"].to_string();
            here.update("tag", &id, json!({"dose": 2})).await;
            there.update("tag", &id, json!({"dose": 3})).await;
        }
        assert!(there.sync().await.success);
        let asked: Rc<RefCell<Vec<Value>>> = Rc::default();
        let noted = asked.clone();
        here.late_function("rule", "tag", move |conflict| {
            noted.borrow_mut().push(conflict["localData"]["name"].clone());
            Box::pin(std::future::pending())
        });
        for _ in 0..3 {
            let cancel = Cancel::default();
            let session = here.engine.sync(Direction::Both, Some(cancel.clone()));
            let _ = futures_util::join!(session, async {
                turns(200).await;
                cancel.cancel();
            });
        }
        let first = asked.borrow().clone();
        assert!(first.len() == 3 && first.iter().all(|name| *name == first[0]), "{first:?}");
        let noted = asked.clone();
        here.function("rule", "tag", move |conflict| {
            noted.borrow_mut().push(conflict["localData"]["name"].clone());
            Some(json!("client-wins"))
        });
        assert!(here.sync().await.success && there.sync().await.success);
        let mut others: Vec<String> = asked.borrow()[3..].iter().map(ToString::to_string).collect();
        others.push(first[0].to_string());
        others.sort_unstable();
        assert_eq!(others, [r#""A""#, r#""B""#, r#""C""#], "the others are asked about");
        let mut doses: Vec<Value> = there.all("tag").await.into_iter().map(|tag| tag["dose"].clone()).collect();
        doses.sort_by_key(ToString::to_string);
        assert_eq!(doses, [json!(2), json!(2), json!(3)]);
    });
}
