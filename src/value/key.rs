//! Keys, ordered as IndexedDB orders its own: numbers before strings before lists. The memory store sorts
//! by this, IndexedDB by its own rules; the contract suite of the store holds them together.

use std::cmp::Ordering;

use serde_json::Value;

/// A key of a row or of an index.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// A finite number.
    Number(f64),
    /// A string; IndexedDB compares UTF-16 code units.
    Text(String),
    /// A list, compared item by item.
    List(Vec<Key>),
}

impl Key {
    /// A key from a count, a sequence or a time.
    pub fn number(number: u64) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "counts, sequences and times stay below 2^53")]
        Self::Number(number as f64)
    }
    /// A key from a string.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
    /// The key for a value of a document; `null`, booleans and objects have none and are not indexed.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => number.as_f64().map(|double| Self::Number(double + 0.0)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Array(items) => items.iter().map(Self::of).collect::<Option<Vec<_>>>().map(Self::List),
            Value::Null | Value::Bool(_) | Value::Object(_) => None,
        }
    }
    /// The key as JSON, as it stands in a stored row.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Number(double) => {
                let mut value = Value::from(*double);
                if double.fract() == 0.0 && double.abs() < 9.1e15 {
                    #[allow(clippy::cast_possible_truncation, reason = "integral and small")]
                    let integer = *double as i64;
                    value = Value::from(integer);
                }
                value
            }
            Self::Text(text) => Value::from(text.as_str()),
            Self::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.encode_utf16().cmp(b.encode_utf16()),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Number(_), _) | (Self::Text(_), Self::List(_)) => Ordering::Less,
            (Self::List(_), _) | (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

impl From<u64> for Key {
    fn from(number: u64) -> Self {
        Self::number(number)
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl<const N: usize> From<[Key; N]> for Key {
    fn from(items: [Key; N]) -> Self {
        Self::List(items.into())
    }
}

/// A contiguous range of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The lower bound, and whether it is left out.
    pub lower: Option<(Key, bool)>,
    /// The upper bound, and whether it is left out.
    pub upper: Option<(Key, bool)>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }
    /// One key.
    pub fn only(key: Key) -> Self {
        Self { lower: Some((key.clone(), false)), upper: Some((key, false)) }
    }
    /// Keys above `key`.
    pub fn above(key: Key) -> Self {
        Self { lower: Some((key, true)), upper: None }
    }
    /// Every list that begins with `prefix`.
    pub fn within(prefix: Vec<Key>) -> Self {
        // An empty list sorts after every number and string, and a list holding lists after that: nothing
        // that we append is a list of lists.
        let mut end = prefix.clone();
        end.push(Key::List(vec![Key::List(vec![])]));
        Self { lower: Some((Key::List(prefix), false)), upper: Some((Key::List(end), true)) }
    }
    /// Whether the range holds the key.
    pub fn contains(&self, key: &Key) -> bool {
        let from = self.lower.as_ref().is_none_or(|(bound, open)| if *open { key > bound } else { key >= bound });
        let to = self.upper.as_ref().is_none_or(|(bound, open)| if *open { key < bound } else { key <= bound });
        from && to
    }
    /// Whether no key can lie in it; IndexedDB refuses such ranges.
    pub fn is_empty(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Some((lower, lower_open)), Some((upper, upper_open))) => lower > upper || (lower == upper && (*lower_open || *upper_open)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_sort_as_indexeddb_sorts_them() {
        let sorted = [
            json!(-1),
            json!(0),
            json!(1.5),
            json!(2),
            json!(""),
            json!("1"),
            json!("a"),
            json!("\u{1f600}"),
            json!("\u{fb33}"),
            json!([]),
            json!([1]),
            json!([1, 0]),
            json!(["a"]),
        ];
        let keys: Vec<_> = sorted.iter().filter_map(Key::of).collect();
        assert_eq!(keys.len(), sorted.len());
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert!([json!(null), json!(true), json!({}), json!([null])].iter().all(|value| Key::of(value).is_none()));
        assert_eq!(keys.iter().map(Key::to_value).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn a_prefix_holds_its_lists_and_no_others() {
        let range = KeyRange::within(vec![Key::text("pet"), Key::text("name")]);
        assert!(range.contains(&["pet".into(), "name".into(), "Rex".into()].into()));
        assert!(range.contains(&["pet".into(), "name".into(), Key::List(vec![Key::text("x")])].into()));
        assert!(!range.contains(&["pet".into(), "owner".into(), "Rex".into()].into()));
        assert!(!range.contains(&["pets".into(), "name".into(), "Rex".into()].into()));
        assert!(KeyRange { lower: Some((2.into(), false)), upper: Some((1.into(), false)) }.is_empty());
    }
}
