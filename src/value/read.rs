//! Typed values out of JSON values: the one reader that all our own types share.
//!
//! serde's derived code is written again for every type by every reader that reads it, and what it calls in the
//! reader is written again with it. So there is one reader, and it is as small as a reader can be: the text is
//! parsed by code that knows no types, into a [`Value`], and a struct asks the object for its fields one after the
//! other, which is a fraction of the code of being told each field of the object. (For serde, that is reading a
//! struct as a sequence.) serde_json's own reader of typed text weighed 190 KB before optimisation, this one 60.
//!
//! A field that is missing is what its declaration says for that, or nothing where it is an `Option`. Fields that are
//! unknown are ignored, but for [`from_value_strictly`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use serde_json::Value;

use super::{Object, json};

/// Why a value is not of the type that was asked for. It names fields and words of ours, and a word that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(Cow<'static, str>);

impl ReadError {
    fn of(what: &str, name: &str) -> Self {
        Self(Cow::Owned([what, name].concat()))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(Cow::Owned(what.to_string()))
    }
    fn invalid_type(_: Unexpected<'_>, _: &dyn de::Expected) -> Self {
        other_type()
    }
    fn invalid_value(_: Unexpected<'_>, _: &dyn de::Expected) -> Self {
        other_type()
    }
    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Self(Cow::Borrowed(MISSING))
    }
    fn unknown_variant(word: &str, _: &'static [&'static str]) -> Self {
        Self::of("no such word is known: ", word)
    }
    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::of("no such field is known: ", field)
    }
    fn missing_field(field: &'static str) -> Self {
        Self::of(MISSING, field)
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::of("a field stands twice: ", field)
    }
}

/// A struct misses a field, or a tuple an item.
const MISSING: &str = "a field is missing: ";

fn other_type() -> ReadError {
    ReadError(Cow::Borrowed("a value is of another type"))
}

/// Levels of what is read: a record in its envelopes has fewer, and a stack takes more.
const DEPTH_MAX: usize = 127;

/// JSON text as a typed value.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    from_value(&untyped(text)?)
}

/// A JSON value as a typed one.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, ReadError> {
    T::deserialize(Reader { value, strict: false })
}

/// A JSON value as a typed one, for what people write: no struct in it may have a field that is unknown.
pub fn from_value_strictly<T: DeserializeOwned>(value: &Value) -> Result<T, ReadError> {
    T::deserialize(Reader { value, strict: true })
}

/// JSON text of ours as a value.
pub(super) fn untyped(text: &str) -> Result<Value, ReadError> {
    json::read(text, DEPTH_MAX, false).map_err(|_| ReadError(Cow::Borrowed("it is not JSON")))
}

impl<'de> Reader<'de> {
    /// The object that a struct of these fields is read from.
    fn object(self, names: &[&str]) -> Result<&'de Object, ReadError> {
        let Value::Object(object) = self.value else { return Err(other_type()) };
        match object.keys().find(|name| self.strict && !names.contains(&name.as_str())) {
            Some(unknown) => Err(ReadError::of("no such field is known: ", unknown)),
            None => Ok(object),
        }
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
struct Reader<'de> {
    value: &'de Value,
    strict: bool,
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), strict: self.strict }),
            Value::Object(fields) => visitor.visit_map(Entries { entries: fields.iter(), value: &Value::Null, strict: self.strict }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let mut fields = Fields { object: self.object(names)?, names, next: 0, strict: self.strict };
        let read = visitor.visit_seq(&mut fields);
        read.map_err(|error| fields.named(error))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Object(fields) => visitor.visit_map(Entries { entries: fields.iter(), value: &Value::Null, strict: self.strict }),
            _ => Err(other_type()),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), strict: self.strict }),
            _ => Err(other_type()),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Array(items) if items.len() == length => visitor.visit_seq(Items { items: items.iter(), strict: self.strict }),
            _ => Err(other_type()),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(other_type()),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_u64(self.value.as_u64().ok_or_else(other_type)?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_bool(self.value.as_bool().ok_or_else(other_type)?)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    /// A word, or an object of one word and its value.
    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, ReadError> {
        let (word, value) = match self.value {
            Value::String(word) => (word, &Value::Null),
            Value::Object(fields) if fields.len() == 1 => fields.iter().next().ok_or_else(other_type)?,
            _ => return Err(other_type()),
        };
        visitor.visit_enum(Choice { word, value: Reader { value, strict: self.strict } })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct identifier
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Value>,
    strict: bool,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        match self.items.next() {
            Some(value) => seed.deserialize(Reader { value, strict: self.strict }).map(Some),
            None => Ok(None),
        }
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The fields of a struct, in the order in which it declares them.
struct Fields<'de> {
    object: &'de Object,
    names: &'static [&'static str],
    next: usize,
    strict: bool,
}

