//! One person for each context that has a part in a script: does its steps in order, each at its time or later.

use std::cell::RefCell;
use std::rc::Rc;

use fieldsync::engine::{Direction, EngineError};
use fieldsync::model::{Action, RecordId};
use fieldsync_server::store::{RecordKey, ServerStore};
use serde_json::{Value, json};

use super::{DONE, READ_AGAIN, Step, entity_of, is_text};
use crate::executor::WORLD;
use crate::oracle::stored::Queued;
use crate::plan::What;
use crate::seams::server::{at_once, lock};
use crate::sim::{Invariant, START};
use crate::user::{Saved, marker};
use crate::world::{Context, SimEngine, World};

/// So often a person looks whether it can be done now, ms.
const LOOK_MS: u64 = 400;
/// So long a person waits for something that may not come at all.
const PATIENCE_MS: u64 = 45_000;
/// Nothing may take longer than this.
const END_MS: u64 = 20 * 60 * 1_000;

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    /// It cannot be done yet.
    NotYet,
}

type Attempt = Result<Done, EngineError>;

/// Lets everybody begin.
pub(crate) fn begin(world: &Rc<World>) {
    for context in &world.contexts {
        let of = |(at, action): (usize, &crate::plan::Action)| match &action.what {
            What::Step(step) if action.actor == context.owner => Some((at as u64 + 1, action.at, step.clone())),
            _ => None,
        };
        let steps: Vec<(u64, u64, Step)> = world.plan.actions.iter().enumerate().filter_map(of).collect();
        if steps.is_empty() {
            continue;
        }
        world.script.busy.set(world.script.busy.get() + 1);
        let (world, context) = (world.clone(), context.clone());
        world.clone().sim.executor.spawn(WORLD, async move {
            for (number, at, step) in &steps {
                world.sim.executor.sleep_until(START + at).await;
                world.perform(&context, *number, step).await;
            }
            world.script.busy.set(world.script.busy.get() - 1);
            if world.script.is_done() && world.sim.has_faults() {
                world.sim.mark(DONE);
            }
        });
    }
}

impl World {
    async fn perform(self: &Rc<Self>, context: &Rc<Context>, number: u64, step: &Step) {
        let owner = context.owner;
        match step {
            Step::Close => return self.close(owner),
            Step::Open => return self.open(owner),
            Step::Upgrade => {
                self.sim.tell(|| format!("context {owner}: the app comes in a new version"));
                context.upgraded.set(true);
                self.close(owner);
                return self.open(owner);
            }
            Step::Meet { site, skip, fault } => return self.sim.waiting.borrow_mut().push((owner, *site, *skip, *fault)),
            Step::Prune => {
                let tenant = &self.database_of(context).plan.tenant;
                let through = fieldsync::model::Version(self.server.sequence(tenant));
                let forgotten = at_once(self.server.service().store().forget(tenant, through));
                return self.sim.tell(|| format!("the server forgets up to {through}: {forgotten:?}"));
            }
            _ => {}
        }
        let begun = self.sim.executor.now();
        let mut patient = !matches!(
            step,
            Step::Resolve { .. } | Step::Retry { .. } | Step::Discard { .. } | Step::See { .. } | Step::Synced { .. } | Step::Waiting(_)
        );
        let mut tried = false;
        loop {
            if tried && self.was_done(context, number, step) {
                if let Step::ReadAllWriteSome { write, value, .. } = step {
                    self.wrote(owner, write, *value);
                }
                return;
            }
            match self.attempt(context, number, step).await {
                Some(Ok(Done::Yes)) => return,
                Some(Ok(Done::NotYet)) => {}
                // The tab died, or the store refused: whether it was done has to be looked up.
                None => tried = true,
                Some(Err(error)) => {
                    tried = true;
                    // Others may have deleted it by now.
                    patient &= error.code != "unknown_record";
                    self.sim.tell(|| format!("context {owner}: refused: {} {error}", error.code));
                    let passing = matches!(
                        error.code,
                        "storage_full" | "storage_aborted" | "storage_unavailable" | "closed" | "has_dependents" | "unknown_conflict"
                            // The device lost its power, and a page with it that comes again.
                            | "unknown_record"
                    );
                    self.sim.check(Invariant::Script, passing, || format!("{step:?} is refused: {} {error}", error.code));
                }
            }
            let waited = self.sim.executor.now() - begun;
            if !patient && waited > PATIENCE_MS {
                return self.sim.tell(|| format!("context {owner}: gives up waiting for {step:?}"));
            }
            if waited > END_MS {
                return self.sim.violate(Invariant::I20, format!("context {owner} waits for ever to do {step:?}"));
            }
            self.sim.executor.sleep(LOOK_MS).await;
        }
    }

