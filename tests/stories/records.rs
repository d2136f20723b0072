//! Records as a story speaks of them: by an ID that a tab gave or the server, and one that the server refuses.

use serde_json::{Value, json};

use crate::world::Tab;

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
