//! Records held against what the schema declares of their fields, wherever a decision would change one: what a person wants
//! is refused with the faults, what a rule put together is left to a person.

use super::intent::WriteError;
use super::rebase::after;
use crate::conflict::Verdict;
use crate::model::Action;
use crate::schema::{Fault, Schema, faults};
use crate::value::Object;

/// What of a record is not as it is declared.
fn faults_of(schema: &Schema, entity: &str, record: Option<&Object>) -> Vec<Fault> {
    let declared = schema.entity(entity).filter(|declared| declared.is_held());
    declared.zip(record).map(|(declared, record)| faults(declared, record)).unwrap_or_default()
}

/// Why an action may not leave a record so; nothing if it may. What does nothing leaves what there is.
pub(super) fn refusal(schema: &Schema, entity: &str, action: &Action, left: Option<&Object>) -> Option<WriteError> {
    if matches!(action, Action::Update { delta } if delta.is_empty()) {
        return None;
    }
    let faults = faults_of(schema, entity, left);
    (!faults.is_empty()).then(|| WriteError::Invalid { entity: entity.to_owned(), faults })
}

/// Leaves a verdict to a person that comes to what may not be, though what the local side wrote might: nobody has seen that
/// before.
pub(super) fn doubt(schema: &Schema, entity: &str, verdict: &mut Verdict, on: Option<&Object>, local: Option<&Object>) {
    let Some(declared) = schema.entity(entity).filter(|declared| declared.is_held()) else { return };
    let merged = verdict.action.as_ref().and_then(|action| after(on.cloned(), action));
    let Some(merged) = merged else { return };
    let known = local.map(|local| faults(declared, local)).unwrap_or_default();
    let mut found = faults(declared, &merged);
    found.retain(|fault| !known.contains(fault));
    if !found.is_empty() {
        verdict.doubt(found.into_iter().map(|fault| fault.path).collect());
    }
}
