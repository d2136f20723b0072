//! A conflict that another device met: a new device of the user is given it, and so is a coordinator. It is decided there
//! like any other.

use serde_json::{Value, json};

use crate::trail::verify;
use crate::world::{Tab, World, tell};

/// Anna's first device wants a dose of 2, Ben's 3 is at the server.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) first: Tab,
    pub(crate) ben: Tab,
    pub(crate) id: String,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let world = World::new();
        let first = world.device("anna").tab().await;
        Self::with(world, first).await
    }

    async fn with(world: World, first: Tab) -> Self {
        let ben = world.device("ben").tab().await;
        first.create("pet", json!({"name": "Rex", "dose": 1, "age": 4})).await;
        assert!(first.sync().await.success && ben.sync().await.success);
        let id = ben.all("pet").await[0]["id"].to_string();
        world.pass(1_000);
        ben.update("pet", &id, json!({"dose": 3})).await;
        assert!(ben.sync().await.success);
        world.pass(1_000);
        first.update("pet", &id, json!({"dose": 2})).await;
        assert_eq!(first.up().await.conflicts, 1);
        Self { world, first, ben, id }
    }

    /// Another device of Anna's, that has everything.
    pub(crate) async fn second(&self) -> Tab {
        let second = self.world.device("anna").tab().await;
        assert!(second.sync().await.success);
        second
    }

    /// How many conflicts the server holds open.
    pub(crate) async fn held(&self) -> usize {
        let answer = self.world.ask("head", "conflicts", json!({"state": "open"})).await;
        answer["conflicts"].as_array().map_or(0, Vec::len)
    }

    pub(crate) async fn dose(&self, tab: &Tab) -> Value {
        tab.get("pet", &self.id).await.map_or(Value::Null, |pet| pet["dose"].clone())
    }
}

pub(crate) async fn conflicts(tab: &Tab) -> Vec<Value> {
    tab.engine.conflicts().await.expect("read")
}

pub(crate) async fn open(tab: &Tab) -> Vec<Value> {
    conflicts(tab).await.into_iter().filter(|conflict| conflict["state"] == "open").collect()
}

pub(crate) async fn resolve(tab: &Tab, conflict: &Value, strategy: &Value) -> Result<(), fieldsync::engine::EngineError> {
    tab.engine.resolve(conflict["id"].as_u64().expect("a key"), &strategy.to_string()).await
}

#[test]
fn a_new_device_is_given_the_conflict_and_decides_it_without_a_network() {
    for (strategy, dose) in [
        (json!({"type": "client-wins"}), json!(2)),
        (json!({"type": "server-wins"}), json!(3)),
        (json!({"type": "last-write-wins"}), json!(2)),
        (json!({"type": "merge"}), json!(2)),
        (json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 5}}), json!(5)),
    ] {
        tell(async {
            let stage = Stage::set().await;
            let second = stage.second().await;
            let found = conflicts(&second).await;
            assert_eq!(found.len(), 1, "{found:?}");
            let conflict = &found[0];
            assert_eq!(
                (&conflict["origin"], &conflict["state"], &conflict["kind"]),
                (&json!("server"), &json!("open"), &json!("update-update"))
            );
            assert_eq!((&conflict["localData"]["dose"], &conflict["serverData"]["dose"]), (&json!(2), &json!(3)));
            assert_eq!((&conflict["baseData"], &conflict["affectedFields"]), (&Value::Null, &json!(["dose"])));
            let firsts = conflicts(&stage.first).await;
            assert_eq!((&firsts[0]["origin"], &firsts[0]["conflictId"]), (&json!("device"), &conflict["conflictId"]));

            resolve(&second, conflict, &strategy).await.expect("resolved");
            assert_eq!(stage.dose(&second).await, dose, "it is seen at once");
            assert_eq!((second.queue().await.len(), open(&second).await.len(), stage.held().await), (1, 0, 1), "and sent later");
            assert!(resolve(&second, conflict, &strategy).await.is_err(), "once");
            let result = second.sync().await;
            assert_eq!((result.success, result.synced, result.conflicts), (true, 1, 0), "{result:?}");
            assert_eq!((second.queue().await.len(), stage.held().await), (0, 0), "{strategy}");
            // The first device hears of it, and agrees.
            stage.first.sync().await;
            let renewed = open(&stage.first).await.remove(0);
            assert_eq!(renewed["serverData"]["dose"], dose);
            resolve(&stage.first, &renewed, &json!({"type": "server-wins"})).await.expect("resolved");
            for tab in [&stage.first, &stage.ben, &second] {
                assert!(tab.sync().await.success);
                assert_eq!(stage.dose(tab).await, dose);
            }
            assert_eq!(stage.held().await, 0);
        });
    }
}

