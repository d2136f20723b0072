//! What lies in quarantine: told to whoever asks, and looked at again when the app declares its records anew.

use serde_json::{Value, json};

use super::records::object;
use super::{Engine, EngineError};
use crate::conflict::FilterError;
use crate::decide::{InQuarantine, LookAtQuarantine};
use crate::model::RecordId;
use crate::platform::Host;
use crate::store::{Durability, Store};
use crate::value::to_value;

/// So many are looked at in one transaction.
const LOOKED_AT_AT_ONCE: u32 = 100;

impl<S: Store, H: Host> Engine<S, H> {
    /// What lies in quarantine, by entity and ID: `{"after": {"entity", "id"}, "limit"}`, each optional.
    pub async fn quarantine(&self, options: &str) -> Result<Vec<Value>, EngineError> {
        let wrong = |path: &str, reason| FilterError { path: path.to_owned(), reason };
        let (mut after, mut limit) = (None, None);
        for (name, value) in object(options, 0)? {
            match name.as_str() {
                "after" => {
                    let id = value.get("id").and_then(|id| RecordId::from_value(id).ok());
                    let place = value.get("entity").and_then(Value::as_str).map(str::to_owned).zip(id);
                    after = Some(place.ok_or_else(|| wrong("after", "must be an entity and an id"))?);
                }
                "limit" => {
                    let most = value.as_u64().and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
                    limit = Some(most.ok_or_else(|| wrong("limit", "must be a whole number from 1"))?);
                }
                _ => return Err(wrong(&name, "is no option").into()),
            }
        }
        let found = self.look(self.looking(after, limit, false)).await?.found;
        Ok(found.iter().map(|(entity, id, row)| json!({
            "entity": entity, "id": id.to_value(), "version": to_value(&row.version), "reason": row.reason, "faults": to_value(&row.faults),
            "since": row.at, "schemaVersion": row.schema,
        })).collect())
    }

    /// Holds all that lies in quarantine against the schema once more, and applies what may be shown by now.
    pub(super) async fn look_again(&self) -> Result<(), EngineError> {
        let mut after = None;
        loop {
            let InQuarantine { mut found, effects } =
                self.decide(Durability::Relaxed, self.looking(after, Some(LOOKED_AT_AT_ONCE), true)).await?;
            self.absorb(&effects, "sync");
            let more = u32::try_from(found.len()).is_ok_and(|count| count == LOOKED_AT_AT_ONCE);
            match found.pop().filter(|_| more) {
                Some((entity, id, _)) => after = Some((entity, id)),
                None => return Ok(()),
            }
        }
    }

    fn looking(&self, after: Option<(String, RecordId)>, limit: Option<u32>, again: bool) -> LookAtQuarantine {
        let settings = &self.inner.settings;
        LookAtQuarantine { schema: settings.schema.clone(), after, limit, again, now: self.now(), user: settings.user.clone() }
    }
}
