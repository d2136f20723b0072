//! What an app does with records.

use futures_channel::oneshot::Canceled;
use serde_json::{Value, json};

use super::options::invalid;
use super::waiting::Wait;
use super::{Engine, EngineError, shown};
use crate::decide::{CountRecords, GetRecord, Intent, LocalWrite, MapId, Mapping, QueryRecords, ResolveId, Settled, Wanted, Written};
use crate::model::{OpId, RecordId, TempId};
use crate::planted::{Bug, is};
use crate::platform::Host;
use crate::query::Query;
use crate::schema::KeyPolicy;
use crate::store::{Durability, Store, StoreError};
use crate::value::{Limits, Object, check, from_value, parse, to_value};

/// Of the text of a transaction: what one upload holds, with room for its spelling; and levels enough to say which of
/// its records has too many.
const TRANSACTION_BOUNDS: Limits = Limits { bytes_max: 4 << 20, depth_max: 2 * Limits::RECORD.depth_max };

impl<S: Store, H: Host> Engine<S, H> {
    /// A new record. `data` is JSON text; an `id` in it must be a temp ID, or where the client issues IDs, its own.
    pub async fn create(&self, entity: &str, data: &str) -> Result<Value, EngineError> {
        let intent = self.creation(entity, object(data, 0)?)?;
        self.write(entity, intent).await
    }

    /// Other values for some fields: `{"set": {...}, "unset": [...]}`.
    pub async fn update(&self, entity: &str, id: &str, changes: &str) -> Result<Value, EngineError> {
        self.entity(entity)?;
        let (set, unset) = changes_in(changes)?;
        self.write(entity, Intent::Update { id: record_id(id)?, set, unset }).await
    }

    /// The record goes.
    pub async fn delete(&self, entity: &str, id: &str) -> Result<Value, EngineError> {
        self.entity(entity)?;
        self.write(entity, Intent::Delete { id: record_id(id)? }).await
    }

    /// Several writes, of which all take effect or none, here and at the server: a list of
    /// `{"kind": "create", "entity", "data"}`, `{"kind": "update", "entity", "id", "set", "unset"}` and
    /// `{"kind": "delete", "entity", "id"}`.
    pub async fn transaction(&self, writes: &str) -> Result<Value, EngineError> {
        let Value::Array(list) = parse(writes, &TRANSACTION_BOUNDS)? else {
            return Err(EngineError::new("invalid_value", "a transaction is a list of writes"));
        };
        let mut wanted: Vec<(String, Intent)> = Vec::new();
        for (at, write) in list.into_iter().enumerate() {
            wanted.push(self.member(write).map_err(|error| error.with_detail("write", Value::from(at)))?);
        }
        self.write_all(wanted).await.map(Value::Array)
    }

    /// One write of a transaction.
    fn member(&self, write: Value) -> Result<(String, Intent), EngineError> {
        let invalid = |what: &str| EngineError::new("invalid_value", &format!("a write of the transaction {what}"));
        let Value::Object(mut write) = write else { return Err(invalid("is no object")) };
        let Some(Value::String(entity)) = write.remove("entity") else { return Err(invalid("names no entity")) };
        self.entity(&entity)?;
        let id = |value: Option<&Value>| value.and_then(|id| RecordId::from_value(id).ok()).ok_or_else(|| invalid("names no record"));
        let intent = match write.get("kind").and_then(Value::as_str) {
            Some("create") => {
                let mut data = write.remove("data").unwrap_or_default();
                // The bounds of the list are wider than those of a record.
                check(&mut data, &Limits::RECORD)?;
                let Value::Object(data) = data else { return Err(invalid("has no data")) };
                self.creation(&entity, data)?
            }
            Some("update") => {
                let id = id(write.get("id"))?;
                let (set, unset) = changes_of(write)?;
                Intent::Update { id, set, unset }
            }
            Some("delete") => Intent::Delete { id: id(write.get("id"))? },
            _ => return Err(invalid("is none of create, update and delete")),
        };
        Ok((entity, intent))
    }

