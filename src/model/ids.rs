//! IDs. A record's ID is a JSON string or a safe integer. Until the server names it, a record carries a
//! temp ID, `temp_<ms>_<random>_<entity>`; afterwards the temp ID goes on naming it for ever.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::value::{Key, MAX_SAFE_INTEGER};

/// The longest ID, in bytes.
const ID_BYTES_MAX: usize = 256;
/// Random bytes in a temp ID: 80 bits, 16 characters.
const RANDOM_BYTES: usize = 10;

/// A value that cannot be an ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ID is a non-empty string of at most 256 bytes, or an integer within ±(2^53-1)")]
pub struct IdError;

/// The ID of a record. Integers sort before strings, as IndexedDB sorts keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum RecordId {
    /// An integer within ±(2^53-1).
    Integer(i64),
    /// A string: a real ID, a client-issued UUIDv7 or a temp ID.
    Text(String),
}

impl RecordId {
    /// Reads an ID out of a document.
    pub fn from_value(value: &Value) -> Result<Self, IdError> {
        match value {
            Value::String(text) if !text.is_empty() && text.len() <= ID_BYTES_MAX => Ok(Self::Text(text.clone())),
            Value::Number(number) => {
                #[allow(clippy::cast_possible_truncation, reason = "the range is checked below")]
                let integer = number.as_i64().or_else(|| number.as_f64().filter(|d| d.fract() == 0.0 && d.abs() < 1e16).map(|d| d as i64));
                integer.filter(|i| i.unsigned_abs() <= MAX_SAFE_INTEGER).map(Self::Integer).ok_or(IdError)
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(IdError),
        }
    }
    /// The ID as a JSON value.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Integer(integer) => Value::from(*integer),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
    /// The ID as a key.
    pub fn to_key(&self) -> Key {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "within ±(2^53-1)")]
            Self::Integer(integer) => Key::Number(*integer as f64),
            Self::Text(text) => Key::text(text),
        }
    }
    /// The temp ID that this is, if it is one.
    pub fn as_temp(&self) -> Option<TempId> {
        match self {
            Self::Text(text) => TempId::parse(text),
            Self::Integer(_) => None,
        }
    }
}

impl TryFrom<Value> for RecordId {
    type Error = IdError;
    fn try_from(value: Value) -> Result<Self, IdError> {
        Self::from_value(&value)
    }
}

impl From<RecordId> for Value {
    fn from(id: RecordId) -> Self {
        id.to_value()
    }
}

impl From<TempId> for RecordId {
    fn from(id: TempId) -> Self {
        Self::Text(id.0)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// The ID of a record that the server has not named yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TempId(String);

impl TempId {
    /// Reads `temp_<ms>_<random>_<entity>`; the entity is all after the third underscore.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '_');
        let (word, ms, random, entity) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let well_formed = word == "temp"
            && !ms.is_empty()
            && ms.bytes().all(|byte| byte.is_ascii_digit())
            && !random.is_empty()
            && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !entity.is_empty()
            && text.len() <= ID_BYTES_MAX;
        well_formed.then(|| Self(text.to_owned()))
    }
    /// The entity that the ID was issued for.
    pub fn entity(&self) -> &str {
        self.0.splitn(4, '_').nth(3).unwrap_or_default()
    }
    /// The same ID under another name of its entity.
    pub fn under(&self, entity: &str) -> Self {
        let stem = self.0.strip_suffix(self.entity()).unwrap_or_default();
        Self([stem, entity].concat())
    }
    /// When the ID was issued by the device's clock, in ms since 1970.
    pub fn issued_ms(&self) -> u64 {
        self.0.split('_').nth(1).and_then(|ms| ms.parse().ok()).unwrap_or_default()
    }
    /// The ID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TempId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text).ok_or(IdError)
    }
}

impl From<TempId> for String {
    fn from(id: TempId) -> Self {
        id.0
    }
}

impl fmt::Display for TempId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a value is a temp ID.
pub fn is_temp_id(value: &Value) -> bool {
    value.as_str().is_some_and(|text| TempId::parse(text).is_some())
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a UUID in its hyphenated lower-case form.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let uuid = uuid::Uuid::try_parse(text).map_err(|_| IdError)?;
                let normal = uuid.hyphenated().to_string();
                if normal == text { Ok(Self(normal)) } else { Err(IdError) }
            }
            /// The ID's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

