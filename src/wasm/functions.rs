//! The pure functions that need no engine.

use serde_json::{Value, json};
use wasm_bindgen::prelude::*;

use super::{parsed, thrown};
use crate::engine::EngineError;
use crate::value::{Delta, Object};

fn object(text: &str) -> Result<Object, JsValue> {
    match parsed(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(thrown(&EngineError::new("invalid_value", "must be an object"))),
    }
}

/// Whether two JSON texts mean the same value.
#[wasm_bindgen]
pub fn deep_equal(a: &str, b: &str) -> Result<bool, JsValue> {
    Ok(parsed(a)? == parsed(b)?)
}

/// What turns one object into another: `{"set": {pointer: value}, "unset": [pointer]}`.
#[wasm_bindgen]
pub fn diff(a: &str, b: &str) -> Result<String, JsValue> {
    let delta = crate::value::to_value(&Delta::diff(&object(a)?, &object(b)?));
    Ok(json!({"set": delta.get("set").cloned().unwrap_or_else(|| json!({})), "unset": delta.get("unset").cloned().unwrap_or_else(|| json!([]))}).to_string())
}

/// A three-way merge: `{"data", "conflicts": [field]}`. A field that both changed keeps the server's value.
#[wasm_bindgen]
pub fn merge(base: &str, local: &str, server: &str) -> Result<String, JsValue> {
    let (data, conflicts) = crate::conflict::merge(&object(base)?, &object(local)?, &object(server)?);
    Ok(json!({"data": data, "conflicts": conflicts}).to_string())
}

/// The SHA-256 of the canonical form (RFC 8785), hexadecimal.
#[wasm_bindgen]
pub fn hash_data(text: &str) -> Result<String, JsValue> {
    Ok(crate::value::hash(&parsed(text)?).to_string())
}
