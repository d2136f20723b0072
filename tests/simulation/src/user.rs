//! The people: what they do in a context, and what they were told. The history holds every call that was
//! answered; what was never answered may or may not have happened.

use std::collections::BTreeMap;

use fieldsync::engine::{Direction, EngineError, Wanted};
use fieldsync::model::OpId;
use serde_json::{Map, Value, json};

use crate::plan::What;
use crate::products::{self, merges};
use crate::random::{mix, place};
use crate::seams::server::lock;
use crate::sim::Invariant;
use crate::world::{Context, SimEngine, World, canary};

/// The entities by their number in a plan.
pub(crate) const ENTITIES: [&str; 8] = ["client", "pet", "appointment", "note", "tag", "product", "order", "invoice"];

/// Those that a context's release of the app knows.
fn entities(world: &World, context: &Context) -> &'static [&'static str] {
    if world.plan.new_entity && context.upgraded.get() { &ENTITIES } else { &ENTITIES[..7] }
}

/// What stands in a record over which the server breaks down.
pub(crate) const POISON: &str = "\u{2620}";

/// An operation that was reported saved.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) operation: String,
    /// The mark in its payload; none for a delete.
    pub(crate) marker: Option<String>,
}

/// What the people of one database did and know.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) saved: Vec<Saved>,
    /// IDs as JSON text, by entity.
    pub(crate) known: BTreeMap<&'static str, Vec<String>>,
    /// Temp IDs that were issued for records that are not created yet.
    pub(crate) promised: BTreeMap<&'static str, Vec<String>>,
    pub(crate) calls: u64,
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// What a call may be refused with, beside success.
pub(crate) const REFUSALS: [&str; 22] = [
    "storage_full",
    "storage_aborted",
    "storage_unavailable",
    "closed",
    "unknown_record",
    "has_dependents",
    "reference_deleted",
    "already_exists",
    "unknown_conflict",
    "invalid_reference",
    "unfinished",
    "outdated",
    "unknown_operation",
    "not_parked",
    "in_conflict",
    "in_transaction",
    "sealed",
    "unsent_work",
    "nothing_to_restore",
    "nothing_to_undo",
    "unique_violation",
    "invalid_record",
];

/// Texts that break what is not careful.
const NASTY: [&str; 8] =
    ["", " \"quoted\" \\ ", "\u{1F43E}\u{2028}", "__proto__", "temp_1_a_pet", "\u{0}\u{7f}", "'; DROP TABLE pets;--", "é\u{301}\u{200d}"];

impl World {
    pub(crate) fn refused(&self, context: &Context, error: &EngineError) {
        self.sim.tell(|| format!("context {}: refused: {} {error}", context.owner, error.code));
        let expected = REFUSALS.contains(&error.code) || self.database_of(context).is_damaged(error.code);
        self.sim.check(Invariant::Sound, expected, || format!("context {}: {} {error} {}", context.owner, error.code, error.details));
        match error.code {
            "unique_violation" => self.sim.mark("value taken here"),
            "invalid_record" => self.sim.mark("record invalid here"),
            _ => {}
        }
        *self.database_of(context).history.borrow_mut().refused.entry(error.code).or_insert(0) += 1;
    }

