//! Room `wasm`: the boundary. Text in, text out; the adapters are wired here, errors become plain objects
//! here, and nothing is decided here. The TypeScript client above gives it types and manners.

mod client;
pub mod functions;

use serde_json::Value;
use wasm_bindgen::prelude::*;

pub use client::Client;

use crate::engine::EngineError;

/// What a rejected call carries: `{code, message, retryable, details}`.
fn thrown(error: &EngineError) -> JsValue {
    let shape = serde_json::json!({
        "code": error.code, "message": error.message, "retryable": error.retryable, "details": error.details,
    });
    js_sys::JSON::parse(&shape.to_string()).unwrap_or(JsValue::NULL)
}

fn parsed(text: &str) -> Result<Value, JsValue> {
    crate::value::parse(text, &crate::value::Limits::MESSAGE).map_err(|error| thrown(&error.into()))
}

/// Runs once, when the module is instantiated: a panic says where it happened before the instance is dead.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}
