//! Records that were created so that they refer to each other, each by a write of its own: one goes without its reference
//! first, and gets it once the other is there.

use serde_json::{Value, json};

use crate::records::value;
use crate::world::{Fault, Tab, World, tell};

fn schema(more: &Value) -> Value {
    let mut herd = json!({"references": {"mate": "cow", "next": "cow", "herd[].cowId": "cow"}});
    for (key, value) in more.as_object().into_iter().flatten() {
        herd[key] = value.clone();
    }
    json!({"name": "herds", "version": 1, "entities": {"cow": herd}})
}

async fn two(more: &Value, settings: &Value) -> (World, Tab, Tab) {
    let schema = schema(more);
    let world = World::declaring(&schema);
    let mut all = json!({"schema": schema});
    for (key, value) in settings.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let (here, there) = (world.device("anna").tab_with(all.clone()).await, world.device("ben").tab_with(all).await);
    (world, here, there)
}

impl Tab {
    /// Creates cows, each under an ID that was given before, with what it is to have.
    async fn cows(&self, data: impl Fn(&[Value]) -> Vec<Value>) -> Vec<Value> {
        let ids: Vec<Value> = (0..3).map(|_| json!(self.engine.temp_id("cow").expect("an ID"))).collect();
        let all = data(&ids);
        for (id, data) in ids.iter().zip(&all) {
            let mut data = data.clone();
            data["id"] = id.clone();
            self.create("cow", data).await;
        }
        ids[..all.len()].to_vec()
    }
    /// The cows by name, with what they refer to by name.
    async fn herd(&self) -> Vec<String> {
        let cows = self.all("cow").await;
        let name = |id: &Value| cows.iter().find(|cow| cow["id"] == *id).map_or(Value::Null, |cow| cow["name"].clone());
        let mut told: Vec<String> = cows
            .iter()
            .map(|cow| {
                let herd: Vec<Value> = cow["herd"].as_array().into_iter().flatten().map(|item| name(&item["cowId"])).collect();
                format!("{} {} {} {}", cow["name"], name(&cow["mate"]), name(&cow["next"]), Value::from(herd))
            })
            .collect();
        told.sort_unstable();
        told
    }
}

/// Both see this in the end, and nothing waits.
async fn both_see(tabs: [&Tab; 2], herd: &[&str]) {
    assert_eq!(tabs[0].herd().await, herd, "before anybody was asked");
    let result = tabs[0].sync().await;
    assert!(result.success, "{result:?}");
    assert!(tabs[1].sync().await.success && tabs[0].sync().await.success);
    assert_eq!((tabs[0].herd().await, tabs[1].herd().await), (herd.iter().map(ToString::to_string).collect(), tabs[0].herd().await));
    assert!(tabs[0].queue().await.is_empty(), "{:?}", tabs[0].queue().await);
}

