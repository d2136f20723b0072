//! Rows and keys to JavaScript and back. Rows go over as one JSON text for many, through the browser's own
//! parser: several times faster than building objects field by field.

use wasm_bindgen::prelude::*;
use web_sys::IdbKeyRange;

use super::super::StoreError;
use crate::plan::Row;
use crate::value::{Key, KeyRange, from_text, items, members};

/// A key as IndexedDB takes it.
pub(super) fn key(key: &Key) -> JsValue {
    match key {
        Key::Number(number) => JsValue::from_f64(*number),
        Key::Text(text) => JsValue::from_str(text),
        Key::List(items) => items.iter().map(self::key).collect::<js_sys::Array>().into(),
    }
}

/// A range as IndexedDB takes it; `None` for every key. The caller has seen that it is not empty.
pub(super) fn range(range: &KeyRange) -> Result<Option<IdbKeyRange>, StoreError> {
    let made = match (&range.lower, &range.upper) {
        (None, None) => return Ok(None),
        (Some((lower, open)), None) => IdbKeyRange::lower_bound_with_open(&key(lower), *open),
        (None, Some((upper, open))) => IdbKeyRange::upper_bound_with_open(&key(upper), *open),
        (Some((lower, lower_open)), Some((upper, upper_open))) => {
            IdbKeyRange::bound_with_lower_open_and_upper_open(&key(lower), &key(upper), *lower_open, *upper_open)
        }
    };
    made.map(Some).map_err(failed)
}

/// The values to put for these rows.
pub(super) fn values<'r>(rows: impl Iterator<Item = &'r Row>) -> Result<js_sys::Array, StoreError> {
    let mut text = String::from("[");
    for row in rows {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str("{\"k\":");
        text.push_str(&row.key.to_value().to_string());
        text.push_str(",\"v\":");
        text.push_str(&row.text);
        if !row.index.is_empty() {
            let entries: Vec<serde_json::Value> = row.index.iter().map(Key::to_value).collect();
            text.push_str(",\"ix\":");
            text.push_str(&serde_json::Value::Array(entries).to_string());
        }
        text.push('}');
    }
    text.push(']');
    let parsed = js_sys::JSON::parse(&text).map_err(failed)?;
    Ok(parsed.unchecked_into())
}

/// The rows in what a request found: one value, none, or a list of them. With their index entries where that is asked.
pub(super) fn rows(found: &JsValue, whole: bool) -> Result<Vec<Row>, StoreError> {
    if found.is_undefined() || found.is_null() {
        return Ok(Vec::new());
    }
    let list: JsValue = if js_sys::Array::is_array(found) { found.clone() } else { js_sys::Array::of1(found).into() };
    let text = js_sys::JSON::stringify(&list).map_err(failed)?;
    let text = String::from(text);
    let strange = || refused("a row of another form".to_owned());
    let mut rows = Vec::new();
    for stored in items(&text).ok_or_else(strange)? {
        let stored = members(stored).ok_or_else(strange)?;
        let part = |name| stored.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let key = |text| from_text(text).ok().and_then(|key: serde_json::Value| Key::of(&key));
        // A row that lost its content is one that nobody can read: whoever parses it says so, with its table.
        let text = part("v").unwrap_or_default().to_owned();
        let index = match part("ix").filter(|_| whole).and_then(key) {
            Some(Key::List(entries)) => entries,
            _ => Vec::new(),
        };
        rows.push(Row { key: part("k").and_then(key).ok_or_else(strange)?, text, index });
    }
    Ok(rows)
}

/// What the browser said: rexie's own text for it is "idb error", idb's is a sentence.
pub(super) fn cause(error: &rexie::Error) -> String {
    match error {
        rexie::Error::IdbError(error) => idb_cause(error),
        _ => UNKNOWN.to_owned(),
    }
}

/// The same for a connection of our own.
pub(super) fn idb_cause(error: &idb::Error) -> String {
    use idb::Error as Idb;
    match error {
        Idb::DomException(exception) => exception.name(),
        Idb::IndexedDbNotFound(said)
        | Idb::IndexedDbOpenFailed(said)
        | Idb::IndexedDbDeleteFailed(said)
        | Idb::TransactionOpenFailed(said)
        | Idb::ObjectStoreNotFound(said)
        | Idb::IndexNotFound(said)
        | Idb::GetFailed(said)
        | Idb::GetAllFailed(said)
        | Idb::CountFailed(said)
        | Idb::OpenCursorFailed(said)
        | Idb::CursorContinueFailed(said) => name(said),
        _ => UNKNOWN.to_owned(),
    }
}

/// What the browser's name for a refusal means: a full disk can show itself at any call.
pub(super) fn refused(reason: String) -> StoreError {
    if reason == "QuotaExceededError" { StoreError::Full } else { StoreError::Unavailable { reason } }
}

/// The same for what was thrown.
#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn failed(error: JsValue) -> StoreError {
    refused(name(&error))
}

const UNKNOWN: &str = "unknown";

/// The name of a DOM exception, which is what it means; otherwise what it says.
pub(super) fn name(error: &JsValue) -> String {
    match error.dyn_ref::<web_sys::DomException>() {
        Some(exception) => exception.name(),
        None => error.dyn_ref::<js_sys::Error>().map_or_else(|| UNKNOWN.to_owned(), |error| String::from(error.message())),
    }
}
