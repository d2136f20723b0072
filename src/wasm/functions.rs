//! The pure functions that need no engine.

use serde_json::json;
use wasm_bindgen::prelude::*;

use super::{object, parsed, thrown};
use crate::engine::EngineError;
use crate::value::{Delta, apply_merge_patch, apply_patch, create_merge_patch, create_patch, hash, to_value};

/// A pure function by its name, its arguments and its answer as JSON texts.
#[wasm_bindgen]
pub fn compute(function: &str, a: &str, b: Option<String>, c: Option<String>) -> Result<String, JsValue> {
    computed(function, a, &b.unwrap_or_default(), &c.unwrap_or_default()).map_err(|error| thrown(&error))
}

fn computed(function: &str, a: &str, b: &str, c: &str) -> Result<String, EngineError> {
    let answer = match function {
        "deepEqual" => (parsed(a)? == parsed(b)?).into(),
        // What turns one object into another.
        "diff" => {
            let delta = to_value(&Delta::diff(&object(a)?, &object(b)?));
            let part = |name, none| delta.get(name).cloned().unwrap_or(none);
            json!({"set": part("set", json!({})), "unset": part("unset", json!([]))})
        }
        // A field that both changed keeps the server's value.
        "merge" => {
            let (data, conflicts) = crate::conflict::merge(&object(a)?, &object(b)?, &object(c)?);
            json!({"data": data, "conflicts": conflicts})
        }
        // The SHA-256 of the canonical form (RFC 8785).
        "hashData" => hash(&parsed(a)?).to_string().into(),
        "applyPatch" => apply_patch(&parsed(a)?, &parsed(b)?)?,
        "createPatch" => create_patch(&parsed(a)?, &parsed(b)?),
        "applyMergePatch" => apply_merge_patch(&parsed(a)?, &parsed(b)?),
        "createMergePatch" => create_merge_patch(&parsed(a)?, &parsed(b)?)?,
        _ => return Err(EngineError::new("internal", function)),
    };
    Ok(answer.to_string())
}
