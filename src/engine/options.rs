//! What the app's calls bring beside records: options and filters, as the JSON text of one object. What makes no sense is
//! refused under its name, before anything is looked at.

use serde_json::{Value, json};

use super::EngineError;
use crate::value::{Limits, Object, parse};

/// An argument, or a member of one, that makes no sense: its path, and what it must be.
pub(super) fn invalid(path: &str, what: &str) -> EngineError {
    EngineError::with("invalid_value", &format!("{path} {what}"), json!({"path": path}))
}

/// The members of an argument, by the name under which the app knows it. An empty text has none.
pub(super) fn members(name: &str, text: &str, limits: &Limits) -> Result<Object, EngineError> {
    match parse(if text.is_empty() { "{}" } else { text }, limits)? {
        Value::Object(members) => Ok(members),
        _ => Err(invalid(name, "must be an object")),
    }
}

/// Whether a call shall only say what it would come to. `known` are its other options: any further one is refused, so that a
/// misspelt `dryRun` is not done in earnest.
pub(super) fn dry_run(options: &Object, known: &[&str]) -> Result<bool, EngineError> {
    if let Some(name) = options.keys().find(|name| *name != "dryRun" && !known.contains(&name.as_str())) {
        return Err(invalid(name, "is no option"));
    }
    match options.get("dryRun") {
        None => Ok(false),
        Some(Value::Bool(dry)) => Ok(*dry),
        Some(_) => Err(invalid("dryRun", "must be true or false")),
    }
}