    fn creation(&self, entity: &str, mut data: Object) -> Result<Intent, EngineError> {
        let declared = self.entity(entity)?;
        data.remove("_sync");
        let id = match (data.remove("id"), declared.key) {
            (None | Some(Value::Null), KeyPolicy::Uuid) => RecordId::Text(self.uuid()),
            (None | Some(Value::Null), KeyPolicy::Integer | KeyPolicy::Text) => self.temp_id(entity)?,
            (Some(value), policy) => {
                let id = RecordId::from_value(&value)
                    .map_err(|error| EngineError::with("invalid_value", &error.to_string(), json!({"path": "id"})))?;
                let own = policy == KeyPolicy::Uuid && crate::model::ClientId::parse(&id.to_string()).is_ok();
                let temp = policy != KeyPolicy::Uuid && id.as_temp().is_some_and(|temp| temp.entity() == entity);
                if !own && !temp {
                    let message = match policy {
                        KeyPolicy::Uuid => format!("the id of a new {entity} is a UUID: leave it away, or bring one"),
                        KeyPolicy::Integer | KeyPolicy::Text => {
                            format!("the server names a new {entity}: leave its id away, or bring one from generateTempId")
                        }
                    };
                    return Err(EngineError::with("invalid_value", &message, json!({"path": "id"})));
                }
                id
            }
        };
        Ok(Intent::Create { id, data })
    }

    async fn write(&self, entity: &str, intent: Intent) -> Result<Value, EngineError> {
        let mut written = self.write_all(vec![(entity.to_owned(), intent)]).await?;
        Ok(written.pop().unwrap_or_default())
    }

    async fn write_all(&self, intents: Vec<(String, Intent)>) -> Result<Vec<Value>, EngineError> {
        let wanted: Vec<Wanted> = intents.into_iter().map(|(entity, intent)| Wanted { entity, intent, operation: self.op_id() }).collect();
        let entities: Vec<String> = wanted.iter().map(|wanted| wanted.entity.clone()).collect();
        let settings = &self.inner.settings;
        let decision = LocalWrite {
            schema: settings.schema.clone(),
            wanted,
            coalesce: settings.coalesce,
            now: self.now(),
            user: settings.user.clone(),
            generation: self.inner.state.borrow().generation,
            dry: false,
            shown: None,
            ended: std::rc::Rc::default(),
            keeps: false,
            along: std::rc::Rc::default(),
        };
        let several = entities.len() > 1;
        let durability = if is(Bug::RelaxedSave) { Durability::Relaxed } else { Durability::Strict };
        let written: Written = self.written(durability, decision).await.map_err(|(at, error)| match at {
            Some(at) if several => error.with_detail("write", Value::from(at)),
            _ => error,
        })?;
        for operation in written.operations.iter().flatten() {
            self.inner.watches.borrow_mut().begin(operation.clone());
        }
        self.absorb(&written.effects, "local");
        if written.effects.seq.is_some() {
            self.inner.poke.notify();
        }
        let shown = entities.iter().zip(written.records).zip(&written.operations).map(|((entity, record), operation)| {
            let record = record.map(|record| self.show(entity, record));
            json!({"record": record, "operationId": operation.as_ref().map(OpId::as_str)})
        });
        Ok(shown.collect())
    }

    /// Ends with the operation: applied, in conflict, rejected.
    pub async fn synced(&self, operation: &str) -> Result<Value, EngineError> {
        let unknown = || EngineError::new("unknown_operation", "no operation of this page");
        let id = OpId::parse(operation).map_err(|_| unknown())?;
        let wait = self.inner.watches.borrow_mut().wait(&id);
        let settled = match wait {
            Wait::Ended(settled) => settled,
            Wait::Open(told) => told.await.map_err(|Canceled| EngineError::from(StoreError::Closed))?,
            Wait::Unknown => return Err(unknown()),
        };
        Ok(match settled {
            Settled::Applied { version } => json!({"status": "applied", "version": version.to_string()}),
            Settled::Conflict { conflict } => json!({"status": "conflict", "conflictId": conflict}),
            Settled::Discarded => json!({"status": "discarded"}),
            Settled::Rejected(failure) => json!({"status": "rejected", "error": to_value(&failure)}),
        })
    }

    /// One record, by any ID it has or had.
    pub async fn get(&self, entity: &str, id: &str) -> Result<Option<Value>, EngineError> {
        self.entity(entity)?;
        let generation = self.inner.state.borrow().generation;
        let found = self.look(GetRecord { entity: entity.to_owned(), id: record_id(id)?, generation }).await?;
        Ok(found.map(|record| self.show(entity, record)))
    }

    /// The records that a query means.
    pub async fn query(&self, entity: &str, query: &str) -> Result<Vec<Value>, EngineError> {
        let found = self.look(self.question(entity, query)?).await?;
        Ok(found.into_iter().map(|record| self.show(entity, record)).collect())
    }

    /// How many records a query means, whatever its slice.
    pub async fn count(&self, entity: &str, query: &str) -> Result<usize, EngineError> {
        self.look(CountRecords(self.question(entity, query)?)).await
    }

