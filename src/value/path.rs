//! Two ways to name a place in a document: a [`Pointer`] (RFC 6901) names one place in one document; a
//! [`FieldPath`] is declared in a schema and names every place of its shape (`lines[].productId`).

use std::borrow::{Borrow, Cow};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON Pointer (RFC 6901) to a field: `/owner/name`. The empty pointer is the whole document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pointer(pub(super) String);

impl Pointer {
    /// The pointer to the field `key` of the document.
    pub fn field(key: &str) -> Self {
        Self(format!("/{}", escape(key)))
    }
    /// The pointer one level further down.
    pub fn child(&self, key: &str) -> Self {
        Self(format!("{}/{}", self.0, escape(key)))
    }
    /// The pointer to what `inner` points to in the field of this one.
    pub fn below(&self, inner: &Self) -> Self {
        Self([self.as_str(), inner.as_str()].concat())
    }
    /// The field in a record; nothing where it is not there. Unlike RFC 6901 it points into no list.
    pub fn find<'d>(&self, record: &'d super::Object) -> Option<&'d Value> {
        let mut keys = self.keys();
        let top = record.get(keys.next()?.as_ref())?;
        keys.try_fold(top, |value, key| value.as_object()?.get(key.as_ref()))
    }
    /// The keys from the top down, unescaped.
    pub fn keys(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(unescape)
    }
    /// Whether this is `other` or lies inside it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
    /// The texts of the pointers that this one lies in, and its own, from the top down.
    pub fn within(&self) -> impl Iterator<Item = &str> {
        let ends = (1..=self.0.len()).filter(|end| matches!(self.0.as_bytes().get(*end), None | Some(b'/')));
        ends.map(|end| &self.0[..end])
    }
    /// Where it points to within what `outer` points to; nothing where that is elsewhere, or the same.
    pub fn inside(&self, outer: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&outer.0)?;
        rest.starts_with('/').then(|| Self(rest.to_owned()))
    }
    /// The pointer's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The pointer as people write it: `owner.name`.
    pub fn dotted(&self) -> String {
        self.keys().collect::<Vec<_>>().join(".")
    }
}

impl Borrow<str> for Pointer {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> Self {
        pointer.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { Cow::Owned(key.replace('~', "~0").replace('/', "~1")) } else { Cow::Borrowed(key) }
}

fn unescape(key: &str) -> Cow<'_, str> {
    if key.contains('~') { Cow::Owned(key.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(key) }
}

/// A path that is not written as its kind demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{path}' is not a path: write field, field.inner, list[] or list[].inner")]
pub struct PathError {
    /// The path as given.
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Key(String),
    Items,
}

/// A declared path: keys parted by dots, `[]` for every item of a list: `owner.id`, `lines[].productId`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldPath {
    text: String,
    segments: Vec<Segment>,
}

impl FieldPath {
    /// Reads a declared path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let bad = || PathError { path: text.to_owned() };
        let mut segments = Vec::new();
        for part in text.split('.') {
            let name = part.trim_end_matches("[]");
            let lists = (part.len() - name.len()) / 2;
            if name.is_empty() || name.contains(['[', ']', '/', '~']) {
                return Err(bad());
            }
            segments.push(Segment::Key(name.to_owned()));
            segments.extend(std::iter::repeat_n(Segment::Items, lists));
        }
        Ok(Self { text: text.to_owned(), segments })
    }
    /// The path as declared.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The field of the record in which the path begins.
    pub fn top(&self) -> &str {
        match self.segments.first() {
            Some(Segment::Key(key)) => key,
            Some(Segment::Items) | None => "",
        }
    }
    /// Whether there is one place of its shape in a document at most.
    pub fn is_single(&self) -> bool {
        !self.segments.contains(&Segment::Items)
    }
    /// Every value in the document that stands at this path.
    pub fn values<'d>(&self, document: &'d Value) -> Vec<&'d Value> {
        let mut found = vec![document];
        for segment in &self.segments {
            found = match segment {
                Segment::Key(key) => found.into_iter().filter_map(|value| value.get(key)).collect(),
                Segment::Items => found.into_iter().filter_map(Value::as_array).flatten().collect(),
            };
        }
        found
    }
    /// The value in a record that stands at this path, which leads through no list.
    pub fn find<'d>(&self, record: &'d super::Object) -> Option<&'d Value> {
        let mut keys = self.text.split('.');
        let top = record.get(keys.next()?)?;
        keys.try_fold(top, |value, key| value.get(key))
    }
    /// Lets `change` rewrite every value in the document that stands at this path.
    pub fn for_each_mut(&self, document: &mut Value, change: &mut dyn FnMut(&mut Value)) {
        fn walk(segments: &[Segment], value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
            match segments.split_first() {
                None => change(value),
                Some((Segment::Key(key), rest)) => {
                    if let Some(inner) = value.get_mut(key) {
                        walk(rest, inner, change);
                    }
                }
                Some((Segment::Items, rest)) => {
                    for item in value.as_array_mut().into_iter().flatten() {
                        walk(rest, item, change);
                    }
                }
            }
        }
        walk(&self.segments, document, change);
    }
}

impl TryFrom<String> for FieldPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<FieldPath> for String {
    fn from(path: FieldPath) -> Self {
        path.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_path_finds_and_rewrites_nested_and_listed_values() -> Result<(), PathError> {
        let mut order = json!({"buyer": {"id": 7}, "lines": [{"productId": "a"}, {}, {"productId": "b"}], "tags": [[1, 2], [3]]});
        assert_eq!(FieldPath::parse("buyer.id")?.values(&order), [&json!(7)]);
        assert_eq!(FieldPath::parse("tags[][]")?.values(&order), [&json!(1), &json!(2), &json!(3)]);
        let lines = FieldPath::parse("lines[].productId")?;
        assert_eq!(lines.top(), "lines");
        lines.for_each_mut(&mut order, &mut |value| *value = json!(format!("{}!", value.as_str().unwrap_or(""))));
        assert_eq!(lines.values(&order), [&json!("a!"), &json!("b!")]);
        Ok(())
    }

    #[test]
    fn malformed_paths_are_refused() {
        for text in ["", ".", "a..b", "[]", "a[0]", "a/b", "a]["] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pointers_escape_and_know_what_lies_within() {
        let pointer = Pointer::field("a/b").child("c~d");
        assert_eq!(pointer.as_str(), "/a~1b/c~0d");
        assert_eq!(pointer.keys().collect::<Vec<_>>(), ["a/b", "c~d"]);
        assert!(pointer.is_within(&Pointer::field("a/b")));
        assert!(!Pointer::field("ab").is_within(&Pointer::field("a")));
        assert_eq!(pointer.child("").within().collect::<Vec<_>>(), ["/a~1b", "/a~1b/c~0d", "/a~1b/c~0d/"]);
    }
}