    /// Tries it once; nothing if the tab died meanwhile or is not there.
    async fn attempt(self: &Rc<Self>, context: &Rc<Context>, number: u64, step: &Step) -> Option<Attempt> {
        let engine = context.engine.borrow().clone()?;
        let life = context.lives.get();
        self.database_of(context).history.borrow_mut().calls += 1;
        let told: Rc<RefCell<Option<Attempt>>> = Rc::default();
        let (world, this, step, tell) = (self.clone(), context.clone(), step.clone(), told.clone());
        self.sim.executor.spawn(context.owner, async move {
            let attempt = world.step(&this, &engine, number, &step).await;
            tell.replace(Some(attempt));
        });
        let mut wait = 1;
        loop {
            self.sim.executor.sleep(wait).await;
            wait = (wait * 2).min(64);
            if let Some(attempt) = told.take() {
                return Some(attempt);
            }
            if !context.alive.get() || context.lives.get() != life {
                return None;
            }
        }
    }

    /// Whether what a step wrote is anywhere: in the outbox, or at the server.
    fn was_done(&self, context: &Context, number: u64, step: &Step) -> bool {
        let database = self.database_of(context);
        if !matches!(step, Step::Create { .. } | Step::Update { .. } | Step::Together(_) | Step::ReadAllWriteSome { .. }) {
            return false;
        }
        let mark = marker(number);
        let queued = database.rows.watch.borrow().outbox.values().any(|queued| queued.body.contains(&mark));
        let server = lock(&self.server.watch);
        let done = queued || server.commits.lines.bodies.values().any(|(_, body)| body.contains(&mark));
        if done {
            self.sim.tell(|| format!("context {}: finds its work {number} done", context.owner));
            self.sim.mark("work found done after a death");
        }
        done
    }