    pub(crate) async fn call(&self, context: &Context, engine: &SimEngine, what: &What, number: u64) -> Result<(), EngineError> {
        let database = self.database_of(context);
        let history = &database.history;
        match *what {
            What::Create { entity, links } => {
                let entity = entities(self, context)[place(entity, entities(self, context).len())];
                let marker = marker(number);
                let mut data = self.links(context, engine, entity, links)?;
                data.insert(
                    "name".to_owned(),
                    json!(format!("{marker}{}{}", canary(&database.plan.tenant), NASTY[place(links >> 8, NASTY.len())])),
                );
                if entity == "pet" {
                    data.insert("dose".to_owned(), json!(links % 10));
                }
                data.extend(self.plan.declared.fields(entity, number));
                // Now and then the record that somebody else already refers to.
                let promised = history.borrow_mut().promised.get_mut(entity).filter(|_| links.is_multiple_of(3)).and_then(Vec::pop);
                if let Some(id) = promised {
                    data.insert("id".to_owned(), serde_json::from_str(&id).unwrap_or_default());
                }
                let saved = engine.create(entity, &Value::Object(data).to_string()).await?;
                self.saved(context, "creates", entity, &saved, Some(marker));
            }
            What::Update { pick, field } => {
                let Some((entity, id)) = self.pick(context, pick) else { return Ok(()) };
                let marker = marker(number);
                let emptied = field % 17 == 0;
                let (name, value) = match field % 5 {
                    _ if emptied => ("phone", Value::Null),
                    1 if merges(entity, field) => products::stock(engine, &id, field >> 4).await?,
                    3 | 4 if merges(entity, field) => self.items(context, engine, &id, &marker, field >> 4).await?,
                    1 | 3 if entity == "pet" => ("dose", json!(format!("{marker}{}", canary(&database.plan.tenant)))),
                    0 => ("name", json!(format!("{marker}{}", canary(&database.plan.tenant)))),
                    1 | 2 => ("notes", json!({"text": format!("{marker}{}", canary(&database.plan.tenant)), "n": field % 7})),
                    _ => ("phone", json!([format!("{marker}{}", canary(&database.plan.tenant))])),
                };
                let mut set = Map::from_iter([(name.to_owned(), value)]);
                if field % 11 == 0 {
                    set.extend(self.links(context, engine, entity, field >> 8)?);
                }
                let unset: &[&str] = if field % 13 == 0 && name != "phone" { &["phone"] } else { &[] };
                set.extend(self.plan.declared.fields(entity, number));
                let expected = set.get(name).cloned();
                let replays = database.rows.replays.get();
                let saved = engine.update(entity, &id, &json!({"set": set, "unset": unset}).to_string()).await?;
                // After a connection died behind a commit, the answer tells of the record as later writes left it.
                let shows = saved["record"].get(name) == expected.as_ref() || database.rows.replays.get() > replays;
                self.sim.check(Invariant::I5, shows, || format!("context {}: the answer to an update shows {saved}", context.owner));
                self.note_put(name, expected.as_ref(), &saved);
                self.saved(context, "updates", entity, &saved, (!emptied && name != "stock").then_some(marker));
            }
            What::Delete { pick } => {
                let Some((entity, id)) = self.pick(context, pick) else { return Ok(()) };
                let saved = engine.delete(entity, &id).await?;
                self.saved(context, "deletes", entity, &saved, None);
            }
            What::Get { pick } => {
                let Some((entity, id)) = self.pick(context, pick) else { return Ok(()) };
                engine.get(entity, &id).await?;
            }
            What::Query { entity } => {
                let entity = entities(self, context)[place(entity, entities(self, context).len())];
                let found = engine.query(entity, "{}").await?;
                let mut history = history.borrow_mut();
                let known = history.known.entry(entity).or_default();
                for record in &found {
                    let id = record["id"].to_string();
                    if !known.contains(&id) {
                        // The first record of all is where everybody meets.
                        let at = if id == "1" { 0 } else { known.len() };
                        known.insert(at, id);
                    }
                }
            }
            What::Resolve { pick, how } => self.resolve(context, engine, pick, how, number).await?,
            What::ResolveMany { how } => self.resolve_many(context, engine, how).await?,
            What::TakeBack { pick, undo } => self.take_back(context, engine, pick, undo).await?,
            What::FetchConflicts => self.fetch(context, engine).await,
            What::Together { pick, count } => self.together(context, engine, pick, count, number).await?,
            What::Retry { pick } => {
                let queue = engine.queue().await?;
                let parked: Vec<&Value> = queue.iter().filter(|item| item["state"] == "parked").collect();
                let Some(item) = parked.get(place(pick, parked.len())) else { return Ok(()) };
                let id = item["operationId"].as_str().unwrap_or_default();
                let edit = json!({"set": {"edited": [format!("{}{}", marker(number), canary(&database.plan.tenant))]}}).to_string();
                engine.retry(id, pick.is_multiple_of(2).then_some(edit.as_str())).await?;
                self.sim.mark("parked operation sent again");
                self.sim.tell(|| format!("context {}: retries {id}", context.owner));
            }
            What::Discard { pick } => {
                let queue = engine.queue().await?;
                let Some(item) = queue.get(place(pick, queue.len())) else { return Ok(()) };
                let id = item["operationId"].as_str().unwrap_or_default();
                let gone = engine.discard(id, None).await?;
                self.sim.mark("operation discarded");
                self.sim.tell(|| format!("context {}: discards {gone}", context.owner));
            }
            What::Carry { pick } => self.carry(context, engine, pick).await?,
            What::Pause => {
                database.paused.set(true);
                engine.pause().await?;
                self.sim.mark("sending paused");
            }
            What::Resume => {
                engine.resume().await?;
            }
            What::Poison { links } => {
                let marker = marker(number);
                let data = json!({"name": format!("{marker}{POISON}{}{}", canary(&database.plan.tenant), links % 100)});
                let saved = engine.create("product", &data.to_string()).await?;
                self.saved(context, "creates", "product", &saved, Some(marker));
            }
            What::Wipe(force) => {
                let gone = engine.wipe(force, None).await?;
                self.sim.mark("database wiped");
                self.sim.tell(|| format!("context {}: empties {}: {gone}", context.owner, database.name));
            }
            _ => {
                let mut wanted = Wanted::all(Direction::Both);
                match *what {
                    What::SyncEntity { entity } => {
                        self.sim.mark("one entity fetched");
                        wanted.entity = Some(entities(self, context)[place(entity, entities(self, context).len())].to_owned());
                    }
                    What::SyncOperation { pick } => {
                        let queue = engine.queue().await?;
                        let Some(item) = queue.get(place(pick, queue.len())) else { return Ok(()) };
                        self.sim.mark("selected operations sent");
                        wanted.direction = Direction::Up;
                        wanted.operations.extend(item["operationId"].as_str().and_then(|id| OpId::parse(id).ok()));
                    }
                    _ => {}
                }
                let result = engine.sync_with(wanted, None).await;
                let unsound = |code: &str| matches!(code, "integrity" | "protocol" | "storage_contract") && !database.is_damaged(code);
                if let Some(error) = result.errors.iter().find(|error| unsound(&error.code)) {
                    self.sim.violate(Invariant::Sound, format!("context {}: a session ended with {error:?}", context.owner));
                }
            }
        }
        Ok(())
    }

