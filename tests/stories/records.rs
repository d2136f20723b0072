//! Records as a story speaks of them: by an ID that a tab gave or the server, one that two devices have, and one that the
//! server refuses.

use serde_json::{Value, json};

use crate::world::{Device, Tab, World};

/// An ID, given as JSON text, as it stands in a record.
pub fn value(id: &str) -> Value {
    serde_json::from_str(id).expect("an ID")
}

impl Tab {
    /// The ID that the server gave a record, found by any that it has or had here.
    pub async fn real_id(&self, entity: &str, id: &str) -> Value {
        let id = self.get(entity, id).await.expect("there")["id"].clone();
        assert!(!id.to_string().contains("temp_"), "{entity} {id} is not known to the server");
        id
    }
}

/// Two devices that have the same record, and nothing unsent.
pub struct Shared {
    pub world: World,
    pub device: Device,
    pub here: Tab,
    pub there: Tab,
    pub id: String,
}

impl Shared {
    /// A tag, which the other device created. Both have these settings.
    pub async fn tag(settings: Value, data: Value) -> Self {
        let world = World::new();
        let device = world.device("anna");
        let (here, there) = (device.tab_with(settings.clone()).await, world.device("ben").tab_with(settings).await);
        there.create("tag", data).await;
        assert!(there.sync().await.success && here.sync().await.success);
        let id = here.all("tag").await[0]["id"].to_string();
        Self { world, device, here, there, id }
    }
}

/// A pet of a client that the server does not have, and an appointment of that pet: the pet is parked, the
/// appointment waits for it.
pub async fn parked(tab: &Tab) -> (String, String, String) {
    let pet = tab.create("pet", json!({"name": "Rex", "clientId": 999})).await;
    let appointment = tab.create("appointment", json!({"petId": value(&pet)})).await;
    assert!(!tab.sync().await.success);
    let queue = tab.queue().await;
    assert_eq!(
        (&queue[0]["state"], &queue[0]["reason"]["code"], &queue[1]["state"]),
        (&json!("parked"), &json!("reference_missing"), &json!("blocked"))
    );
    (pet, appointment, queue[0]["operationId"].as_str().expect("an ID").to_owned())
}