#[test]
fn two_that_refer_to_each_other_go_up_and_refer_to_each_other() {
    for coalesce in [false, true] {
        tell(async {
            let (world, here, there) = two(&json!({}), &json!({"coalesce": coalesce})).await;
            here.cows(|ids| vec![json!({"name": "A", "mate": ids[1]}), json!({"name": "B", "mate": ids[0]})]).await;
            both_see([&here, &there], &[r#""A" "B" null []"#, r#""B" "A" null []"#]).await;
            let changes: Vec<String> = world.changes().await.into_iter().map(|(_, kind)| kind).collect();
            assert_eq!(changes.len(), 3, "two creates and the update behind them: {changes:?}");
        });
    }
}

#[test]
fn circles_over_three_and_over_lists_open_too() {
    tell(async {
        let (_world, here, there) = two(&json!({}), &json!({})).await;
        here.cows(|ids| {
            vec![
                json!({"name": "A", "mate": ids[1], "herd": [{"cowId": ids[2]}, {"cowId": ids[1]}]}),
                json!({"name": "B", "mate": ids[2], "next": ids[0]}),
                json!({"name": "C", "mate": ids[0], "next": ids[1], "herd": [{"cowId": ids[0]}]}),
            ]
        })
        .await;
        both_see([&here, &there], &[r#""A" "B" null ["C","B"]"#, r#""B" "C" "A" []"#, r#""C" "A" "B" ["A"]"#]).await;
    });
}

#[test]
fn it_opens_where_the_reference_may_be_empty_and_is_told_where_none_may() {
    tell(async {
        // Whoever has a mate has one from the beginning; only the next may come later.
        let (_world, here, there) = two(&json!({"fields": {"mate": {"required": true}}}), &json!({})).await;
        let one = here.cows(|ids| vec![json!({"name": "A", "mate": ids[1]}), json!({"name": "B", "mate": ids[1], "next": ids[0]})]).await;
        both_see([&here, &there], &[r#""A" "B" null []"#, r#""B" "B" "A" []"#]).await;
        assert_eq!(one.len(), 2);
        here.cows(|ids| vec![json!({"name": "C", "mate": ids[1]}), json!({"name": "D", "mate": ids[0]})]).await;
        let result = here.sync().await;
        assert_eq!((result.success, result.failed), (false, 1));
        let queue = here.queue().await;
        let told: Vec<_> = queue.iter().map(|item| (&item["payload"]["name"], &item["state"], &item["reason"]["code"])).collect();
        let (c, d) = (json!("C"), json!("D"));
        assert_eq!(told, [(&c, &json!("blocked"), &json!("dependency_cycle")), (&d, &json!("parked"), &json!("dependency_cycle"))]);
        assert_eq!(
            (&queue[1]["reason"]["path"], &queue[1]["reason"]["message"]),
            (&json!("mate"), &json!("Records refer to each other in a circle: mate."))
        );
        // Sent again as it is, it is a circle again; put right, all goes.
        let operation = queue[1]["operationId"].as_str().expect("an ID").to_owned();
        here.engine.retry(&operation, None).await.expect("sent again");
        assert!(!here.sync().await.success);
        let operation = here.queue().await[1]["operationId"].as_str().expect("an ID").to_owned();
        let own = here.queue().await[1]["recordId"].clone();
        here.engine.retry(&operation, Some(&json!({"set": {"mate": own}}).to_string())).await.expect("put right");
        both_see([&here, &there], &[r#""A" "B" null []"#, r#""B" "B" "A" []"#, r#""C" "D" null []"#, r#""D" "D" null []"#]).await;
    });
}

#[test]
fn what_was_written_since_stands_and_a_lost_answer_changes_nothing() {
    tell(async {
        let (_world, here, there) = two(&json!({}), &json!({"coalesce": false})).await;
        let ids = here.cows(|ids| vec![json!({"name": "A", "mate": ids[1]}), json!({"name": "B", "mate": ids[0]})]).await;
        here.update("cow", &ids[1].to_string(), json!({"mate": null, "name": "Bee"})).await;
        here.update("cow", &ids[0].to_string(), json!({"next": ids[1]})).await;
        here.fault("upload", Fault::LoseAnswer);
        let herd = [r#""A" "Bee" "Bee" []"#, r#""Bee" null null []"#];
        assert_eq!(here.herd().await, herd);
        here.sync().await;
        both_see([&here, &there], &herd).await;
    });
}

#[test]
fn one_that_refers_to_itself_is_no_circle() {
    tell(async {
        let (world, here, there) = two(&json!({"fields": {"mate": {"required": true}}}), &json!({})).await;
        let ids = here.cows(|ids| vec![json!({"name": "A", "mate": ids[0]})]).await;
        assert_eq!(value(&ids[0].to_string()), ids[0]);
        both_see([&here, &there], &[r#""A" "A" null []"#]).await;
        assert_eq!(world.changes().await.len(), 1);
    });
}
