//! The wire form of an entity, where it is not the form that the app works with: other names, other values, fields that only
//! the server has. The app, the database, conflicts, diffs and hashes know the local form alone; [`super::wire`] turns what
//! goes up and what comes down.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::{Entity, Schema};
use crate::value::{Limits, MAX_SAFE_INTEGER, Object, Sorted, instant, parse, time_text};

/// How records of an entity go over the wire. Fields that it does not name go as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Transform {
    /// Counts up with every change: what was downloaded under another one is downloaded anew.
    pub version: u32,
    /// The entity's name there, where it has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// By top-level field.
    pub fields: Sorted<String, FieldTransform>,
    /// Fields of the wire that the app does not see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Fields of the wire that the app does not see, with what they are in every record that is created here.
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub constants: Object,
}

/// How one field goes over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct FieldTransform {
    /// Its name there, where it has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its values are there, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convert: Option<Convert>,
    /// What it is here where the wire has nothing, or `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// What the values of a field are there. `null` is `null` on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convert {
    /// Here ms since 1970, there the time in UTC as RFC 3339 writes it. What is finer than a ms there is cut off.
    Time,
    /// Here ms since 1970, there seconds, whole or not.
    Seconds,
    /// Here a number, there its text.
    Text,
    /// Here `true` or `false`, there 1 or 0.
    Digit,
    /// Here one of these texts, there what stands beside it.
    Values(Object),
    /// What a function of the app makes of it. Of these values it must make values, and of those the same again.
    Function(Vec<Value>),
}

impl Convert {
    /// The value there; nothing where this one has none. Functions are asked elsewhere.
    pub(super) fn there(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Time => time_text(value.as_i64()?).map(Value::from),
            #[allow(clippy::cast_precision_loss, reason = "a safe integer is a double")]
            Self::Seconds => match safe(value)? {
                whole if whole % 1000 == 0 => Some((whole / 1000).into()),
                part => Number::from_f64(part as f64 / 1000.0).map(Value::Number),
            },
            Self::Text => value.is_number().then(|| Value::String(value.to_string())),
            Self::Digit => value.as_bool().map(|flag| i64::from(flag).into()),
            Self::Values(pairs) => pairs.get(value.as_str()?).cloned(),
            Self::Function(_) => None,
        }
    }

    /// The value here; nothing where that one has none.
    pub(super) fn here(&self, value: &Value) -> Option<Value> {
        match self {
            Self::Time => {
                let (seconds, fraction) = instant(value.as_str()?)?;
                let digits = fraction.bytes().chain(*b"000").take(3);
                Some((seconds * 1000 + digits.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0'))).into())
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "held to safe integers first")]
            Self::Seconds => {
                let ms = (value.as_f64()? * 1000.0).round();
                (ms.abs() <= MAX_SAFE_INTEGER as f64).then(|| (ms as i64).into())
            }
            Self::Text => parse(value.as_str()?, &Limits::RECORD).ok().filter(Value::is_number),
            Self::Digit => match value.as_i64()? {
                0 => Some(false.into()),
                1 => Some(true.into()),
                _ => None,
            },
            Self::Values(pairs) => pairs.iter().find(|(_, there)| *there == value).map(|(here, _)| here.as_str().into()),
            Self::Function(_) => None,
        }
    }
}

fn safe(value: &Value) -> Option<i64> {
    value.as_i64().filter(|number| number.unsigned_abs() <= MAX_SAFE_INTEGER)
}

