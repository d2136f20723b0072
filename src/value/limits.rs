//! The number rule and the limits, applied at every entrance before anything else looks at a value.
//!
//! The number rule (DESIGN 5.2): a number is a finite IEEE double; an integer is between -(2^53-1) and
//! 2^53-1. "Integer" means what ECMAScript prints without an exponent, so the rule can be decided from
//! the double alone, whoever spelled it: integral and below 1e21. `1e300` is a double like any other.

use serde_json::{Number, Value};

use super::json::{self, Refusal, Why};

/// The largest integer that a double can hold together with its neighbours: 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

/// From here on ECMAScript writes a number with an exponent.
const EXPONENT_FROM: f64 = 1e21;

/// What an input may measure. Every field is inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of JSON text.
    pub bytes_max: usize,
    /// Arrays and objects inside each other.
    pub depth_max: usize,
}

impl Limits {
    /// One record: 1 MiB, 64 levels.
    pub const RECORD: Self = Self { bytes_max: 1 << 20, depth_max: 64 };
    /// One message from a server or a client: 32 MiB, 72 levels (a record inside its envelope).
    pub const MESSAGE: Self = Self { bytes_max: 32 << 20, depth_max: 72 };
}

/// Why a value was refused. `path` is a JSON Pointer to the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The text is longer than the limit.
    #[error("{bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// More levels than the limit.
    #[error("more than {depth_max} levels deep")]
    TooDeep {
        /// Levels allowed.
        depth_max: usize,
    },
    /// An integer that a double cannot hold exactly.
    #[error("the integer at '{path}' is outside ±(2^53-1); send it as a string")]
    IntegerOutOfRange {
        /// Where.
        path: String,
    },
    /// Not JSON, or JSON with a key twice in one object.
    #[error("not valid JSON: {reason}")]
    Malformed {
        /// What the parser said, with line and column, never the content.
        reason: String,
    },
}

impl ValueError {
    /// The stable code that JavaScript sees.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::TooDeep { .. } => "too_deep",
            Self::IntegerOutOfRange { .. } | Self::Malformed { .. } => "invalid_value",
        }
    }
}

/// Reads JSON text from outside: size before parsing, then depth, numbers and double keys while parsing.
pub fn parse(text: &str, limits: &Limits) -> Result<Value, ValueError> {
    if text.len() > limits.bytes_max {
        return Err(ValueError::TooLarge { bytes: text.len(), bytes_max: limits.bytes_max });
    }
    let mut value = json::read(text, limits.depth_max, true).map_err(|refusal| from_parser(text, refusal, limits))?;
    normalise(&mut value, &mut String::new())?;
    Ok(value)
}

/// Checks a value that was built rather than parsed, and brings it into normal form.
pub fn check(value: &mut Value, limits: &Limits) -> Result<(), ValueError> {
    if depth(value) > limits.depth_max {
        return Err(ValueError::TooDeep { depth_max: limits.depth_max });
    }
    normalise(value, &mut String::new())?;
    let bytes = value.to_string().len();
    if bytes > limits.bytes_max {
        return Err(ValueError::TooLarge { bytes, bytes_max: limits.bytes_max });
    }
    Ok(())
}

fn from_parser(text: &str, refusal: Refusal, limits: &Limits) -> ValueError {
    let what = match refusal.why {
        Why::TooDeep => return ValueError::TooDeep { depth_max: limits.depth_max },
        Why::Early => "it ends too early",
        Why::Data => "a key stands twice in one object, or a number is no double",
        Why::Syntax => "syntax",
    };
    let before = text.as_bytes().get(..refusal.at).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    ValueError::Malformed { reason: format!("{what} at line {line} column {column}") }
}

pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn normalise(value: &mut Value, path: &mut String) -> Result<(), ValueError> {
    match value {
        Value::Number(number) => {
            *number = normal_number(number).ok_or_else(|| ValueError::IntegerOutOfRange { path: path.clone() })?;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                let length = path.len();
                path.push('/');
                path.push_str(&index.to_string());
                normalise(item, path)?;
                path.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                let length = path.len();
                path.push('/');
                path.push_str(&super::path::escape(key));
                normalise(field, path)?;
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
    Ok(())
}

/// The normal form of a number, or nothing if the number rule forbids it.
fn normal_number(number: &Number) -> Option<Number> {
    if let Some(integer) = number.as_i64() {
        return (integer.unsigned_abs() <= MAX_SAFE_INTEGER).then(|| Number::from(integer));
    }
    if number.is_u64() {
        return None;
    }
    let double = number.as_f64()?;
    if double.fract() != 0.0 || double.abs() >= EXPONENT_FROM {
        return Number::from_f64(double);
    }
    #[allow(clippy::cast_precision_loss, reason = "2^53-1 is exact as a double")]
    let max = MAX_SAFE_INTEGER as f64;
    if double.abs() > max {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "integral and within ±(2^53-1)")]
    Some(Number::from(double as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Result<Value, ValueError> {
        parse(text, &Limits::RECORD)
    }

    #[test]
    fn one_and_one_point_zero_are_equal() {
        assert_eq!(parsed("[1, 1.0, 1e0, -0.0]"), Ok(json!([1, 1, 1, 0])));
    }

    #[test]
    fn integers_beyond_the_safe_range_are_refused_with_their_path() {
        for text in ["9007199254740992", "-9007199254740992", "18446744073709551615", "9.007199254740992e15", "123456789012345678901"] {
            let error = parsed(&format!("{{\"a\":[{text}]}}")).expect_err(text);
            assert_eq!(error, ValueError::IntegerOutOfRange { path: "/a/0".to_owned() }, "{text}");
        }
        assert_eq!(parsed("9007199254740991"), Ok(json!(9_007_199_254_740_991_u64)));
        assert_eq!(parsed("1e300"), Ok(json!(1e300)));
        assert!(matches!(parsed("1e400"), Err(ValueError::Malformed { .. })));
        assert!(matches!(parsed("NaN"), Err(ValueError::Malformed { .. })));
    }

    #[test]
    fn depth_and_size_are_bounded_exactly_at_the_limit() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parsed(&nested(64)).is_ok());
        assert_eq!(parsed(&nested(65)), Err(ValueError::TooDeep { depth_max: 64 }));
        assert_eq!(parsed(&nested(100_000)), Err(ValueError::TooDeep { depth_max: 64 }));
        let limits = Limits { bytes_max: 4, depth_max: 1 };
        assert!(parse("[12]", &limits).is_ok());
        assert_eq!(parse("[123]", &limits), Err(ValueError::TooLarge { bytes: 5, bytes_max: 4 }));
    }

    #[test]
    fn a_key_may_stand_once_and_hostile_keys_are_only_data() {
        assert!(matches!(parsed(r#"{"a":1,"a":2}"#), Err(ValueError::Malformed { .. })));
        let hostile = r#"{"__proto__":{"x":1},"constructor":{"prototype":2}}"#;
        assert_eq!(parsed(hostile).map(|value| value["__proto__"]["x"].clone()), Ok(json!(1)));
    }

    #[test]
    fn messages_never_repeat_the_content() {
        let error = parsed(r#"{"secret-name": secret}"#).expect_err("no JSON");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
