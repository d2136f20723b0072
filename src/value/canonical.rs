//! Canonical form (RFC 8785) and SHA-256 over it (by `sha2`). Client and server hash the same bytes, whatever the
//! order of keys or the spelling of numbers was.
//!
//! A crate for the form writes every key, parses it again to sort it, and brings a second parser and writer of JSON
//! along: 20 KB of download for what a [`Value`] makes simple. It is the judge in the tests.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{MAX_SAFE_INTEGER, Object, to_text};

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(String);

impl Hash {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The hash that stands before the first link of a chain.
    pub fn zero() -> Self {
        Self("0".repeat(64))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The canonical text of a value.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// The canonical text of an object.
pub fn canonical_object(fields: &Object) -> String {
    let mut text = String::new();
    write_object(fields, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|integer| integer.unsigned_abs() <= MAX_SAFE_INTEGER) => {
            text.push_str(&number.to_string());
        }
        Value::Number(number) => {
            // A value holds no number that is not finite.
            let double = number.as_f64().unwrap_or_default();
            super::decimal::write(double, text);
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => write_object(fields, text),
        Value::String(string) => write_string(string, text),
        Value::Null | Value::Bool(_) => text.push_str(&to_text(value)),
    }
}

/// Most strings have nothing to escape.
fn write_string(string: &str, text: &mut String) {
    if string.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        text.push_str(&to_text(&string));
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

fn write_object(fields: &Object, text: &mut String) {
    text.push('{');
    for (at, (name, field)) in in_order(fields).into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write_string(name, text);
        text.push(':');
        write(field, text);
    }
    text.push('}');
}

/// The fields by the UTF-16 of their names. They come by code points, which is the same unless something stands above
/// the surrogates.
fn in_order(fields: &Object) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    if fields.keys().any(|name| name.chars().any(|char| char >= '\u{e000}')) {
        sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    sorted
}

/// The hash of a value's canonical text.
pub fn hash(value: &Value) -> Hash {
    hash_bytes(canonical(value).as_bytes())
}

/// The SHA-256 of bytes, as bytes.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The hash of bytes as they are.
pub fn hash_bytes(bytes: &[u8]) -> Hash {
    Hash(super::hex(&digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_and_spelling_do_not_matter() {
        let a = super::super::parse(r#"{"b":1.0,"a":[1e2,"\u20ac"]}"#, &super::super::Limits::RECORD);
        let b = super::super::parse(r#"{"a":[100,"€"],"b":1}"#, &super::super::Limits::RECORD);
        assert_eq!(a.as_ref().map(canonical), Ok(r#"{"a":[100,"€"],"b":1}"#.to_owned()));
        assert_eq!(a.as_ref().map(hash), b.as_ref().map(hash));
    }

    #[test]
    fn numbers_and_key_order_follow_rfc_8785() {
        // The sample of RFC 8785, section 3.2.2 and 3.2.3.
        let value = json!({"numbers": [333_333_333.333_333_3, 1e30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        assert_eq!(canonical(&value["numbers"]), "[333333333.3333333,1e+30,4.5,0.002,1e-27]");
        let text = canonical(&value);
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in {text}"));
        assert!(at("\"\\r\"") < at("\"1\"") && at("\"\u{80}\"") < at("\"\u{f6}\"") && at("\"\u{20ac}\"") < at("\"\u{1f600}\""));
        // UTF-16 order: the surrogate pair of the emoji sorts before U+FB33.
        assert!(at("\"\u{1f600}\"") < at("\"\u{fb33}\""));
    }

    #[test]
    fn the_form_is_that_of_a_crate_for_it() {
        let names: Vec<String> = [
            "",
            "a",
            "b",
            "\u{7f}",
            "\u{80}",
            "é",
            "\u{d7ff}",
            "\u{e000}",
            "\u{fffd}",
            "\u{ffff}",
            "\u{10000}",
            "\u{10ffff}",
            "\"",
            "\\",
            "\n",
            "\u{0}",
            "\u{1f}",
            "/",
        ]
        .iter()
        .flat_map(|first| ["", "a", "\u{fb33}", "\u{1f600}"].map(|second| format!("{first}{second}")))
        .collect();
        let numbers = json!([
            0,
            -0.0,
            1,
            -1,
            1.5,
            1e21,
            1e-7,
            123_456_789_012_345_680_000.0,
            5e-324,
            1.797_693_134_862_315_7e308,
            0.1,
            1e23,
            u64::MAX,
            i64::MIN,
            9_007_199_254_740_993_i64
        ]);
        let mut object = Object::new();
        for (at, name) in names.iter().enumerate() {
            object.insert(name.clone(), json!([at, name, null, true, {}, [], {"b": [false], "a": {"\u{10000}": 1, "\u{e000}": 2}}]));
        }
        for value in [Value::Object(object), numbers, json!(names), json!("\u{2028}\t\u{8}")] {
            assert_eq!(Some(canonical(&value)), serde_json_canonicalizer::to_string(&value).ok());
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash_bytes(b"abc").as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