impl Transform {
    /// The names on the wire that are another field's here, or none's: no field here may be called so.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.drop.iter().any(|taken| taken == name) || self.constants.contains_key(name) || self.renamed(name).is_some()
    }

    /// The field here that is called so there, by another name than its own.
    pub(super) fn renamed(&self, name: &str) -> Option<&String> {
        self.fields.iter().find(|(own, field)| *own != name && field.name.as_deref() == Some(name)).map(|(own, _)| own)
    }

    /// What is wrong with it: the setting within, and why.
    pub(super) fn fault(&self, entity: &Entity) -> Option<(String, &'static str)> {
        let plain = |name: &str| !name.is_empty() && !name.contains(['.', '/', '~', '[']) && !matches!(name, "id" | "_sync");
        if self.version == 0 {
            return Some(("version".to_owned(), "counts from 1"));
        }
        if self.fields.len() + self.drop.len() + self.constants.len() > super::declare::FIELDS_MAX {
            return Some(("fields".to_owned(), "at most 200 fields"));
        }
        for (own, field) in self.fields.iter() {
            let at = |setting: &str| Some(format!("fields.{own}{setting}"));
            let there = field.name.as_ref().unwrap_or(own);
            let is_other = |(other, shape): (&String, &FieldTransform)| other != own && shape.name.as_ref().unwrap_or(other) == there;
            let wrong = match &field.convert {
                _ if !plain(own) => Some((at(""), "must be a top-level field")),
                _ if !plain(there) => Some((at(".name"), "must be a top-level field")),
                _ if self.drop.contains(there) || self.constants.contains_key(there) || self.fields.iter().any(is_other) => {
                    Some((at(".name"), "is the name of one field there"))
                }
                // A field here that keeps its name would go by the same.
                _ if field.name.is_some() && entity.knows(there) && !self.fields.contains_key(there) => {
                    Some((at(".name"), "is the name of another field here"))
                }
                Some(_) if entity.conflicts.of(own).merges() => {
                    Some((at(".convert"), "the field has a rule that merges: what is done to it here cannot be told there"))
                }
                Some(_) if entity.references.keys().any(|path| path.top() == own) => Some((at(".convert"), "a reference holds an ID")),
                Some(Convert::Values(pairs)) if !is_reversible(pairs) => {
                    Some((at(".convert.values"), "must name values, each once, of which none is null"))
                }
                Some(Convert::Function(examples)) if examples.is_empty() || examples.iter().any(|one| one.is_object() || one.is_null()) => {
                    Some((at(".convert.function"), "must have examples of its values here, of which none is null or an object"))
                }
                Some(convert @ (Convert::Time | Convert::Seconds | Convert::Text | Convert::Digit | Convert::Values(_)))
                    if field.default.as_ref().is_some_and(|value| convert.there(value).is_none()) =>
                {
                    Some((at(".default"), "cannot be converted"))
                }
                _ => None,
            };
            if let Some((Some(at), reason)) = wrong {
                return Some((at, reason));
            }
        }
        for (at, name) in self.drop.iter().enumerate() {
            if !plain(name) || self.drop[..at].contains(name) || entity.knows(name) && !self.fields.contains_key(name) {
                return Some((format!("drop.{at}"), "must be a top-level field that the app does not have, once"));
            }
        }
        let odd = self.constants.keys().find(|name| !plain(name) || entity.knows(name) && !self.fields.contains_key(*name));
        odd.map(|name| (format!("constants.{name}"), "must be a top-level field that the app does not have"))
    }
}

/// Whether each text stands for a value of its own.
fn is_reversible(pairs: &Object) -> bool {
    let values: Vec<&Value> = pairs.values().collect();
    !values.is_empty() && values.iter().enumerate().all(|(at, value)| !value.is_null() && !values[..at].contains(value))
}

impl Entity {
    /// Whether anything is declared of a top-level field.
    fn knows(&self, name: &str) -> bool {
        let mut paths = self.index_paths().chain(self.unique.iter().flatten()).chain(self.fields.keys());
        paths.any(|path| path.top() == name) || self.conflicts.fields.contains_key(name)
    }
}

impl Schema {
    /// Whether any entity has a wire form of its own.
    pub fn is_transformed(&self) -> bool {
        self.entities.values().any(|entity| entity.transform.is_some())
    }