#[test]
fn it_comes_once_and_goes_when_it_is_decided_elsewhere() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.second().await;
        assert_eq!(second.engine.fetch_conflicts().await, json!({"open": 1, "errors": []}));
        let reopened = stage.second().await;
        assert_eq!((conflicts(&second).await.len(), conflicts(&reopened).await.len()), (1, 1));
        // News of the record are shown with it.
        stage.ben.update("pet", &stage.id, json!({"dose": 4})).await;
        stage.ben.sync().await;
        second.engine.fetch_conflicts().await;
        assert_eq!(open(&second).await[0]["serverData"]["dose"], 4);

        let own = open(&stage.first).await.remove(0);
        stage.first.sync().await;
        resolve(&stage.first, &own, &json!({"type": "client-wins"})).await.expect("resolved");
        assert!(stage.first.sync().await.success);
        assert_eq!(second.engine.fetch_conflicts().await, json!({"open": 0, "errors": []}));
        let ended = conflicts(&second).await.remove(0);
        assert_eq!((&ended["state"], &ended["resolution"]), (&json!("resolved"), &json!("elsewhere")));
        assert!(resolve(&second, &ended, &json!({"type": "client-wins"})).await.is_err());
        let counts = second.engine.count_conflicts("{}").await.expect("counted");
        assert_eq!((&counts["resolved"], &counts["byResolution"]), (&json!(1), &json!({"elsewhere": 1})));
        // Its key is no number of the trail.
        assert_eq!(verify(&second, None).await["firstBad"], Value::Null);
        // By itself as well, when the device begins anew.
        stage.first.engine.fetch_conflicts().await;
        assert_eq!(conflicts(&stage.first).await.len(), 1, "what it met itself is not its own twice");
    });
}

#[test]
fn somebody_decides_on_the_record_as_it_is_by_now() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.second().await;
        stage.ben.update("pet", &stage.id, json!({"name": "Max"})).await;
        stage.ben.sync().await;
        assert!(second.sync().await.success);
        let shown = open(&second).await.remove(0);
        assert_eq!((&shown["serverData"]["name"], &shown["localData"]["name"]), (&json!("Max"), &json!("Max")), "a page brought it");
        assert_eq!((&shown["serverData"]["dose"], &shown["localData"]["dose"]), (&json!(3), &json!(2)));
        let id = shown["id"].as_u64().expect("a key");
        assert_eq!(second.engine.conflict(id).await.expect("read").as_ref(), Some(&shown));
        resolve(&second, &shown, &json!({"type": "merge", "mergedData": {"name": "Moritz", "dose": 5}})).await.expect("resolved");
        let ended = second.engine.conflict(id).await.expect("read").expect("there");
        assert_eq!(ended["serverData"]["name"], "Max", "what it was decided on is kept");
        let steps: Vec<&str> = ended["steps"].as_array().expect("steps").iter().filter_map(|step| step["step"].as_str()).collect();
        assert_eq!(steps, ["found", "renewed", "resolved"]);
        second.engine.restore_conflict(id, None).await.expect("restored");
        assert!(second.sync().await.success && stage.ben.sync().await.success);
        assert_eq!(stage.dose(&stage.ben).await, 2, "what lost is the other device's word");
    });
}

#[test]
fn a_device_that_begins_anew_closes_what_was_decided_meanwhile() {
    tell(async {
        let stage = Stage::set().await;
        let device = stage.world.device("anna");
        let tab = device.tab().await;
        assert!(tab.sync().await.success);
        assert_eq!(open(&tab).await.len(), 1);
        let own = open(&stage.first).await.remove(0);
        resolve(&stage.first, &own, &json!({"type": "client-wins"})).await.expect("resolved");
        assert!(stage.first.sync().await.success);
        let requests = stage.world.requests("conflicts");
        let again = device.tab().await;
        assert!(again.sync().await.success);
        assert_eq!((open(&again).await.len(), stage.world.requests("conflicts")), (0, requests));
        assert_eq!(conflicts(&again).await[0]["resolution"], "elsewhere");
    });
}

