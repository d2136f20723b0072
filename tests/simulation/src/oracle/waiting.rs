//! What still waits at rest: each operation must wait for something that only a person can end, or for a record that
//! nobody created. Whoever is blocked waits for others, and each way from one to the next must lead there; a way that
//! leads back to where it began would go on for ever.

use std::collections::BTreeSet;

use fieldsync::model::{Kind, RecordId};
use fieldsync::protocol::Outcome;
use serde_json::Value;

use crate::seams::server::lock;
use crate::sim::Invariant;
use crate::world::{Database, World};

/// The outbox of one database, as it looks to its app.
struct Waiting<'q> {
    queue: &'q [Value],
    /// Which operations lead to a lawful end.
    held: BTreeSet<&'q str>,
}

/// Looks at everything that is left in the outbox of a database.
pub(super) fn check(world: &World, database: &Database, queue: &[Value]) {
    let mut waiting = Waiting { queue, held: BTreeSet::new() };
    for item in queue {
        let found = waiting.follow(item, &mut Vec::new());
        let why = found.as_ref().err().cloned().unwrap_or_default();
        world.sim.check(Invariant::I8, found.is_ok(), || format!("{}: {why} holds this operation: {item}", database.name));
        if code(item) == "waits_for_record" {
            let created = waits_for(item).find(|id| is_created(world, database, queue, item, id));
            world
                .sim
                .check(Invariant::I8, created.is_none(), || format!("{}: {item} waits for {created:?}, which was created", database.name));
        }
    }
}

fn code(item: &Value) -> &str {
    item["reason"]["code"].as_str().unwrap_or_default()
}

fn waits_for(item: &Value) -> impl Iterator<Item = &str> {
    item["reason"]["waitsFor"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn is_create(item: &Value, temp: &str) -> bool {
    item["kind"] == "create" && item["recordId"] == temp
}

impl<'q> Waiting<'q> {
    /// Follows an operation to whatever holds it; says what is wrong with the way there, if anything is.
    fn follow(&mut self, item: &'q Value, way: &mut Vec<&'q str>) -> Result<(), String> {
        let id = item["operationId"].as_str().unwrap_or_default();
        if self.held.contains(id) {
            return Ok(());
        }
        let nothing = || Err(format!("nothing, by way of {way:?},"));
        match (item["state"].as_str().unwrap_or_default(), code(item)) {
            ("conflict" | "parked", _) => {}
            ("blocked", "dependency_cycle") if waits_for(item).next().is_some() => {}
            ("blocked", "waits_for_operation" | "waits_for_record") if waits_for(item).next().is_some() => {
                if way.contains(&id) {
                    return Err(format!("a circle of operations {way:?}"));
                }
                way.push(id);
                for other in waits_for(item) {
                    let queue = self.queue;
                    match queue.iter().find(|item| item["operationId"] == other || is_create(item, other)) {
                        Some(next) => self.follow(next, way)?,
                        None if code(item) == "waits_for_record" => {}
                        None => return Err(format!("{other}, which is not in the queue,")),
                    }
                }
                way.pop();
            }
            _ => return nothing(),
        }
        self.held.insert(id);
        Ok(())
    }
}

/// Whether the record of a temp ID was created: its create stands in this queue, or the server has applied it. What a
/// database created before it was emptied does not count. Where the server itself waits for it, a create in this queue
/// is no contradiction (it may be held); one that the server applied is, whoever wrote it.
fn is_created(world: &World, database: &Database, queue: &[Value], item: &Value, temp: &str) -> bool {
    let (server, stored) = (lock(&world.server.watch), database.rows.watch.borrow());
    let server_waits =
        stored.outbox.values().any(|queued| item["operationId"] == queued.operation.id.as_str() && !queued.waits_for.is_empty());
    if !server_waits && queue.iter().any(|item| is_create(item, temp)) {
        return true;
    }
    let commits = &server.commits;
    let Some(tenant) = commits.tenants.get(&database.plan.tenant) else { return false };
    let creates = commits.lines.bodies.values().filter(|(operation, _)| {
        operation.action.kind() == Kind::Create && matches!(&operation.record, RecordId::Text(text) if text == temp)
    });
    let applied = |id| matches!(tenant.words.get(id), Some(word) if matches!(word.outcome, Outcome::Applied { .. }));
    let here = |id| server_waits || stored.trail.contains_key(id) && !stored.forgotten.contains(id);
    creates.into_iter().any(|(operation, _)| here(&operation.id) && applied(&operation.id))
}
