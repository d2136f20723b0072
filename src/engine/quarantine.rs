//! What lies in quarantine: told to whoever asks, and looked at again when the app declares its records anew.

use std::rc::Rc;

use serde_json::{Value, json};

use super::options::invalid;
use super::records::object;
use super::validators::VALIDATOR;
use super::{Engine, EngineError};
use crate::decide::{Effects, InQuarantine, Incoming, LookAtQuarantine, Validated};
use crate::model::RecordId;
use crate::platform::Host;
use crate::store::{Durability, Store};
use crate::value::to_value;

/// So many are looked at in one transaction.
const LOOKED_AT_AT_ONCE: u32 = 100;

impl<S: Store, H: Host> Engine<S, H> {
    /// What lies in quarantine, by entity and ID: `{"after": {"entity", "id"}, "limit"}`, each optional.
    pub async fn quarantine(&self, options: &str) -> Result<Vec<Value>, EngineError> {
        let (mut after, mut limit) = (None, None);
        for (name, value) in object(options, 0)? {
            match name.as_str() {
                "after" => {
                    let id = value.get("id").and_then(|id| RecordId::from_value(id).ok());
                    let place = value.get("entity").and_then(Value::as_str).map(str::to_owned).zip(id);
                    after = Some(place.ok_or_else(|| invalid("after", "must be an entity and an id"))?);
                }
                "limit" => {
                    let most = value.as_u64().and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0);
                    limit = Some(most.ok_or_else(|| invalid("limit", "must be a whole number from 1"))?);
                }
                _ => return Err(invalid(&name, "is no option")),
            }
        }
        // Not by `look`: reading alone would be a copy of all that a decision is carried by.
        let found = self.decide(Durability::Relaxed, self.looking(after, limit, None)).await?.found;
        Ok(found.iter().map(|(entity, id, row)| json!({
            "entity": entity, "id": id.to_value(), "version": to_value(&row.version), "reason": row.reason, "faults": to_value(&row.faults),
            "since": row.at, "schemaVersion": row.schema,
        })).collect())
    }

    /// Holds all that lies in quarantine against the schema once more, and applies what may be shown by now.
    pub(super) async fn look_again(&self) -> Result<(), EngineError> {
        let (mut after, mut late) = (None, Vec::new());
        loop {
            let validated = self.validated(&after, &mut late).await?;
            let looking = self.looking(after, Some(LOOKED_AT_AT_ONCE), Some(validated));
            let InQuarantine { mut found, effects } = self.decide(Durability::Relaxed, looking).await?;
            if effects != Effects::default() {
                self.absorb(&effects, "sync");
            }
            let more = u32::try_from(found.len()).is_ok_and(|count| count == LOOKED_AT_AT_ONCE);
            match found.pop().filter(|_| more) {
                Some((entity, id, _)) => after = Some((entity, id)),
                None => return Ok(()),
            }
        }
    }

    /// What the app's functions say of the next part of it. Where one does not say, what lies there stays; one that was late
    /// is not waited for again and again.
    async fn validated(&self, after: &Option<(String, RecordId)>, late: &mut Vec<String>) -> Result<Validated, EngineError> {
        let entities = self.inner.settings.validators.clone();
        let mut refused = Vec::new();
        if !entities.is_empty() {
            let part = self.decide(Durability::Relaxed, self.looking(after.clone(), Some(LOOKED_AT_AT_ONCE), None)).await?;
            for (entity, id, kept) in part.found.into_iter().filter(|(entity, ..)| entities.contains(entity)) {
                let Some(record) = Incoming::kept(&self.inner.settings.schema, &entity, &id, &kept).shown() else { continue };
                let faults = if late.contains(&entity) {
                    kept.faults
                } else {
                    self.validate(&entity, &id, &record).await.unwrap_or_else(|why| {
                        if why == VALIDATOR.late {
                            late.push(entity.clone());
                        }
                        kept.faults
                    })
                };
                if !faults.is_empty() {
                    refused.push((entity, id, kept.version, faults));
                }
            }
        }
        Ok(Validated { entities, refused })
    }

    fn looking(&self, after: Option<(String, RecordId)>, limit: Option<u32>, again: Option<Validated>) -> LookAtQuarantine {
        let settings = &self.inner.settings;
        let (schema, user) = (settings.schema.clone(), settings.user.clone());
        let (again, validated) = (again.is_some(), Rc::new(again.unwrap_or_default()));
        LookAtQuarantine { schema, after, limit, again, validated, now: self.now(), user }
    }
}