#[test]
fn whoever_decides_second_is_told_and_loses_nothing() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.second().await;
        let held = open(&second).await.remove(0);
        resolve(&second, &held, &json!({"type": "merge", "mergedData": {"name": "Rex", "dose": 7}})).await.expect("resolved");
        let own = open(&stage.first).await.remove(0);
        resolve(&stage.first, &own, &json!({"type": "client-wins"})).await.expect("resolved");
        assert!(stage.first.sync().await.success);
        let result = second.sync().await;
        assert_eq!((result.success, result.conflicts), (true, 1), "{result:?}");
        let told = open(&second).await.remove(0);
        assert_eq!((&told["origin"], &told["localData"]["dose"], &told["serverData"]["dose"]), (&json!("device"), &json!(7), &json!(2)));
        resolve(&second, &told, &json!({"type": "client-wins"})).await.expect("resolved");
        for tab in [&second, &stage.first, &stage.ben] {
            assert!(tab.sync().await.success);
            assert_eq!(stage.dose(tab).await, 7);
        }
        assert_eq!(stage.held().await, 0);
        assert_eq!(stage.world.changes().await.len(), 4, "made, 3, 2 and 7: none of them twice");
    });
}

#[test]
fn a_decision_that_has_to_be_made_anew_is_one_still() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.second().await;
        let held = open(&second).await.remove(0);
        resolve(&second, &held, &json!({"type": "client-wins"})).await.expect("resolved");
        stage.ben.update("pet", &stage.id, json!({"dose": 4})).await;
        assert!(stage.ben.sync().await.success);
        assert_eq!(second.up().await.conflicts, 1);
        second.engine.fetch_conflicts().await;
        let own = open(&second).await;
        assert_eq!((own.len(), &own[0]["origin"], stage.held().await), (1, &json!("device"), 2));
        resolve(&second, &own[0], &json!({"type": "client-wins"})).await.expect("resolved");
        second.engine.fetch_conflicts().await;
        assert_eq!(open(&second).await, Vec::<Value>::new(), "the first one does not come back");
        assert!(second.sync().await.success);
        assert_eq!((stage.dose(&second).await, stage.held().await), (json!(2), 0), "and closes with the second");
    });
}

#[test]
fn a_decision_that_waits_is_not_asked_for_again_and_one_that_was_given_up_is() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.second().await;
        let held = open(&second).await.remove(0);
        resolve(&second, &held, &json!({"type": "client-wins"})).await.expect("resolved");
        second.engine.fetch_conflicts().await;
        assert_eq!(open(&second).await.len(), 0, "it is on its way");
        let waiting = second.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        second.engine.discard(&waiting, None).await.expect("given up");
        second.engine.fetch_conflicts().await;
        assert_eq!(open(&second).await.len(), 1, "nobody has decided it now");
    });
}

#[test]
fn a_record_that_is_not_here_cannot_be_decided_on() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.world.device("anna").tab().await;
        assert_eq!(second.engine.fetch_conflicts().await, json!({"open": 1, "errors": []}));
        let held = open(&second).await.remove(0);
        let refused = resolve(&second, &held, &json!({"type": "client-wins"})).await.expect_err("nothing is here");
        assert_eq!((refused.code, &refused.details["entity"]), ("unknown_record", &json!("pet")));
        assert!(second.sync().await.success);
        resolve(&second, &held, &json!({"type": "client-wins"})).await.expect("now it is");
    });
}

#[test]
fn a_member_of_a_transaction_is_decided_on_its_own_device() {
    tell(async {
        let stage = Stage::set().await;
        let own = open(&stage.first).await.remove(0);
        resolve(&stage.first, &own, &json!({"type": "server-wins"})).await.expect("resolved");
        assert!(stage.first.sync().await.success);
        stage.ben.update("pet", &stage.id, json!({"dose": 4})).await;
        assert!(stage.ben.sync().await.success);
        let id: Value = serde_json::from_str(&stage.id).expect("JSON");
        let writes =
            json!([{"kind": "update", "entity": "pet", "id": id, "set": {"dose": 6}}, {"kind": "create", "entity": "client", "data": {}}]);
        stage.first.engine.transaction(&writes.to_string()).await.expect("written");
        assert_eq!(stage.first.up().await.conflicts, 1);
        let second = stage.second().await;
        let held = open(&second).await.remove(0);
        let refused = resolve(&second, &held, &json!({"type": "client-wins"})).await.expect_err("the others are not here");
        assert_eq!(refused.code, "in_transaction");
        resolve(&second, &held, &json!({"type": "server-wins"})).await.expect("it gives nothing that belongs together");
        assert!(second.sync().await.success);
        assert_eq!((stage.held().await, stage.world.changes().await.len()), (0, 3));
        // Its own device still has the whole of it.
        let own = open(&stage.first).await.remove(0);
        resolve(&stage.first, &own, &json!({"type": "client-wins"})).await.expect("resolved");
        assert!(stage.first.sync().await.success);
        assert_eq!((stage.held().await, stage.world.changes().await.len()), (0, 5));
    });
}

