//! Plans on disk: a short run that once broke a promise, kept so that it is run for ever.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fault::Faults;
use crate::plan::{Plan, What};
use crate::run::Outcome;
use crate::script::DONE;
use crate::sim::Invariant;

/// A plan and why it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The story: what went wrong, and what was wrong.
    pub why: String,
    /// The promise that it broke.
    pub invariant: Invariant,
    /// Rare events and faults, each with the number of times that it must come to pass at least: without them the run
    /// goes another way than it did, and shows nothing any more.
    pub needs: BTreeMap<String, u64>,
    /// The run.
    pub plan: Plan,
}

impl Kept {
    /// What the plan needs and a run of it did not come by.
    pub fn missed(&self, outcome: &Outcome) -> Vec<String> {
        let reached = |name: &str| outcome.marks.get(name).or(outcome.faults.get(name)).copied().unwrap_or(0);
        let needs = self.needs.iter().filter(|(name, times)| reached(name) < **times);
        let mut missed: Vec<String> = needs.map(|(name, times)| format!("{name}: {} of {times}", reached(name))).collect();
        if let Faults::List(list) = &self.plan.faults {
            missed.extend(list.iter().filter(|planned| !outcome.fired.contains(planned)).map(|planned| format!("{planned:?}")));
        }
        let scripted = self.plan.actions.iter().any(|action| matches!(action.what, What::Step(_)));
        missed.extend((scripted && reached(DONE) == 0).then(|| DONE.to_owned()));
        missed
    }
}

/// Reads a kept plan.
///
/// # Errors
/// Says why the file is none.
pub fn read(path: &Path) -> Result<Kept, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a plan: one line for each action, so that a reader finds his way.
///
/// # Errors
/// Says why it cannot be written.
pub fn write(path: &Path, kept: &Kept) -> Result<(), String> {
    let fields = serde_json::to_value(&kept.plan).map_err(|error| error.to_string())?;
    let why = serde_json::Value::String(kept.why.clone());
    let needs = serde_json::to_value(&kept.needs).map_err(|error| error.to_string())?;
    let mut text = format!("{{\n\"why\": {why},\n\"invariant\": \"{:?}\",\n\"needs\": {needs},\n\"plan\": {{\n", kept.invariant);
    let fields: Vec<String> = fields
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| match value {
            serde_json::Value::Array(list) if !list.is_empty() => {
                let lines: Vec<String> = list.iter().map(ToString::to_string).collect();
                format!("\"{name}\": [\n{}]", lines.join(",\n"))
            }
            other => format!("\"{name}\": {other}"),
        })
        .collect();
    text.push_str(&fields.join(",\n"));
    text.push_str("}}\n");
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