    async fn step(&self, context: &Context, engine: &SimEngine, number: u64, step: &Step) -> Attempt {
        match step {
            Step::Create { .. } | Step::Update { .. } | Step::Delete { .. } | Step::Together(_) => {
                let parts = step.parts();
                let Some(writes) = self.writes(context, engine, number, parts).await? else { return Ok(Done::NotYet) };
                self.write(context, engine, number, parts, writes).await
            }
            Step::ReadAllWriteSome { entity, write, value } => {
                self.read_all_write_some(context, engine, number, (entity, write, *value)).await
            }
            Step::Resolve { name, strategy } => {
                let Some(id) = self.find(context, engine, name).await? else { return Ok(Done::NotYet) };
                let entity = entity_of(&self.plan, name).unwrap_or_default();
                let id = engine.get(entity, &id).await?.map_or(id, |record| record["id"].to_string());
                let conflicts = engine.conflicts().await?;
                let id: Value = serde_json::from_str(&id).unwrap_or_default();
                let open = conflicts.iter().find(|conflict| conflict["state"] == "open" && conflict["recordId"] == id);
                let Some(number) = open.and_then(|conflict| conflict["id"].as_u64()) else { return Ok(Done::NotYet) };
                engine.resolve(number, &strategy.to_string()).await?;
                self.sim.mark("conflict resolved by hand");
                self.sim.tell(|| format!("context {}: resolves the conflict of {name} by {strategy}", context.owner));
                Ok(Done::Yes)
            }
            Step::Retry { name, set } => {
                let Some(operation) = self.queued(context, engine, name, true).await? else { return Ok(Done::NotYet) };
                let edit = set.as_ref().map(|set| json!({"set": self.values(context, number, set)}).to_string());
                engine.retry(&operation, edit.as_deref()).await?;
                self.sim.mark("parked operation sent again");
                self.sim.tell(|| format!("context {}: sends the parked operation of {name} again", context.owner));
                Ok(Done::Yes)
            }
            Step::Discard { name } => {
                let Some(operation) = self.queued(context, engine, name, false).await? else { return Ok(Done::NotYet) };
                engine.discard(&operation, None).await?;
                self.sim.mark("operation discarded");
                self.sim.tell(|| format!("context {}: gives up the operation of {name}", context.owner));
                Ok(Done::Yes)
            }
            Step::See { name, fields } => {
                let Some(id) = self.find(context, engine, name).await? else { return Ok(Done::NotYet) };
                let entity = entity_of(&self.plan, name).unwrap_or_default();
                let record = engine.get(entity, &id).await?.unwrap_or_default();
                let is = |(field, wanted): (&String, &Value)| match wanted {
                    Value::String(text) => is_text(&record[field.as_str()], text),
                    other => record[field.as_str()] == *other,
                };
                Ok(if fields.as_object().into_iter().flatten().all(is) { Done::Yes } else { Done::NotYet })
            }
            Step::Synced { name } => {
                let Some(id) = self.find(context, engine, name).await? else { return Ok(Done::NotYet) };
                let entity = entity_of(&self.plan, name).unwrap_or_default();
                let record = engine.get(entity, &id).await?;
                Ok(if record.is_some_and(|record| record["_sync"]["state"].is_null()) { Done::Yes } else { Done::NotYet })
            }
            Step::Waiting(count) => {
                let pending = self.database_of(context).rows.watch.borrow().pending();
                Ok(if pending == *count { Done::Yes } else { Done::NotYet })
            }
            Step::Sync | Step::Fetch => {
                let direction = if *step == Step::Sync { Direction::Both } else { Direction::Down };
                self.sim.tell(|| format!("context {}: asks for a session ({direction:?})", context.owner));
                engine.sync(direction, None).await;
                Ok(Done::Yes)
            }
            Step::Pause => {
                self.database_of(context).paused.set(true);
                engine.pause().await?;
                self.sim.tell(|| format!("context {}: pauses", context.owner));
                Ok(Done::Yes)
            }
            Step::Resume => {
                engine.resume().await?;
                self.sim.tell(|| format!("context {}: resumes", context.owner));
                Ok(Done::Yes)
            }
            Step::Carry { to } => {
                let Some(other) = self.context(*to) else { return Ok(Done::Yes) };
                let text = engine.export().await?;
                self.remember_carried(&text);
                let Some(there) = other.engine.borrow().clone() else { return Ok(Done::NotYet) };
                // It is the other context's call: it dies with that one.
                let (done, life) = (Rc::new(RefCell::new(None)), other.lives.get());
                let tell = done.clone();
                self.sim.executor.spawn(*to, async move {
                    let imported = there.import(&text).await;
                    tell.replace(Some(imported));
                });
                while other.alive.get() && other.lives.get() == life {
                    self.sim.executor.sleep(8).await;
                    let Some(imported) = done.take() else { continue };
                    self.sim.tell(|| format!("context {to}: imports from context {}: {imported:?}", context.owner));
                    imported?;
                    self.sim.mark("work carried to another device");
                    return Ok(Done::Yes);
                }
                Ok(Done::NotYet)
            }
            // Done without an engine.
            Step::Close | Step::Open | Step::Upgrade | Step::Prune | Step::Meet { .. } => Ok(Done::Yes),
        }
    }

    /// Whether a record that is not here is one of the server's that nobody has deleted.
    fn is_coming(&self, context: &Context, entity: &str, id: &Value) -> bool {
        let database = self.database_of(context);
        let Ok(id) = RecordId::from_value(id) else { return false };
        let deletes = |queued: &Queued| queued.operation.record == id && queued.operation.action == Action::Delete;
        let server = lock(&self.server.watch);
        let key = RecordKey { entity: entity.to_owned(), id: id.clone() };
        let chain = server.commits.tenants.get(&database.plan.tenant).and_then(|tenant| tenant.chains.get(&key));
        chain.is_some_and(|chain| !chain.deleted) && !database.rows.watch.borrow().outbox.values().any(deletes)
    }

