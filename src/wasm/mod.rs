//! Room `wasm`: the boundary. Text in, text out; the adapters are wired here, errors become plain objects
//! here, and nothing is decided here. The TypeScript client above gives it types and manners.

mod client;
mod functions;

use serde_json::Value;
use wasm_bindgen::prelude::*;

pub use client::Client;
pub use functions::compute;

use crate::engine::EngineError;
use crate::value::Object;

/// What a rejected call carries: `{code, message, retryable, details}`.
fn thrown(error: &EngineError) -> JsValue {
    js_sys::JSON::parse(&error.told().to_string()).unwrap_or(JsValue::NULL)
}

fn parsed(text: &str) -> Result<Value, EngineError> {
    crate::value::parse(text, &crate::value::Limits::MESSAGE).map_err(EngineError::from)
}

fn object(text: &str) -> Result<Object, EngineError> {
    match parsed(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(EngineError::new("invalid_value", "must be an object")),
    }
}

/// Runs once, when the module is instantiated: a panic says where it happened before the instance is dead.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}
