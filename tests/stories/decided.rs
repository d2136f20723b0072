//! A conflict of this device is decided at the server, by somebody else, before, while or after it is decided here.

use serde_json::{Value, json};

use crate::world::{Tab, World, tell};

/// Anna's device, and somebody at the office who may decide over everybody's conflicts.
struct Stage {
    world: World,
    here: Tab,
    there: Tab,
    id: String,
}

impl Stage {
    /// Anna wants a dose of 2 and Ben's 3 is at the server: a person has to decide.
    async fn set() -> Self {
        let world = World::new();
        let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
        here.create("pet", json!({"name": "Rex", "dose": 1})).await;
        assert!(here.sync().await.success && there.sync().await.success);
        let id = there.all("pet").await[0]["id"].to_string();
        here.update("pet", &id, json!({"dose": 2})).await;
        there.update("pet", &id, json!({"dose": 3})).await;
        assert!(there.sync().await.success);
        assert_eq!(here.up().await.conflicts, 1);
        Self { world, here, there, id }
    }

    /// What the server holds of open conflicts.
    async fn held(&self) -> Vec<Value> {
        let answer = self.world.ask("head", "conflicts", json!({"state": "open"})).await;
        answer["conflicts"].as_array().cloned().expect("a list")
    }

    /// The office decides on what the server has now.
    async fn decide(&self, number: u64, resolution: &str, data: Option<Value>) -> Value {
        let held = self.held().await.remove(0);
        let mut decision = json!({"conflictId": held["conflictId"], "operation": format!("0190a1b2-0000-7000-8000-{number:012}"),
            "expectedVersion": held["server"]["version"], "resolution": resolution});
        if let Some(data) = data {
            decision["data"] = data;
        }
        self.world.ask("head", "resolve-conflict", decision).await
    }

    async fn open(&self) -> Option<Value> {
        let conflicts = self.here.engine.conflicts().await.expect("read");
        conflicts.into_iter().find(|conflict| conflict["state"] == "open")
    }

    async fn choose(&self, strategy: &str) {
        let open = self.open().await.expect("an open conflict");
        self.here.engine.resolve(open["id"].as_u64().expect("a key"), &json!({"type": strategy}).to_string()).await.expect("resolved");
    }

    /// Everybody and the server come to this dose, nothing waits and nothing is open.
    async fn ends_with(&self, dose: Value) {
        for _ in 0..2 {
            for tab in [&self.here, &self.there] {
                let result = tab.sync().await;
                assert!(result.success, "{result:?}");
            }
        }
        for tab in [&self.here, &self.there] {
            assert_eq!(tab.get("pet", &self.id).await.expect("there")["dose"], dose);
            assert_eq!(tab.queue().await, Vec::<Value>::new());
        }
        assert_eq!(self.held().await, Vec::<Value>::new());
        assert!(self.open().await.is_none());
    }
}

#[test]
fn what_was_decided_at_the_server_is_what_the_device_then_decides_on() {
    for (resolution, data, dose) in
        [("server-wins", None, 3), ("client-wins", None, 2), ("merge", Some(json!({"name": "Rex", "dose": 5})), 5)]
    {
        tell(async {
            let stage = Stage::set().await;
            let answer = stage.decide(1, resolution, data.clone()).await;
            assert_eq!((&answer["outcome"]["status"], &answer["record"]["data"]["dose"]), (&json!("applied"), &json!(dose)));
            stage.here.sync().await;
            let open = stage.open().await.expect("it still waits here");
            assert_eq!((&open["localData"]["dose"], &open["serverData"]["dose"]), (&json!(2), &json!(dose)), "{resolution}");
            // Knowing that, the device can agree, or want its own side all the same.
            stage.choose("server-wins").await;
            stage.ends_with(json!(dose)).await;
        });
        tell(async {
            let stage = Stage::set().await;
            stage.decide(1, resolution, data.clone()).await;
            stage.here.sync().await;
            stage.choose("client-wins").await;
            stage.ends_with(json!(2)).await;
        });
    }
}

#[test]
fn a_device_that_decided_before_it_heard_of_it_is_told_and_keeps_its_side() {
    tell(async {
        let stage = Stage::set().await;
        stage.decide(1, "merge", Some(json!({"name": "Rex", "dose": 5}))).await;
        stage.choose("client-wins").await;
        let result = stage.here.up().await;
        assert_eq!((result.success, result.conflicts), (true, 1), "{result:?}");
        let again = stage.open().await.expect("it is asked anew");
        assert_eq!((&again["localData"]["dose"], &again["serverData"]["dose"]), (&json!(2), &json!(5)));
        assert_eq!(stage.held().await.len(), 1, "and so is the server's copy");
        stage.choose("client-wins").await;
        stage.ends_with(json!(2)).await;
        assert_eq!(stage.world.changes().await.len(), 4, "made, changed there, merged, changed here: none of them twice");
    });
}

#[test]
fn a_device_that_decided_the_same_changes_nothing_twice() {
    for (resolution, strategy, dose) in
        [("client-wins", "client-wins", 2), ("server-wins", "server-wins", 3), ("client-wins", "server-wins", 2)]
    {
        tell(async {
            let stage = Stage::set().await;
            stage.decide(1, resolution, None).await;
            let changes = stage.world.changes().await.len();
            stage.choose(strategy).await;
            let result = stage.here.up().await;
            assert_eq!((result.success, result.conflicts), (true, 0), "{result:?}");
            assert_eq!(stage.world.changes().await.len(), changes);
            stage.ends_with(json!(dose)).await;
        });
    }
}

#[test]
fn an_office_that_decides_after_the_device_is_told() {
    tell(async {
        let stage = Stage::set().await;
        let held = stage.held().await.remove(0);
        stage.choose("client-wins").await;
        assert!(stage.here.up().await.success);
        let decision = json!({"conflictId": held["conflictId"], "operation": "0190a1b2-0000-7000-8000-000000000001",
            "expectedVersion": held["server"]["version"], "resolution": "server-wins"});
        let answer = stage.world.ask("head", "resolve-conflict", decision).await;
        assert_eq!((&answer["outcome"]["status"], &answer["record"]["data"]["dose"]), (&json!("closed"), &json!(2)));
        stage.ends_with(json!(2)).await;
    });
}

#[test]
fn what_was_written_behind_the_conflict_follows_whoever_decides() {
    tell(async {
        let stage = Stage::set().await;
        stage.here.update("pet", &stage.id, json!({"name": "Max"})).await;
        stage.decide(1, "client-wins", None).await;
        stage.choose("client-wins").await;
        stage.ends_with(json!(2)).await;
        assert_eq!(stage.there.get("pet", &stage.id).await.expect("there")["name"], "Max");
    });
}