    async fn write(&self, context: &Context, engine: &SimEngine, number: u64, steps: &[Step], writes: Vec<Value>) -> Attempt {
        let (several, wanted, commits) = (writes.len() > 1, writes.clone(), &self.database_of(context).rows.commits);
        let before = commits.get();
        let saved = match writes.as_slice() {
            [one] => {
                let entity = one["entity"].as_str().unwrap_or_default();
                vec![match one["kind"].as_str() {
                    Some("create") => engine.create(entity, &one["data"].to_string()).await?,
                    Some("update") => engine.update(entity, &one["id"].to_string(), &json!({"set": one["set"]}).to_string()).await?,
                    _ => {
                        let id = one["id"].to_string();
                        if engine.get(entity, &id).await?.is_none() {
                            // With its power a device loses pages: such a record comes again.
                            return Ok(if self.is_coming(context, entity, &one["id"]) { Done::NotYet } else { Done::Yes });
                        }
                        engine.delete(entity, &id).await?
                    }
                }]
            }
            _ => engine.transaction(&Value::Array(writes).to_string()).await?.as_array().cloned().unwrap_or_default(),
        };
        if several {
            self.sim.mark("transaction saved");
        }
        self.sim.tell(|| format!("context {}: {steps:?}: saved", context.owner));
        for (answer, step) in saved.iter().zip(steps) {
            if let (Step::Create { name, .. }, id @ (Value::String(_) | Value::Number(_))) = (step, &answer["record"]["id"]) {
                self.script.ids.borrow_mut().insert((context.database.get(), name.clone()), id.to_string());
            }
            let Some(operation) = answer["operationId"].as_str() else { continue };
            // A step without a text has no mark of its own.
            let marked = answer["record"].to_string().contains(&marker(number));
            let saved = Saved { operation: operation.to_owned(), marker: marked.then(|| marker(number)) };
            self.database_of(context).history.borrow_mut().saved.push(saved);
        }
        for (answer, wrote) in saved.iter().zip(&wanted) {
            let id = if wrote["kind"] == "create" { &answer["record"]["id"] } else { &wrote["id"] };
            // What cannot be read just now was saved all the same.
            let Ok(found) = engine.get(wrote["entity"].as_str().unwrap_or_default(), &id.to_string()).await else { continue };
            // Nothing came between but the save itself.
            if commits.get() == before + 1 {
                self.sim.mark(READ_AGAIN);
                self.sim.check(Invariant::I5, shows(wrote, found.as_ref()), || {
                    format!("context {}: {wrote} is saved, and a reader finds {found:?}", context.owner)
                });
            }
        }
        Ok(Done::Yes)
    }

    async fn read_all_write_some(&self, context: &Context, engine: &SimEngine, number: u64, step: (&str, &[String], u64)) -> Attempt {
        let (entity, write, value) = step;
        let records = engine.query(entity, "{}").await?;
        self.read(context.owner, &records);
        let steps: Vec<Step> = write.iter().map(|name| Step::Update { name: name.clone(), set: json!({"value": value}) }).collect();
        let Some(mut writes) = self.writes(context, engine, number, &steps).await? else { return Ok(Done::NotYet) };
        for one in &mut writes {
            // Numbers carry no mark: the field beside it does.
            one["set"]["by"] = self.values(context, number, &json!("written"));
        }
        let done = self.write(context, engine, number, &steps, writes).await?;
        self.wrote(context.owner, write, value);
        Ok(done)
    }
}

/// Whether a record is as a write has left it.
fn shows(wrote: &Value, found: Option<&Value>) -> bool {
    let fields = match wrote["kind"].as_str() {
        Some("create") => &wrote["data"],
        Some("update") => &wrote["set"],
        _ => return found.is_none(),
    };
    // A temp ID that is written is the real one, where that is known.
    let is = |found: &Value, wanted: &Value| found == wanted || wanted.as_str().is_some_and(|id| id.starts_with("temp_"));
    found.is_some_and(|found| fields.as_object().into_iter().flatten().all(|(field, wanted)| is(&found[field.as_str()], wanted)))
}
