//! The query as the app writes it:
//! `{"where": {"field": value | {"eq","in","lt","lte","gt","gte","prefix"}}, "orderBy", "limit", "offset"}`.

use serde::Deserialize;
use serde_json::Value;

use crate::value::{FieldPath, Key, KeyRange, Object, from_value, from_value_strictly};

/// The most conditions in one query.
const CONDITIONS_MAX: usize = 32;

/// A query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid query at '{path}': {reason}")]
pub struct QueryError {
    /// Where.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// What a field has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Equal to this value; `null` also matches a field that is not there.
    Eq(Value),
    /// Equal to one of these.
    In(Vec<Value>),
    /// Within a range of keys. A field that has no key (null, boolean, object) is in none.
    Range(KeyRange),
    /// A string that begins so.
    Prefix(String),
}

/// Upwards or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Upwards.
    Asc,
    /// Downwards.
    Desc,
}

/// A query over one entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// All must hold.
    pub conditions: Vec<(FieldPath, Condition)>,
    /// First by the first; ties by ID.
    pub order: Vec<(FieldPath, Direction)>,
    /// At most so many records.
    pub limit: Option<usize>,
    /// After skipping so many.
    pub offset: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    #[serde(default, rename = "where")]
    conditions: Object,
    #[serde(default)]
    order_by: Option<Value>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

impl Query {
    /// Reads a query from its JSON.
    pub fn parse(value: Value) -> Result<Self, QueryError> {
        let wrong = |path: &str, reason: String| QueryError { path: path.to_owned(), reason };
        let wire: Wire = from_value_strictly(&value).map_err(|error| wrong("", error.to_string()))?;
        if wire.conditions.len() > CONDITIONS_MAX {
            return Err(wrong("where", format!("at most {CONDITIONS_MAX} conditions")));
        }
        let path = |text: &str| FieldPath::parse(text).map_err(|error| wrong(text, error.to_string()));
        let mut query = Self { limit: wire.limit, offset: wire.offset, ..Self::default() };
        for (field, value) in wire.conditions {
            let condition = condition(value).map_err(|reason| wrong(&format!("where.{field}"), reason))?;
            query.conditions.push((path(&field)?, condition));
        }
        match wire.order_by {
            None => {}
            Some(Value::String(field)) => query.order.push((path(&field)?, Direction::Asc)),
            Some(fields) => {
                let fields: Vec<(String, Direction)> = from_value(&fields).map_err(|error| wrong("orderBy", error.to_string()))?;
                for (field, direction) in fields {
                    query.order.push((path(&field)?, direction));
                }
            }
        }
        Ok(query)
    }

    /// The condition that an index can answer, if `indexed` knows one for it: the range of index values.
    pub fn by_index(&self, indexed: impl Fn(&str) -> bool) -> Option<(&FieldPath, KeyRange)> {
        self.conditions.iter().filter(|(path, _)| indexed(path.as_str())).find_map(|(path, condition)| {
            let range = match condition {
                Condition::Eq(value) => KeyRange::only(Key::of(value)?),
                Condition::Range(range) => range.clone(),
                Condition::Prefix(prefix) => KeyRange {
                    lower: Some((Key::text(prefix), false)),
                    // No string that begins so sorts after this one.
                    upper: Some((Key::Text(format!("{prefix}\u{ffff}")), true)),
                },
                Condition::In(_) => return None,
            };
            Some((path, range))
        })
    }
}

fn condition(value: Value) -> Result<Condition, String> {
    let Value::Object(operators) = value else { return Ok(Condition::Eq(value)) };
    let mut range: Option<KeyRange> = None;
    let mut whole: Option<Condition> = None;
    for (name, operand) in operators {
        let bound = |operand: &Value| Key::of(operand).ok_or_else(|| format!("'{name}' takes a number, a string or a list"));
        match (name.as_str(), operand) {
            ("eq", value) => whole = Some(Condition::Eq(value)),
            ("in", Value::Array(values)) => whole = Some(Condition::In(values)),
            ("prefix", Value::String(text)) => whole = Some(Condition::Prefix(text)),
            ("gt", value) => range.get_or_insert_with(KeyRange::all).lower = Some((bound(&value)?, true)),
            ("gte", value) => range.get_or_insert_with(KeyRange::all).lower = Some((bound(&value)?, false)),
            ("lt", value) => range.get_or_insert_with(KeyRange::all).upper = Some((bound(&value)?, true)),
            ("lte", value) => range.get_or_insert_with(KeyRange::all).upper = Some((bound(&value)?, false)),
            _ => return Err(format!("'{name}' is no operator for this value; known are eq, in, lt, lte, gt, gte, prefix")),
        }
    }
    match (whole, range) {
        (Some(condition), None) => Ok(condition),
        (None, Some(range)) => Ok(Condition::Range(range)),
        (Some(_), Some(_)) => Err("eq, in and prefix stand alone".to_owned()),
        (None, None) => Err("an empty condition".to_owned()),
    }
}