uuid_id! {
    /// The ID of an operation, a UUIDv7: also its idempotency key.
    OpId
}
uuid_id! {
    /// The ID of one database on one device (tenant and user together), a UUIDv7 made when it is first opened.
    ClientId
}
uuid_id! {
    /// The server's lineage: another epoch means another history.
    Epoch
}

/// Issues IDs that increase, also within a millisecond and when the clock goes back. Fed with time and
/// random bytes by its owner.
#[derive(Clone, Debug, Default)]
pub struct IdSource {
    last_ms: u64,
    last_random: [u8; RANDOM_BYTES],
}

impl IdSource {
    /// Random bytes that each issue takes.
    pub const ENTROPY_BYTES: usize = RANDOM_BYTES;

    fn advance(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES]) -> (u64, [u8; RANDOM_BYTES]) {
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            self.last_random = random;
            // Room for counting up without reaching the bits that a UUID masks.
            self.last_random[2] &= 0x1f;
        } else {
            for byte in self.last_random.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
        (self.last_ms, self.last_random)
    }

    /// A temp ID for a new record of `entity`.
    pub fn temp_id(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES], entity: &str) -> TempId {
        let (ms, random) = self.advance(now_ms, random);
        TempId(format!("temp_{ms}_{}_{entity}", crate::value::base32(&random)))
    }
    /// A UUIDv7.
    pub fn uuid(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES]) -> String {
        let (ms, random) = self.advance(now_ms, random);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid().hyphenated().to_string()
    }
    /// The ID of a new operation.
    pub fn op_id(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES]) -> OpId {
        OpId(self.uuid(now_ms, random))
    }
    /// The ID of a new database on this device.
    pub fn client_id(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES]) -> ClientId {
        ClientId(self.uuid(now_ms, random))
    }
    /// A new lineage of a server.
    pub fn epoch(&mut self, now_ms: u64, random: [u8; RANDOM_BYTES]) -> Epoch {
        Epoch(self.uuid(now_ms, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn temp_ids_have_the_form_and_increase_even_when_the_clock_goes_back() {
        let mut source = IdSource::default();
        let mut issued = Vec::new();
        for now in [1000, 1000, 1000, 999, 1001, 1] {
            issued.push(source.temp_id(now, [0xff; 10], "line_item"));
        }
        assert!(issued.windows(2).all(|pair| pair[0] < pair[1]), "{issued:?}");
        assert_eq!(issued[0].entity(), "line_item");
        assert_eq!(issued[0].issued_ms(), 1000);
        assert!(issued.iter().all(|id| TempId::parse(id.as_str()).as_ref() == Some(id)));
        assert!(issued[0].as_str().split('_').nth(2).is_some_and(|random| random.len() == 16));
    }

    #[test]
    fn uuids_increase_and_say_version_7() -> Result<(), IdError> {
        let mut source = IdSource::default();
        let ids: Vec<_> = (0..1000).map(|_| source.op_id(1_700_000_000_000, [0xab; 10])).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(ids[0].as_str().as_bytes()[14], b'7');
        assert_eq!(OpId::parse(ids[0].as_str())?, ids[0]);
        assert!(OpId::parse("nonsense").is_err() && OpId::parse(&ids[0].as_str().to_uppercase()).is_err());
        Ok(())
    }

    #[test]
    fn is_temp_id_accepts_short_random_parts_and_nothing_else() {
        for text in ["temp_1_a_pet", "temp_1700000000000_x7k2p9_line_item"] {
            assert!(is_temp_id(&json!(text)), "{text}");
        }
        for value in
            [json!("temp_1_a"), json!("temp__a_pet"), json!("temp_1__pet"), json!("temp_1_a_"), json!("tmp_1_a_pet"), json!(7), json!(null)]
        {
            assert!(!is_temp_id(&value), "{value}");
        }
    }

    #[test]
    fn record_ids_are_strings_or_safe_integers() {
        assert_eq!(RecordId::from_value(&json!(7.0)), Ok(RecordId::Integer(7)));
        for value in [json!(""), json!(1.5), json!(9_007_199_254_740_992_u64), json!(null), json!([1]), json!("x".repeat(257))] {
            assert_eq!(RecordId::from_value(&value), Err(IdError), "{value}");
        }
        assert!(RecordId::Integer(9) < RecordId::Text("1".to_owned()));
    }
}
