//! What the decision of a conflict, a restore or an undo would leave is shown to the app's functions as any write is: what they
//! refuse is not stored.

use std::cell::Cell;
use std::rc::Rc;

use fieldsync::plan::Table;
use serde_json::{Value, json};

use crate::world::{Device, Tab, World, tell};

const KEPT: [Table; 4] = [Table::Overlay, Table::Outbox, Table::Audit, Table::Conflicts];

/// Everything that a decision could change.
fn stored(device: &Device) -> Vec<Vec<(fieldsync::value::Key, String)>> {
    KEPT.iter().map(|table| device.store.dump(*table)).collect()
}

struct Scene {
    device: Device,
    here: Tab,
    /// The other user's.
    there: Tab,
    id: String,
    conflict: u64,
    /// Whether every name is refused now.
    strict: Rc<Cell<bool>>,
}

/// A conflict over the name, which is `mine` here and `theirs` at the server. The function refuses names with an x.
async fn scene(world: &World) -> Scene {
    let schema = json!({"name": "stories", "version": 1, "entities": {"client": {"conflicts": {"default": "manual"}}}});
    let (device, other) = (world.device("anna"), world.device("ben").tab_with(json!({"schema": schema})).await);
    let here = device.tab_with(json!({"schema": schema, "validators": ["client"]})).await;
    let strict: Rc<Cell<bool>> = Rc::default();
    let all = strict.clone();
    here.function("validator", "client", move |record| {
        let bad = all.get() || record["name"].as_str().is_some_and(|name| name.contains('x'));
        Some(if bad { json!([{"path": "name", "message": "no x"}]) } else { json!(null) })
    });
    let (id, conflict) = meet(&here, &other).await;
    Scene { device, here, there: other, id, conflict, strict }
}