    fn question(&self, entity: &str, query: &str) -> Result<QueryRecords, EngineError> {
        self.entity(entity)?;
        let query = Query::parse(parse(query, &Limits::RECORD)?)?;
        let generation = self.inner.state.borrow().generation;
        Ok(QueryRecords { schema: self.inner.settings.schema.clone(), entity: entity.to_owned(), query, generation })
    }

    fn show(&self, entity: &str, record: crate::decide::RecordView) -> Value {
        let key = self.inner.keys.borrow().get(&super::outbox::key_of(entity, &record.id)).cloned();
        let flying = record.ops.iter().any(|op| self.inner.flight.borrow().contains(op.seq));
        shown::record(record, key, flying)
    }

    /// What a temp ID became; nothing if nothing yet.
    pub async fn resolve_temp(&self, temp: &str) -> Result<Option<RecordId>, EngineError> {
        let temp = temp_id(temp)?;
        let found = self.look(ResolveId { ids: vec![(temp.entity().to_owned(), temp.into())] }).await?;
        Ok(found.into_iter().next().map(|(_, _, row)| row.id))
    }

    /// Temp IDs that were issued here and have no answer yet.
    pub async fn pending_mappings(&self) -> Result<Vec<Value>, EngineError> {
        self.refresh().await?;
        let queue = self.inner.queue.borrow();
        let creates = queue.items().filter(|(_, item)| item.operation.action.kind() == crate::model::Kind::Create);
        let mapping = |temp: TempId, entity: &str| json!({"tempId": temp.as_str(), "realId": null, "entityType": entity, "createdAt": temp.issued_ms(), "syncedAt": null});
        Ok(creates.filter_map(|(_, item)| item.operation.record.as_temp().map(|temp| mapping(temp, &item.operation.entity))).collect())
    }

    /// A mapping that the app learned elsewhere, by entity; the temp ID must be one of it.
    pub async fn update_references(&self, entity: &str, old: &str, new: &str) -> Result<(), EngineError> {
        if temp_id(old)?.entity() != entity {
            return Err(EngineError::with("invalid_value", &format!("this is no temp ID of a {entity}"), json!({"path": "oldId"})));
        }
        self.map_temp(old, new).await
    }

    /// A mapping that the app learned elsewhere.
    pub async fn map_temp(&self, temp: &str, real: &str) -> Result<(), EngineError> {
        let temp = temp_id(temp)?;
        self.entity(temp.entity())?;
        let decision = MapId {
            schema: self.inner.settings.schema.clone(),
            temp,
            real: record_id(real)?,
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        match self.decide(Durability::Strict, decision).await? {
            Mapping::Stored(effects) => {
                self.absorb(&effects, "local");
                Ok(())
            }
            Mapping::Unfinished => {
                let message = "this record is still on its way to the server, whose answer will name it";
                Err(EngineError::new("unfinished", message))
            }
            Mapping::Taken(other) => {
                Err(EngineError::with("mapping_conflict", "this temp ID already became another ID", json!({"realId": other.to_value()})))
            }
        }
    }
}

/// Fields to set and fields to take away.
fn changes_of(mut changes: Object) -> Result<(Object, Vec<String>), EngineError> {
    let set = match changes.remove("set") {
        Some(Value::Object(mut set)) => {
            set.remove("id");
            set.remove("_sync");
            set
        }
        None => Object::new(),
        Some(_) => return Err(invalid("set", "must be an object")),
    };
    let unset = changes.remove("unset").map_or(Ok(Vec::new()), |unset| from_value::<Vec<String>>(&unset));
    let unset = unset.map_err(|_| invalid("unset", "must be a list of fields"))?;
    Ok((set, unset))
}

/// The same, from a text. They lie a level further down than a record's own.
pub(super) fn changes_in(text: &str) -> Result<(Object, Vec<String>), EngineError> {
    changes_of(object(text, 1)?)
}

/// An object with the bounds of a record, in which the record's own fields lie some levels down.
pub(super) fn object(text: &str, down: usize) -> Result<Object, EngineError> {
    let record = Limits::RECORD;
    match parse(text, &Limits { depth_max: record.depth_max + down, ..record })? {
        Value::Object(mut object) => {
            object.remove("_sync");
            Ok(object)
        }
        _ => Err(EngineError::new("invalid_value", "must be an object")),
    }
}

fn record_id(text: &str) -> Result<RecordId, EngineError> {
    let value = parse(text, &Limits::RECORD)?;
    RecordId::from_value(&value).map_err(|error| EngineError::with("invalid_value", &error.to_string(), json!({"path": "id"})))
}

fn temp_id(text: &str) -> Result<TempId, EngineError> {
    TempId::parse(text).ok_or_else(|| EngineError::with("invalid_value", "this is no temp ID", json!({"path": "tempId"})))
}