    /// The fields that go through a function of the app, by entity, with examples of their values.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &str, &[Value])> {
        self.entities.iter().flat_map(|(name, entity)| {
            let fields = entity.transform.iter().flat_map(|transform| transform.fields.iter());
            fields.filter_map(move |(field, shape)| match &shape.convert {
                Some(Convert::Function(examples)) => Some((name.as_str(), field.as_str(), examples.as_slice())),
                _ => None,
            })
        })
    }

    /// What is wrong with the names of entities there: the entity here.
    pub(super) fn twice_there(&self) -> Option<&String> {
        let mut seen: Vec<&str> = Vec::new();
        self.entities.keys().find(|name| {
            let there = self.there(name);
            seen.contains(&there) || {
                seen.push(there);
                false
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(transform: &Value) -> Result<Schema, super::super::SchemaError> {
        let pet = json!({"references": {"owner": "client"}, "indexes": ["tag"], "conflicts": {"fields": {"visits": "counter"}},
            "transform": transform});
        Schema::parse(&json!({"name": "t", "version": 1, "entities": {"pet": pet, "client": {}}}).to_string())
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_refused_with_its_path() {
        for (path, transform) in [
            ("version", json!({})),
            ("entity", json!({"version": 1, "entity": "a b"})),
            ("entity", json!({"version": 1, "entity": "client"})),
            ("fields.a.b", json!({"version": 1, "fields": {"a.b": {}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "id"}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "b.c"}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "x"}, "b": {"name": "x"}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "b"}, "b": {}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "tag"}}})),
            ("fields.a.name", json!({"version": 1, "fields": {"a": {"name": "x"}}, "drop": ["x"]})),
            ("fields.visits.convert", json!({"version": 1, "fields": {"visits": {"convert": "text"}}})),
            ("fields.owner.convert", json!({"version": 1, "fields": {"owner": {"convert": "text"}}})),
            ("fields.a.convert.values", json!({"version": 1, "fields": {"a": {"convert": {"values": {}}}}})),
            ("fields.a.convert.values", json!({"version": 1, "fields": {"a": {"convert": {"values": {"x": 1, "y": 1.0}}}}})),
            ("fields.a.convert.function", json!({"version": 1, "fields": {"a": {"convert": {"function": []}}}})),
            ("fields.a.convert.function", json!({"version": 1, "fields": {"a": {"convert": {"function": [{}]}}}})),
            ("fields.a.default", json!({"version": 1, "fields": {"a": {"convert": "digit", "default": 1}}})),
            ("drop.0", json!({"version": 1, "drop": ["tag"]})),
            ("drop.1", json!({"version": 1, "drop": ["x", "x"]})),
            ("constants.owner", json!({"version": 1, "constants": {"owner": 1}})),
        ] {
            let error = schema(&transform).expect_err(path);
            assert_eq!(error.path, format!("entities.pet.transform.{path}"), "{transform}");
        }
        let unknown = schema(&json!({"version": 1, "fields": {"a": {"convert": "magic"}}})).expect_err("refused");
        assert!(unknown.to_string().contains("no such word is known: magic"), "{unknown}");
        // Two fields may change their names with each other.
        assert_eq!(schema(&json!({"version": 1, "fields": {"a": {"name": "b"}, "b": {"name": "a"}}})).map(drop), Ok(()));
    }

    #[test]
    fn every_conversion_goes_there_and_back() {
        let values = Convert::Values(json!({"dog": 1, "cat": "C"}).as_object().cloned().unwrap_or_default());
        for (convert, pairs) in [
            (&Convert::Time, vec![(json!(0), json!("1970-01-01T00:00:00.000Z")), (json!(-1), json!("1969-12-31T23:59:59.999Z"))]),
            (
                &Convert::Seconds,
                vec![(json!(0), json!(0)), (json!(1_700_000_000_123_u64), json!(1_700_000_000.123)), (json!(-1500), json!(-1.5))],
            ),
            (&Convert::Text, vec![(json!(12.5), json!("12.5")), (json!(-3), json!("-3")), (json!(1e300), json!("1e+300"))]),
            (&Convert::Digit, vec![(json!(true), json!(1)), (json!(false), json!(0))]),
            (&values, vec![(json!("dog"), json!(1)), (json!("cat"), json!("C"))]),
        ] {
            for (here, there) in pairs {
                assert_eq!((convert.there(&here), convert.here(&there)), (Some(there.clone()), Some(here.clone())), "{convert:?} {here}");
            }
            for odd in [json!("x"), json!([]), json!({}), json!(null)] {
                assert_eq!((convert.there(&odd), convert.here(&odd)), (None, None), "{convert:?} {odd}");
            }
        }
        assert_eq!(Convert::Time.here(&json!("2026-01-01T00:00:00.1239Z")), Some(json!(1_767_225_600_123_u64)));
        assert_eq!(
            (Convert::Time.there(&json!(1.5)), Convert::Seconds.here(&json!(1e300)), Convert::Digit.here(&json!(2))),
            (None, None, None)
        );
        assert_eq!((Convert::Text.here(&json!("1x")), Convert::Text.here(&json!("{}"))), (None, None));
    }
}