impl<'de> Fields<'de> {
    fn next(&mut self) -> Option<&'de Value> {
        let name = self.names.get(self.next)?;
        self.next += 1;
        self.object.get(*name)
    }

    /// The error of a field that is missing, with the name of the last one that was asked for.
    fn named(&self, error: ReadError) -> ReadError {
        match self.next.checked_sub(1).and_then(|last| self.names.get(last)) {
            Some(name) if error.0 == MISSING => ReadError::of(MISSING, name),
            _ => error,
        }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Fields<'de> {
    type Error = ReadError;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let found = self.next();
        // What may be nothing is read from nothing; for everything else the declaration says what to do.
        match seed.deserialize(Reader { value: found.unwrap_or(&Value::Null), strict: self.strict }) {
            Err(_) if found.is_none() => Ok(None),
            read => read.map(Some),
        }
    }
}

/// The entries of a map.
struct Entries<'de> {
    entries: serde_json::map::Iter<'de>,
    value: &'de Value,
    strict: bool,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        match self.entries.next() {
            Some((name, value)) => {
                self.value = value;
                seed.deserialize(de::value::BorrowedStrDeserializer::new(name)).map(Some)
            }
            None => Ok(None),
        }
    }
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(Reader { value: self.value, strict: self.strict })
    }
}

/// A variant of an enum.
struct Choice<'de> {
    word: &'de str,
    value: Reader<'de>,
}

impl<'de> de::EnumAccess<'de> for Choice<'de> {
    type Error = ReadError;
    type Variant = Self;
    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), ReadError> {
        let word: de::value::StrDeserializer<'de, ReadError> = self.word.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Choice<'de> {
    type Error = ReadError;
    fn unit_variant(self) -> Result<(), ReadError> {
        if self.value.value.is_null() { Ok(()) } else { Err(other_type()) }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.value)
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ReadError> {
        de::Deserializer::deserialize_tuple(self.value, length, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, ReadError> {
        de::Deserializer::deserialize_struct(self.value, "", names, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Pet {
        pet_name: String,
        #[serde(default)]
        tags: Vec<String>,
        mate: Option<Box<Pet>>,
        #[serde(default)]
        kind: Kind,
        #[serde(default)]
        seen: BTreeMap<String, (u64, u32)>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        #[default]
        Dog,
        Other(String),
        Herd {
            heads: u64,
        },
    }

    #[test]
    fn what_is_there_is_read_and_what_is_missing_is_what_was_declared_for_that() {
        let rex: Pet = from_text(r#"{"petName": "Rex", "unknown": {}}"#).expect("reads");
        assert_eq!(rex, Pet { pet_name: "Rex".to_owned(), tags: Vec::new(), mate: None, kind: Kind::Dog, seen: BTreeMap::new() });
        let luna = json!({"petName": "Luna", "tags": ["a"], "mate": {"petName": "Rex"}, "kind": {"other": "cat"}, "seen": {"x": [7, 8]}});
        let luna: Pet = from_value(&luna).expect("reads");
        assert_eq!((luna.mate, luna.kind, luna.seen["x"]), (Some(Box::new(rex)), Kind::Other("cat".to_owned()), (7, 8)));
        let herd: Kind = from_value(&json!({"herd": {"heads": 3}})).expect("reads");
        assert_eq!(herd, Kind::Herd { heads: 3 });
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        let error = |value: Value| from_value::<Pet>(&value).expect_err("wrong").to_string();
        assert_eq!(error(json!({"tags": []})), "a field is missing: petName");
        assert_eq!(error(json!({"petName": "Rex", "mate": {}})), "a field is missing: petName");
        assert_eq!(error(json!({"petName": "Rex", "kind": "bird"})), "no such word is known: bird");
        for wrong in [json!([]), json!("Rex"), json!({"petName": 7}), json!({"petName": "Rex", "seen": {"x": [1]}})] {
            assert_eq!(error(wrong), "a value is of another type");
        }
        assert_eq!(error(json!({"petName": "Rex", "seen": {"x": [1, 5_000_000_000_u64]}})), "a value is of another type");
        assert_eq!(from_text::<Pet>("{").expect_err("wrong").to_string(), "it is not JSON");
    }

    #[test]
    fn what_people_write_has_no_unknown_fields_at_any_depth() {
        let nested = json!({"petName": "Rex", "mate": {"petName": "Luna", "collar": 1}});
        assert!(from_value::<Pet>(&nested).is_ok());
        assert_eq!(from_value_strictly::<Pet>(&nested).expect_err("strict").to_string(), "no such field is known: collar");
    }
}