#[test]
fn a_coordinator_is_given_those_of_everybody_and_nobody_else_is() {
    tell(async {
        let stage = Stage::set().await;
        let mut office = stage.world.device("head");
        let plain = office.tab().await;
        assert!(plain.sync().await.success);
        assert_eq!(conflicts(&plain).await.len(), 0);
        office.coordinator = true;
        let head = office.tab().await;
        assert!(head.sync().await.success);
        let held = open(&head).await.remove(0);
        assert_eq!(held["operation"]["author"], "anna");
        resolve(&head, &held, &json!({"type": "client-wins"})).await.expect("resolved");
        let result = head.sync().await;
        assert_eq!((result.success, result.synced), (true, 1), "{result:?}");
        assert_eq!(stage.held().await, 0, "it closed the server's copy");
        assert!(stage.ben.sync().await.success);
        assert_eq!(stage.dose(&stage.ben).await, 2);
    });
}

#[test]
fn the_clock_of_the_device_that_met_it_counts() {
    tell(async {
        let world = World::new();
        let mut wrong = world.device("anna");
        // A day behind: by its own clock its write came long before Ben's.
        wrong.skew = -24 * 3_600_000;
        let first = wrong.tab().await;
        let stage = Stage::with(world, first).await;
        let second = stage.second().await;
        let held = open(&second).await.remove(0);
        resolve(&second, &held, &json!({"type": "last-write-wins"})).await.expect("resolved");
        assert!(second.sync().await.success);
        assert_eq!(stage.dose(&second).await, 2, "it was the later one");
    });
}

#[test]
fn a_server_that_cannot_answer_is_asked_again() {
    tell(async {
        let stage = Stage::set().await;
        let second = stage.world.device("anna").tab().await;
        second.fault("conflicts", crate::world::Fault::Status(503, None));
        let result = second.sync().await;
        assert_eq!((result.success, result.errors[0].code.as_str(), result.downloaded), (false, "server", 1), "{result:?}");
        assert!(second.sync().await.success);
        assert_eq!(open(&second).await.len(), 1);
        second.engine.set_offline(true);
        assert_eq!(second.engine.fetch_conflicts().await["errors"][0]["code"], "network");
    });
}

#[test]
fn what_the_refused_change_leaves_alone_of_fields_that_belong_together_stays() {
    for (how, newer) in [("client-wins", false), ("last-write-wins", false), ("merge", false), ("client-wins", true)] {
        tell(async move {
            let world = World::new();
            let (first, ben) = (world.device("anna").tab().await, world.device("ben").tab().await);
            first.create("product", json!({"shelf": "a", "price": 1, "currency": "EUR"})).await;
            assert!(first.sync().await.success && ben.sync().await.success);
            ben.update("product", "1", json!({"shelf": "b"})).await;
            assert!(ben.sync().await.success);
            world.pass(1_000);
            first.update("product", "1", json!({"shelf": "c", "price": 3})).await;
            assert_eq!(first.up().await.conflicts, 1);
            // Where the other side has written once more, what is decided on is what is shown.
            if newer {
                ben.update("product", "1", json!({"price": 2, "currency": "SEK"})).await;
                assert!(ben.sync().await.success);
            }
            let second = world.device("anna").tab().await;
            assert!(second.sync().await.success);
            let held = open(&second).await.remove(0);
            let shown = json!({"shelf": "c", "price": 3, "currency": if newer { "SEK" } else { "EUR" }});
            assert_eq!(held["localData"], shown);
            resolve(&second, &held, &json!({"type": how})).await.expect("decided");
            assert!(second.sync().await.success && ben.sync().await.success);
            let mut there = ben.get("product", "1").await.expect("there");
            there.as_object_mut().expect("a record").retain(|field, _| field != "_sync" && field != "id");
            assert_eq!(there, shown, "{how}");
        });
    }
}
