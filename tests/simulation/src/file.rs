//! Plans on disk: a short run that once broke a promise, kept so that it is run for ever.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::sim::Invariant;

/// A plan and why it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// The story: what went wrong, and what was wrong.
    pub why: String,
    /// The promise that it broke.
    pub invariant: Invariant,
    /// The run.
    pub plan: Plan,
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
    let mut text = format!("{{\n\"why\": {why},\n\"invariant\": \"{:?}\",\n\"plan\": {{\n", kept.invariant);
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
