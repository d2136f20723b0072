//! The words of a script put into those of the surface: names of records become the IDs that a database knows them by,
//! and values carry the marks of their step and their tenant.

use std::collections::BTreeMap;

use fieldsync::engine::EngineError;
use serde_json::{Map, Value, json};

use super::{Step, entity_of, is_text};
use crate::user::marker;
use crate::world::{Context, SimEngine, World, canary};

/// IDs of records that a transaction is about to create, by name.
type Knows = BTreeMap<String, Value>;

impl World {
    /// The ID of a named record as this database knows it, as JSON text: the one under which it was created here, or
    /// that of the record which carries the name.
    pub(super) async fn find(&self, context: &Context, engine: &SimEngine, name: &str) -> Result<Option<String>, EngineError> {
        let place = (context.database.get(), name.to_owned());
        let known = self.script.ids.borrow().get(&place).cloned();
        let Some(entity) = entity_of(&self.plan, name) else { return Ok(None) };
        if let Some(id) = known {
            return Ok(Some(id));
        }
        let found = engine.query(entity, "{}").await?;
        let id = found.iter().find(|record| is_text(&record["label"], name)).map(|record| record["id"].to_string());
        if let Some(id) = &id {
            self.script.ids.borrow_mut().insert(place, id.clone());
        }
        Ok(id)
    }

    /// A queued operation of a named record.
    pub(super) async fn queued(
        &self,
        context: &Context,
        engine: &SimEngine,
        name: &str,
        parked: bool,
    ) -> Result<Option<String>, EngineError> {
        let Some(id) = self.find(context, engine, name).await? else { return Ok(None) };
        let entity = entity_of(&self.plan, name).unwrap_or_default();
        let queue = engine.queue().await?;
        let record = engine.get(entity, &id).await?.map(|record| record["id"].to_string());
        let of = |item: &&Value| item["entity"] == entity && [Some(&id), record.as_ref()].contains(&Some(&item["recordId"].to_string()));
        let wanted = |item: &&Value| if parked { item["state"] == "parked" } else { item["sealed"] == false || item["state"] == "parked" };
        Ok(queue.iter().filter(of).find(wanted).and_then(|item| item["operationId"].as_str()).map(str::to_owned))
    }

    /// Values as a step writes them: texts carry the mark of the step and of the tenant.
    pub(super) fn values(&self, context: &Context, number: u64, set: &Value) -> Value {
        let canary = canary(&self.database_of(context).plan.tenant);
        match set {
            Value::String(text) => json!(format!("{text} {}{canary}", marker(number))),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(field, value)| (field.clone(), self.values(context, number, value))).collect())
            }
            Value::Array(list) => Value::Array(list.iter().map(|value| self.values(context, number, value)).collect()),
            other => other.clone(),
        }
    }

    /// The ID of a record that exists, or that is about to.
    async fn known(&self, context: &Context, engine: &SimEngine, name: &str, fresh: &Knows) -> Result<Option<Value>, EngineError> {
        if let Some(id) = fresh.get(name) {
            return Ok(Some(id.clone()));
        }
        let id = self.find(context, engine, name).await?;
        Ok(id.and_then(|id| serde_json::from_str(&id).ok()))
    }

    /// The same, with names replaced by IDs; nothing while one of them is not here.
    async fn resolved(
        &self,
        context: &Context,
        engine: &SimEngine,
        number: u64,
        set: &Value,
        fresh: &Knows,
    ) -> Result<Option<Map<String, Value>>, EngineError> {
        let mut fields = Map::new();
        for (field, value) in set.as_object().into_iter().flatten() {
            let value = match value.as_str().and_then(|text| text.strip_prefix('@')) {
                Some(name) => {
                    let Some(id) = self.known(context, engine, name, fresh).await? else { return Ok(None) };
                    id
                }
                None => self.values(context, number, value),
            };
            fields.insert(field.clone(), value);
        }
        Ok(Some(fields))
    }

    /// The writes of some steps, as the surface takes them.
    pub(super) async fn writes(
        &self,
        context: &Context,
        engine: &SimEngine,
        number: u64,
        steps: &[Step],
    ) -> Result<Option<Vec<Value>>, EngineError> {
        let (mut writes, mut fresh) = (Vec::new(), Knows::new());
        for step in steps {
            match step {
                Step::Create { name, entity, set } => {
                    let Some(mut data) = self.resolved(context, engine, number, set, &fresh).await? else { return Ok(None) };
                    data.insert("label".to_owned(), self.values(context, number, &json!(name)));
                    if entity != "tag" {
                        let temp = engine.temp_id(entity)?.to_value();
                        // Later steps of the same transaction refer to it.
                        fresh.insert(name.clone(), temp.clone());
                        data.insert("id".to_owned(), temp);
                    }
                    writes.push(json!({"kind": "create", "entity": entity, "data": data}));
                }
                Step::Update { name, set } => {
                    let Some(set) = self.resolved(context, engine, number, set, &fresh).await? else { return Ok(None) };
                    let Some(id) = self.known(context, engine, name, &fresh).await? else { return Ok(None) };
                    writes.push(json!({"kind": "update", "entity": entity_of(&self.plan, name), "id": id, "set": set}));
                }
                Step::Delete { name } => {
                    let Some(id) = self.known(context, engine, name, &fresh).await? else { return Ok(None) };
                    writes.push(json!({"kind": "delete", "entity": entity_of(&self.plan, name), "id": id}));
                }
                _ => {}
            }
        }
        Ok(Some(writes))
    }
}
