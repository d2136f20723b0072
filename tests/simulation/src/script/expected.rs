//! The end of a script, compared with what must have come of it.

use serde_json::Value;

use super::causal;
use super::{Expected, entity_of, is_text};
use crate::oracle::end::records;
use crate::sim::Invariant;
use crate::world::World;

/// Every named record is at the server once, with its values, or is gone.
pub(crate) fn compare(world: &World) {
    causal::look_back(world);
    if world.plan.expected.is_empty() {
        return;
    }
    let mut tenants: Vec<&str> = world.databases.iter().map(|database| database.plan.tenant.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    // Entity, ID and fields of what is there.
    let mut there: Vec<(String, Value, Value)> = Vec::new();
    for tenant in tenants {
        for ((entity, id), record) in records(world, tenant) {
            there.extend(record.data.map(|data| (entity, id.to_value(), Value::Object(data))));
        }
    }
    for Expected { name, fields } in &world.plan.expected {
        let entity = entity_of(&world.plan, name).unwrap_or_default();
        let found: Vec<&Value> =
            there.iter().filter(|(of, _, data)| of == entity && is_text(&data["label"], name)).map(|(_, _, data)| data).collect();
        let holds = match fields {
            None => found.is_empty(),
            Some(fields) => found.len() == 1 && found.iter().all(|data| has(&there, data, fields)),
        };
        world.sim.check(Invariant::Script, holds, || format!("{entity} {name} must end as {fields:?}; the server has {found:?}"));
    }
}

fn has(there: &[(String, Value, Value)], data: &Value, fields: &Value) -> bool {
    fields.as_object().into_iter().flatten().all(|(field, wanted)| is(there, &data[field.as_str()], wanted))
}

fn is(there: &[(String, Value, Value)], found: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::String(text) => match text.strip_prefix('@') {
            Some(name) => there.iter().any(|(_, id, data)| id == found && is_text(&data["label"], name)),
            None => is_text(found, text),
        },
        Value::Object(choice) => choice.get("oneOf").and_then(Value::as_array).is_some_and(|of| of.iter().any(|one| is(there, found, one))),
        other => found == other,
    }
}