/// The conflict over the name of a new record, and that record.
async fn meet(here: &Tab, there: &Tab) -> (String, u64) {
    let made = there.create("client", json!({"name": "a", "n": 1})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let id = there.real_id("client", &made).await.to_string();
    there.update("client", &id, json!({"name": "theirs"})).await;
    here.update("client", &id, json!({"name": "mine"})).await;
    assert!(there.sync().await.success && here.sync().await.success);
    let open = here.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("found");
    let conflict = open.last().and_then(|conflict| conflict["id"].as_u64()).expect("an ID");
    (id, conflict)
}

fn merged(name: &str) -> String {
    json!({"type": "merge", "mergedData": {"name": name, "n": 1}}).to_string()
}

fn faults() -> Value {
    json!([{"path": "name", "rule": "validator", "message": "no x"}])
}

#[test]
fn what_a_function_refuses_ends_no_conflict() {
    tell(async {
        let world = World::new();
        let Scene { device, here, id, conflict, .. } = scene(&world).await;
        let before = stored(&device);
        for dry in [false, true] {
            let done = if dry {
                here.engine.preview(conflict, &merged("x")).await.map(drop)
            } else {
                here.engine.resolve(conflict, &merged("x")).await
            };
            let error = done.expect_err("refused");
            assert_eq!((error.code, &error.details["faults"], &error.details["path"]), ("invalid_record", &faults(), &json!("name")));
        }
        assert!(stored(&device) == before, "nothing is stored");
        here.engine.resolve(conflict, &merged("ours")).await.expect("decided");
        assert_eq!(here.get("client", &id).await.expect("there")["name"], "ours");
        assert!(here.sync().await.success);
        assert_eq!(here.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("found"), Vec::<Value>::new());
    });
}

#[test]
fn of_many_those_stay_open_that_a_function_refuses() {
    tell(async {
        let world = World::new();
        let Scene { device, here, conflict, strict, .. } = scene(&world).await;
        strict.set(true);
        let before = stored(&device);
        for dry in [true, false] {
            let done = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", dry).await.expect("looked at");
            assert_eq!((&done["resolved"], &done["previews"]), (&json!([]), &json!([])));
            assert_eq!((&done["failed"][0]["id"], &done["failed"][0]["error"]["code"]), (&json!(conflict), &json!("invalid_record")));
        }
        assert!(stored(&device) == before);
        // Where the server's side stands, nothing is written, and nobody asked.
        let done = here.engine.resolve_many(r#"{"type": "server-wins"}"#, "{}", false).await.expect("decided");
        assert_eq!((&done["resolved"], &done["failed"], &done["previews"]), (&json!([conflict]), &json!([]), &json!([])));
    });
}

#[test]
fn what_a_function_refuses_is_neither_restored_nor_undone() {
    tell(async {
        let world = World::new();
        let Scene { device, here, id, conflict, strict, .. } = scene(&world).await;
        here.engine.resolve(conflict, r#"{"type": "server-wins"}"#).await.expect("decided");
        assert!(here.sync().await.success);
        let name = async || here.get("client", &id).await.expect("there")["name"].clone();
        for (undo, then) in [(false, "mine"), (true, "theirs")] {
            let take_back = async || match undo {
                false => here.engine.restore_conflict(conflict, None).await,
                true => here.engine.undo_conflict(conflict, None).await,
            };
            strict.set(true);
            let before = stored(&device);
            let error = take_back().await.expect_err("refused");
            assert_eq!((error.code, &error.details["faults"]), ("invalid_record", &faults()));
            assert!(stored(&device) == before, "nothing is stored");
            strict.set(false);
            take_back().await.expect("brought back");
            assert_eq!(name().await, then);
        }
    });
}

/// A conflict is decided, or what lost is restored, while the function writes to the record the first so many times.
async fn overtaken(times: usize, restores: bool) -> (usize, Result<(), &'static str>) {
    let Scene { device, here, id, conflict, .. } = scene(&World::new()).await;
    let other = device.tab_with(json!({"schema": here.engine.settings().schema.as_ref()})).await;
    if restores {
        other.engine.resolve(conflict, r#"{"type": "server-wins"}"#).await.expect("decided");
    }
    let asked: Rc<Cell<usize>> = Rc::default();
    let (engine, count) = (other.engine.clone(), asked.clone());
    here.late_function("validator", "client", move |_| {
        count.set(count.get() + 1);
        let (engine, id, n) = (engine.clone(), id.clone(), count.get());
        Box::pin(async move {
            if n <= times {
                engine.update("client", &id, &json!({"set": {"n": n + 1}}).to_string()).await.expect("updated");
            }
            Some("null".to_owned())
        })
    });
    let done = match restores {
        true => here.engine.restore_conflict(conflict, None).await.map(drop),
        false => here.engine.resolve(conflict, r#"{"type": "client-wins"}"#).await,
    };
    (asked.get(), done.map_err(|error| error.code))
}

#[test]
fn a_decision_takes_effect_only_on_what_was_shown() {
    for restores in [false, true] {
        tell(async move {
            assert_eq!(overtaken(1, restores).await, (2, Ok(())));
            assert_eq!(overtaken(9, restores).await, (3, Err("validator_unsettled")));
        });
    }
}

#[test]
fn of_many_only_that_one_stays_open_that_changes_whenever_it_is_looked_at() {
    tell(async {
        let Scene { device, here, there, id, conflict, .. } = scene(&World::new()).await;
        let (_, calm) = meet(&here, &there).await;
        let writer = device.tab_with(json!({"schema": here.engine.settings().schema.as_ref()})).await;
        let (engine, restless, n) = (writer.engine.clone(), id.clone(), Cell::new(1));
        here.late_function("validator", "client", move |record| {
            let is_restless = record["id"].to_string().trim_matches('"') == restless;
            n.set(n.get() + 1);
            let (engine, id, n) = (engine.clone(), restless.clone(), n.get());
            Box::pin(async move {
                if is_restless {
                    engine.update("client", &id, &json!({"set": {"n": n}}).to_string()).await.expect("updated");
                }
                Some("null".to_owned())
            })
        });
        let done = here.engine.resolve_many(r#"{"type": "client-wins"}"#, "{}", false).await.expect("looked at");
        assert_eq!(done["resolved"], json!([calm]));
        assert_eq!((&done["failed"][0]["id"], &done["failed"][0]["error"]["code"]), (&json!(conflict), &json!("validator_unsettled")));
        let open = here.engine.find_conflicts(r#"{"state": "open"}"#).await.expect("found");
        assert_eq!(open.iter().map(|conflict| conflict["id"].as_u64()).collect::<Vec<_>>(), [Some(conflict)]);
    });
}