    /// Writes several records at once, each of which may refer to the one before.
    async fn together(&self, context: &Context, engine: &SimEngine, pick: u64, count: u64, number: u64) -> Result<(), EngineError> {
        let tenant = canary(&self.database_of(context).plan.tenant);
        let (mut writes, mut marks) = (Vec::new(), Vec::new());
        let mut last_client: Option<Value> = None;
        for at in 0..count {
            let drawn = mix(pick, at);
            let mark = marker(number * 1_000 + 1_000_000 + at);
            let known = self.pick(context, drawn);
            match (drawn >> 40) % 3 {
                0 => {
                    let id = engine.temp_id("client")?.to_value();
                    writes.push(json!({"kind": "create", "entity": "client", "data": {"id": id, "name": format!("{mark}{tenant}")}}));
                    marks.push(("client", mark));
                    last_client = Some(id);
                }
                1 => {
                    let mut data = json!({"name": format!("{mark}{tenant}")});
                    if let Some(id) = &last_client {
                        data["clientId"] = id.clone();
                    }
                    writes.push(json!({"kind": "create", "entity": "pet", "data": data}));
                    marks.push(("pet", mark));
                }
                _ => {
                    let Some((entity, id)) = known else { continue };
                    let id: Value = serde_json::from_str(&id).unwrap_or_default();
                    writes.push(
                        json!({"kind": "update", "entity": entity, "id": id, "set": {format!("group{at}"): format!("{mark}{tenant}")}}),
                    );
                    marks.push((entity, mark));
                }
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let saved = engine.transaction(&Value::Array(writes).to_string()).await?;
        self.sim.mark("transaction saved");
        let answers = saved.as_array().map(Vec::as_slice).unwrap_or_default();
        self.sim.check(Invariant::I13, answers.len() == marks.len(), || format!("a transaction of {} answers {saved}", marks.len()));
        for (answer, (entity, mark)) in answers.iter().zip(marks) {
            self.saved(context, "creates", entity, answer, Some(mark));
        }
        Ok(())
    }

    fn saved(&self, context: &Context, verb: &str, entity: &'static str, saved: &Value, marker: Option<String>) {
        let id = saved["record"]["id"].clone();
        self.sim.tell(|| format!("context {}: {verb} {entity} {id} by {}: saved", context.owner, saved["operationId"]));
        let mut history = self.database_of(context).history.borrow_mut();
        if !id.is_null() {
            let known = history.known.entry(entity).or_default();
            let id = id.to_string();
            if verb == "creates" && !known.contains(&id) {
                known.push(id);
            }
        }
        if let Some(operation) = saved["operationId"].as_str() {
            history.saved.push(Saved { operation: operation.to_owned(), marker });
        }
    }

    /// An operation without a mark of its own was reported saved.
    pub(crate) fn reported(&self, context: &Context, operation: &str) {
        self.database_of(context).history.borrow_mut().saved.push(Saved { operation: operation.to_owned(), marker: None });
    }

    /// A known record.
    fn pick(&self, context: &Context, pick: u64) -> Option<(&'static str, String)> {
        let history = self.database_of(context).history.borrow();
        let entity = entities(self, context)[place(pick, entities(self, context).len())];
        // The later ones more often: that is where people work.
        let known = history.known.get(entity).filter(|known| !known.is_empty())?;
        let window = if pick & 0x100 == 0 { known.len().min(4) } else { known.len() };
        let at = if pick & 0x600 == 0 { 0 } else { known.len() - 1 - place(pick >> 11, window) };
        Some((entity, known[at].clone()))
    }

    /// References to known records, and now and then to one that is not created yet.
    fn links(&self, context: &Context, engine: &SimEngine, entity: &str, links: u64) -> Result<Map<String, Value>, EngineError> {
        let database = self.database_of(context);
        let target = |to: &'static str, pick: u64| -> Result<Option<Value>, EngineError> {
            if pick.is_multiple_of(40) {
                let temp = engine.temp_id(to)?.to_value();
                database.history.borrow_mut().promised.entry(to).or_default().push(temp.to_string());
                self.sim.mark("reference to a record that is not created yet");
                return Ok(Some(temp));
            }
            let history = database.history.borrow();
            let Some(known) = history.known.get(to).filter(|known| !known.is_empty()) else { return Ok(None) };
            Ok(serde_json::from_str(&known[known.len() - 1 - place(pick, known.len().min(6))]).ok())
        };
        let wanted: &[(&str, &'static str)] = match entity {
            "pet" if links.is_multiple_of(5) => &[("clientId", "client"), ("motherId", "pet")],
            "pet" => &[("clientId", "client")],
            "appointment" => &[("petId", "pet"), ("clientId", "client")],
            "note" => &[("appointmentId", "appointment")],
            "order" => &[("clientId", "client")],
            _ => &[],
        };
        let mut data = Map::new();
        for (at, (field, to)) in wanted.iter().enumerate() {
            if let Some(id) = target(to, mix(links, at as u64))? {
                data.insert((*field).to_owned(), id);
            }
        }
        if entity == "order" {
            let mut lines = Vec::new();
            for at in 0..links % 3 {
                if let Some(id) = target("product", mix(links, 10 + at))? {
                    lines.push(json!({"productId": id, "count": at}));
                }
            }
            data.insert("lines".to_owned(), json!(lines));
        }
        Ok(data)
    }

    /// How many operations took effect at the server.
    pub(crate) fn effects(&self) -> u64 {
        lock(&self.server.watch).commits.tenants.values().map(|tenant| tenant.changes.len() as u64).sum()
    }
}

/// A text that stands in no other payload.
pub(crate) fn marker(number: u64) -> String {
    format!("~{number}~")
}
